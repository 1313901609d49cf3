import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decide,
  type PoolDecision,
  type PoolMember,
  type PoolPolicy,
  type PoolState,
} from '../../../../src/core/health/pool.ts';

const POLICY: PoolPolicy = {
  quorum: { weight: 1, hysteresis: 0, below: 'serve' },
  onFailure: 'quiesce',
  minHealthyPercent: 0,
  slowStartUs: 0,
};

function member(key: string, changes: Partial<PoolMember> = {}): PoolMember {
  return {
    key,
    family: null,
    weight: 10,
    health: 'up',
    initial: 'unknown',
    sinceUs: 0,
    recoveredAtUs: null,
    checkWeight: null,
    dynamic: false,
    kernelWeight: null,
    override: null,
    maintenance: null,
    passive: false,
    ...changes,
  };
}

const down = (key: string, sinceUs = 0) => member(key, { health: 'down', sinceUs });

function told(decision: PoolDecision) {
  return Object.fromEntries(
    [...decision.weights].map(([key, { weight, reason }]) => [key, `${weight} ${reason}`]),
  );
}

function decided(
  policy: Partial<PoolPolicy>,
  members: readonly PoolMember[],
  {
    sorry = [],
    state = null,
    nowUs = 0,
  }: { sorry?: readonly PoolMember[]; state?: PoolState | null; nowUs?: number } = {},
) {
  return decide({ ...POLICY, ...policy }, state, members, sorry, nowUs);
}

function decidedAs(quorumMet: boolean): PoolState {
  return {
    ...{ quorumMet, foundMet: null, foundOut: [], lastServing: [], stayed: [] },
    ...{ takenOut: [], returned: [], maintained: [], waitedWith: [] },
  };
}

describe('decide, one server', () => {
  it('gives the weight that a check asks for, unless an operator gave another', () => {
    const override = { kind: 'weight', weight: 2 } as const;
    const members = [
      member('a', { checkWeight: 3 }),
      member('b', { checkWeight: 0 }),
      member('c', { checkWeight: 3, override }),
    ];
    const decision = decided({}, members);
    expect(told(decision)).toEqual({
      a: '3 check-weight',
      b: '0 check-weight',
      c: '2 weight-override',
    });
    expect(decision.healthyWeight).toBe(5);
  });

  it('gives a healthy or unchecked server its weight', () => {
    const members = [member('a'), member('b', { health: 'unchecked', weight: 3 })];
    expect(told(decided({}, members))).toEqual({ a: '10 healthy', b: '3 healthy' });
  });

  it('quiesces a failed server, or takes it out of the table, as configured', () => {
    expect(told(decided({}, [member('a'), down('b')])).b).toBe('0 failed');
    expect(told(decided({ onFailure: 'remove' }, [member('a'), down('b')])).b).toBe('null failed');
  });

  it('leaves a server in, as it is in the kernel, until its first check has spoken', () => {
    const waiting = (kernelWeight: number | null) =>
      told(decided({}, [member('a', { health: 'unknown', kernelWeight })])).a;
    expect(waiting(7)).toBe('7 awaiting-check');
    expect(waiting(0)).toBe('0 awaiting-check');
    expect(waiting(null)).toBe('0 awaiting-check');
  });

  it.each([
    ['unknown', 7, '7 awaiting-check'],
    ['unknown', null, '0 awaiting-check'],
    ['up', 0, '0 awaiting-check'],
    ['up', null, '10 awaiting-check'],
    ['down', 7, '0 awaiting-check'],
    ['down', null, '0 awaiting-check'],
  ] as const)(
    'takes a server for %s, in the kernel with weight %s, first',
    (initial, kernelWeight, expected) => {
      const waiting = member('a', { health: 'unknown', initial, kernelWeight });
      expect(told(decided({}, [waiting])).a).toBe(expected);
      // From the first verdict on, that alone counts.
      expect(told(decided({}, [{ ...waiting, health: 'up' }])).a).toBe('10 healthy');
      expect(told(decided({}, [{ ...waiting, health: 'down' }])).a).toBe('0 failed');
    },
  );

  it('puts an operator above the check', () => {
    const members = [
      member('drains', { override: { kind: 'drain', deadlineMs: null, drained: false } }),
      member('gone', { override: { kind: 'drain', deadlineMs: null, drained: true } }),
      member('up', { health: 'down', override: { kind: 'up' } }),
      member('down', { override: { kind: 'down' } }),
      member('light', { override: { kind: 'weight', weight: 2 } }),
      member('failed', { health: 'down', override: { kind: 'weight', weight: 2 } }),
    ];
    expect(told(decided({}, members))).toEqual({
      drains: '0 draining',
      gone: 'null drained',
      up: '10 forced-up',
      down: '0 forced-down',
      light: '2 weight-override',
      failed: '0 failed',
    });
  });
});

describe('decide, several things at once', () => {
  const light = { kind: 'weight', weight: 2 } as const;
  const script = { dynamic: true, checkWeight: 0 };

  it('guards servers whose weight an operator set, like any others', () => {
    const members = [down('a', 1), down('b', 2)].map((one) => ({ ...one, override: light }));
    expect(told(decided({ minHealthyPercent: 50 }, members))).toEqual({
      a: '0 failed',
      b: '2 guarded',
    });
  });

  it('guards the others where an operator drains servers, or gives them weight 0', () => {
    const policy = { minHealthyPercent: 50 };
    const drain = { kind: 'drain', deadlineMs: null, drained: true } as const;
    const zero = { kind: 'weight', weight: 0 } as const;
    const failing = [down('a', 1), down('b', 2)];
    // Whatever their checks say: who works on a server may turn it off.
    const planned = [member('c', { override: drain }), { ...down('d', 0), override: zero }];
    expect(told(decided(policy, [...failing, ...planned]))).toEqual({
      a: '10 guarded',
      b: '10 guarded',
      c: 'null drained',
      d: '0 failed',
    });
    expect(told(decided(policy, [...failing, planned[0] as PoolMember, member('d')])).a).toBe(
      '0 failed',
    );
    // Who says that a guarded server has failed wants no other failed one in its place.
    const dead = { ...down('c', 3), override: { kind: 'down' } as const };
    expect(told(decided(policy, [...failing, dead, member('d')]))).toMatchObject({
      a: '0 failed',
      b: '0 failed',
      c: '0 forced-down',
    });
  });

  it('lets a window have no server that min_healthy needs while others are drained', () => {
    const maintenance = { action: 'drain', force: false } as const;
    const zero = { kind: 'weight', weight: 0 } as const;
    const members = [member('a', { override: zero }), member('b', { maintenance })];
    const decision = decided({ minHealthyPercent: 50 }, members);
    expect([decision.heldBack, told(decision).b]).toEqual([['b'], '10 healthy']);
  });

  it('lets a window have a server whose weight an operator set', () => {
    const maintenance = { action: 'drain', force: false } as const;
    const members = [member('a', { override: light, maintenance }), member('b')];
    expect(told(decided({}, members)).a).toBe('0 maintenance');
    expect(
      told(decided({}, [member('a', { override: light, passive: true }), member('b')])).a,
    ).toBe('0 accepts-nothing');
  });

  it('takes a weight of 0 by a check for a failure that the guard counts, and the milder one', () => {
    const policy = { minHealthyPercent: 50 };
    const zero = (key: string) => member(key, script);
    expect(told(decided(policy, [zero('a'), zero('b')]))).toEqual({
      a: '0 check-weight',
      b: '10 guarded',
    });
    expect(told(decided(policy, [zero('a'), down('b')]))).toEqual({
      a: '10 guarded',
      b: '0 failed',
    });
    // What it asked for last, before it failed.
    const failed = { ...down('b', 2), ...script };
    expect(told(decided(policy, [down('a', 1), failed])).b).toBe('10 guarded');
  });

  it('with keep-last keeps those that had clients, whatever weight their checks ask for', () => {
    const policy = { quorum: { weight: 20, hysteresis: 0, below: 'keep-last' } } as const;
    const none = member('c', script);
    const first = decided(policy, [member('a'), member('b'), none]);
    const members = [member('a', script), down('b'), { ...none, ...down('c') }];
    expect(told(decided(policy, members, { state: first.state }))).toEqual({
      a: '10 kept-last',
      b: '10 kept-last',
      c: '0 failed',
    });
  });

  it('keeps one in with the weight that its check asked for before another controller took over', () => {
    const policy = { minHealthyPercent: 100 };
    const before = member('a', { dynamic: true, checkWeight: 7, health: 'down' });
    expect(told(decided(policy, [before])).a).toBe('7 guarded');
    const found = member('a', { dynamic: true, kernelWeight: 7, health: 'unknown' });
    const first = decided(policy, [found]);
    expect(told(first).a).toBe('7 awaiting-check');
    const failed = member('a', { ...found, health: 'down' });
    // As well where its check has spoken before the first decision.
    for (const state of [first.state, null]) {
      const next = decided(policy, [failed], { state });
      expect(told(next).a).toBe('7 guarded');
      const again = decided(policy, [failed], { state: next.state });
      expect(told(again).a).toBe('7 guarded');
      // Its check asks for the weight of the file, and fails again.
      const up = decided(policy, [{ ...found, health: 'up' }], { state: again.state });
      expect(told(up).a).toBe('10 healthy');
      expect(told(decided(policy, [failed], { state: up.state })).a).toBe('10 guarded');
    }
    // The weight of a server without such a check is that of the file.
    const plain = { ...failed, dynamic: false };
    expect(told(decided(policy, [plain], { state: first.state })).a).toBe('10 guarded');
  });

  it('starts nobody slowly who had clients all the time', () => {
    const policy = { minHealthyPercent: 100, slowStartUs: 10_000_000 };
    const both = [down('a', 1), down('b', 2)];
    const guarded = decided(policy, both);
    expect(told(guarded)).toEqual({ a: '10 guarded', b: '10 guarded' });
    const back = member('a', { sinceUs: 5, recoveredAtUs: 5 });
    const after = decided(policy, [back, down('b', 2)], { state: guarded.state, nowUs: 5 });
    expect(told(after)).toEqual({ a: '10 healthy', b: '10 guarded' });
    const later = decided(policy, [back, down('b', 2)], { state: after.state, nowUs: 6 });
    expect(told(later).a).toBe('10 healthy');
    // One that was out rises, with the weight that its check asks for as the whole.
    const out = decided({ ...policy, minHealthyPercent: 0 }, [down('a', 1), member('b')]);
    const risen = { ...back, dynamic: true, checkWeight: 40 };
    const slow = decided(policy, [risen, member('b')], { state: out.state, nowUs: 5 });
    expect(told(slow).a).toBe('1 slow-start');
  });

  it('does not decide the quorum while a check that may ask for any weight has not spoken', () => {
    const policy = { quorum: { weight: 50, hysteresis: 0, below: 'drop' } } as const;
    const left = member('a', { health: 'unknown', dynamic: true, kernelWeight: 60 });
    const decision = decided(policy, [left]);
    expect([told(decision).a, decision.state.quorumMet]).toEqual(['60 awaiting-check', null]);
    const spoken = decided(policy, [{ ...left, health: 'up', checkWeight: 60 }]);
    expect([told(spoken).a, spoken.state.quorumMet]).toEqual(['60 check-weight', true]);
  });

  it('guards those that were kept in for the controller before, whichever check speaks first', () => {
    const policy = { minHealthyPercent: 60 };
    const left = (key: string, kernelWeight: number) =>
      member(key, { health: 'unknown', kernelWeight });
    const [a, b, out] = [left('a', 10), left('b', 10), left('c', 0)];
    const first = decided(policy, [{ ...a, health: 'down', sinceUs: 1 }, b, out]);
    expect(told(first)).toEqual({ a: '10 guarded', b: '10 awaiting-check', c: '0 awaiting-check' });
    const failed = [a, b, out].map(
      (one, sinceUs) => ({ ...one, health: 'down', sinceUs }) as const,
    );
    const all = decided(policy, failed, { state: first.state });
    expect(told(all)).toEqual({ a: '10 guarded', b: '10 guarded', c: '0 failed' });
    // With one that is back, the first to have failed may go.
    const back = failed.map((one) => (one.key === 'c' ? member('c') : one));
    expect(told(decided(policy, back, { state: all.state }))).toEqual({
      a: '0 failed',
      b: '10 guarded',
      c: '10 healthy',
    });
    // A table without clients, or none, is that of nobody before.
    const fresh = [a, b, out].map((one) => ({ ...one, kernelWeight: null }));
    const start = decided(policy, [
      { ...(fresh[0] as PoolMember), health: 'down' },
      ...fresh.slice(1),
    ]);
    expect(told(start).a).toBe('0 failed');
  });

  it("goes by an operator's word and by windows with sorry servers, too", () => {
    const policy = { quorum: { weight: 20, hysteresis: 0, below: 'sorry' } } as const;
    const sorry = [
      member('drains', { override: { kind: 'drain', deadlineMs: null, drained: false } }),
      member('gone', { override: { kind: 'drain', deadlineMs: null, drained: true } }),
      member('down', { override: { kind: 'down' } }),
      member('light', { override: light }),
      member('up', { override: { kind: 'up' }, health: 'down' }),
      member('script', { dynamic: true, checkWeight: 7 }),
      member('window', { maintenance: { action: 'down', force: false } }),
      member('free', {
        maintenance: { action: 'down', force: false },
        override: { kind: 'up' },
      }),
    ];
    expect(told(decided(policy, [down('a')], { sorry }))).toEqual({
      a: '0 failed',
      drains: '0 draining',
      gone: 'null drained',
      down: '0 forced-down',
      light: '2 sorry',
      up: '10 sorry',
      script: '7 sorry',
      window: 'null maintenance',
      free: '10 sorry',
    });
  });
});

describe('decide, the quorum', () => {
  const quorum = (changes: object) => ({ quorum: { ...POLICY.quorum, ...changes } });

  it('counts weights of healthy servers, and neither drained nor forced-down ones', () => {
    const drain = { kind: 'drain', deadlineMs: null, drained: false } as const;
    const members = [member('a'), member('b', { override: drain }), down('c')];
    expect(decided(quorum({ weight: 11 }), members)).toMatchObject({
      healthyWeight: 10,
      state: { quorumMet: false },
    });
    expect(decided(quorum({ weight: 10 }), members).state.quorumMet).toBe(true);
  });

  it('is not decided while servers without a verdict could decide it', () => {
    const members = [member('a', { health: 'unknown' }), down('b')];
    expect(decided(quorum({ weight: 5 }), members).state.quorumMet).toBeNull();
    expect(decided(quorum({ weight: 11 }), members).state.quorumMet).toBe(false);
  });

  it('has hysteresis: lost below quorum less it, met again at quorum plus it', () => {
    const policy = quorum({ weight: 20, hysteresis: 5 });
    const at = (weight: number, quorumMet: boolean) =>
      decided(policy, [member('a', { weight })], { state: decidedAs(quorumMet) }).state.quorumMet;
    expect([at(15, true), at(14, true), at(24, false), at(25, false)]).toEqual([
      true,
      false,
      false,
      true,
    ]);
  });

  it('hands over to healthy sorry servers, and takes back', () => {
    const policy = quorum({ weight: 10, below: 'sorry' });
    const sorry = [member('s', { weight: 5 })];
    expect(told(decided(policy, [member('a'), down('b')], { sorry }))).toEqual({
      a: '10 healthy',
      b: '0 failed',
      s: '0 standby',
    });
    const short = [member('a', { weight: 9 }), down('b')];
    expect(told(decided(policy, short, { sorry }))).toEqual({
      a: '0 below-quorum',
      b: '0 failed',
      s: '5 sorry',
    });
  });

  it('lets the healthy ones go on when no sorry server is healthy', () => {
    const policy = quorum({ weight: 10, below: 'sorry' });
    const members = [member('a', { weight: 9 })];
    expect(told(decided(policy, members, { sorry: [down('s')] }))).toEqual({
      a: '9 healthy',
      s: '0 failed',
    });
  });

  it('keeps those that served last, failed or not, but no others', () => {
    const policy = quorum({ weight: 20, below: 'keep-last' });
    const first = decided(policy, [member('a'), member('b'), down('c')]);
    const second = decided(policy, [member('a'), down('b'), down('c')], { state: first.state });
    expect(told(second)).toEqual({ a: '10 healthy', b: '10 kept-last', c: '0 failed' });
    const third = decided(policy, [down('a'), down('b'), down('c')], { state: second.state });
    expect(told(third)).toEqual({ a: '10 kept-last', b: '10 kept-last', c: '0 failed' });
  });

  it('lets nobody have new connections with drop, but for those that an operator forces up', () => {
    const members = [member('a'), member('b', { override: { kind: 'up' } })];
    const dropped = decided(quorum({ weight: 30, below: 'drop' }), members);
    expect(told(dropped)).toEqual({ a: '0 below-quorum', b: '10 forced-up' });
  });
});

describe('decide, a service of both families', () => {
  const four = (key: string, changes: Partial<PoolMember> = {}) =>
    member(key, { family: 'ipv4', ...changes });
  const six = (key: string, changes: Partial<PoolMember> = {}) =>
    member(key, { family: 'ipv6', ...changes });
  const failed = { health: 'down' } as const;
  const SORRY = { quorum: { weight: 1, hysteresis: 0, below: 'sorry' } } as const;
  const sorry = [four('s4', { weight: 1 }), six('s6', { weight: 1 })];

  it('hands one family over to its sorry servers, and takes it back', () => {
    const lost = decided(SORRY, [four('a', failed), four('b', failed), six('c')], { sorry });
    expect(told(lost)).toEqual({
      ...{ a: '0 failed', b: '0 failed', c: '10 healthy' },
      ...{ s4: '1 sorry', s6: '0 standby' },
    });
    expect([lost.state.quorumMet, lost.bereft]).toEqual([true, ['ipv4']]);
    const again = decided(SORRY, [four('a'), four('b', failed), six('c')], {
      ...{ sorry, state: lost.state },
    });
    expect(told(again)).toMatchObject({ a: '10 healthy', s4: '0 standby' });
    expect(again.bereft).toEqual([]);
  });

  it('lets the healthy servers go on of a family that has no sorry server', () => {
    const policy = { quorum: { weight: 30, hysteresis: 0, below: 'sorry' } } as const;
    const lost = decided(policy, [four('a'), six('b')], { sorry: sorry.slice(0, 1) });
    expect(told(lost)).toEqual({ a: '0 below-quorum', b: '10 healthy', s4: '1 sorry' });
    expect(lost.bereft).toEqual([]);
  });

  it('keeps those of one family that served last', () => {
    const policy = { quorum: { weight: 1, hysteresis: 0, below: 'keep-last' } } as const;
    const served = decided(policy, [four('a'), four('b', failed), six('c')]);
    const members = [four('a', failed), four('b', failed), six('c')];
    const lost = decided(policy, members, { state: served.state });
    const longer = decided(policy, members, { state: lost.state });
    for (const one of [lost, longer]) {
      expect(told(one)).toEqual({ a: '10 kept-last', b: '0 failed', c: '10 healthy' });
    }
  });

  it('leaves a family with its sorry servers until a check of its own has spoken', () => {
    const found = (health: 'unknown' | 'up') => [
      four('a', { health, kernelWeight: 0 }),
      six('b', { health: 'unknown', kernelWeight: 10 }),
    ];
    const there = [four('s4', { weight: 1, health: 'unknown', kernelWeight: 1 })];
    const waits = decided(SORRY, found('unknown'), { sorry: there });
    expect(told(waits)).toMatchObject({ a: '0 awaiting-check', s4: '1 awaiting-check' });
    const spoken = decided(SORRY, found('up'), { sorry: there, state: waits.state });
    expect(told(spoken)).toMatchObject({ a: '10 healthy', s4: '0 awaiting-check' });
  });

  it('does not take servers for lost that are new', () => {
    const members = [four('a', { health: 'unknown' }), six('b')];
    const decision = decided(SORRY, members, { sorry });
    expect(told(decision)).toMatchObject({ a: '0 awaiting-check', s4: '0 standby' });
    expect(decision.bereft).toEqual([]);
  });

  it('lets no window have the last server of a family, unless it is forced', () => {
    const window = (force: boolean) => ({ maintenance: { action: 'drain', force } as const });
    const asked = (force: boolean) =>
      decided(SORRY, [four('a', window(force)), four('b', window(force)), six('c')], { sorry });
    expect(asked(false).heldBack).toEqual(['b']);
    expect(asked(true).heldBack).toEqual([]);
    expect(told(asked(true))).toMatchObject({ b: '0 maintenance', s4: '1 sorry' });
  });
});

describe('decide, the guard', () => {
  it('takes out the first to fail and keeps in the last ones', () => {
    const members = [down('a', 3), down('b', 1), down('c', 2), member('d')];
    expect(told(decided({ minHealthyPercent: 50 }, members))).toEqual({
      a: '10 guarded',
      b: '0 failed',
      c: '0 failed',
      d: '10 healthy',
    });
  });

  it('keeps no server in that an operator takes out', () => {
    const members = [member('a', { override: { kind: 'down' } }), down('b', 1)];
    expect(told(decided({ minHealthyPercent: 100 }, members))).toEqual({
      a: '0 forced-down',
      b: '10 guarded',
    });
  });

  it('goes after what the file says for a service below its quorum', () => {
    const below = (below: 'sorry' | 'drop' | 'keep-last') => ({
      minHealthyPercent: 50,
      quorum: { weight: 10, hysteresis: 0, below },
    });
    const failed = [down('a', 2), down('b', 1)];
    const sorry = [member('s')];
    expect(told(decided(below('sorry'), failed, { sorry }))).toEqual({
      ...{ a: '0 below-quorum', b: '0 failed', s: '10 sorry' },
    });
    // Nobody takes over: somebody is kept in.
    expect(told(decided(below('sorry'), failed, { sorry: [down('s')] }))).toEqual({
      ...{ a: '10 guarded', b: '0 failed', s: '0 failed' },
    });
    expect(told(decided(below('drop'), failed))).toEqual({ a: '0 below-quorum', b: '0 failed' });
    expect(told(decided(below('keep-last'), failed))).toMatchObject({ a: '10 guarded' });
  });

  it('never leaves fewer than its share in the table, whatever fails', () => {
    const members = fc.array(
      fc.record({
        failed: fc.boolean(),
        sinceUs: fc.nat(1000),
        weight: fc.integer({ min: 1, max: 9 }),
      }),
      { minLength: 1, maxLength: 12 },
    );
    fc.assert(
      fc.property(members, fc.integer({ min: 0, max: 100 }), (list, minHealthyPercent) => {
        const pool = list.map(({ failed, sinceUs, weight }, index) =>
          member(`${index}`, { health: failed ? 'down' : 'up', sinceUs, weight }),
        );
        const { weights } = decided({ minHealthyPercent }, pool);
        const serving = [...weights.values()].filter(({ weight }) => (weight ?? 0) > 0).length;
        const healthy = list.filter(({ failed }) => !failed).length;
        const least = pool.length - Math.floor((pool.length * (100 - minHealthyPercent)) / 100);
        expect(serving).toBe(Math.max(healthy, least));
      }),
    );
  });
});

describe('decide, at first with a table that was left behind', () => {
  const kept = (key: string, changes: Partial<PoolMember> = {}) =>
    member(key, { health: 'unknown', kernelWeight: 10, ...changes });
  const out = (key: string) => kept(key, { kernelWeight: 0 });

  it('keeps those that served last, though they fail, until enough others are known', () => {
    const policy = { quorum: { weight: 20, hysteresis: 0, below: 'keep-last' } } as const;
    const failing = kept('b', { health: 'down' });
    const first = decided(policy, [out('a'), failing, kept('c')]);
    expect(told(first)).toEqual({
      a: '0 awaiting-check',
      b: '10 kept-last',
      c: '10 awaiting-check',
    });
    const all = [kept('a', { health: 'down' }), failing, kept('c', { health: 'down' })];
    const second = decided(policy, all, { state: first.state });
    expect(told(second)).toEqual({ a: '0 failed', b: '10 kept-last', c: '10 kept-last' });
    const enough = [kept('a', { health: 'up' }), failing, kept('c', { health: 'up' })];
    const third = decided(policy, enough, { state: first.state });
    expect(told(third)).toEqual({ a: '10 healthy', b: '0 failed', c: '10 healthy' });
  });

  it('leaves clients with the sorry servers until the quorum is known to be met', () => {
    const policy = { quorum: { weight: 20, hysteresis: 0, below: 'sorry' } } as const;
    const back = member('a', { kernelWeight: 0 });
    const first = decided(policy, [back, out('b')], { sorry: [kept('s')] });
    expect(told(first)).toEqual({
      a: '0 below-quorum',
      b: '0 awaiting-check',
      s: '10 awaiting-check',
    });
    expect(first.state.quorumMet).toBeNull();
    const both = [back, { ...back, key: 'b' }];
    const second = decided(policy, both, { sorry: [kept('s')], state: first.state });
    expect(told(second)).toEqual({ a: '10 healthy', b: '10 healthy', s: '0 awaiting-check' });
  });

  it('has the hysteresis of what it found', () => {
    const policy = { quorum: { weight: 20, hysteresis: 10, below: 'drop' } } as const;
    const met = (kernelWeight: number, weight: number) =>
      decided(policy, [member('a', { kernelWeight, weight })]).state.quorumMet;
    expect([met(20, 9), met(20, 10), met(0, 20), met(0, 29), met(0, 30)]).toEqual([
      false,
      true,
      false,
      false,
      true,
    ]);
  });

  it('changes no weight, whichever checks have spoken', () => {
    const one = fc.record({
      up: fc.boolean(),
      weight: fc.integer({ min: 1, max: 5 }),
      spoken: fc.boolean(),
    });
    const below = fc.constantFrom('serve', 'sorry', 'keep-last', 'drop');
    const list = fc.array(one, { maxLength: 5 });
    fc.assert(
      fc.property(list, list, below, fc.integer({ min: 1, max: 12 }), (own, more, what, weight) => {
        const policy = { quorum: { weight, hysteresis: 0, below: what } } as const;
        const as = (drawn: typeof own, prefix: string) =>
          drawn.map(({ up, weight: of }, index) =>
            member(`${prefix}${index}`, { health: up ? 'up' : 'down', weight: of }),
          );
        const healthy = as(own, 'r').map((each): PoolMember => ({ ...each, health: 'up' }));
        const sorry = as(more, 's');
        const { state } = decided(policy, healthy, { sorry });
        const before = decided(policy, as(own, 'r'), { sorry, state }).weights;
        const left = (members: readonly PoolMember[], drawn: typeof own) =>
          members.map((each, index): PoolMember => {
            const kernelWeight = before.get(each.key)?.weight ?? null;
            return { ...each, kernelWeight, ...(!drawn[index]?.spoken && { health: 'unknown' }) };
          });
        const after = decided(policy, left(as(own, 'r'), own), {
          sorry: left(sorry, more),
        }).weights;
        const weights = (of: typeof after) => [...of].map(([key, found]) => [key, found.weight]);
        expect(weights(after)).toEqual(weights(before));
      }),
    );
  });
});

describe('decide, slow start', () => {
  const policy = { slowStartUs: 10_000_000 };
  const back = member('a', { weight: 100, recoveredAtUs: 1_000_000 });

  it('rises from a small weight to the full one and says when to look again', () => {
    let nowUs = 1_000_000;
    const weights: number[] = [];
    for (let looks = 0; looks < 100; looks++) {
      const { weights: found, nextAtUs } = decided(policy, [back], { nowUs });
      weights.push(found.get('a')?.weight as number);
      if (nextAtUs === null) break;
      expect(nextAtUs).toBeGreaterThan(nowUs);
      nowUs = nextAtUs;
    }
    expect(nowUs).toBe(11_000_000);
    expect(weights[0]).toBe(4);
    expect(weights.at(-1)).toBe(100);
    expect(weights).toHaveLength(21);
    expect([...weights].sort((left, right) => left - right)).toEqual(weights);
    expect(new Set(weights).size).toBe(weights.length);
  });

  it('goes on where it was when another controller takes over, or its check begins anew', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 65_535 }),
        fc.integer({ min: 0, max: 9_999_999 }),
        fc.constantFrom('at first', 'later', 'anew'),
        (weight, elapsedUs, speaks) => {
          const risen = member('a', { weight, recoveredAtUs: 0 });
          const left = decided(policy, [risen], { nowUs: elapsedUs });
          const kernelWeight = left.weights.get('a')?.weight ?? null;
          const found = { weight, kernelWeight, sinceUs: null };
          // Much later, by another clock.
          let nowUs = 70_000_000;
          let state = speaks === 'anew' ? left.state : null;
          if (speaks !== 'at first') {
            const waits = member('a', { ...found, health: 'unknown' });
            for (let looks = 0; looks < 2; looks++) {
              const waiting = decided(policy, [waits], { state, nowUs });
              expect(told(waiting).a).toBe(`${kernelWeight} awaiting-check`);
              nowUs += 1_000_000;
              state = waiting.state;
            }
          }
          const spokenUs = nowUs;
          let next = decided(policy, [member('a', found)], { state, nowUs });
          expect(told(next).a).toBe(`${kernelWeight} slow-start`);
          while (next.nextAtUs !== null) {
            nowUs = next.nextAtUs;
            const was = next.weights.get('a')?.weight;
            next = decided(policy, [member('a', found)], { state: next.state, nowUs });
            expect(next.weights.get('a')?.weight).toBeGreaterThanOrEqual(was as number);
          }
          expect(told(next).a).toBe(`${weight} healthy`);
          // A step that had begun begins again.
          const stepUs = policy.slowStartUs / Math.min(20, weight);
          expect(nowUs - spokenUs).toBeGreaterThanOrEqual(policy.slowStartUs - elapsedUs - 1);
          expect(nowUs - spokenUs).toBeLessThanOrEqual(policy.slowStartUs - elapsedUs + 2 * stepUs);
        },
      ),
    );
  });

  it('is over for another controller where the table has the whole weight', () => {
    const found = { kernelWeight: 10, health: 'unknown', sinceUs: null } as const;
    const first = decided(policy, [member('a', found)], { nowUs: 5 });
    const spoken = decided(policy, [member('a', { kernelWeight: 10 })], { state: first.state });
    expect([told(spoken).a, spoken.nextAtUs]).toEqual(['10 healthy', null]);
    // Then a reload gives it more: it has had clients all the time.
    const more = [member('a', { kernelWeight: 10, weight: 20 })];
    expect(told(decided(policy, more, { state: spoken.state })).a).toBe('20 healthy');
  });

  it('is not for a server that never failed, nor for a weight of 1', () => {
    expect(told(decided(policy, [member('a')])).a).toBe('10 healthy');
    const light = member('a', { weight: 1, recoveredAtUs: 0 });
    expect(decided(policy, [light], { nowUs: 5 })).toMatchObject({ nextAtUs: null });
    expect(told(decided(policy, [light], { nowUs: 5 })).a).toBe('1 healthy');
  });
});

describe('decide, slow start of those that somebody took out', () => {
  const SLOW = { slowStartUs: 20_000_000 } as const;
  const drain = { kind: 'drain', deadlineMs: null, drained: true } as const;
  const weights = (decision: PoolDecision) => told(decision).a;

  it.each([
    ['a drain', { override: drain }],
    ['a forced failure', { override: { kind: 'down' } }],
    ['a weight of 0', { override: { kind: 'weight', weight: 0 } }],
    ['a window', { maintenance: { action: 'down', force: true } }],
    ['a hint', { passive: true }],
  ] satisfies [string, Partial<PoolMember>][])('rises when %s ends', (_what, out) => {
    const others = [member('b'), member('c')];
    const went = decided(SLOW, [member('a', out), ...others], { nowUs: 0 });
    const back = (state: PoolState, nowUs: number) =>
      decided(SLOW, [member('a'), ...others], { state, nowUs });
    const first = back(went.state, 100_000_000);
    expect([told(first), first.nextAtUs]).toEqual([
      { a: '1 slow-start', b: '10 healthy', c: '10 healthy' },
      102_000_000,
    ]);
    const later = back(first.state, 110_000_000);
    expect(weights(later)).toBe('5 slow-start');
    const end = back(later.state, 120_000_000);
    expect([weights(end), end.nextAtUs, end.state.returned]).toEqual(['10 healthy', null, []]);
  });

  it('begins when its check succeeds, where that is later', () => {
    const went = decided(SLOW, [member('a', { override: drain })]);
    const failed = decided(SLOW, [down('a')], { state: went.state, nowUs: 1_000_000 });
    const recovered = { recoveredAtUs: 30_000_000 };
    const up = decided(SLOW, [member('a', recovered)], { state: failed.state, nowUs: 40_000_000 });
    expect(weights(up)).toBe('5 slow-start');
  });

  it('is not for a server that is forced up, nor without slow_start', () => {
    const went = decided(SLOW, [member('a', { override: drain })]);
    const forced = [member('a', { override: { kind: 'up' } })];
    expect(weights(decided(SLOW, forced, { state: went.state }))).toBe('10 forced-up');
    const without = decided({}, [member('a', { override: drain })]);
    expect(without.state).toMatchObject({ takenOut: [], returned: [] });
    expect(weights(decided({}, [member('a')], { state: without.state }))).toBe('10 healthy');
  });
});

describe('decide, maintenance windows', () => {
  const asked = (key: string, changes: Partial<PoolMember> = {}) =>
    member(key, { maintenance: { action: 'drain', force: false }, ...changes });
  const forced = { action: 'down', force: true } as const;

  it('quiesces, or takes out of the table, and counts as healthy no more', () => {
    const members = [
      asked('a'),
      member('b'),
      member('c', { maintenance: { action: 'down', force: false } }),
    ];
    const decision = decided({}, members);
    expect(told(decision)).toEqual({ a: '0 maintenance', b: '10 healthy', c: 'null maintenance' });
    expect([decision.healthyWeight, decision.heldBack]).toEqual([10, []]);
  });

  it('holds back those that the quorum needs, the same ones on every director', () => {
    const decision = decided({}, [asked('b'), asked('a'), down('c')]);
    expect(told(decision)).toEqual({ a: '0 maintenance', b: '10 healthy', c: '0 failed' });
    expect(decision.heldBack).toEqual(['b']);
    const policy = { quorum: { weight: 20, hysteresis: 0, below: 'serve' } } as const;
    expect(decided(policy, [asked('a'), member('b')]).heldBack).toEqual(['a']);
  });

  it('holds back those above what min_healthy lets out, failed ones counted', () => {
    const members = [asked('a'), asked('b'), member('c'), member('d')];
    const policy = { minHealthyPercent: 75 };
    expect(decided(policy, members).heldBack).toEqual(['b']);
    expect(decided(policy, [...members.slice(0, 3), down('d')]).heldBack).toEqual(['a', 'b']);
  });

  it('takes all out where it is forced, and the sorry servers take over', () => {
    const members = [member('a', { maintenance: forced }), member('b', { maintenance: forced })];
    const policy = { quorum: { weight: 1, hysteresis: 0, below: 'sorry' } } as const;
    const decision = decided(policy, members, { sorry: [member('s')] });
    expect(told(decision)).toEqual({ a: 'null maintenance', b: 'null maintenance', s: '10 sorry' });
    expect([decision.state.quorumMet, decision.heldBack]).toEqual([false, []]);
  });

  it('leaves out who is out already, though others fail meanwhile', () => {
    const { state } = decided({}, [asked('a'), member('b')]);
    const later = decided({}, [asked('a'), down('b')], { state });
    expect(told(later)).toEqual({ a: '0 maintenance', b: '0 failed' });
    expect(later.state.quorumMet).toBe(false);
  });

  it('does not count on a server that is down, and holds it back when it is up and needed', () => {
    const { state, weights } = decided({}, [asked('a', { health: 'down' }), down('b')]);
    expect(weights.get('a')).toEqual({ weight: 0, reason: 'maintenance' });
    expect(decided({}, [asked('a'), down('b')], { state }).heldBack).toEqual(['a']);
  });

  it('takes what has clients for healthy after a restart', () => {
    const members = [
      asked('a', { health: 'unknown', kernelWeight: 0 }),
      member('b', { health: 'unknown', kernelWeight: 10 }),
    ];
    expect(told(decided({}, members))).toEqual({ a: '0 maintenance', b: '10 awaiting-check' });
  });

  it('leaves out who was out before a restart, though another one failed that is kept in', () => {
    const policy = { minHealthyPercent: 60 };
    const at = (kernelWeight: number) => ({ health: 'unknown', kernelWeight }) as const;
    const found = [asked('a', at(0)), member('b', at(10)), member('c', at(10))];
    let { state, weights } = decided(policy, found);
    const [, b, c] = found as [PoolMember, PoolMember, PoolMember];
    const failed = { ...c, health: 'down' } as const;
    for (const members of [
      [asked('a', at(0)), b, failed],
      [asked('a', { kernelWeight: 0 }), b, failed],
      [asked('a', { kernelWeight: 0 }), member('b', { kernelWeight: 10 }), failed],
    ]) {
      ({ state, weights } = decided(policy, members, { state }));
      expect(weights.get('a')).toEqual({ weight: 0, reason: 'maintenance' });
      expect(weights.get('c')).toEqual({ weight: 10, reason: 'guarded' });
    }
    // Who was in and is needed is not taken out by a restart.
    const needed = [asked('a', at(10)), member('b', at(10)), member('c', at(0))];
    expect(decided(policy, needed).heldBack).toEqual(['a']);
  });

  it('is below what an operator decided', () => {
    const decision = decided({}, [asked('a', { override: { kind: 'up' } }), member('b')]);
    expect(told(decision)).toEqual({ a: '10 forced-up', b: '10 healthy' });
  });

  it('does the same to a server that accepts nothing', () => {
    const dead = { passive: true };
    expect(told(decided({}, [member('a', dead), member('b')]))).toEqual({
      a: '0 accepts-nothing',
      b: '10 healthy',
    });
    expect(decided({}, [member('a', dead), member('b', dead)]).heldBack).toEqual(['b']);
    expect(decided({}, [member('a', dead), down('b')]).heldBack).toEqual(['a']);
    const override = { kind: 'up' } as const;
    expect(told(decided({}, [member('a', { ...dead, override })]))).toEqual({ a: '10 forced-up' });
  });

  it('never takes the healthy weight below the quorum by itself', () => {
    const any = fc.record({
      health: fc.constantFrom('up', 'down', 'unchecked'),
      weight: fc.integer({ min: 1, max: 5 }),
      maintenance: fc.constantFrom(null, { action: 'drain', force: false } as const),
    });
    fc.assert(
      fc.property(
        fc.array(any, { maxLength: 6 }),
        fc.integer({ min: 1, max: 9 }),
        (all, weight) => {
          const members = all.map((one, index) => member(`${index}`, one as Partial<PoolMember>));
          const policy = { quorum: { weight, hysteresis: 0, below: 'serve' } } as const;
          const without = decided(
            policy,
            members.map((one) => ({ ...one, maintenance: null })),
          );
          const decision = decided(policy, members);
          if (without.healthyWeight >= weight) {
            expect(decision.healthyWeight).toBeGreaterThanOrEqual(weight);
          } else expect(decision.healthyWeight).toBe(without.healthyWeight);
        },
      ),
    );
  });
});

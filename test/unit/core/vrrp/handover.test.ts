/** Planned handover: the machine, the sync group, and what is said of it beforehand. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEFAULTS } from '../../../../src/core/config/defaults.ts';
import type { InstanceReport, PeerReport } from '../../../../src/core/status.ts';
import { coordinate } from '../../../../src/core/vrrp/group.ts';
import { planHandover, planTakeback } from '../../../../src/core/vrrp/handover.ts';
import {
  INITIAL_STATE,
  nextDeadlineUs,
  step,
  type VrrpState,
} from '../../../../src/core/vrrp/instance.ts';
import type { InstanceOptions, VrrpEffect, VrrpEvent } from '../../../../src/core/vrrp/types.ts';
import { STATUS } from '../../status-fixture.ts';

const SECOND = 1_000_000;

const OPTIONS: InstanceOptions = {
  version: 3,
  priority: 200,
  advertIntervalUs: SECOND,
  preempt: true,
  preemptDelayUs: 0,
  announce: {
    ...DEFAULTS.vrrp.announce,
    repeat: 5,
    delayUs: 5 * SECOND,
    refreshUs: 0,
    lowerPriorityDelayUs: 5 * SECOND,
  },
};

interface Ran {
  readonly state: VrrpState;
  readonly effects: readonly VrrpEffect[];
}

function run(events: readonly VrrpEvent[], from: VrrpState, options = OPTIONS): Ran {
  let ran: Ran = { state: from, effects: [] };
  for (const event of events) ran = step(options, ran.state, event);
  return ran;
}

const kinds = (effects: readonly VrrpEffect[]): string[] => effects.map((effect) => effect.kind);
const deadline = (atUs: number): VrrpEvent => ({ kind: 'deadline-reached', atUs });
const asked = (atUs: number): VrrpEvent => ({ kind: 'handover-asked', atUs });
const back = (atUs: number): VrrpEvent => ({ kind: 'takeback-asked', atUs });

function advert(atUs: number, priority: number): VrrpEvent {
  const base = { advertIntervalUs: SECOND, fromHigherAddress: false };
  return { kind: 'advert-received', atUs, priority, ...base };
}

/** Active since 0. */
function active(options = OPTIONS): VrrpState {
  const started: VrrpEvent = { kind: 'started', atUs: 0 };
  return step({ ...options, priority: 255 }, INITIAL_STATE, started).state;
}

/** Handed over at 1 us to a director of priority 100, which it heard at half a second. */
function heldBack(options = OPTIONS): VrrpState {
  return run([asked(1), advert(SECOND / 2, 100)], active(options), options).state;
}

describe('handover', () => {
  test('resigns and keeps the addresses until a successor is heard, whatever its priority', () => {
    const resigned = run([asked(1)], active());
    expect(resigned.effects).toEqual([{ kind: 'send-advert', resign: true }]);
    const { state, effects } = run([advert(SECOND / 2, 100)], resigned.state);
    expect(kinds(effects)).toEqual(['remove-addresses', 'report-transition', 'report-handover']);
    expect(effects[1]).toMatchObject({ from: 'active', to: 'backup', reason: 'handed-over' });
    expect(effects[2]).toMatchObject({ outcome: 'handed-over' });
    expect(state).toMatchObject({ kind: 'backup', heldBack: true });
  });

  test('another one that resigns is no successor', () => {
    const { state, effects } = run([asked(1), advert(2, 0)], active());
    expect(state.kind).toBe('resigning');
    expect(effects).toEqual([]);
  });

  test('stays active when nobody takes over, and never lets the addresses go', () => {
    const resigned = run([asked(1)], active()).state;
    const lastUs = nextDeadlineUs(resigned) as number;
    // A successor that missed the resignation takes over after its active-down interval.
    expect(lastUs).toBeGreaterThan(3 * SECOND + (255 * SECOND) / 256);
    expect(run([deadline(lastUs - 1)], resigned).state).toBe(resigned);
    const { state, effects } = run([deadline(lastUs)], resigned);
    expect(state).toMatchObject({ kind: 'active', advertAtUs: lastUs + SECOND });
    expect(kinds(effects)).toEqual(['send-advert', 'announce', 'report-handover']);
    expect(effects[0]).toEqual({ kind: 'send-advert', resign: false });
    expect(effects[2]).toMatchObject({ outcome: 'stayed' });
  });

  test('a fault meanwhile takes the addresses away, and is told', () => {
    const fault: VrrpEvent = { kind: 'fault-raised', atUs: 2, reason: 'interface-down' };
    const { state, effects } = run([asked(1), fault], active());
    expect(state).toEqual({ kind: 'fault', reason: 'interface-down', heldBack: true });
    expect(kinds(effects)).toContain('remove-addresses');
    expect(effects).toContainEqual({ kind: 'report-handover', outcome: 'faulted' });
  });

  test('a stop meanwhile is a stop that hands over', () => {
    const stopped: VrrpEvent = { kind: 'stopped', atUs: 2, handover: true };
    const { state, effects } = run([asked(1), stopped], active());
    expect(state).toMatchObject({ kind: 'resigning', afterwards: 'initialize' });
    expect(effects).toEqual([]);
    expect(run([advert(3, 100)], state).state).toEqual(INITIAL_STATE);
  });

  test('who is not active has nothing to hand over', () => {
    const held = heldBack();
    expect(run([asked(SECOND)], held)).toEqual({ state: held, effects: [] });
    expect(run([asked(SECOND)], INITIAL_STATE).effects).toEqual([]);
  });
});

describe('held back', () => {
  test('does not preempt a lower priority, not even as the owner', () => {
    for (const options of [OPTIONS, { ...OPTIONS, priority: 255 }]) {
      const heard = [1, 2, 3, 4, 5, 6].map((seconds) => advert(seconds * SECOND, 100));
      const { state } = run(heard, heldBack(options), options);
      expect(state).toMatchObject({ kind: 'backup', heldBack: true });
      expect(nextDeadlineUs(state)).toBeGreaterThan(9 * SECOND);
      const changed = run([{ kind: 'reconfigured', atUs: 6 * SECOND }], state, options);
      expect(changed.state).toMatchObject({ kind: 'backup', heldBack: true });
    }
  });

  test('takes over when the successor falls silent or resigns, and is then as ever', () => {
    const held = heldBack();
    const silent = run([deadline(nextDeadlineUs(held) as number)], held);
    expect(silent.effects.at(-1)).toMatchObject({ to: 'active', reason: 'peers-silent' });
    const resigned = run([advert(SECOND, 0)], held).state;
    const taken = run([deadline(nextDeadlineUs(resigned) as number)], resigned);
    expect(taken.effects.at(-1)).toMatchObject({ to: 'active', reason: 'peer-resigned' });
    const yielded = run([advert(3 * SECOND, 250)], taken.state).state;
    expect(yielded).toMatchObject({ kind: 'backup', heldBack: false });
  });

  test('is still so after a fault', () => {
    const down: VrrpEvent = { kind: 'fault-raised', atUs: SECOND, reason: 'interface-down' };
    const up: VrrpEvent = { kind: 'fault-cleared', atUs: 2 * SECOND, reason: 'interface-up' };
    for (const options of [OPTIONS, { ...OPTIONS, priority: 255 }]) {
      const { state } = run([down, up], heldBack(options), options);
      expect(state).toMatchObject({ kind: 'backup', heldBack: true });
    }
  });

  test('ends with a takeback, after which it preempts in the normal way', () => {
    const taken = run([back(SECOND), advert(2 * SECOND, 100)], heldBack()).state;
    const { effects } = run([deadline(nextDeadlineUs(taken) as number)], taken);
    expect(effects.at(-1)).toMatchObject({ to: 'active', reason: 'preempted' });
    const without = { ...OPTIONS, preempt: false };
    const left = run([back(SECOND), advert(2 * SECOND, 100)], heldBack(), without).state;
    expect(nextDeadlineUs(left)).toBeGreaterThan(5 * SECOND);
    const owner = { ...OPTIONS, priority: 255 };
    expect(run([back(SECOND)], heldBack(owner), owner).state.kind).toBe('active');
  });

  test('a takeback while it waits for a successor is no handover at all', () => {
    const { state, effects } = run([asked(1), back(2)], active());
    expect(state.kind).toBe('active');
    expect(kinds(effects)).toEqual(['send-advert', 'announce', 'report-handover']);
  });

  test('whatever happens, it becomes active only by silence, resignation or takeback', () => {
    const event = fc.oneof(
      fc.record({
        kind: fc.constant<'advert-received'>('advert-received'),
        priority: fc.integer({ min: 1, max: 255 }),
      }),
      fc.constant({ kind: 'reconfigured' as const }),
      fc.constant({ kind: 'fault' as const }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        let state = heldBack();
        let atUs = SECOND;
        for (const drawn of events) {
          atUs += SECOND;
          const happened: readonly VrrpEvent[] =
            drawn.kind === 'advert-received'
              ? [advert(atUs, drawn.priority)]
              : drawn.kind === 'reconfigured'
                ? [{ kind: 'reconfigured', atUs }]
                : [
                    { kind: 'fault-raised', atUs, reason: 'tracker-down' },
                    { kind: 'fault-cleared', atUs, reason: 'tracker-up' },
                    advert(atUs, 1),
                  ];
          ({ state } = run(happened, state));
          expect(state).toMatchObject({ kind: 'backup', heldBack: true });
          // As long as somebody is heard every second the timer never runs out.
          const dueUs = nextDeadlineUs(state) as number;
          if (drawn.kind !== 'reconfigured') expect(dueUs).toBeGreaterThan(atUs + 2 * SECOND);
          else state = run([advert(atUs, 1)], state).state;
        }
      }),
    );
  });
});

describe('coordinate', () => {
  test('waits for members that are being handed over, and not for those that stop', () => {
    const handed = run([asked(1)], active()).state;
    const members = [
      { name: 'front', state: handed },
      { name: 'back', state: active() },
    ];
    expect(coordinate(members)).toEqual([]);
    const stopping = run([{ kind: 'stopped', atUs: 1, handover: true }], active()).state;
    const told = coordinate([
      { name: 'front', state: stopping },
      members[1] as (typeof members)[1],
    ]);
    expect(told).toEqual([{ member: 'back', event: 'group-yielded' }]);
  });

  test('a member that nobody took over follows one that was', () => {
    const told = coordinate([
      { name: 'front', state: heldBack() },
      { name: 'back', state: active() },
    ]);
    expect(told).toEqual([{ member: 'back', event: 'group-yielded' }]);
  });
});

const REPORT: InstanceReport = { ...(STATUS.instances[0] as InstanceReport), peers: [] };
const PEER: PeerReport = {
  address: '192.0.2.2',
  lastHeardSecondsAgo: 90,
  accepted: {
    count: 3,
    secondsAgo: 90,
    activeSecondsAgo: 90,
    version: 3,
    priority: 100,
    advertIntervalSeconds: 1,
    checksum: 'message',
    hmacKey: null,
    addresses: [],
  },
  refused: null,
};
const peer = (address: string, priority: number): PeerReport => ({
  ...PEER,
  address,
  accepted: { ...(PEER.accepted as NonNullable<PeerReport['accepted']>), priority },
});

describe('planHandover', () => {
  test('names the best of those heard of and its skew time', () => {
    const peers = [peer('192.0.2.2', 100), peer('192.0.2.3', 200), peer('192.0.2.4', 50)];
    const [plan] = planHandover([{ ...REPORT, peers }], 'web');
    expect(plan).toMatchObject({
      instance: 'web',
      refusal: null,
      successor: { address: '192.0.2.3', priority: 200, lastHeardSecondsAgo: 90 },
      expectedSeconds: 0.21875,
    });
    expect(plan?.warnings.join()).toContain('Backups are silent in VRRP');
  });

  test('says honestly that nobody is known, and what happens then', () => {
    const [plan] = planHandover([REPORT], null);
    expect(plan).toMatchObject({ successor: null, refusal: null, longestSeconds: 3.996093 });
    expect(plan?.warnings.join()).toContain('this director stays active');
  });

  test('takes one that resigned for no successor, and warns of one that is refused', () => {
    const refused = { counts: { ttl: 1 }, secondsAgo: 1, reason: 'ttl', detail: 'TTL 1' } as const;
    const deaf: PeerReport = { ...PEER, address: '192.0.2.9', accepted: null, refused };
    const [plan] = planHandover([{ ...REPORT, peers: [peer('192.0.2.2', 0), deaf] }], 'web');
    expect(plan?.successor).toBeNull();
    expect(plan?.warnings).toHaveLength(2);
    expect(plan?.warnings[0]).toMatch(/^192\.0\.2\.2 resigned 90 s ago, and may have been stopped/);
    expect(plan?.warnings[1]).toContain('192.0.2.9 are refused');
    const peers = [peer('192.0.2.2', 0), peer('192.0.2.3', 1)];
    const [other] = planHandover([{ ...REPORT, peers }], 'web');
    expect(other?.successor).toMatchObject({ address: '192.0.2.3', priority: 1 });
  });

  test('refuses what is not active here or on its way already', () => {
    const backup: InstanceReport = { ...REPORT, state: 'backup' };
    expect(planHandover([backup], 'web')[0]?.refusal).toContain(
      'web is not active here but backup',
    );
    expect(planHandover([{ ...REPORT, resigning: true }], 'web')[0]?.refusal).toContain('already');
    expect(planHandover([REPORT], 'mail')).toEqual([]);
    expect(planHandover([backup], null)).toEqual([]);
  });

  test('takes the whole sync group along, and no other', () => {
    const reports = ['a', 'b', 'c', 'd'].map((name) => ({
      ...REPORT,
      name,
      group: name < 'c' ? 'edge' : name === 'c' ? 'other' : null,
    }));
    expect(planHandover(reports, 'b').map(({ instance }) => instance)).toEqual(['a', 'b']);
    expect(planHandover(reports, 'd').map(({ instance }) => instance)).toEqual(['d']);
    expect(planHandover(reports, null)).toHaveLength(4);
  });
});

describe('planTakeback', () => {
  const held: InstanceReport = { ...REPORT, state: 'backup', heldBack: true };

  test('says what follows with and without preemption', () => {
    expect(planTakeback([held], 'web')[0]).toMatchObject({ heldBack: true });
    expect(planTakeback([held], null)[0]?.detail).toContain('within 3.41 s');
    expect(planTakeback([{ ...held, preempt: false }], 'web')[0]?.detail).toContain(
      'preempt is off',
    );
    expect(planTakeback([{ ...held, state: 'fault' }], 'web')[0]?.detail).toContain('in fault');
  });

  test('finds nothing where nothing is held back', () => {
    expect(planTakeback([REPORT], null)).toEqual([]);
    expect(planTakeback([REPORT], 'web')[0]).toEqual({
      instance: 'web',
      heldBack: false,
      detail: 'web is not held back',
    });
  });
});

/**
 * Which weight a server gets when everything is asked for at once: weights of scripts, slow start,
 * drains and other words of operators, the guard, maintenance windows, quorum and sorry servers.
 * A drawn service goes through drawn changes, each decided with what the decision before it left
 * in the table; what docs/guides/taking-servers-out.md says of the order holds at every step.
 */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decide,
  isSameDecision,
  type PoolDecision,
  type PoolMember,
  type PoolPolicy,
  type PoolState,
  type PoolWeight,
  WEIGHT_REASONS,
} from '../../src/core/health/pool.ts';

const SLOW_START_US = 20_000_000;
/** By their checks alone: what an operator or a window asks for has another reason. */
const BY_CHECKS: readonly string[] = ['failed', 'check-weight'];

/** As a maintenance window, a passive hint or a drain takes a server out. */
const ON_PURPOSE: readonly string[] = ['maintenance', 'accepts-nothing', 'draining', 'drained'];

const POLICY: fc.Arbitrary<PoolPolicy> = fc.record({
  quorum: fc.record({
    weight: fc.integer({ min: 1, max: 30 }),
    hysteresis: fc.integer({ min: 0, max: 5 }),
    below: fc.constantFrom('serve', 'sorry', 'keep-last', 'drop'),
  }),
  onFailure: fc.constantFrom('quiesce', 'remove'),
  minHealthyPercent: fc.constantFrom(0, 25, 50, 75, 100),
  slowStartUs: fc.constantFrom(0, SLOW_START_US),
});

/** What may become of one server. */
type Change = Pick<PoolMember, 'checkWeight' | 'override' | 'maintenance' | 'passive'> & {
  readonly health: 'up' | 'down';
};

const CHANGE: fc.Arbitrary<Change> = fc.record({
  health: fc.constantFrom('up', 'up', 'down'),
  checkWeight: fc.oneof(
    { weight: 2, arbitrary: fc.constant(null) },
    fc.constantFrom(0, 0, 1, 7, 253),
  ),
  override: fc.oneof(
    { weight: 6, arbitrary: fc.constant(null) },
    fc.constantFrom(
      { kind: 'drain', deadlineMs: null, drained: false } as const,
      { kind: 'drain', deadlineMs: null, drained: true } as const,
      { kind: 'up' } as const,
      { kind: 'down' } as const,
      { kind: 'weight', weight: 0 } as const,
      { kind: 'weight', weight: 5 } as const,
    ),
  ),
  maintenance: fc.oneof(
    { weight: 4, arbitrary: fc.constant(null) },
    fc.record({ action: fc.constantFrom('drain', 'down'), force: fc.boolean() }),
  ),
  passive: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, fc.constant(true)),
});

const MEMBERS_MAX = 5;

interface Walk {
  readonly policy: PoolPolicy;
  readonly weights: readonly number[];
  readonly sorryWeights: readonly number[];
  readonly steps: readonly {
    readonly who: number;
    readonly change: Change;
    readonly afterUs: number;
  }[];
}

const WALK: fc.Arbitrary<Walk> = fc.record({
  policy: POLICY,
  weights: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: MEMBERS_MAX }),
  sorryWeights: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 2 }),
  steps: fc.array(
    fc.record({
      who: fc.nat(MEMBERS_MAX + 1),
      change: CHANGE,
      afterUs: fc.integer({ min: 0, max: SLOW_START_US }),
    }),
    { minLength: 1, maxLength: 12 },
  ),
});

/** One decision with everything that went into it and came out of the one before it. */
interface Moment {
  readonly policy: PoolPolicy;
  readonly members: readonly PoolMember[];
  readonly sorry: readonly PoolMember[];
  readonly nowUs: number;
  readonly before: PoolDecision | null;
  readonly decision: PoolDecision;
}

/** Has all steps of a walk happen, and looks at each of their decisions. */
function walk(drawn: Walk, look: (moment: Moment) => void): void {
  const isSorry = (index: number) => index >= drawn.weights.length;
  const all = [...drawn.weights, ...drawn.sorryWeights].map((weight, index): PoolMember => {
    const key = `${isSorry(index) ? 's' : 'r'}${index}`;
    return {
      ...{ key, weight, health: 'up', initial: 'unknown', sinceUs: 0, recoveredAtUs: null },
      ...{ checkWeight: null, dynamic: true, kernelWeight: null, override: null },
      ...{ family: null, maintenance: null, passive: false },
    };
  });
  let [state, before, nowUs]: [PoolState | null, PoolDecision | null, number] = [null, null, 1];
  for (const { who, change, afterUs } of drawn.steps) {
    nowUs += afterUs;
    const index = who % all.length;
    const was = all[index] as PoolMember;
    const turned = was.health !== change.health;
    all[index] = {
      ...{ ...was, ...change },
      sinceUs: turned ? nowUs : was.sinceUs,
      recoveredAtUs: change.health === 'down' ? null : turned ? nowUs : was.recoveredAtUs,
    };
    const members = all.filter((_, at) => !isSorry(at));
    const sorry = all.filter((_, at) => isSorry(at));
    const decision = decide(drawn.policy, state, members, sorry, nowUs);
    look({ policy: drawn.policy, members, sorry, nowUs, before, decision });
    for (const [at, member] of all.entries()) all[at] = programmed(member, decision.weights);
    [state, before] = [decision.state, decision];
  }
}

function programmed(member: PoolMember, weights: PoolDecision['weights']): PoolMember {
  return { ...member, kernelWeight: weightIn(weights, member).weight };
}

function weightIn(weights: PoolDecision['weights'], { key }: PoolMember): PoolWeight {
  const found = weights.get(key);
  if (found === undefined) throw new Error(`nothing is decided of ${key}`);
  return found;
}

function holds(look: (moment: Moment) => void): void {
  fc.assert(
    fc.property(WALK, (drawn) => walk(drawn, look)),
    { numRuns: 300 },
  );
}

/** What the operator or the check says it gets when nothing else counts. */
function wanted({ weight, checkWeight, override }: PoolMember): number {
  if (override?.kind === 'weight') return override.weight;
  return override?.kind === 'up' ? weight : (checkWeight ?? weight);
}

const hasWeightZero = ({ override }: PoolMember) =>
  override?.kind === 'weight' && override.weight === 0;

const isDecided = ({ override }: PoolMember) => override !== null && override.kind !== 'weight';
const serves = ({ weight }: PoolWeight) => (weight ?? 0) > 0;
const outMax = (count: number, percent: number) => Math.floor((count * (100 - percent)) / 100);

describe('the weights of a service', () => {
  test('are decided for every server, within bounds and with a reason', () => {
    holds(({ members, sorry, decision: { weights } }) => {
      expect([...weights.keys()].toSorted()).toEqual(
        [...members, ...sorry].map(({ key }) => key).toSorted(),
      );
      for (const { weight, reason } of weights.values()) {
        expect(WEIGHT_REASONS).toContain(reason);
        if (weight === null) continue;
        expect(Number.isInteger(weight) && weight >= 0 && weight <= 65_535).toBe(true);
      }
    });
  });

  test("first of all go by an operator's word, sorry servers' too", () => {
    holds(({ policy, members, sorry, decision: { weights } }) => {
      for (const member of [...members, ...sorry]) {
        const found = weightIn(weights, member);
        const out = policy.onFailure === 'remove' ? null : 0;
        switch (member.override?.kind) {
          case 'drain': {
            const { drained } = member.override;
            const [weight, reason] = drained ? [null, 'drained'] : [0, 'draining'];
            expect(found).toEqual({ weight, reason });
            break;
          }
          case 'down':
            expect(found).toEqual({ weight: out, reason: 'forced-down' });
            break;
          case 'up':
            if (members.includes(member)) {
              expect(found).toEqual({ weight: member.weight, reason: 'forced-up' });
            }
        }
      }
    });
  });

  test('then by a window, unless the server is needed and nobody forces it', () => {
    holds(({ members, sorry, decision: { weights, heldBack } }) => {
      for (const member of [...members, ...sorry]) {
        const { key, maintenance, passive } = member;
        if (isDecided(member) || (maintenance === null && !passive)) {
          expect(heldBack).not.toContain(key);
          continue;
        }
        if (heldBack.includes(key)) {
          expect(maintenance?.force).not.toBe(true);
          continue;
        }
        const found = weightIn(weights, member);
        if (maintenance === null) expect(found).toEqual({ weight: 0, reason: 'accepts-nothing' });
        else {
          const weight = maintenance.action === 'down' ? null : 0;
          expect(found).toEqual({ weight, reason: 'maintenance' });
        }
      }
    });
  });

  test('checks take no more out than min_healthy and what is out on purpose leave them', () => {
    holds(({ policy, members, decision: { weights } }) => {
      const [byChecks, onPurpose] = [BY_CHECKS, ON_PURPOSE].map((reasons) =>
        members.filter((member) => {
          const found = weightIn(weights, member);
          return !serves(found) && !hasWeightZero(member) && reasons.includes(found.reason);
        }),
      ) as [PoolMember[], PoolMember[]];
      const planned = onPurpose.length + members.filter(hasWeightZero).length;
      const most = outMax(members.length, policy.minHealthyPercent) - planned;
      expect(byChecks.length).toBeLessThanOrEqual(Math.max(0, most));
    });
  });

  test('a server that is kept in has the weight that it had, never 0 by its check', () => {
    holds(({ members, decision: { weights } }) => {
      for (const member of members) {
        const { weight, reason } = weightIn(weights, member);
        if (reason !== 'guarded' && reason !== 'kept-last') continue;
        expect(isDecided(member)).toBe(false);
        const zero = wanted(member) === 0 && member.override === null;
        expect(weight).toBe(zero ? member.weight : wanted(member));
      }
    });
  });

  test('a healthy server has what its operator or check says, or rises to it', () => {
    holds(({ policy, members, nowUs, before, decision: { weights, state } }) => {
      const returned = new Map(state.returned);
      const known = new Map(before?.state.returned);
      for (const key of returned.keys()) {
        if (known.has(key)) continue;
        // Somebody had it out until now.
        const was = before?.weights.get(key);
        expect(was?.reason).not.toBe('awaiting-check');
        expect(was?.weight ?? 0).toBe(0);
      }
      for (const member of members) {
        const { weight, reason } = weightIn(weights, member);
        if (reason === 'slow-start') {
          expect(member.health).toBe('up');
          expect(weight).toBeGreaterThanOrEqual(1);
          expect(weight).toBeLessThan(wanted(member));
          const cameAtUs = [member.recoveredAtUs, returned.get(member.key)];
          const lastUs = Math.max(...cameAtUs.map((atUs) => atUs ?? -Infinity));
          expect(nowUs - lastUs).toBeLessThan(policy.slowStartUs);
        }
        if (['healthy', 'check-weight', 'weight-override'].includes(reason)) {
          expect(member.health).toBe('up');
          expect(weight).toBe(wanted(member));
        }
      }
    });
  });

  test('a server that had clients all the time does not start slowly', () => {
    holds(({ members, before, decision: { weights } }) => {
      for (const member of members) {
        if (weightIn(weights, member).reason !== 'slow-start') continue;
        const was = before === null ? null : weightIn(before.weights, member);
        // It comes from nothing, or goes on rising.
        if (was !== null && serves(was)) expect(was.reason).toBe('slow-start');
      }
    });
  });

  test('the share of traffic of a failed server is never above that of the same one healthy', () => {
    holds(({ policy, members, decision: { weights } }) => {
      if (policy.quorum.below !== 'serve') return;
      // Equal servers without words of operators: the healthy one never has less.
      const plain = members.filter(
        ({ override, maintenance, passive, checkWeight }) =>
          override === null && maintenance === null && !passive && checkWeight === null,
      );
      for (const up of plain.filter(({ health }) => health === 'up')) {
        if (weightIn(weights, up).reason === 'slow-start') continue;
        for (const down of plain.filter(({ health }) => health === 'down')) {
          if (up.weight !== down.weight) continue;
          expect(weightIn(weights, up).weight ?? 0).toBeGreaterThanOrEqual(
            weightIn(weights, down).weight ?? 0,
          );
        }
      }
    });
  });

  test('sorry servers have clients below quorum alone, and are told as what they are', () => {
    holds(({ policy, members, sorry, decision: { weights, state } }) => {
      for (const member of sorry) {
        const found = weightIn(weights, member);
        if (serves(found)) {
          expect(found).toEqual({ weight: wanted(member), reason: 'sorry' });
          expect([policy.quorum.below, state.quorumMet]).toEqual(['sorry', false]);
        } else expect(found.reason).not.toBe('guarded');
      }
      const taken = sorry.some((member) => serves(weightIn(weights, member)));
      if (!taken) return;
      for (const member of members) {
        const found = weightIn(weights, member);
        if (serves(found)) expect(found.reason).toBe('forced-up');
      }
    });
  });

  test('somebody has clients while a server is healthy, and nobody said otherwise', () => {
    holds(({ policy, members, decision: { weights } }) => {
      if (policy.quorum.below === 'drop') return;
      const able = members.some(
        (member) =>
          member.health === 'up' &&
          member.override === null &&
          member.maintenance === null &&
          !member.passive &&
          wanted(member) > 0,
      );
      if (able) expect([...weights.values()].some(serves)).toBe(true);
    });
  });

  test('are the same when they are decided again, with what is then in the table', () => {
    holds(({ policy, members, sorry, nowUs, decision }) => {
      const again = decide(
        policy,
        decision.state,
        members.map((member) => programmed(member, decision.weights)),
        sorry.map((member) => programmed(member, decision.weights)),
        nowUs,
      );
      expect(again.weights).toEqual(decision.weights);
      expect(again.heldBack).toEqual(decision.heldBack);
      expect(again.state.quorumMet).toBe(decision.state.quorumMet);
    });
  });

  test('change by the passing of time only when it is said', () => {
    holds(({ policy, members, sorry, nowUs, decision }) => {
      const { nextAtUs, state, weights } = decision;
      const at = (us: number) =>
        decide(
          policy,
          state,
          members.map((member) => programmed(member, weights)),
          sorry.map((member) => programmed(member, weights)),
          us,
        ).weights;
      if (nextAtUs === null) return expect(at(nowUs + 10 * SLOW_START_US)).toEqual(weights);
      expect(nextAtUs).toBeGreaterThan(nowUs);
      expect(at(nextAtUs - 1)).toEqual(weights);
    });
  });

  test('of a slow start rise, and never fall', () => {
    holds(({ policy, members, sorry, nowUs, decision }) => {
      let [last, us] = [decision, nowUs];
      for (let looks = 0; looks < 200 && last.nextAtUs !== null; looks++) {
        us = last.nextAtUs;
        const next = decide(
          policy,
          last.state,
          members.map((member) => programmed(member, last.weights)),
          sorry.map((member) => programmed(member, last.weights)),
          us,
        );
        for (const member of members) {
          const [was, is] = [weightIn(last.weights, member), weightIn(next.weights, member)];
          expect(is.weight ?? 0).toBeGreaterThanOrEqual(was.weight ?? 0);
        }
        last = next;
      }
      expect(last.nextAtUs).toBeNull();
      expect(us - nowUs).toBeLessThanOrEqual(policy.slowStartUs);
    });
  });

  test('of a service without quorum stay so for another controller, whichever check speaks when', () => {
    const order = fc.array(fc.nat(MEMBERS_MAX), { minLength: MEMBERS_MAX, maxLength: 20 });
    fc.assert(
      fc.property(WALK, order, (drawn, spoken) => {
        const plain: Walk = {
          ...drawn,
          policy: {
            ...drawn.policy,
            slowStartUs: 0,
            quorum: { weight: 1, hysteresis: 0, below: 'serve' },
          },
          steps: drawn.steps.map(({ who, change, afterUs }) => ({
            ...{ who, afterUs: afterUs + 1 },
            change: { ...change, override: null, maintenance: null, passive: false },
          })),
        };
        let last: Moment | null = null;
        walk(plain, (moment) => {
          last = moment;
        });
        const { policy, members, sorry, decision } = last as unknown as Moment;
        // Without clients at all, nobody can tell it from a first start.
        if (!members.some((member) => serves(weightIn(decision.weights, member)))) return;
        const left = members.map((member) => programmed(member, decision.weights));
        const spokenUs = new Map<number, number>();
        let state: PoolState | null = null;
        for (const [nowUs, who] of [...spoken, ...left.keys()].entries()) {
          if (!spokenUs.has(who)) spokenUs.set(who, nowUs);
          const now = left.map((member, index): PoolMember => {
            const since = spokenUs.get(index);
            const { health } = member;
            // One that fails says nothing of the weight that it asked for.
            const checkWeight = health === 'down' ? null : member.checkWeight;
            const spoken = { sinceUs: since ?? null, recoveredAtUs: null, checkWeight };
            if (since !== undefined) return { ...member, ...spoken };
            const silent = { health: 'unknown', sinceUs: null, checkWeight: null } as const;
            return { ...member, ...silent, recoveredAtUs: null };
          });
          const next: PoolDecision = decide(policy, state, now, sorry, nowUs);
          for (const member of members) {
            expect(weightIn(next.weights, member).weight).toBe(
              weightIn(decision.weights, member).weight,
            );
          }
          state = next.state;
        }
      }),
      { numRuns: 400 },
    );
  });

  test('stay as they are when another controller takes over and its checks say the same', () => {
    holds(({ policy, members, sorry, decision }) => {
      const left = (member: PoolMember): PoolMember => ({
        ...programmed(member, decision.weights),
        ...{ health: 'unknown', sinceUs: null, recoveredAtUs: null, checkWeight: null },
      });
      const [own, more] = [members.map(left), sorry.map(left)];
      // Nothing that has clients loses them before its check has spoken, but by an operator's word.
      const next = decide(policy, null, own, more, 0).weights;
      for (const member of own) {
        if (member.override !== null || member.maintenance !== null || member.passive) continue;
        const weight = member.kernelWeight ?? (policy.onFailure === 'remove' ? null : 0);
        expect(weightIn(next, member).weight).toBe(weight);
      }
    });
  });
});

test('isSameDecision tells decisions that say the same', () => {
  let same = 0;
  holds(({ policy, members, sorry, nowUs, before, decision }) => {
    const again = decide(policy, decision.state, members, sorry, nowUs);
    for (const other of [before, decision, again]) {
      if (other === null) continue;
      expect(isSameDecision(decision, other)).toBe(isDeepStrictEqual(decision, other));
      if (other !== decision && isSameDecision(decision, other)) same++;
    }
  });
  expect(same, 'none was the same as another').toBeGreaterThan(100);
});

/** The state machine of one instance, sentence by sentence of RFC 9568 section 6.4. */
import { describe, expect, test } from 'vitest';
import { DEFAULTS } from '../../../../src/core/config/defaults.ts';
import {
  INITIAL_STATE,
  nextDeadlineUs,
  step,
  type VrrpState,
} from '../../../../src/core/vrrp/instance.ts';
import { activeDownIntervalUs, skewTimeUs } from '../../../../src/core/vrrp/timing.ts';
import type { InstanceOptions, VrrpEffect, VrrpEvent } from '../../../../src/core/vrrp/types.ts';

const SECOND = 1_000_000;

const OPTIONS: InstanceOptions = {
  version: 3,
  priority: 100,
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

/** Feeds events one after the other and returns the last step. */
function run(
  options: InstanceOptions,
  events: readonly VrrpEvent[],
  from: VrrpState = INITIAL_STATE,
): { state: VrrpState; effects: readonly VrrpEffect[] } {
  let state = from;
  let effects: readonly VrrpEffect[] = [];
  for (const event of events) ({ state, effects } = step(options, state, event));
  return { state, effects };
}

function advert(
  atUs: number,
  priority: number,
  more: Partial<Extract<VrrpEvent, { kind: 'advert-received' }>> = {},
): VrrpEvent {
  const base = { advertIntervalUs: SECOND, fromHigherAddress: false };
  return { kind: 'advert-received', atUs, priority, ...base, ...more };
}

const kinds = (effects: readonly VrrpEffect[]): string[] => effects.map((effect) => effect.kind);
const started: VrrpEvent = { kind: 'started', atUs: 0 };
const DOWN = activeDownIntervalUs(OPTIONS, SECOND);

function activeState(options: InstanceOptions = OPTIONS): VrrpState {
  const owner = run({ ...options, priority: 255 }, [started]).state;
  expect(owner.kind).toBe('active');
  return owner;
}

describe('timing', () => {
  test('skewTimeUs is a 256th of the interval for each step below 256, in version 3', () => {
    expect(skewTimeUs({ version: 3, priority: 100 }, SECOND)).toBe(609_375);
    expect(skewTimeUs({ version: 3, priority: 254 }, 10_000)).toBe(78);
  });

  test('skewTimeUs does not depend on the interval in version 2', () => {
    expect(skewTimeUs({ version: 2, priority: 100 }, 10 * SECOND)).toBe(609_375);
  });

  test('activeDownIntervalUs is three intervals and the skew time', () => {
    expect(activeDownIntervalUs({ version: 3, priority: 100 }, SECOND)).toBe(3_609_375);
    expect(activeDownIntervalUs({ version: 2, priority: 100 }, 2 * SECOND)).toBe(6_609_375);
  });
});

describe('initialize', () => {
  test('the owner becomes active at once: advert, addresses, announcement, in this order', () => {
    const { state, effects } = run({ ...OPTIONS, priority: 255 }, [started]);
    expect(state).toMatchObject({ kind: 'active', advertAtUs: SECOND });
    expect(kinds(effects)).toEqual([
      'send-advert',
      'add-addresses',
      'announce',
      'report-transition',
    ]);
    expect(effects[3]).toMatchObject({ from: 'initialize', to: 'active', reason: 'address-owner' });
  });

  test('everybody else becomes backup and waits for the active-down interval', () => {
    const { state, effects } = run(OPTIONS, [started]);
    expect(state.kind).toBe('backup');
    expect(nextDeadlineUs(state)).toBe(DOWN);
    expect(kinds(effects)).toEqual(['report-transition']);
  });

  test('adopted goes on as active while no peer can have timed out', () => {
    const event: VrrpEvent = { kind: 'adopted', atUs: 10 * SECOND, lastAdvertAtUs: 7.1 * SECOND };
    const { state, effects } = run(OPTIONS, [event]);
    expect(state.kind).toBe('active');
    expect(kinds(effects)[0]).toBe('send-advert');
    expect(effects.at(-1)).toMatchObject({ reason: 'adopted' });
  });

  test('adopted gives the addresses up once a peer can have timed out', () => {
    const event: VrrpEvent = { kind: 'adopted', atUs: 10 * SECOND, lastAdvertAtUs: 7 * SECOND };
    const { state, effects } = run(OPTIONS, [event]);
    expect(state.kind).toBe('backup');
    expect(kinds(effects)).toEqual(['remove-addresses', 'report-transition']);
  });

  test('adverts and deadlines before the start change nothing', () => {
    const { state, effects } = run(OPTIONS, [
      advert(1, 200),
      { kind: 'deadline-reached', atUs: 9 },
    ]);
    expect(state).toEqual(INITIAL_STATE);
    expect(effects).toEqual([]);
  });
});

describe('backup', () => {
  test('an advert of equal or higher priority restarts the active-down timer', () => {
    for (const priority of [100, 101, 255]) {
      const { state } = run(OPTIONS, [started, advert(3 * SECOND, priority)]);
      expect(nextDeadlineUs(state)).toBe(3 * SECOND + DOWN);
    }
  });

  test('an advert of lower priority is discarded while preempting', () => {
    const { state } = run(OPTIONS, [started, advert(3 * SECOND, 99)]);
    expect(nextDeadlineUs(state)).toBe(DOWN);
    const after = run(OPTIONS, [{ kind: 'deadline-reached', atUs: DOWN }], state);
    expect(after.effects.at(-1)).toMatchObject({ to: 'active', reason: 'preempted' });
  });

  test('an advert of lower priority restarts the timer without preemption', () => {
    const { state } = run({ ...OPTIONS, preempt: false }, [started, advert(3 * SECOND, 1)]);
    expect(nextDeadlineUs(state)).toBe(3 * SECOND + DOWN);
  });

  test('preemption waits for its delay, counted from the first lower advert', () => {
    const options = { ...OPTIONS, preemptDelayUs: 10 * SECOND };
    const before = run(options, [started, advert(SECOND, 50), advert(10 * SECOND, 50)]);
    expect(nextDeadlineUs(before.state)).toBe(10 * SECOND + DOWN);
    const { state } = run(options, [advert(11 * SECOND, 50)], before.state);
    expect(nextDeadlineUs(state)).toBe(10 * SECOND + DOWN);
  });

  test('an advert of higher priority cancels a running preempt delay', () => {
    const options = { ...OPTIONS, preemptDelayUs: 10 * SECOND };
    const events = [started, advert(SECOND, 50), advert(2 * SECOND, 200), advert(11 * SECOND, 50)];
    const { state } = run(options, events);
    expect(nextDeadlineUs(state)).toBe(11 * SECOND + DOWN);
  });

  test('priority 0 shortens the timer to the skew time', () => {
    const { state } = run(OPTIONS, [started, advert(SECOND, 0)]);
    expect(nextDeadlineUs(state)).toBe(SECOND + skewTimeUs(OPTIONS, SECOND));
    const atUs = SECOND + skewTimeUs(OPTIONS, SECOND);
    const after = run(OPTIONS, [{ kind: 'deadline-reached', atUs }], state);
    expect(after.effects.at(-1)).toMatchObject({ reason: 'peer-resigned' });
  });

  test('version 3 adopts the advertised interval', () => {
    const fast = advert(SECOND, 200, { advertIntervalUs: 10_000 });
    const { state } = run(OPTIONS, [started, fast]);
    expect(nextDeadlineUs(state)).toBe(SECOND + activeDownIntervalUs(OPTIONS, 10_000));
  });

  test('version 2 keeps its own interval', () => {
    const options = { ...OPTIONS, version: 2 as const };
    const { state } = run(options, [started, advert(SECOND, 200, { advertIntervalUs: 10_000 })]);
    expect(nextDeadlineUs(state)).toBe(SECOND + activeDownIntervalUs(options, SECOND));
  });

  test('the deadline makes it active, and a deadline that came early does not', () => {
    const { state } = run(OPTIONS, [started]);
    expect(run(OPTIONS, [{ kind: 'deadline-reached', atUs: DOWN - 1 }], state).state).toBe(state);
    const { effects } = run(OPTIONS, [{ kind: 'deadline-reached', atUs: DOWN }], state);
    expect(kinds(effects)).toEqual([
      'send-advert',
      'add-addresses',
      'announce',
      'report-transition',
    ]);
    expect(effects[3]).toMatchObject({ reason: 'peers-silent' });
  });

  test('a deadline that it slept through makes it listen once more, and only once', () => {
    const { state } = run(OPTIONS, [started]);
    const awakeAtUs = DOWN + SECOND + 1;
    const once = run(OPTIONS, [{ kind: 'deadline-reached', atUs: awakeAtUs }], state);
    expect(once.effects).toEqual([]);
    expect(nextDeadlineUs(once.state)).toBe(awakeAtUs + DOWN);
    const always: VrrpEvent = { kind: 'deadline-reached', atUs: awakeAtUs + 9 * DOWN };
    expect(run(OPTIONS, [always], once.state).state.kind).toBe('active');
    const heard = run(OPTIONS, [advert(awakeAtUs + SECOND, 200)], once.state);
    expect(heard.state).toMatchObject({ kind: 'backup', late: 'no' });
    const onTheEdge = run(OPTIONS, [{ kind: 'deadline-reached', atUs: DOWN + SECOND }], state);
    expect(nextDeadlineUs(onTheEdge.state)).toBe(DOWN + 2 * SECOND);
  });

  test('a deadline that it is somewhat late for makes it wait as long again, and only once', () => {
    const { state } = run(OPTIONS, [started]);
    const asTimersAre = DOWN + SECOND / 8;
    const late = asTimersAre + 1;
    const deadline = (atUs: number): VrrpEvent => ({ kind: 'deadline-reached', atUs });
    expect(run(OPTIONS, [deadline(asTimersAre)], state).state.kind).toBe('active');
    const once = run(OPTIONS, [deadline(late)], state);
    expect(once.effects).toEqual([]);
    const againUs = late + SECOND / 8 + 1;
    expect(nextDeadlineUs(once.state)).toBe(againUs);
    expect(run(OPTIONS, [deadline(againUs + SECOND / 2)], once.state).state.kind).toBe('active');
    const heard = run(OPTIONS, [advert(late + 1, 200)], once.state);
    expect(heard.state).toMatchObject({ kind: 'backup', late: 'no' });
  });

  test('who was somewhat late and then sleeps through its deadline listens once more', () => {
    const { state } = run(OPTIONS, [started]);
    const late: VrrpEvent = { kind: 'deadline-reached', atUs: DOWN + SECOND / 2 };
    const waiting = run(OPTIONS, [late], state).state;
    const awakeAtUs = (nextDeadlineUs(waiting) ?? 0) + 2 * SECOND;
    const asleep = run(OPTIONS, [{ kind: 'deadline-reached', atUs: awakeAtUs }], waiting).state;
    expect(nextDeadlineUs(asleep)).toBe(awakeAtUs + DOWN);
    const after: VrrpEvent = { kind: 'deadline-reached', atUs: awakeAtUs + DOWN + SECOND / 2 };
    expect(run(OPTIONS, [after], asleep).state.kind).toBe('active');
  });

  test('the address owner preempts whatever its preempt option says', () => {
    const owner = { ...OPTIONS, priority: 255, preempt: false };
    const yielded = run(owner, [advert(4 * SECOND, 100)], activeState(owner)).state;
    expect(yielded.kind).toBe('backup');
    const heard = run(owner, [advert(5 * SECOND, 100), advert(6 * SECOND, 100)], yielded);
    expect(nextDeadlineUs(heard.state)).toBe(4 * SECOND + activeDownIntervalUs(owner, SECOND));
  });

  test('stopping sends nothing', () => {
    const { effects } = run(OPTIONS, [started, { kind: 'stopped', atUs: 1 }]);
    expect(kinds(effects)).toEqual(['report-transition']);
  });

  test('becoming the owner by reconfiguration takes over at once', () => {
    const { state } = run(OPTIONS, [started]);
    const owner = { ...OPTIONS, priority: 255 };
    expect(run(owner, [{ kind: 'reconfigured', atUs: 5 }], state).state.kind).toBe('active');
  });
});

describe('active', () => {
  test('adverts go out on a grid that lateness does not shift', () => {
    const late: VrrpEvent = { kind: 'deadline-reached', atUs: SECOND + 300 };
    const { state, effects } = run(OPTIONS, [late], activeState());
    expect(kinds(effects)).toEqual(['send-advert']);
    expect(nextDeadlineUs(state)).toBe(2 * SECOND);
  });

  test('after a stall the grid starts anew instead of catching up', () => {
    const late: VrrpEvent = { kind: 'deadline-reached', atUs: 4.5 * SECOND };
    const { state } = run(OPTIONS, [late], activeState());
    expect(state).toMatchObject({ advertAtUs: 5.5 * SECOND });
  });

  test('higher priority makes it backup: addresses go before it is reported', () => {
    const { state, effects } = run(OPTIONS, [advert(SECOND / 2, 101)], activeState());
    expect(kinds(effects)).toEqual(['remove-addresses', 'report-transition']);
    expect(nextDeadlineUs(state)).toBe(SECOND / 2 + DOWN);
    expect(effects[1]).toMatchObject({ to: 'backup', reason: 'higher-priority-peer' });
  });

  test('equal priority is decided by the greater address', () => {
    const higher = run(OPTIONS, [advert(1, 100, { fromHigherAddress: true })], activeState());
    expect(higher.effects.at(-1)).toMatchObject({ reason: 'equal-priority-higher-address' });
    const lower = run(OPTIONS, [advert(1, 100)], activeState());
    expect(lower.state.kind).toBe('active');
  });

  test('lower priority is answered with an advert at once in version 3, not in version 2', () => {
    const three = run(OPTIONS, [advert(1, 99)], activeState());
    expect(kinds(three.effects)).toEqual(['send-advert']);
    // RFC 9568 section 6.4.3 resets the Adver_Timer for priority 0 only.
    expect(three.state).toMatchObject({ advertAtUs: SECOND });
    const two = run({ ...OPTIONS, version: 2 }, [advert(1, 99)], activeState());
    expect(two.effects).toEqual([]);
  });

  test('an answer to a resignation is no advertisement of its own accord', () => {
    // Silent for 2.9 s, it answers a resignation; then it hears whoever took over from it.
    const answered = run(OPTIONS, [advert(2.9 * SECOND, 0)], activeState());
    expect(kinds(answered.effects)).toEqual(['send-advert']);
    const { effects } = run(OPTIONS, [advert(4 * SECOND, 99)], answered.state);
    expect(effects.at(-1)).toMatchObject({ to: 'backup', reason: 'stalled' });
  });

  test('a losing peer causes one burst per configured delay, however often it speaks', () => {
    let state = activeState();
    let bursts = 0;
    for (let atUs = 6 * SECOND; atUs < 16 * SECOND; atUs += 10_000) {
      // An active director has advertised meanwhile.
      if (state.kind === 'active') state = { ...state, lastAdvertAtUs: atUs };
      const next = run(OPTIONS, [advert(atUs, 99)], state);
      state = next.state;
      bursts += kinds(next.effects).filter((kind) => kind === 'announce').length;
    }
    expect(bursts).toBe(2);
  });

  test('a peer that lost against another member of the group causes the same burst', () => {
    const lost: VrrpEvent = { kind: 'group-peer-lost', atUs: 6 * SECOND };
    const { state, effects } = run(OPTIONS, [lost], activeState());
    expect(effects).toEqual([{ kind: 'announce', repeat: 5, scope: 'all' }]);
    expect(run(OPTIONS, [lost], state).effects).toEqual([]);
    const backup = run(OPTIONS, [started]).state;
    expect(run(OPTIONS, [lost], backup)).toEqual({ state: backup, effects: [] });
  });

  test('priority 0 of another active is answered with an advert at once', () => {
    const { state, effects } = run(OPTIONS, [advert(10, 0)], activeState());
    expect(kinds(effects)).toEqual(['send-advert']);
    expect(state).toMatchObject({ advertAtUs: SECOND + 10 });
  });

  test('a peer that took over while we were silent keeps the addresses, whatever its priority', () => {
    const late = advert(3 * SECOND + 1, 1);
    const { state, effects } = run(OPTIONS, [late], activeState());
    expect(state.kind).toBe('backup');
    expect(effects.at(-1)).toMatchObject({ reason: 'stalled' });
    expect(run(OPTIONS, [advert(3 * SECOND, 1)], activeState()).state.kind).toBe('active');
  });

  test('answers to adverts that waited during a stall do not hide how long it was', () => {
    // The peer had missed our last advert, so its first one came within our three intervals.
    const waited = [2.7, 3.7, 4.7].map((seconds) => advert(seconds * SECOND, 50));
    const { state, effects } = run(OPTIONS, waited.slice(0, 2), activeState());
    expect(state.kind).toBe('backup');
    expect(effects.at(-1)).toMatchObject({ reason: 'stalled' });
    const late: VrrpEvent = { kind: 'deadline-reached', atUs: 4.8 * SECOND };
    expect(run(OPTIONS, [...waited, late], activeState()).state.kind).toBe('backup');
  });

  test('resignations that put off its advert do not make it look stalled', () => {
    const resigned = [0.9, 1.8, 2.7].map((seconds) => advert(seconds * SECOND, 0));
    const { state } = run(OPTIONS, [...resigned, advert(3.2 * SECOND, 50)], activeState());
    expect(state.kind).toBe('active');
  });

  test('a new priority waits for what peers advertised while it was overdue', () => {
    const changed: VrrpEvent = { kind: 'reconfigured', atUs: 5 * SECOND };
    const { state, effects } = run(OPTIONS, [changed], activeState());
    expect(effects).toEqual([]);
    const heard = run(OPTIONS, [advert(3.7 * SECOND, 50)], state);
    expect(heard.effects.at(-1)).toMatchObject({ to: 'backup', reason: 'stalled' });
    const silent = run(OPTIONS, [{ kind: 'deadline-reached', atUs: 5 * SECOND }], state);
    expect(kinds(silent.effects)).toContain('send-advert');
  });

  test('the second burst comes after its delay, and then refreshes if configured', () => {
    const options = { ...OPTIONS, announce: { ...OPTIONS.announce, refreshUs: 60 * SECOND } };
    let state = activeState(options);
    const bursts: number[] = [];
    for (let turn = 0; turn < 130; turn++) {
      const atUs = nextDeadlineUs(state) as number;
      const next = run(options, [{ kind: 'deadline-reached', atUs }], state);
      state = next.state;
      if (kinds(next.effects).includes('announce')) bursts.push(atUs / SECOND);
    }
    expect(bursts.slice(0, 3)).toEqual([5, 65, 125]);
  });

  test('stopping resigns and removes the addresses', () => {
    const { state, effects } = run(OPTIONS, [{ kind: 'stopped', atUs: 1 }], activeState());
    expect(effects[0]).toEqual({ kind: 'send-advert', resign: true });
    expect(kinds(effects)).toEqual(['send-advert', 'remove-addresses', 'report-transition']);
    expect(state).toEqual(INITIAL_STATE);
  });

  test('a changed priority is advertised at once', () => {
    const { effects } = run(OPTIONS, [{ kind: 'reconfigured', atUs: 1 }], activeState());
    expect(kinds(effects)).toEqual(['send-advert']);
  });
});

describe('fault', () => {
  const down: VrrpEvent = { kind: 'fault-raised', atUs: 5, reason: 'interface-down' };

  test('an active director resigns and removes its addresses', () => {
    const { state, effects } = run(OPTIONS, [down], activeState());
    expect(kinds(effects)).toEqual(['send-advert', 'remove-addresses', 'report-transition']);
    expect(effects[0]).toMatchObject({ resign: true });
    expect(nextDeadlineUs(state)).toBeNull();
  });

  test('adverts are ignored, and its end leads to backup', () => {
    const { state } = run(OPTIONS, [started, down, advert(6, 200)]);
    expect(state).toEqual({ kind: 'fault', reason: 'interface-down', heldBack: false });
    const up: VrrpEvent = { kind: 'fault-cleared', atUs: 7, reason: 'interface-up' };
    const after = run(OPTIONS, [up], state);
    expect(after.state.kind).toBe('backup');
    expect(nextDeadlineUs(after.state)).toBe(7 + DOWN);
  });
});

describe('handing over', () => {
  const handOver: VrrpEvent = { kind: 'stopped', atUs: SECOND, handover: true };
  const resigning = () => run(OPTIONS, [handOver], activeState());

  test('resigns at once and keeps the addresses', () => {
    const { state, effects } = resigning();
    expect(effects).toEqual([{ kind: 'send-advert', resign: true }]);
    expect(state.kind).toBe('resigning');
  });

  test('lets the addresses go as soon as a successor is heard', () => {
    const { state, effects } = run(OPTIONS, [advert(SECOND + 5, 100)], resigning().state);
    expect(kinds(effects)).toEqual(['remove-addresses', 'report-transition']);
    expect(effects[1]).toMatchObject({ from: 'active', to: 'initialize', reason: 'stopped' });
    expect(state).toEqual(INITIAL_STATE);
  });

  test('is not misled by another director that resigns too', () => {
    const { state, effects } = run(OPTIONS, [advert(SECOND + 5, 0)], resigning().state);
    expect(effects).toEqual([]);
    expect(state.kind).toBe('resigning');
  });

  test('waits for the longest skew time there is, and no longer', () => {
    const { state } = resigning();
    const releaseAtUs = nextDeadlineUs(state) as number;
    const slowest = skewTimeUs({ version: 3, priority: 1 }, SECOND);
    expect(releaseAtUs).toBeGreaterThan(SECOND + slowest);
    expect(releaseAtUs).toBeLessThan(SECOND + slowest + 100_000);
    const early = run(OPTIONS, [{ kind: 'deadline-reached', atUs: releaseAtUs - 1 }], state);
    expect(early.state).toBe(state);
    const due = run(OPTIONS, [{ kind: 'deadline-reached', atUs: releaseAtUs }], state);
    expect(kinds(due.effects)).toEqual(['remove-addresses', 'report-transition']);
  });

  test('a fault or a second stop ends it at once', () => {
    const fault: VrrpEvent = { kind: 'fault-raised', atUs: SECOND + 1, reason: 'interface-down' };
    const again: VrrpEvent = { kind: 'stopped', atUs: SECOND + 1 };
    for (const event of [fault, again]) {
      const { state, effects } = run(OPTIONS, [event], resigning().state);
      expect(kinds(effects)).toEqual(['remove-addresses', 'report-transition']);
      expect(state).toEqual(INITIAL_STATE);
    }
  });

  test('a backup has nothing to hand over', () => {
    const { state, effects } = run(OPTIONS, [started, handOver]);
    expect(kinds(effects)).toEqual(['report-transition']);
    expect(state).toEqual(INITIAL_STATE);
  });
});

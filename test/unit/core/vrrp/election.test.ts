/** The choices of ElectionConfig in the state machine: each as configured, and as it is without. */
import { describe, expect, test } from 'vitest';
import { DEFAULTS } from '../../../../src/core/config/defaults.ts';
import {
  INITIAL_STATE,
  nextDeadlineUs,
  step,
  type VrrpState,
} from '../../../../src/core/vrrp/instance.ts';
import {
  activeDownIntervalUs,
  safeSilenceUs,
  skewTimeUs,
} from '../../../../src/core/vrrp/timing.ts';
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
    delayUs: 0,
    refreshUs: 0,
    lowerPriorityDelayUs: 5 * SECOND,
  },
};
const OWNER: InstanceOptions = { ...OPTIONS, priority: 255 };

interface Ran {
  readonly state: VrrpState;
  readonly effects: readonly VrrpEffect[];
}

function run(options: InstanceOptions, events: readonly VrrpEvent[], from = INITIAL_STATE): Ran {
  let ran: Ran = { state: from, effects: [] };
  for (const event of events) ran = step(options, ran.state, event);
  return ran;
}

function advert(atUs: number, priority: number, fromHigherAddress = false): VrrpEvent {
  return {
    kind: 'advert-received',
    atUs,
    priority,
    advertIntervalUs: SECOND,
    fromHigherAddress,
  };
}

const kinds = (effects: readonly VrrpEffect[]): string[] => effects.map((effect) => effect.kind);
const deadline = (atUs: number): VrrpEvent => ({ kind: 'deadline-reached', atUs });

/** Active since 0, with its next advertisement due after one interval. */
function active(options: InstanceOptions): VrrpState {
  return run({ ...options, priority: 255 }, [{ kind: 'started', atUs: 0 }]).state;
}

describe('down_timer_adverts', () => {
  const options = { ...OPTIONS, downTimerAdverts: 10 };

  test('is how many intervals activeDownIntervalUs and safeSilenceUs have', () => {
    expect(activeDownIntervalUs({ version: 3, priority: 100, downTimerAdverts: 1 }, SECOND)).toBe(
      1_609_375,
    );
    expect(safeSilenceUs(SECOND, 10)).toBe(10 * SECOND);
    expect(safeSilenceUs(SECOND)).toBe(3 * SECOND);
  });

  test('is how long a backup waits', () => {
    const { state } = run(options, [{ kind: 'started', atUs: 0 }, advert(SECOND, 200)]);
    expect(nextDeadlineUs(state)).toBe(11_609_375);
    expect(run(options, [deadline(11_609_374)], state).state.kind).toBe('backup');
    expect(run(options, [deadline(11_609_375)], state).state.kind).toBe('active');
  });

  test('is how long an earlier keeper may have been silent and still be adopted', () => {
    const adopted = (atUs: number): VrrpEvent => ({ kind: 'adopted', atUs, lastAdvertAtUs: 0 });
    expect(run(options, [adopted(9.9 * SECOND)]).state.kind).toBe('active');
    expect(run(options, [adopted(10 * SECOND)]).state.kind).toBe('backup');
    expect(run(OPTIONS, [adopted(9.9 * SECOND)]).state.kind).toBe('backup');
  });

  test('is how long an active director may stall before a heard peer is in the right', () => {
    expect(run(options, [advert(9 * SECOND, 1)], active(options)).state.kind).toBe('active');
    expect(run(options, [advert(11 * SECOND, 1)], active(options)).state.kind).toBe('backup');
    expect(run(OPTIONS, [advert(9 * SECOND, 1)], active(OPTIONS)).state.kind).toBe('backup');
  });

  test('is how long a member of a sync group waits for the others', () => {
    const grouped = { ...options, group: 'edge' };
    const { state } = run(grouped, [{ kind: 'started', atUs: 0 }, deadline(10_609_375)]);
    expect(state).toMatchObject({ kind: 'backup', wantsActive: true });
    expect(nextDeadlineUs(state)).toBe(2 * 10_609_375);
  });
});

describe('timer_expired_backup', () => {
  const options = { ...OPTIONS, timerExpiredBackup: 50 };
  const expiryUs = 3 * SECOND + skewTimeUs({ version: 3, priority: 50 }, SECOND);

  test('an active director that is later than that peer’s takeover becomes backup silently', () => {
    const { state, effects } = run(options, [deadline(expiryUs + 1)], active(options));
    expect(state.kind).toBe('backup');
    expect(kinds(effects)).toEqual(['remove-addresses', 'report-transition']);
    expect(effects[1]).toMatchObject({ from: 'active', to: 'backup', reason: 'timer-expired' });
    // And waits as long as any backup does, whoever is active by now.
    expect(nextDeadlineUs(state)).toBe(expiryUs + 1 + activeDownIntervalUs(options, SECOND));
  });

  test('one that is earlier goes on, and so does every one without the option', () => {
    expect(kinds(run(options, [deadline(expiryUs)], active(options)).effects)).toEqual([
      'send-advert',
    ]);
    expect(run(OPTIONS, [deadline(expiryUs + 1)], active(OPTIONS)).state.kind).toBe('active');
  });

  test('resignations that put off its advert do not make it look expired', () => {
    const resigned = [0.9, 1.8, 2.7, 3.6].map((seconds) => advert(seconds * SECOND, 0));
    const { state } = run(options, [...resigned, deadline(4.6 * SECOND)], active(options));
    expect(state.kind).toBe('active');
  });
});

describe('answer_lower_priority', () => {
  test('false: a lower priority is not answered, but hosts and switches hear from us', () => {
    const announce = { ...OPTIONS.announce, lowerPriorityDelayUs: SECOND / 4 };
    const options = { ...OPTIONS, answerLowerPriority: false, announce };
    const first = run(options, [advert(SECOND / 2, 50)], active(options));
    expect(kinds(first.effects)).toEqual(['announce']);
    expect(run(options, [advert(SECOND / 2 + 1, 50)], first.state).effects).toEqual([]);
  });

  test('true: version 2 answers as keepalived does', () => {
    const options: InstanceOptions = { ...OPTIONS, version: 2, answerLowerPriority: true };
    const { effects } = run(options, [advert(SECOND / 2, 50)], active(options));
    expect(kinds(effects)).toContain('send-advert');
  });

  test('priority 0 is answered all the same', () => {
    const options = { ...OPTIONS, answerLowerPriority: false };
    expect(kinds(run(options, [advert(5, 0)], active(options)).effects)).toEqual(['send-advert']);
  });
});

describe('advertise_before_yielding', () => {
  const options = { ...OPTIONS, advertiseBeforeYielding: true };

  test('a better director hears one more advert before the addresses go', () => {
    for (const better of [advert(1, 101), advert(1, 100, true)]) {
      const { state, effects } = run(options, [better], active(options));
      expect(state.kind).toBe('backup');
      expect(kinds(effects)).toEqual(['send-advert', 'remove-addresses', 'report-transition']);
      expect(effects[0]).toEqual({ kind: 'send-advert', resign: false });
    }
  });

  test('a director that was stalled says nothing: the other one took over rightfully', () => {
    const { effects } = run(options, [advert(4 * SECOND, 1)], active(options));
    expect(kinds(effects)).toEqual(['remove-addresses', 'report-transition']);
  });
});

describe('owner_conflict', () => {
  test('yield: the owner of lower address gives way at once', () => {
    const { state, effects } = run(OWNER, [advert(1, 255, true)], active(OWNER));
    expect(state).toMatchObject({ kind: 'backup', heardOwner: true });
    expect(effects.at(-1)).toMatchObject({ reason: 'equal-priority-higher-address' });
  });

  /** Advertises twice a second and hears the other owner as often, until it is not active. */
  function untilYields(options: InstanceOptions, hears: (turn: number) => boolean): number | null {
    let state = active(options);
    for (let turn = 1; turn <= 40; turn++) {
      const atUs = turn * SECOND;
      if (hears(turn)) ({ state } = step(options, state, advert(atUs - 1, 255)));
      if (state.kind !== 'active') return turn;
      ({ state } = step(options, state, deadline(atUs)));
    }
    return null;
  }

  test('yield: the owner of higher address gives way to one that goes on for over 3 intervals', () => {
    expect(untilYields(OWNER, () => true)).toBe(5);
    const two = [advert(SECOND - 1, 255), deadline(SECOND), advert(2 * SECOND - 1, 255)];
    expect(run(OWNER, two, active(OWNER)).state.kind).toBe('active');
  });

  test('yield: another owner that falls silent again is no reason', () => {
    expect(untilYields(OWNER, (turn) => turn % 8 < 3)).toBe(null);
  });

  test('yield: it is owner again when the other one is silent, and not before', () => {
    const yielded = run(OWNER, [advert(1, 255, true)], active(OWNER)).state;
    const changed = run(OWNER, [{ kind: 'reconfigured', atUs: 2 }], yielded);
    expect(changed.state.kind).toBe('backup');
    const later = run(OWNER, [deadline(nextDeadlineUs(yielded) as number)], yielded);
    expect(later.effects.at(-1)).toMatchObject({ to: 'active', reason: 'peers-silent' });
  });

  test('yield: a lower priority is never a reason for an owner to give way', () => {
    const events = Array.from({ length: 9 }, (_, turn) => [
      advert((turn + 1) * SECOND - 1, 254, true),
      deadline((turn + 1) * SECOND),
    ]).flat();
    expect(run(OWNER, events, active(OWNER)).state.kind).toBe('active');
  });

  test('ignore: an owner discards whatever it hears', () => {
    const deaf: InstanceOptions = { ...OWNER, ownerConflict: 'ignore' };
    for (const heard of [advert(1, 255, true), advert(1, 0), advert(1, 1)]) {
      expect(run(deaf, [heard], active(deaf)).effects).toEqual([]);
    }
    expect(untilYields(deaf, () => true)).toBe(null);
  });

  test('ignore: who is no owner listens as ever', () => {
    const options: InstanceOptions = { ...OPTIONS, ownerConflict: 'ignore' };
    expect(run(options, [advert(1, 255)], active(options)).state.kind).toBe('backup');
  });
});

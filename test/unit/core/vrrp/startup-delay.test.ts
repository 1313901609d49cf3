/** The startup delay: an instance that has started and takes no part yet. */
import { describe, expect, test } from 'vitest';
import { DEFAULTS } from '../../../../src/core/config/defaults.ts';
import { coordinate } from '../../../../src/core/vrrp/group.ts';
import {
  INITIAL_STATE,
  nextDeadlineUs,
  stateName,
  step,
  type VrrpState,
} from '../../../../src/core/vrrp/instance.ts';
import { activeDownIntervalUs } from '../../../../src/core/vrrp/timing.ts';
import type { InstanceOptions, VrrpEffect, VrrpEvent } from '../../../../src/core/vrrp/types.ts';

const SECOND = 1_000_000;
const ENDS_AT = 60 * SECOND;

const OPTIONS: InstanceOptions = {
  version: 3,
  priority: 100,
  advertIntervalUs: SECOND,
  preempt: true,
  preemptDelayUs: 0,
  announce: DEFAULTS.vrrp.announce,
  startsAtUs: ENDS_AT,
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

const started = (atUs = 10 * SECOND): VrrpEvent => ({ kind: 'started', atUs });
const deadline = (atUs: number): VrrpEvent => ({ kind: 'deadline-reached', atUs });

function advert(atUs: number, priority: number): VrrpEvent {
  const base = { advertIntervalUs: SECOND, fromHigherAddress: true };
  return { kind: 'advert-received', atUs, priority, ...base };
}

describe('startup delay', () => {
  test('shows backup with its reason, and wants to be woken at its end', () => {
    const { state, effects } = run(OPTIONS, [started()]);
    expect(stateName(state)).toBe('backup');
    expect(nextDeadlineUs(state)).toBe(ENDS_AT);
    expect(effects).toEqual([
      { kind: 'report-transition', from: 'initialize', to: 'backup', reason: 'startup-delay' },
    ]);
  });

  test('drops what it hears and sends nothing, whoever it is', () => {
    for (const options of [OPTIONS, OWNER]) {
      const { state } = run(options, [started()]);
      const events: readonly VrrpEvent[] = [
        advert(20 * SECOND, 0),
        advert(21 * SECOND, 1),
        advert(22 * SECOND, 255),
        { kind: 'reconfigured', atUs: 23 * SECOND },
        { kind: 'handover-asked', atUs: 24 * SECOND },
        deadline(ENDS_AT - 1),
      ];
      for (const event of events)
        expect(step(options, state, event)).toEqual({ state, effects: [] });
    }
  });

  test('at its end a backup listens for the whole active-down interval', () => {
    const { state, effects } = run(OPTIONS, [started(), deadline(ENDS_AT)]);
    expect(state.kind).toBe('backup');
    expect(effects).toEqual([]);
    expect(nextDeadlineUs(state)).toBe(ENDS_AT + activeDownIntervalUs(OPTIONS, SECOND));
  });

  test('at its end the owner becomes active', () => {
    const { effects } = run(OWNER, [started(), deadline(ENDS_AT)]);
    expect(effects.at(-1)).toMatchObject({ to: 'active', reason: 'address-owner' });
  });

  test('goes on after a fault, and is over when the fault lasted longer', () => {
    const down: VrrpEvent = { kind: 'fault-raised', atUs: 11 * SECOND, reason: 'interface-down' };
    const up = (atUs: number): VrrpEvent => ({
      kind: 'fault-cleared',
      atUs,
      reason: 'interface-up',
    });
    const early = run(OPTIONS, [started(), down, up(30 * SECOND)]);
    expect(early.state).toMatchObject({ kind: 'delayed', startsAtUs: ENDS_AT });
    expect(run(OPTIONS, [started(), down, up(ENDS_AT)]).state.kind).toBe('backup');
  });

  test('does not hold for virtual IPs that are adopted', () => {
    const adopted = (lastAdvertAtUs: number): VrrpEvent => ({
      kind: 'adopted',
      atUs: 10 * SECOND,
      lastAdvertAtUs,
    });
    expect(run(OPTIONS, [adopted(9 * SECOND)]).state.kind).toBe('active');
    const late = run(OPTIONS, [adopted(6 * SECOND)]);
    expect(late.state.kind).toBe('delayed');
    expect(late.effects[0]).toEqual({ kind: 'remove-addresses' });
  });

  test('ends early, or goes on for less, when what it waits for comes early', () => {
    const { state } = run(OPTIONS, [started()]);
    const early = { ...OPTIONS, startsAtUs: 20 * SECOND };
    const reconfigured = (atUs: number): VrrpEvent => ({ kind: 'reconfigured', atUs });
    expect(run(OPTIONS, [reconfigured(11 * SECOND)], state).state).toBe(state);
    const less = run(early, [reconfigured(11 * SECOND)], state);
    expect(less).toMatchObject({ state: { startsAtUs: 20 * SECOND }, effects: [] });
    const over = run({ ...OPTIONS, startsAtUs: 0 }, [reconfigured(11 * SECOND)], state);
    expect(over.state).toMatchObject({ kind: 'backup', heldBack: false });
    const owner = run({ ...OWNER, startsAtUs: 0 }, [reconfigured(11 * SECOND)], state);
    expect(owner.effects.at(-1)).toMatchObject({ to: 'active', reason: 'address-owner' });
  });

  test('does not hold for what starts after it', () => {
    expect(run(OPTIONS, [started(ENDS_AT)]).state.kind).toBe('backup');
    expect(run({ ...OWNER, startsAtUs: 0 }, [started()]).state.kind).toBe('active');
  });

  test('keeps its sync group waiting', () => {
    const { state } = run(OPTIONS, [started()]);
    const grouped = { ...OPTIONS, group: 'edge' };
    const listening = run(grouped, [started(ENDS_AT)]).state;
    const willing = run(grouped, [deadline(nextDeadlineUs(listening) ?? 0)], listening);
    expect(willing.state).toMatchObject({ kind: 'backup', wantsActive: true });
    const members = [
      { name: 'front', state },
      { name: 'back', state: willing.state },
    ];
    expect(coordinate(members)).toEqual([]);
  });

  test('of owners in a sync group ends for all of them before one is active', () => {
    const grouped = { ...OWNER, group: 'edge' };
    const waiting = run(grouped, [started()]);
    const ready = run(grouped, [deadline(ENDS_AT)], waiting.state);
    expect(ready.state).toMatchObject({ kind: 'backup', wantsActive: true });
    expect(ready.effects).toEqual([]);
    const members = (back: VrrpState) => [
      { name: 'front', state: ready.state },
      { name: 'back', state: back },
    ];
    expect(coordinate(members(waiting.state))).toEqual([]);
    expect(coordinate(members(ready.state)).map(({ event }) => event)).toEqual([
      'group-activated',
      'group-activated',
    ]);
    const { state, effects } = run(
      grouped,
      [{ kind: 'group-activated', atUs: ENDS_AT }],
      ready.state,
    );
    expect(state.kind).toBe('active');
    expect(effects.at(-1)).toMatchObject({ to: 'active', reason: 'address-owner' });
  });

  test('owners in a sync group that a reload made wait for one another, too', () => {
    const grouped = { ...OWNER, startsAtUs: 0, group: 'edge' };
    const { state } = run({ ...grouped, priority: 100 }, [started()]);
    const reloaded = run(grouped, [{ kind: 'reconfigured', atUs: 11 * SECOND }], state);
    expect(reloaded.effects).toEqual([]);
    expect(reloaded.state).toMatchObject({ wantsActive: true, takeoverReason: 'address-owner' });
    // Another owner is heard: the whole group waits until that one is silent.
    const heard = run(grouped, [advert(12 * SECOND, 255)], reloaded.state);
    expect(heard.state).toMatchObject({ wantsActive: false, takeoverReason: 'peers-silent' });
  });

  test('ends with a stop', () => {
    const { state, effects } = run(OPTIONS, [started(), { kind: 'stopped', atUs: 11 * SECOND }]);
    expect(state).toEqual(INITIAL_STATE);
    expect(effects.map(({ kind }) => kind)).toEqual(['report-transition']);
  });
});

/** How an instance takes part in the election: the keys, their defaults and their bounds. */
import { describe, expect, test } from 'vitest';
import { DEFAULTS } from '../../../src/core/config/defaults.ts';
import { configOf, errorLines } from './read.ts';

const file = (keys: string): string =>
  `vrrp: {w: {interface: eth0, vrid: 1, addresses: [192.0.2.9/24]${keys === '' ? '' : `, ${keys}`}}}\n`;

describe('vrrp', () => {
  test('has the RFC’s election by default', () => {
    expect(configOf(file('')).vrrp[0]).toMatchObject(DEFAULTS.vrrp.election);
    expect(DEFAULTS.vrrp.election).toMatchObject({ downTimerAdverts: 3, timerExpiredBackup: null });
  });

  test('answers lower priorities with version 3, and with version 2 only if told to', () => {
    expect(configOf(file('version: 2')).vrrp[0]).toMatchObject({ answerLowerPriority: false });
    const told = 'version: 2, answer_lower_priority: true';
    expect(configOf(file(told)).vrrp[0]).toMatchObject({ answerLowerPriority: true });
  });

  test('takes every option', () => {
    const keys =
      'down_timer_adverts: 100, timer_expired_backup: 254, answer_lower_priority: false, ' +
      'advertise_before_yielding: true, owner_conflict: ignore, check_addresses: refuse, accept: false';
    expect(configOf(file(keys)).vrrp[0]).toMatchObject({
      downTimerAdverts: 100,
      timerExpiredBackup: 254,
      answerLowerPriority: false,
      advertiseBeforeYielding: true,
      ownerConflict: 'ignore',
      checkAddresses: 'refuse',
      accept: false,
    });
  });

  test('has no startup delay unless told to', () => {
    expect(configOf(file('')).keeper).toMatchObject({ startupDelayUs: 0, delayAfterBootUs: 0 });
    const told = `${file('')}keeper: {startup_delay: 30s, delay_after_boot: 2m}\n`;
    expect(configOf(told).keeper).toMatchObject({
      startupDelayUs: 30_000_000,
      delayAfterBootUs: 120_000_000,
    });
    const wrong = `${file('')}keeper: {startup_delay: 2h}\n`;
    expect(errorLines(wrong).join()).toContain(
      'keeper.startup_delay: expected a duration from 0s to 1h',
    );
  });

  test.each([
    ['down_timer_adverts: 0', 'down_timer_adverts: expected a whole number from 1 to 100'],
    ['down_timer_adverts: 101', 'down_timer_adverts: expected a whole number from 1 to 100'],
    ['timer_expired_backup: 255', 'timer_expired_backup: expected a whole number from 1 to 254'],
    ['owner_conflict: fight', 'owner_conflict: expected yield or ignore'],
  ])('refuses %s', (keys, message) => {
    expect(errorLines(file(keys)).join('\n')).toContain(message);
  });
});

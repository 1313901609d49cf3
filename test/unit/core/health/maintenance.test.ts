/** When maintenance windows are, whatever the clocks of the zone do. */
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { parseCron } from '../../../../src/config/cron-text.ts';
import type { MaintenanceConfig } from '../../../../src/core/config/config.ts';
import { type CronFields, lastStart, nextStart } from '../../../../src/core/health/cron.ts';
import { phaseAt, wishOf } from '../../../../src/core/health/maintenance.ts';

const VIENNA = 'Europe/Vienna';

function fieldsOf(text: string): CronFields {
  const parsed = parseCron(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString().slice(0, 16);
}

describe('nextStart', () => {
  test.each([
    ['0 3 * * sun', 'UTC', '2026-03-01T03:00', '2026-03-08T03:00'],
    ['0 3 * * 7', 'UTC', '2026-03-01T02:59', '2026-03-01T03:00'],
    ['*/20 22-23 * * *', 'UTC', '2026-03-01T22:40', '2026-03-01T23:00'],
    ['0 0 29 feb *', 'UTC', '2026-03-01T00:00', '2028-02-29T00:00'],
    ['0 0 L * *', 'UTC', '2026-02-01T00:00', '2026-02-28T00:00'],
    ['0 4 * * 0#1', 'UTC', '2026-03-01T04:00', '2026-04-05T04:00'],
    ['0 4 * * 5L', 'UTC', '2026-03-01T04:00', '2026-03-27T04:00'],
    ['@daily', 'UTC', '2026-03-01T00:00', '2026-03-02T00:00'],
    ['0 3 * * *', VIENNA, '2026-01-01T00:00', '2026-01-01T02:00'],
    ['0 3 * * *', VIENNA, '2026-07-01T00:00', '2026-07-01T01:00'],
    // Across midnight of the zone.
    ['30 0 * * mon', 'Pacific/Auckland', '2026-03-01T00:00', '2026-03-01T11:30'],
    // The clock goes from 02:00 to 03:00 on 29 March 2026: 02:30 is 03:30.
    ['30 2 * * *', VIENNA, '2026-03-28T12:00', '2026-03-29T01:30'],
    ['30 2 * * *', VIENNA, '2026-03-29T12:00', '2026-03-30T00:30'],
    // And from 03:00 to 02:00 on 25 October: the first 02:30 counts, and no second one.
    ['30 2 * * *', VIENNA, '2026-10-24T12:00', '2026-10-25T00:30'],
    ['30 2 * * *', VIENNA, '2026-10-25T00:30', '2026-10-26T01:30'],
    ['0 3 * * *', VIENNA, '2026-10-24T12:00', '2026-10-25T02:00'],
    // Many on such days, and beside them.
    ['*/30 * * * *', VIENNA, '2026-03-29T00:30', '2026-03-29T01:00'],
    ['*/30 * * * *', VIENNA, '2026-03-29T22:00', '2026-03-29T22:30'],
    ['*/30 * * * *', VIENNA, '2026-10-25T00:30', '2026-10-25T02:00'],
    ['*/30 * * * *', VIENNA, '2026-10-26T12:00', '2026-10-26T12:30'],
  ])('%s in %s after %s', (text, zone, after, expected) => {
    expect(iso(nextStart(fieldsOf(text), zone, Date.parse(`${after}Z`)))).toBe(expected);
  });

  test.each([
    ['on most days', '2026-03-02T12:00Z', 30],
    ['around a change of the clock', '2026-03-29T01:00Z', 300],
  ])('of every minute asks for few offsets of the zone %s', (_when, at, most) => {
    const fields = fieldsOf('* * * * *');
    const atMs = Date.parse(at);
    const asked = vi.spyOn(Intl.DateTimeFormat.prototype, 'formatToParts');
    expect(nextStart(fields, VIENNA, atMs)).toBe(atMs + 60_000);
    expect(lastStart(fields, VIENNA, { atMs, sinceMs: atMs - 60_000 })).toBe(atMs);
    const { length } = asked.mock.calls;
    asked.mockRestore();
    expect(length).toBeLessThan(most);
  });

  test('agrees with lastStart at any moment', () => {
    const texts = ['30 2 * * *', '0 3 * * sun', '15 */6 1-7 * *', '0 0 L * *'];
    const moment = fc.integer({ min: Date.UTC(2026, 0, 1), max: Date.UTC(2027, 0, 1) });
    const zones = fc.constantFrom(VIENNA, 'UTC', 'America/New_York', 'Australia/Lord_Howe');
    fc.assert(
      fc.property(fc.constantFrom(...texts), zones, moment, (text, zone, atMs) => {
        const fields = fieldsOf(text);
        const next = nextStart(fields, zone, atMs);
        if (next === null) throw new Error('no start');
        expect(next).toBeGreaterThan(atMs);
        const sinceMs = atMs - 40 * 86_400_000;
        expect(lastStart(fields, zone, { atMs: next, sinceMs })).toBe(next);
        const last = lastStart(fields, zone, { atMs: next - 1, sinceMs });
        if (last === null) throw new Error('no start');
        expect(last).toBeLessThanOrEqual(atMs);
        expect(nextStart(fields, zone, last)).toBe(next);
      }),
      { numRuns: 200 },
    );
  });
});

function windowOf(changes: Partial<MaintenanceConfig> = {}): MaintenanceConfig {
  return {
    ...{ schedule: '0 3 * * sun', fields: fieldsOf('0 3 * * sun'), timeZone: 'UTC' },
    ...{ durationUs: 7_200_000_000, drainBeforeUs: 600_000_000, action: 'down', force: false },
    reason: 'disks',
    ...changes,
  };
}

describe('phaseAt', () => {
  test.each([
    ['2026-03-01T02:49', 'none', '2026-03-01T03:00', '2026-03-01T02:50'],
    ['2026-03-01T02:50', 'before', '2026-03-01T03:00', '2026-03-01T03:00'],
    ['2026-03-01T03:00', 'in', '2026-03-01T03:00', '2026-03-01T05:00'],
    ['2026-03-01T04:59', 'in', '2026-03-01T03:00', '2026-03-01T05:00'],
    ['2026-03-01T05:00', 'none', '2026-03-08T03:00', '2026-03-08T02:50'],
  ])('at %s it is %s', (at, kind, start, changes) => {
    const phase = phaseAt(windowOf(), Date.parse(`${at}Z`));
    expect([phase.kind, iso(phase.startMs), iso(phase.changesMs)]).toEqual([kind, start, changes]);
  });
});

describe('wishOf', () => {
  const at = (text: string, windows: readonly MaintenanceConfig[]) =>
    wishOf(windows, (window) => phaseAt(window, Date.parse(`${text}Z`)));

  test('drains before the window, whatever is done in it', () => {
    expect(at('2026-03-01T02:55', [windowOf()])).toMatchObject({
      action: 'drain',
      phase: 'before',
    });
    expect(at('2026-03-01T03:55', [windowOf()])).toMatchObject({ action: 'down', phase: 'in' });
    expect(at('2026-03-01T05:55', [windowOf()])).toBeNull();
  });

  test('is the strictest of several, and of equals the longest', () => {
    const mild = windowOf({ action: 'drain', reason: 'mild' });
    const long = windowOf({ durationUs: 9_000_000_000, reason: 'long' });
    expect(at('2026-03-01T03:55', [mild, windowOf(), long])?.reason).toBe('long');
  });
});

/** Moments as operators write them; local ones in a zone with summer time. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseMoment } from '../../../src/cli/until.ts';

const zone = process.env.TZ;
beforeAll(() => {
  process.env.TZ = 'Europe/Vienna';
});
afterAll(() => {
  if (zone === undefined) delete process.env.TZ;
  else process.env.TZ = zone;
});

describe('parseMoment', () => {
  test.each([
    ['2026-11-28T05:00Z', '2026-11-28T05:00:00.000Z'],
    ['2026-11-28T05:00:30Z', '2026-11-28T05:00:30.000Z'],
    ['2026-11-28T06:00+01:00', '2026-11-28T05:00:00.000Z'],
    ['2026-11-27T22:30-07:30', '2026-11-28T06:00:00.000Z'],
    ['2026-11-28T06:00', '2026-11-28T05:00:00.000Z'],
    ['2026-07-28 06:00', '2026-07-28T04:00:00.000Z'],
    ['2028-02-29T00:00Z', '2028-02-29T00:00:00.000Z'],
    // Twice on this day: the first.
    ['2026-10-25T02:30', '2026-10-25T00:30:00.000Z'],
  ])('%s is %s', (text, moment) => {
    expect(new Date(parseMoment(text) ?? 0).toISOString()).toBe(moment);
  });

  test.each([
    ...['', '2h', '06:00', '2026-11-28', '2026-11-28T06', '2026-11-28T24:00', '2026-11-28T06:60'],
    ...['2026-02-29T00:00Z', '2026-13-01T00:00Z', '2026-11-28T06:00+1', '2026-11-28T06:00 Z'],
    // The clock is put forward over it.
    '2026-03-29T02:30',
  ])('%j is none', (text) => {
    expect(parseMoment(text)).toBeNull();
  });
});

/**
 * When maintenance windows begin, against the plain way: each minute of each day asked for its
 * moment by the clock of the zone, and the first or last of them all taken. Around changes of clocks,
 * which are by an hour or less, once by a day, and in zones that no longer have any.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseCron } from '../../src/config/cron-text.ts';
import { type CronFields, lastStart, nextStart } from '../../src/core/health/cron.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** Zones, each with a moment near which its clock was changed. */
const CHANGES = [
  ['Europe/Vienna', '2026-03-29T01:00Z'],
  ['Europe/Vienna', '2026-10-25T01:00Z'],
  ['America/New_York', '2026-11-01T06:00Z'],
  ['America/Santiago', '2026-09-06T04:00Z'],
  ['Australia/Lord_Howe', '2026-04-04T15:00Z'],
  ['Africa/Casablanca', '2026-03-22T02:00Z'],
  ['Asia/Kathmandu', '1985-12-31T18:30Z'],
  ['America/Caracas', '2016-05-01T07:00Z'],
  // It left the 30th of December 2011 out.
  ['Pacific/Apia', '2011-12-30T10:00Z'],
  ['UTC', '2026-03-29T01:00Z'],
] as const;

/** Minutes and hours of every day: days of the month and the week are matched elsewhere. */
const SCHEDULES = ['* * * * *', '*/7 * * * *', '30 2 * * *', '0 0 * * *', '59 23,1-3 * * *'];

const formats = new Map(
  CHANGES.map(([timeZone]) => [
    timeZone as string,
    new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' }),
  ]),
);

function offsetMs(atMs: number, timeZone: string): number {
  const parts = formats.get(timeZone)?.formatToParts(atMs);
  const text = parts?.find(({ type }) => type === 'timeZoneName')?.value;
  const [, sign, hours, minutes] = /^GMT(?:([+-])(\d+):(\d+))?$/.exec(text ?? '') ?? [];
  return (sign === '-' ? -1 : 1) * (Number(hours ?? 0) * 60 + Number(minutes ?? 0)) * MINUTE_MS;
}

/** Offsets by the minute: asking for one takes as long as a thousand look-ups. */
const known = new Map<string, number>();

function offsetAt(atMs: number, timeZone: string): number {
  const key = `${timeZone} ${atMs}`;
  const offset = known.get(key) ?? offsetMs(atMs, timeZone);
  known.set(key, offset);
  return offset;
}

function momentOf(localMs: number, timeZone: string): number {
  const before = offsetAt(localMs - DAY_MS, timeZone);
  const after = offsetAt(localMs + DAY_MS, timeZone);
  if (offsetAt(localMs - before, timeZone) === before) return localMs - before;
  return offsetAt(localMs - after, timeZone) === after ? localMs - after : localMs - before;
}

/** All starts of local days from two before to two after. */
function allStarts({ hours, minutes }: CronFields, timeZone: string, atMs: number): number[] {
  const local = Math.floor(
    (atMs + offsetAt(Math.floor(atMs / MINUTE_MS) * MINUTE_MS, timeZone)) / DAY_MS,
  );
  const starts = [-2, -1, 0, 1, 2].flatMap((day) =>
    hours.flatMap((hour) =>
      minutes.map((minute) =>
        momentOf((local + day) * DAY_MS + (hour * 60 + minute) * MINUTE_MS, timeZone),
      ),
    ),
  );
  return starts.sort((left, right) => left - right);
}

test('starts around changes of clocks are those of the plain way', () => {
  const near = fc.integer({ min: -30 * 3600, max: 30 * 3600 });
  fc.assert(
    fc.property(
      fc.constantFrom(...CHANGES),
      fc.constantFrom(...SCHEDULES),
      near,
      ([timeZone, change], schedule, seconds) => {
        const parsed = parseCron(schedule);
        if (!parsed.ok) throw new Error(parsed.error);
        const fields = parsed.value;
        const atMs = Date.parse(change) + seconds * 1000;
        const starts = allStarts(fields, timeZone, atMs);
        expect(nextStart(fields, timeZone, atMs)).toBe(starts.find((ms) => ms > atMs));
        const sinceMs = atMs - DAY_MS;
        const last = starts.findLast((ms) => ms <= atMs && ms >= sinceMs) ?? null;
        expect(lastStart(fields, timeZone, { atMs, sinceMs })).toBe(last);
      },
    ),
    { numRuns: 150 },
  );
});

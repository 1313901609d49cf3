/**
 * When a cron expression comes next, and came last, in a time zone: pure, for any moment that is
 * given. A local time that does not exist, as the clock is put forward, comes as much later; one
 * that exists twice, as it is put back, comes the first time only.
 */

export interface CronFields {
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  /** 1 to 31; 'L' is the last one of the month. */
  readonly daysOfMonth: readonly (number | 'L')[];
  /** 1 to 12. */
  readonly months: readonly number[];
  /** 0 (Sunday) to 6; with `nth` 1 to 5 that of the month, 'last' its last one. */
  readonly daysOfWeek: readonly { readonly day: number; readonly nth: number | 'last' | null }[];
}

/** A day: year, month 1 to 12, day 1 to 31. */
interface Day {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** The 29th of February comes back after eight years at most, on a day of the week after 40. */
const DAYS_MAX = 15_000;

/** First start after `afterMs`; null where there is none in 40 years. Milliseconds of UTC. */
export function nextStart(fields: CronFields, timeZone: string, afterMs: number): number | null {
  // A start may be late by what the clock was put forward on the day before.
  let day = addDays(localDay(afterMs, timeZone), -1);
  for (let count = 0; count < DAYS_MAX; count++) {
    if (matches(fields, day)) {
      const start = startsOf(fields, day, timeZone, afterMs - DAY_MS).find((ms) => ms > afterMs);
      if (start !== undefined) return start;
    }
    day = addDays(day, 1);
  }
  return null;
}

/** Last start at or before `atMs`, not earlier than `sinceMs`; null where there is none. */
export function lastStart(
  fields: CronFields,
  timeZone: string,
  { atMs, sinceMs }: { readonly atMs: number; readonly sinceMs: number },
): number | null {
  let day = addDays(localDay(atMs, timeZone), 1);
  const days = Math.ceil((atMs - sinceMs) / DAY_MS) + 3;
  for (let count = 0; count < days; count++) {
    if (matches(fields, day)) {
      const starts = startsOf(fields, day, timeZone, sinceMs - DAY_MS);
      const start = starts.findLast((ms) => ms <= atMs);
      if (start !== undefined) return start >= sinceMs ? start : null;
    }
    day = addDays(day, -1);
  }
  return null;
}

/** Starts on a local day in their order; those that are surely before `sinceMs` are left out. */
function startsOf(
  { hours, minutes }: CronFields,
  { year, month, day }: Day,
  timeZone: string,
  sinceMs: number,
): readonly number[] {
  const starts = new Set<number>();
  const dayMs = Date.UTC(year, month - 1, day);
  // There are up to 1,440 starts, and on most days one offset holds for all of them.
  const offset = offsetMs(dayMs - DAY_MS, timeZone);
  const changes = offsetMs(dayMs + 2 * DAY_MS, timeZone) !== offset;
  for (const hour of hours) {
    for (const minute of minutes) {
      const localMs = dayMs + (hour * 60 + minute) * MINUTE_MS;
      if (localMs <= sinceMs - DAY_MS) continue;
      starts.add(changes ? fromLocal(localMs, timeZone) : localMs - offset);
    }
  }
  return [...starts].sort((left, right) => left - right);
}

function matches({ daysOfMonth, months, daysOfWeek }: CronFields, date: Day): boolean {
  const { year, month, day } = date;
  if (!months.includes(month)) return false;
  const last = new Date(Date.UTC(year, month, 0)).getUTCDate();
  if (!daysOfMonth.some((wanted) => (wanted === 'L' ? last : wanted) === day)) return false;
  const weekday = new Date(Date.UTC(year, month - 1, day)).getUTCDay();
  return daysOfWeek.some(({ day: wanted, nth }) => {
    if (wanted !== weekday) return false;
    if (nth === null) return true;
    return nth === 'last' ? day > last - 7 : Math.ceil(day / 7) === nth;
  });
}

function addDays({ year, month, day }: Day, count: number): Day {
  const date = new Date(Date.UTC(year, month - 1, day + count));
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
}

function localDay(atMs: number, timeZone: string): Day {
  const date = new Date(atMs + offsetMs(atMs, timeZone));
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
}

/** The moment at which the clock of a zone shows this; `localMs`: as if it were UTC. */
function fromLocal(localMs: number, timeZone: string): number {
  const before = offsetMs(localMs - DAY_MS, timeZone);
  const after = offsetMs(localMs + DAY_MS, timeZone);
  const first = localMs - before;
  if (before === after || offsetMs(first, timeZone) === before) return first;
  const second = localMs - after;
  // Neither: the clock never shows it, and it comes as late as the clock was put forward.
  return offsetMs(second, timeZone) === after ? second : first;
}

/** Making one costs as much as a thousand uses of it; there are as many as zones are configured. */
const formats = new Map<string, Intl.DateTimeFormat>();

/** How far the clock of a zone is ahead of UTC. */
function offsetMs(atMs: number, timeZone: string): number {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      ...{ timeZone, hourCycle: 'h23', era: 'short' },
      ...{ year: 'numeric', month: 'numeric', day: 'numeric' },
      ...{ hour: 'numeric', minute: 'numeric', second: 'numeric' },
    });
    formats.set(timeZone, format);
  }
  const parts = new Map(format.formatToParts(atMs).map(({ type, value }) => [type, Number(value)]));
  const part = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
  const [year, month, day] = [part('year'), part('month'), part('day')];
  const local = Date.UTC(year, month - 1, day, part('hour'), part('minute'), part('second'));
  return local - Math.floor(atMs / 1000) * 1000;
}

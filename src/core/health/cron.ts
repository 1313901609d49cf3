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
  const isSame = offsetMs(dayMs + 2 * DAY_MS, timeZone) === offset;
  const changes = isSame ? null : offsetsAround(dayMs, timeZone);
  for (const hour of hours) {
    for (const minute of minutes) {
      const localMs = dayMs + (hour * 60 + minute) * MINUTE_MS;
      if (localMs <= sinceMs - DAY_MS) continue;
      starts.add(changes === null ? localMs - offset : fromLocal(localMs, changes));
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

/** The moment at which a clock with these offsets shows this; `localMs`: as if it were UTC. */
function fromLocal(localMs: number, offsets: readonly Offset[]): number {
  const before = offsetOf(offsets, localMs - DAY_MS);
  const after = offsetOf(offsets, localMs + DAY_MS);
  const first = localMs - before;
  if (before === after || offsetOf(offsets, first) === before) return first;
  const second = localMs - after;
  // Neither: the clock never shows it, and it comes as late as the clock was put forward.
  return offsetOf(offsets, second) === after ? second : first;
}

/** How far a clock is ahead of UTC from a moment on. */
interface Offset {
  readonly sinceMs: number;
  readonly offsetMs: number;
}

/** The windows of a configuration are mostly in one zone, and ask for the same few days. */
const around = new Map<string, readonly Offset[]>();
const AROUND_MAX = 64;
/** No clock is so far from UTC, and fromLocal() looks a day back and ahead. */
const AROUND_DAYS = { before: 2, after: 3 };

/**
 * The offsets of a zone around the day that begins at `dayMs` of UTC, in their order. Changes are
 * searched for by halves, as asking for the offset of each of 1,440 minutes takes 0.1 s; no clock is
 * changed and put back within a day.
 */
function offsetsAround(dayMs: number, timeZone: string): readonly Offset[] {
  const key = `${dayMs} ${timeZone}`;
  const known = around.get(key);
  if (known !== undefined) return known;
  let last = offsetFrom(dayMs - AROUND_DAYS.before * DAY_MS, timeZone);
  const offsets = [last];
  for (let day = 1 - AROUND_DAYS.before; day <= AROUND_DAYS.after; day++) {
    const next = offsetFrom(dayMs + day * DAY_MS, timeZone);
    offsets.push(...changesBetween(last, next, timeZone));
    last = next;
  }
  if (around.size >= AROUND_MAX) around.clear();
  around.set(key, offsets);
  return offsets;
}

/** Clocks change at whole seconds. */
const OFFSET_STEP_MS = 1000;

function changesBetween(from: Offset, to: Offset, timeZone: string): readonly Offset[] {
  if (from.offsetMs === to.offsetMs) return [];
  const steps = (to.sinceMs - from.sinceMs) / OFFSET_STEP_MS;
  if (steps <= 1) return [to];
  const middle = offsetFrom(from.sinceMs + Math.floor(steps / 2) * OFFSET_STEP_MS, timeZone);
  return [...changesBetween(from, middle, timeZone), ...changesBetween(middle, to, timeZone)];
}

function offsetFrom(sinceMs: number, timeZone: string): Offset {
  return { sinceMs, offsetMs: offsetMs(sinceMs, timeZone) };
}

/** At a moment; `offsets` has one from before it. */
function offsetOf(offsets: readonly Offset[], atMs: number): number {
  let last = 0;
  for (const { sinceMs, offsetMs: ms } of offsets) if (sinceMs <= atMs) last = ms;
  return last;
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

/**
 * Cron expressions as text. node-cron is the parser, and nothing else of it is used: when an
 * expression comes is decided in core/health/cron.ts, for any moment and without a timer.
 */
import type { CronFields } from '../core/health/cron.ts';
import { err, ok, type Result } from '../core/result.ts';

/** Loaded with the first expression: it needs a third of the time in which a usual file is read. */
function library(): typeof import('node-cron') {
  const { createRequire } = process.getBuiltinModule('node:module');
  return createRequire(import.meta.url)('node-cron');
}

/** The fields of an expression; the error says what is wrong. */
export function parseCron(text: string): Result<CronFields, string> {
  if (!text.startsWith('@') && text.trim().split(/\s+/).length !== 5) {
    return err('expected five fields: minute, hour, day of month, month, day of week');
  }
  const { parse, validateDetailed } = library();
  const checked = validateDetailed(text);
  if (!checked.valid) {
    const [first] = checked.errors;
    const found = first?.value === undefined ? '' : ` ${first.value}`;
    // The library's 'dayOfMonth' is a day of month.
    const field = (first?.field ?? '').replace(/[A-Z]/g, (capital) => ` ${capital.toLowerCase()}`);
    return err(`expected a cron expression, such as 0 3 * * sun: ${field}${found} is wrong`);
  }
  const { minute, hour, dayOfMonth, month, dayOfWeek } = parse(text);
  const daysOfMonth = dayOfMonth.map(dayOf);
  const daysOfWeek = dayOfWeek.map(weekdayOf);
  if (daysOfMonth.includes(null) || daysOfWeek.includes(null)) {
    return err('expected days that are numbers, L, 5L (the last Friday) or 0#1 (the first Sunday)');
  }
  if (isRestricted(dayOfMonth, 31) && isRestricted(dayOfWeek, 7)) {
    return err(
      'expected a day of the month or a day of the week, not both: for the first Sunday write 0 3 * * 0#1',
    );
  }
  return ok({
    minutes: minute,
    hours: hour,
    daysOfMonth: daysOfMonth.filter((day) => day !== null),
    months: month,
    daysOfWeek: daysOfWeek.filter((day) => day !== null),
  });
}

function isRestricted(days: readonly unknown[], all: number): boolean {
  return days.length < all;
}

function dayOf(day: number | string): number | 'L' | null {
  if (typeof day === 'number') return day;
  return day === 'L' ? 'L' : null;
}

function weekdayOf(day: number | string): CronFields['daysOfWeek'][number] | null {
  if (typeof day === 'number') return { day, nth: null };
  const match = /^([0-7])(?:#([1-5])|L)$/.exec(day);
  if (match === null) return null;
  return { day: Number(match[1]) % 7, nth: match[2] === undefined ? 'last' : Number(match[2]) };
}

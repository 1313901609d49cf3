/**
 * A moment as operators write it: ISO 8601 with date and time, '2026-11-28T06:00' by the clock of
 * this machine, '2026-11-28T05:00Z' or '2026-11-28T06:00+01:00' by UTC. A blank may stand for the
 * T, and seconds may be left out. A date alone is none: it would be ambiguous which end of it.
 */

const MOMENT =
  /^(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2}))?(Z|[+-](?:0\d|1[0-4]):[0-5]\d)?$/;

/**
 * Wall clock in milliseconds; null when it is no such moment, or one that does not exist. Where a
 * local time is there twice, the first is meant.
 */
export function parseMoment(text: string): number | null {
  const found = MOMENT.exec(text);
  if (found === null) return null;
  const [year, month, day, hour, minute, second] = found
    .slice(1, 7)
    .map((part) => Number(part ?? 0)) as [number, number, number, number, number, number];
  // A Date makes the 3rd of March of the 31st of February.
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  const exists = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  if (!exists || hour > 23 || minute > 59 || second > 59) return null;
  const zone = found[7];
  if (zone === undefined) {
    const local = new Date(year, month - 1, day, hour, minute, second);
    // One that the clock skips when it is put forward.
    return local.getHours() === hour && local.getMinutes() === minute ? local.getTime() : null;
  }
  if (zone === 'Z') return date.getTime();
  const offsetMinutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6));
  return date.getTime() - (zone.startsWith('-') ? -1 : 1) * offsetMinutes * 60_000;
}

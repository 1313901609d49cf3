/** Scalars of the configuration language that many sections have: durations, texts and paths. */
import { z } from 'zod';
import { scalar } from './forms.ts';
import { DURATION_PATTERN, formatDuration, parseDuration } from './values.ts';

/** A request line and a body are compared in memory, so their texts are bounded. */
export const TEXT_LENGTH_MAX = 1024;

/** Integer microseconds of a duration text within bounds. */
export function duration(minUs: number, maxUs: number) {
  const range = `from ${formatDuration(minUs)} to ${formatDuration(maxUs)}`;
  const expects = `a duration ${range} with its unit (us, ms, s, m, h or d)`;
  return scalar(expects, z.string().regex(DURATION_PATTERN), (text) => {
    const durationUs = parseDuration(text);
    if (durationUs === null || durationUs < minUs || durationUs > maxUs) return undefined;
    return durationUs;
  });
}

/** Text without control characters that `accepts` takes. */
export function text(expects: string, accepts: (text: string) => boolean) {
  return scalar(expects, z.string().min(1).max(TEXT_LENGTH_MAX), (value) =>
    !/\p{Cc}/u.test(value) && accepts(value) ? value : undefined,
  );
}

/** An absolute path, or the path of a URL. */
export const path = (expects: string) =>
  text(expects, (value) => value.startsWith('/') && !/\s/.test(value));

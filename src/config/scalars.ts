/** Scalars of the configuration language that many sections have: durations, texts and paths. */
import type { IpText } from '../core/config/config.ts';
import { canonicalIp } from '../core/ip.ts';
import { Refusal, scalar } from './forms.ts';
import {
  DURATION_PATTERN,
  formatDuration,
  isInterfaceName,
  isUnicast,
  NAME_PATTERN,
  parseDuration,
} from './values.ts';
import * as yaml from './yaml-values.ts';

/** A request line and a body are compared in memory, so their texts are bounded. */
export const TEXT_LENGTH_MAX = 1024;

/** Integer microseconds of a duration text within bounds. */
export function duration(minUs: number, maxUs: number) {
  const range = `from ${formatDuration(minUs)} to ${formatDuration(maxUs)}`;
  const expects = `a duration ${range} with its unit (us, ms, s, m, h or d)`;
  return scalar(expects, yaml.string({ pattern: DURATION_PATTERN }), (text) => {
    const durationUs = parseDuration(text);
    if (durationUs === null || durationUs < minUs || durationUs > maxUs) return undefined;
    return durationUs;
  });
}

/** Text without control characters that `accepts` takes. */
export function text(expects: string, accepts: (text: string) => boolean | Refusal) {
  return scalar(expects, yaml.string({ min: 1, max: TEXT_LENGTH_MAX }), (value) => {
    if (/\p{Cc}/u.test(value)) return undefined;
    const accepted = accepts(value);
    if (accepted instanceof Refusal) return accepted;
    return accepted ? value : undefined;
  });
}

/** An absolute path, or the path of a URL. */
export const path = (expects: string) =>
  text(expects, (value) => value.startsWith('/') && !/\s/.test(value));

/** What `make` makes of a unicast address in canonical form. */
export function unicastAddress<T>(make: (address: IpText) => T) {
  return scalar('an IP address', yaml.string(), (value) => {
    const address = canonicalIp(value);
    if (address === null) return undefined;
    return isUnicast(address) ? make(address) : new Refusal('expected a unicast address');
  });
}

export const interfaceName = () => text('the name of a network interface', isInterfaceName);

/** What sessions, services and the like are called. */
export const name = () =>
  text('a name of letters, digits, _ . and -, at most 63', (value) => NAME_PATTERN.test(value));

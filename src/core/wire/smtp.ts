/**
 * Replies of SMTP (RFC 5321 section 4.2): where one ends, before the client of `nodemailer` gets
 * it, which would take any text for one.
 *
 *   ddd-words CRLF … ddd words CRLF
 */
import { ok, type Result } from '../result.ts';
import { type DecodeError, decodeError } from './decode-error.ts';
import { type Framed, latin1 } from './parts.ts';

/** Longest reply that is read; RFC 5321 section 4.5.3.1.5 has 512 for each line. */
export const SMTP_REPLY_BYTES_MAX: number = 16 * 1024;

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;
const HYPHEN = 0x2d;
const CODE_BYTES = 3;

/** The reply that `bytes` begin with, as its code; null while it is not complete. */
export function decodeSmtpReply(bytes: Uint8Array): Result<Framed<number> | null, DecodeError> {
  for (let start = 0; start <= SMTP_REPLY_BYTES_MAX; ) {
    const code = latin1(bytes, start, Math.min(start + CODE_BYTES, bytes.length));
    if (!/^\d*$/.test(code)) return decodeError('unsupported', 'No SMTP server');
    const end = bytes.indexOf(LINE_FEED, start) + 1;
    if (end === 0 && bytes.length <= SMTP_REPLY_BYTES_MAX) return ok(null);
    if (end === 0 || end > SMTP_REPLY_BYTES_MAX) break;
    // Digits alone have a line feed behind them at the earliest.
    const behind = bytes[start + CODE_BYTES];
    if (behind !== HYPHEN) {
      const whole = behind === SPACE || behind === CARRIAGE_RETURN || behind === LINE_FEED;
      if (!whole) return decodeError('malformed', 'A reply without its code');
      return ok({ message: Number(code), lengthBytes: end });
    }
    start = end;
  }
  return decodeError('malformed', `A reply of more than ${SMTP_REPLY_BYTES_MAX} bytes`);
}

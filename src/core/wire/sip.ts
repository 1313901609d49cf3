/**
 * SIP (RFC 3261), as much of it as a check needs: an OPTIONS request (section 11), and the status
 * line and header fields of an answer (section 7.2). An answer is ours when its Call-ID and the
 * branch of its topmost Via are (section 17.1.3).
 */
import { ok, type Result } from '../result.ts';
import { type DecodeError, decodeError } from './decode-error.ts';
import { type Framed, latin1, utf8 } from './parts.ts';

/** Longest head of an answer that is read. */
export const SIP_HEAD_BYTES_MAX: number = 16 * 1024;

/** RFC 3261 section 8.1.1.7: begins every branch of this version. */
const BRANCH_COOKIE = 'z9hG4bK';

export type SipTransport = 'udp' | 'tcp' | 'tls';

export interface SipRequest {
  readonly transport: SipTransport;
  /** Request-URI and To. */
  readonly uri: string;
  /** From, a URI. */
  readonly from: string;
  /** Where answers go: address (IPv6 in brackets) and port of our socket. */
  readonly sentBy: string;
  /** Letters and digits that no other request has. */
  readonly token: string;
}

export interface SipAnswer {
  readonly status: number;
  readonly reason: string;
  readonly callId: string;
  /** Without its cookie; '' when there is none. */
  readonly branch: string;
}

/** The request; its Call-ID and branch are the token. */
export function encodeSipOptions(request: SipRequest): Uint8Array {
  const { transport, uri, from, sentBy, token } = request;
  const lines = [
    `OPTIONS ${uri} SIP/2.0`,
    // RFC 3581: answers come back to where the request came from.
    `Via: SIP/2.0/${transport.toUpperCase()} ${sentBy};branch=${BRANCH_COOKIE}${token};rport`,
    'Max-Forwards: 70',
    `From: <${from}>;tag=${token}`,
    `To: <${uri}>`,
    `Call-ID: ${token}`,
    'CSeq: 1 OPTIONS',
    `Contact: <sip:vipkeeper@${sentBy}>`,
    'Accept: application/sdp',
    'User-Agent: vipkeeper',
    'Content-Length: 0',
    '',
    '',
  ];
  return utf8(lines.join('\r\n'));
}

/** The head of the answer that `bytes` begin with; null while it is not complete. */
export function decodeSipAnswer(bytes: Uint8Array): Result<Framed<SipAnswer> | null, DecodeError> {
  const end = endOfHead(bytes);
  if (end === null) {
    if (bytes.length <= SIP_HEAD_BYTES_MAX) return ok(null);
    return decodeError('malformed', `A head of more than ${SIP_HEAD_BYTES_MAX} bytes`);
  }
  // Folded lines are one: section 7.3.1.
  const [first = '', ...fields] = latin1(bytes, 0, end)
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n');
  const line = /^SIP\/2\.0 (\d{3})(?: (.*))?$/.exec(first);
  if (line === null) return decodeError('unsupported', `No SIP answer: ${first.slice(0, 40)}`);
  const field = (long: string, short: string): string => {
    const name = new RegExp(`^(?:${long}|${short})[ \\t]*:[ \\t]*(.*)$`, 'i');
    for (const one of fields) {
      const value = name.exec(one)?.[1];
      if (value !== undefined) return value.trim();
    }
    return '';
  };
  const branch = /;\s*branch\s*=\s*z9hG4bK([^;,\s]*)/i.exec(field('Via', 'v').split(',')[0] ?? '');
  const message = {
    status: Number(line[1]),
    reason: line[2] ?? '',
    callId: field('Call-ID', 'i'),
    branch: branch?.[1] ?? '',
  };
  return ok({ message, lengthBytes: end + 4 });
}

/** Where the empty line's first CR is: behind the last field. */
function endOfHead(bytes: Uint8Array): number | null {
  const last = Math.min(bytes.length, SIP_HEAD_BYTES_MAX) - 4;
  for (let index = 0; index <= last; index++) {
    if (bytes[index] !== 13 || bytes[index + 1] !== 10) continue;
    if (bytes[index + 2] === 13 && bytes[index + 3] === 10) return index;
  }
  return null;
}

/**
 * What an error of TLS says about the server, in words that an operator can act upon: those of
 * OpenSSL, such as '80FC…:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:…', name
 * places in its source.
 */
import type { TLSSocket } from 'node:tls';
import type { ProbeFailure } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { errorCode, socketFailureReason } from './socket-error.ts';

/** Code, library, function, and what it is about. */
const OPENSSL_TEXT = /error:[0-9A-F]+:[^:]*:[^:]*:([^:\n]+)/i;
/** An alert that the server sent: RFC 8446 section 6. */
const ALERT = /\balert (.+)$/;
/** What OpenSSL makes of bytes that are no TLS records. */
const NO_TLS = new Set(['wrong version number', 'packet length too long', 'unknown protocol']);
/** Of Node.js, when the connection ends in the handshake. */
const ENDED = /before secure TLS connection was established/;

/** What an error of TLS, or of the connection below it, means; null for one that is of neither. */
export function tlsFailure(error: Error, socket: TLSSocket, verify: boolean): ProbeFailure | null {
  // Set by Node.js when the chain or the name of the certificate was refused.
  if (verify && socket.authorizationError) return probeFailure('tls-untrusted', error.message);
  const reason = socketFailureReason(error);
  if (reason !== null) return probeFailure(reason, connectionText(error.message));
  const code = errorCode(error);
  const isTls = code === 'EPROTO' || /^ERR_(SSL|TLS)_/.test(code ?? '');
  return isTls ? probeFailure('tls', tlsText(error.message)) : null;
}

function connectionText(message: string): string {
  return ENDED.test(message) ? 'The server closed the connection in the TLS handshake' : message;
}

/** 'The server does not speak TLS (wrong version number)' */
function tlsText(message: string): string {
  const about = OPENSSL_TEXT.exec(message)?.[1]?.trim();
  if (about === undefined) return message;
  if (NO_TLS.has(about)) return `The server does not speak TLS (${about})`;
  const alert = ALERT.exec(about)?.[1];
  return alert === undefined ? about : `The server sent the TLS alert ${alert}`;
}

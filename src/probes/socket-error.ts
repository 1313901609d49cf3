/**
 * Turns errors of sockets, named by their system call's errno, into the reasons of a failure.
 */
import type { ProbeFailureReason } from '../core/health/probe-result.ts';

const REASONS: Readonly<Record<string, ProbeFailureReason>> = {
  ECONNREFUSED: 'connection-refused',
  ECONNRESET: 'reset',
  ECONNABORTED: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETUNREACH: 'unreachable',
  ENETDOWN: 'unreachable',
  // These are about this director: its resources, its addresses, its packet filter.
  EACCES: 'cannot-run',
  EADDRNOTAVAIL: 'cannot-run',
  EAGAIN: 'cannot-run',
  EINVAL: 'cannot-run',
  EMFILE: 'cannot-run',
  ENFILE: 'cannot-run',
  ENOBUFS: 'cannot-run',
  ENOMEM: 'cannot-run',
  EPERM: 'cannot-run',
};

/** The reason that an errno stands for; null when the error is not a socket's. */
export function socketFailureReason(error: Error): ProbeFailureReason | null {
  return REASONS[errorCode(error) ?? ''] ?? null;
}

/** The `code` of an error of Node; null when it has none. */
export function errorCode(error: Error): string | null {
  return 'code' in error && typeof error.code === 'string' ? error.code : null;
}

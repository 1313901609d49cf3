/**
 * What went wrong between us and the kernel, as a value: the errno with its name, the kernel's
 * own words where it sent some (extended acknowledgement), and which call it was.
 */
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { errnoName } from '../libc.ts';

export interface NetlinkError {
  /** Positive, as in errno.h. */
  readonly errno: number;
  /** 'EEXIST'; 'E<number>' for one that has no name in user space. */
  readonly code: string;
  /** The kernel's extended-acknowledgement text, or what the errno means. */
  readonly message: string;
  /** The message type or system call: 'RTM_NEWADDR', 'recv'. */
  readonly call: string;
}

/** The errnos that this folder answers with itself. */
export const { EAGAIN, EBADMSG, EBUSY, EINTR, EMSGSIZE, ENOBUFS, ETIMEDOUT } = constants.errno;

const meanings = getSystemErrorMap();

/** @param message the kernel's text, or null to say what the errno means. */
export function netlinkError(errno: number, message: string | null, call: string): NetlinkError {
  const code = errnoName(errno);
  const meaning = meanings.get(-errno)?.[1] ?? code;
  return { errno, code, message: message ?? meaning, call };
}

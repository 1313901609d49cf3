/**
 * What went wrong between us and the kernel, as a value: the errno with its name, the kernel's
 * own words where it sent some (extended acknowledgement), and which call it was.
 */
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { errnoName } from '../libc.js';
/** The errnos that this folder answers with itself. */
export const { EAGAIN, EBADMSG, EBUSY, EINTR, EMSGSIZE, ENOBUFS, ETIMEDOUT } = constants.errno;
const meanings = getSystemErrorMap();
/** @param message the kernel's text, or null to say what the errno means. */
export function netlinkError(errno, message, call) {
  const code = errnoName(errno);
  const meaning = meanings.get(-errno)?.[1] ?? code;
  return { errno, code, message: message ?? meaning, call };
}
//# sourceMappingURL=error.js.map

/**
 * Generic netlink: the 4-byte header in front of a family's attributes, and the controller that
 * tells a family's number by its name.
 * Standard: include/uapi/linux/genetlink.h; RFC 3549 does not know it.
 */
import { err, ok, type Result } from '../../core/result.ts';
import { AttributeWriter } from './attributes.ts';
import { EBADMSG, type NetlinkError, netlinkError } from './error.ts';
import { type MessageCursor, NLMSG_MIN_TYPE } from './message.ts';
import type { NetlinkSocket } from './socket.ts';

/** include/uapi/linux/netlink.h */
export const NETLINK_GENERIC = 16;
/** include/uapi/linux/genetlink.h */
export const GENL_HDRLEN = 4;
const GENL_ID_CTRL = NLMSG_MIN_TYPE;
const CTRL_VERSION = 2;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;

/** Appends the beginning of a generic netlink message's payload: struct genlmsghdr. */
export function beginGenl(
  writer: AttributeWriter,
  header: { readonly command: number; readonly version: number },
): AttributeWriter {
  return writer.putU8(header.command).putU8(header.version).putU16(0);
}

/**
 * The number of a family, which is the type of its messages. The kernel loads the family's module
 * where it can.
 * @returns ENOENT when the kernel has no such family.
 */
export function resolveFamily(
  socket: NetlinkSocket,
  name: string,
): Result<{ readonly id: number }, NetlinkError> {
  const call = 'CTRL_CMD_GETFAMILY';
  const header = { command: CTRL_CMD_GETFAMILY, version: CTRL_VERSION };
  const request = beginGenl(new AttributeWriter(), header).string0(CTRL_ATTR_FAMILY_NAME, name);
  let id: number | null = null;
  const outcome = socket.querySync(
    { type: GENL_ID_CTRL, flags: 0, payload: request.view() },
    (answer) => {
      id = decodeFamilyId(answer);
      return answer.reader.error === null;
    },
  );
  if (outcome.errno !== 0) return err(netlinkError(outcome.errno, outcome.message, call));
  if (id === null) return err(netlinkError(EBADMSG, null, call));
  return ok({ id });
}

/** The number in the answer to CTRL_CMD_GETFAMILY; null if there is none, or it is damaged. */
export function decodeFamilyId({
  reader,
  payloadStart,
  payloadEnd,
}: Pick<MessageCursor, 'reader' | 'payloadStart' | 'payloadEnd'>): number | null {
  let id: number | null = null;
  reader.forEach(payloadStart + GENL_HDRLEN, payloadEnd, (type, start, end) => {
    if (type === CTRL_ATTR_FAMILY_ID) id = reader.u16(start, end);
  });
  return reader.error === null ? id : null;
}

/**
 * Virtual links over rtnetlink: asked for, made, raised, taken down and removed, each inside one
 * turn of the event loop. What the kernel refuses is a value; nothing here throws.
 * Standard: net/core/rtnetlink.c, drivers/net/macvlan.c, drivers/net/ipvlan.
 */
import { err, ok, type Result } from '../../core/result.ts';
import { ENODEV } from '../constants.ts';
import { AttributeWriter } from './attributes.ts';
import { type NetlinkError, netlinkError } from './error.ts';
import {
  encodeDeleteLink,
  encodeGetLink,
  encodeLinkAlias,
  encodeLinkState,
  encodeNewLink,
  type NewLink,
} from './link-messages.ts';
import { NLM_F_CREATE, NLM_F_EXCL } from './message.ts';
import { decodeLink, type Link, RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK } from './route-messages.ts';
import type { NetlinkSocket } from './socket.ts';

/** include/uapi/linux/rtnetlink.h */
const RTM_SETLINK = 19;

const writer = new AttributeWriter();

/** The link of this name as it is now, or null when there is none. */
export function readLink(socket: NetlinkSocket, name: string): Result<Link | null, NetlinkError> {
  let link: Link | null = null;
  const request = { type: RTM_GETLINK, flags: 0, payload: encodeGetLink(writer, name) };
  const { errno, message } = socket.querySync(request, (reply) => {
    link = decodeLink(reply)?.link ?? null;
    return link !== null;
  });
  if (errno === ENODEV) return ok(null);
  return errno === 0 ? ok(link) : err(netlinkError(errno, message, 'RTM_GETLINK'));
}

/**
 * Makes a link and gives it an alias, and returns it as it then is: down, without addresses.
 * EEXIST: the name is taken. EBUSY: the interface below is a port of a bridge, or carries links
 * of the other kind. EOPNOTSUPP: the kernel does not know the kind. EINVAL: the interface below
 * cannot carry any.
 */
export function makeLink(
  socket: NetlinkSocket,
  link: NewLink,
  alias: string,
): Result<Link, NetlinkError> {
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  const [made] = socket.transactSync([
    { type: RTM_NEWLINK, flags, payload: encodeNewLink(writer, link) },
  ]);
  if (made !== undefined && made.errno !== 0) {
    return err(netlinkError(made.errno, made.message, 'RTM_NEWLINK'));
  }
  const payload = encodeLinkAlias(writer, link.name, alias);
  const marked = change(socket, RTM_SETLINK, payload, 'RTM_SETLINK');
  if (!marked.ok) return marked;
  const found = readLink(socket, link.name);
  if (!found.ok) return found;
  return found.value === null ? err(netlinkError(ENODEV, null, 'RTM_GETLINK')) : ok(found.value);
}

/** Brings a link up (true) or takes it down; IPv6 addresses go with the latter. */
export function setLinkUp(
  socket: NetlinkSocket,
  index: number,
  up: boolean,
): Result<void, NetlinkError> {
  return change(socket, RTM_SETLINK, encodeLinkState(writer, index, up), 'RTM_SETLINK');
}

/** Removes a link with its addresses. ENODEV when it is gone already. */
export function deleteLink(socket: NetlinkSocket, index: number): Result<void, NetlinkError> {
  return change(socket, RTM_DELLINK, encodeDeleteLink(writer, index), 'RTM_DELLINK');
}

function change(
  socket: NetlinkSocket,
  type: number,
  payload: Uint8Array,
  call: string,
): Result<void, NetlinkError> {
  const [outcome] = socket.transactSync([{ type, flags: 0, payload }]);
  if (outcome === undefined || outcome.errno === 0) return ok(undefined);
  return err(netlinkError(outcome.errno, outcome.message, call));
}

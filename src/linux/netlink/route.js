/**
 * Links and addresses over rtnetlink: RouteSocket asks and changes, RouteMonitor listens. Changes
 * happen inside one turn of the event loop, because a takeover must not wait for another.
 * Invariants: a monitor that has missed a notification discards those that are older than the
 * loss and then tells its owner, who lists everything anew.
 * Standard: include/uapi/linux/rtnetlink.h; RFC 3549 section 3.
 */
import { err, ok } from '../../core/result.js';
import * as libc from '../libc.js';
import { AttributeWriter } from './attributes.js';
import { EAGAIN, EINTR, ENOBUFS, netlinkError } from './error.js';
import { MessageCursor, NLM_F_CREATE, NLM_F_EXCL } from './message.js';
import {
  decodeAddress,
  decodeLink,
  encodeAddressChange,
  encodeAddressDump,
  encodeLinkDump,
  isWholeLink,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTMGRP_IPV4_IFADDR,
  RTMGRP_IPV6_IFADDR,
  RTMGRP_LINK,
} from './route-messages.js';
import { NetlinkSocket, openNetlink } from './socket.js';
/** include/uapi/linux/netlink.h */
export const NETLINK_ROUTE = 0;
/** A notification is a few hundred bytes; one about a link with many parts is a few thousand. */
const NOTIFICATION_BYTES = 32_768;
/** Notifications that are read before the event loop goes on to others. */
const NOTIFICATIONS_PER_TURN_MAX = 256;
export class RouteSocket {
  socket;
  #writer = new AttributeWriter();
  constructor(socket) {
    this.socket = socket;
  }
  static open() {
    const opened = NetlinkSocket.open(NETLINK_ROUTE);
    return opened.ok ? ok(new RouteSocket(opened.value)) : opened;
  }
  /** The number by which notifications name this socket as their cause. */
  get portId() {
    return this.socket.portId;
  }
  close() {
    this.socket.close();
  }
  listLinks() {
    const payload = encodeLinkDump(this.#writer);
    const request = { type: RTM_GETLINK, flags: 0, payload, call: 'RTM_GETLINK' };
    return this.socket.dumpSync(request, (message, links) => {
      const decoded = decodeLink(message);
      if (decoded !== null && isWholeLink(decoded)) links.push(decoded.link);
      return decoded !== null;
    });
  }
  /** IPv4 and IPv6 addresses of all interfaces, in the kernel's order. */
  listAddresses() {
    const payload = encodeAddressDump(this.#writer);
    const request = { type: RTM_GETADDR, flags: 0, payload, call: 'RTM_GETADDR' };
    return this.socket.dumpSync(request, (message, addresses) => {
      const address = decodeAddress(message);
      if (address !== null && address !== 'other-family') addresses.push(address);
      return address !== null;
    });
  }
  /** EEXIST when the interface has it already. */
  addAddress(address) {
    return this.changeAddresses([{ ...address, kind: 'add' }])[0];
  }
  /**
   * EADDRNOTAVAIL when the interface does not have it. With an IPv4 primary address its secondary
   * ones go too, unless net.ipv4.conf.*.promote_secondaries is set.
   */
  deleteAddress(address) {
    return this.changeAddresses([{ ...address, kind: 'delete' }])[0];
  }
  /** Makes all changes now, in order; one that fails does not stop the next. */
  changeAddresses(changes) {
    const requests = changes.map((change) => ({
      type: change.kind === 'add' ? RTM_NEWADDR : RTM_DELADDR,
      flags: change.kind === 'add' ? NLM_F_CREATE | NLM_F_EXCL : 0,
      payload: encodeAddressChange(this.#writer, change),
    }));
    return this.socket.transactSync(requests).map(({ errno, message }, index) => {
      if (errno === 0) return ok(undefined);
      const call = changes[index]?.kind === 'add' ? 'RTM_NEWADDR' : 'RTM_DELADDR';
      return err(netlinkError(errno, message, call));
    });
  }
}
export class RouteMonitor {
  /** Since open; for metrics. */
  statistics = { notifications: 0, overruns: 0 };
  #callbacks;
  #cursor = new MessageCursor(new Uint8Array(NOTIFICATION_BYTES));
  #poll;
  #fd;
  #lost = false;
  #continuing = false;
  constructor(fd, callbacks) {
    this.#fd = fd;
    this.#callbacks = callbacks;
    this.#poll = libc.poll(fd, () => this.#readable());
  }
  /** Callbacks come from the event loop, never from inside open. */
  static open(callbacks, options = {}) {
    const groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
    const opened = openNetlink(NETLINK_ROUTE, { ...options, groups });
    return opened.ok ? ok(new RouteMonitor(opened.value.fd, callbacks)) : opened;
  }
  /** Idempotent; no callback comes after it. */
  close() {
    if (this.#fd === -1) return;
    this.#poll.close();
    libc.close(this.#fd);
    this.#fd = -1;
  }
  #readable() {
    for (let count = 0; count < NOTIFICATIONS_PER_TURN_MAX; count++) {
      if (this.#fd === -1) return;
      const received = libc.recv(this.#fd, this.#cursor.bytes);
      if (received === -EINTR) continue;
      if (received === -ENOBUFS) {
        this.#lost = true;
        this.#watchAgain();
      } else if (received > NOTIFICATION_BYTES) {
        this.#lost = true;
      } else if (received >= 0) {
        this.#read(received);
      } else {
        if (received !== -EAGAIN) this.#lost = true;
        this.#reportLoss();
        return;
      }
    }
    this.#continueLater();
  }
  /** libuv stops watching a descriptor that has an error pending, as a socket after a loss has. */
  #watchAgain() {
    this.#poll.close();
    this.#poll = libc.poll(this.#fd, () => this.#readable());
  }
  /** The rest is read in another turn, whether or not the poll tells of it once more. */
  #continueLater() {
    if (this.#continuing) return;
    this.#continuing = true;
    setImmediate(() => {
      this.#continuing = false;
      this.#readable();
    });
  }
  /** Only when the socket is empty: what was queued before the loss is older than the listing. */
  #reportLoss() {
    if (!this.#lost) return;
    this.#lost = false;
    this.statistics.overruns++;
    this.#callbacks.overrun();
  }
  #read(lengthBytes) {
    const cursor = this.#cursor;
    cursor.start(lengthBytes);
    while (cursor.next()) {
      this.statistics.notifications++;
      if (!this.#lost && this.#fd !== -1) this.#lost = !this.#dispatch();
    }
    if (cursor.error !== null) this.#lost = true;
  }
  /** False when the notification is damaged. */
  #dispatch() {
    const { type, portId } = this.#cursor;
    const byPid = portId === 0 ? null : portId;
    if (type === RTM_NEWLINK || type === RTM_DELLINK) {
      const message = decodeLink(this.#cursor);
      // A bridge reports the loss of a port as the removal of a link, of its own family.
      if (message === null || !isWholeLink(message)) return message !== null;
      const { link } = message;
      if (type === RTM_NEWLINK) this.#callbacks.linkChanged(link);
      else this.#callbacks.linkRemoved(link.index, link.name);
    } else if (type === RTM_NEWADDR || type === RTM_DELADDR) {
      const address = decodeAddress(this.#cursor);
      if (address === null || address === 'other-family') return address !== null;
      if (type === RTM_NEWADDR) this.#callbacks.addressAdded(address, byPid);
      else this.#callbacks.addressRemoved(address, byPid);
    }
    return true;
  }
}
//# sourceMappingURL=route.js.map

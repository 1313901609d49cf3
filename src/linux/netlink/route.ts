/**
 * Links and addresses over rtnetlink: RouteSocket asks and changes, RouteMonitor listens. Changes
 * happen inside one turn of the event loop, because a takeover must not wait for another.
 * Invariants: a monitor that has missed a notification discards those that are older than the
 * loss and then tells its owner, who lists everything anew.
 * Standard: include/uapi/linux/rtnetlink.h; RFC 3549 section 3.
 */
import { err, ok, type Result } from '../../core/result.ts';
import {
  AF_INET,
  BPF_ABS,
  BPF_B,
  BPF_H,
  BPF_JEQ,
  BPF_JMP,
  BPF_K,
  BPF_LD,
  BPF_W,
} from '../constants.ts';
import { attachFilter } from '../libc.ts';
import { HOST_LITTLE_ENDIAN } from '../sockaddr.ts';
import { ACCEPT, DROP, filterProgram } from '../socket-filter.ts';
import { AttributeWriter } from './attributes.ts';
import { type NetlinkError, netlinkError } from './error.ts';
import {
  type MessageCursor,
  type NetlinkOutcome,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  NLMSG_HDRLEN,
} from './message.ts';
import { Notifications } from './notifications.ts';
import {
  type AddressChange,
  decodeAddress,
  decodeLink,
  encodeAddressDump,
  encodeLinkDump,
  type InterfaceAddress,
  isWholeLink,
  type Link,
  putAddressChange,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTMGRP_IPV4_IFADDR,
  RTMGRP_IPV6_IFADDR,
  RTMGRP_LINK,
} from './route-messages.ts';
import { NetlinkSocket, openNetlink } from './socket.ts';

/** include/uapi/linux/netlink.h */
export const NETLINK_ROUTE = 0;

const ADDRESS_FLAGS: Readonly<Record<AddressChange['kind'], number>> = {
  add: NLM_F_CREATE | NLM_F_EXCL,
  replace: NLM_F_REPLACE,
  delete: 0,
};

const DONE = ok(undefined);

export class RouteSocket {
  readonly socket: NetlinkSocket;
  readonly #writer = new AttributeWriter();

  constructor(socket: NetlinkSocket) {
    this.socket = socket;
  }

  static open(): Result<RouteSocket, NetlinkError> {
    const opened = NetlinkSocket.open(NETLINK_ROUTE);
    return opened.ok ? ok(new RouteSocket(opened.value)) : opened;
  }

  /** The number by which notifications name this socket as their cause. */
  get portId(): number {
    return this.socket.portId;
  }

  close(): void {
    this.socket.close();
  }

  listLinks(): Result<Link[], NetlinkError> {
    const payload = encodeLinkDump(this.#writer);
    const request = { type: RTM_GETLINK, flags: 0, payload, call: 'RTM_GETLINK' };
    return this.socket.dumpSync<Link>(request, (message, links) => {
      const decoded = decodeLink(message);
      if (decoded !== null && isWholeLink(decoded)) links.push(decoded.link);
      return decoded !== null;
    });
  }

  /** IPv4 and IPv6 addresses of all interfaces, in the kernel's order. */
  listAddresses(): Result<InterfaceAddress[], NetlinkError> {
    const payload = encodeAddressDump(this.#writer);
    const request = { type: RTM_GETADDR, flags: 0, payload, call: 'RTM_GETADDR' };
    return this.socket.dumpSync<InterfaceAddress>(request, (message, addresses) => {
      const address = decodeAddress(message);
      if (address !== null && address !== 'other-family') addresses.push(address);
      return address !== null;
    });
  }

  /** EEXIST when the interface has it already. */
  addAddress(address: Omit<AddressChange, 'kind'>): Result<void, NetlinkError> {
    return this.changeAddresses([{ ...address, kind: 'add' }])[0] as Result<void, NetlinkError>;
  }

  /**
   * EADDRNOTAVAIL when the interface does not have it. With an IPv4 primary address its secondary
   * ones go too, unless net.ipv4.conf.*.promote_secondaries is set.
   */
  deleteAddress(address: Omit<AddressChange, 'kind'>): Result<void, NetlinkError> {
    return this.changeAddresses([{ ...address, kind: 'delete' }])[0] as Result<void, NetlinkError>;
  }

  /**
   * Makes all changes now, in order; one that fails does not stop the next. Those of one kind that
   * follow each other go in one send.
   */
  changeAddresses(changes: readonly AddressChange[]): Result<void, NetlinkError>[] {
    const results: Result<void, NetlinkError>[] = [];
    while (results.length < changes.length) {
      const first = results.length;
      const { kind } = changes[first] as AddressChange;
      let end = first + 1;
      while (end < changes.length && (changes[end] as AddressChange).kind === kind) end++;
      const outcomes = this.socket.transactWrittenSync({
        type: kind === 'delete' ? RTM_DELADDR : RTM_NEWADDR,
        flags: ADDRESS_FLAGS[kind],
        count: end - first,
        write: (writer, index) => putAddressChange(writer, changes[first + index] as AddressChange),
      });
      const call = kind === 'delete' ? 'RTM_DELADDR' : 'RTM_NEWADDR';
      for (let index = 0; index < outcomes.length; index++) {
        const { errno, message } = outcomes[index] as NetlinkOutcome;
        results.push(errno === 0 ? DONE : err(netlinkError(errno, message, call)));
      }
    }
    return results;
  }
}

/**
 * All notifications but those of IPv4 addresses that this socket adds (struct nlmsghdr: type at 4,
 * port number at 12; struct ifaddrmsg behind it begins with the family).
 */
function withoutAdding(portId: number): Uint8Array {
  const header = new DataView(new ArrayBuffer(NLMSG_HDRLEN));
  header.setUint16(4, RTM_NEWADDR, HOST_LITTLE_ENDIAN);
  header.setUint32(12, portId, HOST_LITTLE_ENDIAN);
  return filterProgram([
    // BPF reads in network order, the header is in the machine's.
    { code: BPF_LD | BPF_H | BPF_ABS, k: 4 },
    { code: BPF_JMP | BPF_JEQ | BPF_K, ifFalse: 5, k: header.getUint16(4) },
    { code: BPF_LD | BPF_W | BPF_ABS, k: 12 },
    { code: BPF_JMP | BPF_JEQ | BPF_K, ifFalse: 3, k: header.getUint32(12) },
    { code: BPF_LD | BPF_B | BPF_ABS, k: NLMSG_HDRLEN },
    { code: BPF_JMP | BPF_JEQ | BPF_K, ifFalse: 1, k: AF_INET },
    DROP,
    ACCEPT,
  ]);
}

export interface RouteMonitorCallbacks {
  /** A link appeared, or anything about it changed. */
  linkChanged(link: Link): void;
  linkRemoved(index: number, name: string): void;
  /**
   * Also when the flags of an address change, as after duplicate address detection.
   * @param byPid as of addressRemoved.
   */
  addressAdded(address: InterfaceAddress, byPid: number | null): void;
  /**
   * @param byPid the port number of the socket that asked for it, which is the process id for the
   *   first netlink socket of a process; null when the kernel did it by itself, and always for
   *   IPv6, where the kernel does not tell.
   */
  addressRemoved(address: InterfaceAddress, byPid: number | null): void;
  /** Notifications were lost: list links and addresses anew. */
  overrun(): void;
  /** Nothing waits any more: everything that the kernel has done so far was told. */
  drained?(): void;
}

export class RouteMonitor {
  readonly #callbacks: RouteMonitorCallbacks;
  readonly #notifications: Notifications;

  private constructor(fd: number, callbacks: RouteMonitorCallbacks) {
    this.#callbacks = callbacks;
    this.#notifications = new Notifications(fd, {
      read: (message) => this.#dispatch(message),
      overrun: () => callbacks.overrun(),
      drained: () => callbacks.drained?.(),
    });
  }

  /**
   * Callbacks come from the event loop and from readNow(), never from inside open. Of IPv4 addresses
   * that the socket of port number `addingPortId` adds nothing is told: who adds a thousand knows
   * it from the answers.
   */
  static open(
    callbacks: RouteMonitorCallbacks,
    options: { readonly receiveBufferBytes?: number; readonly addingPortId?: number } = {},
  ): Result<RouteMonitor, NetlinkError> {
    const groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
    const opened = openNetlink(NETLINK_ROUTE, { ...options, groups });
    if (!opened.ok) return opened;
    const { fd } = opened.value;
    if (options.addingPortId !== undefined) attachFilter(fd, withoutAdding(options.addingPortId));
    return ok(new RouteMonitor(fd, callbacks));
  }

  /** Takes what the kernel has told until now, without asking it for anything. */
  readNow(): void {
    this.#notifications.readNow();
  }

  /** Since open; for metrics. */
  get statistics(): Notifications['statistics'] {
    return this.#notifications.statistics;
  }

  /** Idempotent; no callback comes after it. */
  close(): void {
    this.#notifications.close();
  }

  /** False when the notification is damaged. */
  #dispatch(message: MessageCursor): boolean {
    const { type, portId } = message;
    const byPid = portId === 0 ? null : portId;
    if (type === RTM_NEWLINK || type === RTM_DELLINK) {
      const decoded = decodeLink(message);
      // A bridge reports the loss of a port as the removal of a link, of its own family.
      if (decoded === null || !isWholeLink(decoded)) return decoded !== null;
      const { link } = decoded;
      if (type === RTM_NEWLINK) this.#callbacks.linkChanged(link);
      else this.#callbacks.linkRemoved(link.index, link.name);
    } else if (type === RTM_NEWADDR || type === RTM_DELADDR) {
      const address = decodeAddress(message);
      if (address === null || address === 'other-family') return address !== null;
      if (type === RTM_NEWADDR) this.#callbacks.addressAdded(address, byPid);
      else this.#callbacks.addressRemoved(address, byPid);
    }
    return true;
  }
}

/**
 * Routes and rules over rtnetlink: RoutingSocket lists ours and changes them, RoutingMonitor is
 * told when they vanish. A router's tables may have a million routes that change all the time, so
 * both let the kernel pick out what is ours: the listing by protocol, the notifications by a BPF
 * program on the socket.
 * Standard: include/uapi/linux/rtnetlink.h, filter.h; Documentation/networking/filter.rst.
 */
import type {
  ObservedRoute,
  ObservedRouting,
  ObservedRule,
  RoutingOperation,
} from '../../core/address/routing.ts';
import { err, ok, type Result } from '../../core/result.ts';
import {
  BPF_ABS,
  BPF_B,
  BPF_H,
  BPF_JEQ,
  BPF_JMP,
  BPF_JSET,
  BPF_K,
  BPF_LD,
  BPF_RET,
  SOL_NETLINK,
} from '../constants.ts';
import * as libc from '../libc.ts';
import { HOST_LITTLE_ENDIAN } from '../sockaddr.ts';
import { AttributeWriter } from './attributes.ts';
import { type NetlinkError, netlinkError } from './error.ts';
import { type MessageCursor, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE } from './message.ts';
import { Notifications } from './notifications.ts';
import { NETLINK_ROUTE } from './route.ts';
import {
  decodeRoute,
  decodeRule,
  encodeRoute,
  encodeRouteDump,
  encodeRule,
  encodeRuleDump,
  ROUTING_PROTOCOL,
  RTM_DELROUTE,
  RTM_DELRULE,
  RTM_GETROUTE,
  RTM_GETRULE,
  RTM_NEWROUTE,
  RTM_NEWRULE,
  RTNLGRP_IPV4_ROUTE,
  RTNLGRP_IPV4_RULE,
  RTNLGRP_IPV6_ROUTE,
  RTNLGRP_IPV6_RULE,
} from './routing-messages.ts';
import { type NetlinkRequest, NetlinkSocket, openNetlink } from './socket.ts';

/** include/uapi/linux/netlink.h */
const NETLINK_GET_STRICT_CHK = 12;
/** A kernel without IPv6 answers so when it is asked for its routes. */
const NO_FAMILY = ['EOPNOTSUPP', 'EAFNOSUPPORT'];

export class RoutingSocket {
  readonly #socket: NetlinkSocket;
  readonly #writer = new AttributeWriter();

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  static open(): Result<RoutingSocket, NetlinkError> {
    const opened = openNetlink(NETLINK_ROUTE);
    if (!opened.ok) return opened;
    // Linux 4.20; without it the kernel lists everything, and the decoder picks ours out.
    try {
      libc.setsockopt(opened.value.fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    } catch (error) {
      if (!(error instanceof libc.SystemError)) throw error;
    }
    return ok(new RoutingSocket(new NetlinkSocket(opened.value)));
  }

  /** The number by which notifications name this socket as their cause. */
  get portId(): number {
    return this.#socket.portId;
  }

  close(): void {
    this.#socket.close();
  }

  /** Routes and rules that vipkeeper put there: this process or an earlier one. */
  listOwn(): Result<ObservedRouting, NetlinkError> {
    const routes: ObservedRoute[] = [];
    const rules: ObservedRule[] = [];
    for (const family of ['ipv4', 'ipv6'] as const) {
      const ofFamily = this.#dump(
        {
          type: RTM_GETROUTE,
          payload: encodeRouteDump(this.#writer, family),
          call: 'RTM_GETROUTE',
        },
        decodeRoute,
      );
      if (!ofFamily.ok) return ofFamily;
      routes.push(...ofFamily.value);
      const rulesOfFamily = this.#dump(
        { type: RTM_GETRULE, payload: encodeRuleDump(this.#writer, family), call: 'RTM_GETRULE' },
        decodeRule,
      );
      if (!rulesOfFamily.ok) return rulesOfFamily;
      rules.push(...rulesOfFamily.value);
    }
    return ok({ routes, rules });
  }

  #dump<T extends { readonly ours: boolean }>(
    request: { readonly type: number; readonly payload: Uint8Array; readonly call: string },
    decode: (message: MessageCursor) => T | 'other' | null,
  ): Result<T[], NetlinkError> {
    const listed = this.#socket.dumpSync<T>({ ...request, flags: 0 }, (message, found) => {
      const decoded = decode(message);
      if (decoded !== null && decoded !== 'other' && decoded.ours) found.push(decoded);
      return decoded !== null;
    });
    return listed.ok || !NO_FAMILY.includes(listed.error.code) ? listed : ok([]);
  }

  /** Makes all changes now, in order; one that fails does not stop the next. */
  change(operations: readonly RoutingOperation[]): readonly (NetlinkError | null)[] {
    const requests = operations.map((operation) => this.#request(operation));
    return this.#socket.transactSync(requests).map(({ errno, message }, index) => {
      if (errno === 0) return null;
      const call = CALLS[(operations[index] as RoutingOperation).kind];
      return netlinkError(errno, message, call);
    });
  }

  #request(operation: RoutingOperation): NetlinkRequest {
    if ('route' in operation) {
      const payload = encodeRoute(this.#writer, operation.route);
      if (operation.kind === 'delete-route') return { type: RTM_DELROUTE, flags: 0, payload };
      // IPv4: in front of a route of another program. IPv6 would join with one to a multipath.
      const exclusive = operation.route.family === 'ipv6' ? NLM_F_EXCL : 0;
      return { type: RTM_NEWROUTE, flags: NLM_F_CREATE | exclusive, payload };
    }
    const payload = encodeRule(this.#writer, operation.rule);
    return operation.kind === 'delete-rule'
      ? { type: RTM_DELRULE, flags: 0, payload }
      : { type: RTM_NEWRULE, flags: NLM_F_CREATE | NLM_F_EXCL, payload };
  }
}

const CALLS: Readonly<Record<RoutingOperation['kind'], string>> = {
  'add-route': 'RTM_NEWROUTE',
  'delete-route': 'RTM_DELROUTE',
  'add-rule': 'RTM_NEWRULE',
  'delete-rule': 'RTM_DELRULE',
};

export interface RoutingMonitorCallbacks {
  /**
   * A route of ours was removed, also by ourselves.
   * @param byPid the port number of the socket that asked for it, which is the process id for the
   *   first netlink socket of a process; null when the kernel did it by itself.
   */
  routeRemoved(route: ObservedRoute, byPid: number | null): void;
  /** A route, whosever, was put in the place of another. */
  routeReplaced(route: ObservedRoute, byPid: number | null): void;
  ruleRemoved(rule: ObservedRule, byPid: number | null): void;
  /** Notifications were lost. */
  overrun(): void;
}

export class RoutingMonitor {
  readonly #callbacks: RoutingMonitorCallbacks;
  readonly #notifications: Notifications;

  private constructor(fd: number, callbacks: RoutingMonitorCallbacks) {
    this.#callbacks = callbacks;
    this.#notifications = new Notifications(fd, {
      read: (message) => this.#dispatch(message),
      overrun: () => callbacks.overrun(),
    });
  }

  /** Callbacks come from the event loop, never from inside open. */
  static open(callbacks: RoutingMonitorCallbacks): Result<RoutingMonitor, NetlinkError> {
    const numbers = [RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV6_RULE];
    const groups = numbers.reduce((mask, number) => mask | (1 << (number - 1)), 0);
    const opened = openNetlink(NETLINK_ROUTE, { groups });
    if (!opened.ok) return err(opened.error);
    const monitor = new RoutingMonitor(opened.value.fd, callbacks);
    monitor.watch([]);
    return ok(monitor);
  }

  /**
   * Also tells of replaced routes with one of these prefix lengths, 0 to 128: a route that takes
   * the place of ours is not announced as a removal.
   */
  watch(prefixLengths: readonly number[]): void {
    libc.attachFilter(this.#notifications.fd, routingFilter(prefixLengths));
  }

  get statistics(): Notifications['statistics'] {
    return this.#notifications.statistics;
  }

  close(): void {
    this.#notifications.close();
  }

  #dispatch(message: MessageCursor): boolean {
    const { type, portId } = message;
    const byPid = portId === 0 ? null : portId;
    if (type === RTM_DELRULE) {
      const rule = decodeRule(message);
      if (rule !== null && rule !== 'other' && rule.ours) this.#callbacks.ruleRemoved(rule, byPid);
      return rule !== null;
    }
    if (type !== RTM_DELROUTE && type !== RTM_NEWROUTE) return true;
    const route = decodeRoute(message);
    if (route === null || route === 'other') return route !== null;
    if (type === RTM_NEWROUTE) this.#callbacks.routeReplaced(route, byPid);
    else if (route.ours) this.#callbacks.routeRemoved(route, byPid);
    return true;
  }
}

/** struct nlmsghdr and struct rtmsg behind it, as offsets in a message. */
const NLMSG_TYPE = 4;
const NLMSG_FLAGS = 6;
const RTM_DST_LEN = 17;
const RTM_PROTOCOL = 21;
const ACCEPT_BYTES = 0xffff_ffff;

/**
 * Lets removals of rules, removals of our routes, and replacements of routes of the given prefix
 * lengths through. There are 129 of them, so no jump is longer than its eight bits can say.
 */
export function routingFilter(prefixLengths: readonly number[]): Uint8Array {
  const lengths = [...new Set(prefixLengths)];
  const load = (size: number, offset: number) => [BPF_LD | size | BPF_ABS, 0, 0, offset] as const;
  const end = (bytes: number) => [BPF_RET | BPF_K, 0, 0, bytes] as const;
  const refuse = 7 + lengths.length;
  const ours = refuse + 1;
  const accept = refuse + 3;
  // Jumps count from the instruction that follows; null goes on there.
  const jump = (at: number, test: number, value: number, yes: number | null, no: number | null) => {
    const distance = (to: number | null) => (to === null ? 0 : to - at - 1);
    return [BPF_JMP | test | BPF_K, distance(yes), distance(no), value] as const;
  };
  const program = [
    load(BPF_H, NLMSG_TYPE),
    jump(1, BPF_JEQ, networkOrder16(RTM_DELRULE), accept, null),
    jump(2, BPF_JEQ, networkOrder16(RTM_DELROUTE), ours, null),
    jump(3, BPF_JEQ, networkOrder16(RTM_NEWROUTE), null, refuse),
    load(BPF_H, NLMSG_FLAGS),
    jump(5, BPF_JSET, networkOrder16(NLM_F_REPLACE), null, refuse),
    load(BPF_B, RTM_DST_LEN),
    ...lengths.map((length, index) => jump(7 + index, BPF_JEQ, length, accept, null)),
    end(0),
    load(BPF_B, RTM_PROTOCOL),
    jump(ours + 1, BPF_JEQ, ROUTING_PROTOCOL, accept, accept + 1),
    end(ACCEPT_BYTES),
    end(0),
  ];
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, [code, yes, no, value]] of program.entries()) {
    view.setUint16(index * 8, code, HOST_LITTLE_ENDIAN);
    view.setUint8(index * 8 + 2, yes);
    view.setUint8(index * 8 + 3, no);
    view.setUint32(index * 8 + 4, value, HOST_LITTLE_ENDIAN);
  }
  return bytes;
}

/** BPF loads in network order what netlink writes in the host's. */
function networkOrder16(value: number): number {
  return HOST_LITTLE_ENDIAN ? ((value & 0xff) << 8) | (value >> 8) : value;
}

/**
 * The receiving side of VRRP: for each interface and family one raw socket for each multicast
 * group and one for unicast, shared by all instances there. Multicast and unicast are apart so
 * that a flood from far away, which only unicast can be, never fills the queue of the other; where
 * no instance has peers, unicast is heard from the link alone, to tell of it.
 *
 * Decodes each packet once, finds its instance by VRID, and counts what is refused. The first
 * refusal of a kind from a sender is reported, repeats only after REPORT_INTERVAL_US, and no more
 * than REPORTS_MAX of all in that time.
 *
 * While all instances of a socket are backups its packets are read many at a time, as late as
 * core/vrrp/patience.ts allows: see deadlineUs.
 */
import type { AddressFamily } from '../core/config/config.ts';
import { formatIp, parseIp } from '../core/ip.ts';
import { PATIENCE_MAX_US, ReadPace } from '../core/vrrp/patience.ts';
import type { Refusal, RefusalReason } from '../core/vrrp/types.ts';
import { ANY_TTL } from '../core/vrrp/unicast.ts';
import { decodeAdvertisement, LOCAL_TTL, peekVrid } from '../core/wire/vrrp.ts';
import { HMAC_TRAILER_BYTES } from '../core/wire/vrrp-hmac.ts';
import { monotonicUs } from '../linux/clock.ts';
import { DRAIN_PACKETS_MAX, type ReceivedAdvert, VrrpReceiver } from '../linux/vrrp-socket.ts';
import { newRefusalCounts } from './counters.ts';
import type { KeeperToController } from './messages.ts';
import type { InstanceRunner } from './runner.ts';
import { Strangers } from './strangers.ts';

/** A log line a minute per fault is enough to be seen and too little to fill a disk. */
const REPORT_INTERVAL_US = 60_000_000;
/** Reports per REPORT_INTERVAL_US, whoever sends: forged senders are ever new ones. */
const REPORTS_MAX = 256;

interface Listener {
  readonly interfaceName: string;
  readonly interfaceIndex: number;
  readonly family: AddressFamily;
  /** It hears a multicast group, not unicast. */
  readonly toGroup: boolean;
  readonly receiver: VrrpReceiver;
  readonly handler: (packet: ReceivedAdvert) => void;
  readonly runners: Map<number, InstanceRunner>;
  readonly pace: ReadPace;
  /** The least of its instances', as of this turn of Receivers.#change. */
  patienceUs: number;
  patienceOf: number;
}

export class Receivers {
  readonly #report: (message: KeeperToController) => void;
  readonly #onHandled: () => void;
  readonly #listeners = new Map<string, Listener>();
  readonly #reportedAtUs = new Map<string, number>();
  readonly strangers = new Strangers();
  readonly refusedUnassigned: Record<RefusalReason, number> = newRefusalCounts();
  /** False while the patience of a socket that is not watched may be another one. */
  #patienceKnown = true;
  /** Counts what may have changed the patience of an instance. */
  #change = 0;

  /** `onHandled` is called after packets were handled: deadlines may have moved. */
  constructor(report: (message: KeeperToController) => void, onHandled: () => void) {
    this.#report = report;
    this.#onHandled = onHandled;
  }

  /**
   * Makes the sockets match the runners: opens, closes, and opens anew where an interface was
   * made again. Throws SystemError when a socket cannot be opened.
   */
  assign(
    runners: Iterable<InstanceRunner>,
    interfaceIndexOf: (name: string) => number | null,
  ): void {
    const wanted = wantedListeners(runners, interfaceIndexOf);
    for (const [key, listener] of this.#listeners) {
      if (wanted.has(key)) continue;
      listener.receiver.close();
      this.#listeners.delete(key);
    }
    for (const [key, group] of wanted) {
      const listener = this.#listeners.get(key) ?? this.#open(key);
      listener.runners.clear();
      for (const [vrid, runner] of group) listener.runners.set(vrid, runner);
      this.strangers.forget(listener, group);
    }
    this.instancesChanged();
  }

  /** How long packets may wait has to be found again: an instance is another one, or in another state. */
  instancesChanged(): void {
    this.#change++;
    this.#patienceKnown = false;
  }

  /** When drainAll() is to be called for the sockets that are not watched; null for never. */
  get deadlineUs(): number | null {
    let nextUs: number | null = null;
    for (const { pace } of this.#listeners.values()) {
      const { lookAtUs } = pace;
      if (lookAtUs !== null && (nextUs === null || lookAtUs < nextUs)) nextUs = lookAtUs;
    }
    return nextUs;
  }

  /**
   * Watches the sockets again whose packets may have to be looked at sooner than it was when they
   * were left alone. Before deadlineUs is asked.
   */
  hurry(): void {
    if (this.#patienceKnown) return;
    this.#patienceKnown = true;
    for (const { pace, receiver, patienceOf } of this.#listeners.values()) {
      if (pace.lookAtUs === null || patienceOf === this.#change) continue;
      pace.watch();
      receiver.watch();
    }
  }

  /** Handles the packets that wait in the sockets; true when more may wait than it handled. */
  drainAll(): boolean {
    let more = false;
    for (const listener of this.#listeners.values()) {
      if (this.#drain(listener) >= DRAIN_PACKETS_MAX) more = true;
    }
    return more;
  }

  close(): void {
    for (const listener of this.#listeners.values()) listener.receiver.close();
    this.#listeners.clear();
  }

  #open(key: string): Listener {
    const [interfaceName, index, family, to] = key.split(' ') as [
      string,
      string,
      AddressFamily,
      string,
    ];
    const interfaceIndex = Number(index);
    const group = parseIp(to);
    const scope = group ?? (to === UNICAST ? 'unicast' : 'unicast-from-link');
    const receiver = new VrrpReceiver({ interfaceName, interfaceIndex, family, scope }, () => {
      this.#drain(listener);
      this.#onHandled();
    });
    const listener: Listener = {
      interfaceName,
      interfaceIndex,
      family,
      toGroup: group !== null,
      receiver,
      handler: (packet) => this.#handle(listener, packet),
      runners: new Map(),
      pace: new ReadPace(),
      patienceUs: 0,
      patienceOf: -1,
    };
    this.#listeners.set(key, listener);
    return listener;
  }

  #drain(listener: Listener): number {
    const { receiver, pace } = listener;
    const count = receiver.drain(listener.handler);
    const wasWatched = pace.lookAtUs === null;
    if (count === 0 && wasWatched) return 0;
    pace.noteRead(monotonicUs(), count, count >= DRAIN_PACKETS_MAX, this.#patience(listener));
    const isWatched = pace.lookAtUs === null;
    if (wasWatched && !isWatched) receiver.unwatch();
    else if (!wasWatched && isWatched) receiver.watch();
    return count;
  }

  /** The least patience of the instances that the listener hears packets for. */
  #patience(listener: Listener): number {
    if (listener.patienceOf === this.#change) return listener.patienceUs;
    let leastUs = PATIENCE_MAX_US;
    for (const runner of listener.runners.values()) {
      leastUs = Math.min(leastUs, runner.patienceUs);
      if (leastUs === 0) break;
    }
    listener.patienceUs = leastUs;
    listener.patienceOf = this.#change;
    return leastUs;
  }

  #handle(listener: Listener, packet: ReceivedAdvert): void {
    const { toGroup } = listener;
    const vrid = peekVrid(packet.payload, packet.lengthBytes);
    const runner = vrid === null ? undefined : listener.runners.get(vrid);
    if (runner?.hearAgain(packet, toGroup) === true) return;
    // Other virtual routers may sign theirs: what has our trailer's length is not malformed.
    const trailerBytes = runner?.trailerBytes ?? HMAC_TRAILER_BYTES;
    const decoded = decodeAdvertisement(
      {
        bytes: packet.payload,
        lengthBytes: packet.lengthBytes,
        truncated: packet.truncated,
        ttl: packet.ttl,
        ttlBounds: toGroup ? LOCAL_TTL : (runner?.ttlBounds(packet.source) ?? ANY_TTL),
        source: packet.source,
        destination: packet.destination,
        family: listener.family,
      },
      trailerBytes,
    );
    if (!decoded.ok) return this.#refuse(listener, runner, packet, decoded.error);
    if (runner === undefined) {
      // Other virtual routers on the segment are normal: counted, never reported.
      this.refusedUnassigned['unknown-vrid']++;
      const { source, receivedAtUs: atUs } = packet;
      return this.strangers.note(listener, decoded.value, source, atUs);
    }
    const refusal = runner.receive(decoded.value, packet, toGroup);
    if (refusal !== null) this.#refuse(listener, runner, packet, refusal);
  }

  #refuse(
    listener: Listener,
    runner: InstanceRunner | undefined,
    packet: ReceivedAdvert,
    refusal: Refusal,
  ): void {
    if (runner === undefined) this.refusedUnassigned[refusal.reason]++;
    else runner.noteRefusal(refusal, packet.source, packet.receivedAtUs);
    const source = formatIp(packet.source, listener.family);
    const instance = runner?.config.name ?? null;
    const key = `${listener.interfaceName} ${instance} ${source} ${refusal.reason}`;
    if (!this.#mayReport(key, packet.receivedAtUs)) return;
    this.#report({
      kind: 'refused',
      instance,
      interface: listener.interfaceName,
      source,
      reason: refusal.reason,
      detail: refusal.detail,
    });
  }
  /** Notes a report with this key unless it, or too many others, were made a short while ago. */
  #mayReport(key: string, nowUs: number): boolean {
    const reported = this.#reportedAtUs;
    const lastUs = reported.get(key);
    if (lastUs !== undefined && nowUs - lastUs < REPORT_INTERVAL_US) return false;
    // Deleted and set anew, so that the entries stay in the order of their times.
    reported.delete(key);
    if (reported.size >= REPORTS_MAX) {
      const [oldest] = reported;
      if (oldest === undefined || nowUs - oldest[1] < REPORT_INTERVAL_US) return false;
      reported.delete(oldest[0]);
    }
    reported.set(key, nowUs);
    return true;
  }
}

const UNICAST = 'unicast';
const UNICAST_FROM_LINK = 'unicast-from-link';

/**
 * The listeners that the instances need, by interface, its index, family and what is heard, each
 * with the instances that its packets may be for. Those that would refuse them all are among
 * these: that a peer uses unicast where this director does not is worth telling.
 */
function wantedListeners(
  runners: Iterable<InstanceRunner>,
  interfaceIndexOf: (name: string) => number | null,
): Map<string, Map<number, InstanceRunner>> {
  const links = new Map<string, { groups: Set<string>; unicast: boolean; all: InstanceRunner[] }>();
  for (const runner of runners) {
    const { interface: interfaceName, family, unicast, multicastGroup } = runner.config;
    const index = interfaceIndexOf(interfaceName);
    if (index === null) continue;
    const key = `${interfaceName} ${index} ${family}`;
    const link = links.get(key) ?? { groups: new Set(), unicast: false, all: [] };
    links.set(key, link);
    link.all.push(runner);
    if (unicast === null) link.groups.add(multicastGroup);
    else link.unicast = true;
  }
  const wanted = new Map<string, Map<number, InstanceRunner>>();
  for (const [key, { groups, unicast, all }] of links) {
    const byVrid = (chosen: readonly InstanceRunner[]) =>
      new Map(chosen.map((runner) => [runner.config.vrid, runner]));
    wanted.set(`${key} ${unicast ? UNICAST : UNICAST_FROM_LINK}`, byVrid(all));
    for (const group of groups) {
      const heard = all.filter(
        ({ config }) => config.unicast !== null || config.multicastGroup === group,
      );
      wanted.set(`${key} ${group}`, byVrid(heard));
    }
  }
  return wanted;
}

/**
 * The receiving side of VRRP: one raw socket per interface and family, shared by all instances
 * there. Decodes each packet once, finds its instance by VRID, and counts what is refused. The
 * first refusal of a kind from a sender is reported, repeats only after REPORT_INTERVAL_US, and
 * no more than REPORTS_MAX of all in that time.
 */
import type { AddressFamily } from '../core/config/config.ts';
import { formatIp } from '../core/ip.ts';
import type { Refusal, RefusalReason } from '../core/vrrp/types.ts';
import { decodeAdvertisement, peekVrid } from '../core/wire/vrrp.ts';
import { HMAC_TRAILER_BYTES } from '../core/wire/vrrp-hmac.ts';
import { DRAIN_PACKETS_MAX, type ReceivedAdvert, VrrpReceiver } from '../linux/vrrp-socket.ts';
import { newRefusalCounts } from './counters.ts';
import type { KeeperToController } from './messages.ts';
import type { InstanceRunner } from './runner.ts';

/** A log line a minute per fault is enough to be seen and too little to fill a disk. */
const REPORT_INTERVAL_US = 60_000_000;
/** Reports per REPORT_INTERVAL_US, whoever sends: forged senders are ever new ones. */
const REPORTS_MAX = 256;

interface Listener {
  readonly interfaceName: string;
  readonly interfaceIndex: number;
  readonly family: AddressFamily;
  readonly receiver: VrrpReceiver;
  readonly runners: Map<number, InstanceRunner>;
}

export class Receivers {
  readonly #report: (message: KeeperToController) => void;
  readonly #onHandled: () => void;
  readonly #listeners = new Map<string, Listener>();
  readonly #reportedAtUs = new Map<string, number>();
  readonly refusedUnassigned: Record<RefusalReason, number> = newRefusalCounts();

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
    const wanted = new Map<string, Map<number, InstanceRunner>>();
    for (const runner of runners) {
      const { interface: interfaceName, family, vrid } = runner.config;
      const index = interfaceIndexOf(interfaceName);
      if (index === null) continue;
      const key = `${interfaceName} ${index} ${family}`;
      const group = wanted.get(key) ?? new Map<number, InstanceRunner>();
      group.set(vrid, runner);
      wanted.set(key, group);
    }
    for (const [key, listener] of this.#listeners) {
      if (wanted.has(key)) continue;
      listener.receiver.close();
      this.#listeners.delete(key);
    }
    for (const [key, group] of wanted) {
      const listener = this.#listeners.get(key) ?? this.#open(key);
      listener.runners.clear();
      for (const [vrid, runner] of group) listener.runners.set(vrid, runner);
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
    const [interfaceName, index, family] = key.split(' ') as [string, string, AddressFamily];
    const interfaceIndex = Number(index);
    const receiver = new VrrpReceiver({ interfaceName, interfaceIndex, family }, () => {
      this.#drain(listener);
      this.#onHandled();
    });
    const listener: Listener = {
      interfaceName,
      interfaceIndex,
      family,
      receiver,
      runners: new Map(),
    };
    this.#listeners.set(key, listener);
    return listener;
  }

  #drain(listener: Listener): number {
    return listener.receiver.drain((packet) => this.#handle(listener, packet));
  }

  #handle(listener: Listener, packet: ReceivedAdvert): void {
    const vrid = peekVrid(packet.payload, packet.lengthBytes);
    const runner = vrid === null ? undefined : listener.runners.get(vrid);
    // Other virtual routers may sign theirs: what has our trailer's length is not malformed.
    const trailerBytes = runner?.trailerBytes ?? HMAC_TRAILER_BYTES;
    const decoded = decodeAdvertisement(
      {
        bytes: packet.payload,
        lengthBytes: packet.lengthBytes,
        truncated: packet.truncated,
        ttl: packet.ttl,
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
      return;
    }
    const refusal = runner.receive(decoded.value, packet.source, packet.receivedAtUs);
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

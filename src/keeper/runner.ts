/**
 * One VRRP instance in the world: feeds the pure machine (core/vrrp/instance.ts) with what
 * happens, and does what it asks for, in its order and inside one turn of the event loop:
 * advertisement, addresses, announcement.
 */
import { assertNever } from '../core/assert.ts';
import type { VrrpConfig } from '../core/config/config.ts';
import { compareIp, formatIp, parseIp } from '../core/ip.ts';
import type { Problem } from '../core/problem.ts';
import { INITIAL_STATE, nextDeadlineUs, step, type VrrpState } from '../core/vrrp/instance.ts';
import { acceptAdvertisement } from '../core/vrrp/receive.ts';
import { activeDownIntervalUs } from '../core/vrrp/timing.ts';
import type {
  FaultReason,
  Refusal,
  TransitionReason,
  VrrpEffect,
  VrrpEvent,
} from '../core/vrrp/types.ts';
import {
  AUTHENTICATION_BYTES,
  type DecodedAdvertisement,
  encodeAdvertisement,
  MAX_ADVERTISEMENT_BYTES,
  VRRP_GROUP_IPV4,
  VRRP_GROUP_IPV6,
} from '../core/wire/vrrp.ts';
import { monotonicUs } from '../linux/clock.ts';
import { SystemError } from '../linux/libc.ts';
import { VrrpSender } from '../linux/vrrp-socket.ts';
import type { Announcer } from './announcer.ts';
import { newCounters } from './counters.ts';
import type { InstanceStatus, KeeperToController, PeerStatus } from './messages.ts';
import type { Network } from './network.ts';
import type { RecordedInstance } from './record.ts';
import { addVips, removeVips } from './vips.ts';

const GROUP: Readonly<Record<'ipv4' | 'ipv6', Uint8Array>> = {
  ipv4: VRRP_GROUP_IPV4,
  ipv6: VRRP_GROUP_IPV6,
};

export interface RunnerPorts {
  readonly network: Network;
  readonly announcer: Announcer;
  readonly report: (message: KeeperToController) => void;
  /** Notes in the record when the instance of this slot advertised; 0: it is not active. */
  readonly noteAdvert: (slot: number, atUs: number) => void;
}

export class InstanceRunner {
  #config: VrrpConfig;
  readonly #ports: RunnerPorts;
  readonly #message = new Uint8Array(MAX_ADVERTISEMENT_BYTES);
  readonly #counters = newCounters();
  #state: VrrpState = INITIAL_STATE;
  #reason: TransitionReason = 'started';
  #lastTransitionAtMs = Date.now();
  #vipBytes: readonly Uint8Array[] = [];
  #vipTexts: ReadonlySet<string> = new Set();
  #password: Uint8Array | null = null;
  #sender: VrrpSender | null = null;
  #source: Uint8Array | null = null;
  #sourceText: string | null = null;
  #interfaceIndex = 0;
  #controllerLost = false;
  readonly #peerAddress = new Uint8Array(16);
  #peer: Omit<PeerStatus, 'address'> | null = null;
  #peerChecksum: 'message' | 'pseudo-header' = 'pseudo-header';

  /** Its place in the runtime record; changes with the plan. */
  slot: number;

  constructor(config: VrrpConfig, slot: number, ports: RunnerPorts) {
    this.#config = config;
    this.slot = slot;
    this.#ports = ports;
    this.#prepare();
  }

  get config(): VrrpConfig {
    return this.#config;
  }

  get isActive(): boolean {
    return this.#state.kind === 'active';
  }

  get lastAdvertAtUs(): number {
    return this.#state.kind === 'active' ? this.#state.lastAdvertAtUs : 0;
  }

  get deadlineUs(): number | null {
    return nextDeadlineUs(this.#state);
  }

  get counters(): ReturnType<typeof newCounters> {
    return this.#counters;
  }

  /** Begins the protocol; `recorded` is what an earlier keeper of this boot left of it. */
  start(recorded: RecordedInstance | null): void {
    for (const vip of recorded?.addresses ?? []) {
      this.#ports.network.claim(vip.interface, vip.address);
    }
    const nowUs = monotonicUs();
    const fault = this.#findFault();
    if (fault !== null) {
      this.#removeLeftOver();
      this.#dispatch({ kind: 'fault-raised', atUs: nowUs, reason: fault });
      return;
    }
    const lastAdvertAtUs = recorded?.lastAdvertAtUs ?? 0;
    if (lastAdvertAtUs > 0) this.#dispatch({ kind: 'adopted', atUs: nowUs, lastAdvertAtUs });
    else {
      this.#removeLeftOver();
      this.#dispatch({ kind: 'started', atUs: nowUs });
    }
  }

  /**
   * Takes over changed options that do not change who the virtual router is (its interface,
   * VRID, family, version and source stay the same).
   */
  reconfigure(config: VrrpConfig): void {
    const before = this.#config;
    this.#config = config;
    this.#prepare();
    if (this.isActive) {
      const kept = new Set(config.addresses.map((vip) => `${vip.interface} ${vip.address}`));
      const removed = before.addresses.filter(
        (vip) => !kept.has(`${vip.interface} ${vip.address}`),
      );
      removeVips(this.#ports.network, removed);
      const added = addVips(this.#ports.network, config.addresses);
      this.#reportProblems(added.problems);
      if (added.added.length > 0) this.#announce();
    }
    this.#dispatch({ kind: 'reconfigured', atUs: monotonicUs() });
  }

  /** A decoded packet for this VRID; refuses or hands it to the machine. Null when taken. */
  receive(decoded: DecodedAdvertisement, source: Uint8Array, receivedAtUs: number): Refusal | null {
    const own = this.#source;
    if (own === null) return null;
    const accepted = acceptAdvertisement(
      decoded,
      {
        version: this.#config.version,
        vrid: this.#config.vrid,
        family: this.#config.family,
        password: this.#password,
        advertIntervalUs: this.#config.advertIntervalUs,
        ownAddress: own,
      },
      source,
    );
    if (!accepted.ok) return accepted.error;
    this.#counters.advertsReceived++;
    if (decoded.priority === 0) this.#counters.priorityZeroReceived++;
    this.#peerAddress.set(source);
    this.#peer = {
      priority: decoded.priority,
      advertIntervalUs: decoded.advertIntervalUs,
      lastHeardUs: receivedAtUs,
    };
    this.#peerChecksum = decoded.checksum;
    this.#dispatch({
      kind: 'advert-received',
      atUs: receivedAtUs,
      priority: decoded.priority,
      advertIntervalUs: decoded.advertIntervalUs,
      fromHigherAddress: compareIp(source, own) > 0,
    });
    return null;
  }

  countRefusal(refusal: Refusal): void {
    this.#counters.refused[refusal.reason]++;
  }

  fireDeadline(nowUs: number): void {
    this.#dispatch({ kind: 'deadline-reached', atUs: nowUs });
  }

  /** Looks at links and addresses again: raises or clears faults, follows a changed source. */
  networkChanged(): void {
    const fault = this.#findFault();
    const state = this.#state;
    if (fault !== null) {
      if (state.kind === 'fault' && state.reason === fault) return;
      this.#dispatch({ kind: 'fault-raised', atUs: monotonicUs(), reason: fault });
      this.#ports.report({ kind: 'faulted', instance: this.#config.name, reason: fault });
    } else if (state.kind === 'fault') {
      this.#dispatch({ kind: 'fault-cleared', atUs: monotonicUs(), reason: 'interface-up' });
    }
  }

  /** An address that is gone without our doing; puts it back at once if it is an active VIP. */
  addressLost(interfaceName: string, address: string, byPid: number | null): void {
    if (!this.isActive) return;
    const vip = this.#config.addresses.find(
      (candidate) => candidate.interface === interfaceName && candidate.address === address,
    );
    if (vip === undefined) return;
    const restored = addVips(this.#ports.network, [vip]);
    this.#reportProblems(restored.problems);
    if (restored.added.length === 0) return;
    this.#counters.addressesRestored++;
    this.#announce();
    const instance = this.#config.name;
    this.#ports.report({ kind: 'address-restored', instance, address, byPid });
  }

  /** The controller cannot be started (true), or is back (false). */
  setControllerLost(lost: boolean): void {
    if (this.#controllerLost === lost) return;
    this.#controllerLost = lost;
    this.networkChanged();
  }

  /** Resigns, removes the VIPs and closes the sockets. */
  stop(): void {
    this.#dispatch({ kind: 'stopped', atUs: monotonicUs() });
    this.#sender?.close();
    this.#sender = null;
  }

  status(): InstanceStatus {
    const config = this.#config;
    const state = this.#state;
    const heardUs =
      state.kind === 'backup' ? state.activeAdvertIntervalUs : config.advertIntervalUs;
    const peer = this.#peer;
    return {
      name: config.name,
      state: state.kind,
      reason: this.#reason,
      priority: config.priority,
      interface: config.interface,
      family: config.family,
      version: config.version,
      vrid: config.vrid,
      sourceAddress: this.#sourceText,
      advertIntervalUs: config.advertIntervalUs,
      activeDownIntervalUs: activeDownIntervalUs(config, heardUs),
      lastTransitionAtMs: this.#lastTransitionAtMs,
      addresses: config.addresses.map((vip) => ({
        address: vip.address,
        prefixLength: vip.prefixLength,
        interface: vip.interface,
        present: this.#ports.network.hasAddress(vip.interface, vip.address),
      })),
      peer: peer === null ? null : { ...peer, address: this.#peerText() },
      counters: {
        ...this.#counters,
        refused: { ...this.#counters.refused },
        transitions: { ...this.#counters.transitions },
      },
    };
  }

  #prepare(): void {
    const { addresses, password } = this.#config;
    const advertised = addresses.filter((vip) => vip.advertised);
    this.#vipBytes = advertised.map((vip) => parseIp(vip.address) as Uint8Array);
    this.#vipTexts = new Set(addresses.map((vip) => vip.address));
    this.#password = null;
    if (password === null) return;
    this.#password = new Uint8Array(AUTHENTICATION_BYTES);
    new TextEncoder().encodeInto(password, this.#password);
  }

  #dispatch(event: VrrpEvent): void {
    const before = this.#state;
    const { state, effects } = step(this.#config, before, event);
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
    if (before.kind === 'active' && state.kind !== 'active') this.#ports.noteAdvert(this.slot, 0);
  }

  #perform(effect: VrrpEffect): void {
    switch (effect.kind) {
      case 'send-advert':
        return this.#sendAdvert(effect.resign);
      case 'add-addresses': {
        const result = addVips(this.#ports.network, this.#config.addresses);
        return this.#reportProblems(result.problems);
      }
      case 'remove-addresses':
        return this.#reportProblems(removeVips(this.#ports.network, this.#config.addresses));
      case 'announce':
        return this.#announce();
      case 'report-transition':
        return this.#reportTransition(effect);
      default:
        return assertNever(effect);
    }
  }

  #sendAdvert(resign: boolean): void {
    const source = this.#source;
    if (source === null || this.#sender === null) return;
    const { version, vrid, priority, advertIntervalUs, family, checksum } = this.#config;
    const length = encodeAdvertisement(this.#message, {
      version,
      vrid,
      priority: resign ? 0 : priority,
      advertIntervalUs,
      addresses: this.#vipBytes,
      family,
      checksum: checksum === 'auto' ? this.#peerChecksum : checksum,
      password: this.#password,
      source,
      destination: GROUP[family],
    });
    if (this.#sender.send(this.#message, length) < 0) this.#counters.sendErrors++;
    else {
      this.#counters.advertsSent++;
      if (resign) this.#counters.priorityZeroSent++;
    }
    // Noted even when it failed: what counts is that we meant to be active at this moment.
    if (!resign) this.#ports.noteAdvert(this.slot, monotonicUs());
  }

  #announce(): void {
    const { addresses, announce } = this.#config;
    const { sent, failed } = this.#ports.announcer.burst(addresses, announce.repeat);
    this.#counters.announcementsSent += sent;
    this.#counters.sendErrors += failed;
  }

  #reportTransition(effect: Extract<VrrpEffect, { kind: 'report-transition' }>): void {
    const { from, to, reason } = effect;
    this.#reason = reason;
    this.#lastTransitionAtMs = Date.now();
    this.#counters.transitions[to]++;
    this.#ports.report({
      kind: 'transition',
      instance: this.#config.name,
      from,
      to,
      reason,
      peer: this.#peer === null ? null : this.#peerText(),
      priority: this.#config.priority,
      atMs: this.#lastTransitionAtMs,
    });
  }

  /** Why this instance cannot take part now, or null. Keeps the sender in step with the source. */
  #findFault(): FaultReason | null {
    const { network } = this.#ports;
    const { family, interface: interfaceName } = this.#config;
    const link = network.link(interfaceName);
    if (this.#controllerLost) return 'controller-lost';
    if (link === null) return 'interface-missing';
    if (!link.up || !link.running) return 'interface-down';
    const wanted = this.#config.sourceAddress;
    const found =
      wanted !== null && network.hasAddress(interfaceName, wanted)
        ? wanted
        : wanted === null
          ? network.sourceAddress(interfaceName, family, this.#vipTexts)
          : null;
    if (found === null) return 'no-source-address';
    if (found !== this.#sourceText || link.index !== this.#interfaceIndex) {
      if (!this.#openSender(found, link.index)) return 'no-source-address';
    }
    return null;
  }

  #openSender(sourceText: string, interfaceIndex: number): boolean {
    const { family, interface: interfaceName } = this.#config;
    const sourceAddress = parseIp(sourceText) as Uint8Array;
    this.#sender?.close();
    this.#sender = null;
    this.#sourceText = null;
    this.#source = null;
    try {
      this.#sender = new VrrpSender({ interfaceName, interfaceIndex, family, sourceAddress });
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#reportProblems([
        {
          code: 'VK-NO-SOURCE-ADDRESS',
          message: `Instance ${this.#config.name} cannot send from ${sourceText} on ${interfaceName}: ${error.message}`,
          cure: `Check the addresses of ${interfaceName} with: ip address show dev ${interfaceName}`,
        },
      ]);
      return false;
    }
    this.#source = sourceAddress;
    this.#sourceText = sourceText;
    this.#interfaceIndex = interfaceIndex;
    return true;
  }

  /** VIPs that an earlier keeper left and that are not ours to hold any more. */
  #removeLeftOver(): void {
    const { network } = this.#ports;
    const marked = this.#config.addresses.filter((vip) =>
      network.isOurs(vip.interface, vip.address),
    );
    removeVips(network, marked);
  }

  #reportProblems(problems: readonly Problem[]): void {
    for (const problem of problems) {
      this.#ports.report({ kind: 'problem', instance: this.#config.name, problem });
    }
  }

  #peerText(): string {
    return formatIp(this.#peerAddress, this.#config.family);
  }
}

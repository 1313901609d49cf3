/**
 * One VRRP instance in the world: feeds the pure machine (core/vrrp/instance.ts) with what
 * happens, and does what it asks for, in its order and inside one turn of the event loop:
 * advertisement, addresses, announcement.
 */
import { assertNever } from '../core/assert.ts';
import type { VrrpConfig } from '../core/config/config.ts';
import type { Deadline, DeadlineQueue } from '../core/deadlines.ts';
import { compareIp, formatIp, parseIp } from '../core/ip.ts';
import type { Problem } from '../core/problem.ts';
import type { Burst } from '../core/vrrp/announce.ts';
import { type GroupCommand, groupEvent } from '../core/vrrp/group.ts';
import { HeldState } from '../core/vrrp/held-state.ts';
import { nextDeadlineUs, stateName, type VrrpState } from '../core/vrrp/instance.ts';
import { patienceUs } from '../core/vrrp/patience.ts';
import { acceptAdvertisement } from '../core/vrrp/receive.ts';
import { activeDownIntervalUs, DOWN_ADVERTS, safeSilenceUs } from '../core/vrrp/timing.ts';
import {
  awaitedTrackers,
  type Evaluation,
  evaluateTracks,
  type TrackerState,
} from '../core/vrrp/tracking.ts';
import type {
  FaultReason,
  HandoverOutcome,
  InstanceOptions,
  Refusal,
  TransitionReason,
  VrrpEffect,
  VrrpEvent,
} from '../core/vrrp/types.ts';
import { stepAtUs } from '../core/vrrp/wake.ts';
import { formatMac } from '../core/wire/ethernet.ts';

import {
  AUTHENTICATION_BYTES,
  type DecodedAdvertisement,
  MAX_ADVERTISEMENT_BYTES,
  type TtlBounds,
} from '../core/wire/vrrp.ts';
import { HMAC_TRAILER_BYTES } from '../core/wire/vrrp-hmac.ts';
import { monotonicUs } from '../linux/clock.ts';
import type { VrrpFrameSenderOptions } from '../linux/frame-sender.ts';
import { SystemError } from '../linux/libc.ts';
import type { Link } from '../linux/netlink/route-messages.ts';
import type { ReceivedAdvert, VrrpSenderOptions } from '../linux/vrrp-socket.ts';
import { AddressRefusal } from './address-refusal.ts';
import type { Announcer, BurstRequest } from './announcer.ts';
import type { BaseSettings } from './base-settings.ts';
import { newCounters } from './counters.ts';
import { HmacSession } from './hmac-session.ts';
import type { Intake } from './intake.ts';
import type { InstanceStatus, KeeperToController, PeerStatus } from './messages.ts';
import type { Network } from './network.ts';
import { Peers } from './peers.ts';
import type { Debtor, PutOff } from './put-off.ts';
import { type Message, Reach, type Sender } from './reach.ts';
import type { RecordedInstance } from './record.ts';
import type { Routing } from './routing.ts';
import { UsualAdvert } from './usual-advert.ts';
import { VipHolder } from './vip-holder.ts';
import { type AddResult, prepareVips, removeVips } from './vips.ts';
import { VirtualLink } from './virtual-link.ts';

/** Two active directors are told of once a second, however fast the other one advertises. */
const LOWER_PRIORITY_REPORT_US = 1_000_000;

/** What the end of a fault of an instance's own is called. */
const CLEARED: Readonly<
  Record<
    Exclude<FaultReason, 'group-member-fault'>,
    Extract<VrrpEvent, { kind: 'fault-cleared' }>['reason']
  >
> = {
  'interface-down': 'interface-up',
  'interface-missing': 'interface-up',
  'no-source-address': 'interface-up',
  'no-virtual-link': 'interface-up',
  'addresses-refused': 'addresses-taken',
  'no-peer': 'reconfigured',
  'controller-lost': 'controller-back',
  'tracker-down': 'tracker-up',
};

/** Whether patienceUs() may say something else of the one than of the other. */
function patienceChanges(before: VrrpState, after: VrrpState): boolean {
  if (before.kind !== after.kind) return true;
  if (before.kind !== 'backup' || after.kind !== 'backup') return false;
  return before.activeAdvertIntervalUs !== after.activeAdvertIntervalUs;
}

/** What comes after the advertisements of all. */
function isPutOff({ kind }: VrrpEffect): boolean {
  return kind !== 'send-advert';
}

const BURST_SCOPES: readonly Burst['scope'][] = ['all', 'extra-interfaces'];
const NO_ADDRESSES: readonly string[] = [];
const NOTHING_OWED: readonly VrrpEffect[] = [];

export interface RunnerPorts {
  readonly network: Network;
  readonly announcer: Announcer;
  readonly routing: Pick<Routing, 'hold' | 'release' | 'objects'>;
  readonly settings: BaseSettings;
  /** Whether an interface of this name is to have IPv6 addresses or routes. */
  readonly bearsIpv6: (interfaceName: string) => boolean;
  readonly intake: Pick<Intake, 'hold' | 'release'>;
  /** Throws SystemError, as VrrpSender does. With `sourceMac`, of frames from that address. */
  readonly openSender: (options: VrrpSenderOptions | VrrpFrameSenderOptions) => Sender;
  readonly report: (message: KeeperToController) => void;
  /** State of a tracker by name; undefined before it is known. */
  readonly tracker: (name: string) => TrackerState | undefined;
  /** How long the first state of a tracker may take after a start, in microseconds. */
  readonly firstStateUs: (name: string) => number;
  /** A member of this sync group took a step. */
  readonly groupStepped: (group: string) => void;
  /** Whether another member of the runner's sync group has a fault of its own. */
  readonly groupFaulty: (runner: InstanceRunner) => boolean;
  /** A peer lost against the runner: its group's other members announce their VIPs too. */
  readonly groupPeerLost: (runner: InstanceRunner) => void;
  /** Where the instance says when it is to be looked at again while it is active: see fireIfDue(). */
  readonly adverts: DeadlineQueue<InstanceRunner>;
  /** The same while it is not. */
  readonly takeovers: DeadlineQueue<InstanceRunner>;
  /** Notes in the record when the instance of this slot advertised; 0: it is not active. */
  readonly noteAdvert: (slot: number, atUs: number) => void;
  /** Monotonic clock: instances take no part before this moment, but adopt. */
  readonly startsAtUs: number;
  /** Its state is of another kind, or its options are others: patienceUs may be too. */
  readonly patienceChanged: () => void;
  /** Has something done that is no part of a turn: what has come is heard before. */
  readonly betweenTurns: (act: () => void) => void;
  /** Where what can wait is put off to, while it is open. */
  readonly putOff: PutOff;
}

/** What is needed all the time of the configuration, with the effective priority. */
type RunnerOptions = Required<InstanceOptions> & Pick<VrrpConfig, 'family' | 'vrid' | 'checksum'>;

export class InstanceRunner implements Debtor {
  #config: VrrpConfig;
  readonly #ports: RunnerPorts;
  readonly #message = new Uint8Array(MAX_ADVERTISEMENT_BYTES + HMAC_TRAILER_BYTES);
  readonly #counters = newCounters();
  readonly #held = new HeldState();
  /** What was heard last, while it would be taken again. */
  #usual: UsualAdvert | null = null;
  readonly #advertDue: Deadline<InstanceRunner>;
  readonly #takeoverDue: Deadline<InstanceRunner>;
  #reason: TransitionReason = 'started';
  #lastTransitionAtMs = Date.now();
  #vipBytes: readonly Uint8Array[] = [];
  #vipTexts: ReadonlySet<string> = new Set();
  #password: Uint8Array | null = null;
  #hmac: HmacSession | null = null;
  readonly #reach: Reach;
  #controllerLost = false;
  /** An earlier keeper was active: what its trackers said then is taken to be so still. */
  #goesOn = false;
  /** Until then it waits for trackers that may forbid to take part; 0 when all have spoken. */
  #awaitsUntilUs = 0;
  /** What a takeover sends is ready for these options; it is looked at once more when it is sent. */
  #readyFor: RunnerOptions | null = null;
  /** The configuration with the effective priority. */
  #options: RunnerOptions;
  #evaluation: Evaluation;
  readonly #peerAddress = new Uint8Array(16);
  /** The same as text, while it is known. */
  #peerName: string | null = null;
  #handoverSinceUs = 0;
  #lastHandover: InstanceStatus['lastHandover'] = null;
  #lowerPriorityToldAtUs = Number.NEGATIVE_INFINITY;
  #peer: { -readonly [Field in keyof Omit<PeerStatus, 'address'>]: PeerStatus[Field] } | null =
    null;
  readonly #peers: Peers;
  /** A burst takes the place of one with the same scope only. */
  readonly #burstOwners: Readonly<Record<Burst['scope'], string>>;
  readonly #vips: VipHolder;
  readonly #refusal: AddressRefusal;
  #peerChecksum: 'message' | 'pseudo-header' = 'pseudo-header';
  readonly #link: VirtualLink | null;
  /** The problem of the link that was told last: the same one is not told again. */
  #linkProblem: string | null = null;
  /** The burst of now that was asked for last. */
  #burst: BurstRequest | null = null;
  /** What waits for settle(), in its order, from `#owedFrom` on. */
  #owed: readonly VrrpEffect[] = NOTHING_OWED;
  #owedFrom = 0;
  /** What is advertised while nothing of it changes, and the options that it was made of. */
  #advert: Message | null = null;
  #advertOf: RunnerOptions | null = null;

  /** Its place in the runtime record; changes with the plan. */
  slot: number;

  constructor(config: VrrpConfig, slot: number, ports: RunnerPorts) {
    this.#config = config;
    this.slot = slot;
    this.#ports = ports;
    this.#advertDue = ports.adverts.add(this);
    this.#takeoverDue = ports.takeovers.add(this);
    this.#peers = new Peers(config.family);
    const { virtualLink, name } = config;
    this.#burstOwners = { all: `${name} all`, 'extra-interfaces': `${name} extra-interfaces` };
    this.#link = virtualLink === null ? null : new VirtualLink(virtualLink, name, ports);
    this.#reach = new Reach(config, ports.network, (options) => this.#openSocket(options));
    this.#vips = new VipHolder({
      network: ports.network,
      restored: (vip, byPid) => this.#addressRestored(vip.address, byPid),
      appeared: () => this.#announceAll(),
      refused: () => this.#refusal.suspected(),
      problem: (problem) => this.#reportProblems([problem]),
    });
    this.#refusal = new AddressRefusal({
      network: ports.network,
      vips: () => this.#config.addresses,
      holder: this.#vips,
      isActive: () => this.isActive,
      betweenTurns: ports.betweenTurns,
      changed: () => this.networkChanged(),
      problem: (problem) => this.#reportProblems([problem]),
    });
    this.#evaluation = this.#evaluate();
    this.#options = this.#optionsOf(config);
    this.#prepare();
  }

  get config(): VrrpConfig {
    return this.#config;
  }

  get state(): VrrpState {
    return this.#held.current;
  }

  get isActive(): boolean {
    return this.state.kind === 'active';
  }

  get lastAdvertAtUs(): number {
    return this.state.kind === 'active' ? this.state.lastAdvertAtUs : 0;
  }

  get deadlineUs(): number | null {
    return nextDeadlineUs(this.state);
  }

  /** How long an advertisement for it may wait in a socket: core/vrrp/patience.ts. */
  get patienceUs(): number {
    return patienceUs(this.#options, this.state);
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
    this.#goesOn = recorded !== null && recorded.lastAdvertAtUs > 0;
    this.#awaitsUntilUs = this.#goesOn ? 0 : this.#firstStatesUs(nowUs);
    this.#evaluation = this.#evaluate();
    this.#options = this.#optionsOf(this.#config);
    if (!this.#goesOn) this.#refusal.foresee(this.#config.virtualLink?.name ?? null);
    const fault = this.#findFault();
    if (fault !== null) {
      this.#removeLeftOver();
      this.#dispatch({ kind: 'fault-raised', atUs: nowUs, reason: fault });
      return;
    }
    if (recorded !== null && recorded.lastAdvertAtUs > 0) {
      // Peers wait as long as the interval that they heard demands, not a changed one.
      const { advertIntervalUs, downTimerAdverts } = this.#config;
      const recordedAdverts = Math.min(recorded.downTimerAdverts ?? DOWN_ADVERTS, downTimerAdverts);
      const changeUs =
        safeSilenceUs(recorded.advertIntervalUs, recordedAdverts) -
        safeSilenceUs(advertIntervalUs, downTimerAdverts);
      const lastAdvertAtUs = recorded.lastAdvertAtUs + changeUs;
      this.#dispatch({ kind: 'adopted', atUs: nowUs, lastAdvertAtUs });
    } else {
      this.#removeLeftOver();
      this.#dispatch({ kind: 'started', atUs: nowUs });
    }
  }

  /**
   * Takes over changed options that do not change who the virtual router is (its interface,
   * VRID, family, version and source stay the same). Where they are its end, because no peer is
   * left, those whom it had are told.
   */
  reconfigure(config: VrrpConfig): void {
    this.settle();
    const losesPeers = config.unicast?.faultWithoutPeers === true && this.#reach.losesPeers(config);
    if (losesPeers && this.state.kind !== 'fault') this.#raiseFault('no-peer');
    const priorityBefore = this.#evaluation.priority;
    this.#config = config;
    this.#burst = null;
    this.#reach.config = config;
    this.#evaluation = this.#evaluate();
    if (this.#awaited.length === 0) this.#awaitsUntilUs = 0;
    this.#options = this.#optionsOf(config);
    this.#prepare();
    if (this.isActive) {
      this.#limitIntake();
      // The link may have to have IPv6 now.
      const base = this.#ports.network.link(config.interface);
      if (base !== null) this.#ensureLink(base);
      if (this.#vips.hold(config.addresses).length > 0) this.#announceAll();
    }
    this.#refusal.reconfigured();
    // Peers, or the group, may be others now.
    this.networkChanged();
    this.#dispatch({ kind: 'reconfigured', atUs: monotonicUs() });
    this.#reportPriority(priorityBefore);
    this.prepareAhead();
  }

  #reportPriority(before: number): void {
    const { priority } = this.#evaluation;
    if (priority === before) return;
    this.#ports.report({ kind: 'priority-changed', instance: this.#config.name, priority });
  }

  /** Which TTLs are taken of what this sender sends to this director alone. */
  ttlBounds(source: Uint8Array): TtlBounds {
    return this.#reach.ttlBounds(source);
  }

  /**
   * A packet for this VRID, to the multicast group or to this director alone: true if it is the one
   * that was heard last, once more, and this is a backup that goes on waiting. Else it has to be
   * decoded, for receive(). The usual way of an advertisement, which allocates nothing.
   */
  hearAgain(packet: ReceivedAdvert, toGroup: boolean): boolean {
    const usual = this.#usual;
    if (usual === null || this.#owed !== NOTHING_OWED) return false;
    if (!usual.matches(packet, toGroup)) return false;
    const { receivedAtUs } = packet;
    if (!this.#held.hear(this.#options, usual.decoded, receivedAtUs)) return false;
    this.#counters.advertsReceived++;
    this.#peers.acceptAgain(usual.peer, receivedAtUs);
    if (this.#peer !== null) this.#peer.lastHeardUs = receivedAtUs;
    this.#schedule();
    const { group } = this.#options;
    if (group !== null) this.#ports.groupStepped(group);
    return true;
  }

  /** A packet that hearAgain() did not take, decoded; refuses or hands it to the machine. Null when taken. */
  receive(decoded: DecodedAdvertisement, packet: ReceivedAdvert, toGroup: boolean): Refusal | null {
    const { source, receivedAtUs } = packet;
    this.#usual = null;
    const own = this.#reach.source;
    if (own === null) return null;
    const unreached = this.#reach.refusal(source, toGroup);
    if (unreached !== null) return unreached;
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
    if (this.#hmac !== null) {
      const authentic = this.#hmac.check(decoded, source, receivedAtUs);
      if (!authentic.ok) return authentic.error;
      if (authentic.value === 'unsigned') this.#counters.advertsUnsigned++;
    }
    let listsOurs = true;
    if (this.#config.checkAddresses !== 'off') {
      const differs = this.#peers.mismatch(source, decoded, this.#vipBytes, receivedAtUs);
      if (differs !== null && this.#config.checkAddresses === 'refuse') return differs;
      listsOurs = differs === null;
      if (!listsOurs) this.#counters.addressListMismatches++;
    }
    this.#counters.advertsReceived++;
    if (decoded.priority === 0) this.#counters.priorityZeroReceived++;
    const peer = this.#peers.accept(source, decoded, receivedAtUs);
    this.#peerAddress.set(source);
    this.#peerName = null;
    this.#peer = {
      priority: decoded.priority,
      advertIntervalUs: decoded.advertIntervalUs,
      lastHeardUs: receivedAtUs,
    };
    if (this.#peerChecksum !== decoded.checksum) {
      this.#peerChecksum = decoded.checksum;
      this.#readyFor = null;
      this.#advert = null;
    }
    const wasActive = this.isActive;
    this.#dispatch({
      kind: 'advert-received',
      atUs: receivedAtUs,
      priority: decoded.priority,
      advertIntervalUs: decoded.advertIntervalUs,
      fromHigherAddress: compareIp(source, own) > 0,
    });
    if (this.state.kind === 'backup' && this.#hmac === null && listsOurs) {
      this.#usual = new UsualAdvert(packet, toGroup, decoded, peer);
      // A takeover, of many perhaps, tells of it.
      this.#peerText();
    }
    if (wasActive && this.isActive && decoded.priority > 0) {
      this.#reportLowerPriority(receivedAtUs);
      this.#ports.groupPeerLost(this);
    }
    return null;
  }

  /** A peer is active too, and loses: told at most once in LOWER_PRIORITY_REPORT_US. */
  #reportLowerPriority(nowUs: number): void {
    if (nowUs - this.#lowerPriorityToldAtUs < LOWER_PRIORITY_REPORT_US) return;
    this.#lowerPriorityToldAtUs = nowUs;
    this.#ports.report({
      kind: 'lower-priority',
      instance: this.#config.name,
      peer: this.#peerText(),
      priority: this.#evaluation.priority,
      atMs: Date.now(),
    });
  }

  /** Length of the trailer that received advertisements may have: for decodeAdvertisement. */
  get trailerBytes(): number {
    return this.#hmac === null ? 0 : HMAC_TRAILER_BYTES;
  }

  /** A packet for this VRID was refused, by the decoder or by receive(). */
  noteRefusal(refusal: Refusal, source: Uint8Array, receivedAtUs: number): void {
    this.#counters.refused[refusal.reason]++;
    this.#peers.refuse(source, refusal, receivedAtUs);
  }

  /**
   * Hands the machine its deadline if it has passed; with `onlyPunctual` only that of an active
   * director which is less than an interval late.
   */
  fireIfDue(nowUs: number, onlyPunctual: boolean): void {
    const due = this.#held.due(this.#options, nowUs, onlyPunctual);
    if (due === 'step') this.#dispatch({ kind: 'deadline-reached', atUs: nowUs });
    if (due !== 'advertise') return;
    this.#sendAdvert(false);
    this.#schedule();
  }

  /** Of a backup, while there is time: a thousand instances may have to take over at once. */
  prepareAhead(): void {
    if (this.state.kind === 'backup') this.prepareTakeover();
  }

  /** Makes ready what a takeover at its deadline sends, unless it is. */
  prepareTakeover(): void {
    if (this.#readyFor === this.#options) return;
    this.#readyFor = this.#options;
    const { addresses, announce } = this.#config;
    if (this.#hmac === null) this.#reach.prepare(this.#message, this.#content(false));
    prepareVips(this.#ports.network, addresses);
    this.#ports.announcer.prepare(this.#burstOf({ repeat: announce.repeat, scope: 'all' }));
  }

  #schedule(): void {
    const { adverts, takeovers } = this.#ports;
    const atUs = stepAtUs(this.state, this.#options.advertIntervalUs);
    const active = this.isActive;
    takeovers.set(this.#takeoverDue, active ? null : atUs);
    adverts.set(this.#advertDue, active ? atUs : null);
  }

  /** Looks at links and addresses again: raises or clears faults, follows a changed source. */
  networkChanged(): void {
    const fault = this.#findFault();
    const state = this.state;
    const atUs = monotonicUs();
    if (fault !== null) {
      this.#refusal.hasten();
      if (state.kind === 'fault' && state.reason === fault) return;
      this.#raiseFault(fault);
    } else if (this.isActive && this.#link?.isDown() === true) {
      this.#restoreLink();
    } else if (state.kind === 'fault' && state.reason !== 'group-member-fault') {
      if (this.#ports.groupFaulty(this)) {
        this.#dispatch({ kind: 'fault-raised', atUs, reason: 'group-member-fault' });
      } else {
        const reason = CLEARED[state.reason];
        this.#dispatch({ kind: 'fault-cleared', atUs, reason });
      }
    } else this.#vips.retry();
  }

  #raiseFault(reason: FaultReason): void {
    this.#dispatch({ kind: 'fault-raised', atUs: monotonicUs(), reason });
    this.#ports.report({ kind: 'faulted', instance: this.#config.name, reason });
  }

  /** A tracker changed: the effective priority, or the right to take part, may follow. */
  trackersChanged(): void {
    const before = this.#evaluation;
    this.#evaluation = this.#evaluate();
    const allHaveSpoken = this.#awaitsUntilUs > 0 && this.#awaited.length === 0;
    if (allHaveSpoken) {
      this.#awaitsUntilUs = 0;
      // What forbids to take part comes before the end of the wait.
      this.networkChanged();
    }
    if (allHaveSpoken || this.#evaluation.priority !== before.priority) {
      this.#options = this.#optionsOf(this.#config);
      this.#dispatch({ kind: 'reconfigured', atUs: monotonicUs() });
      this.#reportPriority(before.priority);
    }
    this.networkChanged();
    this.prepareAhead();
  }

  /** Trackers that have not spoken yet and may forbid to take part. */
  get #awaited(): readonly string[] {
    return awaitedTrackers(this.#config.track, this.#ports.tracker);
  }

  /** When the last of them has spoken, or its time is over; 0 when all have spoken. */
  #firstStatesUs(nowUs: number): number {
    const longestUs = this.#awaited.map((name) => this.#ports.firstStateUs(name));
    return longestUs.length === 0 ? 0 : nowUs + Math.max(...longestUs);
  }

  /** What its sync group tells it. */
  follow(command: GroupCommand['event']): void {
    this.#dispatch(groupEvent(command, monotonicUs()));
  }

  /** An address that is gone without our doing; put back at once if it is an active VIP. */
  addressLost(interfaceName: string, address: string, byPid: number | null): void {
    this.#vips.lost(interfaceName, address, byPid);
  }

  /** A route or rule of this instance is back that another program had removed. */
  noteRoutingRestored(): void {
    this.#counters.routingRestored++;
  }

  #addressRestored(address: string, byPid: number | null): void {
    this.#counters.addressesRestored++;
    this.#announceAll();
    const instance = this.#config.name;
    this.#ports.report({ kind: 'address-restored', instance, address, byPid });
  }

  /** The virtual link of an active instance was removed or taken down, and is there again. */
  #restoreLink(): void {
    const link = this.#config.virtualLink?.name;
    if (link === undefined) return;
    if (!this.#holdAddresses()) return;
    this.#announceAll();
    this.#counters.linksRestored++;
    this.#ports.report({ kind: 'link-restored', instance: this.#config.name, link });
  }

  /** False when the virtual link cannot come up. */
  #holdAddresses(): boolean {
    const raised = this.#raiseLink();
    this.#limitIntake();
    this.#vips.hold(this.#config.addresses);
    this.#ports.routing.hold(this.#config.name);
    return raised;
  }

  /** RFC 9568 section 6.4.3: an owner always does. */
  get #accepts(): boolean {
    return this.#config.accept || this.#config.priority === 255;
  }

  /** Before the addresses are there: what is not accepted must not be so for a moment. */
  #limitIntake(): void {
    const { name, addresses } = this.#config;
    const refused = this.#accepts ? NO_ADDRESSES : addresses.map(({ address }) => address);
    this.#ports.intake.hold(name, refused);
  }

  #raiseLink(): boolean {
    const refused = this.#link?.raise() ?? null;
    if (refused !== null) this.#reportProblems([refused]);
    return refused === null;
  }

  #releaseAddresses(): void {
    // Routes before the addresses that they have as their source.
    this.#ports.routing.release(this.#config.name);
    this.#vips.release(this.#config.addresses);
    this.#ports.intake.release(this.#config.name);
    const refused = this.#link?.lower() ?? null;
    if (refused !== null) this.#reportProblems([refused]);
  }

  /** Makes the virtual link exist; false when it cannot. */
  #ensureLink(base: Link): boolean {
    if (this.#link === null) return true;
    const problem = this.#link.ensure(base);
    const known = this.#linkProblem;
    this.#linkProblem = problem?.message ?? null;
    if (problem !== null && problem.message !== known) this.#reportProblems([problem]);
    return problem === null;
  }

  /** What is behind this interface may have forgotten where the VIPs are. */
  carrierReturned(interfaceName: string): void {
    const behind = this.#config.addresses.some((vip) => vip.interface === interfaceName);
    if (this.isActive && behind) this.#announceAll();
  }

  /** A peer lost an election against another member of its sync group. */
  peerLost(): void {
    this.#dispatch({ kind: 'group-peer-lost', atUs: monotonicUs() });
  }

  /** The controller cannot be started (true), or is back (false). */
  setControllerLost(lost: boolean): void {
    if (this.#controllerLost === lost) return;
    this.#controllerLost = lost;
    this.networkChanged();
  }

  /** Resigns; keeps the VIPs until a successor is heard or its time is over: see hasStopped. */
  handOver(): void {
    this.#dispatch({ kind: 'stopped', atUs: monotonicUs(), handover: true });
  }

  /** An operator wants another director to be active; see heldBack of its status. */
  beginHandover(): void {
    const atUs = monotonicUs();
    if (this.isActive) this.#handoverSinceUs = atUs;
    this.#dispatch({ kind: 'handover-asked', atUs });
  }

  /** It may preempt again. */
  takeBack(): void {
    this.#dispatch({ kind: 'takeback-asked', atUs: monotonicUs() });
  }

  /** Between handOver() and letting the VIPs go. */
  get isResigning(): boolean {
    return this.state.kind === 'resigning';
  }

  /** True when nothing is held any more. */
  get hasStopped(): boolean {
    return this.state.kind === 'initialize';
  }

  /** Resigns, removes the VIPs and closes the socket, all now. */
  stop(): void {
    this.settle();
    if (!this.hasStopped) this.#dispatch({ kind: 'stopped', atUs: monotonicUs() });
    this.#vips.close();
    this.#refusal.close();
    const problem = this.#link?.remove() ?? null;
    if (problem !== null) this.#reportProblems([problem]);
    this.#reach.close();
  }

  status(): Omit<InstanceStatus, 'strangers'> {
    const config = this.#config;
    const state = this.state;
    const heardUs =
      state.kind === 'backup' ? state.activeAdvertIntervalUs : config.advertIntervalUs;
    const peer = this.#peer;
    return {
      name: config.name,
      state: stateName(state),
      reason: this.#statusReason(),
      startsAtUs: state.kind === 'delayed' ? state.startsAtUs : null,
      awaitedTrackers: state.kind === 'delayed' ? this.#awaited : [],
      priority: this.#evaluation.priority,
      configuredPriority: config.priority,
      priorityParts: this.#evaluation.parts,
      faultyTracker: this.#evaluation.faultyTracker,
      faultyTrackerDetail: this.#evaluation.faultyTrackerDetail,
      faultyInterface: this.#faultyInterface(),
      group: config.group,
      waitsForGroup: config.group !== null && state.kind === 'backup' && state.wantsActive,
      interface: config.interface,
      family: config.family,
      version: config.version,
      vrid: config.vrid,
      sourceAddress: this.#reach.sourceText,
      unicast: this.#reach.unicast,
      multicastGroup: config.multicastGroup,
      link: this.#linkStatus(),
      advertIntervalUs: config.advertIntervalUs,
      activeDownIntervalUs: activeDownIntervalUs(this.#options, heardUs),
      downTimerAdverts: config.downTimerAdverts,
      preempt: config.preempt,
      checkAddresses: config.checkAddresses,
      accept: this.#accepts,
      heldBack: 'heldBack' in state && state.heldBack,
      resigning: this.isResigning,
      lastHandover: this.#lastHandover,
      lastTransitionAtMs: this.#lastTransitionAtMs,
      addresses: config.addresses.map((vip) => ({
        address: vip.address,
        prefixLength: vip.prefixLength,
        interface: vip.interface,
        present: this.#ports.network.hasAddress(vip.interface, vip.address),
        error: this.#vips.errorOf(vip) ?? this.#refusal.errorOf(vip),
      })),
      routing: this.#ports.routing.objects(config.name),
      peer: peer === null ? null : { ...peer, address: this.#peerText() },
      advertisedAddresses: config.addresses
        .filter((vip) => vip.advertised)
        .map((vip) => vip.address),
      peers: this.#peers.report(),
      counters: {
        ...this.#counters,
        refused: { ...this.#counters.refused },
        transitions: { ...this.#counters.transitions },
      },
    };
  }

  #linkStatus(): InstanceStatus['link'] {
    if (this.#link === null) return null;
    const { config, link } = this.#link;
    const mac = link === null ? null : formatMac(link.address);
    return { kind: config.kind, name: config.name, mac, up: link?.up ?? false };
  }

  #statusReason(): TransitionReason {
    const state = this.state;
    // The fault that lasts, which may have come after the one that it began with.
    if (state.kind === 'fault') return state.reason;
    // The end of the startup delay is no transition: it was backup, and is.
    const over = this.#reason === 'startup-delay' && state.kind !== 'delayed';
    return over ? 'started' : this.#reason;
  }

  #prepare(): void {
    this.#usual = null;
    this.#advert = null;
    const { addresses, password } = this.#config;
    const advertised = addresses.filter((vip) => vip.advertised);
    this.#vipBytes = advertised.map((vip) => parseIp(vip.address) as Uint8Array);
    this.#vipTexts = new Set(addresses.map((vip) => vip.address));
    this.#password = null;
    this.#prepareHmac();
    if (password === null) return;
    this.#password = new Uint8Array(AUTHENTICATION_BYTES);
    new TextEncoder().encodeInto(password, this.#password);
  }

  #prepareHmac(): void {
    const { hmac } = this.#config;
    if (hmac === null) this.#hmac = null;
    else if (this.#hmac === null) this.#hmac = new HmacSession(hmac);
    else this.#hmac.reconfigure(hmac);
  }

  #dispatch(event: VrrpEvent): void {
    if (this.#owed !== NOTHING_OWED) this.settle();
    const before = this.state;
    const { state, effects } = this.#held.take(this.#options, event);
    if (before.kind === 'fault' && state.kind === 'backup') this.#announceSource();
    if (this.#ports.putOff.isOpen) this.#putOff(effects);
    else for (const effect of effects) this.#perform(effect);
    this.#schedule();
    if (patienceChanges(before, state) || event.kind === 'reconfigured') {
      this.#ports.patienceChanged();
    }
    if (before.kind === 'active' && state.kind !== 'active') this.#leaveActive();
    if (this.#config.group !== null) this.#ports.groupStepped(this.#config.group);
  }

  #leaveActive(): void {
    for (const scope of BURST_SCOPES) this.#ports.announcer.cancel(this.#burstOwners[scope]);
    this.#ports.noteAdvert(this.slot, 0);
  }

  /** Advertises, and leaves everything else for settle(). */
  #putOff(effects: readonly VrrpEffect[]): void {
    let adverts = 0;
    let urgent = false;
    for (let index = 0; index < effects.length; index++) {
      const effect = effects[index] as VrrpEffect;
      if (effect.kind === 'send-advert') {
        adverts++;
        this.#perform(effect);
      } else if (effect.kind === 'remove-addresses') urgent = true;
    }
    if (adverts === effects.length) return;
    // As a rule the advertisement comes first, and no list has to be made.
    const isFirst = adverts === 1 && effects[0]?.kind === 'send-advert';
    this.#owed = adverts === 0 || isFirst ? effects : effects.filter(isPutOff);
    this.#owedFrom = isFirst ? 1 : 0;
    this.#ports.putOff.add(this, urgent);
  }

  get addressCount(): number {
    return this.#config.addresses.length;
  }

  /** See Debtor: the VIPs of an instance that gives way, unless routes have to go before them. */
  unwantedAddresses(): readonly VrrpConfig['addresses'][number][] {
    const { addresses, routes, rules } = this.#config;
    if (
      this.#owed[this.#owedFrom]?.kind !== 'remove-addresses' ||
      routes.length > 0 ||
      rules.length > 0
    ) {
      return [];
    }
    return addresses;
  }

  /** See Debtor: the VIPs of a takeover, when nothing is to be done before them. */
  wantedAddresses(): readonly VrrpConfig['addresses'][number][] | null {
    if (this.#owed[this.#owedFrom]?.kind !== 'add-addresses' || this.#vips.isHolding) return null;
    this.#raiseLink();
    this.#limitIntake();
    return this.#config.addresses;
  }

  /** See Debtor: the burst of a takeover begins before anything else about it is done. */
  announceFirst(): void {
    const next = this.#owed[this.#owedFrom + 1];
    if (next?.kind === 'announce' && next.scope === 'all') {
      this.#ports.announcer.begin(this.#burstOf(next));
    }
  }

  /** Does what was put off; `added` is what became of wantedAddresses(), if they were asked for. */
  settle(added: AddResult | null = null): void {
    this.#ports.putOff.remove(this);
    const owed = this.#owed;
    const from = this.#owedFrom;
    this.#owed = NOTHING_OWED;
    this.#owedFrom = 0;
    for (let index = from; index < owed.length; index++) {
      const effect = owed[index] as VrrpEffect;
      if (index > from || added === null || effect.kind !== 'add-addresses') this.#perform(effect);
      else {
        this.#vips.holdAdded(this.#config.addresses, added);
        this.#ports.routing.hold(this.#config.name);
      }
    }
  }

  #perform(effect: VrrpEffect): void {
    switch (effect.kind) {
      case 'send-advert':
        return this.#sendAdvert(effect.resign);
      case 'add-addresses':
        this.#holdAddresses();
        return;
      case 'remove-addresses':
        return this.#releaseAddresses();
      case 'announce':
        return this.#announce(effect);
      case 'report-transition':
        return this.#reportTransition(effect);
      case 'report-handover':
        return this.#reportHandover(effect.outcome);
      default:
        return assertNever(effect);
    }
  }

  #sendAdvert(resign: boolean): void {
    if (resign) this.#readyFor = null;
    const { source } = this.#reach;
    if (source === null) return;
    const trailer = this.#hmac?.trailer({ family: this.#config.family, source }) ?? null;
    const outcome = this.#reach.send(this.#message, this.#content(resign), trailer);
    if (outcome === null) return;
    this.#counters.sendErrors += outcome.failed;
    this.#counters.advertsSent += outcome.sent;
    if (resign) this.#counters.priorityZeroSent += outcome.sent;
    // Noted even when it failed: what counts is that we meant to be active at this moment.
    if (!resign) this.#ports.noteAdvert(this.slot, this.lastAdvertAtUs);
  }

  #content(resign: boolean): Message {
    if (resign) return this.#makeContent(0);
    if (this.#advert === null || this.#advertOf !== this.#options) {
      this.#advert = this.#makeContent(this.#options.priority);
      this.#advertOf = this.#options;
    }
    return this.#advert;
  }

  #makeContent(priority: number): Message {
    const { version, vrid, advertIntervalUs, family, checksum } = this.#options;
    return {
      version,
      vrid,
      priority,
      advertIntervalUs,
      addresses: this.#vipBytes,
      family,
      checksum: checksum === 'auto' ? this.#peerChecksum : checksum,
      password: this.#password,
    };
  }

  /**
   * Peers speak to a unicast instance by its own address: after a fault, such as a cable that is
   * in another port now, what they know of it may be wrong, so they are told before anything else.
   */
  #announceSource(): void {
    const { sourceText: address } = this.#reach;
    const { name, unicast, interface: interfaceName, announce: pace } = this.#config;
    if (unicast === null || address === null) return;
    this.#ports.announcer.burst({
      owner: `${name} source`,
      vips: [{ interface: interfaceName, address }],
      repeat: 1,
      pace,
      counters: this.#counters,
    });
  }

  #announceAll(): void {
    this.#announce({ repeat: this.#config.announce.repeat, scope: 'all' });
  }

  #announce(burst: Burst): void {
    this.#ports.announcer.burst(this.#burstOf(burst));
  }

  /** A takeover asks twice: the same as long as nothing else is configured. */
  #burstOf({ repeat, scope }: Burst): BurstRequest {
    const known = this.#burst;
    if (known?.repeat === repeat && known.owner === this.#burstOwners[scope]) return known;
    const { interface: own, addresses, announce: pace } = this.#config;
    const vips =
      scope === 'all'
        ? addresses
        : addresses.filter(
            (vip, index) =>
              vip.interface !== own &&
              addresses.findIndex((other) => other.interface === vip.interface) === index,
          );
    const owner = this.#burstOwners[scope];
    this.#burst = { owner, vips, repeat, pace, counters: this.#counters };
    return this.#burst;
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
      priority: this.#evaluation.priority,
      atMs: this.#lastTransitionAtMs,
    });
  }

  #reportHandover(outcome: HandoverOutcome): void {
    const successor = outcome === 'handed-over' ? this.#peerText() : null;
    const tookUs = monotonicUs() - this.#handoverSinceUs;
    this.#lastHandover = { outcome, atMs: Date.now(), successor, tookUs };
    const instance = this.#config.name;
    this.#ports.report({ kind: 'handover-ended', instance, outcome, successor, tookUs });
  }

  /** Why this instance cannot take part now, or null. Keeps the sender in step with the source. */
  #findFault(): FaultReason | null {
    const { network } = this.#ports;
    const link = network.link(this.#config.interface);
    if (this.#controllerLost) return 'controller-lost';
    if (link === null) return 'interface-missing';
    if (this.#config.trackInterface && !(link.up && link.running)) return 'interface-down';
    const carrierFault = this.#findCarrierFault();
    if (carrierFault !== null) return carrierFault;
    const found = this.#reach.findSource(this.#vipTexts);
    if (found === null || !this.#openSender(found, link.index)) return 'no-source-address';
    if (!this.#ensureLink(link)) return 'no-virtual-link';
    if (this.#refusal.stands) return 'addresses-refused';
    if (this.#config.unicast?.faultWithoutPeers === true && this.#reach.hasNoPeer) return 'no-peer';
    return this.#evaluation.faultyTracker === null ? null : 'tracker-down';
  }

  /** A VIP on another interface than the instance's depends on that one too, unless it says not. */
  #findCarrierFault(): FaultReason | null {
    const own = [this.#config.interface, this.#config.virtualLink?.name];
    for (const vip of this.#config.addresses) {
      if (!vip.track || own.includes(vip.interface)) continue;
      const link = this.#ports.network.link(vip.interface);
      if (link === null) return 'interface-missing';
      if (!link.up || !link.running) return 'interface-down';
    }
    return null;
  }

  /**
   * Field by field, so that those of all instances have one shape: a copy of a configuration that
   * came as JSON has one of its own, and what is looked up in it all the time is searched for.
   */
  #optionsOf(config: VrrpConfig): RunnerOptions {
    return {
      version: config.version,
      family: config.family,
      vrid: config.vrid,
      priority: this.#evaluation.priority,
      advertIntervalUs: config.advertIntervalUs,
      checksum: config.checksum,
      group: config.group,
      preempt: config.preempt,
      preemptDelayUs: config.preemptDelayUs,
      announce: config.announce,
      startsAtUs: Math.max(this.#ports.startsAtUs, this.#awaitsUntilUs),
      downTimerAdverts: config.downTimerAdverts,
      timerExpiredBackup: config.timerExpiredBackup,
      answerLowerPriority: config.answerLowerPriority,
      advertiseBeforeYielding: config.advertiseBeforeYielding,
      ownerConflict: config.ownerConflict,
      checkAddresses: config.checkAddresses,
      accept: config.accept,
    };
  }

  /** For people: which interface it is, while one of them is the fault. */
  #faultyInterface(): string | null {
    const state = this.state;
    if (state.kind !== 'fault') return null;
    if (state.reason !== 'interface-down' && state.reason !== 'interface-missing') return null;
    const { interface: own, addresses, virtualLink } = this.#config;
    const others = addresses.filter((vip) => vip.track && vip.interface !== virtualLink?.name);
    const names = [own, ...others.map((vip) => vip.interface)];
    const faulty = names.find((name) => {
      const link = this.#ports.network.link(name);
      return state.reason === 'interface-missing'
        ? link === null
        : link !== null && !(link.up && link.running);
    });
    return faulty ?? own;
  }

  #evaluate(): Evaluation {
    const { priority, track } = this.#config;
    return evaluateTracks(priority, track, this.#ports.tracker, this.#goesOn ? 'up' : 'nothing');
  }

  /** Peers are sent to by routes and neighbour tables, so from the interface itself. */
  #openSocket(options: VrrpSenderOptions): Sender {
    const sourceMac = this.#config.unicast === null ? (this.#link?.sourceMac ?? null) : null;
    return this.#ports.openSender(sourceMac === null ? options : { ...options, sourceMac });
  }

  #openSender(sourceText: string, interfaceIndex: number): boolean {
    const { interface: interfaceName } = this.#config;
    this.#usual = null;
    try {
      this.#reach.open(sourceText, interfaceIndex);
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
    return true;
  }

  /** VIPs that an earlier keeper left and that are not ours to hold any more. */
  #removeLeftOver(): void {
    const { network } = this.#ports;
    const marked = this.#config.addresses.filter((vip) =>
      network.isOurs(vip.interface, vip.address),
    );
    removeVips(network, marked);
    this.#link?.lower();
  }

  #reportProblems(problems: readonly Problem[]): void {
    for (const problem of problems) {
      this.#ports.report({ kind: 'problem', instance: this.#config.name, problem });
    }
  }

  #peerText(): string {
    this.#peerName ??= formatIp(this.#peerAddress, this.#config.family);
    return this.#peerName;
  }
}

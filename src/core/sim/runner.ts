/**
 * One VRRP instance of a simulated director: does what keeper/runner.ts does around the machine
 * of core/vrrp, through the same codecs, with the same authentication, tracking and sync groups.
 * There is one for each virtual router of the world, `present` while its director has it.
 */
import { assert, assertNever } from '../assert.ts';
import type { HmacConfig, VrrpConfig } from '../config/config.ts';
import { compareIp, parseIp } from '../ip.ts';
import { type Authentication, authenticate, signsAdverts } from '../vrrp/authenticate.ts';
import { type GroupCommand, groupEvent } from '../vrrp/group.ts';
import { HeldState } from '../vrrp/held-state.ts';
import { nextDeadlineUs, type VrrpState } from '../vrrp/instance.ts';
import { acceptAdvertisement } from '../vrrp/receive.ts';
import { NO_SENDERS, nextSequence, type ReplayState } from '../vrrp/replay.ts';
import { safeSilenceUs } from '../vrrp/timing.ts';
import { evaluateTracks, type TrackerState } from '../vrrp/tracking.ts';
import type { FaultReason, InstanceOptions, VrrpEffect, VrrpEvent } from '../vrrp/types.ts';
import { ANY_TTL, findPeer, otherPeers, reachRefusal, type UnicastPeer } from '../vrrp/unicast.ts';
import { equalBytes } from '../wire/bytes.ts';
import {
  AUTHENTICATION_BYTES,
  decodeAdvertisement,
  encodeAdvertisement,
  LOCAL_TTL,
  MAX_ADVERTISEMENT_BYTES,
  retargetAdvertisement,
  type TrailerWriter,
  VRRP_TTL,
} from '../wire/vrrp.ts';
import {
  HMAC_TRAILER_BYTES,
  type HmacSequence,
  hmacTrailer,
  MAC_INPUT_BYTES_MAX,
} from '../wire/vrrp-hmac.ts';
import type { SimPacket } from './lan.ts';
import { simulatedMac } from './mac.ts';
import type { SimInstance } from './scenario.ts';

export interface QueuedPacket {
  readonly packet: SimPacket;
  readonly lan: number;
  /** Receive time by the director's clock. */
  readonly atUs: number;
}

export interface ObservedStep {
  readonly event: VrrpEvent;
  readonly before: VrrpState;
  readonly effects: readonly VrrpEffect[];
}

/** What the last keeper left of an instance that was active, when the next one starts. */
export interface Recorded {
  /** Since its last advertisement, */
  readonly silenceUs: number;
  /** which promised the next in this time, to peers that wait for so many. */
  readonly intervalUs: number;
  readonly adverts: number;
}

const NO_EFFECTS: readonly VrrpEffect[] = [];
/** What an active director says when nothing else is due. */
const ONLY_ADVERT: readonly VrrpEffect[] = [{ kind: 'send-advert', resign: false }];

/** What an instance needs of its director. */
export interface RunnerHost {
  readonly index: number;
  readonly name: string;
  readonly localNowUs: number;
  /** Time of day, microseconds since 1970, as right or wrong as it is. */
  readonly wallNowUs: number;
  /** The keeper lives, be it stalled. */
  readonly running: boolean;
  /** Between a proper stop and its end. */
  readonly stopping: boolean;
  readonly stalled: boolean;
  /** Not even its kernel runs. */
  readonly frozen: boolean;
  readonly controllerLost: boolean;
  readonly wrongKey: boolean;
  readonly queue: readonly QueuedPacket[];
  readonly receiveQueueMax: number;
  readonly drainPacketsMax: number;
  /** By its clock: before this moment instances take no part; 0 for no delay. */
  readonly startsAtUs: number;
  linkUp(lan: number): boolean;
  tracker(name: string): TrackerState | undefined;
  transmit(lan: number, packet: SimPacket): void;
  /** A member of this sync group took a step. */
  groupStepped(group: string): void;
  /** A peer lost against this member of a sync group. */
  groupPeerLost(runner: SimRunner): void;
  /** Whether another member of the runner's group has a fault of its own. */
  groupFaulty(runner: SimRunner): boolean;
  /** Whether another member of the runner's group is not active. */
  groupHasInactive(runner: SimRunner): boolean;
  disturbed(runner: SimRunner, what: string): void;
  holdingChanged(runner: SimRunner): void;
  stepped(runner: SimRunner, step: ObservedStep): void;
  accepted(runner: SimRunner, packet: SimPacket): void;
  adopted(runner: SimRunner, recorded: Recorded): void;
}

/** What the end of a fault of an instance's own is called. */
const CLEARED = {
  'interface-down': 'interface-up',
  'interface-missing': 'interface-up',
  'no-source-address': 'interface-up',
  'controller-lost': 'controller-back',
  'tracker-down': 'tracker-up',
  'no-peer': 'reconfigured',
  'no-virtual-link': 'interface-up',
  'addresses-refused': 'addresses-taken',
} as const;

export class SimRunner {
  readonly name: string;
  /** For people: the director's name, with the instance's where there are several. */
  readonly label: string;
  readonly host: RunnerHost;
  readonly #message = new Uint8Array(MAX_ADVERTISEMENT_BYTES + HMAC_TRAILER_BYTES);
  readonly #scratch = new Uint8Array(MAC_INPUT_BYTES_MAX);
  #instance: SimInstance;
  #present = false;
  /** The configuration with the effective priority. */
  #options: VrrpConfig & Pick<InstanceOptions, 'startsAtUs'>;
  /** The others that it sends to and hears; null for multicast. */
  #peers: readonly UnicastPeer[] | null = null;
  #faultyTracker: string | null = null;
  #vipBytes: readonly Uint8Array[] = [];
  #source: Uint8Array = new Uint8Array(0);
  #group: Uint8Array = new Uint8Array(0);
  #destinations: readonly Uint8Array[] = [];
  #password: Uint8Array | null = null;
  readonly #held = new HeldState();
  #holding = false;
  #stolen = false;
  /** The record of the last advertisement outlives the keeper, as its interval does. */
  #recordedAtUs = 0;
  #recordedIntervalUs = 0;
  #recordedAdverts = 0;
  #peerChecksum: 'message' | 'pseudo-header' = 'pseudo-header';
  #replay: ReplayState = NO_SENDERS;
  #lastSent: HmacSequence | null = null;
  #authenticator: {
    readonly hmac: HmacConfig;
    readonly wrong: boolean;
    readonly authentication: Authentication;
  } | null = null;
  refused = 0;

  constructor(host: RunnerHost, instance: SimInstance, alone: boolean) {
    this.host = host;
    this.name = instance.config.name;
    this.label = alone ? host.name : `${host.name} ${this.name}`;
    this.#instance = instance;
    this.#options = instance.config;
    this.#adopt(instance);
  }

  get instance(): SimInstance {
    return this.#instance;
  }

  /** With the effective priority. */
  get options(): VrrpConfig & Pick<InstanceOptions, 'startsAtUs'> {
    return this.#options;
  }

  /** Its director has this instance now. */
  get present(): boolean {
    return this.#present;
  }

  get source(): Uint8Array {
    return this.#source;
  }

  get state(): VrrpState {
    return this.#held.current;
  }

  get running(): boolean {
    return this.#present && this.host.running;
  }

  get linkUp(): boolean {
    return this.host.linkUp(this.#instance.lan);
  }

  /** The kernel has the VIPs. */
  get holding(): boolean {
    return this.#holding;
  }

  /** Another program has deleted the VIPs, and nobody has put them back. */
  get stolen(): boolean {
    return this.#stolen;
  }

  /** It is to speak to peers alone, and there is no other director among them. */
  get hasNoPeer(): boolean {
    return this.#peers !== null && this.#peers.length === 0;
  }

  /** Clients reach the VIPs here, whatever the keeper does. */
  get serving(): boolean {
    return this.#holding && this.linkUp && !this.host.frozen;
  }

  get deadlineUs(): number | null {
    return nextDeadlineUs(this.state);
  }

  get hasStopped(): boolean {
    return this.state.kind === 'initialize';
  }

  /** Whether a packet that came on this LAN is for it. */
  hears(lan: number, packet: SimPacket): boolean {
    const { config } = this.#instance;
    if (!this.#present || this.#instance.lan !== lan) return false;
    const { destination } = packet;
    const reached = destination.length === this.#source.length;
    if (!reached || packet.bytes[1] !== config.vrid) return false;
    return equalBytes(destination, packet.toGroup ? this.#group : this.#source);
  }

  /** A new keeper has this instance. */
  start(instance: SimInstance, recorded: boolean): void {
    this.#present = true;
    this.#held.reset();
    this.#peerChecksum = 'pseudo-header';
    this.#replay = NO_SENDERS;
    this.#lastSent = null;
    this.#adopt(instance);
    const nowUs = this.host.localNowUs;
    const recordedAtUs = recorded ? this.#recordedAtUs : 0;
    const fault = this.#findFault();
    if (fault !== null) {
      this.#setHolding(false);
      this.#dispatch({ kind: 'fault-raised', atUs: nowUs, reason: fault });
    } else if (recordedAtUs > 0) {
      const intervalUs = this.#recordedIntervalUs;
      const { advertIntervalUs, downTimerAdverts } = this.#options;
      const adverts = Math.min(this.#recordedAdverts, downTimerAdverts);
      // Peers wait as long as the interval that they heard demands, not a changed one.
      const changeUs =
        safeSilenceUs(intervalUs, adverts) - safeSilenceUs(advertIntervalUs, downTimerAdverts);
      const lastAdvertAtUs = recordedAtUs + changeUs;
      this.#dispatch({ kind: 'adopted', atUs: nowUs, lastAdvertAtUs });
      const silenceUs = nowUs - recordedAtUs;
      this.host.adopted(this, { silenceUs, intervalUs, adverts: this.#recordedAdverts });
    } else {
      this.#setHolding(false);
      this.#dispatch({ kind: 'started', atUs: nowUs });
    }
  }

  /** The configuration has no such instance any more: resigns, all now. */
  remove(): void {
    if (!this.hasStopped) this.#dispatch({ kind: 'stopped', atUs: this.host.localNowUs });
    this.#present = false;
    this.forgetVips();
  }

  /** The keeper is gone; its VIPs stay in the kernel. */
  die(): void {
    this.#held.reset();
  }

  /** Nobody holds the VIPs here any more, and nothing is recorded of them. */
  forgetVips(): void {
    this.#recordedAtUs = 0;
    this.#stolen = false;
    this.#setHolding(false);
  }

  /** As forgetVips(), but the record stays: their controller has removed them. */
  removeVips(): void {
    this.#setHolding(false);
  }

  reconfigure(instance: SimInstance): void {
    if (this.state.kind !== 'fault' && this.#losesPeers(instance)) {
      // Those whom it had are still sent to.
      this.#peers = [];
      this.#options = { ...this.#options, unicast: instance.config.unicast };
      this.host.disturbed(this, 'no-peer');
      this.#dispatch({ kind: 'fault-raised', atUs: this.host.localNowUs, reason: 'no-peer' });
    }
    this.#adopt(instance);
    this.host.disturbed(this, 'reloaded');
    // Its peers may be others now.
    this.networkChanged();
    this.#dispatch({ kind: 'reconfigured', atUs: this.host.localNowUs });
  }

  handOver(): void {
    this.#dispatch({ kind: 'stopped', atUs: this.host.localNowUs, handover: true });
  }

  /** An operator wants another director to be active. */
  beginHandover(): void {
    this.#dispatch({ kind: 'handover-asked', atUs: this.host.localNowUs });
  }

  /** It may preempt again. */
  takeBack(): void {
    this.#dispatch({ kind: 'takeback-asked', atUs: this.host.localNowUs });
  }

  trackersChanged(): void {
    const before = this.#options.priority;
    this.#evaluate();
    if (this.#options.priority !== before) {
      this.host.disturbed(this, `priority ${this.#options.priority}`);
      this.#dispatch({ kind: 'reconfigured', atUs: this.host.localNowUs });
    }
    this.networkChanged();
  }

  networkChanged(): void {
    const fault = this.#findFault();
    const state = this.state;
    const atUs = this.host.localNowUs;
    if (fault !== null) {
      if (state.kind === 'fault' && state.reason === fault) return;
      this.host.disturbed(this, fault);
      this.#dispatch({ kind: 'fault-raised', atUs, reason: fault });
    } else if (state.kind === 'fault' && state.reason !== 'group-member-fault') {
      this.host.disturbed(this, 'fault cleared');
      if (this.host.groupFaulty(this)) {
        this.#dispatch({ kind: 'fault-raised', atUs, reason: 'group-member-fault' });
      } else {
        this.#dispatch({ kind: 'fault-cleared', atUs, reason: CLEARED[state.reason] });
      }
    }
  }

  /** A peer lost against another member of its group. */
  peerLost(): void {
    this.#dispatch({ kind: 'group-peer-lost', atUs: this.host.localNowUs });
  }

  /** What its sync group tells it. */
  follow(command: GroupCommand['event']): void {
    this.#dispatch(groupEvent(command, this.host.localNowUs));
  }

  /** Another program deletes its VIPs. */
  steal(): void {
    if (!this.#holding) return;
    this.#stolen = true;
    this.#setHolding(false);
  }

  /** The kernel has told of it. */
  restore(): void {
    const { kind } = this.state;
    if (!this.#stolen || (kind !== 'active' && kind !== 'resigning')) return;
    this.#stolen = false;
    this.#setHolding(true);
  }

  fireIfDue(nowUs: number, onlyPunctual: boolean): void {
    const event = { kind: 'deadline-reached', atUs: nowUs } as const;
    const due = this.#held.due(this.#options, nowUs, onlyPunctual);
    if (due === 'step') this.#dispatch(event);
    if (due !== 'advertise') return;
    this.#sendAdvert(false);
    this.host.stepped(this, { event, before: this.state, effects: ONLY_ADVERT });
  }

  receive({ packet, atUs }: QueuedPacket): void {
    const { version, family, vrid, advertIntervalUs, hmac, unicast } = this.#options;
    const { source, destination, toGroup } = packet;
    const peers = this.#peers;
    const decoded = decodeAdvertisement(
      {
        bytes: packet.bytes,
        lengthBytes: packet.bytes.length,
        truncated: false,
        ttl: packet.ttl,
        ttlBounds: toGroup ? LOCAL_TTL : (findPeer(peers ?? [], source) ?? ANY_TTL),
        source,
        destination,
        family,
      },
      hmac === null ? 0 : HMAC_TRAILER_BYTES,
    );
    const checkSource = unicast?.checkSource ?? false;
    const reach = { peers, checkSource, ownAddress: this.#source };
    const unreached = reachRefusal(reach, source, toGroup) !== null;
    if (!decoded.ok || decoded.value.vrid !== vrid || unreached) {
      this.refused++;
      return;
    }
    const password = this.#password;
    const own = { version, vrid, family, password, advertIntervalUs, ownAddress: this.#source };
    const accepted = acceptAdvertisement(decoded.value, own, source);
    if (!accepted.ok || !this.#isAuthentic(decoded.value, source, atUs)) {
      this.refused++;
      return;
    }
    this.#peerChecksum = decoded.value.checksum;
    this.host.accepted(this, packet);
    const wasActive = this.state.kind === 'active';
    const event: VrrpEvent = {
      kind: 'advert-received',
      atUs,
      priority: decoded.value.priority,
      advertIntervalUs: decoded.value.advertIntervalUs,
      fromHigherAddress: compareIp(source, this.#source) > 0,
    };
    if (this.#hear(event)) return;
    this.#dispatch(event);
    const isActive = this.state.kind === 'active';
    if (wasActive && isActive && decoded.value.priority > 0) this.host.groupPeerLost(this);
  }

  /** What a backup hears all the time, without going through the machine. */
  #hear(event: Extract<VrrpEvent, { kind: 'advert-received' }>): boolean {
    if (!this.#held.hear(this.#options, event, event.atUs)) return false;
    this.host.stepped(this, { event, before: this.state, effects: NO_EFFECTS });
    const { group } = this.#options;
    if (group !== null) this.host.groupStepped(group);
    return true;
  }

  // ---------------------------------------------------------------------------------------------

  #adopt(instance: SimInstance): void {
    const { config } = instance;
    this.#instance = instance;
    this.#source = parseIp(instance.source) as Uint8Array;
    const { unicast } = config;
    const isOwn = (address: string): boolean => address === instance.source;
    this.#peers = unicast === null ? null : otherPeers(unicast.peers, isOwn);
    this.#group = parseIp(config.multicastGroup) as Uint8Array;
    this.#destinations = this.#peers?.map(({ address }) => address) ?? [this.#group];
    this.#vipBytes = config.addresses
      .filter((vip) => vip.advertised)
      .map((vip) => parseIp(vip.address) as Uint8Array);
    this.#password = null;
    if (config.password !== null) {
      this.#password = new Uint8Array(AUTHENTICATION_BYTES);
      // The reader lets only ASCII through.
      for (let index = 0; index < config.password.length; index++) {
        this.#password[index] = config.password.charCodeAt(index);
      }
    }
    this.#evaluate();
  }

  #evaluate(): void {
    const { config } = this.#instance;
    const stateOf = (name: string) => this.host.tracker(name);
    const evaluation = evaluateTracks(config.priority, config.track, stateOf, 'up');
    this.#faultyTracker = evaluation.faultyTracker;
    const { startsAtUs } = this.host;
    this.#options = { ...config, priority: evaluation.priority, startsAtUs };
  }

  #findFault(): FaultReason | null {
    if (this.host.controllerLost) return 'controller-lost';
    if (!this.linkUp && this.#options.trackInterface) return 'interface-down';
    if (this.#options.unicast?.faultWithoutPeers === true && this.hasNoPeer) return 'no-peer';
    return this.#faultyTracker === null ? null : 'tracker-down';
  }

  /** It has peers to tell of it that it is to have none of now. */
  #losesPeers({ config: { unicast }, source }: SimInstance): boolean {
    if (unicast === null || !unicast.faultWithoutPeers || this.#peers === null) return false;
    const left = otherPeers(unicast.peers, (address) => address === source);
    return this.#peers.length > 0 && left.length === 0;
  }

  /** Made anew only when the keys change, because every packet needs it. */
  #authentication(): Authentication | null {
    const { hmac } = this.#options;
    if (hmac === null) return null;
    const wrong = this.host.wrongKey;
    const made = this.#authenticator;
    if (made !== null && made.hmac === hmac && made.wrong === wrong) return made.authentication;
    const { mode, replay, windowSeconds } = hmac;
    const keys = new Map(hmac.keys.map(({ id, secretHex }) => [id, keyBytes(secretHex, wrong)]));
    const scratch = this.#scratch;
    const authentication = { mode, keys, replay, windowSeconds, mac: simulatedMac, scratch };
    this.#authenticator = { hmac, wrong, authentication };
    return authentication;
  }

  #isAuthentic(
    decoded: Parameters<typeof authenticate>[0],
    source: Uint8Array,
    receivedAtUs: number,
  ): boolean {
    const authentication = this.#authentication();
    if (authentication === null) return true;
    const wallUs = this.host.wallNowUs - (this.host.localNowUs - receivedAtUs);
    const step = authenticate(decoded, authentication, this.#replay, { source, wallUs });
    this.#replay = step.state;
    return step.result.ok;
  }

  #trailer(): TrailerWriter | null {
    const authentication = this.#authentication();
    const { hmac, family } = this.#options;
    if (authentication === null || hmac === null || !signsAdverts(hmac.mode)) return null;
    const key = authentication.keys.get(hmac.activeKey);
    assert(key !== undefined, 'the active key is one of the keys');
    this.#lastSent = nextSequence(this.#lastSent, authentication, this.host.wallNowUs);
    return hmacTrailer({
      family,
      source: this.#source,
      keyId: hmac.activeKey,
      key,
      sequence: this.#lastSent,
      mac: simulatedMac,
      scratch: this.#scratch,
    });
  }

  #dispatch(event: VrrpEvent): void {
    const before = this.state;
    if (before.kind === 'delayed' && event.kind === 'deadline-reached') {
      this.host.disturbed(this, 'startup delay over');
    }
    const { state, effects } = this.#held.take(this.#options, event);
    for (const effect of effects) this.#perform(effect);
    if (before.kind === 'active' && state.kind !== 'active') this.#recordedAtUs = 0;
    this.host.stepped(this, { event, before, effects });
    const { group } = this.#options;
    if (group !== null) this.host.groupStepped(group);
  }

  #perform(effect: VrrpEffect): void {
    switch (effect.kind) {
      case 'send-advert':
        return this.#sendAdvert(effect.resign);
      case 'add-addresses':
        this.#stolen = false;
        return this.#setHolding(true);
      case 'remove-addresses':
        this.#stolen = false;
        return this.#setHolding(false);
      // The checks read both from the step.
      case 'announce':
      case 'report-transition':
      case 'report-handover':
        return;
      default:
        return assertNever(effect);
    }
  }

  #sendAdvert(resign: boolean): void {
    const { version, vrid, family, advertIntervalUs, unicast } = this.#options;
    const priority = resign ? 0 : this.#options.priority;
    const checksum =
      this.#options.checksum === 'auto' ? this.#peerChecksum : this.#options.checksum;
    const [first = this.#source] = this.#destinations;
    const length = encodeAdvertisement(
      this.#message,
      {
        version,
        family,
        vrid,
        priority,
        advertIntervalUs,
        addresses: this.#vipBytes,
        checksum,
        password: this.#password,
        source: this.#source,
        destination: first,
      },
      this.#trailer(),
    );
    if (!resign) {
      this.#recordedAtUs = this.host.localNowUs;
      this.#recordedIntervalUs = advertIntervalUs;
      this.#recordedAdverts = this.#options.downTimerAdverts;
    }
    if (!this.linkUp) return;
    let previous = first;
    for (const destination of this.#destinations) {
      if (destination !== previous) {
        retargetAdvertisement(this.#message, { version, family, checksum }, previous, destination);
        previous = destination;
      }
      this.host.transmit(this.#instance.lan, {
        from: this.host.index,
        bytes: this.#message.slice(0, length),
        source: this.#source,
        destination,
        toGroup: unicast === null,
        ttl: unicast?.ttl ?? VRRP_TTL,
        corrupted: false,
        router: this.name,
        priority,
        intervalUs: advertIntervalUs,
      });
    }
  }

  #setHolding(holding: boolean): void {
    if (this.#holding === holding) return;
    this.#holding = holding;
    this.host.holdingChanged(this);
  }
}

/** True when both describe the same virtual router: changes between them need no new start. */
export function sameRouter(left: SimInstance, right: SimInstance): boolean {
  const { config: one } = left;
  const { config: other } = right;
  return (
    one.interface === other.interface &&
    one.vrid === other.vrid &&
    one.family === other.family &&
    one.version === other.version &&
    one.sourceAddress === other.sourceAddress
  );
}

function keyBytes(secretHex: string, wrong: boolean): Uint8Array {
  const bytes = new Uint8Array(secretHex.length / 2);
  for (let index = 0; index < bytes.length; index++) {
    const byte = Number.parseInt(secretHex.slice(2 * index, 2 * index + 2), 16);
    bytes[index] = wrong ? byte ^ 0xff : byte;
  }
  return bytes;
}

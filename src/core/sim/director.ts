/**
 * One simulated director: a machine with a clock, a link, a kernel that holds the VIP and queues
 * packets, and a keeper that may be dead or stalled. Around the machine of core/vrrp it does what
 * keeper/runner.ts, keeper/receivers.ts and keeper/keeper.ts do, through the same codecs:
 * packets that wait are handled with their receive times before a deadline is; effects are
 * performed in their order; the record of the last advertisement outlives the keeper.
 */
import { assertNever } from '../assert.ts';
import type { ElectionConfig } from '../config/config.ts';
import { compareIp, parseIp } from '../ip.ts';
import { INITIAL_STATE, nextDeadlineUs, step, type VrrpState } from '../vrrp/instance.ts';
import { acceptAdvertisement } from '../vrrp/receive.ts';
import type { FaultReason, VrrpEffect, VrrpEvent } from '../vrrp/types.ts';
import {
  decodeAdvertisement,
  encodeAdvertisement,
  MAX_ADVERTISEMENT_BYTES,
  VRRP_GROUP_IPV4,
  VRRP_GROUP_IPV6,
  VRRP_TTL,
} from '../wire/vrrp.ts';
import type { Agenda } from './agenda.ts';
import { SimClock } from './clock.ts';
import type { SimPacket } from './lan.ts';
import { orphanGraceUs } from './limits.ts';
import { Random } from './random.ts';
import type { SimCluster, SimDirectorOptions } from './scenario.ts';

/** The one virtual router of the simulated LAN. */
const VRID = 51;
/** Streams of chance of directors begin here; the generator has the first. */
const DIRECTOR_STREAMS = 1;
/** A restarted machine's clock shows this much: it has just booted. */
const BOOT_US = 20_000_000;

/** What keeps a keeper from running; each may apply several times at once. */
export type Absence = 'not-started' | 'crash' | 'power-loss' | 'stop' | 'controller-lost';

export interface QueuedPacket {
  readonly packet: SimPacket;
  /** Receive time by the director's clock. */
  readonly atUs: number;
}

/** Everything a director lets the checks see, at the moment it happens. */
export interface DirectorWatch {
  /** The next thing this director does may come from a fault. */
  disturbed(director: SimDirector, what: string): void;
  /** It left for good, so far; the others have only to notice. */
  departed(director: SimDirector, what: string): void;
  holdingChanged(director: SimDirector): void;
  stepped(director: SimDirector, step: ObservedStep): void;
  /** An advertisement reached the machine, whether or not its socket had room. */
  reached(director: SimDirector, packet: SimPacket): void;
  accepted(director: SimDirector, packet: SimPacket): void;
  started(director: SimDirector, recordedAtUs: number, atUs: number): void;
  turnEnded(director: SimDirector): void;
  /** Before and after the first turn that follows a stall. */
  waking(director: SimDirector): void;
  woke(director: SimDirector): void;
}

export interface ObservedStep {
  readonly event: VrrpEvent;
  readonly before: VrrpState;
  readonly effects: readonly VrrpEffect[];
}

export interface DirectorPorts {
  readonly agenda: Agenda;
  readonly watch: DirectorWatch;
  readonly transmit: (packet: SimPacket) => void;
}

export class SimDirector {
  readonly index: number;
  readonly name: string;
  readonly source: Uint8Array;
  readonly cluster: SimCluster;
  #options: SimDirectorOptions &
    Pick<SimCluster, 'version' | 'advertIntervalUs' | 'announce'> &
    Partial<ElectionConfig>;
  readonly #ports: DirectorPorts;
  readonly #random: Random;
  readonly #message = new Uint8Array(MAX_ADVERTISEMENT_BYTES);
  readonly #vipBytes: readonly Uint8Array[];
  readonly #group: Uint8Array;
  #clock: SimClock;
  #driftPpm: number;
  /** The controller's configuration, which the next keeper starts with. */
  #wantedPriority: number;
  readonly #absences = new Map<Absence, number>();
  #linkFaults = 0;
  /** How many keepers there were: what was meant for an earlier one is void. */
  #generation = 0;
  #running = false;
  #stalls = 0;
  #state: VrrpState = INITIAL_STATE;
  #holding = false;
  #recordedAtUs = 0;
  #queue: QueuedPacket[] = [];
  #inputs: (() => void)[] = [];
  #turnPlanned = false;
  #timerAtUs = Number.POSITIVE_INFINITY;
  #timerFired = false;
  #peerChecksum: 'message' | 'pseudo-header' = 'pseudo-header';
  #refused = 0;
  #queueDrops = 0;

  constructor(cluster: SimCluster, index: number, seed: number, ports: DirectorPorts) {
    const options = cluster.directors[index] as SimDirectorOptions;
    this.index = index;
    this.name = options.name;
    this.cluster = cluster;
    const { version, advertIntervalUs, announce, family, election } = cluster;
    this.#options = { ...options, version, advertIntervalUs, announce, ...election };
    this.#wantedPriority = options.priority;
    this.#ports = ports;
    this.#random = new Random(seed, DIRECTOR_STREAMS + index);
    this.source = parseIp(options.address) as Uint8Array;
    this.#vipBytes = [parseIp(cluster.vip) as Uint8Array];
    this.#group = family === 'ipv4' ? VRRP_GROUP_IPV4 : VRRP_GROUP_IPV6;
    this.#driftPpm = options.clockDriftPpm;
    this.#clock = new SimClock(0, options.clockOffsetUs, this.#driftPpm);
    this.#absences.set('not-started', 1);
  }

  get state(): VrrpState {
    return this.#state;
  }

  get options(): SimDirectorOptions {
    return this.#options;
  }

  /** The keeper lives, be it stalled. */
  get running(): boolean {
    return this.#running;
  }

  get stalled(): boolean {
    return this.#stalls > 0;
  }

  get linkUp(): boolean {
    return this.#linkFaults === 0;
  }

  /** The kernel has the VIP. */
  get holding(): boolean {
    return this.#holding;
  }

  get queue(): readonly QueuedPacket[] {
    return this.#queue;
  }

  get refused(): number {
    return this.#refused;
  }

  get queueDrops(): number {
    return this.#queueDrops;
  }

  get localNowUs(): number {
    return this.#clock.localAt(this.#ports.agenda.nowUs);
  }

  /** A packet's arrival at the machine. */
  deliver(packet: SimPacket): void {
    if (!this.#running || !this.linkUp) return;
    this.#ports.watch.reached(this, packet);
    if (this.#queue.length >= this.#options.receiveQueueMax) {
      this.#queueDrops++;
      return;
    }
    this.#queue.push({ packet, atUs: this.localNowUs });
    this.#planTurn();
  }

  // --- Faults -------------------------------------------------------------------------------

  /** The keeper may not run for one more reason; ends it the way that reason does. */
  leave(absence: Absence): void {
    this.#absences.set(absence, (this.#absences.get(absence) ?? 0) + 1);
    switch (absence) {
      case 'crash':
        if (this.#running) this.#die('crash');
        return;
      case 'power-loss':
        if (this.#running) this.#die('power-loss');
        this.#setHolding(false);
        this.#recordedAtUs = 0;
        return;
      case 'stop':
        this.#input(() => {
          this.#dispatch({ kind: 'stopped', atUs: this.localNowUs });
          this.#die('stop');
          this.#startIfPossible();
        });
        return;
      case 'controller-lost':
        this.#input(() => this.#networkChanged());
        return;
      case 'not-started':
        return;
      default:
        return assertNever(absence);
    }
  }

  /** One reason fewer; starts the keeper with the last one, or clears its fault. */
  comeBack(absence: Absence): void {
    const count = (this.#absences.get(absence) ?? 0) - 1;
    this.#absences.set(absence, count);
    if (absence === 'power-loss' && count === 0) {
      this.#clock = new SimClock(this.#ports.agenda.nowUs, BOOT_US, this.#driftPpm);
    }
    if (absence === 'controller-lost') this.#input(() => this.#networkChanged());
    this.#startIfPossible();
  }

  /** Stalls the keeper; what is returned ends that, if this keeper still lives. */
  stall(): () => void {
    if (!this.#running) return () => {};
    this.#stalls++;
    this.#ports.watch.disturbed(this, 'stalled');
    const generation = this.#generation;
    return () => {
      if (generation === this.#generation && --this.#stalls === 0) this.#wake();
    };
  }

  setLink(up: boolean): void {
    this.#linkFaults += up ? -1 : 1;
    this.#ports.watch.disturbed(this, up ? 'link up' : 'link down');
    if (!up) this.#ports.watch.holdingChanged(this);
    // The kernel's notice takes its time.
    const { agenda } = this.#ports;
    agenda.at(agenda.nowUs + this.#lateUs(), () => this.#input(() => this.#networkChanged()));
    if (up) this.#ports.watch.holdingChanged(this);
  }

  setDrift(driftPpm: number): void {
    this.#driftPpm = driftPpm;
    this.#clock.setDrift(this.#ports.agenda.nowUs, driftPpm);
    // The kernel counts the armed timer by the clock that now runs differently.
    if (this.#running) this.#arm(true);
  }

  reconfigure(priority: number): void {
    this.#wantedPriority = priority;
    this.#input(() => {
      if (this.#options.priority === this.#wantedPriority) return;
      this.#options = { ...this.#options, priority: this.#wantedPriority };
      this.#ports.watch.disturbed(this, `priority ${this.#wantedPriority}`);
      this.#dispatch({ kind: 'reconfigured', atUs: this.localNowUs });
    });
  }

  // --- The keeper ---------------------------------------------------------------------------

  #startIfPossible(): void {
    if (this.#running) return;
    for (const count of this.#absences.values()) if (count > 0) return;
    this.#running = true;
    this.#options = { ...this.#options, priority: this.#wantedPriority };
    this.#state = INITIAL_STATE;
    this.#peerChecksum = 'pseudo-header';
    const { watch } = this.#ports;
    watch.disturbed(this, 'started');
    const nowUs = this.localNowUs;
    const recordedAtUs = this.#recordedAtUs;
    if (!this.linkUp) {
      this.#setHolding(false);
      this.#dispatch({ kind: 'fault-raised', atUs: nowUs, reason: 'interface-down' });
    } else if (recordedAtUs > 0) {
      this.#dispatch({ kind: 'adopted', atUs: nowUs, lastAdvertAtUs: recordedAtUs });
      watch.started(this, recordedAtUs, nowUs);
    } else {
      this.#setHolding(false);
      this.#dispatch({ kind: 'started', atUs: nowUs });
    }
    this.#arm(true);
    watch.turnEnded(this);
  }

  #die(what: 'crash' | 'power-loss' | 'stop'): void {
    const { agenda, watch } = this.#ports;
    this.#running = false;
    this.#generation++;
    this.#stalls = 0;
    this.#queue = [];
    this.#inputs = [];
    this.#turnPlanned = false;
    this.#timerAtUs = Number.POSITIVE_INFINITY;
    this.#timerFired = false;
    this.#state = INITIAL_STATE;
    watch.departed(this, what);
    if (!this.#holding || what === 'power-loss') return;
    const generation = this.#generation;
    agenda.at(agenda.nowUs + orphanGraceUs(this.cluster), () => {
      if (generation === this.#generation && !this.#running) this.#setHolding(false);
    });
  }

  /** Something other than a packet or a deadline for the keeper; waits while it is stalled. */
  #input(handle: () => void): void {
    if (!this.#running) return;
    if (this.#stalls > 0) {
      this.#inputs.push(handle);
      return;
    }
    handle();
    this.#endTurn();
  }

  #planTurn(): void {
    if (this.#turnPlanned || this.#stalls > 0) return;
    this.#turnPlanned = true;
    const { agenda } = this.#ports;
    const generation = this.#generation;
    agenda.at(agenda.nowUs + this.#random.below(this.cluster.turnLateUs + 1), () => {
      if (generation !== this.#generation) return;
      this.#turnPlanned = false;
      if (this.#stalls > 0) return;
      this.#drain();
      this.#endTurn();
    });
  }

  #wake(): void {
    const { watch } = this.#ports;
    const generation = this.#generation;
    watch.disturbed(this, 'runs again');
    watch.waking(this);
    // The operating system does not say in which order a process finds what waited for it.
    for (const handle of this.#inputs.splice(0)) {
      if (this.#random.below(2) === 0) this.#drain();
      handle();
      if (generation !== this.#generation) return;
    }
    this.#drain();
    if (this.#timerFired) this.#onTimer();
    this.#endTurn();
    watch.woke(this);
  }

  #onTimer(): void {
    this.#timerFired = false;
    this.#drain();
    const nowUs = this.localNowUs;
    const deadlineUs = nextDeadlineUs(this.#state);
    if (deadlineUs !== null && deadlineUs <= nowUs) {
      this.#dispatch({ kind: 'deadline-reached', atUs: nowUs });
    }
  }

  #endTurn(): void {
    if (!this.#running) return;
    if (this.#queue.length > 0) this.#planTurn();
    this.#arm(false);
    this.#ports.watch.turnEnded(this);
  }

  /** Keeps a timer that fires early enough, because re-arming when it does is cheaper. */
  #arm(anew: boolean): void {
    const deadlineUs = nextDeadlineUs(this.#state);
    if (deadlineUs === null) return;
    const { agenda } = this.#ports;
    const atUs = Math.max(this.#clock.worldAt(deadlineUs), agenda.nowUs) + this.#lateUs();
    if (!anew && this.#timerAtUs <= atUs) return;
    this.#timerAtUs = atUs;
    const generation = this.#generation;
    agenda.at(atUs, () => {
      if (generation !== this.#generation || this.#timerAtUs !== atUs) return;
      this.#timerAtUs = Number.POSITIVE_INFINITY;
      this.#timerFired = true;
      if (this.#stalls > 0) return;
      this.#onTimer();
      this.#endTurn();
    });
  }

  #lateUs(): number {
    return this.#random.below(this.cluster.timerLateUs + 1);
  }

  #drain(): void {
    const count = Math.min(this.#queue.length, this.#options.drainPacketsMax);
    for (const queued of this.#queue.splice(0, count)) this.#receive(queued);
  }

  #receive({ packet, atUs }: QueuedPacket): void {
    const { version, family, advertIntervalUs } = this.cluster;
    const decoded = decodeAdvertisement({
      bytes: packet.bytes,
      lengthBytes: packet.bytes.length,
      truncated: false,
      ttl: VRRP_TTL,
      source: packet.source,
      destination: this.#group,
      family,
    });
    if (!decoded.ok || decoded.value.vrid !== VRID) {
      this.#refused++;
      return;
    }
    const accepted = acceptAdvertisement(
      decoded.value,
      { version, vrid: VRID, family, password: null, advertIntervalUs, ownAddress: this.source },
      packet.source,
    );
    if (!accepted.ok) {
      this.#refused++;
      return;
    }
    this.#peerChecksum = decoded.value.checksum;
    this.#ports.watch.accepted(this, packet);
    this.#dispatch({
      kind: 'advert-received',
      atUs,
      priority: decoded.value.priority,
      advertIntervalUs: decoded.value.advertIntervalUs,
      fromHigherAddress: compareIp(packet.source, this.source) > 0,
    });
  }

  #networkChanged(): void {
    const lost = (this.#absences.get('controller-lost') ?? 0) > 0;
    const fault: FaultReason | null = lost
      ? 'controller-lost'
      : this.linkUp
        ? null
        : 'interface-down';
    const state = this.#state;
    const atUs = this.localNowUs;
    if (fault !== null) {
      if (state.kind === 'fault' && state.reason === fault) return;
      this.#ports.watch.disturbed(this, fault);
      this.#dispatch({ kind: 'fault-raised', atUs, reason: fault });
    } else if (state.kind === 'fault') {
      this.#ports.watch.disturbed(this, 'fault cleared');
      this.#dispatch({ kind: 'fault-cleared', atUs, reason: 'interface-up' });
    }
  }

  #dispatch(event: VrrpEvent): void {
    const before = this.#state;
    const { state, effects } = step(this.#options, before, event);
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
    if (before.kind === 'active' && state.kind !== 'active') this.#recordedAtUs = 0;
    this.#ports.watch.stepped(this, { event, before, effects });
  }

  #perform(effect: VrrpEffect): void {
    switch (effect.kind) {
      case 'send-advert':
        return this.#sendAdvert(effect.resign);
      case 'add-addresses':
        return this.#setHolding(true);
      case 'remove-addresses':
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
    const { version, family, advertIntervalUs } = this.cluster;
    const { checksum } = this.#options;
    const priority = resign ? 0 : this.#options.priority;
    const length = encodeAdvertisement(this.#message, {
      version,
      family,
      vrid: VRID,
      priority,
      advertIntervalUs,
      addresses: this.#vipBytes,
      checksum: checksum === 'auto' ? this.#peerChecksum : checksum,
      password: null,
      source: this.source,
      destination: this.#group,
    });
    if (!resign) this.#recordedAtUs = this.localNowUs;
    if (!this.linkUp) return;
    this.#ports.transmit({
      from: this.index,
      bytes: this.#message.slice(0, length),
      source: this.source,
      corrupted: false,
      priority,
    });
  }

  #setHolding(holding: boolean): void {
    if (this.#holding === holding) return;
    this.#holding = holding;
    this.#ports.watch.holdingChanged(this);
  }
}

/**
 * One simulated director: a machine with clocks, links, a kernel that holds VIPs and queues
 * packets, and a keeper that may be dead, stalled or frozen with its machine. Does what
 * keeper/keeper.ts does around its instances (runner.ts): packets that wait are handled with
 * their receive times before a deadline is, except that an active director on time advertises
 * first; sync groups are brought to one mind after every step; a stop hands over.
 */
import { assertNever } from '../assert.ts';
import { GroupCoordinator, type Member } from '../vrrp/group.ts';
import type { TrackerState } from '../vrrp/tracking.ts';
import { equalBytes } from '../wire/bytes.ts';
import type { Agenda } from './agenda.ts';
import { SimClock } from './clock.ts';
import type { SimPacket } from './lan.ts';
import { orphanGraceUs } from './limits.ts';
import { Random } from './random.ts';
import {
  type ObservedStep,
  type QueuedPacket,
  type Recorded,
  type RunnerHost,
  SimRunner,
  sameRouter,
} from './runner.ts';
import type { Scenario, SimDirectorOptions, SimInstance } from './scenario.ts';
import { routerConfigs } from './scenario.ts';

/** Streams of chance of directors begin here; the generator has the first. */
const DIRECTOR_STREAMS = 1;
/** A restarted machine's clock shows this much: it has just booted. */
export const BOOT_US = 20_000_000;
/** Begin of the world, by a right time of day. */
const EPOCH_US = 1_700_000_000_000_000;
/** As in keeper/keeper.ts: turns that did not empty the sockets, before it is a flood. */
const FULL_TURNS_MAX = 128;
/** What keeps a keeper from running; each may apply several times at once. */
export type Absence = 'not-started' | 'crash' | 'power-loss' | 'stop' | 'controller-lost';

/** How a director leaves to others what it had, so far. */
export type Departure = 'crash' | 'power-loss' | 'stop' | 'handover';

/** Everything a director lets the checks see, at the moment it happens. */
export interface DirectorWatch {
  /** The next thing that all instances of this director do may come from a fault. */
  disturbed(director: SimDirector, what: string): void;
  /** As above, of one instance. */
  runnerDisturbed(runner: SimRunner, what: string): void;
  /** It leaves for good, so far; the others have only to notice. */
  departed(director: SimDirector, what: Departure): void;
  /** Its keeper is no more. */
  ended(director: SimDirector): void;
  holdingChanged(runner: SimRunner): void;
  stepped(runner: SimRunner, step: ObservedStep): void;
  /** An advertisement reached the machine, whether or not its socket had room. */
  reached(director: SimDirector, packet: SimPacket): void;
  accepted(runner: SimRunner, packet: SimPacket): void;
  /** Adopted, or not. */
  adopted(runner: SimRunner, recorded: Recorded): void;
  turnEnded(director: SimDirector): void;
  /** Before and after the first turn that follows a stall. */
  waking(director: SimDirector): void;
  woke(director: SimDirector): void;
}

export interface DirectorPorts {
  readonly agenda: Agenda;
  readonly watch: DirectorWatch;
  readonly transmit: (lan: number, packet: SimPacket) => void;
}

export class SimDirector implements RunnerHost {
  readonly index: number;
  readonly name: string;
  /** One for each virtual router of the world that this director ever has. */
  readonly runners: readonly SimRunner[];
  readonly receiveQueueMax: number;
  readonly drainPacketsMax: number;
  readonly #lateness: { readonly timerUs: number; readonly turnUs: number };
  readonly #ports: DirectorPorts;
  readonly #random: Random;
  #clock: SimClock;
  #driftPpm: number;
  #wallOffsetUs: number;
  /** The controller's configuration, which the next keeper starts with. */
  #wanted: readonly SimInstance[];
  readonly #absences = new Map<Absence, number>();
  readonly #linkFaults: number[];
  readonly #trackersDown = new Map<string, number>();
  #wrongKeys = 0;
  /** How many keepers there were: what was meant for an earlier one is void. */
  #generation = 0;
  #running = false;
  /** The next keeper is no successor of one that died: its startup delay begins anew. */
  #fresh = true;
  #startsAtUs = 0;
  readonly #startupDelayUs: number;
  readonly #delayAfterBootUs: number;
  #stopping = false;
  #stalls = 0;
  #freezes = 0;
  /** What the clock showed when it was stopped; null while it runs. */
  #clockStoppedUs: number | null = null;
  #ring: { readonly packet: SimPacket; readonly lan: number }[] = [];
  #ringOpen = true;
  #queue: QueuedPacket[] = [];
  #inputs: (() => void)[] = [];
  #turnPlanned = false;
  #timerAtUs = Number.POSITIVE_INFINITY;
  #timerFired = false;
  #fullTurns = 0;
  readonly #groups = new GroupCoordinator({
    membersOf: (group) => this.#membersOf(group),
    follow: ({ member, event }) => this.runner(member)?.follow(event),
    stopping: () => this.#stopping,
  });
  #queueDrops = 0;
  /** Packets for no instance of this director. */
  #unknown = 0;

  constructor(scenario: Scenario, index: number, routers: readonly string[], ports: DirectorPorts) {
    const { cluster, faults, seed } = scenario;
    const options = cluster.directors[index] as SimDirectorOptions;
    this.index = index;
    this.name = options.name;
    this.receiveQueueMax = options.receiveQueueMax;
    this.drainPacketsMax = options.drainPacketsMax;
    this.#startupDelayUs = options.startupDelayUs ?? 0;
    this.#delayAfterBootUs = options.delayAfterBootUs ?? 0;
    this.#lateness = { timerUs: cluster.timerLateUs, turnUs: cluster.turnLateUs };
    this.#wanted = options.instances;
    this.#ports = ports;
    this.#random = new Random(seed, DIRECTOR_STREAMS + index);
    this.#driftPpm = options.clockDriftPpm;
    this.#clock = new SimClock(0, options.clockOffsetUs, this.#driftPpm);
    this.#wallOffsetUs = options.wallOffsetUs;
    this.#linkFaults = Array.from({ length: cluster.lans }, () => 0);
    this.#absences.set('not-started', 1);
    const mine = faults.filter((fault) => fault.kind === 'reload' && fault.director === index);
    const own = { cluster: { ...cluster, directors: [options] }, faults: mine };
    this.runners = routers.flatMap((name) => {
      const [first] = routerConfigs(own, name);
      return first === undefined ? [] : [new SimRunner(this, first, routers.length === 1)];
    });
  }

  runner(name: string): SimRunner | undefined {
    return this.runners.find((runner) => runner.name === name);
  }

  get running(): boolean {
    return this.#running;
  }

  /** Between a proper stop and its end. */
  get stopping(): boolean {
    return this.#stopping;
  }

  get stalled(): boolean {
    return this.#stalls > 0;
  }

  get frozen(): boolean {
    return this.#freezes > 0;
  }

  get controllerLost(): boolean {
    return (this.#absences.get('controller-lost') ?? 0) > 0;
  }

  get wrongKey(): boolean {
    return this.#wrongKeys > 0;
  }

  get wallOffsetUs(): number {
    return this.#wallOffsetUs;
  }

  get queue(): readonly QueuedPacket[] {
    return this.#queue;
  }

  get refused(): number {
    return this.runners.reduce((sum, runner) => sum + runner.refused, this.#unknown);
  }

  get queueDrops(): number {
    return this.#queueDrops;
  }

  get startsAtUs(): number {
    return this.#startsAtUs;
  }

  get localNowUs(): number {
    return this.#clockStoppedUs ?? this.#clock.localAt(this.#ports.agenda.nowUs);
  }

  get wallNowUs(): number {
    return EPOCH_US + this.#ports.agenda.nowUs + this.#wallOffsetUs;
  }

  linkUp(lan: number): boolean {
    return this.#linkFaults[lan] === 0;
  }

  tracker(name: string): TrackerState | undefined {
    const down = (this.#trackersDown.get(name) ?? 0) > 0;
    return { up: !down, value: null, detail: down ? 'down' : 'up' };
  }

  transmit(lan: number, packet: SimPacket): void {
    this.#ports.transmit(lan, packet);
  }

  disturbed(runner: SimRunner, what: string): void {
    this.#ports.watch.runnerDisturbed(runner, what);
  }

  holdingChanged(runner: SimRunner): void {
    this.#ports.watch.holdingChanged(runner);
  }

  stepped(runner: SimRunner, step: ObservedStep): void {
    this.#ports.watch.stepped(runner, step);
  }

  accepted(runner: SimRunner, packet: SimPacket): void {
    this.#ports.watch.accepted(runner, packet);
  }

  adopted(runner: SimRunner, recorded: Recorded): void {
    this.#ports.watch.adopted(runner, recorded);
  }

  groupStepped(group: string): void {
    this.#groups.stepped(group);
  }

  groupPeerLost(loserOf: SimRunner): void {
    const { group } = loserOf.options;
    if (group === null) return;
    for (const runner of this.runners) {
      const member = runner.present && runner !== loserOf && runner.options.group === group;
      if (member) runner.peerLost();
    }
  }

  groupFaulty(runner: SimRunner): boolean {
    const { group } = runner.options;
    if (group === null) return false;
    return this.#membersOf(group).some(
      ({ name, state }) =>
        name !== runner.name && state.kind === 'fault' && state.reason !== 'group-member-fault',
    );
  }

  groupHasInactive(runner: SimRunner): boolean {
    const { group } = runner.options;
    if (group === null) return false;
    return this.#membersOf(group).some(
      ({ name, state }) => name !== runner.name && state.kind !== 'active',
    );
  }

  /** Whether an interface on this LAN has this address, which advertisements come from. */
  hasAddress(lan: number, address: Uint8Array): boolean {
    return this.runners.some(
      ({ instance, source }) => instance.lan === lan && equalBytes(source, address),
    );
  }

  /** A packet's arrival at the machine. */
  deliver(lan: number, packet: SimPacket): void {
    if (!this.linkUp(lan) || !this.#running) return;
    if (this.#freezes > 0) {
      const room = this.#ringOpen && this.#ring.length < this.receiveQueueMax;
      if (room) this.#ring.push({ packet, lan });
      else this.#queueDrops++;
      return;
    }
    this.#ports.watch.reached(this, packet);
    if (this.#queue.length >= this.receiveQueueMax) {
      this.#queueDrops++;
      return;
    }
    this.#queue.push({ packet, lan, atUs: this.localNowUs });
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
        this.#fresh = true;
        if (this.#running) this.#die('power-loss');
        for (const runner of this.runners) runner.forgetVips();
        return;
      case 'stop':
        // Without a keeper nobody is left to start a successor of it.
        if (!this.#running) this.#fresh = true;
        return this.#input(() => this.#stop());
      case 'controller-lost':
        return this.#input(() => this.#networkChanged());
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
      if (this.#clockStoppedUs !== null) this.#clockStoppedUs = BOOT_US;
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

  /** Freezes the machine; what is returned ends that. */
  freeze(how: { readonly clockStops: boolean; readonly packetsWait: boolean }): () => void {
    if (this.#freezes++ === 0) {
      this.#ringOpen = how.packetsWait;
      if (how.clockStops) this.#clockStoppedUs = this.localNowUs;
      this.#servingMayHaveChanged();
    }
    const endStall = this.stall();
    return () => {
      if (--this.#freezes > 0) return endStall();
      this.#thaw();
      this.#servingMayHaveChanged();
      endStall();
      // Whoever would have started it could not either.
      this.#startIfPossible();
    };
  }

  #thaw(): void {
    if (this.#clockStoppedUs !== null) {
      this.#clock.resume(this.#ports.agenda.nowUs, this.#clockStoppedUs);
      this.#clock.setDrift(this.#ports.agenda.nowUs, this.#driftPpm);
      this.#clockStoppedUs = null;
      // The kernel counts the armed timer by the clock that stood still.
      this.#timerFired = false;
      if (this.#running) this.#arm(true);
    }
    // The kernel stamps what waited in front of it when it takes it.
    for (const { packet, lan } of this.#ring.splice(0)) this.deliver(lan, packet);
  }

  setLink(up: boolean, lan: number | null): void {
    for (const each of this.#linkFaults.keys()) {
      if (lan === null || lan === each)
        this.#linkFaults[each] = this.#faultsOf(each) + (up ? -1 : 1);
    }
    this.#ports.watch.disturbed(this, up ? 'link up' : 'link down');
    this.#servingMayHaveChanged();
    this.#notice(() => this.#networkChanged());
  }

  setDrift(driftPpm: number): void {
    this.#driftPpm = driftPpm;
    if (this.#clockStoppedUs !== null) return;
    this.#clock.setDrift(this.#ports.agenda.nowUs, driftPpm);
    // The kernel counts the armed timer by the clock that now runs differently.
    if (this.#running) this.#arm(true);
  }

  stepWallClock(byUs: number): void {
    this.#wallOffsetUs += byUs;
  }

  setWrongKey(wrong: boolean): void {
    this.#wrongKeys += wrong ? 1 : -1;
  }

  setTracker(name: string, up: boolean): void {
    this.#trackersDown.set(name, (this.#trackersDown.get(name) ?? 0) + (up ? -1 : 1));
    this.#ports.watch.disturbed(this, `tracker ${name} ${up ? 'up' : 'down'}`);
    this.#notice(() => {
      if (this.#stopping) return;
      for (const runner of this.runners) if (runner.present) runner.trackersChanged();
    });
  }

  steal(instance: string | null): void {
    const victims = this.runners.filter(({ name }) => instance === null || name === instance);
    this.#ports.watch.disturbed(this, 'VIPs deleted by another program');
    for (const victim of victims) victim.steal();
    this.#notice(() => {
      for (const victim of victims) victim.restore();
    });
  }

  /** An operator hands everything over that is active here. */
  handOver(): void {
    this.#input(() => {
      this.#ports.watch.departed(this, 'handover');
      this.#each((runner) => runner.state.kind === 'active' && runner.beginHandover());
    });
  }

  /** An operator ends what a handover began. */
  takeBack(): void {
    this.#input(() => {
      this.#ports.watch.disturbed(this, 'takes back');
      this.#each((runner) => runner.takeBack());
    });
  }

  /** What an operator wants of its instances; members of a group are looked at afterwards. */
  #each(command: (runner: SimRunner) => void): void {
    if (this.#stopping) return;
    this.#groups.hold();
    for (const runner of this.runners) if (runner.present) command(runner);
    this.#groups.release();
  }

  reload(instances: readonly SimInstance[]): void {
    this.#wanted = instances;
    this.#input(() => {
      if (this.#stopping) return;
      this.#configure();
    });
  }

  #faultsOf(lan: number): number {
    return this.#linkFaults[lan] ?? 0;
  }

  #servingMayHaveChanged(): void {
    for (const runner of this.runners) this.#ports.watch.holdingChanged(runner);
  }

  /** The kernel's notice takes its time. */
  #notice(handle: () => void): void {
    const { agenda } = this.#ports;
    agenda.at(agenda.nowUs + this.#lateUs(), () => this.#input(handle));
  }

  // --- The keeper ---------------------------------------------------------------------------

  #startIfPossible(): void {
    if (this.#running || this.#freezes > 0) return;
    for (const count of this.#absences.values()) if (count > 0) return;
    this.#running = true;
    if (this.#fresh) this.#delayStart();
    this.#fresh = false;
    const { watch } = this.#ports;
    watch.disturbed(this, 'started');
    // Members of a group start before the group is looked at.
    this.#groups.hold();
    for (const runner of this.runners) {
      const instance = this.#wantedFor(runner);
      if (instance !== undefined) runner.start(instance, true);
      else if (runner.present) runner.remove();
    }
    this.#groups.release();
    this.#arm(true);
    watch.turnEnded(this);
  }

  /** Both delays count from different moments, and the later end counts: keeper.ts, startsAtUs. */
  #delayStart(): void {
    const nowUs = this.localNowUs;
    // The clock counts from the boot.
    const endUs = Math.max(nowUs + this.#startupDelayUs, this.#delayAfterBootUs);
    this.#startsAtUs = endUs > nowUs ? endUs : 0;
  }

  #wantedFor(runner: SimRunner): SimInstance | undefined {
    return this.#wanted.find(({ config }) => config.name === runner.name);
  }

  /** Makes the instances match the wanted ones: keeper.ts, #configure and #replaceRunners. */
  #configure(): void {
    this.#groups.hold();
    const fresh: (readonly [SimRunner, SimInstance])[] = [];
    for (const runner of this.runners) {
      const wanted = this.#wantedFor(runner);
      if (runner.present && wanted !== undefined && sameRouter(runner.instance, wanted)) {
        if (runner.instance !== wanted) runner.reconfigure(wanted);
        continue;
      }
      if (runner.present || wanted !== undefined) {
        this.#ports.watch.runnerDisturbed(runner, wanted === undefined ? 'removed' : 'added');
      }
      if (runner.present) runner.remove();
      if (wanted !== undefined) fresh.push([runner, wanted]);
    }
    for (const [runner, wanted] of fresh) runner.start(wanted, false);
    this.#groups.release();
  }

  #stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#ports.watch.departed(this, 'stop');
    for (const runner of this.runners) if (runner.present) runner.handOver();
  }

  #die(what: 'crash' | 'power-loss' | 'stop'): void {
    const { agenda, watch } = this.#ports;
    this.#running = false;
    this.#stopping = false;
    this.#generation++;
    this.#stalls = 0;
    this.#queue = [];
    this.#ring = [];
    this.#inputs = [];
    this.#turnPlanned = false;
    this.#timerAtUs = Number.POSITIVE_INFINITY;
    this.#timerFired = false;
    this.#groups.clear();
    for (const runner of this.runners) runner.die();
    if (what === 'stop') this.#fresh = true;
    else watch.departed(this, what);
    watch.ended(this);
    if (what === 'power-loss' || !this.runners.some((runner) => runner.holding)) return;
    const generation = this.#generation;
    const present = this.runners.filter((runner) => runner.present);
    const configs = present.map((runner) => runner.instance.config);
    agenda.at(agenda.nowUs + orphanGraceUs(configs), () => {
      if (generation !== this.#generation || this.#running) return;
      for (const runner of this.runners) runner.removeVips();
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
    agenda.at(agenda.nowUs + this.#random.below(this.#lateness.turnUs + 1), () => {
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
    // The timer is looked at before the sockets, or after them.
    if (this.#random.below(2) === 0) this.#drain();
    if (this.#timerFired) this.#onTimer();
    this.#drain();
    this.#endTurn();
    if (generation === this.#generation) watch.woke(this);
  }

  #onTimer(): void {
    this.#timerFired = false;
    this.#fireDue(true);
    const more = this.#drain();
    this.#fullTurns = more ? this.#fullTurns + 1 : 0;
    if (more && this.#fullTurns < FULL_TURNS_MAX) {
      // Looked at again at once, after what else is due now.
      this.#fireAt(this.#ports.agenda.nowUs);
      return;
    }
    this.#fireDue(false);
  }

  #fireDue(onlyPunctual: boolean): void {
    const nowUs = this.localNowUs;
    for (const runner of this.runners) runner.fireIfDue(nowUs, onlyPunctual);
  }

  #endTurn(): void {
    if (!this.#running) return;
    if (this.#stopping && this.runners.every((runner) => runner.hasStopped)) {
      this.#die('stop');
      this.#startIfPossible();
      return;
    }
    if (this.#queue.length > 0) this.#planTurn();
    this.#arm(false);
    this.#ports.watch.turnEnded(this);
  }

  /** Keeps a timer that fires early enough, because re-arming when it does is cheaper. */
  #arm(anew: boolean): void {
    let deadlineUs = Number.POSITIVE_INFINITY;
    for (const runner of this.runners) {
      deadlineUs = Math.min(deadlineUs, runner.deadlineUs ?? Number.POSITIVE_INFINITY);
    }
    if (deadlineUs === Number.POSITIVE_INFINITY) return;
    const { agenda } = this.#ports;
    const atUs = Math.max(this.#clock.worldAt(deadlineUs), agenda.nowUs) + this.#lateUs();
    if (!anew && this.#timerAtUs <= atUs) return;
    this.#fireAt(atUs);
  }

  #fireAt(atUs: number): void {
    this.#timerAtUs = atUs;
    const generation = this.#generation;
    this.#ports.agenda.at(atUs, () => {
      if (generation !== this.#generation || this.#timerAtUs !== atUs) return;
      this.#timerAtUs = Number.POSITIVE_INFINITY;
      this.#timerFired = true;
      if (this.#stalls > 0) return;
      this.#onTimer();
      this.#endTurn();
    });
  }

  #lateUs(): number {
    return this.#random.below(this.#lateness.timerUs + 1);
  }

  /** Handles the packets that wait; true when more may wait than it handled. */
  #drain(): boolean {
    const count = Math.min(this.#queue.length, this.drainPacketsMax);
    for (const queued of this.#queue.splice(0, count)) {
      const { lan, packet } = queued;
      const runner = this.runners.find((candidate) => candidate.hears(lan, packet));
      if (runner === undefined) this.#unknown++;
      else runner.receive(queued);
    }
    return count >= this.drainPacketsMax;
  }

  #networkChanged(): void {
    if (this.#stopping) return;
    for (const runner of this.runners) if (runner.present) runner.networkChanged();
  }

  #membersOf(group: string): readonly Member[] {
    return this.runners
      .filter((runner) => runner.present && runner.options.group === group)
      .map(({ name, state }) => ({ name, state }));
  }
}

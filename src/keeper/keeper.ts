/**
 * The keeper process: owns the VRRP instances and their VIPs, and guards the controller.
 *
 *   netlink ──> Network ──┐                         ┌──> VrrpSender, Announcer, netlink
 *   adverts ──> Receivers ─┼─> InstanceRunner (each) ┤
 *   timerfd ──> Turns ─────┘                         └──> record, reports to the controller
 *
 * Everything happens on one thread, in turns that never wait (turns.ts). Here is what a plan, the
 * controller and the network make of the instances.
 */
import { assertNever } from '../core/assert.ts';
import type { KeeperTuning, VrrpConfig } from '../core/config/config.ts';
import { formatProblem, type Problem } from '../core/problem.ts';
import { KEEPER_NODE_FLAGS } from '../core/processes.ts';
import { sameData } from '../core/same-data.ts';
import { GroupCoordinator, type Member } from '../core/vrrp/group.ts';
import { safeSilenceUs } from '../core/vrrp/timing.ts';
import { monotonicUs, uptimeUs } from '../linux/clock.ts';
import { execve, SystemError } from '../linux/libc.ts';
import {
  enterRealtime,
  leaveRealtime,
  REALTIME_PRIORITY,
  spawnFromRealtime,
} from '../linux/scheduling.ts';
import { notifyServiceManager } from '../linux/service-manager.ts';
import { Announcer } from './announcer.ts';
import { BaseSettings } from './base-settings.ts';
import { BfdRunner } from './bfd.ts';
import { startedByTwin } from './channel.ts';
import { ControllerLink } from './controller-link.ts';
import { HeldFifo } from './held-fifo.ts';
import { Intake } from './intake.ts';
import { InterfaceTrackers } from './interface-trackers.ts';
import { ipv6Interfaces } from './ipv6-interfaces.ts';
import {
  type ControllerToKeeper,
  type EarlyPlan,
  type InstanceStatus,
  type KeeperPlan,
  type KeeperStatus,
  type KeeperToController,
  PROTOCOL_VERSION,
} from './messages.ts';
import { Network } from './network.ts';
import { Promotion } from './promotion.ts';
import { PutOff } from './put-off.ts';
import { Receivers } from './receivers.ts';
import {
  isMemory,
  KEEPER_TITLE,
  type KeeperRecord,
  NOTHING_MORE,
  type RecordedInstance,
  RecordWriter,
  readPlan,
  readRecord,
  writePlan,
} from './record.ts';
import { rehearseTakeover } from './rehearsal.ts';
import { Routing, type RoutingDefinition } from './routing.ts';
import { InstanceRunner } from './runner.ts';
import { Senders } from './senders.ts';
import { STATIC_OWNER, StaticObjects } from './static-objects.ts';
import { StatusParts } from './status-parts.ts';
import { findStrayed, removeStrayed } from './strayed.ts';
import { Trackers } from './trackers.ts';
import { Turns } from './turns.ts';
import { DROPPED_ENVIRONMENT, type TwinCommand } from './twin.ts';
import { removeVips } from './vips.ts';
import { removeOurLink } from './virtual-link.ts';

/** How long a stopping keeper waits for the controller to take its entries out. */
const STOP_TIMEOUT_MS = 10_000;
/** Between two steps of the rehearsal; all of it takes a tenth of a second. */
const REHEARSAL_PAUSE_MS = 5;
/** A new process needs some 100 ms to its first advertisement; this leaves room for a busy one. */
const REEXECUTION_US = 1_000_000;
/** Tells the process that this one becomes where the plan is. */
const RESUME_VARIABLE = 'VIPKEEPER_RESUME';
/** Descriptor of the FIFO that the process before held. */
const FIFO_VARIABLE = 'VIPKEEPER_FIFO';

/** A new instance takes some 0.1 ms to start, one that is the same far less. */
const INSTANCES_BETWEEN_ADVERTS = 8;

/** Messages that make instances act. */
const MOVING: ReadonlySet<ControllerToKeeper['kind']> = new Set([
  'configure',
  'handover',
  'reexecute',
  'stop',
  'takeback',
  'trackers',
]);

const CHANGED_MEANWHILE: Problem = {
  code: 'VK-CONFIG-CHANGED',
  message: 'The configuration was changed while the director started',
  cure: 'Start it again; a service manager does so by itself',
};

export class Keeper {
  readonly #controller: ControllerLink;
  readonly #network: Network;
  readonly #announcer: Announcer;
  readonly #settings = new BaseSettings();
  readonly #fifo = new HeldFifo();
  readonly #routing: Routing;
  readonly #promotion: Promotion;
  readonly #intake = new Intake((problem) =>
    this.#report({ kind: 'problem', instance: null, problem }),
  );
  readonly #static: StaticObjects;
  #staticLook = false;
  #ipv6Interfaces: ReadonlySet<string> = new Set();
  readonly #interfaces: InterfaceTrackers;
  readonly #trackers: Trackers;
  readonly #receivers: Receivers;
  readonly #bfd: BfdRunner;
  readonly #turns: Turns;
  readonly #runners = new Map<string, InstanceRunner>();
  readonly #senders = new Senders();
  readonly #putOff: PutOff;
  #record: RecordWriter | null = null;
  #plan: KeeperPlan | null = null;
  #scheduling: 'realtime' | 'normal' = 'normal';
  #holdTimer: NodeJS.Timeout | null = null;
  #stopping = false;
  #stopFinished = false;
  #reexecuting = false;
  /** It goes on with what an earlier keeper began: that one's startup delay, and no new one. */
  #successor = startedByTwin();
  /** Monotonic clock: end of the startup delay; 0 for none. */
  #startsAtUs = 0;
  readonly #groups = new GroupCoordinator({
    membersOf: (group) => this.#membersOf(group),
    follow: ({ member, event }) => this.#runners.get(member)?.follow(event),
    stopping: () => this.#stopping,
  });
  readonly #statusParts = new StatusParts({
    names: () => [...this.#runners.keys()],
    instance: (name) => this.#instanceStatus(name),
    rest: () => this.#statusRest(),
    send: (message) => this.#send(message),
    nowUs: monotonicUs,
    later: (goOn) => setImmediate(goOn),
  });

  /** Where the plan in force is from while no controller has given one; else null. */
  #provisional: EarlyPlan['from'] | null = null;
  #exitCode = 0;
  readonly #earlyPlan: () => EarlyPlan | null;

  /**
   * `controller` says how to start one, `earlyPlan` what may be done before there is one; throws
   * SystemError without the needed capabilities.
   */
  constructor(controller: TwinCommand, earlyPlan: () => EarlyPlan | null) {
    this.#earlyPlan = earlyPlan;
    this.#controller = new ControllerLink(
      controller,
      {
        onMessage: (message) => this.#handle(message),
        onGone: (exitCode) => this.#controllerGone(exitCode),
        isLast: () => this.#stopping,
      },
      (argv, spawn) =>
        this.#scheduling === 'realtime'
          ? spawnFromRealtime(REALTIME_PRIORITY, argv, spawn)
          : spawn(argv),
    );
    const network = Network.open({
      onChanged: () => this.#networkChanged(),
      onCarrier: (interfaceName) => {
        for (const runner of this.#runners.values()) runner.carrierReturned(interfaceName);
      },
      onAddressLost: (interfaceName, address, byPid) => {
        for (const runner of this.#runners.values()) {
          runner.addressLost(interfaceName, address, byPid);
        }
        this.#static.lost(interfaceName, address, byPid);
      },
    });
    if (!network.ok) throw new SystemError(network.error.call, network.error.errno);
    this.#network = network.value;
    this.#putOff = new PutOff(this.#network);
    this.#promotion = new Promotion(this.#settings, this.#network);
    this.#interfaces = new InterfaceTrackers(this.#network, () => this.#trackersChanged());
    this.#routing = new Routing({
      indexOf: (name) => this.#network.link(name)?.index ?? null,
      restored: (owner, { kind, text }, byPid) => this.#routingRestored(owner, kind, text, byPid),
      problem: (owner, problem) => {
        const instance = this.#runners.has(owner) ? owner : null;
        this.#report({ kind: 'problem', instance, problem });
      },
      changed: () => this.#staticChanged(),
    });
    this.#static = new StaticObjects({
      network: this.#network,
      routing: this.#routing,
      report: (message) => this.#report(message),
      changed: () => this.#staticChanged(),
    });
    this.#announcer = new Announcer(this.#network, () => this.#turns.overSoon());
    this.#receivers = new Receivers(
      (message) => this.#report(message),
      () => this.#arm(),
    );
    this.#bfd = new BfdRunner({
      report: (message) => this.#report(message),
      onStateChanged: (name, up) => {
        if (up) this.#trackers.sessionSeenUp(name);
        this.#trackersChanged();
      },
      onHandled: () => this.#arm(),
    });
    this.#trackers = new Trackers({
      interfaces: this.#interfaces,
      static: this.#static,
      bfd: this.#bfd,
    });
    this.#turns = new Turns({
      receivers: this.#receivers,
      bfd: this.#bfd,
      announcer: this.#announcer,
      putOff: this.#putOff,
      record: () => this.#record,
      send: (reports) => this.#controller.report(reports),
      over: () => this.#arm(),
    });
  }

  /** Connects to the controller that started this process, or starts one. */
  start(): void {
    process.title = KEEPER_TITLE;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => this.#stop());
    }
    // Losing the terminal must not end a director.
    process.on('SIGHUP', () => this.#send({ kind: 'reload-requested' }));
    if (!startedByTwin()) {
      this.#resume();
      this.#controller.start();
      return;
    }
    this.#controller.connect();
    this.#hello();
  }

  /**
   * After reexecute(): goes on with the plan of before, until the new controller has its own. At a
   * start: begins with what is known of the plan, if anything is.
   */
  #resume(): void {
    const directory = process.env[RESUME_VARIABLE];
    delete process.env[RESUME_VARIABLE];
    const fifo = process.env[FIFO_VARIABLE];
    delete process.env[FIFO_VARIABLE];
    if (directory !== undefined && fifo !== undefined) this.#fifo.inherit(Number(fifo));
    this.#successor = directory !== undefined;
    const early = directory === undefined ? this.#earlyPlan() : null;
    const plan = directory === undefined ? (early?.plan ?? null) : readPlan(directory);
    if (plan === null) return;
    this.#provisional = early?.from ?? null;
    this.#configure(plan);
    // A controller that never comes is one that is gone.
    if (this.#provisional !== null) this.#awaitController(plan);
  }

  /**
   * Becomes the installed version of itself. Instances whose peers would time out meanwhile hand
   * over first; the others are adopted by what comes after.
   */
  #reexecute(): void {
    const plan = this.#plan;
    if (plan === null || this.#stopping || this.#reexecuting) return;
    this.#reexecuting = true;
    this.#controller.stopRestarting();
    for (const runner of this.#runners.values()) {
      const { advertIntervalUs, downTimerAdverts } = runner.config;
      if (safeSilenceUs(advertIntervalUs, downTimerAdverts) < REEXECUTION_US) runner.handOver();
    }
    this.#arm();
  }

  #becomeSuccessor(plan: KeeperPlan): never {
    writePlan(plan);
    const env: Record<string, string> = { [RESUME_VARIABLE]: plan.runtimeDirectory };
    const fifo = this.#fifo.passOn();
    if (fifo !== null) env[FIFO_VARIABLE] = String(fifo);
    for (const [name, value] of Object.entries(process.env)) {
      if (value !== undefined && !DROPPED_ENVIRONMENT.includes(name)) env[name] = value;
    }
    this.#controller.closeOnExec();
    const script = process.argv[1] as string;
    const argv = [process.execPath, ...KEEPER_NODE_FLAGS, script, ...process.argv.slice(2)];
    return execve(process.execPath, argv, env);
  }

  *#preparations(first: boolean, fresh: readonly InstanceRunner[]): Generator<void, void> {
    if (first) yield* rehearseTakeover(this.#network);
    for (const [index, runner] of fresh.entries()) {
      if (index % INSTANCES_BETWEEN_ADVERTS === 0) yield;
      if (!runner.hasStopped) runner.prepareAhead();
    }
  }

  /**
   * What must be fast when it is needed is made ready after the start, a little at a time: a keeper that
   * comes after a dead one adopts and advertises first.
   */
  #rehearse(steps: Generator<void, void>): void {
    setTimeout(() => {
      if (this.#stopping || this.#reexecuting) steps.return();
      else if (steps.next().done === true) this.#turns.hasten();
      else this.#rehearse(steps);
    }, REHEARSAL_PAUSE_MS);
  }

  #hello(): void {
    this.#send({
      kind: 'hello',
      protocol: PROTOCOL_VERSION,
      pid: process.pid,
      ...(this.#provisional === null ? {} : { early: this.#provisional }),
    });
  }

  #send(message: KeeperToController): void {
    this.#controller.send(message);
  }

  /** Something the controller should know, now or when there is one again. */
  #report(message: KeeperToController): void {
    if (this.#controller.keep(message) || this.#turns.collect(message)) return;
    this.#controller.report([message]);
  }

  #handle(message: ControllerToKeeper): void {
    if (MOVING.has(message.kind)) this.#turns.hearFirst();
    switch (message.kind) {
      case 'hello':
        return this.#greet(message.protocol);
      case 'configure':
        return this.#confirm(message.plan);
      case 'trackers':
        this.#trackers.setControllers(message.states);
        return this.#trackersChanged();
      case 'status-request':
        // What has come is counted, whether or not it had to be looked at yet.
        this.#receivers.drainAll();
        return this.#statusParts.request(message.id);
      case 'startup-failed':
        // Nothing to protect yet: the controller has said why. Otherwise it counts as a crash.
        return this.#startFailed(message.exitCode);
      case 'stop':
        // A signal to both processes comes here too: it is one wish, not two.
        if (!this.#stopping) this.#stop();
        return;
      case 'reexecute':
        return this.#reexecute();
      case 'handover':
        return this.#each(message.instances, (runner) => runner.beginHandover());
      case 'takeback':
        return this.#each(message.instances, (runner) => runner.takeBack());
      case 'heard':
        return this.#controller.heard();
      case 'stopped':
        return this.#end();
      default:
        return assertNever(message);
    }
  }

  #greet(protocol: number): void {
    if (protocol !== PROTOCOL_VERSION) {
      // Half of the installation was replaced under us: a controller of our own kind is needed.
      this.#controller.kill('SIGTERM');
      return;
    }
    if (!this.#controller.isStarters) this.#hello();
    this.#controller.listens();
  }

  /** A plan of the controller's, which knows the configuration. */
  #confirm(plan: KeeperPlan): void {
    const from = this.#provisional;
    const early = from === null ? null : this.#plan;
    this.#provisional = null;
    // What holds from a start on cannot be changed by a reload: the file was written meanwhile.
    const differs =
      early !== null &&
      (early.runtimeDirectory !== plan.runtimeDirectory || !sameData(early.tuning, plan.tuning));
    if (!differs) return this.#configure(plan);
    this.#provisional = from;
    process.stderr.write(`${formatProblem(CHANGED_MEANWHILE)}\n`);
    this.#startFailed(1);
  }

  /** Before a controller has given a plan, its failure is that of the start. */
  #startFailed(exitCode: number): void {
    if (this.#plan === null) process.exit(exitCode);
    if (this.#provisional === null || this.#stopping) return;
    this.#exitCode = exitCode;
    this.#stop();
  }

  #awaitController(plan: KeeperPlan): void {
    this.#holdTimer ??= setTimeout(() => {
      for (const runner of this.#runners.values()) runner.setControllerLost(true);
      this.#arm();
    }, plan.tuning.holdUs / 1000);
  }

  #configure(plan: KeeperPlan): void {
    this.#network.catchUp();
    const first = this.#plan === null;
    const problems: Problem[] = [];
    this.#plan = plan;
    this.#fifo.hold(plan.fifo);
    this.#controllerBack();
    const before = first ? readRecord(plan.runtimeDirectory) : null;
    const recorded = new Map(before?.instances.map((instance) => [instance.name, instance]));
    this.#record ??= new RecordWriter(plan.runtimeDirectory);
    if (before !== null) {
      this.#settings.open(plan.runtimeDirectory);
      const { instances, more } = before;
      removeStrayed(this.#network, findStrayed(this.#network, instances, more.staticAddresses));
      problems.push(...this.#tune(plan));
      this.#startsAtUs = this.#successor ? before.startsAtUs : startsAtUs(plan.tuning);
      this.#trackers.startSessions(() => this.#trackersChanged());
    }
    const vips = plan.instances.flatMap(({ addresses }) => addresses);
    this.#network.setVirtualIps(new Set(vips.map(({ address }) => address)));
    this.#ipv6Interfaces = ipv6Interfaces(plan);
    this.#trackers.configure(plan.trackers);
    this.#announcer.configure(plan.announceGroups);
    this.#configureRouting(plan, before);
    problems.push(...this.#promotion.configure(plan.instances));
    // Members of a group start before the group is looked at.
    this.#groups.hold();
    const fresh = this.#replaceRunners(plan.instances);
    try {
      const adverts = plan.instances.map(
        ({ name }) =>
          this.#runners.get(name)?.lastAdvertAtUs || (recorded.get(name)?.lastAdvertAtUs ?? 0),
      );
      this.#record.writeStructure(plan.instances, adverts, this.#startsAtUs, {
        staticAddresses: plan.static.addresses.map((one) => ({
          address: one.address,
          prefixLength: one.prefixLength,
          interface: one.interface,
        })),
        routing: this.#routing.isUsed,
        intake: this.#intake.isUsed,
      });
      if (first && !isMemory(plan.runtimeDirectory)) problems.push(onDisk(plan.runtimeDirectory));
    } catch (error) {
      problems.push(runtimeDirectoryProblem(plan.runtimeDirectory, error));
    }
    this.#advertiseMeanwhile(0);
    this.#assignReceivers(problems);
    for (const [index, runner] of fresh.entries()) {
      this.#advertiseMeanwhile(index);
      const left = recorded.get(runner.config.name);
      runner.start(left !== undefined && isOf(left, runner.config) ? left : null);
    }
    // A fault may have been mended where no notification tells it, such as by loading a module.
    for (const runner of this.#runners.values()) {
      if (runner.state.kind === 'fault') runner.networkChanged();
    }
    this.#groups.release();
    this.#advertiseMeanwhile(0);
    if (before !== null) this.#removeStrangers(before.instances);
    else this.#settings.restoreUnheld((index) => this.#network.nameOf(index));
    // What no instance holds now is a leftover.
    this.#routing.settle();
    this.#intake.settle();
    this.#advertiseMeanwhile(0);
    problems.push(...this.#bfd.configure(plan.bfd));
    this.#arm();
    if (first || fresh.length > 0) this.#rehearse(this.#preparations(first, fresh));
    for (const problem of problems) this.#report({ kind: 'problem', instance: null, problem });
    this.#send({ kind: 'configured', scheduling: this.#scheduling });
    if (this.#provisional !== null) return;
    notifyServiceManager(`MAINPID=${process.pid}\nREADY=1`);
  }

  /** `before`: what the keeper before left, at the start. */
  #configureRouting(plan: KeeperPlan, before: KeeperRecord | null): void {
    const more = before?.more ?? NOTHING_MORE;
    const definitions = new Map<string, RoutingDefinition>(
      plan.instances.map((instance) => [instance.name, instance]),
    );
    definitions.set(STATIC_OWNER, plan.static);
    this.#routing.configure(definitions, more.routing);
    this.#intake.configure({
      runtimeDirectory: plan.runtimeDirectory,
      wanted: plan.instances.some(({ accept, priority }) => !accept && priority !== 255),
      left: more.intake === true,
    });
    this.#static.configure(plan.static, more.staticAddresses);
    this.#routing.hold(STATIC_OWNER);
  }

  #routingRestored(
    owner: string,
    object: 'route' | 'rule',
    text: string,
    byPid: number | null,
  ): void {
    const runner = this.#runners.get(owner);
    if (runner === undefined) this.#static.noteRestored();
    else runner.noteRoutingRestored();
    const instance = runner === undefined ? null : owner;
    this.#report({ kind: 'routing-restored', instance, object, text, byPid });
  }

  /** Instances may depend on it; looked at when what is being done is done. */
  #staticChanged(): void {
    if (this.#staticLook) return;
    this.#staticLook = true;
    setImmediate(() => {
      this.#staticLook = false;
      this.#trackersChanged();
    });
  }

  /** Stops, changes and makes runners so that they match the plan; returns the new ones. */
  #replaceRunners(instances: readonly VrrpConfig[]): readonly InstanceRunner[] {
    const wanted = new Map(instances.map((config) => [config.name, config]));
    let compared = 0;
    for (const [name, runner] of this.#runners) {
      this.#advertiseMeanwhile(compared++);
      const config = wanted.get(name);
      if (config !== undefined && sameRouter(runner.config, config)) {
        if (!sameData(runner.config, config)) runner.reconfigure(config);
      } else {
        runner.stop();
        this.#runners.delete(name);
      }
    }
    const fresh: InstanceRunner[] = [];
    for (const [slot, config] of instances.entries()) {
      const existing = this.#runners.get(config.name);
      if (existing !== undefined) {
        existing.slot = slot;
        continue;
      }
      const runner = new InstanceRunner(config, slot, {
        network: this.#network,
        announcer: this.#announcer,
        routing: this.#routing,
        settings: this.#settings,
        bearsIpv6: (name) => this.#ipv6Interfaces.has(name),
        intake: this.#intake,
        openSender: (options) => this.#senders.open(options),
        report: (message) => this.#report(message),
        tracker: (name) => this.#trackers.state(name),
        firstStateUs: (name) => this.#trackers.firstStateUs(name),
        groupStepped: (group) => this.#groupStepped(group),
        groupFaulty: (runner) => this.#groupFaulty(runner),
        groupPeerLost: (runner) => this.#groupPeerLost(runner),
        adverts: this.#turns.adverts,
        takeovers: this.#turns.takeovers,
        // In a turn, what instances let go comes first.
        noteAdvert: (atSlot, atUs) => this.#record?.noteAdvert(atSlot, atUs, this.#putOff.isOpen),
        patienceChanged: () => this.#receivers.instancesChanged(),
        startsAtUs: this.#startsAtUs,
        betweenTurns: (act) => this.#betweenTurns(act),
        putOff: this.#putOff,
      });
      this.#runners.set(config.name, runner);
      fresh.push(runner);
    }
    return fresh;
  }

  #betweenTurns(act: () => void): void {
    if (this.#stopping || this.#reexecuting) return;
    this.#turns.hearFirst();
    act();
    this.#arm();
  }

  /** Whoever is active and on time advertises while a plan of many instances is gone through. */
  #advertiseMeanwhile(index: number): void {
    if (index % INSTANCES_BETWEEN_ADVERTS === 0) this.#turns.advertise();
  }

  #tune(plan: KeeperPlan): readonly Problem[] {
    if (plan.tuning.scheduling === 'normal') {
      leaveRealtime();
      this.#scheduling = 'normal';
      return [];
    }
    const entered = enterRealtime(REALTIME_PRIORITY);
    this.#scheduling = entered.ok ? 'realtime' : 'normal';
    return entered.ok ? [] : [entered.error];
  }

  #assignReceivers(problems: Problem[]): void {
    try {
      this.#receivers.assign(
        this.#runners.values(),
        (name) => this.#network.link(name)?.index ?? null,
      );
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      problems.push({
        code: 'VK-SYSTEM',
        message: `A socket for advertisements cannot be opened: ${error.message}`,
        cure: 'Check the capabilities (CAP_NET_RAW) and the interfaces of this director',
      });
    }
  }

  /** VIPs that an earlier keeper recorded and no instance of the plan has any more. */
  #removeStrangers(recorded: readonly RecordedInstance[]): void {
    const known = new Set<string>();
    for (const runner of this.#runners.values()) {
      for (const vip of runner.config.addresses) known.add(`${vip.interface} ${vip.address}`);
    }
    const strangers = recorded
      .flatMap((instance) => instance.addresses)
      .filter((vip) => !known.has(`${vip.interface} ${vip.address}`));
    for (const vip of strangers) this.#network.claim(vip.interface, vip.address);
    removeVips(this.#network, strangers);
    const links = new Set(
      [...this.#runners.values()].map(({ config }) => config.virtualLink?.name),
    );
    for (const { link } of recorded) {
      if (link !== null && !links.has(link)) removeOurLink(this.#network, link);
    }
    this.#settings.restoreUnheld((index) => this.#network.nameOf(index));
  }

  #trackersChanged(): void {
    if (this.#stopping) return;
    for (const runner of this.#runners.values()) runner.trackersChanged();
    this.#arm();
  }

  #groupStepped(group: string): void {
    this.#groups.stepped(group);
  }

  /** What an operator wants of these instances; members of a group are looked at afterwards. */
  #each(instances: readonly string[], command: (runner: InstanceRunner) => void): void {
    if (this.#stopping || this.#reexecuting) return;
    this.#groups.hold();
    for (const name of instances) {
      const runner = this.#runners.get(name);
      if (runner !== undefined) command(runner);
    }
    this.#groups.release();
    this.#arm();
  }

  #membersOf(group: string): readonly Member[] {
    return [...this.#runners.values()]
      .filter((runner) => runner.config.group === group)
      .map((runner) => ({ name: runner.config.name, state: runner.state }));
  }

  #groupFaulty(runner: InstanceRunner): boolean {
    const { group, name } = runner.config;
    if (group === null) return false;
    return this.#membersOf(group).some(
      (member) =>
        member.name !== name &&
        member.state.kind === 'fault' &&
        member.state.reason !== 'group-member-fault',
    );
  }

  #groupPeerLost(loserOf: InstanceRunner): void {
    const { group } = loserOf.config;
    if (group === null) return;
    for (const runner of this.#runners.values()) {
      if (runner !== loserOf && runner.config.group === group) runner.peerLost();
    }
  }

  #networkChanged(): void {
    if (this.#plan === null || this.#stopping) return;
    this.#turns.hearFirst();
    this.#interfaces.linksChanged();
    const problems: Problem[] = [];
    this.#assignReceivers(problems);
    this.#static.networkChanged();
    if (this.#plan.static.addresses.length > 0) this.#staticChanged();
    for (const runner of this.#runners.values()) runner.networkChanged();
    this.#routing.networkChanged();
    this.#promotion.networkChanged();
    for (const problem of problems) this.#report({ kind: 'problem', instance: null, problem });
    this.#arm();
  }

  #arm(): void {
    if (this.#stopFinished) return;
    if (this.#stopping && [...this.#runners.values()].every((runner) => runner.hasStopped)) {
      return this.#finishStop();
    }
    const settled = !this.#putOff.isWaiting;
    if (settled) this.#turns.report();
    if (settled && this.#reexecuting && this.#plan !== null && this.#isReadyToReexecute()) {
      this.#becomeSuccessor(this.#plan);
    }
    this.#turns.rest();
  }

  #isReadyToReexecute(): boolean {
    return [...this.#runners.values()].every((runner) => !runner.isResigning);
  }

  #instanceStatus(name: string): InstanceStatus | null {
    const runner = this.#runners.get(name);
    if (runner === undefined) return null;
    const { interface: interfaceName, family } = runner.config;
    const strangers = this.#receivers.strangers.report(interfaceName, family);
    return { ...runner.status(), strangers };
  }

  #statusRest(): Omit<KeeperStatus, 'instances'> {
    return {
      pid: process.pid,
      nowUs: monotonicUs(),
      scheduling: this.#scheduling,
      refusedUnassigned: { ...this.#receivers.refusedUnassigned },
      trackers: this.#trackers.own(),
      static: this.#static.status(),
      bfd: this.#bfd.status(),
      bfdRefusedUnassigned: { ...this.#bfd.refusedUnassigned },
    };
  }

  #controllerGone(exitCode: number | null): void {
    if (this.#stopping) {
      // The VIPs come first: #finishStop() finds that there is nobody to wait for.
      if (this.#stopFinished) this.#end();
      return;
    }
    if (this.#plan === null || this.#provisional !== null) return this.#startFailed(exitCode ?? 1);
    this.#awaitController(this.#plan);
  }

  #controllerBack(): void {
    if (this.#holdTimer !== null) clearTimeout(this.#holdTimer);
    this.#holdTimer = null;
    for (const runner of this.#runners.values()) runner.setControllerLost(false);
  }

  /** Hands over: every instance resigns, and keeps its VIPs until a successor is heard. */
  #stop(): void {
    // Asked a second time: no more waiting for a successor.
    if (this.#stopping) return this.#finishStop();
    this.#stopping = true;
    notifyServiceManager('STOPPING=1');
    this.#controller.stopRestarting();
    for (const runner of this.#runners.values()) runner.handOver();
    this.#arm();
  }

  /** All VIPs have been let go: the controller may take its entries out. */
  #finishStop(): void {
    if (this.#stopFinished) return;
    this.#stopFinished = true;
    this.#turns.close();
    for (const runner of this.#runners.values()) runner.stop();
    this.#routing.close();
    this.#intake.close();
    this.#promotion.close();
    this.#static.close();
    this.#receivers.close();
    this.#bfd.stop();
    // Before the controller closes it, whose reader waits for the end.
    this.#fifo.hold(null);
    this.#send({ kind: 'stopping' });
    if (!this.#controller.exists) return this.#end();
    setTimeout(() => {
      this.#controller.kill('SIGKILL');
      this.#end();
    }, STOP_TIMEOUT_MS);
  }

  #end(): void {
    this.#record?.close();
    process.exit(this.#exitCode);
  }
}

/** Whether what was recorded is of the same virtual router. */
function isOf(left: RecordedInstance, config: VrrpConfig): boolean {
  return (
    left.interface === config.interface &&
    left.vrid === config.vrid &&
    left.family === config.family
  );
}

/** True when both describe the same virtual router: changes between them need no new start. */
function sameRouter(left: VrrpConfig, right: VrrpConfig): boolean {
  return (
    left.interface === right.interface &&
    left.vrid === right.vrid &&
    left.family === right.family &&
    left.version === right.version &&
    left.sourceAddress === right.sourceAddress &&
    sameData(left.virtualLink, right.virtualLink)
  );
}

/** When a director that starts now takes part: the later end of both delays, or 0. */
function startsAtUs({ startupDelayUs, delayAfterBootUs }: KeeperTuning): number {
  const waitUs = Math.max(startupDelayUs, delayAfterBootUs - uptimeUs());
  return waitUs <= 0 ? 0 : monotonicUs() + waitUs;
}

function onDisk(directory: string): Problem {
  return {
    code: 'VK-RUNTIME-DIRECTORY',
    message: `The runtime directory ${directory} is not in memory: where the disk makes its writers wait, advertisements are late, and a peer may take over`,
    cure: 'Set runtime_directory to a directory on tmpfs, such as below /run or /dev/shm',
  };
}

function runtimeDirectoryProblem(directory: string, error: unknown): Problem {
  return {
    code: 'VK-RUNTIME-DIRECTORY',
    message: `The runtime directory ${directory} cannot be written: ${error instanceof Error ? error.message : String(error)}`,
    cure: 'Make it writable, or set runtime_directory to another one; until then a restart cannot adopt VIPs',
  };
}

/**
 * The controller process: everything that parses, waits, allocates or talks to people.
 *
 *   config file ──> keeper's plan ──> keeper (VRRP, VIPs)
 *               ──> checks ──health──> table ──netlink──> IPVS
 *   keeper ──transitions──> sync daemon, log, status
 *   status <── metrics, control socket
 *
 * It is started by the keeper, or outlives it and starts the next one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { assertNever } from '../core/assert.ts';
import type {
  AddressFamily,
  BelowQuorum,
  Config,
  RealServerConfig,
  ServiceConfig,
  ServiceEntry,
} from '../core/config/config.ts';
import { reuseServices } from '../core/config/reuse-services.ts';
import { servicesByName } from '../core/config/services-by-name.ts';
import { allServers, type CheckDefinition, checkOf, targetText } from '../core/health/check-key.ts';
import type { CheckChange, FoundAs } from '../core/health/check-state.ts';
import { refusalOf } from '../core/health/consequence.ts';
import { OVERRIDES_MAX, type Override, overrideKey } from '../core/health/override.ts';
import {
  type OverrideRequest,
  overrideOf,
  refusedOverride,
  resolveTarget,
} from '../core/health/override-request.ts';
import type { PassiveEvidence } from '../core/health/passive.ts';
import { inTurns } from '../core/in-turns.ts';
import { familyName } from '../core/ip.ts';
import { countsOfServers, type ObservedTable } from '../core/ipvs/entries.ts';
import type { Leaving, LeavingLook } from '../core/ipvs/leaving.ts';
import type { IpvsOperation } from '../core/ipvs/model.ts';
import { serverKey, serviceKey } from '../core/ipvs/model.ts';
import type { DriftItem } from '../core/ipvs/plan.ts';
import { CheckCarriers } from '../core/ipvs/through-vip.ts';
import type { Problem } from '../core/problem.ts';
import type { Result } from '../core/result.ts';
import type {
  DirectorControl,
  DirectorStatus,
  HandoverAnswer,
  InstanceReport,
  OverrideAnswer,
  ReloadAnswer,
  TableLists,
  TakebackAnswer,
} from '../core/status.ts';
import { Turn } from '../core/turn.ts';
import { unknownName } from '../core/unknown-name.ts';
import { REFUSAL_CURES, runbookOf } from '../core/vrrp/explain.ts';
import { planHandover, planTakeback } from '../core/vrrp/handover.ts';
import type { WeighedServer } from '../core/vrrp/quorum.ts';
import type { VrrpStateName } from '../core/vrrp/types.ts';
import { cleanUp, type LeftBehind, silencesEndUs } from '../keeper/cleanup.ts';
import type { KeeperPlan, KeeperStatus, KeeperToController } from '../keeper/messages.ts';
import type { TwinCommand } from '../keeper/twin.ts';
import { monotonicUs } from '../linux/clock.ts';
import { IpvsClient } from '../linux/ipvs/client.ts';
import { TURNS } from '../linux/turns.ts';
import { answerDevices } from './answer-devices.ts';
import { BfdSessions } from './bfd-sessions.ts';
import { CheckPool } from './check-pool.ts';
import { CheckTally } from './check-tally.ts';
import type { CheckChangeReport, CheckSnapshot } from './checks.ts';
import { ConflictWatch } from './conflict-watch.ts';
import { Findings, findingsIntervalMs } from './findings.ts';
import { type Followers, followersOf } from './followers.ts';
import { KeeperGuard } from './guard.ts';
import { IPVS_SETTINGS_FILE, IpvsSettings, kernelSettings } from './ipvs-settings.ts';
import { keeperPlan } from './keeper-plan.ts';
import { type Log, logProblem } from './log.ts';
import { BURSTS, LogBursts } from './log-bursts.ts';
import { Maintenance, type MaintenanceChange } from './maintenance.ts';
import { Notifier } from './notify/notifier.ts';
import { Overrides, overrideFiles } from './overrides.ts';
import { Passive } from './passive.ts';
import { type HealthReport, Pools } from './pools.ts';
import { buildStatus, type ConflictsOf, instanceReport } from './report.ts';
import { ServiceChecks } from './service-checks.ts';
import { SyncDaemonFollower } from './sync.ts';
import { readTable, Table } from './table.ts';
import { Trackers } from './trackers/trackers.ts';

/** The kernel answers in microseconds; what takes longer is not worth delaying a stop for. */
const STOP_TIMEOUT_MS = 8_000;

const EXPIRE_TEMPLATES = 'expire_quiescent_template';

type KeepPlan = (plan: KeeperPlan) => Promise<void>;

export interface ReadAgain {
  readonly config: Config;
  readonly keepForNextStart: KeepPlan;
}

export interface ControllerOptions {
  readonly config: Config;
  /** Absolute path of its file. */
  readonly configFile: string;
  readonly keeper: TwinCommand;
  readonly log: Log;
  readonly version: string;
  /** Keeps the keeper's plan for the next start. Rejects with the file system's error. */
  readonly keepForNextStart: KeepPlan;
  /** Reads the configuration again; its errors, one a line, have been logged. */
  readonly reload: () => Promise<Result<ReadAgain, readonly string[]>>;
}

export class Controller implements DirectorControl {
  #config: Config;
  #followers: Followers = new Map();
  readonly #log: Log;
  readonly #bursts: LogBursts;
  readonly #options: ControllerOptions;
  readonly #guard: KeeperGuard;
  readonly #startedAtMs = Date.now();
  readonly #bfd: BfdSessions;
  readonly #checks: CheckPool;
  readonly #tally = new CheckTally();
  readonly #findings = new Findings();
  #findingsTimer: NodeJS.Timeout | null = null;
  readonly #conflicts: ConflictWatch;
  readonly #conflictsOf: ConflictsOf = (instance) => this.#conflicts.report(instance);
  readonly #trackers: Trackers;
  readonly #serviceChecks = new ServiceChecks();
  readonly #states = new Map<string, VrrpStateName>();
  readonly #cleanups: (() => Promise<void>)[] = [];
  readonly #notifier: Notifier;
  readonly #pools: Pools;
  readonly #overrides: Overrides;
  /** The operator's decision that was asked for last, until it is done. */
  #overriding: Promise<unknown> = Promise.resolve();
  readonly #maintenance: Maintenance;
  readonly #passive: Passive;
  #client: IpvsClient | null = null;
  /** Why a reload that brought services could not open it: they are checked, and not in a table. */
  #noIpvs: Problem | null = null;
  /** What carries checks through virtual IPs. */
  #carriers: readonly ServiceConfig[] = [];
  #answerDevices: ReadonlySet<string> = new Set();
  #table: Table | null = null;
  #settings: IpvsSettings | null = null;
  #sync: SyncDaemonFollower | null = null;
  #stopping = false;
  #stopWanted = false;
  /** The start and the reloads, one after another. */
  #configuring: Promise<unknown> = Promise.resolve();
  /** The same of the checks, which a transition may change as well. */
  #checking: Promise<unknown> = Promise.resolve();

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#log = options.log;
    this.#bursts = new LogBursts(options.log);
    this.#notifier = new Notifier(options.config, options.log);
    this.#bfd = new BfdSessions({
      nowUs: monotonicUs,
      onVerdicts: (sessions) =>
        this.#checks.runNow(({ check }) => check.kind === 'bfd' && sessions.has(check.session)),
    });
    this.#checks = new CheckPool(
      {
        workers: null,
        session: (name) => this.#bfd.verdict(name),
        records: this.#notifier.records,
      },
      {
        nowUs: monotonicUs,
        onResult: (report) => this.#tally.count(report),
        onChange: (report) => this.#healthChanged(report),
        onWeight: (key) => {
          this.#table?.changed(this.#serviceChecks.usersOf(key));
          this.#trackers.servicesChanged();
        },
        onDefect: (error) =>
          this.#log.error({ event: 'defect', err: error }, 'A check failed to run'),
      },
    );
    this.#overrides = new Overrides(overrideFiles(options.config.runtimeDirectory), {
      nowMs: Date.now,
      mayBeHere: (service, server) => this.#table?.mayHave(service, server) ?? true,
      onChanged: (services) => this.#table?.changed(services),
      onEnded: (override) => this.#overrideEnded(override),
      onDrained: (override, left) => this.#drained(override, left),
      onProblem: (problem) => logProblem(this.#log, problem),
    });
    this.#passive = new Passive({
      nowUs: monotonicUs,
      onBegan: (service, server, evidence) => this.#acceptsNothing(service, server, evidence),
      onEnded: ({ name }, server) =>
        this.#bursts.say(
          BURSTS.accepting,
          `${name}/${server}`,
          { service: name, server, began: false },
          `${name}/${server} accepts connections, or is tried again`,
        ),
    });
    this.#maintenance = new Maintenance({
      nowMs: Date.now,
      onChanged: (changes) => this.#maintenanceChanged(changes),
    });
    this.#pools = new Pools({
      nowUs: monotonicUs,
      health: (server) => this.#health(server),
      override: (service, server, observed) => this.#overrides.actionFor(service, server, observed),
      maintenance: (service, server) => this.#maintenance.wish(service, server),
      passive: (service, server) =>
        (this.#passive.hint(service, server)?.quiescedUntilUs ?? null) !== null,
      onHeldBack: (service, servers) => this.#heldBack(service, servers),
      onTemplates: () => this.#holdTemplates(),
      onQuorum: (service, met, healthyWeight) => this.#quorumChanged(service, met, healthyWeight),
      onBereft: (service, families) => this.#bereft(service, families),
      onDue: (service) => this.#table?.changed([service]),
    });
    this.#conflicts = new ConflictWatch(options.config.conflictCheckUs, {
      nowUs: monotonicUs,
      onChanged: () => void this.#lookForFindings(),
      onProblem: (problem) => logProblem(this.#log, problem),
      serversAt: (address) => this.#serversAt(address),
    });
    this.#trackers = new Trackers(options.config.director, {
      records: this.#notifier.records,
      onStates: (states) => this.#guard.send({ kind: 'trackers', states }),
      onChange: (tracker, { up, value, detail }) =>
        this.#log[up ? 'info' : 'warn'](
          { event: 'tracker', tracker, up, value, detail },
          `Tracker ${tracker} is ${up ? 'up' : 'down'}: ${detail}`,
        ),
      onProblem: (tracker, problem) => logProblem(this.#log, problem, { tracker }),
      onProcessMode: (mode, why) =>
        this.#log.info(
          { event: 'process-events', mode, reason: why },
          mode === 'events'
            ? 'The kernel tells of processes that begin and end'
            : `The kernel does not tell of processes (${why}): /proc is read every interval`,
        ),
      servers: (name) => this.#weighedServers(name),
    });
    this.#guard = new KeeperGuard(options.keeper, {
      onMessage: (message) => this.#handle(message),
      onKeeperDied: (pid) => {
        this.#bfd.keeperLost();
        // Until a keeper says what it holds, virtual IPs may be another director's.
        this.#conflicts.keep([]);
        if (this.#stopWanted) return this.#stopAlone();
        this.#log.error({ event: 'keeper-died', pid }, 'The keeper died; starting the next one');
      },
      silencesEndUs: () => silencesEndUs(this.#options.config.runtimeDirectory),
      onGiveUp: (all) => this.#giveUp(all),
    });
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => this.#stopRequested());
    }
    process.on('SIGHUP', () => void this.reload());
  }

  get keeperPid(): number | null {
    return this.#guard.pid;
  }

  /** Something to close when the controller stops, last added first. */
  addCleanup(cleanup: () => Promise<void>): void {
    this.#cleanups.push(cleanup);
  }

  /**
   * What can fail before anything is touched: opens the kernel's IPVS. A Problem means that the
   * director must not start.
   */
  open(): Problem | null {
    if (!needsIpvs(this.#config)) return null;
    const opened = IpvsClient.open();
    if (!opened.ok) return opened.error;
    this.#client = opened.value;
    return null;
  }

  /** Gives the keeper its plan, starts checks and table. */
  start(): Promise<void> {
    return this.#afterOthers(() => this.#start());
  }

  async #start(): Promise<void> {
    // A keeper that began early may have been told to stop before this.
    if (this.#stopping) return;
    this.#log.info(
      {
        event: 'started',
        instances: this.#config.vrrp.length,
        services: this.#config.services.length,
      },
      `Director ${this.#config.director} starts`,
    );
    await this.#notifier.start();
    await TURNS.nextTurn();
    this.#followers = await followersOf(this.#config.services);
    if (this.#stopping) return;
    // Before the plan: what is known to be down is known when the instances start.
    this.#trackers.configure(this.#config.trackers, this.#notifier.continued);
    this.#bfd.configure(this.#config.bfd);
    this.#guard.configure(keeperPlan(this.#config));
    this.#lookForFindingsLater();
    await TURNS.nextTurn();
    if (this.#stopping) return;
    // Before the sync daemon, which reads its settings when it starts.
    await this.#configureSettings();
    if (this.#stopping) return;
    this.#follow();
    await TURNS.nextTurn();
    await this.#configureServices();
    await this.#tellServices();
    await this.#keepPlan(this.#options.keepForNextStart);
  }

  /** The plan of the configuration as it is in the file: what the next start begins with. */
  async #keepPlan(keep: KeepPlan): Promise<void> {
    try {
      await keep(keeperPlan(this.#config));
    } catch (error) {
      logProblem(this.#log, {
        code: 'VK-STATE-DIRECTORY',
        message: `The plan for the next start cannot be kept: ${error instanceof Error ? error.message : String(error)}`,
        cure: 'Make the state directory writable (StateDirectory= of systemd); until then a start takes longer',
      });
    }
  }

  /**
   * The service manager or an operator wants the configuration file to be read again. One reload
   * is done when the next begins, and none begins before the start is done.
   */
  reload(): Promise<ReloadAnswer> {
    return this.#afterOthers(() => this.#reload());
  }

  #afterOthers<T>(configure: () => Promise<T>): Promise<T> {
    const configured = this.#configuring.then(configure);
    this.#configuring = configured.catch(() => undefined);
    return configured;
  }

  async #reload(): Promise<ReloadAnswer> {
    const read = await this.#options.reload();
    if (!read.ok) return { errors: read.error, problems: [] };
    // What takes a configuration over looks at every service: in a turn of its own.
    await TURNS.nextTurn();
    if (this.#stopping) return STOPPING;
    const { config, keepForNextStart } = read.value;
    const followers = await followersOf(config.services);
    if (this.#stopping) return STOPPING;
    const before = this.#config;
    [this.#config, this.#followers] = [config, followers];
    if (JSON.stringify(before.http) !== JSON.stringify(config.http)) {
      this.#log.warn({ event: 'reload' }, 'http.listen changed: it takes effect at the next start');
    }
    if (before.runtimeDirectory !== config.runtimeDirectory) {
      this.#log.warn(
        { event: 'reload' },
        'runtime_directory changed: it takes effect at the next start',
      );
    }
    await this.#notifier.configure(config);
    if (this.#stopping) return STOPPING;
    this.#trackers.configure(config.trackers);
    this.#bfd.configure(config.bfd);
    this.#conflicts.configure(config.conflictCheckUs);
    const missing = this.#client === null ? this.open() : null;
    this.#noIpvs = missing === null ? null : withoutIpvs(missing);
    if (this.#noIpvs !== null) logProblem(this.#log, this.#noIpvs);
    this.#guard.configure(keeperPlan({ ...config, runtimeDirectory: before.runtimeDirectory }));
    await TURNS.nextTurn();
    if (this.#stopping) return STOPPING;
    await this.#configureSettings();
    if (this.#stopping) return STOPPING;
    // The kernel refuses a sync daemon beside servers of another family than their service's, and
    // the reverse: what goes makes room for what comes.
    const syncChanged = JSON.stringify(this.#sync?.config ?? null) !== JSON.stringify(config.sync);
    if (syncChanged) this.#stopSync();
    await TURNS.nextTurn();
    await this.#configureServices();
    if (this.#stopping) return STOPPING;
    await this.#tellServices();
    if (syncChanged) await this.#startSync();
    await this.#keepPlan(keepForNextStart);
    this.#log.info({ event: 'reloaded' }, 'The configuration was read again');
    return { errors: [], problems: this.#noIpvs === null ? [] : [this.#noIpvs] };
  }

  /** Both processes are replaced in place; VIPs, table and sync daemon stay as they are. */
  restart(): void {
    if (this.#stopping) return;
    this.#log.info({ event: 'restarting' }, `Director ${this.#config.director} restarts in place`);
    this.#stopping = true;
    // The new keeper starts a controller of its own: this one must not clear anything away.
    this.#guard.reexecute(() => process.exit(0));
  }

  /** Asks the keeper for a planned handover, or with `dryRun` only tells what it would be. */
  async handover({
    instance,
    dryRun,
  }: {
    readonly instance: string | null;
    readonly dryRun: boolean;
  }): Promise<HandoverAnswer> {
    const reports = await this.#instanceReports();
    if (reports === null) return { started: false, error: SILENT_KEEPER, plans: [] };
    const plans = planHandover(reports, instance);
    const refused = plans.filter(({ refusal }) => refusal !== null);
    const none =
      instance === null ? 'No instance is active here' : unknownInstance(instance, reports);
    const error = plans.length === 0 ? none : (refused[0]?.refusal ?? null);
    if (error !== null || dryRun) return { started: false, error, plans };
    const instances = plans.map((plan) => plan.instance);
    this.#log.info({ event: 'handover', instances }, `Handing over ${instances.join(', ')}`);
    this.#guard.send({ kind: 'handover', instances });
    return { started: true, error: null, plans };
  }

  /** Lets instances preempt again that were handed over. */
  async takeback(instance: string | null): Promise<TakebackAnswer> {
    const reports = await this.#instanceReports();
    if (reports === null) return { error: SILENT_KEEPER, plans: [] };
    const plans = planTakeback(reports, instance);
    const none =
      instance === null ? 'No instance is held back' : unknownInstance(instance, reports);
    const held = plans.filter(({ heldBack }) => heldBack).map((plan) => plan.instance);
    if (held.length === 0) return { error: plans[0]?.detail ?? none, plans };
    this.#log.info({ event: 'takeback', instances: held }, `Taking back ${held.join(', ')}`);
    this.#guard.send({ kind: 'takeback', instances: held });
    return { error: null, plans };
  }

  /**
   * Does what an operator decided about real servers, or with `dryRun` only tells what it is. One
   * at a time: what two of them make of a service together must not be missed.
   */
  override(request: OverrideRequest): Promise<OverrideAnswer> {
    const answer = this.#overriding.then(() => this.#override(request));
    this.#overriding = answer.catch(() => {});
    return answer;
  }

  async #override(request: OverrideRequest): Promise<OverrideAnswer> {
    // What was decided about a server that has left the file can be ended.
    const others = request.action === 'clear' ? this.#unusedOverrides() : [];
    const { services } = this.#config;
    const targets = resolveTarget(services, request.target, others);
    if (!targets.ok) return refusedOverride(targets.error);
    const nowMs = Date.now();
    const servers = targets.value.map((target) => ({
      ...target,
      before: this.#overrides.get(target.service, target.server),
      after: overrideOf(request, target, nowMs),
    }));
    const observed = this.#table?.known ?? new Map();
    const consequences = await this.#pools.consequencesOf(services, observed, servers);
    const error = request.force ? null : refusalOf(consequences);
    const answer = { error, servers, consequences, needsForce: error !== null };
    if (error !== null || request.dryRun) return answer;
    const changes = servers.map(({ service, server, after }) => ({
      key: overrideKey(service, server),
      override: after,
    }));
    if (!this.#overrides.change(changes)) {
      return refusedOverride(`More than ${OVERRIDES_MAX} servers would be overridden`);
    }
    const { action, weight, untilMs, by, reason } = request;
    const until = untilMs === null ? null : new Date(untilMs).toISOString();
    const why = `${until === null ? '' : ` until ${until}`}${reason === '' ? '' : ` (${reason})`}`;
    for (const { service, server } of servers) {
      this.#bursts.say(
        BURSTS.override,
        `${service}/${server}`,
        { service, server, action, weight, until, by, reason },
        `Operator ${by || 'unknown'}: ${action} ${service}/${server}${why}`,
      );
    }
    this.#holdTemplates();
    this.#table?.changed(new Set(servers.map(({ service }) => service)));
    this.#trackers.servicesChanged();
    return answer;
  }

  /** Of servers that are not configured: they would hold again if these were. */
  #unusedOverrides(): readonly Override[] {
    const overrides = this.#overrides.list();
    if (overrides.length === 0) return [];
    const services = servicesByName(this.#config.services);
    return overrides.filter(({ service: name, server }) => {
      const service = services.get(name);
      return service === undefined || !allServers(service).some((one) => serverKey(one) === server);
    });
  }

  /** Templates of persistent clients would keep them at servers that are out, and these busy. */
  #holdTemplates(): void {
    if (this.#templatesExpire()) this.#settings?.hold(EXPIRE_TEMPLATES, '1');
    else this.#settings?.release(EXPIRE_TEMPLATES);
  }

  #templatesExpire(): boolean {
    const { services, ipvs } = this.#config;
    // Who configured that they stay has them stay, but for drains, which would have no end.
    if (ipvs.settings[EXPIRE_TEMPLATES] !== '0' && this.#pools.templatesLeadAstray) return true;
    if (this.#table?.leaving().some((one) => one.persistent) === true) return true;
    const draining = new Set<string>();
    for (const { service, action } of this.#overrides.list()) {
      if (action.kind === 'drain' && !action.drained) draining.add(service);
    }
    if (draining.size === 0) return false;
    return services.some((one) => one.persistence !== null && draining.has(one.name));
  }

  /** At each comparison of the table. */
  async #lookAtCounters(observed: ObservedTable): Promise<void> {
    const config = this.#config;
    const turn = new Turn(TURNS);
    for (const service of config.services) {
      if (service.passive.action !== 'off') {
        const changed = this.#passive.look(service, countsOfServers(service, observed));
        if (changed) this.#table?.changed([service.name]);
      }
      if (!turn.hasLasted()) continue;
      await turn.rest();
      // Another configuration has forgotten what it does not have; it is looked at next time.
      if (this.#config !== config) return;
    }
  }

  #acceptsNothing({ name, passive }: ServiceConfig, server: string, seen: PassiveEvidence): void {
    const cure =
      'Look from a client: a packet filter, the VIP on a server behind direct routing, or a full backlog';
    const seconds = Math.round(seen.windowUs / 1e6);
    const quiesces = passive.action === 'quiesce' ? '; it gets no new ones for a while' : '';
    this.#bursts.say(
      BURSTS.acceptingNothing,
      `${name}/${server}`,
      { service: name, server, began: true, ...seen, cure },
      `${name}/${server} passes its check and accepted none of ${seen.connections} connections in ${seconds} s${quiesces}. ${cure}`,
    );
  }

  #maintenanceChanged(changes: readonly MaintenanceChange[]): void {
    for (const { service, server, before, after } of changes) {
      const fields = { service, server };
      const name = `${service}/${server}`;
      if (after === null) {
        this.#bursts.say(
          BURSTS.maintenance,
          name,
          { ...fields, phase: 'ended' },
          `Maintenance of ${name} is over`,
        );
        continue;
      }
      const { phase, action, reason, schedule, startMs, endMs } = after;
      if (before?.phase === phase && before.startMs === startMs) continue;
      const [start, end] = [new Date(startMs).toISOString(), new Date(endMs).toISOString()];
      const what = phase === 'before' ? `begins at ${start}, no new connections` : `until ${end}`;
      this.#bursts.say(
        BURSTS.maintenance,
        name,
        { ...fields, phase, action, schedule, start, end, reason },
        `Maintenance of ${name} ${what}${reason === '' ? '' : ` (${reason})`}`,
      );
    }
    this.#table?.changed(new Set(changes.map(({ service }) => service)));
    this.#trackers.servicesChanged();
  }

  /** Servers that a window asks for and the service needs. */
  #heldBack({ name }: ServiceConfig, servers: readonly string[]): void {
    const fields = { service: name, servers };
    if (servers.length === 0) {
      return this.#bursts.say(
        BURSTS.letGo,
        name,
        fields,
        `Service ${name} holds no server back any more`,
      );
    }
    const cure =
      'Bring other servers up, give a maintenance window force: true, or take the server out by hand with vipkeeper drain';
    this.#bursts.say(
      BURSTS.heldBack,
      name,
      { ...fields, cure },
      `Servers stay in that should be out: ${servers.map((server) => `${name}/${server}`).join(', ')}; too few others are healthy for the quorum or min_healthy. ${cure}`,
    );
  }

  /** Servers that were taken out of the configuration. */
  #leavingChanged(began: readonly Leaving[], ended: LeavingLook['ended']): void {
    this.#holdTemplates();
    for (const { name, entry, server, untilMs } of began) {
      const until = new Date(untilMs).toISOString();
      this.#bursts.say(
        BURSTS.leaving,
        `${name ?? entry}/${server}`,
        { service: name, entry, server, until },
        `${server} was taken out of ${name ?? entry}: no new connections, deleted when its last one ends or at ${until}`,
      );
    }
    for (const { leaving, connectionsLeft } of ended) {
      const { name, entry, server } = leaving;
      const rest = connectionsLeft === 0 ? '' : `, with ${connectionsLeft} connections left`;
      this.#bursts.say(
        BURSTS.left,
        `${name ?? entry}/${server}`,
        { service: name, entry, server, connectionsLeft },
        `${server} leaves the table of ${name ?? entry}${rest}`,
      );
    }
  }

  #overrideEnded({ service, server, action }: Override): void {
    this.#holdTemplates();
    this.#bursts.say(
      BURSTS.overrideEnded,
      `${service}/${server}`,
      { service, server, action: action.kind },
      `The time of "${action.kind}" for ${service}/${server} is over: its checks decide again`,
    );
  }

  #drained({ service, server }: Override, connectionsLeft: number): void {
    this.#holdTemplates();
    const rest = connectionsLeft === 0 ? '' : `, with ${connectionsLeft} connections left`;
    this.#bursts.say(
      BURSTS.drained,
      `${service}/${server}`,
      { service, server, connectionsLeft },
      `${service}/${server} is drained and leaves the table${rest}`,
    );
  }

  /** Null when the keeper does not answer. */
  async #instanceReports(): Promise<readonly InstanceReport[] | null> {
    const keeper = await this.#guard.status();
    return keeper === null ? null : this.#reportsOf(keeper);
  }

  #reportsOf(keeper: KeeperStatus | null): readonly InstanceReport[] {
    if (keeper === null) return [];
    return keeper.instances.map((one) => instanceReport(one, keeper.nowUs, this.#conflictsOf));
  }

  async status(): Promise<DirectorStatus> {
    const [keeper, observed] = await Promise.all([this.#guard.status(), this.#table?.refresh()]);
    const checks = await inTurns(this.#checks.snapshots(), (check) => check, TURNS);
    return buildStatus({
      config: this.#config,
      version: this.#options.version,
      startedAtMs: this.#startedAtMs,
      keeper,
      keeperPid: this.#guard.pid,
      keeperRestarts: this.#guard.restarts,
      conflicts: this.#conflictsOf,
      checks,
      tally: this.#tally,
      table: this.#table?.report(observed) ?? null,
      noIpvs: this.#noIpvs,
      leaving: this.#table?.leaving() ?? [],
      unusedOverrides: this.#unusedOverrides(),
      notify: this.#notifier.report(),
      trackers: this.#trackers.report(keeper?.trackers ?? {}),
      settings: this.#settings?.report() ?? null,
      sync: this.#sync === null ? null : this.#sync.report(),
      health: (server) => this.#health(server).health,
      wanted: (service, entry) => this.#isWanted(service, entry),
      pool: (service) => this.#pools.report(service),
      override: (service, server) => this.#overrides.get(service, server),
      maintenance: this.#maintenance,
      passive: (service, server) => this.#passive.hint(service, server),
    });
  }

  async table(): Promise<TableLists> {
    const { director } = this.#config;
    const observed = (await this.#client?.dump()) ?? null;
    if (observed?.ok === false) throw new Error(observed.error.message);
    const known = ({ key, status, sinceUs }: CheckSnapshot) => {
      const recoveredAtUs = this.#checks.state(key)?.recoveredAtUs ?? null;
      const checkWeight = this.#checks.weight(key);
      return [key, { health: status, sinceUs, recoveredAtUs, checkWeight }] as const;
    };
    const checks = await inTurns(this.#checks.snapshots(), known, TURNS);
    return {
      director,
      configFile: this.#options.configFile,
      observed: observed?.value ?? null,
      owned: (await this.#table?.owned()) ?? [],
      nowUs: monotonicUs(),
      checks,
      pools: await this.#pools.states(),
      overrides: this.#overrides.list(),
      leaving: this.#table?.leaving() ?? [],
      passive: this.#passive.quiesced(),
      active: [...this.#states].flatMap(([name, state]) => (state === 'active' ? [name] : [])),
    };
  }

  #handle(message: KeeperToController): void {
    switch (message.kind) {
      case 'hello':
        if (message.early !== undefined) {
          this.#log.info({ event: 'early-start', plan: message.early }, EARLY_TEXTS[message.early]);
        }
        return this.#trackers.send();
      // The guard keeps it, or answers.
      case 'heard-request':
      case 'status-part':
        return;
      case 'status':
        // Here, in the order of the messages: who asked for it comes later.
        return this.#bfd.told(message.status.bfd);
      case 'configured':
        this.#trackers.send();
        this.#bfd.keeperBegan();
        return void this.#learnStates();
      case 'transition':
        return this.#transition(message);
      case 'refused':
        return this.#log.warn(
          {
            event: 'advert-refused',
            ...withoutKind(message),
            cure: REFUSAL_CURES[message.reason],
            runbook: runbookOf('adverts-refused'),
          },
          refusalText(message),
        );
      case 'lower-priority':
        return this.#notifier.lowerPriority(message);
      case 'handover-ended':
        return this.#handoverEnded(message);
      case 'priority-changed':
        return this.#notifier.priorityChanged(message.instance, message.priority);
      case 'faulted':
        return;
      case 'address-restored':
        return this.#log.warn(
          { event: 'address-restored', ...withoutKind(message) },
          `${message.instance === null ? 'Static address' : 'VIP'} ${message.address}${ownerText(message.instance)} was removed${addressRemoverText(message)} and put back`,
        );
      case 'routing-restored':
        return this.#log.warn(
          { event: 'routing-restored', ...withoutKind(message) },
          `The ${message.object} ${message.text}${ownerText(message.instance)} was removed by ${removerText(message.byPid)} and put back`,
        );
      case 'link-restored':
        return this.#log.warn(
          { event: 'link-restored', ...withoutKind(message) },
          `The link ${message.link} of ${message.instance} was removed or taken down, and put back`,
        );
      case 'bfd-state':
        return this.#bfdStateChanged(message);
      case 'problem':
        return logProblem(this.#log, message.problem, { instance: message.instance });
      case 'reload-requested':
        return void this.reload();
      case 'stopping':
        return void this.stop();
      default:
        return assertNever(message);
    }
  }

  #transition(message: Extract<KeeperToController, { kind: 'transition' }>): void {
    const { instance, from, to, reason, peer, priority, atMs } = message;
    this.#acceptAnswers();
    // First of all: clients of a takeover wait for the table.
    this.#setState(instance, to);
    this.#log[to === 'fault' ? 'warn' : 'info'](
      {
        event: 'transition',
        instance,
        from,
        to,
        reason,
        peer,
        priority,
        at: new Date(atMs).toISOString(),
      },
      `Instance ${instance}: ${from} -> ${to} (${reason})`,
    );
    this.#notifier.transition(message);
    if (this.#config.sync?.follow === instance && !this.#stopping) this.#sync?.follow(to);
  }

  /** Services that go with an instance follow its state. */
  #setState(instance: string, state: VrrpStateName): void {
    const before = this.#states.get(instance);
    this.#states.set(instance, state);
    if (before === state || this.#stopping) return;
    if (state !== 'active') this.#conflicts.left(instance);
    const following = this.#followers.get(instance);
    if (following === undefined) return;
    const { onlyOnActive, checked } = following;
    if (state === 'active') this.#table?.activate(onlyOnActive);
    else {
      this.#table?.changed(onlyOnActive);
      void this.#pools.left(onlyOnActive);
    }
    if (checked) void this.#configureChecks();
  }

  /** Whether the instance that an entry goes with is active here; null while nobody knows. */
  #isHere({ follow }: ServiceEntry): boolean | null {
    if (follow === null) return true;
    const state = this.#states.get(follow);
    return state === undefined ? null : state === 'active';
  }

  #isWanted(service: ServiceConfig, entry: ServiceEntry): boolean | null {
    return service.onlyOnActive ? this.#isHere(entry) : true;
  }

  #handoverEnded(message: Extract<KeeperToController, { kind: 'handover-ended' }>): void {
    const { instance, outcome, successor, tookUs } = message;
    const fields = { event: 'handover', instance, outcome, successor, seconds: tookUs / 1e6 };
    if (outcome === 'handed-over') {
      this.#log.info(fields, `Instance ${instance} was handed over to ${successor}`);
    } else {
      this.#log.warn(fields, `Instance ${instance} was not handed over: ${outcome}`);
    }
  }

  #bfdStateChanged(message: Extract<KeeperToController, { kind: 'bfd-state' }>): void {
    const { session, from, to, diagnostic, neighbor, atMs } = message;
    const level = to === 'up' ? 'info' : from === 'up' ? 'warn' : 'debug';
    this.#log[level](
      { event: 'bfd', session, from, to, diagnostic, neighbor, at: new Date(atMs).toISOString() },
      `BFD session ${session}: ${from} -> ${to} (${diagnostic})`,
    );
    this.#bfd.told([{ name: session, state: to, diagnostic }]);
  }

  /** After a start the states are asked for: transitions of an adopted keeper are history. */
  async #learnStates(): Promise<void> {
    const status = await this.#guard.status();
    for (const instance of status?.instances ?? []) {
      this.#setState(instance.name, instance.state);
      this.#notifier.learn(instance);
      if (this.#config.sync?.follow === instance.name) this.#sync?.follow(instance.state);
    }
  }

  #healthChanged({ key, target, change }: CheckChangeReport): void {
    const { from, to, reason } = change;
    const services = this.#serviceChecks.usersOf(key);
    const server = targetText(target);
    const detail = changeText(reason);
    this.#bursts.say(
      to === 'up' ? BURSTS.up : BURSTS.down,
      server,
      { server, services, from, to, reason: reason.kind, detail },
      `Real server ${server} is ${to}: ${detail}`,
    );
    this.#notifier.services.healthChanged(key, services, { to, reason: detail });
    this.#table?.changed(services);
    this.#trackers.servicesChanged();
  }

  /** Says what is found wrong with the instances, when it begins and when it ends. */
  #lookForFindingsLater(): void {
    this.#findingsTimer = setTimeout(() => {
      this.#lookForFindingsLater();
      void this.#lookForFindings();
    }, findingsIntervalMs(this.#config.vrrp.length));
  }

  async #lookForFindings(): Promise<void> {
    const keeper = await this.#guard.status();
    if (keeper === null || this.#stopping) return;
    this.#watchConflicts(keeper);
    const found = this.#findings.look(this.#reportsOf(keeper));
    for (const { instance, finding, began } of found) {
      const { kind, about, text, cure } = finding;
      const fields = { event: 'finding', instance, kind, about, began };
      if (began) {
        const more = { cure, runbook: runbookOf(kind) };
        this.#log.warn({ ...fields, ...more }, `Instance ${instance}: ${text}. ${cure}`);
      }
      if (!began) this.#log.info(fields, `Instance ${instance}: no ${kind} any more`);
    }
  }

  /** Other machines must not have what the instances have now. */
  #watchConflicts({ instances }: KeeperStatus): void {
    const present = instances.map((one) => {
      // A long status is told in parts, and what was told of an instance may be over by now.
      const over = one.state === 'active' && this.#states.get(one.name) !== 'active';
      return over ? { ...one, state: 'backup' as const } : one;
    });
    this.#conflicts.keep(present);
  }

  /** The real servers that have this address: 'web/10.0.0.11:8080'. */
  #serversAt(address: string): readonly string[] {
    return this.#config.services.flatMap(({ name, servers, sorryServers }) =>
      [...servers, ...sorryServers]
        .filter((server) => server.address === address)
        .map((server) => `${name}/${serverKey(server)}`),
    );
  }

  #weighedServers(name: string): readonly WeighedServer[] {
    const service = servicesByName(this.#config.services).get(name);
    const servers = service?.servers ?? [];
    return servers.map((server) => ({
      weight: this.#health(server).checkWeight ?? server.weight,
      health: this.#health(server).health,
    }));
  }

  async #configureSettings(): Promise<void> {
    const found = new CheckCarriers();
    await inTurns(this.#config.services, (service) => found.add(service), TURNS);
    // Unchanged ones as they were.
    this.#carriers = reuseServices(this.#carriers, found.services());
    if (this.#client === null) return;
    this.#settings ??= new IpvsSettings(`${this.#config.runtimeDirectory}/${IPVS_SETTINGS_FILE}`, {
      ...kernelSettings(this.#client),
      onRepaired: (name, found, wanted) =>
        this.#log.warn(
          { event: 'ipvs-setting', name, found, wanted },
          `Repaired drift: IPVS setting ${name} was ${found}, set to ${wanted} again`,
        ),
      onProblem: (problem) => logProblem(this.#log, problem),
    });
    this.#settings.configure(this.#config.ipvs);
    this.#holdTemplates();
    this.#acceptAnswers();
  }

  #follow(): void {
    const { sync, ipvs } = this.#config;
    if (sync === null || this.#client === null) return;
    this.#sync = new SyncDaemonFollower(sync, ipvs.reconcileIntervalUs / 1000, {
      client: this.#client,
      waitsFor: () => this.#table?.ofOtherFamily() ?? [],
      onWait: (servers) => this.#syncWaits(servers),
      onRole: (role) =>
        this.#log.info({ event: 'sync', role, ...sync }, `Connection sync daemon is ${role}`),
      onProblem: (problem) => logProblem(this.#log, problem),
    });
  }

  #syncWaits(servers: readonly string[]): void {
    const [first = '', ...others] = servers;
    const more = others.length === 0 ? '' : ` and ${others.length} more`;
    this.#log.info(
      { event: 'sync-waits', servers: servers.length },
      `The connection sync daemon starts when servers of another family than their service have left the table: ${first}${more}`,
    );
  }

  #stopSync(): void {
    this.#sync?.close();
    this.#sync = null;
  }

  async #startSync(): Promise<void> {
    this.#follow();
    await this.#learnStates();
  }

  /**
   * Begins the checks that are new, then has the services adopted, and ends when told so what nobody
   * asks for any more: no service is ever without its checks. One call is done when the next begins.
   */
  #configureChecks(
    adopt: (onAdopted: () => void) => Promise<void> = async (onAdopted) => onAdopted(),
  ): Promise<void> {
    const configured = this.#checking.then(() => this.#changeChecks(adopt));
    this.#checking = configured.catch(() => undefined);
    return configured;
  }

  async #changeChecks(adopt: (onAdopted: () => void) => Promise<void>): Promise<void> {
    const checked: ServiceConfig[] = [];
    const look = (service: ServiceConfig): void => {
      const { checkWhen, entries } = service;
      const isHere = (entry: ServiceEntry): boolean => this.#isHere(entry) === true;
      if (checkWhen === 'always' || entries.some(isHere)) checked.push(service);
    };
    await inTurns(this.#config.services, look, TURNS);
    if (this.#stopping) return;
    const { added, removed } = await this.#serviceChecks.configure(checked);
    await TURNS.nextTurn();
    if (this.#stopping) return;
    const threads = this.#checks.workers;
    if (added.length + removed.length > 0) {
      const found = await this.#foundAs(added);
      if (this.#stopping) return;
      await this.#checks.add(added, removed, found);
    }
    if (this.#stopping) return;
    if (this.#checks.workers !== threads) this.#tellThreads();
    let ended: Promise<void> = Promise.resolve();
    await adopt(() => {
      ended = this.#endChecks(removed);
    });
    await ended;
  }

  /** In turns. */
  async #endChecks(keys: readonly string[]): Promise<void> {
    for (let first = 0; first < keys.length; first += CHECKS_ENDED_AT_ONCE) {
      if (first > 0) await TURNS.nextTurn();
      if (this.#stopping) return;
      const some = keys.slice(first, first + CHECKS_ENDED_AT_ONCE);
      this.#checks.remove(some);
      this.#tally.forget(some);
    }
  }

  /** How the servers of these checks are found in the kernel's table. */
  async #foundAs(added: readonly CheckDefinition[]): Promise<ReadonlyMap<string, FoundAs>> {
    const client = this.#client;
    const known = this.#table?.known ?? null;
    const starting = known === null;
    const table = known ?? (client === null ? new Map() : await readTable(client));
    // What cannot be read may have clients.
    if (table === null) return new Map(added.map(({ key }) => [key, 'serving']));
    return this.#serviceChecks.found(added, table, starting);
  }

  #tellThreads(): void {
    const [threads, checks] = [this.#checks.workers, this.#serviceChecks.size];
    this.#log.info(
      { event: 'check-threads', threads, checks },
      threads === 0
        ? `${checks} checks run in the controller's own thread`
        : `${checks} checks are too many for one thread: ${threads} run them`,
    );
  }

  async #configureServices(): Promise<void> {
    // Before the table: a window that has begun already has begun.
    await this.#maintenance.configure(this.#config.services);
    await this.#passive.keep(this.#config.services);
    const services = [...this.#config.services, ...this.#carriers];
    await this.#pools.keep(services);
    await TURNS.nextTurn();
    if (this.#stopping) return;
    await this.#configureChecks((onAdopted) => this.#configureTable(services, onAdopted));
  }

  async #configureTable(services: readonly ServiceConfig[], onAdopted: () => void): Promise<void> {
    if (this.#client === null) return onAdopted();
    const options = {
      services,
      ipvs: this.#config.ipvs,
      ownedFile: `${this.#config.runtimeDirectory}/ipvs-owned.json`,
      leavingFile: `${this.#config.runtimeDirectory}/ipvs-leaving.json`,
    };
    if (this.#table !== null) return this.#table.reconfigure(options, onAdopted);
    this.#table = new Table(options, {
      client: this.#client,
      weights: (service, observed) => this.#pools.decide(service, observed),
      wanted: (service, entry) => this.#isWanted(service, entry),
      onCompared: (observed) => this.#lookAtCounters(observed),
      onLeaving: (began, ended) => this.#leavingChanged(began, ended),
      onChanges: (operations, cause, found) => {
        this.#logChanges(operations, cause, found);
        if (operations.some(({ kind }) => kind.startsWith('delete-'))) this.#sync?.entriesDeleted();
      },
      onProblem: ({ code, message, cure }) =>
        this.#bursts.say(BURSTS.refused, message, { code, cure }, message),
    });
    onAdopted();
    await this.#table.start();
  }

  /** What is known already of services that are told of only now. */
  #tellServices(): Promise<void> {
    return this.#notifier.services.learn({
      health: (server) => this.#health(server).health,
      quorum: (service) => this.#pools.report(service),
    });
  }

  /**
   * Answers to checks through a virtual IP come from this very address, which is our own while we
   * are active: the kernel must take them where they come in.
   */
  #acceptAnswers(): void {
    const devices = answerDevices(this.#carriers);
    for (const device of this.#answerDevices) {
      if (!devices.has(device)) this.#settings?.release(`accept_local ${device}`);
    }
    for (const device of devices) this.#settings?.hold(`accept_local ${device}`, '1');
    this.#answerDevices = devices;
  }

  #health(server: RealServerConfig): HealthReport {
    const definition = checkOf(server);
    if (definition === null) return UNCHECKED;
    const { key } = definition;
    const state = this.#checks.state(key);
    if (state === null || state.status === 'unknown') return UNKNOWN;
    const { status, sinceUs, recoveredAtUs } = state;
    return { health: status, sinceUs, recoveredAtUs, checkWeight: this.#checks.weight(key) };
  }

  #quorumChanged(service: ServiceConfig, met: boolean, healthyWeight: number): void {
    this.#notifier.services.quorumChanged(service, met, healthyWeight);
    const { name, quorum } = service;
    const fields = { service: name, met, healthyWeight, quorum: quorum.weight };
    const weights = `healthy weight ${healthyWeight} of quorum ${quorum.weight}`;
    if (met) {
      this.#bursts.say(BURSTS.met, name, fields, `Service ${name} has its quorum: ${weights}`);
    } else
      this.#bursts.say(
        BURSTS.lost,
        name,
        fields,
        `Service ${name} lost its quorum: ${weights}; ${belowText(quorum.below, healthyWeight)}`,
      );
  }

  #bereft({ name, quorum }: ServiceConfig, families: readonly AddressFamily[]): void {
    const fields = { event: 'family-without-servers', service: name, families };
    const which = families.map(familyName).join(' and ');
    if (families.length === 0)
      this.#log.info(fields, `Service ${name} has servers for all clients`);
    else {
      const then = belowText(quorum.below, 0);
      this.#log.warn(fields, `Service ${name} has no healthy server for ${which}: ${then}`);
    }
  }

  /** `found`: what each of them repairs, or empty. */
  #logChanges(
    operations: readonly IpvsOperation[],
    cause: 'plan' | 'drift',
    found: readonly DriftItem[],
  ): void {
    if (cause === 'plan' && !this.#log.isLevelEnabled('debug')) return;
    for (const [index, operation] of operations.entries()) {
      const fields = { operation: operation.kind, reason: cause };
      const text = operationText(operation);
      const item = found[index];
      if (item === undefined) this.#log.debug({ event: 'ipvs', ...fields }, text);
      else {
        const { class: kind, detail } = item;
        const message = `Repaired drift: ${text} (${driftText(item)})`;
        this.#bursts.say(BURSTS.drift, text, { ...fields, class: kind, detail }, message);
      }
    }
  }

  /**
   * No keeper came up: nobody advertises, so VIPs that a peer may have by now must not stay here,
   * and in the end nothing that the keeper left behind.
   */
  #giveUp(all: boolean): void {
    const removed = this.#removeVips(all ? undefined : monotonicUs());
    if (all) this.#notifier.keeperLost();
    else if (removed.length === 0) return;
    this.#log.error(
      { event: 'gave-up', removed: removed.map(({ address }) => address) },
      'No keeper came up in time: its VIPs were removed so that no other director shares them',
    );
  }

  /** Only while there is no keeper. */
  #removeVips(silentAtUs?: number): readonly LeftBehind[] {
    const { removed, problems } = cleanUp({
      runtimeDirectory: this.#config.runtimeDirectory,
      dryRun: false,
      ...(silentAtUs === undefined ? {} : { silentAtUs }),
    });
    for (const problem of problems) logProblem(this.#log, problem);
    return removed;
  }

  /** The keeper leads a stop, if there is one and it lives long enough. */
  #stopRequested(): void {
    this.#stopWanted = true;
    if (this.#guard.pid === null) this.#stopAlone();
    else this.#guard.send({ kind: 'stop' });
  }

  /** Without a keeper nobody is active, but its VIPs may be left. */
  #stopAlone(): void {
    this.#guard.end();
    this.#removeVips();
    void this.stop();
  }

  /** The keeper has resigned: takes out what is ours, closes, and ends the process. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#guard.end();
    this.#log.info({ event: 'stopping' }, `Director ${this.#config.director} stops`);
    const work = this.#close();
    const done = await Promise.race([
      work.then(() => true),
      delay(STOP_TIMEOUT_MS, false, { ref: false }),
    ]);
    if (!done)
      this.#log.error({ event: 'stop-timeout' }, 'Stopping took too long and was cut short');
    this.#guard.send({ kind: 'stopped' });
    process.exit(0);
  }

  async #close(): Promise<void> {
    await Promise.all([this.#notifier.stop(), this.#closeOthers()]);
  }

  async #closeOthers(): Promise<void> {
    if (this.#findingsTimer !== null) clearTimeout(this.#findingsTimer);
    this.#conflicts.close();
    this.#trackers.close();
    this.#bfd.close();
    this.#pools.close();
    this.#overrides.close();
    this.#maintenance.close();
    await this.#checks.stop();
    await this.#table?.close();
    this.#sync?.close();
    this.#settings?.close();
    this.#bursts.close();
    for (const cleanup of this.#cleanups.reverse()) await cleanup();
    this.#client?.close();
  }
}

function needsIpvs({ services, sync, ipvs }: Config): boolean {
  const { settings, timeouts } = ipvs;
  const set = [...Object.values(settings), ...Object.values(timeouts)];
  return services.length > 0 || sync !== null || set.some((value) => value !== null);
}

const SILENT_KEEPER = 'The keeper does not answer, so its instances are not known';

function unknownInstance(name: string, reports: readonly InstanceReport[]): string {
  const known = reports.map((one) => one.name);
  return unknownName('instance', name, known);
}

/** What `open` found missing, for a director that runs already. */
function withoutIpvs({ code, message, cure }: Problem): Problem {
  return {
    code,
    message: `${message}: no virtual service, sync daemon or IPVS setting takes effect`,
    cure: `${cure}; then run 'vipkeeper reload'`,
  };
}

/** Checks that end together in a turn of the event loop, each in some microseconds. */
const CHECKS_ENDED_AT_ONCE = 256;
/** What a reload says that a stop has overtaken. */
const STOPPING: ReloadAnswer = {
  errors: ['The director is stopping: the configuration was not read again'],
  problems: [],
};

const EARLY_TEXTS = {
  'last-start':
    'The keeper started with the plan of the last start, as the configuration is unchanged',
  'own-reading':
    'The keeper started before the controller, with the configuration as it read it itself',
} as const;

const UNCHECKED: HealthReport = {
  health: 'unchecked',
  sinceUs: null,
  recoveredAtUs: null,
  checkWeight: null,
};
const UNKNOWN: HealthReport = {
  health: 'unknown',
  sinceUs: null,
  recoveredAtUs: null,
  checkWeight: null,
};

function belowText(below: BelowQuorum, healthyWeight: number): string {
  switch (below) {
    case 'serve':
      return healthyWeight > 0
        ? 'the healthy servers go on'
        : 'no server is left, nobody gets new connections';
    case 'sorry':
      return 'its sorry servers take over';
    case 'keep-last':
      return 'those that served last go on';
    case 'drop':
      return 'nobody gets new connections';
    default:
      return assertNever(below);
  }
}

function withoutKind<T extends { readonly kind: string }>(message: T): Omit<T, 'kind'> {
  const { kind: _kind, ...rest } = message;
  return rest;
}

function refusalText(message: Extract<KeeperToController, { kind: 'refused' }>): string {
  const of = message.instance === null ? '' : ` for ${message.instance}`;
  return `Advertisement${of} from ${message.source} refused: ${message.detail}`;
}

function ownerText(instance: string | null): string {
  return instance === null ? '' : ` of ${instance}`;
}

function removerText(byPid: number | null): string {
  return byPid === null ? 'the kernel' : `another program (netlink port ${byPid})`;
}

/** Of an IPv6 address the kernel tells nobody as the one who removed it, whoever it was. */
function addressRemoverText({ address, byPid }: { address: string; byPid: number | null }): string {
  if (byPid === null && address.includes(':')) return ' (the kernel does not tell by whom)';
  return ` by ${removerText(byPid)}`;
}

function changeText(reason: CheckChange['reason']): string {
  switch (reason.kind) {
    case 'first-success':
      return 'the first check succeeded';
    case 'first-failure':
      return `the first check failed: ${reason.failure.detail}`;
    case 'rise':
      return `${inARow(reason.successes)} succeeded`;
    case 'fall':
      return `${inARow(reason.failures)} failed: ${reason.failure.detail}`;
    default:
      return assertNever(reason);
  }
}

function inARow(checks: number): string {
  return checks === 1 ? '1 check' : `${checks} checks in a row`;
}

/** 'missing', or 'altered: weight 9, wanted 3'. */
function driftText({ class: kind, detail }: DriftItem): string {
  return kind === 'altered' ? `${kind}: ${detail}` : kind;
}

function operationText(operation: IpvsOperation): string {
  switch (operation.kind) {
    case 'add-service':
    case 'set-service':
      return `${operation.kind} ${serviceKey(operation.service.identity)}`;
    case 'delete-service':
      return `${operation.kind} ${serviceKey(operation.identity)}`;
    case 'add-server':
    case 'set-server':
      return `${operation.kind} ${serviceKey(operation.identity)} -> ${serverKey(operation.server)} weight ${operation.server.weight}`;
    case 'delete-server':
      return `${operation.kind} ${serviceKey(operation.identity)} -> ${serverKey(operation)}`;
    default:
      return assertNever(operation);
  }
}

/**
 * Notifier: tells other programs and people of every change of an instance's state.
 *
 *   transition ──> FIFO (one line, in the order of all instances)
 *              ──> mail
 *              ──> lane of the instance ──> the state's script, then `any`
 *
 * A state that was told already is not told again, also after a restart of the controller
 * (memory.ts). Nothing here delays the controller: everything waits in bounded queues.
 */
import type {
  Command,
  Config,
  GroupNotifyConfig,
  InstanceNotifyConfig,
  NotifyConfig,
} from '../../core/config/config.ts';
import type { WaitingKind } from '../../core/notify/queue.ts';
import {
  type Circumstances,
  fifoLine,
  mailSubject,
  mailText,
  type Notice,
  type NotifyReason,
  type NotifyWord,
  notifyState,
  priorityWord,
  scriptArguments,
  scriptVariables,
} from '../../core/notify/words.ts';
import type { Problem } from '../../core/problem.ts';
import { ok, type Result } from '../../core/result.ts';
import type { NotifyChannelReport, NotifyReport } from '../../core/status.ts';
import type { VrrpStateName } from '../../core/vrrp/types.ts';
import type { InstanceStatus } from '../../keeper/messages.ts';
import { type Log, logProblem } from '../log.ts';
import { type Account, findAccount } from './account.ts';
import { FifoWriter } from './fifo.ts';
import { FifoScript } from './fifo-script.ts';
import { type GroupChange, GroupStates } from './group-states.ts';
import { Lanes } from './lanes.ts';
import { Mailer } from './mail.ts';
import { NotifyMemory } from './memory.ts';
import { runScript, type ScriptOutcome } from './script.ts';
import { findScriptFault } from './script-file.ts';

/**
 * For all that is under way when the director stops: the last script of a state and the one for
 * any state behind one that hangs. Less than the controller has for its whole stop.
 */
const STOP_MS = 7_000;
/** Where the scripts of start and stop run; instances cannot have these names. */
const STARTUP_LANE = ' startup';
const SHUTDOWN_LANE = ' shutdown';
/** In front of a group's name, where instances are too: their names have no spaces. */
const GROUP_PREFIX = 'group ';

export interface Transition {
  readonly instance: string;
  readonly from: VrrpStateName;
  readonly to: VrrpStateName;
  readonly reason: NotifyReason;
  readonly peer: string | null;
  readonly priority: number;
  readonly atMs: number;
}

/** What the keeper's status says of an instance. */
export type LearnedState = Pick<
  InstanceStatus,
  'name' | 'state' | 'reason' | 'peer' | 'priority' | 'lastTransitionAtMs'
>;

type NotifierConfig = Pick<
  Config,
  'director' | 'notify' | 'mail' | 'groups' | 'vrrp' | 'runtimeDirectory'
>;

const NOTHING: NotifyChannelReport = { delivered: 0, failed: 0, dropped: 0, waiting: 0 };

export class Notifier {
  readonly #log: Log;
  readonly #memory: NotifyMemory;
  readonly #lanes = new Lanes();
  readonly #stopping = new AbortController();
  readonly #abandoned = new AbortController();
  readonly #scripts = { delivered: 0, failed: 0, dropped: 0 };
  #config: NotifierConfig;
  #instances: ReadonlyMap<string, InstanceNotifyConfig> = new Map();
  /** Instances that the configuration does not have any more, until the keeper has stopped them. */
  #departing = new Map<string, InstanceNotifyConfig>();
  /** What was told last, or waits to be told. */
  readonly #states: Map<string, VrrpStateName>;
  readonly #priorities = new Map<string, number>();
  readonly #groups: GroupStates;
  #account: Result<Account | null, Problem> = ok(null);
  #fifo: FifoWriter | null = null;
  #fifoScript: FifoScript | null = null;
  #mailer: Mailer | null = null;
  /** Counts of channels that a reload has closed. */
  #closedFifo = NOTHING;
  #closedMail = NOTHING;

  constructor(config: NotifierConfig, log: Log) {
    this.#config = config;
    this.#log = log;
    this.#memory = new NotifyMemory(config.runtimeDirectory, (problem) => logProblem(log, problem));
    const told = [...this.#memory.states];
    this.#states = new Map(told.filter(([name]) => !name.startsWith(GROUP_PREFIX)));
    this.#groups = new GroupStates(
      new Map(
        told
          .filter(([name]) => name.startsWith(GROUP_PREFIX))
          .map(([name, state]) => [name.slice(GROUP_PREFIX.length), state]),
      ),
    );
  }

  /**
   * Opens what is needed and, unless this controller takes the place of one that died, runs the
   * startup script. To be called before the first transition.
   */
  async start(): Promise<void> {
    this.#apply(this.#config, null);
    if (this.#memory.continued) {
      // What came of the transitions that were told before the end of the other controller.
      return this.#tellGroups({ reason: 'adopted', peer: null, at: new Date().toISOString() });
    }
    this.#memory.save();
    await this.#runAlone(STARTUP_LANE, this.#config.notify.startup);
  }

  /** True when this controller takes the place of one that died. */
  get continued(): boolean {
    return this.#memory.continued;
  }

  /** Takes over a changed configuration; the runtime directory stays. */
  configure(config: NotifierConfig): void {
    const before = this.#config;
    this.#config = config;
    this.#apply(config, before.notify);
    if (config.notify.fifoStatesOnReload) this.#writeStates();
  }

  /** An instance has changed its state. */
  transition(transition: Transition): void {
    const { instance, to, from, reason, peer, priority, atMs } = transition;
    const before = this.#states.get(instance) ?? 'initialize';
    const departing = to === 'initialize' ? this.#departing.get(instance) : undefined;
    this.#departing.delete(instance);
    this.#priorities.set(instance, priority);
    if (before === to) return;
    const word = this.#word(to, departing);
    if (to === 'initialize') this.#states.delete(instance);
    else this.#states.set(instance, to);
    // As keepalived: without `deleted` it ends in a fault, and it may be in one already.
    if (departing !== undefined && word === 'FAULT' && before === 'fault') {
      this.#memory.set(instance, to);
      return;
    }
    const config = departing ?? this.#instances.get(instance);
    const notice: Notice = { kind: 'INSTANCE', name: instance, word, priority };
    const at = new Date(atMs).toISOString();
    const facts: Circumstances = { from, to, reason, peer, priority, at };
    this.#fifo?.write(fifoLine(notice));
    this.#tellGroups(facts);
    if (config?.mail === true) this.#send(notice, facts);
    const calls = callsOf(commandFor(config, word), config?.any ?? null, notice);
    this.#queue('state', notice, { facts, calls, done: () => this.#memory.set(instance, to) });
  }

  /** The state that an instance is in, asked for: told only if it was not told before. */
  learn(status: LearnedState): void {
    const { name: instance, state: to, reason, priority, lastTransitionAtMs: atMs } = status;
    // An instance that has not begun says so by itself when it does.
    if (to === 'initialize') return;
    const from = this.#states.get(instance) ?? 'initialize';
    const peer = status.peer?.address ?? null;
    this.transition({ instance, from, to, reason, peer, priority, atMs });
  }

  /** There is no keeper, and its VIPs were removed: nothing is active here any more. */
  keeperLost(): void {
    for (const [instance, state] of [...this.#states]) {
      if (state === 'active') this.#leave(instance, 'fault', 'keeper-lost');
    }
  }

  /** An active instance has heard a peer of lower priority; `priority` is its own. */
  lowerPriority(event: { instance: string; peer: string; priority: number; atMs: number }): void {
    const { instance, peer, priority } = event;
    if (this.#states.get(instance) !== 'active') return;
    const word = 'MASTER_RX_LOWER_PRI';
    const notice: Notice = { kind: 'INSTANCE', name: instance, word, priority };
    this.#fifo?.write(fifoLine(notice));
    const at = new Date(event.atMs).toISOString();
    const states = { from: 'active', to: 'active' } as const;
    const facts: Circumstances = { ...states, reason: 'lower-priority-peer', peer, priority, at };
    const command = this.#instances.get(instance)?.lowerPriority ?? null;
    const calls = callsOf(command, null, notice);
    this.#queue('lower-priority', notice, { facts, calls, done: () => {} });
  }

  /** The priority of an instance has changed. */
  priorityChanged(instance: string, priority: number): void {
    this.#priorities.set(instance, priority);
    const config = this.#instances.get(instance);
    const state = this.#states.get(instance) ?? 'initialize';
    const word = priorityWord(state);
    if (config?.priorityChanges !== true || word === null) return;
    const notice: Notice = { kind: 'INSTANCE', name: instance, word, priority };
    this.#fifo?.write(fifoLine(notice));
    const calls = callsOf(null, config.any, notice);
    this.#queue('priority', notice, { facts: null, calls, done: () => {} });
  }

  report(): NotifyReport {
    return {
      script: { ...this.#scripts, waiting: this.#lanes.waiting },
      fifo: sum(this.#closedFifo, this.#fifo?.report()),
      mail: sum(this.#closedMail, this.#mailer?.report()),
    };
  }

  /**
   * The director stops, and every instance has been told of: waits for what is under way, runs
   * the shutdown script, and closes. Takes STOP_MS and what a SIGKILL needs at most.
   */
  async stop(): Promise<void> {
    let late: NodeJS.Timeout | undefined;
    const abandoned = new Promise<void>((resolve) => {
      late = setTimeout(() => {
        this.#lanes.clear();
        this.#abandoned.abort();
        resolve();
      }, STOP_MS);
    });
    // Those of a keeper that died are told here.
    for (const instance of [...this.#states.keys()]) this.#leave(instance, 'initialize', 'stopped');
    this.#stopping.abort();
    this.#lanes.keepLastStates();
    const scripts = this.#lanes
      .idle()
      .then(() => this.#runAlone(SHUTDOWN_LANE, this.#config.notify.shutdown));
    await Promise.race([
      abandoned,
      Promise.all([scripts, this.#fifo?.empty(), this.#mailer?.empty()]),
    ]);
    clearTimeout(late);
    this.#mailer?.close();
    this.#fifo?.close();
    await this.#fifoScript?.stop();
    this.#memory.clear();
  }

  #apply(config: NotifierConfig, before: NotifyConfig | null): void {
    const { notify, mail } = config;
    const instances = new Map(notify.instances.map((instance) => [instance.name, instance]));
    this.#departing = new Map([...this.#instances].filter(([name]) => !instances.has(name)));
    this.#instances = instances;
    this.#account = findAccount(notify.user, notify.group);
    this.#replaceFifo(notify, before);
    if (mail === null) this.#closeMailer();
    else if (this.#mailer !== null) this.#mailer.configure(mail);
    else {
      this.#mailer = new Mailer(mail, { onProblem: (problem) => logProblem(this.#log, problem) });
    }
    this.#groups.configure(config.groups, this.#states, before === null && this.continued);
    void this.#verify();
  }

  #replaceFifo(notify: NotifyConfig, before: NotifyConfig | null): void {
    const owner = ({ fifo, fifoScript, user, group, scriptSecurity }: NotifyConfig) =>
      JSON.stringify([fifo, fifoScript, user, group, scriptSecurity]);
    if (before !== null && owner(before) === owner(notify)) return;
    this.#fifo?.close();
    this.#closedFifo = sum(this.#closedFifo, this.#fifo?.report());
    void this.#fifoScript?.stop();
    this.#fifo = null;
    this.#fifoScript = null;
    const { fifo: path, fifoScript: command, scriptSecurity: security } = notify;
    // Without the account nobody could be given the FIFO, or run the script.
    if (path === null || !this.#account.ok) return;
    const account = this.#account.value;
    const onProblem = (problem: Problem): void => logProblem(this.#log, problem);
    this.#fifo = new FifoWriter(
      { path, account },
      {
        onProblem,
        onOverflow: () =>
          this.#log.warn(
            { event: 'notify', reason: 'fifo-overflow' },
            `Nobody reads the FIFO ${path} fast enough: its oldest lines are lost`,
          ),
      },
    );
    if (command === null) return;
    const variables = scriptVariables(this.#config.director, null, null);
    this.#fifoScript = new FifoScript(
      { command, fifo: path, variables, account, security },
      {
        onProblem,
        onEnded: (detail, output) => this.#log.warn({ event: 'notify', output }, detail),
      },
    );
  }

  #closeMailer(): void {
    this.#mailer?.close();
    this.#closedMail = sum(this.#closedMail, this.#mailer?.report());
    this.#mailer = null;
  }

  /** Says now what would otherwise be found out at the next failover. */
  async #verify(): Promise<void> {
    const { notify } = this.#config;
    const commands = [
      ...notify.instances.flatMap((each) => [each.active, each.backup, each.fault, each.stop]),
      ...notify.instances.flatMap((each) => [each.deleted, each.any, each.lowerPriority]),
      ...notify.groups.flatMap((each) => [each.active, each.backup, each.fault]),
      ...notify.groups.flatMap((each) => [each.stop, each.any]),
      notify.startup,
      notify.shutdown,
    ];
    const paths = new Set(commands.flatMap((command) => command?.[0] ?? []));
    if (!this.#account.ok) {
      const needed = paths.size > 0 || notify.fifo !== null;
      if (needed) logProblem(this.#log, this.#account.error);
      return;
    }
    const uid = this.#account.value?.uid ?? process.getuid?.() ?? 0;
    for (const path of paths) {
      const fault = await findScriptFault(path, { uid, security: notify.scriptSecurity });
      if (fault !== null) logProblem(this.#log, fault);
    }
  }

  #word(to: VrrpStateName, departing: InstanceNotifyConfig | undefined): NotifyWord {
    if (departing === undefined) return notifyState(to);
    return departing.deleted === null ? 'FAULT' : 'DELETED';
  }

  /** Groups whose members have come to one state with the last change of one of them. */
  #tellGroups(cause: Pick<Circumstances, 'reason' | 'peer' | 'at'>): void {
    for (const change of this.#groups.changes(this.#states)) this.#tellGroup(change, cause);
  }

  #tellGroup(
    { group: name, from, to }: GroupChange,
    { reason, peer, at }: Pick<Circumstances, 'reason' | 'peer' | 'at'>,
  ): void {
    const notice: Notice = { kind: 'GROUP', name, word: notifyState(to), priority: 0 };
    const facts: Circumstances = { from, to, reason, peer, priority: 0, at };
    this.#log.info(
      { event: 'group-transition', group: name, from, to, reason },
      `Sync group ${name}: ${from} -> ${to} (${reason})`,
    );
    this.#fifo?.write(fifoLine(notice));
    const config = this.#config.notify.groups.find((group) => group.name === name);
    if (config?.mail === true) this.#send(notice, facts);
    const calls = callsOf(commandFor(config, notice.word), config?.any ?? null, notice);
    const done = (): void => this.#memory.set(`${GROUP_PREFIX}${name}`, to);
    this.#queue('state', notice, { facts, calls, done });
  }

  /** For a reader of the FIFO that may have begun anew. */
  #writeStates(): void {
    for (const [name, state] of this.#states) {
      const configured = this.#config.vrrp.find((instance) => instance.name === name);
      if (configured === undefined) continue;
      const priority = this.#priorities.get(name) ?? configured.priority;
      this.#fifo?.write(fifoLine({ kind: 'INSTANCE', name, word: notifyState(state), priority }));
    }
    for (const [name, state] of this.#groups.states) {
      const word = notifyState(state);
      this.#fifo?.write(fifoLine({ kind: 'GROUP', name, word, priority: 0 }));
    }
  }

  /** A transition that no keeper can report. */
  #leave(instance: string, to: VrrpStateName, reason: NotifyReason): void {
    const from = this.#states.get(instance) ?? 'initialize';
    const configured = this.#config.vrrp.find(({ name }) => name === instance)?.priority;
    const priority = this.#priorities.get(instance) ?? configured ?? 0;
    this.transition({ instance, from, to, reason, peer: null, priority, atMs: Date.now() });
  }

  #send(notice: Notice, facts: Circumstances): void {
    const { director } = this.#config;
    this.#mailer?.send({
      subject: mailSubject(director, notice),
      text: mailText(director, notice, facts),
    });
  }

  #queue(
    kind: WaitingKind,
    notice: Notice,
    job: {
      readonly facts: Circumstances | null;
      readonly calls: readonly Call[];
      readonly done: () => void;
    },
  ): void {
    const variables = scriptVariables(this.#config.director, notice, job.facts);
    if (job.calls.length === 0) return job.done();
    const run = async (): Promise<void> => {
      for (const call of job.calls) await this.#run(call, variables, notice);
      job.done();
    };
    this.#lanes.add(notice.kind === 'GROUP' ? `${GROUP_PREFIX}${notice.name}` : notice.name, {
      kind,
      run,
      dropped: () => {
        this.#scripts.dropped++;
        this.#log.warn(
          { event: 'notify', reason: 'dropped', ...subjectOf(notice), word: notice.word },
          `Scripts of ${notice.name} for ${notice.word} are left out, as newer ones wait`,
        );
      },
    });
  }

  /** Runs a script that belongs to no instance, and waits for it. */
  #runAlone(lane: string, command: Command | null): Promise<void> {
    if (command === null) return Promise.resolve();
    const variables = scriptVariables(this.#config.director, null, null);
    return new Promise((resolve) => {
      this.#lanes.add(lane, {
        kind: 'state',
        run: () => this.#run({ command, args: [] }, variables, null).then(resolve),
        dropped: resolve,
      });
    });
  }

  async #run(
    { command, args }: Call,
    variables: Readonly<Record<string, string>>,
    notice: Notice | null,
  ): Promise<void> {
    const { notify } = this.#config;
    const outcome: ScriptOutcome = this.#account.ok
      ? await runScript({
          command,
          args,
          variables,
          account: this.#account.value,
          security: notify.scriptSecurity,
          timeoutMs: notify.timeoutUs / 1000,
          stopping: this.#stopping.signal,
          abandoned: this.#abandoned.signal,
        })
      : { kind: 'not-run', problem: this.#account.error, output: '', durationMs: 0 };
    this.#logOutcome(command, notice, outcome);
  }

  #logOutcome(command: Command, notice: Notice | null, outcome: ScriptOutcome): void {
    const script = command[0] as string;
    const { output } = outcome;
    const durationMs = Math.round(outcome.durationMs);
    const about = notice === null ? {} : { ...subjectOf(notice), word: notice.word };
    const fields = { event: 'notify', script, ...about, durationMs, output };
    if (outcome.kind === 'succeeded') {
      this.#scripts.delivered++;
      return this.#log.info(fields, `Script ${script} ended well`);
    }
    this.#scripts.failed++;
    if (outcome.kind === 'not-run') return logProblem(this.#log, outcome.problem, fields);
    this.#log.warn({ ...fields, reason: 'failed' }, `Script ${script} ${outcome.detail}`);
  }
}

/** Name of what a notice is about, as a field of the log. */
function subjectOf({ kind, name }: Notice): { instance: string } | { group: string } {
  return kind === 'GROUP' ? { group: name } : { instance: name };
}

interface Call {
  readonly command: Command;
  /** Behind the command's own. */
  readonly args: readonly string[];
}

/** A word's own command gets no more arguments, `any` says with them what has happened. */
function callsOf(own: Command | null, any: Command | null, notice: Notice): readonly Call[] {
  const calls: Call[] = own === null ? [] : [{ command: own, args: [] }];
  return any === null ? calls : [...calls, { command: any, args: scriptArguments(notice) }];
}

/** The command of a word's own, beside `any`. */
function commandFor(
  config: InstanceNotifyConfig | GroupNotifyConfig | undefined,
  word: NotifyWord,
): Command | null {
  if (config === undefined) return null;
  const commands: Partial<Record<NotifyWord, Command | null>> = {
    MASTER: config.active,
    BACKUP: config.backup,
    FAULT: config.fault,
    STOP: config.stop,
    DELETED: 'deleted' in config ? config.deleted : null,
  };
  return commands[word] ?? null;
}

function sum(
  closed: NotifyChannelReport,
  open: NotifyChannelReport | undefined,
): NotifyChannelReport {
  if (open === undefined) return closed;
  return {
    delivered: closed.delivered + open.delivered,
    failed: closed.failed + open.failed,
    dropped: closed.dropped + open.dropped,
    waiting: open.waiting,
  };
}

/**
 * Notifier: tells other programs and people of every change of an instance's state.
 *
 *   transition ──> FIFO (one line, in the order of all instances)
 *              ──> mail
 *              ──> lane of the instance ──> the state's script, then `any`
 *
 * A state that was told already is not told again, also after a restart of the controller
 * (memory.ts). Nothing here delays the controller: everything waits in bounded queues
 * (channels.ts). What there is to tell of virtual services, service-notifier.ts does on the same
 * channels.
 */
import type {
  Command,
  Config,
  GroupNotifyConfig,
  InstanceNotifyConfig,
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
import type { NotifyReport } from '../../core/status.ts';
import type { VrrpStateName } from '../../core/vrrp/types.ts';
import type { InstanceStatus } from '../../keeper/messages.ts';
import { type Log, logProblem } from '../log.ts';
import { type Call, Channels } from './channels.ts';
import { type GroupChange, GroupStates } from './group-states.ts';
import type { ScriptRecords } from './left-scripts.ts';
import { isVrrpState, NotifyMemory } from './memory.ts';
import { ServiceNotifier, serviceCommands } from './service-notifier.ts';

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
  'director' | 'notify' | 'mail' | 'groups' | 'vrrp' | 'services' | 'runtimeDirectory'
>;

export class Notifier {
  /** Of virtual services and their servers. */
  readonly services: ServiceNotifier;
  readonly #log: Log;
  readonly #memory: NotifyMemory;
  readonly #channels: Channels;
  #config: NotifierConfig;
  #instances: ReadonlyMap<string, InstanceNotifyConfig> = new Map();
  /** Instances that the configuration does not have any more, until the keeper has stopped them. */
  #departing = new Map<string, InstanceNotifyConfig>();
  /** What was told last, or waits to be told. */
  readonly #states: Map<string, VrrpStateName>;
  readonly #priorities = new Map<string, number>();
  readonly #groups: GroupStates;

  constructor(config: NotifierConfig, log: Log) {
    this.#config = config;
    this.#log = log;
    this.#memory = new NotifyMemory(config.runtimeDirectory, (problem) => logProblem(log, problem));
    this.#channels = new Channels(config, log);
    this.services = new ServiceNotifier(config, this.#channels, this.#memory);
    const told = [...this.#memory.states].filter((entry): entry is [string, VrrpStateName] =>
      isVrrpState(entry[1]),
    );
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
    await this.#apply(this.#config, this.continued);
    if (this.#memory.continued) {
      // What came of the transitions that were told before the end of the other controller.
      return this.#tellGroups({ reason: 'adopted', peer: null, at: new Date().toISOString() });
    }
    this.#memory.save();
    await this.#channels.startup();
  }

  /** Where it is kept which scripts run, for whoever else runs some. */
  get records(): ScriptRecords {
    return this.#channels.records;
  }

  /** True when this controller takes the place of one that died. */
  get continued(): boolean {
    return this.#memory.continued;
  }

  /** Takes over a changed configuration; the runtime directory stays. */
  async configure(config: NotifierConfig): Promise<void> {
    this.#config = config;
    const applied = this.#apply(config, false);
    if (config.notify.fifoStatesOnReload) this.#writeStates();
    await applied;
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
    this.#channels.write('vrrp', fifoLine(notice));
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
    this.#channels.write('vrrp', fifoLine(notice));
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
    this.#channels.write('vrrp', fifoLine(notice));
    const calls = callsOf(null, config.any, notice);
    this.#queue('priority', notice, { facts: null, calls, done: () => {} });
  }

  report(): NotifyReport {
    return this.#channels.report();
  }

  /**
   * The director stops, and every instance has been told of: waits for what is under way, runs
   * the shutdown script, and closes. Bounded: see Channels.stop.
   */
  async stop(): Promise<void> {
    // Those of a keeper that died are told here.
    for (const instance of [...this.#states.keys()]) this.#leave(instance, 'initialize', 'stopped');
    await this.#channels.stop();
    this.#memory.clear();
  }

  async #apply(config: NotifierConfig, continued: boolean): Promise<void> {
    const { notify } = config;
    const instances = new Map(notify.instances.map((instance) => [instance.name, instance]));
    this.#departing = new Map([...this.#instances].filter(([name]) => !instances.has(name)));
    this.#instances = instances;
    const services = this.services.configure(config);
    this.#channels.configure(config, commandsOf(config));
    this.#groups.configure(config.groups, this.#states, continued);
    await services;
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
    this.#channels.write('vrrp', fifoLine(notice));
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
      this.#channels.write(
        'vrrp',
        fifoLine({ kind: 'INSTANCE', name, word: notifyState(state), priority }),
      );
    }
    for (const [name, state] of this.#groups.states) {
      const word = notifyState(state);
      this.#channels.write('vrrp', fifoLine({ kind: 'GROUP', name, word, priority: 0 }));
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
    this.#channels.send('vrrp', {
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
    this.#channels.queue({
      topic: 'vrrp',
      lane: notice.kind === 'GROUP' ? `${GROUP_PREFIX}${notice.name}` : notice.name,
      kind,
      calls: job.calls,
      variables: scriptVariables(this.#config.director, notice, job.facts),
      about: { ...subjectOf(notice), word: notice.word },
      done: job.done,
    });
  }
}

/** Name of what a notice is about, as a field of the log. */
/** All commands that could be run by a configuration. */
function* commandsOf({ notify, services }: NotifierConfig): Iterable<Command | null> {
  for (const one of notify.instances) {
    yield* [one.active, one.backup, one.fault, one.stop, one.deleted, one.any, one.lowerPriority];
  }
  for (const one of notify.groups) yield* [one.active, one.backup, one.fault, one.stop, one.any];
  yield* serviceCommands(services);
}

function subjectOf({ kind, name }: Notice): { instance: string } | { group: string } {
  return kind === 'GROUP' ? { group: name } : { instance: name };
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

/**
 * Channels: the ways by which other programs and people are told: the FIFO, mails, and scripts,
 * each in a lane in which one runs at a time. Everything waits in bounded queues.
 *
 * What is told of virtual services has lanes and mails of its own, and gives way in the FIFO:
 * thousands of servers that fail together must not delay or displace what is told of a failover.
 */
import { setMaxListeners } from 'node:events';
import type { Command, Config, NotifyConfig } from '../../core/config/config.ts';
import { inTurns } from '../../core/in-turns.ts';
import type { WaitingKind } from '../../core/notify/queue.ts';
import { scriptVariables } from '../../core/notify/words.ts';
import type { Problem } from '../../core/problem.ts';
import { ok, type Result } from '../../core/result.ts';
import type { NotifyChannelReport, NotifyReport } from '../../core/status.ts';
import { TURNS } from '../../linux/turns.ts';
import { type Log, logProblem } from '../log.ts';
import { type Account, findAccount } from './account.ts';
import { FifoWriter } from './fifo.ts';
import { FifoJournal } from './fifo-journal.ts';
import { FifoScript } from './fifo-script.ts';
import { Lanes, RUNNING_MAX } from './lanes.ts';
import { LeftScripts, type ScriptRecords } from './left-scripts.ts';
import { type Mail, Mailer } from './mail.ts';
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

export type Topic = 'vrrp' | 'services';

export interface Call {
  readonly command: Command;
  /** Behind the command's own. */
  readonly args: readonly string[];
}

/** Scripts that run one after the other in one lane. */
export interface ScriptJob {
  readonly topic: Topic;
  readonly lane: string;
  readonly kind: WaitingKind;
  readonly calls: readonly Call[];
  readonly variables: Readonly<Record<string, string>>;
  /** What they are about, for the log: its fields, with `word` for what has happened. */
  readonly about: Readonly<Record<string, string>> & { readonly word: string };
  /** All of them have ended. */
  readonly done: () => void;
}

export type ChannelsConfig = Pick<Config, 'director' | 'notify' | 'mail' | 'runtimeDirectory'>;

const NOTHING: NotifyChannelReport = { delivered: 0, failed: 0, dropped: 0, waiting: 0 };
const TOPICS = ['vrrp', 'services'] as const;

export class Channels {
  readonly #log: Log;
  readonly #lanes: Readonly<Record<Topic, Lanes>> = { vrrp: new Lanes(), services: new Lanes() };
  readonly #stopping = new AbortController();
  readonly #abandoned = new AbortController();
  readonly #scripts = { delivered: 0, failed: 0, dropped: 0 };
  readonly #mailers = new Map<Topic, Mailer>();
  #config: ChannelsConfig;
  #configured = false;
  #account: Result<Account | null, Problem> = ok(null);
  readonly #left: LeftScripts;
  /** What an earlier controller left running has ended; null before that was begun. */
  #leftEnded: Promise<void> | null = null;
  #fifo: FifoWriter | null = null;
  #fifoScript: FifoScript | null = null;
  /** Counts of channels that a reload has closed. */
  #closedFifo = NOTHING;
  #closedMail = NOTHING;

  constructor(config: ChannelsConfig, log: Log) {
    this.#config = config;
    this.#log = log;
    this.#left = new LeftScripts(config.runtimeDirectory);
    // Each script that runs listens to both.
    const running = RUNNING_MAX * TOPICS.length;
    setMaxListeners(running, this.#stopping.signal, this.#abandoned.signal);
  }

  /** Of whatever script this controller runs. */
  get records(): ScriptRecords {
    return this.#left;
  }

  /** Opens what is needed; `commands`: all that could be run by this configuration. */
  configure(config: ChannelsConfig, commands: Iterable<Command | null>): void {
    const before = this.#configured ? this.#config.notify : null;
    this.#configured = true;
    this.#config = config;
    const { notify, mail } = config;
    this.#account = findAccount(notify.user, notify.group);
    this.#replaceFifo(notify, before);
    void this.#endLeft();
    if (mail === null) this.#closeMailers();
    else {
      for (const topic of TOPICS) {
        const mailer = this.#mailers.get(topic);
        const onProblem = (problem: Problem): void => logProblem(this.#log, problem);
        if (mailer !== undefined) mailer.configure(mail);
        else this.#mailers.set(topic, new Mailer(mail, { onProblem }));
      }
    }
    void this.#verify(commands);
  }

  /** Runs the startup script, and waits for it. */
  startup(): Promise<void> {
    return this.#runAlone(STARTUP_LANE, this.#config.notify.startup);
  }

  /** A line with its end for the FIFO, where there is one. */
  write(topic: Topic, line: string): void {
    this.#fifo?.write(line, topic === 'vrrp' ? 'important' : 'minor');
  }

  send(topic: Topic, mail: Mail): void {
    this.#mailers.get(topic)?.send(mail);
  }

  queue(job: ScriptJob): void {
    const { calls, kind, about, done } = job;
    if (calls.length === 0) return done();
    const run = async (): Promise<void> => {
      for (const call of calls) await this.#run(call, job.variables, about);
      done();
    };
    this.#lanes[job.topic].add(job.lane, {
      kind,
      run,
      dropped: () => {
        this.#scripts.dropped++;
        this.#log.warn(
          { event: 'notify', reason: 'dropped', ...about },
          `Scripts of ${job.lane} for ${about.word} are left out, as newer ones wait`,
        );
      },
    });
  }

  report(): NotifyReport {
    const waiting = this.#lanes.vrrp.waiting + this.#lanes.services.waiting;
    return {
      script: { ...this.#scripts, waiting },
      fifo: sum(this.#closedFifo, this.#fifo?.report()),
      mail: [...this.#mailers.values()].reduce(
        (all, mailer) => sum(all, mailer.report()),
        this.#closedMail,
      ),
    };
  }

  /**
   * The director stops, and all has been told: waits for what is under way, runs the shutdown
   * script, and closes. Takes STOP_MS and what a SIGKILL needs at most.
   */
  async stop(): Promise<void> {
    let late: NodeJS.Timeout | undefined;
    const lanes = Object.values(this.#lanes);
    const abandoned = new Promise<void>((resolve) => {
      late = setTimeout(() => {
        for (const each of lanes) each.clear();
        this.#abandoned.abort();
        resolve();
      }, STOP_MS);
    });
    this.#stopping.abort();
    for (const each of lanes) each.keepLastStates();
    const scripts = this.#lanes.vrrp
      .idle()
      .then(() => this.#runAlone(SHUTDOWN_LANE, this.#config.notify.shutdown));
    const mails = [...this.#mailers.values()].map((mailer) => mailer.empty());
    await Promise.race([
      abandoned,
      Promise.all([scripts, this.#lanes.services.idle(), this.#fifo?.empty(), ...mails]),
    ]);
    clearTimeout(late);
    for (const mailer of this.#mailers.values()) mailer.close();
    this.#fifo?.close();
    await this.#fifoScript?.stop();
    this.#left.clear();
  }

  /**
   * Ends what an earlier controller left running, once. The FIFO is open by then, so that lines
   * which its reader has not read stay in it.
   */
  #endLeft(): Promise<void> {
    this.#leftEnded ??= this.#left.endLeft().then((pids) => {
      for (const pid of pids) {
        this.#log.warn(
          { event: 'notify', reason: 'left-running', pid },
          `The script with process id ${pid}, which a controller that died had started, was ended`,
        );
      }
    });
    return this.#leftEnded;
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
      {
        path,
        account,
        journal: new FifoJournal(`${this.#config.runtimeDirectory}/fifo-lines`, path),
      },
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
      {
        ...{ command, fifo: path, variables, account, security },
        ...{ after: this.#endLeft(), records: this.#left },
      },
      {
        onProblem,
        onEnded: (detail, output) => this.#log.warn({ event: 'notify', output }, detail),
      },
    );
  }

  #closeMailers(): void {
    for (const mailer of this.#mailers.values()) {
      mailer.close();
      this.#closedMail = sum(this.#closedMail, mailer.report());
    }
    this.#mailers.clear();
  }

  /** Says now what would otherwise be found out at the next failover. */
  async #verify(commands: Iterable<Command | null>): Promise<void> {
    const { notify } = this.#config;
    const paths = new Set<string>();
    const note = (command: Command | null): void => {
      const [path] = command ?? [];
      if (path !== undefined) paths.add(path);
    };
    await inTurns(commands, note, TURNS);
    for (const command of [notify.startup, notify.shutdown]) note(command);
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

  /** Runs a script that belongs to no instance, and waits for it. */
  #runAlone(lane: string, command: Command | null): Promise<void> {
    if (command === null) return Promise.resolve();
    const variables = scriptVariables(this.#config.director, null, null);
    return new Promise((resolve) => {
      this.#lanes.vrrp.add(lane, {
        kind: 'state',
        run: () => this.#run({ command, args: [] }, variables, {}).then(resolve),
        dropped: resolve,
      });
    });
  }

  async #run(
    { command, args }: Call,
    variables: Readonly<Record<string, string>>,
    about: Readonly<Record<string, string>>,
  ): Promise<void> {
    await this.#endLeft();
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
          records: this.#left,
        })
      : { kind: 'not-run', problem: this.#account.error, output: '', durationMs: 0 };
    this.#logOutcome(command, about, outcome);
  }

  #logOutcome(
    command: Command,
    about: Readonly<Record<string, string>>,
    outcome: ScriptOutcome,
  ): void {
    const script = command[0] as string;
    const { output } = outcome;
    const durationMs = Math.round(outcome.durationMs);
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

function sum(
  closed: NotifyChannelReport,
  open: NotifyChannelReport | undefined,
): NotifyChannelReport {
  if (open === undefined) return closed;
  return {
    delivered: closed.delivered + open.delivered,
    failed: closed.failed + open.failed,
    dropped: closed.dropped + open.dropped,
    waiting: closed.waiting + open.waiting,
  };
}

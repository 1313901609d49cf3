/**
 * A script that is run every interval, one run at a time: up after `rise` successes in a row,
 * down after `fall` failures. Fails closed: a script that cannot be run has failed, and says why.
 * A run that is late has failed when its time is over, not when it has been got rid of; runs that
 * would begin meanwhile are skipped, and have failed too, as nobody knows any better.
 */
import type { TrackerConfig } from '../../core/config/config.ts';
import { type CheckState, initialCheckState, step } from '../../core/health/check-state.ts';
import { probeFailure } from '../../core/health/probe-result.ts';
import type { Problem } from '../../core/problem.ts';
import { monotonicUs } from '../../linux/clock.ts';
import { findAccount } from '../notify/account.ts';
import { runScript } from '../notify/script.ts';
import type { RunCounts, Watch, WatchPorts } from './watch.ts';

type Script = Extract<TrackerConfig, { kind: 'script' }>;

/** Where SIGKILL does not help, runs must not pile up. */
const REST_AFTER_STUCK_MS = 10_000;

export class ScriptWatch implements Watch {
  readonly runs: RunCounts = { succeeded: 0, failed: 0, timeout: 0, 'not-run': 0, skipped: 0 };
  readonly #config: Script;
  readonly #director: string;
  readonly #ports: WatchPorts;
  readonly #abandoned = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #state: CheckState;
  #running = false;
  #overdue = false;
  #restUntilUs = 0;

  /** `before` is the state that an earlier watch of this tracker came to. */
  constructor(config: Script, director: string, ports: WatchPorts, before: CheckState | null) {
    this.#config = config;
    this.#director = director;
    this.#ports = ports;
    this.#state = before ?? firstState(config);
    if (this.#state.status === 'down') this.#tell();
    this.#timer = setInterval(() => this.#tick(), config.intervalUs / 1000);
    this.#tick();
  }

  /** For the watch that takes its place. */
  get state(): CheckState {
    return this.#state;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#abandoned.abort();
  }

  #tick(): void {
    if (!this.#running && monotonicUs() >= this.#restUntilUs) return void this.#run();
    this.runs.skipped++;
    if (this.#running && !this.#overdue) return;
    this.#judge('was not run, because the run before it did not end');
  }

  async #run(): Promise<void> {
    const { command, timeoutUs, user, group, scriptSecurity, name } = this.#config;
    this.#running = true;
    this.#overdue = false;
    const account = findAccount(user, group, `trackers.${name}`);
    if (!account.ok) return this.#notRun(account.error);
    const outcome = await runScript({
      command,
      args: [],
      variables: { VIPKEEPER_DIRECTOR: this.#director, VIPKEEPER_TRACKER: name },
      account: account.value,
      security: scriptSecurity,
      timeoutMs: timeoutUs / 1000,
      stopping: NEVER,
      abandoned: this.#abandoned.signal,
      records: this.#ports.records,
      leaveNothing: true,
      onOverdue: (detail) => {
        this.#overdue = true;
        this.runs.timeout++;
        this.#judge(detail);
      },
    });
    if (this.#abandoned.signal.aborted) return;
    if (outcome.kind === 'not-run') return this.#notRun(outcome.problem);
    this.#running = false;
    this.#ports.problem(null);
    if (this.#overdue) {
      if (outcome.kind === 'failed' && outcome.stuck) {
        this.#restUntilUs = monotonicUs() + REST_AFTER_STUCK_MS * 1000;
      }
      return;
    }
    this.runs[outcome.kind]++;
    this.#judge(outcome.kind === 'succeeded' ? null : withOutput(outcome.detail, outcome.output));
  }

  #notRun(problem: Problem): void {
    this.#running = false;
    this.runs['not-run']++;
    this.#ports.problem(problem);
    this.#judge(problem.message);
  }

  /** Counts one run: null for a success, else what went wrong. */
  #judge(failure: string | null): void {
    if (this.#abandoned.signal.aborted) return;
    const atUs = monotonicUs();
    const event =
      failure === null
        ? ({ kind: 'succeeded', atUs } as const)
        : ({ kind: 'failed', atUs, reason: probeFailure('cannot-run', failure) } as const);
    this.#state = step(this.#state, this.#config, event).state;
    this.#tell();
  }

  #tell(): void {
    const { status, lastFailure } = this.#state;
    const up = status === 'up';
    const detail = up ? 'ended with exit status 0' : (lastFailure?.detail ?? NOT_YET);
    this.#ports.set({ up, value: null, detail });
  }
}

const NOT_YET = 'has not succeeded yet';
const NEVER = new AbortController().signal;

function firstState(config: Script): CheckState {
  const state = initialCheckState(monotonicUs());
  return config.initFail ? { ...state, status: 'down' } : state;
}

/** What a script says of its own failure is the best explanation there is: its last line. */
function withOutput(detail: string, output: string): string {
  const last = output.slice(output.lastIndexOf('\n') + 1).trim();
  return last === '' ? detail : `${detail}: ${last}`;
}

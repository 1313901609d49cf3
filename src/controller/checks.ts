/**
 * Runs all checks of a configuration: each (server, question, timing) once, however many services
 * use it. What decides is in core/health; this is the shell with the sockets and the one timer.
 * At most one run of a check is in flight, and a bounded number of all, of those that start
 * processes fewer; a check that comes late because of that, or because its run outlasts its
 * interval, skips slots, which are counted. Results of a check that was removed meanwhile are
 * dropped. A check may be told to run at once, when what it asks about is known to have changed.
 *
 *   queue of due checks --timer--> in flight (bounded) --result--> step() --> ports
 *          ^                                               |
 *          +----------------- next slot -------------------+
 */
import { assert } from '../core/assert.ts';
import { type CheckConfig, connectionsOf } from '../core/config/check.ts';
import type { CheckDefinition, CheckTarget } from '../core/health/check-key.ts';
import type { CheckChange, CheckState, CheckStatus } from '../core/health/check-state.ts';
import { initialCheckState, isConfirming, step } from '../core/health/check-state.ts';
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { firstStartUs, nextRun, placeUs } from '../core/health/schedule.ts';
import { LargeMap } from '../core/large-map.ts';
import { descriptorsMax } from '../linux/limits.ts';
import type { SessionLook } from '../probes/bfd.ts';
import type { GiveUp, Probe } from '../probes/probe.ts';
import { createProbe } from '../probes/probe.ts';
import type { CommandRunner } from '../probes/script.ts';
import { TrustStore } from '../probes/trust-store.ts';
import { EndingCommands, runCheckCommand, slowOnly } from './check-command.ts';
import { DueRuns } from './due-runs.ts';
import type { ScriptRecords } from './notify/left-scripts.ts';

/**
 * Runs in flight at once: as many as may time out together when a part of the network is gone, so
 * that servers elsewhere are not checked late. Never more than the descriptors that there are,
 * less what the rest of the controller needs.
 */
export const CONCURRENT_RUNS_MAX = 4_096;
const DESCRIPTORS_RESERVED = 256;
/** Runs at once that start a process. */
export const CONCURRENT_COMMANDS_MAX = 64;

/** CONCURRENT_RUNS_MAX, or what the descriptors of this process allow, at least 1. */
export function concurrentRunsMax(): number {
  return Math.min(CONCURRENT_RUNS_MAX, Math.max(1, descriptorsMax() - DESCRIPTORS_RESERVED));
}

export interface CheckRunnerOptions {
  /** concurrentRunsMax() unless told otherwise. */
  readonly concurrentRunsMax?: number;
  /** Tells of BFD sessions; without it, checks by them fail. */
  readonly session?: SessionLook;
  /** Where it is kept which commands run, for whoever comes after a crash. */
  readonly records?: ScriptRecords;
}

export interface CheckResultReport {
  readonly key: string;
  readonly kind: CheckDefinition['check']['kind'];
  readonly target: CheckTarget;
  readonly result: ProbeResult;
  /** Monotonic microseconds. */
  readonly atUs: number;
  readonly skippedSlots: number;
}

export interface CheckChangeReport {
  readonly key: string;
  readonly kind: CheckDefinition['check']['kind'];
  readonly target: CheckTarget;
  readonly atUs: number;
  readonly change: CheckChange;
}

/** Called in this order for one run: onResult, then onChange if the status changed. */
export interface CheckRunnerPorts {
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
  readonly onResult: (report: CheckResultReport) => void;
  readonly onChange: (report: CheckChangeReport) => void;
  /** The weight that a check asks for is another one. */
  readonly onWeight: (key: string) => void;
  /** Receives what should never happen: exceptions of probes, which never throw, or of ports. */
  readonly onDefect: (error: unknown) => void;
}

export interface CheckSnapshot {
  readonly key: string;
  readonly kind: CheckDefinition['check']['kind'];
  readonly target: CheckTarget;
  readonly status: CheckStatus;
  readonly sinceUs: number;
  /** Results of the same kind in a row. */
  readonly successes: number;
  readonly failures: number;
  readonly lastFailure: (ProbeFailure & { readonly atUs: number }) | null;
  /** null before the first result. */
  readonly lastDurationUs: number | null;
  /** Slots that were skipped since the check was configured. */
  readonly skippedSlots: number;
}

/** What is known of a check. */
export interface CheckMemory {
  state: CheckState;
  lastDurationUs: number | null;
  /** Of the latest success. */
  weight: number | null;
  skippedSlots: number;
}

interface RunningCheck extends CheckMemory {
  readonly definition: CheckDefinition;
  readonly probe: Probe;
  /** Told of the end of each run. */
  readonly done: (result: ProbeResult | null) => void;
  /** Its place in the grid of its interval. */
  readonly atPlaceUs: number;
  /** What was due last. */
  dueUs: number;
  /** Of the run in flight. */
  giveUp: GiveUp | null;
  removed: boolean;
  /** To be run once more, at once, when the run in flight has ended. */
  again: boolean;
}

/** Adds a result to what is known of a check, and tells the ports. */
export function applyResult(
  { key, target, check }: CheckDefinition,
  memory: CheckMemory,
  { result, atUs }: { readonly result: ProbeResult; readonly atUs: number },
  ports: Pick<CheckRunnerPorts, 'onResult' | 'onChange' | 'onWeight'>,
): void {
  const { kind, rise, fall } = check;
  const { state, change } = step(
    memory.state,
    { rise, fall },
    result.ok ? { kind: 'succeeded', atUs } : { kind: 'failed', atUs, reason: result.failure },
  );
  memory.state = state;
  memory.lastDurationUs = result.durationUs;
  const weight = result.ok ? (result.weight ?? null) : memory.weight;
  const otherWeight = weight !== memory.weight;
  memory.weight = weight;
  ports.onResult({ key, kind, target, result, atUs, skippedSlots: memory.skippedSlots });
  if (change !== null) ports.onChange({ key, kind, target, atUs, change });
  if (change === null && otherWeight) ports.onWeight(key);
}

/** What is known of a check, for people. */
export function checkSnapshot(
  { key, check, target }: CheckDefinition,
  { state, lastDurationUs, skippedSlots }: CheckMemory,
): CheckSnapshot {
  return {
    key,
    kind: check.kind,
    target,
    status: state.status,
    sinceUs: state.sinceUs,
    successes: state.successes,
    failures: state.failures,
    lastFailure: state.lastFailure,
    lastDurationUs,
    skippedSlots,
  };
}

export class CheckRunner {
  readonly #ports: CheckRunnerPorts;
  readonly #session: SessionLook | undefined;
  readonly #runCommand: CommandRunner;
  readonly #endingCommands = new EndingCommands();
  readonly #trust = new TrustStore();
  readonly #checks = new LargeMap<RunningCheck>();
  readonly #sockets: DueRuns<RunningCheck>;
  readonly #commands: DueRuns<RunningCheck>;
  /** What is known here already: it waits for nothing that takes its time. */
  readonly #looks: DueRuns<RunningCheck>;
  #stopped = false;

  constructor(options: CheckRunnerOptions, ports: CheckRunnerPorts) {
    this.#ports = ports;
    this.#session = options.session;
    const records = options.records === undefined ? undefined : slowOnly(options.records);
    this.#runCommand = (check, settings) =>
      runCheckCommand(check, settings, records, this.#endingCommands);
    const runs = {
      nowUs: ports.nowUs,
      start: (check: RunningCheck, dueUs: number) => this.#start(check, dueUs),
      places: ({ definition }: RunningCheck) => connectionsOf(definition.check),
    };
    const most = options.concurrentRunsMax ?? concurrentRunsMax();
    this.#sockets = new DueRuns(most, runs);
    this.#commands = new DueRuns(Math.min(most, CONCURRENT_COMMANDS_MAX), runs);
    this.#looks = new DueRuns(most, runs);
  }

  get #allRuns(): readonly DueRuns<RunningCheck>[] {
    return [this.#sockets, this.#commands, this.#looks];
  }

  /**
   * Begins to run these, of which none runs, after start(). `known` tells what is known of a check
   * already; null for nothing.
   */
  add(definition: CheckDefinition, known: CheckMemory | null): void {
    assert(!this.#stopped, 'A stopped runner gets no checks');
    const { key } = definition;
    const nowUs = this.#ports.nowUs();
    const check: RunningCheck = {
      definition,
      probe: this.#probe(definition),
      done: (result) => this.#ended(check, result),
      atPlaceUs: placeUs(key, definition.check.intervalUs),
      dueUs: nowUs,
      giveUp: null,
      removed: false,
      again: false,
      state: known?.state ?? initialCheckState(nowUs),
      lastDurationUs: known?.lastDurationUs ?? null,
      weight: known?.weight ?? null,
      skippedSlots: 0,
    };
    this.#checks.set(key, check);
    const { intervalUs, startSpreadUs } = definition.check;
    const startUs = firstStartUs(key, intervalUs, startSpreadUs, nowUs);
    this.#runsOf(definition.check).add(startUs, check);
  }

  /** Those that were added run when they are due. */
  start(): void {
    if (!this.#stopped) for (const runs of this.#allRuns) runs.pump();
  }

  /** Ends these, if they run. Nothing more is told of them. */
  remove(keys: Iterable<string>): void {
    let removed = false;
    for (const key of keys) {
      const check = this.#checks.get(key);
      if (check === undefined) continue;
      this.#checks.delete(key);
      remove(check);
      removed = true;
    }
    if (!removed) return;
    for (const runs of this.#allRuns) runs.keep((check) => !check.removed);
    this.start();
  }

  /** Runs these now instead of when they are due; one that is in flight runs once more. */
  runNow(matches: (definition: CheckDefinition) => boolean): void {
    if (this.#stopped) return;
    const found = new Set<RunningCheck>();
    for (const check of this.#checks.values()) {
      if (!matches(check.definition)) continue;
      if (check.giveUp !== null) check.again = true;
      else found.add(check);
    }
    if (found.size === 0) return;
    const nowUs = this.#ports.nowUs();
    for (const runs of this.#allRuns) runs.keep((check) => !found.has(check));
    for (const check of found) this.#runsOf(check.definition.check).add(nowUs, check);
    for (const runs of this.#allRuns) runs.pump();
  }

  /** All checks. */
  snapshot(): CheckSnapshot[] {
    return [...this.#checks.values()].map((check) => checkSnapshot(check.definition, check));
  }

  /** What is known of a check; null when there is none with this key. */
  memory(key: string): CheckMemory | null {
    return this.#checks.get(key) ?? null;
  }

  /**
   * Aborts all runs; resolves when their sockets and processes are gone. Nothing is reported
   * afterwards.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const check of this.#checks.values()) remove(check);
    await Promise.all(this.#allRuns.map((runs) => runs.stop()));
    await this.#endingCommands.stop();
  }

  #probe({ check, target }: CheckDefinition): Probe {
    return createProbe(check, target, this.#trust, this.#runCommand, this.#session);
  }

  #runsOf({ kind }: CheckConfig): DueRuns<RunningCheck> {
    if (kind === 'bfd') return this.#looks;
    return kind === 'script' ? this.#commands : this.#sockets;
  }

  #start(check: RunningCheck, dueUs: number): void {
    check.dueUs = dueUs;
    check.giveUp = check.probe.start(check.done, this.#ports.onDefect);
  }

  #ended(check: RunningCheck, result: ProbeResult | null): void {
    check.giveUp = null;
    const nowUs = this.#ports.nowUs();
    if (result !== null && !check.removed) {
      try {
        applyResult(check.definition, check, { result, atUs: nowUs }, this.#ports);
      } catch (error) {
        this.#ports.onDefect(error);
      }
    }
    const runs = this.#runsOf(check.definition.check);
    runs.ended(check);
    // Also by a port that was told just now.
    if (!check.removed) runs.add(this.#nextUs(check, nowUs), check);
    runs.pump();
  }

  #nextUs(check: RunningCheck, nowUs: number): number {
    if (check.again) {
      check.again = false;
      return nowUs;
    }
    const end = { dueUs: check.dueUs, nowUs, confirming: isConfirming(check.state) };
    const slot = nextRun(check.atPlaceUs, check.definition.check, end, Math.random());
    check.skippedSlots += slot.skipped;
    return slot.atUs;
  }
}

/** Gives up what is in flight; it reports nothing more. */
function remove(check: RunningCheck): void {
  check.removed = true;
  check.giveUp?.();
}

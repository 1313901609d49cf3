/**
 * The trackers that need files, processes or other programs, and so are not the keeper's: their
 * states go to the keeper, all of them, whenever one changes. Each has a watch of its own, which
 * waits for no other. Fails closed: what cannot be looked at is down, or says what counts instead.
 */
import { assertNever } from '../../core/assert.ts';
import type { TrackerConfig } from '../../core/config/config.ts';
import type { Problem } from '../../core/problem.ts';
import type { ProcessPattern } from '../../core/process-match.ts';
import type { TrackerReport } from '../../core/status.ts';
import { serviceQuorum, type WeighedServer } from '../../core/vrrp/quorum.ts';
import type { TrackerState } from '../../core/vrrp/tracking.ts';
import type { ScriptRecords } from '../notify/left-scripts.ts';
import { FileWatch } from './file-watch.ts';
import { ProcessTable } from './process-table.ts';
import { ProcessWatch } from './process-watch.ts';
import { ScriptWatch } from './script-watch.ts';
import type { Watch, WatchPorts } from './watch.ts';

export interface TrackerPorts {
  /** States of all trackers that are known, after one changed. */
  readonly onStates: (states: Readonly<Record<string, TrackerState>>) => void;
  readonly onChange: (name: string, state: TrackerState) => void;
  /** A tracker has a problem that it did not have before. */
  readonly onProblem: (name: string, problem: Problem) => void;
  /** How changes of processes become known. */
  readonly onProcessMode: (mode: 'events' | 'polling', why: string | null) => void;
  /** Servers of a virtual service with their configured weights and health. */
  readonly servers: (service: string) => readonly WeighedServer[];
  /** Where it is kept which scripts run, for whoever comes after a crash. */
  readonly records?: ScriptRecords;
}

interface Entry {
  config: TrackerConfig;
  /** null for those that something else looks at: the keeper, the health of services. */
  watch: Watch | null;
  state: TrackerState | null;
  sinceMs: number;
  problem: Problem | null;
}

export class Trackers {
  readonly #director: string;
  readonly #ports: TrackerPorts;
  readonly #entries = new Map<string, Entry>();
  readonly #processes: ProcessTable;
  #started = false;
  #initialise = true;

  constructor(director: string, ports: TrackerPorts) {
    this.#director = director;
    this.#ports = ports;
    this.#processes = new ProcessTable({
      onCounts: () => this.#countProcesses(),
      onMode: ports.onProcessMode,
    });
  }

  /**
   * Watches these instead of what was watched before. A tracker that has not changed goes on
   * undisturbed; one that has keeps its state until it was looked at anew. `continued`: this
   * process takes the place of one that died, so files do not get their first numbers again.
   */
  configure(configs: readonly TrackerConfig[], continued = false): void {
    const names = new Set(configs.map(({ name }) => name));
    for (const [name, entry] of this.#entries) {
      if (names.has(name)) continue;
      entry.watch?.close();
      this.#entries.delete(name);
    }
    this.#initialise = this.#started || !continued;
    for (const config of configs) this.#configureOne(config);
    this.#started = true;
    this.#configureProcesses();
    this.send();
  }

  /** Tells the keeper everything again: it may be a new one. */
  send(): void {
    const known = [...this.#entries].flatMap(([name, { state }]) =>
      state === null ? [] : [[name, state] as const],
    );
    this.#ports.onStates(Object.fromEntries(known));
  }

  /** The health of a virtual service's servers changed. */
  servicesChanged(): void {
    for (const { config } of this.#entries.values()) {
      if (config.kind === 'service') this.#lookAtService(config);
    }
  }

  /** All of them; `keeper` has the states of those that the keeper looks at. */
  report(keeper: Readonly<Record<string, TrackerState>>): readonly TrackerReport[] {
    return [...this.#entries.values()].map(({ config, watch, state, sinceMs, problem }) => {
      const known = state ?? keeper[config.name] ?? null;
      return {
        name: config.name,
        kind: config.kind,
        up: known?.up ?? null,
        value: known?.value ?? null,
        detail: known?.detail ?? 'not known yet',
        problem: problem === null ? null : problem.message,
        since: state === null ? null : new Date(sinceMs).toISOString(),
        runs: watch?.runs === undefined ? null : { ...watch.runs },
      };
    });
  }

  /** Ends all watches and the scripts that run. */
  close(): void {
    for (const { watch } of this.#entries.values()) watch?.close();
    this.#processes.close();
  }

  #configureOne(config: TrackerConfig): void {
    const before = this.#entries.get(config.name);
    if (before !== undefined && JSON.stringify(before.config) === JSON.stringify(config)) return;
    before?.watch?.close();
    const kept = before?.config.kind === config.kind ? before : undefined;
    const entry: Entry = {
      config,
      watch: null,
      state: kept?.state ?? null,
      sinceMs: kept?.sinceMs ?? Date.now(),
      problem: null,
    };
    this.#entries.set(config.name, entry);
    entry.watch = this.#watch(entry, before);
  }

  #watch(entry: Entry, before: Entry | undefined): Watch | null {
    const { config } = entry;
    const ports: WatchPorts = {
      set: (state) => this.#set(entry, state),
      problem: (problem) => this.#tellProblem(entry, problem),
      records: this.#ports.records,
    };
    switch (config.kind) {
      case 'interface':
      case 'bfd':
        return null; // The keeper sees links and sessions itself.
      case 'service':
        this.#lookAtService(config);
        return null;
      case 'file':
        return new FileWatch(config, before === undefined && this.#initialise, ports);
      case 'process':
        return new ProcessWatch(config, ports, entry.state?.up ?? null);
      case 'script': {
        const state = before?.watch instanceof ScriptWatch ? before.watch.state : null;
        return new ScriptWatch(config, this.#director, ports, state);
      }
      default:
        return assertNever(config);
    }
  }

  #configureProcesses(): void {
    const patterns = new Map<string, ProcessPattern>();
    let intervalUs = Number.POSITIVE_INFINITY;
    for (const { config } of this.#entries.values()) {
      if (config.kind !== 'process') continue;
      patterns.set(config.name, config);
      intervalUs = Math.min(intervalUs, config.intervalUs);
    }
    this.#processes.configure(patterns, intervalUs);
  }

  #countProcesses(): void {
    for (const [name, { watch }] of this.#entries) {
      const count = watch instanceof ProcessWatch ? this.#processes.count(name) : null;
      if (count !== null) (watch as ProcessWatch).counted(count);
    }
  }

  #lookAtService(config: Extract<TrackerConfig, { kind: 'service' }>): void {
    const entry = this.#entries.get(config.name);
    const state = serviceQuorum(this.#ports.servers(config.service), config.quorum);
    if (state !== null && entry !== undefined) this.#set(entry, state);
  }

  #set(entry: Entry, state: TrackerState): void {
    const { state: before, config } = entry;
    // A watch that was replaced has nothing to say any more.
    if (this.#entries.get(config.name) !== entry) return;
    entry.state = state;
    if (before?.up !== state.up || before.value !== state.value) {
      entry.sinceMs = Date.now();
      this.#ports.onChange(config.name, state);
    } else if (before.detail === state.detail) return;
    if (this.#started) this.send();
  }

  #tellProblem(entry: Entry, problem: Problem | null): void {
    if (this.#entries.get(entry.config.name) !== entry) return;
    const told = entry.problem?.message;
    entry.problem = problem;
    if (problem !== null && problem.message !== told) {
      this.#ports.onProblem(entry.config.name, problem);
    }
  }
}

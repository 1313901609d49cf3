/**
 * How many processes match each pattern. All of /proc is read once; from then on the kernel tells
 * what begins and ends, and only that is looked at. Where it does not tell (another namespace, no
 * CAP_NET_ADMIN), /proc is read every interval. Either way in slices, so that nothing waits for a
 * machine with many processes, and never for more than a tenth of the time.
 */
import { readdir, readFile } from 'node:fs/promises';
import {
  matchesProcess,
  type ProcessFacts,
  type ProcessPattern,
} from '../../core/process-match.ts';
import { monotonicUs } from '../../linux/clock.ts';
import { type ProcessEvent, ProcessEvents } from '../../linux/netlink/process-events.ts';
import { TURNS } from '../../linux/turns.ts';

/** Processes looked at between two turns of the event loop. */
const PROCESSES_PER_TURN = 64;
/** Reading /proc takes this part of the time at most. */
const REST_FACTOR = 10;
/** With the kernel's events, all is read again this often, against whatever was missed. */
const RESCAN_MS = 60_000;
/** More new processes than this are found sooner by reading everything. */
const CHANGED_MAX = 4_096;
/** What a process is called by is read up to here. */
const WORDS_MAX = 256;

export interface ProcessTablePorts {
  /** Something was looked at: counts may have changed. */
  readonly onCounts: () => void;
  /** Once: how changes become known; `why` where the kernel does not tell them. */
  readonly onMode: (mode: 'events' | 'polling', why: string | null) => void;
}

export class ProcessTable {
  readonly #ports: ProcessTablePorts;
  #patterns: ReadonlyMap<string, ProcessPattern> = new Map();
  /** By process id, the names of the patterns that it matches; only those that match any. */
  #matches = new Map<number, readonly string[]>();
  readonly #changed = new Set<number>();
  #events: ProcessEvents | null = null;
  #opened = false;
  #pollMs = RESCAN_MS;
  #timer: NodeJS.Timeout | null = null;
  #restTimer: NodeJS.Timeout | null = null;
  #working = false;
  #rescan = true;
  #restUntilUs = 0;
  #scanned = false;

  constructor(ports: ProcessTablePorts) {
    this.#ports = ports;
  }

  /** Looks for these instead; `intervalUs` is how often, where the kernel tells nothing. */
  configure(patterns: ReadonlyMap<string, ProcessPattern>, intervalUs: number): void {
    this.#patterns = patterns;
    this.#scanned = false;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    if (patterns.size === 0) return this.close();
    this.#open();
    this.#pollMs = this.#events === null ? intervalUs / 1000 : RESCAN_MS;
    this.#timer = setInterval(() => this.#readAgain(), this.#pollMs);
    this.#restUntilUs = 0;
    this.#readAgain();
  }

  /** How many match the pattern of this name; null until all were looked at. */
  count(name: string): number | null {
    if (!this.#scanned) return null;
    let count = 0;
    for (const names of this.#matches.values()) if (names.includes(name)) count++;
    return count;
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    if (this.#restTimer !== null) clearTimeout(this.#restTimer);
    this.#restTimer = null;
    this.#events?.close();
    this.#events = null;
    this.#opened = false;
    this.#patterns = new Map();
    this.#matches.clear();
    this.#changed.clear();
  }

  #open(): void {
    if (this.#opened) return;
    this.#opened = true;
    const opened = ProcessEvents.open({
      onEvent: (event) => this.#note(event),
      onLost: () => this.#readAgain(),
    });
    if (opened.ok) this.#events = opened.value;
    this.#ports.onMode(opened.ok ? 'events' : 'polling', opened.ok ? null : opened.error.message);
  }

  #note(event: Exclude<ProcessEvent, { kind: 'confirmed' }>): void {
    const { pid } = event;
    if (event.kind === 'ended') {
      this.#changed.delete(pid);
      if (this.#matches.delete(pid)) this.#ports.onCounts();
      // A scan may be about to find it.
      if (this.#working) this.#changed.add(pid);
      return;
    }
    if (event.kind === 'forked') {
      // A child is what its parent is until it runs something else.
      const parent = event.parent;
      if (!this.#matches.has(parent) && !this.#changed.has(parent) && !this.#working) return;
    }
    this.#changed.add(pid);
    if (this.#changed.size > CHANGED_MAX) this.#readAgain();
    else void this.#work();
  }

  #readAgain(): void {
    this.#rescan = true;
    void this.#work();
  }

  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    while (this.#patterns.size > 0) {
      if (this.#rescan && monotonicUs() >= this.#restUntilUs) await this.#readAll();
      else if (this.#changed.size > 0) await this.#readChanged();
      else break;
    }
    this.#working = false;
    if (!this.#rescan || this.#patterns.size === 0 || this.#restTimer !== null) return;
    const restMs = Math.max(0, this.#restUntilUs - monotonicUs()) / 1000;
    this.#restTimer = setTimeout(() => {
      this.#restTimer = null;
      void this.#work();
    }, restMs);
  }

  async #readAll(): Promise<void> {
    const startedUs = monotonicUs();
    this.#rescan = false;
    this.#changed.clear();
    const patterns = this.#patterns;
    const matches = new Map<number, readonly string[]>();
    const entries = await readdir('/proc').catch(() => []);
    const pids = entries.filter((entry) => /^\d+$/.test(entry)).map(Number);
    for (let start = 0; start < pids.length; start += PROCESSES_PER_TURN) {
      await this.#readSlice(pids.slice(start, start + PROCESSES_PER_TURN), matches);
    }
    const nowUs = monotonicUs();
    this.#restUntilUs = nowUs + (nowUs - startedUs) * REST_FACTOR;
    if (patterns !== this.#patterns) {
      this.#rescan = true;
      this.#restUntilUs = 0;
      return;
    }
    this.#matches = matches;
    this.#scanned = true;
    this.#ports.onCounts();
  }

  async #readChanged(): Promise<void> {
    const slice = [...this.#changed].slice(0, PROCESSES_PER_TURN);
    for (const pid of slice) this.#changed.delete(pid);
    await this.#readSlice(slice, this.#matches);
    this.#ports.onCounts();
  }

  async #readSlice(
    pids: readonly number[],
    matches: Map<number, readonly string[]>,
  ): Promise<void> {
    const patterns = [...this.#patterns];
    const found = await Promise.all(pids.map(readFacts));
    for (const [index, pid] of pids.entries()) {
      const facts = found[index] ?? null;
      const names =
        facts === null
          ? []
          : patterns.filter(([, pattern]) => matchesProcess(pattern, facts)).map(([name]) => name);
      if (names.length === 0) matches.delete(pid);
      else matches.set(pid, names);
    }
    await TURNS.nextTurn();
  }
}

/** Null for one that has ended, also while its parent has not asked how. */
async function readFacts(pid: number): Promise<ProcessFacts | null> {
  try {
    // proc_pid_stat(5): pid (name) state ...; the name may hold anything, also a parenthesis.
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
    const end = stat.lastIndexOf(')');
    const state = stat.charAt(end + 2);
    if (state === 'Z' || state === 'X') return null;
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8');
    const words = commandLine.split('\0', WORDS_MAX);
    // It ends with a NUL, unless the process wrote its own title there.
    if (words.at(-1) === '') words.pop();
    return { name: stat.slice(stat.indexOf('(') + 1, end), words };
  } catch {
    // It ended between the listing and the look.
    return null;
  }
}

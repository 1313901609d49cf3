/**
 * When the machine stood still: a virtual one does when its host gives its processors to others.
 * Then no program can send an advertisement in time, so what is measured beside it is said with
 * it. One watcher for each processor, above all that is measured (standstill-watch.ts).
 */
import { cpus } from 'node:os';
import { join } from 'node:path';
import { type Child, LabError, localMachine, REPOSITORY } from '../lab/host.ts';
import { crash } from './peers.ts';

const PROGRAM = join(REPOSITORY, 'dist/test/bench/standstill-watch.js');
/** Above the real-time priorities of keepers and of keepalived. */
const PRIORITY = 20;
/** More in one run is no machine to measure on. */
const SPANS_MAX = 100_000;

/** Milliseconds of the wall clock. */
interface Span {
  readonly fromMs: number;
  readonly toMs: number;
  readonly cpu: number;
}

export class Standstill {
  readonly #watchers: Child[] = [];
  #spans: Span[] = [];

  static async open(): Promise<Standstill> {
    const standstill = new Standstill();
    for (let cpu = 0; cpu < cpus().length; cpu++) {
      let rest = '';
      const bound = ['taskset', '-c', String(cpu), 'chrt', '--fifo', String(PRIORITY)];
      const argv = [...bound, process.execPath, '--single-threaded-gc', PROGRAM];
      const child = await localMachine.spawn(argv, {
        onStdout: (chunk) => {
          const lines = (rest + chunk.toString('utf8')).split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) standstill.#take(line, cpu);
        },
      });
      standstill.#watchers.push(child);
    }
    return standstill;
  }

  #take(line: string, cpu: number): void {
    const [fromMs, toMs] = line.split(' ').map(Number);
    if (fromMs === undefined || toMs === undefined) throw new LabError(`No span: ${line}`);
    if (this.#spans.length < SPANS_MAX) this.#spans.push({ fromMs, toMs, cpu });
  }

  /** Forgets what was seen. */
  clear(): void {
    this.#spans = [];
  }

  /** How long a processor stood still at the longest, in ms. */
  get longestMs(): number {
    return this.#spans.reduce((most, { fromMs, toMs }) => Math.max(most, toMs - fromMs), 0);
  }

  /**
   * For how long of that time, in ms of the wall clock, this processor stood still, or with null one
   * of them or more.
   */
  within(fromMs: number, toMs: number, cpu: number | null = null): number {
    const spans = this.#spans
      .filter((span) => span.toMs > fromMs && span.fromMs < toMs)
      .filter((span) => cpu === null || span.cpu === cpu)
      .sort((left, right) => left.fromMs - right.fromMs);
    let sumMs = 0;
    let coveredMs = fromMs;
    for (const span of spans) {
      const startMs = Math.max(coveredMs, span.fromMs);
      const endMs = Math.min(toMs, span.toMs);
      if (endMs <= startMs) continue;
      sumMs += endMs - startMs;
      coveredMs = endMs;
    }
    return sumMs;
  }

  async close(): Promise<void> {
    for (const child of this.#watchers) await crash(child);
  }
}

/**
 * Loaded into every process of a director (NODE_OPTIONS=--import) and active in the controller's
 * main thread alone: gives it an IPVS table in memory where the kernel has none, and measures the
 * turns of its event loop. Whoever connects to the socket named by VIPKEEPER_BENCH_MONITOR is told in
 * one JSON line what was measured since the last time.
 */
import { createServer } from 'node:net';
import { PerformanceObserver } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';
import koffi from 'koffi';
import type { MemoryIpvs } from './memory-ipvs.ts';

export interface Collections {
  readonly count: number;
  readonly maxMs: number;
}

/** A turn of the event loop. */
export interface LongTurn {
  /** Milliseconds of the wall clock. */
  readonly fromMs: number;
  readonly toMs: number;
  /** CPU time of its thread. */
  readonly cpuMs: number;
  /** The processor that it began and ended on; null when it had more than one. */
  readonly cpu: number | null;
}

export interface PausesReport {
  readonly pid: number;
  /** Of the longest turn of the event loop by each clock; CPU time is that of its thread. */
  readonly longest: { readonly wallMs: number; readonly cpuMs: number };
  /** Those with LISTED_MS of CPU time and more. */
  readonly turns: readonly LongTurn[];
  /** CPU time of the longest turn while Node loaded the program; null when that was told before. */
  readonly loadingMs: number | null;
  /** Of garbage, by their kinds; by the wall clock. */
  readonly collections: Readonly<Record<string, Collections>>;
  readonly rssMiB: number;
  /** Entries in the table. */
  readonly services: number;
  readonly servers: number;
}

export const MONITOR_VARIABLE = 'VIPKEEPER_BENCH_MONITOR';
/** From this CPU time on a turn is told by itself, and so many of them. */
const LISTED_MS = 4;
const TURNS_MAX = 20_000;
const TICK_MS = 1;
/** The program is loaded when it has had nothing to do for so long: it waits for its configuration. */
const LOADED_MS = 200;
/** CPU time of a turn in which it had something to do. */
const BUSY_MS = 1;
/** clock_gettime(2), include/uapi/linux/time.h */
const CLOCK_THREAD_CPUTIME_ID = 3;
const SERVICES_MAX = 65_536;
const COLLECTIONS: Readonly<Record<number, string>> = {
  1: 'scavenge',
  2: 'minor',
  4: 'mark-compact',
  8: 'incremental',
  16: 'weak callbacks',
};

async function giveTable(): Promise<MemoryIpvs> {
  const [{ NetlinkSocket }, { NETLINK_GENERIC }, memory, { ok }] = await Promise.all([
    import('../../src/linux/netlink/socket.ts'),
    import('../../src/linux/netlink/genl.ts'),
    import('./memory-ipvs.ts'),
    import('../../src/core/result.ts'),
  ]);
  const table = new memory.MemoryIpvs(SERVICES_MAX, 2 * SERVICES_MAX);
  const open = NetlinkSocket.open;
  NetlinkSocket.open = (protocol, options) =>
    protocol === NETLINK_GENERIC
      ? ok(new memory.MemoryNetlink(table) as unknown as InstanceType<typeof NetlinkSocket>)
      : open(protocol, options);
  return table;
}

async function monitor(path: string): Promise<void> {
  const { clockGettimeUs } = await import('../../src/linux/libc.ts');
  const table = await giveTable();
  let [longest, turns, collections] = nothing();
  const processor = koffi.load(null).func('int sched_getcpu()') as () => number;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind } = (entry as unknown as { readonly detail: { readonly kind: number } }).detail;
      const name = COLLECTIONS[kind] ?? `kind ${kind}`;
      const { count, maxMs } = collections[name] ?? { count: 0, maxMs: 0 };
      collections[name] = { count: count + 1, maxMs: Math.max(maxMs, entry.duration) };
    }
  }).observe({ entryTypes: ['gc'] });
  let [beforeMs, cpuBeforeMs, processorBefore] = [0, 0, -1];
  let busyAtMs = performance.now();
  let loaded = false;
  let loadingMs: number | null = null;
  // Between two calls of the timer there is one long turn at most.
  setInterval(() => {
    const [nowMs, cpuNowMs] = [performance.now(), clockGettimeUs(CLOCK_THREAD_CPUTIME_ID) / 1e3];
    const [wallMs, cpuMs] = [nowMs - beforeMs, cpuNowMs - cpuBeforeMs];
    longest.wallMs = Math.max(longest.wallMs, wallMs);
    longest.cpuMs = Math.max(longest.cpuMs, cpuMs);
    const processorNow = processor();
    if (cpuMs >= LISTED_MS && turns.length < TURNS_MAX) {
      const cpu = processorNow === processorBefore ? processorNow : null;
      const toMs = performance.timeOrigin + nowMs;
      turns.push({ fromMs: toMs - wallMs, toMs, cpuMs, cpu });
    }
    [beforeMs, cpuBeforeMs, processorBefore] = [nowMs, cpuNowMs, processorNow];
    if (loaded) return;
    if (cpuMs > BUSY_MS) busyAtMs = nowMs;
    if (nowMs - busyAtMs < LOADED_MS) return;
    [loaded, loadingMs] = [true, longest.cpuMs];
    [longest, turns, collections] = nothing();
  }, TICK_MS).unref();
  const report = (): PausesReport => {
    const [none, noTurns, empty] = nothing();
    // What is measured while the program is loaded is told by itself, when that is over.
    const measured = loaded
      ? { longest, loadingMs, turns, collections }
      : { longest: none, loadingMs, turns: noTurns, collections: empty };
    if (loaded) {
      loadingMs = null;
      [longest, turns, collections] = nothing();
    }
    return {
      ...measured,
      pid: process.pid,
      rssMiB: process.memoryUsage.rss() / 2 ** 20,
      services: table.services.count,
      servers: table.servers.count,
    };
  };
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(`${JSON.stringify(report())}\n`);
  });
  server.on('error', (error) => process.stderr.write(`${String(error)}\n`));
  server.listen(`${path}.${process.pid}`);
  server.unref();
}

function nothing(): [{ wallMs: number; cpuMs: number }, LongTurn[], Record<string, Collections>] {
  return [{ wallMs: 0, cpuMs: 0 }, [], {}];
}

const path = process.env[MONITOR_VARIABLE];
const isController = process.argv[1]?.endsWith('/controller-main.js') === true;
if (path !== undefined && isController && isMainThread) await monitor(path);

/**
 * A sweep: seed after seed on as many threads as asked for, until all have run, one has failed
 * or the time is over. What it says of a seed does not depend on threads or time.
 */
import { Worker } from 'node:worker_threads';
import { generate } from '../../src/core/sim/generate.ts';
import { simulate } from '../../src/core/sim/simulate.ts';

/** A second's work or so: short enough to end in time, long enough for messages not to matter. */
const BATCH_SEEDS = 50;

export interface SweepOptions {
  readonly first: number;
  readonly seeds: number;
  readonly threads: number;
  /** No new batch is begun after this time. */
  readonly budgetMs: number;
  readonly onProgress: (ran: number) => void;
}

export interface SweepSums {
  ran: number;
  simulatedUs: number;
  /** Time in which the LAN was at rest, and the strongest invariants applied. */
  restUs: number;
  takeovers: number;
  /** Seeds that violate an invariant. */
  failed: number[];
}

/** Runs `count` seeds from `first` on, in this thread; ends with the first that fails. */
export function runBatch(first: number, count: number): SweepSums {
  const sums = noSums();
  for (let seed = first; seed < first + count && sums.failed.length === 0; seed++) {
    const { violations, statistics } = simulate({ scenario: generate(seed), trace: 'none' });
    sums.ran++;
    sums.simulatedUs += statistics.simulatedUs;
    sums.restUs += statistics.restUs;
    sums.takeovers += statistics.takeovers;
    if (violations.length > 0) sums.failed.push(seed);
  }
  return sums;
}

function noSums(): SweepSums {
  return { ran: 0, simulatedUs: 0, restUs: 0, takeovers: 0, failed: [] };
}

/** Runs the whole sweep; rejects when a thread dies. */
export async function sweep(options: SweepOptions): Promise<SweepSums> {
  const sums = noSums();
  const untilMs = performance.now() + options.budgetMs;
  let next = options.first;
  const end = options.first + options.seeds;
  const runThread = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./sweep-worker.js', import.meta.url));
      const giveOrEnd = (): void => {
        if (next >= end || sums.failed.length > 0 || performance.now() > untilMs) {
          worker.terminate().then(() => resolve(), reject);
          return;
        }
        const count = Math.min(BATCH_SEEDS, end - next);
        worker.postMessage({ first: next, count });
        next += count;
      };
      worker.on('error', reject);
      worker.on('message', (batch: SweepSums) => {
        sums.ran += batch.ran;
        sums.simulatedUs += batch.simulatedUs;
        sums.restUs += batch.restUs;
        sums.takeovers += batch.takeovers;
        sums.failed.push(...batch.failed);
        options.onProgress(sums.ran);
        giveOrEnd();
      });
      giveOrEnd();
    });
  await Promise.all(Array.from({ length: options.threads }, runThread));
  sums.failed.sort((left, right) => left - right);
  return sums;
}

/**
 * A worker thread of check-pool.ts: runs its share of the checks and tells the results, those that
 * may change something at once, the others in batches.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../core/assert.ts';
import { monotonicUs } from '../linux/clock.ts';
import type { FromCheckWorker, ToCheckWorker, WorkerResult } from './check-pool.ts';
import { CheckRunner } from './checks.ts';

/** How old a result may get before it is told, and how many are told together. */
const BATCH_DELAY_MS = 50;
const BATCH_MAX = 256;

assert(parentPort !== null, 'This file is a worker');
const port = parentPort;
let waiting: WorkerResult[] = [];
let timer: NodeJS.Timeout | null = null;

const tell = (message: FromCheckWorker): void => port.postMessage(message);

function flush(): void {
  if (timer !== null) clearTimeout(timer);
  timer = null;
  if (waiting.length === 0) return;
  tell({ kind: 'results', results: waiting });
  waiting = [];
}

const runner = new CheckRunner(workerData as { concurrentRunsMax: number }, {
  nowUs: monotonicUs,
  onResult: ({ key, result, atUs, skippedSlots }) => {
    const failure = result.ok ? null : result.failure;
    const weight = result.ok ? (result.weight ?? null) : null;
    waiting.push([key, atUs, result.durationUs, skippedSlots, failure, weight]);
    if (waiting.length >= BATCH_MAX) return flush();
    timer ??= setTimeout(flush, BATCH_DELAY_MS);
  },
  onChange: flush,
  onWeight: flush,
  onDefect: (error) =>
    tell({ kind: 'defect', message: error instanceof Error ? `${error.stack}` : String(error) }),
});

async function stop(): Promise<void> {
  await runner.stop();
  tell({ kind: 'stopped' });
  port.close();
}

port.on('message', (message: ToCheckWorker) => {
  if (message.kind === 'stop') return void stop();
  runner.remove(message.remove);
  for (const [definition, memory] of message.add) runner.add(definition, memory);
  runner.start();
});

tell({ kind: 'ready' });

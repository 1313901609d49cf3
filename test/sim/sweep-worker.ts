/** One thread of a sweep: runs the seeds that it is given, a batch at a time. */
import { parentPort } from 'node:worker_threads';
import { runBatch } from './sweep.ts';

const port = parentPort;
if (port === null) throw new Error('This file is started by a sweep');
port.on('message', (batch: { readonly first: number; readonly count: number }) => {
  port.postMessage(runBatch(batch.first, batch.count));
});

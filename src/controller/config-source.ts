/** Reads the configuration file without keeping the parsers in memory: see config-worker.ts. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { ConfigError } from '../config/errors.ts';
import type { Config } from '../core/config/config.ts';
import type { Result } from '../core/result.ts';

export interface ConfigRequest {
  readonly path: string;
  /** Name of this director; null for the host's. */
  readonly director: string | null;
}

export interface ConfigAnswer {
  readonly result: Result<Config, readonly ConfigError[]>;
  /** Values that are allowed but probably mistakes. */
  readonly warnings: readonly ConfigError[];
}

export async function readConfig(request: ConfigRequest): Promise<ConfigAnswer> {
  const worker = new Worker(new URL('./config-worker.js', import.meta.url), {
    workerData: request,
  });
  // 'error' rejects: a defect of the reader, which the entry reports as such.
  const [answer] = (await once(worker, 'message')) as [ConfigAnswer];
  await worker.terminate();
  return answer;
}

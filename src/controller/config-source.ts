/**
 * Reads the configuration in a process of its own, which ends afterwards (see config-worker.ts):
 * the parsers and the schema are needed for a moment, and would double the controller's memory
 * for years. A thread would not do: its allocator's and V8's pages stay with the process.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ConfigError } from '../config/errors.ts';
import type { Config } from '../core/config/config.ts';
import type { Result } from '../core/result.ts';

const READER = fileURLToPath(new URL('./config-worker.js', import.meta.url));

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

/** Rejects when the reader ends without an answer: a defect, or no process to be had. */
export function readConfig(request: ConfigRequest): Promise<ConfigAnswer> {
  // 'advanced' is structured cloning: a Config has values that JSON has no words for.
  const reader = fork(READER, [JSON.stringify(request)], {
    execArgv: [],
    serialization: 'advanced',
  });
  return new Promise((resolve, reject) => {
    reader.once('message', (answer) => resolve(answer as ConfigAnswer));
    reader.once('error', reject);
    reader.once('exit', (code, signal) => {
      reject(new Error(`The reader of the configuration ended with ${signal ?? code}`));
    });
  });
}

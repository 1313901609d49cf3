/**
 * Reads the configuration in a thread of its own, which ends afterwards: the parsers and the
 * schema are needed for a moment, and would otherwise double the controller's memory for years.
 */
import { hostname } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import type { ConfigError } from '../config/errors.ts';
import { readConfigFile } from '../config/yaml.ts';
import type { ConfigAnswer, ConfigRequest } from './config-source.ts';

const { path, director } = workerData as ConfigRequest;
const warnings: ConfigError[] = [];
const result = await readConfigFile(path, {
  director,
  hostname: hostname(),
  onWarning: (warning) => warnings.push(warning),
});
const answer: ConfigAnswer = { result, warnings };
parentPort?.postMessage(answer);

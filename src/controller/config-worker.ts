/**
 * A process that reads the configuration for its parent and ends: see config-source.ts. Its one
 * argument is the ConfigRequest as JSON.
 */
import { hostname } from 'node:os';
import type { ConfigError } from '../config/errors.ts';
import { readConfigFile } from '../config/yaml.ts';
import type { ConfigAnswer, ConfigRequest } from './config-source.ts';

const { path, director } = JSON.parse(process.argv[2] ?? '') as ConfigRequest;
const warnings: ConfigError[] = [];
const result = await readConfigFile(path, {
  director,
  hostname: hostname(),
  onWarning: (warning) => warnings.push(warning),
});
const answer: ConfigAnswer = { result, warnings };
process.send?.(answer, () => process.disconnect());

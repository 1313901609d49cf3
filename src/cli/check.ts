/**
 * `vipkeeper check FILE`: reads a configuration as the daemon would, prints a summary or every
 * error with its place, and changes nothing. The reader is loaded only when it is needed.
 */
import { hostname } from 'node:os';
import type { ConfigError } from '../config/errors.ts';
import type { Config } from '../core/config/config.ts';

export interface CheckOptions {
  /** Print one JSON document to stdout, whatever the outcome. */
  readonly json?: boolean;
  /** Director to check for; default: the file's own, else the host's short name. */
  readonly director?: string;
}

export interface CommandIo {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
}

/** Exit codes: 0 valid, 1 errors in the file, 2 the command cannot be carried out. */
export async function check(file: string, options: CheckOptions, io: CommandIo): Promise<number> {
  const { readConfigFile } = await import('../config/yaml.ts');
  const { formatConfigErrors } = await import('../config/errors.ts');
  const { NAME_PATTERN } = await import('../config/values.ts');
  if (options.director !== undefined && !NAME_PATTERN.test(options.director)) {
    io.stderr.write(`vipkeeper check: ${JSON.stringify(options.director)} is no director’s name\n`);
    return 2;
  }
  const warnings: ConfigError[] = [];
  const result = await readConfigFile(file, {
    director: options.director ?? null,
    hostname: hostname(),
    looksAtFiles: true,
    onWarning: (warning) => warnings.push(warning),
  });
  const color = io.stderr.isTTY === true;
  if (result.ok) {
    const summary = summarize(file, result.value);
    if (options.json) io.stdout.write(`${JSON.stringify({ ...summary, warnings })}\n`);
    else {
      const noted = warnings.map((warning) => ({
        ...warning,
        message: `warning: ${warning.message}`,
      }));
      io.stderr.write(formatConfigErrors(noted, { color }));
      io.stdout.write(`${summaryText(summary)}\n`);
    }
    return 0;
  }
  const errors = result.error;
  if (options.json) io.stdout.write(`${JSON.stringify({ file, valid: false, errors })}\n`);
  else io.stderr.write(formatConfigErrors(errors, { color }));
  return errors.some((error) => error.code === 'VK-CONFIG-READ') ? 2 : 1;
}

function summarize(file: string, config: Config) {
  return {
    file,
    valid: true,
    director: config.director,
    vrrpInstances: config.vrrp.length,
    services: config.services.length,
    realServers: config.services.reduce((sum, service) => sum + service.servers.length, 0),
  };
}

function summaryText(summary: ReturnType<typeof summarize>): string {
  const counts = [
    counted(summary.vrrpInstances, 'VRRP instance'),
    counted(summary.services, 'service'),
    counted(summary.realServers, 'real server'),
  ];
  return `${summary.file}: valid: ${counts.join(', ')} (director ${summary.director})`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

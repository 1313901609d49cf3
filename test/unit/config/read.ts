/**
 * Shorthands of the configuration tests: read a text as director dir-a of file f.yaml, and
 * either the Config or the error lines.
 */
import { formatConfigErrors } from '../../../src/config/errors.ts';
import { readConfigText } from '../../../src/config/yaml.ts';
import type { Config } from '../../../src/core/config/config.ts';

export const REPOSITORY = new URL('../../../', import.meta.url);

export function readAs(text: string, director: string | null = 'dir-a') {
  return readConfigText(text, { file: 'f.yaml', director, hostname: 'host-1.example.org' });
}

/** The Config; fails the test with the error lines when there is none. */
export function configOf(text: string, director: string | null = 'dir-a'): Config {
  const result = readAs(text, director);
  if (!result.ok) throw new Error(formatConfigErrors(result.error, { color: false }));
  return result.value;
}

/** The lines of the errors; [] for a valid text. */
export function errorLines(text: string, director: string | null = 'dir-a'): string[] {
  const result = readAs(text, director);
  if (result.ok) return [];
  return formatConfigErrors(result.error, { color: false }).trimEnd().split('\n');
}

/**
 * ConfigError: what is wrong with a configuration file, and exactly where. Readers return all
 * errors of a file at once, in the file's order; formatting happens here and nowhere else.
 */
import { formatProblem, type ProblemCode } from '../core/problem.ts';

export interface ConfigError {
  readonly code: Extract<ProblemCode, 'VK-CONFIG-READ' | 'VK-CONFIG-SYNTAX' | 'VK-CONFIG-INVALID'>;
  readonly file: string;
  /** 1-based; columns count UTF-16 units, as editors do. */
  readonly line: number;
  readonly column: number;
  /** Where in the configuration: 'services.web.servers[1].weight'; '' for the file itself. */
  readonly path: string;
  /** What is expected or what is wrong, lower case, no final period. */
  readonly message: string;
  /** The offending text, shortened; null where it would add nothing. */
  readonly found: string | null;
}

/** Most errors that one reading returns: nobody reads more, and a broken file may hold millions. */
export const ERRORS_MAX = 1000;

export interface FormatOptions {
  /** Highlight with ANSI escapes, for terminals. */
  readonly color: boolean;
}

/**
 * One error as one line, without line end: `file:line:col: path: message, found X`. A file that
 * cannot be read at all has no such place: it is a problem like any other, with code and cure.
 */
export function formatConfigError(error: ConfigError, options: FormatOptions): string {
  if (error.code === 'VK-CONFIG-READ') {
    return formatProblem({
      code: error.code,
      message: `The configuration file ${error.file} ${error.message}`,
      cure: `Check it with \`ls -l ${error.file}\`, or name another file`,
    });
  }
  const [bold, red, reset] = options.color
    ? ['\u001b[1m', '\u001b[31m', '\u001b[0m']
    : ['', '', ''];
  const place = `${bold}${error.file}:${error.line}:${error.column}:${reset}`;
  const path = error.path === '' ? '' : ` ${error.path}:`;
  const found = error.found === null ? '' : `, found ${red}${error.found}${reset}`;
  return `${place}${path} ${error.message}${found}`;
}

/** All errors, one a line, with a final line end; '' for none. */
export function formatConfigErrors(errors: readonly ConfigError[], options: FormatOptions): string {
  return errors.map((error) => `${formatConfigError(error, options)}\n`).join('');
}

/** The errors in the file's order, without repetitions, at most ERRORS_MAX and a note. */
export function arrangeErrors(errors: readonly ConfigError[]): ConfigError[] {
  const unique = new Map<string, ConfigError>();
  for (const error of errors) unique.set(formatConfigError(error, { color: false }), error);
  const sorted = [...unique.values()].sort(
    (left, right) => left.line - right.line || left.column - right.column,
  );
  const next = sorted[ERRORS_MAX];
  if (next === undefined) return sorted;
  const message = `${sorted.length - ERRORS_MAX} more errors from here on`;
  return [...sorted.slice(0, ERRORS_MAX), { ...next, path: '', message, found: null }];
}

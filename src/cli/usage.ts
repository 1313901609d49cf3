/**
 * Command lines that are not understood: their problem in one sentence, and the error that
 * carries it out of a parser to the top. `run` loads this: it imports next to nothing.
 */
import { NAME_PATTERN } from '../config/values.ts';
import type { Problem } from '../core/problem.ts';

/** What is read where no configuration is named. */
export const DEFAULT_CONFIG = '/etc/vipkeeper/vipkeeper.yaml';

/** Thrown where a command line turns out wrong; ends the process with EXIT.usage. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly problem: Problem;

  /** `command`: the one whose help tells more, or null for the overview. */
  constructor(message: string, command: string | null, cure?: string) {
    super(message);
    const help = command === null ? 'vipkeeper --help' : `vipkeeper ${command} --help`;
    this.problem = {
      code: 'VK-USAGE',
      message,
      cure: cure ?? `See \`${help}\``,
    };
  }
}

/** Throws UsageError unless `name` may be a director's. */
export function checkDirectorName(name: string | undefined, command: string): void {
  if (name === undefined || NAME_PATTERN.test(name)) return;
  throw new UsageError(
    `${JSON.stringify(name)} cannot be the name of a director`,
    command,
    'Give --director a name of at most 63 letters, digits, _ . and -',
  );
}

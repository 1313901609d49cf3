/**
 * Which processes a process tracker counts. A name without a slash is the process's own name or
 * the last part of its program's path; a path is the whole first word of its command line. Given
 * arguments must be there: exactly, as the first ones, or as the first ones of which the last may
 * go on (keepalived.conf(5): param_match).
 */

export type ArgumentsMatch = 'exact' | 'initial' | 'partial';

export interface ProcessPattern {
  readonly process: string;
  /** null for any. */
  readonly arguments: readonly string[] | null;
  readonly argumentsMatch: ArgumentsMatch;
}

export interface ProcessFacts {
  /** As the kernel has it: at most 15 bytes. */
  readonly name: string;
  /** Words of the command line; empty for threads of the kernel. */
  readonly words: readonly string[];
}

/** What the kernel keeps of a name: TASK_COMM_LEN (include/linux/sched.h) less the NUL. */
const NAME_BYTES_MAX = 15;

/** Whether the process is one of those that the pattern describes. */
export function matchesProcess(pattern: ProcessPattern, facts: ProcessFacts): boolean {
  return (
    matchesName(pattern.process, facts) &&
    (pattern.arguments === null ||
      matchesArguments(pattern.arguments, pattern.argumentsMatch, facts.words.slice(1)))
  );
}

function matchesName(wanted: string, { name, words }: ProcessFacts): boolean {
  const program = words[0] ?? '';
  if (wanted.includes('/')) return program === wanted;
  if (program.slice(program.lastIndexOf('/') + 1) === wanted) return true;
  return wanted.length <= NAME_BYTES_MAX && name === wanted;
}

function matchesArguments(
  wanted: readonly string[],
  how: ArgumentsMatch,
  found: readonly string[],
): boolean {
  if (found.length < wanted.length) return false;
  if (how === 'exact' && found.length > wanted.length) return false;
  return wanted.every((word, index) => {
    const there = found[index] as string;
    const last = index === wanted.length - 1;
    return how === 'partial' && last ? there.startsWith(word) : there === word;
  });
}

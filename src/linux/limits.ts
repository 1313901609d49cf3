/** What the kernel lets this process have. */
import { readFileSync } from 'node:fs';

/**
 * The most descriptors that this process may have open: the soft limit of RLIMIT_NOFILE, which Node
 * raises to the hard one at its start. From /proc/self/limits (proc(5)); throws if /proc is absent.
 */
export function descriptorsMax(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(limits)?.[1];
  return soft === undefined || soft === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(soft);
}

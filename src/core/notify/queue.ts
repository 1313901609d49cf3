/**
 * Which scripts wait for one instance. They run one at a time, in the order of what happened.
 * The queue is bounded: a newer event of a kind that only informs (a lower-priority peer, a
 * changed priority) replaces an older one of that kind, and beyond QUEUE_MAX the oldest that
 * waits is dropped. So the last state is never lost: at most two informing events wait behind it.
 */

/** More changes of state than this within one script's time say nothing that the last does not. */
export const QUEUE_MAX = 16;

export type WaitingKind = 'state' | 'lower-priority' | 'priority';

export interface Waiting {
  readonly kind: WaitingKind;
}

/** The queue with one more at its end, and what had to leave it. */
export function enqueue<T extends Waiting>(
  queue: readonly T[],
  item: T,
): { readonly queue: readonly T[]; readonly dropped: readonly T[] } {
  const replaced =
    item.kind === 'state' ? [] : queue.filter((waiting) => waiting.kind === item.kind);
  const next = [...queue.filter((waiting) => !replaced.includes(waiting)), item];
  const excess = next.slice(0, Math.max(0, next.length - QUEUE_MAX));
  return { queue: next.slice(excess.length), dropped: [...replaced, ...excess] };
}

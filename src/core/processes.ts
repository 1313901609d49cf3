/** How the two processes are started; whoever starts one uses these. */

/**
 * Flags of the keeper's Node. Garbage collection on the one thread, because V8's helper threads
 * keep the normal scheduling class and a real-time thread would wait for a starved helper; a
 * small young generation, so that each collection is short; a bound on what it may ever use; and
 * code that is not called for long stays compiled, because a takeover is such code.
 */
export const KEEPER_NODE_FLAGS: readonly string[] = [
  '--single-threaded-gc',
  '--max-semi-space-size=1',
  '--max-old-space-size=64',
  '--no-flush-bytecode',
  // Code between interpreted and optimized: a first start would be up to 12 ms slower with it, and
  // where it is made for what a takeover needs only, after the start, a takeover no faster.
  '--no-sparkplug',
];

/**
 * Not for the keeper, which starts with the controller's environment after a crash: its real-time
 * thread would wait for a lock that a helper thread holds.
 */
export const KEEPER_ENVIRONMENT: Readonly<Record<string, undefined>> = {
  MALLOC_ARENA_MAX: undefined,
};

/**
 * Flags of the controller's Node. Live objects are marked, and dead ones swept, by helper threads: with
 * tens of thousands of services, the event loop would stand still for that. The young generation is
 * small, for its size and so that each of its collections is short, and alone.
 */
export const CONTROLLER_NODE_FLAGS: readonly string[] = [
  '--no-parallel-scavenge',
  '--max-semi-space-size=1',
  // For the young generation alone, in controller/young-generation.ts.
  '--expose-gc',
  // Code between interpreted and optimized: little to gain for a process that mostly waits.
  '--no-sparkplug',
];

/** One arena of the C library's allocator: each of V8's threads would have one of its own. */
export const CONTROLLER_ENVIRONMENT: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: '1' };

/**
 * Flags of the reader's Node: one that stays collects what reading has left behind; several
 * collector threads would cost it more than they take off, and so would optimized code, which is
 * ready when a thousand services have been read, and no faster than its making for ten thousand.
 */
export const READER_NODE_FLAGS: readonly string[] = [
  '--expose-gc',
  '--single-threaded-gc',
  '--no-opt',
];

/** How the two processes are started; whoever starts one uses these. */

/**
 * Flags of the keeper's Node. Garbage collection on the one thread, because V8's helper threads
 * keep the normal scheduling class and a real-time thread would wait for a starved helper; a
 * small young generation, so that each collection is short; a bound on what it may ever use.
 */
export const KEEPER_NODE_FLAGS: readonly string[] = [
  '--single-threaded-gc',
  '--max-semi-space-size=1',
  '--max-old-space-size=64',
];

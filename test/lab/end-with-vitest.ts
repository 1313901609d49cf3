/**
 * Set up before each test file: a worker whose vitest is gone ends too, and with it what the lab
 * has outside of it (cleanup.ts). Vitest that gets a signal leaves its workers running, and so their
 * emulators.
 */

/** For the clean-up, which takes milliseconds. */
const CLEANUP_TIMEOUT_MS = 2_000;
/** Tests may put others in their place. */
const { kill, pid } = process;
const later = setTimeout;

process.once('disconnect', () => {
  kill(pid, 'SIGTERM');
  // Whoever listens may not end by it.
  later(() => kill(pid, 'SIGKILL'), CLEANUP_TIMEOUT_MS);
});

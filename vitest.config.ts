/** Tests run from their TypeScript sources; compiled copies under dist are for the virtual machine. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    dir: 'test',
    include: ['**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    setupFiles: ['test/lab/end-with-vitest.ts'],
    // A test that is left out is said to be, and test/run.mjs fails on it.
    allowOnly: false,
  },
});

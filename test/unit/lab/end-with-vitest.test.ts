/** Vitest that is ended in the middle of a test leaves nothing running of what the test began. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { REPOSITORY } from '../../lab/host.ts';

const TEST_MS = 180_000;
/** Vitest tells ten times a second what has changed. */
const QUIET_MS = 1_000;

test.each(['SIGTERM', 'SIGINT', 'SIGKILL'] as const)(
  'a test ends with its vitest, by %s, and with it what the lab has started',
  async (signal) => {
    const directory = mkdtempSync(join(tmpdir(), 'vk-ended-'));
    const mark = join(directory, 'pids');
    writeFileSync(join(directory, 'waits.test.ts'), waiting(mark));
    const vitest = join(REPOSITORY, 'node_modules', 'vitest', 'vitest.mjs');
    const runner = spawn(process.execPath, [vitest, 'run', '--dir', directory], {
      cwd: REPOSITORY,
      stdio: 'ignore',
    });
    const exited = new Promise((resolve) => runner.once('exit', resolve));
    let pids: readonly string[] = [];
    try {
      await expect.poll(() => existsSync(mark), { timeout: TEST_MS / 2 }).toBe(true);
      pids = readFileSync(mark, 'utf8').split(' ');
      expect(pids.filter(runs)).toHaveLength(2);
      runner.kill(signal);
      await exited;
      await expect.poll(() => pids.filter(runs), { timeout: TEST_MS / 4 }).toEqual([]);
    } finally {
      runner.kill('SIGKILL');
      for (const pid of pids.filter(runs)) process.kill(Number(pid), 'SIGKILL');
      rmSync(directory, { recursive: true });
    }
  },
  TEST_MS,
);

/**
 * A test that starts something in a process group of its own, as the emulator is, and waits. When it
 * has begun a while ago, its worker has nothing to tell: one that could not would end by that.
 */
function waiting(mark: string): string {
  return `
    import { renameSync, writeFileSync } from 'node:fs';
    import { test } from 'vitest';
    import { localMachine } from '${REPOSITORY}/test/lab/host.ts';
    test('waits', { timeout: 600_000 }, async () => {
      const child = await localMachine.spawn(['sleep', '600']);
      await new Promise((resolve) => setTimeout(resolve, ${QUIET_MS}));
      writeFileSync('${mark}.new', process.pid + ' ' + child.pid);
      renameSync('${mark}.new', '${mark}');
      await child.exited;
    });
  `;
}

/** Not one that has ended and that nobody has asked for its status. */
function runs(pid: string): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

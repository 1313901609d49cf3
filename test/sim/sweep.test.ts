/**
 * Ten thousand seeds in a bounded time, by the command that people run (`npm run sim`), which is
 * compiled: on a machine too busy for all of them at least its floor of 2,000 must have run.
 */
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';

const BUDGET_SECONDS = 90;

function sim(args: readonly string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['dist/test/sim/main.js', ...args],
    {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  return { status, out: stdout, err: stderr };
}

describe('npm run sim', () => {
  test('every invariant holds with every seed', { timeout: 3 * BUDGET_SECONDS * 1_000 }, () => {
    const { status, out, err } = sim(['--seeds', '10000', '--seconds', `${BUDGET_SECONDS}`]);
    console.log(out);
    expect(status, out + err).toBe(0);
  });

  test('too few seeds in the given time are a failure', () => {
    const { status, out } = sim(['--seeds', '10000', '--seconds', '0']);
    expect(out).toMatch(/Only \d+ seeds ran in 0 s; expected 2000 or more/);
    expect(status).toBe(1);
  });

  test('one seed is shown with its faults and every packet, as text and as JSON', () => {
    const text = sim(['--seed', '7', '--faults', '0']);
    expect(text.status).toBe(0);
    expect(text.out).toMatch(/fault 0: /);
    expect(text.out).toMatch(/advert, priority/);
    const { scenario } = JSON.parse(sim(['--seed', '7', '--json']).out);
    expect(scenario.seed).toBe(7);
  });

  test('a wrong command line is told with the way to help', () => {
    for (const args of [
      ['--seeds', 'many'],
      ['--sedes', '1'],
      ['--faults', '1'],
    ]) {
      const { status, err } = sim(args);
      expect(status).toBe(2);
      expect(err).toContain('npm run sim -- --help');
    }
    expect(sim(['--help']).out).toContain('--seeds N');
  });
});

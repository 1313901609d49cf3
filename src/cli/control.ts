/**
 * `vipkeeper reload` and `vipkeeper restart`: ask a running director to read its configuration
 * again, or to replace its processes by the installed version without letting a VIP go.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { formatProblem, type Problem } from '../core/problem.ts';
import type { ReloadAnswer } from '../core/status.ts';
import { keeperProblem } from '../core/vrrp/explain.ts';
import { EXIT } from './commands.ts';
import { askDirector, askStatus, failed } from './control-client.ts';
import { printable, type Terminal } from './terminal.ts';

export interface ControlOptions {
  readonly runtimeDirectory: string;
  readonly json: boolean;
}

/**
 * A reload is answered when it is done: with ten thousand services that takes seconds, and more on a
 * machine that is busy. The director's own limit (http/server.ts).
 */
const RELOAD_TIMEOUT_MS = 120_000;
const POLL_MS = 100;
/** A start takes a second at most on a machine that is not overloaded. */
const RESTART_TIMEOUT_MS = 15_000;

/** Exit status: 1 with the errors of the configuration, or what does not work, on standard error. */
export async function reload(options: ControlOptions, terminal: Terminal): Promise<number> {
  const answer = await askDirector(
    options.runtimeDirectory,
    '/v1/reload',
    'POST',
    RELOAD_TIMEOUT_MS,
  );
  if (!answer.ok) return failed(answer.error, terminal);
  const { errors, problems } = JSON.parse(answer.value) as ReloadAnswer;
  const done = errors.length + problems.length === 0;
  const status = done ? EXIT.ok : EXIT.failed;
  if (options.json) {
    terminal.out(`${JSON.stringify({ errors, problems }, null, 2)}\n`);
    return status;
  }
  for (const line of errors) terminal.err(`${printable(line)}\n`);
  if (errors.length > 0) terminal.err('Nothing was changed\n');
  else {
    const but = done ? '' : ', but not all of it works';
    terminal.out(`The configuration was read again and applied${but}\n`);
  }
  for (const problem of problems) terminal.err(`${printable(formatProblem(problem))}\n`);
  return status;
}

/** Waits until the new processes answer, and says whether every VIP stayed. */
export async function restart(options: ControlOptions, terminal: Terminal): Promise<number> {
  const before = await askStatus(options.runtimeDirectory);
  if (!before.ok) return failed(before.error, terminal);
  // Who does not answer does not become another one either, and only the keeper can.
  const silent = keeperProblem(before.value);
  if (silent !== null) return failed(silent, terminal);
  const asked = await askDirector(options.runtimeDirectory, '/v1/restart', 'POST');
  if (!asked.ok) return failed(asked.error, terminal);
  // By the clock: an answer may take seconds, too.
  const endMs = performance.now() + RESTART_TIMEOUT_MS;
  let last: Problem | null = null;
  while (performance.now() < endMs) {
    await sleep(POLL_MS);
    const after = await askStatus(options.runtimeDirectory);
    last = after.ok ? keeperProblem(after.value) : null;
    if (!after.ok || after.value.controller.pid === before.value.controller.pid) continue;
    if (after.value.keeper.pid === null || after.value.keeper.scheduling === null) continue;
    const active = before.value.instances.filter(({ state }) => state === 'active');
    const kept = active.filter(({ name }) =>
      after.value.instances.some((one) => one.name === name && one.reason === 'adopted'),
    );
    const result = {
      version: { before: before.value.version, after: after.value.version },
      active: active.map(({ name }) => name),
      kept: kept.map(({ name }) => name),
    };
    if (options.json) terminal.out(`${JSON.stringify(result, null, 2)}\n`);
    else {
      terminal.out(
        `Restarted: version ${result.version.before} -> ${result.version.after}, ` +
          `${kept.length} of ${active.length} active instances kept their VIPs\n`,
      );
    }
    return EXIT.ok;
  }
  return failed(
    last ?? {
      code: 'VK-NOT-RUNNING',
      message: `The director did not come back within ${RESTART_TIMEOUT_MS / 1000} seconds`,
      cure: 'Look at its log, with: journalctl -u vipkeeper',
    },
    terminal,
  );
}

/**
 * `vipkeeper status`: asks the running director and shows what it says, once or every second.
 * While watching, a director that does not answer is shown as such and asked again: a restart is
 * what one watches for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { formatProblem, type Problem } from '../core/problem.ts';
import type { Result } from '../core/result.ts';
import type { DirectorStatus } from '../core/status.ts';
import { EXIT } from './commands.ts';
import { askStatus, failed } from './control-client.ts';
import { drawStatus } from './status-view.ts';
import { printable, type Terminal } from './terminal.ts';

const WATCH_INTERVAL_MS = 1_000;
/** To the upper left corner; erase from there to the end (ECMA-48: CUP, ED). */
const HOME = '\u001b[H';
const ERASE_BELOW = '\u001b[J';
const ERASE_LINE_END = '\u001b[K';

export interface StatusOptions {
  readonly runtimeDirectory: string;
  readonly json: boolean;
  readonly watch: boolean;
}

/** Exit status. `stopped` ends --watch. */
export async function status(
  options: StatusOptions,
  terminal: Terminal,
  stopped: AbortSignal,
): Promise<number> {
  if (options.watch) return watch(options, terminal, stopped);
  const found = await askStatus(options.runtimeDirectory);
  if (!found.ok) return failed(found.error, terminal);
  if (options.json) terminal.out(`${JSON.stringify(found.value, null, 2)}\n`);
  else terminal.out(draw(found.value, terminal, null));
  return EXIT.ok;
}

async function watch(
  options: StatusOptions,
  terminal: Terminal,
  stopped: AbortSignal,
): Promise<number> {
  while (!stopped.aborted) {
    const found = await askStatus(options.runtimeDirectory);
    if (stopped.aborted) break;
    if (options.json) {
      if (found.ok) terminal.out(`${JSON.stringify(found.value)}\n`);
      else terminal.err(`${printable(formatProblem(found.error))}\n`);
    } else {
      show(found, terminal);
    }
    await sleep(WATCH_INTERVAL_MS, undefined, { signal: stopped }).catch(() => {});
  }
  return EXIT.ok;
}

/** On a terminal over the last drawing; elsewhere below it. */
function show(found: Result<DirectorStatus, Problem>, terminal: Terminal): void {
  const rows = terminal.rows();
  // The last row stays free for the cursor: a newline there would scroll.
  const text = found.ok
    ? draw(found.value, terminal, rows === null ? null : rows - 1)
    : `${printable(formatProblem(found.error))}\n`;
  if (!terminal.interactive) terminal.out(`${text}\n`);
  else terminal.out(`${HOME}${text.replaceAll('\n', `${ERASE_LINE_END}\n`)}${ERASE_BELOW}`);
}

function draw(found: DirectorStatus, terminal: Terminal, rows: number | null): string {
  const { color } = terminal;
  return drawStatus(found, terminal.nowMs(), { color, columns: terminal.columns(), rows });
}

/**
 * `vipkeeper cleanup`: removes the virtual IPs that a dead keeper left behind and puts the kernel's
 * settings back, as the service manager asks after every stop. Refuses while a director runs: what
 * it has is not left behind. The removing itself belongs to other rooms and is passed in.
 */
import { formatProblem, type Problem } from '../core/problem.ts';
import { EXIT } from './commands.ts';
import { directorRuns } from './control-client.ts';
import { printable, type Terminal } from './terminal.ts';

export interface CleanUpResult {
  /** Removed, or with `dryRun` what would be. */
  readonly removed: readonly { readonly interface: string; readonly address: string }[];
  /** Names of virtual links; none without any. */
  readonly links?: readonly string[];
  /** Routes and rules, as ip(8) writes them. */
  readonly routing: readonly string[];
  /** Settings of the kernel, with their values before and after; none without any. */
  readonly settings?: readonly string[];
  readonly problems: readonly Problem[];
}

export type CleanUp = (options: {
  readonly runtimeDirectory: string;
  readonly dryRun: boolean;
}) => Promise<CleanUpResult>;

export interface CleanupOptions {
  readonly runtimeDirectory: string;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** Exit status: failed with any problem. */
export async function cleanup(
  options: CleanupOptions,
  terminal: Terminal,
  cleanUp: CleanUp,
): Promise<number> {
  const { runtimeDirectory, dryRun } = options;
  const result = (await directorRuns(runtimeDirectory))
    ? { removed: [], links: [], routing: [], problems: [runningProblem(runtimeDirectory)] }
    : await cleanUp({ runtimeDirectory, dryRun });
  const { removed, links = [], routing, settings = [], problems } = result;
  if (options.json) {
    const whole = { dryRun, removed, links, routing, settings, problems };
    terminal.out(`${JSON.stringify(whole, null, 2)}\n`);
  } else {
    const did = dryRun ? 'Would remove' : 'Removed';
    for (const vip of removed) {
      terminal.out(printable(`${did} ${vip.address} from ${vip.interface}`).concat('\n'));
    }
    for (const link of links) terminal.out(`${printable(`${did} the link ${link}`)}\n`);
    for (const text of routing) terminal.out(`${printable(`${did} ${text}`)}\n`);
    const put = dryRun ? 'Would put back' : 'Put back';
    for (const text of settings) terminal.out(`${printable(`${put} ${text}`)}\n`);
    const found = [removed, links, routing, settings, problems];
    if (found.every((list) => list.length === 0)) terminal.out('Nothing is left behind\n');
    for (const problem of problems) terminal.err(`${printable(formatProblem(problem))}\n`);
  }
  return problems.length === 0 ? EXIT.ok : EXIT.failed;
}

function runningProblem(runtimeDirectory: string): Problem {
  return {
    code: 'VK-ALREADY-RUNNING',
    message: `A vipkeeper runs with ${runtimeDirectory}, so its virtual IPs are in use`,
    cure: 'Stop it first, for example with `systemctl stop vipkeeper`',
  };
}

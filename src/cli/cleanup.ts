/**
 * `vipkeeper cleanup`: removes the virtual IPs that a dead keeper left behind, as the service
 * manager asks after every stop. Refuses while a director runs: its VIPs are not left behind.
 * The removing itself belongs to the keeper's room and is passed in.
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
  const { removed, links = [], routing, problems } = result;
  if (options.json) {
    terminal.out(`${JSON.stringify({ dryRun, removed, links, routing, problems }, null, 2)}\n`);
  } else {
    const did = dryRun ? 'Would remove' : 'Removed';
    for (const vip of removed) {
      terminal.out(printable(`${did} ${vip.address} from ${vip.interface}`).concat('\n'));
    }
    for (const link of links) terminal.out(`${printable(`${did} the link ${link}`)}\n`);
    for (const text of routing) terminal.out(`${printable(`${did} ${text}`)}\n`);
    if (removed.length + links.length + routing.length + problems.length === 0)
      terminal.out('Nothing is left behind\n');
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

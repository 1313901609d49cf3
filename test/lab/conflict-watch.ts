/**
 * A ConflictWatch in a process of its own, for network namespaces and capabilities of its own:
 * argument 1 is JSON (`Watched`), each line of the output an event as JSON. It ends with its input.
 */
import { ConflictWatch, type WatchedInstance } from '../../src/controller/conflict-watch.ts';
import { monotonicUs } from '../../src/linux/clock.ts';

export interface Watched {
  readonly instances: readonly WatchedInstance[];
  readonly intervalUs: number;
  /** Real servers by their addresses. */
  readonly servers: Readonly<Record<string, readonly string[]>>;
}

const { instances, intervalUs, servers } = JSON.parse(process.argv[2] ?? '') as Watched;

function tell(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

const watch = new ConflictWatch(intervalUs, {
  nowUs: monotonicUs,
  onChanged: () => tell({ conflicts: instances.flatMap(({ name }) => watch.report(name)) }),
  onProblem: (problem) => tell({ problem }),
  serversAt: (address) => servers[address] ?? [],
});
watch.keep(instances);
const before = process.cpuUsage();
process.stdin.resume();
process.stdin.on('end', () => {
  const { user, system } = process.cpuUsage(before);
  watch.close();
  tell({ cpuUs: user + system });
});

/**
 * Runs inside the lab VM, in a director's namespace: looks at services of the kernel's table again
 * and again, each by a question of its own, so that no look is spoilt by what changes beside it.
 *
 * When an entry appears, or is gone, it kills processes at once (SIGKILL): in the middle of what
 * they program.
 *
 * The order is one JSON line on standard input; the report one JSON line when the input has ended.
 */
import { setImmediate } from 'node:timers/promises';
import type { ServiceIdentity } from '../../src/core/config/config.ts';
import { IpvsClient } from '../../src/linux/ipvs/client.ts';

export interface WatchOrder {
  /** Services whose servers must be there at every look, as at the first one. */
  readonly kept: readonly ServiceIdentity[];
  readonly kill: {
    readonly pids: readonly number[];
    /** It appears (or is gone) when so much is done as shall be. */
    readonly at: ServiceIdentity;
    readonly becomes: 'present' | 'absent';
    /** What shows that not all was done. */
    readonly last: ServiceIdentity;
  } | null;
}

export interface WatchReport {
  readonly looks: number;
  /** Services that were not as at the first look, some of them. */
  readonly gaps: readonly string[];
  /** Whether the last entry was as it is when all is done, when the processes had been killed. */
  readonly lastDone: boolean | null;
}

const GAPS_MAX = 5;

async function watch(client: IpvsClient, order: WatchOrder, ended: () => boolean) {
  const { kept, kill } = order;
  const serversOf = (identity: ServiceIdentity): string => {
    const read = client.dumpServersNow(identity);
    if (read === null || !read.ok) throw new Error('cannot look');
    const lines = read.value.map(({ address, port, weight }) => `${address}:${port}=${weight}`);
    return lines.join(' ');
  };
  const isThere = async (identity: ServiceIdentity): Promise<boolean> => {
    const read = await client.dumpService(identity);
    return read.ok && read.value !== null;
  };
  const first = kept.map(serversOf);
  const gaps: string[] = [];
  let looks = 0;
  let lastDone: boolean | null = null;
  process.stdout.write('{"watching":true}\n');
  while (!ended()) {
    for (const [index, identity] of kept.entries()) {
      if (kill !== null && lastDone === null) {
        const there = await isThere(kill.at);
        if (there === (kill.becomes === 'present')) {
          for (const pid of kill.pids) process.kill(pid, 'SIGKILL');
          lastDone = (await isThere(kill.last)) === (kill.becomes === 'present');
          process.stdout.write('{"killed":true}\n');
        }
      }
      looks++;
      const now = serversOf(identity);
      if (now !== first[index] && gaps.length < GAPS_MAX) gaps.push(`${first[index]} -> ${now}`);
    }
    await setImmediate();
  }
  return { looks, gaps, lastDone } satisfies WatchReport;
}

const opened = IpvsClient.open();
if (!opened.ok) throw new Error(opened.error.message);
let ended = false;
let text = '';
await new Promise<void>((resolve) => {
  process.stdin.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8');
    if (text.includes('\n')) resolve();
  });
  process.stdin.on('end', () => {
    ended = true;
    resolve();
  });
});
const report = await watch(opened.value, JSON.parse(text) as WatchOrder, () => ended);
opened.value.close();
process.stdout.write(`${JSON.stringify(report)}\n`);

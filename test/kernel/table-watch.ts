/**
 * Runs inside the lab VM, in a director's namespace: looks at services of the kernel's table again
 * and again, each by a question of its own, so that no look is spoilt by what changes beside it.
 *
 * When an entry appears, or is gone, it kills processes at once (SIGKILL): in the middle of what
 * they program. Or it meddles: deletes and adds services and servers that somebody programs, so
 * that operations of theirs meet a table that is not as they had read it.
 *
 * The order is one JSON line on standard input; the report one JSON line when the input has ended.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceIdentity } from '../../src/core/config/config.ts';
import type { IpvsOperation, RealServer, VirtualService } from '../../src/core/ipvs/model.ts';
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
  /** What it deletes and adds in turn. */
  readonly meddle: readonly Meddled[];
}

/** A service, and one of its servers. */
export interface Meddled {
  readonly service: VirtualService;
  readonly server: RealServer;
}

export interface WatchReport {
  readonly looks: number;
  /** Services that were not as at the first look, some of them. */
  readonly gaps: readonly string[];
  /** Whether the last entry was as it is when all is done, when the processes had been killed. */
  readonly lastDone: boolean | null;
  /** Operations that the kernel has done for the meddler. */
  readonly meddled: number;
}

const GAPS_MAX = 5;
/** Between looks while something is to be met in its middle, and else: the processor is shared. */
const CLOSE_MS = 5;
const PACE_MS = 50;

async function watch(client: IpvsClient, order: WatchOrder, ended: () => boolean) {
  const { kept, kill, meddle } = order;
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
  let meddled = 0;
  let turn = 0;
  let lastDone: boolean | null = null;
  process.stdout.write('{"watching":true}\n');
  for (let index = 0; !ended(); index = (index + 1) % kept.length) {
    if (kill !== null && lastDone === null) {
      const there = await isThere(kill.at);
      if (there === (kill.becomes === 'present')) {
        for (const pid of kill.pids) process.kill(pid, 'SIGKILL');
        lastDone = (await isThere(kill.last)) === (kill.becomes === 'present');
        process.stdout.write('{"killed":true}\n');
      }
    }
    looks++;
    const now = serversOf(kept[index] as ServiceIdentity);
    if (now !== first[index] && gaps.length < GAPS_MAX) gaps.push(`${first[index]} -> ${now}`);
    if (meddle.length > 0) {
      const results = await client.apply(meddling(meddle, turn++));
      meddled += results.filter(({ errno }) => errno === 0).length;
    }
    const close = meddle.length > 0 || (kill !== null && lastDone === null);
    await sleep(close ? CLOSE_MS : PACE_MS);
  }
  return { looks, gaps, lastDone, meddled } satisfies WatchReport;
}

/** One service goes, one comes before its time and otherwise, a server goes and one is changed. */
function meddling(all: readonly Meddled[], turn: number): readonly IpvsOperation[] {
  const at = (offset: number) => all[(turn * 7 + offset) % all.length] as Meddled;
  const [gone, early, cut, changed] = [at(0), at(3), at(11), at(17)];
  return [
    { kind: 'delete-service', identity: gone.service.identity },
    { kind: 'add-service', service: early.service },
    {
      kind: 'add-server',
      identity: early.service.identity,
      server: { ...early.server, weight: 9 },
    },
    {
      kind: 'delete-server',
      identity: cut.service.identity,
      ...{ address: cut.server.address, port: cut.server.port },
    },
    {
      kind: 'set-server',
      identity: changed.service.identity,
      server: { ...changed.server, weight: 0 },
    },
  ];
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

/**
 * Runs on the machine with IPVS: takes one measurement at a time as a JSON line on standard input
 * and answers with a JSON line. It has the controller's Node flags, and measures on one clock of
 * one machine; the host is too far away for that.
 *
 * CPU times: of this process by getrusage(2), of a command that ends by the shell's `time`, of
 * daemons by /proc/PID/stat of every process in their network namespace.
 */
import { spawn } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { readConfigFile } from '../../src/config/yaml.ts';
import { Table, type TablePorts } from '../../src/controller/table.ts';
import type { ServiceConfig } from '../../src/core/config/config.ts';
import { DEFAULTS } from '../../src/core/config/defaults.ts';
import type { ObservedService } from '../../src/core/ipvs/model.ts';
import { serverKey, serviceKey } from '../../src/core/ipvs/model.ts';
import { realtimeUs } from '../../src/linux/clock.ts';
import { IpvsClient } from '../../src/linux/ipvs/client.ts';
import { inNetworkNamespace } from '../../src/linux/namespace.ts';
import { FIRST_PORT } from './ipvs-load.ts';

export type GuestCall =
  /** What to program: the one service of this configuration, on so many ports. */
  | { readonly method: 'read'; readonly config: string; readonly services: number }
  /** The daemon's own way, in this process, which is warm after the first call. */
  | { readonly method: 'program'; readonly namespace: string }
  /** A command that programs the table and ends. */
  | { readonly method: 'command'; readonly namespace: string; readonly script: string }
  /** A daemon, from its start until the table is complete; then it is killed. */
  | { readonly method: 'daemon'; readonly namespace: string; readonly argv: readonly string[] }
  | { readonly method: 'count'; readonly namespace: string }
  /** A daemon, until its table is complete, of which lines of progress are told; it goes on. */
  | { readonly method: 'start'; readonly namespace: string; readonly argv: readonly string[] }
  /** From a signal to the daemon, whose file was replaced by another, to a weight in the kernel. */
  | (Change & { readonly method: 'reload'; readonly from: string; readonly to: string })
  /** From a request over a director's control socket to a weight in the kernel. */
  | (Change & { readonly method: 'override'; readonly socket: string; readonly target: string })
  /** Kills the daemon. */
  | { readonly method: 'end' };

/** The first server of the service with this port gets this weight. */
interface Change {
  readonly namespace: string;
  readonly port: number;
  readonly weight: number;
}

export interface Measurement {
  readonly wallMs: number;
  readonly userMs: number;
  readonly systemMs: number;
}

export interface Count {
  readonly services: number;
  readonly servers: number;
}

/** Of the clock ticks in /proc/PID/stat (sysconf(_SC_CLK_TCK), 100 on every Linux since 2.6). */
const TICK_MS = 10;
const DAEMON_TIMEOUT_MS = 170_000;
/** Between two looks at the table; each costs one small netlink request. */
const LOOK_INTERVAL_MS = 4;
/**
 * A start whose time is not compared: thousands of services may take minutes where everything is
 * emulated, and the looks are not to make it longer.
 */
const START_TIMEOUT_MS = 1_200_000;
const START_LOOK_MS = 500;
const PROGRESS_MS = 15_000;
/** The same while a change is waited for, which takes milliseconds. */
const CHANGE_LOOK_MS = 1;

let services: readonly ServiceConfig[] = [];

async function read(path: string, count: number): Promise<Count> {
  const config = await readConfigFile(path, { director: 'bench', hostname: 'bench' });
  if (!config.ok) throw new Error(JSON.stringify(config.error));
  const [one] = config.value.services;
  const identity = one?.entries[0]?.identity;
  if (one === undefined || identity?.kind !== 'address') throw new Error('no service');
  services = Array.from({ length: count }, (_, index) => {
    const port = FIRST_PORT + index;
    return {
      ...one,
      name: `s${port}`,
      entries: [{ identity: { ...identity, port }, follow: null }],
    };
  });
  return { services: count, servers: count * one.servers.length };
}

function open(namespace: string): IpvsClient {
  const opened = inNetworkNamespace(`/run/netns/${namespace}`, () => IpvsClient.open());
  if (!opened.ok) throw new Error(opened.error.message);
  return opened.value;
}

let problems: string[] = [];
/** Made once, as a controller's are: V8 throws code away that it optimized for what is gone. */
const PORTS: Omit<TablePorts, 'client'> = {
  weights: (service) =>
    new Map(service.servers.map((one) => [serverKey(one), { weight: 1, reason: 'healthy' }])),
  wanted: () => true,
  onLeaving: () => {},
  onCompared: () => {},
  onChanges: () => {},
  onProblem: ({ message }) => problems.push(message),
};
/** The last one stays until the next is made: V8 does the same when none of a kind is left. */
const living: Table[] = [];

/** What the controller does at its start: its own table, from wish to kernel. */
async function program(namespace: string): Promise<Measurement> {
  const before = process.resourceUsage();
  const startedMs = performance.now();
  const client = open(namespace);
  const directory = `/tmp/${namespace}`;
  problems = [];
  const files = { ownedFile: `${directory}/owned.json`, leavingFile: `${directory}/leaving.json` };
  const table = new Table({ services, ipvs: DEFAULTS.ipvs, ...files }, { ...PORTS, client });
  living.splice(0, living.length, table);
  await table.start();
  const wallMs = performance.now() - startedMs;
  const after = process.resourceUsage();
  await table.close();
  client.close();
  rmSync(directory, { recursive: true });
  if (problems.length > 0) throw new Error(problems[0]);
  return {
    wallMs,
    userMs: (after.userCPUTime - before.userCPUTime) / 1e3,
    systemMs: (after.systemCPUTime - before.systemCPUTime) / 1e3,
  };
}

/** The shell measures, so that starting the shell itself does not count. */
async function command(namespace: string, script: string): Promise<Measurement> {
  const timed = `TIMEFORMAT='%3R %3U %3S'; time { ${script}; }`;
  const child = spawn('ip', ['netns', 'exec', namespace, 'bash', '-c', timed], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8');
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  const times = text.trim().split('\n').at(-1)?.split(' ').map(Number);
  if (code !== 0 || times === undefined) throw new Error(`${script}: ${code} ${text}`);
  const [wallMs, userMs, systemMs] = times.map((seconds) => seconds * 1e3) as [
    number,
    number,
    number,
  ];
  return { wallMs, userMs, systemMs };
}

async function daemon(namespace: string, argv: readonly string[]): Promise<Measurement> {
  const client = open(namespace);
  // The shell tells the time just before it becomes the daemon.
  const script = 'echo $EPOCHREALTIME; exec "$@"';
  const child = spawn('ip', ['netns', 'exec', namespace, 'bash', '-c', script, 'bash', ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let first = '';
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    if (!first.includes('\n')) first += chunk.toString('latin1');
    output = (output + chunk.toString('utf8')).slice(-2_000);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    output = (output + chunk.toString('utf8')).slice(-2_000);
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  try {
    const doneUs = await complete(client, {
      timeoutMs: DAEMON_TIMEOUT_MS,
      lookMs: LOOK_INTERVAL_MS,
    });
    if (doneUs === null) throw new Error(`The table was not complete in time: ${output}`);
    const startedUs = Number((first.split('\n')[0] as string).replace('.', ''));
    const { userMs, systemMs } = cpuTimes(namespace);
    return { wallMs: (doneUs - startedUs) / 1e3, userMs, systemMs };
  } finally {
    client.close();
    process.kill(-(child.pid as number), 'SIGKILL');
    await ended;
  }
}

interface Looks {
  readonly timeoutMs: number;
  readonly lookMs: number;
  /** Of a daemon whose start is not compared: nothing more is to be expected. Progress is told. */
  readonly isOver?: () => boolean;
}

/**
 * When the last service has all its servers; each contestant programs in the order of the keys,
 * and a service's servers after it. Wall clock in microseconds, or null in vain.
 */
async function complete(
  client: IpvsClient,
  { timeoutMs, lookMs, isOver }: Looks,
): Promise<number | null> {
  const entries = services.flatMap(({ entries: [entry], servers }) =>
    entry === undefined ? [] : { identity: entry.identity, servers },
  );
  const sorted = entries.sort((left, right) =>
    serviceKey(left.identity) < serviceKey(right.identity) ? -1 : 1,
  );
  let awaited = sorted.at(-1);
  const deadlineMs = performance.now() + timeoutMs;
  let toldMs = performance.now();
  while (awaited !== undefined && performance.now() < deadlineMs && isOver?.() !== true) {
    const seen = await client.dumpService(awaited.identity);
    const nowUs = realtimeUs();
    if (seen.ok && seen.value?.servers.length === awaited.servers.length) {
      // The one that comes last for some proves nothing about the others.
      const all = await client.dump();
      if (!all.ok) return null;
      if (isWhole(all.value)) return nowUs;
      const there = new Map(
        all.value.map(({ service, servers }) => [serviceKey(service.identity), servers.length]),
      );
      awaited = sorted.findLast(
        ({ identity, servers }) => there.get(serviceKey(identity)) !== servers.length,
      );
    }
    if (isOver !== undefined && performance.now() - toldMs >= PROGRESS_MS) {
      toldMs = performance.now();
      const there = await client.dumpServices();
      if (there.ok) tell({ progress: `${there.value.size} of ${services.length} services` });
    }
    await delay(lookMs);
  }
  return null;
}

function isWhole(table: readonly ObservedService[]): boolean {
  const servers = (entries: readonly { readonly servers: readonly unknown[] }[]): number =>
    entries.reduce((sum, entry) => sum + entry.servers.length, 0);
  return table.length === services.length && servers(table) === servers(services);
}

function cpuTimes(namespace: string): { readonly userMs: number; readonly systemMs: number } {
  const wanted = statSync(`/run/netns/${namespace}`).ino;
  let userMs = 0;
  let systemMs = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const inode = statSync(`/proc/${pid}/ns/net`, { throwIfNoEntry: false })?.ino;
    if (inode !== wanted) continue;
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Fields 14 and 15 of proc(5), counted behind the name, which may hold blanks. Children that
    // have ended, such as the one that read the configuration, are in fields 16 and 17.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    userMs += (Number(fields[11]) + Number(fields[13])) * TICK_MS;
    systemMs += (Number(fields[12]) + Number(fields[14])) * TICK_MS;
  }
  return { userMs, systemMs };
}

/** The daemon that goes on; its process has the group's id. */
let running: { readonly pid: number; readonly ended: Promise<unknown> } | null = null;

async function start(namespace: string, argv: readonly string[]): Promise<Measurement> {
  const startedMs = performance.now();
  const client = open(namespace);
  const child = spawn('ip', ['netns', 'exec', namespace, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString('utf8')).slice(-2_000);
    });
  }
  const ended = new Promise((resolve) => child.once('close', resolve));
  running = { pid: child.pid as number, ended };
  let over = false;
  let how = 'it runs on';
  child.once('exit', (code, signal) => {
    how = `it ended with ${signal ?? code}`;
  });
  void ended.then(() => {
    over = true;
  });
  const looks = { timeoutMs: START_TIMEOUT_MS, lookMs: START_LOOK_MS, isOver: () => over };
  const done = await complete(client, looks);
  client.close();
  if (done === null) throw new Error(`The table was not complete in time, ${how}: ${output}`);
  return { wallMs: performance.now() - startedMs, ...cpuTimes(namespace) };
}

async function end(): Promise<Count> {
  if (running !== null) {
    process.kill(-running.pid, 'SIGKILL');
    await running.ended;
  }
  running = null;
  return { services: 0, servers: 0 };
}

/** From `act` to the weight in the kernel. */
async function measureChange(
  { namespace, port, weight }: Change,
  act: () => void,
): Promise<Measurement> {
  const client = open(namespace);
  const before = cpuTimes(namespace);
  const service = services.find(({ name }) => name === `s${port}`) as ServiceConfig;
  const { identity } = service.entries[0] as ServiceConfig['entries'][number];
  const first = serverKey(service.servers[0] as ServiceConfig['servers'][number]);
  const startedMs = performance.now();
  act();
  while (performance.now() - startedMs < DAEMON_TIMEOUT_MS) {
    const seen = await client.dumpService(identity);
    const wallMs = performance.now() - startedMs;
    const servers = seen.ok ? (seen.value?.servers ?? []) : [];
    if (servers.find((one) => serverKey(one) === first)?.weight === weight) {
      client.close();
      const after = cpuTimes(namespace);
      const [userMs, systemMs] = [after.userMs - before.userMs, after.systemMs - before.systemMs];
      return { wallMs, userMs, systemMs };
    }
    await delay(CHANGE_LOOK_MS);
  }
  throw new Error('The change did not come');
}

function reload(call: Extract<GuestCall, { method: 'reload' }>): Promise<Measurement> {
  copyFileSync(call.from, `${call.to}.new`);
  return measureChange(call, () => {
    renameSync(`${call.to}.new`, call.to);
    process.kill(running?.pid as number, 'SIGHUP');
  });
}

function override(call: Extract<GuestCall, { method: 'override' }>): Promise<Measurement> {
  const parameters = `action=weight&weight=${call.weight}&target=${encodeURIComponent(call.target)}`;
  return measureChange(call, () => {
    const path = `/v1/override?${parameters}`;
    const sent = request({ socketPath: call.socket, path, method: 'POST' }, (answer) => {
      answer.resume();
    });
    sent.on('error', () => {});
    sent.end();
  });
}

async function count(namespace: string): Promise<Count> {
  const client = open(namespace);
  const table = await client.dump();
  client.close();
  if (!table.ok) throw new Error(table.error.message);
  const servers = table.value.reduce((sum, entry) => sum + entry.servers.length, 0);
  return { services: table.value.length, servers };
}

async function answer(call: GuestCall): Promise<Measurement | Count> {
  switch (call.method) {
    case 'read':
      return read(call.config, call.services);
    case 'program':
      return program(call.namespace);
    case 'command':
      return command(call.namespace, call.script);
    case 'daemon':
      return daemon(call.namespace, call.argv);
    case 'count':
      return count(call.namespace);
    case 'start':
      return start(call.namespace, call.argv);
    case 'reload':
      return reload(call);
    case 'override':
      return override(call);
    case 'end':
      return end();
  }
}

function tell(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

for await (const line of createInterface({ input: process.stdin })) {
  const answered = await answer(JSON.parse(line) as GuestCall).then(
    (value) => ({ value }),
    (error: unknown) => ({ error: String(error) }),
  );
  tell(answered);
}

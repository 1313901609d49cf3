/**
 * Runs on the machine with IPVS: what health checks cost a daemon. In a network namespace of its
 * own, nginx answers on the addresses of the loopback network; the daemon checks them; its CPU
 * time over a window is read from schedstat (nanoseconds), the number of checks from the kernel's
 * count of active opens, which in this namespace are checks and nothing else.
 *
 * One measurement: `node checks-guest.js JSON`, which prints one JSON line.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export interface ChecksCall {
  readonly namespace: string;
  /** Of the server that is asked. */
  readonly nginxConfig: string;
  readonly argv: readonly string[];
  /** Checks a second that the configuration asks for. */
  readonly rate: number;
  /** From the first second with that many checks until the measurement. */
  readonly warmUpMs: number;
  readonly windowMs: number;
}

export interface ChecksMeasurement {
  /** Of one core, in percent, for 1,000 checks a second. */
  readonly percent: number;
  /** Share of user space in that, in percent. */
  readonly userShare: number;
  readonly checksPerSecond: number;
}

const READY_TIMEOUT_MS = 120_000;

function execIn(namespace: string, argv: readonly string[]): ChildProcess {
  return spawn('ip', ['netns', 'exec', namespace, ...argv], {
    stdio: ['ignore', 'ignore', 'ignore'],
    detached: true,
  });
}

/** Connections that were opened in the namespace since it exists. */
function activeOpens(namespace: string): number {
  const argv = ['netns', 'exec', namespace, 'cat', '/proc/net/snmp'];
  const text = spawnSync('ip', argv, { encoding: 'utf8' }).stdout;
  const [names, values] = text
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  return Number(values?.[names?.indexOf('ActiveOpens') ?? 0] ?? 0);
}

interface Cpu {
  readonly totalMs: number;
  readonly userTicks: number;
  readonly systemTicks: number;
}

/** CPU time of all processes in the namespace but nginx. */
function cpuOf(namespace: string): Cpu {
  const wanted = statSync(`/run/netns/${namespace}`).ino;
  let totalMs = 0;
  let userTicks = 0;
  let systemTicks = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (statSync(`/proc/${pid}/ns/net`).ino !== wanted) continue;
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      if (stat.includes('(nginx)')) continue;
      for (const task of readdirSync(`/proc/${pid}/task`)) {
        const schedstat = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8');
        totalMs += Number(schedstat.split(' ')[0]) / 1e6;
      }
      // Fields 14 and 15 of proc(5), counted behind the name, which may hold blanks.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      userTicks += Number(fields[11]);
      systemTicks += Number(fields[12]);
    } catch (error) {
      // A process or thread that has just ended.
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
  return { totalMs, userTicks, systemTicks };
}

async function untilChecked({ namespace, rate }: ChecksCall): Promise<void> {
  const deadlineMs = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < deadlineMs) {
    const before = activeOpens(namespace);
    await delay(1_000);
    if (activeOpens(namespace) - before >= rate * 0.8) return;
  }
  throw new Error(`Fewer than ${rate} checks a second after ${READY_TIMEOUT_MS} ms`);
}

async function measure(call: ChecksCall): Promise<ChecksMeasurement> {
  const { namespace } = call;
  const nginx = execIn(namespace, ['nginx', '-c', call.nginxConfig, '-g', 'daemon off;']);
  const daemon = execIn(namespace, call.argv);
  const children = [nginx, daemon];
  const ended = children.map((child) => new Promise((resolve) => child.once('close', resolve)));
  try {
    await untilChecked(call);
    await delay(call.warmUpMs);
    const opensBefore = activeOpens(namespace);
    const before = cpuOf(namespace);
    const fromMs = performance.now();
    await delay(call.windowMs);
    const after = cpuOf(namespace);
    const seconds = (performance.now() - fromMs) / 1_000;
    const checksPerSecond = (activeOpens(namespace) - opensBefore) / seconds;
    const user = after.userTicks - before.userTicks;
    const system = after.systemTicks - before.systemTicks;
    const percent = (after.totalMs - before.totalMs) / seconds / 10;
    return {
      percent: (percent / checksPerSecond) * 1_000,
      userShare: (100 * user) / Math.max(1, user + system),
      checksPerSecond,
    };
  } finally {
    for (const child of children) process.kill(-(child.pid as number), 'SIGKILL');
    await Promise.all(ended);
  }
}

process.stdout.write(
  `${JSON.stringify(await measure(JSON.parse(process.argv[2] as string) as ChecksCall))}\n`,
);

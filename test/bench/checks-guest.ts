/**
 * Runs on the machine with IPVS: what health checks cost a daemon. In a network namespace of its
 * own, nginx answers on the addresses of the loopback network; the daemon checks them; its CPU
 * time over a window is read from schedstat (nanoseconds), the number of checks from the kernel's
 * count of active opens, which in this namespace are checks and nothing else. Count, CPU time and
 * clock are read in the same order at both ends, so that all three are of the same window.
 *
 * One measurement: `node checks-guest.js JSON`, which prints one JSON line.
 */
import { type ChildProcess, spawn } from 'node:child_process';
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

/** Connections that were opened in the namespace of a process since it exists. */
function activeOpens(pid: number): number {
  // No program is started for it, which would take its time where everything is emulated.
  const [names, values] = readFileSync(`/proc/${pid}/net/snmp`, 'utf8')
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

/** The program that enters the namespace is there before it has entered. */
async function inNamespace(namespace: string, pid: number): Promise<void> {
  const wanted = statSync(`/run/netns/${namespace}`).ino;
  const deadlineMs = performance.now() + READY_TIMEOUT_MS;
  while (statSync(`/proc/${pid}/ns/net`).ino !== wanted) {
    if (performance.now() > deadlineMs) throw new Error('nginx did not start');
    await delay(50);
  }
}

interface Moment {
  readonly opens: number;
  readonly cpu: Cpu;
  readonly atMs: number;
}

function moment(namespace: string, pid: number): Moment {
  return { opens: activeOpens(pid), cpu: cpuOf(namespace), atMs: performance.now() };
}

async function untilChecked(rate: number, pid: number): Promise<void> {
  const deadlineMs = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < deadlineMs) {
    const before = activeOpens(pid);
    await delay(1_000);
    if (activeOpens(pid) - before >= rate * 0.8) return;
  }
  throw new Error(`Fewer than ${rate} checks a second after ${READY_TIMEOUT_MS} ms`);
}

async function measure(call: ChecksCall): Promise<ChecksMeasurement> {
  const { namespace } = call;
  const nginx = execIn(namespace, ['nginx', '-c', call.nginxConfig, '-g', 'daemon off;']);
  const daemon = execIn(namespace, call.argv);
  const children = [nginx, daemon];
  const pid = nginx.pid as number;
  const ended = children.map((child) => new Promise((resolve) => child.once('close', resolve)));
  try {
    await inNamespace(namespace, pid);
    await untilChecked(call.rate, pid);
    await delay(call.warmUpMs);
    const from = moment(namespace, pid);
    await delay(call.windowMs);
    const to = moment(namespace, pid);
    const seconds = (to.atMs - from.atMs) / 1_000;
    const checksPerSecond = (to.opens - from.opens) / seconds;
    const user = to.cpu.userTicks - from.cpu.userTicks;
    const system = to.cpu.systemTicks - from.cpu.systemTicks;
    const percent = (to.cpu.totalMs - from.cpu.totalMs) / seconds / 10;
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

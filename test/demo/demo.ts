/**
 * The demo: two directors, three web servers and one client on a kernel with IPVS. Shows the
 * election, balancing, a server that fails and returns, and the loss of the active director in
 * the middle of a download. Everything it claims is measured; it ends with 0 only if all of it
 * was true.
 */
import { availableParallelism, loadavg } from 'node:os';
import { LabError, labProgram, type Machine, REPOSITORY, waitFor, writeFile } from '../lab/host.ts';
import { ipvsMachine } from '../lab/requirements.ts';
import { BACK_GATEWAY_V4, type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { Screen } from './screen.ts';

const RUNTIME = '/tmp/vipkeeper-demo';
const CONFIG_FILE = `${RUNTIME}/vipkeeper.yaml`;
const VIP = virtualIp(1).ipv4;
const MAIN = `${REPOSITORY}/dist/src/main.js`;
const INTERVAL_SECONDS = 1;
const BACKUP_PRIORITY = 100;
/** RFC 9568 section 6.1: three intervals and the skew time of the backup. */
const ACTIVE_DOWN_MS =
  1000 * (3 * INTERVAL_SECONDS + ((256 - BACKUP_PRIORITY) / 256) * INTERVAL_SECONDS);
/** The download lasts this long, with the failover in its middle. */
const DOWNLOAD_BYTES = 6_000_000;
const DOWNLOAD_BYTES_PER_SECOND = 300_000;
const REQUEST_INTERVAL_MS = 100;
/** A request that is not answered in this time is lost; the next one is already on its way. */
const REQUEST_TIMEOUT_MS = 1_000;

const configuration = (servers: readonly LabNode[]): string => `
vrrp:
  web:
    interface: eth0
    vrid: 51
    priority: { director1: 150, director2: ${BACKUP_PRIORITY} }
    interval: ${INTERVAL_SECONDS}s
    addresses: [${VIP}/24]
  gateway:                # the real servers' default route
    interface: eth1
    vrid: 52
    priority: { director1: 150, director2: ${BACKUP_PRIORITY} }
    interval: ${INTERVAL_SECONDS}s
    addresses: [${BACK_GATEWAY_V4}/24]
groups:
  nat: { instances: [web, gateway] }     # both sides of a connection on the same director
services:
  web:
    address: ${VIP}:80
    scheduler: rr
    forwarding: nat
    check: { http: { path: /healthz }, interval: 1s, timeout: 900ms, fall: 2, rise: 1 }
    servers: [${servers.map((server) => `"${server.on('back').ipv4}:80"`).join(', ')}]
sync: { interface: eth2, id: 51, follow: web }
http: off
# Both directors of the demo share one file system.
runtime_directory: { director1: ${RUNTIME}/director1, director2: ${RUNTIME}/director2 }
`;

interface Summary {
  readonly error?: string | null;
  readonly server?: string | null;
  readonly localPort?: number;
  readonly receivedBytes?: number;
  readonly longestPauseMs?: number;
  readonly longestPauseAtMs?: number;
  readonly requests?: number;
  readonly failures?: number;
  readonly longestGapMs?: number;
  readonly servers?: Readonly<Record<string, number>>;
}

class Demo {
  readonly #screen = new Screen(6);
  readonly #topology: Topology;
  readonly #client: LabNode;
  readonly #logs = new Map<string, string>();

  constructor(topology: Topology) {
    this.#topology = topology;
    this.#client = topology.clients[0] as LabNode;
  }

  /** True when everything that was shown was true. */
  async run(): Promise<boolean> {
    await this.#startServers();
    await this.#election();
    await this.#balancing();
    await this.#serverFailure();
    await this.#directorFailure();
    await this.#tables();
    const { failures } = this.#screen;
    this.#screen.title(
      failures === 0
        ? 'All of it was true.'
        : `${failures} of these statements were not true.${busyText()} The directors' logs:\n${[...this.#logs.values()].join('\n')}`,
    );
    return failures === 0;
  }

  async #startServers(): Promise<void> {
    this.#screen.step('Three web servers, one client, and two directors with one configuration');
    for (const server of this.#topology.realServers) await this.#startServer(server);
    const text = configuration(this.#topology.realServers);
    this.#screen.output('cat vipkeeper.yaml', text.trim());
    await writeFile(this.#topology.machine, CONFIG_FILE, text);
    for (const director of this.#topology.directors) await this.#startDirector(director);
  }

  async #election(): Promise<void> {
    this.#screen.step('Election');
    const [first, second] = this.#topology.directors as [LabNode, LabNode];
    await waitFor('director1 to be active', () => holdsVip(first), START_MS, POLL_MS);
    await waitFor('director2 to give way', async () => !(await holdsVip(second)), 10_000, POLL_MS);
    for (const director of [first, second]) {
      const all = async (): Promise<boolean> => (await serving(director)).length === 3;
      await waitFor(`the servers in the table of ${director.name}`, all, 30_000, POLL_MS);
    }
    this.#screen.fact(
      (await holdsVip(first)) && !(await holdsVip(second)),
      `exactly one director holds the VIP ${VIP}: ${first.name}, which has the higher priority`,
    );
    for (const director of [first, second]) {
      const shown = await director.run([
        'node',
        MAIN,
        'status',
        '--runtime-directory',
        runtime(director),
      ]);
      this.#screen.output(`vipkeeper status   # on ${director.name}`, shown.stdout);
    }
  }

  async #balancing(): Promise<void> {
    this.#screen.step('30 requests through the VIP');
    const summary = await this.#requests(3_000);
    const counts = Object.entries(summary.servers ?? {}).sort();
    this.#screen.line(counts.map(([name, count]) => `${name}: ${count}`).join('   '));
    this.#screen.fact(summary.failures === 0, `every request was answered${lost(summary)}`);
    const numbers = counts.map(([, count]) => count);
    this.#screen.fact(
      numbers.length === 3 && Math.max(...numbers) - Math.min(...numbers) <= 1,
      'the three servers had equal shares (round robin)',
    );
  }

  async #serverFailure(): Promise<void> {
    this.#screen.step('One web server stops, and starts again');
    const [first] = this.#topology.directors as [LabNode];
    const server = this.#topology.realServers[1] as LabNode;
    const startedMs = performance.now();
    await server.killProcesses('KILL');
    await waitFor(
      'the server to be out',
      async () => (await serving(first)).length === 2,
      30_000,
      POLL_MS,
    );
    const outMs = performance.now() - startedMs;
    this.#screen.fact(
      true,
      `${server.name} was taken out (weight 0) after ${seconds(outMs)}: 2 checks, 1 s apart, must fail`,
    );
    const without = await this.#requests(2_000);
    this.#screen.line(
      Object.entries(without.servers ?? {})
        .sort()
        .map(([name, count]) => `${name}: ${count}`)
        .join('   '),
    );
    this.#screen.fact(
      without.failures === 0,
      `without it, every request was answered${lost(without)}`,
    );
    this.#screen.fact(without.servers?.[server.name] === undefined, `none went to ${server.name}`);
    await this.#startServer(server);
    await waitFor(
      'the server to be back',
      async () => (await serving(first)).length === 3,
      30_000,
      POLL_MS,
    );
    const again = await this.#requests(2_000);
    this.#screen.fact(
      (again.servers?.[server.name] ?? 0) > 0,
      `${server.name} started again and was taken in by itself`,
    );
  }

  async #directorFailure(): Promise<void> {
    this.#screen.step('A download begins; the active director loses its power in the middle of it');
    const [first, second] = this.#topology.directors as [LabNode, LabNode];
    const url = `http://${VIP}/stream?bytes=${DOWNLOAD_BYTES}&rate=${DOWNLOAD_BYTES_PER_SECOND}`;
    let port: number | null = null;
    const download = this.#load(['stream', '--url', url, '--timeout-ms', '60000'], (line) => {
      port ??= (JSON.parse(line) as Summary).localPort ?? null;
    });
    await waitFor('the download to begin', () => port !== null, 30_000);
    // The kernel syncs a connection at its third packet, and sends what it has every two seconds:
    // what the backup knows may be the requests of before, which it has not heard the end of yet.
    await waitFor(
      'the connection on the backup',
      () => isSynced(second, port as number | null),
      30_000,
      500,
    );
    this.#screen.fact(true, 'the backup knows the connection (IPVS connection sync)');
    let answered = 0;
    const probes = this.#requests(12_000, () => {
      answered += 1;
    });
    await waitFor('requests to be answered', () => answered >= 5, 30_000);
    await first.kill();
    this.#screen.line(`${first.name}: both processes killed (SIGKILL), all cables pulled`);
    await waitFor('the other director', () => holdsVip(second), 30_000, 200);
    const summary = await probes;
    const transfer = await download;
    const gapMs = summary.longestGapMs ?? Number.POSITIVE_INFINITY;
    this.#screen.line(
      `active-down interval, in theory:      ${ACTIVE_DOWN_MS.toFixed(0).padStart(6)} ms (3 x ${INTERVAL_SECONDS} s + skew time of priority ${BACKUP_PRIORITY})`,
    );
    this.#screen.line(
      `gap seen by new connections:          ${gapMs.toFixed(0).padStart(6)} ms (a request every ${REQUEST_INTERVAL_MS} ms)`,
    );
    this.#screen.line(
      `longest pause of the download:        ${(transfer.longestPauseMs ?? 0).toFixed(0).padStart(6)} ms (TCP waits for its next retransmission)`,
    );
    this.#screen.fact(await holdsVip(second), `${second.name} holds the VIP`);
    this.#screen.fact(
      gapMs >= ACTIVE_DOWN_MS - INTERVAL_SECONDS * 1000 && gapMs <= ACTIVE_DOWN_MS + GAP_MARGIN_MS,
      `new connections worked again within the active-down interval and ${GAP_MARGIN_MS} ms for the client`,
    );
    this.#screen.fact(
      transfer.error === null && transfer.receivedBytes === DOWNLOAD_BYTES,
      `the download went on in the same TCP connection and is whole: ${transfer.receivedBytes} bytes, each as sent${transfer.error ? ` (${transfer.error})` : ''}`,
    );
  }

  async #tables(): Promise<void> {
    this.#screen.step('Both IPVS tables');
    for (const director of this.#topology.directors) {
      const shown = await director.run(['ipvsadm', '-Ln']);
      this.#screen.output(`ipvsadm -Ln   # on ${director.name}`, shown.stdout);
      this.#screen.fact(
        shown.stdout.includes(`${VIP}:80 rr`) &&
          (shown.stdout.match(/Masq +1 /g) ?? []).length === 3,
        `${director.name} has the service with its three servers`,
      );
    }
  }

  async #startServer(server: LabNode): Promise<void> {
    let listening = false;
    await server.spawn(['node', labProgram('http-server'), '--name', server.name, '--port', '80'], {
      onStdout: () => {
        listening = true;
      },
    });
    await waitFor(`${server.name} to listen`, () => listening, 30_000);
  }

  async #startDirector(director: LabNode): Promise<void> {
    const argv = ['node', MAIN, 'run', '--config', CONFIG_FILE, '--director', director.name];
    const collect = (chunk: Buffer): void => {
      this.#logs.set(director.name, `${this.#logs.get(director.name) ?? ''}${chunk.toString()}`);
    };
    await director.spawn(argv, { onStdout: collect, onStderr: collect });
  }

  #requests(durationMs: number, onAnswer: () => void = () => {}): Promise<Summary> {
    return this.#load(
      [
        'requests',
        ...['--url', `http://${VIP}/`, '--interval-ms', String(REQUEST_INTERVAL_MS)],
        ...['--duration-ms', String(durationMs), '--timeout-ms', String(REQUEST_TIMEOUT_MS)],
      ],
      onAnswer,
    );
  }

  async #load(
    args: readonly string[],
    onLine: (line: string) => void = () => {},
  ): Promise<Summary> {
    let partial = '';
    const result = await this.#client.run(['node', labProgram('load'), ...args], {
      timeoutMs: 120_000,
      onStdout: (text) => {
        const lines = (partial + text).split('\n');
        partial = lines.pop() ?? '';
        for (const line of lines) onLine(line);
      },
    });
    const last = result.stdout.trim().split('\n').at(-1) ?? '';
    if (!last.startsWith('{')) throw new LabError(`The client failed: ${result.stderr.trim()}`);
    return JSON.parse(last) as Summary;
  }
}

/**
 * What the client may add to the active-down interval: its request interval, the timeout of a
 * request that was lost, and the emulated kernel's time to set the addresses.
 */
const GAP_MARGIN_MS = 1_000;
const runtime = (director: LabNode): string => `${RUNTIME}/${director.name}`;
/** Four starts of Node on an emulated processor, of a machine that may be busy otherwise. */
const START_MS = 200_000;
/** ip and ipvsadm are cheap even on an emulated processor; our own command line is not. */
const POLL_MS = 200;
/** What to say beside a statement that requests made false. */
const lost = ({ failures = 0, requests = 0 }: Summary): string =>
  failures === 0 ? '' : ` (${failures} of ${requests} were not within ${REQUEST_TIMEOUT_MS} ms)`;
/** On a machine that others keep busy, what is measured here tells of them. */
function busyText(): string {
  const [load = 0] = loadavg();
  const cores = availableParallelism();
  if (load <= 2 * cores) return '';
  return ` This machine is busy (load average ${load.toFixed(1)} on ${cores} processors), so requests may have timed out for that alone: run it again when it is idle.`;
}
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** Real servers with a weight in the director's kernel, as ipvsadm reads it back. */
async function serving(director: LabNode): Promise<readonly string[]> {
  const shown = await director.run(['ipvsadm', '-Sn']);
  return [...shown.stdout.matchAll(/ -r (\S+) .*-w [1-9]/g)].map((match) => match[1] as string);
}

async function holdsVip(director: LabNode): Promise<boolean> {
  const shown = await director.run(['ip', '-4', 'address', 'show', 'dev', 'eth0']);
  return shown.stdout.includes(`inet ${VIP}/`);
}

/** Whether the director knows the client's established connection from this port. */
async function isSynced(director: LabNode, port: number | null): Promise<boolean> {
  const shown = await director.run(['ipvsadm', '-Lcn']);
  return new RegExp(`ESTABLISHED +\\S+:${port} +${VIP}:80 `).test(shown.stdout);
}

async function main(): Promise<boolean> {
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  print('');
  const { machine, stop } = await ipvsMachine(print);
  try {
    const kernel = await kernelOf(machine);
    print(`Kernel with IPVS: ${kernel} (${machine.name})`);
    const topology = await Topology.create(machine, { directors: 2, realServers: 3, sync: true });
    let isTrue = false;
    try {
      isTrue = await new Demo(topology).run();
    } catch (error) {
      // Why the demo failed is what there is to say, not that the clean-up did so as well.
      await topology.dispose().catch(() => {});
      throw error;
    }
    await topology.dispose();
    return isTrue;
  } finally {
    await stop();
  }
}

async function kernelOf(machine: Machine): Promise<string> {
  return (await machine.run(['uname', '-r'])).stdout.trim();
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  if (!(error instanceof LabError)) throw error;
  process.stderr.write(`${error.message}.${busyText()}\n`);
  process.exitCode = 1;
}

/**
 * FrrVrrp: FRR's vrrpd (with zebra, which tells it of interfaces) inside a lab node, with files
 * and sockets of its own in a temporary directory, started by hand and never as a service. Its
 * virtual routers live on macvlans that must be there before it: they are made here, with the
 * virtual addresses on them, and FRR holds them down while it is backup.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Child, check, exitWithin, localMachine, waitFor } from './host.ts';
import type { LabNode } from './topology.ts';

const STOP_TIMEOUT_MS = 5_000;
const START_TIMEOUT_MS = 10_000;

export interface FrrRouter {
  readonly vrid: number;
  readonly version: 2 | 3;
  readonly family: 'ipv4' | 'ipv6';
  readonly priority: number;
  readonly intervalMs: number;
  /** With its prefix length. */
  readonly vip: string;
}

export type FrrState = 'Initialize' | 'Backup' | 'Master';

export class FrrVrrp {
  readonly node: LabNode;
  readonly #routers: readonly FrrRouter[];
  readonly #directory = mkdtempSync(join(tmpdir(), 'vk-frr-'));
  #children: Child[] = [];
  #log = '';

  private constructor(node: LabNode, routers: readonly FrrRouter[]) {
    this.node = node;
    this.#routers = routers;
  }

  /** Makes the macvlans, starts both daemons and waits until they answer. */
  static async start(node: LabNode, routers: readonly FrrRouter[]): Promise<FrrVrrp> {
    const peer = new FrrVrrp(node, routers);
    try {
      await peer.#makeLinks();
      await peer.restart();
    } catch (error) {
      await peer.dispose();
      throw new Error(`${(error as Error).message}: ${peer.#log}`);
    }
    return peer;
  }

  /** Starts the daemons again, which must not run. */
  async restart(): Promise<void> {
    const path = (name: string) => join(this.#directory, name);
    writeFileSync(path('zebra.conf'), 'hostname peer\n');
    writeFileSync(path('vrrpd.conf'), configurationOf(this.#routers));
    // Both leave root behind, and make their sockets here.
    await check(localMachine, ['chown', '-R', 'frr:frr', this.#directory]);
    for (const name of ['zebra', 'vrrpd']) {
      await this.#spawn(name);
      const answers = async () => (await this.#ask(name, 'show version')) !== null;
      await waitFor(`${name} to answer`, answers, START_TIMEOUT_MS, 50);
    }
  }

  /** State of each virtual router, in the order of the routers. */
  async states(): Promise<FrrState[]> {
    const text = await this.#ask('vrrpd', 'show vrrp json');
    const found = JSON.parse(text ?? '[]') as {
      vrid: number;
      v4: { status: FrrState };
      v6: { status: FrrState };
    }[];
    return this.#routers.map(({ vrid, family }) => {
      const router = found.find((candidate) => candidate.vrid === vrid);
      return router?.[family === 'ipv4' ? 'v4' : 'v6'].status ?? 'Initialize';
    });
  }

  async waitForStates(state: FrrState): Promise<void> {
    await waitFor(
      `FRR to be ${state} of all`,
      async () => (await this.states()).every((found) => found === state),
      START_TIMEOUT_MS,
      50,
    );
  }

  /** Ends it in order: it resigns. */
  async stop(): Promise<void> {
    for (const child of this.#children.splice(0).reverse()) {
      process.kill(child.pid, 'SIGTERM');
      await exitWithin(child, STOP_TIMEOUT_MS);
    }
    await this.#holdDown();
  }

  /** Ends it at once, and takes its links down, as a machine without power does. */
  async kill(): Promise<void> {
    for (const child of this.#children.splice(0).reverse()) {
      child.kill('SIGKILL');
      await exitWithin(child, STOP_TIMEOUT_MS);
    }
    await this.#holdDown();
  }

  async dispose(): Promise<void> {
    for (const child of this.#children.splice(0).reverse()) {
      child.kill('SIGKILL');
      await exitWithin(child, STOP_TIMEOUT_MS);
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #makeLinks(): Promise<void> {
    const commands = this.#routers.flatMap((router) => {
      const name = linkOf(router);
      const hex = router.vrid.toString(16).padStart(2, '0');
      const mac = `00:00:5e:00:0${router.family === 'ipv4' ? 1 : 2}:${hex}`;
      return [
        `link add ${name} link eth0 address ${mac} type macvlan mode bridge`,
        `addr add ${router.vip} dev ${name}${router.family === 'ipv6' ? ' nodad' : ''}`,
        `link set ${name} protodown on`,
        `link set ${name} up`,
      ];
    });
    await check(this.node, ['ip', '-batch', '-'], { stdin: `${commands.join('\n')}\n` });
    // Linux answers for any of its addresses on any interface, and FRR leaves that to its operator.
    const settings = ['arp_ignore=1', 'arp_announce=2'].map((s) => `net.ipv4.conf.all.${s}`);
    await check(this.node, ['sysctl', '-qw', ...settings]);
  }

  async #holdDown(): Promise<void> {
    const commands = this.#routers.map((router) => `link set ${linkOf(router)} protodown on`);
    await check(this.node, ['ip', '-batch', '-'], { stdin: `${commands.join('\n')}\n` });
  }

  async #spawn(name: string): Promise<void> {
    const path = (file: string) => join(this.#directory, file);
    const collect = (chunk: Buffer) => {
      this.#log += chunk.toString('utf8');
    };
    const argv = [
      ...['chrt', '-r', '20', `/usr/lib/frr/${name}`, '-u', 'frr', '-g', 'frr', '-P', '0'],
      ...['-z', path('zebra.sock'), '-i', path(`${name}.pid`), '-f', path(`${name}.conf`)],
      ...['--vty_socket', this.#directory, '--log', 'stdout'],
    ];
    const child = await this.node.spawn(argv, { onStdout: collect, onStderr: collect });
    child.end();
    this.#children.push(child);
  }

  async #ask(daemon: string, command: string): Promise<string | null> {
    const argv = ['vtysh', '--vty_socket', this.#directory, '-d', daemon, '-c', command];
    const { code, stdout } = await localMachine.run(argv, { timeoutMs: START_TIMEOUT_MS });
    return code === 0 ? stdout : null;
  }
}

function linkOf({ vrid, family }: FrrRouter): string {
  return `${family === 'ipv4' ? 'v4' : 'v6'}-${vrid}`;
}

function configurationOf(routers: readonly FrrRouter[]): string {
  const lines = routers.flatMap(({ vrid, version, family, priority, intervalMs, vip }) => [
    ` vrrp ${vrid} version ${version}`,
    ` vrrp ${vrid} priority ${priority}`,
    ` vrrp ${vrid} advertisement-interval ${intervalMs}`,
    ` vrrp ${vrid} ${family === 'ipv4' ? 'ip' : 'ipv6'} ${vip.split('/')[0]}`,
  ]);
  return `interface eth0\n${lines.join('\n')}\n!\n`;
}

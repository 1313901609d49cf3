/**
 * Keepalived: the peer of the interoperability tests, its VRRP part alone, inside a lab node, with
 * its files in a temporary directory. It logs to its standard output, never to the machine's log.
 * Both of its processes end with stop(), dispose() or this process.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Child, exitWithin, LabError, waitFor } from './host.ts';
import type { LabNode } from './topology.ts';

/** Its own stop waits a second for the IGMP leave to go out. */
const STOP_TIMEOUT_MS = 10_000;

export interface KeepalivedInstance {
  readonly version: 2 | 3;
  readonly vrid: number;
  readonly priority: number;
  readonly intervalSeconds: number;
  readonly password?: string;
  readonly addresses: readonly string[];
  /** Name of a macvlan that it makes, with the virtual hardware address; without it, none. */
  readonly vmac?: string;
  /** Without it, multicast. */
  readonly unicast?: { readonly source: string; readonly peers: readonly string[] };
  /** What is told of its transitions: a FIFO that exists, and a script with a first argument. */
  readonly notify?: { readonly fifo: string; readonly script: string };
}

export class Keepalived {
  readonly node: LabNode;
  readonly directory: string;
  #child: Child | null = null;
  #log = '';

  private constructor(node: LabNode) {
    this.node = node;
    this.directory = mkdtempSync(join(tmpdir(), 'vk-keepalived-'));
  }

  /** Starts it and waits until its instance has entered a state. */
  static async start(node: LabNode, instance: KeepalivedInstance): Promise<Keepalived> {
    const peer = new Keepalived(node);
    writeFileSync(peer.#path('conf'), configurationOf(instance));
    try {
      await peer.restart();
    } catch (error) {
      await peer.dispose();
      throw error;
    }
    return peer;
  }

  /** Starts it again with the same configuration; it must not run. */
  async restart(): Promise<void> {
    this.#log = '';
    const files = ['-f', 'conf', '-p', 'pid', '-r', 'vrrp-pid', '-c', 'checkers-pid'];
    const argv = files.map((part) => (part.startsWith('-') ? part : this.#path(part)));
    const collect = (chunk: Buffer) => {
      this.#log += chunk.toString('utf8');
    };
    this.#child = await this.node.spawn(['keepalived', '-n', '-P', '-G', '-l', ...argv], {
      onStdout: collect,
      onStderr: collect,
    });
    this.#child.end();
    await waitFor('keepalived to enter a state', () => /Entering \w+ STATE/.test(this.log), 5_000);
  }

  /** What it has logged since its start. */
  get log(): string {
    return this.#log;
  }

  /** Ends it in order: it resigns and takes its addresses away. */
  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    process.kill(child.pid, 'SIGTERM');
    if ((await exitWithin(child, STOP_TIMEOUT_MS)) === null) {
      throw new LabError(`keepalived did not stop: ${this.log}`);
    }
  }

  /** Ends both of its processes at once; its addresses stay. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    const vrrpPid = Number(readFileSync(this.#path('vrrp-pid'), 'utf8'));
    // Held first: the parent's death sends the child a SIGTERM, at which it would resign.
    for (const signal of ['SIGSTOP', 'SIGKILL'] as const) {
      process.kill(vrrpPid, signal);
      process.kill(child.pid, signal);
    }
    await exitWithin(child, STOP_TIMEOUT_MS);
  }

  async dispose(): Promise<void> {
    if (this.#child !== null) {
      if (existsSync(this.#path('vrrp-pid'))) await this.kill();
      else this.#child.kill('SIGKILL');
    }
    this.#child = null;
    rmSync(this.directory, { recursive: true, force: true });
  }

  #path(name: string): string {
    return join(this.directory, name);
  }
}

function configurationOf(instance: KeepalivedInstance): string {
  const { version, vrid, priority, intervalSeconds, password, addresses, unicast, notify } =
    instance;
  const authentication =
    password === undefined ? '' : `authentication { auth_type PASS\n auth_pass ${password}\n }`;
  const peers =
    unicast === undefined
      ? ''
      : `unicast_src_ip ${unicast.source}\n unicast_peer {\n${unicast.peers.join('\n')}\n }`;
  const words = ['', '_master', '_backup', '_fault', '_stop', '_master_rx_lower_pri'];
  const notices =
    notify === undefined ? [] : words.map((word) => `notify${word} "${notify.script} own${word}"`);
  return `global_defs {
  vrrp_version ${version}
  ${notify === undefined ? '' : `script_user root\n vrrp_notify_fifo ${notify.fifo}`}
}
vrrp_instance peer {
  state BACKUP
  interface eth0
  virtual_router_id ${vrid}
  priority ${priority}
  advert_int ${intervalSeconds}
  ${authentication}
  ${instance.vmac === undefined ? '' : `use_vmac ${instance.vmac}`}
  ${peers}
  ${notices.join('\n  ')}
  virtual_ipaddress {
    ${addresses.join('\n    ')}
  }
}
`;
}

/**
 * The remote systems of BFD tests inside a lab node: keepalived's bfd_instance and FRR's bfdd
 * (with zebra, which tells it of interfaces), each with files and sockets of its own in a
 * temporary directory, started by hand and never as services. They run in real time, as ours
 * does: on a busy machine they would be late by whole detection times otherwise.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Child, check, exitWithin, localMachine, waitFor } from './host.ts';
import type { LabNode } from './topology.ts';

const STOP_TIMEOUT_MS = 5_000;
const START_TIMEOUT_MS = 10_000;

export interface BfdPeerSession {
  /** The address of ours, and its own. */
  readonly neighbor: string;
  readonly source: string;
  /** Null for a multihop session (RFC 5883), which only FRR's has. */
  readonly interface: string | null;
  readonly intervalMs: number;
  readonly multiplier: number;
}

/** Why a peer's session went down, in the same words for both. */
export type PeerReason = 'expired' | 'neighbor-down';

export interface BfdPeer {
  isUp(): Promise<boolean>;
  /** Why the session went down last; null while it is up or was never. */
  reason(): Promise<PeerReason | null>;
  dispose(): Promise<void>;
}

export class KeepalivedBfd implements BfdPeer {
  readonly #directory = mkdtempSync(join(tmpdir(), 'vk-bfd-'));
  #child: Child | null = null;
  #log = '';

  static async start(node: LabNode, session: BfdPeerSession): Promise<KeepalivedBfd> {
    const peer = new KeepalivedBfd();
    const path = (name: string) => join(peer.#directory, name);
    writeFileSync(path('conf'), keepalivedConfiguration(session));
    const files = [
      ...['-f', path('conf'), '-p', path('pid'), '-r', path('vrrp')],
      ...['-c', path('checkers'), '-b', path('bfd')],
    ];
    const collect = (chunk: Buffer) => {
      peer.#log += chunk.toString('utf8');
    };
    const argv = ['keepalived', '-n', '-G', '-l', '-D', ...files];
    peer.#child = await node.spawn(argv, { onStdout: collect, onStderr: collect });
    peer.#child.end();
    return peer;
  }

  async isUp(): Promise<boolean> {
    return this.#lastState().startsWith('Up');
  }

  async reason(): Promise<PeerReason | null> {
    const state = this.#lastState();
    if (!state.startsWith('Down')) return null;
    return state.includes('Local diagnostic - Control Detection Time Expired')
      ? 'expired'
      : 'neighbor-down';
  }

  #lastState(): string {
    return [...this.#log.matchAll(/\(ours\) Entering ((?:Up|Down|Init).*)/g)].at(-1)?.[1] ?? '';
  }

  async dispose(): Promise<void> {
    await end(this.#child);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** keepalived runs no session that nothing tracks. */
function keepalivedConfiguration(session: BfdPeerSession): string {
  const { intervalMs, multiplier } = session;
  return `
global_defs {
  bfd_rt_priority 20
}
bfd_instance ours {
  neighbor_ip ${session.neighbor}
  source_ip ${session.source}
  min_rx ${intervalMs}
  min_tx ${intervalMs}
  multiplier ${multiplier}
  hoplimit 255
}
vrrp_instance tracks {
  state BACKUP
  interface eth1
  virtual_router_id 99
  priority 50
  advert_int 100
  virtual_ipaddress { 198.51.100.99/32 }
  track_bfd { ours weight 10 }
}
`;
}

export class FrrBfd implements BfdPeer {
  readonly #directory = mkdtempSync(join(tmpdir(), 'vk-bfd-'));
  readonly #children: Child[] = [];
  #log = '';

  static async start(node: LabNode, session: BfdPeerSession): Promise<FrrBfd> {
    const peer = new FrrBfd();
    try {
      await peer.#run(node, session);
    } catch (error) {
      await peer.dispose();
      throw new Error(`${(error as Error).message}: ${peer.#log}`);
    }
    return peer;
  }

  async #run(node: LabNode, session: BfdPeerSession): Promise<void> {
    const directory = this.#directory;
    writeFileSync(join(directory, 'zebra.conf'), 'hostname peer\n');
    writeFileSync(join(directory, 'bfdd.conf'), frrConfiguration(session));
    // Both leave root behind, and make their sockets here.
    await check(localMachine, ['chown', '-R', 'frr:frr', directory]);
    await this.#spawn(node, 'zebra', []);
    await waitFor('zebra to answer', () => this.#answers('zebra'), START_TIMEOUT_MS, 100);
    await this.#spawn(node, 'bfdd', ['--bfdctl', join(directory, 'bfdd.ctl')]);
    await waitFor('bfdd to answer', () => this.#answers('bfdd'), START_TIMEOUT_MS, 100);
  }

  async #spawn(node: LabNode, name: string, more: readonly string[]): Promise<void> {
    const path = (file: string) => join(this.#directory, file);
    const collect = (chunk: Buffer) => {
      this.#log += chunk.toString('utf8');
    };
    const argv = [
      ...['chrt', '-r', '20', `/usr/lib/frr/${name}`, '-u', 'frr', '-g', 'frr', '-P', '0'],
      ...['-z', path('zebra.sock'), '-i', path(`${name}.pid`), '-f', path(`${name}.conf`)],
      ...['--vty_socket', this.#directory, '--log', 'stdout', ...more],
    ];
    const child = await node.spawn(argv, { onStdout: collect, onStderr: collect });
    child.end();
    this.#children.push(child);
  }

  async #ask(daemon: string, command: string): Promise<string | null> {
    const argv = ['vtysh', '--vty_socket', this.#directory, '-d', daemon, '-c', command];
    const { code, stdout } = await localMachine.run(argv, { timeoutMs: START_TIMEOUT_MS });
    return code === 0 ? stdout : null;
  }

  async #answers(daemon: string): Promise<boolean> {
    return (await this.#ask(daemon, 'show version')) !== null;
  }

  async #peer(): Promise<Record<string, unknown>> {
    const text = await this.#ask('bfdd', 'show bfd peers json');
    return (JSON.parse(text ?? '[]') as Record<string, unknown>[])[0] ?? {};
  }

  async isUp(): Promise<boolean> {
    return (await this.#peer()).status === 'up';
  }

  async reason(): Promise<PeerReason | null> {
    const { status, diagnostic } = await this.#peer();
    if (status === 'up') return null;
    return String(diagnostic).includes('detection time expired') ? 'expired' : 'neighbor-down';
  }

  async dispose(): Promise<void> {
    for (const child of this.#children.splice(0).reverse()) await end(child);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function frrConfiguration(session: BfdPeerSession): string {
  const { neighbor, source, intervalMs, multiplier } = session;
  const key =
    session.interface === null
      ? `multihop local-address ${source}`
      : `local-address ${source} interface ${session.interface}`;
  return `
bfd
 peer ${neighbor} ${key}
  receive-interval ${intervalMs}
  transmit-interval ${intervalMs}
  detect-multiplier ${multiplier}
 !
!
`;
}

async function end(child: Child | null): Promise<void> {
  if (child === null) return;
  child.kill('SIGTERM');
  await exitWithin(child, STOP_TIMEOUT_MS);
}

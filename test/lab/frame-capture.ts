/**
 * Capture: every frame of ARP, neighbour advertisements and VRRP that reaches a node's front LAN,
 * taken by tcpdump and dissected by tshark, neither of which shares code with the product.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Child, check, exitWithin, waitFor } from './host.ts';
import type { LabNode } from './topology.ts';

const TIMEOUT_MS = 10_000;
const FILTER = 'arp or proto 112 or ip6 proto 112 or (icmp6 and ip6[40] == 136)';

export interface Frame {
  /** The frame's source. */
  readonly source: string;
  /** 'ADDRESS is MAC': what ARP or a neighbour advertisement says; null for others. */
  readonly says: string | null;
  /** Source address of an advertisement; null for others. */
  readonly advertFrom: string | null;
  readonly vrid: number | null;
  /** What tshark has to remark about it, but for what the protocol makes usual. */
  readonly remarks: string;
}

export class Capture {
  readonly #node: LabNode;
  readonly #directory = mkdtempSync(join(tmpdir(), 'vk-capture-'));
  #child: Child | null = null;

  private constructor(node: LabNode) {
    this.#node = node;
  }

  /** Starts it and waits until it listens. */
  static async start(node: LabNode): Promise<Capture> {
    const capture = new Capture(node);
    let told = '';
    const options = ['-i', node.on('front').name, '-U', '--immediate-mode', '-Z', 'root'];
    const child = await node.spawn(['tcpdump', ...options, '-w', capture.#path, FILTER], {
      onStderr: (chunk) => {
        told += chunk.toString('utf8');
      },
    });
    child.end();
    capture.#child = child;
    await waitFor('tcpdump to listen', () => told.includes('listening on'), TIMEOUT_MS);
    return capture;
  }

  get #path(): string {
    return join(this.#directory, 'frames.pcap');
  }

  /** Ends it; every frame, in order. */
  async stop(): Promise<Frame[]> {
    const child = this.#child as Child;
    child.kill('SIGINT');
    await exitWithin(child, TIMEOUT_MS);
    const fields = [
      ...['eth.src', 'arp.src.proto_ipv4', 'arp.src.hw_mac'],
      ...['icmpv6.nd.na.target_address', 'icmpv6.opt.linkaddr', 'vrrp.virt_rtr_id', 'ip.src'],
      ...['ipv6.src', '_ws.malformed', 'vrrp.checksum.status', '_ws.expert.message'],
    ];
    const argv = ['tshark', '-n', '-r', this.#path, '-T', 'fields', '-E', 'separator=|'];
    const wanted = fields.flatMap((field) => ['-e', field]);
    const { stdout } = await check(this.#node, [...argv, ...wanted]);
    rmSync(this.#directory, { recursive: true, force: true });
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map(frameOf);
  }
}

function frameOf(line: string): Frame {
  const [source = '', arpIp, arpMac, target, mac, vrid, ip, ip6, malformed, sum, expert] =
    line.split('|');
  const remarks = [malformed, sum === '0' ? 'wrong checksum' : '', expert]
    .filter((text) => text !== undefined && text !== '')
    .join('; ');
  // An ARP probe asks, and says nothing of an address.
  const announces = arpIp ? arpIp !== '0.0.0.0' : false;
  return {
    source,
    says: announces ? `${arpIp} is ${arpMac}` : target ? `${target} is ${mac}` : null,
    advertFrom: vrid ? ip || ip6 || null : null,
    vrid: vrid ? Number(vrid) : null,
    remarks,
  };
}

/**
 * What scripts and the FIFO are told, beside keepalived: both makes go through the same states, each
 * alone on its node, and say the same, byte for byte. keepalived starts scripts without waiting for
 * those before, so of scripts the order is not compared.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseIp } from '../../src/core/ip.ts';
import {
  encodeAdvertisement,
  MAX_ADVERTISEMENT_BYTES,
  VRRP_GROUP_IPV4,
} from '../../src/core/wire/vrrp.ts';
import { ifIndex } from '../../src/linux/libc.ts';
import { VrrpSender } from '../../src/linux/vrrp-socket.ts';
import { Director } from '../lab/director.ts';
import { type Child, check, LabError, localMachine, waitFor } from '../lab/host.ts';
import { Keepalived } from '../lab/keepalived.ts';
import { ensurePackages, NETWORK_PACKAGES, PEER_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { inside } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 90_000;
const WAIT_MS = 20_000;
/** keepalived's lab configuration calls its instance so. */
const NAME = 'peer';
const PRIORITY = 120;
const INTERVAL_MS = 200;

let topology: Topology;
let client: LabNode;
let directory: string;
const readers: Child[] = [];

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES, ...PEER_PACKAGES]);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { directors: 2, realServers: 0 });
  client = topology.clients[0] as LabNode;
  directory = mkdtempSync(join(tmpdir(), 'vk-notify-'));
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  for (const reader of readers) reader.kill('SIGKILL');
  await topology?.dispose();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

function lines(name: string): string[] {
  try {
    return readFileSync(join(directory, name), 'utf8').split('\n').slice(0, -1);
  } catch {
    return [];
  }
}

/** A FIFO whose lines go to a file, and a script that writes its arguments to another. */
async function listener(node: LabNode, make: string): Promise<{ fifo: string; script: string }> {
  const [fifo, script] = [join(directory, `${make}.fifo`), join(directory, `${make}.sh`)];
  await check(node, ['mkfifo', fifo]);
  const argv = ['sh', '-c', `exec cat <> ${fifo} >> ${join(directory, `${make}.lines`)}`];
  readers.push(await node.spawn(argv));
  // In one write, as keepalived runs several at once.
  writeFileSync(script, `#!/bin/sh\necho "$# $*" >> ${join(directory, `${make}.scripts`)}\n`);
  chmodSync(script, 0o755);
  return { fifo, script };
}

/** One advertisement of another active director of low priority. */
function advertiseLower(vrid: number): void {
  const source = parseIp(client.on('front').ipv4) as Uint8Array;
  const message = new Uint8Array(MAX_ADVERTISEMENT_BYTES);
  const lengthBytes = encodeAdvertisement(message, {
    ...{ version: 3, family: 'ipv4', vrid, priority: 50, advertIntervalUs: INTERVAL_MS * 1000 },
    addresses: [parseIp(virtualIp(vrid).ipv4) as Uint8Array],
    ...{ checksum: 'pseudo-header', password: null, source, destination: VRRP_GROUP_IPV4 },
  });
  inside(client, () => {
    const options = { interfaceName: 'eth0', interfaceIndex: ifIndex('eth0') };
    const sender = new VrrpSender({ ...options, family: 'ipv4', sourceAddress: source });
    expect(sender.send(message, lengthBytes)).toBe(lengthBytes);
    sender.close();
  });
}

/** Through all states; `begin` starts it, `end` stops it. Resolves when all of it was told. */
async function live(
  { node, make, vrid }: { node: LabNode; make: string; vrid: number },
  begin: () => Promise<{ stop(): Promise<unknown> }>,
): Promise<void> {
  const told = (count: number): Promise<void> =>
    waitFor(
      `${make} to have told ${count}`,
      () => lines(`${make}.lines`).length === count,
      WAIT_MS,
    );
  const running = await begin();
  await told(2);
  advertiseLower(vrid);
  await told(3);
  await node.linkDown('front');
  await told(4);
  await node.linkUp('front');
  await told(6);
  await running.stop();
  await told(7);
  // The state's own and the common one of six transitions, and one of the losing peer.
  const ran = (): boolean => lines(`${make}.scripts`).length === 13;
  await waitFor(`the scripts of ${make}`, ran, WAIT_MS);
}

it(
  'is the same as what keepalived tells them',
  async () => {
    const [ours, theirs] = topology.directors as [LabNode, LabNode];
    const shared = { version: 3, priority: PRIORITY } as const;
    const addresses = (vrid: number) => [`${virtualIp(vrid).ipv4}/24`];
    const peerNotify = await listener(theirs, 'keepalived');
    let peer: Keepalived | null = null;
    let director: Director | null = null;
    try {
      await live({ node: theirs, make: 'keepalived', vrid: 31 }, async () => {
        const rest = { intervalSeconds: INTERVAL_MS / 1000, addresses: addresses(31) };
        peer = await Keepalived.start(theirs, { ...shared, ...rest, vrid: 31, notify: peerNotify });
        return peer;
      });
      const { fifo, script } = await listener(ours, 'vipkeeper');
      await live({ node: ours, make: 'vipkeeper', vrid: 32 }, async () => {
        const own = (word: string) => `${script} own${word}`;
        const instance = {
          ...{ ...shared, interface: 'eth0', vrid: 32, interval: `${INTERVAL_MS}ms` },
          addresses: addresses(32),
          notify: {
            ...{ any: own(''), active: own('_master'), backup: own('_backup') },
            ...{ fault: own('_fault'), stop: own('_stop') },
            lower_priority: own('_master_rx_lower_pri'),
          },
        };
        director = await Director.start(ours, {
          config: { vrrp: { [NAME]: instance }, notify: { fifo, script_security: false } },
        });
        return director;
      });
    } finally {
      await (peer as Keepalived | null)?.dispose();
      await (director as Director | null)?.dispose();
    }
    const words = ['BACKUP', 'MASTER', 'MASTER_RX_LOWER_PRI', 'FAULT', 'BACKUP', 'MASTER', 'STOP'];
    const expected = words.map((word) => `INSTANCE "${NAME}" ${word} ${PRIORITY}`);
    expect(lines('keepalived.lines')).toEqual(expected);
    expect(lines('vipkeeper.lines')).toEqual(expected);
    expect(lines('vipkeeper.scripts').sort()).toEqual(lines('keepalived.scripts').sort());
    expect(lines('vipkeeper.scripts')).toContain(`5 own INSTANCE ${NAME} STOP ${PRIORITY}`);
  },
  TEST_TIMEOUT_MS,
);

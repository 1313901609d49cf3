/**
 * BFD beside real peers: keepalived's bfd_instance and FRR's bfdd, at 10 and 50 ms, over IPv4 and
 * IPv6. Both sides come up and stay, notice a cut that leaves the carrier within the detection
 * time, come up again, and part at once when one says so. Needs root and a build.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { BfdReport } from '../../src/core/status.ts';
import { type BfdPeer, type BfdPeerSession, FrrBfd, KeepalivedBfd } from '../lab/bfd-peers.ts';
import { Director } from '../lab/director.ts';
import { localMachine, waitFor } from '../lab/host.ts';
import {
  BFD_PEER_PACKAGES,
  ensurePackages,
  NETWORK_PACKAGES,
  PEER_PACKAGES,
} from '../lab/packages.ts';
import { type LabNode, Topology } from '../lab/topology.ts';

const SETUP_TIMEOUT_MS = 15 * 60_000;
const TEST_TIMEOUT_MS = 60_000;
/** What a busy machine adds between the end of the detection time and the log line's stamp. */
const LATE_MS_MAX = 250;
/** The first sessions need the peer's idle interval of a second, and neighbor discovery. */
const UP_TIMEOUT_MS = 15_000;

let topology: Topology;
let ours: LabNode;
let theirs: LabNode;
const processes: { dispose(): Promise<void> }[] = [];

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES, ...PEER_PACKAGES, ...BFD_PEER_PACKAGES]);
  topology = await Topology.create(localMachine, { directors: 2, realServers: 0, clients: 0 });
  [ours, theirs] = topology.directors as unknown as [LabNode, LabNode];
}, SETUP_TIMEOUT_MS);

afterAll(() => topology?.dispose());

afterEach(async () => {
  await ours.rejoin('front');
  for (const process of processes.splice(0).reverse()) await process.dispose();
});

interface Variant {
  readonly peer: 'keepalived' | 'FRR';
  readonly family: 'ipv4' | 'ipv6';
  readonly intervalMs: number;
  readonly multiplier: number;
  readonly multihop?: boolean;
}

const VARIANTS: readonly Variant[] = [
  { peer: 'keepalived', family: 'ipv4', intervalMs: 10, multiplier: 5 },
  { peer: 'keepalived', family: 'ipv6', intervalMs: 50, multiplier: 3 },
  { peer: 'FRR', family: 'ipv4', intervalMs: 10, multiplier: 5 },
  { peer: 'FRR', family: 'ipv6', intervalMs: 50, multiplier: 3 },
  { peer: 'FRR', family: 'ipv6', intervalMs: 50, multiplier: 4, multihop: true },
];

async function startOurs(variant: Variant): Promise<Director> {
  const { family, intervalMs, multiplier } = variant;
  const director = await Director.start(ours, {
    config: {
      vrrp: { beside: { interface: 'eth1', vrid: 7, addresses: ['198.51.100.207/24'] } },
      bfd: {
        peer: {
          neighbor: theirs.on('front')[family],
          source: ours.on('front')[family],
          ...(variant.multihop ? { multihop: true } : { interface: 'eth0' }),
          min_rx: `${intervalMs}ms`,
          min_tx: `${intervalMs}ms`,
          multiplier,
        },
      },
    },
  });
  processes.push(director);
  return director;
}

async function startPeer(variant: Variant): Promise<BfdPeer> {
  const { family, intervalMs, multiplier } = variant;
  const session: BfdPeerSession = {
    neighbor: ours.on('front')[family],
    source: theirs.on('front')[family],
    interface: variant.multihop ? null : 'eth0',
    intervalMs,
    multiplier,
  };
  const start = variant.peer === 'FRR' ? FrrBfd.start : KeepalivedBfd.start;
  const peer: BfdPeer = await start(theirs, session);
  processes.push(peer);
  return peer;
}

async function report(director: Director): Promise<BfdReport> {
  return (await director.status()).bfd[0] as BfdReport;
}

async function waitUntilUp(director: Director, peer: BfdPeer): Promise<void> {
  const bothUp = async () => (await report(director)).state === 'up' && (await peer.isUp());
  await director.waitFor('both sides to be up', bothUp, UP_TIMEOUT_MS);
}

describe.each(VARIANTS)('beside $peer over $family at $intervalMs ms x $multiplier', (variant) => {
  test(
    'both come up, notice a cut within the detection time, and come up again',
    async () => {
      const detectionMs = variant.intervalMs * variant.multiplier;
      const peer = await startPeer(variant);
      const director = await startOurs(variant);
      await waitUntilUp(director, peer);
      // Both have settled on the fast interval: the poll sequences are over.
      await director.waitFor('the agreed detection time', async () => {
        const { detectionTimeSeconds } = await report(director);
        return detectionTimeSeconds === detectionMs / 1000;
      });
      const settled = await report(director);
      expect(settled.transmitIntervalSeconds).toBe(variant.intervalMs / 1000);
      expect(settled.remoteState).toBe('up');
      const { mark } = director;
      const heard = settled.counters.packetsReceived;
      await director.waitFor('a hundred packets', async () => {
        return (await report(director)).counters.packetsReceived >= heard + 100;
      });

      const beforeCutMs = Date.now();
      await ours.isolate('front');
      const afterCutMs = Date.now();
      const line = await director.waitForLine('bfd', { from: 'up', to: 'down' }, mark);
      const downAtMs = Date.parse(line.at as string);
      expect(line.diagnostic).toBe('detection-time-expired');
      // Not before a detection time without the last packet, which came before the cut.
      expect(downAtMs).toBeGreaterThanOrEqual(beforeCutMs + detectionMs - 2 * variant.intervalMs);
      expect(downAtMs).toBeLessThanOrEqual(afterCutMs + detectionMs + LATE_MS_MAX);
      await waitFor('the peer to notice', async () => (await peer.reason()) === 'expired');

      await ours.rejoin('front');
      await waitUntilUp(director, peer);
      const { counters } = await report(director);
      expect(Object.values(counters.refused).reduce((sum, count) => sum + count)).toBe(0);
    },
    TEST_TIMEOUT_MS,
  );

  test(
    'the peer is told of a stop, and need not wait for the detection time',
    async () => {
      const peer = await startPeer(variant);
      const director = await startOurs(variant);
      await waitUntilUp(director, peer);
      await director.stop();
      await waitFor('the peer to be told', async () => (await peer.reason()) === 'neighbor-down');
    },
    TEST_TIMEOUT_MS,
  );
});

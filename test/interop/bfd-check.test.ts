/**
 * Checks by BFD with a real keeper and a real peer: FRR's bfdd is the server, the keeper's own
 * messages decide. The kernel of this machine need not have IPVS: what is looked at is the health
 * that the table would be made from. Needs root and a build.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Config } from '../../src/core/config/config.ts';
import { KEEPER_ENVIRONMENT, KEEPER_NODE_FLAGS } from '../../src/core/processes.ts';
import {
  type ControllerToKeeper,
  type KeeperPlan,
  type KeeperToController,
  PROTOCOL_VERSION,
} from '../../src/keeper/messages.ts';
import { TwinSupervisor } from '../../src/keeper/twin.ts';
import { FrrBfd } from '../lab/bfd-peers.ts';
import { localMachine, REPOSITORY, waitFor } from '../lab/host.ts';
import { BFD_PEER_PACKAGES, ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { inside } from '../lab/watch.ts';
import { configOf } from '../unit/config/read.ts';
import { joinChecks } from '../unit/controller/joined-checks.ts';

const SETUP_TIMEOUT_MS = 15 * 60_000;
const TEST_TIMEOUT_MS = 60_000;
/** Neighbor discovery, and packets a second apart, on a busy machine. */
const UP_TIMEOUT_MS = 15_000;
const INTERVAL_MS = 50;
const MULTIPLIER = 3;

let topology: Topology;
let ours: LabNode;
let theirs: LabNode;
const disposables: (() => unknown)[] = [];

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES, ...BFD_PEER_PACKAGES]);
  topology = await Topology.create(localMachine, { directors: 2, realServers: 0, clients: 0 });
  [ours, theirs] = topology.directors as unknown as [LabNode, LabNode];
}, SETUP_TIMEOUT_MS);

afterAll(() => topology?.dispose());

afterEach(async () => {
  await ours.rejoin('front');
  for (const dispose of disposables.splice(0).reverse()) await dispose();
});

/** A service whose one server is the peer, checked once an hour but for what the session tells. */
function configuration(runtimeDirectory: string): Config {
  const address = theirs.on('front').ipv4;
  const times = `min_rx: ${INTERVAL_MS}ms, min_tx: ${INTERVAL_MS}ms, multiplier: ${MULTIPLIER}`;
  return configOf(
    `runtime_directory: ${runtimeDirectory}\n` +
      `bfd: {server: {neighbor: ${address}, interface: eth0, ${times}}}\n` +
      `services: {s: {address: "192.0.2.201:80", check: {bfd: {}, interval: 1h}, servers: [${address}]}}\n`,
  );
}

function planOf(config: Config): KeeperPlan {
  return { ...config, instances: config.vrrp, fifo: null, tuning: config.keeper };
}

/** The keeper and the checks, joined as the controller joins them. */
async function start() {
  const runtimeDirectory = mkdtempSync(join(tmpdir(), 'vk-bfd-check-'));
  disposables.push(() => rmSync(runtimeDirectory, { recursive: true, force: true }));
  const config = configuration(runtimeDirectory);
  const { sessions, pool, changes, close } = await joinChecks(config);
  disposables.push(close);
  const states: string[] = [];
  let keepers = 0;
  const handle = (message: KeeperToController): void => {
    switch (message.kind) {
      case 'hello':
        keepers++;
        keeper.channel?.send({ kind: 'hello', protocol: PROTOCOL_VERSION, pid: process.pid });
        keeper.channel?.send({ kind: 'configure', plan: planOf(config) });
        return;
      case 'configured':
        sessions.keeperBegan();
        keeper.channel?.send({ kind: 'status-request', id: keepers });
        return;
      case 'status':
        return sessions.told(message.status.bfd);
      case 'bfd-state':
        states.push(message.to);
        return sessions.told([
          { name: message.session, state: message.to, diagnostic: message.diagnostic },
        ]);
      default:
        return;
    }
  };
  const command = {
    nodeFlags: KEEPER_NODE_FLAGS,
    script: join(REPOSITORY, 'dist', 'src', 'keeper-main.js'),
    args: [],
    env: KEEPER_ENVIRONMENT,
  };
  const keeper: TwinSupervisor<ControllerToKeeper, KeeperToController> = new TwinSupervisor(
    command,
    {
      onMessage: handle,
      onGone: () => {
        sessions.keeperLost();
        // A death within its first seconds is followed by a longer wait: the test starts the next.
        keeper.stopRestarting();
      },
    },
  );
  const stop = async () => {
    const { pid } = keeper;
    keeper.stopRestarting();
    keeper.kill('SIGKILL');
    if (pid !== null) await waitFor('the keeper to be gone', async () => keeper.pid === null);
  };
  disposables.push(stop);
  const begin = () => inside(ours, () => keeper.start());
  begin();
  const became = (to: 'up' | 'down', count: number) =>
    waitFor(
      `the server to be ${to}`,
      async () => changes.length === count && changes[count - 1]?.change.to === to,
      UP_TIMEOUT_MS,
    );
  return { pool, changes, states, keeper, begin, became };
}

function peer(): Promise<FrrBfd> {
  return FrrBfd.start(theirs, {
    neighbor: ours.on('front').ipv4,
    source: theirs.on('front').ipv4,
    interface: 'eth0',
    intervalMs: INTERVAL_MS,
    multiplier: MULTIPLIER,
  });
}

test(
  'the server is up while the session is, is down when it is cut off, and comes back',
  async () => {
    const server = await peer();
    disposables.push(() => server.dispose());
    const { changes, became } = await start();
    await became('up', 1);
    expect(changes[0]?.change).toMatchObject({
      from: 'unknown',
      reason: { kind: 'first-success' },
    });

    await ours.isolate('front');
    await became('down', 2);
    expect(changes[1]?.change.reason).toMatchObject({
      kind: 'fall',
      failure: {
        reason: 'session',
        detail: 'BFD session server is down: the neighbor fell silent',
      },
    });
    await ours.rejoin('front');
    await became('up', 3);
  },
  TEST_TIMEOUT_MS,
);

test(
  'a keeper that is killed, and the next one’s new session, take no server out',
  async () => {
    const server = await peer();
    disposables.push(() => server.dispose());
    const { pool, changes, states, keeper, begin, became } = await start();
    await became('up', 1);
    states.length = 0;
    keeper.kill('SIGKILL');
    await waitFor('the keeper to be gone', async () => keeper.pid === null);
    begin();
    await waitFor('the next session to be up', async () => states.at(-1) === 'up', UP_TIMEOUT_MS);
    expect(changes).toHaveLength(1);
    expect(pool.snapshot()[0]).toMatchObject({ status: 'up', failures: 0 });
  },
  TEST_TIMEOUT_MS,
);

test(
  'a server that never answers is not judged in its first seconds, and down then',
  async () => {
    const { pool, changes, became } = await start();
    expect(pool.snapshot()[0]?.status).toBe('unknown');
    await became('down', 1);
    expect(changes[0]?.change.reason).toMatchObject({
      kind: 'first-failure',
      failure: { detail: 'BFD session server is down: it has not come up yet' },
    });
  },
  TEST_TIMEOUT_MS,
);

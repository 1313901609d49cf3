/**
 * What the controller asks of a keeper that does not run waits beside its peers' advertisements:
 * the keeper hears those first, so a director that was stalled never goes on beside its successor.
 * The test is the controller of a keeper process of its own.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DEFAULTS, defaultAttributes } from '../../src/core/config/defaults.ts';
import {
  type ControllerToKeeper,
  type KeeperPlan,
  type KeeperToController,
  PROTOCOL_VERSION,
} from '../../src/keeper/messages.ts';
import { monotonicUs } from '../../src/linux/clock.ts';
import { Director } from '../lab/director.ts';
import { LabError, localMachine, waitFor } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { AddressWatch, AdvertWatch } from '../lab/watch.ts';

const KEEPER = fileURLToPath(new URL('../../dist/src/keeper-main.js', import.meta.url));
const VRID = 77;
const INTERVAL_US = 200_000;
const VIP = virtualIp(1).ipv4;

let topology: Topology;
let nodeA: LabNode;
let nodeB: LabNode;
let adverts: AdvertWatch;
let directory: string;

beforeAll(async () => {
  await ensurePackages(NETWORK_PACKAGES);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { realServers: 1 });
  [nodeA, nodeB] = topology.directors as [LabNode, LabNode];
  adverts = new AdvertWatch(topology.clients[0] as LabNode);
  directory = mkdtempSync(join(tmpdir(), 'vipkeeper-test-'));
}, 10 * 60_000);

afterAll(async () => {
  adverts?.close();
  await topology?.dispose();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

function planOf(runtimeDirectory: string): KeeperPlan {
  const attributes = defaultAttributes('ipv4', 24);
  const vip = { address: VIP, prefixLength: 24, interface: 'eth0', advertised: true, track: true };
  return {
    director: 'a',
    announceGroups: [],
    fifo: null,
    bfd: [],
    trackers: [],
    static: { addresses: [], routes: [], rules: [] },
    runtimeDirectory,
    tuning: DEFAULTS.keeper,
    instances: [
      {
        name: 'web',
        interface: 'eth0',
        family: 'ipv4',
        version: 3,
        vrid: VRID,
        priority: 150,
        advertIntervalUs: INTERVAL_US,
        preempt: false,
        preemptDelayUs: 0,
        checksum: 'auto',
        trackInterface: true,
        promoteSecondaries: false,
        password: null,
        hmac: null,
        sourceAddress: null,
        unicast: null,
        multicastGroup: DEFAULTS.vrrp.multicastGroup.ipv4,
        virtualLink: null,
        announce: DEFAULTS.vrrp.announce,
        ...DEFAULTS.vrrp.election,
        addresses: [{ ...vip, attributes }],
        group: null,
        track: [],
        routes: [],
        rules: [],
      },
    ],
  };
}

class Keeper {
  readonly heard: KeeperToController[] = [];
  readonly #child: ChildProcess;

  constructor(node: LabNode) {
    const argv = ['netns', 'exec', node.namespace, process.execPath, KEEPER];
    this.#child = spawn('ip', argv, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#child.on('message', (message) => {
      this.heard.push(...((Array.isArray(message) ? message : [message]) as KeeperToController[]));
    });
  }

  send(message: ControllerToKeeper): void {
    this.#child.send(message);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Waits for the next such transition: what was heard before is forgotten. */
  async became(state: string): Promise<Extract<KeeperToController, { kind: 'transition' }>> {
    const find = () =>
      this.heard.findIndex((message) => message.kind === 'transition' && message.to === state);
    await waitFor(`the keeper to be ${state}`, () => find() >= 0, 10_000);
    return this.heard.splice(0, find() + 1).at(-1) as Extract<
      KeeperToController,
      { kind: 'transition' }
    >;
  }
}

it('a handover and its taking back do not go before what a stalled keeper has to hear', async () => {
  const a = new Keeper(nodeA);
  const watch = new AddressWatch(nodeA);
  try {
    a.send({ kind: 'hello', protocol: PROTOCOL_VERSION, pid: process.pid });
    a.send({ kind: 'configure', plan: planOf(join(directory, 'run')) });
    await a.became('active');
    const b = await Director.start(nodeB, {
      name: 'b',
      config: {
        vrrp: {
          web: {
            interface: 'eth0',
            vrid: VRID,
            priority: 100,
            preempt: false,
            interval: `${INTERVAL_US / 1e6}s`,
            addresses: [`${VIP}/24`],
          },
        },
      },
    });
    try {
      await b.waitFor('the backup to hear', async () => (await b.instance('web')).peer !== null);
      // They wait in the channel before the first of b's advertisements waits in a socket.
      a.signal('SIGSTOP');
      a.send({ kind: 'handover', instances: ['web'] });
      a.send({ kind: 'takeback', instances: ['web'] });
      await b.waitForState('web', 'active');
      const ipB = nodeB.on('front').ipv4;
      await adverts.waitFrom(ipB, VRID, monotonicUs(), 3);
      const wokenUs = monotonicUs();
      a.signal('SIGCONT');
      expect(await a.became('backup')).toMatchObject({ reason: 'stalled', peer: ipB });
      await adverts.waitFrom(ipB, VRID, monotonicUs(), 3);
      expect(adverts.from(nodeA.on('front').ipv4, VRID, wokenUs)).toEqual([]);
      expect(watch.holds(VIP)).toBe(false);
    } finally {
      await b.dispose();
    }
  } finally {
    a.signal('SIGKILL');
    watch.close();
  }
}, 40_000);

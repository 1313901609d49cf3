/**
 * Interfaces that come and go: an instance is in fault while its interface is missing, and takes
 * part again when it is there, whatever index it has then.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Director } from '../lab/director.ts';
import { check, LabError, localMachine } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology } from '../lab/topology.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 40_000;

/** Interfaces may be missing at a start. */
const ANYTIME = { dynamic_interfaces: true };

let topology: Topology;
let node: LabNode;
let running: Director | null = null;

beforeAll(async () => {
  await ensurePackages(NETWORK_PACKAGES);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { directors: 1, realServers: 1 });
  node = topology.directors[0] as LabNode;
}, SETUP_TIMEOUT_MS);

afterEach(async () => {
  await node.run(['ip', 'link', 'delete', 'dyn1']);
  await running?.dispose();
  running = null;
});

afterAll(() => topology?.dispose());

/** A pair of interfaces, of which dyn0 is the instance's and has an address. */
async function makeInterface(): Promise<void> {
  await check(node, ['ip', 'link', 'add', 'dyn0', 'type', 'veth', 'peer', 'name', 'dyn1']);
  await check(node, ['ip', 'link', 'set', 'dyn1', 'up']);
  await check(node, ['ip', 'address', 'add', '203.0.113.2/24', 'dev', 'dyn0']);
  await check(node, ['ip', 'link', 'set', 'dyn0', 'up']);
}

/** Renames an interface while it is up; kernels before 6.2 rename only what is down. */
async function rename(from: string, to: string): Promise<void> {
  const live = await node.run(['ip', 'link', 'set', from, 'name', to]);
  if (live.code === 0) return;
  await check(node, ['ip', 'link', 'set', from, 'down']);
  await check(node, ['ip', 'link', 'set', from, 'name', to]);
  await check(node, ['ip', 'link', 'set', to, 'up']);
}

/** What of ours is on any interface. */
async function vips(): Promise<string[]> {
  const { stdout } = await node.run(['ip', '-4', '-o', 'address', 'show']);
  return ['203.0.113.10', '203.0.113.99'].filter((address) => stdout.includes(`${address}/24`));
}

async function hasVip(): Promise<boolean> {
  const { stdout } = await node.run(['ip', '-4', '-o', 'address', 'show']);
  return stdout.includes('203.0.113.10/24');
}

function instance(more: object = {}) {
  const addresses = ['203.0.113.10/24'];
  return { web: { interface: 'dyn0', vrid: 63, interval: '100ms', addresses, ...more } };
}

describe('an interface', () => {
  it(
    'that is missing at the start is waited for, may be renamed away and back, and be replaced',
    async () => {
      const config = { vrrp: instance(), keeper: ANYTIME };
      const director = await Director.start(node, { name: 'a', config });
      running = director;
      await director.waitForState('web', 'fault');
      expect((await director.instance('web')).reason).toBe('interface-missing');
      await makeInterface();
      await director.waitForState('web', 'active');
      expect(await hasVip()).toBe(true);

      await check(node, ['ip', 'link', 'set', 'dyn0', 'down']);
      await check(node, ['ip', 'link', 'set', 'dyn0', 'name', 'away0']);
      await director.waitForState('web', 'fault');
      await director.waitFor('the interface to be missed', async () => {
        return (await director.instance('web')).reason === 'interface-missing';
      });
      expect(await hasVip()).toBe(false);
      await check(node, ['ip', 'link', 'set', 'away0', 'name', 'dyn0']);
      await check(node, ['ip', 'link', 'set', 'dyn0', 'up']);
      await director.waitForState('web', 'active');
      expect(await hasVip()).toBe(true);

      await check(node, ['ip', 'link', 'delete', 'dyn0']);
      await director.waitForState('web', 'fault');
      await makeInterface();
      await director.waitForState('web', 'active');
      expect(await hasVip()).toBe(true);
      await check(node, ['ip', 'link', 'delete', 'dyn0']);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'that is renamed while it is up does not keep the VIP, nor what is static',
    async () => {
      await makeInterface();
      const addresses = [{ address: '203.0.113.99/24', interface: 'dyn0' }];
      const config = { vrrp: instance(), static: { addresses } };
      const director = await Director.start(node, { name: 'a', config });
      running = director;
      await director.waitForState('web', 'active');
      const shown = async (): Promise<string> =>
        (await check(node, ['ip', '-4', '-o', 'address', 'show'])).stdout;
      expect(await shown()).toContain('203.0.113.99/24');
      await rename('dyn0', 'away0');
      await director.waitForState('web', 'fault');
      expect(await hasVip()).toBe(false);
      expect(await shown()).not.toContain('203.0.113.99/24');
      expect(await shown()).toContain('203.0.113.2/24');
      await rename('away0', 'dyn0');
      await director.waitForState('web', 'active');
      expect(await hasVip()).toBe(true);
      await director.waitFor('the static address', async () =>
        (await shown()).includes('203.0.113.99/24'),
      );
      await check(node, ['ip', 'link', 'delete', 'dyn0']);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'that is renamed while nothing runs is found by the cleanup, and by the next keeper',
    async () => {
      await makeInterface();
      const addresses = [{ address: '203.0.113.99/24', interface: 'dyn0' }];
      const config = { vrrp: instance(), static: { addresses }, keeper: ANYTIME };
      const director = await Director.start(node, { name: 'a', config });
      running = director;
      for (const way of ['cleanup', 'start'] as const) {
        await director.waitForState('web', 'active');
        await director.kill('SIGKILL', 'both');
        await director.ended();
        await rename('dyn0', 'away0');
        expect(await vips()).toEqual(['203.0.113.10', '203.0.113.99']);
        if (way === 'cleanup') {
          const { stdout } = await director.run(['cleanup']);
          expect(stdout).toContain('Removed 203.0.113.10 from away0');
        } else {
          await director.restart();
          await director.waitForState('web', 'fault');
        }
        expect(await vips()).toEqual([]);
        await rename('away0', 'dyn0');
        if (way === 'cleanup') await director.restart();
      }
      await director.waitForState('web', 'active');
      await director.waitFor('both', async () => (await vips()).length === 2);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'that is a virtual link is replaced, renamed while it runs or while nothing does',
    async () => {
      await makeInterface();
      const config = { vrrp: instance({ vmac: true }) };
      const director = await Director.start(node, { name: 'a', config });
      running = director;
      for (const way of ['running', 'dead', 'cleanup'] as const) {
        await director.waitForState('web', 'active');
        if (way !== 'running') {
          await director.kill('SIGKILL', 'both');
          await director.ended();
        }
        await rename('vrrp.63', 'away63');
        if (way === 'cleanup') await director.run(['cleanup']);
        if (way === 'dead') await director.restart();
        await director.waitFor('the other name to be gone', async () => {
          const { stdout } = await node.run(['ip', '-o', 'link', 'show']);
          return !stdout.includes('away63') && stdout.includes('vrrp.63') === (way !== 'cleanup');
        });
        if (way === 'cleanup') break;
        await director.waitFor('the VIP', async () => {
          const { stdout } = await node.run([
            'ip',
            '-o',
            'address',
            'show',
            'dev',
            'vrrp.63',
            'up',
          ]);
          return stdout.includes('203.0.113.10/24');
        });
        await director.waitForState('web', 'active');
      }
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'that is down is no fault with track_interface false',
    async () => {
      await makeInterface();
      const config = { vrrp: instance({ track_interface: false }) };
      const director = await Director.start(node, { name: 'a', config });
      running = director;
      await director.waitForState('web', 'active');
      const mark = director.mark;
      await check(node, ['ip', 'link', 'set', 'dyn1', 'down']);
      const sent = async (): Promise<number> =>
        (await director.instance('web')).counters.sendErrors +
        (await director.instance('web')).counters.advertsSent;
      const before = await sent();
      await director.waitFor('ten more adverts', async () => (await sent()) >= before + 10);
      expect(director.lines('transition', {}, mark)).toEqual([]);
      expect(await hasVip()).toBe(true);
      await check(node, ['ip', 'link', 'delete', 'dyn0']);
    },
    TEST_TIMEOUT_MS,
  );
});

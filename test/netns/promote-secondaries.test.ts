/**
 * promote_secondaries on a real interface: the other virtual IPs of a network stay when its first
 * one goes, and the setting is what it was before when nobody needs it any more.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Director } from '../lab/director.ts';
import { makeTopology } from '../lab/namespaces.ts';
import type { LabNode, Topology } from '../lab/topology.ts';
import { AddressWatch } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 60_000;
const FIRST = '203.0.113.1';
const SECOND = '203.0.113.2';

let topology: Topology;
let node: LabNode;
let director: Director | null = null;

beforeAll(async () => {
  topology = await makeTopology({ directors: 1, realServers: 1 });
  [node] = topology.directors as [LabNode];
  await node.run(['sysctl', '-qw', 'net.ipv4.conf.all.promote_secondaries=0']);
  await node.run(['sysctl', '-qw', 'net.ipv4.conf.eth0.promote_secondaries=0']);
}, SETUP_TIMEOUT_MS);

afterEach(async () => {
  await director?.dispose();
  director = null;
});

afterAll(() => topology?.dispose());

function config(promote: boolean): Record<string, unknown> {
  const addresses = [`${FIRST}/24`, `${SECOND}/24`];
  const web = { interface: 'eth0', vrid: 73, addresses, promote_secondaries: promote };
  return { vrrp: { web: { ...web, interval: '100ms' } } };
}

async function setting(): Promise<string> {
  const { stdout } = await node.run(['sysctl', '-n', 'net.ipv4.conf.eth0.promote_secondaries']);
  return stdout.trim();
}

/** Which addresses went when another program removed the first one. */
async function removedWithFirst(started: Director): Promise<readonly string[]> {
  const watch = new AddressWatch(node);
  const mark = started.mark;
  await node.run(['ip', 'address', 'delete', `${FIRST}/24`, 'dev', 'eth0']);
  await started.waitForLine('address-restored', { address: FIRST }, mark);
  const removed = [FIRST, SECOND].filter((address) => watch.removals(address).length > 0);
  watch.close();
  return removed;
}

describe('promote_secondaries', () => {
  it(
    'keeps the others of a network, and is put back by a reload, a stop and after a crash',
    async () => {
      const started = await Director.start(node, { name: 'a', config: config(false) });
      director = started;
      await started.waitForState('web', 'active');
      expect(await setting()).toBe('0');
      expect(await removedWithFirst(started)).toEqual([FIRST, SECOND]);

      started.configure(config(true));
      await started.reload();
      expect(await setting()).toBe('1');
      // The second one was put back first, or last: what counts is which one is the first now.
      await node.run(['ip', 'address', 'delete', `${SECOND}/24`, 'dev', 'eth0']);
      await started.waitFor('both', async () => (await shown()).includes(SECOND));
      expect(await removedWithFirst(started)).toEqual([FIRST]);

      started.configure(config(false));
      await started.reload();
      expect(await setting()).toBe('0');
      started.configure(config(true));
      await started.reload();
      expect(await setting()).toBe('1');
      await started.kill('SIGKILL', 'both');
      await started.ended();
      expect(await setting()).toBe('1');
      expect((await started.run(['cleanup'])).code).toBe(0);
      expect(await setting()).toBe('0');
    },
    TEST_TIMEOUT_MS,
  );
});

async function shown(): Promise<string> {
  return (await node.run(['ip', 'address', 'show', 'dev', 'eth0'])).stdout;
}

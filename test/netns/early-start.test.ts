/**
 * A director as it is installed: the keeper begins with the plan of the last start while the
 * configuration is the same, else with what it reads itself, and where something is wrong with
 * that, or a controller is needed, it waits for its controller.
 */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Director } from '../lab/director.ts';
import { LabError, localMachine, waitFor } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { AddressWatch } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 60_000;
const [VIP, OTHER] = [virtualIp(1).ipv4, virtualIp(2).ipv4];
const ENDS_AS_AN_ERROR = 1;
const LAST_START = { plan: 'last-start' };

let topology: Topology;
let node: LabNode;
let watch: AddressWatch;
let director: Director | null = null;

beforeAll(async () => {
  await ensurePackages(NETWORK_PACKAGES);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { directors: 1, realServers: 1 });
  [node] = topology.directors as [LabNode];
}, SETUP_TIMEOUT_MS);

afterEach(async () => {
  watch?.close();
  await director?.dispose();
  director = null;
});

afterAll(() => topology?.dispose());

const WEB = { interface: 'eth0', vrid: 73, interval: '100ms', addresses: [`${VIP}/24`] };

function configOf(address: string, more: Readonly<Record<string, unknown>> = {}) {
  return { vrrp: { web: { ...WEB, addresses: [`${address}/24`] } }, ...more };
}

/** A director that has started once, and has stopped in order. */
async function seenBefore(more: Readonly<Record<string, unknown>> = {}): Promise<Director> {
  const started = await Director.start(node, { config: configOf(VIP, more) });
  director = started;
  await started.waitForState('web', 'active');
  expect(started.lines('early-start').map(({ plan }) => plan)).toEqual(['own-reading']);
  expect(await started.stop()).toBe(0);
  watch = new AddressWatch(node);
  return started;
}

const storedFile = (of: Director) => join(of.stateDirectory, 'start.json');

describe('the next start', () => {
  it(
    'begins with the plan of the last one, and goes on with what is read',
    async () => {
      const again = await seenBefore();
      expect(statSync(storedFile(again)).mode & 0o777).toBe(0o600);
      const mark = again.mark;
      await again.restart();
      await again.waitForLine('early-start', LAST_START, mark);
      await again.waitForState('web', 'active');
      const states = again.lines('transition', {}, mark).map(({ to }) => to);
      expect(states).toEqual(['backup', 'active']);
      // A reload, and a crash of the keeper, find an ordinary director; the interval is one that
      // the next keeper's start does not exceed on a busy machine.
      const slow = { vrrp: { web: { ...WEB, interval: '2s', addresses: [`${OTHER}/24`] } } };
      again.configure(slow);
      await again.reload();
      await again.waitFor('the other address', async () => watch.holds(OTHER));
      expect(watch.holds(VIP)).toBe(false);
      const crashed = again.mark;
      await again.kill('SIGKILL', 'keeper');
      await again.waitForLine('transition', { to: 'active', reason: 'adopted' }, crashed);
      expect(again.lines('early-start', {}, crashed)).toEqual([]);
      // The process that was started is the one that was killed.
      await again.stop();
      // What was reloaded is what the next start begins with.
      const reloaded = again.mark;
      await again.restart();
      await again.waitForLine('early-start', LAST_START, reloaded);
      await again.waitForState('web', 'active', TEST_TIMEOUT_MS);
      expect([watch.holds(OTHER), watch.holds(VIP)]).toEqual([true, false]);
      expect(await again.stop()).toBe(0);
    },
    TEST_TIMEOUT_MS,
  );

  it.each<[string, (of: Director) => void]>([
    ['the file was changed', (of) => of.configure(configOf(OTHER))],
    [
      'the plan was tampered with',
      (of) => {
        const text = readFileSync(storedFile(of), 'latin1');
        expect(text).toContain(VIP);
        writeFileSync(storedFile(of), text.replaceAll(VIP, OTHER), 'latin1');
      },
    ],
    ['the plan is another build', (of) => writeFileSync(storedFile(of), '{}')],
  ])(
    'begins with its configuration as it is now when %s',
    async (what, change) => {
      const again = await seenBefore();
      change(again);
      const mark = again.mark;
      await again.restart();
      await again.waitForState('web', 'active');
      await again.waitForLine('early-start', { plan: 'own-reading' }, mark);
      expect(again.lines('early-start', LAST_START, mark)).toEqual([]);
      const [held, not] = what === 'the file was changed' ? [OTHER, VIP] : [VIP, OTHER];
      expect(watch.holds(held)).toBe(true);
      expect(watch.additions(not)).toEqual([]);
      expect(await again.stop()).toBe(0);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'waits for its controller where an instance could be active before it',
    async () => {
      const { web } = configOf(VIP).vrrp;
      const script = { script: '/bin/true' };
      const config = { vrrp: { web: { ...web, track: ['up'] } }, trackers: { up: script } };
      director = await Director.start(node, { config });
      await director.waitForState('web', 'active');
      expect(director.lines('early-start')).toEqual([]);
      expect(await director.stop()).toBe(0);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'of another director begins with its own values',
    async () => {
      const priority = { a: 150, b: 100 };
      const config = { vrrp: { web: { ...WEB, priority } } };
      const started = await Director.start(node, { config });
      director = started;
      await started.waitForState('web', 'active');
      expect(await started.stop()).toBe(0);
      const mark = started.mark;
      await started.restart('b');
      expect((await started.instance('web')).configuredPriority).toBe(100);
      expect(started.lines('early-start', LAST_START, mark)).toEqual([]);
      expect(await started.stop()).toBe(0);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'ends in order when its controller cannot start, and leaves nothing behind',
    async () => {
      const again = await seenBefore({ http: { listen: '127.0.0.1:9114' } });
      const listen =
        "require('net').createServer().listen(9114, '127.0.0.1', () => console.log('listens'))";
      let said = '';
      const holder = await node.spawn([process.execPath, '-e', listen], {
        onStdout: (chunk) => {
          said += chunk.toString('utf8');
        },
      });
      try {
        await waitFor('the port to be taken', () => said !== '');
        await expect(again.restart()).rejects.toThrow(`ended with ${ENDS_AS_AN_ERROR}`);
      } finally {
        holder.kill('SIGKILL');
        await holder.exited;
      }
      expect(again.stderr).toMatch(/^VK-PORT-IN-USE: /m);
      expect(watch.holds(VIP)).toBe(false);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'with an error in the file ends as the first one would',
    async () => {
      const again = await seenBefore();
      again.configure(configOf(VIP, { unknown: 1 }));
      await expect(again.restart()).rejects.toThrow(`ended with ${ENDS_AS_AN_ERROR}`);
      expect(again.stderr).toContain('unknown');
      expect(watch.additions(VIP)).toEqual([]);
    },
    TEST_TIMEOUT_MS,
  );
});

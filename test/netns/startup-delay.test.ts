/**
 * keeper.startup_delay on a real director: silent while it lasts, also across a reload, and not
 * for a keeper that goes on with what a dead one held.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Director } from '../lab/director.ts';
import { LabError, localMachine } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { AddressWatch } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 40_000;
const VIP = virtualIp(1).ipv4;
const DELAY_SECONDS = 4;

let topology: Topology;
let node: LabNode;
let director: Director | null = null;

beforeAll(async () => {
  await ensurePackages(NETWORK_PACKAGES);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { realServers: 1 });
  [node] = topology.directors as [LabNode];
}, SETUP_TIMEOUT_MS);

afterEach(async () => {
  await director?.dispose();
  director = null;
});

afterAll(() => topology?.dispose());

const config = {
  vrrp: { web: { interface: 'eth0', vrid: 71, priority: 255, addresses: [`${VIP}/24`] } },
  keeper: { startup_delay: `${DELAY_SECONDS}s` },
};

describe('keeper.startup_delay', () => {
  it(
    'keeps even an owner silent while it lasts, and not after a crash',
    async () => {
      const started = await Director.start(node, { name: 'a', config });
      director = started;
      const waiting = await started.instance('web');
      expect(waiting).toMatchObject({ state: 'backup', reason: 'startup-delay' });
      expect(waiting.startsInSeconds).toBeGreaterThan(0);
      expect(waiting.startsInSeconds).toBeLessThanOrEqual(DELAY_SECONDS);
      expect((await started.run(['explain', 'web'])).stdout).toContain(
        'Startup delay: for another',
      );
      expect((await started.run(['reload'])).code).toBe(0);
      await started.waitForState('web', 'active');
      const active = await started.instance('web');
      expect(active.startsInSeconds).toBe(null);
      const [from, to] = ['backup', 'active'].map((state) => {
        const line = started.lines('transition', { to: state })[0];
        return Date.parse(String(line?.at));
      }) as [number, number];
      // The reload did not begin it anew, nor end it; stamps have whole milliseconds.
      expect(to - from).toBeGreaterThan(DELAY_SECONDS * 1000 - 250);
      expect(active.counters.advertsSent).toBeLessThan((Date.now() - to) / 1000 + 3);

      const watch = new AddressWatch(node);
      const mark = started.mark;
      await started.kill('SIGKILL', 'keeper');
      const changes = () => started.lines('transition', {}, mark);
      await started.waitFor('the next keeper', async () => changes().length > 0);
      expect(changes().map(({ to, reason }) => [to, reason])).toEqual([['active', 'adopted']]);
      expect(watch.removals(VIP)).toEqual([]);
      watch.close();
    },
    TEST_TIMEOUT_MS,
  );
});

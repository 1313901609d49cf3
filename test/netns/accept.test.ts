/**
 * accept: false on real sockets: an active director answers ARP and neighbour solicitations for its
 * virtual IPs and takes no other packet to them, from the first moment to the last, whatever becomes
 * of its keeper and of the packet filter's rules.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Director } from '../lab/director.ts';
import { LabError, localMachine } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES, PEER_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 60_000;
const VIP = virtualIp(1);

let topology: Topology;
let node: LabNode;
let client: LabNode;
let director: Director | null = null;

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES, ...PEER_PACKAGES]);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { directors: 1, realServers: 1, clients: 1 });
  [node] = topology.directors as [LabNode];
  [client] = topology.clients as [LabNode];
}, SETUP_TIMEOUT_MS);

afterEach(async () => {
  await director?.dispose();
  director = null;
  // Directors that are disposed of are killed.
  await node.run(['nft', 'flush', 'ruleset']);
});

afterAll(() => topology?.dispose());

function config(more: object): Record<string, unknown> {
  const addresses = [`${VIP.ipv4}/24`, `${VIP.ipv6}/64`];
  return { vrrp: { web: { interface: 'eth0', vrid: 72, interval: '100ms', addresses, ...more } } };
}

async function start(more: object): Promise<Director> {
  director = await Director.start(node, { name: 'a', config: config(more) });
  await director.waitForState('web', 'active');
  return director;
}

/** Whether the client gets an answer from this address. */
async function answers(address: string): Promise<boolean> {
  const { code } = await client.run(['ping', '-c', '1', '-W', '1', address]);
  return code === 0;
}

async function table(): Promise<string> {
  const { stdout } = await node.run(['nft', 'list', 'ruleset']);
  return stdout;
}

async function resolves(address: string): Promise<boolean> {
  const { stdout } = await client.run(['ip', 'neighbour', 'show', address]);
  return stdout.includes(node.on('front').mac);
}

const tableIsGone = async (): Promise<boolean> => !(await table()).includes('vipkeeper');

describe('accept', () => {
  it(
    'is on by default, and the packet filter is left alone',
    async () => {
      await start({});
      expect(await answers(VIP.ipv4)).toBe(true);
      expect(await answers(VIP.ipv6)).toBe(true);
      expect(await table()).toBe('');
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'is always on for an owner',
    async () => {
      await start({ accept: false, priority: 255 });
      expect(await answers(VIP.ipv4)).toBe(true);
      expect(await table()).toBe('');
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'false: neighbours resolve the virtual IPs, and nothing else is taken',
    async () => {
      const started = await start({ accept: false });
      for (const address of [VIP.ipv4, VIP.ipv6]) {
        await client.run(['ip', 'neighbour', 'flush', 'to', address]);
        expect(await answers(address), address).toBe(false);
        expect(await resolves(address), address).toBe(true);
      }
      expect(await answers(node.on('front').ipv4)).toBe(true);
      expect(await answers(node.on('front').ipv6)).toBe(true);
      const shown = await table();
      expect(shown).toContain('type filter hook input priority 150; policy accept;');
      expect(shown).toMatch(/ip daddr @ipv4 counter packets [1-9]\d* bytes \d+ drop/);
      expect(shown).toMatch(/ip6 daddr @ipv6 counter packets [1-9]\d* bytes \d+ drop/);

      // A reload changes it there and then, in both directions.
      started.configure(config({ accept: true }));
      await started.reload();
      await started.waitFor('no table', tableIsGone);
      expect(await answers(VIP.ipv4)).toBe(true);
      started.configure(config({ accept: false }));
      await started.reload();
      await started.waitFor('the table', async () => (await table()).includes(VIP.ipv4));
      expect(await answers(VIP.ipv4)).toBe(false);
      expect(await started.stop()).toBe(0);
      expect(await tableIsGone()).toBe(true);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'false: outlives the keeper, and a flush of the rule set',
    async () => {
      const started = await start({ accept: false, interval: '1s' });
      // Every answer would be one too many.
      let output = '';
      const pings = await client.spawn(['ping', '-q', '-i', '0.005', VIP.ipv4], {
        onStdout: (chunk) => {
          output += chunk.toString('utf8');
        },
      });
      const mark = started.mark;
      await started.kill('SIGKILL', 'keeper');
      await started.waitForLine('transition', { reason: 'adopted' }, mark);
      pings.kill('SIGINT');
      await pings.exited;
      const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(output) ?? [];
      expect(received).toBe('0');
      expect(Number(sent)).toBeGreaterThan(5);
      await node.run(['nft', 'flush', 'ruleset']);
      await started.waitFor('the table again', async () => (await table()).includes(VIP.ipv6));
      expect(await answers(VIP.ipv4)).toBe(false);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    'false: cleanup takes away what two dead processes left',
    async () => {
      const started = await start({ accept: false });
      await started.kill('SIGKILL', 'both');
      await started.ended();
      expect(await table()).toContain(VIP.ipv4);
      expect((await started.run(['cleanup'])).code).toBe(0);
      expect(await tableIsGone()).toBe(true);
    },
    TEST_TIMEOUT_MS,
  );
});

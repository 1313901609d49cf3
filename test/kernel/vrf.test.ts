/**
 * Directors whose interfaces are in a VRF: they elect, and their VIPs answer there, on the
 * interface itself and on a virtual link, which is made in the VRF too. By unicast they elect
 * through the VRF, whichever interface that takes. Needs a kernel with VRFs.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { check } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { Vm } from '../lab/vm.ts';
import { GuestDirector, Peer, SETUP_MS, TEST_MS } from './guest.ts';

const VIP = '192.0.2.201';
const ALL_ACTIVE = 'active,active,active,active';
const OWN_LINK = '192.0.2.202';
const FAR = '192.0.2.203';
const SIX = '2001:db8:1::201';

let vm: Vm;
let client: LabNode;
let directors: [GuestDirector, GuestDirector];

beforeAll(async () => {
  vm = await Vm.start();
  await check(vm, ['modprobe', 'vrf']);
  const topology = await Topology.create(vm, { realServers: 1 });
  client = topology.clients[0] as LabNode;
  const peer = await Peer.start(client);
  for (const node of topology.directors) {
    await check(node, ['ip', 'link', 'add', 'red', 'type', 'vrf', 'table', '10']);
    await check(node, ['ip', 'link', 'set', 'red', 'up']);
    // IPv6 addresses would go with the change of the routing table.
    await check(node, ['sysctl', '-qw', 'net.ipv6.conf.eth0.keep_addr_on_down=1']);
    for (const name of ['eth0', 'eth1']) {
      await check(node, ['ip', 'link', 'set', name, 'master', 'red']);
    }
  }
  const made = topology.directors.map((node) => new GuestDirector(vm, node, peer));
  directors = made as [GuestDirector, GuestDirector];
  const common = {
    ...{ interface: 'eth0', interval: '1s' },
    priority: { director1: 150, director2: 100 },
  };
  const vrrp = {
    web: { ...common, vrid: 51, addresses: [`${VIP}/24`] },
    six: { ...common, vrid: 51, addresses: [`${SIX}/64`] },
    // Peers know this director by its address on eth1, the virtual IP is on eth0.
    far: {
      ...{ ...common, interface: 'red', vrid: 53, peers: ['198.51.100.11', '198.51.100.12'] },
      addresses: [{ address: `${FAR}/24`, interface: 'eth0' }],
    },
    own: { ...common, vrid: 52, vmac: true, addresses: [`${OWN_LINK}/24`] },
  };
  for (const director of directors) {
    await director.configure({ vrrp });
    await director.start();
  }
}, SETUP_MS);

afterAll(() => vm?.stop());

it(
  'elect in the VRF, and what is active answers there',
  async () => {
    const [first, second] = directors;
    const states = async (director: GuestDirector) =>
      (await director.tryStatus())?.instances.map(({ state }) => state).join();
    await first.until('the first', async () => (await states(first)) === ALL_ACTIVE);
    await second.until('it to be heard', async () => {
      const instances = (await second.tryStatus())?.instances ?? [];
      return instances.length === 4 && instances.every(({ peer }) => peer !== null);
    });
    expect(await states(second)).toBe('backup,backup,backup,backup');
    const [, , far] = (await second.tryStatus())?.instances ?? [];
    expect(far).toMatchObject({ name: 'far', sourceAddress: '198.51.100.12' });
    expect(far?.peer?.address).toBe('198.51.100.11');
    const { stdout } = await check(first.node, ['ip', '-o', 'link', 'show', 'vrrp.52']);
    expect(stdout).toContain('master red');
    for (const vip of [VIP, OWN_LINK, FAR, SIX]) {
      await check(client, ['ping', '-n', '-c', '3', '-i', '0.2', '-W', '5', vip]);
    }
    const { stdout: neighbour } = await check(client, ['ip', 'neigh', 'show', 'to', OWN_LINK]);
    expect(neighbour).toContain('00:00:5e:00:01:34');
  },
  TEST_MS,
);

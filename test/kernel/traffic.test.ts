/**
 * A client's traffic through a running director on a real kernel: every way of forwarding, address
 * family and protocol, services of all ports, and every scheduler beside the same table made by
 * ipvsadm.
 *
 * The first director runs vipkeeper; the second has its table from ipvsadm. The client reaches
 * the virtual IPs of the schedulers by a route, and so either of the two, by turns.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check, REPOSITORY } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { Vm } from '../lab/vm.ts';
import { GuestDirector, Peer, SETUP_MS, TEST_MS, until } from './guest.ts';
import {
  ALL_PORTS,
  allPortsServices,
  MARKED_PORT,
  outerOf,
  PATHS,
  type Path,
  PORT,
  pathDirectorScript,
  pathServerScript,
  pathServices,
  REAL_SERVERS,
  VIPS,
} from './traffic-paths.ts';
import {
  DIRECT_VIP,
  DISTRIBUTIONS,
  type Distribution,
  distributionDirectorScript,
  distributionServerScript,
  distributionServices,
  EXTRA_SOURCES,
  requestsTo,
  SCHEDULED_NETWORK,
  SCHEDULED_PORTS,
  scheduledTable,
} from './traffic-schedulers.ts';

const SERVER = `${REPOSITORY}/dist/test/kernel/traffic-server.js`;
/** Tunnels of every kind, and SCTP. */
const MODULES = ['sctp', 'sit', 'ip6_tunnel', 'ip_gre', 'ip6_gre', 'fou', 'fou6'];
const BOTH = ['real1', 'real2'];

const CONFIG = {
  vrrp: {
    all: {
      interface: 'eth0',
      vrid: 51,
      interval: '1s',
      addresses: [
        ...VIPS.ipv4.map((vip) => `${vip}/24`),
        ...VIPS.ipv6.map((vip) => `${vip}/64`),
        { address: '198.51.100.1/24', interface: 'eth1' },
        { address: '2001:db8:2::1/64', interface: 'eth1' },
      ],
    },
  },
  services: { ...pathServices(), ...allPortsServices(), ...distributionServices() },
  ipvs: { reconcile_interval: '2s' },
};

let vm: Vm;
let client: LabNode;
let realServers: readonly LabNode[];
let director: GuestDirector;
let byHand: LabNode;
let peer: Peer;

beforeAll(async () => {
  vm = await Vm.start();
  await check(vm, ['modprobe', '-a', ...MODULES]);
  const topology = await Topology.create(vm, { realServersOnFront: true });
  realServers = topology.realServers;
  client = topology.clients[0] as LabNode;
  byHand = topology.directors[1] as LabNode;
  const node = topology.directors[0] as LabNode;
  for (const server of realServers) {
    const script = pathServerScript() + distributionServerScript(server.name);
    await check(server, ['sh', '-e'], { stdin: script });
  }
  await check(node, ['sh', '-e'], { stdin: pathDirectorScript() + distributionDirectorScript() });
  await check(byHand, ['sh', '-e'], { stdin: distributionDirectorScript() });
  await check(byHand, ['ipvsadm', '-R'], { stdin: `${scheduledTable().join('\n')}\n` });
  const addresses = EXTRA_SOURCES.map((source) => `addr add ${source}/24 dev eth0`);
  await check(client, ['ip', '-batch', '-'], { stdin: `${addresses.join('\n')}\n` });
  peer = await Peer.start(client);
  director = new GuestDirector(vm, node, peer);
  await director.configure(CONFIG);
  await Promise.all([director.start(), ...realServers.map(startServers)]);
  await director.started();
}, SETUP_MS);

afterAll(() => vm?.stop());

/** Starts what answers on a real server, and waits until it listens. */
async function startServers(node: LabNode): Promise<void> {
  let listening = false;
  const own = REAL_SERVERS[node.name] as { readonly ipv4: string; readonly ipv6: string };
  const places = [...VIPS.ipv4, ...VIPS.ipv6, own.ipv4, own.ipv6].flatMap((address) =>
    [PORT, MARKED_PORT].map((port) => `${address}#${port}`),
  );
  const direct = SCHEDULED_PORTS.udp.map((port) => `${DIRECT_VIP}#${port}`);
  const options = [
    ...['--name', node.name, '--tcp', [PORT, MARKED_PORT, ...SCHEDULED_PORTS.tcp].join(',')],
    ...['--udp', [...places, ...direct].join(',')],
  ];
  await node.spawn([process.execPath, SERVER, ...options], {
    onStdout: () => {
      listening = true;
    },
  });
  for (const family of ['pf=ip4', 'pf=ip6,ipv6only=1']) {
    const answer = `SYSTEM:echo ${node.name}`;
    for (const port of [PORT, MARKED_PORT]) {
      await node.spawn(['socat', `SCTP-LISTEN:${port},${family},reuseaddr,fork`, answer]);
    }
  }
  await until(`${node.name} to listen`, () => listening);
}

/** Packets by what encloses them, both real servers together. */
async function outerPackets(): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const server of realServers) {
    const { stdout } = await check(server, ['nft', 'list', 'table', 'inet', 'wire']);
    for (const [, packets, name] of stdout.matchAll(/packets (\d+) .*comment "([^"]+)"/g)) {
      counts.set(name as string, (counts.get(name as string) ?? 0) + Number(packets));
    }
  }
  return counts;
}

/** Names of the servers that answered two SCTP associations. */
async function associations(vip: string, port: number): Promise<string[]> {
  const place = vip.includes(':') ? `[${vip}]` : vip;
  const argv = ['socat', '-u', '-T', '10', `SCTP-CONNECT:${place}:${port}`, '-'];
  const ended = await Promise.all([client.run(argv), client.run(argv)]);
  return ended.map(({ stdout, stderr }) => stdout.trim() || stderr.trim());
}

/** What a server says when it was reached by this path at this port. */
function answerOf(name: string, { forwarding, vip, outer }: Path, port: number): string {
  const own = REAL_SERVERS[name]?.[outer] ?? '';
  return `${name} ${forwarding === 'nat' ? own : vip}#${port}`;
}

/** After the last path. */
let counted = new Map<string, number>();

describe('forwarding', { timeout: TEST_MS }, () => {
  it.each(PATHS.map((path) => [path.name, path] as const))('%s', async (_name, path) => {
    const { vip } = path;
    const two = (protocol: 'tcp' | 'udp', port: number) => {
      return Array.from({ length: 2 }, () => ({ protocol, host: vip, port }));
    };
    const found: Record<string, string[]> = {
      tcp: (await peer.exchange(two('tcp', PORT))).sort(),
      udp: (await peer.exchange(two('udp', PORT))).sort(),
      sctp: (await associations(vip, PORT)).sort(),
      'marked tcp': (await peer.exchange(two('tcp', MARKED_PORT))).sort(),
      'marked udp': (await peer.exchange(two('udp', MARKED_PORT))).sort(),
      'marked sctp': (await associations(vip, MARKED_PORT)).sort(),
    };
    await peer.release();
    const [wanted, marked] = [PORT, MARKED_PORT].map((port) =>
      BOTH.map((name) => answerOf(name, path, port)),
    );
    expect(found).toEqual({
      tcp: wanted,
      udp: wanted,
      sctp: BOTH,
      'marked tcp': marked,
      'marked udp': marked,
      'marked sctp': BOTH,
    });
    // Each of the twelve has at least one packet, and nothing else travels in tunnels meanwhile.
    const before = counted;
    counted = await outerPackets();
    const used = [...counted].filter(([name, count]) => count - (before.get(name) ?? 0) >= 12);
    const raised = [...counted].filter(([name, count]) => count > (before.get(name) ?? 0));
    const outer = outerOf(path);
    expect(used.map(([name]) => name)).toEqual(outer === null ? [] : [outer]);
    expect(raised).toEqual(used);
  });
});

describe('a service of all ports', { timeout: TEST_MS }, () => {
  it.each(ALL_PORTS.map((path) => [path.name, path] as const))(
    '%s: a client has one server at every port that it asks for',
    async (_name, path) => {
      const { vip } = path;
      const ports = [PORT, MARKED_PORT, ...SCHEDULED_PORTS.tcp.slice(0, 2), PORT];
      const ask = (protocol: 'tcp' | 'udp', asked: readonly number[]) =>
        peer.exchange(asked.map((port) => ({ protocol, host: vip, port })));
      const tcp = await ask('tcp', ports);
      const udp = await ask('udp', [PORT, MARKED_PORT]);
      await peer.release();
      const wanted = (said: readonly string[], asked: readonly number[]) => {
        const name = said[0]?.split(' ')[0] ?? '';
        expect(BOTH).toContain(name);
        return asked.map((port) => answerOf(name, path, port));
      };
      expect(tcp).toEqual(wanted(tcp, ports));
      expect(udp).toEqual(wanted(udp, [PORT, MARKED_PORT]));
      // One template of the client for each protocol, whichever port it came to.
      const place = vip.includes(':') ? `[${vip}]` : vip;
      const lines = await director.ipvsadm('-Lcn');
      const templates = lines.filter((line) => line.includes(` ${place}:0 `));
      expect(templates.map((line) => line.split(' ')[0]).sort()).toEqual(['TCP', 'UDP']);
    },
  );
});

/** Sends all requests through one director; its address on the front, and the servers' way back. */
async function distribute(front: string, back: string): Promise<Map<string, string[]>> {
  await check(client, ['ip', 'route', 'replace', SCHEDULED_NETWORK, 'via', front]);
  for (const server of realServers) {
    const route = ['ip', 'route', 'replace', 'default', 'via', back, 'table', '100'];
    await check(server, route);
  }
  const answers = new Map<string, string[]>();
  for (const one of DISTRIBUTIONS) {
    answers.set(one.name, await peer.exchange(requestsTo(one)));
    await peer.release();
  }
  return answers;
}

describe('schedulers', { timeout: TEST_MS }, () => {
  it('send the same requests to the same servers as with the same table made by ipvsadm', async () => {
    const own = await distribute('192.0.2.11', '198.51.100.1');
    const peers = await distribute('192.0.2.12', '198.51.100.12');
    // It draws two servers by lot for each connection.
    for (const answers of [own, peers]) {
      expect(new Set(answers.get('twos')).size).toBeGreaterThan(1);
      expect(answers.get('twos')?.filter((said) => !/^real[12] 198/.test(said))).toEqual([]);
      answers.delete('twos');
    }
    expect(Object.fromEntries(own)).toEqual(Object.fromEntries(peers));
    // Whoever is refused is refused by a flag, a weight of 0 or a threshold; all others are answered.
    const refuses = ({ scheduler, weights, flags, upperThreshold }: Distribution) =>
      upperThreshold > 0 ||
      (['sh', 'mh'].includes(scheduler) &&
        weights.includes(0) &&
        !flags.includes(`${scheduler}-fallback`));
    for (const one of DISTRIBUTIONS.filter(({ name }) => name !== 'twos')) {
      const unanswered = own.get(one.name)?.filter((said) => !/^real[12] /.test(said)) ?? [];
      const allowed = unanswered.filter((said) => refuses(one) && said === 'ECONNREFUSED');
      expect([one.name, unanswered]).toEqual([one.name, allowed]);
    }
    const servers = (name: string) => new Set(own.get(name)?.filter((said) => /^real/.test(said)));
    for (const name of ['rr', 'wrr', 'lc', 'wlc', 'sed', 'nq', 'sh', 'mh', 'dh', 'ovf']) {
      expect([name, servers(name).size]).toEqual([name, expect.toSatisfy((n: number) => n > 1)]);
    }
    // What a server that is out would have got is refused, or with the flag goes to others.
    expect(own.get('sh, one server out')).toContain('ECONNREFUSED');
    for (const name of ['sh, sh-fallback, one server out', 'mh, mh-fallback, one server out']) {
      expect([name, own.get(name)]).toEqual([name, expect.not.arrayContaining(['ECONNREFUSED'])]);
    }
    const fo = DISTRIBUTIONS.find(({ name }) => name === 'fo');
    expect(own.get('fo')).toEqual(Array(12).fill(`real1 198.51.100.101#${fo?.port}`));
    const eight = own.get('wlc, thresholds') ?? [];
    expect(eight.filter((said) => said === 'ECONNREFUSED').length).toBe(12 - 4 * 2);
  });
});

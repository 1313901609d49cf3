/**
 * Unicast between two real directors on one LAN and across a router: they elect one, the other
 * takes over in the protocol's time, and nothing is multicast. What comes from elsewhere, by the
 * wrong way or from too far is refused under its own name, and explained. One list of peers serves
 * both directors.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseIp } from '../../src/core/ip.ts';
import { explainInstance } from '../../src/core/vrrp/explain.ts';
import { activeDownIntervalUs } from '../../src/core/vrrp/timing.ts';
import type { RefusalReason } from '../../src/core/vrrp/types.ts';
import { encodeAdvertisement, MAX_ADVERTISEMENT_BYTES } from '../../src/core/wire/vrrp.ts';
import { ifIndex } from '../../src/linux/libc.ts';
import { type ReceivedScope, VrrpReceiver, VrrpSender } from '../../src/linux/vrrp-socket.ts';
import { Director } from '../lab/director.ts';
import { check, LabError, localMachine, waitFor } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES, PEER_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { AdvertWatch, inside } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 60_000;
const INTERVAL_US = 100_000;
/** A busy machine may make a process late, but not by more than a down interval. */
const DOWN_US = activeDownIntervalUs({ version: 3, priority: 100 }, INTERVAL_US);

const V4 = 51;
const V6 = 52;
const LINK_LOCAL = 53;
const PLAIN = 54;
/** Multicast group of the instance PLAIN. */
const GROUP = '239.1.2.3';

let topology: Topology;
let nodeA: LabNode;
let nodeB: LabNode;
let router: LabNode;
let client: LabNode;
let watchB: AdvertWatch;
const disposables: { dispose(): Promise<void> }[] = [];

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES, ...PEER_PACKAGES]);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { realServers: 1, realServersOnFront: true });
  [nodeA, nodeB] = topology.directors as [LabNode, LabNode];
  [router] = topology.realServers as [LabNode];
  [client] = topology.clients as [LabNode];
  watchB = new AdvertWatch(nodeB);
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  watchB?.close();
  for (const disposable of disposables) await disposable.dispose();
  await topology?.dispose();
});

async function startBoth(config: Readonly<Record<string, unknown>>) {
  const directors = await Promise.all([
    Director.start(nodeA, { name: 'a', config }),
    Director.start(nodeB, { name: 'b', config }),
  ]);
  disposables.push(...directors);
  return directors;
}

const common = {
  interface: 'eth0',
  interval: `${INTERVAL_US / 1000}ms`,
  priority: { a: 150, b: 100 },
};

function lanConfig() {
  const [a, b] = [nodeA.on('front'), nodeB.on('front')];
  return {
    vrrp: {
      v4: {
        ...common,
        ...{ vrid: V4, addresses: [`${virtualIp(1).ipv4}/24`] },
        peers: [a.ipv4, { address: b.ipv4, min_ttl: 255 }],
      },
      v6: {
        ...common,
        ...{ vrid: V6, addresses: [`${virtualIp(2).ipv6}/64`] },
        peers: [a.ipv6, b.ipv6],
      },
      local: {
        ...common,
        ...{ vrid: LINK_LOCAL, addresses: [`${virtualIp(3).ipv6}/64`] },
        peers: [a.linkLocal, b.linkLocal],
        hmac: { keys: { 1: 'a key that is thirty-two bytes long' }, active_key: 1 },
      },
      plain: {
        ...common,
        ...{ vrid: PLAIN, addresses: [`${virtualIp(4).ipv4}/24`], multicast_group: GROUP },
      },
    },
  };
}

const UNICAST_NAMES = ['v4', 'v6', 'local'] as const;

/** A packet that would resign, or preempt, if it were taken. */
function forge(to: LabNode | string, vrid: number, priority: number): void {
  const destination = typeof to === 'string' ? to : to.on('front').ipv4;
  const from = client.on('front').ipv4;
  const [source, target] = [from, destination].map((text) => parseIp(text) as Uint8Array) as [
    Uint8Array,
    Uint8Array,
  ];
  const message = new Uint8Array(MAX_ADVERTISEMENT_BYTES);
  const lengthBytes = encodeAdvertisement(message, {
    ...{ version: 3, family: 'ipv4', vrid, priority, advertIntervalUs: INTERVAL_US },
    ...{ addresses: [parseIp(virtualIp(1).ipv4) as Uint8Array], checksum: 'pseudo-header' },
    ...{ password: null, source, destination: target },
  });
  const interfaceName = client.on('front').name;
  const sender = inside(
    client,
    () =>
      new VrrpSender({
        ...{ interfaceName, interfaceIndex: ifIndex(interfaceName), family: 'ipv4' },
        ...{ sourceAddress: source, destinations: [target] },
      }),
  );
  expect(sender.send(message, lengthBytes)).toBe(lengthBytes);
  sender.close();
}

describe('a receiving socket', { timeout: TEST_TIMEOUT_MS }, () => {
  const families = [
    ['ipv4', GROUP],
    ['ipv6', 'ff02::99'],
  ] as const;

  it.each(families)('hears over %s what its scope says, and that once', async (family, group) => {
    const address = (node: LabNode) => parseIp(node.on('front')[family]) as Uint8Array;
    const groupBytes = parseIp(group) as Uint8Array;
    const heard: string[] = [];
    const listen = (name: string, scope: ReceivedScope) =>
      inside(nodeB, () => {
        const on = { interfaceName: 'eth0', interfaceIndex: ifIndex('eth0'), family, scope };
        const receiver: VrrpReceiver = new VrrpReceiver(on, () => {
          receiver.drain(({ payload, ttl }) => heard.push(`${name} ${payload[0]} ${ttl}`));
        });
        return receiver;
      });
    const receivers = [
      listen('group', groupBytes),
      listen('unicast', 'unicast'),
      listen('link', 'unicast-from-link'),
    ];
    for (const [content, unicastTtl] of [254, 255].entries()) {
      const sender = inside(client, () => {
        const on = { interfaceName: 'eth0', interfaceIndex: ifIndex('eth0'), family, unicastTtl };
        const destinations = [address(nodeB), groupBytes];
        return new VrrpSender({ ...on, sourceAddress: address(client), destinations });
      });
      expect(sender.send(Uint8Array.of(content), 1, 0)).toBe(1);
      expect(sender.send(Uint8Array.of(content + 10), 1, 1)).toBe(1);
      sender.close();
    }
    const expected = [
      ...['group 10 255', 'group 11 255'],
      ...['link 1 255', 'unicast 0 254', 'unicast 1 255'],
    ];
    await waitFor('all packets', () => heard.length >= expected.length);
    for (const receiver of receivers) receiver.close();
    expect(heard.sort()).toEqual(expected);
  });
});

describe('on one LAN', { timeout: TEST_TIMEOUT_MS }, () => {
  let a: Director;
  let b: Director;

  const refused = async (director: Director, instance: string, reason: RefusalReason) =>
    (await director.instance(instance)).counters.refused[reason];

  async function expectRefusal(
    director: Director,
    instance: string,
    reason: RefusalReason,
    cause: () => void,
  ): Promise<void> {
    const before = await director.instance(instance);
    cause();
    await director.waitFor(`${instance} ${reason}`, async () => {
      return (await refused(director, instance, reason)) > before.counters.refused[reason];
    });
    const after = await director.instance(instance);
    expect(after.counters.transitions).toEqual(before.counters.transitions);
  }

  /** A finding lasts for some intervals only, so its cause is repeated until it is seen. */
  const expectCure = (director: Director, instance: string, cure: string, cause: () => void) =>
    director.waitFor(`the cure "${cure}"`, async () => {
      cause();
      const { findings } = explainInstance(await director.instance(instance));
      return findings.some((finding) => finding.cure.includes(cure));
    });

  beforeAll(async () => {
    [a, b] = await startBoth(lanConfig());
    for (const name of [...UNICAST_NAMES, 'plain']) await a.waitForState(name, 'active');
    for (const name of [...UNICAST_NAMES, 'plain']) {
      await b.waitFor(`${name} to hear`, async () => (await b.instance(name)).peer !== null);
    }
  }, TEST_TIMEOUT_MS);

  it('each family elects one, from the address that the list has', async () => {
    const [onA, onB] = [nodeA.on('front'), nodeB.on('front')];
    const sources = { v4: onA.ipv4, v6: onA.ipv6, local: onA.linkLocal };
    for (const name of UNICAST_NAMES) {
      const [ours, theirs] = [await a.instance(name), await b.instance(name)];
      expect([ours.state, theirs.state]).toEqual(['active', 'backup']);
      expect(ours.sourceAddress).toBe(sources[name]);
      expect(theirs.peer?.address).toBe(sources[name]);
      expect(ours.unicast?.peers.map(({ self }) => self)).toEqual([true, false]);
      expect(theirs.unicast?.peers.map(({ self }) => self)).toEqual([false, true]);
    }
    expect((await b.instance('v4')).unicast?.peers[1]).toMatchObject({ address: onB.ipv4 });
    expect(JSON.parse((await b.run(['explain', '--json'])).stdout)).toMatchObject(
      [...UNICAST_NAMES, 'plain'].map(() => ({ findings: [] })),
    );
  });

  it('nothing goes to the multicast group of VRRP', () => {
    expect(watchB.adverts).toEqual([]);
  });

  it('an advertisement from nobody of the list is refused', async () => {
    await expectRefusal(b, 'v4', 'not-a-peer', () => forge(nodeB, V4, 0));
    await expectRefusal(a, 'v4', 'not-a-peer', () => forge(nodeA, V4, 255));
    await expectCure(a, 'v4', 'add its address to the peers here', () => forge(nodeA, V4, 0));
  });

  it('a unicast one for a multicast instance is refused, and explained', async () => {
    await expectRefusal(b, 'plain', 'not-multicast', () => forge(nodeB, PLAIN, 0));
    const cure = 'configure peers on both, or on neither';
    await expectCure(b, 'plain', cure, () => forge(nodeB, PLAIN, 0));
  });

  it('a multicast one for a unicast instance is refused, and explained', async () => {
    // Heard at all only because another instance uses the group.
    await expectRefusal(b, 'v4', 'not-unicast', () => forge(GROUP, V4, 0));
    const cure = 'The sender uses multicast, this director its peers';
    await expectCure(b, 'v4', cure, () => forge(GROUP, V4, 255));
  });

  it('after a fault a director tells its neighbours first where it is', async () => {
    const announced = () =>
      Promise.all(
        UNICAST_NAMES.map(async (name) => (await b.instance(name)).counters.announcementsSent),
      );
    const before = await announced();
    const mark = b.mark;
    await nodeB.linkDown('front');
    for (const name of UNICAST_NAMES) await b.waitForTransition(name, 'fault', mark);
    await nodeB.linkUp('front');
    for (const name of UNICAST_NAMES) await b.waitForTransition(name, 'backup', mark);
    expect(await announced()).toEqual(before.map((count) => count + 1));
    for (const name of UNICAST_NAMES) {
      const heard = (await b.instance(name)).counters.advertsReceived;
      await b.waitFor(`${name} to hear again`, async () => {
        return (await b.instance(name)).counters.advertsReceived > heard;
      });
    }
  });

  it('the backup takes over from a dead active one, and yields to it again', async () => {
    const marks = b.mark;
    const killedMs = Date.now();
    await a.kill('SIGKILL', 'both');
    for (const name of UNICAST_NAMES) {
      const line = await b.waitForTransition(name, 'active', marks);
      expect(line).toMatchObject({ reason: 'peers-silent' });
      expect((Date.parse(String(line.at)) - killedMs) * 1000).toBeLessThan(2 * DOWN_US);
    }
    await a.ended();
    await a.run(['cleanup']);
    const again = b.mark;
    await a.restart();
    for (const name of UNICAST_NAMES) {
      const line = await b.waitForTransition(name, 'backup', again);
      expect(line).toMatchObject({ reason: 'higher-priority-peer' });
    }
  });

  it('a planned stop hands over at once', async () => {
    const mark = b.mark;
    expect(await a.stop()).toBe(0);
    for (const name of UNICAST_NAMES) {
      const line = await b.waitForTransition(name, 'active', mark);
      expect(line).toMatchObject({ reason: 'peer-resigned' });
    }
  });

  it('a list without anybody else is a fault where that is wanted', async () => {
    const { vrrp } = lanConfig();
    const { ipv4 } = nodeB.on('front');
    const v4 = { ...vrrp.v4, peers: [ipv4], unicast: { fault_without_peers: true } };
    b.configure({ vrrp: { ...vrrp, v4 } });
    const mark = b.mark;
    await b.reload();
    await b.waitForLine('transition', { instance: 'v4', to: 'fault', reason: 'no-peer' }, mark);
    b.configure({ vrrp });
    await b.reload();
    await b.waitForTransition('v4', 'active', mark);

    // From multicast to unicast in place: an active instance stays active.
    const plain: Readonly<Record<string, unknown>> = {
      ...vrrp.plain,
      ...{ multicast_group: undefined, peers: vrrp.v4.peers },
    };
    b.configure({ vrrp: { ...vrrp, plain } });
    await b.reload();
    await b.waitFor('unicast', async () => (await b.instance('plain')).unicast !== null);
    expect((await b.instance('plain')).state).toBe('active');
    expect(b.lines('transition', { instance: 'plain' }, mark)).toEqual([]);
    await b.stop();
  });
});

describe('across a router', { timeout: TEST_TIMEOUT_MS }, () => {
  function routedConfig(minTtl: number) {
    const peers = [nodeA.on('front').ipv4, nodeB.on('back').ipv4].map((address) => ({
      ...{ address, min_ttl: minTtl, max_ttl: 254 },
    }));
    const far = { ...common, interface: { a: 'eth0', b: 'eth1' }, vrid: V4, peers };
    return { vrrp: { far: { ...far, addresses: [`${virtualIp(5).ipv4}/24`] } } };
  }

  it('directors elect one, unless the bounds forbid what a router has forwarded', async () => {
    const [a, b] = [nodeA.on('front'), nodeB.on('back')];
    await check(router, ['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
    const via = (gateway: string, dev: string) => ['via', gateway, 'dev', dev];
    const add = ['ip', 'route', 'add'];
    await check(nodeA, [...add, `${b.ipv4}/32`, ...via(router.on('front').ipv4, a.name)]);
    await check(nodeB, [...add, `${a.ipv4}/32`, ...via(router.on('back').ipv4, b.name)]);
    const [high, low] = await startBoth(routedConfig(254));
    await high.waitForState('far', 'active');
    await low.waitForState('far', 'backup');
    await low.waitFor('the far director', async () => {
      return (await low.instance('far')).peer?.address === a.ipv4;
    });
    expect((await low.instance('far')).counters.refused.ttl).toBe(0);

    low.configure(
      JSON.parse(JSON.stringify(routedConfig(254)).replaceAll('254', '253')) as Record<
        string,
        unknown
      >,
    );
    await low.reload();
    await low.waitFor('the refusal', async () => {
      return (await low.instance('far')).counters.refused.ttl > 0;
    });
    expect(explainInstance(await low.instance('far')).findings).toMatchObject([
      { kind: 'adverts-refused', cure: expect.stringContaining('min_ttl and max_ttl') },
    ]);

    const rules = [
      'add table ip t',
      'add chain ip t out { type filter hook output priority 0 ; }',
      `add rule ip t out ip protocol 112 ip daddr ${b.ipv4} drop`,
    ];
    await check(nodeA, ['nft', rules.join(' ; ')]);
    await high.waitFor('a peer that cannot be sent to', async () => {
      const { unicast } = await high.instance('far');
      return unicast?.peers[1]?.sendError === 'EPERM';
    });
    expect((await high.run(['explain'])).stdout).toContain('A firewall rule of this director');
  });
});

/**
 * Which servers of a service get clients, as the kernel has it and as a client sees it: below
 * quorum, with its hysteresis and through the death of a controller; while the weight of a server
 * that came back rises; and by the packet or by the call instead of by the connection.
 *
 * One director runs from the first test to the last. All services have the same servers, so that
 * one change of health is a change of each of them.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { Vm } from '../lab/vm.ts';
import {
  GATEWAY,
  GuestDirector,
  type LogLine,
  oneInstance,
  Peer,
  SETUP_MS,
  startRealServer,
  TEST_MS,
  WAIT_MS,
} from './guest.ts';

const VIP = '192.0.2.201';
const [REAL1, REAL2, REAL3, SORRY] = [101, 102, 103, 104].map((host) => `198.51.100.${host}`) as [
  string,
  string,
  string,
  string,
];

/** Lost with a healthy weight below 2, and met again with all of the 4. */
const QUORUM = {
  scheduler: 'wrr',
  check: { http: { path: '/healthz' }, interval: '1s', timeout: '20s', fall: 2, rise: 1 },
  quorum: 3,
  hysteresis: 1,
  servers: [
    { address: `${REAL1}:80`, weight: 2 },
    { address: `${REAL2}:80`, weight: 1 },
    { address: `${REAL3}:80`, weight: 1 },
  ],
};
/** What each does below quorum, by port. */
const POOLS = {
  kept: { ...QUORUM, address: `${VIP}:81`, below_quorum: 'keep-last' },
  dropped: { ...QUORUM, address: `${VIP}:82`, below_quorum: 'drop' },
  sorry: { ...QUORUM, address: `${VIP}:83`, sorry_servers: [`${SORRY}:80`] },
};
const PORTS = { kept: 81, dropped: 82, sorry: 83 };
/** Its clients have templates, which to the kernel count more than weight 0. */
const LOYAL = { ...POOLS.sorry, address: `${VIP}:87`, persistence: '5m', scheduler: 'fo' };

/** Twenty steps, each of which is seen several times. */
const SLOW_START_S = 60;
const SLOW_WEIGHT = 40;
const STEPS = 20;
/** What the log and the look at the kernel may be apart, and a look may last. */
const SLACK_S = 6;
/** A controller is killed and followed by the next one in a part of it, on a busy machine too. */
const LONG_START_S = 300;
const rising = (otherWeight: number, slowStartS: number) => ({
  ...QUORUM,
  address: `${VIP}:84`,
  quorum: 1,
  hysteresis: 0,
  slow_start: `${slowStartS}s`,
  servers: [
    { address: `${REAL1}:80`, weight: SLOW_WEIGHT },
    { address: `${REAL2}:80`, weight: otherWeight },
  ],
});

const DATAGRAMS = {
  protocol: 'udp',
  scheduler: 'rr',
  check: 'none',
  servers: [`${REAL1}:80`, `${REAL2}:80`],
};
const BY_PACKET = {
  packets: { ...DATAGRAMS, address: `${VIP}:85`, one_packet: true },
  connections: { ...DATAGRAMS, address: `${VIP}:86` },
  calls: {
    ...DATAGRAMS,
    address: `${VIP}:5060`,
    persistence: '5m',
    persistence_engine: 'sip',
  },
  callers: { ...DATAGRAMS, address: `${VIP}:5061`, persistence: '5m' },
};

function configuration(otherWeight = 1, slowStartS = SLOW_START_S) {
  return {
    vrrp: oneInstance([`${VIP}/24`, GATEWAY]),
    services: { ...POOLS, loyal: LOYAL, slow: rising(otherWeight, slowStartS), ...BY_PACKET },
    ipvs: { reconcile_interval: '1s' },
  };
}

let vm: Vm;
let director: GuestDirector;
let peer: Peer;

beforeAll(async () => {
  vm = await Vm.start();
  const topology = await Topology.create(vm, { directors: 1, realServers: 4 });
  const client = topology.clients[0] as LabNode;
  await check(client, ['ip', 'route', 'add', '198.51.100.0/24', 'via', '192.0.2.11']);
  peer = await Peer.start(client);
  director = new GuestDirector(vm, topology.directors[0] as LabNode, peer);
  await director.configure(configuration());
  await Promise.all([director.start(), ...topology.realServers.map(startRealServer)]);
  await director.started();
}, SETUP_MS);

afterAll(() => vm?.stop());

async function setHealth(status: 200 | 503, ...servers: readonly string[]): Promise<void> {
  await Promise.all(servers.map((ip) => peer.put(`http://${ip}/healthz?status=${status}`)));
}

/** Weights in the kernel of a service's servers, by the last number of their addresses. */
function weightsIn(saved: readonly string[], port: number): string {
  const found = saved.flatMap((line) => {
    const match = new RegExp(`^-a -t ${VIP}:${port} -r 198\\.51\\.100\\.(\\d+):.* -w (\\d+)`).exec(
      line,
    );
    return match === null ? [] : [`${match[1]}=${match[2]}`];
  });
  return found.toSorted().join(' ');
}

/** Waits until the three services have these weights. */
async function untilWeights(wanted: Readonly<Record<keyof typeof PORTS, string>>): Promise<void> {
  let found = {};
  try {
    await director.until('the weights', async () => {
      const saved = await director.saved();
      found = Object.fromEntries(
        Object.entries(PORTS).map(([name, port]) => [name, weightsIn(saved, port)]),
      );
      return JSON.stringify(found) === JSON.stringify(wanted);
    });
  } catch (error) {
    expect(found).toEqual(wanted);
    throw error;
  }
}

/** Who answers at each service to so many clients: names, or the code of the error. */
async function answers(count: number): Promise<Record<string, readonly string[]>> {
  const all: Record<string, readonly string[]> = {};
  for (const [name, port] of Object.entries(PORTS)) {
    const of = new Set<string>();
    for (let index = 0; index < count; index++) {
      const { server, error } = await peer.get(`http://${VIP}:${port}/`);
      of.add(server ?? String(error));
    }
    all[name] = [...of].toSorted();
  }
  return all;
}

/** What was logged of the three services. */
function quorums(met: boolean): LogLine[] {
  return director.lines('quorum', { met }).filter(({ service }) => String(service) in PORTS);
}

/** Which server the one client of the persistent service gets. */
async function loyalServer(): Promise<string> {
  const { server, error } = await peer.get(`http://${VIP}:87/`);
  return server ?? String(error);
}

/** Waits for a server that is as asked for; fails with the one that it is. */
async function untilLoyalTo(...servers: readonly string[]): Promise<void> {
  let found = '';
  try {
    await director.until('the client to change its server', async () => {
      found = await loyalServer();
      return servers.includes(found);
    });
  } catch (error) {
    expect([found, servers]).toEqual([expect.toBeOneOf([...servers]), servers]);
    throw error;
  }
}

async function templatesExpire(): Promise<string> {
  const path = '/proc/sys/net/ipv4/vs/expire_quiescent_template';
  return (await check(director.node, ['cat', path])).stdout.trim();
}

const ALL_SERVE = {
  kept: '101=2 102=1 103=1',
  dropped: '101=2 102=1 103=1',
  sorry: '101=2 102=1 103=1 104=0',
};
/** The first server has failed long ago, the second took the quorum with it. */
const BELOW = {
  kept: '101=0 102=1 103=1',
  dropped: '101=0 102=0 103=0',
  sorry: '101=0 102=0 103=0 104=1',
};
const BELOW_ANSWERS = {
  kept: ['real2', 'real3'],
  dropped: ['ECONNREFUSED'],
  sorry: ['real4'],
};

describe('below quorum', { timeout: TEST_MS }, () => {
  it('keeps its quorum down to the lower bound', async () => {
    await untilWeights(ALL_SERVE);
    // The highest weight.
    expect(await loyalServer()).toBe('real1');
    expect(await templatesExpire()).toBe('0');
    await setHealth(503, REAL1);
    await untilWeights({
      kept: '101=0 102=1 103=1',
      dropped: '101=0 102=1 103=1',
      sorry: '101=0 102=1 103=1 104=0',
    });
    expect(quorums(false)).toEqual([]);
    const two = ['real2', 'real3'];
    expect(await answers(4)).toEqual({ kept: two, dropped: two, sorry: two });
    // Nor does a template hold a client at a server that has failed.
    await untilLoyalTo('real2', 'real3');
    expect(await loyalServer()).not.toBe('real1');
    expect(await templatesExpire()).toBe('1');
    const { ipvs } = await director.status();
    expect(ipvs.settings).toMatchObject([{ name: 'expire_quiescent_template', held: true }]);
  });

  it('keeps who served last, drops all, or gives clients to the sorry servers', async () => {
    await setHealth(503, REAL2);
    await untilWeights(BELOW);
    expect(await answers(4)).toEqual(BELOW_ANSWERS);
    await untilLoyalTo('real4');
    const lost = quorums(false).map(({ service, msg }) => [service, msg]);
    const why = 'lost its quorum: healthy weight 1 of quorum 3';
    expect(lost.toSorted()).toEqual([
      ['dropped', `Service dropped ${why}; nobody gets new connections`],
      ['kept', `Service kept ${why}; those that served last go on`],
      ['sorry', `Service sorry ${why}; its sorry servers take over`],
    ]);
    const { services } = await director.status();
    const reasons = Object.fromEntries(
      services.map(({ name, servers }) => [name, servers.map((one) => one.weightReason)]),
    );
    expect(reasons).toMatchObject({
      kept: ['failed', 'kept-last', 'healthy'],
      dropped: ['failed', 'failed', 'below-quorum'],
      sorry: ['failed', 'failed', 'below-quorum', 'sorry'],
    });
  });

  it('goes on like that when a server is back that does not make the upper bound', async () => {
    await setHealth(200, REAL2);
    const up = () => director.lines('health', { server: `${REAL2}:80`, to: 'up' }).length > 1;
    await director.until('the second server to be up', up);
    await director.reconciled(2);
    await untilWeights(BELOW);
    await director.reload();
    await untilWeights(BELOW);
    expect(await answers(4)).toEqual(BELOW_ANSWERS);
    expect(quorums(true)).toHaveLength(3);
  });

  it('goes on like that with the next controller, at any moment', async () => {
    await setHealth(503, REAL2);
    const down = () => director.lines('health', { server: `${REAL2}:80`, to: 'down' }).length > 1;
    await director.until('the second server to be down', down);
    const seen = new Set<string>();
    let over = false;
    const watch = async (): Promise<void> => {
      while (!over) {
        const saved = await director.saved();
        const found = Object.entries(PORTS).map(
          ([name, port]) => `${name}: ${weightsIn(saved, port)}`,
        );
        seen.add(found.join(', '));
      }
    };
    const started = director.lines('started').length;
    const watching = watch();
    await director.signal('KILL', 'controller');
    const next = () => director.lines('started').length > started;
    await director.until('the next controller', next, WAIT_MS * 2);
    await director.until('its verdicts', () => quorums(false).length === 6);
    await director.reconciled(2);
    over = true;
    await watching;
    const same = Object.entries(BELOW).map(([name, weights]) => `${name}: ${weights}`);
    expect([...seen]).toEqual([same.join(', ')]);
    expect(await answers(4)).toEqual(BELOW_ANSWERS);
  });

  it('is over when all are back', async () => {
    await setHealth(200, REAL1, REAL2);
    await untilWeights(ALL_SERVE);
    const three = ['real1', 'real2', 'real3'];
    expect(await answers(8)).toEqual({ kept: three, dropped: three, sorry: three });
    // The sorry server is in the table with weight 0, and had a template.
    await untilLoyalTo(...three);
  });
});

describe('a slow start', { timeout: TEST_MS }, () => {
  const entry = `-a -t ${VIP}:84 -r ${REAL1}:80 `;
  const look = async (): Promise<{ readonly weight: number; readonly atMs: number }> => {
    const { stdout } = await check(director.node, ['sh', '-c', 'ipvsadm -Sn; date +%s%3N']);
    const lines = stdout.trim().split('\n');
    const line = lines.find((each) => each.startsWith(entry));
    return { weight: Number(/ -w (\d+)/.exec(line ?? '')?.[1]), atMs: Number(lines.at(-1)) };
  };
  const back = () => director.lines('health', { server: `${REAL1}:80`, to: 'up' });
  /** Has the server be up, by `act`; when it was. */
  const upMs = async (act: () => Promise<unknown>): Promise<number> => {
    const before = back().length;
    await act();
    await director.until('the server to be up', () => back().length > before);
    return Date.parse(String(back().at(-1)?.time));
  };
  const recoveredMs = async (): Promise<number> => {
    await setHealth(503, REAL1);
    await director.until('the weight 0', async () => (await look()).weight === 0);
    return upMs(() => setHealth(200, REAL1));
  };

  it('raises the weight in the kernel over its time, through a reload, up to the whole', async () => {
    const sinceMs = await recoveredMs();
    const seen: { readonly weight: number; readonly second: number }[] = [];
    let reloading: Promise<void> | null = null;
    await director.until('the whole weight', async () => {
      const { weight, atMs } = await look();
      const second = (atMs - sinceMs) / 1000;
      seen.push({ weight, second });
      // Early, since it takes most of the minute on a busy machine; what changes is this service.
      if (reloading === null && second > SLOW_START_S / 6) {
        await director.configure(configuration(2));
        reloading = director.reload();
        reloading.catch(() => {});
      }
      return weight === SLOW_WEIGHT;
    });
    expect(reloading).not.toBeNull();
    await reloading;
    // The first look may be sooner than its first step.
    const rise = seen.filter(({ weight }, index) => index > 0 || weight > 0);
    const weights = rise.map(({ weight }) => weight);
    expect(weights).toEqual(weights.toSorted((left, right) => left - right));
    expect(new Set(weights).size).toBeGreaterThan(STEPS / 2);
    for (const { weight, second } of rise) {
      const share = Math.min(1, (second + SLACK_S) / SLOW_START_S);
      const most = share === 1 ? SLOW_WEIGHT : (SLOW_WEIGHT * (share * STEPS + 1)) / (STEPS + 1);
      expect([second, weight]).toEqual([second, expect.toSatisfy((one: number) => one <= most)]);
    }
    const after = director.lines('reloaded').at(-1)?.time;
    const reloadedS = (Date.parse(String(after)) - sinceMs) / 1000;
    expect(rise.filter(({ second }) => second > reloadedS).length).toBeGreaterThan(0);
    await director.until('the other weight', async () => {
      return weightsIn(await director.saved(), 84) === `101=${SLOW_WEIGHT} 102=2`;
    });
  });

  it('goes on where it was when another controller takes over in its middle', async () => {
    await director.configure(configuration(2, LONG_START_S));
    await director.reload();
    await recoveredMs();
    await director.until('a part', async () => (await look()).weight > 0);
    let first = 0;
    const sinceMs = await upMs(async () => {
      await director.signal('KILL', 'controller');
      first = (await look()).weight;
    });
    let last = first;
    await director.until('a step more', async () => {
      const { weight, atMs } = await look();
      expect(weight).toBeGreaterThanOrEqual(last);
      const share = ((atMs - sinceMs) / 1000 + SLACK_S) / LONG_START_S;
      expect(weight).toBeLessThanOrEqual(first + Math.ceil(SLOW_WEIGHT * share));
      last = weight;
      return weight > first;
    });
    expect(last).toBeLessThan(SLOW_WEIGHT);
  });
});

describe('datagrams', { timeout: TEST_MS }, () => {
  const from = (fromPort: number, text = '?') => ({ fromPort, text });
  /** The least that the kernel's engine looks for. */
  const call = (fromPort: number, id: string) => {
    const lines = ['OPTIONS sip:lab@example.com SIP/2.0', 'Via: SIP/2.0/UDP 192.0.2.101'];
    return from(fromPort, [...lines, `Call-ID: ${id}`, '', ''].join('\r\n'));
  };

  it('of one client port go to all servers when each is scheduled, else to one', async () => {
    const eight = Array.from({ length: 8 }, () => from(20_001));
    const spread = await peer.messages(VIP, 85, eight);
    expect(spread.toSorted()).toEqual([...Array(4).fill('real1'), ...Array(4).fill('real2')]);
    const stuck = await peer.messages(VIP, 86, eight);
    expect(stuck).toEqual(Array(8).fill(stuck[0]));
    expect(stuck[0]).toMatch(/^real[12]$/);
  });

  it('of one call go to one server, whatever the port, and those of another to another', async () => {
    const { stdout } = await check(vm, ['cat', '/proc/modules']);
    expect(stdout).toContain('ip_vs_pe_sip ');
    const ports = [20_011, 20_012, 20_013];
    const calls = ['a@example.com', 'b@example.com', 'c@example.com', 'd@example.com'];
    // One call after the other, then each of them again from other ports.
    const firsts = await peer.messages(
      VIP,
      5060,
      calls.map((id, n) => call(20_021 + n, id)),
    );
    expect(firsts.toSorted()).toEqual(['real1', 'real1', 'real2', 'real2']);
    for (const [index, id] of calls.entries()) {
      const own = ports.map((port) => call(port + 10 * (index + 2), id));
      expect(await peer.messages(VIP, 5060, own)).toEqual(Array(3).fill(firsts[index]));
    }
    // Without the engine, a client is an address.
    const [one] = await peer.messages(VIP, 5061, [call(20_021, 'a@example.com')]);
    const others = calls.map((id, n) => call(20_031 + n, id));
    expect(await peer.messages(VIP, 5061, others)).toEqual(Array(4).fill(one));
  });
});

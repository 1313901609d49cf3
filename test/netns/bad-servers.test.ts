/**
 * Servers that misbehave in every way that we know of, beside good ones, in one running director:
 * by the log of the good ones no check of theirs is late, whatever the bad ones do, in the
 * controller's own thread and in those that it has for many checks; what the controller holds of
 * memory, descriptors and processes stays bounded, and goes with them.
 *
 * The kernel may have no IPVS: services that come by a reload are checked all the same.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { BadBehaviour } from '../lab/bad-behaviour.ts';
import { Director } from '../lab/director.ts';
import { type Child, check, REPOSITORY, waitFor } from '../lab/host.ts';
import { makeTopology } from '../lab/namespaces.ts';
import { type LabNode, type Topology, virtualIp } from '../lab/topology.ts';
import type { Arrival } from './arrival-log.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const WAIT_MS = 30_000;
/** How often the good servers are asked. */
const INTERVAL_MS = 200;
/** How long a bad one may take: whatever waits for one of them waits for so long. */
const BAD_TIMEOUT_MS = 3_000;
/**
 * What a check may be late, apart from times at which the good servers stood still themselves: less
 * than BAD_TIMEOUT_MS, which whatever waits for a bad one takes, and more than threads need to be
 * loaded on a slow machine that is busy with all of them (1.8 s was seen).
 */
const LATE_MS = 2_000;
/** For how long all of them are there: each bad one fails twice. */
const PHASE_MS = 2 * BAD_TIMEOUT_MS;
/** What the controller may have more of than before the bad ones; a body is four times as much. */
const MORE_MEMORY_MIB = 256;
/** A thread has nine of its own; one more remains, for expressions. */
const THREAD_DESCRIPTORS = 12;
const MORE_THREADS = 4;

const VIP = virtualIp(1).ipv4;
const VRRP = { all: { interface: 'eth0', vrid: 51, addresses: [`${VIP}/24`] } };

/** All of these are the one real server's. */
const SERVERS = '203.0.113.0/24';
const addressOf = (host: number) => `203.0.113.${host}`;
const GOOD = [1, 2, 3, 4].map(addressOf);
const FIRST_BAD_HOST = 10;
const SILENT = addressOf(99);
const CROWD = Array.from({ length: 20 }, (_, index) => addressOf(100 + index));
/** Ports of the good servers: HTTP, TCP, a script's TCP, UDP. */
const [HTTP, TCP, SCRIPTED, UDP] = [8080, 2000, 2001, 5301];
const DNS_PORT = 5300;

const PORTS: Readonly<Record<Exclude<BadBehaviour, 'redirects without end'>, number>> = {
  'a byte a minute': 3000,
  'a header without end': 3001,
  'a gigabyte of body': 3002,
  'a body that never goes on': 3003,
  'an expression that backtracks': 3004,
  'half a TLS handshake': 3005,
  'floods of garbage': 3006,
  'a PostgreSQL server of a byte a minute': 3007,
  'a PostgreSQL server of notices without end': 3008,
  'a MySQL server of a byte a minute': 3009,
};

interface Bad {
  readonly check: Readonly<Record<string, unknown>>;
  readonly port: number;
  /** Its own one of the real server, unless told otherwise. */
  readonly address?: string;
  /** What its check must say of it. */
  readonly reason: RegExp;
}

const TIMEOUT = /^timeout$/;
const endless = (command: readonly string[]): Bad => ({
  check: { script: { command } },
  port: 80,
  reason: TIMEOUT,
});

const BAD: readonly Bad[] = [
  { check: { http: {} }, port: PORTS['a byte a minute'], reason: TIMEOUT },
  { check: { http: {} }, port: PORTS['a header without end'], reason: /^protocol$/ },
  {
    check: { http: { body_matches: 'needle' } },
    port: PORTS['a gigabyte of body'],
    reason: /^too-large$/,
  },
  {
    check: { http: { body_contains: 'needle' } },
    port: PORTS['a body that never goes on'],
    reason: TIMEOUT,
  },
  {
    check: { http: { body_matches: '^(a+)+$' } },
    port: PORTS['an expression that backtracks'],
    // An expression has less time than this check.
    reason: /^cannot-run$|^timeout$/,
  },
  { check: { https: { verify: false } }, port: PORTS['half a TLS handshake'], reason: TIMEOUT },
  { check: { https: { verify: false } }, port: PORTS['floods of garbage'], reason: /^tls$/ },
  { check: { http: { version: '2' } }, port: PORTS['floods of garbage'], reason: /^protocol$/ },
  {
    check: { dialogue: { steps: [{ expect: '^220 ' }] } },
    port: PORTS['floods of garbage'],
    reason: /^too-large$/,
  },
  {
    check: { postgresql: { user: 'monitor' } },
    port: PORTS['a PostgreSQL server of a byte a minute'],
    reason: TIMEOUT,
  },
  {
    check: { postgresql: { user: 'monitor' } },
    port: PORTS['a PostgreSQL server of notices without end'],
    reason: /^too-large$/,
  },
  {
    check: { mysql: { user: 'monitor' } },
    port: PORTS['a MySQL server of a byte a minute'],
    reason: TIMEOUT,
  },
  { check: { mysql: { user: 'monitor' } }, port: PORTS['floods of garbage'], reason: /^protocol$/ },
  { check: { dns: {} }, port: DNS_PORT, reason: /^protocol$/ },
  { check: { tcp: {} }, port: 80, address: SILENT, reason: TIMEOUT },
  endless(['/bin/sleep', '600']),
  endless(['/bin/sh', '-c', "trap '' TERM HUP INT; while :; do sleep 600; done"]),
];
const badAddress = ({ address }: Bad, index: number) =>
  address ?? addressOf(FIRST_BAD_HOST + index);
const DNS_PLACE = `${addressOf(FIRST_BAD_HOST + BAD.findIndex((bad) => 'dns' in bad.check))}#${DNS_PORT}`;

/** Services of the virtual IP, from a port on; one server each, or more. */
function servicesFrom(
  port: number,
  all: readonly (readonly [check: object, servers: readonly string[]])[],
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    all.map(([asked, servers], index) => [
      `service${port + index}`,
      { address: `${VIP}:${port + index}`, check: asked, servers },
    ]),
  );
}

const often = { interval: `${INTERVAL_MS}ms`, timeout: '2s' };
const slowly = { interval: '500ms', timeout: `${BAD_TIMEOUT_MS}ms` };
const SCRIPT = ['/bin/bash', '-c', `exec 3<>/dev/tcp/{rip}/${SCRIPTED}`];
const at = (port: number) => GOOD.map((address) => `${address}:${port}`);

const GOOD_SERVICES = servicesFrom(1000, [
  [{ http: {}, ...often }, at(HTTP)],
  [{ tcp: {}, ...often }, at(TCP)],
  [{ udp: { send: 'well?', reply: 'well' }, ...often }, at(UDP)],
  [{ script: { command: SCRIPT }, ...often }, [`${GOOD[0]}:${SCRIPTED}`]],
]);
const BAD_SERVICES = servicesFrom(
  2000,
  BAD.map((bad, index) => [{ ...bad.check, ...slowly }, [`${badAddress(bad, index)}:${bad.port}`]]),
);
/** More than one thread does with ease, by what TLS costs: 20 x 4 of them at 5 a second. */
const REQUESTS = ['/a', '/b', '/c', '/d'].map((path) => ({ path }));
const CROWD_SERVICES = servicesFrom(3000, [
  [
    { https: { verify: false, requests: REQUESTS }, ...slowly, interval: `${INTERVAL_MS}ms` },
    CROWD.map((address) => `${address}:${PORTS['half a TLS handshake']}`),
  ],
]);

let topology: Topology;
let node: LabNode;
let server: LabNode;
let director: Director;
const children: Child[] = [];
const arrivals: Arrival[] = [];

beforeAll(async () => {
  topology = await makeTopology({ directors: 1, realServers: 1 });
  [node] = topology.directors as [LabNode];
  [server] = topology.realServers as [LabNode];
  await check(node, ['ip', 'route', 'add', SERVERS, 'via', server.on('back').ipv4]);
  const { ipv4: back } = node.on('back');
  const routes = [`add local ${SERVERS} dev lo`, `add blackhole ${SILENT}`];
  await check(server, ['ip', '-batch', '-'], {
    stdin: `${[...routes, `replace default via ${back}`].map((one) => `route ${one}`).join('\n')}\n`,
  });
  const udp = GOOD.map((address) => `${address}#${UDP}`).join();
  const asked = ['--http', String(HTTP), '--tcp', `${TCP},${SCRIPTED}`, '--udp', udp];
  await serve('arrival-log', asked, (line) => arrivals.push(JSON.parse(line) as Arrival));
  const byPort = Object.fromEntries(Object.entries(PORTS).map(([name, port]) => [port, name]));
  await serve('bad-servers', [JSON.stringify(byPort), DNS_PLACE], () => {});
  director = await Director.start(node, { config: { vrrp: VRRP } });
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  await director?.dispose();
  for (const child of children) {
    child.kill('SIGKILL');
    await child.exited.catch(() => {});
  }
  await topology?.dispose();
});

/** Starts a program of this folder on the real server, and waits until it listens. */
async function serve(
  name: string,
  args: readonly string[],
  onLine: (line: string) => void,
): Promise<void> {
  let listening = false;
  let partial = '';
  const program = join(REPOSITORY, 'dist', 'test', 'netns', `${name}.js`);
  const child = await server.spawn([process.execPath, program, ...args], {
    onStdout: (chunk) => {
      const lines = (partial + chunk.toString('utf8')).split('\n');
      partial = lines.pop() ?? '';
      for (const line of lines) {
        if (line === 'listening') listening = true;
        else onLine(line);
      }
    },
  });
  children.push(child);
  await waitFor(`${name} to listen`, () => listening, WAIT_MS);
}

/** Takes over a configuration with these services. */
async function configure(...services: readonly object[]): Promise<void> {
  director.configure({ vrrp: VRRP, services: Object.assign({}, ...services) });
  await director.reload();
}

interface Held {
  readonly descriptors: number;
  /** Beside the director's own two. */
  readonly processes: number;
  readonly memoryMiB: number;
}

/** What the controller has at this moment. */
async function held(controller: number): Promise<Held> {
  const { stdout } = await check(node, ['ip', 'netns', 'pids', node.namespace]);
  const status = readFileSync(`/proc/${controller}/status`, 'utf8');
  return {
    descriptors: readdirSync(`/proc/${controller}/fd`).length,
    processes: stdout.trim().split('\n').length - 2,
    memoryMiB: Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024,
  };
}

/** Looks again and again until the condition holds; the most of each that was seen. */
async function mostHeld(
  controller: number,
  what: string,
  condition: () => boolean | Promise<boolean>,
): Promise<Held> {
  let most: Held = { descriptors: 0, processes: 0, memoryMiB: 0 };
  const look = async () => {
    const now = await held(controller);
    most = {
      descriptors: Math.max(most.descriptors, now.descriptors),
      processes: Math.max(most.processes, now.processes),
      memoryMiB: Math.max(most.memoryMiB, now.memoryMiB),
    };
    return condition();
  };
  await director.waitFor(what, look, WAIT_MS);
  return most;
}

/** Reasons of the failures of the checks at an address. */
async function reasonsAt(address: string): Promise<readonly string[]> {
  const { checks } = await director.status();
  const asked = checks.filter(({ target }) => target.split(':')[0] === address);
  return asked.flatMap(({ failed }) => Object.keys(failed));
}

/** A condition: the phase has lasted long enough, and all of these have failed. */
function phase(addresses: readonly string[]): () => Promise<boolean> {
  const endsAtMs = performance.now() + PHASE_MS;
  return async () => {
    if (performance.now() < endsAtMs) return false;
    const reasons = await Promise.all(addresses.map(reasonsAt));
    return reasons.every((one) => one.length > 0);
  };
}

/** How long nobody asked, by who was asked: the longest, without what the server stood still. */
function longestGaps(): ReadonlyMap<string, number> {
  const last = new Map<string, Arrival>();
  const gaps = new Map<string, number>();
  for (const arrival of arrivals) {
    const before = last.get(arrival.where);
    last.set(arrival.where, arrival);
    if (before === undefined) continue;
    const stoodStillMs = arrival.stoodStillMs - before.stoodStillMs;
    const gapMs = Math.max(0, arrival.atMs - before.atMs - stoodStillMs);
    gaps.set(arrival.where, Math.max(gaps.get(arrival.where) ?? 0, gapMs));
  }
  return gaps;
}

const GOOD_PLACES = [
  ...GOOD.flatMap((ip) => [`http ${ip}:${HTTP}`, `tcp ${ip}:${TCP}`, `udp ${ip}:${UDP}`]),
  `tcp ${GOOD[0]}:${SCRIPTED}`,
].sort();

const arrivedAll = (times: number) => () =>
  GOOD_PLACES.every((place) => arrivals.filter(({ where }) => where === place).length >= times);

it('makes no check of a good server late, and is bounded in what it holds', async () => {
  await configure(GOOD_SERVICES);
  const { controller } = await director.pids();
  const before = await mostHeld(controller, 'checks of all good servers', arrivedAll(5));

  await configure(GOOD_SERVICES, BAD_SERVICES);
  const addresses = BAD.map(badAddress);
  const inOne = await mostHeld(controller, 'a failure of each bad server', phase(addresses));
  expect(director.lines('check-threads')).toEqual([]);
  const found = await Promise.all(addresses.map(reasonsAt));
  for (const [index, { check: asked, reason }] of BAD.entries()) {
    const label = JSON.stringify(asked);
    expect([label, found[index]]).toEqual([
      label,
      expect.arrayContaining([expect.stringMatching(reason)]),
    ]);
  }

  await configure(GOOD_SERVICES, BAD_SERVICES, CROWD_SERVICES);
  expect(director.lines('check-threads').at(-1)?.threads).toBeGreaterThan(0);
  const inMany = await mostHeld(controller, 'a failure of the crowd', phase(CROWD));

  await configure(GOOD_SERVICES);
  await director.waitFor(
    'everything of the bad ones to be gone',
    async () => {
      const { descriptors, processes } = await held(controller);
      // The good script may be there.
      return descriptors <= before.descriptors + THREAD_DESCRIPTORS && processes <= 2;
    },
    WAIT_MS,
  );
  const seen = arrivals.length;
  await director.waitFor('more checks', () => arrivals.length > seen + GOOD_PLACES.length * 2);

  const gaps = longestGaps();
  expect([...gaps.keys()].sort()).toEqual(GOOD_PLACES);
  const late = [...gaps].filter(([, gapMs]) => gapMs > INTERVAL_MS + LATE_MS);
  expect(late).toEqual([]);
  const { checks } = await director.status();
  expect(
    checks.filter(({ status, failed }) => status !== 'up' || Object.keys(failed).length > 0),
  ).toEqual([]);

  const threads = MORE_THREADS * THREAD_DESCRIPTORS;
  const connections = GOOD_PLACES.length + BAD.length;
  const most = before.descriptors + threads + connections;
  expect(inOne.descriptors).toBeLessThan(most);
  expect(inMany.descriptors).toBeLessThan(most + CROWD.length * REQUESTS.length);
  // Two processes of the stubborn one, and for a moment those of the run before.
  expect(Math.max(inOne.processes, inMany.processes)).toBeLessThan(12);
  expect(inOne.memoryMiB).toBeLessThan(before.memoryMiB + MORE_MEMORY_MIB);
  expect(inMany.memoryMiB).toBeLessThan(before.memoryMiB + MORE_MEMORY_MIB);
}, 120_000);

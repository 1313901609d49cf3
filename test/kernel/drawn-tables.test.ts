/**
 * Configurations on a real kernel, drawn ones and bad ones. Whatever is drawn, whatever the checks
 * say and whatever operators decide, ipvsadm shows what was wanted, and the director has nothing
 * to complain of. What is bad gives its reason, and no other entry suffers. One director runs
 * through all of it; each configuration follows the last by a reload. VIPKEEPER_TABLE_SEED draws
 * the same again.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { Vm } from '../lab/vm.ts';
import { GuestDirector, listedServers, oneInstance, Peer, SETUP_MS } from './guest.ts';
import {
  type DrawnService,
  drawnServices,
  endpoint,
  expected,
  healthFile,
  type ServerState,
  statesOf,
} from './table-arbitraries.ts';

/** Seconds on a machine that has time. */
const CASE_MS = 240_000;
/** Each takes some seconds: a reload is a start of Node. */
const CONFIGURATIONS = 6;
const STATES_EACH = 2;

const SEED = Number(process.env.VIPKEEPER_TABLE_SEED ?? Date.now() % 1_000_000_007);

interface Case {
  readonly services: readonly DrawnService[];
  /** By service, then by server. */
  readonly states: readonly (readonly (readonly ServerState[])[])[];
}

const drawnCase: fc.Arbitrary<Case> = drawnServices.chain((services) =>
  fc.record({
    services: fc.constant(services),
    states: fc.array(fc.tuple(...services.map(statesOf)), {
      minLength: STATES_EACH,
      maxLength: STATES_EACH,
    }),
  }),
);
const CASES = fc.sample(drawnCase, { seed: SEED, numRuns: CONFIGURATIONS });

let vm: Vm;
let node: LabNode;
let director: GuestDirector;

function configuration(services: readonly DrawnService[]): Readonly<Record<string, unknown>> {
  return {
    services: Object.fromEntries(services.map(({ name, config }) => [name, config])),
    ipvs: { reconcile_interval: '1s' },
  };
}

const VIP = '192.0.2.201';
const RIP = '198.51.100.150';
const RIP6 = '2001:db8:2::150';
const PLAIN = { scheduler: 'rr', check: 'none', servers: [`${RIP}:80`] };
/** Beside whatever is bad: nothing happens to them. */
const BYSTANDERS = {
  one: { address: `${VIP}:5001`, ...PLAIN },
  two: { fwmark: 5002, scheduler: 'wlc', forwarding: 'dr', check: 'none', servers: [RIP] },
};
const BYSTANDERS_SAVED = [
  `-A -t ${VIP}:5001 -s rr`,
  `-a -t ${VIP}:5001 -r ${RIP}:80 -m -w 1`,
  '-A -f 5002 -s wlc',
  `-a -f 5002 -r ${RIP}:0 -g -w 1`,
];
const MIXED = {
  address: `${VIP}:5003`,
  scheduler: 'rr',
  forwarding: 'tun',
  check: 'none',
  servers: [RIP, RIP6],
};
const MIXED_SAVED = [
  `-A -t ${VIP}:5003 -s rr`,
  `-a -t ${VIP}:5003 -r ${RIP}:5003 -i -w 1 --tun-type ipip`,
];
const MIXED_SERVER = `-a -t ${VIP}:5003 -r [${RIP6}]:5003 -i -w 1 --tun-type ipip`;
const VRRP = oneInstance([`${VIP}/24`]);
const SYNC = { interface: 'eth1', id: 51 };

const allUp = (services: readonly DrawnService[]): ServerState[][] =>
  services.map(({ servers }) => servers.map(() => ({ kind: 'up' })));

beforeAll(async () => {
  vm = await Vm.start();
  const topology = await Topology.create(vm, { directors: 1, realServers: 0 });
  node = topology.directors[0] as LabNode;
  const peer = await Peer.start(topology.clients[0] as LabNode);
  director = new GuestDirector(vm, node, peer);
  await director.configure({ services: BYSTANDERS });
  await director.start();
  await director.started();
}, SETUP_MS);

afterAll(() => vm?.stop());

/** Writes what the checks read, all at once. */
async function tell(
  services: readonly DrawnService[],
  states: readonly (readonly ServerState[])[],
) {
  const lines = services.flatMap((drawn, at) =>
    drawn.servers.map((server, index) => {
      const state = states[at]?.[index] as ServerState;
      const word = state.kind === 'down' ? 'down' : state.kind === 'told' ? state.weight : 'up';
      return `echo ${word} >${healthFile(drawn, server)}`;
    }),
  );
  await check(vm, ['sh', '-e'], { stdin: `mkdir -p /tmp/health\n${lines.join('\n')}\n` });
}

/** Does what operators decided, and takes back what they no longer do. */
async function override(
  services: readonly DrawnService[],
  states: readonly (readonly ServerState[])[],
  before: readonly (readonly ServerState[])[],
): Promise<void> {
  for (const [at, drawn] of services.entries()) {
    for (const [index, server] of drawn.servers.entries()) {
      const target = `target=${drawn.name}/${endpoint(server)}`;
      const state = states[at]?.[index] as ServerState;
      const is = before[at]?.[index] as ServerState;
      const action = actionOf(state) ?? (actionOf(is) === null ? null : 'action=clear');
      if (action === null) continue;
      const answer = await director.post(`/v1/override?${encodeURI(target)}&${action}&force`);
      expect(answer).toMatchObject({ status: 200 });
    }
  }
}

function actionOf(state: ServerState): string | null {
  if (state.kind === 'override') return `action=${state.action}`;
  return state.kind === 'override-weight' ? `action=weight&weight=${state.weight}` : null;
}

async function untilTable(services: readonly DrawnService[], states: readonly ServerState[][]) {
  const wanted = expected(services.map((drawn, at) => ({ drawn, states: states[at] ?? [] })));
  await director.untilSaved(wanted.saved);
  const lines = await director.ipvsadm('-Ln', '--thresholds');
  const servers = lines.filter((line) => /^-> \S+:\d+ /.test(line));
  expect(servers.sort()).toEqual([...wanted.thresholds].sort());
  const listed = listedServers(await director.ipvsadm('-Ln'));
  expect([...listed.keys()].sort()).toEqual([...wanted.listed.keys()].sort());
  for (const [service, its] of wanted.listed) {
    expect([service, listed.get(service)?.toSorted()]).toEqual([service, its.toSorted()]);
  }
}

describe(`drawn configurations, seed ${SEED}`, { timeout: CASE_MS }, () => {
  it.each(CASES.map((one, index) => [index + 1, one] as const))('%i', async (_index, one) => {
    const { services, states } = one;
    await tell(services, allUp(services));
    await director.configure(configuration(services));
    await director.reload();
    let before = allUp(services);
    await untilTable(services, before);
    for (const next of states.map((state) => state.map((servers) => [...servers]))) {
      await tell(services, next);
      await override(services, next, before);
      await untilTable(services, next);
      before = next;
    }
    await override(services, allUp(services), before);
    const { ipvs } = await director.status();
    expect(ipvs).toMatchObject({ lastError: null, drift: { missing: 0, altered: 0, leftover: 0 } });
    expect(director.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });

  it('leaves an empty table when nothing is configured any more', async () => {
    await director.configure(configuration([]));
    await director.reload();
    await director.untilSaved([]);
  });
});

/** Servers that are no longer configured go at once, and not when a drain has ended. */
async function reconfigure(config: Readonly<Record<string, unknown>>): Promise<void> {
  const ipvs = { reconcile_interval: '1s', on_remove: 'delete' };
  await director.configure({ ipvs, ...config });
  await director.reload();
}

describe('bad input', { timeout: CASE_MS }, () => {
  it('is refused with every mistake by its place, and changes nothing', async () => {
    await reconfigure({ services: BYSTANDERS });
    await director.untilSaved(BYSTANDERS_SAVED);
    const bad = {
      ...BYSTANDERS,
      one: { ...BYSTANDERS.one, scheduler: 'wrrr', servers: [`${RIP}:81`] },
      three: {
        address: `${VIP}:5004`,
        check: 'none',
        servers: [
          { address: `${RIP}:1`, weight: 65_536 },
          { address: `${RIP}:2`, weight: -1 },
          { address: `${RIP}:3`, upper_threshold: 5, lower_threshold: 6 },
        ],
      },
      mixed: MIXED,
    };
    await director.configure({ vrrp: VRRP, services: bad, sync: SYNC });
    const { status, body } = await director.post('/v1/reload');
    expect(status).toBe(422);
    const { errors } = JSON.parse(body) as { errors: readonly string[] };
    for (const place of [
      /services\.one\.scheduler: expected .*, found "wrrr"/,
      /services\.three\.servers\[0\]\.weight: expected .* 0 to 65535, found 65536/,
      /services\.three\.servers\[1\]\.weight: expected .* 0 to 65535, found -1/,
      /services\.three\.servers\[2\]\.lower_threshold: expected at most upper_threshold/,
      /services\.mixed\.servers: .*another family .* exclude connection sync/,
    ]) {
      expect(errors).toContainEqual(expect.stringMatching(place));
    }
    await director.reconciled(2);
    expect(await director.saved()).toEqual([...BYSTANDERS_SAVED].sort());
  });

  it('a sync daemon of somebody else keeps a server of the other family out, and it alone', async () => {
    await check(node, ['ipvsadm', '--start-daemon', 'master', '--mcast-interface', 'eth1']);
    await reconfigure({ services: { ...BYSTANDERS, mixed: MIXED } });
    await director.untilSaved([...BYSTANDERS_SAVED, ...MIXED_SAVED]);
    await director.reconciled(2);
    const told = director.log.filter(({ code }) => code === 'VK-IPVS');
    expect(told).toEqual([
      expect.objectContaining({
        msg: expect.stringContaining(`Server [${RIP6}]:5003 of service tcp ${VIP}:5003`),
        cure: expect.stringContaining('Stop the connection sync daemon'),
      }),
    ]);
    expect((await director.status()).ipvs.lastError).toContain(`[${RIP6}]:5003`);
    expect(await director.metric('vipkeeper_ipvs_reconcile_success')).toEqual(new Map([['', 0]]));
    await check(node, ['ipvsadm', '--stop-daemon', 'master']);
    await director.untilSaved([...BYSTANDERS_SAVED, ...MIXED_SAVED, MIXED_SERVER]);
    expect((await director.reconciled(1)).ipvs.lastError).toBe(null);
    expect(await director.metric('vipkeeper_ipvs_reconcile_success')).toEqual(new Map([['', 1]]));
  });

  it('a reload goes from servers of the other family to a sync daemon, and back, without a refusal', async () => {
    const refusals = () => director.log.filter(({ code }) => /^VK-(SYNC|IPVS)$/.test(String(code)));
    const before = refusals().length;
    await reconfigure({ vrrp: VRRP, services: BYSTANDERS, sync: SYNC });
    await director.until('the daemon', async () => {
      return (await director.ipvsadm('-L', '--daemon')).length === 1;
    });
    await reconfigure({ vrrp: VRRP, services: { ...BYSTANDERS, mixed: MIXED } });
    await director.untilSaved([...BYSTANDERS_SAVED, ...MIXED_SAVED, MIXED_SERVER]);
    expect(await director.ipvsadm('-L', '--daemon')).toEqual([]);
    expect(refusals().length).toBe(before);
  });

  it('a sync daemon waits until servers of the other family have drained', async () => {
    const ipvs = { reconcile_interval: '1s', on_remove: 'drain' };
    const reload = async (changes: object) => {
      await director.configure({ ipvs, ...changes });
      await director.reload();
    };
    await reload({ services: { ...BYSTANDERS, mixed: MIXED } });
    await director.untilSaved([...BYSTANDERS_SAVED, ...MIXED_SAVED, MIXED_SERVER]);
    const before = director.log.length;
    await reload({ vrrp: VRRP, services: BYSTANDERS, sync: SYNC });
    await director.until('the daemon', async () => {
      return (await director.ipvsadm('-L', '--daemon')).length === 1;
    });
    const since = director.log.slice(before);
    expect(since.filter(({ code }) => /^VK-(SYNC|IPVS)$/.test(String(code)))).toEqual([]);
    const waits = since.filter(({ event }) => event === 'sync-waits');
    expect(waits.map(({ msg }) => String(msg))).toEqual([
      expect.stringMatching(
        /starts when servers of another family .* have left the table: tcp .*$/,
      ),
    ]);
    expect(await director.saved()).toEqual([...BYSTANDERS_SAVED].sort());
    expect((await director.status()).sync).toMatchObject({ error: null, waitsFor: 0 });
  });

  it('a server of the other family of somebody else keeps the sync daemon from starting', async () => {
    await reconfigure({ services: BYSTANDERS });
    const foreign = ['-A -t 203.0.113.9:25 -s rr', `-a -t 203.0.113.9:25 -r [${RIP6}]:25 -i -w 1`];
    await check(node, ['ipvsadm', '-R'], { stdin: `${foreign.join('\n')}\n` });
    await reconfigure({ vrrp: VRRP, services: BYSTANDERS, sync: SYNC });
    const error = async () => (await director.status()).sync?.error ?? null;
    await director.until('the refusal', async () => (await error()) !== null);
    expect(await error()).toMatch(
      /^Sync daemon \w+ on eth1: the kernel refused a setting \(EINVAL\)/,
    );
    const [problem] = director.log.filter(({ code }) => code === 'VK-SYNC');
    expect(problem?.cure).toContain('no server of another address family than its service');
    expect(await director.metric('vipkeeper_sync_failed')).toEqual(new Map([['', 1]]));
    const others = (await director.saved()).filter((line) => !line.includes('203.0.113.9'));
    expect(others).toEqual([...BYSTANDERS_SAVED].sort());
    await check(node, ['ipvsadm', '-D', '-t', '203.0.113.9:25']);
    await director.until('the daemon', async () => (await error()) === null);
    expect((await director.ipvsadm('-L', '--daemon')).length).toBe(1);
  });

  it('a service that somebody keeps deleting while it is filled comes back whole', async () => {
    // More servers than the director programs in one turn.
    const many = Array.from({ length: 400 }, (_, index) => `${RIP}:${10_001 + index}`);
    const big = { address: `${VIP}:5005`, scheduler: 'rr', check: 'none', servers: many };
    const whole = [
      ...BYSTANDERS_SAVED,
      `-A -t ${VIP}:5005 -s rr`,
      ...many.map((one) => `-a -t ${VIP}:5005 -r ${one} -m -w 1`),
    ];
    const watched = `ipvsadm -Sn | grep -c -e ${VIP}:5001 -e '-f 5002'`;
    const script = `for round in $(seq 40); do ipvsadm -D -t ${VIP}:5005 2>/dev/null; ${watched}; done`;
    const before = director.log.length;
    const deleting = check(node, ['sh', '-c', script], { timeoutMs: CASE_MS });
    await reconfigure({ services: { ...BYSTANDERS, big } });
    const counts = (await deleting).stdout.trim().split('\n');
    await director.untilSaved(whole);
    // The others were there at every look.
    expect(counts).toEqual(Array(40).fill(String(BYSTANDERS_SAVED.length)));
    expect((await director.reconciled(1)).ipvs.lastError).toBe(null);
    const errors = director.log.slice(before).filter(({ level }) => Number(level) >= 50);
    expect(errors.filter(({ code }) => code !== 'VK-IPVS')).toEqual([]);
  });
});

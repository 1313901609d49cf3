/**
 * What operators lean on, on a real kernel and a pair of directors: services that are in the table,
 * and are checked, only where the virtual IP is, for groups of entries and firewall marks too;
 * decisions with an end that outlive reload, restart and reboot; drains of persistent clients; the
 * weight that a script asks for; the share of servers that no failure takes out; and all of that at
 * once for the servers of one service, by the list in docs/guides/taking-servers-out.md.
 *
 * The tests are one story: the pair runs from the first to the last, which loses director1.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Preview } from '../../src/core/ipvs/preview.ts';
import { check, writeFile } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { Vm } from '../lab/vm.ts';
import {
  FIRST_PREFERRED,
  GATEWAY,
  GuestDirector,
  oneInstance,
  Peer,
  SETUP_MS,
  startRealServer,
  TEST_MS,
  until,
} from './guest.ts';

const VIP = '192.0.2.201';
const REAL1 = '198.51.100.101';
const REAL2 = '198.51.100.102';
const SERVERS = [`${REAL1}:80`, `${REAL2}:80`];
const HERE = { only_on_active: true, check_when: 'active', scheduler: 'rr' };
const TCP = { interval: '1s', timeout: '20s' };
/** A script is started, which costs the emulator as much as a hundred connections. */
const SCRIPT_TIMING = { interval: '3s', timeout: '60s' };
/** Exit status 2 and more is a weight and 2, as with keepalived's MISC_CHECK. */
const WEIGHT_SCRIPT = '/tmp/weight.sh';
const WEIGHT = '/tmp/weight';

/** Of the service about whose servers everything is said; nobody is there, a script speaks for them. */
const WALKED = { a: '203.0.113.1', b: '203.0.113.2', c: '203.0.113.3' } as const;
type Name = keyof typeof WALKED;
const NAMES = Object.keys(WALKED) as Name[];
const SAYS_SCRIPT = '/tmp/says.sh';

const CONFIG = {
  vrrp: oneInstance([`${VIP}/24`, GATEWAY], FIRST_PREFERRED),
  services: {
    group: {
      address: [`${VIP}:80,81`, '192.0.2.202:80'],
      follow: 'all',
      ...HERE,
      check: TCP,
      servers: SERVERS,
    },
    marked: { fwmark: 7, follow: 'all', ...HERE, check: { ping: {}, ...TCP }, servers: [REAL1] },
    clients: {
      address: `${VIP}:90`,
      scheduler: 'rr',
      persistence: '10m',
      check: 'none',
      servers: SERVERS,
    },
    scripted: {
      address: `${VIP}:91`,
      scheduler: 'wrr',
      check: {
        script: { command: [WEIGHT_SCRIPT, '{rip}'], dynamic_weight: true },
        ...SCRIPT_TIMING,
      },
      servers: [{ address: `${REAL1}:80`, weight: 10 }],
    },
    guarded: {
      address: `${VIP}:92`,
      scheduler: 'rr',
      min_healthy: '50%',
      // Nobody listens there.
      check: { ...TCP, port: 9, fall: 1 },
      servers: SERVERS,
    },
  },
  ipvs: { reconcile_interval: '1s' },
  // The test's own, below /tmp.
  notify: { script_security: false },
};

/** CONFIG with that service; `window`: a's has begun a minute ago. */
function walking(window: boolean) {
  const start = new Date(Date.now() - 60_000);
  const schedule = `${start.getUTCMinutes()} ${start.getUTCHours()} * * *`;
  const maintenance = [{ schedule, time_zone: 'UTC', duration: '3h', reason: 'new disks' }];
  const walked = {
    address: `${VIP}:93`,
    scheduler: 'wrr',
    check: {
      script: { command: [SAYS_SCRIPT, '{rip}'], dynamic_weight: true },
      ...{ ...SCRIPT_TIMING, fall: 1, rise: 1 },
    },
    slow_start: '8s',
    // One of three may go.
    min_healthy: '60%',
    servers: NAMES.map((name) => ({
      address: `${WALKED[name]}:80`,
      weight: 10,
      ...(window && name === 'a' ? { maintenance } : {}),
    })),
  };
  return { ...CONFIG, services: { ...CONFIG.services, walked } };
}

const GROUP = [`${VIP}:80`, `${VIP}:81`, '192.0.2.202:80'].flatMap((entry) => [
  `-A -t ${entry} -s rr`,
  ...SERVERS.map((server) => `-a -t ${entry} -r ${server} -m -w 1`),
]);
const MARKED = ['-A -f 7 -s rr', `-a -f 7 -r ${REAL1}:0 -m -w 1`];
const CLIENTS = [
  `-A -t ${VIP}:90 -s rr -p 600`,
  ...SERVERS.map((server) => `-a -t ${VIP}:90 -r ${server} -m -w 1`),
];

let vm: Vm;
let peer: Peer;
let first: GuestDirector;
let second: GuestDirector;

beforeAll(async () => {
  vm = await Vm.start();
  const topology = await Topology.create(vm);
  peer = await Peer.start(topology.clients[0] as LabNode);
  await Promise.all(topology.realServers.map((server) => startRealServer(server)));
  await exitWith({ [WEIGHT]: 7 });
  await writeFile(vm, WEIGHT_SCRIPT, `#!/bin/sh\nread -r exit <${WEIGHT}\nexit $exit\n`);
  await check(vm, ['chmod', '755', WEIGHT_SCRIPT]);
  const [one, two] = topology.directors.map((node) => new GuestDirector(vm, node, peer));
  first = one as GuestDirector;
  second = two as GuestDirector;
  for (const director of [first, second]) await director.configure(CONFIG);
  await Promise.all([first.start(), second.start()]);
  for (const director of [first, second]) await director.started();
  await first.until('to be active', async () => {
    return (await first.status()).instances[0]?.state === 'active';
  });
}, SETUP_MS);

afterAll(() => vm?.stop());

/** What scripts read from these files as their exit status; no script meets half a file. */
async function exitWith(exits: Readonly<Record<string, number>>): Promise<void> {
  const lines = Object.entries(exits).map(
    ([path, exit]) => `echo ${exit} >${path}.next && mv ${path}.next ${path}`,
  );
  await check(vm, ['sh', '-c', lines.join(' && ')]);
}

/** The decision about a server, as the command asks for it: what it prints is not looked at. */
async function decide(
  director: GuestDirector,
  target: string,
  action: string,
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  const query = new URLSearchParams({ target, action, ...more });
  expect(await director.post(`/v1/override?${query}`)).toMatchObject({ status: 200 });
}

/** Lines of the table, as `ipvsadm -Sn`, that belong to these. */
async function saved(director: GuestDirector, of: readonly string[]): Promise<readonly string[]> {
  const entries = new Set(of.map((line) => line.split(' ').slice(1, 3).join(' ')));
  const lines = await director.saved();
  return lines.filter((line) => entries.has(line.split(' ').slice(1, 3).join(' ')));
}

async function untilTable(director: GuestDirector, lines: readonly string[], of = lines) {
  let found: readonly string[] = [];
  const wanted = lines.toSorted();
  await director.until(`the table\n${wanted.join('\n')}`, async () => {
    found = await saved(director, of);
    return found.join('\n') === wanted.join('\n');
  });
}

async function serverOf(director: GuestDirector, service: string, server: string) {
  const { services } = await director.status();
  return services
    .find(({ name }) => name === service)
    ?.servers.find((one) => one.server === server);
}

function setting(director: GuestDirector, name: string): Promise<string> {
  const argv = ['cat', `/proc/sys/net/ipv4/vs/${name}`];
  return check(director.node, argv).then(({ stdout }) => stdout.trim());
}

describe('a pair of directors', { timeout: TEST_MS }, () => {
  it('has services of the active one there alone, by address, group and mark, checks too', async () => {
    await untilTable(first, [...GROUP, ...MARKED]);
    expect(await saved(second, [...GROUP, ...MARKED])).toEqual([]);
    const targets = async (director: GuestDirector) =>
      (await director.status()).checks.map(({ kind, target }) => `${kind} ${target}`);
    expect(await targets(first)).toEqual(
      expect.arrayContaining(SERVERS.map((one) => `tcp ${one}`)),
    );
    expect((await targets(second)).filter((one) => /^(tcp \S+:80|ping)/.test(one))).toEqual([]);
    const [name] = (await first.status()).services.flatMap((one) =>
      one.name === 'group' ? one.entries.map(({ follow }) => follow) : [],
    );
    expect(name).toBe('all');
  });

  it('drains a server at once on the director whose table does not have it', async () => {
    const target = `group/${REAL1}:80`;
    const { stdout } = await second.vipkeeper('drain', target);
    expect(stdout).toContain(`${target}: drained and out of the table`);
    await decide(second, target, 'clear');
  });

  it('takes the weight that a script asks for, and the server out when it fails', async () => {
    const server = `${REAL1}:80`;
    const weight = async () => (await serverOf(first, 'scripted', server))?.weight;
    // 7 less 2.
    await first.until('the weight 5', async () => (await weight()) === 5);
    await exitWith({ [WEIGHT]: 255 });
    await first.until('the weight 253', async () => (await weight()) === 253);
    await exitWith({ [WEIGHT]: 1 });
    await first.until('the weight 0', async () => (await weight()) === 0);
    await exitWith({ [WEIGHT]: 0 });
    await first.until('its own weight', async () => (await weight()) === 10);
  });

  it('leaves the share of servers in that min_healthy asks for, and says which', async () => {
    const lines = SERVERS.map((server) => `-a -t ${VIP}:92 -r ${server} -m -w `);
    await first.until('one of two servers to be out', async () => {
      const found = (await first.saved()).filter((line) =>
        lines.some((one) => line.startsWith(one)),
      );
      return (
        found
          .map((line) => line.at(-1))
          .toSorted()
          .join() === '0,1'
      );
    });
    const { services } = await first.status();
    const guarded = services.find(({ name }) => name === 'guarded')?.servers ?? [];
    expect(guarded.map(({ health }) => health)).toEqual(['down', 'down']);
    expect(guarded.map(({ weightReason }) => weightReason).toSorted()).toEqual([
      'failed',
      'guarded',
    ]);
  });
});

describe('a decision of an operator', { timeout: TEST_MS }, () => {
  const server = `${REAL1}:80`;
  const endMs = Math.floor(Date.now() / 1000) * 1000 + 3 * 86_400_000;
  const end = `${new Date(endMs).toISOString().slice(0, 19)}Z`;

  it('with an end is done, and told where one looks', async () => {
    const why = ['--until', end, '--reason', 'new disk'];
    const { stdout } = await first.command('override', `clients/${server}`, '--down', ...why);
    expect(stdout).toContain(`clients/${server}: taken out until ${end}`);
    expect(stdout).toContain('to this director only');
    await first.until('it to be out', async () => {
      return (await serverOf(first, 'clients', server))?.weightReason === 'forced-down';
    });
    const shown = await first.command('status');
    expect(shown.stdout).toContain(`until ${end.slice(0, 16)}Z: new disk`);
    const labels = `service="clients",server="${server}"`;
    expect(await first.metric('vipkeeper_server_override')).toEqual(
      new Map([[`{${labels},action="down"}`, 1]]),
    );
    const ends = await first.metric('vipkeeper_server_override_end_timestamp_seconds');
    expect([...ends.values()]).toEqual([endMs / 1000]);
    expect(first.lines('override').at(-1)?.until).toBe(new Date(endMs).toISOString());
    // The other director has not been asked.
    expect((await serverOf(second, 'clients', server))?.override).toBeNull();
  });

  it.each(['reload', 'restart', 'reboot'])('outlives a %s', async (how) => {
    const pid = (await first.status()).controller.pid;
    if (how === 'reload') await first.reload();
    // The command waits for fifteen seconds, which are few where everything is emulated.
    else if (how === 'restart')
      expect(await first.post('/v1/restart')).toMatchObject({ status: 202 });
    else {
      expect(await first.stop()).toBe(0);
      // Of what vipkeeper finds, this is what a reboot leaves.
      await check(first.node, ['rm', '-r', first.runtimeDirectory]);
      await first.start();
    }
    await first.until('an answer', async () => {
      const status = await first.tryStatus();
      return status !== null && (how === 'reload' || status.controller.pid !== pid);
    });
    await first.until('the decision', async () => {
      const found = await serverOf(first, 'clients', server);
      return found?.override?.untilMs === endMs && found.weightReason === 'forced-down';
    });
    expect((await serverOf(first, 'clients', server))?.override).toMatchObject({
      action: { kind: 'down' },
      reason: 'new disk',
    });
  });

  it('is shown, and can be cleared, when its server has left the file', async () => {
    const { clients, ...others } = CONFIG.services;
    await first.configure({ ...CONFIG, services: others });
    await first.reload();
    const unused = async () => (await first.status()).ipvs.unusedOverrides;
    expect(await unused()).toMatchObject([{ service: 'clients', server, reason: 'new disk' }]);
    await decide(first, `clients/${REAL1}`, 'clear');
    expect(await unused()).toEqual([]);
    await first.configure(CONFIG);
    await first.reload();
    await untilTable(first, CLIENTS);
  });

  it('is over when it is cleared', async () => {
    await decide(first, `clients/${server}`, 'down');
    await first.until('it to be out', async () => {
      return (await serverOf(first, 'clients', server))?.weightReason === 'forced-down';
    });
    await decide(first, `clients/${server}`, 'clear');
    await untilTable(first, CLIENTS);
  });
});

describe('a drain of persistent clients', { timeout: TEST_MS }, () => {
  it('lets templates expire, and puts the setting back when it is done', async () => {
    await first.until('to be active', async () => {
      return (await first.status()).instances[0]?.state === 'active';
    });
    const answered = await peer.get(`http://${VIP}:90/`);
    const [ip, other] = answered.server === 'real1' ? [REAL1, 'real2'] : [REAL2, 'real1'];
    expect(answered.error).toBeNull();
    expect(await setting(first, 'expire_quiescent_template')).toBe('0');
    await decide(first, `clients/${ip}`, 'drain');
    expect(await setting(first, 'expire_quiescent_template')).toBe('1');
    // It was one of two: the last one is not taken by mistake.
    const last = `/v1/override?action=drain&target=clients/${ip === REAL1 ? REAL2 : REAL1}`;
    expect(await first.post(last)).toMatchObject({
      status: 422,
      body: expect.stringContaining('clients would be left with 0 of 2 servers'),
    });
    expect(await first.post(`${last}&force&dry_run`)).toMatchObject({ status: 200 });
    await until('the client to have another server', async () => {
      return (await peer.get(`http://${VIP}:90/`)).server === other;
    });
    // Its last connection is known for two minutes more to the kernel, which nobody waits for.
    await decide(first, `clients/${ip}`, 'clear');
    await until('the setting to be as before', async () => {
      return (await setting(first, 'expire_quiescent_template')) === '0';
    });
    await untilTable(first, CLIENTS);
  });
});

describe('everything that is said of the servers of one service', { timeout: TEST_MS }, () => {
  beforeAll(async () => {
    await writeFile(vm, SAYS_SCRIPT, '#!/bin/sh\nread -r exit </tmp/says-$1\nexit $exit\n');
    await check(vm, ['chmod', '755', SAYS_SCRIPT]);
    await say({ a: weight(7), b: weight(20), c: 0 });
    await first.configure(walking(false));
    await first.reload();
  }, TEST_MS);

  it('is the weights that scripts ask for, and the guard against those of 0', async () => {
    await untilWeights('a=7 b=20 c=10', 'a=check-weight b=check-weight c=healthy');
    await say({ b: weight(0) });
    await untilWeights('a=7 b=0 c=10', 'a=check-weight b=check-weight c=healthy');
    // Who failed comes after who asks for 0.
    await say({ c: FAILS });
    await untilWeights('a=7 b=10 c=0', 'a=check-weight b=guarded c=failed');
  });

  it('is the weight of an operator, who comes before scripts and after a failure', async () => {
    await decide(first, walked('a'), 'weight', { weight: '3' });
    await untilWeights('a=3 b=10 c=0', 'a=weight-override b=guarded c=failed');
    await say({ a: FAILS });
    await untilWeights('a=3 b=10 c=0', 'a=guarded b=guarded c=failed');
    expect(await planned()).toEqual([]);
    await say({ a: weight(7) });
    await untilWeights('a=3 b=10 c=0', 'a=weight-override b=guarded c=failed');
  });

  it('is a slow start of who was out, not of who was kept in, and a drain in its middle', async () => {
    const weights = async () => {
      const match = /^a=3 b=(\d+) c=(\d+)$/.exec(await weightsOfWalked());
      return { b: Number(match?.[1]), c: Number(match?.[2]) };
    };
    // Before the other one, whose success would let go of it while its script still said 0.
    await say({ b: weight(30) });
    await first.until('what its script says', async () => {
      const { b } = await weights();
      // Kept in at 10, or as its script says; never a part of it.
      expect([10, 30]).toContain(b);
      return b === 30;
    });
    await say({ c: weight(40) });
    const seen: number[] = [];
    await first.until('the whole weight', async () => {
      const { b, c } = await weights();
      seen.push(c);
      expect(b).toBe(30);
      return c === 40;
    });
    expect(seen.some((one) => one > 0 && one < 40)).toBe(true);
    expect(seen).toEqual(seen.toSorted((left, right) => left - right));
    await untilWeights('a=3 b=30 c=40', 'a=weight-override b=check-weight c=check-weight');
    await say({ c: FAILS });
    await untilWeights('a=3 b=30 c=0', 'a=weight-override b=check-weight c=failed');
    await say({ c: weight(40) });
    await first.until('a part', async () => /c=([1-9]|[12]\d)$/.test(await weightsOfWalked()));
    await decide(first, walked('c'), 'drain');
    // Nobody is connected: it leaves at once.
    await untilWeights('a=3 b=30', 'a=weight-override b=check-weight c=drained');
    await decide(first, walked('c'), 'clear');
    await untilWeights('a=3 b=30 c=40', 'a=weight-override b=check-weight c=check-weight');
  });

  it('is a window before that weight, and the guard that counts it, and holds it back', async () => {
    await first.configure(walking(true));
    await first.reload();
    await untilWeights('a=0 b=30 c=40', 'a=maintenance b=check-weight c=check-weight');
    await say({ c: FAILS });
    await untilWeights('a=0 b=30 c=40', 'a=maintenance b=check-weight c=guarded');
    expect(await planned()).toEqual([]);
    await decide(first, walked('a'), 'up');
    await untilWeights('a=10 b=30 c=0', 'a=forced-up b=check-weight c=failed');
    await decide(first, walked('a'), 'clear');
    // c is out, so that a is needed and its window waits.
    await untilWeights('a=7 b=30 c=0', 'a=check-weight b=check-weight c=failed');
    expect(first.lines('held-back').length).toBeGreaterThan(0);
  });

  it('is known to the next controller, and the kernel has it at every moment', async () => {
    const before = await weightsOfWalked();
    const killed = await first.signal('KILL', 'controller');
    const seen = new Set<string>();
    await first.until('the next controller', async () => {
      seen.add(await weightsOfWalked());
      const status = await first.tryStatus();
      return status !== null && status.controller.pid !== killed && status.ipvs.reconciles > 2;
    });
    await untilWeights(before, 'a=check-weight b=check-weight c=failed');
    expect([...seen]).toEqual([before]);
  });

  const FAILS = 1;
  const walked = (name: Name) => `walked/${WALKED[name]}`;
  /** Exit status of a script that asks for this weight. */
  function weight(of: number): number {
    return of + 2;
  }

  /** What the script exits with for these servers from now on. */
  async function say(exits: Partial<Record<Name, number>>): Promise<void> {
    const entries = Object.entries(exits) as [Name, number][];
    await exitWith(
      Object.fromEntries(entries.map(([name, exit]) => [`/tmp/says-${WALKED[name]}`, exit])),
    );
  }

  /** 'a=7 b=20 c=10' as ipvsadm has it; without those that are not there. */
  async function weightsOfWalked(): Promise<string> {
    const lines = await first.saved();
    const found = NAMES.flatMap((name) => {
      const entry = `-a -t ${VIP}:93 -r ${WALKED[name]}:80 `;
      const line = lines.find((one) => one.startsWith(entry));
      return line === undefined ? [] : [`${name}=${line.split(' ').at(-1)}`];
    });
    return found.join(' ');
  }

  /** Waits until the kernel has these weights, for these reasons. */
  async function untilWeights(weights: string, why: string): Promise<void> {
    let found = '';
    try {
      await first.until('the weights', async () => {
        const { services } = await first.status();
        const servers = services.find(({ name }) => name === 'walked')?.servers ?? [];
        const reasons = NAMES.map((name) => {
          const one = servers.find(({ server }) => server === `${WALKED[name]}:80`);
          return `${name}=${one?.weightReason}`;
        });
        found = `${await weightsOfWalked()}, ${reasons.join(' ')}`;
        return found === `${weights}, ${why}`;
      });
    } catch (error) {
      expect(found).toBe(`${weights}, ${why}`);
      throw error;
    }
  }

  /** What `vipkeeper plan` would change of it. */
  async function planned() {
    const { stdout } = await first.command('plan', '--json');
    const { items } = JSON.parse(stdout) as Preview;
    return items.filter(({ service }) => service === `tcp ${VIP}:93`);
  }
});

describe('the other director', { timeout: TEST_MS }, () => {
  it('checks and has the services once it is active', async () => {
    expect(await first.stop()).toBe(0);
    await untilTable(second, [...GROUP, ...MARKED]);
    await second.until('verdicts', async () => {
      const { checks } = await second.status();
      const found = checks.filter(({ target }) => SERVERS.includes(target));
      return found.length > 0 && found.every(({ status }) => status === 'up');
    });
    expect(await peer.get(`http://${VIP}/`)).toMatchObject({ error: null, status: 200 });
  });
});

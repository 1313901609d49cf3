/**
 * One whole director on a real kernel: its IPVS table as ipvsadm reads it, repaired whatever is
 * done to it by hand, following the health of real servers, and left alone by a controller that
 * dies. The director runs from the first test to the last; each test leaves it as it found it.
 */

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Preview } from '../../src/core/ipvs/preview.ts';
import type { CheckReport } from '../../src/core/status.ts';
import { check, writeFile } from '../lab/host.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { Vm } from '../lab/vm.ts';
import {
  GATEWAY,
  GATEWAY6,
  GuestDirector,
  LONG_DOWNLOAD,
  listedServers,
  oneInstance,
  Peer,
  SETUP_MS,
  startRealServer,
  TEST_MS,
  until,
} from './guest.ts';
import { LIMITED, TABLE_CASES, type TableCase, TWOS } from './table-cases.ts';

const VIP = '192.0.2.201';
const VIP6 = '2001:db8:1::201';
const REAL1 = '198.51.100.101';
const REAL2 = '198.51.100.102';
/** The reconcile interval of a second, and a margin for an emulated, busy machine. */
const REPAIR_MS = 1_000 + 60_000;
/** Longer than a new controller's first comparison takes, shorter than a check waits. */
const VERDICT_DELAY_MS = 15_000;
/** Longer than a new controller takes to come up. */
const DRAIN_TIMEOUT_S = 20;
const WHY = ['--reason', 'new disk', '--timeout', `${DRAIN_TIMEOUT_S}s`];
const FALL = 3;
const RISE = 2;

const CHECK = {
  http: { path: '/healthz' },
  interval: '500ms',
  timeout: '40s',
  fall: FALL,
  rise: RISE,
};
const TCP = { ...CHECK, http: undefined, tcp: {} };

/** Services with servers that run. */
const LIVE: Readonly<Record<string, TableCase['config']>> = {
  web: {
    address: `${VIP}:80`,
    scheduler: 'wrr',
    check: CHECK,
    servers: [`${REAL1}:80`, { address: `${REAL2}:80`, weight: 2 }],
  },
  removing: {
    address: `${VIP}:81`,
    scheduler: 'rr',
    check: CHECK,
    on_failure: 'remove',
    servers: [`${REAL1}:80`, `${REAL2}:80`],
  },
  spare: {
    address: `${VIP}:84`,
    scheduler: 'rr',
    check: CHECK,
    servers: [`${REAL1}:80`],
    sorry_servers: [`${REAL2}:80`],
  },
  sticky: {
    address: `${VIP}:82`,
    scheduler: 'rr',
    persistence: { timeout: '10m', prefix: 24 },
    check: 'none',
    servers: [`${REAL1}:80`, `${REAL2}:80`],
  },
  names: {
    address: `${VIP}:83`,
    protocol: 'udp',
    scheduler: 'rr',
    servers: [`${REAL1}:80`, `${REAL2}:80`],
  },
  marked: {
    fwmark: 7,
    scheduler: 'rr',
    check: 'none',
    servers: [`${REAL1}:80`, `${REAL2}:80`],
  },
  web6: {
    address: `[${VIP6}]:80`,
    scheduler: 'rr',
    check: 'none',
    servers: ['[2001:db8:2::101]:80', '[2001:db8:2::102]:80'],
  },
};

const LIVE_SAVED: readonly string[] = [
  `-A -t ${VIP}:80 -s wrr`,
  `-a -t ${VIP}:80 -r ${REAL1}:80 -m -w 1`,
  `-a -t ${VIP}:80 -r ${REAL2}:80 -m -w 2`,
  `-A -t ${VIP}:81 -s rr`,
  `-a -t ${VIP}:81 -r ${REAL1}:80 -m -w 1`,
  `-a -t ${VIP}:81 -r ${REAL2}:80 -m -w 1`,
  `-A -t ${VIP}:84 -s rr`,
  `-a -t ${VIP}:84 -r ${REAL1}:80 -m -w 1`,
  `-a -t ${VIP}:84 -r ${REAL2}:80 -m -w 0`,
  `-A -t ${VIP}:82 -s rr -p 600 -M 255.255.255.0`,
  `-a -t ${VIP}:82 -r ${REAL1}:80 -m -w 1`,
  `-a -t ${VIP}:82 -r ${REAL2}:80 -m -w 1`,
  `-A -u ${VIP}:83 -s rr`,
  `-a -u ${VIP}:83 -r ${REAL1}:80 -m -w 1`,
  `-a -u ${VIP}:83 -r ${REAL2}:80 -m -w 1`,
  '-A -f 7 -s rr',
  `-a -f 7 -r ${REAL1}:80 -m -w 1`,
  `-a -f 7 -r ${REAL2}:80 -m -w 1`,
  `-A -t [${VIP6}]:80 -s rr`,
  `-a -t [${VIP6}]:80 -r [2001:db8:2::101]:80 -m -w 1`,
  `-a -t [${VIP6}]:80 -r [2001:db8:2::102]:80 -m -w 1`,
];

const CASES = Object.values(TABLE_CASES);
const SAVED = [...LIVE_SAVED, ...CASES.flatMap(({ saved }) => saved)].sort();
const WITH_TWOS = [...SAVED, ...TWOS.saved].sort();

interface IpvsSettings {
  readonly ownership?: 'shared' | 'exclusive';
  readonly on_stop?: 'keep' | 'remove';
  readonly reconcile_interval?: string;
}

function configuration(settings: IpvsSettings = {}): Readonly<Record<string, unknown>> {
  const cases = Object.entries({ ...TABLE_CASES, twos: TWOS });
  return {
    vrrp: oneInstance([`${VIP}/24`, `${VIP6}/64`, GATEWAY, GATEWAY6]),
    services: { ...LIVE, ...Object.fromEntries(cases.map(([name, { config }]) => [name, config])) },
    sync: { interface: 'eth2', id: 51 },
    // A cleared table is more lines than are shown otherwise.
    log: { level: 'debug' },
    ipvs: {
      reconcile_interval: '1s',
      timeouts: { udp: '70s' },
      settings: { ignore_tunneled: true, sync_threshold: [0, 10] },
      ...settings,
    },
  };
}

let vm: Vm;
let topology: Topology;
let node: LabNode;
let director: GuestDirector;
/** One whose configuration cannot work here. */
let refused: GuestDirector;
let peer: Peer;

beforeAll(async () => {
  vm = await Vm.start();
  topology = await Topology.create(vm, { directors: 1, sync: true });
  node = topology.directors[0] as LabNode;
  const client = topology.clients[0] as LabNode;
  // The client may speak to the real servers themselves, by way of the director.
  await check(client, ['ip', 'route', 'add', '198.51.100.0/24', 'via', '192.0.2.11']);
  // As in a container the kernel loads no module by itself.
  await check(vm, [
    'sh',
    '-c',
    'modprobe -r ip_vs_twos && echo /bin/false >/proc/sys/kernel/modprobe',
  ]);
  peer = await Peer.start(client);
  director = new GuestDirector(vm, node, peer);
  await director.configure(configuration());
  refused = new GuestDirector(vm, node, peer, 'refused');
  await refused.configure({ ...configuration(), sync: { interface: 'eth7', id: 51 } });
  // At once, because each start of Node takes its seconds.
  await Promise.all([
    director.start(),
    refused.start(),
    ...topology.realServers.map(startRealServer),
  ]);
  await director.started();
}, SETUP_MS);

afterAll(() => vm?.stop());

describe('a director without what it needs of the kernel', { timeout: TEST_MS }, () => {
  it('refuses to start on a sync interface that does not exist, in one sentence', async () => {
    expect(await refused.ended()).toBe(1);
    expect(refused.stderr).toMatch(/^VK-NO-INTERFACE: .*eth7.*; sync needs it/);
    expect(refused.log).toEqual([]);
  });

  it('programs everything but the service whose scheduler is missing, and says the cure', async () => {
    await director.untilSaved(SAVED);
    await director.reconciled(2);
    const problems = director.log.filter(({ code }) => code === 'VK-NO-SCHEDULER');
    // Told once, not at every comparison.
    expect(problems).toEqual([
      expect.objectContaining({
        msg: `Service tcp ${VIP}:1100: the kernel has no scheduler 'twos'`,
        cure: "Load it with 'modprobe -a ip_vs_twos'",
      }),
    ]);
    expect(director.log.filter(({ code }) => code === 'VK-IPVS')).toEqual([]);
    const { ipvs, services } = await director.status();
    expect(ipvs.lastError).toContain("no scheduler 'twos'");
    expect(ipvs.drift).toEqual({ missing: 0, altered: 0, leftover: 0 });
    expect(services.filter(({ present }) => !present).map(({ name }) => name)).toEqual(['twos']);
    expect(await director.metric('vipkeeper_ipvs_reconcile_success')).toEqual(new Map([['', 0]]));
  });

  it('adds that service by itself when the cure was done', async () => {
    await check(vm, ['modprobe', '-a', 'ip_vs_twos']);
    await director.untilSaved(WITH_TWOS);
    await director.until('no error', async () => {
      return (await director.status()).ipvs.lastError === null;
    });
    expect((await director.status()).ipvs.drift).toEqual({ missing: 0, altered: 0, leftover: 0 });
  });
});

describe("a director's table", { timeout: TEST_MS }, () => {
  it('reads back as configured: ipvsadm -Sn', async () => {
    expect(await director.saved()).toEqual(WITH_TWOS);
  });

  it('reads back as configured: ipvsadm -Ln', async () => {
    const listed = listedServers(await director.ipvsadm('-Ln'));
    for (const [name, { listed: wanted }] of Object.entries({ ...TABLE_CASES, twos: TWOS })) {
      const [service, ...servers] = wanted;
      expect([name, listed.get(service as string)?.toSorted()]).toEqual([name, servers.sort()]);
    }
    expect(listed.size).toBe(CASES.length + 1 + Object.keys(LIVE).length);
  });

  it('reads back as configured: ipvsadm -Ln --thresholds', async () => {
    const lines = await director.ipvsadm('-Ln', '--thresholds');
    const limited = lines.filter((line) => /^-> .*:\d+ (?!0 0 )\d+ \d+ \d+ \d+$/.test(line));
    expect(limited.sort()).toEqual(LIMITED);
  });
});

describe("a director's services", { timeout: TEST_MS }, () => {
  it('balance by weight, and ipvsadm and the status count the same', async () => {
    const names = await requests(`http://${VIP}/`, 6);
    expect(names.toSorted()).toEqual(['real1', 'real1', ...Array(4).fill('real2')]);
    const last = await peer.get(`http://${VIP}/`);
    const server = last.server === 'real1' ? REAL1 : REAL2;
    const path = `192.0.2.101:${last.localPort} ${VIP}:80 ${server}:80`;
    const connections = await director.ipvsadm('-Lcn');
    expect(connections.filter((line) => line.endsWith(path))).toEqual([
      expect.stringMatching(/^TCP \d\d:\d\d [A-Z_]+ /),
    ]);
    const ours = async () => {
      const lines = await director.ipvsadm('-Ln', '--stats', '--exact');
      const at = lines.findIndex((line) => line.startsWith(`TCP ${VIP}:80 `));
      return lines.slice(at, at + 3).map((line) => line.replace(/^(TCP|->) /, '').split(' '));
    };
    const extra = last.server === 'real1' ? [1, 0] : [0, 1];
    const counts = [7, 2 + (extra[0] as number), 4 + (extra[1] as number)].map(String);
    // The kernel adds its per-processor counters up every two seconds.
    await director.until('the counters', async () => {
      return same(
        (await ours()).map(([, connected]) => connected as string),
        counts,
      );
    });
    const report = (await director.status()).services.find(({ name }) => name === 'web');
    const [total, ...servers] = await ours();
    const { connections: connected, packetsIn, packetsOut, bytesIn, bytesOut } = report ?? {};
    const numbers = [connected, packetsIn, packetsOut, bytesIn, bytesOut].map(String);
    expect(total).toEqual([`${VIP}:80`, ...numbers]);
    expect(report?.servers.map((entry) => [entry.server, String(entry.connections)])).toEqual(
      servers.map(([name, connections]) => [name, connections]).toSorted(),
    );
  });

  it('keep a client on its server, by a template that ipvsadm shows', async () => {
    const names = new Set(await requests(`http://${VIP}:82/`, 4));
    expect(names.size).toBe(1);
    const server = names.has('real1') ? REAL1 : REAL2;
    expect(await director.ipvsadm('-Lcn')).toContainEqual(
      expect.stringMatching(
        new RegExp(`^TCP \\d\\d:\\d\\d ASSURED 192\\.0\\.2\\.0:0 ${VIP}:82 ${server}:80$`),
      ),
    );
    const lines = await director.ipvsadm('-Ln', '--persistent-conn');
    const at = lines.findIndex((line) => line.startsWith(`TCP ${VIP}:82 `));
    const used = lines
      .slice(at + 1, at + 3)
      .filter((line) => line.startsWith(`-> ${server}:80 1 `));
    expect(used).toEqual([expect.stringMatching(/ 1 1 \d+ \d+$/)]);
    const { services } = await director.status();
    const sticky = services.find(({ name }) => name === 'sticky');
    const templates = sticky?.servers.map((entry) => [entry.server, entry.persistentConnections]);
    expect(templates).toContainEqual([`${server}:80`, 1]);
  });

  it('forward UDP, IPv6, and what a firewall marks', async () => {
    const both = ['real1', 'real2'];
    expect((await peer.datagrams(VIP, 83, 2)).toSorted()).toEqual(both);
    expect((await requests(`http://[${VIP6}]/`, 2)).toSorted()).toEqual(both);
    expect((await peer.get(`http://${VIP}:9000/`)).error).toBe('ECONNREFUSED');
    const rules = `table ip lab { chain marks { type filter hook prerouting priority 0;
      tcp dport 9000 meta mark set 7; }; }`;
    await check(node, ['nft', rules]);
    expect((await requests(`http://${VIP}:9000/`, 2)).toSorted()).toEqual(both);
  });
});

describe('reconciliation', { timeout: TEST_MS }, () => {
  it.each([
    ['a deleted server', ['-d', '-t', `${VIP}:80`, '-r', `${REAL1}:80`], { missing: 1 }],
    ['a deleted service', ['-D', '-t', `${VIP}:1402`], { missing: 8 }],
    [
      'a changed weight',
      ['-e', '-t', `${VIP}:80`, '-r', `${REAL2}:80`, '-m', '-w', '7'],
      { altered: 1 },
    ],
    [
      'changed tunnel settings',
      ['-e', '-t', `${VIP}:1402`, '-r', '198.51.100.152', '-i', '--tun-type', 'gre'],
      { altered: 1 },
    ],
    ['a changed scheduler', ['-E', '-t', `${VIP}:80`, '-s', 'lc'], { altered: 1 }],
    ['a changed persistence', ['-E', '-t', `${VIP}:1301`, '-s', 'wlc', '-p', '9'], { altered: 1 }],
    ['a cleared table', ['-C'], { missing: WITH_TWOS.length }],
  ])('repairs %s and counts it', async (_what, argv, expected) => {
    const before = (await director.status()).ipvs.drift;
    const repairs = director.lines('ipvs', { reason: 'drift' }).length;
    await check(node, ['ipvsadm', ...argv]);
    await director.untilSaved(WITH_TWOS, REPAIR_MS);
    const wanted: Record<string, number> = { ...before };
    for (const [name, count] of Object.entries(expected))
      wanted[name] = (before[name] ?? 0) + count;
    // The comparison that repaired it ends a moment after the repair.
    const { ipvs } = await director.reconciled(1);
    expect(ipvs.drift).toEqual(wanted);
    expect(await director.metric('vipkeeper_ipvs_drift_total')).toEqual(
      new Map(Object.entries(wanted).map(([name, count]) => [`{class="${name}"}`, count])),
    );
    const count = Object.values(expected).reduce((sum, one) => sum + one, 0);
    const told = () => director.lines('ipvs', { reason: 'drift' }).slice(repairs);
    // The log comes by another way than the status, and may come later.
    await director.until('the lines of the repair', () => told().length >= count);
    const lines = told();
    expect(lines.length).toBe(count);
    const [kind] = Object.keys(expected);
    expect(lines[0]?.class).toBe(kind);
    const found = kind === 'altered' ? 'altered: .+, wanted .+' : kind;
    expect(lines[0]?.msg).toMatch(new RegExp(`^Repaired drift: .* \\(${found}\\)$`));
  });
});

describe('health', { timeout: TEST_MS }, () => {
  afterEach(async () => {
    await Promise.all(['real1', 'real2'].map((name) => tellHealth(name, '200')));
    await director.untilSaved(WITH_TWOS);
  }, TEST_MS);

  async function counts(server: string): Promise<{ succeeded: number; failed: number }> {
    const { checks } = await director.status();
    const found = checks.filter(({ kind, target }) => kind === 'http' && target === server);
    expect(found.length).toBe(1);
    const [{ succeeded, failed }] = found as [(typeof found)[0]];
    return { succeeded, failed: Object.values(failed).reduce((sum, count) => sum + count, 0) };
  }

  async function untilMore(server: string, what: 'succeeded' | 'failed', more: number) {
    const before = (await counts(server))[what];
    await director.until(`${more} more ${what}`, async () => {
      return (await counts(server))[what] >= before + more;
    });
  }

  it('keeps a server that fails fewer times than fall', async () => {
    const server = `${REAL1}:80`;
    const { failed } = await counts(server);
    const changes = director.lines('health').length;
    await tellHealth('real1', `${'503,'.repeat(FALL - 1)}200`);
    await director.until('the failures', async () => {
      return (await counts(server)).failed === failed + FALL - 1;
    });
    await untilMore(server, 'succeeded', RISE);
    expect((await counts(server)).failed).toBe(failed + FALL - 1);
    expect(director.lines('health').length).toBe(changes);
    expect(await director.saved()).toEqual(WITH_TWOS);
  });

  /** What ipvsadm -Sn says while this server is down. */
  function savedWithout(ip: string): string[] {
    const line = `-a -t ${VIP}:80 -r ${ip}:80 -m -w `;
    const changed = [line, `-a -t ${VIP}:81 -r ${ip}:80`, `-a -t ${VIP}:84 `];
    const [main, sorry] = ip === REAL1 ? [0, 1] : [1, 0];
    return [
      ...WITH_TWOS.filter((saved) => !changed.some((start) => saved.startsWith(start))),
      `${line}0`,
      `-a -t ${VIP}:84 -r ${REAL1}:80 -m -w ${main}`,
      `-a -t ${VIP}:84 -r ${REAL2}:80 -m -w ${sorry}`,
    ];
  }

  it('hands a service below its quorum to the sorry server, and takes it back', async () => {
    expect(await requests(`http://${VIP}:84/`, 1)).toEqual(['real1']);
    await tellHealth('real1', '503');
    await director.untilSaved(savedWithout(REAL1));
    expect(await requests(`http://${VIP}:84/`, 1)).toEqual(['real2']);
    expect(director.lines('quorum', { service: 'spare' }).map(({ met }) => met)).toEqual([
      true,
      false,
    ]);
    const spare = (await director.status()).services.find(({ name }) => name === 'spare');
    const below = { weight: 1, healthyWeight: 0, met: false, below: 'sorry', bereft: [] };
    expect(spare?.quorum).toEqual(below);
    expect(spare?.servers.map(({ sorry, weightReason }) => [sorry, weightReason])).toEqual([
      [false, 'failed'],
      [true, 'sorry'],
    ]);
    await tellHealth('real1', '200');
    await director.untilSaved(WITH_TWOS);
    expect(director.lines('quorum', { service: 'spare' }).at(-1)).toMatchObject({ met: true });
  });

  it('drains a server until its deadline, whatever happens to the controller', async () => {
    const download = await peer.startDownload(`http://${VIP}${LONG_DOWNLOAD}`);
    const ip = download.server === 'real1' ? REAL1 : REAL2;
    const other = download.server === 'real1' ? 'real2' : 'real1';
    const start = `-a -t ${VIP}:80 -r ${ip}:80 -m -w `;
    const others = WITH_TWOS.filter((saved) => !saved.startsWith(start));
    try {
      const asked = await director.command('drain', `web/${ip}`, '--no-wait', ...WHY);
      expect(asked.stdout).toContain(`web/${ip}:80: drained: no new connections`);
      await director.untilSaved([...others, `${start}0`]);
      expect(new Set(await requests(`http://${VIP}/`, 3))).toEqual(new Set([other]));
      const { receivedBytes } = await peer.download();
      await director.signal('KILL', 'controller');
      await director.until('another controller', async () => {
        return (await director.tryStatus())?.services[0]?.servers[0]?.weightReason != null;
      });
      expect(await peer.download()).toMatchObject({ error: null });
      expect((await peer.download()).receivedBytes).toBeGreaterThan(receivedBytes);
      const web = (await director.status()).services.find(({ name }) => name === 'web');
      expect(web?.servers.find(({ server }) => server === `${ip}:80`)?.override).toMatchObject({
        reason: 'new disk',
        action: { kind: 'drain' },
      });

      await director.untilSaved(others);
      const told = () => director.lines('drained', { server: `${ip}:80` });
      await director.until('the line of the drain', () => told().length > 0);
      const [drained] = told();
      expect(drained?.connectionsLeft).toBeGreaterThan(0);
    } finally {
      await director.command('undrain', `web/${ip}`);
    }
    await director.untilSaved(WITH_TWOS);
  });

  it('quiesces or removes a server that fails, and takes it back after rise', async () => {
    const download = await peer.startDownload(`http://${VIP}${LONG_DOWNLOAD}`);
    const name = download.server as 'real1' | 'real2';
    const ip = name === 'real1' ? REAL1 : REAL2;
    const other = name === 'real1' ? 'real2' : 'real1';
    const goesOn = async () => {
      const { receivedBytes } = await peer.download();
      await director.until('more of the download', async () => {
        return (await peer.download()).receivedBytes > receivedBytes + 100_000;
      });
      expect((await peer.download()).error).toBe(null);
    };

    const verdicts = (to: string) => director.lines('health', { server: `${ip}:80`, to });
    const earlier = { down: verdicts('down').length, up: verdicts('up').length };
    await tellHealth(name, '503');
    await director.untilSaved(savedWithout(ip));
    await director.until('the line of its fall', () => verdicts('down').length > earlier.down);
    const [down] = verdicts('down').slice(-1);
    expect(down?.msg).toContain(`${FALL} checks in a row failed`);
    expect(new Set(await requests(`http://${VIP}/`, 3))).toEqual(new Set([other]));
    expect(new Set(await requests(`http://${VIP}:81/`, 3))).toEqual(new Set([other]));
    await goesOn();

    // Fewer successes than rise change nothing.
    const { succeeded } = await counts(`${ip}:80`);
    const changes = director.lines('health').length;
    await tellHealth(name, `${'200,'.repeat(RISE - 1)}503`);
    await director.until('the successes', async () => {
      return (await counts(`${ip}:80`)).succeeded === succeeded + RISE - 1;
    });
    await untilMore(`${ip}:80`, 'failed', 1);
    expect(director.lines('health').length).toBe(changes);

    await tellHealth(name, '200');
    await director.untilSaved(WITH_TWOS);
    await director.until('the line of its rise', () => verdicts('up').length > earlier.up);
    const [up] = verdicts('up').slice(-1);
    expect(up?.msg).toContain(`${RISE} checks in a row succeeded`);
    await goesOn();
  });
});

describe('a reload that changes what serving servers are asked', { timeout: TEST_MS }, () => {
  afterAll(async () => {
    await director.configure(configuration());
    await director.reload();
    await director.untilSaved(WITH_TWOS);
  }, TEST_MS);

  /** How often the check of this kind and target has failed; null while there is none. */
  function failuresOf(checks: readonly CheckReport[], kind: string, target: string) {
    const one = checks.find((check) => check.kind === kind && check.target === target);
    return one === undefined ? null : Object.values(one.failed).reduce((sum, n) => sum + n, 0);
  }

  it('takes none out that the new check finds well: another path, another kind', async () => {
    const watch = await watchTable();
    const falls = director.lines('health', { to: 'down' }).length;
    await director.configure(asking({ ...CHECK, http: { path: '/healthz?deep' } }, TCP));
    await director.reload();
    await director.until('verdicts of the new checks', async () => {
      const { checks } = await director.status();
      const found = checks.filter(({ kind, target }) => {
        return ['http', 'tcp'].includes(kind) && [`${REAL1}:80`, `${REAL2}:80`].includes(target);
      });
      return found.length === 4 && found.every(({ succeeded }) => succeeded >= RISE);
    });
    await director.reconciled(1);
    const seen = watch.end();
    expect(seen.length).toBeGreaterThan(10);
    const whole = WITH_TWOS.join('\n');
    expect(seen.filter((lines) => lines !== whole)).toEqual([]);
    expect(director.lines('health', { to: 'down' }).slice(falls)).toEqual([]);
  });

  it('takes out those that the new check finds failing after `fall` failures, no sooner', async () => {
    // Looks at the table take a second or two on a busy machine, and some must come in between.
    const seldom = { interval: '4s' };
    const falls = director.lines('health', { to: 'down' }).length;
    await director.configure(
      // Nobody listens there.
      asking({ ...CHECK, ...seldom, http: { path: '/nowhere' } }, { ...TCP, ...seldom, port: 9 }),
    );
    const reloaded = director.reload();
    const asked = [REAL1, REAL2].flatMap((ip) => [
      { kind: 'http', target: `${ip}:80`, line: `-a -t ${VIP}:80 -r ${ip}:80 `, seen: new Set() },
      { kind: 'tcp', target: `${ip}:9`, line: `-a -t ${VIP}:81 -r ${ip}:80 `, seen: new Set() },
    ]);
    const wanted = WITH_TWOS.filter((line) => !line.startsWith(`-a -t ${VIP}:81 `)).map((line) =>
      line.startsWith(`-a -t ${VIP}:80 `) ? line.replace(/\d+$/, '0') : line,
    );
    let saved: readonly string[] = [];
    await director.until('all of them to be out', async () => {
      saved = await director.saved();
      // What is known later has not failed more often before.
      const { checks } = await director.status();
      for (const { kind, target, line, seen } of asked) {
        const failed = failuresOf(checks, kind, target);
        seen.add(failed);
        if ((failed ?? 0) >= FALL) continue;
        const before = WITH_TWOS.filter((one) => one.startsWith(line));
        expect(saved.filter((one) => one.startsWith(line))).toEqual(before);
      }
      return same(saved, wanted.toSorted());
    });
    await reloaded;
    // Each was seen to be in after a failure.
    for (const { target, seen } of asked) {
      expect([target, seen.has(1) || seen.has(FALL - 1)]).toEqual([target, true]);
    }
    const told = () => director.lines('health', { to: 'down' }).slice(falls);
    await director.until('the lines of their falls', () => told().length >= asked.length);
    for (const { msg } of told()) expect(msg).toContain(`${FALL} checks in a row failed`);
  });
});

describe('a controller that dies', { timeout: TEST_MS }, () => {
  it('is started again, and the table is the same at every moment', async () => {
    const watch = await watchTable();
    // Verdicts come late: what is compared before them must not count as down. Nor do the first
    // ones of a server that has clients, as long as they are fewer than `fall`.
    for (const [name, status] of [
      ['real1', '503'],
      ['real2', '200'],
    ] as const) {
      await tellHealth(name, status, VERDICT_DELAY_MS);
    }
    const killed = await director.signal('KILL', 'controller');
    await director.until('the next controller, compared and without verdicts', async () => {
      const status = await director.tryStatus();
      if (status === null || status.controller.pid === killed) return false;
      const health = status.checks.map((check) => check.status);
      return status.ipvs.reconciles >= 1 && health.every((one) => one === 'unknown');
    });
    // Behind the one that waits for its late answer.
    await tellHealth('real1', '503,200');
    await tellHealth('real2', '200');
    await director.until('its verdicts', async () => {
      return (await director.status()).checks.every((check) => check.status === 'up');
    });
    const { ipvs, checks } = await director.reconciled(1);
    const failed = checks.filter((one) => Object.keys(one.failed).length > 0);
    expect(failed.map(({ target }) => target)).toEqual([expect.stringContaining(REAL1)]);
    const seen = watch.end();
    expect(ipvs.operations).toEqual({});
    expect(ipvs.drift).toEqual({ missing: 0, altered: 0, leftover: 0 });
    expect(seen.length).toBeGreaterThan(10);
    const whole = WITH_TWOS.join('\n');
    expect(seen.filter((lines) => lines !== whole)).toEqual([]);
  });
});

/** The kernel's settings and timeouts of IPVS, as the test's configuration changes them. */
async function kernelSettings(): Promise<readonly string[]> {
  const names = ['ignore_tunneled', 'sync_threshold'].map((name) => `net.ipv4.vs.${name}`);
  const { stdout } = await check(node, ['sysctl', '-n', ...names]);
  const [timeouts = ''] = await director.ipvsadm('-l', '--timeout');
  return [...stdout.trim().split('\n'), timeouts].map((line) => line.replaceAll('\t', ' '));
}

const SET = ['1', '0 10', 'Timeout (tcp tcpfin udp): 900 120 70'];
const BEFORE = ['0', '3 50', 'Timeout (tcp tcpfin udp): 900 120 300'];

/** `vipkeeper plan --json`, of the file that a reload would read or of another. */
async function previewOf(config?: object): Promise<Preview & { readonly exit: number }> {
  const path = '/tmp/plan.yaml';
  if (config !== undefined) await writeFile(vm, path, JSON.stringify(config));
  const argv = ['plan', ...(config === undefined ? [] : [path]), '--json'];
  const { code, stdout } = await director.command(...argv);
  return { ...(JSON.parse(stdout) as Preview), exit: code };
}

describe('settings and timeouts', { timeout: TEST_MS }, () => {
  it('are as configured, also when somebody changes them', async () => {
    expect(await kernelSettings()).toEqual(SET);
    await check(node, ['sysctl', '-w', 'net.ipv4.vs.ignore_tunneled=0']);
    await check(node, ['ipvsadm', '--set', '800', '120', '60']);
    const repaired = ['1', '0 10', 'Timeout (tcp tcpfin udp): 800 120 70'];
    await director.until('the repairs', async () => same(await kernelSettings(), repaired));
    const names = director.lines('ipvs-setting').map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['ignore_tunneled', 'timeout udp']));
    expect((await director.status()).ipvs.settingRepairs).toBe(2);
    await check(node, ['ipvsadm', '--set', '900', '0', '0']);
  });
});

describe('ownership', { timeout: TEST_MS }, () => {
  const FOREIGN = [
    '-A -t 203.0.113.9:25 -s rr',
    '-a -t 203.0.113.9:25 -r 198.51.100.160:25 -m -w 1',
    `-a -t ${VIP}:80 -r 198.51.100.161:80 -m -w 0`,
  ];

  it('leaves foreign entries alone and counts them', async () => {
    const before = (await director.status()).ipvs.drift;
    await check(node, ['ipvsadm', '-R'], { stdin: `${FOREIGN.join('\n')}\n` });
    const { ipvs } = await director.reconciled(2);
    expect(await director.saved()).toEqual([...WITH_TWOS, ...FOREIGN].sort());
    expect(ipvs).toMatchObject({ foreignServices: 1, foreignServers: 2, drift: before });
    const stranger = { entry: `tcp ${VIP}:80`, server: '198.51.100.161:80', weight: 0 };
    expect(ipvs.strangers).toMatchObject([stranger]);
    expect(await director.metric('vipkeeper_ipvs_foreign_services')).toEqual(new Map([['', 1]]));
    expect(await director.metric('vipkeeper_ipvs_foreign_servers')).toEqual(new Map([['', 2]]));
  });

  it('are in the plan, and deleted there once it is exclusive', async () => {
    const shared = await previewOf();
    expect(shared.exit).toBe(0);
    expect(
      shared.items.map((item) => [item.action, item.class, item.service, item.server]),
    ).toEqual([
      ['leave', 'foreign', 'tcp 192.0.2.201:80', '198.51.100.161:80'],
      ['leave', 'foreign', 'tcp 203.0.113.9:25', null],
      ['leave', 'foreign', 'tcp 203.0.113.9:25', '198.51.100.160:25'],
    ]);
    const wanted = {
      ...configuration({ ownership: 'exclusive' }),
      services: {
        web: { ...LIVE.web, scheduler: 'rr' },
        fresh: { ...LIVE.names, address: `${VIP}:85` },
      },
    };
    const before = await director.saved();
    const exclusive = await previewOf(wanted);
    expect(exclusive.exit).toBe(4);
    const items = exclusive.items.map((item) => [
      item.action,
      item.class,
      item.service,
      item.server,
    ]);
    expect(items).toContainEqual(['delete', 'foreign', 'tcp 203.0.113.9:25', null]);
    expect(items).toContainEqual(['delete', 'foreign', `tcp ${VIP}:80`, '198.51.100.161:80']);
    // What is ours and not wanted any more leaves when its connections have ended.
    for (const server of [REAL1, REAL2]) {
      expect(items).toContainEqual(['drain', 'leftover', 'fwmark 7 ipv4', `${server}:80`]);
    }
    expect(items).toContainEqual(['change', 'altered', `tcp ${VIP}:80`, null]);
    expect(items).toContainEqual(['add', 'missing', `udp ${VIP}:85`, `${REAL2}:80`]);
    expect(await director.saved()).toEqual(before);
  });

  it('removes them once it is exclusive', async () => {
    const settings = { ownership: 'exclusive', on_stop: 'remove' } as const;
    // One comparison, that of the reload: what the next test adds is there at the stop.
    await director.configure(configuration({ ...settings, reconcile_interval: '1h' }));
    await director.reload();
    expect(await director.saved()).toEqual(WITH_TWOS);
    const { ipvs } = await director.status();
    expect(ipvs.operations['delete-service']).toBe(1);
    expect(ipvs.operations['delete-server']).toBe(1);
  });

  it('with on_stop: remove takes out what is ours, and nothing else', async () => {
    await check(node, ['ipvsadm', '-R'], { stdin: `${FOREIGN.join('\n')}\n` });
    expect(await director.stop()).toBe(0);
    expect(await director.saved()).toEqual([`-A -t ${VIP}:80 -s wrr`, ...FOREIGN].sort());
    // Although the controller that found them was killed.
    expect(await kernelSettings()).toEqual(BEFORE);
  });
});

/** Reads the table ten times a second; end() gives what `saved()` would have been, as one text each. */
async function watchTable(): Promise<{ readonly end: () => readonly string[] }> {
  let output = '';
  const script = 'while ipvsadm -Sn; do echo END; sleep 0.1; done';
  const child = await node.spawn(['sh', '-c', script], {
    onStdout: (chunk) => {
      output += chunk.toString('utf8');
    },
  });
  const tables = () => output.split('END\n').slice(0, -1);
  await until('looks at the table', () => tables().length >= 3);
  return {
    end: () => {
      child.kill('SIGKILL');
      return tables().map((text) =>
        text.trim().replace(/ +\n/g, '\n').split('\n').sort().join('\n'),
      );
    },
  };
}

/** configuration() with other checks of `web` and `removing`, and nobody asked by CHECK. */
function asking(web: object, removing: object): Readonly<Record<string, unknown>> {
  const whole = configuration();
  const services = {
    ...(whole.services as object),
    web: { ...LIVE.web, check: web },
    removing: { ...LIVE.removing, check: removing },
    spare: { ...LIVE.spare, check: TCP },
  };
  return { ...whole, services };
}

/** Tells a real server how to answer its checks: status codes in turn, each after a delay. */
async function tellHealth(name: string, status: string, delayMs = 0): Promise<void> {
  const address = name === 'real1' ? REAL1 : REAL2;
  await peer.put(`http://${address}/healthz?status=${status}&delay=${delayMs}`);
}

/** Names of the servers that answered so many requests, one after another. */
async function requests(url: string, count: number): Promise<string[]> {
  const names: string[] = [];
  for (let index = 0; index < count; index++) {
    const { status, server, error } = await peer.get(url);
    expect({ url, status, error }).toEqual({ url, status: 200, error: null });
    names.push(server as string);
  }
  return names;
}

function same(left: readonly string[], right: readonly string[]): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

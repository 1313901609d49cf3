/** What `vipkeeper status` draws, byte by byte. */
import { describe, expect, test } from 'vitest';
import { age, bytes, drawStatus } from '../../../src/cli/status-view.ts';
import { REFUSAL_REASONS } from '../../../src/core/vrrp/types.ts';
import { NOW_MS, STATUS } from '../status-fixture.ts';

const PLAIN = { color: false, columns: null, rows: null };
const ESCAPE = '\u001b';

const DRAWN = `\
Director dir-a  vipkeeper 0.1.0, up 3h 12m, keeper 1234 (realtime), controller 1240

INSTANCE  STATE   PRIORITY  VRID  INTERFACE   SINCE  REASON
web       active       150    51  eth0       3h 12m  no active director was heard
  VIP  192.0.2.10/24          present
  VIP  192.0.2.11/32 on eth1  absent
  peer 192.0.2.2, priority 100, last heard 3h 12m ago
mail6     fault        100     7  bond0.200     45s  the interface is down
  VIP  2001:db8::25/64  absent

BFD     STATE  NEIGHBOR           DETECTION   SINCE  REASON
peer    up     192.0.2.2 on eth0    50.0 ms  3h 12m
uplink  down   2001:db8::1                -      1m  the neighbor fell silent

TRACKER      STATE    KIND       SINCE  DETAIL
haproxy      down     script        2m  ended with exit status 1
maintenance  up       file          1h  number -20
uplink       unknown  interface      -  not known yet

  SERVER               HEALTH        WEIGHT  FORWARD  ACTIVE  INACT  PERSIST  TOTAL      IN    OUT
web  tcp 192.0.2.10:80  wlc, 3421 connections, 1.2 MB in, 99 MB out  below quorum (1 of 2): the healthy servers go on
  10.0.0.11:8080       up 3h 12m          1  nat          12     40        3   3412  1.2 MB  99 MB
  10.0.0.12:8080       down 3m       0 of 2  nat           0      1        0      9  1.5 kB  567 B
    connection refused by 10.0.0.12:8080
  10.0.0.13:8080       unknown    none of 1  nat          12     40        3   3412  1.2 MB  99 MB
dns  udp [2001:db8::53]:53 and 1 more  rr, 0 connections, 0 B in, 0 B out  missing from the kernel's table
    entry  udp [2001:db8::53]:53  missing  0 connections, 0 B in, 0 B out
    entry  fwmark 53 ipv6         present  0 connections, 0 B in, 0 B out
  [2001:db8:1::53]:53  unchecked          1  dr           12     40        3   3412  1.2 MB  99 MB

IPVS  compared 2s ago in 1.3 ms, drift so far: 1 missing, 2 altered, foreign: 1 service, 2 servers
      foreign in web (tcp 192.0.2.10:80): 10.0.0.99:80 with weight 7
      leaving tcp 192.0.2.10:81: 10.0.0.14:81, 3 connections left, deleted in 14m at most
Sync  master on eth1, id 51, follows web
`;

describe('drawStatus', () => {
  test('draws everything without colour where there is no terminal', () => {
    expect(drawStatus(STATUS, NOW_MS, PLAIN)).toBe(DRAWN);
  });

  test('colours a terminal and draws the same text there', () => {
    const drawn = drawStatus(STATUS, NOW_MS, { ...PLAIN, color: true });
    expect(drawn).toContain(`${ESCAPE}[32mactive${ESCAPE}[0m`);
    expect(drawn).toContain(`${ESCAPE}[31;1mfault${ESCAPE}[0m`);
    // A VIP that should be there and is not stands out; one of a fault does not.
    expect(drawn).toContain(`192.0.2.11/32 on eth1  ${ESCAPE}[31;1mabsent${ESCAPE}[0m`);
    expect(drawn).toContain(`2001:db8::25/64  ${ESCAPE}[2mabsent${ESCAPE}[0m`);
    expect(drawn.replaceAll(new RegExp(`${ESCAPE}\\[[0-9;]*m`, 'g'), '')).toBe(DRAWN);
  });

  test('clips lines to the width of the terminal, with an ellipsis, and no shorter ones', () => {
    const wide = DRAWN.split('\n');
    const clipped = drawStatus(STATUS, NOW_MS, { ...PLAIN, columns: 60 }).split('\n');
    expect(clipped.length).toBe(wide.length);
    for (const [index, line] of clipped.entries()) {
      const whole = wide[index] as string;
      if (whole.length <= 60) expect(line).toBe(whole);
      else expect(line).toBe(`${whole.slice(0, 59)}…`);
    }
  });

  test('leaves out what the terminal has no rows for, and says how much', () => {
    const drawn = drawStatus(STATUS, NOW_MS, { ...PLAIN, rows: 3 });
    expect(drawn.split('\n').slice(0, 2)).toEqual(DRAWN.split('\n').slice(0, 2));
    expect(drawn.split('\n').slice(2)).toEqual(['… and 32 more lines', '']);
    expect(drawStatus(STATUS, NOW_MS, { ...PLAIN, rows: 34 })).toBe(DRAWN);
  });

  test('draws a director with nothing but itself', () => {
    const none = Object.fromEntries(REFUSAL_REASONS.map((reason) => [reason, 0]));
    const bare = {
      ...STATUS,
      keeper: { pid: null, scheduling: null, restarts: 2 },
      instances: [],
      refusedUnassigned: none as typeof STATUS.refusedUnassigned,
      bfd: [],
      trackers: [],
      services: [],
      checks: [],
      ipvs: { ...STATUS.ipvs, managed: false },
      sync: null,
    };
    expect(drawStatus(bare, NOW_MS, PLAIN)).toBe(`\
Director dir-a  vipkeeper 0.1.0, up 3h 12m, no keeper, restarted 2 times, controller 1240

IPVS  not managed: no virtual service is configured
`);
    const ipvs = { ...bare.ipvs, lastError: 'The kernel has no IPVS' };
    expect(drawStatus({ ...bare, ipvs }, NOW_MS, PLAIN)).toContain(
      '\nIPVS  failed: The kernel has no IPVS\n',
    );
  });

  test('tells whom a unicast instance speaks to, and which it cannot', () => {
    const [web] = STATUS.instances;
    const drawn = (addresses: readonly string[], state: 'active' | 'backup') => {
      const peers = ['192.0.2.1', ...addresses].map((address, index) => ({
        ...{ address, minTtl: 0, maxTtl: 255, self: index === 0 },
        sendError: index === 2 ? 'EPERM' : null,
      }));
      const unicast = { ttl: 255, checkSource: true, peers };
      const instances = [{ ...(web as (typeof STATUS.instances)[number]), state, unicast }];
      return drawStatus({ ...STATUS, instances }, NOW_MS, PLAIN);
    };
    const two = ['192.0.2.2', '192.0.2.3'];
    expect(drawn(two, 'active')).toContain('\n  unicast to 192.0.2.2 192.0.2.3 (EPERM)\n');
    expect(drawn(two, 'backup')).toContain('\n  unicast to 192.0.2.2 192.0.2.3\n');
    expect(drawn([], 'active')).toContain('\n  unicast to nobody\n');
  });

  describe('too few healthy servers', () => {
    type Service = (typeof STATUS.services)[number];
    const [web] = STATUS.services as [Service];
    const [server] = web.servers as [Service['servers'][number]];
    const drawn = (
      quorum: Partial<Service['quorum']>,
      ...weights: (readonly [address: string, weight: number, sorry?: boolean])[]
    ) => {
      const servers = weights.map(([address, weight, sorry = false]) => ({
        ...{ ...server, server: `${address}:80`, weight, sorry },
      }));
      const all = { weight: 2, healthyWeight: 0, met: false, below: 'sorry', bereft: [] } as const;
      const services = [{ ...web, servers, quorum: { ...all, ...quorum } }];
      return drawStatus({ ...STATUS, services }, NOW_MS, PLAIN);
    };

    test('does not say of servers that are none that they go on', () => {
      const serve = { below: 'serve' } as const;
      expect(drawn(serve, ['10.0.0.1', 0])).toContain(
        'below quorum (0 of 2): no server is left, no new connections\n',
      );
      expect(drawn({ ...serve, healthyWeight: 1 }, ['10.0.0.1', 1])).toContain(
        'below quorum (1 of 2): the healthy servers go on\n',
      );
    });

    test('does not say of sorry servers that are not healthy that they take over', () => {
      expect(drawn({}, ['10.0.0.1', 0], ['10.0.0.9', 1, true])).toContain(
        'below quorum (0 of 2): the sorry servers take over\n',
      );
      expect(drawn({ healthyWeight: 1 }, ['10.0.0.1', 1], ['10.0.0.9', 0, true])).toContain(
        'below quorum (1 of 2): no sorry server is healthy, the healthy servers go on\n',
      );
      expect(drawn({}, ['10.0.0.1', 0], ['10.0.0.9', 0, true])).toContain(
        'below quorum (0 of 2): no sorry server is healthy, no server is left, no new connections\n',
      );
    });

    test('tells of a family that has none while the quorum is met', () => {
      const met = { met: true, healthyWeight: 2, bereft: ['ipv4'] } as const;
      const six = ['[2001:db8::1]', 2] as const;
      expect(drawn(met, ['10.0.0.1', 0], six, ['10.0.0.9', 1, true])).toContain(
        'no healthy server for IPv4: the sorry servers take over\n',
      );
      expect(drawn({ ...met, below: 'serve' }, ['10.0.0.1', 0], six)).toContain(
        'no healthy server for IPv4: no server is left, no new connections\n',
      );
    });
  });

  test('tells what the sync daemon waits for', () => {
    const daemon = { interface: 'eth1', id: 51, follow: 'web', role: null, error: null } as const;
    const lineOf = (waitsFor: number) =>
      drawStatus({ ...STATUS, sync: { ...daemon, waitsFor } }, NOW_MS, PLAIN)
        .split('\n')
        .find((line) => line.startsWith('Sync'));
    expect(lineOf(0)).toBe('Sync  not started on eth1, id 51, follows web');
    const servers = '2 servers of another family than their service have left';
    expect(lineOf(2)).toBe(`${lineOf(0)}, waits until ${servers}`);
  });

  test('tells why the last reconcile and the sync daemon failed', () => {
    const quiet = { drift: {}, strangers: [], leaving: [] };
    const ipvs = { ...STATUS.ipvs, lastError: 'EPERM', operationErrors: 1, ...quiet };
    const sync = {
      interface: 'eth1',
      id: 51,
      follow: 'web',
      role: null,
      error: 'ENODEV',
      waitsFor: 0,
    };
    const drawn = drawStatus({ ...STATUS, ipvs, sync }, NOW_MS, PLAIN)
      .split('\n')
      .slice(-4);
    expect(drawn).toEqual([
      'IPVS  failed: EPERM',
      'IPVS  compared 2s ago in 1.3 ms, no drift, 1 change refused so far, foreign: 1 service, 2 servers',
      'Sync  not started on eth1, id 51, follows web, failed: ENODEV',
      '',
    ]);
  });

  test('shows settings that are not as wanted, held, or changed by others', () => {
    const setting = { wanted: '1', value: '1', before: '0', held: false };
    const settings = [
      { ...setting, name: 'expire_nodest_conn' },
      { ...setting, name: 'drop_entry', value: '0' },
      { ...setting, name: 'est_nice', value: null },
      { ...setting, name: 'expire_quiescent_template', held: true },
    ];
    const ipvs = { ...STATUS.ipvs, settings, settingRepairs: 2, strangers: [], leaving: [] };
    const lines = drawStatus({ ...STATUS, ipvs, sync: null }, NOW_MS, PLAIN)
      .split('\n')
      .slice(-5);
    expect(lines).toEqual([
      '      setting drop_entry is 0, wanted 1',
      '      setting est_nice does not exist here',
      '      setting expire_quiescent_template is 1 while persistent clients leave a server',
      '      settings repaired 2 times',
      '',
    ]);
  });

  test('shows decisions about servers that are not configured, and how they end', () => {
    const override = {
      ...{ service: 'web', server: '10.0.0.7:80', by: 'ann', reason: 'new disk', untilMs: null },
      ...{ sinceMs: NOW_MS, action: { kind: 'drain', deadlineMs: null, drained: true } },
    } as const;
    const ipvs = { ...STATUS.ipvs, unusedOverrides: Array(21).fill(override) };
    const lines = drawStatus({ ...STATUS, ipvs, sync: null }, NOW_MS, PLAIN).split('\n');
    const since = new Date(NOW_MS).toISOString().slice(0, 16);
    const line = `      drain of web/10.0.0.7:80, which is not configured (by ann at ${since}Z: new disk): undrain ends it`;
    expect(lines.filter((one) => one.includes('10.0.0.7'))).toEqual(Array(20).fill(line));
    expect(lines).toContain('      and 1 more such decision');
  });

  test('lets no control character through to the terminal', () => {
    const [service] = STATUS.services;
    const [server] = (service as (typeof STATUS.services)[number]).servers;
    const evil = { ...server, reason: `a${ESCAPE}[2Jb\nc\u009bd` };
    const services = [{ ...service, servers: [evil] }] as unknown as typeof STATUS.services;
    const drawn = drawStatus({ ...STATUS, services }, NOW_MS, PLAIN);
    expect(drawn).toContain('    a [2Jb c d\n');
  });
});

test('age tells the two largest units, rounded down', () => {
  const ages = [0, 999, 59_000, 60_000, 3_599_000, 3_600_000, 90_061_000, -5_000];
  expect(ages.map((ms) => age(new Date(NOW_MS - ms).toISOString(), NOW_MS))).toEqual([
    '0s',
    '0s',
    '59s',
    '1m',
    '59m 59s',
    '1h',
    '1d 1h',
    '0s',
  ]);
});

test('bytes tells at most three digits and the unit', () => {
  const values = [0, 999, 1000, 9_949, 9_950, 999_499, 999_500, 1.5e9, 2e18];
  expect(values.map(bytes)).toEqual([
    '0 B',
    '999 B',
    '1.0 kB',
    '9.9 kB',
    '10 kB',
    '999 kB',
    '1.0 MB',
    '1.5 GB',
    '2000 PB',
  ]);
});

test('drawStatus tells the state of sync groups, and which member keeps one from being active', () => {
  const groups = [
    { name: 'edge', state: 'active', members: ['web', 'lan'], heldBy: [] },
    {
      name: 'mail',
      state: 'fault',
      members: ['mail6'],
      heldBy: [{ instance: 'mail6', why: 'interface-down' }],
    },
    { name: 'new', state: null, members: ['a'], heldBy: [{ instance: 'a', why: 'hears-active' }] },
  ] as const;
  expect(drawStatus({ ...STATUS, groups }, NOW_MS, PLAIN)).toContain(`
GROUP  STATE     MEMBERS  HELD BY
edge   active    web lan  -
mail   fault     mail6    mail6 (the interface is down)
new    changing  a        a (hears an active director)
`);
});

test('drawStatus tells of maintenance: until when, what waits, and the next window of today', () => {
  const [web] = STATUS.services;
  const [server] = web?.servers ?? [];
  if (web === undefined || server === undefined) throw new Error('no server');
  const maintenance = {
    phase: 'in',
    action: 'drain',
    schedule: '@daily',
    reason: 'disks',
    heldBack: false,
    start: '2026-03-01T12:00:00.000Z',
    end: '2026-03-01T14:00:00.000Z',
  } as const;
  const drawn = (changes: Partial<typeof server>) => {
    const services = [{ ...web, servers: [{ ...server, ...changes }] }];
    return drawStatus({ ...STATUS, services }, NOW_MS, PLAIN);
  };
  expect(drawn({ maintenance })).toContain('    maintenance until 2026-03-01T14:00Z: disks\n');
  const held = { ...maintenance, phase: 'before', heldBack: true } as const;
  expect(drawn({ maintenance: held })).toContain(
    '    maintenance from 2026-03-01T12:00Z to 2026-03-01T14:00Z, waits: it is needed: disks\n',
  );
  expect(drawn({ nextMaintenanceAt: '2026-03-02T03:00:00.000Z' })).toContain(
    '    next maintenance at 2026-03-02T03:00Z\n',
  );
  expect(drawn({ nextMaintenanceAt: '2026-03-03T03:00:00.000Z' })).not.toContain('maintenance at');
});

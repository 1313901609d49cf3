/**
 * What the YAML reader makes of valid texts: defaults, values per director, inheritance of
 * checks, aliases; and that no text at all makes it throw.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { TEXT_LENGTH_MAX } from '../../../src/config/document.ts';
import { type ConfigError, formatConfigErrors } from '../../../src/config/errors.ts';
import { formatDuration } from '../../../src/config/values.ts';
import { readConfigFile, readConfigText } from '../../../src/config/yaml.ts';
import type { CheckConfig, RealServerConfig } from '../../../src/core/config/config.ts';
import { DEFAULTS, defaultAttributes } from '../../../src/core/config/defaults.ts';
import { configOf, errorLines } from './read.ts';

/** The design's example, word for word. */
const EXAMPLE = `
# One file for both directors: any value may be given per host name.
vrrp:
  web:
    interface: eth0
    vrid: 51
    priority: { dir-a: 150, dir-b: 100 }
    interval: 1s
    addresses: [192.0.2.10/24, "2001:db8::10/64"]
services:
  web:
    address: 192.0.2.10:80
    scheduler: wlc
    forwarding: nat
    persistence: 5m
    check: { http: { path: /healthz }, interval: 2s, fall: 3, rise: 2 }
    servers:
      - 10.0.0.11:8080
      - { address: 10.0.0.12:8080, weight: 2 }
sync: { interface: eth1, id: 51, follow: web }
http: { listen: 127.0.0.1:9112 }
`;

const VRRP = 'vrrp: {w: {interface: eth0, vrid: 7, addresses: [192.0.2.1/24]}}';

function service(rest: string): string {
  return `services: {s: {address: "192.0.2.1:80", ${rest}}}`;
}

function serversOf(text: string): readonly RealServerConfig[] {
  return configOf(text).services[0]?.servers ?? [];
}

function checksOf(text: string): (CheckConfig | null)[] {
  return serversOf(text).map((server) => server.check);
}

test('readConfigText makes of the example exactly this', () => {
  const check = {
    kind: 'http',
    intervalUs: 2_000_000,
    timeoutUs: 1_000_000,
    fall: 3,
    rise: 2,
    retryDelayUs: null,
    jitterUs: 0,
    startSpreadUs: null,
    initial: 'unknown',
    address: null,
    port: null,
    source: null,
    device: null,
    mark: null,
    via: null,
    tls: false,
    tlsVerify: true,
    serverName: null,
    caFile: null,
    certificateFile: null,
    keyFile: null,
    tlsMin: '1.2',
    version: '1.1',
    requests: [
      {
        method: 'GET',
        path: '/healthz',
        host: null,
        headers: [],
        body: null,
        status: [[200, 299]],
        bodyContains: null,
        bodyMatches: null,
        digest: null,
      },
    ],
  };
  const server = {
    port: 8080,
    forwarding: 'nat',
    tunnel: { kind: 'ipip' },
    upperThreshold: 0,
    lowerThreshold: 0,
    check,
    maintenance: [],
  };
  const expected = {
    director: 'dir-b',
    static: { addresses: [], routes: [], rules: [] },
    groups: [],
    announceGroups: [],
    trackers: [],
    bfd: [],
    vrrp: [
      {
        name: 'web',
        interface: 'eth0',
        family: 'ipv4',
        version: 3,
        vrid: 51,
        priority: 100,
        advertIntervalUs: 1_000_000,
        preempt: true,
        preemptDelayUs: 0,
        checksum: 'auto',
        password: null,
        hmac: null,
        sourceAddress: null,
        unicast: null,
        multicastGroup: '224.0.0.18',
        virtualLink: null,
        announce: {
          repeat: 5,
          delayUs: 5_000_000,
          refreshUs: 0,
          refreshRepeat: 1,
          extraInterfaceRefreshUs: 0,
          lowerPriorityRepeat: 5,
          lowerPriorityDelayUs: 5_000_000,
          intervalUs: 0,
          naIntervalUs: 0,
        },
        ...DEFAULTS.vrrp.election,
        addresses: [
          {
            address: '192.0.2.10',
            prefixLength: 24,
            interface: 'eth0',
            advertised: true,
            track: true,
            attributes: defaultAttributes('ipv4', 24),
          },
          {
            address: '2001:db8::10',
            prefixLength: 64,
            interface: 'eth0',
            advertised: false,
            track: true,
            attributes: defaultAttributes('ipv6', 64),
          },
        ],
        routes: [],
        rules: [],
        group: null,
        track: [],
        trackInterface: true,
        promoteSecondaries: false,
      },
    ],
    services: [
      {
        name: 'web',
        entries: [
          {
            identity: { kind: 'address', protocol: 'tcp', address: '192.0.2.10', port: 80 },
            follow: 'web',
          },
        ],
        scheduler: 'wlc',
        schedulerFlags: [],
        persistence: { timeoutSeconds: 300, prefixLength: null },
        persistenceEngine: null,
        onePacket: false,
        onFailure: 'quiesce',
        quorum: { weight: 1, hysteresis: 0, below: 'serve' },
        minHealthyPercent: 0,
        slowStartUs: 0,
        onlyOnActive: false,
        checkWhen: 'always',
        onRemove: 'drain',
        passive: { action: 'off', windowUs: 30_000_000, retryUs: 60_000_000 },
        notify: null,
        drainTimeoutUs: 900_000_000,
        maintenance: [],
        sorryServers: [],
        servers: [
          { address: '10.0.0.11', weight: 1, ...server },
          { address: '10.0.0.12', weight: 2, ...server },
        ],
      },
    ],
    sync: { interface: 'eth1', id: 51, follow: 'web' },
    notify: {
      fifo: null,
      fifoServices: true,
      fifoScript: null,
      user: null,
      group: null,
      timeoutUs: 30_000_000,
      startup: null,
      shutdown: null,
      scriptSecurity: true,
      instances: [
        {
          name: 'web',
          active: null,
          backup: null,
          fault: null,
          stop: null,
          deleted: null,
          any: null,
          lowerPriority: null,
          priorityChanges: false,
          mail: false,
        },
      ],
      groups: [],
      fifoStatesOnReload: false,
    },
    mail: null,
    ipvs: {
      reconcileIntervalUs: 5_000_000,
      ownership: 'shared',
      onStop: 'keep',
      onlyOnActive: false,
      onRemove: 'drain',
      drainTimeoutUs: 900_000_000,
      checkMarkBase: 0x5650_0000,
      timeouts: { tcpSeconds: null, tcpFinSeconds: null, udpSeconds: null },
      settings: {},
    },
    http: { host: '127.0.0.1', port: 9112 },
    runtimeDirectory: '/run/vipkeeper',
    keeper: {
      scheduling: 'realtime',
      holdUs: 60_000_000,
      dynamicInterfaces: false,
      startupDelayUs: 0,
      delayAfterBootUs: 0,
    },
    conflictCheckUs: 60_000_000,
    log: { level: 'info', format: 'auto' },
  };
  expect(configOf(EXAMPLE, 'dir-b')).toEqual(expected);
  expect(configOf(EXAMPLE, 'dir-a').vrrp[0]?.priority).toBe(150);
});

test('a Config survives JSON, as its contract says', () => {
  const config = configOf(EXAMPLE);
  expect(JSON.parse(JSON.stringify(config))).toEqual(config);
});

describe('the director', () => {
  const named = `director: dir-x\n${VRRP}`;
  test('is the command line’s before the file’s', () =>
    expect(configOf(named, 'dir-a').director).toBe('dir-a'));
  test('is the file’s before the host’s', () =>
    expect(configOf(named, null).director).toBe('dir-x'));
  test('is else the host’s short name', () => expect(configOf(VRRP, null).director).toBe('host-1'));

  test('chooses scalars and lists, with default for others', () => {
    const text = `vrrp: {w: {interface: {dir-b: eth1, default: eth0}, vrid: 7,
      announce: {repeat: {default: 2}},
      addresses: {dir-a: [192.0.2.1/24], dir-b: [192.0.2.2/24]}}}`;
    const [a, b] = ['dir-a', 'dir-b'].map((director) => configOf(text, director).vrrp[0]);
    expect([a?.interface, b?.interface]).toEqual(['eth0', 'eth1']);
    expect([a?.addresses[0]?.address, b?.addresses[0]?.address]).toEqual([
      '192.0.2.1',
      '192.0.2.2',
    ]);
    expect(b?.announce.repeat).toBe(2);
  });
});

describe('VRRP instances', () => {
  test('take the family of their first address, and advertise only that', () => {
    const [instance] = configOf(
      'vrrp: {w: {interface: eth0, vrid: 7, addresses: ["2001:db8::1/64", 192.0.2.1/24]}}',
    ).vrrp;
    expect(instance?.family).toBe('ipv6');
    expect(instance?.addresses.map((vip) => vip.advertised)).toEqual([true, false]);
  });

  test('share a VRID between families and between interfaces', () => {
    const text = `vrrp:
  a: {interface: eth0, vrid: 7, addresses: [192.0.2.1/24]}
  b: {interface: eth1, vrid: 7, addresses: [192.0.2.1/24]}
  c: {interface: eth0, vrid: 7, addresses: ["2001:db8::1/64"]}`;
    expect(errorLines(text)).toEqual([]);
  });

  test('take the limits of both versions', () => {
    const at = (more: string) =>
      configOf(`vrrp: {w: {interface: eth0, vrid: 7, addresses: [192.0.2.1/24], ${more}}}`).vrrp[0];
    expect(at('interval: 10ms')?.advertIntervalUs).toBe(10_000);
    expect(at('interval: 40.95s')?.advertIntervalUs).toBe(40_950_000);
    expect(at('interval: 255s, version: 2')?.advertIntervalUs).toBe(255_000_000);
    expect(at('password: "12345678", version: 2')?.password).toBe('12345678');
  });
});

describe('services', () => {
  test('give their port to servers without one', () => {
    expect(serversOf(service('servers: [10.0.0.1, "10.0.0.2:81"]')).map((s) => s.port)).toEqual([
      80, 81,
    ]);
  });

  test('of a mark have servers with port 0 and no check', () => {
    const [marked] = configOf(
      'services: {s: {fwmark: 5, family: ipv6, servers: ["2001:db8::1"]}}',
    ).services;
    expect(marked?.entries[0]?.identity).toEqual({ kind: 'fwmark', family: 'ipv6', mark: 5 });
    expect(marked?.servers[0]).toMatchObject({ port: 0, check: null });
  });

  test('are checked by TCP only when they speak TCP', () => {
    expect(checksOf(service('servers: [10.0.0.1]'))[0]?.kind).toBe('tcp');
    expect(checksOf(service('protocol: udp, servers: [10.0.0.1]'))).toEqual([null]);
    expect(checksOf(service('protocol: sctp, servers: [10.0.0.1]'))).toEqual([null]);
  });

  test('keep each client on its own in persistence unless told otherwise', () => {
    const text = (value: string) =>
      `services: {s: {address: "[2001:db8::1]:80", persistence: ${value}, servers: []}}`;
    const of = (value: string) => configOf(text(value)).services[0]?.persistence;
    expect(of('5m')).toEqual({ timeoutSeconds: 300, prefixLength: null });
    expect(of('{timeout: 5m, prefix: 64}')).toEqual({ timeoutSeconds: 300, prefixLength: 64 });
    expect(of('none')).toBeNull();
  });

  test.each([
    ['ipip', { kind: 'ipip' }],
    ['gue', { kind: 'gue', port: 6080, checksum: 'none' }],
    ['{gue: {port: 5555, checksum: remote}}', { kind: 'gue', port: 5555, checksum: 'remote' }],
    ['{gre: {checksum: on}}', { kind: 'gre', checksum: 'on' }],
  ])('tunnel by %s', (tunnel, expected) => {
    const text = service(`forwarding: tun, tunnel: ${tunnel}, servers: [10.0.0.1]`);
    expect(serversOf(text)[0]?.tunnel).toEqual(expected);
  });
});

describe('a server’s check', () => {
  const inherited = 'check: {http: {path: /a}, interval: 7s, timeout: 3s}';
  const own = (check: string) =>
    checksOf(service(`${inherited}, servers: [{address: 10.0.0.1, check: ${check}}]`))[0];

  test('takes what it leaves out from the service’s', () =>
    expect(own('{interval: 9s}')).toMatchObject({
      kind: 'http',
      requests: [{ path: '/a' }],
      intervalUs: 9_000_000,
      timeoutUs: 3_000_000,
    }));
  test('replaces the kind whole', () =>
    expect(own('{https: {verify: false}}')).toMatchObject({
      tls: true,
      tlsVerify: false,
      requests: [{ path: '/' }],
      intervalUs: 7_000_000,
    }));
  test('may be none', () => expect(own('none')).toBeNull());
  test('may be a word', () => expect(own('tcp')).toMatchObject({ kind: 'tcp', fall: 3 }));
});

test('sync follows the only instance and takes its VRID', () => {
  const { sync } = configOf(`${VRRP}\nsync: {interface: eth1}`);
  expect(sync).toEqual({ interface: 'eth1', id: 7, follow: 'w' });
});

test('http may be off', () => expect(configOf(`${VRRP}\nhttp: off`).http).toBeNull());

test('anchors, aliases and merge keys say things once', () => {
  const checks = checksOf(`services:
  s:
    address: 192.0.2.1:80
    check: &check { http: {}, interval: &time 3s }
    servers:
      - 10.0.0.1
      - { address: 10.0.0.2, check: { <<: *check, fall: 5 } }
      - { address: 10.0.0.3, check: { tcp: {}, timeout: *time } }`);
  expect(checks.map((check) => [check?.kind, check?.fall])).toEqual([
    ['http', 3],
    ['http', 5],
    ['tcp', 3],
  ]);
});

test('errors in aliased values are placed at the alias, in merged ones where they stand', () => {
  const lines = errorLines(`services:
  s:
    address: 192.0.2.1:80
    check: { interval: &time 3x }
    servers:
      - { address: 10.0.0.1, check: { timeout: *time } }
      - { address: 10.0.0.2, check: { <<: { fall: 0 } } }`);
  expect(lines.map((line) => line.replace(/expected.*found/, '...'))).toEqual([
    'f.yaml:4:30: services.s.check.interval: ... 3x',
    'f.yaml:6:48: services.s.servers[0].check.timeout: ... *time',
    'f.yaml:7:51: services.s.servers[1].check.fall: ... 0',
  ]);
});

describe('warnings', () => {
  function warningsOf(text: string): string {
    const warnings: ConfigError[] = [];
    const onWarning = (warning: ConfigError) => warnings.push(warning);
    const options = { file: 'f.yaml', director: 'dir-a', hostname: 'h', onWarning };
    expect(readConfigText(text, options).ok).toBe(true);
    return formatConfigErrors(warnings, { color: false });
  }

  test('a timeout longer than the interval is allowed but said', () =>
    expect(warningsOf(service('check: {timeout: 3s}, servers: [10.0.0.1]'))).toBe(
      'f.yaml:1:48: services.s.check: the timeout is longer than the interval, so a late check' +
        ' delays the next one\n',
    ));

  const SERVERS = 'servers: [10.0.0.1, {address: 10.0.0.2, check: ping}]';
  test.each([
    ['fwmark: 5, servers: [10.0.0.1, 10.0.0.2]', 'its servers are not checked'],
    [`fwmark: 5, ${SERVERS}`, '1 of its servers are not checked'],
    ['address: "192.0.2.2:53", protocol: udp, servers: [10.0.0.1]', 'its servers are not checked'],
    ['address: "192.0.2.2:80", fwmark: 5, servers: ["10.0.0.1:80"]', 'its servers are not checked'],
  ])('servers that nothing checks are said: %s', (text, message) => {
    expect(warningsOf(`services: {s: {${text}}}`)).toContain(`services.s.servers: ${message}`);
  });

  test.each([
    'fwmark: 5, check: none, servers: [10.0.0.1]',
    'fwmark: 5, check: ping, servers: [10.0.0.1]',
    'fwmark: 5, servers: [{address: 10.0.0.2, check: none}]',
    'address: "192.0.2.2:80", servers: ["10.0.0.1:80"]',
  ])('nothing is said where they are checked, or are not on purpose: %s', (text) => {
    expect(warningsOf(`services: {s: {${text}}}`)).toBe('');
  });

  test('a service that no instance carries is said, unless there are no instances', () => {
    const text = 'services: {s: {address: "192.0.2.2:80", servers: [10.0.0.1]}}';
    expect(warningsOf(text)).toBe('');
    expect(warningsOf(`${VRRP}\n${text}`)).toBe(
      'f.yaml:2:25: services.s.address: no VRRP instance carries 192.0.2.2\n',
    );
  });

  test('passive hints that would see nothing are said', () => {
    const text = (interval: string, passive: string) =>
      `ipvs: {reconcile_interval: ${interval}}\nservices: {s: {address: "192.0.2.2:80", passive: ${passive}, servers: [10.0.0.1]}}`;
    expect(warningsOf(text('30s', 'warn'))).toBe(
      'f.yaml:2:50: services.s.passive: sees nothing: the table is looked at every 30s. Give it a window of more than that, or ipvs.reconcile_interval less than 30s\n',
    );
    expect(warningsOf(text('30s', '{window: 40s}'))).toBe('');
    expect(warningsOf(text('29s', 'quiesce'))).toBe('');
    expect(warningsOf(text('1m', 'off'))).toBe('');
  });

  test('an address that no instance carries is said once, however many services have it', () => {
    const service = (at: string) => `{address: "${at}", servers: [10.0.0.1]}`;
    const [first, second] = ['192.0.2.2', '192.0.2.3'];
    const services = [`a: ${service(`${first}:80`)}`, `b: ${service(`${first}:81`)}`];
    const said = (more: readonly string[]) =>
      warningsOf(`${VRRP}\nservices: {${[...services, ...more].join(', ')}}`);
    const place = 'f.yaml:2:25: services.a.address: no VRRP instance carries';
    expect(said([])).toBe(`${place} ${first}, which 1 more service has\n`);
    expect(said([`c: ${service(`${first}:82`)}`])).toBe(
      `${place} ${first}, which 2 more services have\n`,
    );
    const others = said([`c: ${service(`${second}:80`)}`]);
    expect(others).toContain(`${place} ${first}, which 1 more service has\n`);
    expect(others).toContain(`services.c.address: no VRRP instance carries ${second}\n`);
  });
});

describe('any text', () => {
  const words = fc.constantFrom(
    ...[
      'vrrp',
      'services',
      'servers',
      'address',
      '192.0.2.1:80',
      'interface',
      'vrid',
      '51',
      'none',
    ],
    ...['director', 'check', 'http', 'default', 'dir-a', '5s', 'null', '.nan', '{', '}', '[', ']'],
    ...[
      ': ',
      ', ',
      '\n',
      '\n  ',
      '\n    ',
      '- ',
      '&a ',
      '*a',
      '<<: ',
      '"',
      "'",
      '|',
      '!!set ',
      '? ',
    ],
    ...['__proto__', 'constructor', 'toString', '%YAML 1.1\n---\n', '\u0000', '\ud800', '#', '\t'],
  );
  test('of YAML’s and our words is read or refused, never thrown on', () => {
    fc.assert(
      fc.property(fc.array(words, { maxLength: 40 }), (parts) => {
        for (const line of errorLines(parts.join(''))) expect(line).toMatch(/^f\.yaml:\d+:\d+: ./);
      }),
      { numRuns: 1000 },
    );
  });

  test('of any characters is read or refused, never thrown on', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        for (const line of errorLines(text)) expect(line).toMatch(/^f\.yaml:\d+:\d+: ./);
      }),
      { numRuns: 300 },
    );
  });

  test('of any values in the right places is read or refused, never thrown on', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), fc.jsonValue(), (one, two, three) => {
        const value = { vrrp: { a: one }, services: { b: two, c: { servers: three } }, sync: one };
        errorLines(JSON.stringify(value));
      }),
      { numRuns: 300 },
    );
  });

  test('nested very deep is refused', () => {
    const [line, ...more] = errorLines('['.repeat(20_000));
    expect(line).toMatch(/^f\.yaml:1:\d+: nested too deeply$/);
    expect(more).toEqual([]);
  });

  test('of aliases that multiply is refused', () => {
    const lines = ['a0: &a0 [x, x]'];
    for (let level = 1; level < 30; level++) {
      lines.push(`a${level}: &a${level} [*a${level - 1}, *a${level - 1}]`);
    }
    expect(errorLines(lines.join('\n'))).toEqual([
      'f.yaml:1:1: not readable as YAML: Excessive alias count indicates a resource exhaustion' +
        ' attack',
    ]);
  });

  test('larger than the bound is refused', () => {
    expect(errorLines('#'.repeat(TEXT_LENGTH_MAX + 1))).toEqual([
      `f.yaml:1:1: the file is larger than ${TEXT_LENGTH_MAX} characters`,
    ]);
  });
});

const randomInstance = fc.record({
  vrid: fc.integer({ min: 1, max: 255 }),
  priority: fc.option(fc.integer({ min: 1, max: 255 }), { nil: undefined }),
  intervalUs: fc.integer({ min: 1, max: 4095 }).map((centiseconds) => centiseconds * 10_000),
  preempt: fc.option(fc.boolean(), { nil: undefined }),
  host: fc.integer({ min: 1, max: 254 }),
  perDirector: fc.boolean(),
});
const randomServer = fc.record({
  host: fc.integer({ min: 1, max: 254 }),
  port: fc.integer({ min: 1, max: 65535 }),
  weight: fc.integer({ min: 0, max: 65535 }),
  upper: fc.integer({ min: 0, max: 1000 }),
  short: fc.boolean(),
});
const randomConfiguration = fc.record({
  instances: fc.uniqueArray(randomInstance, { maxLength: 4, selector: (item) => item.vrid }),
  servers: fc.uniqueArray(randomServer, { maxLength: 5, selector: (item) => item.host }),
});
type RandomConfiguration = typeof randomConfiguration extends fc.Arbitrary<infer T> ? T : never;

function printed({ instances, servers }: RandomConfiguration): string {
  const vrrp = instances.map((item, index) => {
    const interval = formatDuration(item.intervalUs);
    const value = {
      interface: `eth${index}`,
      vrid: item.vrid,
      priority: item.priority,
      interval: item.perDirector ? { 'dir-a': interval, other: '1s' } : interval,
      preempt: item.preempt,
      addresses: [`192.0.2.${item.host}/24`],
    };
    return [`i${index}`, value] as const;
  });
  const list = servers.map(({ host, port, weight, upper, short }) => {
    const address = `10.0.0.${host}:${port}`;
    return short ? address : { address, weight, upper_threshold: upper };
  });
  const services = { s: { address: '192.0.2.1:80', servers: list } };
  return stringify({ vrrp: Object.fromEntries(vrrp), services });
}

test('a random configuration, printed as YAML, is read as what was printed', () => {
  fc.assert(
    fc.property(randomConfiguration, (random) => {
      const config = configOf(printed(random));
      const instances = random.instances.map((item, index) => ({
        name: `i${index}`,
        interface: `eth${index}`,
        vrid: item.vrid,
        advertIntervalUs: item.intervalUs,
        priority: item.priority ?? DEFAULTS.vrrp.priority,
        preempt: item.preempt ?? DEFAULTS.vrrp.preempt,
        addresses: [{ address: `192.0.2.${item.host}`, prefixLength: 24 }],
      }));
      const servers = random.servers.map((item) => ({
        address: `10.0.0.${item.host}`,
        port: item.port,
        weight: item.short ? DEFAULTS.server.weight : item.weight,
        upperThreshold: item.short ? DEFAULTS.server.upperThreshold : item.upper,
      }));
      expect(config.vrrp).toHaveLength(instances.length);
      expect(config).toMatchObject({ vrrp: instances, services: [{ servers }] });
    }),
  );
});

describe('readConfigFile', () => {
  const options = { director: 'dir-a', hostname: 'h' };

  async function messageFor(make: (path: string) => void): Promise<string> {
    const directory = mkdtempSync(join(tmpdir(), 'vipkeeper-config-'));
    try {
      const path = join(directory, 'f.yaml');
      make(path);
      const result = await readConfigFile(path, options);
      if (result.ok) return 'ok';
      return formatConfigErrors(result.error, { color: false }).replaceAll(path, 'PATH');
    } finally {
      rmSync(directory, { recursive: true });
    }
  }

  const unreadable = (why: string): string =>
    `VK-CONFIG-READ: The configuration file PATH cannot be read: ${why}. ` +
    'Check it with `ls -l PATH`, or name another file.\n';

  test('reads a file', async () =>
    expect(await messageFor((path) => writeFileSync(path, EXAMPLE))).toBe('ok'));
  test('reads a file that starts with a byte order mark', async () =>
    expect(await messageFor((path) => writeFileSync(path, `\ufeff${EXAMPLE}`))).toBe('ok'));
  test('says that there is no file', async () =>
    expect(await messageFor(() => {})).toBe(unreadable('it does not exist')));
  test('is not held by a FIFO', async () =>
    expect(await messageFor((path) => execFileSync('mkfifo', [path]))).toBe(
      unreadable('not a regular file'),
    ));
  test('refuses what is not UTF-8', async () =>
    expect(await messageFor((path) => writeFileSync(path, Uint8Array.of(0x61, 0xff)))).toBe(
      unreadable('not UTF-8'),
    ));
});

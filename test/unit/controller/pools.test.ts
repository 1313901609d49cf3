/**
 * Pools: when templates of persistent clients lead to servers that are out, and how that ends; what
 * operators' decisions would make of services.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { type HealthReport, Pools } from '../../../src/controller/pools.ts';
import type { AddressFamily, ServiceConfig } from '../../../src/core/config/config.ts';
import { DEFAULTS } from '../../../src/core/config/defaults.ts';
import type { Override, OverrideAction } from '../../../src/core/health/override.ts';
import type { ObservedTable } from '../../../src/core/ipvs/entries.ts';
import { serviceKey } from '../../../src/core/ipvs/model.ts';

const IDENTITY = { kind: 'address', protocol: 'tcp', address: '192.0.2.10', port: 80 } as const;
const NO_COUNTS = { activeConnections: 0, inactiveConnections: 0, stats: {} };

let down: ReadonlySet<string> = new Set();
let told: boolean[] = [];
let quorums: boolean[] = [];
let overrides: ReadonlyMap<string, OverrideAction> = new Map();
let bereft: (readonly AddressFamily[])[] = [];
let opened: Pools | null = null;

afterEach(() => opened?.close());

function open(): Pools {
  told = [];
  quorums = [];
  bereft = [];
  overrides = new Map();
  const health = (address: string): HealthReport => ({
    ...{ health: down.has(address) ? 'down' : 'up', sinceUs: 0 },
    ...{ recoveredAtUs: null, checkWeight: null },
  });
  const pools = new Pools({
    nowUs: () => 0,
    health: ({ address }) => health(address),
    override: (_service, server) => overrides.get(server) ?? null,
    maintenance: () => null,
    passive: () => false,
    onHeldBack: () => {},
    onTemplates: () => told.push(pools.templatesLeadAstray),
    onQuorum: (_service, met) => quorums.push(met),
    onBereft: (_service, families) => bereft.push(families),
    onDue: () => {},
  });
  opened = pools;
  return pools;
}

function service(name: string, persistent = true): ServiceConfig {
  const server = (address: string) => ({ address, port: 80, weight: 1, check: null });
  return {
    ...DEFAULTS.service,
    name,
    entries: [{ identity: IDENTITY, follow: null }],
    persistence: persistent ? { timeoutSeconds: 60, prefixLength: null } : null,
    quorum: { weight: 1, hysteresis: 0, below: 'serve' },
    servers: ['10.0.0.1', '10.0.0.2'].map(server),
    sorryServers: [],
  } as unknown as ServiceConfig;
}

/** The table with so many templates of the first server. */
function table(templates: number): ObservedTable {
  const servers = ['10.0.0.1', '10.0.0.2'].map((address, index) => ({
    ...{ address, port: 80, weight: 1, ...NO_COUNTS },
    persistentConnections: index === 0 ? templates : 1,
  }));
  return new Map([[serviceKey(IDENTITY), { service: { identity: IDENTITY }, servers }]]) as never;
}

describe('templates', () => {
  test('lead astray while a server that failed has some, of any service', () => {
    const pools = open();
    down = new Set();
    pools.decide(service('a'), table(3));
    expect(told).toEqual([]);
    down = new Set(['10.0.0.1']);
    pools.decide(service('a'), table(3));
    pools.decide(service('b'), table(3));
    pools.decide(service('a'), table(0));
    expect(told).toEqual([true]);
    pools.decide(service('b'), table(0));
    expect(told).toEqual([true, false]);
  });

  test('are nothing to a service without persistence', () => {
    const pools = open();
    down = new Set(['10.0.0.1']);
    pools.decide(service('a', false), table(3));
    expect(told).toEqual([]);
  });

  test('end with a service that is not configured any more, or is not here', async () => {
    const pools = open();
    down = new Set(['10.0.0.1']);
    const both = [service('a'), service('b')];
    for (const one of both) pools.decide(one, table(3));
    await pools.keep(both.slice(1));
    expect(told).toEqual([true]);
    pools.left(['b']);
    expect(told).toEqual([true, false]);
  });
});

test('a family without a healthy server is told of, once each time', () => {
  const pools = open();
  const one = service('a');
  const six = { ...IDENTITY, address: '2001:db8::10' };
  const both = {
    ...one,
    entries: [...one.entries, { identity: six, follow: null }],
    servers: ['10.0.0.1', '2001:db8::1'].map((address) => ({ ...one.servers[0], address })),
  } as ServiceConfig;
  for (const failed of [[], ['10.0.0.1'], ['10.0.0.1'], []]) {
    down = new Set(failed);
    pools.decide(both, new Map());
  }
  expect(bereft).toEqual([['ipv4'], []]);
  expect(quorums).toEqual([true]);
});

describe('what decisions would make of services', () => {
  const override = (service: string, server: string, after: Override['action'] | null) => ({
    ...{ service, server },
    after: after === null ? null : ({ action: after } as Override),
  });
  const drain = (service: string, server: string) =>
    override(service, server, { kind: 'drain', deadlineMs: null, drained: false });

  test('is said of the services that they are about, all of one together', async () => {
    const pools = open();
    down = new Set();
    const services = ['a', 'b', 'c'].map((name) => service(name));
    const decided = [
      drain('a', '10.0.0.1:80'),
      drain('b', '10.0.0.1:80'),
      drain('b', '10.0.0.2:80'),
      drain('gone', '10.0.0.1:80'),
    ];
    const found = await pools.consequencesOf(services, table(0), decided);
    const short = found.map((one) => [one.service, one.servingBefore, one.servingAfter]);
    expect(short).toEqual([
      ['a', 2, 1],
      ['b', 2, 0],
    ]);
  });

  test('changes nothing: no decision, no word of the quorum, no setting for templates', async () => {
    const pools = open();
    down = new Set();
    pools.decide(service('a'), table(3));
    const before = pools.report('a');
    const both = [drain('a', '10.0.0.1:80'), drain('a', '10.0.0.2:80')];
    await pools.consequencesOf([service('a')], table(3), both);
    expect(pools.report('a')).toEqual(before);
    expect(told).toEqual([]);
    expect(quorums).toEqual([true]);
  });

  test('goes by what operators decided before, and by its end', async () => {
    const pools = open();
    down = new Set(['10.0.0.2']);
    overrides = new Map([['10.0.0.2:80', { kind: 'up' }]]);
    const [end] = await pools.consequencesOf([service('a')], table(0), [
      override('a', '10.0.0.2:80', null),
    ]);
    expect(end).toMatchObject({ servingBefore: 2, servingAfter: 1 });
    const [rest] = await pools.consequencesOf([service('a')], table(0), [
      drain('a', '10.0.0.1:80'),
    ]);
    expect(rest).toMatchObject({ servingBefore: 2, servingAfter: 1, clientsAfter: 'servers' });
  });
});

describe('decide', () => {
  test('keeps what it decided while nothing becomes of the service', () => {
    const pools = open();
    down = new Set();
    pools.decide(service('a'), table(0));
    const before = pools.decide(service('a'), table(0));
    expect(pools.decide(service('a'), table(1))).toBe(before);
    down = new Set(['10.0.0.1']);
    const after = pools.decide(service('a'), table(1));
    expect(after).not.toBe(before);
    expect(after.get('10.0.0.1:80')).toEqual({ weight: 0, reason: 'failed' });
  });
});

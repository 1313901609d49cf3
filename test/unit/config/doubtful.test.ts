/** Rules between values are applied where one of a service's values is wrong in itself. */

import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { errorLines } from './read.ts';

type Service = Readonly<Record<string, unknown>>;

const VRRP = { web: { interface: 'eth0', vrid: 51, addresses: ['192.0.2.10/24'] } };

/** Without aliases, whose place is another's. */
const written = (config: object) => stringify(config, { aliasDuplicateObjects: false });

function errors(services: Readonly<Record<string, Service>>, more: object = {}): string[] {
  const lines = errorLines(written({ vrrp: VRRP, services, ...more }));
  return lines.map((line) => line.replace(/^f\.yaml:\d+:\d+: /, ''));
}

const PLAIN: Service = { address: '192.0.2.10:80', servers: ['10.0.0.1', '10.0.0.2'] };

describe('one reading tells of', () => {
  test('values that are wrong, and what others contradict, of one service', () => {
    const wrong = { scheduler: 'best', min_healthy: 5, quorum: 3 };
    const found = errors({ s: { ...PLAIN, ...wrong, servers: ['10.0.0.1', '10.0.0.1'] } });
    expect(found.map((line) => line.split(': ')[0])).toEqual([
      'services.s.servers[1]',
      'services.s.scheduler',
      'services.s.min_healthy',
      'services.s.quorum',
    ]);
  });

  test('an address that two services have, of which one has a wrong value', () => {
    const found = errors({ a: { ...PLAIN, slow_start: 'soon' }, b: PLAIN });
    expect(found).toHaveLength(2);
    expect(found[1]).toMatch(/^services\.b\.address: tcp 192\.0\.2\.10:80 is services\.a already/);
  });

  test('an instance that does not exist, beside a misspelt key', () => {
    const found = errors({ s: { ...PLAIN, follow: 'db', schedular: 'rr' } });
    expect(found[0]).toMatch(/^services\.s\.follow: expected a VRRP instance: web/);
    expect(found[1]).toMatch(/^services\.s\.schedular: unknown key, did you mean scheduler/);
  });
});

describe('of instances, one reading tells of', () => {
  const instance = VRRP.web;
  const ofInstances = (vrrp: object, more: object = {}) =>
    errorLines(written({ vrrp, services: {}, ...more })).map((line) =>
      line.replace(/^f\.yaml:\d+:\d+: /, ''),
    );

  test('a VRID and an address that two have, of which one has a wrong value', () => {
    const found = ofInstances({ a: { ...instance, priority: 300 }, b: instance });
    expect(found.map((line) => line.split(': ')[0])).toEqual([
      'vrrp.a.priority',
      'vrrp.b.vrid',
      'vrrp.b.addresses[0]',
    ]);
  });

  test('nothing that may follow from the wrong value alone', () => {
    const rfc = { strict: true, owner_conflict: 'ignore', announce: { repeat: 1, delay: '0s' } };
    const owner = { ...instance, ...rfc, priority: 255, accept: true, track: ['t'] };
    const other = { interface: 'eth0', vrid: 52, addresses: ['192.0.2.20/24'] };
    const more = {
      groups: { g: { instances: ['a', 'b'] } },
      trackers: { t: { interface: 'eth9' } },
    };
    const both = { a: owner, b: { ...other, priority: 255 } };
    expect(ofInstances(both, more)).toEqual([]);
    for (const key of Object.keys(owner)) {
      const found = ofInstances({ ...both, a: { ...owner, [key]: { wrong: [] } } }, more);
      expect(found.length).toBeGreaterThan(0);
      expect(found.filter((line) => !line.startsWith(`vrrp.a.${key}`))).toEqual([]);
      const { [key as 'vrid']: value, ...rest } = owner;
      const misspelt = ofInstances({ ...both, a: { ...rest, [`${key}x`]: value } }, more);
      const told = new RegExp(`^vrrp\\.a(\\.${key}x?)?: `);
      expect(misspelt.filter((line) => !told.test(line))).toEqual([]);
    }
  });
});

/** Valid, with values that others need: what is wrong instead of one must be all that is told. */
const VALID: Readonly<Record<string, Service>> = {
  persistent: {
    ...PLAIN,
    ...{ address: '192.0.2.10:0', protocol: 'udp', check: 'none' },
    ...{ persistence: '5m', persistence_engine: 'sip', one_packet: true },
    servers: ['10.0.0.1:0', '10.0.0.2:0'],
  },
  hashed: { ...PLAIN, scheduler: 'sh', scheduler_flags: ['sh-port'] },
  weighed: {
    ...PLAIN,
    ...{ quorum: 3, hysteresis: 2, below_quorum: 'sorry', min_healthy: '10%', slow_start: '30s' },
    servers: ['10.0.0.1', '10.0.0.2'].map((address) => ({ address, weight: 100 })),
    sorry_servers: ['10.0.0.9'],
  },
  direct: {
    ...PLAIN,
    ...{ forwarding: 'dr', check: { tcp: {}, through_vip: true }, passive: 'warn' },
  },
  tunnel: {
    ...PLAIN,
    ...{ forwarding: 'tun', tunnel: { gue: { port: 6080 } }, check: 'none' },
    servers: ['10.0.0.1', '2001:db8::1'],
  },
  marked: { fwmark: 7, check: { tcp: {}, port: 80 }, servers: ['10.0.0.1', '10.0.0.2'] },
  unchecked: {
    ...PLAIN,
    servers: ['10.0.0.1', { address: '10.0.0.2', check: { interval: '5s' } }],
  },
  following: {
    ...PLAIN,
    ...{ follow: 'web', only_on_active: true, check_when: 'active', on_failure: 'remove' },
    ...{ on_remove: 'drain', drain_timeout: '5m', notify: { quorum_up: '/bin/true' } },
    maintenance: [{ schedule: '0 3 * * *', duration: '1h' }],
  },
};

const CASES = Object.entries(VALID).flatMap(([name, service]) =>
  Object.keys(service).map((key) => [name, key] as const),
);

test.each(Object.keys(VALID))('%s is valid', (name) => {
  expect(errors({ s: VALID[name] as Service })).toEqual([]);
});

test.each(CASES)('%s: nothing is told but what is wrong with %s', (name, key) => {
  const service = VALID[name] as Service;
  const found = errors({ s: { ...service, [key]: { wrong: [] } } });
  expect(found.length).toBeGreaterThan(0);
  expect(found.filter((line) => !line.startsWith(`services.s.${key}`))).toEqual([]);
  const misspelt = Object.fromEntries(
    Object.entries(service).map(([each, value]) => [each === key ? `${key}x` : each, value]),
  );
  const missing = new RegExp(`^services\\.s(\\.${key}x?)?: `);
  expect(errors({ s: misspelt }).filter((line) => !missing.test(line))).toEqual([]);
});

test('what all services have in common is not told of one that is read in part', () => {
  const more = { ipvs: { settings: { nat_icmp_send: true } } };
  const unchecked = { ...PLAIN, check: 'none' };
  expect(errors({ s: unchecked }, more)).toEqual([]);
  expect(errors({ s: { ...unchecked, check: 'nnone' } }, more)).toHaveLength(1);
  expect(errors({ s: PLAIN }, more)).toHaveLength(1);
});

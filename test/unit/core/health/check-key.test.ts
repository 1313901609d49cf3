import { describe, expect, test } from 'vitest';
import type {
  CheckConfig,
  RealServerConfig,
  ServiceConfig,
  TcpCheckConfig,
} from '../../../../src/core/config/config.ts';
import { plainService } from '../../../../src/core/config/plain-service.ts';
import {
  canonicalJson,
  checkDefinition,
  checksOf,
  questionOf,
} from '../../../../src/core/health/check-key.ts';

const check: TcpCheckConfig = {
  kind: 'tcp',
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
};

function server(address: string, port: number, asked: CheckConfig | null): RealServerConfig {
  return {
    address,
    port,
    weight: 1,
    forwarding: 'nat',
    tunnel: { kind: 'ipip' },
    upperThreshold: 0,
    lowerThreshold: 0,
    check: asked,
    maintenance: [],
  };
}

function service(name: string, servers: readonly RealServerConfig[]): ServiceConfig {
  const identity = { kind: 'address', protocol: 'tcp', address: '192.0.2.10', port: 80 } as const;
  return plainService({ name, entries: [{ identity, follow: null }], servers });
}

describe('checkDefinition', () => {
  const here = { address: '10.0.0.1', port: 80 };

  test('the key does not depend on the order of members', () => {
    const turned = Object.fromEntries(Object.entries(check).reverse()) as unknown as CheckConfig;
    expect(checkDefinition(turned, here).key).toBe(checkDefinition(check, here).key);
  });

  test('the port of the check wins, and the same port is the same check', () => {
    const other = checkDefinition({ ...check, port: 8080 }, here);
    expect(other.target).toEqual({ address: '10.0.0.1', port: 8080 });
    expect(other.key).toBe(checkDefinition(check, { ...here, port: 8080 }).key);
  });

  test('timing makes another check with the same question', () => {
    const timings: Partial<TcpCheckConfig>[] = [
      ...[{ intervalUs: 1 }, { timeoutUs: 1 }, { rise: 1 }, { fall: 1 }],
      ...[{ retryDelayUs: 1 }, { jitterUs: 1 }, { startSpreadUs: 1 }, { initial: 'up' as const }],
    ];
    for (const timing of timings) {
      const changed = checkDefinition({ ...check, ...timing }, here);
      expect(changed.key).not.toBe(checkDefinition(check, here).key);
      expect(questionOf(changed.key)).toBe(questionOf(checkDefinition(check, here).key));
    }
  });

  test('the address of the check wins: two servers that ask one machine share the check', () => {
    const asked = { ...check, address: '10.0.0.9' };
    const [one, other] = [here, { address: '10.0.0.2', port: 80 }];
    expect(checkDefinition(asked, one).target).toEqual({ address: '10.0.0.9', port: 80 });
    expect(checkDefinition(asked, one).key).toBe(checkDefinition(asked, other).key);
    expect(checkDefinition(asked, one).key).toBe(
      checkDefinition(check, { address: '10.0.0.9', port: 80 }).key,
    );
  });

  test.each([{ source: '10.0.0.7' }, { device: 'eth1' }, { mark: 3 }])(
    'another path is another question: %j',
    (path) => {
      const { key } = checkDefinition({ ...check, ...path }, here);
      expect(questionOf(key)).not.toBe(questionOf(checkDefinition(check, here).key));
    },
  );

  test('another server is another question', () => {
    const there = { address: '10.0.0.2', port: 80 };
    const asked = (server: typeof here) => questionOf(checkDefinition(check, server).key);
    expect(asked(there)).not.toBe(asked(here));
  });
});

test('checksOf: servers of several services share a check, servers without one have none', () => {
  const definitions = checksOf([
    service('web', [server('10.0.0.1', 80, check), server('10.0.0.2', 80, check)]),
    service('also', [server('10.0.0.1', 80, { ...check }), server('10.0.0.3', 80, null)]),
    service('slower', [server('10.0.0.1', 80, { ...check, intervalUs: 60_000_000 })]),
  ]);
  const asked = [...definitions.values()].map(
    (each) => `${each.target.address} ${each.check.intervalUs}`,
  );
  expect(asked).toEqual(['10.0.0.1 2000000', '10.0.0.2 2000000', '10.0.0.1 60000000']);
});

test('canonicalJson: members are sorted at every depth, arrays stay as they are', () => {
  expect(canonicalJson({ b: [{ d: 1, c: null }, 2], a: 'x' })).toBe(
    '{"a":"x","b":[{"c":null,"d":1},2]}',
  );
});

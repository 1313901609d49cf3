/** What a decision of an operator would make of a service, from what the pool decides with it. */
import { describe, expect, it, test } from 'vitest';
import type { ServiceConfig } from '../../../../src/core/config/config.ts';
import { DEFAULTS } from '../../../../src/core/config/defaults.ts';
import {
  type Consequence,
  consequenceOf,
  consequenceText,
  isDangerous,
  isNotable,
  refusalOf,
} from '../../../../src/core/health/consequence.ts';
import type { OverrideAction } from '../../../../src/core/health/override.ts';
import { decide, type PoolMember, type ServerHealth } from '../../../../src/core/health/pool.ts';
import { serverKey } from '../../../../src/core/ipvs/model.ts';

const DRAIN: OverrideAction = { kind: 'drain', deadlineMs: null, drained: false };

interface Case {
  /** Of its servers in their order. */
  readonly health: readonly ServerHealth[];
  readonly sorry?: readonly ServerHealth[];
  readonly quorum?: Partial<ServiceConfig['quorum']>;
  readonly minHealthyPercent?: number;
  /** Indices of those that have an IPv6 address: the service has entries of both families then. */
  readonly six?: readonly number[];
  /** By the servers' indices; sorry servers follow. */
  readonly before?: Readonly<Record<number, OverrideAction>>;
  readonly after: Readonly<Record<number, OverrideAction | null>>;
}

function consequence({
  health,
  sorry = [],
  quorum,
  minHealthyPercent = 0,
  six = [],
  ...rest
}: Case) {
  const servers = [...health, ...sorry].map((_, index) => ({
    ...{
      address: six.includes(index) ? `2001:db8::${index + 1}` : `10.0.0.${index + 1}`,
      port: 80,
    },
  }));
  const families = six.length === 0 ? ['ipv4'] : ['ipv4', 'ipv6'];
  const entries = families.map((family) => ({ identity: { kind: 'fwmark', mark: 1, family } }));
  const familyOf = (index: number) => {
    if (six.length === 0) return null;
    return six.includes(index) ? 'ipv6' : 'ipv4';
  };
  const service = {
    ...{ ...DEFAULTS.service, name: 'web', minHealthyPercent, slowStartUs: 0 },
    quorum: { weight: 1, hysteresis: 0, below: 'sorry', ...quorum },
    entries,
    ...{ servers: servers.slice(0, health.length), sorryServers: servers.slice(health.length) },
  } as unknown as ServiceConfig;
  const { before = {}, after } = rest;
  const decisionWith = (decided: Readonly<Record<number, OverrideAction | null>>) => {
    const members = [...health, ...sorry].map(
      (one, index): PoolMember => ({
        ...{ key: serverKey(servers[index] as (typeof servers)[number]), weight: 1, health: one },
        initial: 'unknown',
        ...{ sinceUs: 0, recoveredAtUs: null, checkWeight: null, dynamic: false },
        ...{ kernelWeight: null, maintenance: null, passive: false, family: familyOf(index) },
        override: decided[index] ?? null,
      }),
    );
    const own = members.slice(0, health.length);
    return decide(service, null, own, members.slice(health.length), 0);
  };
  return consequenceOf(service, decisionWith(before), decisionWith({ ...before, ...after }));
}

describe('a decision is dangerous', () => {
  const dangers: readonly (readonly [string, Case, string])[] = [
    [
      'that drains the only server',
      { health: ['up'], after: { 0: DRAIN } },
      'web would be left with 0 of 1 server, below its quorum (weight 0 of 1): its clients would be refused',
    ],
    [
      'that drains the last server beside one that failed',
      { health: ['up', 'down'], quorum: { below: 'serve' }, after: { 0: DRAIN } },
      'web would be left with 0 of 2 servers, below its quorum (weight 0 of 1): its clients would be refused',
    ],
    [
      'that drains the last server of one family',
      { health: ['up', 'down', 'up', 'up'], six: [2, 3], after: { 0: DRAIN } },
      'web would be left with 2 of 4 servers: its IPv4 clients would be refused',
    ],
    [
      'that leaves the clients of one family to its sorry server',
      { health: ['up', 'up', 'up'], six: [2, 4], sorry: ['up', 'up'], after: { 2: DRAIN } },
      'web would be left with 2 of 3 servers: its IPv6 clients would go to the sorry servers',
    ],
    [
      'that drains the last servers of both',
      { health: ['up', 'up'], six: [1], after: { 0: DRAIN, 1: DRAIN } },
      'web would be left with 0 of 2 servers, below its quorum (weight 0 of 1): its clients would be refused',
    ],
    [
      'that leaves the clients to the sorry servers',
      { health: ['up', 'up'], sorry: ['up'], after: { 0: DRAIN, 1: DRAIN } },
      'web would be left with 0 of 2 servers, below its quorum (weight 0 of 1): its clients would go to the sorry servers',
    ],
    [
      'that loses the quorum, and with it all servers',
      { health: ['up', 'up'], sorry: ['up'], quorum: { weight: 2 }, after: { 0: DRAIN } },
      'web would be left with 0 of 2 servers, below its quorum (weight 1 of 2): its clients would go to the sorry servers',
    ],
    [
      'that loses the quorum of a service that drops its clients then',
      {
        health: ['up', 'up'],
        quorum: { weight: 2, below: 'drop' },
        after: { 1: { kind: 'down' } },
      },
      'web would be left with 0 of 2 servers, below its quorum (weight 1 of 2): its clients would be refused',
    ],
    [
      'that takes the sorry server which has the clients',
      { health: ['down'], sorry: ['up'], after: { 1: { kind: 'weight', weight: 0 } } },
      'web would have 0 of 1 server: its clients would be refused',
    ],
    [
      'that no longer keeps in what fails its check',
      { health: ['down'], before: { 0: { kind: 'up' } }, after: { 0: null } },
      'web would be left with 0 of 1 server, below its quorum (weight 0 of 1): its clients would be refused',
    ],
    [
      'that leaves servers of which no check has spoken',
      { health: ['up', 'unknown'], after: { 0: DRAIN } },
      'web would be left with 0 of 2 servers: its clients would be refused until a check has found a server healthy',
    ],
    [
      'that takes out all before a check has spoken',
      { health: ['unknown', 'unknown'], after: { 0: DRAIN, 1: DRAIN } },
      'web would have 0 of 2 servers, below its quorum (weight 0 of 1): its clients would be refused',
    ],
  ];

  test.each(dangers)('%s', (_what, one, text) => {
    const found = consequence(one);
    expect(consequenceText(found)).toBe(text);
    expect(isDangerous(found)).toBe(true);
    expect(refusalOf([found])).toBe(text);
  });
});

describe('a decision is not dangerous', () => {
  const harmless: readonly (readonly [string, Case, boolean, string])[] = [
    [
      'that leaves a server in',
      { health: ['up', 'up', 'up'], after: { 0: DRAIN } },
      false,
      'web would be left with 2 of 3 servers',
    ],
    [
      'about one that failed',
      { health: ['up', 'down'], after: { 1: DRAIN } },
      false,
      'web would have 1 of 2 servers',
    ],
    [
      'about one that is drained',
      { health: ['up'], before: { 0: DRAIN }, after: { 0: { kind: 'down' } } },
      false,
      'web would have 0 of 1 server: its clients would be refused',
    ],
    [
      'that brings one back',
      { health: ['up'], before: { 0: DRAIN }, after: { 0: null } },
      false,
      'web would have 1 of 1 server',
    ],
    [
      'that loses a quorum without which servers go on',
      { health: ['up', 'up'], quorum: { weight: 2 }, after: { 0: DRAIN } },
      true,
      'web would be left with 1 of 2 servers, below its quorum (weight 1 of 2)',
    ],
    [
      'that leaves less than min_healthy',
      { health: ['up', 'up', 'up', 'up'], minHealthyPercent: 75, after: { 0: DRAIN, 1: DRAIN } },
      true,
      'web would be left with 2 of 4 servers, below its min_healthy of 3',
    ],
  ];

  test.each(harmless)('%s', (_what, one, notable, text) => {
    const found = consequence(one);
    expect(consequenceText(found)).toBe(text);
    expect(isDangerous(found)).toBe(false);
    expect(isNotable(found)).toBe(notable);
    expect(refusalOf([found])).toBeNull();
  });
});

it('is told of what is done in other words', () => {
  const served = consequence({
    health: ['up', 'up'],
    sorry: ['up'],
    after: { 0: DRAIN, 1: DRAIN },
  });
  expect(consequenceText(served, true)).toBe(
    'web is left with 0 of 2 servers, below its quorum (weight 0 of 1): its clients go to the sorry servers',
  );
  const back = consequence({ health: ['up'], before: { 0: DRAIN }, after: { 0: null } });
  expect(consequenceText(back, true)).toBe('web has 1 of 1 server');
});

it('a refusal names some services and counts the others', () => {
  const danger = consequence({ health: ['up'], quorum: { below: 'serve' }, after: { 0: DRAIN } });
  const of = (count: number): Consequence[] =>
    Array.from({ length: count }, (_, index) => ({ ...danger, service: `web${index}` }));
  expect(refusalOf(of(3))?.split('; ')).toHaveLength(3);
  expect(refusalOf(of(4))).toMatch(/; so would 1 more service$/);
  expect(refusalOf(of(1000))).toMatch(/; so would 997 more services$/);
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RealServerConfig, ServiceConfig } from '../../../../src/core/config/config.ts';
import {
  hasEnded,
  type Override,
  overridesFromJson,
} from '../../../../src/core/health/override.ts';
import {
  overrideOf,
  parseOverrideRequest,
  resolveTarget,
} from '../../../../src/core/health/override-request.ts';

const action: fc.Arbitrary<Override['action']> = fc.oneof(
  fc.record({
    kind: fc.constant('drain' as const),
    deadlineMs: fc.option(fc.nat()),
    drained: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('weight' as const), weight: fc.nat(65_535) }),
  fc.record({ kind: fc.constantFrom('up' as const, 'down' as const) }),
);
const override: fc.Arbitrary<Override> = fc.record({
  service: fc.string({ minLength: 1, maxLength: 63 }),
  server: fc.string({ minLength: 1, maxLength: 60 }),
  action,
  by: fc.string(),
  reason: fc.string(),
  sinceMs: fc.nat(),
  untilMs: fc.option(fc.nat()),
});

describe('overridesFromJson', () => {
  it('reads back what was written', () => {
    fc.assert(
      fc.property(fc.array(override), (list) => {
        const read = overridesFromJson(JSON.parse(JSON.stringify(list)));
        expect(read.ok ? read.value : read.error).toEqual(list);
      }),
    );
  });

  it.each([
    ['no list', {}, 'expected a list'],
    ['no override', [1], 'entry 0 is not an override'],
    [
      'a weight that is none',
      [{ ...base(), action: { kind: 'weight', weight: 70_000 } }],
      'entry 0',
    ],
    ['an unknown action', [base(), { ...base(), action: { kind: 'explode' } }], 'entry 1'],
    ['a time that is none', [{ ...base(), sinceMs: 'yesterday' }], 'entry 0'],
    ['no server', [{ ...base(), server: '' }], 'entry 0'],
  ])('refuses %s', (_what, value, message) => {
    const read = overridesFromJson(value);
    expect(read.ok ? 'taken' : read.error).toContain(message);
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => void overridesFromJson(value)));
  });
});

function base(): Override {
  return {
    service: 'web',
    server: '10.0.0.11:80',
    action: { kind: 'up' },
    by: 'root',
    reason: '',
    sinceMs: 5,
    untilMs: null,
  };
}

describe('hasEnded', () => {
  it('is true from its end on, and never without one', () => {
    const until = { ...base(), untilMs: 100 };
    expect([99, 100, 101].map((nowMs) => hasEnded(until, nowMs))).toEqual([false, true, true]);
    expect(hasEnded(base(), Number.MAX_SAFE_INTEGER)).toBe(false);
  });
});

function service(name: string, addresses: readonly string[], sorry: readonly string[] = []) {
  const servers = (list: readonly string[]) =>
    list.map((address) => ({ address, port: 80 }) as RealServerConfig);
  return {
    name,
    servers: servers(addresses),
    sorryServers: servers(sorry),
  } as unknown as ServiceConfig;
}

describe('resolveTarget', () => {
  const services = [
    service('web', ['10.0.0.11', '10.0.0.12'], ['10.0.0.99']),
    service('mail', ['10.0.0.11', '2001:db8::1']),
  ];
  const found = (target: string) => {
    const result = resolveTarget(services, target);
    return result.ok ? result.value.map((one) => `${one.service}/${one.server}`) : result.error;
  };

  it('finds a server of a service with and without its port, sorry servers too', () => {
    expect(found('web/10.0.0.11:80')).toEqual(['web/10.0.0.11:80']);
    expect(found('web/10.0.0.12')).toEqual(['web/10.0.0.12:80']);
    expect(found('web/10.0.0.99')).toEqual(['web/10.0.0.99:80']);
    expect(found('mail/[2001:db8::1]:80')).toEqual(['mail/[2001:db8::1]:80']);
    expect(found('mail/2001:db8::1')).toEqual(['mail/[2001:db8::1]:80']);
  });

  it('finds it in all services when none is named', () => {
    expect(found('10.0.0.11')).toEqual(['web/10.0.0.11:80', 'mail/10.0.0.11:80']);
  });

  it('finds others beside those of the configuration, named as they are', () => {
    const others = [
      { service: 'web', server: '10.0.0.11:81' },
      { service: 'gone', server: '[2001:db8::1]:80' },
    ];
    const all = (target: string) => {
      const result = resolveTarget(services, target, others);
      return result.ok ? result.value.map((one) => `${one.service}/${one.server}`) : result.error;
    };
    expect(all('web/10.0.0.11')).toEqual(['web/10.0.0.11:80', 'web/10.0.0.11:81']);
    expect(all('web/10.0.0.11:81')).toEqual(['web/10.0.0.11:81']);
    expect(all('gone/2001:db8::1')).toEqual(['gone/[2001:db8::1]:80']);
    expect(all('2001:db8::1')).toEqual(['mail/[2001:db8::1]:80', 'gone/[2001:db8::1]:80']);
    expect(all('gone/10.0.0.11')).toBe('There is no service gone; services here: web, mail');
  });

  it('says which there are when there is none such', () => {
    expect(found('ftp/10.0.0.11')).toBe('There is no service ftp; services here: web, mail');
    expect(found('wbe/10.0.0.11')).toMatch(/^There is no service wbe, did you mean web\? /);
    expect(found('web/10.0.0.11:81')).toMatch(/, did you mean 10.0.0.11:80\? /);
    expect(found('web')).toBe('web is a service: name one of its servers, as web/10.0.0.11:80');
    expect(found('mail/10.0.0.12')).toBe(
      'There is no server 10.0.0.12; servers here: 10.0.0.11:80, [2001:db8::1]:80',
    );
  });
});

describe('parseOverrideRequest', () => {
  const parse = (parts: Record<string, string>) => {
    const result = parseOverrideRequest((name) => parts[name] ?? null, 1_000);
    return result.ok ? result.value : result.error;
  };

  it('reads every part, and makes texts fit for one line', () => {
    expect(
      parse({
        target: 'web/a',
        action: 'weight',
        weight: '7',
        for_ms: '1000',
        by: 'root',
        reason: 'a\nb\u001b[31m',
        dry_run: '',
        force: '',
      }),
    ).toEqual({
      target: 'web/a',
      action: 'weight',
      weight: 7,
      timeoutMs: null,
      untilMs: 2_000,
      by: 'root',
      reason: 'a b [31m',
      dryRun: true,
      force: true,
    });
  });

  it.each([
    [{ target: 'a', action: 'kill' }, 'expected an action'],
    [{ action: 'up' }, 'expected a target'],
    [{ target: 'a', action: 'weight' }, 'expected a weight'],
    [{ target: 'a', action: 'weight', weight: '65536' }, 'expected a weight'],
    [{ target: 'a', action: 'drain', timeout_ms: '-1' }, 'expected a duration'],
    [{ target: 'a', action: 'drain', for_ms: 'x' }, 'expected a duration'],
    [{ target: 'a', action: 'up', until_ms: '1000' }, 'expected an end in the future'],
    [{ target: 'a', action: 'up', until_ms: 'x' }, 'expected an end in the future'],
    [{ target: 'a', action: 'up', until_ms: '9000000000' }, 'in 31 days at most'],
    [{ target: 'a', action: 'up', until_ms: '2000', for_ms: '1' }, 'not both'],
  ])('refuses %j', (parts, message) => {
    expect(parse(parts as Record<string, string>)).toContain(message);
  });

  it('becomes an override with its end and its deadline', () => {
    const request = parse({ target: 'web/a', action: 'drain', timeout_ms: '10', for_ms: '20' });
    if (typeof request === 'string') throw new Error(request);
    const made = overrideOf(request, { service: 'web', server: 'a:80' }, 1000);
    expect(made).toMatchObject({
      action: { kind: 'drain', deadlineMs: 1010, drained: false },
      sinceMs: 1000,
      untilMs: 1020,
    });
    const until = parse({ target: 'web/a', action: 'down', until_ms: '5000' });
    if (typeof until === 'string') throw new Error(until);
    expect(overrideOf(until, { service: 'web', server: 'a:80' }, 1000)?.untilMs).toBe(5000);
    expect(
      overrideOf({ ...request, action: 'clear' }, { service: 'web', server: 'a' }, 0),
    ).toBeNull();
  });
});

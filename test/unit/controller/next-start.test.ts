/** Which configurations a keeper may begin with before its controller runs. */
import { describe, expect, it } from 'vitest';
import { readConfigText } from '../../../src/config/yaml.ts';
import { mayStartEarly } from '../../../src/controller/early-start.ts';
import { uniqueSources } from '../../../src/controller/next-start.ts';
import type { Config } from '../../../src/core/config/config.ts';

const SERVICES = { web: { address: '192.0.2.10:80', servers: ['192.0.2.101:80'] } };

function configOf(instance: Record<string, unknown>, more: Record<string, unknown> = {}): Config {
  const web = { interface: 'eth0', vrid: 51, addresses: ['192.0.2.10/24'], ...instance };
  const read = readConfigText(JSON.stringify({ vrrp: { web }, ...more }), {
    file: 'test',
    director: 'a',
    hostname: 'a',
  });
  if (!read.ok) throw new Error(read.error.map(({ message }) => message).join());
  return read.value;
}

describe('an early start', () => {
  it('is for every configuration that needs no controller', () => {
    expect(mayStartEarly(configOf({ interval: '10ms', priority: 255 }))).toBe(true);
    expect(mayStartEarly(configOf({ interval: '100ms' }))).toBe(true);
  });

  it.each<[string, Record<string, unknown>, boolean]>([
    ['intervals of 1 s', { interval: '1s' }, true],
    ['intervals of 100 ms', { interval: '100ms' }, false],
    ['an owner', { interval: '1s', priority: 255 }, false],
    ['fewer advertisements to wait for', { interval: '1s', down_timer_adverts: 1 }, false],
  ])('with services and %s: takeovers come after the controller, or not', (_, instance, may) => {
    expect(mayStartEarly(configOf(instance, { services: SERVICES }))).toBe(may);
  });
});

describe('the files that a configuration was read from', () => {
  const file = (content: string, mode = 0o100600) => ({
    path: '/key',
    mode,
    content: Buffer.from(content),
  });

  it('count once when they were the same each time, and not at all otherwise', () => {
    expect(uniqueSources([file('a'), file('a')])).toEqual([file('a')]);
    expect(uniqueSources([file('a'), file('b')])).toBeNull();
    expect(uniqueSources([file('a'), file('a', 0o100640)])).toBeNull();
  });
});

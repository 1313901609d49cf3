/** Maintenance windows in the configuration: where they stand, and what is refused. */
import { describe, expect, test } from 'vitest';
import { parseCron } from '../../../src/config/cron-text.ts';
import { readConfigText } from '../../../src/config/yaml.ts';
import { configOf, errorLines } from './read.ts';

const service = (server: string, more = '') =>
  `services: {s: {address: "192.0.2.1:80", check: none, servers: [${server}, "10.0.0.2:81"]${more}}}\n`;
const WINDOW = '{schedule: "0 3 * * sun", duration: 2h, time_zone: UTC}';

test('a window has defaults, and a whole service is out by force', () => {
  const more = `, maintenance: [${WINDOW}]`;
  const [found] = configOf(service(`{address: 10.0.0.1, maintenance: [${WINDOW}]}`, more)).services;
  const defaults = {
    ...{ schedule: '0 3 * * sun', timeZone: 'UTC', durationUs: 7_200_000_000 },
    ...{ drainBeforeUs: 0, action: 'drain', reason: '' },
  };
  expect(found?.servers[0]?.maintenance).toMatchObject([{ ...defaults, force: false }]);
  expect(found?.maintenance).toMatchObject([{ ...defaults, force: true }]);
});

test('a window of a server is that of all services that have it', () => {
  const text = `services:
  a: {address: "192.0.2.1:80", check: none, servers: [10.0.0.1], sorry_servers: [10.0.0.2]}
  b: {address: "192.0.2.1:81", check: none, servers: ["10.0.0.2:90", 10.0.0.3]}
maintenance:
  - {server: 10.0.0.2, schedule: "@daily", duration: 1h, action: down, drain_before: 10m, reason: disks}`;
  const { services } = configOf(text);
  const out = services.flatMap(({ servers, sorryServers }) =>
    [...servers, ...sorryServers].flatMap(({ address, port, maintenance }) =>
      maintenance.map(({ action, reason }) => [address, port, action, reason]),
    ),
  );
  expect(out).toEqual([
    ['10.0.0.2', 80, 'down', 'disks'],
    ['10.0.0.2', 90, 'down', 'disks'],
  ]);
});

test.each([
  ['"0 3 * * * *"', 'five fields'],
  ['"0 25 * * *"', 'hour 25 is wrong'],
  ['"0 3 1-7 * sun"', 'not both: for the first Sunday write 0 3 * * 0#1'],
  ['"0 3 31 feb *"', 'such as 0 3 * * sun: day of month 31 is wrong'],
  ['often', 'five fields'],
])('the schedule %s is refused in its place', (schedule, message) => {
  const window = `{schedule: ${schedule}, duration: 2h}`;
  const [line] = errorLines(service(`{address: 10.0.0.1, maintenance: [${window}]}`));
  expect(line).toContain('services.s.servers[0].maintenance[0].schedule: ');
  expect(line).toContain(message);
});

describe('refused are', () => {
  test.each([
    ['a zone that does not exist', 'time_zone: Europe/Wien2', 'time_zone: expected the name of a'],
    ['windows that run into each other', 'duration: 8d', 'the next window would begin before'],
  ])('%s', (_, more, message) => {
    const keys = more.startsWith('duration') ? more : `duration: 1h, ${more}`;
    const window = `{schedule: "0 3 * * sun", ${keys}}`;
    expect(errorLines(service(`{address: 10.0.0.1, maintenance: [${window}]}`))[0]).toContain(
      message,
    );
  });

  test('a server that no service has', () => {
    const text = `${service('10.0.0.1')}maintenance: [{server: 10.0.0.9, schedule: "@daily", duration: 1h}]`;
    expect(errorLines(text)[0]).toContain(
      'maintenance[0].server: no service has a server 10.0.0.9',
    );
  });
});

test.each([
  ['"* * * * *", duration: 1m', true],
  ['"0 4 * * *", duration: 22h, drain_before: 2h', true],
  ['"0 4 * * *", duration: 23h', false],
  ['"0 4 * * mon,tue", duration: 24h', false],
  ['"0 4 1 * *", duration: 7d', false],
])('that windows never leave the server in is warned of: %s', (schedule, warned) => {
  const messages: string[] = [];
  const text = service(
    `{address: 10.0.0.1, maintenance: [{schedule: ${schedule}, time_zone: UTC}]}`,
  );
  const read = readConfigText(text, {
    ...{ file: 'x.yaml', director: null, hostname: 'a' },
    onWarning: ({ message }) => messages.push(message),
  });
  expect(read.ok).toBe(true);
  expect(messages).toEqual(warned ? [expect.stringMatching(/the server is never in/)] : []);
});

describe('several windows that together never leave a server in are warned of', () => {
  const window = (keys: string) => `{time_zone: UTC, ${keys}}`;
  const DAY = window('schedule: "0 6 * * *", duration: 12h');
  const NIGHT = window('schedule: "0 18 * * *", duration: 12h');
  const ALMOST = window('schedule: "0 18 * * *", duration: 11h');

  function warnings(text: string): string[] {
    const found: string[] = [];
    const read = readConfigText(text, {
      ...{ file: 'x.yaml', director: null, hostname: 'a' },
      onWarning: ({ path, message }) => found.push(`${path}: ${message}`),
    });
    expect(read.ok).toBe(true);
    return found;
  }

  test.each([
    [DAY, NIGHT, true],
    [NIGHT, DAY, true],
    [DAY, ALMOST, false],
    [DAY.replace('}', ', drain_before: 1h}'), ALMOST, true],
    [DAY.replace('UTC', 'Asia/Tokyo'), NIGHT, false],
    [
      window('schedule: "0 0 * * mon-sat", duration: 1d'),
      window('schedule: "0 0 * * sun", duration: 1d'),
      true,
    ],
    [
      window('schedule: "0 0 * * mon-fri", duration: 1d'),
      window('schedule: "0 0 * * sun", duration: 1d'),
      false,
    ],
    [
      window('schedule: "0 0 1 * *", duration: 20d'),
      window('schedule: "0 0 * * *", duration: 1h'),
      false,
    ],
  ])('%s and %s: %s', (one, other, warned) => {
    const found = warnings(service(`{address: 10.0.0.1, maintenance: [${one}, ${other}]}`));
    const [line = ''] = found;
    expect(found).toHaveLength(warned ? 1 : 0);
    if (!warned) return;
    expect(line).toMatch(/^services\.s\.servers\[0\]: one of its windows \(.* and .*\) always/);
    expect(line).toMatch(/10\.0\.0\.1:80 is never in$/);
  });

  test('wherever they stand, and once for a service', () => {
    const own = `{address: 10.0.0.1, maintenance: [${DAY}]}`;
    expect(warnings(service(own, `, maintenance: [${NIGHT}]`))).toEqual([
      expect.stringMatching(/^services\.s\.servers\[0\]: .*10\.0\.0\.1:80 is never in$/),
    ]);
    expect(warnings(service('10.0.0.1', `, maintenance: [${DAY}, ${NIGHT}]`))).toEqual([
      expect.stringMatching(/^services\.s\.maintenance: .*the service is never in$/),
    ]);
    const placed = `maintenance: [${NIGHT.replace('{', '{server: 10.0.0.1, ')}]\n`;
    expect(warnings(`${service(own)}${placed}`)).toEqual([
      expect.stringMatching(/^services\.s\.servers\[0\]: /),
    ]);
  });

  test('but not if one of them does so alone, which is told already', () => {
    const always = window('schedule: "* * * * *", duration: 1m');
    expect(warnings(service(`{address: 10.0.0.1, maintenance: [${always}, ${DAY}]}`))).toEqual([
      expect.stringMatching(/maintenance\[0\]\.duration: each window begins/),
    ]);
  });
});

test('nothing that is read has an empty field', () => {
  for (const text of [
    '@yearly',
    '@monthly',
    '@weekly',
    '@daily',
    '@hourly',
    '*/5 1,2 L jan-mar *',
  ]) {
    const parsed = parseCron(text);
    if (!parsed.ok) throw new Error(parsed.error);
    expect(Object.values(parsed.value).every((field) => field.length > 0)).toBe(true);
  }
});

/** Quorum, sorry servers, the guard and slow start: what they become, and what is refused. */
import { expect, test } from 'vitest';
import { readConfigText } from '../../../src/config/yaml.ts';
import { configOf, errorLines } from './read.ts';

const SERVICE = 'services: {s: {address: "192.0.2.1:80", servers: [10.0.0.1, 10.0.0.2]';

test('all of it has a place', () => {
  const [service] = configOf(
    `${SERVICE}, quorum: 2, hysteresis: 0, sorry_servers: [10.0.0.9], min_healthy: 50%, slow_start: 30s}}`,
  ).services;
  expect(service).toMatchObject({
    quorum: { weight: 2, hysteresis: 0, below: 'sorry' },
    minHealthyPercent: 50,
    slowStartUs: 30_000_000,
    sorryServers: [{ address: '10.0.0.9', port: 80, weight: 1, check: { kind: 'tcp' } }],
  });
});

test('without sorry servers the healthy ones go on below quorum', () => {
  expect(configOf(`${SERVICE}}}`).services[0]?.quorum.below).toBe('serve');
});

test.each([
  ['a script', 'check: {script: {command: /bin/x, dynamic_weight: true}}, quorum: 506', 506],
  ['a file', 'check: {file: {path: /x}}, quorum: 131000, hysteresis: 70', 131_000],
])('the quorum may be what the checks may ask for, by %s', (_what, text, weight) => {
  expect(configOf(`${SERVICE}, ${text}}}`).services[0]?.quorum).toMatchObject({ weight });
});

test.each([
  [
    'a quorum above all that scripts may ask for',
    'check: {script: {command: /bin/x, dynamic_weight: true}}, quorum: 507',
    'expected at most 506, the most',
  ],
  ['a quorum above all weights', 'quorum: 3', 'quorum: expected at most 2, the most that all'],
  ['a quorum that cannot come back', 'quorum: 2, hysteresis: 1', 'once lost'],
  ['hysteresis as large as the quorum', 'quorum: 1, hysteresis: 1', 'hysteresis: expected less'],
  ['sorry without sorry servers', 'below_quorum: sorry', 'below_quorum: sorry needs sorry_servers'],
  ['a server twice', 'sorry_servers: [10.0.0.2]', '10.0.0.2:80 is servers[1] already'],
  ['a share above all', 'min_healthy: 101%', 'a share from 0% to 100%'],
  ['a share without %', 'min_healthy: 50', 'a share from 0% to 100%'],
  ['a sorry server of the other family', 'sorry_servers: ["2001:db8::1"]', 'expected an ipv4'],
])('%s is refused at its place', (_what, text, message) => {
  const lines = errorLines(`${SERVICE}, ${text}}}`);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^f\.yaml:1:\d+: services\.s\./);
  expect(lines[0]).toContain(message);
});

test.each([
  [
    'sorry servers that are never used',
    'sorry_servers: [10.0.0.9], below_quorum: drop',
    'never used',
  ],
  ['a slow start of weights of 1', 'slow_start: 30s', 'cannot rise'],
])('%s are warned of', (_what, text, message) => {
  expect(warningsOf(`${SERVICE}, ${text}}}`)).toContain(message);
});

test('no servers at all are warned of, and no error', () => {
  const none = SERVICE.replace('[10.0.0.1, 10.0.0.2]', '[]');
  expect(warningsOf(`${none}}}`)).toBe('there are none: its clients reach nobody');
  expect(warningsOf(`${none}, sorry_servers: [10.0.0.9]}}`)).toBe(
    'there are none: its sorry servers have all its clients',
  );
});

test('sorry servers of one family alone, for clients of both, are warned of', () => {
  const both = `services: {s: {address: ["192.0.2.1:80", "[2001:db8::1]:80"],
    servers: [10.0.0.1, "2001:db8::2"], sorry_servers: [10.0.0.9]}}`;
  expect(warningsOf(both)).toContain('none of them serves the ipv6 clients');
  expect(warningsOf(both.replace('10.0.0.9', '10.0.0.9, "2001:db8::9"'))).toBe('');
});

test.each([
  ['different weights', 'rr', '', '{address: 10.0.0.3, weight: 2}', 'different weights do nothing'],
  ['a slow start', 'lc', 'slow_start: 5s', '10.0.0.3', 'slow_start do nothing'],
  [
    'weights of a script',
    'dh',
    'check: {script: {command: /bin/true, dynamic_weight: true}}',
    '10.0.0.3',
    'weights that checks ask for, above 0, do nothing',
  ],
])(
  '%s are warned of where the scheduler does not go by weights',
  (_what, name, more, server, text) => {
    const file = (scheduler: string) =>
      `services: {s: {address: "192.0.2.1:80", scheduler: ${scheduler}, ${more === '' ? '' : `${more}, `}servers: [10.0.0.1, ${server}]}}`;
    expect(warningsOf(file(name))).toContain(`${name} does not go by weights`);
    expect(warningsOf(file(name))).toContain(text);
    expect(warningsOf(file('wrr'))).not.toContain('does not go by weights');
  },
);

test('a weight of 0 is one for every scheduler', () => {
  const zero = SERVICE.replace('10.0.0.2', '{address: 10.0.0.2, weight: 0}');
  expect(warningsOf(`${zero}, scheduler: rr}}`)).toBe('');
});

test('a tracker of a service has a quorum that can be met', () => {
  const file = (quorum: number) => `trackers: {t: {service: s, quorum: ${quorum}}}\n${SERVICE}}}`;
  expect(errorLines(file(2))).toEqual([]);
  expect(errorLines(file(3))).toEqual([
    expect.stringContaining('trackers.t.quorum: expected at most 2, the most that all servers'),
  ]);
});

test('weights that a check asks for may rise slowly', () => {
  const script = 'check: {script: {command: /bin/true, dynamic_weight: true}}';
  expect(warningsOf(`${SERVICE}, slow_start: 30s, ${script}}}`)).not.toContain('cannot rise');
});

function warningsOf(text: string): string {
  const warnings: string[] = [];
  readConfigText(text, {
    file: 'f.yaml',
    director: null,
    hostname: 'h',
    onWarning: (warning) => warnings.push(warning.message),
  });
  return warnings.join('\n');
}

import { expect, test } from 'vitest';
import type { RealServerConfig, ServiceConfig } from '../../../../src/core/config/config.ts';
import { desiredTable } from '../../../../src/core/ipvs/desired.ts';
import {
  CHECK_MARK_BITS,
  checkServices,
  tableServices,
  withCheckMarks,
} from '../../../../src/core/ipvs/through-vip.ts';
import { configOf, errorLines } from '../../config/read.ts';

const BASE = 0x5650_0000;

function services(lines: string): readonly ServiceConfig[] {
  return configOf(`services:\n${lines}`).services;
}

function marks(list: readonly ServiceConfig[]): (number | null)[] {
  return list.flatMap(({ servers }) =>
    servers.map(({ check }) => (check !== null && 'mark' in check ? check.mark : null)),
  );
}

const DIRECT = (name: string, port: number, servers: string) =>
  `  ${name}: {address: "192.0.2.1:${port}", forwarding: dr, check: {tcp: {}, through_vip: true}, servers: [${servers}]}\n`;

test('through_vip: the check asks the virtual IP, with a mark of the server', () => {
  const [web] = services(DIRECT('web', 80, '10.0.0.1, 10.0.0.2'));
  const [first, second] = (web?.servers ?? []) as [RealServerConfig, RealServerConfig];
  expect(first.check).toMatchObject({ address: '192.0.2.1', port: 80, via: '10.0.0.1' });
  expect(second.check).toMatchObject({ address: '192.0.2.1', port: 80, via: '10.0.0.2' });
  const [one, two] = marks([web as ServiceConfig]) as [number, number];
  expect(one).not.toBe(two);
  for (const mark of [one, two]) {
    expect(mark).toBeGreaterThan(BASE);
    expect(mark).toBeLessThan(BASE + 2 ** CHECK_MARK_BITS);
  }
});

test('through_vip: one mark for each way to a server, whatever service and port', () => {
  const list = services(
    DIRECT('web', 80, '10.0.0.1') +
      DIRECT('tls', 443, '10.0.0.1') +
      '  tun: {address: "192.0.2.1:81", forwarding: tun, check: {tcp: {}, through_vip: true}, servers: [10.0.0.1]}\n',
  );
  const [web, tls, tun] = marks(list);
  expect(web).toBe(tls);
  expect(tun).not.toBe(web);
  expect(checkServices(list)).toHaveLength(2);
});

test('through_vip: marks do not depend on what else is configured', () => {
  const alone = marks(services(DIRECT('web', 80, '10.0.0.7')));
  const among = services(
    DIRECT('a', 70, '10.0.0.5, 10.0.0.6') + DIRECT('web', 80, '10.0.0.7, 10.0.0.8'),
  );
  expect(marks(among)[2]).toBe(alone[0]);
});

test('withCheckMarks: two servers never share a mark, however many there are', () => {
  const addresses = Array.from(
    { length: 3_000 },
    (_, index) => `10.0.${Math.floor(index / 250)}.${1 + (index % 250)}`,
  );
  const [sample] = services(DIRECT('web', 80, '10.0.0.1'));
  const server = sample?.servers[0] as RealServerConfig;
  const servers = addresses.map((address) => ({ ...server, address }));
  const [marked] = withCheckMarks([{ ...(sample as ServiceConfig), servers }], BASE);
  expect(new Set(marks([marked as ServiceConfig])).size).toBe(3_000);
});

test('withCheckMarks: services without such a check stay the same objects', () => {
  const list = services('  web: {address: "192.0.2.1:80", servers: [10.0.0.1]}\n');
  expect(withCheckMarks(list, BASE)).toBe(list);
  expect(tableServices(list)).toBe(list);
});

test('checkServices: the table carries a mark to its one server as clients are carried', () => {
  const list = services(
    '  six: {address: "192.0.2.1:80", forwarding: tun, tunnel: {gue: {port: 6080}}, check: {tcp: {}, through_vip: true}, servers: [{address: 10.0.0.1, weight: 0, upper_threshold: 5}]}\n',
  );
  const [mark] = marks(list);
  const carrier = desiredTable(tableServices(list), () => 1).find(
    ({ service }) => service.identity.kind === 'fwmark',
  );
  expect(carrier?.service.identity).toEqual({ kind: 'fwmark', mark, family: 'ipv4' });
  expect(carrier?.servers).toEqual([
    {
      address: '10.0.0.1',
      port: 0,
      forwarding: 'tun',
      weight: 1,
      upperThreshold: 0,
      lowerThreshold: 0,
      tunnel: { kind: 'gue', port: 6080, checksum: 'none' },
    },
  ]);
});

test.each([
  [
    '{address: "192.0.2.1:80", check: {tcp: {}, through_vip: true}, servers: [10.0.0.1]}',
    /check\.through_vip needs forwarding dr or tun/,
  ],
  [
    '{fwmark: 5, forwarding: dr, check: {tcp: {}, port: 80, through_vip: true}, servers: [10.0.0.1]}',
    /needs a service with an address/,
  ],
  [
    '{address: "192.0.2.1:80", forwarding: dr, check: {tcp: {}, mark: 3, through_vip: true}, servers: [10.0.0.1]}',
    /check\.through_vip and check\.mark contradict each other/,
  ],
  [
    '{address: "192.0.2.1:80", forwarding: dr, check: {script: {command: /bin/true}, through_vip: true}, servers: [10.0.0.1]}',
    /a check by script has no through_vip/,
  ],
  [
    '{address: "192.0.2.1:80", forwarding: dr, check: {ping: {}, through_vip: true}, servers: [10.0.0.1]}',
    /check\.through_vip is not for ping: IPVS carries TCP, UDP and SCTP/,
  ],
  [
    '{address: "192.0.2.1:80", forwarding: tun, check: {tcp: {}, through_vip: true}, servers: ["2001:db8::1"]}',
    /needs check\.bind here/,
  ],
])('through_vip is refused where no client goes that way: %s', (service, message) => {
  const lines = errorLines(`services:\n  web: ${service}\n`);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(message);
});

test('check_mark_base is a multiple of the number of marks', () => {
  const file = (base: number) =>
    `ipvs: {check_mark_base: ${base}}\nservices: {s: {address: "192.0.2.1:80", servers: [10.0.0.1]}}`;
  expect(errorLines(file(1_000))[0]).toMatch(/expected a multiple of 1048576/);
  expect(configOf(file(0)).ipvs.checkMarkBase).toBe(0);
});

test('marks of others are not among those of checks, where there are any', () => {
  const file = (mark: number, throughVip: boolean) =>
    `services:\n  web: {address: "192.0.2.1:80", forwarding: dr, check: {tcp: {}, through_vip: ${throughVip}}, servers: [10.0.0.1]}\n` +
    `  marked: {fwmark: ${mark}, check: none, servers: [10.0.0.1]}\n` +
    `  asked: {address: "192.0.2.1:81", check: {tcp: {}, mark: ${mark}}, servers: [10.0.0.1]}\n`;
  const last = BASE + 2 ** CHECK_MARK_BITS - 1;
  for (const mark of [BASE, last]) {
    const lines = errorLines(file(mark, true)).map((line) => line.replace(/^[^ ]* /, ''));
    expect(lines).toEqual([
      expect.stringMatching(/^services\.marked\.fwmark: it is among the marks from 14480/),
      expect.stringMatching(/^services\.asked\.check\.mark: .* another ipvs\.check_mark_base$/),
    ]);
  }
  for (const mark of [BASE - 1, last + 1]) expect(errorLines(file(mark, true))).toEqual([]);
  expect(errorLines(file(BASE, false))).toEqual([]);
});

/** `ipvs.timeouts` and `ipvs.settings`: what they become, what is refused, and their guide. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { IPVS_SETTING_NAMES, sameSetting } from '../../../src/core/config/ipvs-settings.ts';
import { configOf, errorLines, REPOSITORY } from './read.ts';

test('values become the text that the kernel takes', () => {
  const { ipvs } = configOf(`services: {}
ipvs:
  timeouts: {tcp: 10m, udp: {dir-a: 30s, dir-b: 1m}}
  settings:
    expire_nodest_conn: true
    snat_reroute: false
    conn_reuse_mode: 2
    sync_threshold: [0, 10]
    sync_refresh_period: 10s
    sync_ports: 4
    est_cpulist: 0-1,3
    est_nice: -5`);
  expect(ipvs.timeouts).toEqual({ tcpSeconds: 600, tcpFinSeconds: null, udpSeconds: 30 });
  expect(ipvs.settings).toEqual({
    expire_nodest_conn: '1',
    snat_reroute: '0',
    conn_reuse_mode: '2',
    sync_threshold: '0 10',
    sync_refresh_period: '10',
    sync_ports: '4',
    est_cpulist: '0-1,3',
    est_nice: '-5',
  });
});

test('without them the kernel keeps its own', () => {
  const { ipvs } = configOf('{services: {}, ipvs: {on_stop: keep}}');
  expect(ipvs.settings).toEqual({});
  expect(Object.values(ipvs.timeouts)).toEqual([null, null, null]);
});

test.each([
  ['settings: {drop_entry: 4}', 'expected a whole number from 0 to 3'],
  ['settings: {expire_nodest_conn: 1}', 'expected true or false'],
  ['settings: {sync_threshold: [50, 3]}', 'expected a threshold below the period'],
  ['settings: {sync_threshold: [3]}', 'expected two whole numbers'],
  ['settings: {sync_ports: 3}', 'expected 1, 2, 4, 8, 16, 32 or 64'],
  ['settings: {sync_refresh_period: 1500ms}', 'expected whole seconds'],
  ['settings: {est_cpulist: 3-1}', 'expected processors'],
  ['settings: {expire_nodest_con: true}', 'unknown'],
  ['timeouts: {tcp: 0s}', 'expected whole seconds from 1s to 24d'],
  ['timeouts: {udp: 25d}', 'expected whole seconds from 1s to 24d'],
])('%s is refused at its place', (text, message) => {
  const lines = errorLines(`ipvs: {${text}}`);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^f\.yaml:1:\d+: ipvs\.(settings|timeouts)/);
  expect(lines[0]).toContain(message);
});

test('nat_icmp_send is refused with checks of servers behind NAT, whose answers it drops', () => {
  const text = (options: string) => `ipvs: {settings: {nat_icmp_send: true}}
services: {web: {address: "192.0.2.1:80", ${options}, servers: [10.0.0.1]}}`;
  const [line] = errorLines(text('check: tcp'));
  expect(line).toContain('ipvs.settings.nat_icmp_send: the kernel then drops');
  expect(errorLines(text('check: none'))).toEqual([]);
  expect(errorLines(text('check: tcp, forwarding: dr'))).toEqual([]);
});

test.each([
  ['sync_threshold', '3\t50', '3 50', true],
  ['drop_packet', '2', '1', true],
  ['drop_packet', '3', '1', false],
  ['conn_reuse_mode', '2', '1', false],
  ['est_cpulist', '0-2', '2,0,1', true],
  ['est_cpulist', '0-2', '0-3', false],
])('sameSetting: %s %j and %j', (name, is, wanted, same) => {
  expect(sameSetting(name, is, wanted)).toBe(same);
});

test('the guide says of every setting why one wants it', () => {
  const guide = readFileSync(new URL('docs/guides/ipvs-settings.md', REPOSITORY), 'utf8');
  const told = new Set([...guide.matchAll(/^\| `(\w+)` \| [A-Z0-9]/gm)].map(([, name]) => name));
  const names = [...IPVS_SETTING_NAMES, 'tcp', 'tcp_fin', 'udp'];
  expect(names.filter((name) => !told.has(name))).toEqual([]);
});

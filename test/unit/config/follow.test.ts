/** `follow`, `only_on_active` and `check_when`: what they become, and what is refused. */
import { expect, test } from 'vitest';
import { readConfigText } from '../../../src/config/yaml.ts';
import { configOf, errorLines } from './read.ts';

const VRRP = `  vips: {interface: eth0, vrid: 1, addresses: [192.0.2.1/24]}
  others: {interface: eth0, vrid: 2, addresses: [192.0.2.2/24]}
`;

function text(service: string, more = ''): string {
  return `vrrp:\n${VRRP}services: {s: {${service}, servers: ["10.0.0.1:80"]}}\n${more}`;
}

function serviceOf(service: string, more = '') {
  const [found] = configOf(text(service, more)).services;
  return found === undefined ? [] : [found.entries[0]?.follow, found.onlyOnActive, found.checkWhen];
}

test('a service goes with the instance that carries its address', () => {
  expect(serviceOf('address: "192.0.2.2:80"')).toEqual(['others', false, 'always']);
  const service = 'address: "192.0.2.2:80", only_on_active: true';
  expect(serviceOf(service)).toEqual(['others', true, 'always']);
});

test('or with the one that it names, as a firewall mark must', () => {
  const service = 'fwmark: 5, follow: vips, check_when: active';
  expect(serviceOf(service)).toEqual(['vips', false, 'active']);
});

test('ipvs.only_on_active is for the services that do not say', () => {
  const all = 'ipvs: {only_on_active: true}';
  expect(serviceOf('address: "192.0.2.1:80"', all)).toEqual(['vips', true, 'always']);
  const service = 'address: "192.0.2.1:80", only_on_active: false';
  expect(serviceOf(service, all)).toEqual(['vips', false, 'always']);
});

test.each([
  ['an unknown instance', 'address: "192.0.2.1:80", follow: vip', '', 'follow: expected a VRRP'],
  [
    'a mark that goes with nobody',
    'fwmark: 5, only_on_active: true',
    '',
    'only_on_active needs follow',
  ],
  [
    'an address that nobody carries, with the option for all',
    'address: "192.0.2.9:80"',
    'ipvs: {only_on_active: true}',
    'only_on_active needs follow',
  ],
  [
    'a tracker of a service that is checked on the active only',
    'address: "192.0.2.1:80", check_when: active',
    'trackers: {t: {service: s}}',
    'trackers.t.service: services.s is checked only while it is active here',
  ],
])('%s is refused', (_what, service, more, message) => {
  const lines = errorLines(text(service, more));
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(message);
});

test.each([
  ['follow without a use', 'follow: vips', 'follow does nothing'],
  ['both options together', 'only_on_active: true, check_when: active', 'no server serves'],
])('%s is warned of', (_what, options, message) => {
  const warnings: string[] = [];
  readConfigText(text(`address: "192.0.2.1:80", ${options}`), {
    file: 'f.yaml',
    director: null,
    hostname: 'h',
    onWarning: (warning) => warnings.push(warning.message),
  });
  expect(warnings.join('\n')).toContain(message);
});

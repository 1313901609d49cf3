/** Which services go with which instance. */
import { expect, test } from 'vitest';
import { followersOf } from '../../../src/controller/followers.ts';
import { configOf } from '../config/read.ts';

const { services } = configOf(`vrrp:
  one: {interface: eth0, vrid: 1, addresses: [192.0.2.1/24]}
  two: {interface: eth0, vrid: 2, addresses: [192.0.2.2/24]}
services:
  always: {address: "192.0.2.1:80", check: none, servers: ["10.0.0.1:80"]}
  here: {address: "192.0.2.1:81", only_on_active: true, check: none, servers: ["10.0.0.1:80"]}
  seen: {address: "192.0.2.2:82", check_when: active, check: {tcp: {}}, servers: ["10.0.0.1:80"]}
  both:
    address: ["192.0.2.1:83", "192.0.2.2:83", "192.0.2.2:84"]
    only_on_active: true
    check: none
    servers: ["10.0.0.1:80"]`);

test('those that change with it are known by the names of their instances, each once', async () => {
  expect(await followersOf(services)).toEqual(
    new Map([
      ['one', { onlyOnActive: ['here', 'both'], checked: false }],
      ['two', { onlyOnActive: ['both'], checked: true }],
    ]),
  );
});

test('an instance that nothing changes with is not there', async () => {
  const always = services.filter(({ name }) => name === 'always');
  expect(await followersOf(always)).toEqual(new Map());
});

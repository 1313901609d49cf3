/** The virtual link of an instance: `vmac` and `ipvlan`, their defaults and their errors. */
import { describe, expect, test } from 'vitest';
import { configOf, errorLines } from './read.ts';

function instance(options: string, name = 'w'): string {
  return `${name}: {interface: eth0, addresses: [192.0.2.1/24], ${options}}`;
}

function only(options: string) {
  return configOf(`vrrp: {${instance(options)}}`).vrrp[0];
}

function errors(...instances: string[]): string[] {
  return errorLines(`vrrp:\n${instances.map((text) => `  ${text}\n`).join('')}`);
}

describe('vmac', () => {
  test('is off unless configured, and with false', () => {
    expect(only('vrid: 51')?.virtualLink).toBeNull();
    const off = only('vrid: 51, vmac: false');
    expect(off?.virtualLink).toBeNull();
    expect(off?.addresses[0]?.interface).toBe('eth0');
  });

  test('true is the address and name of the standard, and the VIPs are on the link', () => {
    const found = only('vrid: 51, vmac: true');
    expect(found?.virtualLink).toEqual({
      kind: 'macvlan',
      name: 'vrrp.51',
      mac: '00:00:5e:00:01:33',
      xmitBase: false,
      group: null,
    });
    expect(found?.addresses[0]?.interface).toBe('vrrp.51');
    expect(found?.interface).toBe('eth0');
  });

  test('of an IPv6 instance has the prefix and name of IPv6', () => {
    const text =
      'vrrp: {w: {interface: eth0, vrid: 255, addresses: ["2001:db8::1/64"], vmac: true}}';
    expect(configOf(text).vrrp[0]?.virtualLink).toMatchObject({
      name: 'vrrp6.255',
      mac: '00:00:5e:00:02:ff',
    });
  });

  test('takes name, address, xmit_base and group', () => {
    const vmac = '{name: front, mac: 02-00-5E-00-00-01, xmit_base: true, group: 7}';
    expect(only(`vrid: 51, vmac: ${vmac}`)?.virtualLink).toEqual({
      kind: 'macvlan',
      name: 'front',
      mac: '02:00:5e:00:00:01',
      xmitBase: true,
      group: 7,
    });
  });

  test('leaves a VIP on the interface that it names', () => {
    const text = `vrrp: {w: {interface: eth0, vrid: 1, vmac: true, addresses: [
      192.0.2.1/24, {address: 198.51.100.1/24, interface: eth1}]}}`;
    expect(configOf(text).vrrp[0]?.addresses.map((vip) => vip.interface)).toEqual([
      'vrrp.1',
      'eth1',
    ]);
  });

  test.each([
    ['{name: 0123456789abcdef}', 'expected a name for a network interface, at most 15 characters'],
    ['{mac: 00:00:5e:00:01}', 'expected a hardware address, such as 00:00:5e:00:01:33'],
    ['{mac: "00:00-5e:00-01:33"}', 'expected a hardware address, such as 00:00:5e:00:01:33'],
    ['{mac: "01:00:5e:00:01:33"}', 'expected the hardware address of a host'],
    ['{mac: "00:00:00:00:00:00"}', 'expected the hardware address of a host'],
    ['{group: -1}', 'expected a whole number from 0 to 2147483647'],
    ['yes please', 'expected true or false'],
  ])('%s is an error: %s', (vmac, message) => {
    const found = errors(instance(`vrid: 51, vmac: ${vmac}`));
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(message);
  });

  test('links of two interfaces with one VRID need names', () => {
    const other = 'x: {interface: eth1, vrid: 51, vmac: true, addresses: [198.51.100.1/24]}';
    expect(errors(instance('vrid: 51, vmac: true'), other)).toEqual([
      'f.yaml:3:40: vrrp.x.vmac: the link name vrrp.51 is taken by vrrp.w, expected another `name`',
    ]);
  });

  test('two links on one interface need two hardware addresses', () => {
    const other =
      'x: {interface: eth0, vrid: 52, vmac: {mac: "00:00:5e:00:01:33"}, addresses: [192.0.2.2/24]}';
    expect(errors(instance('vrid: 51, vmac: true'), other)).toEqual([
      'f.yaml:3:40: vrrp.x.vmac: 00:00:5e:00:01:33 is taken on eth0 by vrrp.w',
    ]);
  });

  test('a link cannot have the name of an interface', () => {
    expect(errors(instance('vrid: 51, vmac: {name: eth0}'))).toEqual([
      'f.yaml:2:67: vrrp.w.vmac: the link name eth0 is that of an interface',
    ]);
  });
});

describe('ipvlan', () => {
  test('has bridge mode and the name of the instance by default', () => {
    const found = only('vrid: 51, ipvlan: {}');
    expect(found?.virtualLink).toEqual({
      kind: 'ipvlan',
      name: 'vrrp.51',
      mode: 'bridge',
      group: null,
    });
    expect(found?.addresses[0]?.interface).toBe('vrrp.51');
  });

  test('excludes vmac, on the instance and on the interface', () => {
    expect(errors(instance('vrid: 51, vmac: true, ipvlan: {}'))).toEqual([
      'f.yaml:2:81: vrrp.w.ipvlan: an instance has a vmac or an ipvlan, not both',
    ]);
    const other = 'x: {interface: eth0, vrid: 52, ipvlan: {}, addresses: [192.0.2.2/24]}';
    expect(errors(instance('vrid: 51, vmac: true'), other)).toEqual([
      'f.yaml:3:42: vrrp.x.ipvlan: eth0 bears the macvlan of vrrp.w, and only one kind fits',
    ]);
  });
});

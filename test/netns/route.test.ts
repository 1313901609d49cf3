/**
 * Links and addresses against the running kernel, in a network namespace of this test's own, and
 * compared with what iproute2 says of the same namespace. Needs root.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { inNetworkNamespace } from '../../src/linux/namespace.ts';
import { AttributeWriter } from '../../src/linux/netlink/attributes.ts';
import { NETLINK_GENERIC, resolveFamily } from '../../src/linux/netlink/genl.ts';
import {
  NETLINK_ROUTE,
  RouteMonitor,
  type RouteMonitorCallbacks,
  RouteSocket,
} from '../../src/linux/netlink/route.ts';
import {
  type AddressChange,
  addressProtocolKept,
  decodeAddress,
  encodeAddressDump,
  IFA_F_DEPRECATED,
  IFA_F_NODAD,
  IFA_F_TENTATIVE,
  type InterfaceAddress,
  RTM_GETADDR,
} from '../../src/linux/netlink/route-messages.ts';
import { NetlinkSocket } from '../../src/linux/netlink/socket.ts';
import { chooseSourceAddress } from '../../src/linux/netlink/source-address.ts';
import { waitFor } from '../lab/host.ts';

const NAMESPACE = `vk-route-${process.pid}`;
const OUR_PROTOCOL = 112;
const BURST = 2_000;

function ip(...args: string[]): string {
  return execFileSync('ip', ['-n', NAMESPACE, ...args], { encoding: 'utf8' });
}

function value<T>(result: { ok: true; value: T } | { ok: false; error: unknown }): T {
  if (!result.ok) throw new Error(JSON.stringify(result.error));
  return result.value;
}

const inside = <T>(open: () => T): T => inNetworkNamespace(`/run/netns/${NAMESPACE}`, open);

let route: RouteSocket;
let veth = 0;

beforeAll(async () => {
  execFileSync('ip', ['netns', 'add', NAMESPACE]);
  ip('link', 'set', 'lo', 'up');
  ip('link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth1');
  ip('link', 'set', 'veth0', 'up');
  ip('link', 'set', 'veth1', 'up');
  route = value(inside(() => RouteSocket.open()));
  veth = value(route.listLinks()).find(({ name }) => name === 'veth0')?.index ?? 0;
  expect(veth).toBeGreaterThan(0);
  // The kernel notes a carrier in its own time; until then two listings may differ.
  await waitFor('carrier on both links', async () => {
    const pair = value(route.listLinks()).filter(({ name }) => name.startsWith('veth'));
    return pair.every(({ running }) => running);
  });
});

afterEach(() => {
  ip('addr', 'flush', 'dev', 'veth0', 'scope', 'global');
});

afterAll(() => {
  route?.close();
  execFileSync('ip', ['netns', 'del', NAMESPACE]);
});

interface IpAddress {
  readonly family: 'inet' | 'inet6';
  readonly local: string;
  readonly prefixlen: number;
  readonly scope: string;
  readonly deprecated?: boolean;
  readonly preferred_life_time: number;
}

interface IpLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: string[];
  readonly mtu: number;
  readonly address: string;
  readonly addr_info: IpAddress[];
}

const ipAddresses = (): string[] =>
  (JSON.parse(ip('-j', 'addr')) as IpLink[]).flatMap(({ ifindex, addr_info }) =>
    addr_info.map(({ local, prefixlen, scope }) => `${ifindex} ${local}/${prefixlen} ${scope}`),
  );

const SCOPES = new Map([
  [0, 'global'],
  [253, 'link'],
  [254, 'host'],
]);

const ourAddresses = (): string[] =>
  value(route.listAddresses()).map(
    ({ interfaceIndex, address, prefixLength, scope }) =>
      `${interfaceIndex} ${address}/${prefixLength} ${SCOPES.get(scope)}`,
  );

function burst(kind: 'add' | 'delete'): AddressChange[] {
  return Array.from({ length: BURST }, (_, index) => ({
    kind,
    interfaceIndex: veth,
    address: `10.9.${index >> 8}.${index & 0xff}`,
    prefixLength: 32,
    protocol: OUR_PROTOCOL,
  }));
}

const vip = () => ({ interfaceIndex: veth, address: '192.0.2.10', prefixLength: 24 });
const vip6 = () => ({ interfaceIndex: veth, address: '2001:db8::10', prefixLength: 128 });

describe('RouteSocket', () => {
  it('lists the links that ip lists', () => {
    const links = value(route.listLinks()).map((link) => ({
      ifindex: link.index,
      ifname: link.name,
      mtu: link.mtu,
      address: [...link.address].map((byte) => byte.toString(16).padStart(2, '0')).join(':'),
      up: link.up,
      lower: link.running,
      loopback: link.loopback,
    }));
    const expected = (JSON.parse(ip('-j', 'link')) as IpLink[]).map((link) => ({
      ifindex: link.ifindex,
      ifname: link.ifname,
      mtu: link.mtu,
      address: link.address,
      up: link.flags.includes('UP'),
      lower: link.flags.includes('LOWER_UP'),
      loopback: link.flags.includes('LOOPBACK'),
    }));
    expect(links).toEqual(expected);
    expect(links.length).toBeGreaterThanOrEqual(3);
  });

  it('lists the addresses that ip lists', () => {
    ip('addr', 'add', '192.0.2.1/24', 'dev', 'veth0');
    ip('addr', 'add', '2001:db8::1/64', 'dev', 'veth0', 'nodad');
    expect(ourAddresses().sort()).toEqual(ipAddresses().sort());
    expect(ourAddresses()).toContain(`${veth} 192.0.2.1/24 global`);
    expect(ourAddresses()).toContain(`${veth} 2001:db8::1/64 global`);
  });

  it('adds and deletes an IPv4 VIP', () => {
    value(route.addAddress({ ...vip(), protocol: OUR_PROTOCOL }));
    expect(ipAddresses()).toContain(`${veth} 192.0.2.10/24 global`);
    value(route.deleteAddress(vip()));
    expect(ipAddresses()).not.toContain(`${veth} 192.0.2.10/24 global`);
  });

  it('answers EEXIST for a VIP that is there and EADDRNOTAVAIL for one that is not', () => {
    value(route.addAddress(vip()));
    expect(route.addAddress(vip())).toMatchObject({
      ok: false,
      error: { errno: 17, code: 'EEXIST', call: 'RTM_NEWADDR' },
    });
    value(route.deleteAddress(vip()));
    expect(route.deleteAddress(vip())).toMatchObject({
      ok: false,
      error: { code: 'EADDRNOTAVAIL', call: 'RTM_DELADDR' },
    });
  });

  it('passes on the kernel’s own words about what is wrong', () => {
    const lost = route.addAddress({ ...vip(), interfaceIndex: 999_999 });
    expect(lost).toMatchObject({ ok: false, error: { code: 'ENODEV' } });
    const invalid = route.addAddress({ ...vip6(), address: 'ff02::1' });
    if (invalid.ok) throw new Error('the kernel took a multicast address');
    expect(invalid.error.message).toMatch(/address/i);
  });

  it('adds an IPv6 /128 VIP that is usable at once but never a source address', () => {
    value(route.addAddress({ ...vip6(), noDad: true, protocol: OUR_PROTOCOL }));
    const added = value(route.listAddresses()).find(({ address }) => address === '2001:db8::10');
    expect(added).toBeDefined();
    const flags = added?.flags ?? 0;
    expect(flags & (IFA_F_TENTATIVE | IFA_F_DEPRECATED | IFA_F_NODAD)).toBe(
      IFA_F_DEPRECATED | IFA_F_NODAD,
    );
    const shown = (JSON.parse(ip('-j', 'addr', 'show', 'dev', 'veth0')) as IpLink[])
      .flatMap(({ addr_info }) => addr_info)
      .find(({ local }) => local === '2001:db8::10');
    expect(shown).toMatchObject({ deprecated: true, preferred_life_time: 0 });
    value(route.deleteAddress(vip6()));
    expect(ourAddresses().join()).not.toContain('2001:db8::10');
  });

  it('shows whether the kernel kept the tag', () => {
    value(route.addAddress({ ...vip(), protocol: OUR_PROTOCOL }));
    const listed = value(route.listAddresses());
    const added = { interfaceIndex: veth, address: '192.0.2.10', protocol: OUR_PROTOCOL };
    const [major = 0, minor = 0] = execFileSync('uname', ['-r'], { encoding: 'utf8' })
      .split('.')
      .map(Number);
    expect(addressProtocolKept(listed, added)).toBe(major > 5 || (major === 5 && minor >= 18));
  });

  it('makes 2,000 changes in one batch and reports on each', () => {
    expect(route.changeAddresses(burst('add')).filter(({ ok }) => !ok)).toEqual([]);
    expect(ipAddresses().filter((line) => line.includes(' 10.9.'))).toHaveLength(BURST);
    expect(ourAddresses().sort()).toEqual(ipAddresses().sort());
    const [first, ...rest] = burst('delete');
    const removed = route.changeAddresses([...rest, rest[0] as AddressChange]);
    expect(removed.map(({ ok }) => ok)).toEqual([...rest.map(() => true), false]);
    expect(ourAddresses().filter((line) => line.includes(' 10.9.'))).toEqual([
      `${veth} ${first?.address}/32 global`,
    ]);
  });

  it('chooses a source address that the kernel knows, and no VIP', () => {
    value(route.addAddress(vip()));
    ip('addr', 'add', '192.0.2.1/24', 'dev', 'veth0');
    const exclude = new Set(['192.0.2.10']);
    const addresses = value(route.listAddresses());
    expect(chooseSourceAddress(addresses, veth, 'ipv4', exclude)).toBe('192.0.2.1');
  });
});

describe('NetlinkSocket.dump', () => {
  it('reads a long table asynchronously as it is read synchronously', async () => {
    value(route.changeAddresses(burst('add'))[0] ?? { ok: false, error: 'none' });
    const socket = value(inside(() => NetlinkSocket.open(NETLINK_ROUTE)));
    const payload = encodeAddressDump(new AttributeWriter());
    const request = { type: RTM_GETADDR, flags: 0, payload, call: 'RTM_GETADDR' };
    const dumped = await socket.dump<InterfaceAddress>(request, (message, records) => {
      const address = decodeAddress(message);
      if (address !== null && address !== 'other-family') records.push(address);
      return address !== null;
    });
    expect(value(dumped)).toEqual(value(route.listAddresses()));
    expect(value(dumped).length).toBeGreaterThan(BURST);
    socket.close();
  });
});

describe('resolveFamily', () => {
  it('knows the controller by its fixed number and says ENOENT of a family that is none', () => {
    const socket = value(NetlinkSocket.open(NETLINK_GENERIC));
    expect(value(resolveFamily(socket, 'nlctrl'))).toEqual({ id: 16 });
    expect(resolveFamily(socket, 'vk-none')).toMatchObject({
      ok: false,
      error: { code: 'ENOENT' },
    });
    socket.close();
  });
});

describe('RouteMonitor', () => {
  let monitor: RouteMonitor | null = null;
  let events: string[] = [];
  const callbacks: RouteMonitorCallbacks = {
    linkChanged: (link) => events.push(`link ${link.name} ${link.up ? 'up' : 'down'}`),
    linkRemoved: (_index, name) => events.push(`link ${name} removed`),
    addressAdded: ({ address }, byPid) => events.push(`added ${address} by ${byPid}`),
    addressRemoved: ({ address }, byPid) => events.push(`removed ${address} by ${byPid}`),
    overrun: () => events.push('overrun'),
  };

  function monitoring(
    options: { receiveBufferBytes?: number; addingPortId?: number } = {},
  ): RouteMonitor {
    events = [];
    monitor = value(inside(() => RouteMonitor.open(callbacks, options)));
    return monitor;
  }

  const seen = (event: string) =>
    vi.waitFor(() => expect(events).toContain(event), { timeout: 3_000, interval: 5 });

  afterEach(() => {
    monitor?.close();
    monitor = null;
  });

  it('tells of an address that we added and of another program that removed it', async () => {
    monitoring();
    value(route.addAddress(vip()));
    await seen(`added 192.0.2.10 by ${route.portId}`);
    const args = ['-n', NAMESPACE, 'addr', 'del', '192.0.2.10/24', 'dev', 'veth0'];
    const { pid, status } = spawnSync('ip', args);
    expect(status).toBe(0);
    await seen(`removed 192.0.2.10 by ${pid}`);
  });

  it('says nothing of IPv4 addresses that the given socket adds, and all of others', async () => {
    monitoring({ addingPortId: route.portId });
    value(route.addAddress(vip()));
    value(route.addAddress({ ...vip6(), noDad: true }));
    ip('addr', 'add', '192.0.2.11/32', 'dev', 'veth0');
    value(route.deleteAddress(vip()));
    await seen(`removed 192.0.2.10 by ${route.portId}`);
    expect(events.map((event) => event.replace(/ by .*/, ''))).toEqual([
      'added 2001:db8::10',
      'added 192.0.2.11',
      'removed 192.0.2.10',
    ]);
  });

  it('tells of IPv6 addresses, for which the kernel names no cause', async () => {
    monitoring();
    value(route.addAddress({ ...vip6(), noDad: true }));
    await seen('added 2001:db8::10 by null');
    value(route.deleteAddress(vip6()));
    await seen('removed 2001:db8::10 by null');
  });

  it('tells of a link that goes down and up, comes and goes', async () => {
    monitoring();
    ip('link', 'set', 'veth0', 'down');
    await seen('link veth0 down');
    ip('link', 'set', 'veth0', 'up');
    await seen('link veth0 up');
    ip('link', 'add', 'extra0', 'type', 'veth', 'peer', 'name', 'extra1');
    await seen('link extra0 down');
    ip('link', 'del', 'extra0');
    await seen('link extra0 removed');
  });

  it('does not take the loss of a bridge port for the loss of the link', async () => {
    ip('link', 'add', 'br0', 'type', 'bridge');
    ip('link', 'set', 'veth1', 'master', 'br0');
    monitoring();
    ip('link', 'set', 'veth1', 'nomaster');
    ip('link', 'del', 'br0');
    await seen('link br0 removed');
    expect(events).not.toContain('link veth1 removed');
  });

  it('asks for a listing when notifications were lost, once it has read the others', async () => {
    const tiny = monitoring({ receiveBufferBytes: 4_096 });
    expect(route.changeAddresses(burst('add')).filter(({ ok }) => !ok)).toEqual([]);
    await seen('overrun');
    expect(events.filter((event) => event.startsWith('added')).length).toBeLessThan(BURST);
    expect(events.at(-1)).toBe('overrun');
    expect(tiny.statistics.overruns).toBe(1);
    expect(value(route.listAddresses()).length).toBeGreaterThan(BURST);
    value(route.addAddress(vip()));
    await seen(`added 192.0.2.10 by ${route.portId}`);
  });

  it('tells within readNow what the kernel has done until then', () => {
    const reader = monitoring();
    value(route.addAddress(vip()));
    expect(events).toEqual([]);
    reader.readNow();
    expect(events).toEqual([`added 192.0.2.10 by ${route.portId}`]);
    reader.readNow();
    expect(events).toHaveLength(1);
  });

  it('tells nothing after close', async () => {
    const closed = monitoring();
    value(route.addAddress(vip()));
    closed.close();
    const other = value(inside(() => RouteMonitor.open(callbacks)));
    value(route.deleteAddress(vip()));
    await seen(`removed 192.0.2.10 by ${route.portId}`);
    other.close();
    expect(events).toEqual([`removed 192.0.2.10 by ${route.portId}`]);
  });
});

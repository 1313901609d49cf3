/**
 * The virtual link of one instance: a macvlan with the virtual router's hardware address, or an
 * ipvlan, on top of the instance's interface. It bears the VIPs.
 *
 * Invariants: the link is up only while the instance is active, so that a backup neither answers
 * for the virtual hardware address nor takes what is sent to it (RFC 9568 section 6.4.2); it has
 * no address but the VIPs; without one of IPv6 it has no IPv6, and says nothing in it; a link that
 * does not bear our mark is never touched.
 */
import type { VirtualLinkConfig } from '../core/config/config.ts';
import type { Problem } from '../core/problem.ts';
import { formatMac, parseMac } from '../core/wire/ethernet.ts';
import type { NetlinkError } from '../linux/netlink/error.ts';
import type { NewLink } from '../linux/netlink/link-messages.ts';
import type { Link } from '../linux/netlink/route-messages.ts';
import {
  readInterfaceSetting,
  type SettingFamily,
  writeInterfaceSetting,
} from '../linux/sysctl.ts';
import type { BaseSettings } from './base-settings.ts';
import { isOurLink, LINK_MARK } from './link-mark.ts';
import type { Network } from './network.ts';

/**
 * Settings of the link itself, before it first comes up. rp_filter 2: packets to a VIP come in
 * here while the route back may go by the interface below. addr_gen_mode 1: no link-local address
 * of its own, since neighbours would learn it from a hardware address that moves.
 */
const SETTINGS: readonly (readonly [family: SettingFamily, key: string, value: string])[] = [
  ['ipv4', 'arp_ignore', '1'],
  ['ipv4', 'arp_announce', '2'],
  ['ipv4', 'arp_filter', '0'],
  ['ipv4', 'rp_filter', '2'],
  ['ipv4', 'promote_secondaries', '1'],
  ['ipv6', 'addr_gen_mode', '1'],
  ['ipv6', 'accept_ra', '0'],
  ['ipv6', 'autoconf', '0'],
  ['ipv6', 'router_solicitations', '0'],
  ['ipv6', 'accept_dad', '0'],
];

/**
 * Settings that a link takes over from its base: a director that routes what comes in there, such
 * as the answers of real servers whose gateway is a VIP, must route what comes in here.
 */
const TAKEN_OVER: readonly (readonly [family: SettingFamily, key: string])[] = [
  ['ipv4', 'forwarding'],
  ['ipv4', 'send_redirects'],
  ['ipv6', 'forwarding'],
];

/** What the kernel means when it refuses to make a link, and what to do about it. */
const CURES: Readonly<Record<string, string>> = {
  EOPNOTSUPP: 'Load the kernel module with modprobe KIND, or leave KEY out',
  EBUSY: 'Take BASE out of its bridge, or remove the links of another kind that are on it',
  EINVAL: 'Choose an Ethernet interface (a VLAN, a bond, a bridge) that can bear such links',
  EEXIST: 'Remove the other interface, or give the link another name',
  EPERM: 'Run vipkeeper as root, or give it CAP_NET_ADMIN',
};

export class VirtualLink {
  readonly config: VirtualLinkConfig;
  readonly #instance: string;
  readonly #network: Network;
  readonly #settings: BaseSettings;
  /** Indexes of the interface below and of the link that have the settings they need. */
  #preparedIndex = 0;
  #settledIndex = 0;
  /** Whether it was given IPv6. */
  #settledIpv6 = false;
  readonly #bearsIpv6: (interfaceName: string) => boolean;

  constructor(
    config: VirtualLinkConfig,
    instance: string,
    ports: {
      readonly network: Network;
      readonly settings: BaseSettings;
      readonly bearsIpv6: (interfaceName: string) => boolean;
    },
  ) {
    this.config = config;
    this.#instance = instance;
    this.#network = ports.network;
    this.#settings = ports.settings;
    this.#bearsIpv6 = ports.bearsIpv6;
  }

  /** Hardware address from which advertisements are sent; null for the interface's own. */
  get sourceMac(): Uint8Array | null {
    return this.config.kind === 'macvlan' && !this.config.xmitBase
      ? parseMac(this.config.mac)
      : null;
  }

  /** As the kernel has it now, by its notifications; null when it is not there. */
  get link(): Link | null {
    return this.#network.link(this.config.name);
  }

  /** Makes it exist on `base` as configured, and says why it cannot. A new link is down. */
  ensure(base: Link): Problem | null {
    return (
      this.#prepareBase(base) ?? this.#exist(base) ?? this.#settle(base) ?? this.#collision(base)
    );
  }

  /** True when it is there and down, asked for now: notifications may be on their way. */
  isDown(): boolean {
    if (this.link?.up !== false) return false;
    const looked = this.#network.lookAt(this.config.name);
    return looked.ok && looked.value?.up === false;
  }

  /** Brings it up. */
  raise(): Problem | null {
    const { link } = this;
    if (link === null || link.up) return null;
    const raised = this.#network.setLinkUp(link, true);
    return raised.ok ? null : this.#refused('raise', raised.error, null);
  }

  /** Takes it down, if it is there and ours. */
  lower(): Problem | null {
    const { link } = this;
    if (link === null || !link.up || !isOurLink(link)) return null;
    const lowered = this.#network.setLinkUp(link, false);
    // Gone with its interface: the notification is on its way.
    if (lowered.ok || lowered.error.code === 'ENODEV') return null;
    return this.#refused('take down', lowered.error, null);
  }

  /** Removes it, with what was set on the interface below it for its sake. */
  remove(): Problem | null {
    const problem = removeOurLink(this.#network, this.config.name);
    this.#settings.release(this.#instance, (index) => this.#network.nameOf(index));
    return problem;
  }

  #prepareBase(base: Link): Problem | null {
    if (this.config.kind === 'ipvlan' || this.#preparedIndex === base.index) return null;
    const held = this.#settings.hold(base, this.#instance);
    if (!held.ok) return held.error;
    this.#preparedIndex = base.index;
    return null;
  }

  #exist(base: Link): Problem | null {
    const { name } = this.config;
    let found = this.#network.link(name);
    if (found !== null && this.#isRight(found, base)) return null;
    // Notifications may be on their way: what is done about it depends on what is true now.
    const looked = this.#network.lookAt(name);
    if (!looked.ok) return this.#refused('look at', looked.error, base);
    found = looked.value;
    if (found !== null) {
      if (this.#isRight(found, base)) return null;
      if (!isOurLink(found)) return this.#foreign();
      const removed = this.#network.removeLink(found);
      if (!removed.ok) return this.#refused('remove', removed.error, base);
    }
    const mark = `${LINK_MARK}${this.#instance}`;
    const made = this.#network.makeLink(newLink(this.config, base), mark);
    return made.ok ? null : this.#refused('make', made.error, base);
  }

  /**
   * Sets what must be set on the link itself, once for each that was made or found. An interface
   * with IPv6 that comes up reports groups (MLD) even if it has no address.
   */
  #settle(base: Link): Problem | null {
    const index = this.link?.index ?? 0;
    const { name } = this.config;
    const ipv6 = this.#bearsIpv6(name);
    if (index === this.#settledIndex && ipv6 === this.#settledIpv6) return null;
    const taken = TAKEN_OVER.map(([family, key]) => {
      return [family, key, readInterfaceSetting(family, base.name, key)] as const;
    });
    const disabled = ['ipv6', 'disable_ipv6', ipv6 ? '0' : '1'] as const;
    for (const [family, key, value] of [...SETTINGS, ...taken, disabled]) {
      // Kernels without IPv6, and old ones, lack some: then there is nothing to keep quiet.
      const before = readInterfaceSetting(family, name, key);
      if (before === null || value === null || before === value) continue;
      const written = writeInterfaceSetting(family, name, key, value);
      if (!written.ok) {
        return {
          code: 'VK-LINK',
          message: `net.${family}.conf.${name}.${key} cannot be set: ${written.error}`,
          cure: 'Let vipkeeper write to /proc/sys/net',
        };
      }
    }
    this.#settledIndex = index;
    this.#settledIpv6 = ipv6;
    return null;
  }

  /** The kernel raises no second macvlan with one hardware address on an interface. */
  #collision(base: Link): Problem | null {
    const { config } = this;
    if (config.kind !== 'macvlan') return null;
    for (const { name, baseIndex, up, address } of this.#network.foreignMacvlans()) {
      if (baseIndex !== base.index || !up || formatMac(address) !== config.mac) continue;
      return {
        code: 'VK-LINK',
        message: `Instance ${this.#instance} cannot use ${config.mac} on ${base.name}: ${name}, which vipkeeper did not make, has that hardware address`,
        cure: `Stop the program that made it, such as keepalived, and remove it: ip link delete ${name}`,
      };
    }
    return null;
  }

  #isRight(link: Link, base: Link): boolean {
    const { config } = this;
    return (
      isOurLink(link) &&
      link.kind === config.kind &&
      link.baseIndex === base.index &&
      (link.vrfIndex ?? 0) === (base.vrfIndex ?? 0) &&
      (config.kind === 'ipvlan' || formatMac(link.address) === config.mac)
    );
  }

  #foreign(): Problem {
    return {
      code: 'VK-LINK',
      message: `Instance ${this.#instance} needs a link named ${this.config.name}, and an interface that vipkeeper did not make has that name`,
      cure: `Remove it (ip link delete ${this.config.name}), or give the link another name`,
    };
  }

  #refused(action: string, error: NetlinkError, base: Link | null): Problem {
    const { kind, name } = this.config;
    const key = kind === 'macvlan' ? 'vmac' : 'ipvlan';
    const cure = CURES[error.code] ?? 'Look at it with: ip -details link show dev NAME';
    const on = base === null ? '' : ` on ${base.name}`;
    return {
      code: 'VK-LINK',
      message: `The kernel refused to ${action} the ${kind} ${name}${on} of instance ${this.#instance}: ${error.message}`,
      cure: cure
        .replace('KIND', kind)
        .replace('KEY', key)
        .replace('BASE', base?.name ?? 'the interface')
        .replace('NAME', name),
    };
  }
}

function newLink(config: VirtualLinkConfig, base: Link): NewLink {
  const { name, group } = config;
  const common = { name, baseIndex: base.index, group, vrfIndex: base.vrfIndex ?? 0 };
  if (config.kind === 'ipvlan') return { ...common, kind: 'ipvlan', mode: config.mode };
  return { ...common, kind: 'macvlan', mac: parseMac(config.mac) ?? new Uint8Array(6) };
}

/** Removes the link of this name if vipkeeper made it; null also when there is none. */
export function removeOurLink(network: Network, name: string): Problem | null {
  const link = network.link(name);
  if (link === null || !isOurLink(link)) return null;
  const removed = network.removeLink(link);
  if (removed.ok || removed.error.code === 'ENODEV') return null;
  return {
    code: 'VK-LINK',
    message: `The kernel refused to remove the link ${name}: ${removed.error.message}`,
    cure: `Remove it with: ip link delete ${name}`,
  };
}

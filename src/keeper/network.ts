/**
 * What the keeper knows of the machine's links and addresses, kept true by the kernel's
 * notifications and, when those were lost, by reading everything again. Changes of VIPs go
 * through here too, so that our own are told from other programs'.
 */
import { release } from 'node:os';
import type { AddressFamily, IpText } from '../core/config/config.ts';
import { compareIp, ipFamily } from '../core/ip.ts';
import { err, ok, type Result } from '../core/result.ts';
import { formatMac } from '../core/wire/ethernet.ts';
import type { NetlinkError } from '../linux/netlink/error.ts';
import type { NewLink } from '../linux/netlink/link-messages.ts';
import { deleteLink, makeLink, readLink, setLinkUp } from '../linux/netlink/links.ts';
import { RouteMonitor, type RouteMonitorCallbacks, RouteSocket } from '../linux/netlink/route.ts';
import {
  type AddressChange,
  IFA_F_DEPRECATED,
  IFA_F_NOPREFIXROUTE,
  INFINITY_LIFE_TIME,
  type InterfaceAddress,
  type Link,
} from '../linux/netlink/route-messages.ts';
import { chooseSourceAddress, chooseUnicastSource } from '../linux/netlink/source-address.ts';
import { AddressBook, keyOf } from './address-book.ts';
import { isOurLink } from './link-mark.ts';

/**
 * Value of IFA_PROTO that marks a VIP as vipkeeper's ('v'), on kernels that keep it (5.18 and
 * later). Other daemons use other values: keepalived 0x12.
 */
export const VIP_PROTOCOL = 0x76;

const KEEPS_MARKS = keepsMarks(release());

/** Whether a kernel of this release has IFA_PROTO; those that got it from a later one may say no. */
export function keepsMarks(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map((part) => Number.parseInt(part, 10));
  return major > 5 || (major === 5 && minor >= 18);
}

/** Answers were lost: NetlinkSocket.transactWrittenSync(). */
const UNKNOWN: ReadonlySet<string> = new Set(['ENOBUFS', 'ETIMEDOUT']);

/** What is known of an address when it has been added. */
export interface AddedAddress {
  readonly entry: InterfaceAddress;
  readonly key: string;
}

/** A change of an address; an addition with what follows from it, if that was made ahead. */
export interface VipChange extends AddressChange {
  readonly ahead?: AddedAddress | undefined;
}

export interface NetworkHandlers {
  /** Links or addresses changed in a way that may raise or clear faults. */
  readonly onChanged: () => void;
  /** An interface has carrier again, even if only for a moment it had none, or a new address. */
  readonly onCarrier: (interfaceName: string) => void;
  /** An address vanished and we did not remove it. `byPid` where the kernel tells it. */
  readonly onAddressLost: (interfaceName: string, address: IpText, byPid: number | null) => void;
}

export class Network {
  readonly #socket: RouteSocket;
  readonly #handlers: NetworkHandlers;
  readonly #linksByName = new Map<string, Link>();
  readonly #namesByIndex = new Map<number, string>();
  /** By index: macvlans that other programs made, of which there are few. */
  readonly #foreignMacvlans = new Map<number, Link>();
  readonly #addresses = new AddressBook(VIP_PROTOCOL);
  /** Indexes of links that were set up here and whose carrier was not told yet. */
  readonly #raised = new Set<number>();
  /** Indexes of links that have got another name, until what is ours has left them. */
  readonly #renamed = new Set<number>();
  /** Removals of our own that the monitor has not told of yet, by address. */
  readonly #removing = new Map<string, number>();
  #virtualIps: ReadonlySet<IpText> = new Set();
  #monitor: RouteMonitor | null = null;

  private constructor(socket: RouteSocket, handlers: NetworkHandlers) {
    this.#socket = socket;
    this.#handlers = handlers;
  }

  /** Opens the sockets and reads links and addresses. */
  static open(handlers: NetworkHandlers): Result<Network, NetlinkError> {
    const socket = RouteSocket.open();
    if (!socket.ok) return socket;
    const network = new Network(socket.value, handlers);
    const callbacks: RouteMonitorCallbacks = {
      linkChanged: (link) => network.#linkChanged(link),
      linkRemoved: (index) => network.#linkRemoved(index),
      addressAdded: (address) => network.#addressAdded(address),
      addressRemoved: (address, byPid) => network.#addressRemoved(address, byPid),
      overrun: () => {
        network.resynchronise();
        handlers.onChanged();
      },
      drained: () => network.#removing.clear(),
    };
    const monitor = RouteMonitor.open(callbacks, { addingPortId: socket.value.portId });
    if (!monitor.ok) return err(monitor.error);
    network.#monitor = monitor.value;
    network.resynchronise();
    return ok(network);
  }

  /**
   * Knows what the kernel has told until now. It is not asked to list anything: it would wait for
   * whoever holds the lock of all links, such as the driver of a card, for seconds at times.
   */
  catchUp(): void {
    this.#monitor?.readNow();
  }

  /** Reads everything again; addresses that vanished meanwhile are told as lost. */
  resynchronise(): void {
    const links = this.#socket.listLinks();
    const addresses = this.#socket.listAddresses();
    if (!links.ok || !addresses.ok) return;
    const linksBefore = new Map(this.#linksByName);
    const namesBefore = new Map(this.#namesByIndex);
    this.#linksByName.clear();
    this.#namesByIndex.clear();
    this.#foreignMacvlans.clear();
    for (const link of links.value) {
      this.#rememberLink(link);
      if ((namesBefore.get(link.index) ?? link.name) !== link.name) this.#renamed.add(link.index);
    }
    const returned = links.value.filter((link) =>
      mustBeLearntAgain(linksBefore.get(link.name), link),
    );
    const lost = this.#addresses.replace(addresses.value);
    this.#leaveRenamed();
    for (const address of lost) this.#tellLost(address, null);
    for (const link of returned) this.#handlers.onCarrier(link.name);
  }

  /** The VIPs of all instances: none of them is one to send from while it is there as ours. */
  setVirtualIps(addresses: ReadonlySet<IpText>): void {
    this.#virtualIps = addresses;
  }

  link(name: string): Link | null {
    return this.#linksByName.get(name) ?? null;
  }

  /** The virtual links on top of the interface of this name. */
  linksOn(name: string): readonly Link[] {
    const base = this.link(name)?.index;
    if (base === undefined) return [];
    return [...this.#linksByName.values()].filter(({ baseIndex }) => baseIndex === base);
  }

  /** Macvlans that other programs made. */
  foreignMacvlans(): Iterable<Link> {
    return this.#foreignMacvlans.values();
  }

  /** Name of an interface by its index; null when there is none. */
  nameOf(interfaceIndex: number): string | null {
    return this.#namesByIndex.get(interfaceIndex) ?? null;
  }

  /** The link of this name, asked for now, whatever notifications are on their way. */
  lookAt(name: string): Result<Link | null, NetlinkError> {
    const found = readLink(this.#socket.socket, name);
    if (!found.ok) return found;
    if (found.value !== null) this.#rememberLink(found.value);
    else this.#forgetLink(this.link(name)?.index ?? 0);
    this.#leaveRenamed();
    return found;
  }

  /** Makes a virtual link; `alias` is how it will be known again. */
  makeLink(link: NewLink, alias: string): Result<Link, NetlinkError> {
    const made = makeLink(this.#socket.socket, link, alias);
    if (made.ok) this.#rememberLink(made.value);
    return made;
  }

  setLinkUp(link: Link, up: boolean): Result<void, NetlinkError> {
    const changed = setLinkUp(this.#socket.socket, link.index, up);
    if (changed.ok) {
      this.#rememberLink({ ...link, up, running: up && link.running });
      if (up) this.#raised.add(link.index);
    }
    return changed;
  }

  /** Removes a virtual link with its addresses, which are then not told as lost. */
  removeLink(link: Link): Result<void, NetlinkError> {
    const removed = deleteLink(this.#socket.socket, link.index);
    if (removed.ok || removed.error.code === 'ENODEV') this.#forgetLink(link.index);
    return removed;
  }

  /** The address that advertisements on this interface come from, or null when it has none. */
  sourceAddress(
    interfaceName: string,
    family: AddressFamily,
    vips: ReadonlySet<IpText>,
  ): IpText | null {
    const link = this.link(interfaceName);
    if (link === null) return null;
    return this.#choose((addresses) => chooseSourceAddress(addresses, link.index, family, vips));
  }

  /** The same for advertisements to these peers, of which there is at least one. */
  unicastSource(
    interfaceName: string,
    peers: readonly IpText[],
    vips: ReadonlySet<IpText>,
  ): IpText | null {
    const link = this.link(interfaceName);
    if (link === null) return null;
    const members = this.#membersOf(link);
    return this.#choose((all) => {
      const addresses = members.length === 0 ? all : asOnVrf(all, link.index, members);
      return chooseUnicastSource(addresses, link.index, peers, vips);
    });
  }

  /** Whether it is an address of this interface, or of one in it where it is a VRF. */
  ownsAddress(interfaceName: string, address: IpText): boolean {
    if (this.hasAddress(interfaceName, address)) return true;
    const link = this.link(interfaceName);
    return (
      link !== null &&
      this.#membersOf(link).some((index) => this.#addresses.find(index, address) !== undefined)
    );
  }

  /** Indexes of the interfaces in a VRF. */
  #membersOf({ kind, index }: Link): readonly number[] {
    if (kind !== 'vrf') return [];
    const members = [...this.#linksByName.values()].filter(({ vrfIndex }) => vrfIndex === index);
    return members.map((member) => member.index);
  }

  /**
   * The order of an interface's addresses changes when one is removed and put back, so what other
   * programs put there comes first, then static addresses, and VIPs never.
   */
  #choose(chosen: (from: readonly InterfaceAddress[]) => IpText | null): IpText | null {
    const found = chosen(this.#addresses.others());
    if (found !== null) return found;
    const isVirtual = (entry: InterfaceAddress): boolean =>
      this.#addresses.isOurs(entry) && this.#virtualIps.has(entry.address);
    return chosen(this.#addresses.all().filter((entry) => !isVirtual(entry)));
  }

  hasAddress(interfaceName: string, address: IpText): boolean {
    return this.#find(interfaceName, address) !== undefined;
  }

  /** The same of a link that link() has given in this turn. */
  hasAddressOn({ index }: Pick<Link, 'index'>, address: IpText): boolean {
    return this.#addresses.find(index, address) !== undefined;
  }

  addressInfo(interfaceName: string, address: IpText): InterfaceAddress | null {
    return this.#find(interfaceName, address) ?? null;
  }

  /** True when the address is there and vipkeeper put it there: this process or an earlier one. */
  isOurs(interfaceName: string, address: IpText): boolean {
    const info = this.#find(interfaceName, address);
    return info !== undefined && this.#addresses.isOurs(info);
  }

  /** Names of the interfaces that have this address as ours. */
  ownPlaces({
    address,
    prefixLength,
  }: Pick<InterfaceAddress, 'address' | 'prefixLength'>): readonly string[] {
    return this.#addresses
      .all()
      .filter((entry) => entry.address === address && entry.prefixLength === prefixLength)
      .filter((entry) => this.#addresses.isOurs(entry))
      .flatMap(({ interfaceIndex }) => this.nameOf(interfaceIndex) ?? []);
  }

  /**
   * Takes an address for ours that an earlier keeper recorded, on kernels without IFA_PROTO. Others
   * tell: what has no mark there is another program's, such as the own address of an owner.
   */
  claim(interfaceName: string, address: IpText): void {
    if (KEEPS_MARKS) return;
    const info = this.#find(interfaceName, address);
    if (info !== undefined && info.protocol === null) this.#addresses.claim(keyOf(info));
  }

  /** The kernel has this address already: another program was faster, its notice is to come. */
  noteExisting(change: AddressChange): void {
    if (this.#addresses.has(change)) return;
    this.#addresses.set({ ...addressOf(change), protocol: null });
  }

  /** Applies changes in one batch inside this call; one error or null per change, in order. */
  change(operations: readonly VipChange[]): readonly (NetlinkError | null)[] {
    const results = this.#socket.changeAddresses(operations);
    const errors: (NetlinkError | null)[] = [];
    let unknown = false;
    for (let index = 0; index < operations.length; index++) {
      const operation = operations[index] as VipChange;
      const result = results[index] as Result<void, NetlinkError>;
      const error = result.ok ? null : result.error;
      errors.push(error);
      if (error !== null && UNKNOWN.has(error.code)) unknown = true;
      if (operation.kind === 'delete') this.#noteRemoval(operation, error?.code ?? null);
      else if (error === null) {
        const { key, entry } = operation.ahead ?? aheadOf(operation);
        this.#addresses.claim(key);
        this.#addresses.set(entry);
      }
    }
    // Of what is not known to be done, and of what the monitor does not tell, the kernel is asked.
    if (unknown) this.resynchronise();
    return errors;
  }

  #noteRemoval(operation: AddressChange, code: string | null): void {
    const key = keyOf(operation);
    if (code === null) this.#removing.set(key, (this.#removing.get(key) ?? 0) + 1);
    else if (code !== 'EADDRNOTAVAIL' && code !== 'ENODEV') return;
    this.#addresses.delete(operation);
    this.#addresses.disclaim(key);
  }

  close(): void {
    this.#monitor?.close();
    this.#socket.close();
  }

  #find(interfaceName: string, address: IpText): InterfaceAddress | undefined {
    const link = this.link(interfaceName);
    if (link === null) return undefined;
    return this.#addresses.find(link.index, address);
  }

  #rememberLink(link: Link): void {
    const earlierName = this.#namesByIndex.get(link.index);
    if (earlierName !== undefined && earlierName !== link.name) {
      if (this.#linksByName.get(earlierName)?.index === link.index) {
        this.#linksByName.delete(earlierName);
      }
      this.#renamed.add(link.index);
    }
    this.#linksByName.set(link.name, link);
    this.#namesByIndex.set(link.index, link.name);
    const foreign = link.kind === 'macvlan' && !isOurLink(link);
    if (foreign) this.#foreignMacvlans.set(link.index, link);
    else this.#foreignMacvlans.delete(link.index);
  }

  /**
   * Takes what is ours off links that have got another name, which kernels since 6.2 allow while
   * they are up: it was put there for the name, and by the name nobody would find it any more. A
   * virtual link of ours goes itself: no second one with its hardware address could come up.
   */
  #leaveRenamed(): void {
    if (this.#renamed.size === 0) return;
    for (const index of this.#renamed) {
      const link = this.link(this.nameOf(index) ?? '');
      if (link !== null && isOurLink(link)) this.removeLink(link);
    }
    const left = this.#addresses
      .all()
      .filter((entry) => this.#renamed.has(entry.interfaceIndex) && this.#addresses.isOurs(entry));
    this.#renamed.clear();
    if (left.length === 0) return;
    this.change(
      left.map(({ interfaceIndex, address, prefixLength, peer }) => ({
        ...{ kind: 'delete', interfaceIndex, address, prefixLength, peer },
      })),
    );
  }

  #linkChanged(link: Link): void {
    const earlier = this.#linksByName.get(link.name);
    this.#rememberLink(link);
    this.#leaveRenamed();
    // First, so that what becomes active because of it does not announce twice.
    // What we raised ourselves is announced by who asked for it.
    const raised = link.running && this.#raised.delete(link.index);
    if (earlier !== undefined && isEcho(earlier, link, raised)) {
      this.#rememberLink({ ...link, alias: earlier.alias });
      return;
    }
    if (!raised && mustBeLearntAgain(earlier, link)) this.#handlers.onCarrier(link.name);
    this.#handlers.onChanged();
  }

  #linkRemoved(index: number): void {
    this.#forgetLink(index);
    this.#handlers.onChanged();
  }

  #forgetLink(index: number): void {
    const name = this.#namesByIndex.get(index);
    this.#namesByIndex.delete(index);
    this.#foreignMacvlans.delete(index);
    this.#raised.delete(index);
    if (name !== undefined && this.#linksByName.get(name)?.index === index) {
      this.#linksByName.delete(name);
    }
    this.#addresses.deleteInterface(index);
  }

  #addressAdded(address: InterfaceAddress): void {
    // Older than a removal of our own.
    if (this.#removing.size > 0 && this.#removing.has(keyOf(address))) return;
    const known = this.#addresses.has(address);
    this.#addresses.set(address);
    if (!known) this.#handlers.onChanged();
  }

  #addressRemoved(address: InterfaceAddress, byPid: number | null): void {
    const own = this.#removing.get(keyOf(address)) ?? 0;
    if (own > 0) {
      if (own === 1) this.#removing.delete(keyOf(address));
      else this.#removing.set(keyOf(address), own - 1);
      return;
    }
    const known = this.#addresses.delete(address);
    if (!known) return;
    // The link first: an address that went with its interface is a fault, not a loss.
    this.#handlers.onChanged();
    this.#tellLost(address, byPid);
  }

  #tellLost(address: InterfaceAddress, byPid: number | null): void {
    const name = this.#namesByIndex.get(address.interfaceIndex);
    // With another prefix length it may be there still.
    if (name === undefined || this.hasAddress(name, address.address)) return;
    this.#handlers.onAddressLost(name, address.address, byPid);
  }
}

/** The addresses of the interfaces in a VRF as if they were its own. */
function asOnVrf(
  addresses: readonly InterfaceAddress[],
  interfaceIndex: number,
  members: readonly number[],
): readonly InterfaceAddress[] {
  return addresses.map((entry) =>
    members.includes(entry.interfaceIndex) ? { ...entry, interfaceIndex } : entry,
  );
}

/** What network.change() notes of an addition, for who is in a hurry later. */
export function aheadOf(addition: AddressChange): AddedAddress {
  return { entry: addressOf(addition), key: keyOf(addition) };
}

/** What is known of an address that was put there just now. */
function addressOf(change: AddressChange): InterfaceAddress {
  const { interfaceIndex, address, prefixLength, scope, noPrefixRoute, flags } = change;
  const { peer, broadcast, label, metric, preferredSeconds: preferred } = change;
  return {
    interfaceIndex,
    family: ipFamily(address),
    address,
    prefixLength,
    scope: scope ?? 0,
    flags:
      (flags ?? 0) |
      (noPrefixRoute === true ? IFA_F_NOPREFIXROUTE : 0) |
      (preferred === 0 ? IFA_F_DEPRECATED : 0),
    protocol: VIP_PROTOCOL,
    peer,
    broadcast,
    label,
    metric,
    preferredSeconds: preferred === INFINITY_LIFE_TIME ? undefined : preferred,
  };
}

/**
 * Whether switches and hosts may have forgotten, or never knew, what is behind this link. The
 * counter tells of flaps that are over before the kernel notifies anybody.
 */
function mustBeLearntAgain(earlier: Link | undefined, link: Link): boolean {
  if (!link.running) return false;
  if (earlier === undefined || earlier.index !== link.index || !earlier.running) return true;
  if (earlier.carrierUps !== link.carrierUps) return true;
  return compareIp(earlier.address, link.address) !== 0;
}

/**
 * True for a notification about a link of ours that says nothing new, as what we do to it causes
 * several of: with hundreds of links, looking at all instances each time would take seconds.
 */
function isEcho(known: Link, link: Link, raised: boolean): boolean {
  return (
    isOurLink(known) &&
    known.index === link.index &&
    known.up === link.up &&
    known.baseIndex === link.baseIndex &&
    known.vrfIndex === link.vrfIndex &&
    (raised || (known.running === link.running && known.carrierUps === link.carrierUps)) &&
    formatMac(known.address) === formatMac(link.address)
  );
}

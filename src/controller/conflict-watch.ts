/**
 * ConflictWatch: asks the networks whether another machine has an address of ours, and says which.
 * What to ask when and what answers mean is decided by core/address/conflicts.ts; here are the
 * sockets, one for each interface and family, and one timer. The sockets wake nobody: they are
 * read in each turn, before what comes of it is decided.
 *
 * It is the controller's, not the keeper's: closing a packet socket takes the kernel 10 ms.
 */
import {
  addressesToWatch,
  Conflicts,
  type InstanceAddresses,
  type WatchedAddress,
} from '../core/address/conflicts.ts';
import type { AddressFamily, IpText } from '../core/config/config.ts';
import { formatIp, ipFamily, isLinkLocal, parseIp } from '../core/ip.ts';
import type { Problem } from '../core/problem.ts';
import type { ConflictReport } from '../core/status.ts';
import { formatMac, MAC_BYTES } from '../core/wire/ethernet.ts';
import { requireCapabilities } from '../linux/capabilities.ts';
import {
  ArpConflictSocket,
  type ConflictSocket,
  NdiscConflictSocket,
} from '../linux/conflict-socket.ts';
import { SystemError } from '../linux/libc.ts';
import { readLink } from '../linux/netlink/links.ts';
import { listNeighbors } from '../linux/netlink/neighbors.ts';
import { RouteSocket } from '../linux/netlink/route.ts';
import {
  IFA_F_DADFAILED,
  type InterfaceAddress,
  type Link,
} from '../linux/netlink/route-messages.ts';
import { chooseSourceAddress } from '../linux/netlink/source-address.ts';

export interface ConflictWatchPorts {
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
  /** Another machine has an address now, or has it no more. */
  readonly onChanged: () => void;
  /** Addresses cannot be asked for; told once. */
  readonly onProblem: (problem: Problem) => void;
  /** The real servers that have this address, as 'service/10.0.0.11:8080'. */
  readonly serversAt: (address: IpText) => readonly string[];
}

/** An instance, as the keeper tells of it. */
export interface WatchedInstance extends InstanceAddresses {
  readonly name: string;
  readonly family: AddressFamily;
}

/** A socket, and what it was made for. */
interface Opened {
  readonly socket: ConflictSocket;
  readonly interface: string;
  readonly family: AddressFamily;
  readonly made: string;
  /** The addresses that it hears of, as one text. */
  hears: string;
}

/** A duplicate that the kernel's own detection found, RFC 4862 section 5.4. */
interface Duplicate extends WatchedAddress {
  readonly sinceUs: number;
}

type Holder = ConflictReport['holders'][number];

export class ConflictWatch {
  readonly #ports: ConflictWatchPorts;
  readonly #conflicts: Conflicts;
  readonly #sockets = new Map<string, Opened>();
  /** Other IP addresses of machines that have one of ours, and what they are, by their MAC. */
  #known = new Map<string, Pick<Holder, 'addresses' | 'servers'>>();
  #instances = new Map<string, WatchedInstance>();
  #duplicates: readonly Duplicate[] = [];
  #intervalUs: number | null;
  #route: RouteSocket | null = null;
  #timer: NodeJS.Timeout | null = null;
  #problemTold = false;

  /** @param intervalUs how often each address is asked for; null for never. */
  constructor(intervalUs: number | null, ports: ConflictWatchPorts) {
    this.#ports = ports;
    this.#intervalUs = intervalUs;
    this.#conflicts = new Conflicts(intervalUs ?? 0);
  }

  /** Another interval, null for never, from now on. */
  configure(intervalUs: number | null): void {
    this.#intervalUs = intervalUs;
    if (intervalUs === null) this.close();
    else this.#conflicts.intervalUs = intervalUs;
  }

  /** Watches the addresses of these instances as they are now, and no others. */
  keep(instances: readonly WatchedInstance[]): void {
    if (this.#intervalUs === null) return;
    // What was heard until now is about what was watched until now.
    this.#read();
    this.#instances = new Map(instances.map((one) => [one.name, one]));
    const watched = instances.flatMap((instance) => watchedBy(instance));
    this.#conflicts.keep(watched, this.#ports.nowUs());
    const interfaces = new Set(watched.map((one) => socketKey(one)));
    for (const [key, opened] of this.#sockets) {
      if (!interfaces.has(key)) this.#closeSocket(key, opened);
    }
    this.#findDuplicates();
    this.#arm();
  }

  /** The instance is not active any more: its virtual IPs are another's to have, at once. */
  left(name: string): void {
    const instance = this.#instances.get(name);
    if (instance === undefined) return;
    this.#conflicts.drop(addressesToWatch(instance).vips);
    this.#instances.set(name, { ...instance, state: 'backup' });
  }

  /** The addresses of an instance that other machines have too. */
  report(name: string): readonly ConflictReport[] {
    const instance = this.#instances.get(name);
    if (instance === undefined) return [];
    const { source, vips } = addressesToWatch(instance);
    const asked = [...(source === null ? [] : [source]), ...vips].flatMap((watched) => {
      const sinceUs = this.#conflicts.heldSinceUs(watched);
      if (sinceUs === null) return [];
      const of = watched === source ? ('source' as const) : ('vip' as const);
      const holders = this.#conflicts.holders(watched).map((holder) => ({
        ...holder,
        ...(this.#known.get(`${watched.interface} ${holder.mac}`) ?? UNKNOWN),
      }));
      return [{ ...watched, of, since: this.#wallTime(sinceUs), holders }];
    });
    const found = this.#duplicates.flatMap(({ sinceUs, ...duplicate }) => {
      const of = duplicateOf(instance, duplicate);
      if (of === null) return [];
      const holders = [{ mac: null, how: 'detected' as const, ...UNKNOWN }];
      return [{ ...duplicate, of, since: this.#wallTime(sinceUs), holders }];
    });
    return [...asked, ...found];
  }

  /** Nothing is watched until keep() is called again. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (const [key, opened] of this.#sockets) this.#closeSocket(key, opened);
    this.#conflicts.keep([], this.#ports.nowUs());
    this.#instances.clear();
    this.#duplicates = [];
    this.#route?.close();
    this.#route = null;
  }

  #arm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    const { nextAtUs } = this.#conflicts;
    if (nextAtUs === null) return;
    const inMs = Math.ceil((nextAtUs - this.#ports.nowUs()) / 1000);
    this.#timer = setTimeout(() => this.#turn(), Math.max(0, inMs));
  }

  #turn(): void {
    this.#read();
    const { ask, changed } = this.#conflicts.turn(this.#ports.nowUs());
    const sockets = new Map<string, ConflictSocket | null>();
    for (const watched of ask) {
      const key = socketKey(watched);
      if (!sockets.has(key)) sockets.set(key, this.#socket(watched));
      // One that cannot be sent is not answered: the interface is down, or has just gone.
      sockets.get(key)?.ask(watched.address);
    }
    if (changed) {
      this.#findKnown();
      this.#ports.onChanged();
    }
    this.#arm();
  }

  /** Tells Conflicts of everything that was heard from other machines. */
  #read(): void {
    const heard: (WatchedAddress & { mac: string; answer: boolean })[] = [];
    for (const { socket, interface: at, family } of this.#sockets.values()) {
      socket.read(({ address, mac, answer }) => {
        const text = formatIp(address, family);
        heard.push({ interface: at, address: text, mac: formatMac(mac), answer });
      });
    }
    if (heard.length === 0) return;
    // A director with two interfaces on one network answers itself.
    const own = this.#ownMacs();
    const nowUs = this.#ports.nowUs();
    for (const sighting of heard) {
      if (!own.has(sighting.mac)) this.#conflicts.sighted(sighting, nowUs);
    }
  }

  #ownMacs(): ReadonlySet<string> {
    const links = this.#openRoute()?.listLinks();
    return new Set(links?.ok === true ? links.value.map(({ address }) => formatMac(address)) : []);
  }

  /**
   * The socket for an address, opened anew when its interface is another one by now. Null where
   * nobody can be asked: the interface is missing or not Ethernet, or has no link-local address.
   */
  #socket(watched: WatchedAddress): ConflictSocket | null {
    const route = this.#openRoute();
    const key = socketKey(watched);
    const before = this.#sockets.get(key);
    const read = route === null ? null : readLink(route.socket, watched.interface);
    const link = read?.ok === true ? read.value : null;
    const family = ipFamily(watched.address);
    const from = link === null ? null : this.#questionsFrom(link, family);
    const made = `${link?.index} ${formatMac(link?.address ?? new Uint8Array(0))} ${from}`;
    if (before !== undefined && before.made !== made) this.#closeSocket(key, before);
    if (link === null || from === null) return null;
    const opened = this.#sockets.get(key) ?? this.#open({ watched, link, from, made });
    if (opened === null) return null;
    this.#sockets.set(key, opened);
    const addresses = [...this.#conflicts.watched]
      .filter((one) => socketKey(one) === key)
      .map(({ address }) => address)
      .sort();
    const hears = addresses.join(' ');
    if (hears !== opened.hears) opened.socket.watch(addresses);
    opened.hears = hears;
    return opened.socket;
  }

  /** Nothing for ARP, for IPv6 the link-local address; null where nobody can be asked. */
  #questionsFrom(link: Link, family: AddressFamily): IpText | null {
    if (link.loopback || link.address.length !== MAC_BYTES) return null;
    if (family === 'ipv4') return '';
    const addresses = this.#openRoute()?.listAddresses();
    if (addresses?.ok !== true) return null;
    return chooseSourceAddress(addresses.value, link.index, family, new Set());
  }

  #open({
    watched,
    link,
    from,
    made,
  }: {
    readonly watched: WatchedAddress;
    readonly link: Link;
    readonly from: IpText;
    readonly made: string;
  }): Opened | null {
    const family = ipFamily(watched.address);
    try {
      const socket =
        family === 'ipv4'
          ? new ArpConflictSocket(link.index, link.address)
          : new NdiscConflictSocket(link.index, link.address, parseIp(from) ?? new Uint8Array(16));
      return { socket, interface: watched.interface, family, made, hears: '' };
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#tell(watched.interface, error.message);
      return null;
    }
  }

  #tell(interfaceName: string, why: string): void {
    if (this.#problemTold) return;
    this.#problemTold = true;
    const lacks = requireCapabilities(['CAP_NET_RAW']);
    this.#ports.onProblem(
      lacks ?? {
        code: 'VK-SYSTEM',
        message: `Whether other machines have the addresses of this director cannot be asked on ${interfaceName}: ${why}`,
        cure: 'Look at the interface; without this, conflict_check: off says that it is not wanted',
      },
    );
  }

  #openRoute(): RouteSocket | null {
    if (this.#route !== null) return this.#route;
    const opened = RouteSocket.open();
    this.#route = opened.ok ? opened.value : null;
    return this.#route;
  }

  /** Looks in the neighbour tables for what else the machines are that have an address of ours. */
  #findKnown(): void {
    const route = this.#openRoute();
    const macs = new Set<string>();
    for (const watched of this.#conflicts.watched) {
      for (const { mac } of this.#conflicts.holders(watched)) macs.add(mac);
    }
    const known = new Map<string, { addresses: string[]; servers: string[] }>();
    this.#known = known;
    if (macs.size === 0 || route === null) return;
    const links = route.listLinks();
    const names = new Map(links.ok ? links.value.map(({ index, name }) => [index, name]) : []);
    const own = new Set([...this.#conflicts.watched].map(({ address }) => address));
    const neighbors = listNeighbors(
      route.socket,
      ({ mac, address }) => macs.has(mac) && !own.has(address) && !isLinkLocal(address),
    );
    for (const { interfaceIndex, address, mac } of neighbors.ok ? neighbors.value : []) {
      const key = `${names.get(interfaceIndex)} ${mac}`;
      const found = known.get(key) ?? { addresses: [], servers: [] };
      known.set(key, found);
      if (found.addresses.length >= KNOWN_MAX) continue;
      found.addresses.push(address);
      found.servers.push(...this.#ports.serversAt(address).slice(0, KNOWN_MAX));
    }
  }

  /** The kernel itself asks for IPv6 addresses that are new, and keeps those that others have. */
  #findDuplicates(): void {
    const ipv6 = [...this.#instances.values()].some(
      ({ family, addresses }) =>
        family === 'ipv6' || addresses.some(({ address }) => ipFamily(address) === 'ipv6'),
    );
    const route = ipv6 ? this.#openRoute() : null;
    const listed = route?.listAddresses();
    const links = route?.listLinks();
    if (listed?.ok !== true || links?.ok !== true) return;
    const names = new Map(links.value.map(({ index, name }) => [index, name]));
    const before = new Map(this.#duplicates.map((one) => [socketAddress(one), one]));
    const failed = listed.value.filter(isDuplicate);
    this.#duplicates = failed.map(({ interfaceIndex, address }) => {
      const duplicate = { interface: names.get(interfaceIndex) ?? '', address };
      const sinceUs = before.get(socketAddress(duplicate))?.sinceUs ?? this.#ports.nowUs();
      return { ...duplicate, sinceUs };
    });
  }

  #closeSocket(key: string, { socket }: Opened): void {
    socket.close();
    this.#sockets.delete(key);
  }

  #wallTime(atUs: number): string {
    return new Date(Date.now() - (this.#ports.nowUs() - atUs) / 1000).toISOString();
  }
}

/** Of one machine, so many of its addresses are told. */
const KNOWN_MAX = 4;
const UNKNOWN: Pick<Holder, 'addresses' | 'servers'> = { addresses: [], servers: [] };

function watchedBy(instance: WatchedInstance): readonly WatchedAddress[] {
  const { source, vips } = addressesToWatch(instance);
  return source === null ? vips : [source, ...vips];
}

function socketKey(watched: WatchedAddress): string {
  return `${watched.interface} ${ipFamily(watched.address)}`;
}

function socketAddress(watched: WatchedAddress): string {
  return `${watched.interface} ${watched.address}`;
}

function isDuplicate({ family, flags }: InterfaceAddress): boolean {
  return family === 'ipv6' && (flags & IFA_F_DADFAILED) !== 0;
}

/** What a duplicate is to an instance; null for nothing. */
function duplicateOf(
  instance: WatchedInstance,
  { interface: at, address }: WatchedAddress,
): 'source' | 'vip' | null {
  const { addresses, family } = instance;
  const isVip = addresses.some((vip) => vip.address === address && vip.interface === at);
  if (isVip) return 'vip';
  const isSource = family === 'ipv6' && at === instance.interface && isLinkLocal(address);
  return isSource ? 'source' : null;
}

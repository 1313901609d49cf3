/**
 * VRRP instances from their parsed form: defaults applied, the rules that concern several
 * values checked (RFC 9568 sections 5 and 6, RFC 3768 section 5), duplicates between instances
 * found. A value is returned even when errors were reported, so that others can be checked.
 */
import type {
  AddressFamily,
  HmacConfig,
  TrackConfig,
  VipConfig,
  VrrpConfig,
} from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { ipFamily } from '../core/ip.ts';
import type { Path } from './document.ts';
import type { Report } from './report.ts';
import { prefixLengthOf, resolveAttributes } from './resolve-address.ts';
import { resolveAnnounce } from './resolve-announce.ts';
import { reportVirtualLinks, resolveVirtualLink } from './resolve-link.ts';
import { familyOfPeers, resolveMulticastGroup, resolveUnicast } from './resolve-unicast.ts';
import type { VrrpInput } from './schema.ts';
import { resolveElection } from './schema-election.ts';
import { reportStrict } from './strict.ts';
import { joinWords } from './suggest.ts';

/** Version 3 sends the interval as 12 bits of centiseconds: RFC 9568 section 5.2.7. */
const V3_UNIT_US = 10_000;
const V3_INTERVAL_MAX_US = 4095 * V3_UNIT_US;
/** Version 2 sends it as a byte of seconds: RFC 3768 section 5.3.7. */
const V2_UNIT_US = 1_000_000;
const V2_INTERVAL_MAX_US = 255 * V2_UNIT_US;

/**
 * Addresses in one advertisement: the count is a byte, and a packet must fit in an Ethernet
 * frame of 1500 bytes (40 of them IPv6's header, 8 VRRP's, 16 for each address).
 */
const ADVERTISED_MAX: Readonly<Record<AddressFamily, number>> = { ipv4: 255, ipv6: 90 };

/** keepalived's bound. */
const HMAC_WINDOW_MAX_SECONDS = 300;

export interface NamedVrrp {
  readonly name: string;
  readonly input: VrrpInput;
}

/** The instances with all defaults; `path` of each is vrrp.NAME. */
export function resolveVrrp(instances: readonly NamedVrrp[], report: Report): VrrpConfig[] {
  const resolved = instances.map(({ name, input }) => resolveInstance(name, input, report));
  reportDuplicateVrids(resolved, report);
  reportDuplicateAddresses(resolved, report);
  reportVirtualLinks(resolved, report);
  return resolved;
}

function resolveInstance(name: string, input: VrrpInput, report: Report): VrrpConfig {
  const { vrrp } = DEFAULTS;
  const path = ['vrrp', name];
  const version = input.version ?? vrrp.version;
  const first = input.addresses[0];
  const family =
    input.family ??
    familyOfPeers(input) ??
    (first === undefined ? 'ipv4' : ipFamily(first.address.address));
  const virtualLink = resolveVirtualLink(input, family, path, report);
  const addresses = input.addresses.map(
    (entry, index): VipConfig => ({
      address: entry.address.address,
      prefixLength: prefixLengthOf(entry),
      interface: entry.interface ?? virtualLink?.name ?? input.interface,
      advertised: (entry.advertised ?? true) && ipFamily(entry.address.address) === family,
      track: entry.track ?? true,
      attributes: resolveAttributes(entry, [...path, 'addresses', index], report),
    }),
  );
  const instance: VrrpConfig = {
    name,
    interface: input.interface,
    family,
    version,
    vrid: input.vrid,
    priority: input.priority ?? vrrp.priority,
    advertIntervalUs: input.interval ?? vrrp.advertIntervalUs,
    preempt: input.preempt ?? vrrp.preempt,
    preemptDelayUs: input.preempt_delay ?? vrrp.preemptDelayUs,
    ...resolveElection(input, version),
    checksum: input.checksum ?? vrrp.checksum,
    password: input.password ?? null,
    hmac: resolveHmac(input, path, report),
    sourceAddress: input.source ?? null,
    unicast: resolveUnicast(input, { family, addresses }, path, report),
    multicastGroup: resolveMulticastGroup(input, family, path, report),
    virtualLink,
    announce: resolveAnnounce(input.announce),
    addresses,
    // Numbered and checked together with those of others: resolve-routing.ts.
    routes: [],
    rules: [],
    group: null,
    track: resolveTrack(input.track),
    trackInterface: input.track_interface ?? vrrp.trackInterface,
    promoteSecondaries: input.promote_secondaries ?? vrrp.promoteSecondaries,
  };
  reportVersion(instance, path, report);
  reportFamily(instance, path, report);
  reportSource(instance, path, report);
  if (input.strict === true) reportStrict(instance, path, report);
  return instance;
}

/** Uses of trackers with their defaults. */
export function resolveTrack(track: VrrpInput['track']): TrackConfig[] {
  return (track ?? []).map(({ tracker, weight, reverse }) => ({
    tracker,
    weight: weight ?? 0,
    reverse: reverse ?? false,
  }));
}

/** keepalived's default: three intervals, in whole seconds, and not less than 5. */
function defaultWindowSeconds(intervalUs: number): number {
  return Math.min(Math.max(Math.ceil((3 * intervalUs) / 1_000_000), 5), HMAC_WINDOW_MAX_SECONDS);
}

function resolveHmac(input: VrrpInput, path: Path, report: Report): HmacConfig | null {
  const { hmac } = input;
  if (hmac === undefined) return null;
  const { vrrp } = DEFAULTS;
  const keys = Object.entries(hmac.keys).map(([id, secretHex]) => ({ id: Number(id), secretHex }));
  if (!keys.some(({ id }) => id === hmac.active_key)) {
    const ids = joinWords(Object.keys(hmac.keys), 'or');
    report.error([...path, 'hmac', 'active_key'], `expected the number of one of the keys: ${ids}`);
  }
  if (hmac.window !== undefined && hmac.replay !== undefined && hmac.replay !== 'time') {
    const message = `it counts with replay: time only, not with ${hmac.replay}`;
    report.warning([...path, 'hmac', 'window'], message);
  }
  return {
    keys,
    activeKey: hmac.active_key,
    mode: hmac.mode ?? vrrp.hmac.mode,
    replay: hmac.replay ?? vrrp.hmac.replay,
    windowSeconds: hmac.window ?? defaultWindowSeconds(input.interval ?? vrrp.advertIntervalUs),
  };
}

/** An owner has its addresses always, who is backup has none to send from. */
function reportSource(instance: VrrpConfig, path: Path, report: Report): void {
  const { sourceAddress, priority, addresses } = instance;
  if (priority === 255 || !addresses.some(({ address }) => address === sourceAddress)) return;
  const message =
    'is one of its own addresses, which a backup does not have: expected an address that the ' +
    'interface always has';
  report.error([...path, 'source'], message);
}

function reportVersion(instance: VrrpConfig, path: Path, report: Report): void {
  const { version, family, advertIntervalUs: intervalUs } = instance;
  if (version === 2) {
    if (instance.hmac !== null) {
      const message = 'version 2 has no HMAC authentication, expected version 3';
      report.error([...path, 'hmac'], message, 'bare');
    }
    if (family === 'ipv6') {
      report.error([...path, 'version'], 'version 2 has no IPv6, expected 3');
    }
    if (intervalUs % V2_UNIT_US !== 0 || intervalUs > V2_INTERVAL_MAX_US) {
      report.error([...path, 'interval'], 'expected whole seconds from 1s to 255s with version 2');
    }
    return;
  }
  if (intervalUs % V3_UNIT_US !== 0 || intervalUs > V3_INTERVAL_MAX_US) {
    const message = 'expected a multiple of 10ms from 10ms to 40.95s with version 3';
    report.error([...path, 'interval'], message);
  }
  if (instance.password !== null) {
    report.error([...path, 'password'], 'only version 2 has passwords', 'bare');
  }
}

function reportFamily(instance: VrrpConfig, path: Path, report: Report): void {
  const { family, sourceAddress } = instance;
  if (sourceAddress !== null && ipFamily(sourceAddress) !== family) {
    report.error([...path, 'source'], `expected an ${family} address, as advertisements are`);
  }
  // RFC 9568 section 5.2.5: the count of addresses is at least 1, peers drop what has none.
  const advertised = instance.addresses.filter((vip) => vip.advertised).length;
  if (advertised === 0) {
    const message = `expected at least one ${family} address, as advertisements are`;
    report.error([...path, 'addresses'], message, 'bare');
  }
  // The 28 bytes of the trailer take the room of two IPv6 addresses, one of which was to spare.
  const most = ADVERTISED_MAX[family] - (instance.hmac !== null && family === 'ipv6' ? 1 : 0);
  if (advertised > most) {
    const message =
      `expected at most ${most} ${family} addresses, which is what an advertisement holds: ` +
      'give the others advertised: false';
    report.error([...path, 'addresses'], message, 'bare');
  }
}

/** RFC 9568 section 5.2.3: a VRID is unique on its network, for each family. */
function reportDuplicateVrids(instances: readonly VrrpConfig[], report: Report): void {
  const seen = new Map<string, string>();
  for (const { name, interface: on, family, vrid } of instances) {
    const key = `${vrid} ${family} ${on}`;
    const other = seen.get(key);
    if (other === undefined) seen.set(key, name);
    else {
      const message = `VRID ${vrid} is taken on ${on} for ${family} by vrrp.${other}`;
      report.error(['vrrp', name, 'vrid'], message, 'bare');
    }
  }
}

function reportDuplicateAddresses(instances: readonly VrrpConfig[], report: Report): void {
  const seen = new Map<string, string>();
  for (const { name, addresses } of instances) {
    for (const [index, vip] of addresses.entries()) {
      const key = `${vip.address} ${vip.interface}`;
      const other = seen.get(key);
      if (other === undefined) seen.set(key, `vrrp.${name}.addresses[${index}]`);
      else {
        const message = `${vip.address} is carried on ${vip.interface} by ${other} already`;
        report.error(['vrrp', name, 'addresses', index], message, 'bare');
      }
    }
  }
}

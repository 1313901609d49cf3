/**
 * Virtual services and real servers from their parsed form: defaults applied, and everything
 * refused that the kernel would refuse or ignore (net/netfilter/ipvs/ip_vs_ctl.c). Servers may
 * be missing (null) where their own form was wrong; the others are checked all the same.
 */
import { asksForWeight, hasPort, mostWeight } from '../core/config/check.ts';
import type {
  AddressFamily,
  PassiveConfig,
  Persistence,
  RealServerConfig,
  ServiceConfig,
  ServiceIdentity,
  Tunnel,
} from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { ipFamily } from '../core/ip.ts';
import { serverKey, serviceFamily, serviceKey } from '../core/ipvs/model.ts';
import { ENTRIES_MAX, tooMany } from './address-set.ts';
import type { Path } from './document.ts';
import type { Report } from './report.ts';
import { type CheckedServer, inheritCheck, reportCheck, resolveCheck } from './resolve-check.ts';
import { type KnownSessions, reportBfdSessions } from './resolve-check-bfd.ts';
import { resolveMaintenance } from './resolve-maintenance.ts';
import { resolveServiceNotify } from './resolve-notify.ts';
import { resolveThroughVip } from './resolve-through-vip.ts';
import type { CheckInput, ServerInput, ServiceInput } from './schema.ts';
import { joinWords } from './suggest.ts';
import { familyBits } from './values.ts';

export interface NamedService {
  readonly name: string;
  readonly input: ServiceInput;
  /** In the order of the file; null for one that could not be parsed. */
  readonly servers: readonly (ServerInput | null)[];
  readonly sorryServers: readonly (ServerInput | null)[];
}

/** The services with all defaults; `path` of each is services.NAME. */
export function resolveServices(
  services: readonly NamedService[],
  around: Pick<ServiceFacts, 'scripts' | 'bfd' | 'hasMail'>,
  report: Report,
): ServiceConfig[] {
  const resolved: ServiceConfig[] = [];
  const seen = new Map<string, string>();
  for (const service of services) {
    const { name, input } = service;
    const entries = resolveEntries(input, ['services', name], report);
    for (const { identity, path } of entries) {
      const key = serviceKey(identity);
      const other = seen.get(key);
      if (other === undefined) seen.set(key, name);
      else {
        const where = other === name ? 'in this service' : `services.${other}`;
        report.error(['services', name, ...path], `${key} is ${where} already`, 'bare');
      }
    }
    const [first, ...others] = entries.map(({ identity }) => identity);
    if (first === undefined) continue;
    resolved.push(resolveService(service, { identities: [first, ...others], ...around }, report));
  }
  return resolved;
}

interface PlacedEntry {
  readonly identity: ServiceIdentity;
  /** Where it stands, below the service. */
  readonly path: Path;
}

/** All entries of a service, addresses first; none where that was an error. */
function resolveEntries(input: ServiceInput, path: Path, report: Report): readonly PlacedEntry[] {
  const { service } = DEFAULTS;
  const { address, fwmark } = input;
  if (address === undefined && fwmark === undefined) {
    report.error([...path, 'address'], 'expected an address, or fwmark');
    return [];
  }
  if (fwmark === undefined && input.family !== undefined) {
    report.error([...path, 'family'], 'only a service with fwmark needs a family', 'bare');
  }
  if (address === undefined && input.protocol !== undefined) {
    report.error([...path, 'protocol'], 'a service with fwmark has no protocol', 'bare');
  }
  const protocol = input.protocol ?? service.protocol;
  const entries: PlacedEntry[] = [];
  for (const [index, set] of (address ?? []).entries()) {
    const place = address?.length === 1 ? ['address'] : ['address', index];
    for (const one of set) {
      entries.push({ identity: { kind: 'address', protocol, ...one }, path: place });
    }
  }
  const family = input.family ?? service.fwmarkFamily;
  const families = family === 'both' ? (['ipv4', 'ipv6'] as const) : [family];
  for (const [index, mark] of (fwmark ?? []).entries()) {
    const place = fwmark?.length === 1 ? ['fwmark'] : ['fwmark', index];
    for (const each of families) {
      entries.push({ identity: { kind: 'fwmark', family: each, mark }, path: place });
    }
  }
  if (entries.length <= ENTRIES_MAX) return entries;
  report.error([...path, 'address'], tooMany(entries.length), 'bare');
  return [];
}

function resolveService(
  { name, input, servers, sorryServers }: NamedService,
  { identities, scripts, bfd, hasMail }: Omit<ServiceFacts, 'tcpByDefault'>,
  report: Report,
): ServiceConfig {
  const { service } = DEFAULTS;
  const path = ['services', name];
  const tcpByDefault = identities.every((one) => one.kind === 'address' && one.protocol === 'tcp');
  if (input.check !== undefined) {
    const where = { path: [...path, 'check'], tcpByDefault, bfd, report };
    reportCheck(input.check, input.check, where);
  }
  const engine = input.persistence_engine ?? 'none';
  const config: ServiceConfig = {
    name,
    // What they follow is known when the VRRP instances are: resolve-follow.ts.
    entries: identities.map((identity) => ({ identity, follow: input.follow ?? null })),
    scheduler: input.scheduler ?? service.scheduler,
    schedulerFlags: input.scheduler_flags ?? [],
    persistence: resolvePersistence(input.persistence),
    persistenceEngine: engine === 'none' ? service.persistenceEngine : engine,
    onePacket: input.one_packet ?? service.onePacket,
    onFailure: input.on_failure ?? service.onFailure,
    quorum: {
      weight: input.quorum ?? service.quorum.weight,
      hysteresis: input.hysteresis ?? service.quorum.hysteresis,
      below: input.below_quorum ?? (sorryServers.length > 0 ? 'sorry' : 'serve'),
    },
    minHealthyPercent: input.min_healthy ?? service.minHealthyPercent,
    slowStartUs: input.slow_start ?? service.slowStartUs,
    onlyOnActive: input.only_on_active ?? DEFAULTS.ipvs.onlyOnActive,
    checkWhen: input.check_when ?? service.checkWhen,
    onRemove: input.on_remove ?? DEFAULTS.ipvs.onRemove,
    drainTimeoutUs: input.drain_timeout ?? DEFAULTS.ipvs.drainTimeoutUs,
    passive: resolvePassive(input.passive, identities, { path: [...path, 'passive'], report }),
    notify: resolveServiceNotify(input.notify, { path: [...path, 'notify'], hasMail, report }),
    maintenance: resolveMaintenance(input.maintenance, {
      // That of a whole service is meant to leave it without servers.
      ...{ path: [...path, 'maintenance'], force: true, report },
    }),
    ...resolveServers(
      { name, input, servers, sorryServers },
      { identities, tcpByDefault, scripts, bfd, hasMail },
      report,
    ),
  };
  reportTunnelUse(input, [...servers, ...sorryServers], path, report);
  reportService(config, path, report);
  warnOfWeights(config, path, report);
  if (servers.length === 0) warnOfNone(sorryServers.length > 0, path, report);
  reportQuorum(config, { input, complete: !servers.includes(null) }, path, report);
  if (!tcpByDefault && input.check === undefined) warnOfUnchecked(servers, path, report);
  return config;
}

/** It may be the beginning of a service, or what a template made of an empty list. */
function warnOfNone(hasSorry: boolean, path: Path, report: Report): void {
  const who = hasSorry ? 'its sorry servers have all its clients' : 'its clients reach nobody';
  report.warning([...path, 'servers'], `there are none: ${who}`);
}

/** Who moves a service to UDP or to a mark would not see that its servers are in for good. */
function warnOfUnchecked(servers: NamedService['servers'], path: Path, report: Report): void {
  const unchecked = servers.filter((server) => server !== null && server.check === undefined);
  if (unchecked.length === 0) return;
  const which = unchecked.length === servers.length ? 'its' : `${unchecked.length} of its`;
  const message =
    `${which} servers are not checked and stay in whatever happens to them: only services of TCP ` +
    'have a check by default. Give the service a check, or check: none where that is meant';
  report.warning([...path, 'servers'], message);
}

/** Schedulers that send nobody to a weight of 0, and take all other weights for the same. */
const WITHOUT_WEIGHTS: readonly string[] = ['rr', 'lc', 'dh'];

/** Who gives servers different weights means something by them. */
function warnOfWeights(
  { scheduler, servers, slowStartUs }: ServiceConfig,
  path: Path,
  report: Report,
): void {
  if (!WITHOUT_WEIGHTS.includes(scheduler)) return;
  const weights = new Set(servers.flatMap(({ weight }) => (weight === 0 ? [] : weight)));
  const asked = servers.some(({ check }) => check !== null && asksForWeight(check));
  const what = [
    ...(weights.size > 1 ? ['different weights'] : []),
    ...(slowStartUs > 0 ? ['slow_start'] : []),
    ...(asked ? ['weights that checks ask for, above 0,'] : []),
  ];
  if (what.length === 0) return;
  const other = scheduler === 'rr' ? 'wrr' : 'wlc';
  const message = `${scheduler} does not go by weights, so that ${joinWords(what, 'and')} do nothing but for the quorum: ${other} does`;
  report.warning([...path, 'scheduler'], message);
}

/** A quorum that can never be met, or does nothing, is a mistake. */
function reportQuorum(
  { servers, sorryServers, quorum, slowStartUs }: ServiceConfig,
  { input, complete }: { readonly input: ServiceInput; readonly complete: boolean },
  path: Path,
  report: Report,
): void {
  const total = servers.reduce((sum, server) => sum + mostWeight(server), 0);
  if (complete && input.quorum !== undefined && quorum.weight > total) {
    const message = `expected at most ${total}, the most that all servers weigh: it could never be met`;
    report.error([...path, 'quorum'], message);
  }
  if (complete && input.hysteresis !== undefined && quorum.weight + quorum.hysteresis > total) {
    const message = `quorum and hysteresis are more than ${total}, the most that all servers weigh: once lost, the quorum could never be met again`;
    report.error([...path, 'hysteresis'], message, 'bare');
  }
  if (quorum.hysteresis >= quorum.weight && input.hysteresis !== undefined) {
    report.error([...path, 'hysteresis'], `expected less than quorum, which is ${quorum.weight}`);
  }
  if (quorum.below === 'sorry' && sorryServers.length === 0) {
    report.error([...path, 'below_quorum'], 'sorry needs sorry_servers', 'bare');
  }
  if (quorum.below !== 'sorry' && sorryServers.length > 0) {
    const message = `the sorry servers are never used with below_quorum ${quorum.below}`;
    report.warning([...path, 'below_quorum'], message);
  }
  if (
    slowStartUs > 0 &&
    complete &&
    servers.length > 0 &&
    servers.every((server) => mostWeight(server) < 2)
  ) {
    const message = 'weights of 1 cannot rise: give the servers weights such as 100';
    report.warning([...path, 'slow_start'], message);
  }
}

function resolvePassive(
  input: ServiceInput['passive'],
  identities: ServiceFacts['identities'],
  { path, report }: { readonly path: Path; readonly report: Report },
): PassiveConfig {
  const { passive } = DEFAULTS;
  const { action = 'warn', window, retry } = typeof input === 'object' ? input : { action: input };
  const tcp = identities.every((one) => one.kind === 'address' && one.protocol === 'tcp');
  if (input !== undefined && action !== 'off' && !tcp) {
    report.error(
      path,
      'needs protocol tcp: only there the kernel tells active connections',
      'bare',
    );
  }
  return {
    action: input === undefined ? passive.action : action,
    windowUs: window ?? passive.windowUs,
    retryUs: retry ?? passive.retryUs,
  };
}

function resolvePersistence(input: ServiceInput['persistence']): Persistence | null {
  if (input === undefined || input === 'none') return DEFAULTS.service.persistence;
  return { timeoutSeconds: input.timeout, prefixLength: input.prefix ?? null };
}

/** What the kernel refuses of a service, and what it would ignore. */
function reportService(config: ServiceConfig, path: Path, report: Report): void {
  const { entries, persistence, scheduler } = config;
  const identities = entries.map(({ identity }) => identity);
  const udp = identities.every((one) => one.kind === 'fwmark' || one.protocol === 'udp');
  if (identities.some((one) => one.kind === 'address' && one.port === 0) && persistence === null) {
    report.error([...path, 'address'], 'port 0, all ports, needs persistence');
  }
  reportPrefix(config, path, report);
  if (config.persistenceEngine !== null && persistence === null) {
    report.error([...path, 'persistence_engine'], 'an engine needs persistence');
  }
  if (config.persistenceEngine === 'sip' && !udp) {
    // ip_vs_sip_fill_param (ip_vs_pe_sip.c) works on UDP only.
    report.error([...path, 'persistence_engine'], 'sip needs protocol udp, or fwmark', 'bare');
  }
  if (config.onePacket && !udp) {
    report.error([...path, 'one_packet'], 'one_packet needs protocol udp, or fwmark', 'bare');
  }
  for (const [index, flag] of config.schedulerFlags.entries()) {
    const owner = /^(sh|mh)-/.exec(flag)?.[1];
    if (owner === undefined || owner === scheduler) continue;
    const message = `${flag} needs scheduler ${owner}`;
    report.error([...path, 'scheduler_flags', index], message, 'bare');
  }
}

function reportPrefix({ entries, persistence }: ServiceConfig, path: Path, report: Report): void {
  if (persistence === null || persistence.prefixLength === null) return;
  const families = new Set(entries.map(({ identity }) => serviceFamily(identity)));
  const [family, other] = families;
  const where = [...path, 'persistence', 'prefix'];
  if (other !== undefined) {
    const message = 'a service of both families has no prefix: make it two services';
    report.error(where, message, 'bare');
  } else if (family !== undefined && persistence.prefixLength > familyBits(family)) {
    report.error(where, `expected a whole number from 1 to ${familyBits(family)} for ${family}`);
  }
}

function reportTunnelUse(
  input: ServiceInput,
  servers: NamedService['servers'],
  path: Path,
  report: Report,
): void {
  if (input.tunnel !== undefined) {
    const used = servers.some((server) => (server?.forwarding ?? input.forwarding) === 'tun');
    if (!used && input.forwarding !== 'tun') {
      report.error([...path, 'tunnel'], 'a tunnel needs forwarding tun', 'bare');
    }
    reportTunnel(input.tunnel, [...path, 'tunnel'], report);
  }
}

function reportTunnel(
  input: NonNullable<ServiceInput['tunnel']>,
  path: Path,
  report: Report,
): void {
  if (input.gue !== undefined && input.gre !== undefined) {
    report.error(path, 'expected only one of gue and gre', 'bare');
  }
}

function resolveTunnel(input: ServiceInput['tunnel']): Tunnel {
  const { service, gue, gre } = DEFAULTS;
  if (input?.gue !== undefined) {
    const { port, checksum } = input.gue;
    return { kind: 'gue', port: port ?? gue.port, checksum: checksum ?? gue.checksum };
  }
  if (input?.gre !== undefined) {
    return { kind: 'gre', checksum: input.gre.checksum ?? gre.checksum };
  }
  return service.tunnel;
}

interface ServiceFacts {
  /** Of the entries, in their order. */
  readonly identities: readonly [ServiceIdentity, ...ServiceIdentity[]];
  readonly tcpByDefault: boolean;
  /** How scripts of checks are run. */
  readonly scripts: CheckedServer['scripts'];
  readonly bfd: KnownSessions;
  /** There is a section `mail`. */
  readonly hasMail: boolean;
}

function resolveServers(
  { name, input, servers, sorryServers }: NamedService,
  facts: ServiceFacts,
  report: Report,
): Pick<ServiceConfig, 'servers' | 'sorryServers'> {
  const seen = new Map<string, string>();
  const resolveList = (list: NamedService['servers'], place: string): RealServerConfig[] => {
    const resolved: RealServerConfig[] = [];
    const places: Path[] = [];
    for (const [index, server] of list.entries()) {
      if (server === null) continue;
      const path = ['services', name, place, index];
      const maintenance = resolveMaintenance(server.maintenance, {
        ...{ path: [...path, 'maintenance'], force: false, report },
      });
      const entries = facts.identities.map((identity) => ({ identity, follow: null }));
      const complete = completeCheck(server, input, facts.tcpByDefault);
      const own = { ...resolveServer(server, input, facts), maintenance };
      const config = resolveThroughVip(own, complete, { entries, path, report });
      reportServer({ config, server, input, facts }, path, report);
      const key = serverKey(config);
      const other = seen.get(key);
      if (other === undefined) seen.set(key, `${place}[${index}]`);
      else report.error(path, `${key} is ${other} already`, 'bare');
      resolved.push(config);
      places.push(path);
    }
    reportBfdSessions(resolved, facts.bfd, (index) => places[index] ?? [], report);
    return resolved;
  };
  const resolved = {
    servers: resolveList(servers, 'servers'),
    sorryServers: resolveList(sorryServers, 'sorry_servers'),
  };
  if (!servers.includes(null)) reportUnserved(resolved.servers, { name, input, facts }, report);
  if (!sorryServers.includes(null)) {
    const unserved = unservedFamilies(resolved.sorryServers, facts.identities);
    for (const family of unserved) {
      const message = `none of them serves the ${family} clients: those go to nobody when the others do`;
      report.warning(['services', name, 'sorry_servers'], message);
    }
  }
  return resolved;
}

/** A family without a server of its own would be an address that answers nothing. */
function reportUnserved(
  servers: readonly RealServerConfig[],
  {
    name,
    input,
    facts,
  }: { readonly name: string; readonly input: ServiceInput; readonly facts: ServiceFacts },
  report: Report,
): void {
  for (const family of unservedFamilies(servers, facts.identities)) {
    const message = `none of them serves the ${family} ${input.fwmark === undefined ? 'addresses' : 'packets'}`;
    report.error(['services', name, 'servers'], message, 'bare');
  }
}

/** Families of a service of both that none of these servers, of which there are some, has. */
function unservedFamilies(
  servers: readonly RealServerConfig[],
  identities: ServiceFacts['identities'],
): readonly AddressFamily[] {
  const families = new Set(identities.map(serviceFamily));
  if (servers.length === 0 || families.size === 1) return [];
  return [...families].filter((family) =>
    servers.every(({ address }) => ipFamily(address) !== family),
  );
}

/** The port of all entries where they have the same, else 0. */
function commonPort(identities: ServiceFacts['identities']): number {
  const ports = new Set(identities.map((one) => (one.kind === 'address' ? one.port : 0)));
  return ports.size === 1 ? ([...ports][0] ?? 0) : 0;
}

function completeCheck(server: ServerInput, service: ServiceInput, tcp: boolean): CheckInput {
  return inheritCheck(server.check, service.check) ?? (tcp ? { tcp: {} } : 'none');
}

function resolveServer(
  server: ServerInput,
  service: ServiceInput,
  { identities, tcpByDefault, scripts, bfd }: ServiceFacts,
): Omit<RealServerConfig, 'maintenance'> {
  const defaults = DEFAULTS.server;
  const { address } = server.address;
  const port = server.address.port ?? commonPort(identities);
  return {
    address,
    port,
    weight: server.weight ?? defaults.weight,
    forwarding: server.forwarding ?? service.forwarding ?? DEFAULTS.service.forwarding,
    tunnel: resolveTunnel(server.tunnel ?? service.tunnel),
    upperThreshold: server.upper_threshold ?? defaults.upperThreshold,
    lowerThreshold: server.lower_threshold ?? defaults.lowerThreshold,
    check: resolveCheck(completeCheck(server, service, tcpByDefault), {
      ...{ identity: firstServed(identities, address), address, port, scripts, bfd },
    }),
  };
}

/** What a script is told that it checks for: an entry of the server's own family, if there is one. */
function firstServed(
  identities: ServiceFacts['identities'],
  address: RealServerConfig['address'],
): ServiceIdentity {
  const family = ipFamily(address);
  return identities.find((one) => serviceFamily(one) === family) ?? identities[0];
}

interface ServerCase {
  readonly config: RealServerConfig;
  readonly server: ServerInput;
  readonly input: ServiceInput;
  readonly facts: ServiceFacts;
}

function reportServer(
  { config, server, input, facts }: ServerCase,
  path: Path,
  report: Report,
): void {
  const { identities, tcpByDefault, bfd } = facts;
  if (server.check !== undefined) {
    const complete = completeCheck(server, input, tcpByDefault);
    reportCheck(server.check, complete, { path: [...path, 'check'], tcpByDefault, bfd, report });
  }
  if (server.tunnel !== undefined) {
    if (config.forwarding !== 'tun') {
      report.error([...path, 'tunnel'], 'a tunnel needs forwarding tun', 'bare');
    }
    reportTunnel(server.tunnel, [...path, 'tunnel'], report);
  }
  reportPort(config, identities, path, report);
  reportSource(config, server, path, report);
  reportServerFamily(config, new Set(identities.map(serviceFamily)), path, report);
  // The kernel: ERANGE.
  if (config.lowerThreshold > config.upperThreshold) {
    const { upperThreshold } = config;
    const message =
      upperThreshold === 0
        ? 'a lower threshold needs upper_threshold above it'
        : `expected at most upper_threshold, which is ${upperThreshold}`;
    report.error([...path, 'lower_threshold'], message);
  }
}

function reportPort(
  config: RealServerConfig,
  identities: ServiceFacts['identities'],
  path: Path,
  report: Report,
): void {
  const { forwarding, port } = config;
  const ports = new Set(identities.flatMap((one) => (one.kind === 'address' ? [one.port] : [])));
  const [first = 0, ...others] = ports;
  const several = others.length > 0;
  const right = port === 0 ? several || hasMark(identities) : port === first && !several;
  if (forwarding !== 'nat' && ports.size > 0 && !right && !(port === 0 && first === 0)) {
    // Direct routing and tunnels leave the packet as it is, its port included.
    const expected = several ? 'no port' : `port ${first}`;
    report.error(path, `expected ${expected}: forwarding ${forwarding} keeps the port`, 'bare');
  } else if (!several && first !== 0 && port === 0 && !hasMark(identities)) {
    report.error(path, 'expected a port from 1 to 65535');
  }
  if (config.port === 0 && config.check?.port === null && hasPort(config.check)) {
    report.error(path, 'the check needs a port, the server has none: set check.port', 'bare');
  }
}

function hasMark(identities: ServiceFacts['identities']): boolean {
  return identities.some(({ kind }) => kind === 'fwmark');
}

/** A check's source is of the family that it asks. */
function reportSource(
  { address, check }: RealServerConfig,
  server: ServerInput,
  path: Path,
  report: Report,
): void {
  if (check === null || !('source' in check) || check.source === null) return;
  const asked = check.address ?? address;
  if (ipFamily(check.source) === ipFamily(asked)) return;
  const own = server.check !== 'none' && server.check?.bind !== undefined;
  const message = `expected check.bind of ${ipFamily(asked)} here, as ${asked} is; it is ${check.source}`;
  report.error(own ? [...path, 'check', 'bind'] : path, message, 'bare');
}

function reportServerFamily(
  config: RealServerConfig,
  families: ReadonlySet<AddressFamily>,
  path: Path,
  report: Report,
): void {
  if (!families.has(ipFamily(config.address)) && config.forwarding !== 'tun') {
    const message = `expected an ${[...families][0]} address: the other family needs forwarding tun`;
    report.error(path, message, 'bare');
  }
}

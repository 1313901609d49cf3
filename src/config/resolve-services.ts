/**
 * Virtual services and real servers from their parsed form: defaults applied, and everything
 * refused that the kernel would refuse or ignore (net/netfilter/ipvs/ip_vs_ctl.c). Servers may
 * be missing (null) where their own form was wrong; the others are checked all the same.
 */
import { hasPort } from '../core/config/check.ts';
import type {
  AddressFamily,
  Persistence,
  RealServerConfig,
  ServiceConfig,
  ServiceIdentity,
  Tunnel,
} from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { ipFamily } from '../core/ip.ts';
import { serverKey, serviceFamily, serviceKey } from '../core/ipvs/model.ts';
import type { Path } from './document.ts';
import type { Report } from './report.ts';
import { type CheckedServer, inheritCheck, reportCheck, resolveCheck } from './resolve-check.ts';
import type { CheckInput, ServerInput, ServiceInput } from './schema.ts';
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
  scripts: CheckedServer['scripts'],
  report: Report,
): ServiceConfig[] {
  const resolved: ServiceConfig[] = [];
  const seen = new Map<string, string>();
  for (const service of services) {
    const path = ['services', service.name];
    const identity = resolveIdentity(service.input, path, report);
    if (identity === null) continue;
    const key = serviceKey(identity);
    const other = seen.get(key);
    if (other === undefined) seen.set(key, service.name);
    else {
      const place = identity.kind === 'address' ? 'address' : 'fwmark';
      report.error([...path, place], `${key} is services.${other} already`, 'bare');
    }
    resolved.push(resolveService(service, { identity, scripts }, report));
  }
  return resolved;
}

function resolveIdentity(input: ServiceInput, path: Path, report: Report): ServiceIdentity | null {
  const { service } = DEFAULTS;
  if (input.address !== undefined) {
    if (input.fwmark !== undefined) {
      report.error([...path, 'fwmark'], 'expected address or fwmark, not both', 'bare');
    }
    if (input.family !== undefined) {
      report.error([...path, 'family'], 'only a service with fwmark needs a family', 'bare');
    }
    const { address, port } = input.address;
    return { kind: 'address', protocol: input.protocol ?? service.protocol, address, port };
  }
  if (input.fwmark === undefined) {
    report.error([...path, 'address'], 'expected an address, or fwmark');
    return null;
  }
  if (input.protocol !== undefined) {
    report.error([...path, 'protocol'], 'a service with fwmark has no protocol', 'bare');
  }
  return { kind: 'fwmark', family: input.family ?? service.fwmarkFamily, mark: input.fwmark };
}

function resolveService(
  { name, input, servers, sorryServers }: NamedService,
  { identity, scripts }: Pick<ServiceFacts, 'identity' | 'scripts'>,
  report: Report,
): ServiceConfig {
  const { service } = DEFAULTS;
  const path = ['services', name];
  const tcpByDefault = identity.kind === 'address' && identity.protocol === 'tcp';
  if (input.check !== undefined) {
    const where = { path: [...path, 'check'], tcpByDefault, report };
    reportCheck(input.check, input.check, where);
  }
  const engine = input.persistence_engine ?? 'none';
  const config: ServiceConfig = {
    name,
    identity,
    scheduler: input.scheduler ?? service.scheduler,
    schedulerFlags: input.scheduler_flags ?? [],
    persistence: resolvePersistence(input.persistence, identity),
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
    // What they become is known when the VRRP instances are: resolve-follow.ts.
    follow: input.follow ?? null,
    onlyOnActive: input.only_on_active ?? DEFAULTS.ipvs.onlyOnActive,
    checkWhen: input.check_when ?? service.checkWhen,
    ...resolveServers(
      { name, input, servers, sorryServers },
      { identity, tcpByDefault, scripts },
      report,
    ),
  };
  reportTunnelUse(input, [...servers, ...sorryServers], path, report);
  reportService(config, path, report);
  reportQuorum(config, { input, complete: !servers.includes(null) }, path, report);
  return config;
}

/** A quorum that can never be met, or does nothing, is a mistake. */
function reportQuorum(
  { servers, sorryServers, quorum, slowStartUs }: ServiceConfig,
  { input, complete }: { readonly input: ServiceInput; readonly complete: boolean },
  path: Path,
  report: Report,
): void {
  const total = servers.reduce((sum, { weight }) => sum + weight, 0);
  if (complete && input.quorum !== undefined && quorum.weight > total) {
    const message = `expected at most ${total}, the weight of all servers: it could never be met`;
    report.error([...path, 'quorum'], message);
  }
  if (complete && input.hysteresis !== undefined && quorum.weight + quorum.hysteresis > total) {
    const message = `quorum and hysteresis are more than ${total}, the weight of all servers: once lost, the quorum could never be met again`;
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
    servers.every(({ weight }) => weight < 2)
  ) {
    const message = 'weights of 1 cannot rise: give the servers weights such as 100';
    report.warning([...path, 'slow_start'], message);
  }
}

function resolvePersistence(
  input: ServiceInput['persistence'],
  identity: ServiceIdentity,
): Persistence | null {
  if (input === undefined || input === 'none') return DEFAULTS.service.persistence;
  const prefixLength = input.prefix ?? familyBits(serviceFamily(identity));
  return { timeoutSeconds: input.timeout, prefixLength };
}

/** What the kernel refuses of a service, and what it would ignore. */
function reportService(config: ServiceConfig, path: Path, report: Report): void {
  const { identity, persistence, scheduler } = config;
  const udp = identity.kind === 'fwmark' || identity.protocol === 'udp';
  const family = serviceFamily(identity);
  if (identity.kind === 'address' && identity.port === 0 && persistence === null) {
    report.error([...path, 'address'], 'port 0, all ports, needs persistence');
  }
  if (persistence !== null && persistence.prefixLength > familyBits(family)) {
    const message = `expected a whole number from 1 to ${familyBits(family)} for ${family}`;
    report.error([...path, 'persistence', 'prefix'], message);
  }
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
  readonly identity: ServiceIdentity;
  readonly tcpByDefault: boolean;
  /** How scripts of checks are run. */
  readonly scripts: CheckedServer['scripts'];
}

function resolveServers(
  { name, input, servers, sorryServers }: NamedService,
  facts: ServiceFacts,
  report: Report,
): Pick<ServiceConfig, 'servers' | 'sorryServers'> {
  const seen = new Map<string, string>();
  const resolveList = (list: NamedService['servers'], place: string): RealServerConfig[] => {
    const resolved: RealServerConfig[] = [];
    for (const [index, server] of list.entries()) {
      if (server === null) continue;
      const path = ['services', name, place, index];
      const config = resolveServer(server, input, facts);
      reportServer({ config, server, input, facts }, path, report);
      const key = serverKey(config);
      const other = seen.get(key);
      if (other === undefined) seen.set(key, `${place}[${index}]`);
      else report.error(path, `${key} is ${other} already`, 'bare');
      resolved.push(config);
    }
    return resolved;
  };
  return {
    servers: resolveList(servers, 'servers'),
    sorryServers: resolveList(sorryServers, 'sorry_servers'),
  };
}

function completeCheck(server: ServerInput, service: ServiceInput, tcp: boolean): CheckInput {
  return inheritCheck(server.check, service.check) ?? (tcp ? { tcp: {} } : 'none');
}

function resolveServer(
  server: ServerInput,
  service: ServiceInput,
  { identity, tcpByDefault, scripts }: ServiceFacts,
): RealServerConfig {
  const defaults = DEFAULTS.server;
  const servicePort = identity.kind === 'address' ? identity.port : 0;
  const { address } = server.address;
  const port = server.address.port ?? servicePort;
  return {
    address,
    port,
    weight: server.weight ?? defaults.weight,
    forwarding: server.forwarding ?? service.forwarding ?? DEFAULTS.service.forwarding,
    tunnel: resolveTunnel(server.tunnel ?? service.tunnel),
    upperThreshold: server.upper_threshold ?? defaults.upperThreshold,
    lowerThreshold: server.lower_threshold ?? defaults.lowerThreshold,
    check: resolveCheck(completeCheck(server, service, tcpByDefault), {
      ...{ identity, address, port, scripts },
    }),
  };
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
  const { identity, tcpByDefault } = facts;
  if (server.check !== undefined) {
    const complete = completeCheck(server, input, tcpByDefault);
    reportCheck(server.check, complete, { path: [...path, 'check'], tcpByDefault, report });
  }
  if (server.tunnel !== undefined) {
    if (config.forwarding !== 'tun') {
      report.error([...path, 'tunnel'], 'a tunnel needs forwarding tun', 'bare');
    }
    reportTunnel(server.tunnel, [...path, 'tunnel'], report);
  }
  reportPort(config, identity, path, report);
  reportServerFamily(config, serviceFamily(identity), path, report);
  // The kernel: ERANGE.
  if (config.lowerThreshold > config.upperThreshold) {
    const message = `expected at most upper_threshold, which is ${config.upperThreshold}`;
    report.error([...path, 'lower_threshold'], message);
  }
}

function reportPort(
  config: RealServerConfig,
  identity: ServiceIdentity,
  path: Path,
  report: Report,
): void {
  // Direct routing and tunnels leave the packet as it is, its port included.
  const fixed = config.forwarding !== 'nat' && identity.kind === 'address';
  if (fixed && config.port !== identity.port) {
    const { forwarding } = config;
    const message = `expected port ${identity.port}: forwarding ${forwarding} keeps the port`;
    report.error(path, message, 'bare');
  } else if (identity.kind === 'address' && identity.port !== 0 && config.port === 0) {
    report.error(path, 'expected a port from 1 to 65535');
  }
  if (config.port === 0 && config.check?.port === null && hasPort(config.check)) {
    report.error(path, 'the check needs a port, the server has none: set check.port', 'bare');
  }
}

function reportServerFamily(
  config: RealServerConfig,
  family: AddressFamily,
  path: Path,
  report: Report,
): void {
  if (ipFamily(config.address) !== family && config.forwarding !== 'tun') {
    const message = `expected an ${family} address: the other family needs forwarding tun`;
    report.error(path, message, 'bare');
  }
}

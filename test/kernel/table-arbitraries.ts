/**
 * Configurations of virtual services, drawn, and what ipvsadm should then say. The expectation is
 * written from ipvsadm's manual and the meaning of the options, not from the product's own plan.
 */
import fc from 'fast-check';

export interface DrawnServer {
  readonly address: string;
  readonly port: number;
  readonly forwarding: 'nat' | 'dr' | 'tun';
  readonly tunnel: DrawnTunnel;
  readonly weight: number;
  readonly upper: number;
  readonly lower: number;
}

type Checksum = 'none' | 'on' | 'remote';
type DrawnTunnel =
  | { readonly kind: 'ipip' }
  | { readonly kind: 'gue'; readonly port: number; readonly checksum: Checksum }
  | { readonly kind: 'gre'; readonly checksum: Checksum };

export interface DrawnService {
  readonly name: string;
  /** ipvsadm's words for it: '-t 192.0.2.201:4001', '-f 7 -6'. */
  readonly selector: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly scheduler: string;
  readonly flags: readonly string[];
  readonly persistence: { readonly seconds: number; readonly prefix: number } | null;
  readonly engine: boolean;
  readonly onePacket: boolean;
  readonly onFailure: 'quiesce' | 'remove';
  readonly servers: readonly DrawnServer[];
}

/** What a server's check reads, or what an operator said; the latter wins. */
export type ServerState =
  | { readonly kind: 'up' | 'down' }
  | { readonly kind: 'told'; readonly weight: number }
  | { readonly kind: 'override'; readonly action: 'up' | 'down' | 'drain' }
  | { readonly kind: 'override-weight'; readonly weight: number };

const SERVICES_MAX = 5;
const SERVERS_MAX = 4;
const SCHEDULERS = [
  ...['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'dh', 'sh', 'sed', 'nq', 'fo', 'ovf', 'mh'],
  'twos',
];
type Family = 'ipv4' | 'ipv6';
const BITS = { ipv4: 32, ipv6: 128 };
/** Unused addresses of the lab's LANs. */
const VIP = { ipv4: '192.0.2.201', ipv6: '2001:db8:1::201' };
const RIP = { ipv4: '198.51.100.', ipv6: '2001:db8:2::' };

/** 65535 is the most; the ends of the range matter most. */
const weight = fc.oneof(fc.constantFrom(0, 1, 65_535), fc.integer({ min: 0, max: 65_535 }));
const threshold = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2_147_483_647 }));
const checksum = fc.constantFrom<Checksum>('none', 'on', 'remote');
const tunnel: fc.Arbitrary<DrawnTunnel> = fc.oneof(
  fc.constant({ kind: 'ipip' as const }),
  fc.record({
    kind: fc.constant('gue' as const),
    port: fc.integer({ min: 1, max: 65_535 }),
    checksum,
  }),
  // The kernel has no remote checksum offload for GRE (ip_vs_xmit.c takes GUE's alone).
  fc.record({ kind: fc.constant('gre' as const), checksum: fc.constantFrom('none', 'on') }),
);

interface Kind {
  readonly family: Family;
  /** null for a firewall mark. */
  readonly protocol: 'tcp' | 'udp' | 'sctp' | null;
  /** All ports; needs persistence. */
  readonly allPorts: boolean;
}

const kind: fc.Arbitrary<Kind> = fc.record({
  family: fc.constantFrom<Family>('ipv4', 'ipv6'),
  protocol: fc.constantFrom('tcp', 'udp', 'sctp', null),
  allPorts: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
});

function server(facts: Kind, port: number): fc.Arbitrary<DrawnServer> {
  const free = facts.protocol === null || facts.allPorts;
  return fc
    .record({
      host: fc.integer({ min: 150, max: 199 }),
      mixed: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
      forwarding: fc.constantFrom<DrawnServer['forwarding']>('nat', 'dr', 'tun'),
      ownPort: fc.integer({ min: 1, max: 65_535 }),
      tunnel,
      weight,
      limits: fc.tuple(threshold, threshold),
    })
    .map(({ host, mixed, forwarding, ownPort, limits, ...rest }) => {
      const other = facts.family === 'ipv4' ? 'ipv6' : 'ipv4';
      // Only a tunnel leads to the other family.
      const family = mixed && forwarding === 'tun' ? other : facts.family;
      const natPort = free ? 0 : ownPort;
      return {
        ...rest,
        address: `${RIP[family]}${host}`,
        port: forwarding === 'nat' ? natPort : free ? 0 : port,
        forwarding,
        upper: Math.max(...limits),
        lower: Math.min(...limits),
      };
    });
}

function service(facts: Kind, index: number): fc.Arbitrary<DrawnService> {
  const byMark = facts.protocol === null;
  const port = facts.allPorts && !byMark ? 0 : 4001 + index;
  const datagrams = byMark || facts.protocol === 'udp';
  return fc
    .record({
      scheduler: fc.constantFrom(...SCHEDULERS),
      flagBits: fc.integer({ min: 0, max: 7 }),
      persistent: fc.boolean(),
      seconds: fc.integer({ min: 1, max: 86_400 }),
      prefix: fc.integer({ min: 1, max: BITS[facts.family] }),
      engine: fc.boolean(),
      onePacket: fc.boolean(),
      onFailure: fc.constantFrom<DrawnService['onFailure']>('quiesce', 'remove'),
      servers: fc.uniqueArray(server(facts, port), {
        selector: ({ address, port: own }) => `${address} ${own}`,
        maxLength: SERVERS_MAX,
      }),
    })
    .map((drawn) => {
      const persistent = drawn.persistent || port === 0;
      const persistence = persistent ? { seconds: drawn.seconds, prefix: drawn.prefix } : null;
      const place = facts.family === 'ipv6' ? `[${VIP.ipv6}]:${port}` : `${VIP.ipv4}:${port}`;
      const option = { tcp: '-t', udp: '-u', sctp: '--sctp-service' }[facts.protocol ?? 'tcp'];
      const mark = 4001 + index;
      const whole = {
        name: `drawn-${index}`,
        selector: byMark
          ? `-f ${mark}${facts.family === 'ipv6' ? ' -6' : ''}`
          : `${option} ${place}`,
        scheduler: drawn.scheduler,
        flags: flagsOf(drawn.scheduler, drawn.flagBits),
        persistence,
        engine: drawn.engine && datagrams && persistent,
        onePacket: drawn.onePacket && datagrams,
        onFailure: drawn.onFailure,
        servers: drawn.servers,
      };
      const identity = byMark
        ? { fwmark: mark, family: facts.family }
        : { address: place, protocol: facts.protocol };
      return { ...whole, config: { ...identity, ...serviceConfig(whole) } };
    });
}

function flagsOf(scheduler: string, bits: number): string[] {
  const own = scheduler === 'sh' || scheduler === 'mh' ? scheduler : null;
  const names = own === null ? ['flag-1', 'flag-2', 'flag-3'] : [`${own}-fallback`, `${own}-port`];
  return names.filter((_name, index) => (bits & (1 << index)) !== 0);
}

/** Services that a director can have side by side. */
export const drawnServices: fc.Arbitrary<DrawnService[]> = fc
  .array(kind, { minLength: 1, maxLength: SERVICES_MAX })
  .map((kinds) => {
    // One service for all ports of an address and protocol.
    const seen = new Set<string>();
    return kinds.map((one) => {
      const key = `${one.family} ${one.protocol}`;
      const allPorts = one.allPorts && !seen.has(key);
      if (allPorts) seen.add(key);
      return { ...one, allPorts };
    });
  })
  .chain((kinds) => fc.tuple(...kinds.map(service)));

/** Of each server of a service that is drawn already. */
export function statesOf(drawn: DrawnService): fc.Arbitrary<ServerState[]> {
  const state: fc.Arbitrary<ServerState> = fc.oneof(
    fc.constantFrom<ServerState>({ kind: 'up' }, { kind: 'down' }),
    fc.record({ kind: fc.constant('told' as const), weight }),
    fc.record({
      kind: fc.constant('override' as const),
      action: fc.constantFrom('up', 'down', 'drain'),
    }),
    fc.record({ kind: fc.constant('override-weight' as const), weight }),
  );
  return fc.tuple(...drawn.servers.map(() => state));
}

/** The file that a server's check reads. */
export function healthFile(drawn: Pick<DrawnService, 'name'>, server: DrawnServer): string {
  return `/tmp/health/${drawn.name}-${endpoint(server).replaceAll(/[^\w.]/g, '_')}`;
}

export function endpoint({ address, port }: Pick<DrawnServer, 'address' | 'port'>): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function serviceConfig(
  drawn: Omit<DrawnService, 'config' | 'selector'>,
): Readonly<Record<string, unknown>> {
  const { persistence } = drawn;
  return {
    scheduler: drawn.scheduler,
    scheduler_flags: drawn.flags,
    ...(persistence !== null && {
      persistence: { timeout: `${persistence.seconds}s`, prefix: persistence.prefix },
    }),
    ...(drawn.engine && { persistence_engine: 'sip' }),
    one_packet: drawn.onePacket,
    on_failure: drawn.onFailure,
    servers: drawn.servers.map((server) => ({
      address: server.port === 0 ? server.address : endpoint(server),
      forwarding: server.forwarding,
      ...(server.forwarding === 'tun' && { tunnel: tunnelConfig(server.tunnel) }),
      weight: server.weight,
      upper_threshold: server.upper,
      lower_threshold: server.lower,
      check: {
        file: { path: healthFile(drawn, server) },
        interval: '300ms',
        fall: 1,
        rise: 1,
      },
    })),
  };
}

function tunnelConfig(drawn: DrawnTunnel): unknown {
  switch (drawn.kind) {
    case 'ipip':
      return 'ipip';
    case 'gue':
      return { gue: { port: drawn.port, checksum: drawn.checksum } };
    case 'gre':
      return { gre: { checksum: drawn.checksum } };
  }
}

/** Weight in the kernel, or null for a server that is not there. */
function kernelWeight(drawn: DrawnService, server: DrawnServer, state: ServerState): number | null {
  const failed = drawn.onFailure === 'remove' ? null : 0;
  switch (state.kind) {
    case 'up':
      return server.weight;
    case 'down':
      return failed;
    case 'told':
    case 'override-weight':
      return state.weight;
    case 'override':
      if (state.action === 'up') return server.weight;
      // Without connections a drain ends at once, and the server goes.
      return state.action === 'down' ? failed : null;
  }
}

/** Lines of `ipvsadm -Sn`, of `ipvsadm -Ln --thresholds` and of `ipvsadm -Ln`, in no order. */
export interface Expected {
  readonly saved: readonly string[];
  readonly thresholds: readonly string[];
  /** Of servers by the line of their service. */
  readonly listed: ReadonlyMap<string, readonly string[]>;
}

export function expected(
  services: readonly { readonly drawn: DrawnService; readonly states: readonly ServerState[] }[],
): Expected {
  const saved: string[] = [];
  const thresholds: string[] = [];
  const listed = new Map<string, readonly string[]>();
  for (const { drawn, states } of services) {
    saved.push(`-A ${drawn.selector} ${serviceWords(drawn)}`);
    const servers: string[] = [];
    listed.set(listedService(drawn), servers);
    for (const [index, server] of drawn.servers.entries()) {
      const weight = kernelWeight(drawn, server, states[index] as ServerState);
      if (weight === null) continue;
      const words = `-r ${endpoint(server)} ${methodWords(server, weight)}`;
      saved.push(`-a ${drawn.selector} ${words}`);
      thresholds.push(`-> ${endpoint(server)} ${server.upper} ${server.lower} 0 0`);
      const method = { nat: 'Masq', dr: 'Route', tun: 'Tunnel' }[server.forwarding];
      servers.push(`-> ${endpoint(server)} ${method} ${weight} 0 0`);
    }
  }
  return { saved, thresholds, listed };
}

/** ipvsadm(8), the line of a service in a list. */
function listedService(drawn: DrawnService): string {
  const { persistence, selector } = drawn;
  const [option = '', place = '', isIpv6] = selector.split(' ');
  const protocol = { '-t': 'TCP', '-u': 'UDP', '--sctp-service': 'SCTP', '-f': 'FWM' }[option];
  const mask = persistence === null ? null : netmask(drawn, persistence.prefix);
  return [
    `${protocol} ${place}${isIpv6 === undefined ? '' : ' IPv6'} ${drawn.scheduler}`,
    ...(drawn.flags.length > 0 ? [`(${drawn.flags.join(',')})`] : []),
    ...(persistence === null ? [] : [`persistent ${persistence.seconds}`]),
    ...(mask === null ? [] : [`mask ${mask}`]),
    ...(drawn.engine ? ['pe sip'] : []),
    ...(drawn.onePacket ? ['ops'] : []),
  ].join(' ');
}

function serviceWords(drawn: DrawnService): string {
  const { persistence } = drawn;
  const mask = persistence === null ? null : netmask(drawn, persistence.prefix);
  return [
    `-s ${drawn.scheduler}`,
    ...(persistence === null ? [] : [`-p ${persistence.seconds}`]),
    ...(mask === null ? [] : [`-M ${mask}`]),
    ...(drawn.engine ? ['--pe sip'] : []),
    ...(drawn.onePacket ? ['-o'] : []),
    ...(drawn.flags.length > 0 ? [`-b ${drawn.flags.join(',')}`] : []),
  ].join(' ');
}

/** As ipvsadm has it; null where it goes without saying. */
function netmask({ selector }: DrawnService, prefix: number): string | null {
  const family = selector.includes('[') || selector.endsWith('-6') ? 'ipv6' : 'ipv4';
  if (prefix === BITS[family]) return null;
  return family === 'ipv6' ? String(prefix) : dotted(prefix);
}

function dotted(prefix: number): string {
  const bits = '1'.repeat(prefix).padEnd(32, '0');
  return (bits.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)).join('.');
}

function methodWords({ forwarding, tunnel: drawn }: DrawnServer, weight: number): string {
  const method = { nat: '-m', dr: '-g', tun: '-i' }[forwarding];
  if (forwarding !== 'tun') return `${method} -w ${weight}`;
  const checksums = { none: '--tun-nocsum', on: '--tun-csum', remote: '--tun-remcsum' };
  const words = {
    ipip: () => '',
    gue: () => ` --tun-port ${(drawn as { port: number }).port}`,
    gre: () => '',
  }[drawn.kind]();
  const sum = drawn.kind === 'ipip' ? '' : ` ${checksums[drawn.checksum]}`;
  return `${method} -w ${weight} --tun-type ${drawn.kind}${words}${sum}`;
}

/**
 * The part of the schema that describes routes, rules and the section `static`: the words are
 * those of ip-route(8) and ip-rule(8), with `via` and `interface` for a single next hop.
 */
import type { IpPrefix, NumberRange, Realms } from '../core/config/address.ts';
import { ROUTE_METRICS } from '../core/config/address.ts';
import { ipFamily, parseIp } from '../core/ip.ts';
import {
  list,
  type Output,
  option,
  Refusal,
  required,
  scalar,
  section,
  truth,
  whole,
  word,
} from './forms.ts';
import { addressKeys, type Per, scope } from './schema-address.ts';
import {
  DURATION_PATTERN,
  familyBits,
  isInterfaceName,
  isUnicast,
  NAME_PATTERN,
  parseDuration,
  parsePrefix,
} from './values.ts';
import * as yaml from './yaml-values.ts';

const UINT_MAX = 2 ** 32 - 1;
const INT_MAX = 2 ** 31 - 1;
const MS_US = 1_000;
/** RT_TABLE_* (include/uapi/linux/rtnetlink.h). */
const TABLES: Readonly<Record<string, number>> = { default: 253, main: 254, local: 255 };
/** IANA's numbers of the protocols that have ports, or are filtered often. */
const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  'ipv6-icmp': 58,
  vrrp: 112,
  sctp: 132,
};

const interfaceName = () =>
  scalar('the name of a network interface', yaml.string(), (value) =>
    isInterfaceName(value) ? value : undefined,
  );

const address = () =>
  scalar('an IP address', yaml.string(), (value) => {
    const parsed = value.includes('/') ? null : parsePrefix(value);
    return parsed === null || !isUnicast(parsed.address) ? undefined : parsed.address;
  });

/** A network: an address whose bits behind the prefix are 0; or `default` for all, null then. */
function network() {
  const expects = 'default, or an IP network such as 10.0.0.0/8';
  return scalar(
    expects,
    yaml.string(),
    (value): { prefix: IpPrefix | null } | Refusal | undefined => {
      if (value === 'default' || value === 'all') return { prefix: null };
      const parsed = parsePrefix(value);
      if (parsed === null) return undefined;
      const bits = familyBits(ipFamily(parsed.address));
      const bytes = parseIp(parsed.address) as Uint8Array;
      for (let bit = parsed.prefixLength; bit < bits; bit++) {
        if (((bytes[bit >> 3] as number) & (0x80 >> (bit & 7))) === 0) continue;
        return new Refusal(`expected a network: the last ${bits - parsed.prefixLength} bits are 0`);
      }
      return { prefix: parsed };
    },
  );
}

function table() {
  const expects = `${Object.keys(TABLES).join(', ')} or a whole number from 1 to ${UINT_MAX}`;
  const input = yaml.either(yaml.words(Object.keys(TABLES)), yaml.int(1, UINT_MAX));
  return scalar(expects, input, (value) =>
    typeof value === 'number' ? value : (TABLES[value] as number),
  );
}

/** The kernel keeps the six bits of the DSCP in their place in the byte. */
function tos() {
  const expects = 'a multiple of 4 from 0 to 252';
  return scalar(expects, yaml.int(0, 252), (value) => (value % 4 === 0 ? value : undefined));
}

function realms() {
  const expects = 'a realm from 1 to 65535, or two as FROM/TO';
  return scalar(expects, yaml.either(yaml.int(), yaml.string()), (value): Realms | undefined => {
    const match = /^(?:(\d{1,5})\/)?(\d{1,5})$/.exec(String(value));
    const [from, to] = [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)];
    return match === null || from > 65535 || to > 65535 || from + to === 0
      ? undefined
      : { from, to };
  });
}

/** A number, or two with a dash, within 0 to `max`. */
function range(max: number) {
  const expects = `a number from 0 to ${max}, or two as FIRST-LAST`;
  return scalar(
    expects,
    yaml.either(yaml.int(), yaml.string()),
    (value): NumberRange | undefined => {
      const match = /^(\d{1,10})(?:-(\d{1,10}))?$/.exec(String(value));
      if (match === null) return undefined;
      const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
      return first <= last && last <= max ? [first, last] : undefined;
    },
  );
}

function mark() {
  const expects = 'a mark such as 5 or 0x10, or one with its mask as MARK/MASK';
  return scalar(expects, yaml.either(yaml.int(), yaml.string()), (value) => {
    const number = '(0x[0-9a-fA-F]{1,8}|\\d{1,10})';
    const match = new RegExp(`^${number}(?:/${number})?$`).exec(String(value));
    const [bits, mask] = [Number(match?.[1]), Number(match?.[2] ?? UINT_MAX)];
    return match === null || bits > UINT_MAX || mask > UINT_MAX ? undefined : { mark: bits, mask };
  });
}

/** Whole milliseconds of a duration. */
function milliseconds(max: number) {
  const expects = `whole milliseconds from 0ms to ${max}ms`;
  return scalar(expects, yaml.string({ pattern: DURATION_PATTERN }), (value) => {
    const durationUs = parseDuration(value);
    if (durationUs === null || durationUs % MS_US !== 0) return undefined;
    return durationUs / MS_US <= max ? durationUs / MS_US : undefined;
  });
}

function protocol() {
  const expects = `${Object.keys(PROTOCOLS).join(', ')} or a whole number from 1 to 255`;
  const input = yaml.either(yaml.words(Object.keys(PROTOCOLS)), yaml.int(1, 255));
  return scalar(expects, input, (value) =>
    typeof value === 'number' ? value : (PROTOCOLS[value] as number),
  );
}

const algorithm = () =>
  scalar('the name of a congestion control', yaml.string(), (value) =>
    /^[a-z0-9_]{1,15}$/.test(value) ? value : undefined,
  );

const family = (per: Per) =>
  option(per(word(['ipv4', 'ipv6'])), {
    about: 'Its family, where no address says it.',
    without: 'that of its addresses, else `ipv4`',
  });

function nexthopKeys(per: Per) {
  return {
    via: option(per(address()), {
      about: 'The gateway. An IPv4 route may have an IPv6 one.',
      without: 'no gateway: the destination is on the link',
    }),
    onlink: option(per(truth()), {
      about: 'Take the gateway to be on the link, whatever the prefixes of the interface.',
      default: false,
    }),
  };
}

function routeKeys(per: Per) {
  const nexthop = section(() => ({
    ...nexthopKeys(per),
    interface: option(per(interfaceName()), {
      about: 'Interface that leads there.',
      without: 'the one by which the gateway is reached',
    }),
    weight: option(per(whole(1, 256)), { about: 'Share of the traffic.', default: 1 }),
  }));
  return {
    to: required(per(network()), 'Destination: a network, or `default`.'),
    type: option(per(word(['unicast', 'local', 'blackhole', 'unreachable', 'prohibit', 'throw'])), {
      about: 'What is done with packets.',
      default: 'unicast',
    }),
    ...nexthopKeys(per),
    interface: option(per(interfaceName()), {
      about: 'Interface that leads there.',
      without: 'the one by which the gateway is reached, else the instance’s',
    }),
    nexthops: option(list(nexthop, 2), {
      about: 'Several gateways that share the traffic, instead of `via`.',
      without: 'one next hop',
    }),
    source: option(per(address()), {
      about: 'Source address of the director’s own packets: often the virtual IP.',
      without: 'the kernel’s choice',
    }),
    table: option(per(table()), {
      about: 'Routing table.',
      without: '`main`, but `local` for the type `local`',
    }),
    metric: option(per(whole(0, UINT_MAX)), {
      about: 'Of routes to the same destination the least counts. IPv6: 0 means 1024.',
      default: 0,
    }),
    scope: option(per(scope()), {
      about: 'IPv4: how far the destination is.',
      without: '`link` without gateway, `host` for the type `local`, else `global`',
    }),
    tos: option(per(tos()), { about: 'IPv4: only for packets with this TOS; 0: any.', default: 0 }),
    realms: option(per(realms()), { about: 'IPv4: realms, FROM/TO.', without: 'none' }),
    preference: option(per(word(['low', 'medium', 'high'])), {
      about: 'IPv6: preference of RFC 4191.',
      default: 'medium',
    }),
    family: family(per),
    ...metricKeys(per),
  };
}

export function routeSchema(per: Per) {
  return section(() => routeKeys(per));
}

function metricKeys(per: Per) {
  const number = (about: string, max = UINT_MAX) =>
    option(per(whole(0, max)), { about, without: 'the kernel’s choice' });
  return {
    mtu: number('MTU of the path.'),
    advmss: number('MSS that is advertised to peers.'),
    window: number('Largest window that is advertised to peers.'),
    cwnd: number('Bound of the congestion window; only with `lock`.'),
    initcwnd: number('Initial congestion window, in packets.'),
    initrwnd: number('Initial receive window, in packets.'),
    ssthresh: number('Initial slow start threshold.'),
    reordering: number('Reordering to reckon with, in packets.'),
    hoplimit: number('Hop limit of packets.', 255),
    rtt: option(per(milliseconds(INT_MAX / 8)), {
      about: 'Initial round-trip time.',
      without: 'the kernel’s choice',
    }),
    rttvar: option(per(milliseconds(INT_MAX / 4)), {
      about: 'Initial variance of the round-trip time.',
      without: 'the kernel’s choice',
    }),
    rto_min: option(per(milliseconds(INT_MAX)), {
      about: 'Least retransmission timeout.',
      without: 'the kernel’s choice',
    }),
    quickack: option(per(truth()), { about: 'Acknowledge at once.', default: false }),
    fastopen_no_cookie: option(per(truth()), {
      about: 'TCP Fast Open without cookies.',
      default: false,
    }),
    ecn: option(per(truth()), { about: 'Explicit congestion notification.', default: false }),
    congestion: option(per(algorithm()), {
      about: 'Congestion control of connections.',
      without: 'the system’s',
    }),
    lock: option(
      per(list(word([...ROUTE_METRICS.filter((name) => name !== 'features'), 'congestion']))),
      {
        about: 'Which of these the kernel must not change, as path MTU discovery changes `mtu`.',
        default: [],
      },
    ),
  };
}

function ruleKeys(per: Per) {
  return {
    priority: option(per(whole(0, UINT_MAX)), {
      about: 'Rules are looked at from the least to the greatest.',
      without: '16384 and on, in the file’s order',
    }),
    from: option(per(network()), { about: 'Source network.', without: 'any' }),
    to: option(per(network()), { about: 'Destination network.', without: 'any' }),
    iif: option(per(interfaceName()), {
      about: 'Interface that the packet came in by; `lo` for the director’s own.',
      without: 'any',
    }),
    oif: option(per(interfaceName()), {
      about: 'Interface that the sending socket is bound to.',
      without: 'any',
    }),
    tos: option(per(tos()), { about: 'TOS; 0 for any.', default: 0 }),
    fwmark: option(per(mark()), { about: 'Firewall mark, with or without mask.', without: 'any' }),
    uid_range: option(per(range(UINT_MAX)), { about: 'Users of sockets.', without: 'any' }),
    ip_protocol: option(per(protocol()), { about: 'IP protocol.', without: 'any' }),
    sport: option(per(range(65535)), { about: 'Source ports.', without: 'any' }),
    dport: option(per(range(65535)), { about: 'Destination ports.', without: 'any' }),
    not: option(per(truth()), {
      about: 'For packets that do not match.',
      default: false,
    }),
    table: option(per(table()), {
      about: 'Routing table that is looked in.',
      without: '`goto` or `action` must be given',
    }),
    goto: option(per(whole(1, UINT_MAX)), {
      about: 'Go on at the rule of this priority.',
      without: '`table` or `action` must be given',
    }),
    action: option(per(word(['nop', 'blackhole', 'unreachable', 'prohibit', 'vrf'])), {
      about: 'What else is done; `vrf` looks in the table of the packet’s VRF.',
      without: '`table` or `goto` must be given',
    }),
    suppress_prefix_length: option(per(whole(0, 128)), {
      about: 'Results with a prefix of up to this length do not count.',
      without: 'all count',
    }),
    suppress_interface_group: option(per(whole(0, INT_MAX)), {
      about: 'Results with an interface of this group do not count.',
      without: 'all count',
    }),
    realms: option(per(realms()), { about: 'IPv4: realms, FROM/TO.', without: 'none' }),
    family: family(per),
  };
}

export function ruleSchema(per: Per) {
  return section(() => ruleKeys(per));
}

export function staticSchema(per: Per) {
  const instances = option(
    per(
      list(scalar('the name of a VRRP instance', yaml.string({ pattern: NAME_PATTERN }), (v) => v)),
    ),
    { about: 'Instances that are in fault while it cannot be there.', default: [] },
  );
  const prefix = scalar('an IP address with prefix length', yaml.string(), (value) => {
    const parsed = parsePrefix(value);
    return parsed === null || !isUnicast(parsed.address) ? undefined : parsed;
  });
  const addressSection = section(() => ({
    address: required(per(prefix), 'The address with its prefix length.'),
    interface: required(per(interfaceName()), 'Interface that carries it.'),
    ...addressKeys(per),
    instances,
  }));
  return section(() => ({
    addresses: option(list(addressSection), { about: 'Addresses.', without: 'none' }),
    routes: option(list(section(() => ({ ...routeKeys(per), instances }))), {
      about: 'Routes.',
      without: 'none',
    }),
    rules: option(list(section(() => ({ ...ruleKeys(per), instances }))), {
      about: 'Rules.',
      without: 'none',
    }),
  }));
}

export type RouteInput = Output<ReturnType<typeof routeSchema>>;
export type RuleInput = Output<ReturnType<typeof ruleSchema>>;
export type StaticInput = Output<ReturnType<typeof staticSchema>>;

/**
 * Every way from a client to a real server: forwarding and tunnel, family of the service, family
 * of the servers; and what directors and real servers need for it. Each way has a virtual IP of
 * its own, with a service for TCP, UDP and SCTP and one for what a firewall marks.
 */
export interface Path {
  readonly name: string;
  readonly forwarding: 'nat' | 'dr' | 'tun';
  readonly tunnel: 'ipip' | 'gue' | 'gre' | null;
  readonly vip: string;
  readonly mark: number;
  /** Of the packets between director and server. */
  readonly outer: 'ipv4' | 'ipv6';
}

export const PORT = 1000;
/** What comes to this port is marked, of each protocol. */
export const MARKED_PORT = 2000;
const GUE_PORT = 6080;

export const REAL_SERVERS: Readonly<
  Record<string, { readonly ipv4: string; readonly ipv6: string }>
> = {
  real1: { ipv4: '198.51.100.101', ipv6: '2001:db8:2::101' },
  real2: { ipv4: '198.51.100.102', ipv6: '2001:db8:2::102' },
};

const FAMILIES = ['ipv4', 'ipv6'] as const;
const TUNNELS = ['ipip', 'gue', 'gre'] as const;
const WAYS: readonly Pick<Path, 'forwarding' | 'tunnel'>[] = [
  { forwarding: 'nat', tunnel: null },
  { forwarding: 'dr', tunnel: null },
  ...TUNNELS.map((tunnel) => ({ forwarding: 'tun' as const, tunnel })),
];

export const PATHS: readonly Path[] = FAMILIES.flatMap((family) => {
  const same = WAYS.map((way) => ({ ...way, outer: family }));
  // Only tunnels lead to servers of the other family.
  const other = family === 'ipv4' ? ('ipv6' as const) : ('ipv4' as const);
  const mixed = TUNNELS.map((tunnel) => ({ forwarding: 'tun' as const, tunnel, outer: other }));
  return [...same, ...mixed].map((way, index) => ({
    ...way,
    name: `${family}-${way.tunnel ?? way.forwarding}${way.outer === family ? '' : `-over-${way.outer}`}`,
    vip: family === 'ipv4' ? `192.0.2.${211 + index}` : `2001:db8:1::${211 + index}`,
    mark: (family === 'ipv4' ? 100 : 200) + index,
  }));
});

/** To a service of all ports: where IPVS writes another address into packets, and where it does not. */
export const ALL_PORTS: readonly Path[] = FAMILIES.flatMap((family) =>
  WAYS.filter(({ tunnel }) => tunnel === null).map((way, index) => ({
    ...way,
    ...{ name: `${family}-${way.forwarding}`, mark: 0, outer: family },
    vip: family === 'ipv4' ? `192.0.2.${231 + index}` : `2001:db8:1::${231 + index}`,
  })),
);

const ALL_VIPS = [...PATHS, ...ALL_PORTS].map(({ vip }) => vip);
export const VIPS = {
  ipv4: ALL_VIPS.filter((vip) => !vip.includes(':')),
  ipv6: ALL_VIPS.filter((vip) => vip.includes(':')),
};

/** As the configuration has them. */
export function pathServices(): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    PATHS.flatMap(({ name, forwarding, tunnel, vip, mark, outer }) => {
      const addresses = Object.values(REAL_SERVERS).map((server) => server[outer]);
      const way = { forwarding, ...(tunnel !== null && { tunnel }), check: 'none' };
      const family = vip.includes(':') ? 'ipv6' : 'ipv4';
      const address = family === 'ipv6' ? `[${vip}]:${PORT}` : `${vip}:${PORT}`;
      const byAddress = (['tcp', 'udp', 'sctp'] as const).map((protocol) => [
        `${name}-${protocol}`,
        { address, protocol, scheduler: 'rr', ...way, servers: servers(addresses, PORT) },
      ]);
      const marked = { fwmark: mark, family, scheduler: 'rr', ...way, servers: addresses };
      return [...byAddress, [`${name}-marked`, marked]];
    }),
  );
}

/** The services of ALL_PORTS; the kernel has none without persistence. */
export function allPortsServices(): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    ALL_PORTS.flatMap(({ name, forwarding, vip, outer }) =>
      (['tcp', 'udp'] as const).map((protocol) => [
        `all-ports-${name}-${protocol}`,
        {
          address: vip.includes(':') ? `[${vip}]:0` : `${vip}:0`,
          ...{ protocol, scheduler: 'rr', persistence: '5m', forwarding, check: 'none' },
          servers: Object.values(REAL_SERVERS).map((server) => server[outer]),
        },
      ]),
    ),
  );
}

function servers(addresses: readonly string[], port: number): string[] {
  return addresses.map((one) => (one.includes(':') ? `[${one}]:${port}` : `${one}:${port}`));
}

/** Marks what comes to MARKED_PORT by its virtual IP. */
export function pathDirectorScript(): string {
  const rules = PATHS.map(({ vip, mark }) => {
    const family = vip.includes(':') ? 'ip6' : 'ip';
    const ports = `meta l4proto { tcp, udp, sctp } th dport ${MARKED_PORT}`;
    return `${family} daddr ${vip} ${ports} meta mark set ${mark};`;
  });
  return `nft -f - <<'END'
table inet paths { chain marks { type filter hook prerouting priority 0; ${rules.join(' ')} }; }
END
`;
}

/** Names of what WIRE_SCRIPT counts; the kernel sees nothing else of a tunnel before it unpacks. */
export type Outer = `${'ipip' | 'sit' | 'gue' | 'gre'}-${'ipv4' | 'ipv6'}`;

/** The count that a path's packets raise on the real servers, or null without a tunnel. */
export function outerOf({ tunnel, vip, outer }: Path): Outer | null {
  if (tunnel === null) return null;
  // Protocol 4 carries IPv4, 41 IPv6.
  if (tunnel === 'ipip') return `${vip.includes(':') ? 'sit' : 'ipip'}-${outer}`;
  return `${tunnel}-${outer}`;
}

/**
 * Real servers have all virtual IPs, answer for none of them (arp_ignore; IPv6 answers only for
 * addresses of the link), unpack every tunnel, and send what came by NAT back to the director.
 */
export function pathServerScript(): string {
  const counted = FAMILIES.flatMap((family) => {
    const match = `meta nfproto ${family}`;
    return [
      `${match} meta l4proto 4 counter comment "ipip-${family}";`,
      `${match} meta l4proto 41 counter comment "sit-${family}";`,
      `${match} meta l4proto gre counter comment "gre-${family}";`,
      `${match} udp dport ${GUE_PORT} counter comment "gue-${family}";`,
    ];
  });
  return `
ip rule add from 198.51.100.0/24 lookup 100
ip route add default via 198.51.100.1 table 100
ip -6 rule add from 2001:db8:2::/64 lookup 100
ip -6 route add default via 2001:db8:2::1 table 100
${VIPS.ipv4.map((vip) => `ip address add ${vip}/32 dev lo`).join('\n')}
${VIPS.ipv6.map((vip) => `ip -6 address add ${vip}/128 dev lo nodad`).join('\n')}
ip -6 tunnel change ip6tnl0 mode any
for link in tunl0 sit0 ip6tnl0 gre0 ip6gre0; do
  ip link set $link up
  sysctl -qw net.ipv4.conf.$link.rp_filter=0
done
ip fou add port ${GUE_PORT} gue
ip -6 fou add port ${GUE_PORT} gue
nft -f - <<'END'
table inet wire { chain outer { type filter hook prerouting priority -300; ${counted.join(' ')} }; }
END
`;
}

/**
 * Every scheduler and flag, as vipkeeper is configured and as ipvsadm makes the same table, and
 * the requests that are sent through both.
 */
import type { Exchange } from './guest-peer.ts';

export interface Distribution {
  readonly name: string;
  readonly scheduler: string;
  readonly flags: readonly string[];
  /** A service by mark, reached by many virtual IPs: for schedulers that look at them. */
  readonly marked: boolean;
  readonly onePacket: boolean;
  readonly weights: readonly number[];
  /** Of each server; 0 for none. */
  readonly upperThreshold: number;
  readonly port: number;
}

/** Reached by a route, so that the client can reach them through either director. */
export const SCHEDULED_NETWORK = '203.0.113.0/24';
const SCHEDULED_VIPS = Array.from({ length: 8 }, (_, index) => `203.0.113.${index + 1}`);
const VIP = SCHEDULED_VIPS[0] as string;
/** Two addresses of each real server. */
const RIPS = ['198.51.100.101', '198.51.100.102', '198.51.100.111', '198.51.100.112'];
/** The client's own address, and more. */
const SOURCES = ['192.0.2.101', ...Array.from({ length: 8 }, (_, n) => `192.0.2.${131 + n}`)];
export const EXTRA_SOURCES = SOURCES.slice(1);
const REQUESTS = 12;
const FIRST_PORT = 3001;
const FIRST_SOURCE_PORT = 20_000;

const WEIGHTS = [4, 3, 2, 1];
/** One server out of service: what becomes of its share depends on the fallback flags. */
const ONE_OUT = [4, 3, 0, 1];

type Kind = Partial<Omit<Distribution, 'name' | 'port'>> & Pick<Distribution, 'scheduler'>;

const KINDS: readonly Kind[] = [
  ...['rr', 'wrr', 'lc', 'wlc', 'sed', 'nq', 'fo', 'ovf', 'sh', 'mh', 'twos'].map((scheduler) => ({
    scheduler,
  })),
  ...['dh', 'lblc', 'lblcr'].map((scheduler) => ({ scheduler, marked: true })),
  { scheduler: 'wlc', upperThreshold: 2 },
  { scheduler: 'wrr', weights: ONE_OUT },
  { scheduler: 'sh', weights: ONE_OUT },
  { scheduler: 'sh', flags: ['sh-port'] },
  { scheduler: 'sh', flags: ['sh-fallback'], weights: ONE_OUT },
  { scheduler: 'sh', flags: ['sh-fallback', 'sh-port'], weights: ONE_OUT },
  { scheduler: 'mh', flags: ['mh-port'] },
  { scheduler: 'mh', weights: ONE_OUT },
  { scheduler: 'mh', flags: ['mh-fallback'], weights: ONE_OUT },
  { scheduler: 'wrr', onePacket: true, weights: [3, 1] },
];

export const DISTRIBUTIONS: readonly Distribution[] = KINDS.map((kind, index) => {
  const whole = {
    flags: [],
    marked: false,
    onePacket: false,
    weights: WEIGHTS,
    upperThreshold: 0,
    ...kind,
  };
  const facts = [
    ...whole.flags,
    ...(whole.onePacket ? ['one-packet'] : []),
    ...(whole.weights.includes(0) ? ['one server out'] : []),
    ...(whole.upperThreshold > 0 ? ['thresholds'] : []),
  ];
  const name = [whole.scheduler, ...facts].join(', ');
  return { ...whole, name, port: FIRST_PORT + index };
});

export const SCHEDULED_PORTS = {
  tcp: DISTRIBUTIONS.filter(({ onePacket }) => !onePacket).map(({ port }) => port),
  udp: DISTRIBUTIONS.filter(({ onePacket }) => onePacket).map(({ port }) => port),
};
const MARKED_PORTS = DISTRIBUTIONS.filter(({ marked }) => marked).map(({ port }) => port);

/** Addresses of a real server that answer to datagrams: replies to one-packet do not pass IPVS. */
export const DIRECT_VIP = VIP;

/** As the configuration has them. */
export function distributionServices(): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    DISTRIBUTIONS.map((one) => [
      `scheduled-${one.port}`,
      {
        ...(one.marked
          ? { fwmark: one.port }
          : { address: `${VIP}:${one.port}`, protocol: one.onePacket ? 'udp' : 'tcp' }),
        scheduler: one.scheduler,
        scheduler_flags: one.flags,
        one_packet: one.onePacket,
        forwarding: one.onePacket ? 'dr' : 'nat',
        check: 'none',
        servers: one.weights.map((weight, index) => ({
          address: one.marked ? RIPS[index] : `${RIPS[index]}:${one.port}`,
          weight,
          upper_threshold: one.upperThreshold,
        })),
      },
    ]),
  );
}

/** The same for `ipvsadm -R`, servers in the same order: some schedulers go by it. */
export function scheduledTable(): string[] {
  return DISTRIBUTIONS.flatMap((one) => {
    const protocol = one.onePacket ? '-u' : '-t';
    const service = one.marked ? `-f ${one.port}` : `${protocol} ${VIP}:${one.port}`;
    const flags = one.flags.length > 0 ? ` -b ${one.flags.join(',')}` : '';
    const servers = one.weights.map((weight, index) => {
      const address = one.marked ? RIPS[index] : `${RIPS[index]}:${one.port}`;
      const method = one.onePacket ? '-g' : '-m';
      const limit = one.upperThreshold > 0 ? ` -x ${one.upperThreshold}` : '';
      return `-a ${service} -r ${address} ${method} -w ${weight}${limit}`;
    });
    return [`-A ${service} -s ${one.scheduler}${one.onePacket ? ' -o' : ''}${flags}`, ...servers];
  });
}

/** The client's requests: the same at every call. */
export function requestsTo(one: Distribution): Exchange[] {
  return Array.from({ length: REQUESTS }, (_, index) => ({
    protocol: one.onePacket ? ('udp' as const) : ('tcp' as const),
    host: one.marked ? (SCHEDULED_VIPS[index % SCHEDULED_VIPS.length] as string) : VIP,
    port: one.port,
    from: {
      host: SOURCES[index % SOURCES.length] as string,
      port: FIRST_SOURCE_PORT + 20 * (one.port - FIRST_PORT) + index,
    },
  }));
}

/** Virtual IPs by route, and marks for the services that have one. */
export function distributionDirectorScript(): string {
  const marks = MARKED_PORTS.map((port) => `${port} : ${port}`).join(', ');
  const match = `ip daddr ${SCHEDULED_NETWORK} tcp dport { ${MARKED_PORTS.join(', ')} }`;
  return `
ip route add local ${SCHEDULED_NETWORK} dev lo
nft -f - <<'END'
table ip scheduled { chain marks { type filter hook prerouting priority 0;
  ${match} meta mark set tcp dport map { ${marks} }; }; }
END
`;
}

export function distributionServerScript(name: string): string {
  const more = name === 'real1' ? RIPS[2] : RIPS[3];
  return `
ip address add ${more}/24 dev eth0
ip address add ${DIRECT_VIP}/32 dev lo
`;
}

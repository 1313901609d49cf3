/**
 * Virtual services of every kind, each as it is configured, as `ipvsadm -Sn` saves it and as
 * `ipvsadm -Ln` lists it. No server runs behind them: they are for reading back.
 */

export interface TableCase {
  readonly config: Readonly<Record<string, unknown>>;
  /** Lines of `ipvsadm -Sn`. */
  readonly saved: readonly string[];
  /** Lines of `ipvsadm -Ln`. */
  readonly listed: readonly string[];
}

const VIP = '192.0.2.201';
const VIP6 = '2001:db8:1::201';
/** Unused addresses of the back LAN. */
const RIP = '198.51.100.150';
const RIP6 = '2001:db8:2::150';

/** All that the kernel has; twos is apart, because a test takes it away. */
const SCHEDULERS_BUT_TWOS = [
  ...['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'dh', 'sh', 'sed', 'nq', 'fo', 'ovf', 'mh'],
] as const;

function withScheduler(scheduler: string, port: number): TableCase {
  return {
    config: {
      address: `${VIP}:${port}`,
      scheduler,
      check: 'none',
      servers: [`${RIP}:80`],
    },
    saved: [`-A -t ${VIP}:${port} -s ${scheduler}`, `-a -t ${VIP}:${port} -r ${RIP}:80 -m -w 1`],
    listed: [`TCP ${VIP}:${port} ${scheduler}`, `-> ${RIP}:80 Masq 1 0 0`],
  };
}

/** Needs module ip_vs_twos. */
export const TWOS: TableCase = withScheduler('twos', 1100);

const SCHEDULER_CASES = Object.fromEntries(
  SCHEDULERS_BUT_TWOS.map((scheduler, index) => {
    return [`scheduler-${scheduler}`, withScheduler(scheduler, 1001 + index)];
  }),
);

const SETTING_CASES: Readonly<Record<string, TableCase>> = {
  'flags-of-sh': {
    config: {
      address: `${VIP}:1201`,
      scheduler: 'sh',
      scheduler_flags: ['sh-fallback', 'sh-port'],
      servers: [],
    },
    saved: [`-A -t ${VIP}:1201 -s sh -b sh-fallback,sh-port`],
    listed: [`TCP ${VIP}:1201 sh (sh-fallback,sh-port)`],
  },
  'flags-of-mh': {
    config: {
      address: `${VIP}:1202`,
      scheduler: 'mh',
      scheduler_flags: ['mh-port'],
      servers: [],
    },
    saved: [`-A -t ${VIP}:1202 -s mh -b mh-port`],
    listed: [`TCP ${VIP}:1202 mh (mh-port)`],
  },
  'other-flags': {
    config: {
      address: `${VIP}:1203`,
      scheduler: 'lc',
      scheduler_flags: ['flag-1', 'flag-3'],
      servers: [],
    },
    saved: [`-A -t ${VIP}:1203 -s lc -b flag-1,flag-3`],
    listed: [`TCP ${VIP}:1203 lc (flag-1,flag-3)`],
  },
  persistent: {
    config: { address: `${VIP}:1301`, scheduler: 'wlc', persistence: '5m', servers: [] },
    saved: [`-A -t ${VIP}:1301 -s wlc -p 300`],
    listed: [`TCP ${VIP}:1301 wlc persistent 300`],
  },
  'persistent-network': {
    config: {
      address: `${VIP}:1302`,
      scheduler: 'wlc',
      persistence: { timeout: '1h', prefix: 20 },
      servers: [],
    },
    saved: [`-A -t ${VIP}:1302 -s wlc -p 3600 -M 255.255.240.0`],
    listed: [`TCP ${VIP}:1302 wlc persistent 3600 mask 255.255.240.0`],
  },
  'persistent-network-ipv6': {
    config: {
      address: `[${VIP6}]:1302`,
      scheduler: 'wlc',
      persistence: { timeout: '90s', prefix: 64 },
      servers: [],
    },
    saved: [`-A -t [${VIP6}]:1302 -s wlc -p 90 -M 64`],
    listed: [`TCP [${VIP6}]:1302 wlc persistent 90 mask 64`],
  },
  'all-ports': {
    config: {
      address: '192.0.2.202:0',
      scheduler: 'rr',
      persistence: '2m',
      check: 'none',
      servers: [RIP],
    },
    saved: [`-A -t 192.0.2.202:0 -s rr -p 120`, `-a -t 192.0.2.202:0 -r ${RIP}:0 -m -w 1`],
    listed: [`TCP 192.0.2.202:0 rr persistent 120`, `-> ${RIP}:0 Masq 1 0 0`],
  },
  'sip-engine': {
    config: {
      address: `${VIP}:5060`,
      protocol: 'udp',
      scheduler: 'rr',
      persistence: '6m',
      persistence_engine: 'sip',
      servers: [],
    },
    saved: [`-A -u ${VIP}:5060 -s rr -p 360 --pe sip`],
    listed: [`UDP ${VIP}:5060 rr persistent 360 pe sip`],
  },
  'one-packet': {
    config: {
      address: `${VIP}:53`,
      protocol: 'udp',
      scheduler: 'wrr',
      one_packet: true,
      servers: [`${RIP}:5353`],
    },
    saved: [`-A -u ${VIP}:53 -s wrr -o`, `-a -u ${VIP}:53 -r ${RIP}:5353 -m -w 1`],
    listed: [`UDP ${VIP}:53 wrr ops`, `-> ${RIP}:5353 Masq 1 0 0`],
  },
};

const ADDRESS_CASES: Readonly<Record<string, TableCase>> = {
  sctp: {
    config: {
      address: `${VIP}:3868`,
      protocol: 'sctp',
      scheduler: 'rr',
      servers: [`${RIP}:3868`],
    },
    saved: [
      `-A --sctp-service ${VIP}:3868 -s rr`,
      `-a --sctp-service ${VIP}:3868 -r ${RIP}:3868 -m -w 1`,
    ],
    listed: [`SCTP ${VIP}:3868 rr`, `-> ${RIP}:3868 Masq 1 0 0`],
  },
  'udp-ipv6': {
    config: {
      address: `[${VIP6}]:53`,
      protocol: 'udp',
      scheduler: 'rr',
      servers: [`[${RIP6}]:5353`],
    },
    saved: [`-A -u [${VIP6}]:53 -s rr`, `-a -u [${VIP6}]:53 -r [${RIP6}]:5353 -m -w 1`],
    listed: [`UDP [${VIP6}]:53 rr`, `-> [${RIP6}]:5353 Masq 1 0 0`],
  },
  mark: {
    config: { fwmark: 5, scheduler: 'rr', forwarding: 'dr', servers: [RIP] },
    saved: ['-A -f 5 -s rr', `-a -f 5 -r ${RIP}:0 -g -w 1`],
    listed: ['FWM 5 rr', `-> ${RIP}:0 Route 1 0 0`],
  },
  'mark-ipv6': {
    config: {
      fwmark: 65536,
      family: 'ipv6',
      scheduler: 'rr',
      forwarding: 'dr',
      servers: [RIP6],
    },
    saved: ['-A -f 65536 -6 -s rr', `-a -f 65536 -6 -r [${RIP6}]:0 -g -w 1`],
    listed: ['FWM 65536 IPv6 rr', `-> [${RIP6}]:0 Route 1 0 0`],
  },
};

const SERVER_CASES: Readonly<Record<string, TableCase>> = {
  'direct-routing': {
    config: {
      address: `${VIP}:1401`,
      scheduler: 'wrr',
      forwarding: 'dr',
      check: 'none',
      servers: [
        { address: '198.51.100.150', weight: 0 },
        { address: '198.51.100.151', weight: 65535 },
        '198.51.100.152',
      ],
    },
    saved: [
      `-A -t ${VIP}:1401 -s wrr`,
      `-a -t ${VIP}:1401 -r 198.51.100.150:1401 -g -w 0`,
      `-a -t ${VIP}:1401 -r 198.51.100.151:1401 -g -w 65535`,
      `-a -t ${VIP}:1401 -r 198.51.100.152:1401 -g -w 1`,
    ],
    listed: [
      `TCP ${VIP}:1401 wrr`,
      '-> 198.51.100.150:1401 Route 0 0 0',
      '-> 198.51.100.151:1401 Route 65535 0 0',
      '-> 198.51.100.152:1401 Route 1 0 0',
    ],
  },
  'direct-routing-ipv6': {
    config: {
      address: `[${VIP6}]:1401`,
      scheduler: 'wrr',
      forwarding: 'dr',
      check: 'none',
      servers: [{ address: RIP6, weight: 3 }],
    },
    saved: [`-A -t [${VIP6}]:1401 -s wrr`, `-a -t [${VIP6}]:1401 -r [${RIP6}]:1401 -g -w 3`],
    listed: [`TCP [${VIP6}]:1401 wrr`, `-> [${RIP6}]:1401 Route 3 0 0`],
  },
  tunnels: {
    config: {
      address: `${VIP}:1402`,
      scheduler: 'wrr',
      forwarding: 'tun',
      check: 'none',
      servers: [
        { address: '198.51.100.150' },
        { address: '198.51.100.151', tunnel: 'gue' },
        { address: '198.51.100.152', tunnel: { gue: { port: 7777, checksum: 'on' } } },
        { address: '198.51.100.153', tunnel: { gue: { port: 7778, checksum: 'remote' } } },
        { address: '198.51.100.154', tunnel: 'gre' },
        { address: '198.51.100.155', tunnel: { gre: { checksum: 'on' } } },
        { address: '198.51.100.156', forwarding: 'dr' },
      ],
    },
    saved: [
      `-A -t ${VIP}:1402 -s wrr`,
      `-a -t ${VIP}:1402 -r 198.51.100.150:1402 -i -w 1 --tun-type ipip`,
      `-a -t ${VIP}:1402 -r 198.51.100.151:1402 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum`,
      `-a -t ${VIP}:1402 -r 198.51.100.152:1402 -i -w 1 --tun-type gue --tun-port 7777 --tun-csum`,
      `-a -t ${VIP}:1402 -r 198.51.100.153:1402 -i -w 1 --tun-type gue --tun-port 7778 --tun-remcsum`,
      `-a -t ${VIP}:1402 -r 198.51.100.154:1402 -i -w 1 --tun-type gre --tun-nocsum`,
      `-a -t ${VIP}:1402 -r 198.51.100.155:1402 -i -w 1 --tun-type gre --tun-csum`,
      `-a -t ${VIP}:1402 -r 198.51.100.156:1402 -g -w 1`,
    ],
    listed: [
      `TCP ${VIP}:1402 wrr`,
      '-> 198.51.100.150:1402 Tunnel 1 0 0',
      '-> 198.51.100.151:1402 Tunnel 1 0 0',
      '-> 198.51.100.152:1402 Tunnel 1 0 0',
      '-> 198.51.100.153:1402 Tunnel 1 0 0',
      '-> 198.51.100.154:1402 Tunnel 1 0 0',
      '-> 198.51.100.155:1402 Tunnel 1 0 0',
      '-> 198.51.100.156:1402 Route 1 0 0',
    ],
  },
  thresholds: {
    config: {
      address: `${VIP}:1403`,
      scheduler: 'wlc',
      check: 'none',
      servers: [
        { address: '198.51.100.150:80', upper_threshold: 1000, lower_threshold: 500 },
        { address: '198.51.100.151:80', upper_threshold: 40 },
      ],
    },
    saved: [
      `-A -t ${VIP}:1403 -s wlc`,
      `-a -t ${VIP}:1403 -r 198.51.100.150:80 -m -w 1`,
      `-a -t ${VIP}:1403 -r 198.51.100.151:80 -m -w 1`,
    ],
    listed: [
      `TCP ${VIP}:1403 wlc`,
      '-> 198.51.100.150:80 Masq 1 0 0',
      '-> 198.51.100.151:80 Masq 1 0 0',
    ],
  },
};

/** Lines of `ipvsadm -Ln --thresholds` that have any: upper, lower, active, inactive. */
export const LIMITED: readonly string[] = [
  '-> 198.51.100.150:80 1000 500 0 0',
  '-> 198.51.100.151:80 40 0 0 0',
];

/** By the name of the service; `twos` is not among them. */
export const TABLE_CASES: Readonly<Record<string, TableCase>> = {
  ...SCHEDULER_CASES,
  ...SETTING_CASES,
  ...ADDRESS_CASES,
  ...SERVER_CASES,
};

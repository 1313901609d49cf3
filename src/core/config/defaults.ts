/**
 * DEFAULTS: the value of every option that a configuration leaves out, in the units of Config.
 * The readers, the reference and the JSON Schema all take them from here, and
 * conf/vipkeeper.yaml is tested against them. Values that depend on others (an instance's
 * family, a service's check) are chosen by the reader and described in the reference.
 */
import type { AddressAttributes } from './address.ts';
import type { AnnounceConfig, Config, ElectionConfig, Persistence, Tunnel } from './config.ts';

const SECOND_US = 1_000_000;

/** Bursts of gratuitous ARP and unsolicited neighbour advertisements, as keepalived sends them. */
const ANNOUNCE: AnnounceConfig = {
  repeat: 5,
  delayUs: 5 * SECOND_US,
  refreshUs: 0,
  refreshRepeat: 1,
  extraInterfaceRefreshUs: 0,
  lowerPriorityRepeat: 5,
  lowerPriorityDelayUs: 5 * SECOND_US,
  intervalUs: 0,
  naIntervalUs: 0,
};

/** Those of RFC 9568, but for two owners: one VIP on two directors helps nobody. */
const ELECTION: ElectionConfig = {
  downTimerAdverts: 3,
  timerExpiredBackup: null,
  // Version 2 discards: RFC 3768 section 6.4.3.
  answerLowerPriority: true,
  advertiseBeforeYielding: false,
  ownerConflict: 'yield',
  // A list that differs for the time of a change must not make two directors active.
  checkAddresses: 'warn',
  // keepalived's: an operator expects a virtual IP to answer ping. The RFC's default is false.
  accept: true,
};

const IPIP: Tunnel = { kind: 'ipip' };
const NO_PERSISTENCE: Persistence | null = null;

/** Of an address that is given without attributes. */
export function defaultAttributes(
  family: 'ipv4' | 'ipv6',
  prefixLength: number,
): AddressAttributes {
  return {
    broadcast: null,
    // RT_SCOPE_UNIVERSE.
    scope: 0,
    label: null,
    peer: null,
    home: false,
    // It would keep a VIP unusable for a second after a takeover.
    dad: false,
    prefixRoute: true,
    manageTemporary: false,
    // A single IPv6 address answers, but is no source of its own accord (RFC 6724, rule 3).
    preferredSeconds: family === 'ipv6' && prefixLength === 128 ? 0 : null,
    metric: 0,
  };
}

export const DEFAULTS = {
  vrrp: {
    version: 3,
    // RFC 9568 section 5.2.4.
    priority: 100,
    // RFC 9568 section 6.1: 100 centiseconds.
    advertIntervalUs: SECOND_US,
    preempt: true,
    preemptDelayUs: 0,
    checksum: 'auto',
    trackInterface: true,
    // The kernel's.
    promoteSecondaries: false,
    // keepalived's, so that both ends agree where both leave them out.
    hmac: { mode: 'enforce', replay: 'time' },
    announce: ANNOUNCE,
    election: ELECTION,
    // RFC 9568 sections 5.1.1.2 and 5.1.2.2.
    multicastGroup: { ipv4: '224.0.0.18', ipv6: 'ff02::12' },
    // Unicast advertisements may cross routers, so their TTL says nothing unless bounds are given.
    peer: { minTtl: 0, maxTtl: 255 },
    unicast: { ttl: 255, checkSource: true, faultWithoutPeers: false },
    vmac: { xmitBase: false },
    ipvlan: { mode: 'bridge' },
  },
  // keepalived's, which are those of a local link: a dead neighbor is noticed in 50 ms.
  bfd: {
    minRxUs: 10_000,
    minTxUs: 10_000,
    // RFC 5880 section 6.8.3: not less than a second.
    idleTxUs: SECOND_US,
    multiplier: 5,
    passive: false,
    multihop: false,
    // RFC 5881 section 5: both say that no router was in between.
    ttl: 255,
    maxHops: 0,
    /** RFC 5883 has no such rule: any number of routers may be in between. */
    maxHopsMultihop: 255,
  },
  service: {
    protocol: 'tcp',
    scheduler: 'wlc',
    forwarding: 'nat',
    tunnel: IPIP,
    persistence: NO_PERSISTENCE,
    persistenceEngine: null,
    onePacket: false,
    // Existing connections of a failed server may finish; 'remove' would cut them.
    onFailure: 'quiesce',
    quorum: { weight: 1, hysteresis: 0 },
    minHealthyPercent: 0,
    slowStartUs: 0,
    // A backup that checks and has its table ready takes over without a moment's delay.
    checkWhen: 'always',
    /** Family of a service that is a firewall mark. */
    fwmarkFamily: 'ipv4',
  },
  /** The port that IANA assigned to generic UDP encapsulation. */
  gue: { port: 6080, checksum: 'none' },
  gre: { checksum: 'none' },
  // Half-open connections are in the table for a minute: a longer window would not see them all.
  passive: { action: 'off', windowUs: 30 * SECOND_US, retryUs: 60 * SECOND_US },
  // Whoever wants connections to end before the work begins says for how long they may go on.
  maintenance: { drainBeforeUs: 0, action: 'drain' },
  server: { weight: 1, upperThreshold: 0, lowerThreshold: 0 },
  // A dead server is out after two intervals and a timeout at most: 3 failures, 2 s apart.
  check: {
    intervalUs: 2 * SECOND_US,
    timeoutUs: SECOND_US,
    fall: 3,
    rise: 2,
    jitterUs: 0,
    throughVip: false,
    // A restart takes no healthy server out, and a start sends nobody to a dead one.
    initial: 'unknown',
  },
  // The detection time of the session has confirmed it already.
  bfdCheck: { fall: 1, rise: 1 },
  http: { method: 'GET', path: '/', status: [[200, 299]], version: '1.1' },
  tls: { verify: true, min: '1.2' },
  // keepalived's: every name server knows the root's.
  dns: { type: 'SOA', name: '.', rcodes: ['NOERROR'] },
  scriptCheck: { dynamicWeight: false },
  dialogue: { tls: false, starttls: false },
  ldap: { tls: 'none', scope: 'base', filter: '(objectClass=*)' },
  sql: { tls: false },
  radius: { nasIdentifier: 'vipkeeper', expect: ['access-accept'] },
  // RFC 3261 section 7.2: success.
  sip: { transport: 'udp', status: [[200, 299]] },
  udp: { minLengthBytes: 0, maxLengthBytes: 65_535 },
  ipvs: {
    reconcileIntervalUs: 5 * SECOND_US,
    ownership: 'shared',
    // The VIP leaves this director at the stop anyway, so new traffic goes to the peer; entries
    // that stay let connections in flight finish, and a restart interrupts nobody.
    onStop: 'keep',
    onlyOnActive: false,
    // An idle connection lives as long in the kernel: nobody who waits for longer speaks.
    onRemove: 'drain',
    drainTimeoutUs: 900 * SECOND_US,
    // Far from the small numbers that people choose.
    checkMarkBase: 0x5650_0000,
    // What nobody asked for stays as the kernel has it.
    timeouts: { tcpSeconds: null, tcpFinSeconds: null, udpSeconds: null },
    settings: {},
  },
  tracker: {
    interface: { downDelayUs: 0, upDelayUs: 0 },
    script: { intervalUs: SECOND_US, timeoutUs: SECOND_US, rise: 1, fall: 1, initFail: false },
    file: { intervalUs: SECOND_US, overwrite: false },
    process: {
      argumentsMatch: 'exact',
      quorum: 1,
      intervalUs: SECOND_US,
      downDelayUs: 0,
      upDelayUs: 0,
    },
    service: { quorum: 1 },
  },
  notify: {
    timeoutUs: 30 * SECOND_US,
    scriptSecurity: true,
    priorityChanges: false,
    mail: false,
    serverMail: false,
    // As keepalived's notify_fifo.
    fifoServices: true,
    fifoStatesOnReload: false,
  },
  mail: { host: '127.0.0.1', port: 25, timeoutUs: 30 * SECOND_US },
  listen: { host: '127.0.0.1', port: 9112 },
  // A question for each address a minute is nothing to a network, and soon enough for a mistake.
  conflictCheckUs: 60 * SECOND_US,
  runtimeDirectory: '/run/vipkeeper',
  keeper: {
    scheduling: 'realtime',
    holdUs: 60 * SECOND_US,
    dynamicInterfaces: false,
    startupDelayUs: 0,
    delayAfterBootUs: 0,
  },
  log: { level: 'info', format: 'auto' },
} as const satisfies {
  readonly ipvs: Config['ipvs'];
  readonly listen: Config['http'];
  readonly keeper: Config['keeper'];
  readonly log: Config['log'];
  readonly runtimeDirectory: string;
  readonly [section: string]: unknown;
};

/**
 * One director's status with something of everything: an active and a faulty instance, servers
 * in every health, drift, foreign entries and a sync daemon.
 */
import { BFD_REFUSAL_REASONS, type BfdRefusalReason } from '../../src/core/bfd/types.ts';
import type {
  BfdReport,
  DirectorStatus,
  InstanceReport,
  ServerReport,
} from '../../src/core/status.ts';
import { REFUSAL_REASONS, type RefusalReason } from '../../src/core/vrrp/types.ts';

/** The wall clock at which the fixture is looked at. */
export const NOW_MS = Date.parse('2026-03-01T12:00:00.000Z');

function refused(counts: Partial<Record<RefusalReason, number>>): Record<RefusalReason, number> {
  const none = Object.fromEntries(REFUSAL_REASONS.map((reason) => [reason, 0]));
  return { ...(none as Record<RefusalReason, number>), ...counts };
}

const INSTANCE: InstanceReport = {
  name: 'web',
  state: 'active',
  reason: 'peers-silent',
  priority: 150,
  configuredPriority: 150,
  priorityParts: [{ tracker: 'haproxy', delta: 0, detail: 'ended with exit status 1' }],
  faultyTracker: null,
  faultyTrackerDetail: null,
  group: null,
  peers: [
    {
      address: '192.0.2.2',
      lastHeardSecondsAgo: 11_532,
      accepted: {
        count: 7,
        secondsAgo: 11_532,
        activeSecondsAgo: 11_533,
        version: 3,
        priority: 100,
        advertIntervalSeconds: 1,
        checksum: 'pseudo-header',
        addresses: ['192.0.2.10'],
      },
      refused: {
        counts: { checksum: 3 },
        secondsAgo: 11_600,
        reason: 'checksum',
        detail: 'The checksum is wrong in both forms',
      },
    },
  ],
  advertisedAddresses: ['192.0.2.10'],
  interface: 'eth0',
  family: 'ipv4',
  version: 3,
  vrid: 51,
  sourceAddress: '192.0.2.1',
  unicast: null,
  multicastGroup: '224.0.0.18',
  link: null,
  advertIntervalSeconds: 1,
  activeDownIntervalSeconds: 3.414,
  downTimerAdverts: 3,
  preempt: true,
  heldBack: false,
  resigning: false,
  lastHandover: null,
  lastTransitionAt: '2026-03-01T08:47:48.000Z',
  stateForSeconds: 60,
  addresses: [
    { address: '192.0.2.10', prefixLength: 24, interface: 'eth0', present: true },
    { address: '192.0.2.11', prefixLength: 32, interface: 'eth1', present: false },
  ],
  peer: {
    address: '192.0.2.2',
    priority: 100,
    advertIntervalSeconds: 1,
    lastHeardSecondsAgo: 11_532,
  },
  counters: {
    advertsSent: 11_533,
    advertsReceived: 7,
    advertsUnsigned: 0,
    priorityZeroSent: 0,
    priorityZeroReceived: 1,
    refused: refused({ checksum: 3 }),
    announcementsSent: 20,
    transitions: { initialize: 0, backup: 1, active: 1, fault: 0 },
    addressesRestored: 2,
    linksRestored: 1,
    sendErrors: 0,
  },
};

function bfdRefused(
  counts: Partial<Record<BfdRefusalReason, number>>,
): Record<BfdRefusalReason, number> {
  const none = Object.fromEntries(BFD_REFUSAL_REASONS.map((reason) => [reason, 0]));
  return { ...(none as Record<BfdRefusalReason, number>), ...counts };
}

const SESSION: BfdReport = {
  name: 'peer',
  state: 'up',
  diagnostic: 'none',
  neighbor: '192.0.2.2',
  interface: 'eth0',
  multihop: false,
  remoteState: 'up',
  remoteDiagnostic: 'none',
  localDiscriminator: 1_234_567,
  remoteDiscriminator: 7_654_321,
  transmitIntervalSeconds: 0.01,
  detectionTimeSeconds: 0.05,
  lastTransitionAt: '2026-03-01T08:47:49.000Z',
  sendError: null,
  counters: {
    packetsSent: 1_320_000,
    packetsReceived: 1_310_000,
    refused: bfdRefused({ ttl: 2 }),
    transitions: { 'admin-down': 0, down: 1, init: 1, up: 1 },
    sendErrors: 0,
  },
};

const SERVER: ServerReport = {
  server: '10.0.0.11:8080',
  forwarding: 'nat',
  health: 'up',
  reason: null,
  since: '2026-03-01T08:47:50.000Z',
  configuredWeight: 1,
  weight: 1,
  activeConnections: 12,
  inactiveConnections: 40,
  persistentConnections: 3,
  connections: 3412,
  bytesIn: 1_234_567,
  bytesOut: 98_765_432,
};

export const STATUS: DirectorStatus = {
  director: 'dir-a',
  version: '0.1.0',
  startedAt: '2026-03-01T08:47:47.500Z',
  keeper: { pid: 1234, scheduling: 'realtime', restarts: 0 },
  controller: { pid: 1240 },
  instances: [
    INSTANCE,
    {
      ...INSTANCE,
      name: 'mail6',
      state: 'fault',
      reason: 'interface-down',
      priority: 100,
      interface: 'bond0.200',
      family: 'ipv6',
      vrid: 7,
      lastTransitionAt: '2026-03-01T11:59:15.000Z',
      addresses: [
        { address: '2001:db8::25', prefixLength: 64, interface: 'bond0.200', present: false },
      ],
      peer: null,
    },
  ],
  refusedUnassigned: refused({ 'unknown-vrid': 5 }),
  bfd: [
    SESSION,
    {
      ...SESSION,
      name: 'uplink',
      state: 'down',
      diagnostic: 'detection-time-expired',
      neighbor: '2001:db8::1',
      interface: null,
      multihop: true,
      remoteDiscriminator: 0,
      transmitIntervalSeconds: 1,
      detectionTimeSeconds: null,
      lastTransitionAt: '2026-03-01T11:59:00.000Z',
    },
  ],
  bfdRefusedUnassigned: bfdRefused({ 'unknown-session': 4 }),
  trackers: [
    {
      name: 'haproxy',
      kind: 'script',
      up: false,
      value: null,
      detail: 'ended with exit status 1',
      problem: null,
      since: '2026-03-01T11:58:00.000Z',
      runs: { succeeded: 40, failed: 3, timeout: 1, 'not-run': 0, skipped: 2 },
    },
    {
      name: 'maintenance',
      kind: 'file',
      up: true,
      value: -20,
      detail: 'number -20',
      problem: null,
      since: '2026-03-01T11:00:00.000Z',
      runs: null,
    },
    {
      name: 'uplink',
      kind: 'interface',
      up: null,
      value: null,
      detail: 'not known yet',
      problem: null,
      since: null,
      runs: null,
    },
  ],
  services: [
    {
      name: 'web',
      service: 'tcp 192.0.2.10:80',
      scheduler: 'wlc',
      present: true,
      connections: 3421,
      packetsIn: 20_000,
      packetsOut: 30_000,
      bytesIn: 1_236_100,
      bytesOut: 98_765_999,
      servers: [
        SERVER,
        {
          ...SERVER,
          server: '10.0.0.12:8080',
          health: 'down',
          reason: 'connection refused by 10.0.0.12:8080',
          since: '2026-03-01T11:57:00.000Z',
          configuredWeight: 2,
          weight: 0,
          activeConnections: 0,
          inactiveConnections: 1,
          persistentConnections: 0,
          connections: 9,
          bytesIn: 1533,
          bytesOut: 567,
        },
        { ...SERVER, server: '10.0.0.13:8080', health: 'unknown', since: null, weight: null },
      ],
    },
    {
      name: 'dns',
      service: 'udp [2001:db8::53]:53',
      scheduler: 'rr',
      present: false,
      connections: 0,
      packetsIn: 0,
      packetsOut: 0,
      bytesIn: 0,
      bytesOut: 0,
      servers: [
        {
          ...SERVER,
          server: '[2001:db8:1::53]:53',
          forwarding: 'dr',
          health: 'unchecked',
          since: null,
        },
      ],
    },
  ],
  checks: [
    {
      kind: 'http',
      target: 'http://10.0.0.11:8080/healthz',
      status: 'up',
      succeeded: 100,
      failed: { timeout: 2 },
      lastDurationSeconds: 0.0125,
      durationSecondsSum: 3.5,
    },
    {
      kind: 'tcp',
      target: '10.0.0.12:8080',
      status: 'down',
      succeeded: 10,
      failed: { 'connection-refused': 5, timeout: 1 },
      lastDurationSeconds: 0.001,
      durationSecondsSum: 1.25,
    },
    {
      kind: 'tcp',
      target: '10.0.0.13:8080',
      status: 'unknown',
      succeeded: 0,
      failed: {},
      lastDurationSeconds: null,
      durationSecondsSum: 0,
    },
  ],
  ipvs: {
    managed: true,
    lastReconcileAt: '2026-03-01T11:59:58.000Z',
    lastReconcileSeconds: 0.0013,
    lastError: null,
    reconciles: 2306,
    operations: { 'add-service': 2, 'add-server': 4, 'set-server': 1 },
    operationErrors: 0,
    drift: { missing: 1, altered: 2, leftover: 0 },
    foreignServices: 1,
    foreignServers: 2,
  },
  sync: { interface: 'eth1', id: 51, follow: 'web', role: 'master', error: null },
  notify: {
    script: { delivered: 12, failed: 2, dropped: 1, waiting: 3 },
    fifo: { delivered: 9, failed: 0, dropped: 0, waiting: 0 },
    mail: { delivered: 4, failed: 1, dropped: 0, waiting: 1 },
  },
};

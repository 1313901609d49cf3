/**
 * Why a received packet was not taken as an advertisement: the metric's label. Checked in this
 * order, the first that applies is the reason. The first eight concern the packet alone
 * (wire/vrrp.ts, in the order of RFC 9568 section 7.1), 'unknown-vrid' the interface, the others
 * the instance (receive.ts).
 */
export const REFUSAL_REASONS = [
  'ttl',
  'version',
  'type',
  'truncated',
  'oversized',
  'checksum',
  'no-addresses',
  'interval',
  'unknown-vrid',
  'version-mismatch',
  'own-address',
  'authentication',
  'interval-mismatch',
];
/** Why an instance changed its state: label of metrics, field of logs. */
export const TRANSITION_REASONS = [
  'started',
  'address-owner',
  'adopted',
  'peers-silent',
  'peer-resigned',
  'preempted',
  'higher-priority-peer',
  'equal-priority-higher-address',
  'stalled',
  'interface-down',
  'interface-missing',
  'no-source-address',
  'interface-up',
  'controller-lost',
  'stopped',
  'reconfigured',
];
//# sourceMappingURL=types.js.map

/**
 * Config: the one typed configuration of a director, whatever language it was read from.
 * It is complete (every default applied), resolved for one director (per-host values chosen)
 * and JSON-serialisable. Times are integer microseconds unless the name says otherwise.
 * Defaults live in defaults.ts; readers live in src/config.
 */
export const SCHEDULERS = [
  'rr',
  'wrr',
  'lc',
  'wlc',
  'lblc',
  'lblcr',
  'dh',
  'sh',
  'sed',
  'nq',
  'fo',
  'ovf',
  'mh',
  'twos',
];
export const SCHEDULER_FLAGS = [
  'sh-fallback',
  'sh-port',
  'mh-fallback',
  'mh-port',
  'flag-1',
  'flag-2',
  'flag-3',
];
//# sourceMappingURL=config.js.map

/** Sections of docs/runbooks/services.md: log lines name theirs, and so do conf/alerts.yaml. */

export const SERVICE_TROUBLES = [
  'server-down',
  'check-cannot-run',
  'below-quorum',
  'guard-holds',
  'accepts-nothing',
  'no-ipvs',
  'change-refused',
  'drift',
  'foreign-entries',
] as const;
export type ServiceTrouble = (typeof SERVICE_TROUBLES)[number];

/** Where it says what a trouble with services means and what to do. */
export function serviceRunbook(trouble: ServiceTrouble): string {
  return `docs/runbooks/services.md#${trouble}`;
}

/**
 * The kernel's connection sync daemons: which role this director should have, and what to change.
 * The active director sends its connections (master), everybody else listens (backup). A daemon
 * of the other role with our interface and id is left over from before the last transition.
 */
import type { SyncConfig } from '../config/config.ts';
import type { VrrpStateName } from '../vrrp/types.ts';

export type SyncRole = 'master' | 'backup';

export interface SyncDaemon {
  readonly role: SyncRole;
  readonly interface: string;
  readonly id: number;
}

export type SyncOperation =
  | { readonly kind: 'stop-daemon'; readonly role: SyncRole }
  | {
      readonly kind: 'start-daemon';
      readonly role: SyncRole;
      readonly interface: string;
      readonly id: number;
    };

/** Role of a director whose followed instance is in this state. */
export function syncRole(state: VrrpStateName): SyncRole {
  return state === 'active' ? 'master' : 'backup';
}

/**
 * Operations that leave exactly one daemon, of this role and configuration. The one that is not
 * wanted stops first: the kernel lets both run, but a director that listens to what it sends
 * itself has no use for it.
 */
export function planDaemons(
  config: SyncConfig,
  role: SyncRole,
  observed: readonly SyncDaemon[],
): readonly SyncOperation[] {
  const operations: SyncOperation[] = [];
  let running = false;
  for (const daemon of observed) {
    const wanted =
      daemon.role === role && daemon.interface === config.interface && daemon.id === config.id;
    if (wanted) running = true;
    else operations.push({ kind: 'stop-daemon', role: daemon.role });
  }
  if (!running) {
    const { interface: device, id } = config;
    operations.push({ kind: 'start-daemon', role, interface: device, id });
  }
  return operations;
}

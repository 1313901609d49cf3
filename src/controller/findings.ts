/**
 * Watches what `vipkeeper explain` would find, and says in the log when a finding begins, with
 * its cure, and when it has gone: two active directors or a peer that is not understood should
 * not wait for somebody to ask.
 */
import type { DirectorStatus } from '../core/status.ts';
import { explainInstance, type Finding } from '../core/vrrp/explain.ts';

const INTERVAL_MS = 5_000;
/** A look costs the keeper some 0.03 ms for each instance. */
const INTERVAL_PER_INSTANCE_MS = 50;

/**
 * Findings are looked for this often: a mistake of configuration lasts, a failover does not. With
 * many instances less often, since telling their status takes time of the keeper's.
 */
export function findingsIntervalMs(instances: number): number {
  return INTERVAL_MS + instances * INTERVAL_PER_INSTANCE_MS;
}

export interface FindingEvent {
  readonly instance: string;
  readonly finding: Finding;
  readonly began: boolean;
}

/** An interface that was down and is gone now is in fault all the while, for another reason. */
function isOtherFault(before: Finding, now: Finding): boolean {
  return now.kind === 'in-fault' && before.text !== now.text;
}

export class Findings {
  #current = new Map<string, { readonly instance: string; readonly finding: Finding }>();

  /** What began and what ended since the last look. */
  look(instances: DirectorStatus['instances']): readonly FindingEvent[] {
    const now = new Map<string, { readonly instance: string; readonly finding: Finding }>();
    for (const report of instances) {
      for (const finding of explainInstance(report, instances).findings) {
        const key = [report.name, finding.kind, finding.about].join(' ');
        now.set(key, { instance: report.name, finding });
      }
    }
    const events: FindingEvent[] = [];
    for (const [key, found] of now) {
      const before = this.#current.get(key);
      if (before === undefined || isOtherFault(before.finding, found.finding)) {
        events.push({ ...found, began: true });
      }
    }
    for (const [key, found] of this.#current) {
      if (!now.has(key)) events.push({ ...found, began: false });
    }
    this.#current = now;
    return events;
  }
}

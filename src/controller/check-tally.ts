/** Counts results of checks for the metrics; a check that is gone takes its counts with it. */
import type { ProbeResult } from '../core/health/probe-result.ts';
import { LargeMap } from '../core/large-map.ts';
import type { CheckResultReport } from './checks.ts';

export interface Tally {
  readonly succeeded: number;
  /** Failures by reason. */
  readonly failed: Readonly<Record<string, number>>;
  readonly durationUsSum: number;
}

interface MutableTally {
  succeeded: number;
  readonly failed: Record<string, number>;
  durationUsSum: number;
}

const EMPTY: Tally = { succeeded: 0, failed: {}, durationUsSum: 0 };

export class CheckTally {
  readonly #tallies = new LargeMap<MutableTally>();

  count({ key, result }: Pick<CheckResultReport, 'key'> & { readonly result: ProbeResult }): void {
    let tally = this.#tallies.get(key);
    if (tally === undefined) {
      tally = { succeeded: 0, failed: {}, durationUsSum: 0 };
      this.#tallies.set(key, tally);
    }
    tally.durationUsSum += result.durationUs;
    if (result.ok) tally.succeeded++;
    else tally.failed[result.failure.reason] = (tally.failed[result.failure.reason] ?? 0) + 1;
  }

  of(key: string): Tally {
    return this.#tallies.get(key) ?? EMPTY;
  }

  /** Forgets the checks with these keys. */
  forget(keys: readonly string[]): void {
    for (const key of keys) this.#tallies.delete(key);
  }
}

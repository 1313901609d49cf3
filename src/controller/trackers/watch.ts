/**
 * What looks at one tracked thing, as the trackers see it: it tells its state whenever it has
 * looked, and a problem that an operator must solve when there is one, until there is none.
 */
import type { Problem } from '../../core/problem.ts';
import type { TrackerRunResult } from '../../core/status.ts';
import type { TrackerState } from '../../core/vrrp/tracking.ts';
import type { ScriptRecords } from '../notify/left-scripts.ts';

export interface WatchPorts {
  readonly set: (state: TrackerState) => void;
  /** What keeps it from being looked at; null when nothing does. */
  readonly problem: (problem: Problem | null) => void;
  /** Where it is kept which scripts run, for whoever comes after a crash. */
  readonly records?: ScriptRecords | undefined;
}

export type RunCounts = Record<TrackerRunResult, number>;

export interface Watch {
  /** Ends it, with what it started. May be called again. */
  close(): void;
  /** Of a script: how often it was run, by result. */
  readonly runs?: RunCounts;
}

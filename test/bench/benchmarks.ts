/** The benchmarks by their names; list.json says what each measures, before anything is built. */
import { checks } from './checks.ts';
import { detection } from './detection.ts';
import { failover } from './failover.ts';
import { failoverAll } from './failover-all.ts';
import { hitless } from './hitless.ts';
import { instances } from './instances.ts';
import { ipvs } from './ipvs.ts';
import { ipvsChange } from './ipvs-change.ts';
import { memory } from './memory.ts';
import { pauses } from './pauses.ts';
import type { Report } from './report.ts';
import { spacing } from './spacing.ts';
import { start } from './start.ts';

/** Measures so many times as `runs` says, or as often as it is meant to be. */
type Benchmark = (runs: number | null) => Promise<Report>;

export const BENCHMARKS = {
  checks,
  detection,
  failover,
  'failover-all': failoverAll,
  hitless,
  instances,
  ipvs,
  'ipvs-change': ipvsChange,
  memory,
  pauses,
  spacing,
  start,
} as const satisfies Readonly<Record<string, Benchmark>>;

export function isBenchmark(name: string): name is keyof typeof BENCHMARKS {
  return Object.hasOwn(BENCHMARKS, name);
}

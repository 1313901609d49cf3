/**
 * What the benchmarks hand back: samples of two or more contestants, their median and range, and
 * targets as ratios or differences between them. Absolute times belong to one machine and one
 * moment; only what was measured side by side in the same run is compared.
 */
import { cpus, loadavg, release, totalmem } from 'node:os';

/** One row of a table: the samples of one contestant in one discipline. */
export interface Row {
  readonly name: string;
  readonly unit: 'ms' | 'MiB' | '%' | '/s' | '';
  readonly samples: readonly number[];
}

export interface Target {
  readonly text: string;
  readonly value: number;
  readonly met: boolean;
}

export interface Report {
  readonly name: string;
  readonly rows: readonly Row[];
  readonly targets: readonly Target[];
  /** Ratios without a target, and circumstances. */
  readonly notes: readonly string[];
  /** Load averages of one minute at the start and at the end. */
  readonly load: readonly [number, number];
}

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Of at least one sample; the mean of the middle two when they are even in number. */
export function summarize(samples: readonly number[]): Summary {
  const sorted = [...samples].sort((left, right) => left - right);
  const middle = (sorted.length - 1) / 2;
  const low = sorted[Math.floor(middle)];
  const high = sorted[Math.ceil(middle)];
  const min = sorted[0];
  const max = sorted[sorted.length - 1];
  if (low === undefined || high === undefined || min === undefined || max === undefined) {
    return { median: Number.NaN, min: Number.NaN, max: Number.NaN };
  }
  return { median: (low + high) / 2, min, max };
}

export function median(samples: readonly number[]): number {
  return summarize(samples).median;
}

/** The load average of one minute. */
export function load(): number {
  return loadavg()[0] as number;
}

/** The machine in general terms. */
export function describeMachine(): string {
  const all = cpus();
  const memoryGiB = totalmem() / 2 ** 30;
  const model = all[0]?.model.trim() || 'unknown processor';
  return `${all.length} x ${model}, ${memoryGiB.toFixed(0)} GiB, Linux ${release()}, Node ${process.versions.node}`;
}

let stream: NodeJS.WriteStream = process.stdout;

/** From now on standard output is free for something else. */
export function toStderr(): void {
  stream = process.stderr;
}

export function print(line = ''): void {
  stream.write(`${line}\n`);
}

/** The report as a table for people. */
export function printReport(report: Report): void {
  const width = Math.max(...report.rows.map(({ name }) => name.length), 10);
  print();
  print(
    `${report.name} (load average ${report.load.map((value) => value.toFixed(1)).join(' -> ')})`,
  );
  print(`  ${''.padEnd(width)}  runs     median        min        max`);
  for (const { name, unit, samples } of report.rows) {
    const { median: middle, min, max } = summarize(samples);
    const numbers = [middle, min, max].map((value) => value.toFixed(2).padStart(10)).join(' ');
    print(`  ${name.padEnd(width)}  ${String(samples.length).padStart(4)} ${numbers} ${unit}`);
  }
  for (const { text, value, met } of report.targets) {
    print(`  ${met ? 'met   ' : 'MISSED'}  ${text}: ${value.toFixed(2)}`);
  }
  for (const note of report.notes) print(`  ${note}`);
}

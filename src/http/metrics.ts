/**
 * Metrics: the Prometheus exposition of a director, made anew from one snapshot for each scrape.
 * Nothing is counted here: a scrape shows what the status says at that moment, and what is gone
 * from the configuration is gone from the next scrape. prom-client writes the text format.
 */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';
import type { Metric } from 'prom-client';
import { inTurns } from '../core/in-turns.ts';
import { LargeMap } from '../core/large-map.ts';
import type { CheckReport, StatusSource } from '../core/status.ts';
import { Turn } from '../core/turn.ts';
import { Body } from './body.ts';
import {
  METRIC_GROUPS,
  type MetricDefinition,
  type ProcessUsage,
  type Snapshot,
} from './metrics-table.ts';
import { TURNS } from './turns.ts';

type PromClient = typeof import('prom-client');

/**
 * Only the part in use: the whole package brings push gateway, cluster and default metrics with
 * it, which cost the controller 3.5 MB for good.
 */
const require = createRequire(import.meta.url);
const Registry: PromClient['Registry'] = require('prom-client/lib/registry.js');

export interface Exposition {
  readonly contentType: string;
  /** Of ten thousand servers it is many megabytes. Whoever asked for it is to release it. */
  readonly body: Body;
}

/** Series that are written at once, and looked at between two looks at the clock. */
const SERIES_AT_ONCE = 32;
/** Of prom-client's text of a metric: HELP and TYPE. */
const HEAD_LINES = 2;

/** Label values, then the value, or the two of a summary. */
type Values = readonly [readonly string[], ...number[]];

/** What prom-client's registry writes a line of. */
interface Written {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  /** Not left out, or the registry would make and keep a set of them for each line. */
  readonly sharedLabels: Readonly<Record<string, string>>;
}

const NO_LABELS = {};

/**
 * A metric whose values are given. prom-client's own count and observe: they keep each series under
 * a key made of its labels, which for some hundred thousand series that are written once is most of
 * the time of a scrape. This answers what the registry asks of a metric.
 */
class GivenMetric {
  readonly #definition: MetricDefinition;
  #values: readonly Written[] = [];

  constructor(definition: MetricDefinition) {
    this.#definition = definition;
  }

  get name(): string {
    return this.#definition.name;
  }

  samples(snapshot: Snapshot): Iterable<Values | null> {
    return this.#definition.samples(snapshot);
  }

  /** The metric has these samples alone. */
  give(samples: readonly Values[]): void {
    const { name, labels: names, type } = this.#definition;
    const write = (metricName: string, labels: Written['labels'], value: number): Written => ({
      metricName,
      labels,
      value,
      sharedLabels: NO_LABELS,
    });
    this.#values = samples.flatMap(([values, first, second]) => {
      const labels = labelled(names, values);
      if (type !== 'summary') return write(name, labels, first as number);
      return [
        write(`${name}_sum`, labels, first as number),
        write(`${name}_count`, labels, second as number),
      ];
    });
  }

  async get() {
    const { name, help, type } = this.#definition;
    return { name, help, type, values: this.#values };
  }
}

/** Renders the status of a director as Prometheus text. */
export class Metrics {
  readonly #source: StatusSource;
  readonly #registry = new Registry();
  readonly #shown: readonly GivenMetric[];
  #rendering: Promise<Exposition> | null = null;
  /** How many wait for it. */
  #waiting = 0;

  constructor(source: StatusSource) {
    this.#source = source;
    this.#shown = METRIC_GROUPS.flatMap(({ metrics }) =>
      metrics.map((one) => new GivenMetric(one)),
    );
    for (const metric of this.#shown) {
      this.#registry.registerMetric(metric as unknown as Metric<string>);
    }
  }

  /**
   * The exposition of this moment. Calls that overlap share one: so many scrapers cost no more
   * than one, and no scrape sees values of two snapshots. Rejects when the source does.
   */
  render(): Promise<Exposition> {
    this.#waiting++;
    this.#rendering ??= this.#render();
    return this.#rendering;
  }

  async #render(): Promise<Exposition> {
    let waiting = 0;
    const body = new Body();
    try {
      await this.#write(body);
    } finally {
      // Nobody joins after this.
      [waiting, this.#waiting, this.#rendering] = [this.#waiting, 0, null];
    }
    for (let other = 1; other < waiting; other++) body.retain();
    return { contentType: this.#registry.contentType, body };
  }

  async #write(body: Body): Promise<void> {
    const status = await this.#source.status();
    const checks = await distinct(status.checks);
    const snapshot = { status: { ...status, checks }, usage: processUsage() };
    const turn = new Turn(TURNS);
    for (const [index, shown] of this.#shown.entries()) {
      let looked = 0;
      let hasHead = false;
      let some: Values[] = [];
      const put = async (): Promise<void> => {
        const text = await this.#text(shown, some);
        body.add(hasHead ? `\n${behindHead(text)}` : index === 0 ? text : `\n\n${text}`);
        hasHead = true;
        some = [];
      };
      for (const sample of shown.samples(snapshot)) {
        if (sample !== null) some.push(sample);
        if (some.length === SERIES_AT_ONCE) await put();
        if (++looked % SERIES_AT_ONCE === 0 && turn.hasLasted()) await turn.rest();
      }
      if (!hasHead || some.length > 0) await put();
      if (turn.hasLasted()) await turn.rest();
    }
    body.add('\n');
  }

  #text(metric: GivenMetric, samples: readonly Values[]): Promise<string> {
    metric.give(samples);
    return this.#registry.getSingleMetricAsString(metric.name);
  }
}

function behindHead(text: string): string {
  let at = 0;
  for (let line = 0; line < HEAD_LINES; line++) at = text.indexOf('\n', at) + 1;
  return text.slice(at);
}

/** Checks of one kind and target made one, in turns: two series of a kind would be no exposition. */
async function distinct(checks: readonly CheckReport[]): Promise<readonly CheckReport[]> {
  const all = new LargeMap<CheckReport>();
  const add = (check: CheckReport): void => {
    const key = `${check.kind} ${check.target}`;
    const other = all.get(key);
    all.set(key, other === undefined ? check : together(other, check));
  };
  await inTurns(checks, add, TURNS);
  return all.size === checks.length ? checks : [...all.values()];
}

const VERDICTS = ['down', 'up', 'unknown'] as const;

/** What both have counted, and the worse of what is one or the other. */
function together(one: CheckReport, other: CheckReport): CheckReport {
  const failed = { ...one.failed };
  for (const [reason, count] of Object.entries(other.failed)) {
    failed[reason] = (failed[reason] ?? 0) + count;
  }
  const durations = [one, other].flatMap(({ lastDurationSeconds }) => lastDurationSeconds ?? []);
  const verdicts = [one.status, other.status];
  return {
    ...one,
    status: VERDICTS.find((verdict) => verdicts.includes(verdict)) ?? 'unknown',
    succeeded: one.succeeded + other.succeeded,
    failed,
    lastDurationSeconds: durations.length === 0 ? null : Math.max(...durations),
    durationSecondsSum: one.durationSecondsSum + other.durationSecondsSum,
  };
}

function labelled(names: readonly string[], values: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [index, name] of names.entries()) labels[name] = values[index] as string;
  return labels;
}

/**
 * What this process has used. prom-client's default metrics would also tell it, but start a
 * timer of 10 ms and an observer of every garbage collection that run whether or not anybody asks.
 */
function processUsage(): ProcessUsage {
  const cpu = process.cpuUsage();
  const memory = process.memoryUsage();
  return {
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
    residentBytes: memory.rss,
    heapUsedBytes: memory.heapUsed,
    openFds: readdirSync('/proc/self/fd').length,
    eventLoopActiveSeconds: performance.eventLoopUtilization().active / 1e3,
  };
}

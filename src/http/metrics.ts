/**
 * Metrics: the Prometheus exposition of a director, made anew from one snapshot for each scrape.
 * Nothing is counted here: a scrape shows what the status says at that moment, and what is gone
 * from the configuration is gone from the next scrape. prom-client writes the text format.
 */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';
import type { Metric, Summary as SummaryMetric } from 'prom-client';
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
 * Only the parts in use: the whole package brings push gateway, cluster and default metrics with
 * it, which cost the controller 3.5 MB for good.
 */
const require = createRequire(import.meta.url);
const Registry: PromClient['Registry'] = require('prom-client/lib/registry.js');
const Counter: PromClient['Counter'] = require('prom-client/lib/counter.js');
const Gauge: PromClient['Gauge'] = require('prom-client/lib/gauge.js');
const Summary: PromClient['Summary'] = require('prom-client/lib/summary.js');

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

/**
 * A summary whose sum and count are given, not observed. prom-client has no call for that, so
 * this answers what the registry asks of a metric.
 */
class GivenSummary extends Summary<string> {
  #values: { labels: Record<string, string>; metricName: string; value: number }[] = [];
  readonly #described: { readonly name: string; readonly help: string };

  constructor(described: { name: string; help: string; labelNames: string[] }) {
    super({ ...described, percentiles: [], registers: [] });
    this.#described = described;
  }

  clear(): void {
    this.#values = [];
  }

  give(labels: Record<string, string>, sum: number, count: number): void {
    const { name } = this.#described;
    this.#values.push({ labels, metricName: `${name}_sum`, value: sum });
    this.#values.push({ labels, metricName: `${name}_count`, value: count });
  }

  override get(): ReturnType<SummaryMetric<string>['get']> {
    const { name, help } = this.#described;
    // The type names MetricType as an ambient enum that does not exist at run time.
    const answer = { name, help, type: 'summary', aggregator: 'sum', values: this.#values };
    return Promise.resolve(answer as unknown as Awaited<ReturnType<SummaryMetric<string>['get']>>);
  }
}

/** One definition with the prom-client metric that writes some of its samples at a time. */
interface Shown {
  readonly name: string;
  readonly metric: Metric<string>;
  readonly samples: (snapshot: Snapshot) => Iterable<Values | null>;
  /** The metric holds these alone. */
  readonly hold: (samples: readonly Values[]) => void;
}

/** Renders the status of a director as Prometheus text. */
export class Metrics {
  readonly #source: StatusSource;
  readonly #registry = new Registry();
  readonly #shown: readonly Shown[];
  #rendering: Promise<Exposition> | null = null;
  /** How many wait for it. */
  #waiting = 0;

  constructor(source: StatusSource) {
    this.#source = source;
    this.#shown = METRIC_GROUPS.flatMap((group) => group.metrics.map(show));
    for (const { metric } of this.#shown) this.#registry.registerMetric(metric);
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

  #text({ name, hold }: Shown, samples: readonly Values[]): Promise<string> {
    hold(samples);
    return this.#registry.getSingleMetricAsString(name);
  }
}

function behindHead(text: string): string {
  let at = 0;
  for (let line = 0; line < HEAD_LINES; line++) at = text.indexOf('\n', at) + 1;
  return text.slice(at);
}

function show(definition: MetricDefinition): Shown {
  const { name, help, samples } = definition;
  const described = { name, help, labelNames: [...definition.labels], registers: [] };
  if (definition.type === 'summary') {
    const summary = new GivenSummary(described);
    const hold = (some: readonly Values[]) => {
      summary.clear();
      for (const [labels, sum, count] of some) {
        summary.give(labelled(definition, labels), sum as number, count as number);
      }
    };
    return { name, metric: summary, samples, hold };
  }
  if (definition.type === 'counter') {
    const counter = new Counter(described);
    const hold = (some: readonly Values[]) => {
      counter.reset();
      for (const [labels, value] of some) counter.inc(labelled(definition, labels), value);
    };
    return { name, metric: counter, samples, hold };
  }
  const gauge = new Gauge(described);
  const hold = (some: readonly Values[]) => {
    gauge.reset();
    // reset() leaves a zero where there are no labels; a value that is not known is absent.
    if (definition.labels.length === 0) gauge.remove();
    for (const [labels, value] of some) gauge.set(labelled(definition, labels), value as number);
  };
  return { name, metric: gauge, samples, hold };
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

function labelled(definition: MetricDefinition, values: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    definition.labels.map((label, index) => [label, values[index] as string]),
  );
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

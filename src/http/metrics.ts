/**
 * Metrics: the Prometheus exposition of a director, made anew from one snapshot for each scrape.
 * Nothing is counted here: a scrape shows what the status says at that moment, and what is gone
 * from the configuration is gone from the next scrape. prom-client writes the text format.
 */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import type { Metric, Summary as SummaryMetric } from 'prom-client';
import type { StatusSource } from '../core/status.ts';
import {
  METRIC_GROUPS,
  type MetricDefinition,
  type ProcessUsage,
  type Sample,
  type Snapshot,
} from './metrics-table.ts';

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
  readonly body: string;
}

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

/** One definition with the prom-client metric that shows it. */
interface Shown {
  readonly metric: Metric<string>;
  readonly update: (snapshot: Snapshot) => void;
}

/** Renders the status of a director as Prometheus text. */
export class Metrics {
  readonly #source: StatusSource;
  readonly #registry = new Registry();
  readonly #shown: readonly Shown[];
  #rendering: Promise<Exposition> | null = null;

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
    this.#rendering ??= this.#render().finally(() => {
      this.#rendering = null;
    });
    return this.#rendering;
  }

  async #render(): Promise<Exposition> {
    const snapshot = { status: await this.#source.status(), usage: processUsage() };
    for (const { update } of this.#shown) {
      update(snapshot);
      // One metric of ten thousand servers takes as long as may be at once.
      await setImmediate();
    }
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() };
  }
}

function show(definition: MetricDefinition): Shown {
  const { name, help } = definition;
  const described = { name, help, labelNames: [...definition.labels], registers: [] };
  if (definition.type === 'summary') {
    const summary = new GivenSummary(described);
    return {
      metric: summary,
      update: (snapshot) => {
        summary.clear();
        for (const sample of merge(definition.samples(snapshot), (a, b) => a + b)) {
          const [labels, sum, count] = sample;
          summary.give(labelled(definition, labels), sum as number, count as number);
        }
      },
    };
  }
  if (definition.type === 'counter') {
    const counter = new Counter(described);
    return {
      metric: counter,
      update: (snapshot) => {
        counter.reset();
        for (const [labels, value] of definition.samples(snapshot)) {
          counter.inc(labelled(definition, labels), value);
        }
      },
    };
  }
  const gauge = new Gauge(described);
  return {
    metric: gauge,
    update: (snapshot) => {
      gauge.reset();
      // reset() leaves a zero where there are no labels; a value that is not known is absent.
      if (definition.labels.length === 0) gauge.remove();
      // Two checks may share kind and target: the worse of them counts.
      for (const [labels, value] of merge(definition.samples(snapshot), Math.min)) {
        gauge.set(labelled(definition, labels), value as number);
      }
    },
  };
}

/** Samples with equal labels made one: two of a kind would make the exposition invalid. */
function merge<S extends Sample | readonly [readonly string[], ...number[]]>(
  samples: readonly S[],
  combine: (left: number, right: number) => number,
): Iterable<readonly [readonly string[], ...number[]]> {
  const merged = new Map<string, readonly [readonly string[], ...number[]]>();
  for (const [labels, ...values] of samples) {
    const key = JSON.stringify(labels);
    const earlier = merged.get(key);
    const combined = values.map((value, index) =>
      earlier === undefined ? value : combine(earlier[index + 1] as number, value),
    );
    merged.set(key, [labels, ...combined]);
  }
  return merged.values();
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

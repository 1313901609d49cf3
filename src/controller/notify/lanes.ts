/**
 * Lanes: scripts in order. Each instance has a lane in which one job runs at a time, in the order
 * of what happened; lanes do not wait for each other, but for a free place when many run at once.
 * What a lane drops when too much waits is decided in core/notify/queue.ts.
 */
import { enqueue, type Waiting } from '../../core/notify/queue.ts';

/** A failover of hundreds of instances must not start hundreds of processes at once. */
export const RUNNING_MAX = 16;

export interface Job extends Waiting {
  /** Does the work; must not reject. */
  readonly run: () => Promise<void>;
  /** It will not be run, because newer ones wait. */
  readonly dropped: () => void;
}

interface Lane {
  waiting: readonly Job[];
  running: boolean;
}

export class Lanes {
  readonly #lanes = new Map<string, Lane>();
  #running = 0;
  #whenIdle: (() => void)[] = [];

  /** Jobs that wait for their turn. */
  get waiting(): number {
    return [...this.#lanes.values()].reduce((sum, lane) => sum + lane.waiting.length, 0);
  }

  add(name: string, job: Job): void {
    const lane = this.#lanes.get(name) ?? { waiting: [], running: false };
    this.#lanes.set(name, lane);
    const { queue, dropped } = enqueue(lane.waiting, job);
    lane.waiting = queue;
    for (const each of dropped) each.dropped();
    this.#pump();
  }

  /** The director stops: of what waits, only the last state of each lane still matters. */
  keepLastStates(): void {
    for (const lane of this.#lanes.values()) {
      const last = lane.waiting.findLast((job) => job.kind === 'state');
      const dropped = lane.waiting.filter((job) => job !== last);
      lane.waiting = last === undefined ? [] : [last];
      for (const each of dropped) each.dropped();
    }
    this.#pump();
  }

  /** Drops all that waits; what runs goes on. */
  clear(): void {
    for (const lane of this.#lanes.values()) {
      const dropped = lane.waiting;
      lane.waiting = [];
      for (const each of dropped) each.dropped();
    }
    this.#pump();
  }

  /** Resolves when nothing runs and nothing waits. */
  idle(): Promise<void> {
    if (this.#lanes.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenIdle.push(resolve);
    });
  }

  #pump(): void {
    for (const [name, lane] of this.#lanes) {
      if (lane.running) continue;
      const [next, ...rest] = lane.waiting;
      if (next === undefined) {
        this.#lanes.delete(name);
        continue;
      }
      if (this.#running >= RUNNING_MAX) return;
      lane.waiting = rest;
      // A lane that has had its turn goes behind the others.
      this.#lanes.delete(name);
      this.#lanes.set(name, lane);
      void this.#run(lane, next);
    }
    if (this.#lanes.size > 0) return;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  async #run(lane: Lane, job: Job): Promise<void> {
    lane.running = true;
    this.#running++;
    await job.run();
    lane.running = false;
    this.#running--;
    this.#pump();
  }
}

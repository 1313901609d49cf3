/**
 * The answer to a request for the keeper's status: that of a thousand instances is megabytes, so it
 * is told in parts, a short turn of the event loop each, between which what is due is done. The
 * last message has what is not of one instance. What is told is of the moment in which it is told.
 *
 * Invariants: one answer after the other, each in order; no more than WAITING_MAX requests wait;
 * an instance that is gone meanwhile is in none of the parts that follow.
 */
import type { InstanceStatus, KeeperStatus, KeeperToController } from './messages.ts';

/** A turn goes on for this long; as long again is needed to put it into a message. */
const TURN_US = 1_000;
/** And for so many at most, however fast the clock says they are. */
const PART_MAX = 32;
/** More than a controller asks for at a time; beyond it nobody waits for the answer any more. */
const WAITING_MAX = 16;

export interface StatusPorts {
  /** Of the instances of now. */
  readonly names: () => readonly string[];
  /** Null when it is gone. */
  readonly instance: (name: string) => InstanceStatus | null;
  readonly rest: () => Omit<KeeperStatus, 'instances'>;
  readonly send: (message: KeeperToController) => void;
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
  /** Calls back when the event loop has been round. */
  readonly later: (goOn: () => void) => void;
}

export class StatusParts {
  readonly #ports: StatusPorts;
  readonly #waiting: number[] = [];
  /** What is left of the answer that is under way; null between answers. */
  #names: Iterator<string> | null = null;

  constructor(ports: StatusPorts) {
    this.#ports = ports;
  }

  /** Begins to answer the request with this number, or does so after those that wait. */
  request(id: number): void {
    if (this.#waiting.length >= WAITING_MAX) return;
    this.#waiting.push(id);
    if (this.#waiting.length === 1) this.#turn();
  }

  #turn(): void {
    const id = this.#waiting[0];
    if (id === undefined) return;
    this.#names ??= this.#ports.names().values();
    const { instances, isLast } = this.#part(this.#names);
    if (isLast) {
      this.#ports.send({ kind: 'status', id, status: { ...this.#ports.rest(), instances } });
      this.#names = null;
      this.#waiting.shift();
      if (this.#waiting.length === 0) return;
    } else this.#ports.send({ kind: 'status-part', id, instances });
    this.#ports.later(() => this.#turn());
  }

  #part(names: Iterator<string>): { instances: readonly InstanceStatus[]; isLast: boolean } {
    const { nowUs } = this.#ports;
    const startUs = nowUs();
    const instances: InstanceStatus[] = [];
    while (instances.length < PART_MAX && nowUs() - startUs < TURN_US) {
      const next = names.next();
      if (next.done === true) return { instances, isLast: true };
      const instance = this.#ports.instance(next.value);
      if (instance !== null) instances.push(instance);
    }
    return { instances, isLast: false };
  }
}

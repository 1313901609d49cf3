/**
 * The keeper's turns: what is done when the one timer fires, in which order. Packets that wait in
 * the sockets are handled first, with their kernel receive times, deadlines after, and what can
 * wait when all advertisements are sent.
 *
 * Invariants: no turn waits, but for a takeover that is due within TAKEOVER_LEAD_US; what was
 * received before a deadline is handled before it, also after a stall.
 */
import { DeadlineQueue } from '../core/deadlines.ts';
import { TAKEOVER_LEAD_US } from '../core/vrrp/wake.ts';
import { monotonicUs } from '../linux/clock.ts';
import { DeadlineTimer } from '../linux/timer.ts';
import type { Announcer } from './announcer.ts';
import type { BfdRunner } from './bfd.ts';
import type { KeeperToController } from './messages.ts';
import type { PutOff } from './put-off.ts';
import type { Receivers } from './receivers.ts';
import type { RecordWriter } from './record.ts';
import type { InstanceRunner } from './runner.ts';

/**
 * After this many turns' worth of packets, more than a socket holds, it is a flood and not a
 * stall: it must not hold up takeovers for ever.
 */
const FULL_TURNS_MAX = 128;
/** A turn of takeovers that follow each other goes on for this long: others wait for its end. */
const TURN_MAX_US = 5_000;

export interface TurnPorts {
  readonly receivers: Receivers;
  readonly bfd: BfdRunner;
  readonly announcer: Announcer;
  readonly putOff: PutOff;
  /** Null while there is none yet. */
  readonly record: () => RecordWriter | null;
  /** What a turn has to report, in one message. */
  readonly send: (reports: readonly KeeperToController[]) => void;
  /** A turn is over, and nothing more waits: rest() is to be called, or it was the last one. */
  readonly over: () => void;
}

/** What turns go by; another one is for tests. */
export interface TurnWorld {
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
  /** The one timer, disarmed. */
  readonly timer: (onFire: () => void) => Pick<DeadlineTimer, 'arm' | 'close'>;
  /** Calls this once, in the next turn of the event loop. */
  readonly soon: (act: () => void) => void;
}

const REAL_WORLD: TurnWorld = {
  nowUs: monotonicUs,
  timer: (onFire) => new DeadlineTimer(onFire),
  soon: (act) => void setImmediate(act),
};

export class Turns {
  readonly #ports: TurnPorts;
  readonly #world: TurnWorld;
  readonly #nowUs: () => number;
  readonly #timer: Pick<DeadlineTimer, 'arm' | 'close'>;
  /** Where active instances say when they advertise next. */
  readonly adverts = new DeadlineQueue<InstanceRunner>();
  /** Where all others say when they have something to do: a takeover, as a rule. */
  readonly takeovers = new DeadlineQueue<InstanceRunner>();
  /** Those that are looked at now; allocated once. */
  readonly #due: InstanceRunner[] = [];
  /** Those beside the instances that have something to do at times. */
  readonly #others: readonly { readonly deadlineUs: number | null }[];
  /** Reports that wait for the end of the turn, and until nothing is put off any more. */
  #reports: KeeperToController[] = [];
  #inTurn = false;
  /** Turns in a row that did not empty the sockets. */
  #fullTurns = 0;
  #overSoon = false;

  /** Throws SystemError when there is no descriptor left for the timer. */
  constructor(ports: TurnPorts, world: TurnWorld = REAL_WORLD) {
    this.#ports = ports;
    this.#world = world;
    this.#nowUs = world.nowUs;
    this.#others = [ports.bfd, ports.announcer, ports.receivers];
    this.#timer = world.timer(() => this.#take());
  }

  /** Keeps the report, for the end of the turn or behind others; false when it may be sent now. */
  collect(report: KeeperToController): boolean {
    if (!this.#inTurn && this.#reports.length === 0) return false;
    this.#reports.push(report);
    return true;
  }

  /** Sends the reports that are kept, in one message. */
  report(): void {
    const reports = this.#reports;
    if (reports.length === 0) return;
    this.#reports = [];
    this.#ports.send(reports);
  }

  /** Nothing is to be done before the next deadline. */
  rest(): void {
    this.#ports.record()?.flush();
    this.#ports.receivers.hurry();
    this.#timer.arm(this.#nextUs());
  }

  /** The next turn is now. */
  hasten(): void {
    this.#timer.arm(1);
  }

  /** For what is asked for outside of a turn: it ends as one does. */
  overSoon(): void {
    if (this.#overSoon) return;
    this.#overSoon = true;
    this.#world.soon(() => {
      this.#overSoon = false;
      this.#ports.over();
    });
  }

  /** There are no more turns. */
  close(): void {
    this.#timer.close();
    this.report();
  }

  /**
   * Reads the sockets: what waits there came before what is decided next, which a director that
   * was stalled must know. No more than what a flood may hold up takeovers with.
   */
  hearFirst(): void {
    for (let turns = 0; turns < FULL_TURNS_MAX && this.#ports.receivers.drainAll(); turns++);
  }

  /** Sends what instances that are active and on time have to send now. */
  advertise(): void {
    this.#fireDue(true);
  }

  #take(): void {
    const { putOff, record, announcer, over } = this.#ports;
    this.#inTurn = true;
    putOff.isOpen = true;
    const endUs = this.#nowUs() + TURN_MAX_US;
    let more = this.#decide();
    // The instances of a director that died are due one shortly after the other, and a turn costs
    // as much as some of their advertisements.
    while (!more && this.#isTakeoverNear(endUs)) more = this.#decide();
    putOff.isOpen = false;
    this.#settle();
    record()?.flush();
    // Last: whoever waited in a socket may have ended what is announced.
    if (!putOff.isWaiting) announcer.flush(this.#nowUs());
    this.#inTurn = false;
    // A controller that is told of each takeover at once takes time from the next ones.
    if (!putOff.isWaiting) this.report();
    if (more) this.#world.soon(() => this.#take());
    else over();
  }

  /** Whether another takeover follows those that have just been, before `endUs`. */
  #isTakeoverNear(endUs: number): boolean {
    const { earliestUs } = this.takeovers;
    if (earliestUs === null || !this.#ports.putOff.isWaiting) return false;
    const nowUs = this.#nowUs();
    return nowUs < endUs && earliestUs <= nowUs + TAKEOVER_LEAD_US;
  }

  /** Advertisements and elections; true when more waits in the sockets before these. */
  #decide(): boolean {
    const { receivers, bfd, putOff } = this.#ports;
    // What an active director that is on time has to send does not depend on what waits.
    const nowUs = this.#fireDue(true);
    if ((this.#nextUs() ?? Number.POSITIVE_INFINITY) > nowUs) return false;
    if (!putOff.isWaiting || this.#isYielding()) this.#awaitTakeover();
    // A peer's advertisement that waits in a socket came before the deadline that it moves.
    const more = receivers.drainAll();
    bfd.drainAll();
    this.#fullTurns = more ? this.#fullTurns + 1 : 0;
    if (more && this.#fullTurns < FULL_TURNS_MAX) return true;
    this.#fireDue(false);
    bfd.fireDeadlines(this.#nowUs());
    return false;
  }

  /**
   * Does what was put off, as far as there is time before the next deadline, which gets a turn of
   * its own; the rest comes after it.
   */
  #settle(): void {
    const { putOff, announcer } = this.#ports;
    while (putOff.isWaiting) {
      const nowUs = this.#nowUs();
      const dueUs = this.#earliestUs(0);
      if (putOff.yieldsTo(dueUs, nowUs)) {
        if (!this.#settleWithin((dueUs as number) - nowUs)) return;
      } else announcer.together(() => putOff.settleSome());
      if ((this.#earliestUs(0) ?? Number.POSITIVE_INFINITY) <= this.#nowUs()) return;
    }
  }

  /** False when there is no time for anything. */
  #settleWithin(us: number): boolean {
    let settled = false;
    this.#ports.announcer.together(() => {
      settled = this.#ports.putOff.settleWithin(us);
    });
    return settled;
  }

  /** Whether what was put off waits for the next deadline. */
  #isYielding(): boolean {
    return this.#ports.putOff.yieldsTo(this.#earliestUs(0), this.#nowUs());
  }

  /** Returns the time that it went by. */
  #fireDue(onlyPunctual: boolean): number {
    const nowUs = this.#nowUs();
    this.#fire(this.adverts, nowUs, onlyPunctual);
    if (!onlyPunctual) this.#fire(this.takeovers, nowUs, false);
    return nowUs;
  }

  #fire(queue: DeadlineQueue<InstanceRunner>, nowUs: number, onlyPunctual: boolean): void {
    const count = queue.due(nowUs, this.#due);
    for (let index = 0; index < count; index++) this.#due[index]?.fireIfDue(nowUs, onlyPunctual);
  }

  /**
   * Whoever is woken before a takeover (core/vrrp/wake.ts) is awake when it is due: reading the
   * sockets meanwhile keeps at hand what is needed then, and instances that are active advertise
   * as ever, and what was put off is done as far as there is time. No longer than TAKEOVER_LEAD_US.
   */
  #awaitTakeover(): void {
    const { earliestUs: takeoverUs } = this.takeovers;
    const soonUs = this.#nowUs() + TAKEOVER_LEAD_US;
    if (takeoverUs === null || takeoverUs > soonUs) return;
    const { putOff, receivers } = this.#ports;
    if (!putOff.isWaiting) this.#prepareTakeovers(soonUs, takeoverUs);
    for (;;) {
      const leftUs = takeoverUs - this.#fireDue(true);
      if (leftUs <= 0) return;
      if (!putOff.isWaiting || !this.#settleWithin(leftUs)) receivers.drainAll();
    }
  }

  /** Of those that are due until `soonUs`, before `endUs`. */
  #prepareTakeovers(soonUs: number, endUs: number): void {
    const count = this.takeovers.due(soonUs, this.#due);
    for (let index = 0; index < count; index++) {
      // Many take longer than there is time, and those that are due first wait for nothing.
      if (this.#nowUs() >= endUs) return;
      this.#due[index]?.prepareTakeover();
    }
  }

  /**
   * When an instance has something to do next, or is `leadUs` before a takeover; null for never.
   */
  #earliestUs(leadUs: number): number | null {
    const { earliestUs: advertUs } = this.adverts;
    const { earliestUs: takeoverUs } = this.takeovers;
    if (takeoverUs === null) return advertUs;
    return Math.min(advertUs ?? Number.POSITIVE_INFINITY, takeoverUs - leadUs);
  }

  /** When there is something to do next; null for never. */
  #nextUs(): number | null {
    const earliestUs = this.#earliestUs(TAKEOVER_LEAD_US);
    if (this.#ports.putOff.isWaiting) return this.#isYielding() ? earliestUs : 0;
    let nextUs = earliestUs;
    for (let index = 0; index < this.#others.length; index++) {
      const deadlineUs = this.#others[index]?.deadlineUs ?? null;
      if (deadlineUs !== null && (nextUs === null || deadlineUs < nextUs)) nextUs = deadlineUs;
    }
    return nextUs;
  }
}

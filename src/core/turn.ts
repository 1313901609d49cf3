/**
 * Long work in many turns of the event loop: between two small parts it is asked whether the turn
 * has lasted long enough, so that others wait no longer on a slow machine than on a fast one.
 */

/**
 * What one turn may take of work that nobody waits for. With tens of thousands of services, a turn takes
 * some milliseconds of what is due, and of collecting the garbage of both, beside it.
 */
export const TURN_US = 1_000;

export interface TurnPorts {
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
  /** Resolves in a later turn of the event loop. */
  readonly nextTurn: () => Promise<unknown>;
}

/**
 * Lets those that rest go on one after another, each in a turn of its own: long work of several kinds
 * at once makes no turn longer.
 */
export class TurnQueue {
  readonly #inNextTurn: (act: () => void) => void;
  readonly #resting: (() => void)[] = [];
  #tidyUp: () => boolean = () => false;

  /** `inNextTurn` calls a function in the next turn of the event loop. */
  constructor(inNextTurn: (act: () => void) => void) {
    this.#inNextTurn = inNextTurn;
  }

  /** Resolves in a later turn, in which it does for nobody else. */
  nextTurn(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#resting.push(resolve) === 1) this.#inNextTurn(() => this.#wakeOne());
    });
  }

  /** `tidyUp` is called before somebody goes on; that is in yet another turn when it says true. */
  set tidyUp(tidyUp: () => boolean) {
    this.#tidyUp = tidyUp;
  }

  #wakeOne(): void {
    if (this.#tidyUp()) return this.#inNextTurn(() => this.#wakeOne());
    this.#resting.shift()?.();
    if (this.#resting.length > 0) this.#inNextTurn(() => this.#wakeOne());
  }
}

let shared: TurnQueue | null = null;

/**
 * The one queue of a process (or thread), whichever of its rooms asks: with a queue for each, a turn
 * of the event loop would be as long as all of theirs together. `inNextTurn` is that of the first call.
 */
export function turnQueue(inNextTurn: (act: () => void) => void): TurnQueue {
  shared ??= new TurnQueue(inNextTurn);
  return shared;
}

export class Turn {
  readonly #ports: TurnPorts;
  #beganUs: number;

  constructor(ports: TurnPorts) {
    this.#ports = ports;
    this.#beganUs = ports.nowUs();
  }

  hasLasted(lengthUs = TURN_US): boolean {
    return this.#ports.nowUs() - this.#beganUs >= lengthUs;
  }

  /** Lets others run; the next turn begins then. */
  async rest(): Promise<void> {
    await this.#ports.nextTurn();
    this.#beganUs = this.#ports.nowUs();
  }
}

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

/** So many turns at most go by for work that somebody waits for while other work is patient. */
const PASSED_OVER_MAX = 8;

/**
 * Lets those that rest go on one after another, each in a turn of its own: long work of several kinds
 * at once makes no turn longer.
 */
export class TurnQueue {
  readonly #inNextTurn: (act: () => void) => void;
  readonly #resting: (() => void)[] = [];
  /** Those that let others go first. */
  readonly #patient: (() => void)[] = [];
  #passedOver = 0;
  #tidyUp: () => boolean = () => false;

  /** `inNextTurn` calls a function in the next turn of the event loop. */
  constructor(inNextTurn: (act: () => void) => void) {
    this.#inNextTurn = inNextTurn;
  }

  /** Resolves in a later turn, in which it does for nobody else. */
  nextTurn(): Promise<void> {
    return this.#rest(this.#resting);
  }

  /** The same for work that nobody waits for: mostly after all that rests by then. */
  patientTurn(): Promise<void> {
    return this.#rest(this.#patient);
  }

  #rest(among: (() => void)[]): Promise<void> {
    return new Promise((resolve) => {
      among.push(resolve);
      if (this.#count === 1) this.#inNextTurn(() => this.#wakeOne());
    });
  }

  get #count(): number {
    return this.#resting.length + this.#patient.length;
  }

  /** `tidyUp` is called before somebody goes on; that is in yet another turn when it says true. */
  set tidyUp(tidyUp: () => boolean) {
    this.#tidyUp = tidyUp;
  }

  #wakeOne(): void {
    if (this.#tidyUp()) return this.#inNextTurn(() => this.#wakeOne());
    this.#next()?.();
    if (this.#count > 0) this.#inNextTurn(() => this.#wakeOne());
  }

  #next(): (() => void) | undefined {
    const patiently = this.#resting.length === 0 || this.#passedOver >= PASSED_OVER_MAX;
    if (patiently && this.#patient.length > 0) {
      this.#passedOver = 0;
      return this.#patient.shift();
    }
    if (this.#patient.length > 0) this.#passedOver++;
    return this.#resting.shift();
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

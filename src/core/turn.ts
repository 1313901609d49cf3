/**
 * Long work in many turns of the event loop: between two small parts it is asked whether the turn
 * has lasted long enough, so that others wait no longer on a slow machine than on a fast one.
 */

/** What one turn may take of work that nobody waits for. */
export const TURN_US = 4_000;

export interface TurnPorts {
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
  /** Resolves in a later turn of the event loop. */
  readonly nextTurn: () => Promise<unknown>;
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

/** Turns of this process's event loop, for long work that rests between them. */
import { type TurnPorts, turnQueue } from '../core/turn.ts';
import { monotonicUs } from './clock.ts';

const queue = turnQueue((act) => setImmediate(act));

/** What is called before long work goes on in another turn; true when it took a turn for itself. */
export function tidyUpInTurns(tidyUp: () => boolean): void {
  queue.tidyUp = tidyUp;
}

export const TURNS: TurnPorts = { nowUs: monotonicUs, nextTurn: () => queue.nextTurn() };

/** For work that nobody waits for, and that takes long. */
export const PATIENT_TURNS: TurnPorts = {
  nowUs: monotonicUs,
  nextTurn: () => queue.patientTurn(),
};

/** Turns of this process's event loop, for long work that rests between them. */
import { type TurnPorts, turnQueue } from '../core/turn.ts';

const queue = turnQueue((act) => setImmediate(act));

export const TURNS: TurnPorts = {
  nowUs: () => performance.now() * 1000,
  nextTurn: () => queue.nextTurn(),
};

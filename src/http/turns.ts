/** Turns of this process's event loop, for long work that rests between them. */
import { type TurnPorts, TurnQueue } from '../core/turn.ts';

const queue = new TurnQueue((act) => setImmediate(act));

export const TURNS: TurnPorts = {
  nowUs: () => performance.now() * 1000,
  nextTurn: () => queue.nextTurn(),
};

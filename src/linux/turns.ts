/** Turns of this process's event loop, for long work that rests between them. */
import { type TurnPorts, TurnQueue } from '../core/turn.ts';
import { monotonicUs } from './clock.ts';

const queue = new TurnQueue((act) => setImmediate(act));

export const TURNS: TurnPorts = { nowUs: monotonicUs, nextTurn: () => queue.nextTurn() };

/** Turns of this process's event loop, for long work that rests between them. */
import { type TurnPorts, turnQueue } from '../core/turn.ts';
import { monotonicUs } from './clock.ts';

const queue = turnQueue((act) => setImmediate(act));

export const TURNS: TurnPorts = { nowUs: monotonicUs, nextTurn: () => queue.nextTurn() };

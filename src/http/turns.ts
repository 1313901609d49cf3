/** Turns of this process's event loop, for long work that rests between them. */
import { setImmediate } from 'node:timers/promises';
import type { TurnPorts } from '../core/turn.ts';

export const TURNS: TurnPorts = {
  nowUs: () => performance.now() * 1000,
  nextTurn: () => setImmediate(),
};

/**
 * Log lines of which thousands may come at once, when a director starts, a rack fails or a reload
 * changes everything. The first of a kind are logged as they are, the others at debug level, and
 * then one line counts these, names the first and says where all of them are.
 */
import { serviceRunbook } from '../core/service-runbook.ts';
import type { Log } from './log.ts';

/** Lines that belong together. */
export interface BurstKind {
  readonly level: 'info' | 'warn' | 'error';
  /** Of each line; that of the summary ends in -summary. */
  readonly event: string;
  /** Whose count it is: 'real servers are up'. */
  readonly what: string;
  /** Where all of them are: 'vipkeeper status'. */
  readonly where: string;
  /** What it means and what to do. */
  readonly runbook?: string;
}

const STATUS = 'vipkeeper status';
/** All kinds that there are. */
export const BURSTS = {
  up: { level: 'info', event: 'health', what: 'real servers are up', where: STATUS },
  down: {
    ...{ level: 'warn', event: 'health', where: STATUS, runbook: serviceRunbook('server-down') },
    what: 'real servers are down',
  },
  met: { level: 'info', event: 'quorum', what: 'services have their quorum', where: STATUS },
  lost: {
    ...{ level: 'warn', event: 'quorum', where: STATUS, runbook: serviceRunbook('below-quorum') },
    what: 'services lost their quorum',
  },
  refused: {
    ...{ level: 'error', event: 'ipvs-refused', where: 'vipkeeper plan' },
    what: 'problems with the IPVS table',
    runbook: serviceRunbook('change-refused'),
  },
  drift: {
    ...{ level: 'warn', event: 'ipvs', where: STATUS, runbook: serviceRunbook('drift') },
    what: 'repairs of drift',
  },
  leaving: {
    ...{ level: 'info', event: 'leaving', where: STATUS },
    what: 'servers were taken out of their services',
  },
  left: { level: 'info', event: 'left', what: 'servers left the table', where: 'ipvsadm -Ln' },
  override: { level: 'info', event: 'override', what: 'decisions of an operator', where: STATUS },
  overrideEnded: {
    ...{ level: 'info', event: 'override-ended', where: STATUS },
    what: 'decisions of operators are over',
  },
  drained: { level: 'info', event: 'drained', what: 'servers are drained', where: STATUS },
  maintenance: {
    ...{ level: 'info', event: 'maintenance', where: STATUS },
    what: 'changes of maintenance',
  },
  heldBack: {
    ...{ level: 'warn', event: 'held-back', where: STATUS },
    what: 'services keep servers in that should be out',
  },
  letGo: {
    ...{ level: 'info', event: 'held-back', where: STATUS },
    what: 'services hold no server back any more',
  },
  acceptingNothing: {
    ...{ level: 'warn', event: 'passive', where: STATUS },
    what: 'servers accept no connection',
    runbook: serviceRunbook('accepts-nothing'),
  },
  accepting: {
    ...{ level: 'info', event: 'passive', where: STATUS },
    what: 'servers accept connections, or are tried again',
  },
} as const satisfies Record<string, BurstKind>;

/** Of a configuration file, at the start and at a reload. */
export const CONFIG_WARNINGS: BurstKind = {
  ...{ level: 'warn', event: 'config', where: 'vipkeeper check' },
  what: 'warnings about the configuration',
};
export const CONFIG_ERRORS: BurstKind = {
  ...{ level: 'error', event: 'reload', where: 'vipkeeper check' },
  what: 'errors of the configuration',
};

/** What a person reads at a glance. */
export const LINES_MAX = 20;
/** From the first line to the summary of those above LINES_MAX, which may then begin anew. */
export const BURST_MS = 5_000;
const NAMES_MAX = 5;

interface Burst {
  lines: number;
  readonly names: string[];
  readonly timer: NodeJS.Timeout;
}

export class LogBursts {
  readonly #log: Log;
  readonly #bursts = new Map<BurstKind, Burst>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Logs a line of a kind; `name` is what the summary calls it. */
  say(kind: BurstKind, name: string, fields: object, text: string): void {
    const burst = this.#bursts.get(kind) ?? this.#begin(kind);
    const { event, runbook } = kind;
    const more = runbook === undefined ? {} : { runbook };
    burst.lines++;
    const shown = burst.lines <= LINES_MAX;
    if (!shown && burst.names.length < NAMES_MAX) burst.names.push(name);
    this.#log[shown ? kind.level : 'debug']({ event, ...fields, ...more }, text);
  }

  /** Says what is still to be summed up. */
  close(): void {
    for (const kind of [...this.#bursts.keys()]) this.#end(kind);
  }

  #begin(kind: BurstKind): Burst {
    const timer = setTimeout(() => this.#end(kind), BURST_MS);
    timer.unref();
    const burst = { lines: 0, names: [], timer };
    this.#bursts.set(kind, burst);
    return burst;
  }

  #end(kind: BurstKind): void {
    const burst = this.#bursts.get(kind);
    if (burst === undefined) return;
    clearTimeout(burst.timer);
    this.#bursts.delete(kind);
    const { names } = burst;
    const count = burst.lines - LINES_MAX;
    if (count <= 0) return;
    const { level, event, what, where, runbook } = kind;
    const more = runbook === undefined ? {} : { runbook };
    const rest = count > names.length ? ` and ${count - names.length} others` : '';
    this.#log[level](
      { event: `${event}-summary`, what, count, first: names, ...more },
      `${count} more ${what}: ${names.join(', ')}${rest}. ${where} has all; log.level debug logs each`,
    );
  }
}

/** Logs the first of a list that is known as a whole, and how many more there are. */
export function logFirst(log: Log, kind: BurstKind, texts: readonly string[]): void {
  const { level, event, what, where } = kind;
  for (const text of texts.slice(0, LINES_MAX)) log[level]({ event }, text);
  const rest = texts.slice(LINES_MAX);
  for (const text of rest) log.debug({ event }, text);
  if (rest.length === 0) return;
  const fields = { event: `${event}-summary`, what, count: rest.length };
  log[level](fields, `${rest.length} more ${what}: ${where} has all`);
}

/**
 * The list of our entries as a text that grows: its first line is the whole list as JSON (or the
 * empty object), each further line one change, so that a change of one server costs one line
 * however large the table is. Pure: the file is the controller's (controller/owned-file.ts).
 *
 *   {"tcp 192.0.2.10:80":["10.0.0.11:8080"]}     what was ours when the text was begun
 *   ["+","tcp 192.0.2.10:81",["10.0.0.11:8080"]] this service and these servers of it are ours
 *   ["-","tcp 192.0.2.10:80",["10.0.0.11:8080"]] these servers are not ours any more
 *   ["-","tcp 192.0.2.10:81"]                    nor is this service, with all that is in it
 *
 * A line that cannot be read is left out. The last one may be torn by the death of its writer, who
 * has then not changed the kernel; of others it is told.
 */
import { LargeMap } from '../large-map.ts';
import { type MutableOwned, makeChange, type OwnedChange, ownedFromJson } from './owned.ts';

/** One line, with its end. */
export function changeLine(change: OwnedChange): string {
  const { service } = change;
  switch (change.kind) {
    case 'own':
      return `${JSON.stringify(['+', service, change.servers])}\n`;
    case 'disown-servers':
      return `${JSON.stringify(['-', service, change.servers])}\n`;
    case 'disown-service':
      return `${JSON.stringify(['-', service])}\n`;
  }
}

export interface OwnedText {
  readonly owned: MutableOwned;
  /** Lines with changes. */
  readonly changes: number;
  /** False when a line is damaged, or the text cannot grow as it is. */
  readonly whole: boolean;
  /** Lines that are damaged, but for the end of the text. */
  readonly damaged: number;
}

/** What a text says is ours, as far as it can be read. Never throws. */
export function readOwnedText(text: string): OwnedText {
  const steps = readOwnedLines(text);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** The same in steps of one line, for who rests between them. */
export function* readOwnedLines(text: string): Generator<void, OwnedText> {
  const lines = text.split('\n');
  const base = ownedFromJson(parsed(lines[0] ?? ''));
  const owned: MutableOwned = new LargeMap();
  let damaged = base.ok ? 0 : 1;
  for (const [service, servers] of base.ok ? base.value : []) owned.set(service, new Set(servers));
  for (const line of lines.slice(1, -1)) {
    const change = changeOf(parsed(line));
    if (change === null) damaged++;
    else makeChange(owned, change);
    yield;
  }
  const whole = damaged === 0 && lines.length > 1 && lines.at(-1) === '';
  return { owned, changes: Math.max(0, lines.length - 2), whole, damaged };
}

function changeOf(value: unknown): OwnedChange | null {
  if (!Array.isArray(value)) return null;
  const [sign, service, servers] = value as unknown[];
  if (typeof service !== 'string') return null;
  if (sign === '-' && servers === undefined) return { kind: 'disown-service', service };
  if (!Array.isArray(servers) || !servers.every((one) => typeof one === 'string')) return null;
  if (sign === '+') return { kind: 'own', service, servers };
  return sign === '-' ? { kind: 'disown-servers', service, servers } : null;
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

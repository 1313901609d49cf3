/**
 * What an operator decided about one real server, whatever its checks say. It carries who, why and
 * until when, outlives reloads and restarts, and is shown wherever the server is.
 */
import { err, ok, type Result } from '../result.ts';

export type OverrideAction =
  /** No new connections; taken out of the table when the last one is gone, or at the deadline. */
  | { readonly kind: 'drain'; readonly deadlineMs: number | null; readonly drained: boolean }
  /** Instead of the configured weight, while it is healthy. */
  | { readonly kind: 'weight'; readonly weight: number }
  /** Taken as healthy. */
  | { readonly kind: 'up' }
  /** Taken as failed. */
  | { readonly kind: 'down' };

export interface Override {
  readonly service: string;
  /** '10.0.0.11:8080', '[2001:db8::11]:8080' */
  readonly server: string;
  readonly action: OverrideAction;
  /** Who asked for it. */
  readonly by: string;
  /** Why; empty when it was not said. */
  readonly reason: string;
  /** Wall clock, milliseconds. */
  readonly sinceMs: number;
  /** When it ends by itself; null for never. */
  readonly untilMs: number | null;
}

/** As many as a table of the largest kind has servers; more is a mistake or an attack. */
export const OVERRIDES_MAX = 100_000;
/** Texts of operators, kept in a file and shown in tables. */
export const OVERRIDE_TEXT_MAX = 200;

/** Connections that a server still has, persistence templates included; none when it is not there. */
export function connectionsOf(
  counts:
    | {
        readonly activeConnections: number;
        readonly inactiveConnections: number;
        readonly persistentConnections: number;
      }
    | undefined,
): number {
  if (counts === undefined) return 0;
  return counts.activeConnections + counts.inactiveConnections + counts.persistentConnections;
}

export function overrideKey(service: string, server: string): string {
  return `${service}/${server}`;
}

/** True when it is over at `nowMs`. */
export function hasEnded(override: Override, nowMs: number): boolean {
  return override.untilMs !== null && override.untilMs <= nowMs;
}

/** Reads what was written as JSON; the error says which entry is wrong. */
export function overridesFromJson(value: unknown): Result<readonly Override[], string> {
  if (!Array.isArray(value)) return err('expected a list');
  if (value.length > OVERRIDES_MAX) return err(`more than ${OVERRIDES_MAX} entries`);
  const overrides: Override[] = [];
  for (const [index, entry] of value.entries()) {
    const override = overrideFromJson(entry);
    if (override === null) return err(`entry ${index} is not an override`);
    overrides.push(override);
  }
  return ok(overrides);
}

function overrideFromJson(value: unknown): Override | null {
  if (typeof value !== 'object' || value === null) return null;
  const entry = value as Record<string, unknown>;
  const action = actionFromJson(entry.action);
  const { service, server, by, reason, sinceMs, untilMs } = entry;
  if (action === null || !isText(service) || !isText(server)) return null;
  if (typeof by !== 'string' || typeof reason !== 'string') return null;
  if (!isTime(sinceMs) || !(untilMs === null || isTime(untilMs))) return null;
  return { service, server, action, by, reason, sinceMs, untilMs };
}

function actionFromJson(value: unknown): OverrideAction | null {
  if (typeof value !== 'object' || value === null) return null;
  const { kind, weight, deadlineMs, drained } = value as Record<string, unknown>;
  switch (kind) {
    case 'drain':
      if (!(deadlineMs === null || isTime(deadlineMs)) || typeof drained !== 'boolean') return null;
      return { kind, deadlineMs, drained };
    case 'weight':
      return isWeight(weight) ? { kind, weight } : null;
    case 'up':
    case 'down':
      return { kind };
    default:
      return null;
  }
}

export function isWeight(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 65_535;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= OVERRIDE_TEXT_MAX;
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

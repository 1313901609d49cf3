/** Judges what a query to a database gave: the first value of its first row. */
import type { QueryCheckConfig } from '../core/config/check-protocols.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import type { Exchange } from './exchange.ts';

/** Expressions by their source: one is known by its object. */
const compiled = new WeakMap<QueryCheckConfig, RegExp>();

/**
 * `row` is null when the query gave none; its values are text, null for NULL. False with a verdict.
 */
export async function judgeRow(
  exchange: Exchange,
  check: QueryCheckConfig,
  row: readonly (string | null)[] | null,
): Promise<boolean> {
  const { result, resultMatches } = check;
  if (result === null && resultMatches === null) return true;
  const text = row?.[0] ?? null;
  const seen = row === null ? 'no row' : (text ?? 'NULL');
  if (text === null || (result !== null && text !== result)) {
    const expected = result ?? `/${resultMatches}/u`;
    exchange.fail(probeFailure('body', `The query gave ${seen}; expected ${expected}`));
    return false;
  }
  if (resultMatches === null) return true;
  const expression = compiled.get(check) ?? new RegExp(resultMatches, 'u');
  compiled.set(check, expression);
  if (await exchange.matches(expression, text)) return true;
  exchange.fail(probeFailure('body', `The query gave ${text}; expected ${expression}`));
  return false;
}

/**
 * Dialogue check: connect, with TLS if wanted, then for each step send and wait for what must
 * come back. What a step has waited for is used up by it; the next one looks at what follows. A
 * step may end with TLS. Bounded: time from connect to the end, and the bytes that a server may
 * send.
 */
import { Buffer } from 'node:buffer';
import type { DialogueCheckConfig } from '../core/config/check.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import { DIALOGUE_EXPRESSIONS } from '../core/health/dialogues.ts';
import type { ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { ok } from '../core/result.ts';
import type { AttemptOptions } from './attempt.ts';
import { beginWithTls, type Exchange, probeExchange, type Take } from './exchange.ts';
import type { TrustStore } from './trust-store.ts';

/** Asks once. Never rejects; null when the signal gave up before a verdict. */
export function probeDialogue(
  check: DialogueCheckConfig,
  target: CheckTarget,
  trust: TrustStore,
  options: AttemptOptions,
): Promise<ProbeResult | null> {
  const security = { check, address: target.address, trust };
  return probeExchange({ target, path: check }, options, async (exchange) => {
    if (check.tls && !(await beginWithTls(exchange, security))) return;
    for (const [index, step] of stepsOf(check).entries()) {
      if (!(await perform(exchange, step, index + 1))) return;
      if (step.starttls && !(await beginWithTls(exchange, security))) return;
    }
    exchange.succeed(null);
  });
}

/** Says what a step says and hears what it expects; false with a verdict. */
async function perform(
  exchange: Exchange,
  { send, expect, refuse, readyMade }: Expressions,
  number: number,
): Promise<boolean> {
  if (send !== null) exchange.send(Buffer.from(send));
  if (expect === null) return !exchange.settled;
  let text = '';
  /** What was not looked at yet. */
  let fresh = '';
  const matches = (expression: RegExp, lines: string): boolean | Promise<boolean> =>
    readyMade ? expression.test(lines) : exchange.matches(expression, text);
  for (;;) {
    const heard = await exchange.next(`what step ${number} expects`, TAKE_ALL);
    if (heard === null) return false;
    text += heard;
    fresh += heard;
    if (readyMade && !heard.includes('\n')) continue;
    const lines = fresh.slice(0, fresh.lastIndexOf('\n') + 1);
    fresh = fresh.slice(lines.length);
    if (refuse !== null && (await matches(refuse, lines))) {
      exchange.fail(probeFailure('status', `Refused: ${text}`));
      return false;
    }
    // What came meanwhile is the next step's, once this one has what it waits for.
    if (await matches(expect, lines)) return true;
  }
}

interface Expressions {
  readonly send: string | null;
  readonly expect: RegExp | null;
  readonly refuse: RegExp | null;
  readonly starttls: boolean;
  /** Both are of a ready-made dialogue. All others see the whole text, in threads of their own. */
  readonly readyMade: boolean;
}

/** Compiled once for each check: an expression is known by its object. */
const compiled = new WeakMap<DialogueCheckConfig, readonly Expressions[]>();

function stepsOf(check: DialogueCheckConfig): readonly Expressions[] {
  const known = compiled.get(check);
  if (known !== undefined) return known;
  const expression = (source: string | null) => (source === null ? null : new RegExp(source, 'um'));
  const steps = check.steps.map(({ send, expect, refuse, starttls }) => ({
    ...{ send, starttls, expect: expression(expect), refuse: expression(refuse) },
    readyMade: DIALOGUE_EXPRESSIONS.has(expect) && DIALOGUE_EXPRESSIONS.has(refuse),
  }));
  compiled.set(check, steps);
  return steps;
}

/** Every byte is one character: protocols are ASCII, and expressions see what came. */
const TAKE_ALL: Take<string> = (bytes) =>
  ok({ message: bytes.toString('latin1'), lengthBytes: bytes.length });

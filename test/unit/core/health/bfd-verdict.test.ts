/** What a check makes of a session, moment by moment. */
import { expect, test } from 'vitest';
import type { BfdDiagnostic, BfdStateName } from '../../../../src/core/bfd/types.ts';
import {
  type BfdKnowledgeEvent,
  bfdVerdict,
  FIRST_CHANCE_US,
  initialBfdKnowledge,
  LAST_STATE_STANDS_US,
  stepBfdKnowledge,
} from '../../../../src/core/health/bfd-verdict.ts';

const SECOND_US = 1_000_000;

function told(
  atUs: number,
  state: BfdStateName,
  diagnostic: BfdDiagnostic = 'none',
): BfdKnowledgeEvent {
  return { kind: 'told', atUs, state, diagnostic };
}

/** 'up', null for no verdict, or the reason and detail, after these events. */
function after(events: readonly BfdKnowledgeEvent[], nowUs: number): string | null {
  const known = events.reduce(stepBfdKnowledge, initialBfdKnowledge(0));
  const last = events.findLast(({ kind }) => kind !== 'told');
  const verdict = bfdVerdict('s', known, { keeper: last?.kind === 'keeper-began', nowUs });
  if (verdict === null) return null;
  return verdict.ok ? 'up' : `${verdict.error.reason}: ${verdict.error.detail}`;
}

const BEGAN: BfdKnowledgeEvent = { kind: 'keeper-began', atUs: SECOND_US };
const UP = told(2 * SECOND_US, 'up');
const LOST: BfdKnowledgeEvent = { kind: 'keeper-lost', atUs: 10 * SECOND_US };

test('a session has five seconds to come up before it is a failure', () => {
  const end = SECOND_US + FIRST_CHANCE_US;
  expect(after([BEGAN], end - 1)).toBeNull();
  expect(after([BEGAN, told(SECOND_US, 'down')], end - 1)).toBeNull();
  expect(after([BEGAN, told(SECOND_US, 'down')], end)).toBe(
    'session: BFD session s is down: it has not come up yet',
  );
  expect(after([BEGAN, told(SECOND_US, 'init')], end)).toBe(
    'session: BFD session s is init: it has not come up yet',
  );
  expect(after([BEGAN], end)).toBe('cannot-run: The keeper tells nothing of BFD session s');
  expect(after([BEGAN, UP], 2 * SECOND_US)).toBe('up');
});

test('a session that was up has no second chance, whatever the neighbor says', () => {
  const down = (diagnostic: BfdDiagnostic) => [BEGAN, UP, told(2 * SECOND_US, 'down', diagnostic)];
  expect(after(down('detection-time-expired'), 2 * SECOND_US)).toBe(
    'session: BFD session s is down: the neighbor fell silent',
  );
  expect(after(down('neighbor-signaled-down'), 2 * SECOND_US)).toBe(
    'session: BFD session s is down: the neighbor said that the session is down',
  );
  const init = [...down('detection-time-expired'), told(3 * SECOND_US, 'init')];
  expect(after(init, 3 * SECOND_US)).toMatch(/^session: /);
  expect(after([...init, told(4 * SECOND_US, 'up')], 4 * SECOND_US)).toBe('up');
});

test('without a keeper what was known stands for ten seconds, and then not', () => {
  const end = 10 * SECOND_US + LAST_STATE_STANDS_US;
  expect(after([BEGAN, UP, LOST], end - 1)).toBeNull();
  expect(after([BEGAN, UP, LOST], end)).toBe(
    'cannot-run: There is no keeper, which has BFD session s',
  );
  // Not up when it was lost: a failure already.
  const down = [BEGAN, UP, told(3 * SECOND_US, 'down', 'detection-time-expired'), LOST];
  expect(after(down, 10 * SECOND_US)).toMatch(/^cannot-run: There is no keeper/);
});

test('the next keeper’s session goes through its states without a verdict, in the same time', () => {
  const end = 10 * SECOND_US + LAST_STATE_STANDS_US;
  const next = [
    ...[BEGAN, UP, LOST, { kind: 'keeper-began', atUs: 11 * SECOND_US } as const],
    told(11 * SECOND_US, 'down'),
  ];
  expect(after(next, end - 1)).toBeNull();
  expect(after(next, end)).toMatch(/^session: .* it has not come up yet$/);
  const back = [...next, told(14 * SECOND_US, 'up')];
  expect(after(back, 14 * SECOND_US)).toBe('up');
  const fell = told(15 * SECOND_US, 'down', 'detection-time-expired');
  expect(after([...back, fell], 15 * SECOND_US)).toMatch(/fell silent$/);
});

test('keepers that die one after the other do not prolong it', () => {
  const events: BfdKnowledgeEvent[] = [BEGAN, UP];
  for (let second = 10; second < 40; second += 2) {
    events.push({ kind: 'keeper-lost', atUs: second * SECOND_US });
    events.push({ kind: 'keeper-began', atUs: (second + 1) * SECOND_US });
    events.push(told((second + 1) * SECOND_US, 'down'));
  }
  const until = (atUs: number) => events.filter((event) => event.atUs <= atUs);
  const end = 10 * SECOND_US + LAST_STATE_STANDS_US;
  expect(after(until(end - 1), end - 1)).toBeNull();
  for (let second = 20; second < 40; second++) {
    expect(after(until(second * SECOND_US), second * SECOND_US)).not.toBeNull();
  }
});

test('what our own side ended says nothing about the neighbor', () => {
  const ended = [BEGAN, UP, told(10 * SECOND_US, 'admin-down', 'administratively-down')];
  expect(after(ended, 10 * SECOND_US + LAST_STATE_STANDS_US - 1)).toBeNull();
  expect(after(ended, 10 * SECOND_US + LAST_STATE_STANDS_US)).toMatch(/^cannot-run: /);
});

test('what is told before the keeper has this session is of another one', () => {
  expect(after([told(0, 'up'), BEGAN], 2 * SECOND_US)).toBeNull();
});

/** What is logged when thousands of lines come at once, and when they do not. */
import pino from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import {
  BURST_MS,
  BURSTS,
  CONFIG_WARNINGS,
  LINES_MAX,
  LogBursts,
  logFirst,
} from '../../../src/controller/log-bursts.ts';

type Line = Readonly<Record<string, unknown>>;

const NUMBERS = { debug: 20, info: 30, warn: 40 } as const;
let lines: Line[];

beforeEach(() => {
  lines = [];
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function log(level: 'debug' | 'info') {
  return pino(
    { level, base: null, timestamp: false },
    { write: (text) => lines.push(JSON.parse(text)) },
  );
}

function say(bursts: LogBursts, count: number, kind: 'up' | 'down' = 'up'): void {
  for (let n = 1; n <= count; n++) bursts.say(BURSTS[kind], `s${n}`, { server: `s${n}` }, `s${n}!`);
}

test('as many lines as a person reads are logged as they are, and nothing more', () => {
  const bursts = new LogBursts(log('debug'));
  say(bursts, LINES_MAX);
  vi.advanceTimersByTime(BURST_MS);
  expect(lines).toHaveLength(LINES_MAX);
  expect(lines[0]).toEqual({ level: NUMBERS.info, event: 'health', server: 's1', msg: 's1!' });
  expect(new Set(lines.map(({ level }) => level))).toEqual(new Set([NUMBERS.info]));
});

test('of more, the others are counted in one line of the same level, with the first names', () => {
  const bursts = new LogBursts(log('info'));
  say(bursts, 1_000, 'down');
  expect(lines).toHaveLength(LINES_MAX);
  vi.advanceTimersByTime(BURST_MS);
  expect(lines.slice(LINES_MAX)).toEqual([
    {
      level: NUMBERS.warn,
      event: 'health-summary',
      what: 'real servers are down',
      count: 980,
      first: ['s21', 's22', 's23', 's24', 's25'],
      runbook: 'docs/runbooks/services.md#server-down',
      msg: '980 more real servers are down: s21, s22, s23, s24, s25 and 975 others. vipkeeper status has all; log.level debug logs each',
    },
  ]);
});

test('each is logged at debug level', () => {
  const bursts = new LogBursts(log('debug'));
  say(bursts, LINES_MAX + 1);
  expect(lines[LINES_MAX]).toEqual({
    ...{ level: NUMBERS.debug, event: 'health', server: 's21', msg: 's21!' },
  });
  bursts.close();
  expect(lines.at(-1)?.msg).toMatch(/^1 more real servers are up: s21\. /);
});

test('kinds are counted apart, and a new burst begins anew', () => {
  const bursts = new LogBursts(log('info'));
  say(bursts, LINES_MAX, 'up');
  say(bursts, LINES_MAX, 'down');
  vi.advanceTimersByTime(BURST_MS);
  say(bursts, LINES_MAX, 'up');
  bursts.close();
  vi.advanceTimersByTime(BURST_MS);
  expect(lines).toHaveLength(3 * LINES_MAX);
});

test('of a list that is known, the first are logged, and the count of the others', () => {
  const texts = Array.from({ length: LINES_MAX + 3 }, (_, n) => `w${n}`);
  logFirst(log('info'), CONFIG_WARNINGS, texts);
  expect(lines).toHaveLength(LINES_MAX + 1);
  expect(lines[0]).toEqual({ level: NUMBERS.warn, event: 'config', msg: 'w0' });
  expect(lines.at(-1)).toMatchObject({
    event: 'config-summary',
    count: 3,
    msg: '3 more warnings about the configuration: vipkeeper check has all',
  });
  lines = [];
  logFirst(log('debug'), CONFIG_WARNINGS, texts.slice(0, LINES_MAX));
  expect(lines).toHaveLength(LINES_MAX);
});

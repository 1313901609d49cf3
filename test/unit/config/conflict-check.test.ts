/** conflict_check: how often other machines are asked for our addresses. */
import { expect, test } from 'vitest';
import { configOf, errorLines } from './read.ts';

const file = (line: string): string =>
  `${line}\nvrrp: {w: {interface: eth0, vrid: 1, addresses: [192.0.2.9/24]}}\n`;

test.each([
  ['', 60_000_000],
  ['conflict_check: 10s', 10_000_000],
  ['conflict_check: 1d', 86_400_000_000],
  ['conflict_check: off', null],
  ['conflict_check: { dir-a: off, default: 5m }', null],
  ['conflict_check: { dir-b: off, default: 5m }', 300_000_000],
])('%s is read', (line, expected) => {
  expect(configOf(file(line)).conflictCheckUs).toBe(expected);
});

test.each(['9s', '2d', '60', 'never', 'true'])('%s is refused', (value) => {
  expect(errorLines(file(`conflict_check: ${value}`))[0]).toContain(
    'f.yaml:1:17: conflict_check: expected off or a duration from 10s to 1d with its unit',
  );
});

import { expect, test } from 'vitest';
import { keepsMarks } from '../../../src/keeper/network.ts';

test.each([
  ['5.18.0', true],
  ['6.1.0-28-amd64', true],
  ['10.0', true],
  ['5.17.15', false],
  ['5.4.0-200-generic', false],
  ['4.19.0', false],
  ['unknown', false],
])('Linux %s keeps the mark of who put an address there: %s', (kernel, keeps) =>
  expect(keepsMarks(kernel)).toBe(keeps),
);

/** Capabilities: the mask of /proc/PID/status, and the problem that names what is missing. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { formatProblem } from '../../../src/core/problem.ts';
import {
  effectiveCapabilities,
  missingCapabilities,
  parseEffectiveCapabilities,
  requireCapabilities,
} from '../../../src/linux/capabilities.ts';

function status(mask: string): string {
  return `Name:\tnode\nCapPrm:\t000001ffffffffff\nCapEff:\t${mask}\nCapBnd:\t000001ffffffffff\n`;
}

describe('parseEffectiveCapabilities', () => {
  test('reads the effective mask, not its neighbours', () => {
    // Bits 12, 13 and 23 of linux/capability.h.
    expect(parseEffectiveCapabilities(status('0000000000803000'))).toEqual(
      new Set(['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_SYS_NICE']),
    );
  });

  test('reads bits above 32', () => {
    expect(parseEffectiveCapabilities(status('0000008000000000'))).toEqual(new Set(['CAP_BPF']));
  });

  test('ignores bits that have no name yet and texts without a mask', () => {
    expect(parseEffectiveCapabilities(status('8000000000000000')).size).toBe(0);
    expect(parseEffectiveCapabilities('Name:\tnode\n').size).toBe(0);
  });
});

describe('missingCapabilities', () => {
  test('is null when all are there', () => {
    expect(missingCapabilities(['CAP_NET_RAW'], new Set(['CAP_NET_RAW', 'CAP_BPF']))).toBeNull();
  });

  test('names the missing ones and a cure', () => {
    const problem = missingCapabilities(['CAP_NET_RAW', 'CAP_NET_ADMIN'], new Set(['CAP_NET_RAW']));
    expect(problem === null ? '' : formatProblem(problem)).toBe(
      'VK-NOT-ROOT: This process lacks the capability CAP_NET_ADMIN. ' +
        'Run it as root, or grant CAP_NET_ADMIN in its service unit or container.',
    );
  });
});

test('effectiveCapabilities agrees with the mask of this process', () => {
  const mask = /CapEff:\s*(\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
  const raw = (BigInt(`0x${mask}`) >> 13n) & 1n;
  expect(effectiveCapabilities().has('CAP_NET_RAW')).toBe(raw === 1n);
  expect(requireCapabilities(['CAP_NET_RAW']) === null).toBe(raw === 1n);
});

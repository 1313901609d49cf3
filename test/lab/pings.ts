/**
 * Pings: what a client feels of a virtual IP that moves. Asks an address all the time, and tells
 * the longest time for which a request was on its way and no answer came.
 */
import { type Child, LabError, waitFor } from './host.ts';
import type { LabNode } from './topology.ts';

/** Answers that show, after what was done meanwhile, that somebody has the address. */
const ANSWERS_AFTERWARDS = 20;
const AFTERWARDS_TIMEOUT_MS = 10_000;

export interface PingAnswer {
  /** When ping printed it. */
  readonly atMs: number;
  readonly sequence: number;
  /** By the kernel's time of its arrival. */
  readonly roundTripMs: number;
}

/**
 * Pings `address` every `intervalMs` during `action` and until it answers afterwards. Throws
 * LabError when it does not.
 */
export async function pingDuring(
  client: LabNode,
  { address, intervalMs }: { readonly address: string; readonly intervalMs: number },
  action: () => Promise<void>,
): Promise<PingAnswer[]> {
  let stdout = '';
  const argv = ['ping', '-D', '-n', '-i', String(intervalMs / 1000), '-W', '1', address];
  const pinging: Child = await client.spawn(argv, {
    onStdout: (chunk) => {
      stdout += chunk.toString('utf8');
    },
  });
  try {
    await waitFor('the first answer', () => parseAnswers(stdout).length > 0);
    await action();
    const before = parseAnswers(stdout).length;
    const answers = () => parseAnswers(stdout).length >= before + ANSWERS_AFTERWARDS;
    await waitFor(`${address} to answer afterwards`, answers, AFTERWARDS_TIMEOUT_MS);
  } finally {
    pinging.kill('SIGINT');
    await pinging.exited;
  }
  return parseAnswers(stdout);
}

function parseAnswers(stdout: string): PingAnswer[] {
  const line = /^\[(\d+\.\d+)\] \d+ bytes from .*icmp_seq=(\d+) .*time=([\d.]+) ms$/gm;
  return [...stdout.matchAll(line)].map(([, at, sequence, roundTrip]) => ({
    atMs: Number(at) * 1000,
    sequence: Number(sequence),
    roundTripMs: Number(roundTrip),
  }));
}

/**
 * The longest time without an answer to a request, in ms. A pause in which ping sent nothing,
 * because it had to wait for a processor itself, is no silence of the address.
 */
export function longestSilenceMs(answers: readonly PingAnswer[]): number {
  if (answers.length < ANSWERS_AFTERWARDS) throw new LabError('Too few answers to judge by');
  let longestMs = 0;
  for (const [index, answer] of answers.entries()) {
    const last = answers[index - 1];
    if (last === undefined) continue;
    const sinceMs = answer.atMs - last.atMs;
    const lost = answer.sequence > last.sequence + 1;
    longestMs = Math.max(longestMs, lost ? sinceMs : Math.min(sinceMs, answer.roundTripMs));
  }
  return longestMs;
}

/** Checks as operators write them, asked of a server: from the YAML of a check to its verdict. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { runCheckCommand } from '../../src/controller/check-command.ts';
import { checkDefinition } from '../../src/core/health/check-key.ts';
import { DIALOGUE_WORDS } from '../../src/core/health/dialogues.ts';
import { createProbe } from '../../src/probes/probe.ts';
import { TrustStore } from '../../src/probes/trust-store.ts';
import { configOf } from '../unit/config/read.ts';
import type { Program } from './program.ts';

/** Long enough for a machine that does much else. */
const READY_TIMEOUT_MS = 45_000;
const READY_INTERVAL_MS = 50;

export interface Question {
  /** A word, or YAML in its flow form, `{ldap: {tls: starttls}}` for example. */
  readonly check: string;
  readonly port: number;
  readonly timeoutMs?: number;
}

/** 'ok', or the reason of the failure and its detail. */
export async function ask({ check, port, timeoutMs = 10_000 }: Question): Promise<string> {
  const timing = `interval: 1h, timeout: ${timeoutMs}ms`;
  const long = DIALOGUE_WORDS.some((word) => word === check)
    ? `{dialogue: {protocol: ${check}}}`
    : check;
  const complete = long.startsWith('{')
    ? long.replace(/\}$/, `, ${timing}}`)
    : `{${long}: {}, ${timing}}`;
  const text = [
    'services:',
    `  s: { address: 127.0.0.1:${port}, servers: [127.0.0.1:${port}], check: ${complete} }`,
    '',
  ].join('\n');
  const server = configOf(text).services[0]?.servers[0];
  if (server?.check == null) throw new Error('The configuration has no check');
  const { check: config, target } = checkDefinition(server.check, server);
  const probe = createProbe(config, target, new TrustStore(), runCheckCommand);
  const result = await probe.run(new AbortController().signal);
  if (result === null) return 'null';
  return result.ok ? 'ok' : `${result.failure.reason}: ${result.failure.detail}`;
}

/** Waits until a program that was just started is well; fails with what both say. */
export async function ready(program: Program, question: Question): Promise<void> {
  const endMs = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const seen = await ask({ ...question, timeoutMs: 2000 });
    if (seen === 'ok') return;
    if (performance.now() > endMs) throw new Error(`${seen}\n${program.output}`);
    await sleep(READY_INTERVAL_MS);
  }
}

/** What becomes of a check that succeeds when its program is frozen, and when it is gone. */
export async function expectFailures(program: Program, question: Question): Promise<void> {
  program.freeze();
  expect(await ask({ ...question, timeoutMs: 300 })).toMatch(/^timeout: Waited 300 ms for /);
  program.wake();
  await ready(program, question);
  await program.stop();
  await refused(question);
}

/** Children of a program may hold its port for a moment longer, and reset what they are asked. */
async function refused(question: Question): Promise<void> {
  const endMs = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const seen = await ask(question);
    if (seen.startsWith('connection-refused: ')) return;
    if (!seen.startsWith('reset: ') || performance.now() > endMs) throw new Error(seen);
    await sleep(READY_INTERVAL_MS);
  }
}

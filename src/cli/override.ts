/**
 * `vipkeeper drain`, `undrain` and `override`: an operator's decisions about real servers. A drain
 * is followed until the last connection is gone, with a progress bar on a terminal and a line now
 * and then elsewhere.
 */

import { userInfo } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDuration } from '../config/values.ts';
import { consequenceText, isNotable } from '../core/health/consequence.ts';
import { connectionsOf, type Override } from '../core/health/override.ts';
import type { Problem } from '../core/problem.ts';
import { err, ok, type Result } from '../core/result.ts';
import type { DirectorStatus, OverrideAnswer, ServerReport } from '../core/status.ts';
import { EXIT } from './commands.ts';
import { askDirector, failed } from './control-client.ts';
import { patientStatus } from './patient-status.ts';
import { durationText } from './status-view.ts';
import { printable, type Terminal } from './terminal.ts';
import { parseMoment } from './until.ts';
import { UsageError } from './usage.ts';

export interface OverrideOptions {
  readonly target: string;
  readonly runtimeDirectory: string;
  readonly json: boolean;
  readonly dryRun: boolean;
  /** Also where it leaves a service without servers. */
  readonly force: boolean;
  /** Why, in the operator's words. */
  readonly reason?: string;
  /** Duration text; the override ends by itself after it. */
  readonly for?: string;
  /** Moment at which it ends by itself, instead of `for`: see until.ts. */
  readonly until?: string;
}

export interface DrainOptions extends OverrideOptions {
  /** Duration text: what is left after it is cut off. */
  readonly timeout?: string;
  /** Return at once, while it drains. */
  readonly noWait: boolean;
  /** SILENCE_MAX_MS unless told otherwise. */
  readonly silenceMaxMs?: number;
}

const POLL_MS = 500;
/** Between lines where standard output is no terminal: a log should not grow with patience. */
const LINE_INTERVAL_MS = 10_000;
const BAR_LENGTH = 24;
/** A director that is restarted, or a controller that hangs and is ended for it, is back long before. */
const SILENCE_MAX_MS = 60_000;

/** Exit status: ok when all its connections are gone, failed when the deadline cut some off. */
export async function drain(
  options: DrainOptions,
  terminal: Terminal,
  interrupted: AbortSignal,
): Promise<number> {
  const timeoutMs = milliseconds(options.timeout, 'timeout', 'drain');
  const answer = await ask('drain', options, terminal, {
    action: 'drain',
    ...(timeoutMs === null ? {} : { timeout_ms: `${timeoutMs}` }),
  });
  if (typeof answer === 'number') return answer;
  if (options.dryRun || options.noWait) return report(answer, options, terminal);
  if (!options.json) tellConsequences(answer, options, terminal);
  return follow(answer, options, terminal, interrupted);
}

/** Ends every decision about the target: its checks decide again. */
export async function undrain(options: OverrideOptions, terminal: Terminal): Promise<number> {
  const answer = await ask('undrain', options, terminal, { action: 'clear' });
  return typeof answer === 'number' ? answer : report(answer, options, terminal);
}

/** `action`: 'up', 'down', 'clear' or a weight. */
export async function override(
  action: {
    readonly up: boolean;
    readonly down: boolean;
    readonly clear: boolean;
    readonly weight?: string;
  },
  options: OverrideOptions,
  terminal: Terminal,
): Promise<number> {
  const { up, down, clear, weight } = action;
  if ([up, down, clear, weight !== undefined].filter(Boolean).length !== 1) {
    throw new UsageError('Exactly one of --up, --down, --weight and --clear is needed', 'override');
  }
  if (weight !== undefined && !(/^\d{1,5}$/.test(weight) && Number(weight) <= 65_535)) {
    throw new UsageError(`--weight takes a number from 0 to 65535, not ${weight}`, 'override');
  }
  for (const option of ['for', 'until'] as const) {
    if (!clear || options[option] === undefined) continue;
    const message = `--clear ends a decision at once, --${option} is for the others`;
    throw new UsageError(message, 'override');
  }
  const name = up ? 'up' : down ? 'down' : clear ? 'clear' : 'weight';
  const asked = weight === undefined ? { action: name } : { action: name, weight };
  const answer = await ask('override', options, terminal, asked);
  return typeof answer === 'number' ? answer : report(answer, options, terminal);
}

/** The director's answer, or the exit status of a failure that has been told. */
async function ask(
  command: 'drain' | 'undrain' | 'override',
  options: OverrideOptions,
  terminal: Terminal,
  parts: Readonly<Record<string, string>>,
): Promise<OverrideAnswer | number> {
  const forMs = milliseconds(options.for, 'for', command);
  const untilMs = moment(options, terminal.nowMs(), command);
  const query = new URLSearchParams({ target: options.target, ...parts, by: operator() });
  if (options.reason !== undefined) query.set('reason', options.reason);
  if (forMs !== null) query.set('for_ms', `${forMs}`);
  if (untilMs !== null) query.set('until_ms', `${untilMs}`);
  if (options.dryRun) query.set('dry_run', '');
  if (options.force) query.set('force', '');
  const asked = await askDirector(options.runtimeDirectory, `/v1/override?${query}`, 'POST');
  const answer = asked.ok ? parsed(asked.value) : asked;
  if (!answer.ok) return failed(answer.error, terminal);
  const { error, needsForce } = answer.value;
  if (error === null) return answer.value;
  if (options.json || (options.dryRun && needsForce)) report(answer.value, options, terminal);
  const problem: Problem = needsForce
    ? { code: 'VK-LAST-SERVER', message: error, cure: FORCE_CURE }
    : { code: 'VK-OVERRIDE', message: error, cure: TARGET_CURE };
  return failed(problem, terminal);
}

const FORCE_CURE = 'Bring another server in first, or repeat the command with --force';

const TARGET_CURE =
  'Name SERVICE/SERVER, or a SERVER for all services, as vipkeeper status shows them';

function parsed(text: string): Result<OverrideAnswer, Problem> {
  try {
    // A director that was not restarted since an upgrade says nothing of these.
    const unsaid = { consequences: [], needsForce: false };
    return ok({ ...unsaid, ...(JSON.parse(text) as OverrideAnswer) });
  } catch {
    const message = 'The director gave an answer that is no JSON';
    return err({ code: 'VK-SYSTEM', message, cure: 'Check that both have the same version' });
  }
}

function report(answer: OverrideAnswer, options: OverrideOptions, terminal: Terminal): number {
  if (options.json) terminal.out(`${JSON.stringify(answer, null, 2)}\n`);
  else {
    const would = options.dryRun ? 'would be ' : '';
    for (const { service, server, after } of answer.servers) {
      terminal.out(`${printable(`${service}/${server}: ${would}${effectText(after)}`)}\n`);
    }
    tellConsequences(answer, options, terminal);
    const holds = !options.dryRun && answer.servers.some(({ after }) => after !== null);
    if (holds) terminal.out(`${HOLDS}\n`);
  }
  return EXIT.ok;
}

/** Of a dry run all, of what was done what falls short of something. */
function tellConsequences(
  { consequences }: OverrideAnswer,
  { dryRun }: OverrideOptions,
  terminal: Terminal,
): void {
  for (const one of consequences) {
    if (!dryRun && !isNotable(one)) continue;
    terminal.out(`${printable(consequenceText(one, !dryRun))}\n`);
  }
}

/** What an operator who plans a failover or a reboot has to know at this moment. */
const HOLDS =
  'This applies to this director only, across reloads, restarts and reboots. If it must survive a ' +
  'failover as well, repeat it on the other directors.';

function effectText(after: Override | null): string {
  if (after === null) return 'left to its checks';
  const until = after.untilMs === null ? '' : ` until ${momentText(after.untilMs)}`;
  switch (after.action.kind) {
    case 'drain':
      return `drained: no new connections${until}`;
    case 'weight':
      return `given weight ${after.action.weight}${until}`;
    case 'up':
      return `kept in, whatever its check says${until}`;
    case 'down':
      return `taken out${until}`;
  }
}

/** Waits until all of the targets are drained; an interruption leaves them draining. */
async function follow(
  answer: OverrideAnswer,
  options: DrainOptions,
  terminal: Terminal,
  interrupted: AbortSignal,
): Promise<number> {
  const wanted = new Set(answer.servers.map(({ service, server }) => `${service}/${server}`));
  let most = 0;
  let left = 0;
  let toldAtMs = Number.NEGATIVE_INFINITY;
  const isLineDue = (): boolean => {
    if (terminal.nowMs() - toldAtMs < LINE_INTERVAL_MS) return false;
    toldAtMs = terminal.nowMs();
    return true;
  };
  const silenceMaxMs = options.silenceMaxMs ?? SILENCE_MAX_MS;
  const onSilent = (seconds: number): void => {
    const text = `The controller has not answered for ${seconds} s; the drain goes on`;
    if (options.json) return;
    if (terminal.interactive) terminal.out(`\r${text}\u001b[K`);
    else if (isLineDue()) terminal.out(`${text}\n`);
  };
  const patience = { interrupted, silenceMaxMs, onSilent };
  while (!interrupted.aborted) {
    const status = await patientStatus(options.runtimeDirectory, patience);
    if (status === null) break;
    if (!status.ok) {
      if (terminal.interactive && !options.json) terminal.out('\n');
      return failed(unanswered(status.error, silenceMaxMs), terminal);
    }
    const servers = targets(status.value, wanted);
    const draining = servers.filter(({ weightReason }) => weightReason === 'draining');
    const now = servers.reduce((sum, server) => sum + connectionsOf(server), 0);
    if (servers.every(({ override: one }) => one?.action.kind !== 'drain')) {
      return failed(ENDED, terminal);
    }
    if (draining.length === 0 && servers.every(isDrained)) {
      return drained({ most, left }, answer, options, terminal);
    }
    left = now;
    most = Math.max(most, now);
    const cut = cutOff(draining, terminal.nowMs());
    if (terminal.interactive && !options.json) terminal.out(`\r${bar(most, left)}${cut}\u001b[K`);
    else if (!options.json && isLineDue()) terminal.out(`${left} connections left${cut}\n`);
    await sleep(POLL_MS, undefined, { signal: interrupted }).catch(() => {});
  }
  if (options.json) terminal.out(`${JSON.stringify({ ...answer, drained: false }, null, 2)}\n`);
  else terminal.out('\nIt goes on draining; end it with: vipkeeper undrain\n');
  return EXIT.failed;
}

function unanswered({ code, message, cure }: Problem, silenceMs: number): Problem {
  return {
    code,
    message: `The controller has not answered for ${silenceMs / 1000} s, so that nobody can see how far the drain is: ${message}`,
    cure: `The drain goes on, also over a restart, and \`vipkeeper status\` shows it; ${cure[0]?.toLowerCase()}${cure.slice(1)}`,
  };
}

const ENDED: Problem = {
  code: 'VK-OVERRIDE',
  message: 'Somebody ended the drain before it was done',
  cure: 'Look at `vipkeeper status`, and start the drain again if it is still wanted',
};

function drained(
  { most, left }: { readonly most: number; readonly left: number },
  answer: OverrideAnswer,
  options: DrainOptions,
  terminal: Terminal,
): number {
  if (options.json) terminal.out(`${JSON.stringify({ ...answer, drained: true }, null, 2)}\n`);
  else {
    const names = answer.servers.map(({ service, server }) => `${service}/${server}`).join(', ');
    const start = terminal.interactive ? `\r${bar(most, 0)}\u001b[K\n` : '';
    const cut = options.timeout !== undefined && left > 0 ? ` (at most ${left} were cut off)` : '';
    terminal.out(`${start}${printable(`${names}: drained and out of the table${cut}`)}\n`);
    terminal.out(`${HOLDS}\n`);
  }
  return EXIT.ok;
}

/** '[########----------------] 12 of 40 connections left' */
function bar(most: number, left: number): string {
  const done = most === 0 ? BAR_LENGTH : Math.round((BAR_LENGTH * (most - left)) / most);
  return `[${'#'.repeat(done)}${'-'.repeat(BAR_LENGTH - done)}] ${left} of ${most} connections left`;
}

/** ', cut off in 9m 30s' where there is a deadline: of several, the last one. */
function cutOff(draining: readonly ServerReport[], nowMs: number): string {
  const deadlines = draining.flatMap(({ override: one }) =>
    one?.action.kind === 'drain' && one.action.deadlineMs !== null ? one.action.deadlineMs : [],
  );
  if (deadlines.length === 0) return '';
  return `, cut off in ${durationText(Math.max(0, (Math.max(...deadlines) - nowMs) / 1000))}`;
}

function targets(status: DirectorStatus, wanted: ReadonlySet<string>): readonly ServerReport[] {
  return status.services.flatMap(({ name, servers }) =>
    servers.filter(({ server }) => wanted.has(`${name}/${server}`)),
  );
}

function isDrained(server: ServerReport): boolean {
  const { override: one } = server;
  return one?.action.kind === 'drain' && one.action.drained && server.weight === null;
}

function milliseconds(text: string | undefined, option: string, command: string): number | null {
  if (text === undefined) return null;
  const durationUs = parseDuration(text);
  if (durationUs === null || durationUs < 1_000) {
    throw new UsageError(`--${option} takes a duration such as 90s or 10m, not ${text}`, command);
  }
  return durationUs / 1_000;
}

/** The end that was asked for as a moment, or null for none. */
function moment(options: OverrideOptions, nowMs: number, command: string): number | null {
  const { until } = options;
  if (until === undefined) return null;
  if (options.for !== undefined) {
    throw new UsageError('Either --for or --until can be given', command);
  }
  const untilMs = parseMoment(until);
  if (untilMs === null) {
    const examples = '2026-11-28T06:00 by the clock here, or 2026-11-28T05:00Z by UTC';
    throw new UsageError(
      `--until takes a date and time such as ${examples}, not ${until}`,
      command,
    );
  }
  if (untilMs <= nowMs) {
    const message = `--until is over: it is ${momentText(nowMs)} now, and ${until} was ${momentText(untilMs)}`;
    throw new UsageError(message, command);
  }
  return untilMs;
}

/** '2026-11-28T05:00:00Z' */
function momentText(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19)}Z`;
}

/** Who runs the command: behind sudo, the one who called it. */
function operator(): string {
  return process.env.SUDO_USER ?? userInfo().username;
}

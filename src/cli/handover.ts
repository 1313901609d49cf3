/**
 * `vipkeeper handover` and `vipkeeper takeback`: planned maintenance of a director without a lost
 * packet. Says beforehand what will happen and what cannot be known, follows it in the status,
 * and says what came of it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Problem } from '../core/problem.ts';
import { err, ok, type Result } from '../core/result.ts';
import type {
  HandoverAnswer,
  HandoverPlan,
  InstanceReport,
  TakebackAnswer,
} from '../core/status.ts';
import { keeperProblem } from '../core/vrrp/explain.ts';
import { EXIT } from './commands.ts';
import { askDirector, askStatus, failed } from './control-client.ts';
import { printable, type Terminal } from './terminal.ts';

interface CommonOptions {
  /** Null for all it applies to; undefined for the only one there is. */
  readonly instance: string | null | undefined;
  readonly runtimeDirectory: string;
  readonly json: boolean;
}

export interface HandoverOptions extends CommonOptions {
  readonly dryRun: boolean;
}

/** Often enough for a person who waits, rarely enough for a status with many services. */
const POLL_MS = 100;
/** The keeper ends it by itself; this much later something is wrong. */
const GRACE_MS = 5_000;

interface Outcome {
  readonly instance: string;
  readonly outcome: NonNullable<InstanceReport['lastHandover']>['outcome'] | 'unknown';
  readonly successor: string | null;
  readonly seconds: number | null;
}

/** Exit status: ok when every instance was handed over, or with `dryRun` when one may be. */
export async function handover(options: HandoverOptions, terminal: Terminal): Promise<number> {
  const { runtimeDirectory, dryRun, json } = options;
  const before = await chosen(options);
  if (!before.ok) return failed(before.error, terminal);
  const query = new URLSearchParams();
  if (before.value.instance !== null) query.set('instance', before.value.instance);
  if (dryRun) query.set('dry_run', '');
  const asked = await askDirector(runtimeDirectory, `/v1/handover?${query}`, 'POST');
  if (!asked.ok) return failed(asked.error, terminal);
  const answer = JSON.parse(asked.value) as HandoverAnswer;
  if (!json) for (const plan of answer.plans) terminal.out(planText(plan));
  const known = answer.plans.every(({ successor }) => successor !== null);
  if (answer.error !== null || dryRun) {
    const reason = answer.error ?? (known ? null : 'No successor is known, see above');
    if (json) terminal.out(`${JSON.stringify({ ...answer, results: [] }, null, 2)}\n`);
    if (reason === null) return EXIT.ok;
    return failed(refusal(reason), terminal);
  }
  const results = await follow(answer.plans, before.value.reports, options);
  if (json) terminal.out(`${JSON.stringify({ ...answer, results }, null, 2)}\n`);
  else for (const result of results) terminal.out(`${printable(resultText(result))}\n`);
  return results.every(({ outcome }) => outcome === 'handed-over') ? EXIT.ok : EXIT.failed;
}

/** Exit status: failed when nothing was held back. */
export async function takeback(options: CommonOptions, terminal: Terminal): Promise<number> {
  const before = await chosen(options);
  if (!before.ok) return failed(before.error, terminal);
  const { instance } = before.value;
  const query = instance === null ? '' : `?${new URLSearchParams({ instance })}`;
  const asked = await askDirector(options.runtimeDirectory, `/v1/takeback${query}`, 'POST');
  if (!asked.ok) return failed(asked.error, terminal);
  const answer = JSON.parse(asked.value) as TakebackAnswer;
  if (options.json) terminal.out(`${JSON.stringify(answer, null, 2)}\n`);
  if (answer.error !== null) return failed(refusal(answer.error), terminal);
  if (!options.json) {
    for (const { detail } of answer.plans) terminal.out(`${printable(detail)}\n`);
  }
  return EXIT.ok;
}

interface Chosen {
  readonly instance: string | null;
  readonly reports: readonly InstanceReport[];
}

async function chosen(options: CommonOptions): Promise<Result<Chosen, Problem>> {
  const found = await askStatus(options.runtimeDirectory);
  if (!found.ok) return found;
  const silent = keeperProblem(found.value);
  if (silent !== null) return err(silent);
  const reports = found.value.instances;
  if (options.instance !== undefined) return ok({ instance: options.instance, reports });
  const [only] = reports;
  if (only !== undefined && reports.length === 1) return ok({ instance: only.name, reports });
  const names = reports.map(({ name }) => name).join(', ') || 'none';
  return err({
    code: 'VK-USAGE',
    message: 'Which instance is meant is not clear',
    cure: `Name one of them, or give --all: ${names}`,
  });
}

/** Waits until the keeper says how each handover ended. */
async function follow(
  plans: readonly HandoverPlan[],
  before: readonly InstanceReport[],
  options: HandoverOptions,
): Promise<readonly Outcome[]> {
  const longestMs = Math.max(...plans.map(({ longestSeconds }) => longestSeconds * 1000));
  const outcomes = new Map<string, Outcome>();
  for (let waitedMs = 0; waitedMs < longestMs + GRACE_MS; waitedMs += POLL_MS) {
    const now = await askStatus(options.runtimeDirectory);
    for (const { instance } of plans) {
      const found = now.ok ? now.value.instances.find(({ name }) => name === instance) : undefined;
      const last = found?.lastHandover ?? null;
      const earlier = before.find(({ name }) => name === instance)?.lastHandover?.at;
      if (last === null || last.at === earlier) continue;
      const { outcome, successor, seconds } = last;
      outcomes.set(instance, { instance, outcome, successor, seconds });
    }
    if (outcomes.size === plans.length) break;
    await sleep(POLL_MS);
  }
  return plans.map(
    ({ instance }) =>
      outcomes.get(instance) ?? { instance, outcome: 'unknown', successor: null, seconds: null },
  );
}

function planText({
  instance,
  refusal,
  successor,
  expectedSeconds,
  warnings,
}: HandoverPlan): string {
  if (refusal !== null) return '';
  const due = `${expectedSeconds.toFixed(2)} s`;
  const who =
    successor === null
      ? `no successor is known now; a backup would take over within ${due}`
      : `${successor.address} (priority ${successor.priority}) should take over after ${due}; it was last heard ${successor.lastHeardSecondsAgo.toFixed(0)} s ago`;
  const lines = [`${instance}: ${who}`, ...warnings.map((warning) => `  ! ${warning}`)];
  return lines.map((line) => `${printable(line)}\n`).join('');
}

function resultText({ instance, outcome, successor, seconds }: Outcome): string {
  switch (outcome) {
    case 'handed-over':
      return (
        `${instance}: ${successor} has taken over after ${seconds?.toFixed(2)} s; this director ` +
        `does not preempt it until: vipkeeper takeback ${instance}`
      );
    case 'stayed':
      return `${instance}: nobody took over in ${seconds?.toFixed(2)} s, so it stays active here`;
    case 'faulted':
      return `${instance}: it went into fault before anybody took over: see vipkeeper explain`;
    case 'unknown':
      return `${instance}: the director does not say how it ended: see vipkeeper status`;
  }
}

function refusal(reason: string): Problem {
  return {
    code: 'VK-HANDOVER',
    message: reason,
    cure: 'Look at `vipkeeper status` on every director, and see vipkeeper-handover(1)',
  };
}

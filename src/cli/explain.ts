/**
 * `vipkeeper explain [INSTANCE]`: why an instance is what it is, whom it hears, what is wrong and
 * what to do about it, and what would happen if the active director died now.
 */
import { formatProblem } from '../core/problem.ts';
import type { InstanceReport } from '../core/status.ts';
import { unknownName } from '../core/unknown-name.ts';
import { explainInstance, keeperProblem } from '../core/vrrp/explain.ts';
import { EXIT } from './commands.ts';
import { askStatus } from './control-client.ts';
import { age, reasonText } from './status-view.ts';
import { printable, type Terminal } from './terminal.ts';

export interface ExplainOptions {
  /** Name of the instance, or 'all'. */
  readonly instance: string;
  readonly runtimeDirectory: string;
  readonly json: boolean;
}

/** Exit status: 0 without findings, 1 with some, so that scripts can watch it. */
export async function explain(options: ExplainOptions, terminal: Terminal): Promise<number> {
  const found = await askStatus(options.runtimeDirectory);
  if (!found.ok) {
    terminal.err(`${printable(formatProblem(found.error))}\n`);
    return found.error.code === 'VK-NOT-RUNNING' ? EXIT.notRunning : EXIT.failed;
  }
  const silent = keeperProblem(found.value);
  if (silent !== null) {
    terminal.err(`${printable(formatProblem(silent))}\n`);
    return EXIT.failed;
  }
  const { instances } = found.value;
  const chosen = instances.filter(({ name }) => [name, 'all'].includes(options.instance));
  if (chosen.length === 0) {
    const names = instances.map(({ name }) => name);
    terminal.err(`VK-USAGE: ${unknownName('VRRP instance', options.instance, names)}.\n`);
    return EXIT.usage;
  }
  const explanations = chosen.map((report) => explainInstance(report, instances));
  if (options.json) {
    terminal.out(`${JSON.stringify(explanations, null, 2)}\n`);
  } else {
    const texts = chosen.map((report) => draw(report, instances, terminal.nowMs()));
    terminal.out(texts.join('\n'));
  }
  return explanations.some(({ findings }) => findings.length > 0) ? EXIT.failed : EXIT.ok;
}

function linkLines({ link }: InstanceReport): string[] {
  if (link === null) return [];
  const state = link.mac === null ? 'is missing' : `${link.mac}, ${link.up ? 'up' : 'down'}`;
  return [`  Virtual link ${link.name} (${link.kind}): ${state}`];
}

function draw(report: InstanceReport, all: readonly InstanceReport[], nowMs: number): string {
  const { priority, peers, whatIf, notes, findings } = explainInstance(report, all);
  const since = age(report.lastTransitionAt, nowMs);
  const group = report.group === null ? '' : `, in sync group ${report.group}`;
  const lines = [
    `${report.name}: ${report.state} for ${since}, because ${reasonText(report.reason)}`,
    `  Virtual router ${report.vrid}, version ${report.version}, on ${report.interface}${group}`,
    ...unicastLines(report),
    ...linkLines(report),
    `  Priority ${priority}`,
    ...report.addresses.map(
      (vip) => `  VIP ${vip.address} is ${vip.present ? '' : 'not '}on ${vip.interface}`,
    ),
    ...(peers.length === 0 ? ['  No other director was heard'] : []),
    ...peers.map((peer) => `  Peer ${peer}`),
    `  ${whatIf}`,
    ...handoverLines(report, nowMs),
    ...notes.map((note) => `  ${note}`),
    ...findings.flatMap(({ text, cure, runbook }) => [`  ! ${text}`, `    ${cure} (${runbook})`]),
  ];
  return lines.map((line) => `${printable(line)}\n`).join('');
}

function unicastLines({ unicast, sourceAddress }: InstanceReport): readonly string[] {
  if (unicast === null) return [];
  const others = unicast.peers.filter(({ self }) => !self).map(({ address }) => address);
  const from = sourceAddress === null ? '' : ` from ${sourceAddress}`;
  return [`  Unicast${from} to ${others.join(', ') || 'nobody: no other director is a peer'}`];
}

/** How the last planned handover ended, as long as this keeper runs. */
function handoverLines({ lastHandover: last }: InstanceReport, nowMs: number): readonly string[] {
  if (last === null) return [];
  const ended = {
    'handed-over': `${last.successor ?? 'another director'} took over`,
    stayed: 'nobody took over',
    faulted: 'it was in fault before anybody took over',
  }[last.outcome];
  const took =
    last.seconds < 1 ? `${Math.round(last.seconds * 1000)} ms` : `${last.seconds.toFixed(2)} s`;
  return [`  Last planned handover ${age(last.at, nowMs)} ago: ${ended} after ${took}`];
}

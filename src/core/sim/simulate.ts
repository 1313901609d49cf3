/**
 * Runs a scenario: directors, LAN and faults on one agenda, watched by the judge. The same
 * scenario gives the same result to the last microsecond, on every machine and for ever.
 */
import { assertNever } from '../assert.ts';
import { Agenda } from './agenda.ts';
import { type Absence, SimDirector } from './director.ts';
import { Judge, type Violation } from './judge.ts';
import { Lan, type LanCounters } from './lan.ts';
import type { Scenario, SimFault } from './scenario.ts';

/** Ten times what the busiest generated scenario needs; beyond, adverts answer one another. */
const EVENTS_MAX = 300_000;
/** The trace keeps its last lines: what led to the violation that ended the run. */
const TRACE_LINES_MAX = 5_000;

export interface SimStatistics {
  readonly simulatedUs: number;
  readonly events: number;
  readonly lan: Readonly<LanCounters>;
  readonly refused: number;
  /** Packets that found a full socket. */
  readonly queueDrops: number;
  readonly transitions: number;
  readonly takeovers: number;
  /** Longest time that two directors, undisturbed and in hearing, both held the VIP. */
  readonly overlapMaxUs: number;
  /** Longest time that nobody held the VIP though somebody could. */
  readonly vacancyMaxUs: number;
  /** Time in which the LAN was at rest and the strongest invariants applied. */
  readonly restUs: number;
}

export interface SimResult {
  /** One line an event: time in seconds, director (`*` for the world), what happened. */
  readonly trace: readonly string[];
  readonly violations: readonly Violation[];
  readonly statistics: SimStatistics;
}

export interface SimulateOptions {
  readonly scenario: Scenario;
  /** What the trace holds: nothing, faults and transitions, or every packet too. */
  readonly trace: 'none' | 'transitions' | 'packets';
}

/** Runs to the end of the scenario, or to the first violation. */
export function simulate(options: SimulateOptions): SimResult {
  const { scenario, trace: detail } = options;
  const { cluster, seed } = scenario;
  const agenda = new Agenda();
  const trace: string[] = [];
  const log = (text: string): void => {
    if (detail === 'none') return;
    if (trace.length >= TRACE_LINES_MAX) trace.shift();
    trace.push(`${(agenda.nowUs / 1_000_000).toFixed(6).padStart(12)}  ${text}`);
  };
  const judge = new Judge(cluster, agenda, log);
  const directors: SimDirector[] = [];
  const world = { seed, size: cluster.directors.length, conditions: cluster.lan };
  const lan = new Lan(agenda, world, (to, packet) => directors[to]?.deliver(packet));
  for (const index of cluster.directors.keys()) {
    const director = new SimDirector(cluster, index, seed, {
      agenda,
      watch: judge,
      transmit: (packet) => {
        if (detail === 'packets') log(`${director.name}  advert, priority ${packet.priority}`);
        lan.send(packet);
      },
    });
    directors.push(director);
  }
  judge.observe(directors, lan);
  for (const [index, { startAtUs }] of cluster.directors.entries()) {
    agenda.at(startAtUs, () => directors[index]?.comeBack('not-started'));
  }
  const stage: Stage = { agenda, directors, lan, judge, log };
  for (const fault of scenario.faults) agenda.at(fault.atUs, () => beginFault(stage, fault));
  inspectEvery(stage, cluster.advertIntervalUs);
  const enough = (): boolean => judge.violations.length > 0 || agenda.planned > EVENTS_MAX;
  agenda.run(scenario.durationUs, enough);
  if (agenda.planned > EVENTS_MAX) judge.stormed(agenda.planned);
  const { transitions, takeovers, overlapMaxUs, vacancyMaxUs, restUs, violations } = judge;
  const statistics = {
    simulatedUs: violations.length > 0 ? agenda.nowUs : scenario.durationUs,
    events: agenda.planned,
    lan: { ...lan.counters },
    refused: directors.reduce((sum, director) => sum + director.refused, 0),
    queueDrops: directors.reduce((sum, director) => sum + director.queueDrops, 0),
    transitions,
    takeovers,
    overlapMaxUs,
    vacancyMaxUs,
    restUs,
  };
  return { trace, violations, statistics };
}

interface Stage {
  readonly agenda: Agenda;
  readonly directors: readonly SimDirector[];
  readonly lan: Lan;
  readonly judge: Judge;
  readonly log: (text: string) => void;
}

function inspectEvery({ agenda, judge }: Stage, intervalUs: number): void {
  const inspect = (): void => {
    judge.inspect(agenda.nowUs - intervalUs);
    agenda.at(agenda.nowUs + intervalUs, inspect);
  };
  agenda.at(intervalUs, inspect);
}

function beginFault(stage: Stage, fault: SimFault): void {
  const { agenda, directors, lan, judge, log } = stage;
  const untilUs = 'forUs' in fault ? agenda.nowUs + fault.forUs : agenda.nowUs;
  if (fault.kind === 'partition' || fault.kind === 'storm') {
    log(`*  ${describeFault(fault)}`);
    judge.lanDisturbed();
    if (fault.kind === 'partition') lan.partition(fault, untilUs);
    else lan.storm(fault.conditions, untilUs);
    agenda.at(untilUs, () => {
      log(`*  ${fault.kind} over`);
      judge.lanDisturbed();
    });
    return;
  }
  const director = directors[fault.director];
  if (director === undefined) return;
  const absent = (absence: Absence): void => {
    director.leave(absence);
    agenda.at(untilUs, () => director.comeBack(absence));
  };
  switch (fault.kind) {
    case 'crash':
    case 'power-loss':
    case 'stop':
    case 'controller-lost':
      return absent(fault.kind);
    case 'stall': {
      const end = director.stall();
      agenda.at(untilUs, end);
      return;
    }
    case 'link-down':
      director.setLink(false);
      agenda.at(untilUs, () => director.setLink(true));
      return;
    case 'drift':
      return director.setDrift(fault.driftPpm);
    case 'reconfigure':
      return director.reconfigure(fault.priority);
    default:
      return assertNever(fault);
  }
}

/** One line for people. */
export function describeFault(fault: SimFault): string {
  const { kind, atUs, ...rest } = fault;
  const details = Object.entries(rest).map(([key, value]) =>
    typeof value === 'object' ? `${key} ${JSON.stringify(value)}` : `${key} ${value}`,
  );
  return `${kind} at ${(atUs / 1_000_000).toFixed(3)} s: ${details.join(', ')}`;
}

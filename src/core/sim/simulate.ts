/**
 * Runs a scenario: directors, LANs and faults on one agenda, watched by the court. The same
 * scenario gives the same result to the last microsecond, on every machine and for ever.
 */
import { assertNever } from '../assert.ts';
import { Agenda } from './agenda.ts';
import { Court } from './court.ts';
import { type Absence, type DirectorWatch, SimDirector } from './director.ts';
import type { SimEvent } from './events.ts';
import type { Violation } from './judge.ts';
import { Lan, type LanCounters, type SimPacket } from './lan.ts';
import { routerConfigs, routerNames, type Scenario, type SimFault } from './scenario.ts';

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
  /** Longest time that two directors, undisturbed and in hearing, both held a VIP. */
  readonly overlapMaxUs: number;
  /** Longest time that nobody held a VIP though somebody could. */
  readonly vacancyMaxUs: number;
  /** Time in which a LAN was at rest and the strongest invariants applied, of all routers. */
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
  /** Goes on after a violation: for people who want to see the whole of it. */
  readonly goOn?: boolean;
  /** Most events; a run with more has a storm of advertisements. */
  readonly eventsMax?: number;
  readonly onEvent?: (event: SimEvent) => void;
}

/** Runs to the end of the scenario, or to the first violation. */
export function simulate(options: SimulateOptions): SimResult {
  const { scenario, trace: detail, eventsMax = EVENTS_MAX } = options;
  const agenda = new Agenda();
  const trace: string[] = [];
  const log = (text: string): void => {
    if (detail === 'none') return;
    if (trace.length >= TRACE_LINES_MAX) trace.shift();
    trace.push(`${(agenda.nowUs / 1_000_000).toFixed(6).padStart(12)}  ${text}`);
  };
  const stage = setUp(options, agenda, log);
  const { court, directors, lans } = stage;
  for (const [index, { startAtUs }] of scenario.cluster.directors.entries()) {
    agenda.at(startAtUs, () => directors[index]?.comeBack('not-started'));
  }
  for (const fault of scenario.faults) agenda.at(fault.atUs, () => beginFault(stage, fault));
  for (const name of routerNames(scenario)) inspectEvery(stage, scenario, name);
  const failed = (): boolean => options.goOn !== true && court.violations.length > 0;
  agenda.run(scenario.durationUs, () => failed() || agenda.planned > eventsMax);
  if (agenda.planned > eventsMax) {
    for (const judge of court.judges.values()) judge.stormed(agenda.planned);
  }
  const judges = [...court.judges.values()];
  const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
  const statistics = {
    simulatedUs: court.violations.length > 0 ? agenda.nowUs : scenario.durationUs,
    events: agenda.planned,
    lan: sumCounters(lans),
    refused: sum(directors.map(({ refused }) => refused)),
    queueDrops: sum(directors.map(({ queueDrops }) => queueDrops)),
    transitions: sum(judges.map(({ transitions }) => transitions)),
    takeovers: sum(judges.map(({ takeovers }) => takeovers)),
    overlapMaxUs: Math.max(...judges.map(({ overlapMaxUs }) => overlapMaxUs)),
    vacancyMaxUs: Math.max(...judges.map(({ vacancyMaxUs }) => vacancyMaxUs)),
    restUs: Math.round(sum(judges.map(({ restUs }) => restUs)) / judges.length),
  };
  return { trace, violations: court.violations, statistics };
}

interface Stage {
  readonly agenda: Agenda;
  readonly directors: readonly SimDirector[];
  readonly lans: readonly Lan[];
  readonly court: Court;
  readonly log: (text: string) => void;
  readonly onEvent: (event: SimEvent) => void;
}

function setUp(options: SimulateOptions, agenda: Agenda, log: (text: string) => void): Stage {
  const { scenario, trace, onEvent = () => {} } = options;
  const { cluster, seed } = scenario;
  const directors: SimDirector[] = [];
  const lans = Array.from({ length: cluster.lans }, (_, lan) => {
    const world = { seed, lan, size: cluster.directors.length, conditions: cluster.lan };
    return new Lan(agenda, world, (to, packet) => directors[to]?.deliver(lan, packet));
  });
  const routers = routerNames(scenario);
  // The court needs the directors, and they need it: they speak to it only when they run.
  const watch = {} as { court: Court };
  for (const index of cluster.directors.keys()) {
    const director: SimDirector = new SimDirector(scenario, index, routers, {
      agenda,
      get watch(): DirectorWatch {
        return watch.court;
      },
      transmit: (lan, packet) => {
        if (trace === 'packets') {
          const label = director.runner(packet.router)?.label ?? director.name;
          log(`${label}  advert, priority ${packet.priority}`);
        }
        lans[lan]?.send(packet, packet.toGroup ? 'everybody' : whoHas(directors, lan, packet));
      },
    });
    directors.push(director);
  }
  watch.court = new Court({ scenario, agenda, log, onEvent }, directors, lans);
  return { agenda, directors, lans, court: watch.court, log, onEvent };
}

/** The place of the director that has the packet's destination on this LAN. */
function whoHas(directors: readonly SimDirector[], lan: number, packet: SimPacket): number | null {
  const place = directors.findIndex((director) => director.hasAddress(lan, packet.destination));
  return place < 0 ? null : place;
}

function sumCounters(lans: readonly Lan[]): LanCounters {
  const sums: LanCounters = { sent: 0, delivered: 0, lost: 0, duplicated: 0, corrupted: 0 };
  for (const { counters } of lans) {
    for (const key of Object.keys(sums) as (keyof LanCounters)[]) sums[key] += counters[key];
  }
  return sums;
}

function inspectEvery({ agenda, court }: Stage, scenario: Scenario, router: string): void {
  const intervals = routerConfigs(scenario, router).map(({ config }) => config.advertIntervalUs);
  const everyUs = Math.min(...intervals);
  const inspect = (): void => {
    court.inspect(router, agenda.nowUs - everyUs);
    agenda.at(agenda.nowUs + everyUs, inspect);
  };
  agenda.at(everyUs, inspect);
}

function beginFault(stage: Stage, fault: SimFault): void {
  const { agenda, log, onEvent } = stage;
  log(`*  ${describeFault(fault)}`);
  onEvent({ atUs: agenda.nowUs, kind: 'fault', phase: 'begins', fault });
  const end = causeFault(stage, fault);
  if (end === null || !('forUs' in fault)) return;
  agenda.at(agenda.nowUs + fault.forUs, () => {
    log(`*  ${fault.kind} over`);
    onEvent({ atUs: agenda.nowUs, kind: 'fault', phase: 'ends', fault });
    end();
  });
}

/** Makes it happen; what is returned ends it. */
function causeFault(stage: Stage, fault: SimFault): (() => void) | null {
  if (fault.kind === 'partition' || fault.kind === 'storm') return disturbLans(stage, fault);
  const { court } = stage;
  const director = stage.directors[fault.director];
  if (director === undefined) return null;
  const absent = (absence: Absence): (() => void) => {
    director.leave(absence);
    return () => director.comeBack(absence);
  };
  switch (fault.kind) {
    case 'crash':
    case 'power-loss':
    case 'stop':
    case 'controller-lost':
      return absent(fault.kind);
    case 'stall':
      return director.stall();
    case 'freeze':
      return director.freeze(fault);
    case 'handover':
      director.handOver();
      return () => director.takeBack();
    case 'link-down':
      director.setLink(false, fault.lan);
      return () => director.setLink(true, fault.lan);
    case 'drift':
      director.setDrift(fault.driftPpm);
      return null;
    case 'clock-step':
      director.stepWallClock(fault.byUs);
      court.wallClockStepped(director, fault.byUs);
      return () => {
        director.stepWallClock(-fault.byUs);
        court.wallClockStepped(director, -fault.byUs);
      };
    case 'wrong-key':
      director.setWrongKey(true);
      court.disturbed(director, 'has a wrong key');
      return () => {
        director.setWrongKey(false);
        court.disturbed(director, 'has the right key');
      };
    case 'address-theft':
      director.steal(fault.instance);
      return null;
    case 'tracker-down':
      director.setTracker(fault.tracker, false);
      return () => director.setTracker(fault.tracker, true);
    case 'reload':
      director.reload(fault.instances);
      return null;
    default:
      return assertNever(fault);
  }
}

function disturbLans(
  { agenda, lans, court }: Stage,
  fault: Extract<SimFault, { kind: 'partition' | 'storm' }>,
): () => void {
  court.lanDisturbed();
  const untilUs = agenda.nowUs + fault.forUs;
  for (const [place, lan] of lans.entries()) {
    if (fault.lan !== null && fault.lan !== place) continue;
    if (fault.kind === 'partition') lan.partition(fault, untilUs);
    else lan.storm(fault.conditions, untilUs);
  }
  return () => court.lanDisturbed();
}

/** One line for people. */
export function describeFault(fault: SimFault): string {
  const { kind, atUs, ...rest } = fault;
  const details = Object.entries(rest).map(([key, value]) => `${key} ${describeValue(value)}`);
  return `${kind} at ${(atUs / 1_000_000).toFixed(3)} s: ${details.join(', ')}`;
}

/** Of the instances of a reload, what a reload mostly changes. */
function describeValue(value: unknown): string {
  if (!Array.isArray(value)) return typeof value === 'object' ? JSON.stringify(value) : `${value}`;
  const instances = value as Extract<SimFault, { kind: 'reload' }>['instances'];
  return instances
    .map(({ config: { name, priority, advertIntervalUs, preempt } }) => {
      return `${name} (priority ${priority}, interval ${advertIntervalUs} us, preempt ${preempt})`;
    })
    .join(' ');
}

/**
 * What became of an operator's cluster: runs a world with its planned faults to the end, and says
 * in which state each instance was when, where clients reached the VIPs, when nobody or two
 * directors had them, and which promises were broken. Plain data, for text, picture and JSON.
 */
import type { TransitionReason, VrrpStateName } from '../vrrp/types.ts';
import type { SimEvent } from './events.ts';
import { INVARIANTS, type Invariant } from './invariants.ts';
import type { Violation } from './judge.ts';
import { aimed, type OperatorWorld, type PlannedFault, scenarioOf } from './operator.ts';
import type { SimFault } from './scenario.ts';
import { routerNames } from './scenario.ts';
import { simulate } from './simulate.ts';

/** Adverts of many instances every 10 ms for an hour; beyond, it is no timeline. */
const EVENTS_MAX = 20_000_000;

/** 'off': no keeper runs. 'left-behind': nor does one, but the VIPs are still there. */
export type LaneState = 'off' | 'left-behind' | VrrpStateName;

export interface Span {
  readonly fromUs: number;
  readonly toUs: number;
}

export interface Lane {
  readonly director: string;
  readonly instance: string;
  readonly spans: readonly (Span & { readonly state: LaneState })[];
}

export interface Transition {
  readonly atUs: number;
  readonly director: string;
  readonly instance: string;
  readonly from: VrrpStateName;
  readonly to: VrrpStateName;
  readonly reason: TransitionReason;
}

/** What clients of one instance's VIPs meet. */
export interface Service {
  readonly instance: string;
  readonly addresses: readonly string[];
  /** When a director first had them; null for never. */
  readonly firstUs: number | null;
  /** After that: when no director had them, */
  readonly outages: readonly Span[];
  /** and when two or more had. */
  readonly overlaps: readonly (Span & { readonly directors: readonly string[] })[];
}

export interface Broken {
  readonly invariant: Invariant;
  readonly promise: string;
  readonly instance: string;
  readonly atUs: number;
  readonly message: string;
  /** How often. */
  readonly count: number;
}

export interface Timeline {
  readonly seed: number;
  readonly durationUs: number;
  readonly directors: readonly string[];
  readonly instances: readonly string[];
  readonly faults: readonly SimFault[];
  readonly lanes: readonly Lane[];
  readonly transitions: readonly Transition[];
  readonly running: readonly {
    readonly atUs: number;
    readonly director: string;
    readonly running: boolean;
  }[];
  readonly services: readonly Service[];
  readonly broken: readonly Broken[];
}

export interface TimelineOptions {
  readonly world: OperatorWorld;
  readonly planned: readonly PlannedFault[];
  readonly seed: number;
  readonly durationUs: number;
}

/** Runs it; the same options give the same timeline. */
export function timelineOf(options: TimelineOptions): Timeline {
  const { world, seed, durationUs } = options;
  const faults = aimFaults(options);
  const scenario = scenarioOf(world, { seed, durationUs, faults });
  const events: SimEvent[] = [];
  const { violations } = simulate({
    scenario,
    trace: 'none',
    goOn: true,
    eventsMax: EVENTS_MAX,
    onEvent: (event) => events.push(event),
  });
  const instances = routerNames(scenario);
  return {
    seed,
    durationUs,
    directors: world.cluster.directors.map(({ name }) => name),
    instances,
    faults,
    lanes: lanesOf(options, instances, events),
    transitions: events.filter((event) => event.kind === 'transition'),
    running: events.filter((event) => event.kind === 'running'),
    services: instances.map((instance) => serviceOf(options, instance, events)),
    broken: summarize(violations),
  };
}

/** Finds, one after the other, whom the faults hit that hit whoever is active then. */
function aimFaults({ world, planned, seed }: TimelineOptions): readonly SimFault[] {
  const sorted = [...planned].sort((left, right) => left.fault.atUs - right.fault.atUs);
  const faults: SimFault[] = [];
  for (const { fault, activeOf } of sorted) {
    if (activeOf === null) {
      faults.push(fault);
      continue;
    }
    const serving = new Set<string>();
    const scenario = scenarioOf(world, { seed, durationUs: fault.atUs, faults });
    const onEvent = (event: SimEvent): void => {
      if (event.kind !== 'serving' || event.instance !== activeOf) return;
      if (event.serving) serving.add(event.director);
      else serving.delete(event.director);
    };
    simulate({ scenario, trace: 'none', goOn: true, eventsMax: EVENTS_MAX, onEvent });
    const active = world.cluster.directors.findIndex(({ name }) => serving.has(name));
    // With nobody active the first director is as good as any.
    faults.push(aimed(fault, Math.max(active, 0)));
  }
  return faults;
}

function lanesOf(
  { world, durationUs }: TimelineOptions,
  instances: readonly string[],
  events: readonly SimEvent[],
): readonly Lane[] {
  return instances.flatMap((instance) =>
    world.cluster.directors.flatMap(({ name: director }) => {
      const has = events.some(
        (event) =>
          event.kind === 'transition' && event.director === director && event.instance === instance,
      );
      if (!has) return [];
      return [{ director, instance, spans: spansOf({ director, instance, durationUs }, events) }];
    }),
  );
}

function spansOf(
  lane: { readonly director: string; readonly instance: string; readonly durationUs: number },
  events: readonly SimEvent[],
): Lane['spans'] {
  const spans: (Span & { readonly state: LaneState })[] = [];
  let sinceUs = 0;
  let running = false;
  let serving = false;
  let state: VrrpStateName = 'initialize';
  let shown: LaneState = 'off';
  const show = (atUs: number): void => {
    const now = running ? state : serving ? 'left-behind' : 'off';
    if (now === shown) return;
    if (atUs > sinceUs) spans.push({ fromUs: sinceUs, toUs: atUs, state: shown });
    sinceUs = atUs;
    shown = now;
  };
  for (const event of events) {
    if (!('director' in event) || event.director !== lane.director) continue;
    if (event.kind === 'running') {
      running = event.running;
      if (!running) state = 'initialize';
    } else if (event.instance !== lane.instance) continue;
    else if (event.kind === 'serving') serving = event.serving;
    else state = event.to;
    show(event.atUs);
  }
  spans.push({ fromUs: sinceUs, toUs: lane.durationUs, state: shown });
  return spans;
}

function serviceOf(
  { world, durationUs }: TimelineOptions,
  instance: string,
  events: readonly SimEvent[],
): Service {
  const configs = world.cluster.directors.flatMap(({ instances }) => instances);
  const own = configs.filter(({ config }) => config.name === instance);
  const addresses = own.flatMap(({ config }) => config.addresses.map(({ address }) => address));
  const outages: Span[] = [];
  const overlaps: (Span & { readonly directors: readonly string[] })[] = [];
  const owners = new Set<string>();
  let firstUs: number | null = null;
  let sinceUs = 0;
  const close = (toUs: number): void => {
    if (firstUs === null || toUs === sinceUs) return;
    if (owners.size === 0) outages.push({ fromUs: sinceUs, toUs });
    if (owners.size > 1) overlaps.push({ fromUs: sinceUs, toUs, directors: [...owners] });
  };
  for (const event of events) {
    if (event.kind !== 'serving' || event.instance !== instance) continue;
    close(event.atUs);
    if (event.serving) owners.add(event.director);
    else owners.delete(event.director);
    firstUs ??= event.atUs;
    sinceUs = event.atUs;
  }
  close(durationUs);
  return { instance, addresses: [...new Set(addresses)], firstUs, outages, overlaps };
}

function summarize(violations: readonly Violation[]): readonly Broken[] {
  const broken = new Map<string, Broken>();
  for (const { invariant, router, atUs, message } of violations) {
    const key = `${invariant} ${router}`;
    const known = broken.get(key);
    const first = { invariant, promise: INVARIANTS[invariant], instance: router, atUs, message };
    broken.set(
      key,
      known === undefined ? { ...first, count: 1 } : { ...known, count: known.count + 1 },
    );
  }
  return [...broken.values()];
}

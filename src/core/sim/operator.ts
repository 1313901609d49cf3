/**
 * A world made of an operator's own configurations, one for each director. What a configuration
 * does not tell is assumed, and the same for everybody: a quiet LAN of 0.2 ms, clocks that drift
 * a little, sources of advertisements whose addresses rise in the order of the directors.
 */
import type { Config, IpText, VrrpConfig } from '../config/config.ts';
import { CALM } from './generate.ts';
import { limitsOf } from './limits.ts';
import { Random } from './random.ts';
import type {
  LinkConditions,
  Scenario,
  SimCluster,
  SimDirectorOptions,
  SimFault,
  SimInstance,
} from './scenario.ts';

/** An interface of a director; those that are on one LAN have its number. */
export interface LanInterface {
  readonly director: string;
  readonly interface: string;
  readonly lan: number;
}

export interface OperatorWorld {
  readonly cluster: SimCluster;
  readonly interfaces: readonly LanInterface[];
  /** Names of what their instances track. */
  readonly trackers: readonly string[];
  /** Long enough for every change to come to rest. */
  readonly settleUs: number;
}

/** Most directors of a world: a partition is told by bits. */
export const OPERATOR_DIRECTORS_MAX = 16;

/** A switched network between machines in one room. */
const LAN: LinkConditions = { ...CALM, latencyUs: 150, jitterUs: 100 };
const TIMER_LATE_US = 300;
const TURN_LATE_US = 200;
/** Usual quartz. */
const DRIFT_PPM = 20;
/** They are not started in the same microsecond. */
const START_GAP_US = 100_000;
const RECEIVE_QUEUE = 8_192;
const DRAIN_PACKETS = 1_024;
/** Streams of chance below this belong to the parts of a world. */
const OPERATOR_STREAM = 900_000;

/** The world of two or more directors; their names differ, and each has an instance or more. */
export function worldOf(configs: readonly Config[], seed: number): OperatorWorld {
  const interfaces = joinInterfaces(configs);
  const random = new Random(seed, OPERATOR_STREAM);
  const directors = configs.map(
    (config, index): SimDirectorOptions => ({
      name: config.director,
      instances: instancesOf(index, interfaces, configs),
      startAtUs: index * START_GAP_US,
      // It has been up for longer than it takes no part after a boot.
      clockOffsetUs: config.keeper.delayAfterBootUs + random.between(1, 2_000_000_000),
      startupDelayUs: config.keeper.startupDelayUs,
      delayAfterBootUs: config.keeper.delayAfterBootUs,
      clockDriftPpm: random.between(-DRIFT_PPM, DRIFT_PPM),
      wallOffsetUs: 0,
      receiveQueueMax: RECEIVE_QUEUE,
      drainPacketsMax: DRAIN_PACKETS,
    }),
  );
  const cluster: SimCluster = {
    directors,
    lans: Math.max(...interfaces.map(({ lan }) => lan)) + 1,
    lan: LAN,
    timerLateUs: TIMER_LATE_US,
    turnLateUs: TURN_LATE_US,
  };
  const everything = configs.flatMap(({ vrrp }) => vrrp);
  const tracked = everything.flatMap(({ track }) => track.map(({ tracker }) => tracker));
  return {
    cluster,
    interfaces,
    trackers: [...new Set(tracked)],
    settleUs: settleUs(cluster, everything),
  };
}

/** Two active-down intervals and the preemption after it, in whole seconds. */
function settleUs(cluster: SimCluster, configs: readonly VrrpConfig[]): number {
  const { activeDownMaxUs, intervalUs } = limitsOf(cluster, configs);
  const delays = configs.map(({ preemptDelayUs }) => preemptDelayUs);
  const enoughUs = 2 * activeDownMaxUs + Math.max(...delays) + intervalUs;
  return Math.ceil(enoughUs / 1_000_000) * 1_000_000;
}

/**
 * What a reload makes of a director's instances: they keep their addresses. `configs`: of all
 * directors, in their order, with those that reloads have brought by then.
 */
export function reloadedInstances(
  { cluster, interfaces }: OperatorWorld,
  index: number,
  configs: readonly Config[],
): readonly SimInstance[] {
  const before = cluster.directors[index]?.instances ?? [];
  return instancesOf(index, interfaces, configs).map((after) => {
    const same = before.find(({ config: { name } }) => name === after.config.name);
    const keeps = same !== undefined && after.config.sourceAddress === null;
    return keeps && same.config.unicast !== null ? { ...after, source: same.source } : after;
  });
}

/** A director's instances; those on interfaces that are new get LANs by name. */
function instancesOf(
  index: number,
  interfaces: readonly LanInterface[],
  configs: readonly Config[],
): readonly SimInstance[] {
  const config = configs[index] as Config;
  return config.vrrp.map((vrrp) => {
    const own = interfaces.find(
      (one) => one.director === config.director && one.interface === vrrp.interface,
    );
    const named = interfaces.find((one) => one.interface === vrrp.interface);
    const lan = own?.lan ?? named?.lan ?? 0;
    const listed = vrrp.unicast === null ? null : listedSource(vrrp.name, index, configs);
    const source = vrrp.sourceAddress ?? listed ?? inventedSource(vrrp, index, lan);
    return { config: vrrp, lan, source };
  });
}

/**
 * The address among the peers that is this director's own: one that only the others list, or, where
 * all have one list, the one at its place. Null when there are fewer addresses than directors.
 */
function listedSource(name: string, index: number, configs: readonly Config[]): IpText | null {
  const lists = configs.map(({ vrrp }) => {
    const peers = vrrp.find((one) => one.name === name)?.unicast?.peers ?? [];
    return peers.map(({ address }) => address);
  });
  const everybody = [...new Set(lists.flat())];
  const taken = new Map<number, IpText>();
  const configured = configs.map(
    ({ vrrp }) => vrrp.find((one) => one.name === name)?.sourceAddress ?? null,
  );
  const free = (): readonly IpText[] =>
    everybody.filter((one) => !configured.includes(one) && ![...taken.values()].includes(one));
  const missing = (place: number): readonly IpText[] =>
    free().filter((one) => lists[place]?.includes(one) === false);
  const places = [...lists.keys()].filter((place) => lists[place]?.length !== 0);
  for (const place of places) {
    const [own] = missing(place);
    if (own !== undefined && configured[place] === null) taken.set(place, own);
  }
  for (const place of places) {
    const [next] = free();
    if (next !== undefined && configured[place] === null && !taken.has(place)) {
      taken.set(place, next);
    }
  }
  return taken.get(index) ?? null;
}

/** Link-local, so that it is nobody's VIP. */
function inventedSource({ family }: VrrpConfig, index: number, lan: number): string {
  return family === 'ipv4' ? `169.254.${lan}.${index + 1}` : `fe80::${lan + 1}:${index + 1}`;
}

/**
 * Which interfaces are on one LAN: those that carry instances of one name. One that shares no
 * instance with another director is on the LAN of the interfaces of its name.
 */
function joinInterfaces(configs: readonly Config[]): readonly LanInterface[] {
  const found: { director: string; interface: string; lan: number }[] = [];
  const instances = configs.flatMap(({ director, vrrp }) =>
    vrrp.map(({ name, interface: device }) => ({ director, name, device })),
  );
  const placeOf = (director: string, device: string) => {
    const known = found.find((one) => one.director === director && one.interface === device);
    if (known !== undefined) return known;
    const made = { director, interface: device, lan: found.length };
    found.push(made);
    return made;
  };
  const join = (from: number, to: number): void => {
    for (const one of found) if (one.lan === from) one.lan = to;
  };
  for (const { director, name, device } of instances) {
    const place = placeOf(director, device);
    for (const other of instances) {
      if (other.name === name) join(placeOf(other.director, other.device).lan, place.lan);
    }
  }
  for (const place of found) {
    const alone = found.every((one) => one.director === place.director || one.lan !== place.lan);
    const named = found.find((one) => one !== place && one.interface === place.interface);
    if (alone && named !== undefined) join(place.lan, named.lan);
  }
  // Numbered without gaps, in the order of their appearance.
  const numbers = [...new Set(found.map(({ lan }) => lan))];
  return found.map((one) => ({ ...one, lan: numbers.indexOf(one.lan) }));
}

/** A fault, or one that hits whoever is active for an instance at that moment. */
export interface PlannedFault {
  readonly fault: SimFault;
  /** The director, and with a partition the side, are yet to be found; null for as given. */
  readonly activeOf: string | null;
}

/** The fault with this director in the place of the one that was not known. */
export function aimed(fault: SimFault, director: number): SimFault {
  if (fault.kind === 'storm') return fault;
  if (fault.kind === 'partition') return { ...fault, side: 1 << director };
  return { ...fault, director };
}

/** What is shown without a script: the active one dies and comes back, and so on. */
export function tourOf(world: OperatorWorld, instance: string): readonly PlannedFault[] {
  const { settleUs } = world;
  const lasting = { director: 0, forUs: settleUs };
  const at = (step: number): { readonly atUs: number } => ({ atUs: step * settleUs });
  const faults: readonly SimFault[] = [
    { kind: 'power-loss', ...at(1), ...lasting },
    { kind: 'link-down', ...at(3), ...lasting, lan: null },
    { kind: 'stall', ...at(5), ...lasting },
    { kind: 'partition', ...at(7), side: 1, direction: 'both', lan: null, forUs: settleUs },
    { kind: 'stop', ...at(9), ...lasting },
  ];
  return faults.map((fault) => ({ fault, activeOf: instance }));
}

/** Longer than any run: of a fault that nothing ends. */
export const NEVER_ENDS_US = 86_400_000_000;

/** When everything that is planned has come to rest. */
export function endOf(world: OperatorWorld, planned: readonly PlannedFault[]): number {
  const ends = planned.map(({ fault }) => {
    const lasts = 'forUs' in fault && fault.forUs < NEVER_ENDS_US;
    return fault.atUs + (lasts ? fault.forUs : 0);
  });
  return Math.max(0, ...ends) + world.settleUs;
}

/** A run of this world. */
export function scenarioOf(
  world: OperatorWorld,
  run: {
    readonly seed: number;
    readonly durationUs: number;
    readonly faults: readonly SimFault[];
  },
): Scenario {
  return { ...run, cluster: world.cluster };
}

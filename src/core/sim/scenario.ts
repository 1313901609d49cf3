/**
 * What a simulation is made of: a cluster of directors on one or more LANs, and the faults that
 * meet it. Plain data, complete, so that a scenario can be written by hand, drawn from a seed
 * (generate.ts), made of an operator's own configuration (operator.ts) or made smaller
 * (shrink.ts). Times are integer microseconds of the world.
 */
import type { IpText, VrrpConfig } from '../config/config.ts';

/** One VRRP instance of one director. Instances of one name are one virtual router. */
export interface SimInstance {
  /** As a reader of configurations makes it. */
  readonly config: VrrpConfig;
  /** The LAN that its interface is on: 0 to SimCluster.lans - 1. */
  readonly lan: number;
  /** Source of its advertisements; decides ties. */
  readonly source: IpText;
}

export interface SimDirectorOptions {
  readonly name: string;
  readonly instances: readonly SimInstance[];
  readonly startAtUs: number;
  readonly clockOffsetUs: number;
  /** -DRIFT_PPM_MAX to DRIFT_PPM_MAX. */
  readonly clockDriftPpm: number;
  /** How far its time of day is off. */
  readonly wallOffsetUs: number;
  /** How long its instances take no part after a start, and after a boot; 0 if left out. */
  readonly startupDelayUs?: number;
  readonly delayAfterBootUs?: number;
  /** Packets that its socket keeps; the kernel drops what comes after. */
  readonly receiveQueueMax: number;
  /** Packets that it handles in one turn. */
  readonly drainPacketsMax: number;
}

/** How a link treats packets. Ratios are in a million. */
export interface LinkConditions {
  readonly latencyUs: number;
  /** Added to the latency, 0 to this. */
  readonly jitterUs: number;
  readonly lossPpm: number;
  /** Never more than this many are lost in a row; null for no such mercy. */
  readonly lossRunMax: number | null;
  readonly duplicatePpm: number;
  readonly corruptPpm: number;
  /** Later packets may arrive before earlier ones. */
  readonly reorder: boolean;
}

export interface SimCluster {
  readonly directors: readonly SimDirectorOptions[];
  readonly lans: number;
  /** Every LAN on a normal day; must satisfy `isMild` (limits.ts). */
  readonly lan: LinkConditions;
  /** How late a timer may fire. */
  readonly timerLateUs: number;
  /** How late a packet that came may be read. */
  readonly turnLateUs: number;
}

/** What all faults have. */
interface AtTime {
  readonly atUs: number;
}

/** What ends by itself has; the director is given by its place in the cluster. */
interface Lasting extends AtTime {
  readonly director: number;
  readonly forUs: number;
}

/** Every kind of fault, in the order in which the generator draws them: seeds depend on it. */
export const FAULT_KINDS = [
  'crash',
  'power-loss',
  'stall',
  'freeze',
  'stop',
  'handover',
  'link-down',
  'controller-lost',
  'drift',
  'clock-step',
  'wrong-key',
  'address-theft',
  'tracker-down',
  'reload',
  'partition',
  'storm',
] as const satisfies readonly SimFault['kind'][];

export type SimFault =
  /** The keeper is killed; after `forUs` its twin has started the next, which may adopt VIPs. */
  | (Lasting & { readonly kind: 'crash' })
  /** The machine is off and forgets everything, its VIPs first. */
  | (Lasting & { readonly kind: 'power-loss' })
  /** The keeper does not run (SIGSTOP, a starved host), but its kernel does. */
  | (Lasting & { readonly kind: 'stall' })
  /** Nothing runs, the kernel neither: a suspended guest, a host that swaps. */
  | (Lasting & {
      readonly kind: 'freeze';
      /** The monotonic clock stands still, too. */
      readonly clockStops: boolean;
      /** What arrives meanwhile waits in front of the kernel, instead of being lost. */
      readonly packetsWait: boolean;
    })
  /** The service is stopped properly, handing over, and started again. */
  | (Lasting & { readonly kind: 'stop' })
  /** An operator hands all its active instances over, and takes them back. */
  | (Lasting & { readonly kind: 'handover' })
  /** Its interface on this LAN has no carrier; null for all its interfaces. */
  | (Lasting & { readonly kind: 'link-down'; readonly lan: number | null })
  /** The keeper gave up waiting for a controller. */
  | (Lasting & { readonly kind: 'controller-lost' })
  | (AtTime & { readonly kind: 'drift'; readonly director: number; readonly driftPpm: number })
  /** The time of day is wrong by this much more; the monotonic clock is not concerned. */
  | (Lasting & { readonly kind: 'clock-step'; readonly byUs: number })
  /** It signs and verifies with a key that nobody else has. */
  | (Lasting & { readonly kind: 'wrong-key' })
  /** Another program deletes the VIPs of this instance; null for all instances. */
  | (AtTime & {
      readonly kind: 'address-theft';
      readonly director: number;
      readonly instance: string | null;
    })
  /** This tracker is down, or up again. */
  | (Lasting & { readonly kind: 'tracker-down'; readonly tracker: string })
  /** It is given another configuration of its instances. */
  | (AtTime & {
      readonly kind: 'reload';
      readonly director: number;
      readonly instances: readonly SimInstance[];
    })
  /** Directors whose bit is set in `side` are cut off from the others; null for every LAN. */
  | (AtTime & {
      readonly kind: 'partition';
      readonly side: number;
      /** Both ways, or only what `side` sends or receives. */
      readonly direction: 'both' | 'out' | 'in';
      readonly lan: number | null;
      readonly forUs: number;
    })
  /** A whole LAN has a bad time; null for all of them. */
  | (AtTime & {
      readonly kind: 'storm';
      readonly conditions: LinkConditions;
      readonly lan: number | null;
      readonly forUs: number;
    });

export interface Scenario {
  /** Seed of the chances within the run: which packet is lost, how late a timer is. */
  readonly seed: number;
  readonly cluster: SimCluster;
  readonly faults: readonly SimFault[];
  readonly durationUs: number;
}

/** Names of the virtual routers that any director ever has, in the order of their appearance. */
export function routerNames(scenario: Pick<Scenario, 'cluster' | 'faults'>): readonly string[] {
  const names = everyInstance(scenario).map(({ config }) => config.name);
  return [...new Set(names)];
}

/** Every configuration of this virtual router that any director ever has. */
export function routerConfigs(
  scenario: Pick<Scenario, 'cluster' | 'faults'>,
  name: string,
): readonly SimInstance[] {
  return everyInstance(scenario).filter(({ config }) => config.name === name);
}

function everyInstance({ cluster, faults }: Pick<Scenario, 'cluster' | 'faults'>) {
  const reloaded = faults.flatMap((fault) => (fault.kind === 'reload' ? fault.instances : []));
  return [...cluster.directors.flatMap(({ instances }) => instances), ...reloaded];
}

/**
 * What a simulation is made of: a cluster of directors on one LAN, and the faults that meet it.
 * Plain data, complete, so that a scenario can be written by hand, drawn from a seed
 * (generate.ts) or made smaller (shrink.ts). Times are integer microseconds of the world.
 */
import type {
  AddressFamily,
  AnnounceConfig,
  ChecksumForm,
  ElectionConfig,
  IpText,
} from '../config/config.ts';

export interface SimDirectorOptions {
  /** One letter, for the trace. */
  readonly name: string;
  /** Source of its advertisements; decides ties. */
  readonly address: IpText;
  /** 1 to 255; at most one director is the owner (255). */
  readonly priority: number;
  readonly preempt: boolean;
  readonly preemptDelayUs: number;
  readonly checksum: ChecksumForm;
  readonly startAtUs: number;
  readonly clockOffsetUs: number;
  /** -DRIFT_PPM_MAX to DRIFT_PPM_MAX. */
  readonly clockDriftPpm: number;
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
  readonly version: 2 | 3;
  readonly family: AddressFamily;
  readonly advertIntervalUs: number;
  readonly vip: IpText;
  /** Rules of all directors that are not the defaults. */
  readonly election?: Partial<ElectionConfig>;
  readonly announce: AnnounceConfig;
  readonly directors: readonly SimDirectorOptions[];
  /** The LAN on a normal day; must satisfy `isMild` (limits.ts). */
  readonly lan: LinkConditions;
  /** How late a timer may fire. */
  readonly timerLateUs: number;
  /** How late a packet that came may be read. */
  readonly turnLateUs: number;
}

/** Directors are given by their place in the cluster. A fault with `forUs` ends by itself. */
export type SimFault =
  /** The keeper is killed; after `forUs` its twin has started the next, which may adopt the VIP. */
  | {
      readonly kind: 'crash';
      readonly atUs: number;
      readonly director: number;
      readonly forUs: number;
    }
  /** The machine is off and forgets everything, its VIP first. */
  | {
      readonly kind: 'power-loss';
      readonly atUs: number;
      readonly director: number;
      readonly forUs: number;
    }
  /** The keeper does not run (SIGSTOP, a starved host), but its kernel does. */
  | {
      readonly kind: 'stall';
      readonly atUs: number;
      readonly director: number;
      readonly forUs: number;
    }
  /** The service is stopped properly and started again. */
  | {
      readonly kind: 'stop';
      readonly atUs: number;
      readonly director: number;
      readonly forUs: number;
    }
  | {
      readonly kind: 'link-down';
      readonly atUs: number;
      readonly director: number;
      readonly forUs: number;
    }
  /** The keeper gave up waiting for a controller. */
  | {
      readonly kind: 'controller-lost';
      readonly atUs: number;
      readonly director: number;
      readonly forUs: number;
    }
  | {
      readonly kind: 'drift';
      readonly atUs: number;
      readonly director: number;
      readonly driftPpm: number;
    }
  | {
      readonly kind: 'reconfigure';
      readonly atUs: number;
      readonly director: number;
      readonly priority: number;
    }
  /** Directors whose bit is set in `side` are cut off from the others. */
  | {
      readonly kind: 'partition';
      readonly atUs: number;
      readonly side: number;
      /** Both ways, or only what `side` sends or receives. */
      readonly direction: 'both' | 'out' | 'in';
      readonly forUs: number;
    }
  /** The whole LAN has a bad time. */
  | {
      readonly kind: 'storm';
      readonly atUs: number;
      readonly conditions: LinkConditions;
      readonly forUs: number;
    };

export interface Scenario {
  /** Seed of the chances within the run: which packet is lost, how late a timer is. */
  readonly seed: number;
  readonly cluster: SimCluster;
  readonly faults: readonly SimFault[];
  readonly durationUs: number;
}

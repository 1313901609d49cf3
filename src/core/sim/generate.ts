/**
 * Draws a whole scenario from one seed. Swarm testing: every seed switches each kind of fault on
 * or off by the toss of a coin, because a world with every fault at once never gets to the states
 * that a few faults lead to. Any change here changes what every seed means.
 */
import type {
  ChecksumForm,
  ElectionConfig,
  HmacConfig,
  TrackConfig,
  UnicastConfig,
  VrrpConfig,
} from '../config/config.ts';
import { DEFAULTS, defaultAttributes } from '../config/defaults.ts';
import { BOOT_US } from './director.ts';
import { DRIFT_PPM_MAX, isMild, limitsOf } from './limits.ts';
import { Random } from './random.ts';
import {
  FAULT_KINDS,
  type LinkConditions,
  type Scenario,
  type SimCluster,
  type SimDirectorOptions,
  type SimFault,
  type SimInstance,
} from './scenario.ts';

const GENERATOR_STREAM = 0;
const SECOND_US = 1_000_000;
const DIRECTORS_MAX = 7;
const FAULTS_MAX = 80;
/** Mostly what people configure; 10 ms is the shortest that there is. */
const INTERVALS_US = [10_000, 100_000, 250_000, SECOND_US, SECOND_US, SECOND_US, 2 * SECOND_US];
const CHECKSUMS: readonly ChecksumForm[] = ['auto', 'message', 'pseudo-header'];
const FIRST_VRID = 51;
const WINDOW_SECONDS = 5;
/** Wall clocks are off by this at most, and step by it unnoticed: two of each, within a window. */
const SMALL_STEP_US = Math.floor((WINDOW_SECONDS * SECOND_US) / 6);

/** What all instances of a cluster have in common, and what its faults may change. */
interface Plan {
  readonly version: 2 | 3;
  readonly family: 'ipv4' | 'ipv6';
  readonly advertIntervalUs: number;
  /** Instances per director, each on a LAN of its own; more than one may be a sync group. */
  readonly routers: number;
  readonly grouped: boolean;
  /** Advertisements to each other director alone; null for multicast. */
  readonly unicast: Omit<UnicastConfig, 'peers'> | null;
  readonly election: ElectionConfig;
  readonly hmac: HmacConfig | null;
  readonly announce: VrrpConfig['announce'];
  readonly track: readonly TrackConfig[];
}

/** The scenario of this seed (0 to 2^32 - 1), the same for ever. */
export function generate(seed: number): Scenario {
  const random = new Random(seed, GENERATOR_STREAM);
  const plan = drawPlan(random);
  const plain: SimCluster = {
    directors: drawDirectors(random, plan),
    lans: plan.routers,
    lan: CALM,
    timerLateUs: 0,
    turnLateUs: 0,
  };
  const { advertIntervalUs } = plan;
  // Two minutes of a usual cluster; a fast one does as much in less.
  const durationUs = Math.max(12 * SECOND_US, Math.min(120 * advertIntervalUs, 120 * SECOND_US));
  const faults = drawFaults(random, { plan, cluster: plain, durationUs });
  return { seed, cluster: drawWeather(random, plain, faults), faults, durationUs };
}

/** A LAN without any fault, which delivers at once. */
export const CALM: LinkConditions = {
  latencyUs: 0,
  jitterUs: 0,
  lossPpm: 0,
  lossRunMax: 0,
  duplicatePpm: 0,
  corruptPpm: 0,
  reorder: false,
};

function drawPlan(random: Random): Plan {
  const version = random.chance(250_000) ? 2 : 3;
  const advertIntervalUs = random.pick(
    version === 2 ? [SECOND_US, SECOND_US, 2 * SECOND_US] : INTERVALS_US,
  );
  const routers = random.chance(300_000) ? random.between(2, 3) : 1;
  const hmac: HmacConfig = {
    keys: [{ id: 1, secretHex: '5a'.repeat(32) }],
    activeKey: 1,
    mode: 'enforce',
    replay: random.pick(['time', 'off']),
    windowSeconds: WINDOW_SECONDS,
  };
  return {
    version,
    family: version === 3 && random.chance(300_000) ? 'ipv6' : 'ipv4',
    advertIntervalUs,
    routers,
    grouped: routers > 1 && random.chance(600_000),
    unicast: random.chance(250_000)
      ? {
          ttl: random.pick([64, 255]),
          checkSource: random.chance(800_000),
          faultWithoutPeers: true,
        }
      : null,
    election: drawElection(random, version),
    hmac: version === 3 && random.chance(200_000) ? hmac : null,
    announce: {
      ...DEFAULTS.vrrp.announce,
      repeat: 1,
      delayUs: random.pick([0, advertIntervalUs, 5 * advertIntervalUs]),
      refreshUs: random.pick([0, 0, 7 * advertIntervalUs]),
      lowerPriorityDelayUs: random.pick([advertIntervalUs, 5 * advertIntervalUs]),
    },
    track: random.chance(300_000)
      ? [{ tracker: 'service', weight: random.pick([0, -30, 20]), reverse: false }]
      : [],
  };
}

function drawElection(random: Random, version: 2 | 3): ElectionConfig {
  const { election } = DEFAULTS.vrrp;
  return {
    ...election,
    downTimerAdverts: random.pick([3, 3, 3, 2, 5]),
    timerExpiredBackup: random.chance(200_000) ? 254 : null,
    answerLowerPriority: random.chance(150_000) ? version === 2 : version === 3,
    advertiseBeforeYielding: random.chance(150_000),
  };
}

function drawDirectors(random: Random, plan: Plan): readonly SimDirectorOptions[] {
  const { advertIntervalUs: intervalUs } = plan;
  const size = random.chance(500_000) ? 2 : random.between(3, DIRECTORS_MAX);
  const ties = random.chance(300_000);
  const owner = random.chance(120_000) ? random.below(size) : -1;
  // Somebody copied the configuration of the owner.
  const rival = random.chance(500_000) ? random.below(size) : owner;
  const startupDelayUs = random.chance(200_000) ? random.below(8) * intervalUs : 0;
  const delayAfterBootUs = random.chance(100_000) ? BOOT_US + random.below(8) * intervalUs : 0;
  const preemptPpm = random.pick([0, 500_000, 1_000_000, 1_000_000]);
  const delayed = random.chance(250_000);
  const queueMax = random.pick([8_192, 8_192, 64, 16]);
  const drainMax = random.pick([1_024, 1_024, 8]);
  // Addresses in any order, so that a higher one does not go with a later start.
  const first = random.below(200);
  const stride = random.pick([1, 3, 11]);
  const hosts = Array.from({ length: size }, (_, index) => ((first + index * stride) % 233) + 2);
  return hosts.map((host, index) => {
    const priority = ties ? random.pick([100, 100, 101]) : random.between(1, 254);
    // The members of a group have one order of directors, or they could never agree.
    const common = {
      priority: owner >= 0 && (index === owner || index === rival) ? 255 : priority,
      preempt: random.chance(preemptPpm),
      preemptDelayUs: delayed ? random.below(10) * intervalUs : 0,
      checksum: random.pick(CHECKSUMS),
    };
    return {
      name: 'abcdefg'.charAt(index),
      instances: Array.from({ length: plan.routers }, (_, router) => {
        const own = plan.grouped || owner >= 0 || ties ? priority : random.between(1, 254);
        const differs = router > 0 && common.priority !== 255;
        return instanceOf(plan, {
          ...common,
          priority: differs ? own : common.priority,
          router,
          host,
          hosts,
        });
      }),
      startAtUs: random.below(5 * intervalUs),
      clockOffsetUs: random.between(1, 2_000_000_000),
      clockDriftPpm: random.between(-DRIFT_PPM_MAX, DRIFT_PPM_MAX),
      wallOffsetUs: random.between(-SMALL_STEP_US, SMALL_STEP_US),
      startupDelayUs,
      delayAfterBootUs,
      receiveQueueMax: queueMax,
      drainPacketsMax: drainMax,
    };
  });
}

function instanceOf(
  plan: Plan,
  own: Pick<VrrpConfig, 'priority' | 'preempt' | 'preemptDelayUs' | 'checksum'> & {
    readonly router: number;
    readonly host: number;
    /** Of all directors: one list of peers serves them all. */
    readonly hosts: readonly number[];
  },
): SimInstance {
  const { router, host, hosts, ...options } = own;
  const { family, version, advertIntervalUs, hmac, announce, track } = plan;
  const sourceOf = (of: number): string =>
    family === 'ipv4' ? `10.0.${router}.${of}` : `fe80::${of.toString(16)}`;
  const ipv4 = family === 'ipv4';
  const device = `lan${router}`;
  const prefixLength = ipv4 ? 24 : 64;
  const address = ipv4 ? `192.0.2.${10 + router}` : `2001:db8::${10 + router}`;
  return {
    lan: router,
    source: sourceOf(host),
    config: {
      ...plan.election,
      ...options,
      name: router === 0 ? 'web' : `web${router + 1}`,
      interface: device,
      family,
      version,
      vrid: FIRST_VRID + router,
      advertIntervalUs,
      password: null,
      hmac,
      sourceAddress: null,
      virtualLink: null,
      trackInterface: true,
      promoteSecondaries: false,
      announce,
      unicast:
        plan.unicast === null
          ? null
          : { ...plan.unicast, peers: hosts.map((of) => peerAt(sourceOf(of), plan)) },
      multicastGroup: DEFAULTS.vrrp.multicastGroup[family],
      addresses: [
        {
          address,
          prefixLength,
          interface: device,
          advertised: true,
          track: true,
          attributes: defaultAttributes(family, prefixLength),
        },
      ],
      routes: [],
      rules: [],
      group: plan.grouped ? 'both' : null,
      track,
    },
  };
}

/** Bounded where the whole world is one LAN's length away. */
function peerAt(address: string, { unicast }: Plan): UnicastConfig['peers'][number] {
  const ttl = unicast?.ttl ?? 0;
  return ttl === 255 ? { address, minTtl: ttl, maxTtl: ttl } : { address, minTtl: 0, maxTtl: 255 };
}

interface Drawing {
  readonly plan: Plan;
  readonly cluster: SimCluster;
  readonly durationUs: number;
}

function drawFaults(random: Random, drawing: Drawing): readonly SimFault[] {
  const { plan, cluster, durationUs } = drawing;
  const kinds = FAULT_KINDS.filter((kind) => random.chance(400_000) && applies(kind, plan));
  const configs = cluster.directors.flatMap(({ instances }) => instances.map((one) => one.config));
  const { settleUs } = limitsOf(cluster, configs);
  const { advertIntervalUs } = plan;
  // Sparse faults meet a LAN at rest, dense ones meet each other.
  const gapMaxUs = random.pick([2 * settleUs, settleUs, 3 * advertIntervalUs]);
  const lastUs = durationUs - Math.floor(1.5 * settleUs);
  const faults: SimFault[] = [];
  const current = cluster.directors.map(({ instances }) => instances);
  let atUs = random.below(gapMaxUs) + advertIntervalUs;
  while (kinds.length > 0 && atUs < lastUs && faults.length < FAULTS_MAX) {
    faults.push(drawFault(random, { kind: random.pick(kinds), atUs, plan, current }));
    atUs += random.below(gapMaxUs) + 1;
  }
  return faults;
}

/** What means nothing in this cluster only takes the place of what does. */
function applies(kind: SimFault['kind'], plan: Plan): boolean {
  switch (kind) {
    case 'clock-step':
    case 'wrong-key':
      return plan.hmac !== null;
    case 'tracker-down':
      return plan.track.length > 0;
    default:
      return true;
  }
}

function drawFault(
  random: Random,
  what: {
    readonly kind: (typeof FAULT_KINDS)[number];
    readonly atUs: number;
    readonly plan: Plan;
    /** By director; replaced by what a reload makes of them. */
    readonly current: (readonly SimInstance[])[];
  },
): SimFault {
  const { kind, atUs, plan, current } = what;
  const { advertIntervalUs: intervalUs } = plan;
  const size = current.length;
  const director = random.below(size);
  // Around the active-down interval more often than far beyond it.
  const forUs = random.below(random.pick([2, 5, 5, 12]) * intervalUs) + 1;
  const lan = random.chance(500_000) ? null : random.below(plan.routers);
  switch (kind) {
    case 'freeze': {
      const clockStops = random.chance(500_000);
      return { kind, atUs, director, forUs, clockStops, packetsWait: random.chance(500_000) };
    }
    case 'link-down': {
      // A flap may be over before the kernel's notice is read.
      const flaps = random.chance(300_000);
      const shortUs = random.below(Math.ceil(intervalUs / 250)) + 1;
      return { kind, atUs, director, forUs: flaps ? shortUs : forUs, lan };
    }
    case 'drift':
      return { kind, atUs, director, driftPpm: random.between(-DRIFT_PPM_MAX, DRIFT_PPM_MAX) };
    case 'clock-step': {
      const far = random.chance(300_000) ? 100 : 1;
      const byUs = far * random.between(-SMALL_STEP_US, SMALL_STEP_US);
      return { kind, atUs, director, forUs, byUs };
    }
    case 'address-theft':
      return { kind, atUs, director, instance: null };
    case 'tracker-down':
      return { kind, atUs, director, forUs, tracker: 'service' };
    case 'reload': {
      const instances = reloaded(random, plan, { director, current });
      current[director] = instances;
      return { kind, atUs, director, instances };
    }
    case 'partition': {
      const side = random.between(1, 2 ** size - 2);
      return { kind, atUs, forUs, side, direction: random.pick(['both', 'out', 'in']), lan };
    }
    case 'storm':
      return { kind, atUs, forUs, conditions: drawStorm(random, intervalUs), lan };
    default:
      return { kind, atUs, director, forUs };
  }
}

/** Another priority, interval, preemption or list of peers; the same of all members of a group. */
function reloaded(
  random: Random,
  plan: Plan,
  {
    director,
    current,
  }: { readonly director: number; readonly current: readonly (readonly SimInstance[])[] },
): readonly SimInstance[] {
  const instances = current[director] as readonly SimInstance[];
  const what = random.pick(['priority', 'priority', 'interval', 'preempt', 'peers'] as const);
  const priority = random.chance(100_000) ? 255 : random.between(1, 254);
  const factor = random.pick([1, 2, 3]);
  const chosen = random.below(instances.length);
  return instances.map((instance, place) => {
    if (!plan.grouped && place !== chosen) return instance;
    const { config } = instance;
    const changed = (change: Partial<VrrpConfig>): SimInstance => ({
      ...instance,
      config: { ...config, ...change },
    });
    if (what === 'priority') return changed({ priority });
    if (what === 'preempt') return changed({ preempt: !config.preempt });
    if (what === 'peers') return changed({ unicast: withPeers(plan, instance, current.flat()) });
    // Version 2 demands the same of all: a reload of one director would part it from the rest.
    if (plan.version === 2) return instance;
    return changed({ advertIntervalUs: plan.advertIntervalUs * factor });
  });
}

/** Alone in its list, or with all the others as before. */
function withPeers(
  plan: Plan,
  { config: { name, unicast }, source }: SimInstance,
  everybody: readonly SimInstance[],
): UnicastConfig | null {
  if (unicast === null) return null;
  const own = everybody.filter(({ config }) => config.name === name);
  const chosen = unicast.peers.length > 1 ? [source] : own.map((one) => one.source);
  return { ...unicast, peers: chosen.map((address) => peerAt(address, plan)) };
}

/** Each of its parts by the toss of a coin, too. */
function drawStorm(random: Random, intervalUs: number): LinkConditions {
  const part = (most: number): number => (random.chance(500_000) ? random.below(most) : 0);
  return {
    latencyUs: 100 + part(2 * intervalUs),
    jitterUs: part(intervalUs),
    lossPpm: part(1_000_000),
    lossRunMax: null,
    duplicatePpm: part(700_000),
    corruptPpm: part(700_000),
    reorder: random.chance(500_000),
  };
}

/** The LAN's and the directors' ordinary imperfections, within what the protocol tolerates. */
function drawWeather(random: Random, cluster: SimCluster, faults: readonly SimFault[]): SimCluster {
  const reloaded = faults.flatMap((fault) => (fault.kind === 'reload' ? fault.instances : []));
  const instances = [...cluster.directors.flatMap((director) => director.instances), ...reloaded];
  const configs = instances.map(({ config }) => ({ ...config, priority: highestOf(config) }));
  const intervalUs = Math.min(...configs.map((config) => config.advertIntervalUs));
  const perfect = random.chance(400_000);
  const lan: LinkConditions = {
    latencyUs: 20 + random.below(Math.floor(intervalUs / 200)),
    jitterUs: random.below(Math.floor(intervalUs / random.pick([100, 1_000, 5_000]))),
    lossPpm: perfect ? 0 : random.below(300_000),
    lossRunMax: perfect ? 0 : 2,
    duplicatePpm: random.chance(300_000) ? random.below(200_000) : 0,
    corruptPpm: perfect ? 0 : random.below(50_000),
    reorder: random.chance(300_000),
  };
  const drawn: SimCluster = {
    ...cluster,
    lan,
    timerLateUs: random.below(Math.floor(intervalUs / 500)),
    turnLateUs: random.below(Math.floor(intervalUs / 500)),
  };
  // Several lost in a row leave the skew time as the only reserve, which may be too short.
  for (const lossRunMax of [2, 1, 0]) {
    if (lossRunMax > (lan.lossRunMax ?? 0)) continue;
    const milder = { ...drawn, lan: { ...lan, lossRunMax } };
    if (isMild(milder, configs)) return milder;
  }
  return { ...drawn, lan: { ...lan, lossRunMax: 0 } };
}

/** The priority with every tracker in its favour. */
function highestOf({ priority, track }: VrrpConfig): number {
  const most = track.reduce((sum, { weight }) => sum + Math.max(0, weight), priority);
  return priority === 255 ? priority : Math.min(most, 254);
}

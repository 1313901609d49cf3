/**
 * Draws a whole scenario from one seed. Swarm testing: every seed switches each kind of fault on
 * or off by the toss of a coin, because a world with every fault at once never gets to the states
 * that a few faults lead to. Any change here changes what every seed means.
 */
import type { ChecksumForm } from '../config/config.ts';
import { DEFAULTS } from '../config/defaults.ts';
import { DRIFT_PPM_MAX, isMild, limitsOf } from './limits.ts';
import { Random } from './random.ts';
import type {
  LinkConditions,
  Scenario,
  SimCluster,
  SimDirectorOptions,
  SimFault,
} from './scenario.ts';

const GENERATOR_STREAM = 0;
const SECOND_US = 1_000_000;
const DIRECTORS_MAX = 7;
const FAULTS_MAX = 80;
const KINDS = [
  'crash',
  'power-loss',
  'stall',
  'stop',
  'link-down',
  'controller-lost',
  'drift',
  'reconfigure',
  'partition',
  'storm',
] as const satisfies readonly SimFault['kind'][];
/** Mostly what people configure; 10 ms is the shortest that there is. */
const INTERVALS_US = [10_000, 100_000, 250_000, SECOND_US, SECOND_US, SECOND_US, 2 * SECOND_US];
const CHECKSUMS: readonly ChecksumForm[] = ['auto', 'message', 'pseudo-header'];

/** The scenario of this seed (0 to 2^32 - 1), the same for ever. */
export function generate(seed: number): Scenario {
  const random = new Random(seed, GENERATOR_STREAM);
  const version = random.chance(250_000) ? 2 : 3;
  const advertIntervalUs = random.pick(
    version === 2 ? [SECOND_US, SECOND_US, 2 * SECOND_US] : INTERVALS_US,
  );
  const family = version === 3 && random.chance(300_000) ? 'ipv6' : 'ipv4';
  const plain: SimCluster = {
    version,
    family,
    advertIntervalUs,
    vip: family === 'ipv4' ? '192.0.2.10' : '2001:db8::10',
    announce: {
      ...DEFAULTS.vrrp.announce,
      repeat: 1,
      delayUs: random.pick([0, advertIntervalUs, 5 * advertIntervalUs]),
      refreshUs: random.pick([0, 0, 7 * advertIntervalUs]),
      lowerPriorityDelayUs: random.pick([advertIntervalUs, 5 * advertIntervalUs]),
    },
    directors: drawDirectors(random, family, advertIntervalUs),
    lan: CALM,
    timerLateUs: 0,
    turnLateUs: 0,
  };
  // Two minutes of a usual cluster; a fast one does as much in less.
  const durationUs = Math.max(12 * SECOND_US, Math.min(120 * advertIntervalUs, 120 * SECOND_US));
  const faults = drawFaults(random, plain, durationUs);
  const priorities = plain.directors.map((director) => director.priority);
  for (const fault of faults) if (fault.kind === 'reconfigure') priorities.push(fault.priority);
  const cluster = drawWeather(random, plain, Math.max(...priorities));
  return { seed, cluster, faults, durationUs };
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

function drawDirectors(
  random: Random,
  family: 'ipv4' | 'ipv6',
  intervalUs: number,
): readonly SimDirectorOptions[] {
  const size = random.chance(500_000) ? 2 : random.between(3, DIRECTORS_MAX);
  const ties = random.chance(300_000);
  const owner = random.chance(80_000) ? random.below(size) : -1;
  const preemptPpm = random.pick([0, 500_000, 1_000_000, 1_000_000]);
  const delayed = random.chance(250_000);
  const queueMax = random.pick([8_192, 8_192, 64, 16]);
  const drainMax = random.pick([1_024, 1_024, 8]);
  // Addresses in any order, so that a higher one does not go with a later start.
  const first = random.below(200);
  const stride = random.pick([1, 3, 11]);
  return Array.from({ length: size }, (_, index) => {
    const host = ((first + index * stride) % 233) + 2;
    const priority = ties ? random.pick([100, 100, 101]) : random.between(1, 254);
    return {
      name: 'abcdefg'.charAt(index),
      address: family === 'ipv4' ? `10.0.0.${host}` : `fe80::${host.toString(16)}`,
      priority: index === owner ? 255 : priority,
      preempt: random.chance(preemptPpm),
      preemptDelayUs: delayed ? random.below(10) * intervalUs : 0,
      checksum: random.pick(CHECKSUMS),
      startAtUs: random.below(5 * intervalUs),
      clockOffsetUs: random.between(1, 2_000_000_000),
      clockDriftPpm: random.between(-DRIFT_PPM_MAX, DRIFT_PPM_MAX),
      receiveQueueMax: queueMax,
      drainPacketsMax: drainMax,
    };
  });
}

function drawFaults(random: Random, cluster: SimCluster, durationUs: number): readonly SimFault[] {
  const kinds = KINDS.filter(() => random.chance(400_000));
  const { settleUs } = limitsOf(cluster);
  const { advertIntervalUs } = cluster;
  // Sparse faults meet a LAN at rest, dense ones meet each other.
  const gapMaxUs = random.pick([2 * settleUs, settleUs, 3 * advertIntervalUs]);
  const lastUs = durationUs - Math.floor(1.5 * settleUs);
  const faults: SimFault[] = [];
  let atUs = random.below(gapMaxUs) + advertIntervalUs;
  while (kinds.length > 0 && atUs < lastUs && faults.length < FAULTS_MAX) {
    faults.push(drawFault(random, { kind: random.pick(kinds), atUs, cluster }));
    atUs += random.below(gapMaxUs) + 1;
  }
  return faults;
}

function drawFault(
  random: Random,
  what: {
    readonly kind: SimFault['kind'];
    readonly atUs: number;
    readonly cluster: SimCluster;
  },
): SimFault {
  const { kind, atUs, cluster } = what;
  const { advertIntervalUs: intervalUs } = cluster;
  const size = cluster.directors.length;
  const director = random.below(size);
  // Around the active-down interval more often than far beyond it.
  const forUs = random.below(random.pick([2, 5, 5, 12]) * intervalUs) + 1;
  switch (kind) {
    case 'drift':
      return { kind, atUs, director, driftPpm: random.between(-DRIFT_PPM_MAX, DRIFT_PPM_MAX) };
    case 'reconfigure':
      return { kind, atUs, director, priority: random.between(1, 254) };
    case 'partition': {
      const side = random.between(1, 2 ** size - 2);
      return { kind, atUs, forUs, side, direction: random.pick(['both', 'out', 'in']) };
    }
    case 'storm':
      return { kind, atUs, forUs, conditions: drawStorm(random, intervalUs) };
    default:
      return { kind, atUs, director, forUs };
  }
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
function drawWeather(random: Random, cluster: SimCluster, priorityMax: number): SimCluster {
  const { advertIntervalUs: intervalUs } = cluster;
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
  if (isMild(drawn, lan, priorityMax)) return drawn;
  // Two lost in a row leave the skew time as the only reserve, which is too short here.
  return { ...drawn, lan: { ...lan, lossRunMax: 1 } };
}

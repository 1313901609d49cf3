/**
 * The judge: sees everything that happens in a simulated world, which no director can, and holds
 * it against named invariants. It knows the faults, so it knows what the protocol can promise:
 * VRRP has no quorum, so directors that cannot hear one another are all active, and two that can
 * are for as long as an advertisement takes. An invariant says so where it applies; everything
 * beyond is a violation.
 *
 * A disturbance is a fault's beginning or end at a director or a link. A departure (power loss, a
 * crash, a stop) is one too, but the directors that stay need no time to recover from it.
 */
import { compareIp } from '../ip.ts';
import type { TransitionReason, VrrpEffect } from '../vrrp/types.ts';
import type { Agenda } from './agenda.ts';
import type { DirectorWatch, ObservedStep, SimDirector } from './director.ts';
import type { Lan, SimPacket } from './lan.ts';
import {
  driftUs,
  isMild,
  type Limits,
  limitsOf,
  skewsApart,
  specifiedDownUs,
  specifiedSilenceUs,
  specifiedSkewUs,
} from './limits.ts';
import type { SimCluster } from './scenario.ts';

/** What is promised, and the reason. */
export const INVARIANTS = {
  'one-active': 'At rest exactly one director holds the VIP, and nobody waits that may preempt it',
  'rest-is-stable': 'At rest, within ordinary loss and delay, nobody changes its state',
  'overlap-ends':
    'Two directors that hear one another do not both hold the VIP for longer than an advert takes',
  'clean-takeover':
    'When an active leaves a LAN at rest, its successor is alone from the first moment',
  'takeover-in-time':
    'Without a holder a backup takes over in its active-down interval, or skew time when told',
  'no-usurping': 'Nobody takes over from an active that it hears, unless it may preempt it',
  'yields-rightly':
    'An active gives way to a higher priority, to a higher address, or after a stall',
  'preempt-delay': 'Nobody preempts before it has listened for its preempt delay',
  'woken-yields': 'A stalled active whose peer took over is backup after its first turn',
  'woken-waits':
    'A stalled backup whose active still advertises is not active after its first turn',
  'addresses-follow-state': 'A running keeper holds the VIP exactly while it is active',
  'takeover-order': 'On becoming active: advertisement, VIP, announcement, in this order',
  'announced-again': 'The announcements are repeated after their delay',
  'announcements-bounded':
    'A losing peer causes one burst of announcements per delay, however often it speaks',
  'adverts-on-time': 'Adverts stay on their grid: the lateness of timers does not add up',
  'adoption-is-safe':
    'A new keeper goes on as active exactly while no peer can have timed out since the last advert',
  'corruption-refused': 'A corrupted advertisement is never taken for a valid one',
  'no-advert-storm': 'Adverts that answer adverts come to an end',
  'no-flapping': 'The number of transitions is bounded by the number of faults',
} as const;
export type Invariant = keyof typeof INVARIANTS;

export interface Violation {
  readonly invariant: Invariant;
  readonly atUs: number;
  readonly message: string;
}

/** More tell nothing new; the first is what counts. */
const VIOLATIONS_MAX = 16;
/** Transitions per director that one disturbance may cause: there, back, and each once more. */
const TRANSITIONS_PER_DIRECTOR = 4;

interface Watched {
  /** Of the director itself: a start, a stall, a new priority, its link. */
  disturbedAtUs: number;
  holdingSinceUs: number;
  /** Since it entered backup, by its own clock. */
  backupSinceUs: number;
  lastAccepted: SimPacket | null;
  /** When a peer's last advertisement that claims the VIP reached the machine. */
  readonly reachedAtUs: number[];
  bursts: number;
  activeSinceUs: number;
  /** Adverts since one that starts a grid, and when that one was, by the director's clock. */
  gridAtUs: number;
  gridAdverts: number;
  stalledWhileActive: boolean;
  /** When a stall began, by its own clock, as long as its first turn after it lasts. */
  wakingSinceUs: number;
  stalledAtUs: number;
  /** Decided before a first turn after a stall, checked after it. */
  mustNotHold: 'woken-yields' | 'woken-waits' | null;
}

export class Judge implements DirectorWatch {
  readonly violations: Violation[] = [];
  readonly limits: Limits;
  transitions = 0;
  takeovers = 0;
  overlapMaxUs = 0;
  vacancyMaxUs = 0;
  /** Time at rest: what the strongest invariants were checked on. */
  restUs = 0;
  readonly #cluster: SimCluster;
  readonly #agenda: Agenda;
  readonly #log: (text: string) => void;
  readonly #watched: readonly Watched[];
  #directors: readonly SimDirector[] = [];
  #lan: Lan | null = null;
  /** Of anything, departures included. */
  #disturbedAtUs = 0;
  /** Of anything but departures. */
  #unsettledAtUs = 0;
  #transitionsSince = 0;
  #vacantSinceUs = 0;
  /** The LAN was at rest when the active left, and whether it said so. */
  #restAtDeparture = false;
  #resignedAtDeparture = false;

  constructor(cluster: SimCluster, agenda: Agenda, log: (text: string) => void) {
    this.#cluster = cluster;
    this.#agenda = agenda;
    this.#log = log;
    this.limits = limitsOf(cluster);
    this.#watched = cluster.directors.map(() => ({
      disturbedAtUs: 0,
      holdingSinceUs: Number.POSITIVE_INFINITY,
      backupSinceUs: 0,
      lastAccepted: null,
      reachedAtUs: cluster.directors.map(() => Number.NEGATIVE_INFINITY),
      bursts: 0,
      activeSinceUs: 0,
      gridAtUs: 0,
      gridAdverts: 0,
      stalledWhileActive: false,
      wakingSinceUs: Number.POSITIVE_INFINITY,
      stalledAtUs: 0,
      mustNotHold: null,
    }));
  }

  /** What there is to see; before the first event. */
  observe(directors: readonly SimDirector[], lan: Lan): void {
    this.#directors = directors;
    this.#lan = lan;
  }

  // --- What happens -------------------------------------------------------------------------

  disturbed(director: SimDirector, what: string): void {
    this.#log(`${director.name}  ${what}`);
    const watched = this.#of(director);
    watched.disturbedAtUs = this.#agenda.nowUs;
    if (director.stalled) {
      watched.stalledWhileActive = true;
      watched.stalledAtUs = director.localNowUs;
    }
    this.lanDisturbed();
  }

  /** A fault of the LAN begins or ends. */
  lanDisturbed(): void {
    this.#disturbedAtUs = this.#agenda.nowUs;
    this.#unsettledAtUs = this.#agenda.nowUs;
    this.#transitionsSince = 0;
    this.#restAtDeparture = false;
  }

  departed(director: SimDirector, what: string): void {
    this.#log(`${director.name}  gone: ${what}`);
    this.#restAtDeparture = this.#restsFor(this.#settledSinceUs());
    this.#resignedAtDeparture = what === 'stop' && this.#vacantSinceUs === this.#agenda.nowUs;
    this.#of(director).wakingSinceUs = Number.POSITIVE_INFINITY;
    // A dead keeper's VIP stays for a while: the others are not alone.
    if (what === 'crash') this.#unsettledAtUs = this.#agenda.nowUs;
    this.#of(director).disturbedAtUs = this.#agenda.nowUs;
    this.#disturbedAtUs = this.#agenda.nowUs;
    this.#transitionsSince = 0;
  }

  holdingChanged(director: SimDirector): void {
    const nowUs = this.#agenda.nowUs;
    const watched = this.#of(director);
    const serves = serving(director);
    if (serves && watched.holdingSinceUs === Number.POSITIVE_INFINITY) {
      this.#checkVacancy();
      this.#vacantSinceUs = Number.POSITIVE_INFINITY;
      watched.holdingSinceUs = nowUs;
    } else if (!serves && watched.holdingSinceUs !== Number.POSITIVE_INFINITY) {
      this.#checkOverlaps();
      watched.holdingSinceUs = Number.POSITIVE_INFINITY;
      if (!this.#directors.some(serving)) this.#vacantSinceUs = nowUs;
    }
  }

  reached(director: SimDirector, packet: SimPacket): void {
    if (packet.corrupted || packet.priority === 0) return;
    this.#of(director).reachedAtUs[packet.from] = this.#agenda.nowUs;
  }

  accepted(director: SimDirector, packet: SimPacket): void {
    this.#of(director).lastAccepted = packet;
    if (packet.corrupted) {
      this.#violate('corruption-refused', `${director.name} took a corrupted advertisement`);
    }
  }

  stepped(director: SimDirector, observed: ObservedStep): void {
    const { event, before, effects } = observed;
    const watched = this.#of(director);
    const change = effects.find((effect) => effect.kind === 'report-transition');
    if (effects.some((effect) => effect.kind === 'send-advert' && !effect.resign)) {
      this.#checkGrid(director, event.kind === 'deadline-reached' && before.kind === 'active');
    }
    if (effects.some((effect) => effect.kind === 'announce')) watched.bursts++;
    if (change === undefined) {
      if (event.kind === 'advert-received' && before.kind === 'active') this.#checkBursts(director);
      return;
    }
    this.#log(`${director.name}  ${change.from} -> ${change.to}: ${change.reason}`);
    this.transitions++;
    this.#transitionsSince++;
    this.#checkTransition(director, change.reason);
    if (change.to === 'backup') {
      // What waited during a stall counts as listened to, even if a fault ended only after it.
      watched.backupSinceUs = Math.min(event.atUs, watched.wakingSinceUs);
    }
    if (change.to === 'active') {
      this.#checkTakeover(director, effects, change.reason);
      watched.bursts = 1;
      watched.activeSinceUs = director.localNowUs;
      watched.stalledWhileActive = false;
      this.takeovers++;
    } else if (change.from === 'active' && event.kind === 'advert-received') {
      this.#checkYield(director, observed);
    }
  }

  started(director: SimDirector, recordedAtUs: number, atUs: number): void {
    const safe = atUs - recordedAtUs < specifiedSilenceUs(this.#cluster);
    const active = director.state.kind === 'active';
    if (active === safe || director.options.priority === 255) return;
    const silenceUs = atUs - recordedAtUs;
    const did = active ? 'went on as active' : 'gave the VIP up';
    this.#violate('adoption-is-safe', `${director.name} ${did} after ${silenceUs} us of silence`);
  }

  turnEnded(director: SimDirector): void {
    const active = director.state.kind === 'active';
    if (active === director.holding) return;
    const has = director.holding ? 'has' : 'lacks';
    this.#violate(
      'addresses-follow-state',
      `${director.name} is ${director.state.kind} and ${has} the VIP`,
    );
  }

  waking(director: SimDirector): void {
    const watched = this.#of(director);
    const { state } = director;
    watched.wakingSinceUs = watched.stalledAtUs;
    watched.mustNotHold = null;
    if (state.kind === 'active' && this.#peerTookOver(director, state.lastAdvertAtUs)) {
      watched.mustNotHold = 'woken-yields';
    } else if (state.kind === 'backup' && this.#hearsHolder(director, true)) {
      watched.mustNotHold = queueHides(director) ? null : 'woken-waits';
    }
  }

  /** What waits in a stalled active's socket says that a peer is active, rightfully and still. */
  #peerTookOver(director: SimDirector, lastAdvertAtUs: number): boolean {
    const { advertIntervalUs } = this.#cluster;
    const { priority } = director.options;
    const valid = director.queue.filter(({ packet }) => !packet.corrupted);
    if (valid.some(({ packet }) => packet.priority === 0)) return false;
    const safeUs = specifiedSilenceUs(this.#cluster);
    const rightful = valid.filter(({ atUs }) => atUs - lastAdvertAtUs > safeUs);
    if (rightful.length === 0 || !this.#hearsHolder(director, false)) return false;
    // Had it been backup since one of them, it might preempt just now.
    const downUs = specifiedDownUs(this.#cluster, priority);
    const mayPreemptNow = rightful.some(({ atUs }) => {
      const lateUs = director.localNowUs - atUs - downUs;
      return lateUs >= 0 && lateUs <= advertIntervalUs;
    });
    return !mayPreemptNow || (this.#hearsHolder(director, true) && !queueHides(director));
  }

  woke(director: SimDirector): void {
    const watched = this.#of(director);
    const { mustNotHold } = watched;
    watched.wakingSinceUs = Number.POSITIVE_INFINITY;
    if (mustNotHold === null || !director.holding) return;
    // A priority that it was given during the stall may allow it to preempt by now.
    if (mustNotHold === 'woken-waits' && !this.#hearsHolder(director, true)) return;
    this.#violate(
      mustNotHold,
      `${director.name} holds the VIP after a stall, and so does its peer`,
    );
  }

  /** The run has made more events than any honest one. */
  stormed(events: number): void {
    this.#violate('no-advert-storm', `${events} events`);
  }

  // --- What is looked at again and again ----------------------------------------------------

  /** Looks at the world as it is; `sinceUs` is when it was looked at before. */
  inspect(sinceUs: number): void {
    this.#checkVacancy();
    this.#checkOverlaps();
    for (const director of this.#directors) this.#checkRepeated(director);
    const limit = TRANSITIONS_PER_DIRECTOR * this.#directors.length;
    if (this.#stormy()) this.#transitionsSince = 0;
    if (this.#transitionsSince > limit) {
      this.#violate('no-flapping', `${this.#transitionsSince} transitions since the last fault`);
    }
    if (!this.#restsFor(this.#restSinceUs())) return;
    this.restUs += this.#agenda.nowUs - sinceUs;
    this.#checkOneActive();
  }

  #checkOneActive(): void {
    const holders = this.#directors.filter(serving);
    const candidates = this.#directors.filter(eligible);
    if (candidates.length === 0 && holders.length === 0) return;
    const [holder] = holders;
    if (holders.length !== 1 || holder === undefined || !eligible(holder)) {
      const names = holders.map(({ name }) => name).join(' and ') || 'nobody';
      this.#violate('one-active', `${names} hold the VIP in a LAN at rest`);
      return;
    }
    const better = candidates.find((candidate) => mayPreempt(candidate, holder));
    if (better !== undefined) {
      this.#violate(
        'one-active',
        `${holder.name} holds the VIP, and ${better.name} may preempt it`,
      );
    }
  }

  #checkVacancy(): void {
    const nowUs = this.#agenda.nowUs;
    if (this.#vacantSinceUs === Number.POSITIVE_INFINITY) return;
    const candidates = this.#directors.filter(eligible);
    if (candidates.length === 0) return;
    const sinceUs = Math.max(this.#vacantSinceUs, this.#settledSinceUs());
    const vacancyUs = nowUs - sinceUs;
    this.vacancyMaxUs = Math.max(this.vacancyMaxUs, vacancyUs);
    const { version, advertIntervalUs, lan } = this.#cluster;
    const resigned = this.#restAtDeparture && this.#resignedAtDeparture && lan.lossRunMax === 0;
    const waits = candidates.map(({ options: { priority } }) =>
      resigned
        ? specifiedSkewUs({ version, priority }, advertIntervalUs)
        : specifiedDownUs(this.#cluster, priority),
    );
    // At rest all backups heard the same last advert, so the first of them is in time.
    const waitUs = this.#restAtDeparture ? Math.min(...waits) : Math.max(...waits);
    const limitUs = waitUs + driftUs(waitUs) + 2 * this.limits.hopUs;
    if (vacancyUs > limitUs) {
      this.#violate('takeover-in-time', `nobody held the VIP for ${vacancyUs} us (${limitUs})`);
    }
  }

  #checkOverlaps(): void {
    const nowUs = this.#agenda.nowUs;
    const holders = this.#directors.filter(serving);
    if (holders.length < 2) return;
    for (const [place, left] of holders.entries()) {
      for (const right of holders.slice(place + 1)) {
        const sinceUs = Math.max(
          this.#of(left).holdingSinceUs,
          this.#of(right).holdingSinceUs,
          this.#pairDisturbedUs(left, right),
        );
        const overlapUs = nowUs - sinceUs;
        this.overlapMaxUs = Math.max(this.overlapMaxUs, overlapUs);
        if (overlapUs <= this.limits.overlapMaxUs) continue;
        const names = `${left.name} and ${right.name}`;
        this.#violate(
          'overlap-ends',
          `${names} both held the VIP for ${overlapUs} us (${this.limits.overlapMaxUs})`,
        );
      }
    }
  }

  #checkRepeated(director: SimDirector): void {
    const watched = this.#of(director);
    const { delayUs } = this.#cluster.announce;
    if (director.state.kind !== 'active' || watched.stalledWhileActive || delayUs === 0) return;
    const activeUs = director.localNowUs - watched.activeSinceUs;
    if (director.running && watched.bursts < 2 && activeUs > delayUs + 2 * this.limits.hopUs) {
      this.#violate('announced-again', `${director.name} announced once in ${activeUs} us`);
    }
  }

  // --- What is looked at when it happens ----------------------------------------------------

  #checkTransition(director: SimDirector, reason: TransitionReason): void {
    // To be stopped is the fault itself.
    if (reason === 'stopped' || !this.#restsFor(this.#restSinceUs())) return;
    this.#violate('rest-is-stable', `${director.name} changed (${reason}) in a LAN at rest`);
  }

  #checkTakeover(
    director: SimDirector,
    effects: readonly VrrpEffect[],
    reason: TransitionReason,
  ): void {
    const order = effects.slice(0, 3).map((effect) => effect.kind);
    if (order.join() !== 'send-advert,add-addresses,announce') {
      this.#violate('takeover-order', `${director.name} did ${order.join(', ')}`);
    }
    const listenedUs = director.localNowUs - this.#of(director).backupSinceUs;
    if (reason === 'preempted' && listenedUs < director.options.preemptDelayUs) {
      this.#violate('preempt-delay', `${director.name} preempted after ${listenedUs} us`);
    }
    const others = this.#directors.filter((other) => other !== director && serving(other));
    const rival = others.find((other) => !mayPreempt(director, other));
    if (rival === undefined) return;
    const names = `${director.name} took over (${reason}) from ${rival.name}`;
    const undisturbedUs = this.#agenda.nowUs - this.#pairDisturbedUs(director, rival);
    const heldUs = this.#agenda.nowUs - this.#of(rival).holdingSinceUs;
    const { activeDownMaxUs } = this.limits;
    const longUs = activeDownMaxUs + this.limits.overlapMaxUs;
    // Whoever resigns need not be the only active one, and may be heard after the other's answer:
    // RFC 9568 section 6.4.2 shortens the wait all the same.
    const heard = undisturbedUs > longUs && heldUs > longUs && reason !== 'peer-resigned';
    if (heard) {
      this.#violate('no-usurping', `${names}, which it has heard`);
    }
    const clean = this.#restAtDeparture && this.#cluster.lan.lossRunMax === 0;
    const priorities = this.#directors.filter(eligible).map((one) => one.options.priority);
    if (clean && undisturbedUs > longUs && skewsApart(this.#cluster, priorities)) {
      this.#violate('clean-takeover', `${names}, which had already`);
    }
  }

  #checkYield(director: SimDirector, { event, before }: ObservedStep): void {
    const peer = this.#of(director).lastAccepted;
    if (peer === null || before.kind !== 'active') return;
    const own = director.options.priority;
    const higher = peer.priority > own;
    const tie = peer.priority === own && compareIp(peer.source, director.source) > 0;
    const silenceUs = event.atUs - before.lastAdvertAtUs;
    if (higher || tie || silenceUs > specifiedSilenceUs(this.#cluster)) return;
    this.#violate('yields-rightly', `${director.name} (${own}) gave way to ${peer.priority}`);
  }

  #checkBursts(director: SimDirector): void {
    const { delayUs, refreshUs, lowerPriorityDelayUs } = this.#cluster.announce;
    if (lowerPriorityDelayUs === 0) return;
    const watched = this.#of(director);
    const activeUs = director.localNowUs - watched.activeSinceUs;
    const planned = 1 + (delayUs > 0 ? 1 : 0) + (refreshUs > 0 ? activeUs / refreshUs : 0);
    const limit = Math.floor(planned) + Math.floor(activeUs / lowerPriorityDelayUs);
    if (watched.bursts > limit) {
      this.#violate('announcements-bounded', `${director.name}: ${watched.bursts} bursts`);
    }
  }

  #checkGrid(director: SimDirector, onGrid: boolean): void {
    const watched = this.#of(director);
    const nowUs = director.localNowUs;
    const { advertIntervalUs, timerLateUs } = this.#cluster;
    const lateUs = nowUs - watched.gridAtUs - ++watched.gridAdverts * advertIntervalUs;
    if (!onGrid || watched.stalledWhileActive) {
      watched.gridAtUs = nowUs;
      watched.gridAdverts = 0;
      watched.stalledWhileActive = director.stalled;
    } else if (lateUs > 2 * timerLateUs + driftUs(timerLateUs)) {
      // Twice, because a clock that changes its rate makes the timer be set anew.
      this.#violate('adverts-on-time', `${director.name} advertised ${lateUs} us off its grid`);
    }
  }

  // --- What the world is like ---------------------------------------------------------------

  #of(director: SimDirector): Watched {
    return this.#watched[director.index] as Watched;
  }

  #stormy(): boolean {
    return this.#linksDisturbedUs() >= this.#agenda.nowUs;
  }

  #linksDisturbedUs(): number {
    let latestUs = 0;
    const lan = this.#lan as Lan;
    for (const from of this.#directors) {
      for (const to of this.#directors) {
        latestUs = Math.max(latestUs, lan.disturbedUntilUs(from.index, to.index));
      }
    }
    return latestUs;
  }

  /** When something last was wrong that is not a departure; now, while something is. */
  #settledSinceUs(): number {
    const nowUs = this.#agenda.nowUs;
    const odd = this.#directors.some((one) => one.stalled || (one.holding && !one.running));
    return odd ? nowUs : Math.max(this.#unsettledAtUs, this.#linksDisturbedUs());
  }

  #restSinceUs(): number {
    return Math.max(this.#settledSinceUs(), this.#disturbedAtUs);
  }

  #restsFor(sinceUs: number): boolean {
    const priorities = this.#directors.map((director) => director.options.priority);
    if (!isMild(this.#cluster, this.#cluster.lan, Math.max(...priorities))) return false;
    return this.#agenda.nowUs - sinceUs > this.limits.settleUs;
  }

  /** When these two, or the way between them, last were disturbed. */
  #pairDisturbedUs(left: SimDirector, right: SimDirector): number {
    if (left.stalled || right.stalled || !left.running || !right.running) return this.#agenda.nowUs;
    const lan = this.#lan as Lan;
    return Math.max(
      this.#of(left).disturbedAtUs,
      this.#of(right).disturbedAtUs,
      lan.disturbedUntilUs(left.index, right.index),
      lan.disturbedUntilUs(right.index, left.index),
    );
  }

  /** A director that holds the VIP, and that this one may not preempt, was heard lately. */
  #hearsHolder(director: SimDirector, respectPreemption: boolean): boolean {
    const { reachedAtUs } = this.#of(director);
    const recentUs = this.#agenda.nowUs - specifiedSilenceUs(this.#cluster) / 2;
    return this.#directors.some(
      (other) =>
        other !== director &&
        serving(other) &&
        eligible(other) &&
        (reachedAtUs[other.index] as number) > recentUs &&
        !(respectPreemption && mayPreempt(director, other)),
    );
  }

  #violate(invariant: Invariant, message: string): void {
    if (this.violations.length >= VIOLATIONS_MAX) return;
    this.#log(`*  VIOLATION ${invariant}: ${message}`);
    this.violations.push({ invariant, atUs: this.#agenda.nowUs, message });
  }
}

/** Clients of its LAN reach the VIP there, whatever the keeper does. */
function serving(director: SimDirector): boolean {
  return director.holding && director.linkUp;
}

/**
 * What waits is more than its socket or one turn can take. The machine listens once more when it
 * is late by an interval; within that interval it cannot know what it has not read.
 */
function queueHides(director: SimDirector): boolean {
  const { receiveQueueMax, drainPacketsMax } = director.options;
  return director.queue.length >= Math.min(receiveQueueMax, drainPacketsMax);
}

/** Able to be active: it runs, and takes part in the election. */
function eligible(director: SimDirector): boolean {
  const { kind } = director.state;
  const takesPart = kind === 'backup' || kind === 'active';
  return director.running && !director.stalled && director.linkUp && takesPart;
}

/** RFC 9568 section 6.1: the address owner always preempts. */
function mayPreempt(director: SimDirector, holder: SimDirector): boolean {
  const { preempt, priority } = director.options;
  return (preempt || priority === 255) && priority > holder.options.priority;
}

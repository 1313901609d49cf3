/**
 * The judge of one virtual router: sees everything that happens to it, which no director can, and
 * holds it against named invariants. It knows the faults, so it knows what the protocol can
 * promise: VRRP has no quorum, so directors that cannot hear one another are all active, and two
 * that can are for as long as an advertisement takes. An invariant says so where it applies;
 * everything beyond is a violation.
 *
 * A disturbance is a fault's beginning or end at a director or a link. A departure (power loss, a
 * crash, a stop) is one too, but the directors that stay need no time to recover from it.
 */

import type { VrrpConfig } from '../config/config.ts';
import { compareIp } from '../ip.ts';
import type { TransitionReason, VrrpEffect } from '../vrrp/types.ts';
import type { Agenda } from './agenda.ts';
import { Conduct } from './conduct.ts';
import type { Departure } from './director.ts';
import type { Invariant } from './invariants.ts';
import type { SimPacket } from './lan.ts';
import {
  driftUs,
  isMild,
  type Limits,
  limitsOf,
  overlapMaxUs,
  skewsApart,
  specifiedDownUs,
  specifiedSilenceUs,
  specifiedSkewUs,
  type Weather,
} from './limits.ts';
import type { ObservedStep, Recorded, SimRunner } from './runner.ts';

export interface Violation {
  readonly invariant: Invariant;
  /** Name of the virtual router. */
  readonly router: string;
  readonly atUs: number;
  readonly message: string;
}

/** Transitions per director that one disturbance may cause: there, back, and each once more. */
const TRANSITIONS_PER_DIRECTOR = 4;

interface Watched {
  readonly conduct: Conduct | null;
  /** Of the director itself: a start, a stall, a new priority, its link. */
  disturbedAtUs: number;
  holdingSinceUs: number;
  /** Since it entered backup, by its own clock. */
  backupSinceUs: number;
  /** When it last heard a resignation. */
  resignationAtUs: number;
  /** When a peer's last advertisement that claims the VIP reached the machine. */
  readonly reachedAtUs: number[];
  bursts: number;
  activeSinceUs: number;
  /** By the world's clock, when that was of its own accord, whatever its group. */
  tookOverAtUs: number;
  /** And because it owns the addresses. */
  isOwner: boolean;
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

/** The virtual router that is judged, and its world. */
export interface Judged {
  readonly name: string;
  readonly weather: Weather;
  /** Every configuration of it, and of the members of its groups, at any director and time. */
  readonly configs: readonly VrrpConfig[];
  /** One for each director that ever has it. */
  readonly runners: readonly SimRunner[];
  /** How many directors there are. */
  readonly directors: number;
  /**
   * When the way from one director to another last was anything but mild, on any LAN that the
   * router or its group needs; now, while it is.
   */
  disturbedUntilUs(from: number, to: number): number;
  /** The same of any two. */
  anyDisturbedUntilUs(): number;
  /** Whether what one director signs now is authentic and in time to another. */
  believes(from: number, to: number): boolean;
  violated(violation: Violation): void;
}

export class Judge {
  readonly limits: Limits;
  transitions = 0;
  takeovers = 0;
  overlapMaxUs = 0;
  vacancyMaxUs = 0;
  /** Time at rest: what the strongest invariants were checked on. */
  restUs = 0;
  readonly #judged: Judged;
  readonly #weather: Weather;
  readonly #agenda: Agenda;
  readonly #log: (text: string) => void;
  readonly #runners: readonly SimRunner[];
  /** By the director's place. */
  readonly #watched: readonly Watched[];
  readonly #grouped: boolean;
  /** Of anything, departures included. */
  #disturbedAtUs = 0;
  /** Of anything but departures. */
  #unsettledAtUs = 0;
  #transitionsSince = 0;
  #vacantSinceUs = 0;
  /** The LAN was at rest when the active left, and whether it said so. */
  #restAtDeparture = false;
  #resignedAtDeparture = false;

  constructor(judged: Judged, agenda: Agenda, log: (text: string) => void) {
    this.#judged = judged;
    this.#weather = judged.weather;
    this.#agenda = agenda;
    this.#log = log;
    this.#runners = judged.runners;
    this.#grouped = judged.configs.some(({ group }) => group !== null);
    this.limits = limitsOf(judged.weather, judged.configs);
    const places = Array.from({ length: judged.directors }, (_, place) => place);
    this.#watched = places.map((place) => ({
      conduct: this.#conductOf(place),
      disturbedAtUs: 0,
      holdingSinceUs: Number.POSITIVE_INFINITY,
      backupSinceUs: 0,
      resignationAtUs: Number.NEGATIVE_INFINITY,
      reachedAtUs: places.map(() => Number.NEGATIVE_INFINITY),
      bursts: 0,
      activeSinceUs: 0,
      tookOverAtUs: -1,
      isOwner: false,
      gridAtUs: 0,
      gridAdverts: 0,
      stalledWhileActive: false,
      wakingSinceUs: Number.POSITIVE_INFINITY,
      stalledAtUs: 0,
      mustNotHold: null,
    }));
  }

  // --- What happens -------------------------------------------------------------------------

  /** The next thing that this instance does may come from a fault. */
  disturbed(runner: SimRunner): void {
    const watched = this.#of(runner);
    watched.disturbedAtUs = this.#agenda.nowUs;
    // A changed interval begins a new grid, as a stall does.
    watched.stalledWhileActive = true;
    if (runner.host.stalled) watched.stalledAtUs = runner.host.localNowUs;
    this.lanDisturbed();
  }

  /** A fault of the LAN begins or ends. */
  lanDisturbed(): void {
    this.#disturbedAtUs = this.#agenda.nowUs;
    this.#unsettledAtUs = this.#agenda.nowUs;
    this.#transitionsSince = 0;
    this.#restAtDeparture = false;
  }

  /** It leaves for good, so far. */
  departed(runner: SimRunner, what: Departure): void {
    this.#restAtDeparture = this.#restsFor(this.#settledSinceUs());
    this.#resignedAtDeparture = (what === 'stop' || what === 'handover') && runner.holding;
    const watched = this.#of(runner);
    watched.wakingSinceUs = Number.POSITIVE_INFINITY;
    watched.stalledWhileActive = true;
    // Commands that waited during a stall are obeyed before what waits in the socket is read.
    watched.mustNotHold = null;
    // A dead keeper's VIP stays for a while: the others are not alone.
    if (what === 'crash') this.#unsettledAtUs = this.#agenda.nowUs;
    watched.disturbedAtUs = this.#agenda.nowUs;
    this.#disturbedAtUs = this.#agenda.nowUs;
    this.#transitionsSince = 0;
  }

  holdingChanged(runner: SimRunner): void {
    const nowUs = this.#agenda.nowUs;
    const watched = this.#of(runner);
    const serves = runner.serving;
    if (serves && watched.holdingSinceUs === Number.POSITIVE_INFINITY) {
      this.#checkVacancy();
      this.#vacantSinceUs = Number.POSITIVE_INFINITY;
      watched.holdingSinceUs = nowUs;
    } else if (!serves && watched.holdingSinceUs !== Number.POSITIVE_INFINITY) {
      this.#checkOverlaps();
      watched.holdingSinceUs = Number.POSITIVE_INFINITY;
      if (this.#runners.some(serving)) return;
      this.#vacantSinceUs = nowUs;
      this.#checkHandover(runner);
    }
  }

  /** An advertisement of a peer reached the machine. */
  reached(runner: SimRunner, packet: SimPacket): void {
    if (packet.corrupted || packet.priority === 0 || !this.#believes(packet.from, runner)) return;
    this.#of(runner).reachedAtUs[packet.from] = this.#agenda.nowUs;
  }

  accepted(runner: SimRunner, packet: SimPacket): void {
    this.#of(runner).conduct?.accepted(packet);
    if (packet.priority === 0) this.#of(runner).resignationAtUs = this.#agenda.nowUs;
    if (packet.corrupted) {
      this.#violate('corruption-refused', `${runner.label} took a corrupted advertisement`);
    }
  }

  stepped(runner: SimRunner, observed: ObservedStep): void {
    const { event, before, effects } = observed;
    const watched = this.#of(runner);
    watched.conduct?.stepped(observed);
    const change = effects.find((effect) => effect.kind === 'report-transition');
    if (effects.some((effect) => effect.kind === 'send-advert' && !effect.resign)) {
      this.#checkGrid(runner, event.kind === 'deadline-reached' && before.kind === 'active');
    }
    if (effects.some((effect) => effect.kind === 'announce')) watched.bursts++;
    if (before.kind === 'resigning' && runner.state.kind === 'active') {
      // Nobody took over: it goes on as if it had just become active.
      watched.bursts = 1;
      watched.activeSinceUs = runner.host.localNowUs;
    }
    if (change === undefined) {
      if (event.kind === 'advert-received' && before.kind === 'active') this.#checkBursts(runner);
      return;
    }
    this.#log(`${runner.label}  ${change.from} -> ${change.to}: ${change.reason}`);
    this.transitions++;
    this.#transitionsSince++;
    this.#checkTransition(runner, change.reason);
    if (change.to === 'backup') {
      // What waited during a stall counts as listened to, even if a fault ended only after it.
      watched.backupSinceUs = Math.min(event.atUs, watched.wakingSinceUs);
    }
    if (change.to === 'active') {
      this.#checkTakeover(runner, effects, change.reason);
      watched.bursts = 1;
      watched.activeSinceUs = runner.host.localNowUs;
      // What one member may go on with, another may have to give up: its resignation tells peers.
      const alone = event.kind !== 'group-activated' && event.kind !== 'adopted';
      watched.tookOverAtUs = alone ? this.#agenda.nowUs : -1;
      watched.isOwner = change.reason === 'address-owner';
      watched.stalledWhileActive = false;
      this.takeovers++;
    } else if (change.reason === 'group-yielded' && watched.tookOverAtUs === this.#agenda.nowUs) {
      this.#violate('group-agrees', `${runner.label} became active without its group`);
    }
  }

  adopted(runner: SimRunner, { silenceUs, intervalUs, adverts }: Recorded): void {
    const { options, state } = runner;
    // Peers wait for as many as were recorded; a changed configuration may make them wait for less.
    const downTimerAdverts = Math.min(adverts, options.downTimerAdverts);
    const safe = silenceUs < specifiedSilenceUs({ downTimerAdverts }, intervalUs);
    const active = state.kind === 'active';
    // An owner is active either way, unless its startup delay keeps it from beginning anew.
    const owns = options.priority === 255 && runner.host.localNowUs >= (options.startsAtUs ?? 0);
    if (active === (safe || owns)) return;
    const did = active ? 'went on as active' : 'gave the VIP up';
    this.#violate('adoption-is-safe', `${runner.label} ${did} after ${silenceUs} us of silence`);
  }

  turnEnded(runner: SimRunner): void {
    const { kind } = runner.state;
    const active = kind === 'active' || kind === 'resigning';
    if (runner.running && !runner.host.stopping && kind === 'initialize') {
      this.#violate('takes-part', `${runner.label} runs and takes no part`);
    }
    if (active !== runner.holding && !runner.stolen) {
      const has = runner.holding ? 'has' : 'lacks';
      this.#violate('addresses-follow-state', `${runner.label} is ${kind} and ${has} the VIP`);
    }
  }

  /** The members of a sync group of one director, after a turn: this is one of them. */
  groupTurnEnded(runner: SimRunner, active: number, members: number): void {
    if (active === 0 || active === members) return;
    const { group } = runner.options;
    this.#violate(
      'group-agrees',
      `${active} of ${members} members of ${group} are active at ${runner.host.name}`,
    );
  }

  waking(runner: SimRunner): void {
    const watched = this.#of(runner);
    const { state } = runner;
    watched.wakingSinceUs = watched.stalledAtUs;
    watched.mustNotHold = null;
    if (!this.limits.uniform) return;
    if (state.kind === 'active' && this.#peerTookOver(runner, state.lastAdvertAtUs)) {
      watched.mustNotHold = 'woken-yields';
    } else if (state.kind === 'backup' && this.#hearsHolder(runner, true)) {
      watched.mustNotHold = queueHides(runner) ? null : 'woken-waits';
    }
  }

  /** What waits in a stalled active's socket says that a peer is active, rightfully and still. */
  #peerTookOver(runner: SimRunner, lastAdvertAtUs: number): boolean {
    const { options } = runner;
    const valid = queueOf(runner).filter(
      ({ packet }) => !packet.corrupted && this.#believes(packet.from, runner),
    );
    if (valid.some(({ packet }) => packet.priority === 0)) return false;
    const safeUs = specifiedSilenceUs(options, options.advertIntervalUs);
    const rightful = valid.filter(({ atUs }) => atUs - lastAdvertAtUs > safeUs);
    if (rightful.length === 0 || !this.#hearsHolder(runner, false)) return false;
    // Had it been backup since one of them, it might preempt just now.
    const downUs = specifiedDownUs(options, options.advertIntervalUs);
    const mayPreemptNow = rightful.some(({ atUs }) => {
      const lateUs = runner.host.localNowUs - atUs - downUs;
      return lateUs >= 0 && lateUs <= options.advertIntervalUs;
    });
    return !mayPreemptNow || (this.#hearsHolder(runner, true) && !queueHides(runner));
  }

  woke(runner: SimRunner): void {
    const watched = this.#of(runner);
    const { mustNotHold } = watched;
    watched.wakingSinceUs = Number.POSITIVE_INFINITY;
    watched.conduct?.woke();
    if (mustNotHold === null || !runner.holding) return;
    // A priority that it was given during the stall may allow it to preempt by now.
    if (mustNotHold === 'woken-waits' && !this.#hearsHolder(runner, true)) return;
    // It gave way, and a reload that waited during the stall told it that it is the owner.
    const preempts = watched.tookOverAtUs === this.#agenda.nowUs && watched.isOwner;
    if (mustNotHold === 'woken-yields' && preempts) return;
    this.#violate(mustNotHold, `${runner.label} holds the VIP after a stall, and so does its peer`);
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
    for (const runner of this.#runners) {
      this.#checkRepeated(runner);
      this.#checkFaults(runner);
      this.#of(runner).conduct?.inspect();
    }
    const limit = TRANSITIONS_PER_DIRECTOR * this.#runners.length;
    if (this.#stormy() || this.#contradict()) this.#transitionsSince = 0;
    if (this.#transitionsSince > limit) {
      this.#violate('no-flapping', `${this.#transitionsSince} transitions since the last fault`);
    }
    if (!this.#restsFor(this.#restSinceUs())) return;
    this.restUs += this.#agenda.nowUs - sinceUs;
    this.#checkOneActive();
  }

  #checkOneActive(): void {
    const holders = this.#runners.filter(serving);
    const candidates = this.#runners.filter(eligible);
    if (candidates.length === 0 && holders.length === 0) return;
    const [holder] = holders;
    if (holders.length !== 1 || holder === undefined || !eligible(holder)) {
      const names = holders.map(({ label }) => label).join(' and ') || 'nobody';
      this.#violate('one-active', `${names} hold the VIP in a LAN at rest`);
      return;
    }
    const better = candidates.find((candidate) => mayPreempt(candidate, holder));
    if (better !== undefined) {
      this.#violate(
        'one-active',
        `${holder.label} holds the VIP, and ${better.label} may preempt it`,
      );
    }
  }

  #checkVacancy(): void {
    const nowUs = this.#agenda.nowUs;
    if (this.#vacantSinceUs === Number.POSITIVE_INFINITY) return;
    const candidates = this.#runners.filter(eligible);
    if (candidates.length === 0) return;
    const sinceUs = Math.max(this.#vacantSinceUs, this.#settledSinceUs());
    const vacancyUs = nowUs - sinceUs;
    this.vacancyMaxUs = Math.max(this.vacancyMaxUs, vacancyUs);
    const { intervalUs } = this.limits;
    const lossless = this.#weather.lan.lossRunMax === 0;
    const resigned = this.#restAtDeparture && this.#resignedAtDeparture && lossless;
    const waits = this.#waiting(candidates).map((options) =>
      resigned ? specifiedSkewUs(options, intervalUs) : specifiedDownUs(options, intervalUs),
    );
    // At rest all backups heard the same last advert, so the first of them is in time.
    const first = this.#restAtDeparture && this.limits.uniform && !this.#grouped;
    const waitUs = first ? Math.min(...waits) : Math.max(...waits);
    const limitUs = waitUs + driftUs(waitUs) + 2 * this.limits.hopUs;
    if (vacancyUs > limitUs) {
      this.#violate(
        'takeover-in-time',
        `nobody held the VIP for ${vacancyUs} us, allowed are ${limitUs}`,
      );
    }
  }

  #checkOverlaps(): void {
    const nowUs = this.#agenda.nowUs;
    const holders = this.#runners.filter(serving);
    if (holders.length < 2) return;
    for (const [place, left] of holders.entries()) {
      for (const right of holders.slice(place + 1)) {
        const [winner, loser] = loses(left, right) ? [right, left] : [left, right];
        const sinceUs = Math.max(
          this.#of(left).holdingSinceUs,
          this.#of(right).holdingSinceUs,
          this.#disturbedUs(winner, loser),
        );
        const overlapUs = nowUs - sinceUs;
        this.overlapMaxUs = Math.max(this.overlapMaxUs, overlapUs);
        // Of two that resign neither hears a successor: each lets go when its time is over.
        const limitUs =
          winner.state.kind === 'resigning'
            ? this.limits.releaseMaxUs
            : overlapMaxUs(this.#weather, winner.options.advertIntervalUs);
        if (overlapUs <= limitUs) continue;
        const names = `${left.label} and ${right.label}`;
        this.#violate(
          'overlap-ends',
          `${names} both held the VIP for ${overlapUs} us, allowed are ${limitUs}`,
        );
      }
    }
  }

  /** Link and trackers, by keepalived's rules restated, as long after a change as a notice takes. */
  #checkFaults(runner: SimRunner): void {
    const { host, instance, options, state } = runner;
    const quietUs = this.#agenda.nowUs - this.#of(runner).disturbedAtUs;
    const takesPart = state.kind === 'backup' || state.kind === 'active';
    if (!runner.running || host.stalled || !takesPart || quietUs <= 2 * this.limits.hopUs) return;
    let priority = instance.config.priority;
    let faulty = !runner.linkUp && options.trackInterface;
    for (const { tracker, weight, reverse } of options.track) {
      const up = (host.tracker(tracker)?.up ?? true) !== reverse;
      if (weight === 0) faulty ||= !up;
      else if (weight > 0 === up) priority += weight;
    }
    if (faulty)
      this.#violate('faults-count', `${runner.label} is ${state.kind} in spite of a fault`);
    const expected = instance.config.priority === 255 ? 255 : Math.min(254, Math.max(1, priority));
    if (expected === options.priority) return;
    this.#violate(
      'faults-count',
      `${runner.label} has priority ${options.priority}, not ${expected}`,
    );
  }

  /** Nobody has the VIP any more, and this was the last. */
  #checkHandover(runner: SimRunner): void {
    // It is over for this state as soon as the machine has let go.
    if (!this.#restAtDeparture || !this.#resignedAtDeparture || !this.limits.handsOverInTime)
      return;
    const lossless = this.#weather.lan.lossRunMax === 0;
    const quiet = this.#agenda.nowUs - this.#of(runner).disturbedAtUs < this.limits.settleUs;
    const lost = runner.stolen || !runner.linkUp || runner.host.frozen;
    if (!lossless || !quiet || lost) return;
    const successor = this.#runners.find(eligible);
    if (successor === undefined) return;
    this.#violate(
      'handover-without-gap',
      `${runner.label} let the VIP go before ${successor.label} had it`,
    );
  }

  #checkRepeated(runner: SimRunner): void {
    const watched = this.#of(runner);
    const { delayUs } = runner.options.announce;
    if (runner.state.kind !== 'active' || watched.stalledWhileActive || delayUs === 0) return;
    const activeUs = runner.host.localNowUs - watched.activeSinceUs;
    if (runner.running && watched.bursts < 2 && activeUs > delayUs + 2 * this.limits.hopUs) {
      this.#violate('announced-again', `${runner.label} announced once in ${activeUs} us`);
    }
  }

  // --- What is looked at when it happens ----------------------------------------------------

  #checkTransition(runner: SimRunner, reason: TransitionReason): void {
    // To be stopped is the fault itself.
    if (reason === 'stopped' || !this.#restsFor(this.#restSinceUs())) return;
    this.#violate('rest-is-stable', `${runner.label} changed (${reason}) in a LAN at rest`);
  }

  #checkTakeover(
    runner: SimRunner,
    effects: readonly VrrpEffect[],
    reason: TransitionReason,
  ): void {
    const order = effects.slice(0, 3).map((effect) => effect.kind);
    if (order.join() !== 'send-advert,add-addresses,announce') {
      this.#violate('takeover-order', `${runner.label} did ${order.join(', ')}`);
    }
    if (reason === 'preempted' && this.#of(runner).conduct?.heldBack === true) {
      this.#violate('held-back', `${runner.label} preempted although it was handed over`);
    }
    const listenedUs = runner.host.localNowUs - this.#of(runner).backupSinceUs;
    if (reason === 'preempted' && listenedUs < runner.options.preemptDelayUs) {
      this.#violate('preempt-delay', `${runner.label} preempted after ${listenedUs} us`);
    }
    // Whoever hands over keeps the VIP until it hears this.
    const others = this.#runners.filter(
      (other) => other !== runner && other.serving && other.state.kind !== 'resigning',
    );
    const rival = others.find((other) => !mayPreempt(runner, other));
    if (rival === undefined) return;
    const names = `${runner.label} took over (${reason}) from ${rival.label}`;
    const undisturbedUs = this.#agenda.nowUs - this.#disturbedUs(rival, runner);
    const heldUs = this.#agenda.nowUs - this.#of(rival).holdingSinceUs;
    const { activeDownMaxUs } = this.limits;
    const longUs = activeDownMaxUs + this.limits.overlapMaxUs;
    // Whoever resigns need not be the only active one, and may be heard after the other's answer:
    // RFC 9568 section 6.4.2 shortens the wait all the same.
    const toldUs = this.#agenda.nowUs - this.#of(runner).resignationAtUs;
    const heard = undisturbedUs > longUs && heldUs > longUs && toldUs > longUs;
    // With several intervals, a third director's advertisement may have shortened the wait.
    if (heard && this.limits.uniform) {
      this.#violate('no-usurping', `${names}, which it has heard`);
    }
    const lossless = this.#weather.lan.lossRunMax === 0;
    const clean = this.#restAtDeparture && lossless && this.limits.uniform && !this.#grouped;
    const candidates = this.#runners.filter(eligible).map((one) => one.options);
    if (clean && undisturbedUs > longUs && skewsApart(this.#weather, candidates)) {
      this.#violate('clean-takeover', `${names}, which had already`);
    }
  }

  #checkBursts(runner: SimRunner): void {
    const { delayUs, refreshUs, lowerPriorityDelayUs } = runner.options.announce;
    if (lowerPriorityDelayUs === 0) return;
    const watched = this.#of(runner);
    const activeUs = runner.host.localNowUs - watched.activeSinceUs;
    const planned = 1 + (delayUs > 0 ? 1 : 0) + (refreshUs > 0 ? activeUs / refreshUs : 0);
    const limit = Math.floor(planned) + Math.floor(activeUs / lowerPriorityDelayUs);
    if (watched.bursts > limit) {
      this.#violate('announcements-bounded', `${runner.label}: ${watched.bursts} bursts`);
    }
  }

  #checkGrid(runner: SimRunner, onGrid: boolean): void {
    const watched = this.#of(runner);
    const nowUs = runner.host.localNowUs;
    const { timerLateUs } = this.#weather;
    const { advertIntervalUs } = runner.options;
    const lateUs = nowUs - watched.gridAtUs - ++watched.gridAdverts * advertIntervalUs;
    if (!onGrid || watched.stalledWhileActive) {
      watched.gridAtUs = nowUs;
      watched.gridAdverts = 0;
      watched.stalledWhileActive = runner.host.stalled;
    } else if (lateUs > 2 * timerLateUs + driftUs(timerLateUs)) {
      // Twice, because a clock that changes its rate makes the timer be set anew.
      this.#violate('adverts-on-time', `${runner.label} advertised ${lateUs} us off its grid`);
    }
  }

  // --- What the world is like ---------------------------------------------------------------

  #conductOf(place: number): Conduct | null {
    const runner = this.#runners.find(({ host }) => host.index === place);
    if (runner === undefined) return null;
    // Twice, because a clock that changes its rate makes the timer be set anew.
    const { timerLateUs } = this.#weather;
    const slackUs = 2 * timerLateUs + driftUs(timerLateUs);
    return new Conduct(runner, slackUs, (invariant, message) => this.#violate(invariant, message));
  }

  #of(runner: SimRunner): Watched {
    return this.#watched[runner.host.index] as Watched;
  }

  #stormy(): boolean {
    return this.#judged.anyDisturbedUntilUs() >= this.#agenda.nowUs;
  }

  /** When something last was wrong that is not a departure; now, while something is. */
  #settledSinceUs(): number {
    const nowUs = this.#agenda.nowUs;
    const odd = this.#runners.some((one) => one.host.stalled || (one.holding && !one.running));
    return odd ? nowUs : Math.max(this.#unsettledAtUs, this.#judged.anyDisturbedUntilUs());
  }

  #restSinceUs(): number {
    return Math.max(this.#settledSinceUs(), this.#disturbedAtUs);
  }

  #believes(from: number, to: SimRunner): boolean {
    return this.#judged.believes(from, to.host.index);
  }

  /** Whose timers a takeover by one of these waits for: with groups, those of any member. */
  #waiting(candidates: readonly SimRunner[]): readonly VrrpConfig[] {
    const own = candidates.map(({ options }) => options);
    return this.#grouped ? [...own, ...this.#judged.configs] : own;
  }

  #restsFor(sinceUs: number): boolean {
    if (this.#agenda.nowUs - sinceUs <= this.limits.settleUs) return false;
    const options = this.#runners.map((runner) => runner.options);
    return isMild(this.#weather, options) && !this.#contradict();
  }

  /**
   * An interval is longer than what a backup waits that has heard the shortest one last: RFC 9568
   * section 6.4.2 has it take over from a living active, and so for ever.
   */
  #contradict(): boolean {
    if (this.limits.uniform) return false;
    const options = this.#runners.map((runner) => runner.options);
    const intervals = options.map(({ advertIntervalUs }) => advertIntervalUs);
    const shortestUs = Math.min(...intervals);
    const waits = options.map((one) => specifiedDownUs(one, shortestUs));
    const losses = 1 + (this.#weather.lan.lossRunMax ?? 0);
    return losses * Math.max(...intervals) + 2 * this.limits.hopUs >= Math.min(...waits);
  }

  /** When one of these two, or the way from the first to the second, last was disturbed. */
  #disturbedUs(speaker: SimRunner, hearer: SimRunner): number {
    if (speaker.host.stalled || hearer.host.stalled || !speaker.running || !hearer.running)
      return this.#agenda.nowUs;
    return Math.max(
      this.#of(speaker).disturbedAtUs,
      this.#of(hearer).disturbedAtUs,
      this.#judged.disturbedUntilUs(speaker.host.index, hearer.host.index),
    );
  }

  /** A runner that holds the VIP, and that this one may not preempt, was heard lately. */
  #hearsHolder(runner: SimRunner, respectPreemption: boolean): boolean {
    const { reachedAtUs } = this.#of(runner);
    const silenceUs = specifiedSilenceUs(runner.options, this.limits.intervalUs);
    const recentUs = this.#agenda.nowUs - silenceUs / 2;
    return this.#runners.some(
      (other) =>
        other !== runner &&
        serving(other) &&
        eligible(other) &&
        (reachedAtUs[other.host.index] as number) > recentUs &&
        this.#believes(other.host.index, runner) &&
        !(respectPreemption && mayPreempt(runner, other)),
    );
  }

  #violate(invariant: Invariant, message: string): void {
    this.#log(`*  VIOLATION ${invariant}: ${message}`);
    const { name: router } = this.#judged;
    this.#judged.violated({ invariant, router, atUs: this.#agenda.nowUs, message });
  }
}

function serving(runner: SimRunner): boolean {
  return runner.serving;
}

/** What of this router waits in the socket. */
function queueOf(runner: SimRunner): SimRunner['host']['queue'] {
  return runner.host.queue.filter(({ packet }) => packet.router === runner.name);
}

/**
 * What waits is more than its socket or one turn can take. The machine listens once more when it
 * is late by an interval; within that interval it cannot know what it has not read.
 */
function queueHides(runner: SimRunner): boolean {
  const { queue, receiveQueueMax, drainPacketsMax } = runner.host;
  return queue.length >= Math.min(receiveQueueMax, drainPacketsMax);
}

/** Able to be active: it runs, and takes part in the election. */
function eligible(runner: SimRunner): boolean {
  const { kind } = runner.state;
  const takesPart = kind === 'backup' || kind === 'active';
  return runner.running && !runner.host.stalled && runner.linkUp && takesPart;
}

/** Of two that hold the VIP, the one that lets go when it hears the other. */
function loses(one: SimRunner, other: SimRunner): boolean {
  const resigns = one.state.kind === 'resigning';
  if (resigns !== (other.state.kind === 'resigning')) return resigns;
  const { priority } = one.options;
  if (priority !== other.options.priority) return priority < other.options.priority;
  return compareIp(one.source, other.source) < 0;
}

/** RFC 9568 section 6.1: the address owner always preempts. */
function mayPreempt(runner: SimRunner, holder: SimRunner): boolean {
  const { preempt, priority } = runner.options;
  if (runner.state.kind === 'backup' && runner.state.heldBack) return false;
  return (preempt || priority === 255) && priority > holder.options.priority;
}

/**
 * How one instance conducts itself: RFC 9568 section 6.4, and what this machine has beyond it,
 * restated from what the instance heard, what its operator and its kernel told it, and its own
 * clock. All of that is known to the instance, so no weather and no fault excuses a departure: each
 * step must be the one step that the rules ask for, at its time. judge.ts looks at what several
 * directors do together, which is where excuses begin.
 */
import { compareIp } from '../ip.ts';
import type { Lateness, VrrpState } from '../vrrp/instance.ts';
import {
  FAULT_REASONS,
  type FaultReason,
  type TransitionReason,
  type VrrpEvent,
} from '../vrrp/types.ts';
import type { Invariant } from './invariants.ts';
import type { SimPacket } from './lan.ts';
import {
  HANDOVER_MARGIN_US,
  specifiedDownUs,
  specifiedSilenceUs,
  specifiedSkewUs,
} from './limits.ts';
import type { ObservedStep, SimRunner } from './runner.ts';

/** An owner of lower address is given two intervals of our own, and 1.2 of the longer one. */
const RIVAL_ADVERTS = 2;
const RIVAL_MARGIN = 1.2;

/** What a step has to be: the change of state, by its reason, and what is sent. */
interface Verdict {
  readonly reason: TransitionReason | null;
  readonly speech: 'nothing' | 'advertises' | 'resigns';
  /** What is broken when the change is another one. */
  readonly invariant: Invariant;
}

type Speech = Verdict['speech'];

export class Conduct {
  readonly #runner: SimRunner;
  readonly #slackUs: number;
  readonly #violate: (invariant: Invariant, message: string) => void;
  /** What the next 'advert-received' is about. */
  #heard: SimPacket | null = null;
  /** Active_Down_Timer, and Active_Adver_Interval, by the director's clock. */
  #downAtUs = 0;
  #heardIntervalUs = 0;
  /** Why it takes over when that timer runs out, and in a sync group that it did. */
  #takeoverReason: TransitionReason = 'peers-silent';
  #ranOut = false;
  #late: Lateness = 'no';
  #preemptAtUs: number | null = null;
  #heardOwner = false;
  #heldBack = false;
  /** Adver_Timer, and the last advertisement of its own accord. */
  #advertAtUs = 0;
  #advertisedAtUs = 0;
  /** Another owner that goes on: since when, and when it was last heard. */
  #rival: { readonly sinceUs: number; readonly lastAtUs: number } | null = null;
  /** When whoever resigned lets go at the latest. */
  #releaseAtUs = 0;
  #stolenSinceUs: number | null = null;

  /** `slackUs`: how late anything may be done for the timers and turns of this world. */
  constructor(
    runner: SimRunner,
    slackUs: number,
    violate: (invariant: Invariant, message: string) => void,
  ) {
    this.#runner = runner;
    this.#slackUs = slackUs;
    this.#violate = violate;
  }

  /** It was handed over, and that was not taken back. */
  get heldBack(): boolean {
    return this.#heldBack;
  }

  accepted(packet: SimPacket): void {
    this.#heard = packet;
  }

  /** Holds a step against the rules. */
  stepped(observed: ObservedStep): void {
    const { event, before, effects } = observed;
    // A new keeper knows nothing of a handover.
    if (before.kind === 'initialize') this.#heldBack = false;
    const verdict = this.#verdict(event, before);
    let reason: TransitionReason | null = null;
    let speech: Speech = 'nothing';
    for (const effect of effects) {
      if (effect.kind === 'report-transition') reason = effect.reason;
      if (effect.kind === 'send-advert') speech = effect.resign ? 'resigns' : 'advertises';
      if (effect.kind === 'announce' && !this.#runner.holding && !this.#runner.stolen) {
        this.#violate('announces-its-own', `${this.#runner.label} announced what it does not hold`);
      }
    }
    if (reason !== verdict.reason) {
      this.#violate(verdict.invariant, this.#differs(event, before, [reason, verdict.reason]));
    } else if (speech !== verdict.speech) {
      this.#violate('speaks-rightly', this.#differs(event, before, [speech, verdict.speech]));
    }
    this.#follow(event, before);
  }

  /** The first turn after a stall is over: until then it could not do anything. */
  woke(): void {
    this.#stolenSinceUs = null;
  }

  /** What has to be done by now, by a director that runs. */
  inspect(): void {
    const { host, state, stolen, running, label } = this.#runner;
    if (!running || host.stalled) return;
    const nowUs = host.localNowUs;
    const due = this.#dueUs(state);
    if (due !== null && nowUs > due.atUs + this.#slackUs) {
      this.#violate(due.invariant, `${label} is ${state.kind}, ${nowUs - due.atUs} us too late`);
    }
    this.#stolenSinceUs = stolen ? (this.#stolenSinceUs ?? nowUs) : null;
    if (this.#stolenSinceUs !== null && nowUs - this.#stolenSinceUs > this.#slackUs) {
      if (state.kind === 'active' || state.kind === 'resigning') {
        this.#violate('addresses-follow-state', `${label} did not put a stolen VIP back`);
      }
    }
  }

  // --- What the rules ask for ---------------------------------------------------------------

  #verdict(event: VrrpEvent, before: VrrpState): Verdict {
    switch (event.kind) {
      case 'fault-raised':
        return this.#onFault(event.reason, before);
      case 'stopped':
        return this.#onStop(event.handover === true, before);
      default:
        break;
    }
    switch (before.kind) {
      case 'initialize':
        return this.#fromInitialize(event);
      case 'fault':
        if (event.kind !== 'fault-cleared' || this.#remainsFaulty(event.reason)) return stays();
        return this.#enters(event.atUs, event.reason);
      case 'delayed':
        return this.#fromDelayed(event);
      case 'backup':
        return this.#fromBackup(event);
      case 'active':
        return this.#fromActive(event);
      case 'resigning':
        return this.#fromResigning(event, before.afterwards);
    }
  }

  /** Whatever it was: it leaves, and says so if others believe it to be active. */
  #onFault(reason: FaultReason, before: VrrpState): Verdict {
    if (!this.#isReal(reason) || before.kind === 'fault') return stays();
    if (before.kind === 'resigning' && before.afterwards === 'initialize') {
      return goes('stopped', 'nothing');
    }
    return goes(reason, before.kind === 'active' ? 'resigns' : 'nothing');
  }

  #onStop(handover: boolean, before: VrrpState): Verdict {
    if (before.kind === 'initialize') return stays();
    if (before.kind === 'active') return handover ? stays('resigns') : goes('stopped', 'resigns');
    if (before.kind === 'resigning' && before.afterwards === 'backup' && handover) return stays();
    return goes('stopped', 'nothing');
  }

  #fromInitialize(event: VrrpEvent): Verdict {
    if (event.kind === 'started') return this.#enters(event.atUs, 'started');
    if (event.kind !== 'adopted') return stays();
    const { options } = this.#runner;
    const safeUs = specifiedSilenceUs(options, options.advertIntervalUs);
    return event.atUs - event.lastAdvertAtUs < safeUs
      ? goes('adopted', 'advertises')
      : this.#enters(event.atUs, 'started');
  }

  /** RFC 9568 section 6.4.1, after the startup delay. */
  #enters(atUs: number, reason: TransitionReason): Verdict {
    if (atUs < this.#startsAtUs) return { ...goes('startup-delay', 'nothing'), invariant: DELAY };
    return this.#owns ? goes('address-owner', 'advertises') : goes(reason, 'nothing');
  }

  #fromDelayed(event: VrrpEvent): Verdict {
    const over = event.kind === 'deadline-reached' && event.atUs >= this.#startsAtUs;
    const verdict =
      over && this.#owns && !this.#isGrouped ? goes('address-owner', 'advertises') : stays();
    return { ...verdict, invariant: DELAY };
  }

  #fromBackup(event: VrrpEvent): Verdict {
    switch (event.kind) {
      case 'deadline-reached': {
        const early = event.atUs < this.#downAtUs || this.#isGrouped;
        const waits = early || this.#waitsLonger(event) !== 'no';
        return { ...(waits ? stays() : this.#takesOver()), invariant: LISTENS };
      }
      case 'group-activated':
        return { ...(this.#ranOut ? this.#takesOver() : stays()), invariant: LISTENS };
      case 'takeback-asked':
      case 'reconfigured': {
        const changed = event.kind === 'reconfigured' || this.#heldBack;
        const owns = changed && this.#mayOwn(event.kind === 'takeback-asked');
        return owns && !this.#isGrouped ? goes('address-owner', 'advertises') : stays();
      }
      default:
        return { ...stays(), invariant: LISTENS };
    }
  }

  #takesOver(): Verdict {
    return goes(this.#takeoverReason, 'advertises');
  }

  #fromActive(event: VrrpEvent): Verdict {
    switch (event.kind) {
      case 'advert-received':
        return { ...this.#hearsAsActive(event.atUs), invariant: 'yields-rightly' };
      case 'deadline-reached':
        if (event.atUs < this.#advertAtUs) return stays();
        return this.#isExpired(event.atUs) ? goes('timer-expired', 'nothing') : stays('advertises');
      case 'reconfigured':
        return stays(event.atUs > this.#advertAtUs ? 'nothing' : 'advertises');
      case 'handover-asked':
        return stays('resigns');
      case 'group-yielded':
        return this.#runner.host.groupHasInactive(this.#runner)
          ? goes('group-yielded', 'resigns')
          : stays();
      default:
        return stays();
    }
  }

  #hearsAsActive(atUs: number): Verdict {
    const { options } = this.#runner;
    const heard = this.#heard;
    if (heard === null || this.#isDeaf) return stays();
    // RFC 9568 section 6.4.3: a resignation is answered at once.
    if (heard.priority === 0) return stays('advertises');
    const reason = this.#reasonToYield(heard, atUs);
    if (reason === null) return stays(options.answerLowerPriority ? 'advertises' : 'nothing');
    const last = options.advertiseBeforeYielding && reason !== 'stalled';
    return goes(reason, last ? 'advertises' : 'nothing');
  }

  #reasonToYield(heard: SimPacket, atUs: number): TransitionReason | null {
    const { options, source } = this.#runner;
    const own = options.priority;
    const silentUs = atUs - this.#advertisedAtUs;
    const safeUs = specifiedSilenceUs(options, options.advertIntervalUs);
    if (atUs > this.#advertAtUs && silentUs > safeUs) return 'stalled';
    if (heard.priority > own) return 'higher-priority-peer';
    if (heard.priority < own) return null;
    if (compareIp(heard.source, source) > 0) return 'equal-priority-higher-address';
    // Two owners: the other one should have given way by now.
    if (own !== 255 || this.#rival === null) return null;
    const longerUs = Math.max(heard.intervalUs, options.advertIntervalUs);
    if (atUs - this.#rival.lastAtUs > specifiedSilenceUs(options, longerUs)) return null;
    const patienceUs = RIVAL_ADVERTS * options.advertIntervalUs + RIVAL_MARGIN * longerUs;
    return atUs - this.#rival.sinceUs > patienceUs ? 'owner-conflict' : null;
  }

  /** The best of the others has taken over by now; counted from its last advertisement of any kind. */
  #isExpired(atUs: number): boolean {
    const { options } = this.#runner;
    const { version, timerExpiredBackup: priority, advertIntervalUs } = options;
    if (priority === null) return false;
    const sentAtUs = Math.max(this.#advertisedAtUs, this.#advertAtUs - advertIntervalUs);
    const down = { ...options, version, priority };
    return atUs - sentAtUs > specifiedDownUs(down, advertIntervalUs);
  }

  #fromResigning(event: VrrpEvent, afterwards: 'initialize' | 'backup'): Verdict {
    const lets = goes(afterwards === 'initialize' ? 'stopped' : 'handed-over', 'nothing');
    switch (event.kind) {
      case 'advert-received': {
        // Who resigns itself is no successor.
        const successor = (this.#heard?.priority ?? 0) > 0;
        return { ...(successor ? lets : stays()), invariant: SUCCESSOR };
      }
      case 'deadline-reached': {
        if (event.atUs < this.#releaseAtUs) return { ...stays(), invariant: SUCCESSOR };
        return {
          ...(afterwards === 'initialize' ? lets : stays('advertises')),
          invariant: SUCCESSOR,
        };
      }
      case 'takeback-asked':
        return afterwards === 'backup' ? stays('advertises') : stays();
      default:
        return { ...stays(), invariant: SUCCESSOR };
    }
  }

  // --- What it knows ------------------------------------------------------------------------

  /** After a step: what the rules remember of it. */
  #follow(event: VrrpEvent, before: VrrpState): void {
    const { state, options } = this.#runner;
    const { atUs } = event;
    const heard = event.kind === 'advert-received' ? this.#heard : null;
    const resigns = before.kind === 'active' && state.kind === 'resigning';
    if (resigns) {
      const lasts = event.kind === 'handover-asked';
      this.#releaseAtUs =
        atUs +
        specifiedSkewUs({ version: options.version, priority: 1 }, options.advertIntervalUs) +
        (lasts ? specifiedSilenceUs(options, options.advertIntervalUs) : 0) +
        HANDOVER_MARGIN_US;
    }
    const tookBack = event.kind === 'takeback-asked' && this.#heldBack;
    if (before.kind === 'resigning' && before.afterwards === 'backup') {
      this.#heldBack = state.kind === 'backup' || state.kind === 'fault';
    } else if (tookBack) this.#heldBack = false;
    if (state.kind === 'active') {
      if (before.kind === 'active') this.#remainsActive(event, heard);
      else this.#becomesActive(atUs);
    } else if (state.kind === 'backup') {
      if (before.kind === 'backup') {
        if (tookBack || event.kind === 'reconfigured') this.#shortens(atUs);
        else this.#remainsBackup(event, heard);
      } else {
        const yields = before.kind === 'active' || before.kind === 'resigning';
        this.#listensAnew(atUs, yields ? heard : null);
        if (before.kind === 'delayed' && this.#owns && this.#isGrouped) {
          this.#ownsWithGroup();
        }
      }
    }
  }

  #becomesActive(atUs: number): void {
    this.#advertAtUs = atUs + this.#runner.options.advertIntervalUs;
    this.#advertisedAtUs = atUs;
    this.#rival = null;
    this.#heldBack = false;
  }

  #remainsActive(event: VrrpEvent, heard: SimPacket | null): void {
    const { advertIntervalUs } = this.#runner.options;
    const { atUs } = event;
    if (event.kind === 'deadline-reached' && atUs >= this.#advertAtUs) {
      const onGridUs = this.#advertAtUs + advertIntervalUs;
      this.#advertAtUs = onGridUs > atUs ? onGridUs : atUs + advertIntervalUs;
      this.#advertisedAtUs = atUs;
    } else if (event.kind === 'reconfigured' && atUs <= this.#advertAtUs) {
      this.#advertAtUs = atUs + advertIntervalUs;
      this.#advertisedAtUs = atUs;
    } else if (heard !== null && !this.#isDeaf) {
      if (heard.priority === 0) this.#advertAtUs = atUs + advertIntervalUs;
      else if (heard.priority === 255) this.#hearsRival(heard, atUs);
    }
  }

  #hearsRival(heard: SimPacket, atUs: number): void {
    const { options } = this.#runner;
    const longerUs = Math.max(heard.intervalUs, options.advertIntervalUs);
    const goneUs = specifiedSilenceUs(options, longerUs);
    const stays = this.#rival !== null && atUs - this.#rival.lastAtUs <= goneUs;
    const sinceUs = stays && this.#rival !== null ? this.#rival.sinceUs : atUs;
    this.#rival = { sinceUs, lastAtUs: atUs };
  }

  #remainsBackup(event: VrrpEvent, heard: SimPacket | null): void {
    const { options } = this.#runner;
    const { atUs } = event;
    if (heard !== null) return this.#hearsAsBackup(heard, atUs);
    if (event.kind === 'deadline-reached' && atUs >= this.#downAtUs) {
      const waits = this.#waitsLonger(event);
      if (waits === 'no') this.#ranOut = true;
      else this.#late = waits;
      const againUs = specifiedDownUs(options, this.#heardIntervalUs);
      this.#downAtUs = atUs + (waits === 'somewhat' ? atUs - this.#downAtUs : againUs);
    }
  }

  /** A changed priority or interval may shorten the wait, and never prolongs it. */
  #shortens(atUs: number): void {
    const { options } = this.#runner;
    if (options.version === 2) this.#heardIntervalUs = options.advertIntervalUs;
    const freshUs = atUs + specifiedDownUs(options, this.#heardIntervalUs);
    this.#downAtUs = Math.min(this.#downAtUs, freshUs);
    if (this.#isGrouped && this.#mayOwn(false)) this.#ownsWithGroup();
  }

  /** Owners in a group become active together, when the group says so. */
  #ownsWithGroup(): void {
    this.#takeoverReason = 'address-owner';
    this.#ranOut = true;
  }

  /** RFC 9568 section 6.4.2. */
  #hearsAsBackup(heard: SimPacket, atUs: number): void {
    const { options } = this.#runner;
    if (this.#isDeaf) return;
    if (heard.priority === 0) {
      this.#downAtUs = atUs + specifiedSkewUs(options, this.#heardIntervalUs);
      this.#takeoverReason = 'peer-resigned';
      return;
    }
    const preempts = (options.preempt || options.priority === 255) && !this.#heldBack;
    if (!preempts || heard.priority >= options.priority) {
      this.#listensAnew(atUs, heard);
      return;
    }
    const preemptAtUs = this.#preemptAtUs ?? atUs + options.preemptDelayUs;
    if (atUs >= preemptAtUs) this.#takeoverReason = 'preempted';
    else this.#listensAnew(atUs, heard);
    this.#preemptAtUs = preemptAtUs;
  }

  #listensAnew(atUs: number, heard: SimPacket | null): void {
    const { options } = this.#runner;
    const adopts = options.version === 3 && heard !== null;
    this.#heardIntervalUs = adopts ? heard.intervalUs : options.advertIntervalUs;
    this.#downAtUs = atUs + specifiedDownUs(options, this.#heardIntervalUs);
    this.#takeoverReason = 'peers-silent';
    this.#preemptAtUs = null;
    this.#ranOut = false;
    this.#late = 'no';
    this.#heardOwner = heard?.priority === 255;
  }

  /**
   * For the first time late by more than an interval: it listens once more; by more than an eighth
   * of one, and not late before: as long as it was late.
   */
  #waitsLonger({ atUs }: VrrpEvent): Lateness {
    const lateUs = atUs - this.#downAtUs;
    if (lateUs > this.#heardIntervalUs) return this.#late === 'overslept' ? 'no' : 'overslept';
    return 8 * lateUs > this.#heardIntervalUs && this.#late === 'no' ? 'somewhat' : 'no';
  }

  /** An owner that may be active at once: the other one, if there is one, has to give way first. */
  #mayOwn(isTakenBack: boolean): boolean {
    const { priority, ownerConflict } = this.#runner.options;
    const rivalled = this.#heardOwner && ownerConflict !== 'ignore';
    return priority === 255 && (isTakenBack || !this.#heldBack) && !rivalled;
  }

  get #owns(): boolean {
    return this.#runner.options.priority === 255 && !this.#heldBack;
  }

  /** RFC 9568 section 7.1, where it is configured. */
  get #isDeaf(): boolean {
    const { priority, ownerConflict } = this.#runner.options;
    return priority === 255 && ownerConflict === 'ignore';
  }

  get #isGrouped(): boolean {
    return this.#runner.options.group !== null;
  }

  get #startsAtUs(): number {
    return this.#runner.options.startsAtUs ?? 0;
  }

  /** Whether there is this fault, as the world has it. */
  #isReal(reason: FaultReason): boolean {
    const { host, options, linkUp, hasNoPeer } = this.#runner;
    switch (reason) {
      case 'controller-lost':
        return host.controllerLost;
      case 'interface-down':
        return !linkUp && options.trackInterface;
      case 'no-peer':
        return hasNoPeer && options.unicast?.faultWithoutPeers === true;
      case 'tracker-down':
        return options.track.some(
          ({ tracker, weight, reverse }) =>
            weight === 0 && (host.tracker(tracker)?.up ?? true) === reverse,
        );
      case 'group-member-fault':
        return host.groupFaulty(this.#runner);
      default:
        // Nothing of the kind happens in a simulated world.
        return false;
    }
  }

  /** Whose group recovers may have a fault of its own that it was not told of yet. */
  #remainsFaulty(reason: TransitionReason): boolean {
    if (reason === 'group-recovered') return this.#isReal('group-member-fault');
    // Of a tracker the controller tells, later than the kernel of a link.
    return FAULT_REASONS.some((fault) => fault !== 'tracker-down' && this.#isReal(fault));
  }

  /** When this state must have been left, or said something; null for never. */
  #dueUs(state: VrrpState): { readonly atUs: number; readonly invariant: Invariant } | null {
    switch (state.kind) {
      case 'backup':
        return this.#isGrouped ? null : { atUs: this.#downAtUs, invariant: LISTENS };
      case 'active':
        return { atUs: this.#advertAtUs, invariant: 'adverts-on-time' };
      case 'resigning':
        return { atUs: this.#releaseAtUs, invariant: SUCCESSOR };
      case 'delayed':
        return { atUs: this.#startsAtUs, invariant: DELAY };
      default:
        return null;
    }
  }

  #differs(
    event: VrrpEvent,
    before: VrrpState,
    [found, expected]: readonly [string | null, string | null],
  ): string {
    const { label } = this.#runner;
    const heard = event.kind === 'advert-received' ? ` (priority ${this.#heard?.priority})` : '';
    const what = `${event.kind}${heard} while ${before.kind}`;
    return `${label}, on ${what}: ${found ?? 'no change'}, expected ${expected ?? 'no change'}`;
  }
}

const LISTENS: Invariant = 'listens-first';
const SUCCESSOR: Invariant = 'successor-is-heard';
const DELAY: Invariant = 'startup-delay';

function stays(speech: Speech = 'nothing'): Verdict {
  return { reason: null, speech, invariant: 'transition-has-cause' };
}

function goes(reason: TransitionReason, speech: Speech): Verdict {
  return { reason, speech, invariant: 'transition-has-cause' };
}

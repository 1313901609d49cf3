/**
 * The state machine of one VRRP instance (RFC 9568 section 6.4, RFC 3768 section 6.4).
 *
 * step(options, state, event) -> { state, effects }: pure, total, time is an argument. Deadlines
 * are part of the state: the shell arms one timer for nextDeadlineUs(state) and, when it fires,
 * first hands over every advertisement that waits in its sockets and only then the deadline.
 * Effects are done in their order; on takeover: advertisement, addresses, announcement.
 *
 * Beyond the RFCs: fault (an interface or its address is gone), adoption of an earlier keeper's
 * VIPs, preempt delay, startup delay, planned handover, and one rule for directors that were stalled: whoever was silent for so
 * long that a peer took over rightfully is backup, whatever the priorities say. The choices of
 * ElectionConfig are keepalived's.
 */
import { assertNever } from '../assert.ts';
import {
  type AnnounceSchedule,
  answerLoser,
  type Burst,
  burstDue,
  nextBurstUs,
  reschedule,
  scheduleAfterTakeover,
} from './announce.ts';
import { activeDownIntervalUs, longestSkewUs, safeSilenceUs, skewTimeUs } from './timing.ts';
import type {
  FaultReason,
  InstanceOptions,
  TransitionReason,
  VrrpEffect,
  VrrpEvent,
  VrrpStateName,
} from './types.ts';

export type VrrpState =
  | { readonly kind: 'initialize' }
  | {
      /** Backup that does not listen yet: the startup delay. */
      readonly kind: 'delayed';
      readonly startsAtUs: number;
      /** As in backup. */
      readonly heldBack: boolean;
    }
  | {
      readonly kind: 'backup';
      /** Active_Down_Timer. */
      readonly activeDownAtUs: number;
      /** Active_Adver_Interval: as advertised (version 3), or as configured (version 2). */
      readonly activeAdvertIntervalUs: number;
      /** Why the deadline, if it passes, makes this director active. */
      readonly takeoverReason: Extract<
        TransitionReason,
        'peers-silent' | 'peer-resigned' | 'preempted' | 'address-owner'
      >;
      /** When preemption is allowed; null while no lower-priority active is heard. */
      readonly preemptAtUs: number | null;
      /** The Active_Down_Timer ran out, and the sync group's other members have yet to follow. */
      readonly wantsActive: boolean;
      /** How late it was at its deadline since it heard an active director: see actOnSilence(). */
      readonly late: Lateness;
      /** The active director advertises as the owner of the addresses. */
      readonly heardOwner: boolean;
      /** It was handed over: it does not preempt until that is taken back. */
      readonly heldBack: boolean;
    }
  | {
      readonly kind: 'active';
      /** Adver_Timer. */
      readonly advertAtUs: number;
      /**
       * When it last advertised of its own accord. Answers do not count: what they answer may
       * have waited in the socket, so when they are sent is not known here.
       */
      readonly lastAdvertAtUs: number;
      readonly announce: AnnounceSchedule;
      /** Another owner of lower address that should have given way; null for none. */
      readonly rival: Rival | null;
    }
  | {
      /** Has resigned, and keeps the addresses until a successor is heard. */
      readonly kind: 'resigning';
      /** No successor until then: there is none. */
      readonly releaseAtUs: number;
      /** What it is afterwards: it stops, or an operator hands it over and it goes on. */
      readonly afterwards: 'initialize' | 'backup';
    }
  | {
      readonly kind: 'fault';
      readonly reason: FaultReason;
      /** As in backup. */
      readonly heldBack: boolean;
    };

/**
 * Of a backup at its deadline: by less than counts, by up to an interval of the active director,
 * or by more than that.
 */
export type Lateness = 'no' | 'somewhat' | 'overslept';

/**
 * Lateness by more than this part of an interval counts: more than a timer ever is, and less than
 * makes a takeover too late for anybody.
 */
const LATE_PART = 8;

/** Another owner: when its advertisements began, and when the last one came. */
interface Rival {
  readonly sinceUs: number;
  readonly lastAtUs: number;
}

/**
 * An owner of lower address gives way when it hears this one: time for two advertisements of our
 * own, and for one that it had sent before.
 */
const RIVAL_ADVERTS = 2;
const RIVAL_MARGIN = 1.2;

/** What a successor may need beyond its skew time to be heard: its timer, and the network. */
const RESIGN_MARGIN_US = 20_000;

type Backup = Extract<VrrpState, { kind: 'backup' }>;
type Resigning = Extract<VrrpState, { kind: 'resigning' }>;
type Active = Extract<VrrpState, { kind: 'active' }>;
type AdvertReceived = Extract<VrrpEvent, { kind: 'advert-received' }>;

export interface Step {
  readonly state: VrrpState;
  readonly effects: readonly VrrpEffect[];
}

export const INITIAL_STATE: VrrpState = { kind: 'initialize' };

const NOTHING: readonly VrrpEffect[] = [];
const SEND_ADVERT: VrrpEffect = { kind: 'send-advert', resign: false };
const RESIGN: VrrpEffect = { kind: 'send-advert', resign: true };
const ADD_ADDRESSES: VrrpEffect = { kind: 'add-addresses' };
const REMOVE_ADDRESSES: VrrpEffect = { kind: 'remove-addresses' };
const HANDED_OVER: VrrpEffect = { kind: 'report-handover', outcome: 'handed-over' };
const HANDOVER_STAYED: VrrpEffect = { kind: 'report-handover', outcome: 'stayed' };
const HANDOVER_FAULTED: VrrpEffect = { kind: 'report-handover', outcome: 'faulted' };
const ONLY_ADVERT: readonly VrrpEffect[] = [SEND_ADVERT];
const ONLY_RESIGN: readonly VrrpEffect[] = [RESIGN];
const ONLY_REMOVE: readonly VrrpEffect[] = [REMOVE_ADDRESSES];

/** Moment at which the machine wants 'deadline-reached', or null for never. */
export function nextDeadlineUs(state: VrrpState): number | null {
  switch (state.kind) {
    case 'initialize':
    case 'fault':
      return null;
    case 'delayed':
      return state.startsAtUs;
    case 'backup':
      return state.activeDownAtUs;
    case 'resigning':
      return state.releaseAtUs;
    case 'active': {
      const announceAtUs = nextBurstUs(state.announce);
      return announceAtUs === null ? state.advertAtUs : Math.min(state.advertAtUs, announceAtUs);
    }
    default:
      return assertNever(state);
  }
}

/** Name of a state for people: who is resigning still has the addresses, who is delayed waits. */
export function stateName(state: VrrpState): VrrpStateName {
  switch (state.kind) {
    case 'resigning':
      return 'active';
    case 'delayed':
      return 'backup';
    default:
      return state.kind;
  }
}

/** One event in one state: the next state and what to do, in order. */
export function step(options: InstanceOptions, state: VrrpState, event: VrrpEvent): Step {
  switch (state.kind) {
    case 'initialize':
      return stepInitialize(options, state, event);
    case 'delayed':
      return stepDelayed(options, state, event);
    case 'backup':
      return stepBackup(options, state, event);
    case 'active':
      return stepActive(options, state, event);
    case 'resigning':
      return stepResigning(options, state, event);
    case 'fault':
      return stepFault(options, state, event);
    default:
      return assertNever(state);
  }
}

function stepInitialize(options: InstanceOptions, state: VrrpState, event: VrrpEvent): Step {
  switch (event.kind) {
    case 'started':
      return enter(options, state, event.atUs, 'started');
    case 'adopted':
      return adopt(options, state, event.atUs, event.lastAdvertAtUs);
    case 'fault-raised':
      return raiseFault(state, event.reason, NOTHING);
    case 'advert-received':
    case 'deadline-reached':
    case 'fault-cleared':
    case 'group-activated':
    case 'group-yielded':
    case 'handover-asked':
    case 'takeback-asked':
    case 'group-peer-lost':
    case 'reconfigured':
    case 'stopped':
      return { state, effects: NOTHING };
    default:
      return assertNever(event);
  }
}

/** What it hears meanwhile is dropped, as keepalived does: it begins anew when the delay ends. */
function stepDelayed(
  options: InstanceOptions,
  state: Extract<VrrpState, { kind: 'delayed' }>,
  event: VrrpEvent,
): Step {
  switch (event.kind) {
    case 'deadline-reached':
      if (event.atUs < state.startsAtUs) return { state, effects: NOTHING };
      return beginAfterDelay(options, state, event.atUs);
    case 'fault-raised':
      return raiseFault(state, event.reason, NOTHING);
    case 'takeback-asked':
      return { state: { ...state, heldBack: false }, effects: NOTHING };
    case 'stopped':
      return stop(state, NOTHING);
    case 'reconfigured': {
      // What it waited for may have come early.
      const startsAtUs = Math.min(state.startsAtUs, options.startsAtUs ?? 0);
      if (startsAtUs === state.startsAtUs) return { state, effects: NOTHING };
      if (event.atUs >= startsAtUs) return beginAfterDelay(options, state, event.atUs);
      return { state: { ...state, startsAtUs }, effects: NOTHING };
    }
    case 'advert-received':
    case 'started':
    case 'adopted':
    case 'fault-cleared':
    case 'group-activated':
    case 'group-yielded':
    case 'group-peer-lost':
    case 'handover-asked':
      return { state, effects: NOTHING };
    default:
      return assertNever(event);
  }
}

function beginAfterDelay(
  options: InstanceOptions,
  state: Extract<VrrpState, { kind: 'delayed' }>,
  nowUs: number,
): Step {
  const { heldBack } = state;
  const owns = options.priority === 255 && !heldBack;
  if (owns && !isGrouped(options)) return becomeActive(options, state, nowUs, 'address-owner');
  const next = { ...backupFrom(options, nowUs, options.advertIntervalUs), heldBack };
  return { state: owns ? ownsWithGroup(next) : next, effects: NOTHING };
}

/** Owners in a sync group become active together, when all of them may. */
function ownsWithGroup(state: Backup): Backup {
  return { ...state, takeoverReason: 'address-owner', wantsActive: true };
}

function stepBackup(options: InstanceOptions, state: Backup, event: VrrpEvent): Step {
  switch (event.kind) {
    case 'advert-received':
      return hearAsBackup(options, state, event);
    case 'deadline-reached':
      return actOnSilence(options, state, event.atUs);
    case 'group-activated':
      return becomeActive(options, state, event.atUs, state.takeoverReason);
    case 'fault-raised':
      return raiseFault(state, event.reason, NOTHING);
    case 'reconfigured':
      return reconfigureBackup(options, state, event.atUs);
    case 'stopped':
      return stop(state, NOTHING);
    case 'takeback-asked':
      // As if the configuration allowed it only now.
      return state.heldBack
        ? reconfigureBackup(options, { ...state, heldBack: false }, event.atUs)
        : { state, effects: NOTHING };
    case 'started':
    case 'adopted':
    case 'fault-cleared':
    case 'group-yielded':
    case 'handover-asked':
    case 'group-peer-lost':
      return { state, effects: NOTHING };
    default:
      return assertNever(event);
  }
}

function stepActive(options: InstanceOptions, state: Active, event: VrrpEvent): Step {
  switch (event.kind) {
    case 'advert-received':
      return hearAsActive(options, state, event);
    case 'deadline-reached':
      return actOnDeadline(options, state, event.atUs);
    case 'fault-raised':
      return raiseFault(state, event.reason, [RESIGN, REMOVE_ADDRESSES]);
    case 'reconfigured': {
      const announce = reschedule(options.announce, state.announce, event.atUs);
      // An advert that is overdue waits for its deadline, which comes after what peers advertised
      // meanwhile: this director may have been stalled.
      if (event.atUs > state.advertAtUs) {
        return { state: { ...state, announce }, effects: NOTHING };
      }
      // Peers learn a new priority or interval at once, not an interval later.
      const next = afterAdvert(options, { ...state, announce }, event.atUs);
      return { state: next, effects: ONLY_ADVERT };
    }
    case 'group-peer-lost': {
      const { schedule, burst } = answerLoser(options.announce, state.announce, event.atUs);
      return { state: { ...state, announce: schedule }, effects: announcing(burst) };
    }
    case 'stopped':
      // RFC 9568 section 6.4.3: on shutdown, send an advertisement with priority 0.
      return event.handover === true
        ? { state: resign(options, event.atUs, 'initialize'), effects: ONLY_RESIGN }
        : stop(state, [RESIGN, REMOVE_ADDRESSES]);
    case 'handover-asked':
      return { state: resign(options, event.atUs, 'backup'), effects: ONLY_RESIGN };
    case 'group-yielded': {
      const next = backupFrom(options, event.atUs, options.advertIntervalUs);
      const effects = [RESIGN, REMOVE_ADDRESSES, transition(state, 'backup', 'group-yielded')];
      return { state: next, effects };
    }
    case 'started':
    case 'adopted':
    case 'fault-cleared':
    case 'group-activated':
    case 'takeback-asked':
      return { state, effects: NOTHING };
    default:
      return assertNever(event);
  }
}

/**
 * Make before break: packets for the addresses are served until the successor has them. It is
 * heard by its first advertisement; a second owner for the time of one packet is the price, and
 * it announces the addresses last, so hosts and switches follow it.
 */
function stepResigning(options: InstanceOptions, state: Resigning, event: VrrpEvent): Step {
  switch (event.kind) {
    case 'advert-received':
      if (event.priority === 0) return { state, effects: NOTHING };
      if (state.afterwards === 'initialize') return stop(state, ONLY_REMOVE);
      return succeed(options, state, event);
    case 'deadline-reached':
      if (event.atUs < state.releaseAtUs) return { state, effects: NOTHING };
      if (state.afterwards === 'initialize') return stop(state, ONLY_REMOVE);
      return stay(options, event.atUs);
    case 'fault-raised':
      if (state.afterwards === 'initialize') return stop(state, ONLY_REMOVE);
      return raiseFault(state, event.reason, [REMOVE_ADDRESSES, HANDOVER_FAULTED]);
    case 'stopped':
      // Asked again: at once. The first time, what is on its way becomes the handover of a stop.
      if (state.afterwards === 'initialize' || event.handover !== true)
        return stop(state, ONLY_REMOVE);
      return { state: { ...state, afterwards: 'initialize' }, effects: NOTHING };
    case 'takeback-asked':
      return state.afterwards === 'backup'
        ? stay(options, event.atUs)
        : { state, effects: NOTHING };
    case 'started':
    case 'adopted':
    case 'fault-cleared':
    case 'group-activated':
    case 'group-yielded':
    case 'handover-asked':
    case 'group-peer-lost':
    case 'reconfigured':
      return { state, effects: NOTHING };
    default:
      return assertNever(event);
  }
}

/** A planned handover's successor was heard: backup that does not preempt it. */
function succeed(options: InstanceOptions, state: Resigning, event: AdvertReceived): Step {
  const intervalUs = options.version === 3 ? event.advertIntervalUs : options.advertIntervalUs;
  const next: Backup = { ...backupFrom(options, event.atUs, intervalUs), heldBack: true };
  return {
    state: { ...next, heardOwner: event.priority === 255 },
    effects: [REMOVE_ADDRESSES, transition(state, 'backup', 'handed-over'), HANDED_OVER],
  };
}

/** Nobody took over: active as before, with addresses that never left. */
function stay(options: InstanceOptions, nowUs: number): Step {
  const state = activeFrom(options, nowUs);
  return { state, effects: [SEND_ADVERT, takeoverBurst(options), HANDOVER_STAYED] };
}

function stepFault(
  options: InstanceOptions,
  state: Extract<VrrpState, { kind: 'fault' }>,
  event: VrrpEvent,
): Step {
  switch (event.kind) {
    case 'fault-cleared':
      return enter(options, state, event.atUs, event.reason);
    case 'fault-raised':
      return { state: { ...state, reason: event.reason }, effects: NOTHING };
    case 'takeback-asked':
      return { state: { ...state, heldBack: false }, effects: NOTHING };
    case 'stopped':
      return stop(state, NOTHING);
    case 'started':
    case 'adopted':
    case 'advert-received':
    case 'deadline-reached':
    case 'group-activated':
    case 'group-yielded':
    case 'handover-asked':
    case 'group-peer-lost':
    case 'reconfigured':
      return { state, effects: NOTHING };
    default:
      return assertNever(event);
  }
}

/** RFC 9568 section 6.4.1: the owner becomes active at once, everybody else backup. */
function enter(
  options: InstanceOptions,
  from: VrrpState,
  nowUs: number,
  reason: TransitionReason,
): Step {
  const heldBack = isHeldBack(from);
  const startsAtUs = options.startsAtUs ?? 0;
  if (nowUs < startsAtUs) {
    const effects = [transition(from, 'backup', 'startup-delay')];
    return { state: { kind: 'delayed', startsAtUs, heldBack }, effects };
  }
  if (options.priority === 255 && !heldBack) {
    return becomeActive(options, from, nowUs, 'address-owner');
  }
  const next: Backup = { ...backupFrom(options, nowUs, options.advertIntervalUs), heldBack };
  return { state: next, effects: [transition(from, 'backup', reason)] };
}

/** Backup from now on, with the whole active-down interval to wait. */
function backupFrom(options: InstanceOptions, nowUs: number, intervalUs: number): Backup {
  return {
    kind: 'backup',
    activeDownAtUs: nowUs + activeDownIntervalUs(options, intervalUs),
    activeAdvertIntervalUs: intervalUs,
    takeoverReason: 'peers-silent',
    preemptAtUs: null,
    wantsActive: false,
    late: 'no',
    heardOwner: false,
    heldBack: false,
  };
}

function isGrouped(options: InstanceOptions): boolean {
  return options.group !== undefined && options.group !== null;
}

/** The timer ran out, but the group decides: willing until an active director is heard again. */
function wait(options: InstanceOptions, state: Backup, nowUs: number): Backup {
  const waitUs = activeDownIntervalUs(options, state.activeAdvertIntervalUs);
  return { ...state, activeDownAtUs: nowUs + waitUs, wantsActive: true };
}

function becomeActive(
  options: InstanceOptions,
  from: VrrpState,
  nowUs: number,
  reason: TransitionReason,
): Step {
  const effects: VrrpEffect[] = [
    SEND_ADVERT,
    ADD_ADDRESSES,
    takeoverBurst(options),
    transition(from, 'active', reason),
  ];
  return { state: activeFrom(options, nowUs), effects };
}

/** Active from now on, when it advertises and announces. */
function activeFrom(options: InstanceOptions, nowUs: number): Active {
  return {
    kind: 'active',
    advertAtUs: nowUs + options.advertIntervalUs,
    lastAdvertAtUs: nowUs,
    announce: scheduleAfterTakeover(options.announce, nowUs),
    rival: null,
  };
}

/** Goes on as active if no peer can have taken over since the last advertisement. */
function adopt(
  options: InstanceOptions,
  from: VrrpState,
  nowUs: number,
  lastAdvertAtUs: number,
): Step {
  if (nowUs - lastAdvertAtUs < silenceUs(options)) {
    return becomeActive(options, from, nowUs, 'adopted');
  }
  const entered = enter(options, from, nowUs, 'started');
  if (entered.state.kind === 'active') return entered;
  return { state: entered.state, effects: [REMOVE_ADDRESSES, ...entered.effects] };
}

/** RFC 9568 section 6.4.2: if the Active_Down_Timer fires. */
function actOnSilence(options: InstanceOptions, state: Backup, nowUs: number): Step {
  const lateUs = nowUs - state.activeDownAtUs;
  if (lateUs < 0) return { state, effects: NOTHING };
  const late = latenessOf(lateUs, state.activeAdvertIntervalUs);
  if (late === 'overslept' && state.late !== 'overslept') {
    // It was not running, so its socket may have dropped what the active advertised: it listens
    // once more. Only once, because a director that is always late must still take over.
    const waitUs = activeDownIntervalUs(options, state.activeAdvertIntervalUs);
    const next: Backup = { ...state, activeDownAtUs: nowUs + waitUs, late };
    return { state: next, effects: NOTHING };
  }
  if (late === 'somewhat' && state.late === 'no') {
    // Its machine may have stood still, and the active's with it, or what the active sent
    // meanwhile be still on its way up from the interface: it waits as long as it was late.
    const next: Backup = { ...state, activeDownAtUs: nowUs + lateUs, late };
    return { state: next, effects: NOTHING };
  }
  if (isGrouped(options)) return { state: wait(options, state, nowUs), effects: NOTHING };
  return becomeActive(options, state, nowUs, state.takeoverReason);
}

function latenessOf(lateUs: number, intervalUs: number): Lateness {
  if (lateUs > intervalUs) return 'overslept';
  return lateUs * LATE_PART > intervalUs ? 'somewhat' : 'no';
}

function hearAsBackup(options: InstanceOptions, state: Backup, event: AdvertReceived): Step {
  if (isDeaf(options)) return { state, effects: NOTHING };
  const { atUs, priority } = event;
  if (priority === 0) {
    // RFC 9568 section 6.4.2: the active resigns; wait for the skew time only.
    const activeDownAtUs = atUs + skewTimeUs(options, state.activeAdvertIntervalUs);
    const next: Backup = { ...state, activeDownAtUs, takeoverReason: 'peer-resigned' };
    return { state: next, effects: NOTHING };
  }
  // RFC 9568 section 6.1: the address owner always preempts.
  const preempt = !state.heldBack && (options.preempt || options.priority === 255);
  const lower = preempt && priority < options.priority;
  const preemptAtUs = lower ? (state.preemptAtUs ?? atUs + options.preemptDelayUs) : null;
  if (lower && atUs >= (preemptAtUs as number)) {
    // RFC 9568 section 6.4.2: discard, so that the Active_Down_Timer runs out.
    const next: Backup = { ...state, preemptAtUs, takeoverReason: 'preempted' };
    return { state: next, effects: NOTHING };
  }
  // RFC 9568 section 6.4.2: adopt the advertised interval (version 3 only).
  const intervalUs = options.version === 3 ? event.advertIntervalUs : options.advertIntervalUs;
  const { heldBack } = state;
  const heardOwner = priority === 255;
  const fresh = backupFrom(options, atUs, intervalUs);
  return { state: { ...fresh, preemptAtUs, heardOwner, heldBack }, effects: NOTHING };
}

/** RFC 9568 section 7.1: the owner of the addresses discards what others advertise. */
function isDeaf(options: InstanceOptions): boolean {
  return options.priority === 255 && options.ownerConflict === 'ignore';
}

function hearAsActive(options: InstanceOptions, state: Active, event: AdvertReceived): Step {
  if (isDeaf(options)) return { state, effects: NOTHING };
  const { atUs, priority } = event;
  if (priority === 0) {
    // RFC 9568 section 6.4.3: another active resigns; advertise at once, reset the Adver_Timer.
    const advertAtUs = atUs + options.advertIntervalUs;
    return { state: { ...state, advertAtUs }, effects: ONLY_ADVERT };
  }
  const yieldReason = reasonToYield(options, state, event);
  if (yieldReason !== null) {
    const intervalUs = options.version === 3 ? event.advertIntervalUs : options.advertIntervalUs;
    const heardOwner = priority === 255;
    const next: Backup = { ...backupFrom(options, atUs, intervalUs), heardOwner };
    const last = options.advertiseBeforeYielding === true && yieldReason !== 'stalled';
    const gone = [REMOVE_ADDRESSES, transition(state, 'backup', yieldReason)];
    return { state: next, effects: last ? [SEND_ADVERT, ...gone] : gone };
  }
  const { schedule, burst } = answerLoser(options.announce, state.announce, atUs);
  const rival = priority === 255 ? rivalHeard(options, state.rival, event) : state.rival;
  const next: Active = { ...state, announce: schedule, rival };
  // RFC 9568 section 6.4.3 (version 3): discard and advertise at once. RFC 3768: discard.
  const answers = options.answerLowerPriority ?? options.version === 3;
  return { state: next, effects: [...(answers ? ONLY_ADVERT : NOTHING), ...announcing(burst)] };
}

/** The other owner after one more advertisement of it; one that was silent begins anew. */
function rivalHeard(options: InstanceOptions, rival: Rival | null, event: AdvertReceived): Rival {
  const { atUs, advertIntervalUs } = event;
  const goneUs = safeSilenceUs(
    Math.max(advertIntervalUs, options.advertIntervalUs),
    options.downTimerAdverts,
  );
  const stays = rival !== null && atUs - rival.lastAtUs <= goneUs;
  return { sinceUs: stays ? rival.sinceUs : atUs, lastAtUs: atUs };
}

/**
 * Two owners of one address: the one of lower address should have given way by now, so it never
 * will (RFC 9568 section 7.1 tells owners to discard), and one of the two must.
 */
function rivalStays(options: InstanceOptions, state: Active, event: AdvertReceived): boolean {
  if (event.priority !== 255 || options.priority !== 255 || state.rival === null) return false;
  const rival = rivalHeard(options, state.rival, event);
  const longerUs = Math.max(event.advertIntervalUs, options.advertIntervalUs);
  const patienceUs = RIVAL_ADVERTS * options.advertIntervalUs + RIVAL_MARGIN * longerUs;
  return event.atUs - rival.sinceUs > patienceUs;
}

/** Why an active director must give way to the sender of this advertisement, or null. */
function reasonToYield(
  options: InstanceOptions,
  state: Active,
  event: AdvertReceived,
): TransitionReason | null {
  // We were silent so long (stalled, suspended) that this peer took over rightfully. Answers may
  // have put off the Adver_Timer; a director whose timer is not overdue was not stalled.
  const silentForUs = event.atUs - state.lastAdvertAtUs;
  const overdue = event.atUs > state.advertAtUs;
  if (overdue && silentForUs > silenceUs(options)) return 'stalled';
  if (event.priority > options.priority) return 'higher-priority-peer';
  // RFC 9568 section 6.4.3: equal priorities, and the sender's address is greater.
  if (event.priority === options.priority && event.fromHigherAddress) {
    return 'equal-priority-higher-address';
  }
  if (rivalStays(options, state, event)) return 'owner-conflict';
  return null;
}

function actOnDeadline(options: InstanceOptions, state: Active, nowUs: number): Step {
  const advertDue = nowUs >= state.advertAtUs;
  const { schedule, burst } = burstDue(options.announce, state.announce, nowUs);
  if (!advertDue && burst === null) return { state, effects: NOTHING };
  if (advertDue && isExpired(options, state, nowUs)) {
    const next = backupFrom(options, nowUs, options.advertIntervalUs);
    return {
      state: next,
      effects: [REMOVE_ADDRESSES, transition(state, 'backup', 'timer-expired')],
    };
  }
  let next: Active = { ...state, announce: schedule };
  if (advertDue) {
    // On a fixed grid, so that lateness does not add up; after a stall the grid starts anew.
    const onGridUs = state.advertAtUs + options.advertIntervalUs;
    const advertAtUs = onGridUs > nowUs ? onGridUs : nowUs + options.advertIntervalUs;
    next = { ...next, advertAtUs, lastAdvertAtUs: nowUs };
  }
  return { state: next, effects: [...(advertDue ? ONLY_ADVERT : NOTHING), ...announcing(burst)] };
}

function takeoverBurst(options: InstanceOptions): VrrpEffect {
  return { kind: 'announce', repeat: options.announce.repeat, scope: 'all' };
}

function announcing(burst: Burst | null): readonly VrrpEffect[] {
  return burst === null ? NOTHING : [{ kind: 'announce', ...burst }];
}

/**
 * It is so late that the best of the others has taken over. An answer put the Adver_Timer off, so
 * the time that this one counts from is that of an advertisement too.
 */
function isExpired(options: InstanceOptions, state: Active, nowUs: number): boolean {
  const priority = options.timerExpiredBackup ?? null;
  if (priority === null) return false;
  const { version, advertIntervalUs } = options;
  const sentAtUs = Math.max(state.lastAdvertAtUs, state.advertAtUs - advertIntervalUs);
  const skewUs = skewTimeUs({ version, priority }, advertIntervalUs);
  return nowUs - sentAtUs > silenceUs(options) + skewUs;
}

function afterAdvert(options: InstanceOptions, state: Active, nowUs: number): Active {
  return { ...state, advertAtUs: nowUs + options.advertIntervalUs, lastAdvertAtUs: nowUs };
}

/**
 * A changed priority or interval may shorten the waiting time, never prolong it: a priority that
 * changes again and again must not keep a backup from taking over.
 */
function reconfigureBackup(options: InstanceOptions, state: Backup, nowUs: number): Step {
  // Another owner is active: it gives way first, or this one waits until it is silent.
  const rivalled = state.heardOwner && options.ownerConflict !== 'ignore';
  const owns = options.priority === 255 && !rivalled && !state.heldBack;
  if (owns && !isGrouped(options)) return becomeActive(options, state, nowUs, 'address-owner');
  const intervalUs =
    options.version === 3 ? state.activeAdvertIntervalUs : options.advertIntervalUs;
  const freshUs = nowUs + activeDownIntervalUs(options, intervalUs);
  const activeDownAtUs = Math.min(state.activeDownAtUs, freshUs);
  const next = { ...state, activeDownAtUs, activeAdvertIntervalUs: intervalUs };
  return { state: owns ? ownsWithGroup(next) : next, effects: NOTHING };
}

function raiseFault(from: VrrpState, reason: FaultReason, first: readonly VrrpEffect[]): Step {
  return {
    state: { kind: 'fault', reason, heldBack: isHeldBack(from) },
    effects: [...first, transition(from, 'fault', reason)],
  };
}

/**
 * Who stops waits for the longest skew time. Who is handed over has time: a successor that missed
 * the resignation takes over when it has heard nothing for long enough.
 */
function resign(
  options: InstanceOptions,
  nowUs: number,
  afterwards: Resigning['afterwards'],
): VrrpState {
  const waitUs = longestSkewUs(options) + (afterwards === 'backup' ? silenceUs(options) : 0);
  return { kind: 'resigning', releaseAtUs: nowUs + waitUs + RESIGN_MARGIN_US, afterwards };
}

function silenceUs({ advertIntervalUs, downTimerAdverts }: InstanceOptions): number {
  return safeSilenceUs(advertIntervalUs, downTimerAdverts);
}

function isHeldBack(state: VrrpState): boolean {
  switch (state.kind) {
    case 'backup':
    case 'delayed':
    case 'fault':
      return state.heldBack;
    case 'resigning':
      return state.afterwards === 'backup';
    default:
      return false;
  }
}

function stop(from: VrrpState, first: readonly VrrpEffect[]): Step {
  return { state: INITIAL_STATE, effects: [...first, transition(from, 'initialize', 'stopped')] };
}

function transition(from: VrrpState, to: VrrpStateName, reason: TransitionReason): VrrpEffect {
  return { kind: 'report-transition', from: stateName(from), to, reason };
}

/**
 * The state machine of one BFD session (RFC 5880 sections 6.2 and 6.8): asynchronous mode, without
 * echo and authentication. A remote system's wish for Demand mode is granted; ours has none.
 *
 * step(options, state, event) -> { state, effects }: pure, total, time is an argument. Deadlines
 * follow from the state: the shell arms one timer for nextDeadlineUs(options, state) and, when it
 * fires, first hands over every packet that waits in its sockets and only then the deadline.
 * Jitter comes from a generator in the state, so a run is the same every time.
 */
import { assert, assertNever } from '../assert.ts';
import {
  BFD_DIAGNOSTICS,
  type BfdControl,
  type BfdDiagnostic,
  type BfdEffect,
  type BfdEvent,
  type BfdOptions,
  type BfdStateName,
} from './types.ts';

/** RFC 5880 section 6.8.3: bfd.DesiredMinTxInterval while the session is not up. */
const IDLE_TX_MIN_US = 1_000_000;
/** RFC 5880 section 6.8.1: bfd.RemoteMinRxInterval before anything was heard. */
const REMOTE_MIN_RX_INITIAL_US = 1;
const JITTER_STEPS = 2 ** 16;

/** What the remote system last said of itself: RFC 5880 section 6.8.1. */
export interface BfdRemote {
  /** bfd.RemoteDiscr: 0 while it is not known. */
  readonly discriminator: number;
  readonly state: BfdStateName;
  readonly diagnostic: number;
  readonly minTxUs: number;
  readonly minRxUs: number;
  readonly multiplier: number;
  readonly demand: boolean;
  /** When its last packet arrived; null before, and after the Detection Time has passed. */
  readonly heardAtUs: number | null;
}

/**
 * Where a Poll Sequence (RFC 5880 section 6.5) is: about to be sent, sent and not answered, or
 * answered. The next one waits for a packet without the Final bit (section 6.8.3), so that no
 * late Final is taken for its answer.
 */
export type PollPhase = 'none' | 'due' | 'sent' | 'settling';

export interface BfdState {
  readonly session: BfdStateName;
  /** bfd.LocalDiag. */
  readonly diagnostic: BfdDiagnostic;
  /** bfd.LocalDiscr. */
  readonly discriminator: number;
  /** bfd.DesiredMinTxInterval and bfd.RequiredMinRxInterval, as advertised. */
  readonly desiredMinTxUs: number;
  readonly requiredMinRxUs: number;
  /** The same two as they count: older values until a Poll Sequence has ended. */
  readonly txInUseUs: number;
  readonly rxInUseUs: number;
  readonly poll: PollPhase;
  readonly remote: BfdRemote;
  /** When the last packet was sent that was no answer to a poll, or the session was started. */
  readonly sentAtUs: number;
  /** Place of the next interval between its least and its greatest length, of JITTER_STEPS. */
  readonly jitter: number;
  /** State of the generator, 1 to 2^32 - 1. */
  readonly random: number;
}

export interface BfdStep {
  readonly state: BfdState;
  readonly effects: readonly BfdEffect[];
}

const NOTHING: readonly BfdEffect[] = [];

const REMOTE_UNKNOWN: BfdRemote = {
  discriminator: 0,
  state: 'down',
  diagnostic: 0,
  minTxUs: 0,
  minRxUs: REMOTE_MIN_RX_INITIAL_US,
  multiplier: 0,
  demand: false,
  heardAtUs: null,
};

/** A session that was not started. Both arguments are 1 to 2^32 - 1, the first unique here. */
export function initialBfdState(discriminator: number, seed: number): BfdState {
  assert(discriminator >= 1 && discriminator < 2 ** 32, 'a discriminator is 1 to 2^32 - 1');
  assert(seed >= 1 && seed < 2 ** 32, 'a seed is 1 to 2^32 - 1');
  return {
    session: 'admin-down',
    diagnostic: 'none',
    discriminator,
    desiredMinTxUs: IDLE_TX_MIN_US,
    requiredMinRxUs: 1,
    txInUseUs: IDLE_TX_MIN_US,
    rxInUseUs: 1,
    poll: 'none',
    remote: REMOTE_UNKNOWN,
    sentAtUs: 0,
    jitter: 0,
    random: seed,
  };
}

/** Moment at which the machine wants 'deadline-reached', or null for never. */
export function nextDeadlineUs(options: BfdOptions, state: BfdState): number | null {
  const sendAtUs = nextSendAtUs(options, state);
  const detectAtUs = detectionAtUs(state);
  if (sendAtUs === null || detectAtUs === null) return sendAtUs ?? detectAtUs;
  return Math.min(sendAtUs, detectAtUs);
}

/**
 * RFC 5880 section 6.8.4: silence for so long means that the remote system is gone. Null while
 * it is not heard.
 */
export function detectionTimeUs(state: BfdState): number | null {
  const { remote } = state;
  if (remote.heardAtUs === null) return null;
  return remote.multiplier * Math.max(state.rxInUseUs, remote.minTxUs);
}

/** RFC 5880 sections 6.8.2 and 6.8.7: the interval of periodic packets before jitter. */
export function transmitIntervalUs(state: BfdState): number {
  return Math.max(state.txInUseUs, state.remote.minRxUs);
}

/** One event in one state: the next state and what to do, in order. */
export function step(options: BfdOptions, state: BfdState, event: BfdEvent): BfdStep {
  if (state.session === 'admin-down') {
    return event.kind === 'started'
      ? start(options, state, event.atUs)
      : { state, effects: NOTHING };
  }
  switch (event.kind) {
    case 'started':
      return { state, effects: NOTHING };
    case 'packet-received':
      return receive(options, state, event.packet, event.atUs);
    case 'deadline-reached':
      return actOnDeadlines(options, state, event.atUs);
    case 'reconfigured':
      // A changed multiplier must reach the remote system too, and needs no poll.
      return send(options, applyTimers(options, state), event.atUs, NOTHING);
    case 'stopped':
      return stop(options, state, event.atUs);
    default:
      return assertNever(event);
  }
}

/** RFC 5880 section 6.8.16: enabled, the session is down; the passive role waits. */
function start(options: BfdOptions, state: BfdState, atUs: number): BfdStep {
  const idleUs = desiredMinTxUs(options, 'down');
  const down: BfdState = {
    ...state,
    session: 'down',
    diagnostic: 'none',
    desiredMinTxUs: idleUs,
    requiredMinRxUs: options.minRxUs,
    txInUseUs: idleUs,
    rxInUseUs: options.minRxUs,
    poll: 'none',
    remote: REMOTE_UNKNOWN,
    sentAtUs: atUs,
  };
  return send(options, down, atUs, [transition(state, down)]);
}

/** RFC 5880 section 6.8.16: disabled, with diagnostic 7; the remote system is told once. */
function stop(options: BfdOptions, state: BfdState, atUs: number): BfdStep {
  const down = enter(options, state, 'admin-down', 'administratively-down');
  return send(options, { ...down, poll: 'none' }, atUs, [transition(state, down)]);
}

/** RFC 5880 section 6.8.6, from bfd.RemoteDiscr on: the packet is one of this session. */
function receive(options: BfdOptions, before: BfdState, packet: BfdControl, atUs: number): BfdStep {
  const heard = hear(before, packet, atUs);
  const [to, diagnostic] = afterHearing(heard.session, packet.state);
  const changed = to !== heard.session;
  const entered = changed ? enter(options, heard, to, diagnostic) : heard;
  // Changes that waited for the end of a Poll Sequence begin the next one.
  const state = applyTimers(options, entered);
  const effects = changed ? [transition(before, state)] : NOTHING;
  // Section 6.8.7: the answer to a poll waits for nothing, and tells a new state by the way.
  if (packet.poll) return { state, effects: [...effects, answer(options, state)] };
  if (changed || state !== entered) return send(options, state, atUs, effects);
  return { state, effects };
}

/** What the packet says of the remote system, and the end of our Poll Sequence. */
function hear(state: BfdState, packet: BfdControl, atUs: number): BfdState {
  const remote: BfdRemote = {
    discriminator: packet.myDiscriminator,
    state: packet.state,
    diagnostic: packet.diagnostic,
    minTxUs: packet.desiredMinTxUs,
    minRxUs: packet.requiredMinRxUs,
    multiplier: packet.detectMultiplier,
    demand: packet.demand,
    heardAtUs: atUs,
  };
  if (state.poll === 'sent' && packet.final) {
    const { desiredMinTxUs: txInUseUs, requiredMinRxUs: rxInUseUs } = state;
    return { ...state, remote, txInUseUs, rxInUseUs, poll: 'settling' };
  }
  if (state.poll === 'settling' && !packet.final) return { ...state, remote, poll: 'none' };
  return { ...state, remote };
}

/** The transitions of RFC 5880 section 6.8.6 and the diagnostic that goes with them. */
function afterHearing(session: BfdStateName, heard: BfdStateName): [BfdStateName, BfdDiagnostic] {
  switch (session) {
    case 'admin-down':
      return ['admin-down', 'none'];
    case 'down':
      if (heard === 'down') return ['init', 'none'];
      return [heard === 'init' ? 'up' : 'down', 'none'];
    case 'init':
      if (heard === 'admin-down') return ['down', 'neighbor-signaled-down'];
      return [heard === 'down' ? 'init' : 'up', 'none'];
    case 'up':
      if (heard === 'admin-down' || heard === 'down') return ['down', 'neighbor-signaled-down'];
      return ['up', 'none'];
    default:
      return assertNever(session);
  }
}

function actOnDeadlines(options: BfdOptions, before: BfdState, atUs: number): BfdStep {
  const detectAtUs = detectionAtUs(before);
  if (detectAtUs !== null && detectAtUs <= atUs) return expire(options, before, atUs);
  const sendAtUs = nextSendAtUs(options, before);
  if (sendAtUs === null || sendAtUs > atUs) return { state: before, effects: NOTHING };
  return send(options, before, atUs, NOTHING);
}

/** RFC 5880 sections 6.8.1 and 6.8.4: the Detection Time has passed without a packet. */
function expire(options: BfdOptions, before: BfdState, atUs: number): BfdStep {
  const { minRxUs } = before.remote;
  const forgotten: BfdState = {
    ...before,
    remote: {
      ...before.remote,
      discriminator: 0,
      heardAtUs: null,
      // The wish for no packets dies with the system that had it: its successor, if it is
      // passive, would never hear of us.
      minRxUs: minRxUs === 0 ? REMOTE_MIN_RX_INITIAL_US : minRxUs,
    },
  };
  if (before.session === 'down') return { state: forgotten, effects: NOTHING };
  const down = applyTimers(options, enter(options, forgotten, 'down', 'detection-time-expired'));
  return send(options, down, atUs, [transition(before, down)]);
}

/** bfd.DesiredMinTxInterval in a state: never less while not up than while up. */
function desiredMinTxUs(options: BfdOptions, session: BfdStateName): number {
  if (session === 'up') return options.minTxUs;
  return Math.max(options.idleTxUs, options.minTxUs, IDLE_TX_MIN_US);
}

/**
 * The state after a change of session state, with the intervals that go with it. They count at
 * once: entering Up never raises one, and what delays them is for sessions that are up.
 */
function enter(
  options: BfdOptions,
  state: BfdState,
  session: BfdStateName,
  diagnostic: BfdDiagnostic,
): BfdState {
  const txUs = desiredMinTxUs(options, session);
  return {
    ...state,
    session,
    diagnostic,
    desiredMinTxUs: txUs,
    txInUseUs: txUs,
    rxInUseUs: state.requiredMinRxUs,
    poll: txUs === state.desiredMinTxUs ? state.poll : 'due',
  };
}

/**
 * Advertises the options' intervals where they differ, with a Poll Sequence (RFC 5880 section
 * 6.8.3); the state itself where they do not, or while an earlier sequence has to end first.
 */
function applyTimers(options: BfdOptions, state: BfdState): BfdState {
  const txUs = desiredMinTxUs(options, state.session);
  const rxUs = options.minRxUs;
  if (txUs === state.desiredMinTxUs && rxUs === state.requiredMinRxUs) return state;
  const up = state.session === 'up';
  if (up && state.poll !== 'none') return state;
  return {
    ...state,
    desiredMinTxUs: txUs,
    requiredMinRxUs: rxUs,
    // Up, we send no slower, and wait no shorter, before the remote system knows of it.
    txInUseUs: up ? Math.min(txUs, state.txInUseUs) : txUs,
    rxInUseUs: up ? Math.max(rxUs, state.rxInUseUs) : rxUs,
    poll: 'due',
  };
}

/** RFC 5880 section 6.8.7: when the next periodic packet is due; null while none may be sent. */
function nextSendAtUs(options: BfdOptions, state: BfdState): number | null {
  const { session, remote } = state;
  if (session === 'admin-down' || remote.minRxUs === 0) return null;
  if (!mayTransmit(options, state)) return null;
  const demandActive = remote.demand && session === 'up' && remote.state === 'up';
  if (demandActive && !isPolling(state)) return null;
  return state.sentAtUs + jittered(transmitIntervalUs(state), state.jitter, options.multiplier);
}

function detectionAtUs(state: BfdState): number | null {
  const { heardAtUs } = state.remote;
  const timeUs = detectionTimeUs(state);
  if (state.session === 'admin-down') return null;
  return heardAtUs === null || timeUs === null ? null : heardAtUs + timeUs;
}

/** The passive role says nothing to a remote system that it has not heard. */
function mayTransmit(options: BfdOptions, state: BfdState): boolean {
  return !options.passive || state.remote.discriminator !== 0;
}

function isPolling(state: BfdState): boolean {
  return state.poll === 'due' || state.poll === 'sent';
}

/**
 * RFC 5880 section 6.8.7: 75 to 100 % of the interval; 75 to 90 % when a single lost packet
 * would end the session.
 */
function jittered(intervalUs: number, jitter: number, multiplier: number): number {
  const leastUs = Math.ceil((intervalUs * 3) / 4);
  const mostUs = multiplier === 1 ? Math.floor((intervalUs * 9) / 10) : intervalUs;
  return leastUs + Math.floor((Math.max(mostUs - leastUs, 0) * jitter) / (JITTER_STEPS - 1));
}

/** Appends a packet to `effects`, unless the passive role has to be silent. */
function send(
  options: BfdOptions,
  state: BfdState,
  atUs: number,
  effects: readonly BfdEffect[],
): BfdStep {
  if (!mayTransmit(options, state)) return { state, effects };
  const random = nextRandom(state.random);
  const next: BfdState = {
    ...state,
    sentAtUs: atUs,
    poll: state.poll === 'due' ? 'sent' : state.poll,
    random,
    jitter: random >>> 16,
  };
  const packet = { ...contents(options, state), poll: isPolling(state) };
  return { state: next, effects: [...effects, { kind: 'send', packet }] };
}

/** The answer to a poll: it leaves the periodic packets, and our own poll, as they are. */
function answer(options: BfdOptions, state: BfdState): BfdEffect {
  return { kind: 'send', packet: { ...contents(options, state), final: true } };
}

/** RFC 5880 section 6.8.7: every field but Poll and Final. */
function contents(options: BfdOptions, state: BfdState): BfdControl {
  return {
    state: state.session,
    diagnostic: BFD_DIAGNOSTICS.indexOf(state.diagnostic),
    poll: false,
    final: false,
    demand: false,
    detectMultiplier: options.multiplier,
    myDiscriminator: state.discriminator,
    yourDiscriminator: state.remote.discriminator,
    desiredMinTxUs: state.desiredMinTxUs,
    requiredMinRxUs: state.requiredMinRxUs,
  };
}

function transition(before: BfdState, after: BfdState): BfdEffect {
  const { session: to, diagnostic } = after;
  return { kind: 'report-transition', from: before.session, to, diagnostic };
}

/** Xorshift (Marsaglia, 2003): all of 1 to 2^32 - 1, one after another. */
function nextRandom(random: number): number {
  let value = random;
  value ^= value << 13;
  value ^= value >>> 17;
  value ^= value << 5;
  return value >>> 0;
}

/**
 * Which servers of one virtual service get clients, and with which weight: from the verdicts of
 * the checks, the quorum, the sorry servers, the guard against taking out too many, the slow
 * start of those that came back, and what operators decided.
 *
 * decide(policy, state, members, sorry, nowUs) -> weights with their reasons, the next state, and
 * when to look again. Pure; time is an argument. Precedence, highest first: an operator's word on
 * being in or out, a maintenance window, the quorum, the guard, the check, slow start; in full in
 * docs/guides/taking-servers-out.md.
 *
 * The first decision begins with what the kernel's table says of the quorum, of who served and
 * with which weight, so that the next controller goes on where the one before it died.
 */
import { assertNever } from '../assert.ts';
import type { CheckInitial } from '../config/check.ts';
import type { AddressFamily, QuorumConfig } from '../config/config.ts';
import type { MaintenanceWish } from './maintenance.ts';
import type { OverrideAction } from './override.ts';

export type ServerHealth = 'up' | 'down' | 'unknown' | 'unchecked';

export interface PoolPolicy {
  readonly quorum: QuorumConfig;
  /** A failed server's weight becomes 0, or it leaves the table. */
  readonly onFailure: 'quiesce' | 'remove';
  /** Share of the servers, 0 to 100, that checks alone never take out. */
  readonly minHealthyPercent: number;
  /** How long the weight of a server that came back rises; 0 for at once. */
  readonly slowStartUs: number;
}

/** One configured server with what is known of it. */
export interface PoolMember {
  readonly key: string;
  /** Of a service of both families, the one whose clients it serves; null where it serves all. */
  readonly family: AddressFamily | null;
  readonly weight: number;
  readonly health: ServerHealth;
  /** What it is taken for while its health is unknown. */
  readonly initial: CheckInitial;
  /** When its check last changed its mind; null while unknown or unchecked. */
  readonly sinceUs: number | null;
  /** Weight that its check asks for; null for the configured one. */
  readonly checkWeight: number | null;
  /** Its check may ask for any weight. */
  readonly dynamic: boolean;
  /** When it came back after a failure; null when it is not up, or never failed. */
  readonly recoveredAtUs: number | null;
  /** Weight in the kernel; null when it is not in the table. */
  readonly kernelWeight: number | null;
  readonly override: OverrideAction | null;
  /** What a maintenance window asks of it; null outside of all. */
  readonly maintenance: Pick<MaintenanceWish, 'action' | 'force'> | null;
  /** It accepts no connection, and should get no new one for a while. */
  readonly passive: boolean;
}

/** Why a server has its weight: a label of metrics, a word in the status. */
export const WEIGHT_REASONS = [
  'healthy',
  'slow-start',
  'awaiting-check',
  'failed',
  'guarded',
  'kept-last',
  'below-quorum',
  'sorry',
  'standby',
  'draining',
  'drained',
  'forced-down',
  'forced-up',
  'weight-override',
  'check-weight',
  'maintenance',
  'accepts-nothing',
] as const;
export type WeightReason = (typeof WEIGHT_REASONS)[number];

export interface PoolWeight {
  /** null: not in the table. */
  readonly weight: number | null;
  readonly reason: WeightReason;
}

export interface PoolState {
  /** null before enough checks have spoken to decide it. */
  readonly quorumMet: boolean | null;
  /** What the table said of it at first; null when it is decided, or nothing was there. */
  readonly foundMet: boolean | null;
  /** Servers that were out in a table that was found, and have not been healthy since, by key. */
  readonly foundOut: readonly string[];
  /** Servers that had clients when the quorum was last met, by key: for 'keep-last'. */
  readonly lastServing: readonly string[];
  /** Servers that have clients and need not start slowly, by key; none without slow start. */
  readonly stayed: readonly string[];
  /** Servers that somebody took out on purpose, healthy or not, by key; none without slow start. */
  readonly takenOut: readonly string[];
  /** Of those that came back the time, by key, while their slow start lasts. */
  readonly returned: readonly (readonly [key: string, atUs: number])[];
  /**
   * Servers that are out for maintenance and would have clients, as far as is known, by key: they
   * stay out until it ends.
   */
  readonly maintained: readonly string[];
  /**
   * Weights that servers have in the table, by key, while their check has said nothing of theirs:
   * one that an earlier controller had in the middle of a slow start goes on from it, and one whose
   * check asks for a weight is kept in with it. None where neither can be.
   */
  readonly waitedWith: readonly (readonly [key: string, weight: number])[];
}

export interface PoolDecision {
  readonly state: PoolState;
  readonly weights: ReadonlyMap<string, PoolWeight>;
  /** Servers that a maintenance window asks for and that are needed, by key: they stay in. */
  readonly heldBack: readonly string[];
  /** Healthy weight, as the quorum counts it. */
  readonly healthyWeight: number;
  /** Families that have no healthy server while the quorum is met by those of the other one. */
  readonly bereft: readonly AddressFamily[];
  /** When weights change by the mere passing of time; null for never. */
  readonly nextAtUs: number | null;
}

/** Steps of a slow start: each is one change of the kernel's table. */
const SLOW_START_STEPS_MAX = 20;

/** Decides for all servers of a service; `last` is null at first, `sorry` its sorry servers. */
export function decide(
  policy: PoolPolicy,
  last: PoolState | null,
  asked: readonly PoolMember[],
  sorryAsked: readonly PoolMember[],
  nowUs: number,
): PoolDecision {
  const state = last ?? foundState(policy, asked, sorryAsked);
  const waited = waitedWith(policy, state, asked);
  const outMax = outMaxOf(policy, asked.length);
  const { members, heldBack } = holdBack(policy, state, askingAsBefore(asked, waited), outMax);
  const healthyWeight = sum(members, (member) => (isHealthy(member) ? weightOf(member) : 0));
  const quorumMet = meetsQuorum(policy, state, members, healthyWeight);
  // Nothing changes hands before it is decided.
  const lost = (quorumMet ?? state.foundMet) === false;
  const weights = new Map<string, PoolWeight>();
  const maintained = members.filter(isMaintained);
  const foundOut = keysOf(members.filter((member) => isFoundOut(state, member)));
  const planned = members.filter((member) => isMaintained(member) || isDrained(member));
  const guarded = beyond(outMax - planned.length, members, setOf(foundOut));
  const before = setOf(state.stayed);
  const returned = returnedAt(policy, state, members, waited, nowUs);
  let nextAtUs: number | null = null;
  for (const member of members) {
    const { key } = member;
    const past = { stayed: before.has(key), returnedAtUs: returned.get(key) ?? null };
    const one = decideMember(policy, member, { guarded: guarded.has(key), ...past }, nowUs);
    weights.set(member.key, one.weight);
    if (one.nextAtUs !== null) nextAtUs = Math.min(nextAtUs ?? Infinity, one.nextAtUs);
  }
  const bereft = lost ? NO_FAMILIES : bereftFamilies(members, sorryAsked);
  const isBereft = ({ family }: PoolMember) => family !== null && bereft.has(family);
  const isLost = (member: PoolMember) => lost || isBereft(member);
  const sorryServes = serveSorry(policy, isLost, sorryAsked, weights);
  belowQuorum(policy, { members: members.filter(isLost), sorryServes }, weights);
  const short = quorumMet === true ? members.filter(isBereft) : members;
  keepLast(policy, state, short, weights);
  const served = members.filter((member) => isHealthy(member) && weightOf(member) > 0);
  const lastServing = servingAfter(quorumMet, state, {
    healthy: keysOf(served),
    bereft: keysOf(members.filter(isBereft)),
  });
  const isWaiting = ({ key, health }: PoolMember) => health === 'unknown' && waited.has(key);
  const stays = (member: PoolMember) =>
    hasRisen(weights.get(member.key)) && (before.has(member.key) || !isWaiting(member));
  const stayed = policy.slowStartUs === 0 ? NONE : members.filter(stays);
  const out = maintained.filter(
    (member) =>
      isHealthy({ ...member, maintenance: null, passive: false }) ||
      (member.health === 'unknown' && state.maintained.includes(member.key)),
  );
  const foundMet = quorumMet === null ? state.foundMet : null;
  const next = {
    quorumMet,
    foundMet,
    foundOut,
    lastServing,
    stayed: keysOf(stayed),
    takenOut: policy.slowStartUs === 0 ? NONE : keysOf(members.filter(isTakenOut)),
    returned: listOf(returned),
    maintained: keysOf(out),
    waitedWith: stillWaiting(asked, waited),
  };
  return { state: next, weights, heldBack, healthyWeight, bereft: listOf(bereft), nextAtUs };
}

/**
 * Whether two decisions say the same. Of services that nothing happens to, the former one is kept:
 * what is new and stays, for tens of thousands of services at each comparison, is work to collect.
 */
export function isSameDecision(one: PoolDecision, other: PoolDecision): boolean {
  const { state, weights } = one;
  return (
    one.healthyWeight === other.healthyWeight &&
    one.nextAtUs === other.nextAtUs &&
    sameTexts(one.heldBack, other.heldBack) &&
    sameTexts(one.bereft, other.bereft) &&
    isSameState(state, other.state) &&
    weights.size === other.weights.size &&
    [...weights].every(([key, { weight, reason }]) => {
      const its = other.weights.get(key);
      return its !== undefined && its.weight === weight && its.reason === reason;
    })
  );
}

function isSameState(one: PoolState, other: PoolState): boolean {
  return (
    one.quorumMet === other.quorumMet &&
    one.foundMet === other.foundMet &&
    sameTexts(one.foundOut, other.foundOut) &&
    sameTexts(one.lastServing, other.lastServing) &&
    sameTexts(one.stayed, other.stayed) &&
    sameTexts(one.takenOut, other.takenOut) &&
    sameTexts(one.maintained, other.maintained) &&
    samePairs(one.returned, other.returned) &&
    samePairs(one.waitedWith, other.waitedWith)
  );
}

type Pairs = readonly (readonly [key: string, number: number])[];

function samePairs(one: Pairs, other: Pairs): boolean {
  return (
    one.length === other.length &&
    one.every(([key, number], index) => key === other[index]?.[0] && number === other[index]?.[1])
  );
}

function sameTexts(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text, index) => text === other[index]);
}

/** Of nearly all services these are empty: one for all of them. */
const NONE: readonly never[] = [];
const NO_KEYS: ReadonlySet<string> = new Set();
const NO_NUMBERS: ReadonlyMap<string, number> = new Map();
const NO_FAMILIES: ReadonlySet<AddressFamily> = new Set();

function setOf(keys: readonly string[]): ReadonlySet<string> {
  return keys.length === 0 ? NO_KEYS : new Set(keys);
}

function listOf<T>(items: Iterable<T> & { readonly size: number }): readonly T[] {
  return items.size === 0 ? NONE : [...items];
}

/** How many of so many servers may be out on the word of their checks. */
export function outMaxOf(
  { minHealthyPercent }: Pick<PoolPolicy, 'minHealthyPercent'>,
  servers: number,
): number {
  return Math.floor((servers * (100 - minHealthyPercent)) / 100);
}

function keysOf(members: readonly PoolMember[]): readonly string[] {
  return members.length === 0 ? NONE : members.map(({ key }) => key);
}

/** As the kernel's table has it, which an earlier controller may have left. */
function foundState(
  policy: PoolPolicy,
  members: readonly PoolMember[],
  sorry: readonly PoolMember[],
): PoolState {
  const serves = ({ kernelWeight }: PoolMember) => (kernelWeight ?? 0) > 0;
  const serving = members.filter(serves);
  const present = [...members, ...sorry].some(({ kernelWeight }) => kernelWeight !== null);
  const foundMet = present ? serving.length > 0 && !sorry.some(serves) : null;
  const foundOut = serving.length === 0 ? NONE : members.filter((one) => !serves(one));
  return {
    ...{ quorumMet: null, foundMet, foundOut: keysOf(foundOut), lastServing: keysOf(serving) },
    ...{ stayed: NONE, takenOut: NONE, returned: NONE },
    maintained: keysOf(foundOut.filter(isMaintained)),
    // Also of those whose check has spoken before the first decision.
    waitedWith: members.flatMap((member) => weightFound(policy, member)),
  };
}

/** Of one that may be in the middle of a slow start, or have a weight that its check asked for. */
function weightFound(
  { slowStartUs }: PoolPolicy,
  { key, dynamic, kernelWeight, override }: PoolMember,
): readonly (readonly [key: string, weight: number])[] {
  const counts = (dynamic || slowStartUs > 0) && override === null;
  return counts && kernelWeight !== null && kernelWeight > 0 ? [[key, kernelWeight]] : [];
}

/** PoolState.waitedWith, with those that wait from now on. */
function waitedWith(
  policy: PoolPolicy,
  // A director of another version says nothing of these.
  { waitedWith: before = [] }: PoolState,
  members: readonly PoolMember[],
): ReadonlyMap<string, number> {
  if (policy.slowStartUs === 0 && !members.some(({ dynamic }) => dynamic)) return NO_NUMBERS;
  const waiting = members.filter(({ health }) => health === 'unknown');
  return new Map([...waiting.flatMap((member) => weightFound(policy, member)), ...before]);
}

function stillWaiting(
  members: readonly PoolMember[],
  waited: ReadonlyMap<string, number>,
): PoolState['waitedWith'] {
  if (waited.size === 0) return NONE;
  return members.filter(hasNotAsked).flatMap(({ key }) => {
    const weight = waited.get(key);
    return weight === undefined ? [] : [[key, weight] as const];
  });
}

/** Its check has not said with which weight it serves. */
function hasNotAsked({ health, dynamic, checkWeight }: PoolMember): boolean {
  return health === 'unknown' || (health === 'down' && dynamic && checkWeight === null);
}

/** Checks that fail asked for a weight when they succeeded, be it for an earlier controller. */
function askingAsBefore(
  members: readonly PoolMember[],
  waited: ReadonlyMap<string, number>,
): readonly PoolMember[] {
  if (waited.size === 0) return members;
  return members.map((member) => {
    const weight = waited.get(member.key);
    if (weight === undefined || member.health === 'unknown' || !hasNotAsked(member)) return member;
    return { ...member, checkWeight: weight };
  });
}

/**
 * Takes the wish of a maintenance window from servers that are needed: without them the healthy
 * weight would be below the quorum, a family without servers, or more servers out than `outMax`.
 * Those that are out already stay out, because somebody is working on them.
 */
function holdBack(
  { quorum }: PoolPolicy,
  state: PoolState,
  members: readonly PoolMember[],
  outMax: number,
): { readonly members: readonly PoolMember[]; readonly heldBack: readonly string[] } {
  const wanted = members.filter(isMaintained);
  if (wanted.length === 0) return { members, heldBack: NONE };
  const inUse = (member: PoolMember) => {
    const { health, kernelWeight } = member;
    if (isDrained(member)) return false;
    // After a restart, what has clients is taken for healthy until its check has spoken.
    return (
      isHealthy({ ...member, maintenance: null, passive: false }) ||
      (health === 'unknown' && !!kernelWeight)
    );
  };
  const used = members.filter(inUse);
  let weight = sum(used, weightOf);
  let out = members.length - used.length;
  const left = new Map<AddressFamily | null, number>();
  const take = (member: PoolMember, share: number) =>
    left.set(member.family, (left.get(member.family) ?? 0) + share);
  for (const member of used) take(member, weightOf(member));
  const free = ({ key, maintenance }: PoolMember) =>
    maintenance?.force === true || state.maintained.includes(key);
  for (const member of wanted.filter((one) => free(one) && inUse(one))) {
    weight -= weightOf(member);
    take(member, -weightOf(member));
    out++;
  }
  const heldBack = new Set<string>();
  const asking = wanted.filter((one) => !free(one) && inUse(one));
  for (const member of asking.sort((left, right) => (left.key < right.key ? -1 : 1))) {
    const own = weightOf(member);
    const isLast = member.family !== null && own > 0 && left.get(member.family) === own;
    if (isLast || weight - own < quorum.weight || out + 1 > outMax) heldBack.add(member.key);
    else {
      [weight, out] = [weight - own, out + 1];
      take(member, -own);
    }
  }
  const without = members.map((member) =>
    heldBack.has(member.key) ? { ...member, maintenance: null, passive: false } : member,
  );
  return { members: without, heldBack: [...heldBack] };
}

/** By a window or a passive hint; who an operator took out or forced up is not asked. */
function isMaintained({ maintenance, passive, override }: PoolMember): boolean {
  return (maintenance !== null || passive) && !isDecided(override);
}

/**
 * An operator gives it no new clients, healthy or not, as a window does. `down` is another thing: it
 * says that the server has failed, and so nobody else is kept in for it.
 */
function isDrained({ override }: PoolMember): boolean {
  return override?.kind === 'drain' || (override?.kind === 'weight' && override.weight === 0);
}

/** Whatever its check says: on the word of an operator, for a window, or because of a hint. */
function isTakenOut(member: PoolMember): boolean {
  return isMaintained(member) || isDrained(member) || member.override?.kind === 'down';
}

/**
 * Since when those have clients again that had been taken out, and may be as cold as others, and
 * those that an earlier controller had in the middle of a slow start.
 */
function returnedAt(
  { slowStartUs }: PoolPolicy,
  // A director of another version says nothing of these.
  { takenOut: wereOut = [], returned = [], stayed }: PoolState,
  members: readonly PoolMember[],
  waited: ReadonlyMap<string, number>,
  nowUs: number,
): ReadonlyMap<string, number> {
  const nobody = wereOut.length === 0 && returned.length === 0 && waited.size === 0;
  if (slowStartUs === 0 || nobody) return NO_NUMBERS;
  const found = new Map<string, number>();
  const [were, before] = [new Set(wereOut), new Map(returned)];
  const riseUs = (member: PoolMember): number | undefined => {
    const { key, override } = member;
    const weight = waited.get(key);
    if (weight === undefined || override !== null || stayed.includes(key)) return undefined;
    return Math.floor(nowUs - elapsedAtUs(slowStartUs, weight, weightOf(member)));
  };
  for (const member of members) {
    // A failed one comes back by its check, and starts slowly then.
    if (isTakenOut(member) || !isHealthy(member)) continue;
    const atUs = were.has(member.key) ? nowUs : (before.get(member.key) ?? riseUs(member));
    if (atUs !== undefined && nowUs - atUs < slowStartUs) found.set(member.key, atUs);
  }
  return found;
}

/** Its check took it out for the controller before, and has not said anything better since. */
function isFoundOut({ foundOut }: PoolState, member: PoolMember): boolean {
  const { key, health, override } = member;
  if (isDecided(override) || isMaintained(member) || weightToStay(member) === 0) return false;
  return (health === 'unknown' || health === 'down') && foundOut.includes(key);
}

/**
 * Keys of the servers above `outMax` that their checks take out, by a failure or by a weight of 0:
 * those that failed last stay in, and before them those that have not failed. Who was out already
 * for the controller before stays so, and counts before its check has spoken.
 */
function beyond(
  outMax: number,
  members: readonly PoolMember[],
  foundOut: ReadonlySet<string>,
): ReadonlySet<string> {
  const waiting = members.filter(({ key, health }) => health === 'unknown' && foundOut.has(key));
  const most = Math.max(0, outMax - waiting.length);
  const out = members.filter(
    (member) =>
      (member.health === 'down' || asksForNothing(member)) &&
      !isDecided(member.override) &&
      !isDrained(member) &&
      !isMaintained(member),
  );
  if (out.length <= most) return NO_KEYS;
  const sinceUs = ({ key, health, sinceUs: us }: PoolMember) => {
    if (foundOut.has(key)) return -Infinity;
    return health === 'down' ? (us ?? 0) : Infinity;
  };
  const byTime = [...out].sort((left, right) => {
    const [one, other] = [sinceUs(left), sinceUs(right)];
    return one === other ? (left.key < right.key ? -1 : 1) : one - other;
  });
  return new Set(byTime.slice(most).map(({ key }) => key));
}

/** It is up, and its check gives it no clients. */
function asksForNothing({ health, checkWeight, override }: PoolMember): boolean {
  return health === 'up' && checkWeight === 0 && override === null;
}

/** What takes a server out whatever its check says; null for nothing. */
function takenOut(policy: PoolPolicy, member: PoolMember): PoolWeight | null {
  switch (member.override?.kind) {
    case 'drain':
      if (member.override.drained) return { weight: null, reason: 'drained' };
      return { weight: 0, reason: 'draining' };
    case 'down':
      return { weight: failedWeightOf(policy), reason: 'forced-down' };
    case 'up':
    case 'weight':
    case undefined:
      break;
  }
  if (!isMaintained(member)) return null;
  if (member.maintenance === null) return { weight: 0, reason: 'accepts-nothing' };
  return { weight: member.maintenance.action === 'down' ? null : 0, reason: 'maintenance' };
}

function failedWeightOf({ onFailure }: PoolPolicy): number | null {
  return onFailure === 'remove' ? null : 0;
}

function decideMember(
  policy: PoolPolicy,
  member: PoolMember,
  {
    guarded,
    stayed,
    returnedAtUs,
  }: {
    readonly guarded: boolean;
    readonly stayed: boolean;
    readonly returnedAtUs: number | null;
  },
  nowUs: number,
): { readonly weight: PoolWeight; readonly nextAtUs: number | null } {
  const fixed = (weight: number | null, reason: WeightReason) => ({
    weight: { weight, reason },
    nextAtUs: null,
  });
  const failedWeight = failedWeightOf(policy);
  const out = takenOut(policy, member);
  if (out !== null) return { weight: out, nextAtUs: null };
  if (member.override?.kind === 'up') return fixed(member.weight, 'forced-up');
  if (guarded) return fixed(weightToStay(member), 'guarded');
  const weight = weightOf(member);
  const reason = weightReason(member);
  const { recoveredAtUs } = member;
  const sinceUs = Math.max(recoveredAtUs ?? -Infinity, returnedAtUs ?? -Infinity);
  switch (member.health) {
    case 'unknown':
      return fixed(weightWhileUnknown(member, failedWeight), 'awaiting-check');
    case 'down':
      return fixed(failedWeight, 'failed');
    case 'unchecked':
    case 'up':
      if (stayed) return fixed(weight, reason);
      return slowStart(policy, sinceUs, weight, nowUs) ?? fixed(weight, reason);
  }
}

/** A server that is in the table keeps its weight, unless it must show first that it is well. */
function weightWhileUnknown(member: PoolMember, failedWeight: number | null): number | null {
  const { initial, kernelWeight, weight } = member;
  switch (initial) {
    case 'unknown':
      // Adopted: a restart of the controller takes no server out that was in.
      return kernelWeight ?? failedWeight;
    case 'up':
      // Nor does it put one in that had failed.
      return kernelWeight ?? weight;
    case 'down':
      return failedWeight;
    default:
      return assertNever(initial);
  }
}

/** The rising weight of a server that came back, `sinceUs` -Infinity for never; null when it has risen. */
function slowStart(policy: PoolPolicy, sinceUs: number, full: number, nowUs: number) {
  if (policy.slowStartUs === 0) return null;
  const elapsedUs = Math.max(0, nowUs - sinceUs);
  const steps = Math.min(full, SLOW_START_STEPS_MAX);
  if (steps < 2 || elapsedUs >= policy.slowStartUs) return null;
  const stepUs = policy.slowStartUs / steps;
  const step = Math.floor(elapsedUs / stepUs);
  // Never 0: it is healthy, and may be the only one.
  const weight = Math.max(1, Math.floor((full * (step + 1)) / (steps + 1)));
  const nextAtUs = Math.ceil(sinceUs + (step + 1) * stepUs);
  return { weight: { weight, reason: 'slow-start' as const }, nextAtUs };
}

/** How long a slow start to the full weight has lasted when it comes to this one. */
function elapsedAtUs(slowStartUs: number, weight: number, full: number): number {
  const steps = Math.min(full, SLOW_START_STEPS_MAX);
  if (weight >= full) return slowStartUs;
  // More than one step may have it.
  if (weight === 1) return 0;
  return ((Math.ceil((weight * (steps + 1)) / full) - 1) * slowStartUs) / steps;
}

/**
 * Families without a server that has clients, or may have, when its check has spoken. Until then it
 * is as the kernel's table has it, where sorry servers may have taken over for another controller.
 */
function bereftFamilies(
  members: readonly PoolMember[],
  sorry: readonly PoolMember[],
): ReadonlySet<AddressFamily> {
  if (!members.some(hasFamily) && !sorry.some(hasFamily)) return NO_FAMILIES;
  const families = new Set<AddressFamily>();
  for (const { family } of members) if (family !== null) families.add(family);
  for (const { family } of sorry) if (family !== null) families.add(family);
  const serves = ({ kernelWeight }: PoolMember) => (kernelWeight ?? 0) > 0;
  for (const family of families) {
    const own = members.filter((member) => member.family === family);
    const waits = own.some((member) => mayBeHealthy(member) && weightPossible(member) > 0);
    const tookOver = () =>
      sorry.some((member) => member.family === family && serves(member)) && !own.some(serves);
    const has = own.some((member) => isHealthy(member) && weightOf(member) > 0);
    if (has || (waits && !tookOver())) families.delete(family);
  }
  return families;
}

function hasFamily({ family }: PoolMember): boolean {
  return family !== null;
}

/** Puts the sorry servers' weights in, and tells which families at least one serves. */
function serveSorry(
  policy: PoolPolicy,
  isLost: (member: PoolMember) => boolean,
  sorry: readonly PoolMember[],
  weights: Map<string, PoolWeight>,
): ReadonlySet<AddressFamily | null> {
  const serving = new Set<AddressFamily | null>();
  for (const member of sorry) {
    const wanted = policy.quorum.below === 'sorry' && isLost(member);
    const out = takenOut(policy, member);
    if (out !== null) {
      // Sorry servers are nobody's quorum: whoever needs them has forced it.
      weights.set(member.key, out);
      continue;
    }
    const healthy = isHealthy(member);
    const full = weightOf(member);
    if (wanted && mayBeHealthy(member) && (member.kernelWeight ?? 0) > 0) {
      // Adopted, like a server of the service itself.
      const weight = weightWhileUnknown(member, 0);
      weights.set(member.key, { weight, reason: 'awaiting-check' });
      if ((weight ?? 0) > 0) serving.add(member.family);
    } else if (!healthy) {
      const reason = mayBeHealthy(member) ? 'awaiting-check' : 'failed';
      weights.set(member.key, { weight: 0, reason });
    } else if (wanted) weights.set(member.key, { weight: full, reason: 'sorry' });
    else weights.set(member.key, { weight: 0, reason: 'standby' });
    if (wanted && healthy && full > 0) serving.add(member.family);
  }
  return serving;
}

/** Changes the weights of the service's own servers while there are too few healthy ones. */
function belowQuorum(
  policy: PoolPolicy,
  {
    members,
    sorryServes,
  }: {
    readonly members: readonly PoolMember[];
    /** Families that sorry servers serve. */
    readonly sorryServes: ReadonlySet<AddressFamily | null>;
  },
  weights: Map<string, PoolWeight>,
): void {
  const { below } = policy.quorum;
  if (below !== 'drop' && below !== 'sorry') return;
  for (const { key, family, override } of members) {
    if (isDecided(override) || (below === 'sorry' && !sorryServes.has(family))) continue;
    if ((weights.get(key)?.weight ?? 0) > 0) {
      weights.set(key, { weight: 0, reason: 'below-quorum' });
    }
  }
}

/** Leaves failed servers in that served last, while too few are healthy, or may be. */
function keepLast(
  policy: PoolPolicy,
  state: PoolState,
  members: readonly PoolMember[],
  weights: Map<string, PoolWeight>,
): void {
  if (policy.quorum.below !== 'keep-last') return;
  const last = new Set(state.lastServing);
  for (const member of members) {
    if (isDecided(member.override) || isMaintained(member) || !last.has(member.key)) continue;
    if ((weights.get(member.key)?.weight ?? 0) > 0) continue;
    weights.set(member.key, { weight: weightToStay(member), reason: 'kept-last' });
  }
}

/** Until it is decided, those that are found healthy are among those that were found in the table. */
function servingAfter(
  quorumMet: boolean | null,
  { lastServing }: PoolState,
  { healthy, bereft }: { readonly healthy: readonly string[]; readonly bereft: readonly string[] },
): readonly string[] {
  if (quorumMet === true) {
    return [...healthy, ...lastServing.filter((key) => bereft.includes(key))];
  }
  return quorumMet === false ? lastServing : [...new Set([...lastServing, ...healthy])];
}

/** Whether an operator has decided it all. */
function isDecided(override: OverrideAction | null): boolean {
  return override !== null && override.kind !== 'weight';
}

/** With hysteresis; undecided while servers without a verdict could still decide it. */
function meetsQuorum(
  { quorum }: PoolPolicy,
  state: PoolState,
  members: readonly PoolMember[],
  healthyWeight: number,
): boolean | null {
  const before = state.quorumMet ?? state.foundMet;
  const gain = quorum.weight + (before === false ? quorum.hysteresis : 0);
  const keep = Math.max(1, quorum.weight - (before === true ? quorum.hysteresis : 0));
  const needed = before === true ? keep : gain;
  if (healthyWeight >= needed) return true;
  const possible =
    healthyWeight + sum(members, (member) => (mayBeHealthy(member) ? weightPossible(member) : 0));
  return possible >= needed ? state.quorumMet : false;
}

/** Has clients as far as it is asked alone. */
function isHealthy(member: PoolMember): boolean {
  const { health, override } = member;
  if (isMaintained(member)) return false;
  switch (override?.kind) {
    case 'drain':
    case 'down':
      return false;
    case 'up':
      return true;
    case 'weight':
    case undefined:
      return health === 'up' || health === 'unchecked';
  }
}

function mayBeHealthy(member: PoolMember): boolean {
  const { health, override } = member;
  if (isMaintained(member)) return false;
  return health === 'unknown' && (override === null || override.kind === 'weight');
}

/** An operator's word counts more than the check's, that more than the configuration. */
function weightOf({ weight, checkWeight, override }: PoolMember): number {
  if (override?.kind === 'weight') return override.weight;
  return override?.kind === 'up' ? weight : (checkWeight ?? weight);
}

/** The most that one whose check has not spoken may have. */
function weightPossible(member: PoolMember): number {
  return member.dynamic && member.override === null ? Infinity : weightOf(member);
}

/** It has clients, and more than those of a slow start. */
function hasRisen(decided: PoolWeight | undefined): boolean {
  return (decided?.weight ?? 0) > 0 && decided?.reason !== 'slow-start';
}

/** Of a server that is not let go, whatever its check asks for. */
function weightToStay(member: PoolMember): number {
  return weightOf(member) === 0 && member.override === null ? member.weight : weightOf(member);
}

function weightReason({ checkWeight, override }: PoolMember): WeightReason {
  if (override !== null) return 'weight-override';
  return checkWeight === null ? 'healthy' : 'check-weight';
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += value(item);
  return total;
}

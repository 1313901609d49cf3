/**
 * Services and VRRP instances with some values that are wrong in themselves: the rules between the others are applied
 * all the same, so that one reading tells of everything. What is wrong is left out as if it were
 * not there; what a rule finds only because of that is not told (`isDoubtful`).
 */
import type { Path } from './document.ts';
import { type Issue, readAs, type Type } from './forms.ts';
import { nearestKey } from './suggest.ts';

/**
 * Keys of a service that can be left out and nothing else than the service itself is another, and
 * the keys whose rules look at them. A rule is told by the key that it complains of.
 */
const RULES_OF_SERVICE: Readonly<Record<string, readonly string[]>> = {
  below_quorum: [],
  check: ['servers', 'sorry_servers'],
  check_when: ['follow'],
  drain_timeout: [],
  forwarding: ['tunnel', 'check', 'servers', 'sorry_servers'],
  hysteresis: [],
  maintenance: [],
  min_healthy: [],
  notify: [],
  on_failure: [],
  on_remove: ['drain_timeout'],
  one_packet: [],
  only_on_active: ['follow', 'check_when'],
  passive: [],
  persistence: ['address', 'persistence_engine'],
  persistence_engine: [],
  quorum: ['hysteresis'],
  scheduler: ['scheduler_flags'],
  scheduler_flags: [],
  slow_start: [],
  tunnel: ['servers', 'sorry_servers'],
};

/** Keys of an instance that can be left out and no other instance has another address or VRID. */
const APART_IN_INSTANCE: readonly string[] = [
  ...['priority', 'interval', 'preempt', 'preempt_delay', 'checksum', 'promote_secondaries'],
  ...['track', 'track_interface', 'notify', 'announce'],
];
/** Keys of an instance whose rules look at none of those. */
const SURE_IN_INSTANCE: readonly string[] = [
  ...['vrid', 'addresses', 'source', 'peers', 'multicast_group', 'password', 'hmac'],
  ...['routes', 'rules', 'track'],
];

type PartlySection = 'services' | 'vrrp';

/** Keys of what was read in part, by 'services.NAME' and 'vrrp.NAME'. */
export type Doubts = ReadonlyMap<string, ReadonlySet<string>>;

export interface PartlyRead<T> {
  readonly input: T;
  /** What was left out: keys that are wrong, or were meant by an unknown one. */
  readonly without: ReadonlySet<string>;
}

/** An entry without what is wrong with it; null where the rest would mean something else. */
export function readInPart<T>(
  section: PartlySection,
  type: Type<T>,
  raw: Readonly<Record<string, unknown>>,
): PartlyRead<T> | null {
  const whole = readAs(type, raw);
  if (whole.ok) return { input: whole.value, without: new Set() };
  const without = new Set<string>();
  const left = new Set<string>();
  for (const issue of whole.error) {
    for (const [key, meant] of keysOf(issue)) {
      if (meant === null || !isApart(section, meant)) return null;
      left.add(key);
      without.add(meant);
    }
  }
  const rest = Object.fromEntries(Object.entries(raw).filter(([key]) => !left.has(key)));
  const again = readAs(type, rest);
  return again.ok ? { input: again.value, without } : null;
}

/** Whether an error may be there only because of what was left out. */
export function isDoubtful(doubts: Doubts, [section, name, key]: Path): boolean {
  const anywhere = (of: PartlySection, keys: readonly string[]): boolean =>
    [...doubts].some(([entry, without]) => {
      return entry.startsWith(`${of}.`) && keys.some((one) => without.has(one));
    });
  // What the servers of all services, and the members of a group, have in common.
  if (section === 'ipvs') return anywhere('services', ['check', 'forwarding']);
  if (section === 'groups') return key === 'instances' && anywhere('vrrp', ['priority']);
  const without = doubts.get(`${String(section)}.${String(name)}`);
  if (without === undefined) return false;
  if (without.has(String(key))) return true;
  if (section === 'vrrp') return !SURE_IN_INSTANCE.includes(String(key));
  return [...without].some((one) => RULES_OF_SERVICE[one]?.includes(String(key)) === true);
}

function isApart(section: PartlySection, key: string): boolean {
  if (section === 'vrrp') return APART_IN_INSTANCE.includes(key);
  return Object.hasOwn(RULES_OF_SERVICE, key);
}

/** Keys of the entry that an issue is about, with the ones that were meant; null for any. */
function keysOf(issue: Issue): readonly (readonly [string, string | null])[] {
  const [first] = issue.path;
  if (typeof first === 'string') return [[first, first]];
  if (issue.kind !== 'unknown-keys') return [['', null]];
  return issue.keys.map((key) => [key, nearestKey(key, issue.valid)] as const);
}

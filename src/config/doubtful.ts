/**
 * Services with some values that are wrong in themselves: the rules between the others are applied
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
const RULES_OF: Readonly<Record<string, readonly string[]>> = {
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

/** Keys of the services that were read in part, by the services' names. */
export type Doubts = ReadonlyMap<string, ReadonlySet<string>>;

export interface PartlyRead<T> {
  readonly input: T;
  /** What was left out: keys that are wrong, or were meant by an unknown one. */
  readonly without: ReadonlySet<string>;
}

/** A service without what is wrong with it; null where the rest would mean something else. */
export function readInPart<T>(
  type: Type<T>,
  raw: Readonly<Record<string, unknown>>,
): PartlyRead<T> | null {
  const whole = readAs(type, raw);
  if (whole.ok) return { input: whole.value, without: new Set() };
  const without = new Set<string>();
  const left = new Set<string>();
  for (const issue of whole.error) {
    for (const [key, meant] of keysOf(issue)) {
      if (meant === null || !Object.hasOwn(RULES_OF, meant)) return null;
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
  if (section === 'ipvs') {
    // What the servers of all services have in common.
    const keys = [...doubts.values()].flatMap((without) => [...without]);
    return keys.includes('check') || keys.includes('forwarding');
  }
  const without = section === 'services' ? doubts.get(String(name)) : undefined;
  if (without === undefined) return false;
  return [...without].some((one) => one === key || RULES_OF[one]?.includes(String(key)) === true);
}

/** Keys of the service that an issue is about, with the ones that were meant; null for any. */
function keysOf(issue: Issue): readonly (readonly [string, string | null])[] {
  const [first] = issue.path;
  if (typeof first === 'string') return [[first, first]];
  if (issue.kind !== 'unknown-keys') return [['', null]];
  return issue.keys.map((key) => [key, nearestKey(key, issue.valid)] as const);
}

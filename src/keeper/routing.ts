/**
 * Routing: keeps the routes and rules of owners (instances, and the section `static`) in the
 * kernel while the owner wants them. What another program removes is put back at once, within the
 * bounds of core/address/budget.ts; what went with an interface is put back when that returns;
 * what the kernel refuses is tried again. Sockets are opened when there is something to keep.
 *
 * Invariant: only what bears our protocol is ever deleted.
 */
import { type Budget, spend } from '../core/address/budget.ts';
import {
  type KernelRoute,
  type ObservedRoute,
  type ObservedRule,
  planRouting,
  type RoutingOperation,
  type RoutingTable,
  routeKey,
  routeText,
  ruleText,
  sameRoute,
  sameRule,
} from '../core/address/routing.ts';
import type { RouteConfig, RuleConfig } from '../core/config/address.ts';
import type { Problem } from '../core/problem.ts';
import type { RoutingReport } from '../core/status.ts';
import { monotonicUs } from '../linux/clock.ts';
import type { NetlinkError } from '../linux/netlink/error.ts';
import { RoutingMonitor, RoutingSocket } from '../linux/netlink/routing.ts';
import { refusedProblem, unavailableProblem } from './routing-problems.ts';

/** Changes of links come in bursts; what is there is looked at once for each. */
const ENSURE_DELAY_MS = 20;
/** What the kernel refuses is tried again so often, beside the changes of links. */
const RETRY_MS = 5_000;

export interface RoutingDefinition {
  readonly routes: readonly RouteConfig[];
  readonly rules: readonly RuleConfig[];
}

export type RoutingKind = 'route' | 'rule';

export interface RoutingHandlers {
  /** Index of an interface by its name; null when there is none. */
  readonly indexOf: (interfaceName: string) => number | null;
  readonly restored: (owner: string, object: RoutingReport, byPid: number | null) => void;
  readonly problem: (owner: string, problem: Problem) => void;
  /** Something is there, or missing, that was not before. */
  readonly changed: () => void;
}

/** A wanted route or rule. */
interface Entry {
  readonly owner: string;
  readonly kind: RoutingKind;
  readonly text: string;
  readonly route: RouteConfig | null;
  readonly rule: RuleConfig | null;
  present: boolean;
  error: string | null;
  budget: Budget | undefined;
  /** Who removed it while there was no budget to put it back. */
  contestedBy: number | null;
  contested: boolean;
  toldError: string | null;
  toldContest: boolean;
}

export class Routing {
  readonly #handlers: RoutingHandlers;
  readonly #held = new Set<string>();
  #entries = new Map<string, readonly Entry[]>();
  #socket: RoutingSocket | null = null;
  #monitor: RoutingMonitor | null = null;
  /** Ours in the kernel, as far as is known. */
  #routes: ObservedRoute[] = [];
  #rules: ObservedRule[] = [];
  /** Leftovers stay until every owner could say what it wants. */
  #settled = true;
  #ensureTimer: NodeJS.Timeout | null = null;
  #retryTimer: NodeJS.Timeout | null = null;
  #contestTimer: NodeJS.Timeout | null = null;

  constructor(handlers: RoutingHandlers) {
    this.#handlers = handlers;
  }

  /** True when there is anything to keep, or was. */
  get isUsed(): boolean {
    return this.#socket !== null;
  }

  /**
   * Says what each owner has. Nothing of ours is removed until settle().
   * @param leftovers an earlier process may have left something, whatever is configured.
   */
  configure(definitions: ReadonlyMap<string, RoutingDefinition>, leftovers: boolean): void {
    const before = this.#entries;
    this.#entries = new Map();
    let count = 0;
    for (const [owner, definition] of definitions) {
      const entries = entriesOf(owner, definition, before.get(owner) ?? []);
      count += entries.length;
      this.#entries.set(owner, entries);
    }
    this.#settled = false;
    if (count === 0 && !leftovers && !this.isUsed) return;
    if (!this.isUsed && !this.#open()) return;
    this.#look();
    const lengths = [...this.#all()].flatMap(({ route }) => route?.to.prefixLength ?? []);
    this.#monitor?.watch(lengths);
  }

  /** Every owner has said what it wants: the rest of ours goes. */
  settle(): void {
    this.#settled = true;
    for (const owner of [...this.#held]) if (!this.#entries.has(owner)) this.#held.delete(owner);
    this.#apply();
  }

  /** Puts an owner's routes and rules there, and keeps them there. */
  hold(owner: string): void {
    this.#held.add(owner);
    if ((this.#entries.get(owner)?.length ?? 0) > 0) this.#apply();
  }

  /** Takes them away. */
  release(owner: string): void {
    if (!this.#held.delete(owner)) return;
    for (const entry of this.#entries.get(owner) ?? []) reset(entry);
    if ((this.#entries.get(owner)?.length ?? 0) > 0) this.#apply();
  }

  /** Links or addresses changed: routes may have gone with them, or be possible now. */
  networkChanged(): void {
    if (!this.isUsed || this.#ensureTimer !== null || this.#heldEntries().length === 0) return;
    this.#ensureTimer = setTimeout(() => {
      this.#ensureTimer = null;
      this.#ensure();
    }, ENSURE_DELAY_MS);
  }

  /** What an owner has, in the configuration's order, routes first. */
  objects(owner: string): readonly RoutingReport[] {
    return (this.#entries.get(owner) ?? []).map(objectOf);
  }

  /** Takes everything away that is ours, and ends. */
  close(): void {
    this.#held.clear();
    this.#settled = true;
    this.#apply();
    for (const timer of [this.#ensureTimer, this.#retryTimer, this.#contestTimer]) {
      if (timer !== null) clearTimeout(timer);
    }
    this.#monitor?.close();
    this.#socket?.close();
    this.#socket = null;
  }

  #open(): boolean {
    const socket = RoutingSocket.open();
    const monitor = RoutingMonitor.open({
      routeRemoved: (route, byPid) => this.#routeRemoved(route, byPid),
      routeReplaced: (route, byPid) => this.#routeReplaced(route, byPid),
      ruleRemoved: (rule, byPid) => this.#ruleRemoved(rule, byPid),
      overrun: () => this.networkChanged(),
    });
    if (socket.ok && monitor.ok) {
      this.#socket = socket.value;
      this.#monitor = monitor.value;
      return true;
    }
    const error = socket.ok ? (monitor.ok ? null : monitor.error) : socket.error;
    if (error !== null) this.#handlers.problem('', unavailableProblem(error));
    return false;
  }

  #look(): void {
    const listed = this.#socket?.listOwn();
    if (listed === undefined) return;
    if (!listed.ok) return this.#handlers.problem('', unavailableProblem(listed.error));
    this.#routes = [...listed.value.routes];
    this.#rules = [...listed.value.rules];
  }

  *#all(): Generator<Entry> {
    for (const entries of this.#entries.values()) yield* entries;
  }

  #heldEntries(): Entry[] {
    return [...this.#all()].filter(({ owner }) => this.#held.has(owner));
  }

  /** With the interfaces of this moment; null when one does not exist. */
  #resolve(route: RouteConfig): KernelRoute | null {
    const nexthops: KernelRoute['nexthops'][number][] = [];
    for (const hop of route.nexthops) {
      const index = hop.interface === null ? null : this.#handlers.indexOf(hop.interface);
      if (hop.interface !== null && index === null) return null;
      nexthops.push({ ...hop, interface: index });
    }
    return { ...route, nexthops };
  }

  /** Brings the kernel to what the owners want; contested entries wait for their turn. */
  #apply(): void {
    if (this.#socket === null) return;
    const routes = new Map<KernelRoute, Entry>();
    const rules = new Map<RuleConfig, Entry>();
    for (const entry of this.#heldEntries()) {
      if (entry.contested) continue;
      if (entry.rule !== null) rules.set(entry.rule, entry);
      if (entry.route === null) continue;
      const resolved = this.#resolve(entry.route);
      if (resolved === null) this.#noteMissing(entry, 'its interface does not exist', null);
      else routes.set(resolved, entry);
    }
    const desired: RoutingTable = { routes: [...routes.keys()], rules: [...rules.keys()] };
    const planned = planRouting(desired, { routes: this.#routes, rules: this.#rules });
    const operations = this.#settled
      ? planned
      : planned.filter(({ kind }) => kind === 'add-route' || kind === 'add-rule');
    const adding = new Set<Entry>();
    const entryOf = (operation: RoutingOperation) =>
      'route' in operation ? routes.get(operation.route) : rules.get(operation.rule);
    for (const operation of operations) {
      const entry = operation.kind.startsWith('add') ? entryOf(operation) : undefined;
      if (entry !== undefined) adding.add(entry);
    }
    for (const entry of [...routes.values(), ...rules.values()]) {
      if (!adding.has(entry)) this.#notePresent(entry);
    }
    if (operations.length === 0) return;
    const errors = this.#socket.change(operations);
    for (const [index, operation] of operations.entries()) {
      this.#noteResult(operation, entryOf(operation) ?? null, errors[index] ?? null);
    }
    this.#scheduleRetry();
  }

  #noteResult(operation: RoutingOperation, entry: Entry | null, error: NetlinkError | null): void {
    if (operation.kind === 'delete-route') {
      this.#routes = this.#routes.filter((route) => route !== operation.route);
    } else if (operation.kind === 'delete-rule') {
      this.#rules = this.#rules.filter((rule) => rule !== operation.rule);
    } else if (entry !== null) {
      // A rule that is there already does what it should, whosever it is; an IPv4 route is only
      // refused so when it is ours to the last attribute, an IPv6 one also beside another's.
      const foreign = 'route' in operation && operation.route.family === 'ipv6' && !entry.present;
      const there = error?.code === 'EEXIST' && !foreign;
      if (error !== null && !there) return this.#noteMissing(entry, error.message, error);
      if ('route' in operation) this.#routes.push({ ...operation.route, ours: true });
      else this.#rules.push({ ...operation.rule, ours: true });
      this.#notePresent(entry);
    }
  }

  #notePresent(entry: Entry): void {
    const changed = !entry.present;
    entry.present = true;
    entry.error = null;
    entry.toldError = null;
    if (changed) this.#handlers.changed();
  }

  #noteMissing(entry: Entry, reason: string, error: NetlinkError | null): void {
    const changed = entry.present || entry.error === null;
    entry.present = false;
    entry.error = reason;
    if (entry.toldError !== reason) {
      entry.toldError = reason;
      this.#handlers.problem(entry.owner, refusedProblem(entry, error));
    }
    if (changed) this.#handlers.changed();
  }

  #scheduleRetry(): void {
    if (this.#retryTimer !== null) return;
    const missing = this.#heldEntries().some(({ present, contested }) => !present && !contested);
    if (!missing) return;
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = null;
      this.#apply();
      this.#scheduleRetry();
    }, RETRY_MS);
  }

  /**
   * Adds everything again: what is there is refused as such, and the kernel does not tell of every
   * route that goes with its interface or its source address. No listing of a large table.
   */
  #ensure(): void {
    const wanted = this.#heldEntries().filter(({ contested }) => !contested);
    const routes = wanted.flatMap(({ route }) =>
      route === null ? [] : (this.#resolve(route) ?? []),
    );
    const rules = wanted.flatMap(({ rule }) => rule ?? []);
    this.#routes = this.#routes.filter((there) => !routes.some((route) => sameRoute(route, there)));
    this.#rules = this.#rules.filter((there) => !rules.some((rule) => sameRule(rule, there)));
    this.#apply();
    this.#scheduleRetry();
  }

  #routeRemoved(route: ObservedRoute, byPid: number | null): void {
    if (byPid === this.#socket?.portId) return;
    const there = this.#routes.findIndex((candidate) => sameRoute(candidate, route));
    if (there === -1) return;
    this.#routes.splice(there, 1);
    const entry = this.#heldEntries().find((candidate) => {
      const resolved = candidate.route === null ? null : this.#resolve(candidate.route);
      return resolved !== null && sameRoute(resolved, route);
    });
    this.#lost(entry, byPid);
  }

  /** IPv4 tells of what came, not of what went for it. */
  #routeReplaced(route: ObservedRoute, byPid: number | null): void {
    if (route.ours) return;
    const key = routeKey(route);
    const gone = this.#routes.filter((candidate) => routeKey(candidate) === key);
    if (gone.length === 0) return;
    this.#routes = this.#routes.filter((candidate) => !gone.includes(candidate));
    for (const entry of this.#heldEntries()) {
      if (entry.route !== null && routeKey(entry.route) === key) this.#lost(entry, byPid);
    }
  }

  #ruleRemoved(rule: ObservedRule, byPid: number | null): void {
    if (byPid === this.#socket?.portId) return;
    const there = this.#rules.findIndex((candidate) => sameRule(candidate, rule));
    if (there === -1) return;
    this.#rules.splice(there, 1);
    this.#lost(
      this.#heldEntries().find((entry) => entry.rule !== null && sameRule(entry.rule, rule)),
      byPid,
    );
  }

  /** Something of ours is gone; put back if it is wanted. */
  #lost(entry: Entry | undefined, byPid: number | null): void {
    if (entry === undefined) return;
    if (byPid === null) {
      // The kernel took it, with its interface or source address: it is not lost to anybody.
      entry.present = false;
      this.#handlers.changed();
      return this.networkChanged();
    }
    const { budget, waitUs } = spend(entry.budget, monotonicUs());
    entry.budget = budget;
    entry.present = false;
    if (waitUs === 0) return this.#restore(entry, byPid);
    entry.contested = true;
    entry.contestedBy = byPid;
    if (!entry.toldContest) {
      entry.toldContest = true;
      this.#handlers.problem(entry.owner, contestedProblem(entry));
    }
    this.#handlers.changed();
    this.#contestTimer ??= setTimeout(() => this.#contestIsOver(), Math.ceil(waitUs / 1000));
  }

  #restore(entry: Entry, byPid: number | null): void {
    this.#apply();
    if (entry.present) this.#handlers.restored(entry.owner, objectOf(entry), byPid);
  }

  #contestIsOver(): void {
    this.#contestTimer = null;
    for (const entry of this.#heldEntries()) {
      if (!entry.contested) continue;
      entry.contested = false;
      // The token that it waited for.
      entry.budget = spend(entry.budget, monotonicUs()).budget;
      this.#restore(entry, entry.contestedBy);
    }
  }
}

function entriesOf(
  owner: string,
  { routes, rules }: RoutingDefinition,
  before: readonly Entry[],
): readonly Entry[] {
  const entry = (kind: RoutingKind, text: string, of: Pick<Entry, 'route' | 'rule'>): Entry => {
    const known = before.find((candidate) => candidate.kind === kind && candidate.text === text);
    const fresh = { budget: undefined, present: false, error: null, toldError: null };
    const state = { ...fresh, contested: false, contestedBy: null, toldContest: false };
    return { ...state, ...known, owner, kind, text, ...of };
  };
  return [
    ...routes.map((route) => entry('route', routeText(route), { route, rule: null })),
    ...rules.map((rule) => entry('rule', ruleText(rule), { route: null, rule })),
  ];
}

function reset(entry: Entry): void {
  entry.present = false;
  entry.error = null;
  entry.toldError = null;
  entry.contested = false;
  entry.toldContest = false;
}

function objectOf({ kind, text, present, error, contested }: Entry): RoutingReport {
  return { kind, text, present, error, contested };
}

function contestedProblem({ kind, text, contestedBy }: Entry): Problem {
  return {
    code: 'VK-CONTESTED',
    message: `Another program (process ${contestedBy}) keeps removing the ${kind} ${text}`,
    cure: 'Find the program that manages routing too, and let it leave this alone',
  };
}

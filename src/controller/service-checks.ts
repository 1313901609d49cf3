/**
 * Which checks the services ask for, and which services each check decides about. Kept from one
 * configuration to the next: a service that is the same object as before costs no work.
 */
import type { RealServerConfig, ServiceConfig } from '../core/config/config.ts';
import { allServers, type CheckDefinition, checkOf } from '../core/health/check-key.ts';
import type { FoundAs } from '../core/health/check-state.ts';
import { inTurns } from '../core/in-turns.ts';
import { configuredKey, countsOfServers, type ObservedTable } from '../core/ipvs/entries.ts';
import { serviceKey } from '../core/ipvs/model.ts';
import { LargeMap, LargeSet } from '../core/large-map.ts';
import { Turn } from '../core/turn.ts';
import { TURNS } from '../linux/turns.ts';

/** Services that are looked at between two looks at the clock. */
const SERVICES_PER_LOOK = 8;

/** What another configuration makes of the checks. */
export interface ChecksChange {
  readonly added: readonly CheckDefinition[];
  /** Keys of those that nobody asks for any more. */
  readonly removed: readonly string[];
}

export class ServiceChecks {
  readonly #services = new LargeMap<ServiceConfig>();
  /**
   * Names of the services that use a check, by the check's key: nearly always one, for which a set
   * of its own would take more memory than all else here.
   */
  readonly #users = new LargeMap<string | Set<string>>();

  /** How many checks there are. */
  get size(): number {
    return this.#users.size;
  }

  /** Names of the services whose servers a check decides about. */
  usersOf(key: string): readonly string[] {
    const users = this.#users.get(key);
    if (users === undefined) return [];
    return typeof users === 'string' ? [users] : [...users];
  }

  /** These are the services that are checked. In turns; one call is to end before the next. */
  async configure(services: readonly ServiceConfig[]): Promise<ChecksChange> {
    const turn = new Turn(TURNS);
    const added = new LargeMap<CheckDefinition>();
    /** Keys without users. */
    const left = new LargeSet();
    let looked = 0;
    for (const service of services) {
      const before = this.#services.get(service.name);
      if (before !== service) {
        const definitions = definitionsOf(service);
        const keys = new Set(definitions.map(({ key }) => key));
        // Those that stay are not touched: what is taken out of so long a map has it made anew in time.
        if (before !== undefined) this.#leave(before, left, keys);
        this.#services.set(service.name, service);
        for (const definition of definitions) {
          const isNew = this.#use(definition.key, service.name) && !left.delete(definition.key);
          if (isNew) added.set(definition.key, definition);
        }
      }
      if (++looked % SERVICES_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
    }
    // Mostly none is gone.
    if (this.#services.size > services.length) {
      const names = new Set(services.map(({ name }) => name));
      for (const [name, service] of this.#services) {
        if (names.has(name)) continue;
        this.#services.delete(name);
        this.#leave(service, left);
        if (++looked % SERVICES_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
      }
    }
    return { added: [...added.values()], removed: [...left] };
  }

  /**
   * How the servers of these checks are found, by the checks' keys: those that have clients by the
   * kernel's table, or get them before they are checked, and at the start of a controller those that
   * are out in an entry that is there. Of several servers of a check, one that has clients counts. In
   * turns.
   */
  async found(
    added: readonly CheckDefinition[],
    table: ObservedTable,
    starting: boolean,
  ): Promise<ReadonlyMap<string, FoundAs>> {
    const keys = new LargeSet();
    const names = new LargeSet();
    const add = ({ key }: CheckDefinition): void => {
      keys.add(key);
      for (const name of this.usersOf(key)) names.add(name);
    };
    await inTurns(added, add, TURNS);
    const found = new LargeMap<FoundAs>();
    const turn = new Turn(TURNS);
    let looked = 0;
    for (const name of names) {
      const service = this.#services.get(name);
      if (service === undefined) continue;
      const counts = countsOfServers(service, table);
      const note = (server: RealServerConfig, mayBeOut: boolean): void => {
        const definition = checkOf(server);
        if (definition === null || !keys.has(definition.key)) return;
        const weight = counts.get(configuredKey(server))?.weight;
        const hasClients = weight === undefined ? definition.check.initial === 'up' : weight > 0;
        if (hasClients) found.set(definition.key, 'serving');
        else if (mayBeOut && !found.has(definition.key) && isOut(service, server, weight)) {
          found.set(definition.key, 'out');
        }
      };
      const mayBeOut = starting && isThere(service, table);
      for (const server of service.servers) note(server, mayBeOut);
      // They are out while all is well.
      for (const server of service.sorryServers) note(server, false);
      if (++looked % SERVICES_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
    }
    return found;
  }

  /** True when it is the first that uses the check. */
  #use(key: string, name: string): boolean {
    const users = this.#users.get(key);
    if (users === undefined) this.#users.set(key, name);
    else if (typeof users !== 'string') users.add(name);
    else if (users !== name) this.#users.set(key, new Set([users, name]));
    return users === undefined;
  }

  /** A service uses none of its checks any more but `kept`; `left` gets those without a user then. */
  #leave(service: ServiceConfig, left: LargeSet, kept: ReadonlySet<string> = new Set()): void {
    for (const { key } of definitionsOf(service)) {
      if (kept.has(key)) continue;
      const users = this.#users.get(key);
      if (users instanceof Set) users.delete(service.name);
      const unused = users instanceof Set ? users.size === 0 : users === service.name;
      if (!unused) continue;
      this.#users.delete(key);
      left.add(key);
    }
  }
}

function definitionsOf(service: ServiceConfig): CheckDefinition[] {
  return allServers(service).flatMap((server) => checkOf(server) ?? []);
}

function isThere({ entries }: ServiceConfig, table: ObservedTable): boolean {
  return entries.some(({ identity }) => table.has(serviceKey(identity)));
}

/** As after a failure: with weight 0, or not in the table; `weight` there. */
function isOut(service: ServiceConfig, server: RealServerConfig, weight?: number): boolean {
  if (server.weight === 0) return false;
  return weight === undefined ? service.onFailure === 'remove' : weight === 0;
}

/**
 * Which checks the services ask for, and which services each check decides about. Kept from one
 * configuration to the next: a service that is the same object as before costs no work.
 */
import type { ServiceConfig } from '../core/config/config.ts';
import { allServers, type CheckDefinition, checkOf } from '../core/health/check-key.ts';

export class ServiceChecks {
  readonly #services = new Map<string, ServiceConfig>();
  readonly #definitions = new Map<string, CheckDefinition>();
  /** Names of the services that use a check, by the check's key. */
  readonly #users = new Map<string, Set<string>>();

  /** All checks, by their keys. */
  get definitions(): ReadonlyMap<string, CheckDefinition> {
    return this.#definitions;
  }

  /** Names of the services whose servers a check decides about. */
  usersOf(key: string): readonly string[] {
    return [...(this.#users.get(key) ?? [])];
  }

  /** These are the services that are checked; false when all checks are as they were. */
  configure(services: readonly ServiceConfig[]): boolean {
    const changed = services.filter((service) => this.#services.get(service.name) !== service);
    const before = new Set<string>();
    for (const name of [...this.#gone(services, changed), ...changed.map(({ name }) => name)]) {
      for (const key of this.#remove(name)) before.add(key);
    }
    let added = false;
    for (const service of changed) {
      this.#services.set(service.name, service);
      for (const definition of definitionsOf(service)) {
        added ||= !this.#definitions.has(definition.key) && !before.has(definition.key);
        this.#definitions.set(definition.key, definition);
        const users = this.#users.get(definition.key) ?? new Set();
        this.#users.set(definition.key, users.add(service.name));
      }
    }
    return added || [...before].some((key) => !this.#definitions.has(key));
  }

  /** Names that are not among these any more; mostly there are none, which costs nothing. */
  #gone(services: readonly ServiceConfig[], changed: readonly ServiceConfig[]): readonly string[] {
    const isKnown = ({ name }: ServiceConfig) => this.#services.has(name);
    const unchanged = services.length - changed.length;
    if (unchanged + changed.filter(isKnown).length === this.#services.size) return [];
    const names = new Set(services.map(({ name }) => name));
    return [...this.#services.keys()].filter((name) => !names.has(name));
  }

  /** Returns the keys of its checks. */
  #remove(name: string): string[] {
    const service = this.#services.get(name);
    this.#services.delete(name);
    const keys = service === undefined ? [] : definitionsOf(service).map(({ key }) => key);
    for (const key of keys) {
      const users = this.#users.get(key);
      users?.delete(name);
      if (users !== undefined && users.size > 0) continue;
      this.#users.delete(key);
      this.#definitions.delete(key);
    }
    return keys;
  }
}

function definitionsOf(service: ServiceConfig): CheckDefinition[] {
  return allServers(service).flatMap((server) => checkOf(server) ?? []);
}

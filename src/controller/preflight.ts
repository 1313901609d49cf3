/**
 * What must be true before a director starts, each with one sentence if it is not. All problems
 * are found, not only the first.
 */

import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { Config } from '../core/config/config.ts';
import type { Problem } from '../core/problem.ts';
import { requireCapabilities } from '../linux/capabilities.ts';

export function preflight(config: Config): readonly Problem[] {
  const problems: Problem[] = [];
  const missing = requireCapabilities(['CAP_NET_ADMIN', 'CAP_NET_RAW']);
  if (missing !== null) problems.push(missing);
  for (const [name, users] of config.keeper.dynamicInterfaces ? [] : interfacesOf(config)) {
    if (existsSync(`/sys/class/net/${name}`)) continue;
    const known = Object.keys(networkInterfaces()).filter((candidate) => candidate !== 'lo');
    problems.push({
      code: 'VK-NO-INTERFACE',
      message: `Interface ${name} does not exist; ${users.join(', ')} needs it`,
      cure: `Create it or correct its name (interfaces with addresses here: ${known.join(', ') || 'none'}); if it comes later, set keeper.dynamic_interfaces`,
    });
  }
  return problems;
}

/** Interfaces that must exist, or the director does not start. */
export function neededInterfaces(config: Config): readonly string[] {
  return config.keeper.dynamicInterfaces ? [] : [...interfacesOf(config).keys()];
}

/** Interfaces that the configuration names, each with the paths that name it. */
function interfacesOf(config: Config): ReadonlyMap<string, readonly string[]> {
  const users = new Map<string, string[]>();
  const add = (name: string, path: string): void => {
    const paths = users.get(name) ?? [];
    if (!paths.includes(path)) paths.push(path);
    users.set(name, paths);
  };
  // Made by the keeper.
  const links = new Set(config.vrrp.map(({ virtualLink }) => virtualLink?.name));
  for (const instance of config.vrrp) {
    add(instance.interface, `vrrp.${instance.name}`);
    for (const vip of instance.addresses) {
      if (!links.has(vip.interface)) add(vip.interface, `vrrp.${instance.name}`);
    }
  }
  if (config.sync !== null) add(config.sync.interface, 'sync');
  return users;
}

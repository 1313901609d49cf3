/**
 * What directors have to have in common and have not, as the simulator would show it late or not at
 * all: it counts who is active, not which addresses that one carries.
 */

import { joinWords } from '../config/suggest.ts';
import { formatDuration } from '../config/values.ts';
import type { Config, VrrpConfig } from '../core/config/config.ts';

/** Sentences without final periods, in the order of the instances; [] where all is well. */
export function differencesOf(configs: readonly Config[]): readonly string[] {
  const names = new Set(configs.flatMap(({ vrrp }) => vrrp.map(({ name }) => name)));
  return [...names].flatMap((name) => {
    const members = configs.flatMap(({ director, vrrp }) => {
      const instance = vrrp.find((one) => one.name === name);
      return instance === undefined ? [] : [{ director, instance }];
    });
    const without = configs.filter(({ vrrp }) => vrrp.every((one) => one.name !== name));
    return [
      ...without.map(({ director }) => `${director} has no instance ${name}`),
      ...lacking(name, members),
      ...differing(name, members, 'VRID', ({ vrid }) => String(vrid)),
      ...differing(name, members, 'version', ({ version }) => String(version)),
      ...differing(name, members, 'interval', ({ advertIntervalUs }) =>
        formatDuration(advertIntervalUs),
      ),
    ];
  });
}

interface Member {
  readonly director: string;
  readonly instance: VrrpConfig;
}

function lacking(name: string, members: readonly Member[]): readonly string[] {
  const all = new Set(members.flatMap(({ instance }) => addressesOf(instance)));
  return members.flatMap(({ director, instance }) => {
    const own = new Set(addressesOf(instance));
    const missing = [...all].filter((address) => !own.has(address));
    if (missing.length === 0) return [];
    return [
      `${director} lacks ${missing.join(' ')} of ${name}: clients of it reach nobody while ` +
        `${director} is active`,
    ];
  });
}

function addressesOf({ addresses }: VrrpConfig): readonly string[] {
  return addresses.map(({ address }) => address);
}

function differing(
  name: string,
  members: readonly Member[],
  what: string,
  textOf: (instance: VrrpConfig) => string,
): readonly string[] {
  const values = members.map(({ director, instance }) => ({ director, value: textOf(instance) }));
  if (new Set(values.map(({ value }) => value)).size < 2) return [];
  const each = values.map(({ director, value }) => `${value} on ${director}`);
  return [`The ${what} of ${name} is ${joinWords(each, 'and')}`];
}

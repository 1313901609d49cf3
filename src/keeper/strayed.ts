/**
 * What a dead keeper left on interfaces that have got another name since, where nobody would look
 * for it: its addresses by their mark (IFA_PROTO), its virtual links by their alias. Only what it
 * recorded as held, and what is not where it was recorded; so on kernels without the mark nothing,
 * but these rename no interface that is up either.
 */
import { LINK_MARK } from './link-mark.ts';
import type { Network } from './network.ts';
import type { RecordedInstance } from './record.ts';
import { removeVips } from './vips.ts';
import { removeOurLink } from './virtual-link.ts';

export type RecordedAddress = RecordedInstance['addresses'][number];

export interface Strayed {
  /** With the interfaces that they are on now. */
  readonly addresses: readonly RecordedAddress[];
  /** Names of virtual links as they are now. */
  readonly links: readonly string[];
}

/**
 * Looks for what these instances held, and for these static addresses. `all`: every instance of
 * the record, whose places are not mistaken for those of others.
 */
export function findStrayed(
  network: Network,
  instances: readonly RecordedInstance[],
  staticAddresses: readonly RecordedAddress[],
  all: readonly RecordedInstance[] = instances,
): Strayed {
  const held = instances.filter(({ lastAdvertAtUs }) => lastAdvertAtUs > 0);
  const wanted = [...held.flatMap(({ addresses }) => addresses), ...staticAddresses];
  const missing = wanted.filter((one) => !network.isOurs(one.interface, one.address));
  if (missing.length === 0) return { addresses: [], links: linksOf(network, instances, all) };
  const recorded = new Set([...all.flatMap(({ addresses }) => addresses), ...wanted].map(placeOf));
  const addresses = missing.flatMap((one) =>
    network
      .ownPlaces(one)
      .map((name) => ({ ...one, interface: name }))
      .filter((found) => !recorded.has(placeOf(found))),
  );
  return { addresses, links: linksOf(network, instances, all) };
}

/** Takes all of that away. */
export function removeStrayed(network: Network, { addresses, links }: Strayed): void {
  removeVips(network, addresses);
  for (const link of links) removeOurLink(network, link);
}

function linksOf(
  network: Network,
  instances: readonly RecordedInstance[],
  all: readonly RecordedInstance[],
): readonly string[] {
  const recorded = new Set(all.map(({ link }) => link));
  return instances.flatMap(({ name, link, interface: base }) => {
    if (link === null || network.link(link) !== null) return [];
    const alias = `${LINK_MARK}${name}`;
    return network
      .linksOn(base)
      .filter((found) => found.alias === alias && !recorded.has(found.name))
      .map((found) => found.name);
  });
}

function placeOf({ interface: name, address }: RecordedAddress): string {
  return `${name} ${address}`;
}

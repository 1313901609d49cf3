/**
 * What an operator's decision about real servers would make of a service: who would take its
 * clients, and what it would fall short of. Pure: from the decisions about its weights without and
 * with it (pool.ts).
 */
import type { AddressFamily, ServiceConfig } from '../config/config.ts';
import { familyName } from '../ip.ts';
import { configuredKey, familyServed } from '../ipvs/entries.ts';
import { outMaxOf, type PoolDecision } from './pool.ts';

/** Who takes the clients of a service, best first; with 'unchecked' nobody until a check has spoken. */
export const TAKERS = ['servers', 'sorry', 'unchecked', 'nobody'] as const;
export type Taker = (typeof TAKERS)[number];

export interface Consequence {
  readonly service: string;
  /** Its own servers, without sorry servers. */
  readonly servers: number;
  /** Those of them that get clients, before and after. */
  readonly servingBefore: number;
  readonly servingAfter: number;
  readonly clientsBefore: Taker;
  readonly clientsAfter: Taker;
  /** Of a service of both families, the one whose clients these are; null for all of them. */
  readonly clientsFamily: AddressFamily | null;
  /** The quorum that it would lose; null where it keeps it, or has lost it already. */
  readonly quorumLost: { readonly weight: number; readonly healthyWeight: number } | null;
  /** How many servers `min_healthy` wants to serve; null where as many would, or nothing changes. */
  readonly minHealthy: number | null;
}

type ServicePolicy = Pick<
  ServiceConfig,
  'name' | 'entries' | 'servers' | 'sorryServers' | 'minHealthyPercent' | 'quorum'
>;

/** Compares two decisions about the servers of a service. */
export function consequenceOf(
  service: ServicePolicy,
  before: PoolDecision,
  after: PoolDecision,
): Consequence {
  const own = service.servers.map(configuredKey);
  const serving = ({ weights }: PoolDecision, keys: readonly string[]) =>
    keys.filter((key) => (weights.get(key)?.weight ?? 0) > 0).length;
  const isLost = ({ state }: PoolDecision) => (state.quorumMet ?? state.foundMet) === false;
  const { weight } = service.quorum;
  const { healthyWeight } = after;
  const [servingBefore, servingAfter] = [serving(before, own), serving(after, own)];
  const wanted = own.length - outMaxOf(service, own.length);
  const isShort = servingAfter < servingBefore && servingAfter < wanted;
  return {
    service: service.name,
    servers: own.length,
    ...{ servingBefore, servingAfter },
    ...clientsOf(service, before, after),
    quorumLost: !isLost(before) && isLost(after) ? { weight, healthyWeight } : null,
    minHealthy: isShort ? wanted : null,
  };
}

type Clients = Pick<Consequence, 'clientsBefore' | 'clientsAfter' | 'clientsFamily'>;

/** Who takes the clients; where that differs by family, of the one that fares worse by it. */
function clientsOf(service: ServicePolicy, before: PoolDecision, after: PoolDecision): Clients {
  const familyOf = familyServed(service.entries);
  const families = new Set([...service.servers, ...service.sorryServers].map(familyOf));
  const keysOf = (servers: ServiceConfig['servers'], family: AddressFamily | null) =>
    servers.filter((server) => familyOf(server) === family).map(configuredKey);
  const all = [...families].map((family): Clients => {
    const own = keysOf(service.servers, family);
    const sorry = keysOf(service.sorryServers, family);
    const [clientsBefore, clientsAfter] = [taker(before, own, sorry), taker(after, own, sorry)];
    return { clientsBefore, clientsAfter, clientsFamily: family };
  });
  const [first, second] = all.sort((one, other) => {
    const dangers = Number(isDangerous(other)) - Number(isDangerous(one));
    return dangers || TAKERS.indexOf(other.clientsAfter) - TAKERS.indexOf(one.clientsAfter);
  });
  if (first === undefined) {
    return { clientsBefore: 'nobody', clientsAfter: 'nobody', clientsFamily: null };
  }
  const alike =
    second?.clientsBefore === first.clientsBefore && second.clientsAfter === first.clientsAfter;
  return alike ? { ...first, clientsFamily: null } : first;
}

function taker({ weights }: PoolDecision, own: readonly string[], sorry: readonly string[]): Taker {
  const serves = (key: string) => (weights.get(key)?.weight ?? 0) > 0;
  if (own.some(serves)) return 'servers';
  if (sorry.some(serves)) return 'sorry';
  return own.some((key) => weights.get(key)?.reason === 'awaiting-check') ? 'unchecked' : 'nobody';
}

/** Clients that servers have, or could have, would be left to somebody else or to nobody. */
export function isDangerous({
  clientsBefore,
  clientsAfter,
}: Pick<Consequence, 'clientsBefore' | 'clientsAfter'>): boolean {
  return TAKERS.indexOf(clientsAfter) > TAKERS.indexOf(clientsBefore);
}

/** It falls short of something, and an operator should know. */
export function isNotable(consequence: Consequence): boolean {
  const { quorumLost, minHealthy } = consequence;
  return isDangerous(consequence) || quorumLost !== null || minHealthy !== null;
}

/**
 * 'web would be left with 0 of 2 servers: its clients would be refused', or, of what is done, 'web
 * is left with 0 of 2 servers: its clients are refused'.
 */
export function consequenceText(consequence: Consequence, done = false): string {
  const { service, servers, servingBefore, servingAfter } = consequence;
  const { quorumLost, minHealthy } = consequence;
  const short = [
    ...(quorumLost === null ? [] : [quorumText(quorumLost)]),
    ...(minHealthy === null ? [] : [`below its min_healthy of ${minHealthy}`]),
  ].map((text) => `, ${text}`);
  const left = done ? 'is left with' : 'would be left with';
  const has = done ? 'has' : 'would have';
  const verb = servingAfter < servingBefore ? left : has;
  const count = `${servingAfter} of ${servers} server${servers === 1 ? '' : 's'}`;
  return `${service} ${verb} ${count}${short.join('')}${clientsText(consequence, done)}`;
}

function quorumText({ weight, healthyWeight }: Consequence['quorumLost'] & object): string {
  return `below its quorum (weight ${healthyWeight} of ${weight})`;
}

function clientsText({ clientsAfter, clientsFamily }: Clients, done: boolean): string {
  const its = clientsFamily === null ? 'its' : `its ${familyName(clientsFamily)}`;
  switch (clientsAfter) {
    case 'servers':
      return '';
    case 'sorry':
      return `: ${its} clients ${done ? 'go' : 'would go'} to the sorry servers`;
    case 'unchecked':
      return `: ${its} clients ${done ? 'are' : 'would be'} refused until a check has found a server healthy`;
    case 'nobody':
      return `: ${its} clients ${done ? 'are' : 'would be'} refused`;
  }
}

/** Services that an error names one by one: it is one line. */
const TOLD_MAX = 3;

/** Why a decision needs --force; null where it does not. */
export function refusalOf(consequences: readonly Consequence[]): string | null {
  const dangers = consequences.filter(isDangerous);
  if (dangers.length === 0) return null;
  const told = dangers.slice(0, TOLD_MAX).map((danger) => consequenceText(danger));
  const more = dangers.length - told.length;
  const rest = more === 0 ? [] : [`so would ${more} more service${more === 1 ? '' : 's'}`];
  return [...told, ...rest].join('; ');
}

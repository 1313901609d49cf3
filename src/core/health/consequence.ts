/**
 * What an operator's decision about real servers would make of a service: who would take its
 * clients, and what it would fall short of. Pure: from the decisions about its weights without and
 * with it (pool.ts).
 */
import type { ServiceConfig } from '../config/config.ts';
import { configuredKey } from '../ipvs/entries.ts';
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
  /** The quorum that it would lose; null where it keeps it, or has lost it already. */
  readonly quorumLost: { readonly weight: number; readonly healthyWeight: number } | null;
  /** How many servers `min_healthy` wants to serve; null where as many would, or nothing changes. */
  readonly minHealthy: number | null;
}

type ServicePolicy = Pick<
  ServiceConfig,
  'name' | 'servers' | 'sorryServers' | 'minHealthyPercent' | 'quorum'
>;

/** Compares two decisions about the servers of a service. */
export function consequenceOf(
  service: ServicePolicy,
  before: PoolDecision,
  after: PoolDecision,
): Consequence {
  const own = service.servers.map(configuredKey);
  const sorry = service.sorryServers.map(configuredKey);
  const serving = ({ weights }: PoolDecision, keys: readonly string[]) =>
    keys.filter((key) => (weights.get(key)?.weight ?? 0) > 0).length;
  const taker = (decision: PoolDecision): Taker => {
    if (serving(decision, own) > 0) return 'servers';
    if (serving(decision, sorry) > 0) return 'sorry';
    const waits = own.some((key) => decision.weights.get(key)?.reason === 'awaiting-check');
    return waits ? 'unchecked' : 'nobody';
  };
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
    clientsBefore: taker(before),
    clientsAfter: taker(after),
    quorumLost: !isLost(before) && isLost(after) ? { weight, healthyWeight } : null,
    minHealthy: isShort ? wanted : null,
  };
}

/** Clients that servers have, or could have, would be left to somebody else or to nobody. */
export function isDangerous({ clientsBefore, clientsAfter }: Consequence): boolean {
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
  const { service, servers, servingBefore, servingAfter, clientsAfter } = consequence;
  const { quorumLost, minHealthy } = consequence;
  const short = [
    ...(quorumLost === null ? [] : [quorumText(quorumLost)]),
    ...(minHealthy === null ? [] : [`below its min_healthy of ${minHealthy}`]),
  ].map((text) => `, ${text}`);
  const left = done ? 'is left with' : 'would be left with';
  const has = done ? 'has' : 'would have';
  const verb = servingAfter < servingBefore ? left : has;
  const count = `${servingAfter} of ${servers} server${servers === 1 ? '' : 's'}`;
  return `${service} ${verb} ${count}${short.join('')}${clientsText(clientsAfter, done)}`;
}

function quorumText({ weight, healthyWeight }: Consequence['quorumLost'] & object): string {
  return `below its quorum (weight ${healthyWeight} of ${weight})`;
}

function clientsText(taker: Taker, done: boolean): string {
  switch (taker) {
    case 'servers':
      return '';
    case 'sorry':
      return `: its clients ${done ? 'go' : 'would go'} to the sorry servers`;
    case 'unchecked':
      return `: its clients ${done ? 'are' : 'would be'} refused until a check has found a server healthy`;
    case 'nobody':
      return `: its clients ${done ? 'are' : 'would be'} refused`;
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

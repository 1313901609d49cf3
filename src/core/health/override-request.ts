/**
 * What an operator asks of real servers, from its parts as text: which servers are meant, what is
 * to be done, by whom, why and until when. Pure: the shell keeps what comes out of it.
 */
import type { ServiceConfig } from '../config/config.ts';
import { servicesByName } from '../config/services-by-name.ts';
import { serverKey } from '../ipvs/model.ts';
import { err, ok, type Result } from '../result.ts';
import { unknownName } from '../unknown-name.ts';
import { allServers } from './check-key.ts';
import { isWeight, OVERRIDE_TEXT_MAX, type Override } from './override.ts';

export const OVERRIDE_ACTIONS = ['drain', 'weight', 'up', 'down', 'clear'] as const;

export interface OverrideRequest {
  /** 'web/10.0.0.11:8080', 'web/10.0.0.11', or '10.0.0.11' for every service that has it. */
  readonly target: string;
  readonly action: (typeof OVERRIDE_ACTIONS)[number];
  /** With 'weight' only: 0 to 65535. */
  readonly weight: number | null;
  /** With 'drain': how long its connections may take to end; null for as long as they live. */
  readonly timeoutMs: number | null;
  /** When it ends by itself, by the wall clock; null until it is cleared. */
  readonly untilMs: number | null;
  readonly by: string;
  readonly reason: string;
  readonly dryRun: boolean;
  /** Also where it leaves a service without servers. */
  readonly force: boolean;
}

export interface Target {
  readonly service: string;
  readonly server: string;
}

/** A month: longer than any drain, short enough to be no typing error. */
const DURATION_MS_MAX = 31 * 24 * 3_600_000;

/**
 * Reads the parts of a request by their names at `nowMs` of the wall clock; the error says what
 * is wrong. When it ends may be given as a time from now (`for_ms`) or as a moment (`until_ms`).
 */
export function parseOverrideRequest(
  get: (name: string) => string | null,
  nowMs: number,
): Result<OverrideRequest, string> {
  const action = OVERRIDE_ACTIONS.find((known) => known === get('action'));
  if (action === undefined) return err(`expected an action: ${OVERRIDE_ACTIONS.join(', ')}`);
  const weight = numberOf(get('weight'));
  if (action === 'weight' && !isWeight(weight)) return err('expected a weight from 0 to 65535');
  const timeoutMs = numberOf(get('timeout_ms'));
  const forMs = numberOf(get('for_ms'));
  for (const durationMs of [timeoutMs, forMs]) {
    if (durationMs !== null && !(durationMs > 0 && durationMs <= DURATION_MS_MAX)) {
      return err('expected a duration above 0, of 31 days at most');
    }
  }
  const atMs = numberOf(get('until_ms'));
  if (atMs !== null && forMs !== null) return err('expected for_ms or until_ms, not both');
  if (atMs !== null && !(atMs > nowMs && atMs - nowMs <= DURATION_MS_MAX)) {
    return err('expected an end in the future, in 31 days at most');
  }
  const target = get('target') ?? '';
  if (target === '') return err('expected a target: SERVICE/SERVER');
  return ok({
    target,
    action,
    weight: action === 'weight' ? weight : null,
    timeoutMs,
    untilMs: forMs === null ? atMs : nowMs + forMs,
    by: clean(get('by') ?? ''),
    reason: clean(get('reason') ?? ''),
    dryRun: get('dry_run') !== null,
    force: get('force') !== null,
  });
}

/**
 * The servers that a target names, and those of `others` that are not configured; the error says
 * which servers there are.
 */
export function resolveTarget(
  services: readonly ServiceConfig[],
  target: string,
  others: readonly Target[] = [],
): Result<readonly Target[], string> {
  const slash = target.indexOf('/');
  const serviceName = slash < 0 ? null : target.slice(0, slash);
  const wanted = target.slice(slash + 1);
  const more = others.filter(
    ({ service, server }) =>
      (serviceName === null || service === serviceName) &&
      (server === wanted || addressOf(server) === bare(wanted)),
  );
  const named = serviceName === null ? undefined : servicesByName(services).get(serviceName);
  const among = serviceName === null ? services : named === undefined ? [] : [named];
  if (among.length === 0 && more.length === 0) {
    const names = services.map(({ name }) => name);
    return err(unknownName('service', serviceName ?? '', names));
  }
  const found = among.flatMap((service) =>
    allServers(service)
      .filter((server) => serverKey(server) === wanted || server.address === bare(wanted))
      .map((server): Target => ({ service: service.name, server: serverKey(server) })),
  );
  if (found.length + more.length > 0) return ok([...found, ...more]);
  const known = [...new Set(among.flatMap((service) => allServers(service).map(serverKey)))];
  const service = services.find(({ name }) => serviceName === null && name === wanted);
  if (service !== undefined) {
    const server = allServers(service).map(serverKey)[0] ?? 'SERVER';
    return err(`${wanted} is a service: name one of its servers, as ${wanted}/${server}`);
  }
  return err(unknownName('server', wanted, known));
}

/** The override that a request makes of a server; null when it clears it. */
export function overrideOf(
  request: OverrideRequest,
  { service, server }: Target,
  nowMs: number,
): Override | null {
  const { timeoutMs, untilMs, by, reason } = request;
  const common = { service, server, by, reason, sinceMs: nowMs, untilMs };
  switch (request.action) {
    case 'clear':
      return null;
    case 'drain': {
      const deadlineMs = timeoutMs === null ? null : nowMs + timeoutMs;
      return { ...common, action: { kind: 'drain', deadlineMs, drained: false } };
    }
    case 'weight':
      return { ...common, action: { kind: 'weight', weight: request.weight ?? 0 } };
    case 'up':
    case 'down':
      return { ...common, action: { kind: request.action } };
  }
}

/** The answer to a request that cannot be carried out at all. */
export function refusedOverride(error: string) {
  return { error, servers: [], consequences: [], needsForce: false };
}

/** Of '10.0.0.11:8080' or '[2001:db8::11]:8080'. */
function addressOf(server: string): string {
  return bare(server.slice(0, server.lastIndexOf(':')));
}

/** '[2001:db8::1]' as '2001:db8::1'. */
function bare(address: string): string {
  return address.replace(/^\[(.*)\]$/, '$1');
}

function numberOf(text: string | null): number | null {
  return text === null ? null : Number(text);
}

/** For one line of a table. */
function clean(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]+/gu, ' ')
    .trim()
    .slice(0, OVERRIDE_TEXT_MAX);
}

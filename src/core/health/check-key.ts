/**
 * Which checks a configuration asks for. Two servers of different services that have the same
 * address and are asked the same question at the same times share one check: its key is the
 * canonical JSON of the times, and behind it that of the question and whom it is asked, which keys
 * differ in at their ends. The question tells whether a check of the old configuration has already
 * learnt what one of the new configuration wants to know.
 */
import { type CheckConfig, type CheckTiming, hasPort } from '../config/check.ts';
import type { IpText, RealServerConfig, ServiceConfig } from '../config/config.ts';
import { endpointText } from '../ipvs/model.ts';
import { kept } from '../kept.ts';

export interface CheckTarget {
  readonly address: IpText;
  /** The port that is asked: the check's own if it has one, else the server's; 0 for the host. */
  readonly port: number;
  /** The real server through which a virtual IP is asked. */
  readonly via?: IpText;
}

export interface CheckDefinition {
  readonly key: string;
  readonly check: CheckConfig;
  readonly target: CheckTarget;
}

/** What is of the key, but not of the question. */
const TIMING = {
  intervalUs: true,
  timeoutUs: true,
  fall: true,
  rise: true,
  retryDelayUs: true,
  jitterUs: true,
  startSpreadUs: true,
  initial: true,
} as const satisfies Record<keyof CheckTiming, true>;

/** The check of one server: `check` asked of `server`. */
export function checkDefinition(
  check: CheckConfig,
  server: { readonly address: IpText; readonly port: number },
): CheckDefinition {
  const askedPort = hasPort(check) ? (check.port ?? server.port) : 0;
  const address = check.address ?? server.address;
  const target =
    'via' in check && check.via !== null
      ? { address, port: askedPort, via: check.via }
      : { address, port: askedPort };
  // The members of a target are in the order of their names.
  const key = `${withoutTarget(check)},"target":${JSON.stringify(target)}}`;
  return { key, check, target };
}

/** The begin of a check's key: most servers have one of few checks. */
const withoutTarget = kept((check: CheckConfig): string => {
  // Address and port are in the target; who configured them does not matter.
  const { address, port, ...members } = check;
  const timing: Record<string, unknown> = {};
  const asked: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(members)) {
    (Object.hasOwn(TIMING, name) ? timing : asked)[name] = value;
  }
  return `${canonicalJson(timing)}{"asked":${canonicalJson(asked)}`;
});

/** What a check asks of whom, of its key. */
export function questionOf(key: string): string {
  // Times are numbers and words.
  return key.slice(key.indexOf('}') + 1);
}

/** The check of a configured server, made once for each; null when it is not checked. */
export const checkOf = kept((server: RealServerConfig): CheckDefinition | null =>
  server.check === null ? null : checkDefinition(server.check, server),
);

/**
 * '10.0.0.11:8080', or the address alone where no port is asked; '192.0.2.10:80 through 10.0.0.11'
 * where a virtual IP is asked.
 */
export function targetText({ address, port, via }: CheckTarget): string {
  const asked = port === 0 ? address : endpointText(address, port);
  return via === undefined ? asked : `${asked} through ${via}`;
}

/** A service's servers and its sorry servers. */
export function allServers(service: ServiceConfig): readonly RealServerConfig[] {
  return service.sorryServers.length === 0
    ? service.servers
    : [...service.servers, ...service.sorryServers];
}

/** All checks of all services, each once, by key. */
export function checksOf(services: readonly ServiceConfig[]): Map<string, CheckDefinition> {
  const checks = new Map<string, CheckDefinition>();
  for (const service of services) {
    for (const server of allServers(service)) {
      const definition = checkOf(server);
      if (definition !== null) checks.set(definition.key, definition);
    }
  }
  return checks;
}

/**
 * JSON with the members of every object in the order of their names. Of a secret, only its digest
 * is in it: keys are shown and sent.
 */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_name, member: unknown) => {
    if (typeof member !== 'object' || member === null || Array.isArray(member)) return member;
    if ('secret' in member && 'digest' in member) return { digest: member.digest };
    return Object.fromEntries(
      Object.entries(member).sort(([left], [right]) => (left < right ? -1 : 1)),
    );
  });
}

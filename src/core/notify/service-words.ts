/**
 * What is said about virtual services and their real servers to the world outside: lines of the
 * FIFO, subjects and texts of mails, the environment of scripts. The words, their order and their
 * brackets are keepalived's (keepalived.conf(5): notify_fifo, lvs_notify_fifo, smtp_alert), but for
 * the NUL that it writes behind such a line.
 */
import type { RealServerConfig, ServiceConfig, ServiceIdentity } from '../config/config.ts';
import { serverKey } from '../ipvs/model.ts';

export type ServiceState = 'up' | 'down';

/** A service came to have its quorum or lost it, or a real server of it its health. */
export interface ServiceNotice {
  readonly service: ServiceConfig;
  /** null: the service itself. */
  readonly server: RealServerConfig | null;
  /** null: not known before. */
  readonly from: ServiceState | null;
  readonly to: ServiceState;
  /** Why, in words. */
  readonly reason: string;
  /** Of the service; null where it is a server that has changed. */
  readonly healthyWeight: number | null;
  /** ISO 8601, UTC. */
  readonly at: string;
}

/** 'web' or 'web/10.0.0.11:80': for lanes, the log and what was told. */
export function noticeName({ service, server }: Pick<ServiceNotice, 'service' | 'server'>): string {
  return server === null ? service.name : `${service.name}/${serverKey(server)}`;
}

/** One line with its end: `VS [192.0.2.10]:tcp:80 UP\n`, or `RS [10.0.0.11]:tcp:80 [...] DOWN\n`. */
export function serviceLine({ service, server, to }: ServiceNotice): string {
  const what = server === null ? 'VS' : `RS ${serverText(service, server)}`;
  return `${what} ${serviceText(service)} ${to.toUpperCase()}\n`;
}

/** Subject of a mail; `director` stands where keepalived has its router_id. */
export function serviceSubject(director: string, { service, server, to }: ServiceNotice): string {
  const of = serviceText(service);
  const what =
    server === null
      ? `Virtualserver ${of}`
      : `Realserver ${serverText(service, server)} of virtual server ${of}`;
  return `[${director}] ${what} - ${to.toUpperCase()}`;
}

/** Body of a mail: a line for each fact, each with its end. */
export function serviceMailText(director: string, notice: ServiceNotice): string {
  const { service, server, from, to, healthyWeight, at } = notice;
  const what =
    server === null
      ? `Virtual service ${service.name}`
      : `Real server ${serverKey(server)} of virtual service ${service.name}`;
  const lines = [
    `${what} of director ${director} is ${to} (before: ${from ?? 'not known'}).`,
    '',
    `Reason:   ${printable(notice.reason)}`,
    ...(healthyWeight === null
      ? []
      : [`Weight:   ${healthyWeight} healthy, the quorum is ${service.quorum.weight}`]),
    `Time:     ${at}`,
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** What a script finds in its environment beside PATH: documented with the configuration. */
export function serviceVariables(
  director: string,
  notice: ServiceNotice,
): Readonly<Record<string, string>> {
  const { service, server, from, to, reason, healthyWeight } = notice;
  return {
    VIPKEEPER_DIRECTOR: director,
    VIPKEEPER_SERVICE: service.name,
    ...(server === null ? {} : { VIPKEEPER_SERVER: serverKey(server) }),
    VIPKEEPER_STATE: to,
    VIPKEEPER_PREVIOUS_STATE: from ?? 'unknown',
    VIPKEEPER_REASON: printable(reason),
    ...(healthyWeight === null
      ? {}
      : {
          VIPKEEPER_HEALTHY_WEIGHT: String(healthyWeight),
          VIPKEEPER_QUORUM: String(service.quorum.weight),
        }),
  };
}

/** `[192.0.2.10]:tcp:80`, `FWM 7`, or of several entries `[web]:0`, as a group of keepalived's. */
function serviceText({ name, entries }: ServiceConfig): string {
  const [first, ...others] = entries;
  if (first === undefined || others.length > 0) return `[${name}]:0`;
  const { identity } = first;
  return identity.kind === 'fwmark'
    ? `FWM ${identity.mark}`
    : endpointText(identity.address, identity, identity.port);
}

function serverText({ entries }: ServiceConfig, { address, port }: RealServerConfig): string {
  return endpointText(address, entries[0]?.identity, port);
}

function endpointText(
  address: string,
  identity: ServiceIdentity | undefined,
  port: number,
): string {
  const protocol = identity?.kind === 'address' ? identity.protocol : 'none';
  return `[${address}]:${protocol}:${port}`;
}

/** What a server has said may be anything. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '?');
}

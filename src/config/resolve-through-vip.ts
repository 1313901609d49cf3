/**
 * Checks through the virtual IP: which of a service's addresses such a check asks, and what is
 * refused because no client's packet goes that way.
 */
import type { CheckConfig } from '../core/config/check.ts';
import type { RealServerConfig, ServiceEntry } from '../core/config/config.ts';
import { ipFamily } from '../core/ip.ts';
import { servesEntry } from '../core/ipvs/entries.ts';
import { isSocketCheck } from '../core/ipvs/through-vip.ts';
import type { Path } from './document.ts';
import type { Report } from './report.ts';
import type { CheckInput } from './schema.ts';

/** Keys that would send the check another way. */
const CONTRADICTORY = ['address', 'device', 'mark'] as const;

/**
 * A server whose check goes through the virtual IP, if `complete`, its check with what it inherited,
 * says so: the check asks the first address of the service that the server serves.
 * @param path of the server.
 */
export function resolveThroughVip(
  server: RealServerConfig,
  complete: CheckInput,
  where: {
    readonly entries: readonly ServiceEntry[];
    readonly path: Path;
    readonly report: Report;
  },
): RealServerConfig {
  const { check } = server;
  if (complete === 'none' || complete.through_vip !== true || check === null) return server;
  const { path, report, entries } = where;
  if (server.forwarding === 'nat') {
    const message =
      'check.through_vip needs forwarding dr or tun: behind NAT, clients reach the server’s own address';
    report.error(path, message, 'bare');
    return server;
  }
  if (check.kind === 'ping') {
    // It would succeed for ever: the director itself answers for the virtual IP, or its peer does.
    const message =
      'check.through_vip is not for ping: IPVS carries TCP, UDP and SCTP to the server, and no ICMP';
    report.error(path, message, 'bare');
    return server;
  }
  const contradiction = CONTRADICTORY.find((key) => complete[key] !== undefined);
  if (contradiction !== undefined) {
    report.error(
      path,
      `check.through_vip and check.${contradiction} contradict each other`,
      'bare',
    );
    return server;
  }
  const entry = entries.find(
    ({ identity }) => identity.kind === 'address' && servesEntry(server, identity, entries),
  );
  if (entry?.identity.kind !== 'address') {
    const message = 'check.through_vip needs a service with an address that this server serves';
    report.error(path, message, 'bare');
    return server;
  }
  const vip = entry.identity;
  if (ipFamily(vip.address) !== ipFamily(server.address) && complete.bind === undefined) {
    const family = ipFamily(vip.address);
    const message = `check.through_vip needs check.bind here: ${server.address} does not tell which ${family} address to ask from`;
    report.error(path, message, 'bare');
    return server;
  }
  return { ...server, check: atVip(check, vip, server.address) };
}

function atVip(
  check: CheckConfig,
  vip: { readonly address: string; readonly port: number },
  via: string,
): CheckConfig {
  // The others have been refused by their kind.
  if (!isSocketCheck(check)) return check;
  const port = check.port ?? (vip.port === 0 ? null : vip.port);
  return { ...check, address: vip.address, port, via };
}

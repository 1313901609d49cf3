/**
 * Checks through the virtual IP: with direct routing or a tunnel, a server that answers on its own
 * address may still lack the virtual IP, and then it answers no client. Such a check connects to
 * the virtual IP with a firewall mark of its own, and a service by that mark in the kernel's table,
 * whose only server is the one in question, carries it there as clients' packets are carried.
 */
import type { CheckConfig, SocketCheckConfig } from '../config/check.ts';
import type { RealServerConfig, ServiceConfig } from '../config/config.ts';
import { plainService } from '../config/plain-service.ts';
import { allServers, canonicalJson } from '../health/check-key.ts';
import { fnv1a32 } from '../health/schedule.ts';
import { ipFamily } from '../ip.ts';

/** Marks are this base with a number of so many bits. */
export const CHECK_MARK_BITS = 20;
const MARKS = 2 ** CHECK_MARK_BITS;

/** The first and the last mark that checks may have. */
export function checkMarks(base: number): readonly [first: number, last: number] {
  return [base, base + MARKS - 1];
}

type SocketCheck = Extract<CheckConfig, SocketCheckConfig>;

/** A check that opens a socket, and so may go through the virtual IP. */
export function isSocketCheck(check: CheckConfig): check is SocketCheck {
  return 'via' in check;
}

/** A server's check, if it goes through the virtual IP; else null. */
function throughVip({ check }: RealServerConfig): SocketCheck | null {
  return check !== null && isSocketCheck(check) && check.via !== null ? check : null;
}

/**
 * The services with a mark for each check through a virtual IP. A server reached in one way has one
 * mark, whatever is asked there; it depends on nothing else, so a reload changes no mark but that
 * of two servers whose numbers happen to be equal.
 * @param base a multiple of 2^CHECK_MARK_BITS.
 */
export function withCheckMarks(
  services: readonly ServiceConfig[],
  base: number,
): readonly ServiceConfig[] {
  const ways = new Set<string>();
  for (const service of services) {
    for (const server of allServers(service)) {
      if (throughVip(server) !== null) ways.add(wayOf(server));
    }
  }
  if (ways.size === 0) return services;
  const marks = new Map<string, number>();
  const taken = new Set<number>();
  for (const way of [...ways].sort()) {
    // 0 would be no mark where the base is 0.
    let number = fnv1a32(way) % MARKS || 1;
    while (taken.has(number)) number = (number + 1) % MARKS || 1;
    taken.add(number);
    marks.set(way, base + number);
  }
  const marked = (server: RealServerConfig): RealServerConfig => {
    const check = throughVip(server);
    if (check === null) return server;
    return { ...server, check: { ...check, mark: marks.get(wayOf(server)) ?? null } };
  };
  return services.map((service) => ({
    ...service,
    servers: service.servers.map(marked),
    sorryServers: service.sorryServers.map(marked),
  }));
}

/** A server's address and how packets get there, and of which family they are. */
function wayOf(server: RealServerConfig): string {
  const { address, forwarding, tunnel } = server;
  const vip = throughVip(server)?.address ?? address;
  return canonicalJson({ address, forwarding, tunnel, family: ipFamily(vip) });
}

/** Whether any check goes through a virtual IP: marks are then given out among all services. */
export function usesCheckMarks(services: readonly ServiceConfig[]): boolean {
  return services.some((service) => allServers(service).some((one) => throughVip(one) !== null));
}

/** What carries the checks: for each mark a service with one server. */
export class CheckCarriers {
  readonly #byMark = new Map<number, ServiceConfig>();

  /** Carries the checks of a configured service as well. */
  add(service: ServiceConfig): void {
    for (const server of allServers(service)) {
      const check = throughVip(server);
      if (check === null || check.mark === null || this.#byMark.has(check.mark)) continue;
      this.#byMark.set(check.mark, carrier(server, check.mark, check.address ?? server.address));
    }
  }

  /** Sorted by mark. */
  services(): ServiceConfig[] {
    return [...this.#byMark].sort(([left], [right]) => left - right).map(([, service]) => service);
  }
}

/** What carries the checks of all these services. */
export function checkServices(services: readonly ServiceConfig[]): ServiceConfig[] {
  const carriers = new CheckCarriers();
  for (const service of services) carriers.add(service);
  return carriers.services();
}

/** All that should be in the kernel's table: the services, and what carries their checks. */
export function tableServices(services: readonly ServiceConfig[]): readonly ServiceConfig[] {
  const carriers = checkServices(services);
  return carriers.length === 0 ? services : [...services, ...carriers];
}

function carrier(server: RealServerConfig, mark: number, vip: string): ServiceConfig {
  const name = `checks of ${server.address}, mark ${mark}`;
  const identity = { kind: 'fwmark', mark, family: ipFamily(vip) } as const;
  // Port 0: the packet's own, which direct routing and tunnels keep.
  const only = { port: 0, weight: 1, upperThreshold: 0, lowerThreshold: 0, check: null };
  return plainService(
    { name, entries: [{ identity, follow: null }], servers: [{ ...server, ...only }] },
    { scheduler: 'rr', onRemove: 'delete', drainTimeoutUs: 0 },
  );
}

/**
 * Where answers to checks through virtual IPs come in: the interfaces by which this director
 * reaches the servers that are asked so. Only IPv4 needs to know: the kernel drops what comes from
 * outside with one of its own addresses there (accept_local, ip-sysctl.rst).
 */
import { networkInterfaces } from 'node:os';
import type { ServiceConfig } from '../core/config/config.ts';
import { SystemError } from '../linux/libc.ts';
import { routeSource } from '../linux/probe-socket.ts';

/**
 * Names of interfaces; a server that there is no route to now has none. `carriers`: what carries
 * the checks, as core/ipvs/through-vip.ts has it.
 */
export function answerDevices(carriers: readonly ServiceConfig[]): ReadonlySet<string> {
  const sources = new Set<string>();
  for (const { servers, entries } of carriers) {
    const [entry] = entries;
    if (entry?.identity.kind !== 'fwmark' || entry.identity.family !== 'ipv4') continue;
    for (const { address } of servers) {
      const source = sourceFor(address);
      if (source !== null) sources.add(source);
    }
  }
  if (sources.size === 0) return new Set();
  // An address with a label is told under its label, 'eth0:vip'.
  const names = Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    addresses?.some(({ address }) => sources.has(address)) === true
      ? [name.replace(/:.*/, '')]
      : [],
  );
  return new Set(names);
}

function sourceFor(address: string): string | null {
  try {
    return routeSource(address);
  } catch (error) {
    if (error instanceof SystemError) return null;
    throw error;
  }
}

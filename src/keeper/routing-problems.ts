/**
 * What is said when the kernel refuses a route or rule: its own words, and what usually helps.
 */
import type { Problem } from '../core/problem.ts';
import type { NetlinkError } from '../linux/netlink/error.ts';

/** What to do, by the kernel's errno. */
const CURES: Readonly<Record<string, string>> = {
  ENETUNREACH:
    'The gateway must be reachable through an address or route of its own: check its prefix, or set onlink',
  ENETDOWN: 'Set the interface up; the route is put there then',
  ENODEV: 'Create the interface, or correct its name in the configuration',
  EINVAL: 'Check the source address and the gateway: both must suit the interface at this moment',
  EEXIST: 'Another program has a route of this destination and metric: choose another metric',
  ESRCH: 'The table or rule that it leads to does not exist',
  EOPNOTSUPP: 'This kernel lacks the option that it uses',
  EAFNOSUPPORT: 'This kernel lacks policy routing or the address family',
};
const OTHERWISE = 'Try it by hand with ip route or ip rule; it is tried again when links change';

export function refusedProblem(
  { kind, text, error: reason }: { kind: string; text: string; error: string | null },
  error: NetlinkError | null,
): Problem {
  const code = error === null ? 'ENODEV' : error.code;
  const words = error === null ? (reason ?? '') : `${error.code}: ${error.message}`;
  return {
    code: 'VK-ROUTE',
    message: `The ${kind} ${text} cannot be added: ${words}`,
    cure: CURES[code] ?? OTHERWISE,
  };
}

export function unavailableProblem(error: NetlinkError): Problem {
  return {
    code: 'VK-ROUTE',
    message: `Routes and rules cannot be read: ${error.message}`,
    cure: 'Check that the kernel has policy routing (CONFIG_IP_MULTIPLE_TABLES)',
  };
}

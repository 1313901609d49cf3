/**
 * What the kernel's refusals mean, in words an operator can act on. The kernel answers with a bare
 * errno; which mistake it stands for follows from the request that it refused.
 * Source: net/netfilter/ipvs/ip_vs_ctl.c (ip_vs_genl_set_cmd and what it calls), ip_vs_sync.c.
 */
import { constants } from 'node:os';
import { ipFamily } from '../../core/ip.ts';
import { type RealServer, serverKey, serviceFamily, serviceKey } from '../../core/ipvs/model.ts';
import type { Problem } from '../../core/problem.ts';
import { netlinkError } from '../netlink/error.ts';
import type { NetlinkOutcome } from '../netlink/message.ts';
import type { IpvsRequest, SyncDaemon } from './codec.ts';

const e = constants.errno;

type ServiceRequest = Extract<IpvsRequest, { readonly kind: 'add-service' | 'set-service' }>;
type ServerRequest = Extract<IpvsRequest, { readonly kind: 'add-server' | 'set-server' }>;

/** The cure where another program changed the table between our dump and our change. */
const ANOTHER_PROGRAM =
  'The next comparison repairs it; if this comes again, find the other program that changes IPVS';

export const NO_IPVS: Problem = {
  code: 'VK-NO-IPVS',
  message: 'The kernel has no IPVS (no generic netlink family IPVS)',
  cure: "Load it with 'modprobe ip_vs', and in a container load it on the host",
};

/** The problem behind a failed request (`outcome.errno` is not 0). */
export function ipvsProblem(request: IpvsRequest, outcome: NetlinkOutcome): Problem {
  if (outcome.errno === e.EPERM) {
    return {
      code: 'VK-NOT-ROOT',
      message: `Not allowed to ${describe(request)}`,
      cure: 'Run as root, or with CAP_NET_ADMIN in the initial user namespace',
    };
  }
  switch (request.kind) {
    case 'add-service':
    case 'set-service':
      return serviceProblem(request, outcome);
    case 'add-server':
    case 'set-server':
      return serverProblem(request, outcome);
    case 'start-daemon':
      return daemonProblem(request.daemon, outcome);
    case 'stop-daemon':
      if (outcome.errno !== e.ESRCH) return other(request, outcome, 'VK-SYNC');
      return {
        code: 'VK-SYNC',
        message: `No ${request.role} sync daemon runs`,
        cure: 'Nothing needs to be done; another program may have stopped it',
      };
    case 'get-daemons':
      return other(request, outcome, 'VK-SYNC');
    default:
      return other(request, outcome, 'VK-IPVS');
  }
}

function serviceProblem(request: ServiceRequest, outcome: NetlinkOutcome): Problem {
  const { service } = request;
  const key = serviceKey(service.identity);
  if (outcome.errno === e.ENOENT) {
    const engine = service.persistenceEngine;
    const modules = [
      `ip_vs_${service.scheduler}`,
      ...(engine === null ? [] : [`ip_vs_pe_${engine}`]),
    ];
    return {
      code: 'VK-NO-SCHEDULER',
      message: `Service ${key}: the kernel has no scheduler '${service.scheduler}'${
        engine === null ? '' : ` or no persistence engine '${engine}'`
      }`,
      cure: `Load it with 'modprobe -a ${modules.join(' ')}'`,
    };
  }
  if (outcome.errno === e.EEXIST) {
    return problem(`Service ${key} is already in the kernel`, ANOTHER_PROGRAM);
  }
  if (outcome.errno === e.EINVAL && serviceFamily(service.identity) === 'ipv6') {
    return problem(
      `Service ${key}: the kernel refused a setting (EINVAL)`,
      'Give a persistence prefix of 1 to 128, and a scheduler name of at most 15 characters',
    );
  }
  return other(request, outcome, 'VK-IPVS');
}

function serverProblem(request: ServerRequest, outcome: NetlinkOutcome): Problem {
  const { server } = request;
  const name = `Server ${serverKey(server)} of service ${serviceKey(request.identity)}`;
  switch (outcome.errno) {
    case e.EEXIST:
      return problem(`${name} is already in the kernel`, ANOTHER_PROGRAM);
    case e.ENOENT:
      return problem(`${name} is not in the kernel`, ANOTHER_PROGRAM);
    case e.ERANGE:
      return problem(
        `${name}: weight ${server.weight}, thresholds ${server.lowerThreshold} to ` +
          `${server.upperThreshold} are out of range`,
        'Give a weight of 0 to 65535, and a lower threshold that is not above the upper one',
      );
    case e.EINVAL:
      return problem(`${name}: the kernel refused the server (EINVAL)`, invalidServerCure(request));
    default:
      return other(request, outcome, 'VK-IPVS');
  }
}

/** EINVAL has many causes: the ones that this record can have, the likeliest first. */
function invalidServerCure({ identity, server }: ServerRequest): string {
  const mixed = ipFamily(server.address) !== serviceFamily(identity);
  if (mixed && server.forwarding !== 'tun') {
    return 'Use forwarding tun: only a tunnel leads to a server of the other address family';
  }
  if (mixed) {
    return (
      'Stop the connection sync daemon, or do without servers of the other address family: ' +
      'the kernel cannot have both'
    );
  }
  if (isGueWithoutPort(server)) return 'Give the GUE tunnel a port';
  return `Check that ${server.address} is a unicast address, and that interface lo is up`;
}

function isGueWithoutPort({ forwarding, tunnel }: RealServer): boolean {
  return forwarding === 'tun' && tunnel.kind === 'gue' && tunnel.port === 0;
}

function daemonProblem(daemon: SyncDaemon, outcome: NetlinkOutcome): Problem {
  const name = `Sync daemon ${daemon.role} on ${daemon.interface}`;
  switch (outcome.errno) {
    case e.ENODEV:
      return {
        code: 'VK-NO-INTERFACE',
        message: `${name}: there is no such interface`,
        cure: `Create interface ${daemon.interface}, or configure another one for sync`,
      };
    case e.EEXIST:
      return {
        code: 'VK-SYNC',
        message: `${name}: a ${daemon.role} sync daemon runs already`,
        cure: `Stop it first, for example with 'ipvsadm --stop-daemon ${daemon.role}'`,
      };
    case e.EINVAL:
      return {
        code: 'VK-SYNC',
        message: `${name}: the kernel refused a setting (EINVAL)`,
        cure:
          'Give a multicast group, and have no server of another address family than its ' +
          'service: the kernel cannot sync those',
      };
    default:
      return other({ kind: 'start-daemon', daemon }, outcome, 'VK-SYNC');
  }
}

/** What any request can meet: a service that is gone, a lost answer, an unforeseen errno. */
function other(
  request: IpvsRequest,
  { errno, message }: NetlinkOutcome,
  code: 'VK-IPVS' | 'VK-SYNC',
): Problem {
  if (errno === e.ESRCH && 'identity' in request && request.identity !== null) {
    return problem(`Service ${serviceKey(request.identity)} is not in the kernel`, ANOTHER_PROGRAM);
  }
  if (errno === e.ESRCH && request.kind === 'set-service') {
    const key = serviceKey(request.service.identity);
    return problem(`Service ${key} is not in the kernel`, ANOTHER_PROGRAM);
  }
  if (errno === e.ENOENT && request.kind === 'delete-server') {
    const name = `Server ${serverKey(request)} of service ${serviceKey(request.identity)}`;
    return problem(`${name} is not in the kernel`, ANOTHER_PROGRAM);
  }
  if (errno === e.EAFNOSUPPORT) {
    return {
      code,
      message: `Cannot ${describe(request)}: the kernel has no IPv6`,
      cure: 'Enable IPv6 (ipv6.disable=0 on the kernel command line), or configure IPv4 alone',
    };
  }
  if (errno === e.ENOBUFS || errno === e.ETIMEDOUT) {
    return {
      code,
      message: `Cannot ${describe(request)}: the kernel's answer was lost`,
      cure: 'The next comparison shows what was done; if it comes again, give more memory',
    };
  }
  const { code: name, message: meaning } = netlinkError(errno, message, request.kind);
  return {
    code,
    message: `Cannot ${describe(request)}: ${meaning} (${name})`,
    cure: "Look for the kernel's own words with 'dmesg | grep IPVS'",
  };
}

function problem(message: string, cure: string): Problem {
  return { code: 'VK-IPVS', message, cure };
}

/** The request in words that follow "cannot". */
function describe(request: IpvsRequest): string {
  switch (request.kind) {
    case 'add-service':
      return `add service ${serviceKey(request.service.identity)}`;
    case 'set-service':
      return `change service ${serviceKey(request.service.identity)}`;
    case 'delete-service':
      return `delete service ${serviceKey(request.identity)}`;
    case 'add-server':
      return `add ${serverKey(request.server)} to service ${serviceKey(request.identity)}`;
    case 'set-server':
      return `change ${serverKey(request.server)} of service ${serviceKey(request.identity)}`;
    case 'delete-server':
      return `delete ${serverKey(request)} from service ${serviceKey(request.identity)}`;
    case 'get-service':
    case 'get-servers':
      return `read service ${serviceKey(request.identity)}`;
    case 'get-services':
      return 'read the services';
    case 'start-daemon':
      return `start the ${request.daemon.role} sync daemon on ${request.daemon.interface}`;
    case 'stop-daemon':
      return `stop the ${request.role} sync daemon`;
    case 'get-daemons':
      return 'read the sync daemons';
    case 'set-timeouts':
      return 'set the connection timeouts';
    case 'get-timeouts':
      return 'read the connection timeouts';
    case 'get-info':
      return "read IPVS' version";
    case 'zero':
      return request.identity === null
        ? 'zero all counters'
        : `zero the counters of service ${serviceKey(request.identity)}`;
    case 'flush':
      return 'delete all services';
  }
}

import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { formatProblem } from '../../../../src/core/problem.ts';
import type { IpvsRequest } from '../../../../src/linux/ipvs/codec.ts';
import { ipvsProblem } from '../../../../src/linux/ipvs/problems.ts';
import { server, service, WEB } from '../../core/ipvs/samples.ts';

const e = constants.errno;
const WEB6 = { ...WEB, address: '2001:db8::10' } as const;
const ADD_SERVICE: IpvsRequest = { kind: 'add-service', service: service(WEB) };
const ADD: IpvsRequest = { kind: 'add-server', identity: WEB, server: server(11) };
const MASTER: IpvsRequest = {
  kind: 'start-daemon',
  daemon: { role: 'master', interface: 'sync0', id: 1 },
};

function text(request: IpvsRequest, errno: number): string {
  return formatProblem(ipvsProblem(request, { errno, message: null, offset: null }));
}

describe('ipvsProblem', () => {
  it.each<[string, IpvsRequest, number, RegExp]>([
    ['a missing capability', ADD, e.EPERM, /^VK-NOT-ROOT: .*10\.0\.0\.11:8080.*CAP_NET_ADMIN/],
    ['a scheduler', ADD_SERVICE, e.ENOENT, /^VK-NO-SCHEDULER: .*'wlc'.*modprobe -a ip_vs_wlc'/],
    [
      'an engine',
      { kind: 'set-service', service: service(WEB, { persistenceEngine: 'sip' }) },
      e.ENOENT,
      /^VK-NO-SCHEDULER: .*'sip'.*modprobe -a ip_vs_wlc ip_vs_pe_sip'/,
    ],
    ['a service there', ADD_SERVICE, e.EEXIST, /^VK-IPVS: Service tcp 192\.0\.2\.10:80 is already/],
    ['a server there', ADD, e.EEXIST, /^VK-IPVS: Server 10\.0\.0\.11:8080 .* is already/],
    ['a service gone', ADD, e.ESRCH, /^VK-IPVS: Service tcp 192\.0\.2\.10:80 is not in/],
    [
      'a service gone when set',
      { kind: 'set-service', service: service(WEB) },
      e.ESRCH,
      /^VK-IPVS: Service tcp 192\.0\.2\.10:80 is not in/,
    ],
    [
      'a server gone',
      { kind: 'delete-server', identity: WEB, address: '10.0.0.11', port: 8080 },
      e.ENOENT,
      /^VK-IPVS: Server 10\.0\.0\.11:8080 of service tcp 192\.0\.2\.10:80 is not in/,
    ],
    [
      'thresholds',
      { ...ADD, server: server(11, { lowerThreshold: 9 }) },
      e.ERANGE,
      /thresholds 9 to 0 .*lower threshold that is not above/,
    ],
    ['a server without a route', ADD, e.EINVAL, /10\.0\.0\.11 is a unicast address.*lo is up/],
    ['NAT to IPv4 from IPv6', { ...ADD, identity: WEB6 }, e.EINVAL, /Use forwarding tun/],
    [
      'a mixed family beside a sync daemon',
      { ...ADD, identity: WEB6, server: server(11, { forwarding: 'tun' }) },
      e.EINVAL,
      /Stop the connection sync daemon/,
    ],
    [
      'GUE without a port',
      {
        ...ADD,
        server: server(11, {
          forwarding: 'tun',
          tunnel: { kind: 'gue', port: 0, checksum: 'none' },
        }),
      },
      e.EINVAL,
      /GUE tunnel a port/,
    ],
    ['no IPv6', { kind: 'get-service', identity: WEB6 }, e.EAFNOSUPPORT, /has no IPv6/],
    ['a lost answer', ADD, e.ENOBUFS, /answer was lost/],
    ['a daemon’s interface', MASTER, e.ENODEV, /^VK-NO-INTERFACE: .*sync0/],
    ['a daemon that runs', MASTER, e.EEXIST, /^VK-SYNC: .*runs already.*--stop-daemon master/],
    ['a daemon’s setting', MASTER, e.EINVAL, /^VK-SYNC: .*another address family/],
    ['no daemon', { kind: 'stop-daemon', role: 'backup' }, e.ESRCH, /^VK-SYNC: No backup/],
    ['an unforeseen errno', ADD, e.ENOMEM, /^VK-IPVS: .*\(ENOMEM\).*dmesg/],
  ])('tells what to do about %s', (_name, request, errno, pattern) => {
    expect(text(request, errno)).toMatch(pattern);
  });

  it('has sentences without final periods, as formatProblem adds them', () => {
    for (const errno of Object.values(e)) {
      for (const request of [ADD, ADD_SERVICE, MASTER]) {
        expect(text(request, errno)).not.toMatch(/\.\./);
      }
    }
  });
});

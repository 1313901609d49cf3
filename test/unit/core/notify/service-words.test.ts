import { describe, expect, test } from 'vitest';
import type { ServiceConfig } from '../../../../src/core/config/config.ts';
import {
  noticeName,
  type ServiceNotice,
  serviceLine,
  serviceMailText,
  serviceSubject,
  serviceVariables,
} from '../../../../src/core/notify/service-words.ts';
import { configOf } from '../../config/read.ts';

function serviceOf(text: string): ServiceConfig {
  const [service] = configOf(`services: {web: {check: none, ${text}}}`).services;
  return service as ServiceConfig;
}

const WEB = serviceOf('address: 192.0.2.10:80, servers: [10.0.0.11:8080]');

function notice(service: ServiceConfig, changes: Partial<ServiceNotice> = {}): ServiceNotice {
  return {
    service,
    server: null,
    from: 'up',
    to: 'down',
    reason: 'healthy weight 0 of quorum 1',
    healthyWeight: 0,
    at: '2026-03-01T12:00:00.000Z',
    ...changes,
  };
}

function ofServer(service: ServiceConfig, to: 'up' | 'down'): ServiceNotice {
  const [server = null] = service.servers;
  const reason = '3 checks in a row failed: \x1b[2Jno\n';
  return notice(service, { server, to, from: null, reason, healthyWeight: null });
}

describe('serviceLine has keepalived’s words', () => {
  test.each([
    [
      'a service by address',
      WEB,
      'VS [192.0.2.10]:tcp:80 DOWN\n',
      'RS [10.0.0.11]:tcp:8080 [192.0.2.10]:tcp:80 UP\n',
    ],
    [
      'IPv6 and UDP',
      serviceOf('address: "[2001:db8::10]:53", protocol: udp, servers: ["[2001:db8:2::11]:53"]'),
      'VS [2001:db8::10]:udp:53 DOWN\n',
      'RS [2001:db8:2::11]:udp:53 [2001:db8::10]:udp:53 UP\n',
    ],
    [
      'a mark',
      serviceOf('fwmark: 7, servers: [10.0.0.11]'),
      'VS FWM 7 DOWN\n',
      'RS [10.0.0.11]:none:0 FWM 7 UP\n',
    ],
    [
      'several entries',
      serviceOf('address: ["192.0.2.10-11:80"], servers: [10.0.0.11:80]'),
      'VS [web]:0 DOWN\n',
      'RS [10.0.0.11]:tcp:80 [web]:0 UP\n',
    ],
  ])('of %s', (_, service, ofService, ofReal) => {
    expect(serviceLine(notice(service))).toBe(ofService);
    expect(serviceLine(ofServer(service, 'up'))).toBe(ofReal);
  });
});

test('serviceSubject is keepalived’s', () => {
  expect(serviceSubject('dir-a', notice(WEB))).toBe(
    '[dir-a] Virtualserver [192.0.2.10]:tcp:80 - DOWN',
  );
  expect(serviceSubject('dir-a', ofServer(WEB, 'up'))).toBe(
    '[dir-a] Realserver [10.0.0.11]:tcp:8080 of virtual server [192.0.2.10]:tcp:80 - UP',
  );
});

test('serviceMailText says what has changed, why, and when, without control characters', () => {
  expect(serviceMailText('dir-a', notice(WEB))).toBe(`\
Virtual service web of director dir-a is down (before: up).

Reason:   healthy weight 0 of quorum 1
Weight:   0 healthy, the quorum is 1
Time:     2026-03-01T12:00:00.000Z
`);
  expect(serviceMailText('dir-a', ofServer(WEB, 'down'))).toBe(`\
Real server 10.0.0.11:8080 of virtual service web of director dir-a is down (before: not known).

Reason:   3 checks in a row failed: ?[2Jno?
Time:     2026-03-01T12:00:00.000Z
`);
});

test('serviceVariables are those of a service, or of a server in it', () => {
  expect(serviceVariables('dir-a', notice(WEB))).toEqual({
    VIPKEEPER_DIRECTOR: 'dir-a',
    VIPKEEPER_SERVICE: 'web',
    VIPKEEPER_STATE: 'down',
    VIPKEEPER_PREVIOUS_STATE: 'up',
    VIPKEEPER_REASON: 'healthy weight 0 of quorum 1',
    VIPKEEPER_HEALTHY_WEIGHT: '0',
    VIPKEEPER_QUORUM: '1',
  });
  expect(serviceVariables('dir-a', ofServer(WEB, 'up'))).toEqual({
    VIPKEEPER_DIRECTOR: 'dir-a',
    VIPKEEPER_SERVICE: 'web',
    VIPKEEPER_SERVER: '10.0.0.11:8080',
    VIPKEEPER_STATE: 'up',
    VIPKEEPER_PREVIOUS_STATE: 'unknown',
    VIPKEEPER_REASON: '3 checks in a row failed: ?[2Jno?',
  });
});

test('noticeName is the service’s, or the server’s behind it', () => {
  expect(noticeName(notice(WEB))).toBe('web');
  expect(noticeName(ofServer(WEB, 'up'))).toBe('web/10.0.0.11:8080');
});

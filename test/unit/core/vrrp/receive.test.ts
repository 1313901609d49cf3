/** What an instance demands of valid advertisements: each reason, and their order. */
import { describe, expect, test } from 'vitest';
import { InternalError } from '../../../../src/core/assert.ts';
import { parseIp } from '../../../../src/core/ip.ts';
import { acceptAdvertisement } from '../../../../src/core/vrrp/receive.ts';
import { REFUSAL_REASONS } from '../../../../src/core/vrrp/types.ts';
import { decodeAdvertisement } from '../../../../src/core/wire/vrrp.ts';
import {
  datagramOf,
  KEEPALIVED_FRAMES,
  patched,
  reasonOf,
  rechecksummed,
  unwrap,
  withBytes,
} from '../wire/frames.ts';

const ip = (text: string): Uint8Array => parseIp(text) as Uint8Array;
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (frame: string) => unwrap(decodeAdvertisement(datagramOf(frame)));

const SOURCE = ip('192.0.2.251');
const V2 = {
  version: 2,
  vrid: 10,
  family: 'ipv4',
  password: null,
  advertIntervalUs: 1_000_000,
  ownAddress: ip('192.0.2.252'),
} as const;
const V2_PASSWORD = { ...V2, vrid: 13, password: bytesOf('secret12') };
const V3 = { ...V2, version: 3, vrid: 11 } as const;

describe('acceptAdvertisement takes', () => {
  test('version 2 as configured, and gives the advertisement itself', () => {
    const decoded = decode(KEEPALIVED_FRAMES.advertV2);
    expect(unwrap(acceptAdvertisement(decoded, V2, SOURCE))).toBe(decoded);
  });

  test('version 2 with the configured password', () => {
    const decoded = decode(KEEPALIVED_FRAMES.advertV2Password);
    expect(acceptAdvertisement(decoded, V2_PASSWORD, SOURCE).ok).toBe(true);
  });

  test('version 3 with another interval than its own, which a backup adopts', () => {
    const decoded = decode(KEEPALIVED_FRAMES.advertV3Ipv4);
    const instance = { ...V3, advertIntervalUs: 10_000 };
    expect(acceptAdvertisement(decoded, instance, SOURCE).ok).toBe(true);
  });

  test('any source while the interface has no address', () => {
    const decoded = decode(KEEPALIVED_FRAMES.advertV3Ipv4);
    expect(acceptAdvertisement(decoded, { ...V3, ownAddress: null }, SOURCE).ok).toBe(true);
  });

  test('authentication data without authentication, which is ignored', () => {
    const datagram = datagramOf(KEEPALIVED_FRAMES.advertV2);
    const bytes = rechecksummed(patched(datagram.bytes, { 16: 1, 23: 9 }));
    const decoded = unwrap(decodeAdvertisement(withBytes(datagram, bytes)));
    expect(acceptAdvertisement(decoded, V2, SOURCE).ok).toBe(true);
  });
});

describe('acceptAdvertisement refuses', () => {
  const ah = patched(datagramOf(KEEPALIVED_FRAMES.advertV2).bytes, { 4: 2 });
  const authenticationHeader = unwrap(
    decodeAdvertisement(withBytes(datagramOf(KEEPALIVED_FRAMES.advertV2), rechecksummed(ah))),
  );
  const v2 = decode(KEEPALIVED_FRAMES.advertV2);
  const v2Password = decode(KEEPALIVED_FRAMES.advertV2Password);
  const v3 = decode(KEEPALIVED_FRAMES.advertV3Ipv4);

  test.each([
    ['version-mismatch', v3, { ...V2, vrid: 11 }, 'VRRP version 3; this instance speaks version 2'],
    ['version-mismatch', v2, { ...V3, vrid: 10 }, 'VRRP version 2; this instance speaks version 3'],
    ['own-address', v2, { ...V2, ownAddress: SOURCE }, 'Sent from the address'],
    ['own-address', v3, { ...V3, ownAddress: SOURCE }, 'Sent from the address'],
    ['authentication', v2Password, { ...V2, vrid: 13 }, 'Authentication type 1; expected 0'],
    ['authentication', v2, { ...V2_PASSWORD, vrid: 10 }, 'Authentication type 0; expected 1'],
    ['authentication', authenticationHeader, V2, 'Authentication type 2; expected 0'],
    [
      'authentication',
      authenticationHeader,
      { ...V2_PASSWORD, vrid: 10 },
      'Authentication type 2; expected 1',
    ],
    [
      'authentication',
      v2Password,
      { ...V2_PASSWORD, password: bytesOf('secret13') },
      'The password is not the configured one',
    ],
    [
      'authentication',
      v2Password,
      { ...V2_PASSWORD, password: bytesOf('secret1\0') },
      'The password is not the configured one',
    ],
    ['interval-mismatch', v2, { ...V2, advertIntervalUs: 2_000_000 }, 'Interval 1 s; expected 2 s'],
  ])('%s', (reason, decoded, instance, detail) => {
    const result = acceptAdvertisement(decoded, instance, SOURCE);
    expect(reasonOf(result)).toBe(reason);
    expect(result.ok ? '' : result.error.detail).toContain(detail);
  });

  test('without telling either password', () => {
    const instance = { ...V2_PASSWORD, password: bytesOf('topsecre') };
    const text = JSON.stringify(acceptAdvertisement(v2Password, instance, SOURCE));
    expect(text).not.toContain('secret12');
    expect(text).not.toContain('topsecre');
  });

  test('for the first reason of REFUSAL_REASONS where several apply', () => {
    const wrong = { ...V3, vrid: 13, ownAddress: SOURCE, advertIntervalUs: 2_000_000 } as const;
    const steps = [
      wrong,
      { ...wrong, version: 2 },
      { ...wrong, version: 2, ownAddress: null },
      { ...wrong, version: 2, ownAddress: null, password: bytesOf('secret12') },
    ] as const;
    const reasons = steps.map((instance) =>
      reasonOf(acceptAdvertisement(v2Password, instance, SOURCE)),
    );
    const first = REFUSAL_REASONS.indexOf('version-mismatch');
    expect(reasons).toEqual(REFUSAL_REASONS.slice(first, first + 4));
  });
});

test('acceptAdvertisement fails when it is asked for another virtual router or family', () => {
  const decoded = decode(KEEPALIVED_FRAMES.advertV2);
  const accept = (change: object) => () =>
    acceptAdvertisement(decoded, { ...V2, ...change }, SOURCE);
  expect(accept({ vrid: 11 })).toThrow(InternalError);
  expect(accept({ family: 'ipv6' })).toThrow(InternalError);
});

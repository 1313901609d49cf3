/** Peers of a unicast instance: who they are, and what is refused from whom. */
import { describe, expect, test } from 'vitest';
import { parseIp } from '../../../../src/core/ip.ts';
import { REFUSAL_REASONS } from '../../../../src/core/vrrp/types.ts';
import { findPeer, otherPeers, reachRefusal } from '../../../../src/core/vrrp/unicast.ts';

const ip = (text: string): Uint8Array => parseIp(text) as Uint8Array;
const peer = (address: string) => ({ address, minTtl: 0, maxTtl: 255 });

const OWN = '192.0.2.2';
const PEERS = otherPeers([peer(OWN), peer('192.0.2.3')], (address) => address === OWN);
const UNICAST = { peers: PEERS, checkSource: true, ownAddress: ip(OWN) };
const MULTICAST = { peers: null, checkSource: false, ownAddress: ip(OWN) };

describe('otherPeers', () => {
  test('leaves own addresses out and keeps the others, in their order and with their bounds', () => {
    const list = [{ ...peer('192.0.2.9'), minTtl: 254 }, peer(OWN), peer('192.0.2.1')];
    const others = otherPeers(list, (address) => address === OWN);
    expect(others.map(({ text }) => text)).toEqual(['192.0.2.9', '192.0.2.1']);
    expect(others[0]).toMatchObject({ address: ip('192.0.2.9'), minTtl: 254, maxTtl: 255 });
  });
});

describe('findPeer', () => {
  test('finds a peer by its address alone', () => {
    expect(findPeer(PEERS, ip('192.0.2.3'))?.text).toBe('192.0.2.3');
    expect(findPeer(PEERS, ip(OWN))).toBeNull();
    expect(findPeer(PEERS, ip('2001:db8::3'))).toBeNull();
  });
});

describe('reachRefusal', () => {
  test.each([
    ['multicast, to the group', MULTICAST, '192.0.2.9', true, null],
    ['multicast, to this director alone', MULTICAST, '192.0.2.3', false, 'not-multicast'],
    ['unicast, from a peer', UNICAST, '192.0.2.3', false, null],
    ['unicast, to the group', UNICAST, '192.0.2.3', true, 'not-unicast'],
    ['unicast, from elsewhere', UNICAST, '192.0.2.4', false, 'not-a-peer'],
    [
      'unicast, from elsewhere where that is allowed',
      { ...UNICAST, checkSource: false },
      '192.0.2.4',
      false,
      null,
    ],
    ['unicast, from the own address, which own-address says better', UNICAST, OWN, false, null],
  ] as const)('%s', (_, reach, source, toGroup, reason) => {
    expect(reachRefusal(reach, ip(source), toGroup)?.reason ?? null).toBe(reason);
  });

  test('names the peers that would have been taken', () => {
    const detail = reachRefusal(UNICAST, ip('192.0.2.4'), false)?.detail;
    expect(detail).toBe('From none of the peers; expected 192.0.2.3');
    const alone = { ...UNICAST, peers: [] };
    expect(reachRefusal(alone, ip('192.0.2.4'), false)?.detail).toContain('expected nobody');
  });

  test('its reasons stand in the ladder between the packet and the instance', () => {
    const [first, last] = ['unknown-vrid', 'version-mismatch'] as const;
    const between = REFUSAL_REASONS.slice(
      REFUSAL_REASONS.indexOf(first) + 1,
      REFUSAL_REASONS.indexOf(last),
    );
    expect(between).toEqual(['not-multicast', 'not-unicast', 'not-a-peer']);
  });
});

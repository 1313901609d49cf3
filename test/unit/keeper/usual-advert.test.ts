/** UsualAdvert: only the very same packet is the one that was judged already. */
import { expect, test } from 'vitest';
import { decodeAdvertisement, encodeAdvertisement } from '../../../src/core/wire/vrrp.ts';
import { Peers } from '../../../src/keeper/peers.ts';
import { UsualAdvert } from '../../../src/keeper/usual-advert.ts';
import type { ReceivedAdvert } from '../../../src/linux/vrrp-socket.ts';

const SOURCE = Uint8Array.of(192, 0, 2, 11);
const GROUP = Uint8Array.of(224, 0, 0, 18);

function packetOf(priority = 150): ReceivedAdvert {
  const payload = new Uint8Array(64);
  const lengthBytes = encodeAdvertisement(payload, {
    version: 3,
    family: 'ipv4',
    vrid: 51,
    priority,
    advertIntervalUs: 100_000,
    addresses: [Uint8Array.of(192, 0, 2, 1)],
    checksum: 'pseudo-header',
    password: null,
    source: SOURCE,
    destination: GROUP,
  });
  return {
    family: 'ipv4',
    payload,
    lengthBytes,
    truncated: false,
    ttl: 255,
    source: SOURCE.slice(),
    destination: GROUP.slice(),
    receivedAtUs: 1_000,
  };
}

function usualOf(packet: ReceivedAdvert) {
  const { payload: bytes } = packet;
  const decoded = decodeAdvertisement({ ...packet, bytes });
  if (!decoded.ok) throw new Error(decoded.error.detail);
  const peers = new Peers('ipv4');
  const peer = peers.accept(packet.source, decoded.value, packet.receivedAtUs);
  return { peers, peer, usual: new UsualAdvert(packet, true, decoded.value, peer) };
}

test('the same packet again is the usual one, whatever follows it in the buffer', () => {
  const { usual } = usualOf(packetOf());
  const again = packetOf();
  again.payload.fill(0xa5, again.lengthBytes);
  expect(usual.matches({ ...again, receivedAtUs: 2_000 }, true)).toBe(true);
});

test('a packet that differs in anything is not', () => {
  const { usual } = usualOf(packetOf());
  const { lengthBytes } = packetOf();
  for (let index = 0; index < lengthBytes; index++) {
    const other = packetOf();
    other.payload[index] = (other.payload[index] as number) ^ 1;
    expect(usual.matches(other, true)).toBe(false);
  }
  const same = packetOf();
  expect(usual.matches({ ...same, lengthBytes: lengthBytes + 1 }, true)).toBe(false);
  expect(usual.matches({ ...same, lengthBytes: lengthBytes - 1 }, true)).toBe(false);
  expect(usual.matches({ ...same, truncated: true }, true)).toBe(false);
  expect(usual.matches({ ...same, ttl: 254 }, true)).toBe(false);
  expect(usual.matches({ ...same, source: Uint8Array.of(192, 0, 2, 12) }, true)).toBe(false);
  expect(usual.matches({ ...same, destination: SOURCE }, true)).toBe(false);
  expect(usual.matches(same, false)).toBe(false);
  expect(usual.matches(packetOf(0), true)).toBe(false);
});

test('nor is it when its sender had to make room for others', () => {
  const packet = packetOf();
  const { usual, peers } = usualOf(packet);
  for (let host = 1; host <= 16; host++) {
    peers.refuse(Uint8Array.of(198, 51, 100, host), { reason: 'ttl', detail: '' }, 2_000 + host);
  }
  expect(usual.matches(packet, true)).toBe(false);
});

test('what is heard again counts in the report of the sender', () => {
  const { peers, peer } = usualOf(packetOf());
  peers.acceptAgain(peer, 5_000);
  const [report] = peers.report();
  expect(report).toMatchObject({
    address: '192.0.2.11',
    lastHeardUs: 5_000,
    accepted: { count: 2, atUs: 5_000, activeAtUs: 5_000 },
  });
});

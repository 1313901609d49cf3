import { expect, test } from 'vitest';
import { finishChecksum, onesComplementSum } from '../../../../src/core/wire/checksum.ts';
import { encodeEchoRequest, isEchoReply } from '../../../../src/core/wire/echo.ts';

const echo = { id: 0x1234, sequence: 7, token: Uint8Array.of(1, 2, 3, 4) };

/** The reply to a request, for IPv4 behind a header of `headerBytes`. */
function reply(family: 'ipv4' | 'ipv6', headerBytes = 20): Uint8Array {
  const message = encodeEchoRequest(family, echo);
  message[0] = family === 'ipv4' ? 0 : 129;
  if (family === 'ipv6') return message;
  message[2] = 0;
  message[3] = 0;
  const checksum = finishChecksum(onesComplementSum(message, 0, message.length, 0));
  message[2] = checksum >> 8;
  message[3] = checksum & 0xff;
  const header = new Uint8Array(headerBytes);
  header[0] = 0x40 | (headerBytes / 4);
  return Uint8Array.from([...header, ...message]);
}

test('encodeEchoRequest: type, identifier, sequence number and token; IPv4 with its checksum', () => {
  const message = encodeEchoRequest('ipv4', echo);
  expect([...message.subarray(4)]).toEqual([0x12, 0x34, 0, 7, 1, 2, 3, 4]);
  expect(message[0]).toBe(8);
  expect(finishChecksum(onesComplementSum(message, 0, message.length, 0))).toBe(0);
  expect([...encodeEchoRequest('ipv6', echo).subarray(0, 4)]).toEqual([128, 0, 0, 0]);
});

test('isEchoReply: the reply is known, behind an IPv4 header with options too', () => {
  expect(isEchoReply('ipv4', reply('ipv4'), echo)).toBe(true);
  expect(isEchoReply('ipv4', reply('ipv4', 24), echo)).toBe(true);
  expect(isEchoReply('ipv6', reply('ipv6'), echo)).toBe(true);
});

test.each(['ipv4', 'ipv6'] as const)(
  'isEchoReply: any changed or cut %s reply is none',
  (family) => {
    const good = reply(family);
    const from = family === 'ipv4' ? 20 : 0;
    for (let index = from; index < good.length; index++) {
      // The checksum of ICMPv6 is the kernel's to verify.
      if (family === 'ipv6' && (index === 2 || index === 3)) continue;
      const changed = Uint8Array.from(good);
      changed[index] = (changed[index] as number) ^ 1;
      expect(isEchoReply(family, changed, echo), `byte ${index}`).toBe(false);
    }
    for (let length = 0; length < good.length; length++) {
      expect(isEchoReply(family, good.subarray(0, length), echo), `${length} bytes`).toBe(false);
    }
    expect(isEchoReply(family, good, { ...echo, sequence: 8 })).toBe(false);
  },
);

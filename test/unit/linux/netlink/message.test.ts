/**
 * The message layer: headers, several messages in a datagram, acknowledgements with and without
 * extended text, and hostile bytes.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AttributeWriter } from '../../../../src/linux/netlink/attributes.ts';
import {
  MessageCursor,
  messageSpace,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLM_F_MULTI,
  NLMSG_DONE,
  NLMSG_ERROR,
  putMessage,
} from '../../../../src/linux/netlink/message.ts';

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly portId: number;
  readonly payload: Uint8Array;
}

function datagram(messages: readonly Message[]): Uint8Array {
  const length = messages.reduce((sum, { payload }) => sum + messageSpace(payload.length), 0);
  // Filled with rubbish, so that padding which is not cleared shows.
  const bytes = new Uint8Array(length).fill(0xee);
  let offset = 0;
  for (const message of messages) offset = putMessage(bytes, offset, message, message.payload);
  expect(offset).toBe(length);
  return bytes;
}

function cursorOn(bytes: Uint8Array): MessageCursor {
  const cursor = new MessageCursor(bytes);
  cursor.start(bytes.length);
  return cursor;
}

describe('putMessage', () => {
  it('writes the header in front of the payload and clears the padding', () => {
    const message = { type: 0x23, flags: 0x0305, sequence: 7, portId: 9, payload: bytesOf('aa') };
    expect(hexOf(datagram([message]))).toBe('1100000023000503' + '0700000009000000' + 'aa000000');
  });
});

describe('MessageCursor', () => {
  it('reads back every message of a datagram', () => {
    const u32 = fc.nat(0xffffffff);
    const message = fc.record({
      type: fc.nat(0xffff),
      flags: fc.nat(0xffff),
      sequence: u32,
      portId: u32,
      payload: fc.uint8Array({ maxLength: 100 }),
    });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 10 }), (messages) => {
        const cursor = cursorOn(datagram(messages));
        const read: Message[] = [];
        while (cursor.next()) {
          const { type, flags, sequence, portId } = cursor;
          const payload = cursor.bytes.slice(cursor.payloadStart, cursor.payloadEnd);
          read.push({ type, flags, sequence, portId, payload });
        }
        expect(cursor.error).toBeNull();
        expect(read).toEqual(messages);
      }),
    );
  });

  it('reports a datagram that is cut anywhere but between messages', () => {
    const payload = bytesOf('00000000');
    const bytes = datagram([
      { type: 20, flags: 0, sequence: 1, portId: 1, payload },
      { type: 21, flags: 0, sequence: 2, portId: 1, payload },
    ]);
    for (let length = 0; length <= bytes.length; length++) {
      const cursor = new MessageCursor(bytes);
      cursor.start(length);
      let count = 0;
      while (cursor.next()) count++;
      expect(count).toBe(Math.floor(length / 20));
      expect(cursor.error === null).toBe(length % 20 === 0);
    }
  });

  it('does not look beyond its buffer when told of more bytes, as after truncation', () => {
    const bytes = datagram([
      { type: 20, flags: 0, sequence: 1, portId: 1, payload: new Uint8Array(8) },
    ]);
    const cursor = new MessageCursor(bytes.subarray(0, 20));
    cursor.start(bytes.length);
    expect(cursor.next()).toBe(false);
    expect(cursor.error).toBe('message-length-invalid');
  });

  it('any bytes are walked without a throw and inside the datagram', () => {
    const hostile = fc.tuple(fc.uint8Array({ maxLength: 200 }), fc.nat(60));
    fc.assert(
      fc.property(hostile, ([bytes, length]) => {
        // Makes the first length plausible in most runs, so that the walk gets somewhere.
        if (bytes.length > 4) bytes.set([length, 0, 0, 0]);
        const cursor = cursorOn(bytes);
        let last = 0;
        while (cursor.next()) {
          expect(cursor.payloadStart).toBeGreaterThanOrEqual(last + 16);
          expect(cursor.payloadEnd).toBeLessThanOrEqual(bytes.length);
          last = cursor.payloadStart;
          const outcome = cursor.outcome();
          if (outcome !== null) expect(outcome.errno).toBeGreaterThanOrEqual(0);
        }
      }),
      { numRuns: 500 },
    );
  });
});

const EEXIST = 17;

function errorPayload(errno: number, request: Uint8Array, extension: Uint8Array): Uint8Array {
  const writer = new AttributeWriter().putU32(-errno).putBytes(request).putBytes(extension);
  return writer.copy();
}

function outcomeOf(type: number, flags: number, payload: Uint8Array) {
  const cursor = cursorOn(datagram([{ type, flags, sequence: 1, portId: 1, payload }]));
  expect(cursor.next()).toBe(true);
  return cursor.outcome();
}

describe('MessageCursor.outcome', () => {
  const request = datagram([
    { type: 20, flags: 5, sequence: 1, portId: 1, payload: bytesOf('0102030405060708') },
  ]);
  const header = request.slice(0, 16);
  const extension = new AttributeWriter().string0(1, 'address in use').u32(2, 24).copy();
  const extended = { errno: EEXIST, message: 'address in use', offset: 24 };
  const plain = { errno: EEXIST, message: null, offset: null };

  it.each([
    ['an acknowledgement', NLM_F_CAPPED, errorPayload(0, header, bytesOf('')), 0],
    ['an error', NLM_F_CAPPED, errorPayload(EEXIST, header, bytesOf('')), EEXIST],
  ])('reads %s without text', (_what, flags, payload, errno) => {
    expect(outcomeOf(NLMSG_ERROR, flags, payload)).toEqual({ ...plain, errno });
  });

  it('reads the text behind a capped request', () => {
    const payload = errorPayload(EEXIST, header, extension);
    expect(outcomeOf(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, payload)).toEqual(extended);
  });

  it('reads the text behind a request that is repeated in full', () => {
    const payload = errorPayload(EEXIST, request, extension);
    expect(outcomeOf(NLMSG_ERROR, NLM_F_ACK_TLVS, payload)).toEqual(extended);
  });

  it('reads the text behind the end of a dump', () => {
    const payload = errorPayload(EEXIST, bytesOf(''), extension);
    expect(outcomeOf(NLMSG_DONE, NLM_F_MULTI | NLM_F_ACK_TLVS, payload)).toEqual(extended);
  });

  it('keeps the errno when the text is damaged or its place is beyond the message', () => {
    const damaged = errorPayload(EEXIST, header, bytesOf('ff000100'));
    expect(outcomeOf(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, damaged)).toEqual(plain);
    const beyond = header.slice();
    beyond.set([0xff, 0xff, 0xff, 0xff]);
    const payload = errorPayload(EEXIST, beyond, extension);
    expect(outcomeOf(NLMSG_ERROR, NLM_F_ACK_TLVS, payload)).toEqual(plain);
  });

  it('answers null when there is no room for an errno', () => {
    expect(outcomeOf(NLMSG_ERROR, 0, bytesOf('0000'))).toBeNull();
  });
});

/**
 * The request socket against a scripted kernel, for what a real one does only under stress: lost
 * and late answers, tables that do not hold still, silence. The real one is in test/netns.
 */
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { AttributeWriter } from '../../../../src/linux/netlink/attributes.ts';
import { resolveFamily } from '../../../../src/linux/netlink/genl.ts';
import {
  MessageCursor,
  messageSpace,
  NLM_F_ACK,
  NLM_F_CAPPED,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_MULTI,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  putMessage,
} from '../../../../src/linux/netlink/message.ts';
import { type DumpRequest, NetlinkSocket } from '../../../../src/linux/netlink/socket.ts';

const [EINTR, EAGAIN, EEXIST, EBUSY, ENOBUFS, ETIMEDOUT, EBADMSG] = [4, 11, 17, 16, 105, 110, 74];
const PORT_ID = 4242;
const RECORD = 99;

interface Sent {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

/** The kernel's side: what it does with a datagram, and what is readable (bytes or -errno). */
const kernel = vi.hoisted(() => ({
  onSend: (_bytes: Uint8Array): number => 0,
  readable: [] as (Uint8Array | number)[],
  receiveBufferBytes: 2_097_152,
  pollResult: false,
  polls: 0,
  closed: [] as number[],
}));

vi.mock('../../../../src/linux/libc.ts', async (importOriginal) => ({
  ...(await importOriginal<object>()),
  socket: () => 7,
  close: (fd: number) => kernel.closed.push(fd),
  bind: () => {},
  setsockopt: () => {},
  getsockoptInt: () => kernel.receiveBufferBytes,
  getsockname: () => {
    const name = new Uint8Array(12);
    new Uint32Array(name.buffer)[1] = 4242;
    return name;
  },
  sendto: (fd: number, bytes: Uint8Array, length: number) =>
    fd === -1 ? -9 : kernel.onSend(bytes.slice(0, length)) || length,
  recv: (fd: number, buffer: Uint8Array) => {
    if (fd === -1) return -9;
    const next = kernel.readable.shift() ?? -11;
    if (typeof next === 'number') return next;
    buffer.set(next.subarray(0, buffer.length));
    return next.length;
  },
  pollReadable: () => {
    kernel.polls++;
    return kernel.pollResult;
  },
}));

function parse(bytes: Uint8Array): Sent[] {
  const cursor = new MessageCursor(bytes);
  cursor.start(bytes.length);
  const sent: Sent[] = [];
  while (cursor.next()) {
    const { type, flags, sequence, payloadStart, payloadEnd } = cursor;
    sent.push({ type, flags, sequence, payload: bytes.slice(payloadStart, payloadEnd) });
  }
  expect(cursor.error).toBeNull();
  return sent;
}

function message(type: number, sequence: number, payload: Uint8Array, flags = 0): Uint8Array {
  const bytes = new Uint8Array(messageSpace(payload.length));
  putMessage(bytes, 0, { type, flags, sequence, portId: PORT_ID }, payload);
  return bytes;
}

const u32 = (value: number) => new AttributeWriter().putU32(value).copy();

function ack(sequence: number, errno = 0): Uint8Array {
  const payload = new AttributeWriter().putU32(-errno).putBytes(new Uint8Array(16)).copy();
  return message(NLMSG_ERROR, sequence, payload, NLM_F_CAPPED);
}

const done = (sequence: number, flags = 0) =>
  message(NLMSG_DONE, sequence, u32(0), NLM_F_MULTI | flags);
const record = (sequence: number, value: number, flags = 0) =>
  message(RECORD, sequence, u32(value), NLM_F_MULTI | flags);

/** Has the kernel answer each request of each send by what `answer` says. */
function answering(answer: (request: Sent, send: number) => (Uint8Array | number)[]): number[] {
  const sends: number[] = [];
  kernel.onSend = (bytes) => {
    const requests = parse(bytes);
    sends.push(requests.length);
    for (const request of requests) kernel.readable.push(...answer(request, sends.length));
    return 0;
  };
  return sends;
}

function open(): NetlinkSocket {
  const opened = NetlinkSocket.open(0);
  if (!opened.ok) throw new Error(opened.error.message);
  return opened.value;
}

const request = (value: number, payloadBytes = 4) => {
  const payload = new Uint8Array(payloadBytes);
  payload.set(u32(value));
  return { type: 20, flags: 0, payload };
};
const requests = (count: number, payloadBytes?: number) =>
  Array.from({ length: count }, (_, index) => request(index, payloadBytes));
const errnos = (outcomes: readonly { readonly errno: number }[]) =>
  outcomes.map(({ errno }) => errno);

const DUMP: DumpRequest = { type: 22, flags: 0, payload: new Uint8Array(0), call: 'RTM_GETADDR' };
const decode = (cursor: MessageCursor, records: number[]) => {
  if (cursor.type !== RECORD) return false;
  records.push(cursor.reader.u32(cursor.payloadStart, cursor.payloadEnd));
  return true;
};

beforeEach(() => {
  kernel.readable = [];
  kernel.receiveBufferBytes = 2_097_152;
  kernel.pollResult = false;
  kernel.polls = 0;
  kernel.closed = [];
});

describe('NetlinkSocket.transactSync', () => {
  it('sends many requests at once and gives each its own outcome', () => {
    const sends = answering(({ sequence, flags, payload }) => {
      expect(flags).toBe(NLM_F_REQUEST | NLM_F_ACK);
      return [ack(sequence, payload[0] === 1 ? EEXIST : 0)];
    });
    expect(errnos(open().transactSync(requests(3)))).toEqual([0, EEXIST, 0]);
    expect(sends).toEqual([3]);
  });

  it('does nothing for no requests', () => {
    const sends = answering(() => []);
    expect(open().transactSync([])).toEqual([]);
    expect(sends).toEqual([]);
  });

  it('never has more requests under way than their acknowledgements have room', () => {
    kernel.receiveBufferBytes = 20_480;
    const sends = answering(({ sequence }) => [ack(sequence)]);
    expect(errnos(open().transactSync(requests(25)))).toEqual(new Array(25).fill(0));
    expect(sends).toEqual([10, 10, 5]);
  });

  it('never sends more than 64 KiB at once', () => {
    const sends = answering(({ sequence }) => [ack(sequence)]);
    open().transactSync(requests(9, 16_000));
    expect(sends).toEqual([4, 4, 1]);
  });

  it('drops and counts answers to an earlier request', () => {
    answering(({ sequence }) => [ack(sequence - 1, EEXIST), ack(sequence)]);
    const socket = open();
    socket.transactSync([request(0)]);
    expect(errnos(socket.transactSync([request(1)]))).toEqual([0]);
    expect(socket.statistics.staleMessages).toBe(2);
  });

  it('keeps what arrived when answers were lost, and says of the others that it is unknown', () => {
    answering(({ sequence, payload }) => (payload[0] === 0 ? [-ENOBUFS] : [ack(sequence)]));
    const socket = open();
    expect(errnos(socket.transactSync(requests(3)))).toEqual([ENOBUFS, 0, 0]);
    expect(socket.statistics.overruns).toBe(1);
    expect(kernel.polls).toBe(0);
    answering(({ sequence }) => [ack(sequence)]);
    expect(errnos(socket.transactSync([request(0)]))).toEqual([0]);
  });

  it('waits for an answer once it is not there yet, and gives up after a bound', () => {
    kernel.pollResult = true;
    answering(({ sequence }) => [-EINTR, -EAGAIN, ack(sequence)]);
    expect(errnos(open().transactSync([request(0)]))).toEqual([0]);
    expect(kernel.polls).toBe(1);
    kernel.pollResult = false;
    answering(() => []);
    expect(errnos(open().transactSync(requests(2)))).toEqual([ETIMEDOUT, ETIMEDOUT]);
  });

  it('gives every request of a refused send its errno, and goes on with the next', () => {
    kernel.receiveBufferBytes = 4_096;
    let sends = 0;
    kernel.onSend = (bytes) => {
      sends++;
      if (sends === 1) return -ENOBUFS;
      for (const { sequence } of parse(bytes)) kernel.readable.push(ack(sequence));
      return 0;
    };
    expect(errnos(open().transactSync(requests(3)))).toEqual([ENOBUFS, ENOBUFS, 0]);
  });

  it('ends with EBADF after close, which closes once', () => {
    const socket = open();
    socket.close();
    socket.close();
    expect(kernel.closed).toEqual([7]);
    expect(errnos(socket.transactSync([request(0)]))).toEqual([9]);
  });
});

describe('NetlinkSocket.transactWrittenSync', () => {
  const written = (count: number, payloadBytes = 4) => ({
    type: 20,
    count,
    write: (writer: AttributeWriter, index: number) => {
      writer.putU32(index).putBytes(new Uint8Array(payloadBytes - 4));
    },
  });
  /** As a kernel does it: failures, and what asks for an acknowledgement. */
  const answer = ({ flags, sequence }: Sent, errno: number) =>
    errno !== 0 || (flags & NLM_F_ACK) !== 0 ? [ack(sequence, errno)] : [];

  it('asks for one acknowledgement and gives each request its own outcome', () => {
    const seen: Sent[] = [];
    const sends = answering((sent) => {
      seen.push(sent);
      return answer(sent, sent.payload[0] === 1 ? EEXIST : 0);
    });
    expect(errnos(open().transactWrittenSync(written(4)))).toEqual([0, EEXIST, 0, 0]);
    expect(sends).toEqual([4]);
    expect(seen.map(({ payload }) => payload[0])).toEqual([0, 1, 2, 3]);
    expect(seen.map(({ flags }) => flags & NLM_F_ACK)).toEqual([0, 0, 0, NLM_F_ACK]);
  });

  it('ends with the last request also when that is the one which fails', () => {
    answering((sent) => answer(sent, sent.payload[0] === 2 ? EEXIST : 0));
    expect(errnos(open().transactWrittenSync(written(3)))).toEqual([0, 0, EEXIST]);
    expect(kernel.polls).toBe(0);
  });

  it('does nothing for no requests', () => {
    const sends = answering(() => []);
    expect(open().transactWrittenSync(written(0))).toEqual([]);
    expect(sends).toEqual([]);
  });

  it('sends what fits into 64 KiB, and no more than can be answered', () => {
    const sends = answering((sent) => answer(sent, 0));
    expect(errnos(open().transactWrittenSync(written(100, 1_984)))).toEqual(new Array(32).fill(0));
    kernel.receiveBufferBytes = 20_480;
    expect(errnos(open().transactWrittenSync(written(100)))).toEqual(new Array(10).fill(0));
    expect(sends).toEqual([32, 10]);
  });

  it('knows nothing of what was not answered when answers were lost', () => {
    answering((sent) => [
      ...(sent.payload[0] === 0 ? [-ENOBUFS] : []),
      ...answer(sent, sent.payload[0] === 1 ? EEXIST : 0),
    ]);
    const socket = open();
    expect(errnos(socket.transactWrittenSync(written(4)))).toEqual([ENOBUFS, EEXIST, ENOBUFS, 0]);
    // The acknowledgement itself was lost.
    answering(({ payload }) => (payload[0] === 0 ? [-ENOBUFS] : []));
    expect(errnos(socket.transactWrittenSync(written(2)))).toEqual([ENOBUFS, ENOBUFS]);
    answering((sent) => answer(sent, 0));
    expect(errnos(socket.transactWrittenSync(written(2)))).toEqual([0, 0]);
  });

  it('knows nothing when the kernel is silent, or took nothing', () => {
    answering(() => []);
    const socket = open();
    expect(errnos(socket.transactWrittenSync(written(2)))).toEqual([ETIMEDOUT, ETIMEDOUT]);
    kernel.onSend = () => -EEXIST;
    expect(errnos(socket.transactWrittenSync(written(2)))).toEqual([EEXIST, EEXIST]);
  });
});

describe('NetlinkSocket.querySync', () => {
  it('answers EBADMSG when a reply is damaged, although the kernel was content', () => {
    answering(({ sequence }) => [record(sequence, 1), ack(sequence)]);
    expect(open().querySync(request(0), () => false).errno).toBe(EBADMSG);
    expect(open().querySync(request(0), () => true).errno).toBe(0);
  });
});

describe('resolveFamily', () => {
  const reply = (fill: (writer: AttributeWriter) => void) => {
    const writer = new AttributeWriter().putU32(0x0201);
    fill(writer);
    return writer.copy();
  };

  it('answers the id of the reply', () => {
    answering(({ type, sequence, payload }) => {
      expect(type).toBe(16);
      expect(Buffer.from(payload).toString('hex')).toBe(
        '03020000' + '0900020049505653' + '00000000',
      );
      return [
        message(
          16,
          sequence,
          reply((writer) => writer.u16(1, 35)),
        ),
        ack(sequence),
      ];
    });
    expect(resolveFamily(open(), 'IPVS')).toEqual({ ok: true, value: { id: 35 } });
  });

  it('passes on that there is no such family, and refuses a reply without an id', () => {
    answering(({ sequence }) => [ack(sequence, 2)]);
    const missing = { ok: false, error: { code: 'ENOENT', call: 'CTRL_CMD_GETFAMILY' } };
    expect(resolveFamily(open(), 'IPVS')).toMatchObject(missing);
    answering(({ sequence }) => [
      message(
        16,
        sequence,
        reply(() => {}),
      ),
      ack(sequence),
    ]);
    expect(resolveFamily(open(), 'IPVS')).toMatchObject({ ok: false, error: { code: 'EBADMSG' } });
  });
});

describe('NetlinkSocket.dumpSync', () => {
  it('collects the records of all parts', () => {
    answering(({ sequence, flags }) => {
      expect(flags).toBe(NLM_F_REQUEST | NLM_F_DUMP);
      return [record(sequence, 1), record(sequence, 2), done(sequence)];
    });
    expect(open().dumpSync(DUMP, decode)).toEqual({ ok: true, value: [1, 2] });
  });

  it('begins anew when the table changed meanwhile, and keeps nothing of the first try', () => {
    answering(({ sequence }, send) =>
      send === 1
        ? [record(sequence, 1), record(sequence, 2, NLM_F_DUMP_INTR), done(sequence)]
        : [record(sequence, 3), done(sequence)],
    );
    const socket = open();
    expect(socket.dumpSync(DUMP, decode)).toEqual({ ok: true, value: [3] });
    expect(socket.statistics.dumpRetries).toBe(1);
  });

  it.each([
    ['never holds still', (sequence: number) => [done(sequence, NLM_F_DUMP_INTR)], 'EINTR', 5],
    ['loses an answer each time', (sequence: number) => [-ENOBUFS, done(sequence)], 'ENOBUFS', 5],
    ['has a damaged record', (sequence: number) => [ack(sequence, EBADMSG)], 'EBADMSG', 1],
    ['is refused', (sequence: number) => [ack(sequence, EEXIST)], 'EEXIST', 1],
    ['is silent', () => [], 'ETIMEDOUT', 1],
  ])('ends with an error value when the table %s', (_what, answer, code, tries) => {
    const sends = answering(({ sequence }) => answer(sequence));
    const dumped = open().dumpSync(DUMP, decode);
    expect(dumped).toMatchObject({ ok: false, error: { code, call: 'RTM_GETADDR' } });
    expect(sends.length).toBe(tries);
  });

  it('reads a damaged dump to its end, so that the next one works', () => {
    answering(({ sequence }, send) =>
      send === 1
        ? [message(98, sequence, u32(0)), record(sequence, 1), done(sequence)]
        : [record(sequence, 2), done(sequence)],
    );
    const socket = open();
    expect(socket.dumpSync(DUMP, decode)).toMatchObject({ ok: false, error: { code: 'EBADMSG' } });
    expect(kernel.readable).toEqual([]);
    expect(socket.dumpSync(DUMP, decode)).toEqual({ ok: true, value: [2] });
  });

  it('takes a record that is longer than the receive buffer as lost', () => {
    answering(({ sequence }) => [
      message(RECORD, sequence, new Uint8Array(65_600)),
      done(sequence),
    ]);
    const socket = open();
    expect(socket.dumpSync(DUMP, decode).ok).toBe(false);
    expect(socket.statistics.truncated).toBeGreaterThan(0);
  });
});

describe('NetlinkSocket asynchronously', () => {
  it('keeps the order of calls and lets the event loop run in between', async () => {
    const order: string[] = [];
    answering(({ type, sequence }) => {
      order.push(type === DUMP.type ? 'dump' : 'transact');
      if (type !== DUMP.type) return [ack(sequence)];
      return [record(sequence, 1), record(sequence, 2), done(sequence)];
    });
    const socket = open();
    const dumped = socket.dump(DUMP, (cursor, records: number[]) => {
      setImmediate(() => order.push('turn'));
      return decode(cursor, records);
    });
    const transacted = socket.transact([request(0)]);
    expect(await dumped).toEqual({ ok: true, value: [1, 2] });
    expect(errnos(await transacted)).toEqual([0]);
    expect(order.slice(0, 2)).toEqual(['dump', 'turn']);
    expect(order.at(-1)).toBe('transact');
  });

  it('refuses a synchronous operation in the middle of a dump instead of spoiling it', async () => {
    answering(({ sequence }) => [record(sequence, 1), done(sequence)]);
    const socket = open();
    const during: number[] = [];
    const dumped = socket.dump(DUMP, (cursor, records: number[]) => {
      during.push(...errnos(socket.transactSync([request(0)])));
      return decode(cursor, records);
    });
    expect(await dumped).toEqual({ ok: true, value: [1] });
    expect(during).toEqual([EBUSY]);
    answering(({ sequence }) => [ack(sequence)]);
    expect(errnos(socket.transactSync([request(0)]))).toEqual([0]);
  });

  it('refuses what goes beyond the bound of its queue', async () => {
    answering(({ sequence }) => [ack(sequence)]);
    const socket = open();
    const all = await Promise.all(
      Array.from({ length: 1_025 }, () => socket.transact([request(0)])),
    );
    expect(errnos(all.flat()).filter((errno) => errno === EBUSY)).toHaveLength(1);
    expect(errnos(all.at(-1) ?? [])).toEqual([EBUSY]);
  });
});

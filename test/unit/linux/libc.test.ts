/** The C library's calls on loopback and in child processes: results, errors and lifetimes. */
import { execFile } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { monotonicUs, realtimeUs } from '../../../src/linux/clock.ts';
import {
  AF_INET,
  EAGAIN,
  EBADF,
  EINVAL,
  MSG_TRUNC,
  POLLIN,
  POLLOUT,
  SO_RCVBUF,
  SOCK_DGRAM,
  SOL_SOCKET,
} from '../../../src/linux/constants.ts';
import {
  bind,
  close,
  errnoName,
  getsockname,
  getsockoptInt,
  ifIndex,
  ifName,
  POLL_LIST_MAX,
  PollList,
  poll,
  pollReadable,
  recv,
  SystemError,
  sendto,
  setsockopt,
  socket,
  unixDatagramSend,
} from '../../../src/linux/libc.ts';
import { BatchReceiver, Receiver } from '../../../src/linux/receiver.ts';
import { decodeSockaddrIn, encodeSockaddrIn } from '../../../src/linux/sockaddr.ts';

const run = promisify(execFile);
const PATIENCE = { timeout: 10_000, interval: 5 };
const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const opened: number[] = [];

/** A UDP socket of loopback that sends to itself. */
function loopback(): { fd: number; address: Uint8Array } {
  const fd = socket(AF_INET, SOCK_DGRAM, 0);
  opened.push(fd);
  bind(fd, encodeSockaddrIn(LOOPBACK, 0));
  return { fd, address: getsockname(fd) };
}

afterEach(() => {
  for (const fd of opened.splice(0)) close(fd);
});

describe('SystemError', () => {
  test('names the call, the errno and its code', () => {
    const { fd } = loopback();
    const failed = () => bind(fd, encodeSockaddrIn(LOOPBACK, 1));
    expect(failed).toThrow(SystemError);
    try {
      failed();
    } catch (error) {
      expect(error).toMatchObject({ call: 'bind', errno: EINVAL, code: 'EINVAL' });
    }
  });

  test('errnoName knows Linux names and keeps unknown numbers', () => {
    expect(errnoName(1)).toBe('EPERM');
    expect(errnoName(11)).toBe('EAGAIN');
    expect(errnoName(105)).toBe('ENOBUFS');
    expect(errnoName(9999)).toBe('E9999');
  });
});

describe('sockets', () => {
  test('sendto and recv carry a datagram; recv tells the full length of a cut one', () => {
    const { fd, address } = loopback();
    const data = Uint8Array.from({ length: 100 }, (_, index) => index);
    expect(sendto(fd, data, 60, address)).toBe(60);
    const buffer = new Uint8Array(16).fill(0xa5);
    expect(recv(fd, buffer.subarray(0, 8))).toBe(60);
    expect([...buffer]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, ...Array(8).fill(0xa5)]);
    expect(recv(fd, buffer)).toBe(-EAGAIN);
  });

  test('sendto returns -errno and never reads past the data', () => {
    const { fd, address } = loopback();
    expect(sendto(fd, new Uint8Array(4), 5, address)).toBe(-EINVAL);
    expect(sendto(-1, new Uint8Array(4), 4, address)).toBe(-EBADF);
  });

  test('setsockopt and getsockoptInt agree', () => {
    const { fd } = loopback();
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, 8192);
    // socket(7): the kernel doubles the value.
    expect(getsockoptInt(fd, SOL_SOCKET, SO_RCVBUF)).toBe(16384);
  });

  test('Receiver gives data, sender and flags, and keeps its buffers through collections', () => {
    const { fd, address } = loopback();
    const receiver = new Receiver(32, 64);
    for (let round = 0; round < 200; round++) {
      const data = new Uint8Array(round % 2 === 0 ? 20 : 50).fill(round);
      sendto(fd, data, data.length, address);
      // Garbage between the calls: a moved or freed buffer would show.
      Array.from({ length: 200 }, () => new Uint8Array(64));
      expect(receiver.receive(fd)).toBe(data.length);
      expect(receiver.flags & MSG_TRUNC).toBe(round % 2 === 0 ? 0 : MSG_TRUNC);
      const stored = Math.min(data.length, 32);
      expect(receiver.buffer.subarray(0, stored)).toEqual(data.subarray(0, stored));
      const sender = decodeSockaddrIn(receiver.address.subarray(0, receiver.addressLength));
      expect(sender).toEqual(decodeSockaddrIn(address));
    }
    expect(receiver.receive(fd)).toBe(-EAGAIN);
  });

  test('BatchReceiver gives what waits, in order, each with its own size, sender and flags', () => {
    const { fd, address } = loopback();
    const receiver = new BatchReceiver(4, 32, 64);
    const sizes = { datagramBytes: 0, addressBytes: 0, controlBytes: 0, flags: 0 };
    for (let round = 0; round < 50; round++) {
      const lengths = [20, 50, 1, 32, 7, 33].slice(round % 3);
      for (const length of lengths) sendto(fd, new Uint8Array(length).fill(round), length, address);
      const seen: number[] = [];
      for (;;) {
        const received = receiver.receive(fd);
        if (received < 0) {
          expect(received).toBe(-EAGAIN);
          break;
        }
        for (let index = 0; index < received; index++) {
          receiver.sizes(index, sizes);
          seen.push(sizes.datagramBytes);
          expect((sizes.flags & MSG_TRUNC) !== 0).toBe(sizes.datagramBytes > 32);
          const memory = receiver.memories[index] as (typeof receiver.memories)[number];
          const stored = Math.min(sizes.datagramBytes, 32);
          expect([...memory.buffer.subarray(0, stored)]).toEqual(Array(stored).fill(round));
          const sender = decodeSockaddrIn(memory.address.subarray(0, sizes.addressBytes));
          expect(sender).toEqual(decodeSockaddrIn(address));
        }
      }
      expect(seen).toEqual(lengths);
    }
  });

  test('pollReadable waits for data and gives up after its time', () => {
    const { fd, address } = loopback();
    const beforeUs = monotonicUs();
    expect(pollReadable(fd, 20)).toBe(false);
    expect(monotonicUs() - beforeUs).toBeGreaterThanOrEqual(20_000);
    sendto(fd, LOOPBACK, 4, address);
    expect(pollReadable(fd, 10_000)).toBe(true);
  });

  test('PollList tells of each of its descriptors, and holds as many as it says', () => {
    const [first, second] = [loopback(), loopback()];
    sendto(second.fd, Uint8Array.of(1), 1, second.address);
    const list = new PollList();
    const look = () => {
      list.clear();
      list.add(first.fd, POLLIN);
      list.add(second.fd, POLLIN | POLLOUT);
      list.look();
      return [list.at(0), list.at(1)];
    };
    expect(look()).toEqual([0, POLLIN | POLLOUT]);
    recv(second.fd, new Uint8Array(1));
    expect(look()).toEqual([0, POLLOUT]);
    for (let size = 2; size < POLL_LIST_MAX; size++) list.add(first.fd, POLLOUT);
    expect(list.isFull).toBe(true);
    list.look();
    expect(list.at(POLL_LIST_MAX - 1)).toBe(POLLOUT);
    expect(() => list.add(first.fd, POLLIN)).toThrow();
  });

  test('unixDatagramSend fails with the reason when nobody listens', () => {
    expect(() => unixDatagramSend('/nonexistent/socket', 'x')).toThrow(/ENOENT/);
    expect(() => unixDatagramSend('', 'x')).toThrow(/EINVAL/);
  });
});

describe('poll', () => {
  test('calls while there is data, until it is closed', async () => {
    const { fd, address } = loopback();
    const buffer = new Uint8Array(16);
    let calls = 0;
    const handle = poll(fd, () => {
      calls++;
      recv(fd, buffer);
      if (calls === 3) handle.close();
    });
    for (let count = 0; count < 4; count++) sendto(fd, LOOPBACK, 4, address);
    await vi.waitFor(() => expect(calls).toBe(3), PATIENCE);
    await new Promise((resolve) => setImmediate(resolve));
    expect(calls).toBe(3);
    expect(recv(fd, buffer)).toBe(4);
    handle.close();
  });

  test('is silent while it is paused, and tells of what waits when it is resumed', async () => {
    const { fd, address } = loopback();
    const other = loopback();
    let calls = 0;
    const handle = poll(fd, () => {
      calls++;
      recv(fd, new Uint8Array(16));
      handle.pause();
    });
    sendto(fd, LOOPBACK, 4, address);
    sendto(fd, LOOPBACK, 4, address);
    await vi.waitFor(() => expect(calls).toBe(1), PATIENCE);
    // What another descriptor tells of comes from a later look at all of them.
    const told = new Promise<void>((resolve) => {
      const second = poll(other.fd, () => {
        second.close();
        resolve();
      });
    });
    sendto(other.fd, LOOPBACK, 4, other.address);
    await told;
    expect(calls).toBe(1);
    handle.pause();
    handle.resume();
    handle.resume();
    await vi.waitFor(() => expect(calls).toBe(2), PATIENCE);
    handle.close();
    handle.resume();
    expect(recv(fd, new Uint8Array(16))).toBe(-EAGAIN);
  });

  test('runs promises and ticks of the callback before the next event', async () => {
    const { fd, address } = loopback();
    const order: string[] = [];
    const handle = poll(fd, () => {
      recv(fd, new Uint8Array(16));
      order.push('event');
      void Promise.resolve().then(() => order.push('promise'));
    });
    sendto(fd, LOOPBACK, 4, address);
    sendto(fd, LOOPBACK, 4, address);
    await vi.waitFor(() => expect(order).toHaveLength(4), PATIENCE);
    expect(order).toEqual(['event', 'promise', 'event', 'promise']);
    handle.close();
  });

  test('a descriptor can be polled again after its poll was closed', async () => {
    const { fd, address } = loopback();
    poll(fd, () => {}).close();
    const readable = vi.fn(() => handle.close());
    const handle = poll(fd, readable);
    sendto(fd, LOOPBACK, 4, address);
    await vi.waitFor(() => expect(readable).toHaveBeenCalledTimes(1), PATIENCE);
  });

  test('refuses closed descriptors, files and a second poll instead of aborting', () => {
    const { fd } = loopback();
    expect(() => poll(1_000_000, () => {})).toThrow(/EBADF/);
    const file = openSync('/proc/self/status', 'r');
    expect(() => poll(file, () => {})).toThrow(/EINVAL/);
    closeSync(file);
    const handle = poll(fd, () => {});
    expect(() => poll(fd, () => {})).toThrow(/EEXIST/);
    expect(() => close(fd)).toThrow(/after its poll/);
    handle.close();
  });

  test('what the callback throws is an uncaught exception', async () => {
    const script = `
      const { timerfdCreate, timerfdSet, poll } = await import(process.argv[1]);
      const fd = timerfdCreate();
      poll(fd, () => { timerfdSet(fd, 0); throw new Error('from the callback'); });
      timerfdSet(fd, 1);`;
    const failure = await nodeScript(script).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('from the callback'),
    });
  });
});

/** Runs a module in a Node process of its own, with the compiled libc.js as its argument. */
function nodeScript(script: string): Promise<{ stdout: string; stderr: string }> {
  const compiled = new URL('../../../dist/src/linux/libc.js', import.meta.url).href;
  const args = ['--input-type=module', '-e', script, compiled];
  return run(process.execPath, args, { timeout: 30_000 });
}

test('execve replaces the process and leaves it its output', async () => {
  const script = `
    const { execve } = await import(process.argv[1]);
    execve('/bin/sh', ['sh', '-c', 'echo "$WORD $#"', 'sh', 'a b'], { WORD: 'kept' });`;
  expect((await nodeScript(script)).stdout).toBe('kept 1\n');
});

test('execve throws when there is no such program', async () => {
  const script = `
    const { execve } = await import(process.argv[1]);
    try { execve('/nonexistent', ['x'], {}); } catch (error) { console.log(error.code); }`;
  expect((await nodeScript(script)).stdout).toBe('ENOENT\n');
});

describe('interfaces', () => {
  test('ifIndex and ifName are each other’s inverse for lo', () => {
    const index = ifIndex('lo');
    expect(index).toBeGreaterThan(0);
    expect(ifName(index)).toBe('lo');
  });

  test('ifIndex is 0 and ifName null for what does not exist', () => {
    expect(ifIndex('nosuch0')).toBe(0);
    expect(ifIndex('')).toBe(0);
    expect(ifIndex('a-name-longer-than-the-kernel-allows')).toBe(0);
    expect(ifIndex('lo\0x')).toBe(0);
    expect(ifName(0x7fffffff)).toBeNull();
  });
});

describe('clocks', () => {
  test('monotonicUs is the clock of process.hrtime, in whole microseconds', () => {
    const beforeNs = process.hrtime.bigint();
    const nowUs = monotonicUs();
    const afterNs = process.hrtime.bigint();
    expect(Number.isInteger(nowUs)).toBe(true);
    expect(BigInt(nowUs)).toBeGreaterThanOrEqual(beforeNs / 1000n);
    expect(BigInt(nowUs)).toBeLessThanOrEqual(afterNs / 1000n);
  });

  test('realtimeUs lies between two readings of Date.now', () => {
    const beforeMs = Date.now();
    const nowUs = realtimeUs();
    const afterMs = Date.now();
    expect(Math.floor(nowUs / 1000)).toBeGreaterThanOrEqual(beforeMs);
    expect(Math.floor(nowUs / 1000)).toBeLessThanOrEqual(afterMs);
  });
});

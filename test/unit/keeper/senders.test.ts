/** Senders: one socket for all that may share it, closed with the last. */
import { describe, expect, test, vi } from 'vitest';
import { Senders } from '../../../src/keeper/senders.ts';
import { SystemError } from '../../../src/linux/libc.ts';
import type { VrrpSenderOptions } from '../../../src/linux/vrrp-socket.ts';

const OPTIONS: VrrpSenderOptions = {
  interfaceName: 'eth0',
  interfaceIndex: 2,
  family: 'ipv4',
  sourceAddress: Uint8Array.of(192, 0, 2, 1),
};

function makeSenders() {
  const opened: { send: ReturnType<typeof vi.fn>; close: ReturnType<typeof vi.fn> }[] = [];
  const senders = new Senders(() => {
    const socket = { send: vi.fn(() => 12), close: vi.fn() };
    opened.push(socket);
    return socket;
  });
  return { senders, opened };
}

describe('Senders', () => {
  test('the same options share a socket, which closes with the last user', () => {
    const { senders, opened } = makeSenders();
    const first = senders.open(OPTIONS);
    const second = senders.open({ ...OPTIONS, sourceAddress: Uint8Array.of(192, 0, 2, 1) });
    expect(opened).toHaveLength(1);
    const message = new Uint8Array(12);
    expect(second.send(message, 12)).toBe(12);
    expect(opened[0]?.send).toHaveBeenCalledWith(message, 12, undefined);
    first.close();
    first.close();
    expect(opened[0]?.close).not.toHaveBeenCalled();
    second.close();
    expect(opened[0]?.close).toHaveBeenCalledTimes(1);
    expect(senders.size).toBe(0);
  });

  test('another interface, family, source or destination has a socket of its own', () => {
    const { senders, opened } = makeSenders();
    senders.open(OPTIONS);
    senders.open({ ...OPTIONS, interfaceIndex: 3 });
    senders.open({ ...OPTIONS, sourceAddress: Uint8Array.of(192, 0, 2, 2) });
    senders.open({ ...OPTIONS, family: 'ipv6', sourceAddress: new Uint8Array(16) });
    senders.open({ ...OPTIONS, destinations: [Uint8Array.of(192, 0, 2, 9)] });
    senders.open({ ...OPTIONS, destinations: [Uint8Array.of(192, 0, 2, 8)] });
    expect(opened).toHaveLength(6);
  });

  test('a closed socket is not given to the next one', () => {
    const { senders, opened } = makeSenders();
    senders.open(OPTIONS).close();
    senders.open(OPTIONS);
    expect(opened).toHaveLength(2);
  });

  test('what cannot be opened leaves nothing behind', () => {
    const senders = new Senders(() => {
      throw new SystemError('bind', 99);
    });
    expect(() => senders.open(OPTIONS)).toThrow(SystemError);
    expect(senders.size).toBe(0);
  });
});

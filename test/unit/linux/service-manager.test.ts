/** notifyServiceManager against a real datagram socket that plays the service manager. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AF_UNIX, SOCK_DGRAM } from '../../../src/linux/constants.ts';
import { bind, close, recv, socket } from '../../../src/linux/libc.ts';
import { notifyServiceManager } from '../../../src/linux/service-manager.ts';
import { encodeSockaddrUn } from '../../../src/linux/sockaddr.ts';

const EAGAIN = 11;
let directory: string;
let previous: string | undefined;
let fd: number;

function listen(path: string): void {
  bind(fd, encodeSockaddrUn(path) as Uint8Array);
  process.env.NOTIFY_SOCKET = path;
}

function received(): string | number {
  const buffer = new Uint8Array(256);
  const length = recv(fd, buffer);
  return length < 0 ? length : new TextDecoder().decode(buffer.subarray(0, length));
}

beforeEach(() => {
  previous = process.env.NOTIFY_SOCKET;
  directory = mkdtempSync(join(tmpdir(), 'vipkeeper-notify-'));
  fd = socket(AF_UNIX, SOCK_DGRAM, 0);
});

afterEach(() => {
  close(fd);
  rmSync(directory, { recursive: true });
  if (previous === undefined) delete process.env.NOTIFY_SOCKET;
  else process.env.NOTIFY_SOCKET = previous;
});

describe('notifyServiceManager', () => {
  test('sends the state to a socket with a path', () => {
    listen(join(directory, 'notify'));
    notifyServiceManager('READY=1\nMAINPID=7');
    expect(received()).toBe('READY=1\nMAINPID=7');
    expect(received()).toBe(-EAGAIN);
  });

  test('sends the state to an abstract socket', () => {
    listen(`@vipkeeper-notify-${process.pid}`);
    notifyServiceManager('STOPPING=1');
    expect(received()).toBe('STOPPING=1');
  });

  test.each([
    ['is unset', undefined],
    ['is empty', ''],
    ['names nobody', '/nonexistent/notify'],
    ['is too long', `/${'a'.repeat(200)}`],
    ['is of another kind', 'vsock:2:1234'],
  ])('does nothing when NOTIFY_SOCKET %s', (_, path) => {
    listen(join(directory, 'notify'));
    if (path === undefined) delete process.env.NOTIFY_SOCKET;
    else process.env.NOTIFY_SOCKET = path;
    expect(() => notifyServiceManager('READY=1')).not.toThrow();
    expect(received()).toBe(-EAGAIN);
  });
});

/**
 * What servers do that misbehave: to a TCP connection, or with a query by DNS. For tests of what
 * checks make of it, in their own process as in another one.
 */
import type { Socket } from 'node:net';

const HTTP_HEAD = 'HTTP/1.1 200 OK\r\n';
const BLOCK = Buffer.alloc(64 * 1024, 'x');
const MINUTE_MS = 60_000;

/** Sends for as long as the client reads. */
function flood(socket: Socket, block: Buffer): void {
  const send = (): void => {
    if (socket.destroyed) return;
    if (socket.write(block)) setImmediate(send);
    else socket.once('drain', send);
  };
  send();
}

function trickle(socket: Socket, byte: string): void {
  socket.write(byte);
  const timer = setInterval(() => socket.write(byte), MINUTE_MS);
  socket.once('close', () => clearInterval(timer));
}

/** By name; each reads what the client says and does not care. */
export const BAD_BEHAVIOUR = {
  'a byte a minute': (socket) => trickle(socket, 'H'),
  'a header without end': (socket) =>
    flood(socket, Buffer.from(`${HTTP_HEAD}X-A: ${'a'.repeat(9999)}`)),
  'a gigabyte of body': (socket) => {
    socket.write(`${HTTP_HEAD}Content-Length: 1073741824\r\n\r\n`);
    flood(socket, BLOCK);
  },
  'a body that never goes on': (socket) => socket.write(`${HTTP_HEAD}Content-Length: 9\r\n\r\nn`),
  'redirects without end': (socket) =>
    socket.end('HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n'),
  // For the expression ^(a+)+$
  'an expression that backtracks': (socket) =>
    socket.end(`${HTTP_HEAD}Content-Length: 65\r\n\r\n${'a'.repeat(64)}!`),
  // The header of a record whose rest never comes (RFC 8446 section 5.1).
  'half a TLS handshake': (socket) => socket.write(Buffer.from([22, 3, 3, 0x20, 0, 2])),
  'floods of garbage': (socket) => flood(socket, BLOCK),
  'a PostgreSQL server of a byte a minute': (socket) => trickle(socket, 'R'),
  // Each has the form of a notice.
  'a PostgreSQL server of notices without end': (socket) =>
    flood(socket, Buffer.from('N\0\0\0\x08Sx\0\0')),
  'a MySQL server of a byte a minute': (socket) => trickle(socket, '\x4a'),
} as const satisfies Readonly<Record<string, (socket: Socket) => unknown>>;

export type BadBehaviour = keyof typeof BAD_BEHAVIOUR;

/** The answer whose name is a pointer that leads to itself (RFC 1035 section 4.1.4). */
export function dnsLoopAnswer(query: Uint8Array): Buffer {
  const answer = Buffer.from(query);
  answer.writeUInt16BE(0x8180, 2);
  answer.writeUInt16BE(1, 6);
  const pointer = Buffer.from([0xc0 | (answer.length >> 8), answer.length & 0xff]);
  const rest = Buffer.from([0, 6, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([answer, pointer, rest]);
}

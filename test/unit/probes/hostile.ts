/**
 * A server that says what it is told to, for checks that have a client library: after every test
 * nothing was thrown where nobody catches it, nothing printed, and the server is gone.
 */
import type { Socket } from 'node:net';
import { afterEach, beforeEach, expect, vi } from 'vitest';
import { ask } from '../../servers/ask.ts';
import { type TestServer, tcpServer } from './servers.ts';

export const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

let server: TestServer | null = null;
/** What the last client said. */
export let heard: Buffer[] = [];
const escaped: unknown[] = [];
const printed: unknown[] = [];
const onEscape = (error: unknown) => escaped.push(error);
beforeEach(() => {
  process.on('uncaughtException', onEscape).on('unhandledRejection', onEscape);
  for (const method of ['error', 'log', 'trace', 'warn'] as const) {
    vi.spyOn(console, method).mockImplementation((...words) => void printed.push(words));
  }
});
afterEach(async () => {
  await close();
  process.off('uncaughtException', onEscape).off('unhandledRejection', onEscape);
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  expect([escaped.splice(0), printed.splice(0)]).toEqual([[], []]);
});

export async function close(): Promise<void> {
  await server?.close();
  server = null;
}

/** Starts the server of a test; gives its port. */
export async function serve(talk: (socket: Socket) => void): Promise<number> {
  server = await tcpServer(talk);
  return server.target.port;
}

/** A server that says one thing after each word of the client; the first at once if it greets. */
export async function verdict(
  check: string,
  turns: readonly Buffer[],
  greets: boolean,
  pieceBytes = Number.POSITIVE_INFINITY,
): Promise<string> {
  heard = [];
  const port = await serve((socket) => {
    socket.setNoDelay(true);
    const waiting = [...turns];
    const say = async () => {
      const turn = waiting.shift() ?? Buffer.alloc(0);
      for (let at = 0; at < turn.length && !socket.destroyed; at += pieceBytes) {
        const piece = turn.subarray(at, Math.min(at + pieceBytes, turn.length));
        await new Promise((resolve) => socket.write(piece, resolve));
      }
    };
    socket.on('data', (data) => {
      heard.push(data);
      void say();
    });
    if (greets) void say();
  });
  return ask({ check, port, timeoutMs: 2000 });
}

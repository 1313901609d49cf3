/**
 * One question by datagrams: a socket is opened, connected and used for one attempt, and is closed
 * when that has its verdict. Errors of sockets, those that ICMP reports among them, are verdicts.
 */
import { Buffer } from 'node:buffer';
import { probeFailure } from '../core/health/probe-result.ts';
import { ProbeSocket, type ProbeSocketOptions } from '../linux/probe-socket.ts';
import type { Attempt } from './attempt.ts';
import { openFailure } from './connection.ts';

/** Longest UDP payload; the buffer is shared, as a datagram is judged before the next is read. */
const BUFFER = Buffer.alloc(65_535);

/** Datagrams of one attempt that are looked at: more is a flood, and no answer. */
const DATAGRAMS_MAX = 64;

/**
 * Sends `question` and gives every datagram that comes back to `judge`, which settles the attempt
 * once it knows. Returns a function that closes the socket; it may be called again.
 */
export function askByDatagram(
  attempt: Attempt,
  options: ProbeSocketOptions,
  question: Uint8Array,
  judge: (datagram: Uint8Array) => void,
): () => void {
  let socket: ProbeSocket | null = null;
  let seen = 0;
  const fail = (error: unknown): void => {
    attempt.settle(openFailure(error as Error, options), 'now');
  };
  const read = (): void => {
    try {
      socket?.drain(BUFFER, (datagram) => {
        if (attempt.settled) return;
        seen++;
        if (seen <= DATAGRAMS_MAX) return judge(datagram);
        const detail = `${DATAGRAMS_MAX} datagrams, and no answer among them`;
        attempt.settle(probeFailure('protocol', detail), 'now');
      });
    } catch (error) {
      fail(error);
    }
  };
  try {
    socket = new ProbeSocket(options, read);
    socket.send(question);
  } catch (error) {
    fail(error);
  }
  return () => socket?.close();
}

/**
 * A client that asks an address every millisecond and knows which questions were answered: ICMP
 * echo from a raw socket in the client's namespace, on a timer that is exact. ping asks ten times
 * less often while nobody answers, so it cannot tell a short outage.
 */
import { parseIp } from '../../src/core/ip.ts';
import { finishChecksum, onesComplementSum } from '../../src/core/wire/checksum.ts';
import { monotonicUs } from '../../src/linux/clock.ts';
import { AF_INET, SOCK_RAW } from '../../src/linux/constants.ts';
import { close, type PollHandle, poll, recv, sendto, socket } from '../../src/linux/libc.ts';
import { encodeSockaddrIn } from '../../src/linux/sockaddr.ts';
import { DeadlineTimer } from '../../src/linux/timer.ts';
import type { LabNode } from '../lab/topology.ts';
import { inside } from '../lab/watch.ts';

const IPPROTO_ICMP = 1;
const ECHO_REQUEST = 8;
const ECHO_REPLY = 0;
const MESSAGE_BYTES = 16;
const IPV4_HEADER_BYTES = 20;
const PERIOD_US = 1_000;
/** Two minutes of questions. */
const QUESTIONS_MAX = 120_000;

export interface Outage {
  readonly lost: number;
  /** Longest run of questions without an answer, as time. */
  readonly longestMs: number;
}

export class Prober {
  readonly #fd: number;
  readonly #poll: PollHandle;
  readonly #timer: DeadlineTimer;
  readonly #destination: Uint8Array;
  readonly #message = new Uint8Array(MESSAGE_BYTES);
  readonly #buffer = new Uint8Array(256);
  readonly #askedUs = new Float64Array(QUESTIONS_MAX);
  readonly #answered = new Uint8Array(QUESTIONS_MAX);
  #count = 0;
  #nextUs = 0;

  constructor(client: LabNode, address: string) {
    this.#destination = encodeSockaddrIn(parseIp(address) as Uint8Array, 0);
    this.#fd = inside(client, () => socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    this.#poll = poll(this.#fd, () => this.#read());
    this.#timer = new DeadlineTimer(() => this.#ask());
    this.#nextUs = monotonicUs() + PERIOD_US;
    this.#timer.arm(this.#nextUs);
  }

  /** Questions so far that were answered. */
  get answers(): number {
    return this.#answered.subarray(0, this.#count).reduce((sum, value) => sum + value, 0);
  }

  /** What was lost, without the last questions, whose answers may be on their way. */
  outage(): Outage {
    const end = Math.max(0, this.#count - 20);
    let lost = 0;
    let longestMs = 0;
    let fromUs: number | null = null;
    for (let index = 0; index < end; index++) {
      const atUs = this.#askedUs[index] as number;
      if (this.#answered[index] === 1) {
        if (fromUs !== null) longestMs = Math.max(longestMs, (atUs - fromUs) / 1e3);
        fromUs = null;
      } else {
        lost++;
        fromUs ??= atUs;
      }
    }
    return { lost, longestMs };
  }

  close(): void {
    this.#timer.close();
    this.#poll.close();
    close(this.#fd);
  }

  #ask(): void {
    if (this.#count >= QUESTIONS_MAX) return;
    const message = this.#message;
    const view = new DataView(message.buffer);
    message.fill(0);
    message[0] = ECHO_REQUEST;
    view.setUint32(8, this.#count);
    view.setUint16(2, finishChecksum(onesComplementSum(message, 0, MESSAGE_BYTES, 0)));
    this.#askedUs[this.#count++] = monotonicUs();
    sendto(this.#fd, message, MESSAGE_BYTES, this.#destination);
    // A prober that was held up does not ask everything at once.
    this.#nextUs = Math.max(this.#nextUs + PERIOD_US, monotonicUs());
    this.#timer.arm(this.#nextUs);
  }

  #read(): void {
    for (;;) {
      const received = recv(this.#fd, this.#buffer);
      if (received < 0) return;
      if (received < IPV4_HEADER_BYTES + MESSAGE_BYTES) continue;
      if (this.#buffer[IPV4_HEADER_BYTES] !== ECHO_REPLY) continue;
      const view = new DataView(this.#buffer.buffer);
      const index = view.getUint32(IPV4_HEADER_BYTES + 8);
      if (index < QUESTIONS_MAX) this.#answered[index] = 1;
    }
  }
}

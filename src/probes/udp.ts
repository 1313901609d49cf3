/**
 * UDP check: one datagram, and its answer. Where no reply is required, only an ICMP error is a
 * failure, and silence until the timeout is a success: the run takes all of its time then.
 */
import { Buffer } from 'node:buffer';
import type { UdpCheckConfig } from '../core/config/config.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import type { AttemptOptions } from './attempt.ts';
import { Attempt } from './attempt.ts';
import { pathOf } from './connection.ts';
import { askByDatagram } from './datagram.ts';

/** Bytes of an answer that are shown. */
const SHOWN_BYTES_MAX = 32;

/** Asks once. Never rejects; null when the signal gave up before a verdict. */
export async function probeUdp(
  check: UdpCheckConfig,
  target: CheckTarget,
  options: AttemptOptions,
): Promise<ProbeResult | null> {
  const attempt = new Attempt({ ...options, silenceSucceeds: !check.replyRequired });
  if (attempt.settled) return attempt.finished;
  attempt.waitingFor = 'a reply';
  const where = {
    kind: 'udp',
    address: target.address,
    port: target.port,
    ...pathOf(check),
  } as const;
  const question = Buffer.from(check.payloadHex, 'hex');
  const close = askByDatagram(attempt, where, question, (reply) => {
    attempt.settle(judgeReply(check, reply), 'now');
  });
  const result = await attempt.finished;
  close();
  return result;
}

function judgeReply(check: UdpCheckConfig, reply: Uint8Array): ProbeFailure | null {
  const { minLengthBytes, maxLengthBytes, replyHex } = check;
  if (reply.length < minLengthBytes || reply.length > maxLengthBytes) {
    const expected = `${minLengthBytes} to ${maxLengthBytes}`;
    return probeFailure('body', `A reply of ${reply.length} bytes; expected ${expected}`);
  }
  if (matchesPattern(reply, replyHex)) return null;
  const shown = Buffer.from(reply.subarray(0, SHOWN_BYTES_MAX)).toString('hex');
  const dots = reply.length > SHOWN_BYTES_MAX ? '…' : '';
  return probeFailure('body', `The reply ${shown}${dots} does not begin with ${replyHex}`);
}

/** True when the bytes begin with hexadecimal digits of which X stands for any. */
export function matchesPattern(bytes: Uint8Array, pattern: string): boolean {
  if (bytes.length * 2 < pattern.length) return false;
  for (let index = 0; index < pattern.length; index++) {
    const byte = bytes[index >> 1] as number;
    const digit = index % 2 === 0 ? byte >> 4 : byte & 0xf;
    const wanted = pattern[index] as string;
    if (wanted.toLowerCase() !== 'x' && Number.parseInt(wanted, 16) !== digit) return false;
  }
  return true;
}

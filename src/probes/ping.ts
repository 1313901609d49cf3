/**
 * Ping check: one ICMP echo request over a raw socket that is connected to the server, so that
 * only its packets are read; the reply is told from others by identifier, sequence number and a
 * random token. Needs CAP_NET_RAW, which a director has for VRRP.
 */
import { randomBytes } from 'node:crypto';
import type { SocketPath } from '../core/config/check.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeResult } from '../core/health/probe-result.ts';
import { ipFamily } from '../core/ip.ts';
import { encodeEchoRequest, isEchoReply } from '../core/wire/echo.ts';
import type { AttemptOptions } from './attempt.ts';
import { Attempt } from './attempt.ts';
import { pathOf } from './connection.ts';
import { askByDatagram } from './datagram.ts';

const TOKEN_BYTES = 16;

/** Of this process, as ping(8) has it; the token makes it unique. */
const ID = process.pid & 0xffff;
let sequence = 0;

/** Asks once. Never rejects; null when the signal gave up before a verdict. */
export async function probePing(
  path: SocketPath,
  target: Pick<CheckTarget, 'address'>,
  options: AttemptOptions,
): Promise<ProbeResult | null> {
  const attempt = new Attempt(options);
  if (attempt.settled) return attempt.finished;
  attempt.waitingFor = 'the echo reply';
  sequence = (sequence + 1) & 0xffff;
  const family = ipFamily(target.address);
  const echo = { id: ID, sequence, token: randomBytes(TOKEN_BYTES) };
  const where = { kind: 'icmp', address: target.address, port: 0, ...pathOf(path) } as const;
  const close = askByDatagram(attempt, where, encodeEchoRequest(family, echo), (packet) => {
    if (isEchoReply(family, packet, echo)) attempt.settle(null, 'now');
  });
  const result = await attempt.finished;
  close();
  return result;
}

/**
 * SIP check: one OPTIONS request (RFC 3261 section 11) by UDP, TCP or TLS. Provisional answers
 * (1xx) and answers to other requests are passed over.
 */
import { randomBytes } from 'node:crypto';
import type { SipCheckConfig } from '../core/config/check-protocols.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { endpointText } from '../core/ipvs/model.ts';
import { decodeSipAnswer, encodeSipOptions, type SipAnswer } from '../core/wire/sip.ts';
import type { AttemptOptions } from './attempt.ts';
import { Attempt } from './attempt.ts';
import { pathOf } from './connection.ts';
import { askByDatagram } from './datagram.ts';
import { beginWithTls, probeExchange, type Security, taking } from './exchange.ts';

const TOKEN_BYTES = 12;
/** Answers that are looked at in one exchange. */
const ANSWERS_MAX = 16;
/**
 * RFC 2606: a name that is nobody's. Answers come back to where the request came from, by `rport`
 * (RFC 3581) and by the connection.
 */
const NOBODY = 'vipkeeper.invalid';

const TAKE = taking(decodeSipAnswer);

/** Asks once. Never rejects; null when the signal gave up before a verdict. */
export function probeSip(
  check: SipCheckConfig,
  target: CheckTarget,
  security: Security,
  options: AttemptOptions,
): Promise<ProbeResult | null> {
  const token = randomBytes(TOKEN_BYTES).toString('hex');
  const uri = check.uri ?? `sip:${endpointText(target.address, target.port)}`;
  const request = encodeSipOptions({
    transport: check.transport,
    uri,
    from: check.from ?? `sip:vipkeeper@${NOBODY}`,
    sentBy: NOBODY,
    token,
  });
  if (check.transport === 'udp') return askByUdp(check, target, { request, token }, options);
  return probeExchange({ target, path: check }, options, async (exchange) => {
    if (check.transport === 'tls' && !(await beginWithTls(exchange, security))) return;
    exchange.send(request);
    for (let count = 0; count < ANSWERS_MAX; count++) {
      const answer = await exchange.next('the answer to OPTIONS', TAKE);
      if (answer === null) return;
      if (!isFinal(answer, token)) continue;
      const failure = judge(check, answer);
      return failure === null ? exchange.succeed(null) : exchange.fail(failure);
    }
    exchange.fail(probeFailure('protocol', `${ANSWERS_MAX} answers, and none to this request`));
  });
}

async function askByUdp(
  check: SipCheckConfig,
  target: CheckTarget,
  { request, token }: { readonly request: Uint8Array; readonly token: string },
  options: AttemptOptions,
): Promise<ProbeResult | null> {
  const attempt = new Attempt(options);
  if (attempt.settled) return attempt.finished;
  attempt.waitingFor = 'the answer to OPTIONS';
  const { address, port } = target;
  const where = { kind: 'udp', address, port, ...pathOf(check) } as const;
  const close = askByDatagram(attempt, where, request, (datagram) => {
    const answer = decodeSipAnswer(datagram);
    if (!answer.ok || answer.value === null) {
      const detail = answer.ok ? 'The answer is cut' : answer.error.detail;
      return attempt.settle(probeFailure('protocol', detail), 'now');
    }
    const { message } = answer.value;
    if (isFinal(message, token)) attempt.settle(judge(check, message), 'now');
  });
  const result = await attempt.finished;
  close();
  return result;
}

function isFinal({ status, callId, branch }: SipAnswer, token: string): boolean {
  return status >= 200 && callId === token && branch === token;
}

function judge(check: SipCheckConfig, { status, reason }: SipAnswer): ProbeFailure | null {
  if (check.status.some(([low, high]) => low <= status && status <= high)) return null;
  return probeFailure('status', `Status ${status} ${reason}`);
}

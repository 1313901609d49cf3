/**
 * RADIUS check: one request by UDP. An answer that does not authenticate itself is passed over, as
 * it may be forged; when nothing better comes, the timeout says that it was there.
 */
import { createHash, createHmac, randomBytes, randomInt } from 'node:crypto';
import type { RadiusCheckConfig } from '../core/config/check-protocols.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { utf8 } from '../core/wire/parts.ts';
import {
  decodeRadiusAnswer,
  encodeRadiusRequest,
  type RadiusAnswer,
  type RadiusHashes,
  radiusAnswerName,
} from '../core/wire/radius.ts';
import type { AttemptOptions } from './attempt.ts';
import { Attempt } from './attempt.ts';
import { pathOf } from './connection.ts';
import { askByDatagram } from './datagram.ts';

const HASHES: RadiusHashes = {
  md5: (input) => createHash('md5').update(input).digest(),
  hmacMd5: (key, input) => createHmac('md5', key).update(input).digest(),
};

/** Asks once. Never rejects; null when the signal gave up before a verdict. */
export async function probeRadius(
  check: RadiusCheckConfig,
  target: CheckTarget,
  options: AttemptOptions,
): Promise<ProbeResult | null> {
  const attempt = new Attempt(options);
  if (attempt.settled) return attempt.finished;
  attempt.waitingFor = 'an answer (a server is silent when the secret is wrong)';
  const request = {
    id: randomInt(256),
    authenticator: randomBytes(16),
    secret: utf8(check.secret.secret),
    nasIdentifier: check.nasIdentifier,
    login:
      check.user === null ? null : { user: check.user, password: check.password?.secret ?? '' },
  };
  const { address, port } = target;
  const where = { kind: 'udp', address, port, ...pathOf(check) } as const;
  const close = askByDatagram(attempt, where, encodeRadiusRequest(request, HASHES), (datagram) => {
    const answer = decodeRadiusAnswer(datagram, request, HASHES);
    if (answer.ok) return attempt.settle(judge(check, answer.value), 'now');
    attempt.waitingFor = `a valid answer (${answer.error.detail})`;
  });
  const result = await attempt.finished;
  close();
  return result;
}

function judge(check: RadiusCheckConfig, { code, message }: RadiusAnswer): ProbeFailure | null {
  const name = radiusAnswerName(code);
  if (check.expect.some((expected) => expected === name)) return null;
  const said = message === '' ? '' : ` (${message})`;
  return probeFailure(
    'status',
    `The answer is ${name}${said}; expected ${check.expect.join(', ')}`,
  );
}

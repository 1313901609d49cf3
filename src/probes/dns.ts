/**
 * DNS check: one query by UDP, and the same by TCP when the answer was cut (RFC 1035 section 4.2,
 * RFC 7766); both within the one timeout. A datagram that does not answer our query (another
 * identifier or question) is passed over, as resolvers do: it may be late or forged.
 */
import { Buffer } from 'node:buffer';
import { randomInt } from 'node:crypto';
import type { DnsCheckConfig } from '../core/config/config.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { canonicalIp } from '../core/ip.ts';
import { type DnsAnswer, decodeDnsAnswer, encodeDnsQuery } from '../core/wire/dns.ts';
import { DNS_RCODES, DNS_TYPES } from '../core/wire/dns-names.ts';
import type { AttemptOptions } from './attempt.ts';
import { Attempt } from './attempt.ts';
import { openConnection, pathOf } from './connection.ts';
import { askByDatagram } from './datagram.ts';
import { matchesInTime } from './expression.ts';
import { socketFailureReason } from './socket-error.ts';

/** By TCP, the length comes first. */
const LENGTH_BYTES = 2;

/** Asks once. Never rejects; null when the signal gave up before a verdict. */
export async function probeDns(
  check: DnsCheckConfig,
  target: CheckTarget,
  options: AttemptOptions,
): Promise<ProbeResult | null> {
  const attempt = new Attempt(options);
  if (attempt.settled) return attempt.finished;
  attempt.waitingFor = 'the answer';
  const id = randomInt(0x1_0000);
  const query = encodeDnsQuery(id, check.name, check.type);
  const where = {
    kind: 'udp',
    address: target.address,
    port: target.port,
    ...pathOf(check),
  } as const;
  let byTcp = false;
  let judging = false;
  const close = askByDatagram(attempt, where, query, (datagram) => {
    if (byTcp || judging) return;
    const answer = decodeDnsAnswer(datagram);
    if (!answer.ok) {
      const { reason, detail } = answer.error;
      if (!isOurId(datagram, id)) return;
      return attempt.settle(probeFailure('protocol', `${reason}: ${detail}`), 'now');
    }
    if (!answers(answer.value, id, check)) return;
    if (!answer.value.truncated) {
      judging = true;
      void judge(check, answer.value, attempt).then((failure) => attempt.settle(failure, 'now'));
      return;
    }
    byTcp = true;
    askByTcp(attempt, { check, target, query }, (message) =>
      judgeMessage(check, id, message, attempt),
    );
  });
  const result = await attempt.finished;
  close();
  return result;
}

function isOurId(datagram: Uint8Array, id: number): boolean {
  return datagram.length >= 2 && Buffer.from(datagram.subarray(0, 2)).readUInt16BE() === id;
}

/** True for an answer to our query. */
function answers(answer: DnsAnswer, id: number, check: DnsCheckConfig): boolean {
  if (answer.id !== id) return false;
  const { question } = answer;
  // Servers leave it out where they could not read it: FORMERR, NOTIMP.
  if (question === null) return answer.records.length === 0;
  const name = check.name === '.' ? '.' : check.name.replace(/\.$/, '').toLowerCase();
  return question.name === name && question.type === DNS_TYPES[check.type];
}

async function judgeMessage(
  check: DnsCheckConfig,
  id: number,
  message: Uint8Array,
  attempt: Attempt,
): Promise<ProbeFailure | null> {
  const answer = decodeDnsAnswer(message);
  if (!answer.ok) return probeFailure('protocol', `${answer.error.reason}: ${answer.error.detail}`);
  if (!answers(answer.value, id, check)) {
    return probeFailure('protocol', 'The answer by TCP is to another question');
  }
  if (answer.value.truncated) return probeFailure('protocol', 'The answer by TCP is cut');
  return judge(check, answer.value, attempt);
}

async function judge(
  check: DnsCheckConfig,
  answer: DnsAnswer,
  attempt: Attempt,
): Promise<ProbeFailure | null> {
  const rcode = DNS_RCODES[answer.rcode] ?? `RCODE${answer.rcode}`;
  if (!check.rcodes.some((expected) => expected === rcode)) {
    return probeFailure('status', `Response code ${rcode}`);
  }
  if (check.answer === null && check.answerMatches === null) return null;
  const type = DNS_TYPES[check.type];
  const data = answer.records
    .filter((record) => check.type === 'ANY' || record.type === type)
    .map((record) => record.data);
  const seen = data.length === 0 ? 'no record' : data.join(', ');
  if (check.answer !== null) {
    const wanted = normalized(check.answer, check);
    if (!data.some((text) => normalized(text, check) === wanted)) {
      return probeFailure('body', `No record is ${check.answer}: ${seen}`);
    }
  }
  return check.answerMatches === null ? null : judgeExpression(check, data, attempt);
}

/** Compiled once for each check: an expression is known by its object. */
const compiled = new WeakMap<DnsCheckConfig, RegExp>();

async function judgeExpression(
  check: DnsCheckConfig,
  data: readonly string[],
  attempt: Attempt,
): Promise<ProbeFailure | null> {
  const expression = compiled.get(check) ?? new RegExp(check.answerMatches ?? '', 'u');
  compiled.set(check, expression);
  for (const text of data) {
    const verdict = await matchesInTime(expression, text, () => !attempt.settled);
    if (verdict === 'success') return null;
    if (verdict === 'too-slow') {
      return probeFailure('cannot-run', `The regular expression ${expression} took too long`);
    }
  }
  const seen = data.length === 0 ? 'no record' : data.join(', ');
  return probeFailure('body', `No record matches ${expression}: ${seen}`);
}

/** Names in any case and with or without their last dot, addresses in any form. */
function normalized(text: string, check: DnsCheckConfig): string {
  if (check.type === 'TXT') return text;
  return canonicalIp(text) ?? text.toLowerCase().replace(/\.$/, '');
}

interface DnsQuestion {
  readonly check: DnsCheckConfig;
  readonly target: CheckTarget;
  readonly query: Uint8Array;
}

/** Sends the query by TCP and settles the attempt with what `judge` says of the answer. */
function askByTcp(
  attempt: Attempt,
  { check, target, query }: DnsQuestion,
  judge: (message: Uint8Array) => Promise<ProbeFailure | null>,
): void {
  attempt.waitingFor = 'the answer by TCP';
  const opened = openConnection(target, check);
  if (!opened.ok) return attempt.settle(opened.error, 'now');
  const socket = opened.value;
  attempt.attach(socket, (error) =>
    probeFailure(socketFailureReason(error) ?? 'cannot-run', error.message),
  );
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt16BE(query.length);
  socket.once('connect', () => socket.write(Buffer.concat([length, query])));
  // At most 2 + 65535 bytes and what came with them: the length field bounds it.
  let received: Buffer = Buffer.alloc(0);
  let judging = false;
  socket.on('data', (chunk) => {
    if (attempt.settled || judging) return;
    received = Buffer.concat([received, chunk]);
    if (received.length < LENGTH_BYTES) return;
    const end = LENGTH_BYTES + received.readUInt16BE(0);
    if (received.length < end) return;
    judging = true;
    void attempt.judged(judge(received.subarray(LENGTH_BYTES, end))).then((failure) => {
      attempt.settle(failure, 'linger');
      socket.end();
    });
  });
}

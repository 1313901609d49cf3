/**
 * Dialogue check: connect, with TLS if wanted, then for each step send and wait for what must
 * come back. What a step has waited for is used up by it; the next one looks at what follows.
 * Bounded: time from connect to the end, and the bytes that a server may send.
 */
import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import type { DialogueCheckConfig } from '../core/config/check.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeFailure, ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import type { AttemptOptions } from './attempt.ts';
import { Attempt } from './attempt.ts';
import { openConnection, startTls } from './connection.ts';
import { matchesInTime } from './expression.ts';
import { errorCode, socketFailureReason } from './socket-error.ts';
import type { TrustStore } from './trust-store.ts';

/** Greetings and answers are lines; a server that says more than this is not in a dialogue. */
const RECEIVED_BYTES_MAX = 64 * 1024;

interface Step {
  readonly send: string | null;
  readonly expect: RegExp | null;
  readonly refuse: RegExp | null;
}

/** Asks once. Never rejects; null when the signal gave up before a verdict. */
export async function probeDialogue(
  check: DialogueCheckConfig,
  target: CheckTarget,
  trust: TrustStore,
  options: AttemptOptions,
): Promise<ProbeResult | null> {
  const attempt = new Attempt(options);
  if (attempt.settled) return attempt.finished;
  const context = check.tls ? trust.secureContext(check.caFile, check) : null;
  if (context !== null && !context.ok) {
    attempt.settle(probeFailure('cannot-run', context.error), 'now');
    return attempt.finished;
  }
  const opened = openConnection(target, check);
  if (!opened.ok) {
    attempt.settle(opened.error, 'now');
    return attempt.finished;
  }
  const name = check.serverName ?? target.address;
  const socket =
    context === null
      ? opened.value
      : startTls(opened.value, {
          ...{ context: context.value, name, verify: check.tlsVerify, alpn: [] },
        });
  attempt.attach(socket, (error) => explain(error, check));
  const steps = stepsOf(check);
  new Dialogue(attempt, socket, steps).begin(check.tls ? 'secureConnect' : 'connect');
  return attempt.finished;
}

/** Compiled once for each check: an expression is known by its object. */
const compiled = new WeakMap<DialogueCheckConfig, readonly Step[]>();

function stepsOf(check: DialogueCheckConfig): readonly Step[] {
  const known = compiled.get(check);
  if (known !== undefined) return known;
  const expression = (source: string | null) => (source === null ? null : new RegExp(source, 'um'));
  const steps = check.steps.map(
    ({ send, expect, refuse }): Step => ({
      send,
      expect: expression(expect),
      refuse: expression(refuse),
    }),
  );
  compiled.set(check, steps);
  return steps;
}

class Dialogue {
  readonly #attempt: Attempt;
  readonly #socket: Socket;
  readonly #steps: readonly Step[];
  #at = 0;
  #text = '';
  #receivedBytes = 0;
  #looking = false;

  constructor(attempt: Attempt, socket: Socket, steps: readonly Step[]) {
    this.#attempt = attempt;
    this.#socket = socket;
    this.#steps = steps;
  }

  begin(event: 'connect' | 'secureConnect'): void {
    this.#socket.once(event, () => this.#step());
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk));
  }

  /** Sends what the steps have until one waits, or ends well. */
  #step(): void {
    for (; this.#at < this.#steps.length; this.#at++) {
      const { send, expect } = this.#steps[this.#at] as Step;
      if (send !== null) this.#socket.write(Buffer.from(send));
      if (expect !== null) {
        this.#attempt.waitingFor = `what step ${this.#at + 1} expects`;
        return this.#look();
      }
    }
    this.#attempt.settle(null, 'linger');
    this.#socket.end();
  }

  #receive(chunk: Buffer): void {
    if (this.#attempt.settled) return;
    this.#receivedBytes += chunk.length;
    if (this.#receivedBytes > RECEIVED_BYTES_MAX) {
      const detail = `More than ${RECEIVED_BYTES_MAX} bytes before the dialogue ended`;
      return this.#attempt.settle(probeFailure('too-large', detail), 'now');
    }
    // Every byte is one character: protocols are ASCII, and expressions see what came.
    this.#text += chunk.toString('latin1');
    this.#look();
  }

  /** Judges what has come, one text after the other. */
  #look(): void {
    const step = this.#steps[this.#at];
    if (this.#looking || step === undefined || step.expect === null || this.#text === '') return;
    this.#looking = true;
    void this.#judge(step, step.expect, this.#text);
  }

  async #judge({ refuse }: Step, expect: RegExp, text: string): Promise<void> {
    const refused = refuse !== null && (await this.#matches(refuse, text));
    const matched = !refused && !this.#attempt.settled && (await this.#matches(expect, text));
    this.#looking = false;
    if (this.#attempt.settled) return;
    if (refused) {
      return this.#attempt.settle(probeFailure('status', `Refused: ${text}`), 'linger');
    }
    if (matched) {
      // What came meanwhile is the next step's.
      this.#text = this.#text.slice(text.length);
      this.#at++;
      this.#step();
    } else if (this.#text.length > text.length) {
      this.#look();
    }
  }

  async #matches(expression: RegExp, text: string): Promise<boolean> {
    const isWanted = () => !this.#attempt.settled;
    const verdict = await this.#attempt.judged(matchesInTime(expression, text, isWanted));
    if (verdict === 'too-slow') {
      const detail = `The regular expression ${expression} took too long`;
      this.#attempt.settle(probeFailure('cannot-run', detail), 'now');
    }
    return verdict === 'success';
  }
}

function explain(error: Error, check: DialogueCheckConfig): ProbeFailure {
  const reason = socketFailureReason(error);
  if (reason !== null) return probeFailure(reason, error.message);
  const code = errorCode(error);
  const handshake = code === 'EPROTO' || /^ERR_(SSL|TLS)_/.test(code ?? '');
  if (check.tls && (!handshake || code === 'ERR_TLS_CERT_ALTNAME_INVALID')) {
    return probeFailure('tls-untrusted', error.message);
  }
  return probeFailure(check.tls ? 'tls' : 'protocol', error.message);
}

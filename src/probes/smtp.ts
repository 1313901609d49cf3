/**
 * SMTP check: greeting, EHLO (or HELO, where that is all that a server knows), STARTTLS and EHLO
 * again if wanted, QUIT, by the client of `nodemailer`, which is loaded with the first such check.
 */
import type SMTPConnection from 'nodemailer/lib/smtp-connection';
import type { SmtpCheckConfig } from '../core/config/check-protocols.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { decodeSmtpReply } from '../core/wire/smtp.ts';
import {
  beginWithTls,
  type Exchange,
  type ExchangeProbe,
  exchangeProbe,
  type Security,
} from './exchange.ts';
import { LibraryStream, takingWhole } from './library.ts';

/** It is in the server's log. */
const NAME = 'vipkeeper';
/** Longer than a check may take (its time is the exchange's), and no more than a timer may. */
const NEVER_MS = 2 ** 31 - 1;
/** Codes that are a success, by what was said; the client would be content with any of 2xx. */
const SUCCESS: Readonly<Record<string, number>> = { '': 220, EHLO: 250, HELO: 250, STARTTLS: 220 };
const TAKE = takingWhole(decodeSmtpReply);

type Library = typeof import('nodemailer/lib/smtp-connection');
const load = (): Promise<Library> => import('nodemailer/lib/smtp-connection');

const ask = exchangeProbe<SmtpCheckConfig>(async (exchange, check, security) => {
  if (check.tls === 'tls' && !(await beginWithTls(exchange, security))) return;
  const { default: Client } = await load();
  await new Session(exchange, check, Client).run(security);
});

/** Asks once: see ExchangeProbe. */
export const probeSmtp: ExchangeProbe<SmtpCheckConfig> = async (...parameters) => {
  // Before the check's time runs.
  await load();
  return ask(...parameters);
};

/** What the client says in an error: the server's reply, if it was one. */
interface ClientError extends Error {
  readonly response?: string | false;
}

/** Remembers what was said last. */
class SmtpStream extends LibraryStream {
  said = '';

  override _write(chunk: Buffer, encoding: BufferEncoding, done: () => void): void {
    this.said = /^\w*/.exec(chunk.toString('latin1'))?.[0] ?? '';
    super._write(chunk, encoding, done);
  }
}

class Session {
  readonly #exchange: Exchange;
  readonly #stream: SmtpStream;
  readonly #connection: SMTPConnection;
  /** Goes on behind the TLS handshake that the client asked for. */
  #secured: (() => void) | null = null;
  #over = false;

  constructor(exchange: Exchange, { tls }: SmtpCheckConfig, Client: Library['default']) {
    this.#exchange = exchange;
    this.#stream = new SmtpStream(exchange, 'SMTP');
    const starttls = tls === 'starttls';
    this.#connection = new Client({
      connection: this.#stream as never,
      name: NAME,
      requireTLS: starttls,
      ignoreTLS: !starttls,
      // Time, and the end of everything, are the exchange's.
      connectionTimeout: NEVER_MS,
      greetingTimeout: NEVER_MS,
      socketCloseTimeout: 0,
    });
    // In place of its own TLS, which trusts others, and whose errors have no words of ours.
    const upgrade = (secured: (error: null, done: true) => void): void => {
      this.#secured = () => {
        this.#connection.secure = true;
        secured(null, true);
      };
    };
    Object.assign(this.#connection, { _upgradeConnection: upgrade });
    this.#connection.on('error', (error: ClientError) => this.#fail(error));
  }

  /** Comes to a verdict. */
  async run(security: Security): Promise<void> {
    this.#stream.guard(() => this.#connection.connect(() => this.#end()));
    // It looks at its connection in the next turn.
    await new Promise(setImmediate);
    await this.#talk(security);
    this.#stream.guard(() => this.#connection.close());
  }

  async #talk(security: Security): Promise<void> {
    while (!this.#over) {
      const { said } = this.#stream;
      const what = said === '' ? 'the greeting' : `the answer to ${said}`;
      const reply = await this.#exchange.next(what, TAKE);
      if (reply === null) return;
      const expected = SUCCESS[said];
      if (Math.floor(reply.message / 100) === 2 && reply.message !== expected) {
        const detail = `Expected ${expected} for ${what}: ${reply.message}`;
        return this.#exchange.fail(probeFailure('protocol', detail));
      }
      this.#stream.deliver(reply.bytes);
      const secured = this.#secured;
      if (secured === null) continue;
      this.#secured = null;
      if (!(await beginWithTls(this.#exchange, security))) return;
      this.#stream.guard(secured);
    }
    this.#stream.guard(() => this.#connection.quit());
    this.#exchange.succeed(null);
  }

  #end(error?: Error | null): void {
    if (error) this.#fail(error);
    this.#over = true;
  }

  #fail({ response, message }: ClientError): void {
    const refusal = typeof response === 'string' && /^[45]/.test(response);
    this.#exchange.fail(
      refusal ? probeFailure('status', `Refused: ${response}`) : this.#stream.failure(message),
    );
  }
}

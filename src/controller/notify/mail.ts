/**
 * Mails, one after the other and in their order. A server that cannot be reached or asks to come
 * again (4xx) is tried again a few times; one that refuses (5xx) is not. TLS is used where the
 * server offers it, without verification, as between mail servers (RFC 7435): there is nothing
 * secret in these mails, and a failed check of a certificate must not hide a failover. nodemailer
 * is loaded with the first mail.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Transporter } from 'nodemailer';
import type { MailConfig } from '../../core/config/config.ts';
import type { Problem } from '../../core/problem.ts';
import type { NotifyChannelReport } from '../../core/status.ts';

/** An hour of a flapping director; older news than that are in the log. */
const MAILS_MAX = 64;
/** Between attempts: a restart of the server, a failover of it, a longer absence. */
const RETRY_DELAYS_MS = [1_000, 10_000, 60_000];

export interface Mail {
  readonly subject: string;
  readonly text: string;
}

export interface MailerPorts {
  readonly onProblem: (problem: Problem) => void;
  /** Waits between attempts; tests make it shorter. */
  readonly retryDelaysMs?: readonly number[];
}

export class Mailer {
  #config: MailConfig;
  readonly #ports: MailerPorts;
  readonly #waiting: Mail[] = [];
  readonly #closing = new AbortController();
  #sending: Promise<void> | null = null;
  #transport: Transporter | null = null;
  #delivered = 0;
  #failed = 0;
  #dropped = 0;

  constructor(config: MailConfig, ports: MailerPorts) {
    this.#config = config;
    this.#ports = ports;
  }

  /** Later mails, and those that wait, go out by this configuration. */
  configure(config: MailConfig): void {
    if (JSON.stringify(config) === JSON.stringify(this.#config)) return;
    this.#config = config;
    this.#transport?.close();
    this.#transport = null;
  }

  report(): NotifyChannelReport {
    const waiting = this.#waiting.length;
    return { delivered: this.#delivered, failed: this.#failed, dropped: this.#dropped, waiting };
  }

  send(mail: Mail): void {
    if (this.#closing.signal.aborted) {
      this.#dropped++;
      return;
    }
    if (this.#waiting.length >= MAILS_MAX) {
      // The oldest but for the first, which is being sent.
      this.#waiting.splice(1, 1);
      this.#dropped++;
    }
    this.#waiting.push(mail);
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = null;
    });
  }

  /** Resolves when nothing waits any more. */
  empty(): Promise<void> {
    return this.#sending ?? Promise.resolve();
  }

  /** What waits is dropped, what is being sent is cut off. */
  close(): void {
    this.#closing.abort();
    this.#dropped += this.#waiting.splice(0).length;
    this.#transport?.close();
  }

  async #sendAll(): Promise<void> {
    for (let mail = this.#waiting[0]; mail !== undefined; mail = this.#waiting[0]) {
      const why = await this.#try(mail);
      // While it was tried, close() may have dropped it.
      if (this.#waiting[0] !== mail) continue;
      this.#waiting.shift();
      if (why === null) this.#delivered++;
      else {
        this.#failed++;
        this.#tell(mail, why);
      }
    }
  }

  /** Why all attempts failed, or null. */
  async #try(mail: Mail): Promise<string | null> {
    const delays = this.#ports.retryDelaysMs ?? RETRY_DELAYS_MS;
    for (let attempt = 0; ; attempt++) {
      try {
        const { from, to } = this.#config;
        this.#transport ??= await openTransport(this.#config);
        await this.#transport.sendMail({ ...mail, from, to: [...to] });
        return null;
      } catch (error) {
        const { message, responseCode } = error as Error & { responseCode?: number };
        const refused = responseCode !== undefined && responseCode >= 500;
        const delayMs = delays[attempt];
        if (refused || delayMs === undefined || this.#closing.signal.aborted) return message;
        const { signal } = this.#closing;
        await delay(delayMs, undefined, { signal }).catch(() => {});
      }
    }
  }

  #tell(mail: Mail, why: string): void {
    const { host, port } = this.#config;
    this.#ports.onProblem({
      code: 'VK-MAIL',
      message: `The mail "${mail.subject}" was not sent by ${host} port ${port}: ${why}`,
      cure: 'Check mail.server, mail.from and mail.to, and that the server relays for this host',
    });
  }
}

async function openTransport(config: MailConfig): Promise<Transporter> {
  const { createTransport } = await import('nodemailer');
  const timeoutMs = config.timeoutUs / 1000;
  return createTransport({
    host: config.host,
    port: config.port,
    ...(config.helo === null ? {} : { name: config.helo }),
    secure: false,
    tls: { rejectUnauthorized: false },
    dnsTimeout: timeoutMs,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    // Texts are our own; nothing may make it read files or addresses.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
}

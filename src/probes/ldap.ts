/**
 * LDAP check: a bind, and a search that must find an entry, over plain TCP, TLS, or TLS by the
 * protocol's own StartTLS (RFC 4513 section 3). Ends with an unbind, as servers expect. Messages
 * are made and read by the client library `ldapts`, which is loaded with the first such check.
 */
import type { Buffer } from 'node:buffer';
import type { LdapCheckConfig } from '../core/config/check-protocols.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import {
  decodeLdapAnswer,
  type LdapEnd,
  type LdapFinding,
  ldapResultText,
} from '../core/wire/ldap.ts';
import { parseLdapFilter } from '../core/wire/ldap-filter.ts';
import {
  beginWithTls,
  type Exchange,
  type ExchangeProbe,
  exchangeProbe,
  type Security,
  taking,
} from './exchange.ts';
import { type LdapLibrary, LdapMessages } from './ldap-messages.ts';
import { guarded } from './library.ts';

/** Message identifiers, in their order. */
const START_TLS_ID = 1;
const BIND_ID = 2;
const SEARCH_ID = 3;
const UNBIND_ID = 4;
/** RFC 4511 section 4.5.1.4: there are more entries than the one that was asked for. */
const SIZE_LIMIT_EXCEEDED = 4;

const TAKE = taking(decodeLdapAnswer);

const load = (): Promise<LdapLibrary> => import('ldapts');

const ask = exchangeProbe<LdapCheckConfig>(async (exchange, check, security) => {
  await new Session(exchange, check, await load()).run(security);
});

/** Asks once: see ExchangeProbe. */
export const probeLdap: ExchangeProbe<LdapCheckConfig> = async (...parameters) => {
  // Before the check's time runs.
  await load();
  return ask(...parameters);
};

/** The end of an operation as the library reads it. */
interface End {
  readonly kind: LdapEnd['kind'];
  readonly code: number;
  readonly text: string;
}

/** A bind, and what stands before and behind it. */
class Session {
  readonly #exchange: Exchange;
  readonly #check: LdapCheckConfig;
  readonly #messages: LdapMessages;

  constructor(exchange: Exchange, check: LdapCheckConfig, library: LdapLibrary) {
    this.#exchange = exchange;
    this.#check = check;
    this.#messages = new LdapMessages(library);
  }

  /** Comes to a verdict. */
  async run(security: Security): Promise<void> {
    const { tls, bindDn, password, base } = this.#check;
    if (tls === 'starttls') {
      this.#send((messages) => messages.startTls(START_TLS_ID));
      if (!(await this.#succeeds('extended', START_TLS_ID, 'StartTLS'))) return;
    }
    if (tls !== 'none' && !(await beginWithTls(this.#exchange, security))) return;
    this.#send((messages) => messages.bind(BIND_ID, bindDn ?? '', password?.secret ?? ''));
    if (!(await this.#succeeds('bind', BIND_ID, 'The bind'))) return;
    if (base !== null && !(await this.#finds(base))) return;
    this.#send((messages) => messages.unbind(UNBIND_ID));
    this.#exchange.succeed(null);
  }

  /** Waits for an answer of success; false when there is a verdict instead. */
  async #succeeds(kind: LdapEnd['kind'], id: number, what: string): Promise<boolean> {
    const answer = await this.#next(`the answer: ${what}`, id);
    if (answer === null) return false;
    if (answer.kind === kind && answer.code === 0) return true;
    const text = 'text' in answer ? answer.text : answer.kind;
    this.#exchange.fail(probeFailure('status', `${what} was refused: ${text}`));
    return false;
  }

  async #finds(base: string): Promise<boolean> {
    const { scope, filter: text } = this.#check;
    const filter = parseLdapFilter(text);
    if (!filter.ok) {
      this.#exchange.fail(probeFailure('cannot-run', `The filter: ${filter.error}`));
      return false;
    }
    const search = { base, scope, filter: filter.value };
    this.#send((messages) => messages.search(SEARCH_ID, search));
    let entries = 0;
    for (;;) {
      const answer = await this.#next('the result of the search', SEARCH_ID);
      if (answer === null) return false;
      if (!('code' in answer)) {
        if (answer.kind === 'search-entry') entries++;
        continue;
      }
      const { kind, code } = answer;
      if (kind !== 'search-done' || (code !== 0 && code !== SIZE_LIMIT_EXCEEDED)) {
        this.#exchange.fail(probeFailure('status', `The search failed: ${answer.text}`));
      } else if (entries === 0) {
        this.#exchange.fail(probeFailure('body', `No entry below "${base}" matches ${text}`));
      } else return true;
      return false;
    }
  }

  #send(write: (messages: LdapMessages) => Buffer): void {
    const message = this.#guarded(write);
    if (message !== null) this.#exchange.send(message);
  }

  /** The answer to a request; null when there is a verdict instead. */
  async #next(waitingFor: string, id: number): Promise<End | LdapFinding | null> {
    const answer = await this.#exchange.next(waitingFor, TAKE);
    if (answer === null) return null;
    const read = 'content' in answer ? this.#read(answer) : answer;
    if (read === null || answer.id === id) return read;
    // 0 is a notice of disconnection (RFC 4511 section 4.4.1).
    const text = answer.id === 0 && 'text' in read ? read.text : `to ${answer.id}`;
    const detail = `An answer that was not asked for: ${text}`;
    this.#exchange.fail(probeFailure('protocol', detail));
    return null;
  }

  #read(answer: LdapEnd): End | null {
    const result = this.#guarded((messages) => messages.result(answer));
    if (result === null) return null;
    const { code, said } = result;
    return { kind: answer.kind, code, text: ldapResultText(code, said) };
  }

  #guarded<T>(work: (messages: LdapMessages) => T): T | null {
    return guarded(this.#exchange, 'LDAP', () => work(this.#messages));
  }
}

/**
 * LDAP check: a bind, and a search that must find an entry, over plain TCP, TLS, or TLS by the
 * protocol's own StartTLS (RFC 4513 section 3). Ends with an unbind, as servers expect.
 */
import type { LdapCheckConfig } from '../core/config/check-protocols.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import {
  decodeLdapAnswer,
  encodeLdapBind,
  encodeLdapSearch,
  encodeLdapStartTls,
  encodeLdapUnbind,
  type LdapAnswer,
} from '../core/wire/ldap.ts';
import { encodeLdapFilter } from '../core/wire/ldap-filter.ts';
import { beginWithTls, type Exchange, exchangeProbe, taking } from './exchange.ts';

/** Message identifiers, in their order. */
const START_TLS_ID = 1;
const BIND_ID = 2;
const SEARCH_ID = 3;
const UNBIND_ID = 4;
/** RFC 4511 section 4.5.1.4: there are more entries than the one that was asked for. */
const SIZE_LIMIT_EXCEEDED = 4;

const TAKE = taking(decodeLdapAnswer);

/** Asks once: see ExchangeProbe. */
export const probeLdap = exchangeProbe<LdapCheckConfig>(async (exchange, check, security) => {
  if (check.tls === 'starttls') {
    exchange.send(encodeLdapStartTls(START_TLS_ID));
    if (!(await succeeds(exchange, 'extended', START_TLS_ID, 'StartTLS'))) return;
  }
  if (check.tls !== 'none' && !(await beginWithTls(exchange, security))) return;
  exchange.send(encodeLdapBind(BIND_ID, check.bindDn ?? '', check.password?.secret ?? ''));
  if (!(await succeeds(exchange, 'bind', BIND_ID, 'The bind'))) return;
  if (check.base !== null && !(await finds(exchange, check, check.base))) return;
  exchange.succeed(encodeLdapUnbind(UNBIND_ID));
});

/** Waits for an answer of success; false when there is a verdict instead. */
async function succeeds(
  exchange: Exchange,
  kind: 'bind' | 'extended',
  id: number,
  what: string,
): Promise<boolean> {
  const answer = await exchange.next(`the answer: ${what}`, TAKE);
  if (answer === null || !isAnswerTo(exchange, answer, id)) return false;
  if (answer.kind === kind && answer.result.code === 0) return true;
  const text = 'result' in answer ? answer.result.text : answer.kind;
  exchange.fail(probeFailure('status', `${what} was refused: ${text}`));
  return false;
}

async function finds(exchange: Exchange, check: LdapCheckConfig, base: string): Promise<boolean> {
  const filter = encodeLdapFilter(check.filter);
  if (!filter.ok) {
    exchange.fail(probeFailure('cannot-run', `The filter: ${filter.error}`));
    return false;
  }
  exchange.send(encodeLdapSearch(SEARCH_ID, { base, scope: check.scope, filter: filter.value }));
  let entries = 0;
  for (;;) {
    const answer = await exchange.next('the result of the search', TAKE);
    if (answer === null || !isAnswerTo(exchange, answer, SEARCH_ID)) return false;
    if (!('result' in answer)) {
      if (answer.kind === 'search-entry') entries++;
      continue;
    }
    const { kind, result } = answer;
    if (kind !== 'search-done' || (result.code !== 0 && result.code !== SIZE_LIMIT_EXCEEDED)) {
      exchange.fail(probeFailure('status', `The search failed: ${result.text}`));
    } else if (entries === 0) {
      exchange.fail(probeFailure('body', `No entry below "${base}" matches ${check.filter}`));
    } else return true;
    return false;
  }
}

function isAnswerTo(exchange: Exchange, answer: LdapAnswer, id: number): boolean {
  if (answer.id === id) return true;
  // 0 is a notice of disconnection (RFC 4511 section 4.4.1).
  const text = answer.id === 0 && 'result' in answer ? answer.result.text : `to ${answer.id}`;
  exchange.fail(probeFailure('protocol', `An answer that was not asked for: ${text}`));
  return false;
}

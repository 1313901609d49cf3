/**
 * LDAP's messages by the client library `ldapts`: requests are written, results read. Its client
 * has no part in this: it opens its connection itself.
 */
import { Buffer } from 'node:buffer';
import type { Filter } from 'ldapts';
import { assertNever } from '../core/assert.ts';
import type { LdapEnd, LdapScope } from '../core/wire/ldap.ts';
import type { LdapFilter } from '../core/wire/ldap-filter.ts';

export type LdapLibrary = typeof import('ldapts');

/** RFC 4511 section 4.14.1. */
const START_TLS = '1.3.6.1.4.1.1466.20037';
/** RFC 4511 section 4.5.1.8: no attributes are asked for. */
const NO_ATTRIBUTES = '1.1';

export interface LdapSearch {
  /** '' for the root. */
  readonly base: string;
  readonly scope: LdapScope;
  readonly filter: LdapFilter;
}

/** All of them may throw what the library throws. An `id` is 1 to 127. */
export class LdapMessages {
  readonly #library: LdapLibrary;

  constructor(library: LdapLibrary) {
    this.#library = library;
  }

  startTls(messageId: number): Buffer {
    return new this.#library.ExtendedRequest({ messageId, oid: START_TLS }).write();
  }

  /** A simple bind of version 3; both texts empty for an anonymous one. */
  bind(messageId: number, dn: string, password: string): Buffer {
    return new this.#library.BindRequest({ messageId, dn, password }).write();
  }

  /** A search for one entry, without attributes. */
  search(messageId: number, { base, scope, filter }: LdapSearch): Buffer {
    const { Ber, BerWriter, SearchRequest } = this.#library;
    const request = new SearchRequest({
      messageId,
      baseDN: Buffer.from(base).toString('latin1'),
      scope,
      // Aliases are followed, at the base and below it.
      derefAliases: 'always',
      sizeLimit: 1,
      timeLimit: 0,
      returnAttributeValues: false,
      attributes: [NO_ATTRIBUTES],
      filter: this.#filter(filter),
    });
    const writer = new BerWriter();
    // A filter has values of any bytes: all texts are bytes here, one a character.
    writer.writeString = (bytes, tag = Ber.OctetString) =>
      writer.writeBuffer(Buffer.from(bytes, 'latin1'), tag);
    writer.startSequence();
    writer.writeInt(messageId);
    writer.startSequence(request.protocolOperation);
    request.writeMessage(writer);
    writer.endSequence();
    writer.endSequence();
    return writer.buffer;
  }

  unbind(messageId: number): Buffer {
    return new this.#library.UnbindRequest({ messageId }).write();
  }

  /** The code of an answer's result, 0 for success, and the server's words. */
  result({ kind, id, content }: LdapEnd): { readonly code: number; readonly said: string } {
    const { BerReader, BindResponse, ExtendedResponse, SearchResponse } = this.#library;
    const Response = {
      bind: BindResponse,
      extended: ExtendedResponse,
      'search-done': SearchResponse,
    };
    const response = new Response[kind]({ messageId: id });
    // Not with its parse(), which goes on to controls, of which nothing was looked at.
    response.parseMessage(new BerReader(Buffer.from(content)));
    return { code: response.status, said: response.errorMessage };
  }

  #filter(filter: LdapFilter): Filter {
    const library = this.#library;
    const all = (filters: readonly LdapFilter[]) => filters.map((part) => this.#filter(part));
    switch (filter.kind) {
      case 'and':
        return new library.AndFilter({ filters: all(filter.filters) });
      case 'or':
        return new library.OrFilter({ filters: all(filter.filters) });
      case 'not':
        return new library.NotFilter({ filter: this.#filter(filter.filter) });
      case 'present':
        return new library.PresenceFilter(filter);
      case 'equal':
        return new library.EqualityFilter(filter);
      case 'at-least':
        return new library.GreaterThanEqualsFilter(filter);
      case 'at-most':
        return new library.LessThanEqualsFilter(filter);
      case 'similar':
        return new library.ApproximateFilter(filter);
      case 'substrings':
        return new library.SubstringFilter({ ...filter, any: [...filter.any] });
      case 'extensible':
        return new library.ExtensibleFilter({
          matchType: filter.attribute,
          rule: filter.rule,
          dnAttributes: filter.inName,
          value: filter.value,
        });
      default:
        return assertNever(filter);
    }
  }
}

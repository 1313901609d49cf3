/** Search filters as they go over the wire, and mistakes in them. */
import * as library from 'ldapts';
import { expect, test } from 'vitest';
import { parseLdapFilter } from '../../../src/core/wire/ldap-filter.ts';
import { LdapMessages } from '../../../src/probes/ldap-messages.ts';

const messages = new LdapMessages(library);

/** The filter of a search's message: what stands between an empty name and no attributes. */
function written(text: string): string {
  const filter = parseLdapFilter(text);
  if (!filter.ok) return filter.error;
  const search = { base: '', scope: 'base', filter: filter.value } as const;
  const [, found = ''] =
    /0400 *0a0100 *0a0103 *020101 *020100 *0101ff(.*)30050403312e31$/.exec(
      messages.search(3, search).toString('hex'),
    ) ?? [];
  return found;
}

const CN = '0402636e';
test.each([
  ['(objectClass=*)', '870b6f626a656374436c617373'],
  ['cn=a', `a307${CN}040161`],
  ['(cn=)', `a306${CN}0400`],
  ['(cn>=a)', `a507${CN}040161`],
  ['(cn<=a)', `a607${CN}040161`],
  ['(cn~=a)', `a807${CN}040161`],
  ['(cn=a=b:c)', `a30b${CN}0405613d623a63`],
  ['(&(cn=a)(cn=b))', `a012a307${CN}040161a307${CN}040162`],
  ['(|(cn=a)(!(cn=b)))', `a114a307${CN}040161a209a307${CN}040162`],
  ['(cn=a*)', `a409${CN}3003800161`],
  ['(cn=*a)', `a409${CN}3003820161`],
  ['(cn=a**b*c)', `a40f${CN}3009800161810162820163`],
  ['(cn;lang-de=a)', 'a30f040a636e3b6c616e672d6465040161'],
  ['(2.5.4.3=a)', 'a30c0407322e352e342e33040161'],
  // As text, and as its bytes.
  ['(cn=ü)', `a308${CN}0402c3bc`],
  ['(cn=\\c3\\bc)', `a308${CN}0402c3bc`],
  ['(cn=\\ff\\00)', `a308${CN}0402ff00`],
  ['(cn=\\ff*\\2A)', `a40c${CN}30068001ff82012a`],
  ['(cn:=a)', 'a9078202636e830161'],
  ['(cn:2.5.13.5:=a)', 'a9118108322e352e31332e358202636e830161'],
  ['(cn:dn:2.5.13.5:=a)', 'a9148108322e352e31332e358202636e8301618401ff'],
  ['(:DN:2.5.13.5:=a)', 'a9108108322e352e31332e358301618401ff'],
])('%s', (text, hex) => {
  expect(written(text)).toBe(hex);
});

test('a filter of some length', () => {
  const part = `(cn=${'a'.repeat(60)})`;
  const filter = written(`(&${part.repeat(15)})`);
  expect(filter.startsWith('a08203fc')).toBe(true);
  expect(filter.length).toBe(2 * (4 + 15 * 68));
});

test.each([
  ['(cn=a', 'a closing parenthesis is missing'],
  ['(&(cn=a)', 'a closing parenthesis is missing'],
  ['(cn=a)b', 'something follows the last parenthesis'],
  ['(&(cn=a)(cn=b)))', 'something follows the last parenthesis'],
  ['(&)', '& stands before 0 filters'],
  ['(!(cn=a)(cn=b))', '! stands before 2 filters'],
  ['(cn>=*)', 'a * has no meaning behind >='],
  ['(cn=**)', 'only *'],
  ['(cn=\\g0)', '"\\g0" has a backslash without two hexadecimal digits'],
  ['(cn:2.5.13.5:=\\)', '"\\" has a backslash without two hexadecimal digits'],
  ['(:=a)', '":=a" is no attribute with =, >=, <=, ~= or := and a value'],
  ['(:dn:=a)', '":dn:=a" is no attribute with =, >=, <=, ~= or := and a value'],
  ['(cn>a)', '"cn>a" is no attribute with =, >=, <=, ~= or := and a value'],
  ['(!'.repeat(30), 'more than 20 parentheses in one another'],
])('%s: %s', (text, error) => {
  expect(written(text)).toBe(error);
});

/**
 * Suggestions: near keys and keepalived's words are found, far ones are not guessed.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { joinWords, nearestKey, unknownKeyMessage } from '../../../src/config/suggest.ts';
import { editDistance } from '../../../src/core/edit-distance.ts';

const KEYS = ['interface', 'interval', 'vrid', 'priority', 'preempt', 'preempt_delay'];

test.each([
  ['interfac', 'interface'],
  ['Priority', 'priority'],
  ['preempt-delay', 'preempt_delay'],
  ['virtual_router_id', 'vrid'],
  ['nopreempt', 'preempt'],
  ['vird', 'vrid'],
  ['smtp_server', null],
  ['x', null],
  ['constructor', null],
])('nearestKey finds for %s: %s', (key, nearest) => expect(nearestKey(key, KEYS)).toBe(nearest));

test.each([
  ['garp_master_delay', ['announce', 'vrid'], 'unknown key, expected announce.delay'],
  ['notify_master', ['notify', 'vrid'], 'unknown key, expected notify.active'],
  ['script_user', ['notify', 'vrrp'], 'unknown key, expected notify.user'],
  [
    'virtual_ipaddress_excluded',
    ['addresses', 'vrid'],
    'unknown key, expected addresses, with advertised: false',
  ],
  [
    'haproxy',
    ['tracker', 'weight', 'reverse'],
    'unknown key, expected a tracker with its weight as { tracker: haproxy, weight: -20 }',
  ],
  [
    'smtp',
    ['dialogue', 'retry_delay'],
    'unknown key, expected dialogue: { protocol: smtp }, or smtp alone in place of the mapping',
  ],
  [
    'ldaps',
    ['dialogue', 'retry_delay'],
    'unknown key, expected ldap: { tls: tls }, or ldaps alone in place of the mapping',
  ],
  ['virtual', ['scheduler', 'servers'], 'unknown key, expected services, with address'],
  ['pref', ['onlink', 'preference', 'metric'], 'unknown key, did you mean preference?'],
  ['pref', ['iif', 'priority', 'action'], 'unknown key, did you mean priority?'],
  ['type', ['iif', 'priority', 'action'], 'unknown key, did you mean action?'],
  ['l3mdev', ['iif', 'action'], 'unknown key, expected action: vrf'],
  ['or', ['onlink', 'metric'], expect.stringContaining('expected another one with a greater')],
  ['from', ['onlink', 'metric'], expect.stringContaining('expected a rule with from')],
  ['use_vmac', ['prefix_route'], expect.stringContaining('expected an instance of its own')],
  ['wieght', ['tracker', 'weight', 'reverse'], 'unknown key, did you mean weight?'],
])('%s is answered with what to write', (key, valid, message) =>
  expect(unknownKeyMessage(key, valid)).toEqual(message),
);

test('editDistance counts insertions, deletions, changes and swaps', () => {
  expect(editDistance('weight', 'weight')).toBe(0);
  expect(editDistance('wieght', 'weight')).toBe(1);
  expect(editDistance('weigt', 'weight')).toBe(1);
  expect(editDistance('', 'abc')).toBe(3);
  expect(editDistance('kitten', 'sitting')).toBe(3);
});

test('editDistance is symmetric and no more than the longer text', () => {
  const short = fc.string({ maxLength: 12 });
  fc.assert(
    fc.property(short, short, (left, right) => {
      const distance = editDistance(left, right);
      expect(distance).toBe(editDistance(right, left));
      expect(distance).toBeLessThanOrEqual(Math.max(left.length, right.length));
      expect(distance === 0).toBe(left === right);
    }),
  );
});

test('joinWords reads as a sentence does', () => {
  expect(joinWords([], 'or')).toBe('nothing');
  expect(joinWords(['a'], 'or')).toBe('a');
  expect(joinWords(['a', 'b', 'c'], 'and')).toBe('a, b and c');
});

/** `strict: true`: one located error for each rule that an instance breaks, and none else. */
import { describe, expect, test } from 'vitest';
import { configOf, errorLines } from './read.ts';

const STANDARD = 'announce: {repeat: 1, delay: 0s}';

function file(keys: string, addresses = '[192.0.2.9/24]'): string {
  return `vrrp:\n  w: {interface: eth0, vrid: 1, addresses: ${addresses}, ${keys}}\n`;
}

describe('strict', () => {
  test('passes what the RFCs have, and changes nothing of it but the default of accept', () => {
    const off = file(`accept: false, ${STANDARD}`);
    expect(configOf(file(`strict: true, ${STANDARD}`))).toEqual(configOf(off));
    const on = file(`accept: true, ${STANDARD}`);
    expect(configOf(on)).toEqual(configOf(file(STANDARD)));
    expect(configOf(file(`strict: true, accept: true, ${STANDARD}`))).toEqual(configOf(on));
    const two = `strict: true, version: 2, ${STANDARD}`;
    expect(errorLines(file(two))).toEqual([]);
    const six = file(`strict: true, ${STANDARD}`, '["fe80::9/64", "2001:db8::9/64"]');
    expect(errorLines(six)).toEqual([]);
    const owner = `strict: true, priority: 255, owner_conflict: ignore, ${STANDARD}`;
    expect(errorLines(file(owner))).toEqual([]);
  });

  test('finds what is left out and has another default than the RFCs', () => {
    const lines = errorLines(file('strict: true')).join('\n');
    expect(lines).toContain('vrrp.w.announce.repeat: the RFCs announce once, expected 1');
    expect(lines).toContain('vrrp.w.announce.delay: the RFCs announce once, expected 0s');
  });

  test.each([
    ['password: secret, version: 2', 'password: RFC 3768 has no passwords'],
    [
      'hmac: {keys: {1: "0123456789abcdef0123456789abcdef"}, active_key: 1}',
      'hmac: RFC 9568 has no authentication',
    ],
    ['accept: true, version: 2', 'accept: only the owner accepts packets (RFC 3768'],
    ['peers: [192.0.2.3]', 'peers: the RFCs have multicast only'],
    ['multicast_group: 224.0.0.99', 'multicast_group: expected the group of the RFCs'],
    ['vmac: {xmit_base: true}', 'vmac.xmit_base: the virtual router sends from'],
    ['preempt_delay: 1s', 'preempt_delay: the RFCs have no such delay'],
    [
      'priority: 255, preempt: false, owner_conflict: ignore',
      'preempt: the owner of the addresses always preempts',
    ],
    ['priority: 255', 'owner_conflict: an owner discards'],
    ['down_timer_adverts: 4', 'down_timer_adverts: the active-down interval has three'],
    ['timer_expired_backup: 100', 'timer_expired_backup: the RFCs have no such rule'],
    ['answer_lower_priority: false', 'answer_lower_priority: expected what the RFC'],
    ['advertise_before_yielding: true', 'advertise_before_yielding: who gives way sends nothing'],
  ])('refuses %s at its place, and nothing else', (keys, message) => {
    const standard = file(`strict: true, ${STANDARD}, ${keys}`);
    expect(errorLines(standard)).toEqual([expect.stringContaining(`vrrp.w.${message}`)]);
    expect(errorLines(standard)[0]).toMatch(/^f\.yaml:2:\d+: /);
    expect(errorLines(file(`strict: false, ${STANDARD}, ${keys}`))).toEqual([]);
  });

  test('demands a link-local address first over IPv6', () => {
    const lines = errorLines(file(`strict: true, ${STANDARD}`, '["2001:db8::9/64"]'));
    expect(lines).toEqual([expect.stringContaining('expected one of fe80::/10 first')]);
  });
});

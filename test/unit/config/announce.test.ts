/** Announcements: an instance's `announce`, and the switches of `announce_groups`. */
import { describe, expect, test } from 'vitest';
import { DEFAULTS } from '../../../src/core/config/defaults.ts';
import { configOf, errorLines } from './read.ts';

const HEAD = 'interface: eth0, vrid: 1, addresses: [192.0.2.9/24]';

function announceOf(text: string) {
  return configOf(`vrrp: {w: {${HEAD}, announce: {${text}}}}\n`).vrrp[0]?.announce;
}

const withGroups = (groups: string) => `vrrp: {w: {${HEAD}}}\nannounce_groups: {${groups}}\n`;

describe('announce', () => {
  test('has its defaults without any option, and without the section', () => {
    expect(announceOf('')).toEqual(DEFAULTS.vrrp.announce);
    expect(configOf(`vrrp: {w: {${HEAD}}}`).vrrp[0]?.announce).toEqual(DEFAULTS.vrrp.announce);
  });

  test('takes every option', () => {
    const text =
      'repeat: 2, delay: 1s, refresh: 1m, refresh_repeat: 3, extra_interface_refresh: 30s, ' +
      'lower_priority_repeat: 0, lower_priority_delay: 2s, interval: 5ms, na_interval: 250us';
    expect(announceOf(text)).toEqual({
      repeat: 2,
      delayUs: 1_000_000,
      refreshUs: 60_000_000,
      refreshRepeat: 3,
      extraInterfaceRefreshUs: 30_000_000,
      lowerPriorityRepeat: 0,
      lowerPriorityDelayUs: 2_000_000,
      intervalUs: 5_000,
      naIntervalUs: 250,
    });
  });

  test('answers a losing peer as it announces, and paces NA as ARP, unless told otherwise', () => {
    const announce = announceOf('repeat: 7, interval: 3ms');
    expect(announce).toMatchObject({ lowerPriorityRepeat: 7, naIntervalUs: 3_000 });
    expect(announceOf('interval: 3ms, na_interval: 0s')).toMatchObject({ naIntervalUs: 0 });
  });

  test('bounds what it takes', () => {
    const text = `vrrp: {w: {${HEAD}, announce: {interval: 2s, refresh_repeat: 0}}}`;
    expect(errorLines(text).join('\n')).toMatch(/interval: .*1s[\s\S]*refresh_repeat: .*1 to 100/);
  });
});

describe('announce_groups', () => {
  test('give the pace of interfaces on one switch', () => {
    const text = withGroups('a: {interfaces: [eth0, eth2], interval: 1ms}');
    expect(configOf(text).announceGroups).toEqual([
      { name: 'a', interfaces: ['eth0', 'eth2'], intervalUs: 1_000, naIntervalUs: 1_000 },
    ]);
    const both = withGroups('a: {interfaces: [eth0], interval: 0s, na_interval: 2ms}');
    expect(configOf(both).announceGroups).toMatchObject([{ intervalUs: 0, naIntervalUs: 2_000 }]);
    expect(configOf(`vrrp: {w: {${HEAD}}}`).announceGroups).toEqual([]);
  });

  test('do not share an interface', () => {
    const text = withGroups(
      'a: {interfaces: [eth0], interval: 1ms}, b: {interfaces: [eth1, eth0], interval: 1ms}',
    );
    expect(errorLines(text).join('\n')).toMatch(
      /announce_groups\.b\.interfaces\[1\]: eth0 is in announce_groups\.a already/,
    );
  });

  test('need their interfaces and interval', () => {
    const text = errorLines(withGroups('a: {}')).join('\n');
    expect(text).toMatch(/interfaces/);
    expect(text).toMatch(/interval/);
  });
});

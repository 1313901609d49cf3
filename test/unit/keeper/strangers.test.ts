import { describe, expect, test } from 'vitest';
import { Strangers } from '../../../src/keeper/strangers.ts';

const ETH0 = { interfaceName: 'eth0', family: 'ipv4' } as const;
const address = (last: number): Uint8Array => Uint8Array.of(192, 0, 2, last);

describe('Strangers', () => {
  test('keeps what each said last, by interface, the last heard first', () => {
    const strangers = new Strangers();
    strangers.note(ETH0, { vrid: 7, priority: 100, addresses: [] }, address(1), 10);
    strangers.note(ETH0, { vrid: 8, priority: 90, addresses: [] }, address(2), 20);
    strangers.note(
      { ...ETH0, interfaceName: 'eth1' },
      { vrid: 7, priority: 1, addresses: [] },
      address(1),
      25,
    );
    strangers.note(ETH0, { vrid: 7, priority: 0, addresses: ['192.0.2.9'] }, address(1), 30);
    expect(strangers.report('eth0', 'ipv4')).toEqual([
      { vrid: 7, address: '192.0.2.1', priority: 0, addresses: ['192.0.2.9'], lastHeardUs: 30 },
      { vrid: 8, address: '192.0.2.2', priority: 90, addresses: [], lastHeardUs: 20 },
    ]);
    expect(strangers.report('eth0', 'ipv6')).toEqual([]);
  });

  test('forgets those that an instance has now, on its interface and of its family', () => {
    const strangers = new Strangers();
    for (const vrid of [7, 8]) {
      strangers.note(ETH0, { vrid, priority: 100, addresses: [] }, address(vrid), vrid);
    }
    strangers.forget({ ...ETH0, interfaceName: 'eth1' }, new Set([7, 8]));
    strangers.forget({ ...ETH0, family: 'ipv6' }, new Set([7, 8]));
    expect(strangers.report('eth0', 'ipv4')).toHaveLength(2);
    strangers.forget(ETH0, new Set([7, 9]));
    expect(strangers.report('eth0', 'ipv4').map(({ vrid }) => vrid)).toEqual([8]);
  });

  test('keeps sixteen, of which the longest silent one makes room', () => {
    const strangers = new Strangers();
    for (let n = 1; n <= 16; n++)
      strangers.note(ETH0, { vrid: n, priority: 1, addresses: [] }, address(n), n);
    strangers.note(ETH0, { vrid: 1, priority: 1, addresses: [] }, address(1), 50);
    strangers.note(ETH0, { vrid: 17, priority: 1, addresses: [] }, address(17), 60);
    const vrids = strangers.report('eth0', 'ipv4').map(({ vrid }) => vrid);
    expect(vrids).toHaveLength(16);
    expect(vrids.slice(0, 2)).toEqual([17, 1]);
    expect(vrids).not.toContain(2);
  });
});

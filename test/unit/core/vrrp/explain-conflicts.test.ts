/** What is said of an address that another machine has too, and the cure for each kind of machine. */
import { expect, test } from 'vitest';
import type { ConflictReport, InstanceReport } from '../../../../src/core/status.ts';
import { explainInstance } from '../../../../src/core/vrrp/explain.ts';
import { STATUS } from '../../status-fixture.ts';

type Holder = ConflictReport['holders'][number];

const REPORT: InstanceReport = { ...(STATUS.instances[0] as InstanceReport), routing: [] };
const HOLDER: Holder = { mac: '52:54:00:00:00:01', how: 'answers', addresses: [], servers: [] };
const VIP = { address: '192.0.2.10', interface: 'eth0', of: 'vip', since: '' } as const;
const VIP6 = { ...VIP, address: '2001:db8::10' };
const SOURCE = { ...VIP, address: '192.0.2.1', of: 'source' } as const;
const LINK_LOCAL = { ...SOURCE, address: 'fe80::1' };

const server: Holder = { ...HOLDER, addresses: ['10.0.0.11'], servers: ['web/10.0.0.11:80'] };
const peer: Holder = { ...HOLDER, addresses: ['192.0.2.2'] };
const quiet: Holder = { ...server, how: 'announces' };
const detected: Holder = { ...HOLDER, mac: null, how: 'detected' };

test.each([
  [
    'a real server',
    VIP,
    server,
    '(10.0.0.11, real server web/10.0.0.11:80) answers',
    'arp_ignore=1',
  ],
  ['a quiet real server', VIP, quiet, 'announces it or sends from it', 'arp_announce=2'],
  [
    'a director',
    VIP,
    peer,
    '(192.0.2.2, a director) answers',
    'Look on 192.0.2.2 with: ip address show to 192.0.2.10. If it is backup for VRID 51',
  ],
  ['an unknown machine', VIP, HOLDER, 'too: 52:54:00:00:00:01 answers', 'on the switch'],
  ['an unknown machine with IPv6', VIP6, HOLDER, '2001:db8::10, virtual IP', 'put it on lo'],
  ['a duplicate', VIP6, detected, 'duplicate address detection', 'leave out dad'],
  ['a clone', SOURCE, HOLDER, 'source address of this director', 'its own address on eth0'],
] as const)('names %s and what to do about it', (_, conflict, holder, text, cure) => {
  const conflicts = [{ ...conflict, holders: [holder] }];
  const found = explainInstance({ ...REPORT, conflicts }).findings.filter(
    ({ kind }) => kind === 'address-conflict',
  );
  expect(found).toHaveLength(1);
  expect(found[0]?.about).toBe(conflict.address);
  expect(found[0]?.text).toContain(text);
  expect(found[0]?.cure).toContain(cure);
  expect(`${found[0]?.text}${found[0]?.cure}`).not.toMatch(/undefined|null|\.$/);
});

test('names the machine with another link-local address as IPv6 has it', () => {
  const conflicts = [{ ...LINK_LOCAL, holders: [detected] }];
  const { findings } = explainInstance({ ...REPORT, family: 'ipv6', conflicts });
  expect(findings.map(({ cure }) => cure).join()).toContain('another link-local address on eth0');
});

test('names every machine that has it', () => {
  const second = { ...HOLDER, mac: '52:54:00:00:00:02' };
  const conflicts = [{ ...VIP, holders: [HOLDER, second] }];
  const texts = explainInstance({ ...REPORT, conflicts }).findings.map(({ text }) => text);
  expect(texts.join()).toContain('is on other machines too');
  expect(texts.join()).toContain('52:54:00:00:00:01 answers for it; 52:54:00:00:00:02 answers');
});

/** Whom advertisements go to: what the keys become, and what is refused. */
import { describe, expect, test } from 'vitest';
import type { VrrpConfig } from '../../../src/core/config/config.ts';
import { configOf, errorLines } from './read.ts';

const HEAD = 'vrrp:\n  web:\n    interface: eth0\n    vrid: 51\n    addresses: [192.0.2.10/24]\n';

const webOf = (more: string, head = HEAD, director = 'dir-a') =>
  configOf(`${head}${more}`, director).vrrp[0] as VrrpConfig;

describe('peers', () => {
  test('addresses and mappings become peers, with defaults', () => {
    const { unicast } = webOf(
      '    peers: [192.0.2.2, { address: 192.0.2.3, min_ttl: 254, max_ttl: 254 }]\n',
    );
    expect(unicast).toEqual({
      peers: [
        { address: '192.0.2.2', minTtl: 0, maxTtl: 255 },
        { address: '192.0.2.3', minTtl: 254, maxTtl: 254 },
      ],
      ttl: 255,
      checkSource: true,
      faultWithoutPeers: false,
    });
  });

  test('may differ between directors, and be none', () => {
    const peers = '    peers: { dir-a: [192.0.2.3], dir-b: [] }\n    unicast: { ttl: 64 }\n';
    expect(webOf(peers).unicast?.peers).toMatchObject([{ address: '192.0.2.3' }]);
    expect(webOf(peers, HEAD, 'dir-b').unicast).toMatchObject({ peers: [], ttl: 64 });
  });

  test('their family is that of the advertisements', () => {
    const both = HEAD.replace('192.0.2.10/24', '192.0.2.10/24, "2001:db8::10/64"');
    const web = webOf('    peers: ["2001:db8::3"]\n', both);
    expect(web).toMatchObject({ family: 'ipv6', multicastGroup: 'ff02::12' });
    expect(web.addresses.map(({ advertised }) => advertised)).toEqual([false, true]);
  });
});

describe('multicast_group', () => {
  test('is the one of VRRP by default, of the family', () => {
    expect(webOf('').multicastGroup).toBe('224.0.0.18');
    expect(webOf('    multicast_group: 239.1.2.3\n')).toMatchObject({
      multicastGroup: '239.1.2.3',
      unicast: null,
    });
  });
});

describe('errors', () => {
  test.each([
    ['peers: [192.0.2.300]', 'f.yaml:6:13: vrrp.web.peers[0]: expected an IP address'],
    ['peers: [224.0.0.18]', 'expected a unicast address'],
    ['peers: [192.0.2.2, 192.0.2.2]', 'vrrp.web.peers[1]: 192.0.2.2 is listed twice'],
    ['peers: [192.0.2.10]', '192.0.2.10 is a virtual IP of the instance'],
    ['peers: [192.0.2.2, "2001:db8::2"]', 'vrrp.web.peers[1]: expected an ipv4 address'],
    ['peers: [{ address: 192.0.2.2, min_ttl: 9, max_ttl: 8 }]', 'min_ttl 9 is above max_ttl 8'],
    ['peers: [{ address: 192.0.2.2, min_ttl: 256 }]', 'expected a whole number from 0 to 255'],
    ['unicast: { ttl: 64 }', 'vrrp.web.unicast: only an instance with peers uses unicast'],
    ['multicast_group: 192.0.2.18', 'expected a multicast address'],
    ['multicast_group: ff02::99', 'expected an ipv4 address, as advertisements are'],
  ])('%s', (line, message) => {
    expect(errorLines(`${HEAD}    ${line}\n`).join('\n')).toContain(message);
  });

  test('peers and multicast_group exclude each other', () => {
    const text = `${HEAD}    peers: [192.0.2.2]\n    multicast_group: 239.1.2.3\n`;
    expect(errorLines(text).join('\n')).toContain('an instance with peers uses unicast');
  });

  test('link-local peers are not mixed with others, as they need another source', () => {
    const head = HEAD.replace('192.0.2.10/24', '"2001:db8::10/64"');
    const text = `${head}    peers: ["fe80::2", "2001:db8::3"]\n`;
    expect(errorLines(text).join('\n')).toContain('expected link-local addresses only, or none');
  });
});

/**
 * What the standards demand of an advertisement as a packet: RFC 9568 section 5 (version 3) and
 * RFC 3768 section 5 (version 2), with the receiving rules of their sections 7.1 that the packet
 * or one instance's configuration decides. In our words; the section is the authority.
 * packets.test.ts holds a positive and a negative proof of every row. Fields of the IP and
 * Ethernet headers of what is sent are the socket layer's; the choice of values is the machine's.
 */

export interface Requirement {
  /** Standard, section, running number: never reused. */
  readonly id: string;
  /** 'format': stated as a definition, without a keyword of RFC 2119. */
  readonly level: 'MUST' | 'SHOULD' | 'format';
  readonly side: 'send' | 'receive';
  readonly text: string;
}

export const PACKET_REQUIREMENTS = [
  {
    id: 'RFC9568-5.1.1.3-1',
    level: 'MUST',
    side: 'receive',
    text: 'Over IPv4, a packet whose TTL is not 255 is discarded',
  },
  {
    id: 'RFC9568-5.1.2.3-1',
    level: 'MUST',
    side: 'receive',
    text: 'Over IPv6, a packet whose hop limit is not 255 is discarded',
  },
  {
    id: 'RFC9568-5.2.1-1',
    level: 'format',
    side: 'send',
    text: 'The version field says 3, and version 3 alone exists over IPv6',
  },
  {
    id: 'RFC9568-5.2.2-1',
    level: 'MUST',
    side: 'receive',
    text: 'A packet of unknown type is discarded; the one known type is 1',
  },
  {
    id: 'RFC9568-5.2.3-1',
    level: 'format',
    side: 'send',
    text: 'The VRID is 1 to 255',
  },
  {
    id: 'RFC9568-5.2.4-1',
    level: 'MUST',
    side: 'send',
    text: 'The priority is 8 bits: 255 for the owner, 1 to 254 for backups, 0 when resigning',
  },
  {
    id: 'RFC9568-5.2.5-1',
    level: 'MUST',
    side: 'receive',
    text: 'An advertisement with an address count of 0 is ignored (erratum 8299)',
  },
  {
    id: 'RFC9568-5.2.6-1',
    level: 'MUST',
    side: 'send',
    text: 'The reserved bits are zero',
  },
  {
    id: 'RFC9568-5.2.6-2',
    level: 'MUST',
    side: 'receive',
    text: 'The reserved bits are ignored',
  },
  {
    id: 'RFC9568-5.2.7-1',
    level: 'format',
    side: 'send',
    text: 'The interval is 12 bits of centiseconds, 1 to 4095 (erratum 8301)',
  },
  {
    id: 'RFC9568-5.2.7-2',
    level: 'format',
    side: 'receive',
    text: 'An interval of 0 is no interval (erratum 8301)',
  },
  {
    id: 'RFC9568-5.2.8-1',
    level: 'format',
    side: 'send',
    text: 'Over IPv4, the checksum covers the message alone, its own field taken as zero',
  },
  {
    id: 'RFC9568-5.2.8-2',
    level: 'format',
    side: 'send',
    text: 'Over IPv6, the checksum covers the pseudo-header of RFC 8200 section 8.1 too',
  },
  {
    id: 'RFC9568-5.2.9-1',
    level: 'format',
    side: 'send',
    text: 'There are as many addresses as the count says, of the family of the IP packet',
  },
  {
    id: 'RFC9568-7.1-1',
    level: 'MUST',
    side: 'receive',
    text: 'The version is verified',
  },
  {
    id: 'RFC9568-7.1-2',
    level: 'MUST',
    side: 'receive',
    text: 'The packet is complete: fixed fields and as many addresses as the count says',
  },
  {
    id: 'RFC9568-7.1-3',
    level: 'MUST',
    side: 'receive',
    text: 'The checksum is verified',
  },
  {
    id: 'RFC3768-5.2.3-1',
    level: 'MUST',
    side: 'receive',
    text: 'A packet whose TTL is not 255 is discarded',
  },
  {
    id: 'RFC3768-5.3.1-1',
    level: 'format',
    side: 'send',
    text: 'The version field says 2, over IPv4 only',
  },
  {
    id: 'RFC3768-5.3.2-1',
    level: 'MUST',
    side: 'receive',
    text: 'A packet of unknown type is discarded; the one known type is 1',
  },
  {
    id: 'RFC3768-5.3.4-1',
    level: 'MUST',
    side: 'send',
    text: 'The priority is 8 bits: 255 for the owner, 1 to 254 for backups, 0 when resigning',
  },
  {
    id: 'RFC3768-5.3.6-1',
    level: 'MUST',
    side: 'receive',
    text: 'A packet of unknown authentication type is discarded',
  },
  {
    id: 'RFC3768-5.3.6-2',
    level: 'MUST',
    side: 'receive',
    text: 'A packet whose authentication is not the locally configured one is discarded',
  },
  {
    id: 'RFC2338-5.3.6-1',
    level: 'MUST',
    side: 'receive',
    text: 'With simple text authentication, the packet carries the configured password',
  },
  {
    id: 'RFC3768-5.3.7-1',
    level: 'format',
    side: 'send',
    text: 'The interval is 8 bits of whole seconds',
  },
  {
    id: 'RFC3768-5.3.8-1',
    level: 'format',
    side: 'send',
    text: 'The checksum covers the whole message from the version on, without a pseudo-header',
  },
  {
    id: 'RFC3768-5.3.10-1',
    level: 'SHOULD',
    side: 'send',
    text: 'Without authentication, the authentication data is zero',
  },
  {
    id: 'RFC3768-5.3.10-2',
    level: 'SHOULD',
    side: 'receive',
    text: 'Without authentication, the authentication data is ignored',
  },
  {
    id: 'RFC3768-7.1-1',
    level: 'MUST',
    side: 'receive',
    text: 'The version is verified',
  },
  {
    id: 'RFC3768-7.1-2',
    level: 'MUST',
    side: 'receive',
    text: 'The packet is complete, authentication data included',
  },
  {
    id: 'RFC3768-7.1-3',
    level: 'MUST',
    side: 'receive',
    text: 'The checksum is verified',
  },
  {
    id: 'RFC3768-7.1-4',
    level: 'MUST',
    side: 'receive',
    text: 'A packet whose interval is not the locally configured one is discarded',
  },
] as const satisfies readonly Requirement[];

export type PacketRequirementId = (typeof PACKET_REQUIREMENTS)[number]['id'];

/**
 * What RFC 9568 (version 3) and RFC 3768 (version 2) demand beside the form of packets: the state
 * machine (section 6), sending and the receiver's duties (7), operation in a network (8) and the
 * rest. In our words; the section is the authority. A row that both standards have is one row
 * with an id for each. machine.test.ts holds the proofs; a row without proofs says why.
 */

export interface MachineRequirement {
  /** Standard, section, running number: never reused. */
  readonly ids: readonly string[];
  /** 'procedure': an instruction of the state machine, without a keyword of RFC 2119. */
  readonly level: 'MUST' | 'MUST NOT' | 'SHOULD' | 'SHOULD NOT' | 'procedure';
  readonly text: string;
  /** Why there is no proof: what we do instead, or why it does not concern a director. */
  readonly reason?: string;
}

const ROUTER =
  'A director serves its VIPs as a host does: it is no default router, and what it forwards is IPVS’s';
const DUAL =
  'sending and taking both versions at once is a MAY that vipkeeper leaves out: an instance has one';
const OPERATOR = 'only the operator decides that';
export const MACHINE_REQUIREMENTS = [
  // --- Section 2.5: intervals below a second
  {
    ids: ['RFC9568-2.5-1'],
    level: 'SHOULD',
    text: 'An active that another one takes over from, because its advertisements are late, says so',
  },
  // --- Section 6.1: parameters and timers
  {
    ids: ['RFC9568-6.1-1'],
    level: 'procedure',
    text: 'Version 3: skew is (256 - priority) 256ths of the active’s interval',
  },
  {
    ids: ['RFC3768-6.1-1'],
    level: 'procedure',
    text: 'Version 2: skew is (256 - priority) 256ths of a second',
  },
  {
    ids: ['RFC9568-6.1-2', 'RFC3768-6.1-2'],
    level: 'procedure',
    text: 'A backup takes over after three intervals and the skew time',
  },
  {
    ids: ['RFC9568-6.1-3', 'RFC3768-6.1-3'],
    level: 'procedure',
    text: 'The owner of the addresses preempts whatever the preempt mode is',
  },
  {
    ids: ['RFC9568-6.1-4'],
    level: 'MUST NOT',
    text: 'Neighbour solicitations and advertisements are not dropped when Accept_Mode is false',
  },
  // --- Section 6.4.1: initialize
  {
    ids: ['RFC9568-6.4.1-1', 'RFC3768-6.4.1-1'],
    level: 'procedure',
    text: 'At the start, priority 255 advertises, announces each address and becomes active',
  },
  {
    ids: ['RFC9568-6.4.1-2', 'RFC3768-6.4.1-2'],
    level: 'procedure',
    text: 'At the start, any other priority becomes backup and waits for the active-down interval',
  },
  {
    ids: ['RFC9568-6.4.1-3', 'RFC3768-6.4.1-3'],
    level: 'procedure',
    text: 'Gratuitous ARP is a broadcast request for each IPv4 address, with the virtual MAC',
  },
  {
    ids: ['RFC9568-6.4.1-4'],
    level: 'procedure',
    text: 'The unsolicited NA for each IPv6 address has Override set, Solicited clear, and the MAC',
  },
  {
    ids: ['RFC9568-6.4.1-5'],
    level: 'procedure',
    text: 'The unsolicited NA has the Router flag set',
    reason:
      'it is set where the interface forwards, as keepalived has it: RFC 4861 section 4.4 makes ' +
      'hosts drop a default router that clears it, so it must be true',
  },
  // --- Section 6.4.2: backup
  {
    ids: ['RFC9568-6.4.2-1', 'RFC3768-6.4.2-1'],
    level: 'MUST NOT',
    text: 'A backup answers no ARP request for the addresses',
  },
  {
    ids: ['RFC9568-6.4.2-2'],
    level: 'MUST NOT',
    text: 'A backup answers no neighbour solicitation for the addresses',
  },
  {
    ids: ['RFC9568-6.4.2-3'],
    level: 'MUST NOT',
    text: 'A backup sends no router advertisement for the virtual router',
    reason: `${ROUTER}; vipkeeper sends no router advertisements in any state`,
  },
  {
    ids: ['RFC9568-6.4.2-4', 'RFC3768-6.4.2-2'],
    level: 'MUST',
    text: 'A backup discards packets to the virtual router’s MAC address',
  },
  {
    ids: ['RFC9568-6.4.2-5', 'RFC3768-6.4.2-3'],
    level: 'MUST NOT',
    text: 'A backup accepts no packet to the addresses',
  },
  {
    ids: ['RFC9568-6.4.2-6', 'RFC3768-6.4.2-4'],
    level: 'procedure',
    text: 'A backup that is shut down becomes initialize, and says nothing',
  },
  {
    ids: ['RFC9568-6.4.2-7', 'RFC3768-6.4.2-5'],
    level: 'procedure',
    text: 'When the active-down timer fires: advertise, announce, active, next advert an interval on',
  },
  {
    ids: ['RFC9568-6.4.2-8', 'RFC3768-6.4.2-6'],
    level: 'procedure',
    text: 'Priority 0 sets the active-down timer to the skew time',
  },
  {
    ids: ['RFC9568-6.4.2-9', 'RFC3768-6.4.2-7'],
    level: 'procedure',
    text: 'Priority not below its own, or no preemption: the active-down timer starts anew',
  },
  {
    ids: ['RFC9568-6.4.2-10'],
    level: 'procedure',
    text: 'Version 3: the advertised interval becomes the active’s, and skew and timer follow it',
  },
  {
    ids: ['RFC9568-6.4.2-11', 'RFC3768-6.4.2-8'],
    level: 'procedure',
    text: 'A lower priority is discarded while preempting',
  },
  // --- Section 6.4.3: active
  {
    ids: ['RFC9568-6.4.3-1', 'RFC3768-6.4.3-1'],
    level: 'MUST',
    text: 'The active answers ARP requests for the addresses',
  },
  {
    ids: ['RFC9568-6.4.3-2'],
    level: 'MUST',
    text: 'The active is in the solicited-node group of each address and answers solicitations',
  },
  {
    ids: ['RFC9568-6.4.3-3'],
    level: 'MUST',
    text: 'The active sends router advertisements for the virtual router',
    reason: `${ROUTER}; who wants them runs radvd on the virtual link, which is up while active`,
  },
  {
    ids: ['RFC9568-6.4.3-4', 'RFC3768-6.4.3-2'],
    level: 'MUST',
    text: 'The active takes packets to the virtual router’s MAC address',
  },
  {
    ids: ['RFC9568-6.4.3-5', 'RFC3768-6.4.3-3'],
    level: 'MUST',
    text: 'The owner, and in version 3 with Accept_Mode any active, accepts packets to the addresses',
  },
  {
    ids: ['RFC9568-6.4.3-6', 'RFC3768-6.4.3-4'],
    level: 'MUST NOT',
    text: 'Without Accept_Mode (`accept: false`, `strict`), only the owner accepts such packets',
  },
  {
    ids: ['RFC3768-6.4.3-10'],
    level: 'MUST NOT',
    text: 'In version 2, which knows no Accept_Mode, only the owner accepts such packets',
    reason:
      'it does with `accept: false`; the default is to accept them for version 2 too, as ' +
      'keepalived does: a director is a host for its VIPs',
  },
  {
    ids: ['RFC9568-6.4.3-13'],
    level: 'MUST',
    text: 'The answer to a neighbour solicitation has the Router flag set',
    reason: 'the kernel answers, and sets it where the interface forwards: see RFC9568-6.4.1-5',
  },
  {
    ids: ['RFC9568-6.4.3-7', 'RFC3768-6.4.3-5'],
    level: 'procedure',
    text: 'An active that is shut down advertises priority 0 and becomes initialize',
  },
  {
    ids: ['RFC9568-6.4.3-8', 'RFC3768-6.4.3-6'],
    level: 'procedure',
    text: 'When the advert timer fires: advertise, and start it anew',
  },
  {
    ids: ['RFC9568-6.4.3-9', 'RFC3768-6.4.3-7'],
    level: 'procedure',
    text: 'Priority 0 from another active is answered at once, and the advert timer starts anew',
  },
  {
    ids: ['RFC9568-6.4.3-10', 'RFC3768-6.4.3-8'],
    level: 'procedure',
    text: 'A higher priority, or an equal one from a greater address, makes the active a backup',
  },
  {
    ids: ['RFC9568-6.4.3-11'],
    level: 'procedure',
    text: 'Version 3: who gives way waits by the winner’s interval',
  },
  {
    ids: ['RFC9568-6.4.3-12'],
    level: 'procedure',
    text: 'Version 3: any other advertisement is discarded and answered at once',
  },
  {
    ids: ['RFC3768-6.4.3-9'],
    level: 'procedure',
    text: 'Version 2: any other advertisement is discarded',
  },
  // --- Section 7.1: receiving (what concerns the packet alone is in packet-ledger.ts)
  {
    ids: ['RFC9568-7.1-4', 'RFC3768-7.1-5'],
    level: 'MUST',
    text: 'The VRID is one of the receiving interface’s',
  },
  {
    ids: ['RFC9568-7.1-8', 'RFC3768-7.1-9'],
    level: 'MUST',
    text: 'The owner discards (`owner_conflict: ignore`; by default one of two owners gives way)',
  },
  {
    ids: ['RFC9568-7.1-5', 'RFC3768-7.1-6'],
    level: 'MUST',
    text: 'A packet that fails any check is discarded',
  },
  {
    ids: ['RFC9568-7.1-6', 'RFC3768-7.1-7'],
    level: 'SHOULD',
    text: 'A packet that fails any check is logged',
  },
  {
    ids: ['RFC9568-7.1-7', 'RFC3768-7.1-8'],
    level: 'SHOULD',
    text: 'If the addresses are compared with the configured ones, a difference is logged',
    reason: 'comparing is a MAY; differences are found by `explain` and told as a finding',
  },
  {
    ids: ['RFC3768-7.1-10'],
    level: 'MUST',
    text: 'If they are compared and differ, what is not from the owner is dropped',
    reason:
      'comparing is a MAY, and `check_addresses: refuse` drops; by default they are compared for ' +
      'people alone, or both directors would be active while an address is being added',
  },
  {
    ids: ['RFC9568-7.1-9'],
    level: 'SHOULD',
    text: 'Version 3: another interval than its own is found, and told',
  },
  {
    ids: ['RFC9568-7.1-10', 'RFC9568-8.3.2-2'],
    level: 'SHOULD',
    text: 'Another director with priority 255 is found, and told',
  },
  // --- Section 7.2: sending, with 5.1
  {
    ids: ['RFC9568-5.1.1.3-2', 'RFC9568-5.1.2.3-2', 'RFC3768-5.2.3-2'],
    level: 'MUST',
    text: 'Advertisements are sent with a TTL or hop limit of 255',
  },
  {
    ids: ['RFC9568-5.1.1.1-1', 'RFC9568-5.1.2.1-1', 'RFC3768-5.2.1-1'],
    level: 'MUST',
    text: 'They come from the interface’s primary IPv4 address, or its link-local IPv6 address',
  },
  {
    ids: ['RFC9568-5.1.1.2-1', 'RFC9568-5.1.2.2-1', 'RFC3768-5.2.2-1'],
    level: 'MUST NOT',
    text: 'Packets to the group are not forwarded by routers',
    reason: 'the groups are link-local (224.0.0.0/24, ff02::/16), which the kernel never forwards',
  },
  {
    ids: ['RFC9568-7.2-1', 'RFC3768-7.2-1'],
    level: 'MUST',
    text: 'They are sent from the virtual router’s MAC address, so that bridges learn it',
  },
  {
    ids: ['RFC9568-7.2-2', 'RFC3768-7.2-2'],
    level: 'MUST',
    text: 'They say what is configured, and their checksum is right',
  },
  {
    ids: ['RFC9568-7.2-3', 'RFC3768-7.2-3'],
    level: 'MUST',
    text: 'They are of protocol 112, and sent to the group',
  },
  {
    ids: ['RFC9568-5.2.9-2'],
    level: 'MUST',
    text: 'Over IPv6, the first address is the link-local one of the virtual router',
    reason:
      'demanded with `strict` only: it is for the default route of hosts, which a director is not, and a VIP that ' +
      'is served is global; keepalived and FRR take such advertisements',
  },
  // --- Section 7.3 and 7.4
  {
    ids: ['RFC9568-7.3-1', 'RFC3768-7.3-1'],
    level: 'procedure',
    text: 'The virtual MAC address is 00-00-5E-00-01-VRID for IPv4, 00-00-5E-00-02-VRID for IPv6',
  },
  {
    ids: ['RFC9568-7.4-1'],
    level: 'MUST NOT',
    text: 'No interface identifier is made from the virtual MAC address',
  },
  // --- Section 8.1: IPv4
  {
    ids: ['RFC9568-8.1.1-1', 'RFC9568-8.1.1-2', 'RFC3768-8.1-1', 'RFC3768-8.1-2'],
    level: 'MUST',
    text: 'ICMP redirects name the virtual router that was used, or are switched off',
    reason: `${ROUTER}; redirects are the system’s (net.ipv4.conf.*.send_redirects)`,
  },
  {
    ids: ['RFC9568-8.1.2-1', 'RFC3768-8.2-1'],
    level: 'MUST',
    text: 'The active answers an ARP request for an address with the virtual MAC',
  },
  {
    ids: ['RFC9568-8.1.2-2', 'RFC3768-8.2-2'],
    level: 'MUST NOT',
    text: 'The active does not answer such a request with its physical MAC',
  },
  {
    ids: ['RFC9568-8.1.2-3', 'RFC3768-8.2-3'],
    level: 'SHOULD NOT',
    text: 'After a restart, nothing is said of the addresses with the physical MAC',
  },
  {
    ids: ['RFC9568-8.1.2-4', 'RFC9568-8.2.2-5', 'RFC3768-8.2-4'],
    level: 'MUST',
    text: 'Nothing is announced before both the address and the virtual MAC are there',
  },
  {
    ids: ['RFC9568-8.1.2-5', 'RFC9568-8.2.2-6', 'RFC3768-8.2-5'],
    level: 'SHOULD',
    text: 'The active announces each address: by gratuitous ARP, or by an unsolicited NA',
  },
  {
    ids: ['RFC9568-8.1.2-6'],
    level: 'SHOULD',
    text: 'Who wants one director, such as by SSH, asks for an address of its own',
    reason: OPERATOR,
  },
  {
    ids: ['RFC9568-8.1.3-1', 'RFC3768-8.3-1'],
    level: 'MUST',
    text: 'Proxy ARP, if it is used, has the virtual MAC',
    reason: 'vipkeeper answers no ARP itself; the kernel’s proxy on a virtual link has its MAC',
  },
  // --- Section 8.2: IPv6
  {
    ids: ['RFC9568-8.2.1-1', 'RFC9568-8.2.1-2'],
    level: 'MUST',
    text: 'ICMPv6 redirects name the virtual router that was used, or are switched off',
    reason: `${ROUTER}; what it does not forward it cannot redirect`,
  },
  {
    ids: ['RFC9568-8.2.2-1'],
    level: 'MUST',
    text: 'The active answers a neighbour solicitation for an address with the virtual MAC',
  },
  {
    ids: ['RFC9568-8.2.2-2'],
    level: 'MUST NOT',
    text: 'The active does not answer it with its physical MAC',
  },
  {
    ids: ['RFC9568-8.2.2-3', 'RFC9568-8.2.2-7'],
    level: 'MUST',
    text: 'A solicitation sent for an address has the virtual MAC as its source, if any',
    reason:
      'the kernel writes it from the link that sends: the virtual link’s, if the VIP is the source',
  },
  {
    ids: ['RFC9568-8.2.2-4'],
    level: 'SHOULD NOT',
    text: 'After a restart, nothing is said of the addresses with the physical MAC',
  },
  {
    ids: ['RFC9568-8.2.3-1'],
    level: 'MUST',
    text: 'Backups send the same router advertisement options as the owner',
    reason: `${ROUTER}; vipkeeper sends no router advertisements`,
  },
  {
    ids: ['RFC9568-8.2.3-2'],
    level: 'SHOULD NOT',
    text: 'The owner advertises no special services that backups cannot take over',
    reason: `${ROUTER}; vipkeeper sends no router advertisements`,
  },
  {
    ids: ['RFC9568-8.2.4-1'],
    level: 'SHOULD',
    text: 'Unsolicited neighbour advertisements of others update the neighbour cache, in any state',
    reason: 'the cache is the kernel’s, which does so on every interface',
  },
  // --- Section 8.3 and others
  {
    ids: ['RFC9568-8.3.1-1', 'RFC3768-8.4-1'],
    level: 'SHOULD NOT',
    text: 'Packets to the addresses are not forwarded by an active that is not the owner',
  },
  {
    ids: ['RFC9568-8.3.2-1'],
    level: 'SHOULD NOT',
    text: 'Priority 255 is configured for the owner only',
    reason: 'only the operator knows who owns an address; two of them are found and one gives way',
  },
  {
    ids: ['RFC9568-8.3.2-3'],
    level: 'SHOULD',
    text: 'Priorities differ by so much that only one backup takes over',
    reason: `${OPERATOR}; of equal ones the greater address wins, and \`simulate\` shows what they do`,
  },
  {
    ids: ['RFC9568-8.4-1'],
    level: 'SHOULD NOT',
    text: 'Versions 2 and 3 are not mixed in one virtual router',
  },
  {
    ids: ['RFC9568-8.4.2-1'],
    level: 'MUST',
    text: 'With both versions in one virtual router, the active sends both at the configured rate',
    reason: DUAL,
  },
  {
    ids: ['RFC9568-8.4.2-2', 'RFC9568-8.4.2-3'],
    level: 'MUST',
    text: 'With both, a backup waits by the rate of the active, translated from seconds',
    reason: DUAL,
  },
  {
    ids: ['RFC9568-8.4.2-4'],
    level: 'SHOULD',
    text: 'With both, version 2 is ignored from an active that sends version 3 too',
    reason: `${DUAL}, and refuses the other`,
  },
  {
    ids: ['RFC9568-8.4.2.1.1-1'],
    level: 'SHOULD NOT',
    text: 'A version 2 director has no higher priority than one with intervals below a second',
    reason: OPERATOR,
  },
  {
    ids: ['RFC9568-9-1'],
    level: 'SHOULD',
    text: 'Over IPv6, the link is secured as RFC 9099 section 2.3 says',
    reason: `${OPERATOR}; \`hmac\` protects the election whatever the link does`,
  },
  {
    ids: ['RFC3768-9-1'],
    level: 'MUST',
    text: 'FDDI, Token Ring and ATM LAN emulation: other MAC addresses and modes',
    reason: 'Ethernet alone: Linux has none of the others any more',
  },
] as const satisfies readonly MachineRequirement[];

type Row = (typeof MACHINE_REQUIREMENTS)[number];
type Reasoned = Extract<Row, { readonly reason: string }>;
/** First id of each row that must have proofs. */
export type ProvenId = Exclude<Row, Reasoned>['ids'][0];

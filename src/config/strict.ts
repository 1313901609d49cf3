/**
 * `strict: true` of an instance: what departs from RFC 9568 (version 3) or RFC 3768 (version 2)
 * is an error at its place, one for each rule. The rules are those of keepalived's vrrp_strict
 * where this language has the option, and the same idea for options that keepalived excepts. It
 * changes the default of `accept`, which is the RFC's, and no other value: an instance that passes
 * behaves as it does without.
 *
 * Both forms of version 3's checksum pass: RFC 5798 had the one, RFC 9568 has the other.
 */
import type { VrrpConfig } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { ipFamily, parseIp } from '../core/ip.ts';
import type { Path } from './document.ts';
import type { Report } from './report.ts';

interface Rule {
  /** Key below the instance, with dots. */
  readonly key: string;
  readonly message: string;
  readonly isBroken: (instance: VrrpConfig) => boolean;
}

const { vrrp } = DEFAULTS;

const RULES: readonly Rule[] = [
  {
    key: 'password',
    message: 'RFC 3768 has no passwords, expected none with strict',
    isBroken: ({ password }) => password !== null,
  },
  {
    key: 'hmac',
    message: 'RFC 9568 has no authentication, expected none with strict',
    isBroken: ({ hmac }) => hmac !== null,
  },
  {
    key: 'peers',
    message: 'the RFCs have multicast only, expected no peers with strict',
    isBroken: ({ unicast }) => unicast !== null,
  },
  {
    key: 'multicast_group',
    message: 'expected the group of the RFCs with strict: 224.0.0.18 or ff02::12',
    isBroken: ({ family, multicastGroup }) => multicastGroup !== vrrp.multicastGroup[family],
  },
  {
    key: 'vmac.xmit_base',
    message: 'the virtual router sends from its virtual MAC (RFC 9568 section 7.3), expected false',
    isBroken: ({ virtualLink }) => virtualLink?.kind === 'macvlan' && virtualLink.xmitBase,
  },
  {
    key: 'preempt_delay',
    message: 'the RFCs have no such delay, expected 0s with strict',
    isBroken: ({ preemptDelayUs }) => preemptDelayUs !== 0,
  },
  {
    key: 'preempt',
    message: 'the owner of the addresses always preempts (RFC 9568 section 6.1), expected true',
    isBroken: ({ priority, preempt }) => priority === 255 && !preempt,
  },
  {
    key: 'owner_conflict',
    message: 'an owner discards what others advertise (RFC 9568 section 7.1), expected ignore',
    isBroken: ({ priority, ownerConflict }) => priority === 255 && ownerConflict !== 'ignore',
  },
  {
    key: 'down_timer_adverts',
    message: 'the active-down interval has three advertisements, expected 3 with strict',
    isBroken: ({ downTimerAdverts }) => downTimerAdverts !== 3,
  },
  {
    key: 'timer_expired_backup',
    message: 'the RFCs have no such rule, expected none with strict',
    isBroken: ({ timerExpiredBackup }) => timerExpiredBackup !== null,
  },
  {
    key: 'answer_lower_priority',
    message: 'expected what the RFC of this version demands: true with version 3, false with 2',
    isBroken: ({ version, answerLowerPriority }) => answerLowerPriority !== (version === 3),
  },
  {
    key: 'advertise_before_yielding',
    message: 'who gives way sends nothing (RFC 9568 section 6.4.3), expected false with strict',
    isBroken: ({ advertiseBeforeYielding }) => advertiseBeforeYielding,
  },
  {
    key: 'accept',
    message:
      'only the owner accepts packets (RFC 3768 section 6.4.3), expected false with version 2',
    isBroken: ({ version, priority, accept }) => version === 2 && priority !== 255 && accept,
  },
  {
    key: 'announce.repeat',
    message: 'the RFCs announce once, expected 1 with strict',
    isBroken: ({ announce }) => announce.repeat !== 1,
  },
  {
    key: 'announce.delay',
    message: 'the RFCs announce once, expected 0s with strict',
    isBroken: ({ announce }) => announce.delayUs !== 0,
  },
  {
    key: 'announce.refresh',
    message: 'the RFCs announce once, expected 0s with strict',
    isBroken: ({ announce }) => announce.refreshUs !== 0,
  },
  {
    key: 'addresses',
    message:
      'the first address advertised over IPv6 is link-local (RFC 9568 section 5.2.9), ' +
      'expected one of fe80::/10 first',
    isBroken: (instance) => !isLinkLocalFirst(instance),
  },
];

/** One error for each rule that the instance breaks; `path` is vrrp.NAME. */
export function reportStrict(instance: VrrpConfig, path: Path, report: Report): void {
  for (const { key, message, isBroken } of RULES) {
    if (isBroken(instance)) report.error([...path, ...key.split('.')], message, 'bare');
  }
}

function isLinkLocalFirst({ family, addresses }: VrrpConfig): boolean {
  const first = addresses.find(({ advertised }) => advertised);
  if (family === 'ipv4' || first === undefined || ipFamily(first.address) === 'ipv4') return true;
  const [high = 0, low = 0] = parseIp(first.address) ?? [];
  return high === 0xfe && (low & 0xc0) === 0x80;
}

/**
 * Suggestions for unknown keys: the nearest valid key by edit distance, or what keepalived's or
 * ldirectord's word for the same thing is called here. Pure functions on short texts.
 */

import { editDistance } from '../core/edit-distance.ts';
import { DIALOGUE_WORDS } from '../core/health/dialogues.ts';
import {
  CHECK_WORDS,
  PLACES_OF_WORDS,
  REFUSED_OF_CHECKS,
  REFUSED_OF_INSTANCES,
  REFUSED_OF_SERVERS,
  REFUSED_OF_SERVICES,
  SERVICE_WORDS,
  VRRP_WORDS,
} from './keepalived-words.ts';
import { LDIRECTORD_WORDS } from './ldirectord-words.ts';

/** Longest key that is compared: the distance costs the product of the lengths. */
const KEY_LENGTH_MAX = 64;

/** keepalived's words whose counterpart has another name, by keepalived's word. */
const FOREIGN_WORDS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    Object.entries(SERVICE_WORDS).map(([word, key]) => [word.replaceAll('-', '_'), key]),
  ),
  ...VRRP_WORDS,
  advert_int: 'interval',
  auth_hmac: 'hmac',
  auth_pass: 'password',
  brd: 'broadcast',
  dev: 'interface',
  dsfield: 'tos',
  gw: 'via',
  ipproto: 'ip_protocol',
  lookup: 'table',
  mcast_src_ip: 'source',
  mngtmpaddr: 'manage_temporary',
  no_track: 'track',
  nodad: 'dad',
  nexthop: 'nexthops',
  nopreempt: 'preempt',
  noprefixroute: 'prefix_route',
  notification_email: 'mail',
  notify_backup: 'notify',
  notify_fault: 'notify',
  notify_fifo: 'notify',
  notify_master: 'notify',
  notify_master_rx_lower_pri: 'notify',
  notify_stop: 'notify',
  pref: 'priority',
  preference: 'priority',
  preferred_lft: 'preferred_lifetime',
  router_id: 'director',
  src: 'source',
  static_ipaddress: 'static',
  static_routes: 'static',
  static_rules: 'static',
  suppress_ifgroup: 'suppress_interface_group',
  suppress_prefixlength: 'suppress_prefix_length',
  script_user: 'notify',
  smtp_alert: 'notify',
  smtp_server: 'mail',
  uidrange: 'uid_range',
  use_ipvlan: 'ipvlan',
  use_vmac: 'vmac',
  virtual_ipaddress: 'addresses',
  virtual_ipaddress_excluded: 'addresses',
  virtual_router_id: 'vrid',
  virtual_routes: 'routes',
  virtual_rules: 'rules',
  vmac_xmit_base: 'vmac',
  vrrp_instance: 'vrrp',
  vrrp_version: 'version',
};

/** keepalived's words for what is deliberately not here, with the reason and the way out. */
const NO_AH =
  'AH (authentication header) is not supported: RFC 3768 removed it from VRRP, and it rests on ' +
  'MD5 and exists for version 2 over IPv4 only; use hmac, with version 3';
const REFUSED_WORDS: Readonly<Record<string, string>> = {
  ...REFUSED_OF_INSTANCES,
  ah: NO_AH,
  auth_type: `expected password (version 2) or hmac (version 3) instead; ${NO_AH}`,
  authentication: `expected password (version 2) or hmac (version 3) instead; ${NO_AH}`,
};

/** The same for addresses, which have another section's keys beside them. */
const REFUSED_OF_ADDRESSES: Readonly<Record<string, string>> = {
  use_vmac:
    'a virtual IP on another interface has that one’s hardware address, expected an instance of ' +
    'its own with vmac there, in the same sync group',
  autojoin: 'autojoin is for multicast addresses, which cannot be virtual IPs',
  valid_lft: 'a virtual IP is valid while its instance is active, no shorter',
};

/** The same for routes and rules. */
const MARK = 'vipkeeper marks what it puts there with its own protocol, 118, and knows it by that';
const REFUSED_OF_ROUTING: Readonly<Record<string, string>> = {
  add: 'a route is put in front of others, expected metric where the order counts',
  append: 'a route is put in front of others, expected metric where the order counts',
  encap: 'encapsulation of routes (MPLS, IP, ILA) is not supported',
  expires: 'a route is there while its instance is active, no shorter',
  from: 'routes by source are not supported, expected a rule with from, and a table of its own',
  l3mdev: 'unknown key, expected action: vrf',
  no_track: 'a route or rule that the kernel refuses is a finding and no fault, without option',
  nop: 'unknown key, expected action: nop',
  or: 'alternatives of a route are not supported, expected another one with a greater metric',
  prepend: 'a route is put in front of others, expected metric where the order counts',
  nhid: 'next hop objects of other programs are not supported, expected via or nexthops',
  proto: MARK,
  protocol: MARK,
  ttl_propagate: 'encapsulation of routes (MPLS, IP, ILA) is not supported',
  tun_id: 'rules by tunnel are not supported',
  vrf: 'expected table with the number of the VRF’s table',
};

/** ip(8)'s and keepalived's words that mean something else, or nothing, in other sections. */
const ROUTING_WORDS: Readonly<Record<string, string>> = {
  congctl: 'congestion',
  features: 'ecn',
  ip_proto: 'ip_protocol',
  order: 'priority',
  pref: 'preference',
  priority: 'metric',
  track_group: 'instances',
  type: 'action',
};

/** keepalived's words of an instance for keys of its sections, by keepalived's word. */
const NESTED_WORDS: Readonly<Record<string, string>> = {
  check_unicast_src: 'unicast.check_source',
  garp_extra_if: 'announce.extra_interface_refresh',
  garp_lower_prio_delay: 'announce.lower_priority_delay',
  garp_lower_prio_repeat: 'announce.lower_priority_repeat',
  garp_master_delay: 'announce.delay',
  garp_master_refresh: 'announce.refresh',
  garp_master_refresh_repeat: 'announce.refresh_repeat',
  garp_master_repeat: 'announce.repeat',
  notify_backup: 'notify.backup',
  notify_deleted: 'notify.deleted',
  notify_fault: 'notify.fault',
  notify_master: 'notify.active',
  notify_master_rx_lower_pri: 'notify.lower_priority',
  notify_priority_changes: 'notify.priority_changes',
  notify_stop: 'notify.stop',
  smtp_alert: 'notify.mail',
  unicast_fault_no_peer: 'unicast.fault_without_peers',
  unicast_ttl: 'unicast.ttl',
  vmac_xmit_base: 'vmac.xmit_base',
  virtual_ipaddress_excluded: 'addresses, with advertised: false',
};

/** The same for the whole file. */
const NESTED_WORDS_OF_FILE: Readonly<Record<string, string>> = {
  enable_script_security: 'notify.script_security',
  notify_fifo: 'notify.fifo',
  notify_fifo_script: 'notify.fifo_script',
  script_user: 'notify.user',
  shutdown_script: 'notify.shutdown',
  startup_script: 'notify.startup',
};

/** One key of each section about services, their servers and checks, and `services` of the file. */
const SECTIONS_OF_SERVERS = [
  ...([
    'services',
    'scheduler',
    'upper_threshold',
    'retry_delay',
    'body_matches',
    'ca_file',
  ] as const),
  ...(['rcode', 'reply', 'dynamic_weight', 'session', 'nas_identifier'] as const),
];

/** What to say of an unknown key where `valid` are the known ones. */
export function unknownKeyMessage(key: string, valid: readonly string[]): string {
  // Where the way out is at hand: elsewhere these are typing errors like any other.
  const plain = key.toLowerCase();
  const refused = Object.hasOwn(REFUSED_WORDS, plain) ? REFUSED_WORDS[plain] : undefined;
  if (refused !== undefined && valid.includes('hmac')) return refused;
  if (Object.hasOwn(REFUSED_OF_ADDRESSES, plain) && valid.includes('prefix_route')) {
    return REFUSED_OF_ADDRESSES[plain] as string;
  }
  const ofRouting = valid.includes('onlink') || valid.includes('iif');
  if (ofRouting && Object.hasOwn(REFUSED_OF_ROUTING, plain.replaceAll('-', '_'))) {
    return REFUSED_OF_ROUTING[plain.replaceAll('-', '_')] as string;
  }
  const routing = ofRouting ? ownOf(ROUTING_WORDS, plain) : undefined;
  if (routing !== undefined && valid.includes(routing)) {
    return `unknown key, did you mean ${routing}?`;
  }
  if (valid.includes('dialogue') && ['ldaps', ...DIALOGUE_WORDS].includes(plain)) {
    const written = plain === 'ldaps' ? 'ldap: { tls: tls }' : `dialogue: { protocol: ${plain} }`;
    return `unknown key, expected ${written}, or ${plain} alone in place of the mapping`;
  }
  const ofChecks = valid.includes('retry_delay') || valid.includes('body_matches');
  if (ofChecks && Object.hasOwn(REFUSED_OF_CHECKS, plain))
    return REFUSED_OF_CHECKS[plain] as string;
  const ofServices = valid.includes('scheduler') || valid.includes('upper_threshold');
  if (ofServices && Object.hasOwn(REFUSED_OF_SERVICES, plain))
    return REFUSED_OF_SERVICES[plain] as string;
  const ofServers = valid.includes('upper_threshold');
  if (ofServers && Object.hasOwn(REFUSED_OF_SERVERS, plain))
    return REFUSED_OF_SERVERS[plain] as string;
  const nested = ownOf(valid.includes('vrrp') ? NESTED_WORDS_OF_FILE : NESTED_WORDS, plain);
  if (nested !== undefined && valid.includes(nested.split(/[.,]/)[0] as string)) {
    return `unknown key, expected ${nested}`;
  }
  // The name of a tracker as a key, with its weight.
  const isTrack = valid.includes('tracker') && valid.includes('weight');
  const near = nearestKey(key, valid, 1);
  if (near === null && isTrack) {
    return `unknown key, expected a tracker with its weight as { tracker: ${key}, weight: -20 }`;
  }
  if (near !== null) return `unknown key, did you mean ${near}?`;
  const place = placeOf(plain.replaceAll('-', '_'));
  if (place !== undefined && SECTIONS_OF_SERVERS.some((known) => valid.includes(known))) {
    return `unknown key, expected ${place}`;
  }
  const nearest = nearestKey(key, valid);
  if (nearest !== null) return `unknown key, did you mean ${nearest}?`;
  return `unknown key, expected ${joinWords(valid, 'or')}`;
}

/** 'a', 'a or b', 'a, b or c'. */
export function joinWords(words: readonly string[], conjunction: 'or' | 'and'): string {
  if (words.length < 2) return words[0] ?? 'nothing';
  return `${words.slice(0, -1).join(', ')} ${conjunction} ${words.at(-1)}`;
}

function ownOf(words: Readonly<Record<string, string>>, word: string): string | undefined {
  return Object.hasOwn(words, word) ? words[word] : undefined;
}

/** The valid key that stands for keepalived's word, or null. */
function counterpart(word: string, valid: readonly string[]): string | null {
  // Some of keepalived's words mean one thing in a checker and another elsewhere.
  for (const words of [CHECK_WORDS, FOREIGN_WORDS]) {
    const foreign = Object.hasOwn(words, word) ? words[word] : undefined;
    if (foreign !== undefined && valid.includes(foreign)) return foreign;
  }
  const last = placeOf(word)?.split('.').at(-1);
  return last !== undefined && valid.includes(last) ? last : null;
}

/** What stands for a word of another program in another section, if anything does. */
function placeOf(word: string): string | undefined {
  for (const words of [PLACES_OF_WORDS, LDIRECTORD_WORDS]) {
    if (Object.hasOwn(words, word)) return words[word];
  }
  return undefined;
}

/** The valid key that was probably meant, or null; at most `distanceMax` edits away if it is given. */
export function nearestKey(
  key: string,
  valid: readonly string[],
  distanceMax = Number.POSITIVE_INFINITY,
): string | null {
  const plain = key.slice(0, KEY_LENGTH_MAX).toLowerCase().replaceAll('-', '_');
  const foreign = counterpart(plain, valid);
  if (foreign !== null) return foreign;
  let best: string | null = null;
  // A third of the letters may be wrong: more, and the suggestion is a guess.
  let bestDistance = Math.min(distanceMax, Math.max(1, Math.floor(plain.length / 3))) + 1;
  for (const candidate of valid) {
    const distance = editDistance(plain, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

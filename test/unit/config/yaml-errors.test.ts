/**
 * Every refusal of the YAML reader with its exact line: place, path, words, excerpt.
 */
import { describe, expect, test } from 'vitest';
import { ERRORS_MAX } from '../../../src/config/errors.ts';
import { errorLines } from './read.ts';

/** A valid instance in one line, so that columns are easy to count. */
const VRRP = 'vrrp: {w: {interface: eth0, vrid: 1, addresses: [192.0.2.1/24]}}';

type Row = readonly [name: string, text: string, ...lines: string[]];

function instance(...lines: string[]): string {
  const base = ['vrrp:', '  w:', '    interface: eth0', '    vrid: 1'];
  return [...base, ...lines.map((line) => `    ${line}`)].join('\n');
}

function service(...lines: string[]): string {
  return ['services:', '  s:', ...lines.map((line) => `    ${line}`)].join('\n');
}

const ADDRESSES = 'addresses: [192.0.2.1/24]';
const DURATION = 'with its unit (us, ms, s, m, h or d)';

const YAML_ROWS: readonly Row[] = [
  ['empty file', '', 'f.yaml:1:1: expected a mapping, found nothing'],
  ['a scalar', 'hello', 'f.yaml:1:1: expected a mapping, found hello'],
  ['no section', 'log: {}', 'f.yaml:1:1: expected at least one of the sections vrrp and services'],
  [
    'an unclosed list',
    'vrrp: [1',
    'f.yaml:1:9: not valid YAML: Flow sequence in block collection must be sufficiently indented' +
      ' and end with a ]',
  ],
  ['two documents', `${VRRP}\n---\n${VRRP}`, 'f.yaml:2:1: not valid YAML: more than one document'],
  ['an unknown tag', 'vrrp: !x {}', 'f.yaml:1:7: not valid YAML: Unresolved tag: !x'],
  ['an alias without anchor', 'vrrp: *x', 'f.yaml:1:7: no anchor &x before this'],
  ['a mapping as key', '? {a: b}\n: 1', 'f.yaml:1:3: expected a simple key'],
  ['a prototype as key', '__proto__: {}', 'f.yaml:1:1: this key is not allowed'],
  ['a key given twice', `${VRRP}\nlog: {}\nlog: {}`, 'f.yaml:3:1: log: key given twice'],
  [
    'a key given twice in a list',
    service('address: 192.0.2.1:80', 'servers:', '  - {address: 10.0.0.1, address: 10.0.0.2}'),
    'f.yaml:5:29: services.s.servers[0].address: key given twice',
  ],
];

const SCHEMA_ROWS: readonly Row[] = [
  ['an unknown section', `${VRRP}\nvrpp: {}`, 'f.yaml:2:1: vrpp: unknown key, did you mean vrrp?'],
  [
    'a key like none',
    `${VRRP}\nzzzzzz: {}`,
    'f.yaml:2:1: zzzzzz: unknown key, expected director, vrrp, groups, announce_groups, trackers, bfd, static, services, maintenance, sync, notify, mail, ipvs, http,' +
      ' conflict_check, runtime_directory, keeper or log',
  ],
  [
    'keepalived’s word',
    instance(ADDRESSES, 'advert_int: 1'),
    'f.yaml:6:5: vrrp.w.advert_int: unknown key, did you mean interval?',
  ],
  [
    'a missing key, placed at its mapping',
    `vrrp: {w: {vrid: 1, ${ADDRESSES}}}`,
    'f.yaml:1:8: vrrp.w.interface: expected the name of a network interface, found nothing',
  ],
  [
    'an empty value',
    `vrrp: {w: {interface: , vrid: 1, ${ADDRESSES}}}`,
    'f.yaml:1:23: vrrp.w.interface: expected the name of a network interface, found nothing',
  ],
  [
    'a number out of range',
    instance(ADDRESSES, 'priority: 300'),
    'f.yaml:6:15: vrrp.w.priority: expected a whole number from 1 to 255, found 300',
  ],
  [
    'a fraction',
    instance(ADDRESSES, 'priority: 1.5'),
    'f.yaml:6:15: vrrp.w.priority: expected a whole number from 1 to 255, found 1.5',
  ],
  [
    'a number in quotes',
    instance(ADDRESSES, 'priority: "100"'),
    'f.yaml:6:15: vrrp.w.priority: expected a whole number from 1 to 255, found "100"',
  ],
  [
    'a duration without unit',
    instance(ADDRESSES, 'interval: 5'),
    `f.yaml:6:15: vrrp.w.interval: expected a duration from 10ms to 255s ${DURATION}, found 5`,
  ],
  [
    'a duration with a wrong unit',
    instance(ADDRESSES, 'interval: 5 sec'),
    `f.yaml:6:15: vrrp.w.interval: expected a duration from 10ms to 255s ${DURATION}, found 5 sec`,
  ],
  [
    'YAML 1.1’s truth',
    instance(ADDRESSES, 'preempt: yes'),
    'f.yaml:6:14: vrrp.w.preempt: expected true or false, found yes',
  ],
  [
    'a wrong name of an instance',
    `vrrp: {"a b": {interface: eth0, vrid: 1, ${ADDRESSES}}}`,
    'f.yaml:1:8: vrrp["a b"]: expected a name of letters, digits, _ . and -, at most 63',
  ],
  [
    'a list for a mapping',
    'vrrp: [1]',
    'f.yaml:1:7: vrrp: expected a mapping from names, found a list',
  ],
  [
    'a long text, shortened',
    `log: {level: ${'x'.repeat(60)}}\n${VRRP}`,
    `f.yaml:1:14: log.level: expected debug, info, warn or error, found ${'x'.repeat(37)}...`,
  ],
  [
    'a password, not shown',
    instance(ADDRESSES, 'version: 2', 'password: verysecret'),
    'f.yaml:7:15: vrrp.w.password: expected text of 1 to 8 bytes, digits in quotes,' +
      ' not 10 bytes (keepalived cuts the rest off), found a text that is not shown',
  ],
  [
    'a source that only the active director has',
    instance('addresses: [192.0.2.7/24]', 'source: 192.0.2.7'),
    'f.yaml:6:13: vrrp.w.source: is one of its own addresses, which a backup does not have:' +
      ' expected an address that the interface always has, found 192.0.2.7',
  ],
  [
    'a multicast address',
    instance('addresses: [224.0.0.18/24]'),
    'f.yaml:5:17: vrrp.w.addresses[0]: expected a unicast address, found 224.0.0.18/24',
  ],
  [
    'an interface that the kernel refuses',
    `sync: {interface: eth0/1, follow: w}\n${VRRP}`,
    'f.yaml:1:19: sync.interface: expected the name of a network interface, found eth0/1',
  ],
  [
    'a relative runtime directory',
    `runtime_directory: run\n${VRRP}`,
    'f.yaml:1:20: runtime_directory: expected an absolute path without .., at most 80 bytes,' +
      ' found run',
  ],
  ['on for http', `http: on\n${VRRP}`, 'f.yaml:1:7: http: expected off or a mapping, found on'],
];

const DIRECTOR_ROWS: readonly Row[] = [
  [
    'no value for this director',
    instance(ADDRESSES, 'priority: {dir-x: 1, dir-y: 2}'),
    'f.yaml:6:15: vrrp.w.priority: a mapping here has a value for each director,' +
      ' and none for dir-a or default: its keys are dir-x and dir-y (--director says which one to be)',
  ],
  [
    'another director’s value',
    instance(ADDRESSES, 'priority: {dir-a: 1, dir-y: 256}'),
    'f.yaml:6:33: vrrp.w.priority.dir-y: expected a whole number from 1 to 255, found 256',
  ],
  [
    'a rule between values, in a director’s list',
    instance('addresses: {default: [192.0.2.1/24, 192.0.2.1/32]}'),
    'f.yaml:5:41: vrrp.w.addresses.default[1]: 192.0.2.1 is carried on eth0 by' +
      ' vrrp.w.addresses[0] already',
  ],
  [
    'a rule between values, in a director’s scalar',
    instance(ADDRESSES, 'interval: {dir-a: 15ms, dir-b: 1s}'),
    'f.yaml:6:23: vrrp.w.interval.dir-a: expected a multiple of 10ms from 10ms to 40.95s' +
      ' with version 3, found 15ms',
  ],
];

const VRRP_ROWS: readonly Row[] = [
  [
    'version 3 with more than 40.95s',
    instance(ADDRESSES, 'interval: 41s'),
    'f.yaml:6:15: vrrp.w.interval: expected a multiple of 10ms from 10ms to 40.95s with' +
      ' version 3, found 41s',
  ],
  [
    'version 2 with parts of a second',
    instance(ADDRESSES, 'version: 2', 'interval: 1500ms'),
    'f.yaml:7:15: vrrp.w.interval: expected whole seconds from 1s to 255s with version 2,' +
      ' found 1500ms',
  ],
  [
    'version 2 with IPv6',
    instance('addresses: ["2001:db8::1/64"]', 'version: 2'),
    'f.yaml:6:14: vrrp.w.version: version 2 has no IPv6, expected 3, found 2',
  ],
  [
    'a password with version 3',
    instance(ADDRESSES, 'password: secret'),
    'f.yaml:6:15: vrrp.w.password: only version 2 has passwords',
  ],
  [
    'a source of the other family',
    instance(ADDRESSES, 'source: fe80::1'),
    'f.yaml:6:13: vrrp.w.source: expected an ipv4 address, as advertisements are, found fe80::1',
  ],
  [
    'no address of the family',
    instance(ADDRESSES, 'family: ipv6'),
    'f.yaml:5:16: vrrp.w.addresses: expected at least one ipv6 address, as advertisements are',
  ],
  [
    'no address at all',
    instance('addresses: []'),
    'f.yaml:5:16: vrrp.w.addresses: expected a list with at least one entry, found a list',
  ],
  [
    'a VRID twice on an interface',
    `${instance(ADDRESSES)}\n  x: {interface: eth0, vrid: 1, addresses: [192.0.2.2/24]}`,
    'f.yaml:6:30: vrrp.x.vrid: VRID 1 is taken on eth0 for ipv4 by vrrp.w',
  ],
  [
    'a virtual IP in two instances',
    `${instance(ADDRESSES)}\n  x: {interface: eth0, vrid: 2, addresses: [192.0.2.1/32]}`,
    'f.yaml:6:45: vrrp.x.addresses[0]: 192.0.2.1 is carried on eth0 by vrrp.w.addresses[0] already',
  ],
  [
    'sync that follows nobody',
    `sync: {interface: eth0, follow: x}\n${VRRP}`,
    'f.yaml:1:33: sync.follow: expected a VRRP instance: w, found x',
  ],
  [
    'sync without an instance to follow',
    'sync: {interface: eth0}\nservices: {s: {address: "192.0.2.1:80", servers: [10.0.0.1]}}',
    'f.yaml:1:1: sync.follow: expected a VRRP instance: there is none, found nothing',
  ],
  [
    'sync that could follow two',
    `sync: {interface: eth0}\n${instance(ADDRESSES)}\n` +
      '  x: {interface: eth0, vrid: 2, addresses: [192.0.2.2/32]}',
    'f.yaml:1:1: sync.follow: expected a VRRP instance: w or x, found nothing',
  ],
];

const SERVICE_ROWS: readonly Row[] = [
  [
    'neither address nor mark',
    service('servers: []'),
    'f.yaml:2:3: services.s.address: expected an address, or fwmark, found nothing',
  ],
  [
    'a range backwards',
    service('address: 192.0.2.20-10:80', 'servers: []'),
    'f.yaml:3:14: services.s.address: expected a range from the lower address to the higher one, found 192.0.2.20-10:80',
  ],
  [
    'a network by one of its addresses',
    service('address: 192.0.2.21/28:80', 'servers: []'),
    'f.yaml:3:14: services.s.address: expected 192.0.2.16/28: 192.0.2.21 is an address within that network, found 192.0.2.21/28:80',
  ],
  [
    'a network of too many addresses, in its place in a list',
    service('address: [192.0.2.1:80, "[2001:db8::/64]:80"]', 'servers: []'),
    'f.yaml:3:29: services.s.address[1]: expected at most 4096 addresses and ports of one service, not 18446744073709551616: use a firewall mark (fwmark) for so many, found "[2001:db8::/64]:80"',
  ],
  [
    'too many entries in all',
    service('address: [192.0.0.0/20:80, 192.0.16.1:80]', 'servers: []'),
    'f.yaml:3:14: services.s.address: expected at most 4096 addresses and ports of one service, not 4097: use a firewall mark (fwmark) for so many',
  ],
  [
    'an address twice in one service',
    service('address: [192.0.2.1-3:80, 192.0.2.3:80]', 'servers: []'),
    'f.yaml:3:31: services.s.address[1]: tcp 192.0.2.3:80 is in this service already',
  ],
  [
    'a family of its addresses that no server serves',
    service('address: [192.0.2.1:80, "[2001:db8::1]:80"]', 'servers: [10.0.0.1]'),
    'f.yaml:4:14: services.s.servers: none of them serves the ipv6 addresses',
  ],
  [
    'a server’s port where direct routing has several',
    service(
      'address: "192.0.2.1:80,443"',
      'forwarding: dr',
      'check: none',
      'servers: ["10.0.0.1:80"]',
    ),
    'f.yaml:6:15: services.s.servers[0]: expected no port: forwarding dr keeps the port',
  ],
  [
    'a check without port of a service with several',
    service('address: "192.0.2.1:80,443"', 'servers: [10.0.0.1]'),
    'f.yaml:4:15: services.s.servers[0]: the check needs a port, the server has none: set check.port',
  ],
  [
    'one netmask for clients of two families',
    service('fwmark: 5', 'family: both', 'persistence: {timeout: 5m, prefix: 24}', 'servers: []'),
    'f.yaml:5:40: services.s.persistence.prefix: a service of both families has no prefix: make it two services',
  ],
  [
    'family with an address',
    service('address: 192.0.2.1:80', 'family: ipv4', 'servers: []'),
    'f.yaml:4:13: services.s.family: only a service with fwmark needs a family',
  ],
  [
    'protocol with a mark',
    service('fwmark: 5', 'protocol: tcp', 'servers: []'),
    'f.yaml:4:15: services.s.protocol: a service with fwmark has no protocol',
  ],
  [
    'an address without port',
    service('address: 192.0.2.1', 'servers: []'),
    'f.yaml:3:14: services.s.address: expected an IP address with port, such as 192.0.2.10:80 or' +
      ' 192.0.2.10-20:80,443, found 192.0.2.1',
  ],
  [
    'port 0 without persistence',
    service('address: 192.0.2.1:0', 'check: none', 'servers: []'),
    'f.yaml:3:14: services.s.address: port 0, all ports, needs persistence, found 192.0.2.1:0',
  ],
  [
    'the same service twice, in other words',
    'services: {s: {address: "[2001:db8::1]:80", servers: []},' +
      ' t: {address: "[2001:DB8:0::1]:80", protocol: tcp, servers: []}}',
    'f.yaml:1:72: services.t.address: tcp [2001:db8::1]:80 is services.s already',
  ],
  [
    'the same mark twice',
    'services: {s: {fwmark: 5, servers: []}, t: {fwmark: 5, servers: []}}',
    'f.yaml:1:53: services.t.fwmark: fwmark 5 ipv4 is services.s already',
  ],
  [
    'an unknown scheduler',
    service('address: 192.0.2.1:80', 'scheduler: wlcc', 'servers: []'),
    'f.yaml:4:16: services.s.scheduler: expected rr, wrr, lc, wlc, lblc, lblcr, dh, sh, sed, nq,' +
      ' fo, ovf, mh or twos, found wlcc',
  ],
  [
    'a flag of another scheduler',
    service('address: 192.0.2.1:80', 'scheduler_flags: [flag-1, sh-port]', 'servers: []'),
    'f.yaml:4:31: services.s.scheduler_flags[1]: sh-port needs scheduler sh',
  ],
  [
    'a tunnel without forwarding tun',
    service('address: 192.0.2.1:80', 'tunnel: gue', 'servers: [10.0.0.1]'),
    'f.yaml:4:13: services.s.tunnel: a tunnel needs forwarding tun',
  ],
  [
    'two tunnels',
    service(
      'address: 192.0.2.1:80',
      'forwarding: tun',
      'tunnel: {gue: {}, gre: {}}',
      'servers: []',
    ),
    'f.yaml:5:13: services.s.tunnel: expected only one of gue and gre',
  ],
  [
    'persistence without unit',
    service('address: 192.0.2.1:80', 'persistence: 300', 'servers: []'),
    'f.yaml:4:18: services.s.persistence: expected none, whole seconds from 1s to 31d with a' +
      ' unit (s, m, h or d), or a mapping, found 300',
  ],
  [
    'persistence of half a second',
    service('address: 192.0.2.1:80', 'persistence: {timeout: 500ms}', 'servers: []'),
    'f.yaml:4:28: services.s.persistence.timeout: expected whole seconds from 1s to 31d with a' +
      ' unit (s, m, h or d), found 500ms',
  ],
  [
    'an IPv6 prefix for IPv4 clients',
    service('address: 192.0.2.1:80', 'persistence: {timeout: 5m, prefix: 64}', 'servers: []'),
    'f.yaml:4:40: services.s.persistence.prefix: expected a whole number from 1 to 32 for ipv4,' +
      ' found 64',
  ],
  [
    'an engine without persistence',
    service('fwmark: 1', 'persistence_engine: sip', 'servers: []'),
    'f.yaml:4:25: services.s.persistence_engine: an engine needs persistence, found sip',
  ],
  [
    'the SIP engine with TCP',
    service('address: 192.0.2.1:5060', 'persistence: 5m', 'persistence_engine: sip', 'servers: []'),
    'f.yaml:5:25: services.s.persistence_engine: sip needs protocol udp, or fwmark',
  ],
  [
    'one packet scheduling with TCP',
    service('address: 192.0.2.1:80', 'one_packet: true', 'servers: []'),
    'f.yaml:4:17: services.s.one_packet: one_packet needs protocol udp, or fwmark',
  ],
];

const SERVER_ROWS: readonly Row[] = [
  [
    'a host name',
    service('address: 192.0.2.1:80', 'servers: [www.example.com:80]'),
    'f.yaml:4:15: services.s.servers[0]: expected an IP address with or without port, such as' +
      ' 10.0.0.11:8080, found www.example.com:80',
  ],
  [
    'another port with direct routing',
    service('address: 192.0.2.1:80', 'forwarding: dr', 'servers: [10.0.0.1, 10.0.0.2:81]'),
    'f.yaml:5:25: services.s.servers[1]: expected port 80: forwarding dr keeps the port',
  ],
  [
    'the same server twice',
    service('address: 192.0.2.1:80', 'servers: [10.0.0.1, {address: 10.0.0.1:80, weight: 3}]'),
    'f.yaml:4:25: services.s.servers[1]: 10.0.0.1:80 is servers[0] already',
  ],
  [
    'the other family without tunnel',
    service('address: 192.0.2.1:80', 'servers: [2001:db8::1]'),
    'f.yaml:4:15: services.s.servers[0]: expected an ipv4 address: the other family needs' +
      ' forwarding tun',
  ],
  [
    'thresholds in the wrong order',
    service(
      'address: 192.0.2.1:80',
      'servers: [{address: 10.0.0.1, upper_threshold: 5, lower_threshold: 6}]',
    ),
    'f.yaml:4:72: services.s.servers[0].lower_threshold: expected at most upper_threshold, which' +
      ' is 5, found 6',
  ],
  [
    'ldirectord’s word for a way of forwarding',
    service('address: 192.0.2.1:80', 'servers: [{address: 10.0.0.1, forwarding: gate}]'),
    'f.yaml:4:47: services.s.servers[0].forwarding: expected dr, found gate',
  ],
  [
    'a word in capitals',
    service('address: 192.0.2.1:80', 'servers: [{address: 10.0.0.1, forwarding: NAT}]'),
    'f.yaml:4:47: services.s.servers[0].forwarding: expected nat, found NAT',
  ],
  [
    'a lower threshold alone',
    service('address: 192.0.2.1:80', 'servers: [{address: 10.0.0.1, lower_threshold: 6}]'),
    'f.yaml:4:52: services.s.servers[0].lower_threshold: a lower threshold needs upper_threshold' +
      ' above it, found 6',
  ],
  [
    'a weight out of range',
    service('address: 192.0.2.1:80', 'servers: [{address: 10.0.0.1, weight: 65536}]'),
    'f.yaml:4:43: services.s.servers[0].weight: expected a whole number from 0 to 65535,' +
      ' found 65536',
  ],
  [
    'a tunnel on a server that has none',
    service('address: 192.0.2.1:80', 'servers: [{address: 10.0.0.1, tunnel: gre}]'),
    'f.yaml:4:43: services.s.servers[0].tunnel: a tunnel needs forwarding tun',
  ],
  [
    'a check without port to check',
    service('fwmark: 1', 'check: tcp', 'servers: [10.0.0.1]'),
    'f.yaml:5:15: services.s.servers[0]: the check needs a port, the server has none:' +
      ' set check.port',
  ],
  [
    'port 0 in a service with a port',
    service('address: 192.0.2.1:80', 'servers: ["10.0.0.1:0"]'),
    'f.yaml:4:15: services.s.servers[0]: expected a port from 1 to 65535, found "10.0.0.1:0"',
    'f.yaml:4:15: services.s.servers[0]: the check needs a port, the server has none:' +
      ' set check.port',
  ],
  [
    'a mixed family beside sync',
    `${VRRP}\nsync: {interface: eth0}\n` +
      service('address: 192.0.2.1:80', 'forwarding: tun', 'servers: [2001:db8::1]'),
    'f.yaml:7:14: services.s.servers: servers of another family than the service exclude' +
      ' connection sync: leave out the section sync,' +
      ' or give them addresses of the family of the service',
  ],
];

const CHECK_ROWS: readonly Row[] = [
  [
    'two kinds',
    service('address: 192.0.2.1:80', 'check: {http: {}, tcp: {}}', 'servers: []'),
    'f.yaml:4:12: services.s.check: expected only one of tcp and http',
  ],
  [
    'no kind for a service that has no usual one',
    service('fwmark: 1', 'check: {interval: 5s}', 'servers: []'),
    'f.yaml:4:12: services.s.check: expected one of the keys tcp, http, https, dns, udp, ping, script, file, bfd, dialogue, ldap, mysql, postgresql, radius and sip',
  ],
  [
    'an unknown kind',
    service('address: 192.0.2.1:80', 'check: pong', 'servers: []'),
    'f.yaml:4:12: services.s.check: expected none, tcp, http, https, dns, udp, ping, bfd, ldap, postgresql, sip, ldaps, smtp, smtps, ftp, imap, imaps, pop3, pop3s, nntp or redis, or a mapping, found pong',
  ],
  [
    'TLS options without TLS',
    service('address: 192.0.2.1:80', 'check: {http: {verify: false}}', 'servers: []'),
    'f.yaml:4:20: services.s.check.http.verify: unknown key, expected method, path, host,' +
      ' headers, body, status, body_contains, body_matches, digest, version or requests',
  ],
  [
    'a path without slash',
    service('address: 192.0.2.1:80', 'check: {http: {path: healthz}}', 'servers: []'),
    'f.yaml:4:26: services.s.check.http.path: expected a path that starts with /, found healthz',
  ],
  [
    'a range the wrong way round',
    service('address: 192.0.2.1:80', 'check: {http: {status: [200, 299-200]}}', 'servers: []'),
    'f.yaml:4:34: services.s.check.http.status[1]: expected a status code or a range of them,' +
      ' such as 200-299, found 299-200',
  ],
  [
    'a broken regular expression',
    service('address: 192.0.2.1:80', 'check: {http: {body_matches: "("}}', 'servers: []'),
    'f.yaml:4:34: services.s.check.http.body_matches: expected a regular expression of JavaScript' +
      ' (Unterminated group), found "("',
  ],
];

describe.each([
  ['the YAML itself', YAML_ROWS],
  ['the schema', SCHEMA_ROWS],
  ['values per director', DIRECTOR_ROWS],
  ['VRRP instances and sync', VRRP_ROWS],
  ['services', SERVICE_ROWS],
  ['real servers', SERVER_ROWS],
  ['checks', CHECK_ROWS],
])('readConfigText refuses in %s', (_, rows) => {
  test.each(rows.map((row) => [row[0], row] as const))('%s', (_name, [, text, ...lines]) => {
    expect(errorLines(text)).toEqual(lines);
  });
});

describe('readConfigText lists everything at once', () => {
  test('ten mistakes of all kinds are ten errors, in the order of the file', () => {
    const lines = errorLines(
      [
        'vrrp:',
        '  web:',
        '    interface: eth0',
        '    vrid: 300',
        '    intervall: 1s',
        '    addresses: [192.0.2.10/33]',
        '  ok: { interface: eth0, vrid: 5, addresses: [192.0.2.20/24], interval: 15ms }',
        '  twin: { interface: eth0, vrid: 5, addresses: [192.0.2.21/24] }',
        'services:',
        '  web:',
        '    address: 192.0.2.20:80',
        '    forwarding: dr',
        '    servers: [10.0.0.1:81, 10.0.0.2, { address: 10.0.0.2, weight: -1 }, 10.0.0.2]',
        'sync: { interface: eth0, follow: nobody }',
        'log: { level: loud }',
      ].join('\n'),
    );
    expect(lines.map((line) => line.split(': ')[1])).toEqual([
      'vrrp.web.vrid',
      'vrrp.web.intervall',
      'vrrp.web.addresses[0]',
      'vrrp.ok.interval',
      'vrrp.twin.vrid',
      'services.web.servers[0]',
      'services.web.servers[2].weight',
      'services.web.servers[3]',
      'sync.follow',
      'log.level',
    ]);
  });

  test('a key given twice does not hide other errors', () => {
    expect(errorLines(`${VRRP}\nlog: {}\nlog: {level: x}`)).toHaveLength(2);
  });

  test('more errors than the bound end with their number', () => {
    const keys = Array.from({ length: ERRORS_MAX + 5 }, (_, index) => `zzzzzz${index}: 1`);
    const lines = errorLines(keys.join('\n'));
    expect(lines).toHaveLength(ERRORS_MAX + 1);
    expect(lines.at(-1)).toBe(`f.yaml:${ERRORS_MAX + 1}:1: 5 more errors from here on`);
  });
});

/** Kinds of health checks: what they become, and what is refused at its place. */
import { expect, test } from 'vitest';
import { readConfigText } from '../../../src/config/yaml.ts';
import type { CheckConfig } from '../../../src/core/config/check.ts';
import { DIALOGUES } from '../../../src/core/health/dialogues.ts';
import { configOf, errorLines } from './read.ts';

const TIMING = {
  ...{ intervalUs: 2_000_000, timeoutUs: 1_000_000, fall: 3, rise: 2, address: null, port: null },
  ...{ retryDelayUs: null, jitterUs: 0, startSpreadUs: null, initial: 'unknown' },
};
const SOCKET = { ...TIMING, source: null, device: null, mark: null, via: null };

const TLS = {
  ...{ tlsVerify: true, serverName: null, caFile: null, certificateFile: null, keyFile: null },
  tlsMin: '1.2',
};
const REQUEST = {
  ...{ method: 'GET', path: '/', host: null, headers: [], body: null, status: [[200, 299]] },
  ...{ bodyContains: null, bodyMatches: null, digest: null },
};

function fileWith(check: string): string {
  return `services: {s: {address: "192.0.2.1:53", check: ${check}, servers: [10.0.0.1]}}`;
}

function checkOf(check: string): CheckConfig | null | undefined {
  return configOf(fileWith(check)).services[0]?.servers[0]?.check;
}

test.each([
  [
    'dns',
    {
      kind: 'dns',
      type: 'SOA',
      name: '.',
      rcodes: ['NOERROR'],
      answer: null,
      answerMatches: null,
    },
  ],
  [
    '{dns: {type: AAAA, name: a.test, rcode: [NOERROR, NXDOMAIN], answer: "::1", answer_matches: x}}',
    {
      kind: 'dns',
      type: 'AAAA',
      name: 'a.test',
      rcodes: ['NOERROR', 'NXDOMAIN'],
      answer: '::1',
      answerMatches: 'x',
    },
  ],
  [
    'udp',
    {
      kind: 'udp',
      payloadHex: '',
      replyRequired: false,
      replyHex: '',
      minLengthBytes: 0,
      maxLengthBytes: 65_535,
    },
  ],
  [
    '{udp: {send: "hex:00 FF", reply: "hex:0X", min_length: 2, max_length: 4}}',
    {
      kind: 'udp',
      payloadHex: '00ff',
      replyRequired: true,
      replyHex: '0x',
      minLengthBytes: 2,
      maxLengthBytes: 4,
    },
  ],
  ['ping', { kind: 'ping' }],
])('%s has all its keys and defaults', (written, expected) => {
  expect(checkOf(written)).toEqual({ ...SOCKET, ...expected });
});

test('a command has the addresses and ports of its server, and the account of notify', () => {
  const command = "'/bin/check {vip} {vport} {rip}:{rport} {other}'";
  const script = (more: string) => `{script: {command: ${command}${more}}}`;
  const notify = 'notify: {user: daemon, group: nogroup}';
  const read = (check: string) =>
    configOf(`${fileWith(check)}\n${notify}`).services[0]?.servers[0]?.check;
  const common = { kind: 'script', ...TIMING, dynamicWeight: false, scriptSecurity: true };
  const words = ['/bin/check', '192.0.2.1', '53', '10.0.0.1:53', '{other}'];
  expect(read(script(''))).toEqual({ ...common, command: words, user: 'daemon', group: 'nogroup' });
  expect(read(script(', user: www-data, dynamic_weight: true'))).toEqual({
    ...common,
    dynamicWeight: true,
    command: words,
    user: 'www-data',
    group: null,
  });
  const mark = `services: {s: {fwmark: 7, check: ${script('')}, servers: [10.0.0.1]}}`;
  expect(configOf(mark).services[0]?.servers[0]?.check).toMatchObject({
    command: ['/bin/check', '7', '0', '10.0.0.1:0', '{other}'],
  });
  const both = `services: {s: {address: ["192.0.2.1:80", "[2001:db8::1]:81"], check: ${script('')},
    servers: [10.0.0.1, "2001:db8::2"]}}`;
  expect(configOf(both).services[0]?.servers.map(({ check }) => check)).toMatchObject([
    { command: ['/bin/check', '192.0.2.1', '80', '10.0.0.1:0', '{other}'] },
    { command: ['/bin/check', '2001:db8::1', '81', '2001:db8::2:0', '{other}'] },
  ]);
});

test('what looks like a placeholder of a command and is none is warned of', () => {
  const warnings = (command: string) => {
    const told: string[] = [];
    readConfigText(fileWith(`{script: {command: '${command}'}}`), {
      ...{ file: 'f.yaml', director: null, hostname: 'h' },
      onWarning: ({ message }) => told.push(message),
    });
    return told.join('\n');
  };
  expect(warnings('/bin/true {RIP} {vip}')).toContain('{RIP} is no placeholder');
  expect(warnings('/bin/true {rip}:{rport} {vip} {vport}')).toBe('');
});

test('a request by HTTP is one, or several with what they have in common', () => {
  const http = { kind: 'http', ...SOCKET, ...TLS, tls: false, version: '1.1' };
  expect(checkOf('http')).toEqual({ ...http, requests: [REQUEST] });
  const digest = `md5:${'A0'.repeat(16)}`;
  const written =
    '{http: {host: a.test, status: [200], version: 2, headers: ["X-A:  b "], requests: ' +
    `[{path: /x, digest: "${digest}"}, {path: /y, status: [302, 400-404], host: b.test}]}}`;
  const common = { ...REQUEST, host: 'a.test', headers: [['X-A', 'b ']], status: [[200, 200]] };
  const statuses = [
    [302, 302],
    [400, 404],
  ];
  expect(checkOf(written)).toEqual({
    ...{ ...http, version: '2' },
    requests: [
      { ...common, path: '/x', digest: { algorithm: 'md5', hex: 'a0'.repeat(16) } },
      { ...common, path: '/y', host: 'b.test', status: statuses },
    ],
  });
});

test('TLS has our own certificate, with its key in the same file or another', () => {
  const files = (more: string) => checkOf(`{https: {certificate_file: /c.pem${more}}}`);
  expect(files('')).toMatchObject({ certificateFile: '/c.pem', keyFile: '/c.pem', tls: true });
  expect(files(', key_file: /k.pem, min_tls: 1.3')).toMatchObject({
    ...{ certificateFile: '/c.pem', keyFile: '/k.pem', tlsMin: '1.3' },
  });
});

test.each([
  ['1.0', '1.0'],
  ['"1.0"', '1.0'],
  ['1.1', '1.1'],
  ['2', '2'],
  ['"2"', '2'],
])('version %s is %s', (written, version) => {
  expect(checkOf(`{http: {version: ${written}}}`)).toMatchObject({ version });
});

test('what all kinds have is written once, a server may say otherwise', () => {
  const common = 'retry_delay: 500ms, jitter: 1s, start_spread: 0s, initial: down, mark: 7';
  const path = 'address: 10.0.0.9, bind: 10.0.0.254, device: eth1';
  const own = '{address: 10.0.0.2, check: {device: eth2, initial: up}}';
  const text = fileWith(`{tcp: {}, ${common}, ${path}}`).replace('10.0.0.1]', `10.0.0.1, ${own}]`);
  const [first, second] = configOf(text).services[0]?.servers ?? [];
  const expected = {
    ...{ ...SOCKET, kind: 'tcp', retryDelayUs: 500_000, jitterUs: 1_000_000, startSpreadUs: 0 },
    ...{ initial: 'down', address: '10.0.0.9', source: '10.0.0.254', device: 'eth1', mark: 7 },
  };
  expect(first?.check).toEqual(expected);
  expect(second?.check).toEqual({ ...expected, device: 'eth2', initial: 'up' });
});

test('the source is of the family that is asked, also where it is inherited', () => {
  const tunnel = (check: string, server: string) =>
    `services: {s: {address: "192.0.2.1:53", forwarding: tun, check: ${check}, servers: [${server}]}}`;
  const bound = '{tcp: {}, bind: 10.0.0.254}';
  expect(errorLines(tunnel(bound, '"10.0.0.1"'))).toEqual([]);
  const inherited = errorLines(tunnel(bound, '"2001:db8::1"'));
  expect(inherited).toHaveLength(1);
  expect(inherited[0]).toContain('servers[0]: expected check.bind of ipv6 here, as 2001:db8::1 is');
  const own = '{address: 10.0.0.1, check: {bind: "2001:db8::9"}}';
  expect(errorLines(tunnel(bound, own))[0]).toContain('servers[0].check.bind: expected');
  const elsewhere = '{address: "2001:db8::1", check: {address: 10.0.0.1}}';
  expect(errorLines(tunnel(bound, elsewhere))).toEqual([]);
});

test('a file is looked at', () => {
  expect(checkOf('{file: {path: /run/x}}')).toEqual({ kind: 'file', ...TIMING, path: '/run/x' });
});

test('a dialogue is ready-made, by its name or with keys, or has its own steps', () => {
  const common = { kind: 'dialogue', ...SOCKET, ...TLS };
  const { tls, steps } = DIALOGUES.imaps;
  const imaps = { tls, steps };
  const { redis } = DIALOGUES;
  expect(checkOf('imaps')).toEqual({ ...common, ...imaps });
  expect(checkOf('{dialogue: {protocol: redis, tls: true}}')).toEqual({
    ...common,
    tls: true,
    steps: redis.steps,
  });
  expect(checkOf('{dialogue: {steps: [{send: "a\\n", expect: b}, {refuse: c}]}}')).toEqual({
    ...common,
    tls: false,
    steps: [
      { send: 'a\n', expect: 'b', refuse: null, starttls: false },
      { send: null, expect: null, refuse: 'c', starttls: false },
    ],
  });
});

test('a dialogue by SMTP is the check of its client', () => {
  const common = { kind: 'smtp', ...SOCKET, ...TLS };
  expect(checkOf('smtp')).toEqual({ ...common, tls: 'none' });
  expect(checkOf('smtps')).toEqual({ ...common, tls: 'tls' });
  const modes = [
    ['protocol: smtp, tls: true', 'tls'],
    ['protocol: smtps, tls: false', 'none'],
    ['protocol: smtp, starttls: true', 'starttls'],
  ];
  for (const [keys, tls] of modes) {
    expect(checkOf(`{dialogue: {${keys}, server_name: mail.test}}`)).toEqual({
      ...common,
      serverName: 'mail.test',
      tls,
    });
  }
});

test('text is sent as its UTF-8 bytes', () => {
  expect(checkOf('{udp: {send: "é"}}')).toMatchObject({ payloadHex: 'c3a9' });
});

test('a server of a firewall mark without port can be pinged', () => {
  const text = 'services: {s: {fwmark: 1, check: ping, servers: [10.0.0.1]}}';
  expect(errorLines(text)).toEqual([]);
  expect(errorLines(text.replace('ping', 'dns'))[0]).toContain('the check needs a port');
});

test.each([
  ['two kinds', '{dns: {}, udp: {}}', 'check: expected only one of dns and udp'],
  ['an unknown type', '{dns: {type: B}}', 'check.dns.type: expected A, NS'],
  ['a name that is none', '{dns: {name: a..b}}', 'check.dns.name: expected a domain name'],
  ['an unknown code', '{dns: {rcode: [OK]}}', 'check.dns.rcode[0]: expected NOERROR'],
  ['a bad expression', '{dns: {answer_matches: "("}}', 'answer_matches: expected a regular'],
  ['odd digits', '{udp: {send: "hex:0"}}', 'check.udp.send: expected text, or hex:'],
  ['wildcards to send', '{udp: {send: "hex:0X"}}', 'check.udp.send: expected text, or hex:'],
  ['lengths that cross', '{udp: {min_length: 5, max_length: 4}}', 'expected at most max_length'],
  ['no reply wanted, but given', '{udp: {reply: a, require_reply: false}}', 'contradicts reply'],
  ['no command', '{script: {}}', 'check.script.command: '],
  ['a command without path', '{script: {command: check}}', 'expected a command that starts'],
  ['a relative file', '{file: {path: x}}', 'check.file.path: expected an absolute path'],
  ['a port of a file', '{file: {path: /x}, port: 5}', 'a check by file has no port'],
  ['an empty dialogue', '{dialogue: {}}', 'check.dialogue: expected either protocol or steps'],
  ['both', '{dialogue: {protocol: ftp, steps: [{send: a}]}}', 'expected either protocol or steps'],
  ['no step', '{dialogue: {steps: []}}', 'expected a list with at least one entry'],
  ['a body of HEAD', '{http: {method: HEAD, body_contains: a}}', 'an answer to HEAD has no body'],
  [
    'a body of HEAD among others',
    '{http: {body_contains: a, requests: [{path: /x}, {method: HEAD}]}}',
    'check.http.requests[1].method: an answer to HEAD',
  ],
  ['no request', '{http: {requests: []}}', 'expected a list with at least one entry'],
  ['many requests', `{http: {requests: [${'{path: /},'.repeat(33)}]}}`, 'at most 32 requests'],
  ['a version', '{http: {version: 3}}', 'check.http.version: expected 1.0, 1.1 or 2'],
  ['a small method', '{http: {method: get}}', 'check.http.method: expected a method such as GET'],
  ['no header', '{http: {headers: ["a b"]}}', 'check.http.headers[0]: expected a header such as'],
  [
    'Host as a header',
    '{http: {headers: ["Host: a"]}}',
    'Host is not for headers, expected the key',
  ],
  ['a header of ours', '{http: {headers: ["content-length: 1"]}}', 'is not for headers'],
  ['a short digest', '{http: {digest: "md5:00"}}', 'check.http.digest: expected md5: and 32'],
  ['a key alone', '{https: {key_file: /k.pem}}', 'check.https.key_file: a key needs'],
  ['a key alone in a dialogue', '{dialogue: {protocol: imaps, key_file: /k}}', 'a key needs'],
  ['a source of a file', '{file: {path: /x}, bind: 10.0.0.9}', 'a check by file has no bind'],
  ['a mark of a script', '{script: {command: /x}, mark: 5}', 'a check by script has no mark'],
  ['no mark', '{tcp: {}, mark: 0}', 'check.mark: expected a whole number from 1'],
  ['no device', '{tcp: {}, device: "a b"}', 'check.device: expected the name of a network'],
  ['a group to bind to', '{tcp: {}, bind: 224.0.0.1}', 'check.bind: expected a unicast address'],
  [
    'jitter beyond',
    '{tcp: {}, jitter: 3s}',
    'check.jitter: expected at most the interval, which is 2s',
  ],
  [
    'another beginning',
    '{tcp: {}, initial: master}',
    'check.initial: expected unknown, up or down',
  ],
  ['a port to ping', '{ping: {}, port: 5}', 'check.port: a check by ping has no port'],
])('%s is refused at its place', (_what, check, message) => {
  const lines = errorLines(fileWith(check));
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain('f.yaml:1:');
  expect(lines[0]).toContain(message);
});

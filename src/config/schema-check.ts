/**
 * The part of the schema about health checks: a kind with its own keys, and what all kinds have.
 * What a check inherits, and that it is of one kind only, is in resolve-check.ts.
 */
import type { BodyDigest } from '../core/config/check.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { DIALOGUE_WORDS } from '../core/health/dialogues.ts';
import { isDnsName } from '../core/wire/dns.ts';
import { DNS_RCODES, DNS_TYPES, type DnsType } from '../core/wire/dns-names.ts';
import {
  list,
  type Output,
  option,
  Refusal,
  required,
  scalar,
  section,
  shortOrLong,
  type Type,
  truth,
  whole,
  word,
} from './forms.ts';
import {
  duration,
  interfaceName,
  name,
  path,
  TEXT_LENGTH_MAX,
  text,
  unicastAddress,
} from './scalars.ts';
import {
  hostName,
  regularExpression,
  statusRange,
  tlsFields,
  version,
} from './schema-check-common.ts';
import { PROTOCOL_WORDS, protocolKinds } from './schema-check-protocols.ts';
import { command, groupName, userName } from './schema-notify.ts';
import { joinWords } from './suggest.ts';
import { formatDuration } from './values.ts';
import * as yaml from './yaml-values.ts';

type Per = <T>(inner: Type<T>) => Type<T>;

const MS_US = 1_000;
const HOUR_US = 3_600_000_000;
const DATAGRAM_BYTES_MAX = 65_535;
const MARK_MAX = 0xffff_ffff;

/** Kinds that need no key of their own. */
const WORDS = ['tcp', 'http', 'https', 'dns', 'udp', 'ping', 'bfd', ...PROTOCOL_WORDS] as const;
const SCRIPT = 'a mapping such as { script: { command: [/path/to/command] } }';
const DIALOGUE = 'the protocol, such as imap, or a mapping such as { dialogue: { steps: [...] } }';
const LOGIN = 'a mapping such as { mysql: { user: check } }';
/** What keepalived, ldirectord or people call a check, and what is to be written here. */
const FOREIGN_CHECKS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    tcp_check: 'tcp',
    connect: 'tcp',
    http_get: 'http',
    ssl_get: 'https',
    smtp_check: 'smtp',
    submission: 'smtp',
    dns_check: 'dns',
    udp_check: 'udp',
    ping_check: 'ping',
    bfd_check: 'bfd',
    pop: 'pop3',
    pops: 'pop3s',
    pgsql: 'postgresql',
    postgres: 'postgresql',
    on: 'none',
    misc_check: SCRIPT,
    script: SCRIPT,
    external: SCRIPT,
    'external-perl': SCRIPT,
    file_check: 'a mapping such as { file: { path: /path/to/file } }',
    file: 'a mapping such as { file: { path: /path/to/file } }',
    dialogue: DIALOGUE,
    negotiate: DIALOGUE,
    simpletcp: DIALOGUE,
    mysql: LOGIN,
    mariadb: LOGIN,
    radius: 'a mapping such as { radius: { secret: file:/path/to/secret } }',
  }),
);

/** Most requests of one check: each has a connection of its own. */
const REQUESTS_MAX = 32;
/** Headers that follow from other keys, or that would change how the answer ends. */
const OWN_HEADERS = ['host', 'connection', 'content-length', 'transfer-encoding', 'keep-alive'];
const OTHER_HEADERS = ['upgrade', 'expect', 'te'];

function httpFields(per: Per) {
  return {
    ...requestFields(per),
    version: option(per(version(['1.0', '1.1', '2'])), {
      about: 'Version of HTTP; `"2"` without TLS is by prior knowledge.',
      default: DEFAULTS.http.version,
    }),
    requests: option(requestList(per), {
      about:
        'Requests that are made at once, each with its own connection, within the one timeout; ' +
        'all must succeed. What one leaves out is taken from the keys beside this one.',
      without: 'one request, by those keys',
    }),
  };
}

function requestList(per: Per) {
  const item = section(() => requestFields(per));
  return list(item, 1, { count: REQUESTS_MAX, what: 'requests' });
}

function header() {
  const expects = 'a header such as `X-Check: director`';
  return scalar(expects, yaml.string({ max: TEXT_LENGTH_MAX }), (value) => {
    // RFC 9110 sections 5.1 and 5.5, of the values those in ASCII.
    const match = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*([\x20-\x7e]*)$/.exec(value);
    if (match === null) return undefined;
    const [, name = '', content = ''] = match;
    if (![...OWN_HEADERS, ...OTHER_HEADERS].includes(name.toLowerCase())) {
      return [name, content] as const;
    }
    const instead = name.toLowerCase() === 'host' ? ', expected the key host' : '';
    return new Refusal(`${name} is not for headers${instead}`);
  });
}

function digest() {
  const expects = 'md5: and 32 hexadecimal digits, or sha256: and 64';
  return scalar(expects, yaml.string(), (value): BodyDigest | undefined => {
    const match = /^(?:(md5):([\da-f]{32})|(sha256):([\da-f]{64}))$/i.exec(value);
    if (match === null) return undefined;
    const [, md5, md5Hex, , sha256Hex] = match;
    const hex = (md5Hex ?? sha256Hex ?? '').toLowerCase();
    return { algorithm: md5 === undefined ? 'sha256' : 'md5', hex };
  });
}

function requestFields(per: Per) {
  const { http } = DEFAULTS;
  return {
    method: option(per(text('a method such as GET', (value) => /^[A-Z]{1,20}$/.test(value))), {
      about: 'Method of the request.',
      default: http.method,
    }),
    path: option(per(path('a path that starts with /')), {
      about: 'Path and query of the request.',
      default: http.path,
    }),
    host: option(per(hostName()), {
      about: 'Host header.',
      without: 'the server’s address and port',
    }),
    headers: option(per(list(header())), {
      about: 'Further headers of the request, as `Name: value`.',
      without: 'none',
    }),
    body: option(per(wireText()), {
      about: 'What is sent as its body.',
      without: 'nothing',
    }),
    status: option(per(list(statusRange(), 1)), {
      about: 'Status codes that mean success: codes and ranges.',
      default: http.status.map((range) => range.join('-')),
    }),
    body_contains: option(per(text('text', () => true)), {
      about: 'Text that the body must contain, in its first 1 MiB.',
      without: 'any body',
    }),
    body_matches: option(per(regularExpression()), {
      about: 'Regular expression (JavaScript, flag u) that the body, of at most 1 MiB, must match.',
      without: 'any body',
    }),
    digest: option(per(digest()), {
      about:
        'Digest of the whole body, of at most 1 MiB: `md5:` (as `genhash` of keepalived tells it) or `sha256:` and ' +
        'hexadecimal digits. A failure tells the one that was seen.',
      without: 'any body',
    }),
  };
}

/** A check's long form and its words; the words become what they abbreviate. */
export function checkSchema(per: Per) {
  const { check, bfdCheck } = DEFAULTS;
  const http = section(() => httpFields(per));
  const https = section(() => ({
    ...httpFields(per),
    ...tlsFields(per, '`host`, else the address'),
  }));
  const long = section(() => ({
    tcp: option(
      section(() => ({})),
      { about: 'Connect by TCP: `tcp: {}`.', without: 'see `check`' },
    ),
    http: option(http, { about: 'Request by HTTP.', without: 'no such check' }),
    https: option(https, { about: 'Request by HTTP over TLS.', without: 'no such check' }),
    dns: option(dnsSection(per), { about: 'Query by DNS.', without: 'no such check' }),
    udp: option(udpSection(per), {
      about: 'Send a datagram; an ICMP error is a failure, and so is a wrong reply.',
      without: 'no such check',
    }),
    ping: option(
      section(() => ({})),
      {
        about: 'ICMP echo request to the server’s address: `ping: {}`.',
        without: 'no such check',
      },
    ),
    script: option(scriptSection(per), {
      about: 'Run a command: exit status 0 is success.',
      without: 'no such check',
    }),
    dialogue: option(dialogueSection(per), {
      about: 'Connect by TCP, send and expect.',
      without: 'no such check',
    }),
    file: option(fileSection(per), {
      about: 'Look into a file: `up`, `down`, or the weight of the server.',
      without: 'no such check',
    }),
    bfd: option(bfdSection(per), {
      about: 'Take the state of a BFD session, and its changes at once.',
      without: 'no such check',
    }),
    ...protocolKinds(per),
    interval: option(per(duration(100 * MS_US, HOUR_US)), {
      about: 'Time from one check’s start to the next one’s.',
      default: formatDuration(check.intervalUs),
    }),
    timeout: option(per(duration(10 * MS_US, HOUR_US)), {
      about: 'Total time of one check, from connecting to the verdict.',
      default: formatDuration(check.timeoutUs),
    }),
    fall: option(per(whole(1, 100)), {
      about: `Failures in a row that take a server out; by \`bfd\`, ${bfdCheck.fall} is the default.`,
      default: check.fall,
    }),
    rise: option(per(whole(1, 100)), {
      about: `Successes in a row that bring it back; by \`bfd\`, ${bfdCheck.rise} is the default.`,
      default: check.rise,
    }),
    retry_delay: option(per(duration(10 * MS_US, HOUR_US)), {
      about:
        'Time from a result to the next check while failures are fewer than `fall`, or successes ' +
        'fewer than `rise`.',
      without: 'the interval goes on',
    }),
    jitter: option(per(duration(0, HOUR_US)), {
      about: 'Every check begins up to this much later, by chance; at most the interval.',
      default: formatDuration(check.jitterUs),
    }),
    start_spread: option(per(duration(0, HOUR_US)), {
      about:
        'The first check begins within this time, each server’s at its own place; `0s` for at once.',
      without: 'the interval, `2s` at most',
    }),
    initial: option(per(word(['unknown', 'up', 'down'])), {
      about:
        'What a server is until its first result: `unknown` keeps its weight in the kernel’s table ' +
        'and gets no clients when new; `up` does the same, but gets clients when new; `down` gets ' +
        'none, not even after a restart. A first success counts at once, and so does a first ' +
        'failure, but for what was there before: a server that has clients falls as one that is up, ' +
        'and one that was out when the controller started rises as one that is down.',
      default: check.initial,
    }),
    address: option(per(unicastAddress((address) => address)), {
      about: 'Address to check.',
      without: 'the server’s address',
    }),
    port: option(per(whole(1, 65535)), {
      about: 'Port to check.',
      without: 'the server’s port',
    }),
    bind: option(per(unicastAddress((address) => address)), {
      about: 'Source address, of this director.',
      without: 'as the route says',
    }),
    device: option(per(interfaceName()), {
      about: 'Interface that the check leaves and its answers come by.',
      without: 'as the route says',
    }),
    mark: option(per(whole(1, MARK_MAX)), {
      about: 'Firewall mark of the packets that are sent, for rules of routing.',
      without: 'no mark',
    }),
    through_vip: option(per(truth()), {
      about:
        'Ask at the virtual IP, through this very server, as clients do: finds a server that is well ' +
        'but lacks the virtual IP. For forwarding `dr` and `tun`, and not for `ping`.',
      default: check.throughVip,
    }),
  }));
  type Long = Output<typeof long>;
  const short = scalar(
    `none, ${joinWords([...WORDS, 'ldaps', ...DIALOGUE_WORDS], 'or')}, or a mapping`,
    yaml.words(['none', ...WORDS, 'ldaps', ...DIALOGUE_WORDS]),
    (kind): Long | 'none' => {
      if (kind === 'none') return kind;
      if (kind === 'ldaps') return { ldap: { tls: 'tls' } };
      const protocol = DIALOGUE_WORDS.find((name) => name === kind);
      return protocol === undefined ? { [kind]: {} } : { dialogue: { protocol } };
    },
    (raw) => (typeof raw === 'string' ? FOREIGN_CHECKS.get(raw.toLowerCase()) : undefined),
  );
  return shortOrLong(short, long);
}

const TYPE_WORDS = Object.keys(DNS_TYPES) as DnsType[];

function dnsSection(per: Per) {
  const { dns } = DEFAULTS;
  return section(() => ({
    type: option(per(word(TYPE_WORDS)), {
      about: 'Type of the records that are asked for.',
      default: dns.type,
    }),
    name: option(per(text('a domain name in ASCII', isDnsName)), {
      about: 'Name that is asked for; `.` is the root.',
      default: dns.name,
    }),
    rcode: option(per(list(word(DNS_RCODES), 1)), {
      about: 'Response codes that mean success.',
      default: dns.rcodes,
    }),
    answer: option(per(text('text', () => true)), {
      about:
        'Data that one record of the type must have, as a zone file has it: an address, a name, ' +
        '`10 mail.example.org`.',
      without: 'any answer, also none',
    }),
    answer_matches: option(per(regularExpression()), {
      about: 'Regular expression (JavaScript, flag u) that the data of one record must match.',
      without: 'any answer, also none',
    }),
  }));
}

function udpSection(per: Per) {
  const { udp } = DEFAULTS;
  const bytes = () => per(whole(0, DATAGRAM_BYTES_MAX));
  return section(() => ({
    send: option(per(bytesText()), {
      about: 'What is sent: text, or `hex:` and hexadecimal digits.',
      without: 'an empty datagram',
    }),
    reply: option(per(bytesText(true)), {
      about:
        'What a reply must begin with: text, or `hex:` and hexadecimal digits, with `X` for any ' +
        'digit. A reply is required then.',
      without: 'any reply',
    }),
    require_reply: option(per(truth()), {
      about:
        'Take silence for a failure. Without it only an ICMP error is one, and a check of a ' +
        'silent server takes all of its timeout.',
      without: '`true` with `reply`, else `false`',
    }),
    min_length: option(bytes(), {
      about: 'Least length of a reply, in bytes.',
      default: udp.minLengthBytes,
    }),
    max_length: option(bytes(), {
      about: 'Greatest length of a reply, in bytes.',
      default: udp.maxLengthBytes,
    }),
  }));
}

function scriptSection(per: Per) {
  return section(() => ({
    command: required(
      per(command()),
      'Program by its absolute path, with arguments, without a shell. `{vip}` (of a firewall mark, ' +
        'the mark), `{vport}`, `{rip}` and `{rport}` stand for the addresses and ports of service ' +
        'and server; of several addresses of a service, the first of the server’s family.',
    ),
    dynamic_weight: option(per(truth()), {
      about: 'Exit statuses from 2 on are success too: the weight of the server is 2 less.',
      default: DEFAULTS.scriptCheck.dynamicWeight,
    }),
    user: option(per(userName()), {
      about: 'User that it runs as.',
      without: 'that of `notify.user`',
    }),
    group: option(per(groupName()), {
      about: 'Group that it runs as.',
      without: 'the user’s; that of `notify.group` without a user',
    }),
  }));
}

function dialogueSection(per: Per) {
  const step = section(() => ({
    send: option(per(wireText()), {
      about: 'What is sent, line ends included (YAML: `"QUIT\\r\\n"`).',
      without: 'nothing',
    }),
    expect: option(per(regularExpression()), {
      about: 'Regular expression (JavaScript, flags u and m) that what comes back must match.',
      without: 'no wait',
    }),
    refuse: option(per(regularExpression()), {
      about: 'The same for what is a refusal, and fails at once.',
      without: 'nothing is',
    }),
    starttls: option(per(truth()), {
      about: 'Begin TLS when the step is done.',
      default: DEFAULTS.dialogue.starttls,
    }),
  }));
  return section(() => ({
    protocol: option(per(word(DIALOGUE_WORDS)), {
      about: 'A ready-made dialogue; its name may stand for the whole check.',
      without: '`steps` must be given',
    }),
    steps: option(list(step, 1), {
      about: 'What is said and heard, in this order.',
      without: '`protocol` must be given',
    }),
    tls: option(per(truth()), {
      about: 'Speak TLS from the first byte on.',
      without: '`true` with `smtps`, `imaps` and `pop3s`, else `false`',
    }),
    starttls: option(per(truth()), {
      about:
        'Begin TLS by the protocol’s own command: of `smtp`, `ftp`, `imap`, `pop3` and `nntp`.',
      default: DEFAULTS.dialogue.starttls,
    }),
    ...tlsFields(per, 'the server’s address'),
  }));
}

/** Text that may have line ends. */
function wireText() {
  return scalar('text', yaml.string({ min: 1, max: TEXT_LENGTH_MAX }), (value) => value);
}

function fileSection(per: Per) {
  return section(() => ({
    path: required(
      per(path('an absolute path')),
      'File that says `up`, `down`, or a weight from 0 to 65535; anything else is a failure.',
    ),
  }));
}

function bfdSection(per: Per) {
  return section(() => ({
    session: option(per(name()), {
      about: 'Name of the session, in the section `bfd`.',
      without: 'the one whose neighbor is the server’s address',
    }),
  }));
}

/** Hexadecimal digits of bytes given as text, or as `hex:` and digits, spaces between them. */
function bytesText(wildcards = false) {
  const digits = wildcards ? /^(?:[\da-fx]{2})+$/i : /^(?:[\da-f]{2})+$/i;
  const expects = `text, or hex: and pairs of hexadecimal digits${wildcards ? ' or X' : ''}`;
  return scalar(expects, yaml.string({ min: 1, max: TEXT_LENGTH_MAX }), (value) => {
    if (!value.startsWith('hex:')) return hexOf(value);
    const written = value.slice('hex:'.length).replaceAll(' ', '');
    return digits.test(written) ? written.toLowerCase() : undefined;
  });
}

function hexOf(value: string): string {
  const bytes = [...new TextEncoder().encode(value)];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

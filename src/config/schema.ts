/**
 * The configuration language as a schema: which keys exist, what each takes, what it is
 * for. It is built for one director, because values may be given per director. What concerns
 * several values at once (families, ports, duplicates) is checked in resolve-*.ts.
 */
import {
  type Forwarding,
  SCHEDULER_FLAGS,
  SCHEDULERS,
  type TunnelChecksum,
} from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { CHECK_MARK_BITS } from '../core/ipvs/through-vip.ts';
import { parseAddressSet } from './address-set.ts';
import {
  anything,
  list,
  names,
  type Output,
  oneOrList,
  option,
  perDirector,
  Refusal,
  readAs,
  required,
  scalar,
  section,
  shortOrLong,
  type Type,
  truth,
  whole,
  word,
} from './forms.ts';
import { readHmacKey } from './hmac-key.ts';
import { duration, interfaceName, name, path, TEXT_LENGTH_MAX, text } from './scalars.ts';
import { addressKeys } from './schema-address.ts';
import { checkSchema } from './schema-check.ts';
import { electionOptions } from './schema-election.ts';
import { ipvsSettingOptions } from './schema-ipvs.ts';
import { linkOptions } from './schema-link.ts';
import { maintenanceSchema, ripMaintenanceSchema } from './schema-maintenance.ts';
import {
  command,
  groupName,
  groupNotifySchema,
  instanceNotifySchema,
  notifySections,
  serviceNotifySchema,
  userName,
} from './schema-notify.ts';
import { routeSchema, ruleSchema, staticSchema } from './schema-routing.ts';
import { reachOptions } from './schema-unicast.ts';
import {
  DURATION_PATTERN,
  type Endpoint,
  formatDuration,
  isUnicast,
  NAME_PATTERN,
  type Prefix,
  parseDuration,
  parseEndpoint,
  parsePrefix,
} from './values.ts';
import * as yaml from './yaml-values.ts';

const MS_US = 1_000;
const SECOND_US = 1_000_000;
const HOUR_US = 3_600 * SECOND_US;
const DAY_US = 24 * HOUR_US;
/** A multiple of the number of marks that checks may take. */
function markBase() {
  const marks = 2 ** CHECK_MARK_BITS;
  const most = 2 ** 32 - marks;
  return scalar(`a multiple of ${marks} up to ${most}`, yaml.int(0, most), (base) =>
    base % marks === 0 ? base : undefined,
  );
}

/** A minute for 60 virtual IPs: more would not announce, but hide them. */
const ANNOUNCE_INTERVAL_MAX_US = SECOND_US;

/** The kernel keeps thresholds and weights in signed 32-bit integers. */
const INT_MAX = 2 ** 31 - 1;
const UINT_MAX = 2 ** 32 - 1;
/** The control socket's path must fit in sockaddr_un (108 bytes) with its name behind this. */
const RUNTIME_DIRECTORY_LENGTH_MAX = 80;
export const PASSWORD_LENGTH_MAX = 8;

const FORWARDING = ['nat', 'dr', 'tun'] as const satisfies readonly Forwarding[];
const TUNNEL_CHECKSUM = ['none', 'on', 'remote'] as const satisfies readonly TunnelChecksum[];

/** Whole seconds of a duration text within bounds. */
function wholeSeconds(maxUs: number) {
  const expects = `whole seconds from 1s to ${formatDuration(maxUs)} with a unit (s, m, h or d)`;
  return scalar(expects, yaml.string({ pattern: DURATION_PATTERN }), (text) => {
    const durationUs = parseDuration(text);
    if (durationUs === null || durationUs < SECOND_US || durationUs > maxUs) return undefined;
    return durationUs % SECOND_US === 0 ? durationUs / SECOND_US : undefined;
  });
}

/** A host's address with or without port, made into what the place needs. */
function endpoint<T>(expects: string, make: (endpoint: Endpoint) => T) {
  return scalar(expects, yaml.string(), (value) => {
    const parsed = parseEndpoint(value);
    if (parsed === null) return undefined;
    return isUnicast(parsed.address) ? make(parsed) : new Refusal('expected a unicast address');
  });
}

/** A virtual IP with prefix length, made into what the place needs. */
function prefix<T>(make: (prefix: Prefix) => T) {
  const expects = 'an IP address with prefix length, such as 192.0.2.10/24';
  return scalar(expects, yaml.string(), (value) => {
    const parsed = parsePrefix(value);
    if (parsed === null) return undefined;
    return isUnicast(parsed.address) ? make(parsed) : new Refusal('expected a unicast address');
  });
}

const sourceAddress = () =>
  scalar('an IP address', yaml.string(), (value) => {
    const parsed = parsePrefix(value);
    return parsed === null || value.includes('/') || !isUnicast(parsed.address)
      ? undefined
      : parsed.address;
  });

/** Built once for a director: it costs more than reading a usual file. A process has only one. */
let latest: { readonly director: string; readonly schema: Schema } | null = null;

/** Everything of the language, for one director. */
export function schemaFor(director: string): Schema {
  if (latest?.director !== director) latest = { director, schema: makeSchema(director) };
  return latest.schema;
}

function makeSchema(director: string) {
  const per = <T>(inner: Type<T>) => perDirector(inner, director);
  const vrrp = vrrpSchema(per);
  const checkForm = checkSchema(per);
  const server = serverSchema(per, checkForm);
  const service = serviceSchema(per, checkForm, server);
  const sections = sectionSchemas(per);
  const tracker = trackerSchema(per);
  const bfd = bfdSchema(per);
  const maintenance = ripMaintenanceSchema(per);
  const staticSection = staticSchema(per);
  const named = <T>(type: Type<T>) =>
    names(type, {
      name: yaml.string({ pattern: NAME_PATTERN }),
      expects: 'a name of letters, digits, _ . and -, at most 63',
      takes: 'a mapping from names',
    });
  const root = section(() => ({
    director: option(name(), {
      about:
        'Name of this director, the key of values given per director. The command line’s ' +
        '`--director` has precedence. A file for several directors leaves it out.',
      without: 'the host’s short name',
    }),
    vrrp: option(named(vrrp), {
      about: 'VRRP instances by name: the virtual IPs and how directors elect who has them.',
      without: 'no VRRP instance',
    }),
    groups: option(named(groupSchema(per)), {
      about: 'Sync groups by name: instances that are active together or not at all.',
      without: 'no group',
    }),
    announce_groups: option(named(announceGroupSchema(per)), {
      about: 'Switches by name: interfaces that share the pace of announcements.',
      without: 'every interface has its own pace',
    }),
    trackers: option(named(tracker), {
      about:
        'What instances track, by name: an interface, script, file, process, service or BFD session.',
      without: 'no tracker',
    }),
    bfd: option(named(bfd), {
      about: 'BFD sessions by name: whether a neighbor answers, known within milliseconds.',
      without: 'no BFD session',
    }),
    static: option(staticSection, {
      about: 'Addresses, routes and rules that are there as long as vipkeeper runs.',
      without: 'none',
    }),
    services: option(named(service), {
      about: 'Virtual services by name, with their real servers.',
      without: 'no virtual service',
    }),
    maintenance: option(maintenance, {
      about: 'Windows in which real servers are out for maintenance in all services.',
      without: 'none',
    }),
    ...sections,
  }));
  const servers = per(list(anything()));
  const serviceHead = serviceSchema(per, checkForm, anything());
  return {
    root,
    vrrp,
    tracker,
    group: groupSchema(per),
    announceGroup: announceGroupSchema(per),
    static: staticSection,
    bfd,
    maintenance,
    service: serviceHead,
    servers,
    server,
    ...sections,
  };
}

export type Schema = ReturnType<typeof makeSchema>;
export type RootInput = Output<Schema['root']>;
export type VrrpInput = Output<Schema['vrrp']>;
export type BfdInput = Output<Schema['bfd']>;
export type TrackerInput = Output<Schema['tracker']>;
export type GroupInput = Output<Schema['group']>;
export type AnnounceGroupInput = Output<Schema['announceGroup']>;
export type ServiceInput = Output<Schema['service']>;
export type RipMaintenanceInput = Output<Schema['maintenance']>[number];
export type MaintenanceInput = Omit<RipMaintenanceInput, 'server'>;
export type ServerInput = Output<Schema['server']>;
export type NotifyInput = NonNullable<Output<Schema['notify']>>;
export type MailInput = NonNullable<Output<Schema['mail']>>;
export type CheckInput = NonNullable<ServiceInput['check']>;

type Per = <T>(inner: Type<T>) => Type<T>;

function vrrpSchema(per: Per) {
  const { vrrp } = DEFAULTS;
  const longAddress = section(() => ({
    address: required(per(prefix((address) => address)), 'The virtual IP with its prefix length.'),
    interface: option(per(interfaceName()), {
      about: 'Interface that carries it.',
      without: 'the instance’s interface, or its virtual link',
    }),
    advertised: option(per(truth()), {
      about:
        'List it in advertisements, which hold 255 IPv4 or 90 IPv6 addresses. Those of the other ' +
        'family than the instance’s are never listed.',
      default: true,
    }),
    track: option(per(truth()), {
      about: 'Let the instance be in fault while the interface that carries it is down or missing.',
      default: true,
    }),
    ...addressKeys(per),
  }));
  type Long = Output<typeof longAddress>;
  const shortAddress = prefix((address): Long => ({ address }));
  return section(() => ({
    interface: required(per(interfaceName()), 'Interface that sends and hears advertisements.'),
    vrid: required(per(whole(1, 255)), 'Virtual router identifier, the same on all directors.'),
    priority: option(per(whole(1, 255)), {
      about: 'The highest becomes active. 255 only for the owner of the addresses.',
      default: vrrp.priority,
    }),
    interval: option(per(duration(10 * MS_US, 255 * SECOND_US)), {
      about:
        'Time between advertisements. Version 3: multiples of 10ms up to 40.95s. ' +
        'Version 2: whole seconds up to 255s.',
      default: formatDuration(vrrp.advertIntervalUs),
    }),
    version: option(
      per(
        scalar('2 or 3', yaml.either(yaml.constant(2), yaml.constant(3)), (value): 2 | 3 => value),
      ),
      { about: 'Version of the protocol: RFC 9568 (3) or RFC 3768 (2).', default: vrrp.version },
    ),
    family: option(per(word(['ipv4', 'ipv6'])), {
      about: 'Family of the advertisements. Addresses of the other one are carried all the same.',
      without: 'family of the peers, if any, else of the first address',
    }),
    preempt: option(per(truth()), {
      about: 'Take over from an active director of lower priority.',
      default: vrrp.preempt,
    }),
    preempt_delay: option(per(duration(0, HOUR_US)), {
      about: 'Least time as backup, hearing lower priority, before that takeover.',
      default: formatDuration(vrrp.preemptDelayUs),
    }),
    ...electionOptions(per),
    checksum: option(per(word(['message', 'pseudo-header', 'auto'])), {
      about:
        'Checksum of version 3 over IPv4: over the `message` (RFC 9568), with the ' +
        '`pseudo-header` (RFC 5798, keepalived, FRR), or `auto`, as heard from the peer.',
      default: vrrp.checksum,
    }),
    password: option(per(passwordText()), {
      about: 'Simple text password, version 2 only: it protects from mistakes, not from attacks.',
      without: 'none',
    }),
    hmac: option(hmacSchema(per), {
      about:
        'Authentication by HMAC-SHA256, version 3 only, as keepalived 2.4.2 and later have it.',
      without: 'no authentication',
    }),
    source: option(per(sourceAddress()), {
      about: 'Source address of advertisements.',
      without:
        'the interface’s primary (IPv6: link-local) address; with `peers`, one of their network ' +
        'if it has one',
    }),
    ...reachOptions(per),
    ...linkOptions(per),
    addresses: required(
      per(list(shortOrLong(shortAddress, longAddress), 1)),
      'Virtual IPs: `192.0.2.10/24`, or a mapping to choose another interface.',
    ),
    routes: option(list(routeSchema(per)), {
      about: 'Routes that are there while it is active.',
      without: 'none',
    }),
    rules: option(list(ruleSchema(per)), {
      about: 'Rules of policy routing that are there while it is active.',
      without: 'none',
    }),
    track: option(per(list(trackSchema(per))), {
      about:
        'Trackers that change its priority or forbid it to take part: a name, or a mapping with ' +
        'the weight.',
      without: 'none',
    }),
    promote_secondaries: option(per(truth()), {
      about:
        'Set net.ipv4.conf.*.promote_secondaries on the interfaces of its IPv4 addresses: when the ' +
        'first address of a network goes, the kernel keeps the others. Put back when not needed.',
      default: DEFAULTS.vrrp.promoteSecondaries,
    }),
    track_interface: option(per(truth()), {
      about:
        'In fault while its interface is down or has no carrier. Without it, it goes on as if ' +
        'nobody else was there; an interface that does not exist is a fault all the same.',
      default: DEFAULTS.vrrp.trackInterface,
    }),
    notify: option(instanceNotifySchema(per), {
      about: 'Who is told when it changes its state.',
      without: 'nobody, but for the FIFO',
    }),
    announce: option(announceSchema(per), {
      about: 'Gratuitous ARP and unsolicited neighbour advertisements.',
      without: 'its defaults',
    }),
  }));
}

function trackSchema(per: Per) {
  const long = section(() => ({
    tracker: required(per(name()), 'Name of the tracker.'),
    weight: option(per(whole(-253, 253)), {
      about:
        'Above 0: added to the priority while up. Below 0: subtracted while down. ' +
        '0: the instance is in fault while down. A file’s number is multiplied by it.',
      default: 0,
    }),
    reverse: option(per(truth()), { about: 'Swap up and down.', default: false }),
  }));
  type Long = Output<typeof long>;
  const expects = 'the name of a tracker, or a mapping';
  const short = scalar(
    expects,
    yaml.string({ pattern: NAME_PATTERN }),
    (tracker): Long => ({ tracker }),
  );
  return shortOrLong(short, long);
}

function groupSchema(per: Per) {
  return section(() => ({
    instances: required(per(list(name(), 1)), 'Names of the VRRP instances in it.'),
    track: option(per(list(trackSchema(per))), {
      about: 'Trackers of all of its instances, beside their own.',
      without: 'none',
    }),
    notify: option(groupNotifySchema(per), {
      about: 'Who is told when all of its instances have come to the same state.',
      without: 'nobody, but for the FIFO',
    }),
  }));
}

/** What a tracked file may hold: nine digits. */
const FILE_NUMBER_MAX = 999_999_999;

/** A name without a slash, or a whole path. */
function isProgram(value: string): boolean {
  return !value.includes('\0') && (!value.includes('/') || /^\/.*[^/]$/.test(value));
}

/** A tracker: exactly one of interface, script, file, process, service and bfd. */
function trackerSchema(per: Per) {
  const { tracker } = DEFAULTS;
  return section(() => ({
    interface: option(per(interfaceName()), {
      about: 'Up while this interface has carrier.',
      without: 'another kind must be given',
    }),
    script: option(per(command()), {
      about: 'Command, up while it ends with 0; a program by its absolute path, without a shell.',
      without: 'another kind must be given',
    }),
    file: option(per(path('an absolute path')), {
      about: 'File with a number; without it, or empty, 0.',
      without: 'another kind must be given',
    }),
    process: option(per(text('the name of a program, or an absolute path', isProgram)), {
      about: 'Up while enough processes of this name, or of the program with this path, run.',
      without: 'another kind must be given',
    }),
    service: option(per(name()), {
      about: 'Up while the healthy servers of this virtual service reach the quorum by weight.',
      without: 'another kind must be given',
    }),
    bfd: option(per(name()), {
      about: 'Up while this BFD session is up.',
      without: 'another kind must be given',
    }),
    quorum: option(per(whole(1, INT_MAX)), {
      about: 'With `process`: least number. With `service`: least sum of weights.',
      default: tracker.service.quorum,
    }),
    interval: option(per(duration(10 * MS_US, HOUR_US)), {
      about:
        'With `script`, `file` and `process`: how often it is looked at. Changes of files and ' +
        'processes are told by the kernel where it can, and seen at once.',
      default: formatDuration(tracker.script.intervalUs),
    }),
    timeout: option(per(duration(10 * MS_US, HOUR_US)), {
      about: 'With `script`: longest run; one that takes longer is ended, and has failed.',
      default: formatDuration(tracker.script.timeoutUs),
    }),
    rise: option(per(whole(1, 100)), {
      about: 'With `script`: successes in a row that mean up.',
      default: tracker.script.rise,
    }),
    fall: option(per(whole(1, 100)), {
      about: 'With `script`: failures in a row that mean down.',
      default: tracker.script.fall,
    }),
    init_fail: option(per(truth()), {
      about: 'With `script`: down until it has succeeded `rise` times, not up until it has failed.',
      default: tracker.script.initFail,
    }),
    user: option(per(userName()), {
      about: 'With `script`: user that it runs as.',
      without: 'that of `notify.user`',
    }),
    group: option(per(groupName()), {
      about: 'With `script`: group that it runs as.',
      without: 'the user’s; that of `notify.group` without a user',
    }),
    init: option(per(whole(-FILE_NUMBER_MAX, FILE_NUMBER_MAX)), {
      about: 'With `file`: number that is written into it when vipkeeper starts, if there is none.',
      without: 'nothing is written',
    }),
    overwrite: option(per(truth()), {
      about: 'With `init`: write it at every start, also into a file that exists.',
      default: tracker.file.overwrite,
    }),
    arguments: option(per(list(text('an argument', () => true))), {
      about: 'With `process`: arguments that it must have.',
      without: 'any',
    }),
    arguments_match: option(per(word(['exact', 'initial', 'partial'])), {
      about:
        'With `arguments`: all there are (`exact`), the first ones (`initial`), or the first ' +
        'ones of which the last may go on (`partial`).',
      default: tracker.process.argumentsMatch,
    }),
    quorum_max: option(per(whole(1, INT_MAX)), {
      about: 'With `process`: greatest number.',
      without: 'any',
    }),
    down_delay: option(per(duration(0, HOUR_US)), {
      about: 'With `interface` and `process`: how long it must be down before that counts.',
      default: formatDuration(tracker.interface.downDelayUs),
    }),
    up_delay: option(per(duration(0, HOUR_US)), {
      about: 'With `interface` and `process`: how long it must be up again before that counts.',
      default: formatDuration(tracker.interface.upDelayUs),
    }),
  }));
}

/** Key ids are a byte, and 0 is none. */
const KEY_ID_PATTERN = /^(?:[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])$/;
/** keepalived's bounds of the window. */
const WINDOW_MAX_US = 300 * SECOND_US;

function hmacSchema(per: Per) {
  const { hmac } = DEFAULTS.vrrp;
  const keys = names(per(hmacKey()), {
    name: yaml.string({ pattern: KEY_ID_PATTERN }),
    expects: 'a key number from 1 to 255',
    takes: 'a mapping from key numbers',
  });
  return section(() => ({
    keys: required(
      keys,
      'Keys by number, 1 to 255; all are accepted: `hex:` and digits, `file:` and the path of a ' +
        'file with the key, or the key itself.',
    ),
    active_key: required(per(whole(1, 255)), 'Number of the key that signs.'),
    mode: option(per(word(['enforce', 'permissive', 'receive-only'])), {
      about:
        '`enforce` refuses unsigned advertisements; `permissive` takes them too; ' +
        '`receive-only` does, and does not sign.',
      default: hmac.mode,
    }),
    replay: option(per(word(['time', 'monotonic', 'off'])), {
      about:
        'Protection from repeated advertisements: by the clocks and the order of each sender ' +
        '(`time`), by the order alone (`monotonic`), or none.',
      default: hmac.replay,
    }),
    window: option(per(wholeSeconds(WINDOW_MAX_US)), {
      about: 'With replay `time`: most that the clocks of two directors may differ.',
      without: 'three intervals, at least 5s',
    }),
  }));
}

/** The key in hexadecimal digits. */
function hmacKey() {
  const expects = 'a key of 32 to 64 bytes: hex:DIGITS, file:/PATH or text';
  return scalar(expects, yaml.string({ min: 1, max: TEXT_LENGTH_MAX }), (value) => {
    const key = readHmacKey(value);
    return key.ok ? key.value : new Refusal(key.error);
  });
}

/** Bounds of the intervals while a session is up: a turn of the event loop, and patience. */
const BFD_INTERVAL_MIN_US = MS_US;
const BFD_INTERVAL_MAX_US = 60 * SECOND_US;

function bfdSchema(per: Per) {
  const { bfd } = DEFAULTS;
  const interval = () => per(duration(BFD_INTERVAL_MIN_US, BFD_INTERVAL_MAX_US));
  return section(() => ({
    neighbor: required(per(sourceAddress()), 'Address of the remote system.'),
    source: option(per(sourceAddress()), {
      about: 'Own address: packets are sent from it, and taken only if sent to it.',
      without: 'the address that the route to the neighbor prefers',
    }),
    interface: option(per(interfaceName()), {
      about: 'Interface that packets are sent through, and that they must come from.',
      without: 'any',
    }),
    min_rx: option(interval(), {
      about: 'Least interval at which the neighbor may send.',
      default: formatDuration(bfd.minRxUs),
    }),
    min_tx: option(interval(), {
      about: 'Least interval at which we send. The greater of it and the neighbor’s min_rx counts.',
      default: formatDuration(bfd.minTxUs),
    }),
    idle_tx: option(per(duration(SECOND_US, BFD_INTERVAL_MAX_US)), {
      about: 'The same while the session is not up.',
      default: formatDuration(bfd.idleTxUs),
    }),
    multiplier: option(per(whole(1, 255)), {
      about: 'Packets in a row that the neighbor may miss before it takes us for dead.',
      default: bfd.multiplier,
    }),
    passive: option(per(truth()), {
      about: 'Do not send before the neighbor was heard.',
      default: bfd.passive,
    }),
    multihop: option(per(truth()), {
      about: 'The neighbor is behind routers: RFC 5883 (port 4784), not RFC 5881 (port 3784).',
      default: bfd.multihop,
    }),
    ttl: option(per(whole(1, 255)), {
      about: 'TTL or hop limit of what is sent.',
      default: bfd.ttl,
    }),
    max_hops: option(per(whole(0, 255)), {
      about: 'How much lower than `ttl` it may be in what is received; 255 for any.',
      without: `${bfd.maxHops}, ${bfd.maxHopsMultihop} with multihop`,
    }),
  }));
}

function passwordText() {
  const expects = `text of 1 to ${PASSWORD_LENGTH_MAX} bytes, digits in quotes`;
  return text(expects, (value) => {
    const { length } = new TextEncoder().encode(value);
    if (length <= PASSWORD_LENGTH_MAX) return true;
    return new Refusal(`expected ${expects}, not ${length} bytes (keepalived cuts the rest off)`);
  });
}

function announceSchema(per: Per) {
  const { announce } = DEFAULTS.vrrp;
  return section(() => ({
    repeat: option(per(whole(1, 100)), {
      about: 'Packets per virtual IP in each burst.',
      default: announce.repeat,
    }),
    delay: option(per(duration(0, HOUR_US)), {
      about: 'Delay of the second burst after the first, `0s` for none.',
      default: formatDuration(announce.delayUs),
    }),
    refresh: option(per(duration(0, DAY_US)), {
      about: 'Interval of announcements while active, `0s` for none.',
      default: formatDuration(announce.refreshUs),
    }),
    refresh_repeat: option(per(whole(1, 100)), {
      about: 'Packets per virtual IP in those.',
      default: announce.refreshRepeat,
    }),
    extra_interface_refresh: option(per(duration(0, DAY_US)), {
      about:
        'Interval of one packet on each interface of its addresses other than the instance’s, ' +
        'where no advertisement keeps switches informed; `0s` for none.',
      default: formatDuration(announce.extraInterfaceRefreshUs),
    }),
    lower_priority_repeat: option(per(whole(0, 100)), {
      about: 'Packets per virtual IP in bursts that a losing peer causes, `0` for no such burst.',
      without: 'as `repeat`',
    }),
    lower_priority_delay: option(per(duration(0, HOUR_US)), {
      about:
        'Least time between bursts that advertisements of a losing peer cause, and delay of the ' +
        'second one.',
      default: formatDuration(announce.lowerPriorityDelayUs),
    }),
    interval: option(per(duration(0, ANNOUNCE_INTERVAL_MAX_US)), {
      about: 'Least time between two gratuitous ARP on one interface, `0s` for back to back.',
      default: formatDuration(announce.intervalUs),
    }),
    na_interval: option(per(duration(0, ANNOUNCE_INTERVAL_MAX_US)), {
      about: 'The same for unsolicited neighbour advertisements.',
      without: 'as `interval`',
    }),
  }));
}

function announceGroupSchema(per: Per) {
  const interval = () => per(duration(0, ANNOUNCE_INTERVAL_MAX_US));
  return section(() => ({
    interfaces: required(per(list(interfaceName(), 1)), 'Interfaces on this switch.'),
    interval: required(
      interval(),
      'Least time between two gratuitous ARP on all of them, in place of `announce.interval`.',
    ),
    na_interval: option(interval(), {
      about: 'The same for unsolicited neighbour advertisements.',
      without: 'as `interval`',
    }),
  }));
}

function tunnelSchema(per: Per) {
  const { gue, gre } = DEFAULTS;
  const long = section(() => ({
    gue: option(
      section(() => ({
        port: option(per(whole(1, 65535)), { about: 'UDP port.', default: gue.port }),
        checksum: option(per(word(TUNNEL_CHECKSUM)), {
          about: 'UDP checksum of the outer packet; `remote` offloads the inner one.',
          default: gue.checksum,
        }),
      })),
      { about: 'Generic UDP encapsulation.', without: 'no such tunnel' },
    ),
    gre: option(
      section(() => ({
        checksum: option(per(word(['none', 'on'])), {
          about: 'Checksum of the GRE header.',
          default: gre.checksum,
        }),
      })),
      { about: 'Generic routing encapsulation.', without: 'no such tunnel' },
    ),
  }));
  type Long = Output<typeof long>;
  const short = scalar(
    'ipip, gue, gre or a mapping',
    yaml.words(['ipip', 'gue', 'gre']),
    (kind): Long => (kind === 'ipip' ? {} : { [kind]: {} }),
  );
  return shortOrLong(short, long);
}

function serverSchema<C>(per: Per, check: Type<C>) {
  const { server } = DEFAULTS;
  const expects = 'an IP address with or without port, such as 10.0.0.11:8080';
  const threshold = () => per(whole(0, INT_MAX));
  const long = section(() => ({
    address: required(
      per(endpoint(expects, (address) => address)),
      'Address and port: `10.0.0.11:8080`, `[2001:db8::11]:8080`. Without port it is the ' +
        'service’s, in each of its entries; forwarding `dr` and `tun` allow no other.',
    ),
    weight: option(per(whole(0, 65535)), {
      about: 'Share of new connections; 0 for none.',
      default: server.weight,
    }),
    upper_threshold: option(threshold(), {
      about: 'Connections at which no new ones are sent to it; 0 for no limit.',
      default: server.upperThreshold,
    }),
    lower_threshold: option(threshold(), {
      about: 'Connections below which it is used again; 0 for three quarters of the upper one.',
      default: server.lowerThreshold,
    }),
    forwarding: option(per(word(FORWARDING)), {
      about: 'How packets reach this server.',
      without: 'the service’s',
    }),
    tunnel: option(tunnelSchema(per), {
      about: 'Encapsulation with forwarding `tun`.',
      without: 'the service’s',
    }),
    check: option(check, {
      about: 'This server’s own check; what it leaves out is taken from the service’s.',
      without: 'the service’s',
    }),
    maintenance: option(maintenanceSchema(per, false), {
      about: 'Windows in which it is out for maintenance.',
      without: 'none',
    }),
  }));
  type Long = Output<typeof long>;
  const short = endpoint(expects, (address): Long => ({ address }));
  return shortOrLong(short, long);
}

function serviceSchema<C, S>(per: Per, check: Type<C>, server: Type<S>) {
  const { service } = DEFAULTS;
  return section(() => ({
    ...identityFields(per),
    scheduler: option(per(word(SCHEDULERS)), {
      about: 'How the kernel chooses a server for a new connection.',
      default: service.scheduler,
    }),
    scheduler_flags: option(per(list(word(SCHEDULER_FLAGS))), {
      about: 'Flags of the scheduler: `sh-…` for sh, `mh-…` for mh.',
      default: [],
    }),
    forwarding: option(per(word(FORWARDING)), {
      about: 'How packets reach the servers: `nat`, `dr` (direct routing) or `tun` (tunnel).',
      default: service.forwarding,
    }),
    tunnel: option(tunnelSchema(per), {
      about: 'Encapsulation with forwarding `tun`: `ipip`, `gue` or `gre`, or a mapping.',
      default: service.tunnel.kind,
    }),
    persistence: option(persistenceSchema(per), {
      about: 'Send a client to the same server for this time after its last connection.',
      default: 'none',
    }),
    persistence_engine: option(per(word(['none', 'sip'])), {
      about: 'What a client is told by instead of its address: `sip` for the Call-ID.',
      default: 'none',
    }),
    one_packet: option(per(truth()), {
      about: 'Schedule every UDP packet on its own.',
      default: service.onePacket,
    }),
    on_failure: option(per(word(['quiesce', 'remove'])), {
      about: 'A server that fails its check gets weight 0 (`quiesce`), or is deleted (`remove`).',
      default: service.onFailure,
    }),
    check: option(check, {
      about: 'How the servers are checked: `none`, a word such as `tcp`, or a mapping.',
      without: '`tcp` for TCP services, `none` for others',
    }),
    quorum: option(per(whole(1, INT_MAX)), {
      about: 'Least sum of the weights of healthy servers. Below it, `below_quorum` happens.',
      default: service.quorum.weight,
    }),
    hysteresis: option(per(whole(0, INT_MAX)), {
      about:
        'The quorum is lost below `quorum` less this, and met again at `quorum` plus this: ' +
        'a flapping server changes nothing.',
      default: service.quorum.hysteresis,
    }),
    below_quorum: option(per(word(['serve', 'sorry', 'keep-last', 'drop'])), {
      about:
        'Below quorum the healthy servers go on (`serve`), the sorry servers take over (`sorry`), ' +
        'those that served last go on, failed or not (`keep-last`), or nobody does (`drop`).',
      without: '`sorry` with `sorry_servers`, else `serve`',
    }),
    min_healthy: option(per(percent()), {
      about:
        'Share of the servers that checks never take out, by a failure or by asking for weight 0: if ' +
        'more do, those that failed last stay in. It protects from a check that is wrong, not from ' +
        'servers that are down. `below_quorum` goes before it: where sorry servers can serve, or ' +
        'with `drop`, nobody is kept in below the quorum.',
      default: `${service.minHealthyPercent}%`,
    }),
    slow_start: option(per(duration(0, HOUR_US)), {
      about:
        'How long the weight of a server that came back rises to its full value, in at most 20 ' +
        'steps; it needs weights above 1. It came back from a failure, or because an operator, a ' +
        'window or a passive hint had taken it out. A server that had clients all the time does ' +
        'not start anew; a restart of vipkeeper goes on where it was.',
      default: formatDuration(service.slowStartUs),
    }),
    follow: option(per(name()), {
      about:
        'VRRP instance that the service goes with, for `only_on_active` and `check_when`; a ' +
        'service with `fwmark` must name it if there are several.',
      without: 'of each address, the instance that carries it',
    }),
    only_on_active: option(per(truth()), {
      about:
        'The service is in the table only while that instance is active here; of a service with ' +
        'several addresses, each with the instance that carries it. Without it, a ' +
        'backup has the table ready.',
      without: '`ipvs.only_on_active`',
    }),
    check_when: option(per(word(['always', 'active'])), {
      about:
        'Check the servers `always`, or only while that instance is `active` here; meanwhile ' +
        'they keep their weights.',
      default: service.checkWhen,
    }),
    passive: option(passiveSchema(per), {
      about:
        'What is done when the kernel’s counters say that a server accepts no connection although ' +
        'it passes its checks: nothing (`off`), it is told (`warn`), or it gets weight 0 for a ' +
        'while too (`quiesce`), as far as the quorum and `min_healthy` allow. Only of TCP.',
      default: DEFAULTS.passive.action,
    }),
    notify: option(serviceNotifySchema(per), {
      about:
        'Telling other programs when it loses its quorum or has it again, and when its servers ' +
        'fail or recover; what the checks say first after a start is told as well.',
      without: 'nobody is told',
    }),
    on_remove: option(per(word(['drain', 'delete'])), {
      about:
        'A server that is taken out of this file gets weight 0 and is deleted when its last ' +
        'connection has ended (`drain`), or is deleted at once.',
      without: '`ipvs.on_remove`',
    }),
    drain_timeout: option(per(duration(SECOND_US, 31 * DAY_US)), {
      about: 'How long its connections may take to end.',
      without: '`ipvs.drain_timeout`',
    }),
    maintenance: option(maintenanceSchema(per, true), {
      about: 'Windows in which all of its servers are out; `below_quorum` says what clients get.',
      without: 'none',
    }),
    sorry_servers: option(per(list(server)), {
      about: 'Servers for the time below quorum, written and checked as `servers` are.',
      without: 'none',
    }),
    servers: required(per(list(server)), 'Real servers: `10.0.0.11:8080`, or a mapping.'),
  }));
}

function passiveSchema(per: Per) {
  const { passive } = DEFAULTS;
  const action = () => word(['off', 'warn', 'quiesce']);
  return shortOrLong(
    action(),
    section(() => ({
      action: option(per(action()), { about: 'The same as the short form.', default: 'warn' }),
      window: option(per(duration(10 * SECOND_US, 60 * SECOND_US)), {
        about: 'How long a server must have accepted nothing; three comparisons of the table.',
        default: formatDuration(passive.windowUs),
      }),
      retry: option(per(duration(10 * SECOND_US, HOUR_US)), {
        about: 'With `quiesce`: after which time it is tried again.',
        default: formatDuration(passive.retryUs),
      }),
    })),
  );
}

function percent() {
  const expects = 'a share from 0% to 100%';
  return scalar(expects, yaml.string({ pattern: /^\d{1,3}%$/ }), (value) => {
    const share = Number.parseInt(value, 10);
    return share <= 100 ? share : undefined;
  });
}

function identityFields(per: Per) {
  const { service } = DEFAULTS;
  return {
    address: option(per(oneOrList(serviceAddresses())), {
      about:
        'Virtual IP and port; port 0 means all ports, with persistence only. Ranges ' +
        '(`192.0.2.10-20:80`), networks (`192.0.2.0/28:80`), several ports (`192.0.2.10:80,443`) ' +
        'and lists of all that make one service of up to 4096 kernel entries, with one set of ' +
        'checks and one quorum.',
      without: '`fwmark` must be given',
    }),
    fwmark: option(per(oneOrList(whole(1, UINT_MAX))), {
      about: 'Firewall mark of the packets, or several; instead of an address, or beside it.',
      without: '`address` must be given',
    }),
    family: option(per(word(['ipv4', 'ipv6', 'both'])), {
      about: 'Family of the packets; only with `fwmark`. `both` makes an entry for each.',
      without: service.fwmarkFamily,
    }),
    protocol: option(per(word(['tcp', 'udp', 'sctp'])), {
      about: 'Protocol; only with `address`.',
      default: service.protocol,
    }),
  };
}

function serviceAddresses() {
  return scalar(
    'an IP address with port, such as 192.0.2.10:80 or 192.0.2.10-20:80,443',
    yaml.string(),
    (value) => {
      const parsed = parseAddressSet(value);
      return parsed.ok ? parsed.value : new Refusal(parsed.error);
    },
  );
}

/** ipvsadm's bound: 31 days. */
const PERSISTENCE_MAX_US = 31 * DAY_US;

function persistenceSchema(per: Per) {
  const long = section(() => ({
    timeout: required(
      per(wholeSeconds(PERSISTENCE_MAX_US)),
      'Time after the last connection, in whole seconds.',
    ),
    prefix: option(per(whole(1, 128)), {
      about: 'Prefix length of client addresses that stay together; not with both families.',
      without: '32 for IPv4, 128 for IPv6',
    }),
  }));
  type Long = Output<typeof long>;
  const seconds = wholeSeconds(PERSISTENCE_MAX_US);
  const input = yaml.either(yaml.constant('none'), yaml.string({ pattern: DURATION_PATTERN }));
  const expects = 'none, whole seconds from 1s to 31d with a unit (s, m, h or d), or a mapping';
  const short = scalar(expects, input, (value): Long | 'none' | undefined => {
    if (value === 'none') return 'none';
    const parsed = readAs(seconds, value);
    return parsed.ok ? { timeout: parsed.value } : undefined;
  });
  return shortOrLong(short, long);
}

function sectionSchemas(per: Per) {
  const { ipvs, listen, keeper, log } = DEFAULTS;
  const listenLong = section(() => ({
    listen: option(per(listenEndpoint()), {
      about: 'Address and port.',
      default: `${listen.host}:${listen.port}`,
    }),
  }));
  const off = scalar('off or a mapping', yaml.constant('off'), (value) => value);
  return {
    sync: option(syncSchema(per), {
      about: 'The kernel’s connection sync: the active director sends, the others receive.',
      without: 'no connection sync',
    }),
    ...notifySections(per, duration),
    ipvs: option(
      section(() => ({
        reconcile_interval: option(per(duration(100 * MS_US, HOUR_US)), {
          about: 'How often the kernel’s table is compared with the configuration and repaired.',
          default: formatDuration(ipvs.reconcileIntervalUs),
        }),
        ownership: option(per(word(['shared', 'exclusive'])), {
          about: 'Foreign entries stay (`shared`) or are deleted (`exclusive`).',
          default: ipvs.ownership,
        }),
        on_stop: option(per(word(['keep', 'remove'])), {
          about:
            'What happens to our entries at a stop. `keep` lets connections finish and makes a ' +
            'restart hitless; the virtual IPs leave in any case.',
          default: ipvs.onStop,
        }),
        only_on_active: option(per(truth()), {
          about:
            'Services are in the table only while the VRRP instance that carries their address ' +
            'is active here, unless they say otherwise.',
          default: ipvs.onlyOnActive,
        }),
        on_remove: option(per(word(['drain', 'delete'])), {
          about:
            'What happens to servers that are taken out of this file, unless their service says ' +
            'otherwise, and to all of a service that is taken out: weight 0 until the last ' +
            'connection has ended (`drain`), or deleted at once.',
          default: ipvs.onRemove,
        }),
        drain_timeout: option(per(duration(SECOND_US, 31 * DAY_US)), {
          about: 'How long their connections may take to end.',
          default: formatDuration(ipvs.drainTimeoutUs),
        }),
        check_mark_base: option(per(markBase()), {
          about:
            'First of 1048576 firewall marks, of which checks with `through_vip` take some: packets ' +
            'of theirs carry them, and services by them carry these packets to one server each.',
          default: ipvs.checkMarkBase,
        }),
        ...ipvsSettingOptions(per, wholeSeconds),
      })),
      { about: 'The kernel’s IPVS table.', without: 'its defaults' },
    ),
    http: option(shortOrLong(off, listenLong), {
      about: 'Metrics and API; `off` for none.',
      without: 'its defaults',
    }),
    conflict_check: option(per(conflictCheck()), {
      about:
        'How often other machines are asked whether they have an address of this director: the ' +
        'source addresses of advertisements, and the virtual IPs that are active here. `off` ' +
        'for never.',
      default: formatDuration(DEFAULTS.conflictCheckUs),
    }),
    runtime_directory: option(per(runtimeDirectory()), {
      about: 'Directory of the control socket and of state that outlives a restart.',
      default: DEFAULTS.runtimeDirectory,
    }),
    keeper: option(
      section(() => ({
        scheduling: option(per(word(['realtime', 'normal'])), {
          about: 'Scheduling of the process that sends advertisements.',
          default: keeper.scheduling,
        }),
        hold: option(per(duration(SECOND_US, DAY_US)), {
          about: 'How long it stays active without a controller that can be started.',
          default: formatDuration(keeper.holdUs),
        }),
        dynamic_interfaces: option(per(truth()), {
          about:
            'Start also while interfaces of instances do not exist: these are in fault until ' +
            'they do. Without it, that is an error at the start.',
          default: keeper.dynamicInterfaces,
        }),
        startup_delay: option(per(duration(0, HOUR_US)), {
          about:
            'How long instances take no part after vipkeeper was started: what they hear is ' +
            'dropped, nothing is sent. Virtual IPs that are adopted are kept.',
          default: formatDuration(keeper.startupDelayUs),
        }),
        delay_after_boot: option(per(duration(0, HOUR_US)), {
          about: 'The same, counted from the boot of the machine; the later end of both counts.',
          default: formatDuration(keeper.delayAfterBootUs),
        }),
      })),
      { about: 'The process that holds the virtual IPs.', without: 'its defaults' },
    ),
    log: option(
      section(() => ({
        level: option(per(word(['debug', 'info', 'warn', 'error'])), {
          about:
            'Least severity that is logged. Of many lines at once, such as 1,000 servers that come up, those after the first 20 of a kind are debug, and counted.',
          default: log.level,
        }),
        format: option(per(word(['auto', 'json', 'pretty'])), {
          about: 'Form of a line; `auto`: pretty on a terminal, else JSON.',
          default: log.format,
        }),
      })),
      { about: 'Logging.', without: 'its defaults' },
    ),
  };
}

function syncSchema(per: Per) {
  return section(() => ({
    interface: required(per(interfaceName()), 'Interface of the multicast.'),
    id: option(per(whole(0, 255)), {
      about: 'Identifier, the same on all directors; a receiver with 0 accepts every one.',
      without: 'the VRID of the followed instance',
    }),
    follow: option(per(name()), {
      about: 'VRRP instance whose state decides who sends.',
      without: 'the only VRRP instance',
    }),
  }));
}

function conflictCheck() {
  const [minUs, maxUs] = [10 * SECOND_US, DAY_US];
  const range = `from ${formatDuration(minUs)} to ${formatDuration(maxUs)}`;
  const input = yaml.either(yaml.constant('off'), yaml.string({ pattern: DURATION_PATTERN }));
  return scalar(
    `off or a duration ${range} with its unit`,
    input,
    (value): number | null | undefined => {
      if (value === 'off') return null;
      const durationUs = parseDuration(value);
      const fits = durationUs !== null && durationUs >= minUs && durationUs <= maxUs;
      return fits ? durationUs : undefined;
    },
  );
}

function listenEndpoint() {
  const expects = 'an IP address with port, such as 127.0.0.1:9112';
  return scalar(expects, yaml.string(), (value) => {
    const parsed = parseEndpoint(value);
    if (parsed === null || parsed.port === null || parsed.port === 0) return undefined;
    return { host: parsed.address, port: parsed.port };
  });
}

function runtimeDirectory() {
  const expects = `an absolute path without .., at most ${RUNTIME_DIRECTORY_LENGTH_MAX} bytes`;
  return text(expects, (value) => {
    const lengthBytes = new TextEncoder().encode(value).length;
    const parts = value.split('/');
    return (
      value.startsWith('/') && !parts.includes('..') && lengthBytes <= RUNTIME_DIRECTORY_LENGTH_MAX
    );
  });
}

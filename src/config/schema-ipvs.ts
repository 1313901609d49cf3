/**
 * The part of the configuration language that sets the kernel's own options of IPVS: timeouts of
 * connections and net.ipv4.vs.*. A value becomes the text that the kernel takes, within the
 * bounds that it has (ip_vs_set_timeout and vs_vars in net/netfilter/ipvs/ip_vs_ctl.c).
 * Nothing has a default: what is left out stays as the kernel has it.
 */
import type { IpvsConfig } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { IPVS_SETTING_NAMES, type IpvsSettingName } from '../core/config/ipvs-settings.ts';
import {
  type Optional,
  type Output,
  option,
  Refusal,
  scalar,
  section,
  type Type,
} from './forms.ts';
import { DURATION_PATTERN, parseDuration } from './values.ts';
import * as yaml from './yaml-values.ts';

type Per = <T>(inner: Type<T>) => Type<T>;
type Text = Type<string>;

const SECOND_US = 1_000_000;
/** The kernel's bound is INT_MAX / HZ, and HZ at most 1000: 24.8 days. */
const TIMEOUT_MAX_US = 24 * 86_400 * SECOND_US;
const INT_MAX = 2 ** 31 - 1;

const onOff = (): Text => scalar('true or false', yaml.boolean(), (value) => (value ? '1' : '0'));

const number = (min: number, max: number): Text =>
  scalar(`a whole number from ${min} to ${max}`, yaml.int(min, max), String);

const seconds = (): Text =>
  scalar(
    'whole seconds from 0s to 1d with a unit (s, m, h or d)',
    yaml.string({ pattern: DURATION_PATTERN }),
    (text) => {
      const durationUs = parseDuration(text);
      if (durationUs === null || durationUs > 86_400 * SECOND_US) return undefined;
      return durationUs % SECOND_US === 0 ? String(durationUs / SECOND_US) : undefined;
    },
  );

const threshold = (): Text =>
  scalar(
    'two whole numbers, [threshold, period]',
    yaml.listOf(yaml.int(0, INT_MAX), 2, 2),
    ([first = 0, period = 0]) =>
      period === 0 || first < period
        ? `${first} ${period}`
        : new Refusal('expected a threshold below the period, or period 0'),
  );

const ports = (): Text =>
  scalar('1, 2, 4, 8, 16, 32 or 64', yaml.int(1, 64), (count) =>
    (count & (count - 1)) === 0 ? String(count) : undefined,
  );

const processors = (): Text =>
  scalar(
    'processors, such as 0-1,4',
    yaml.string({ pattern: /^\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*$/ }),
    (list) =>
      list.split(',').every((part) => {
        const [first, last = first] = part.split('-').map(Number);
        return (first ?? 0) <= (last ?? 0);
      })
        ? list
        : undefined,
  );

const defense = () => number(0, 3);

/** What each takes, and one sentence on what it does. */
const SETTINGS: Readonly<Record<IpvsSettingName, readonly [type: () => Text, about: string]>> = {
  am_droprate: [() => number(1, INT_MAX), 'With `drop_packet: 3`: drop one packet in so many.'],
  amemthresh: [
    () => number(0, INT_MAX),
    'Free memory in pages below which the defenses in mode 1 begin.',
  ],
  backup_only: [onOff, 'Do not forward for IPVS while the receiving sync daemon runs.'],
  cache_bypass: [
    onOff,
    'Send a client to its original destination when a cache service has no server.',
  ],
  conn_reuse_mode: [
    () => number(0, 2),
    'A new connection from a port in use: 0 goes to the old server, 1 is scheduled anew when ' +
      'that is safe, 2 also in FIN_WAIT.',
  ],
  conntrack: [onOff, 'Keep the netfilter conntrack entries of forwarded connections.'],
  drop_entry: [
    defense,
    'Drop random connection entries: 0 never, 1 when memory is short, 3 always.',
  ],
  drop_packet: [
    defense,
    'Drop packets of new connections: 0 never, 1 when memory is short, 3 always.',
  ],
  est_cpulist: [processors, 'Processors that the kernel’s rate estimation may use.'],
  est_nice: [() => number(-20, 19), 'Nice value of the kernel’s rate estimation.'],
  expire_nodest_conn: [onOff, 'End a connection at once when its server has gone from the table.'],
  expire_quiescent_template: [
    onOff,
    'Persistent clients leave a server as soon as its weight is 0.',
  ],
  ignore_tunneled: [onOff, 'Do not schedule packets of tunnels that came in for IPVS.'],
  nat_icmp_send: [
    onOff,
    'Answer with ICMP when a server speaks of a connection that is not known.',
  ],
  pmtu_disc: [onOff, 'Tell clients of packets that are too large for a tunnel.'],
  run_estimation: [onOff, 'Keep the rates of services and servers.'],
  schedule_icmp: [onOff, 'Schedule ICMP that belongs to no connection.'],
  secure_tcp: [defense, 'Shorter TCP timeouts: 0 never, 1 when memory is short, 3 always.'],
  sloppy_sctp: [onOff, 'Any packet begins an SCTP connection, not only INIT.'],
  sloppy_tcp: [onOff, 'Any packet begins a TCP connection, not only SYN.'],
  snat_reroute: [onOff, 'Look up the route of NAT answers anew, by their new source.'],
  sync_persist_mode: [onOff, 'Of persistent services, sync the templates alone.'],
  sync_ports: [ports, 'Threads and UDP ports of the sync daemon; the same on all directors.'],
  sync_qlen_max: [() => number(1, INT_MAX), 'Sync messages that may wait to be sent.'],
  sync_refresh_period: [
    seconds,
    'Send a connection again only when its timer differs by this; 0s for by `sync_threshold`.',
  ],
  sync_retries: [
    () => number(0, 3),
    'How often a message is sent again, an eighth of `sync_refresh_period` apart.',
  ],
  sync_sock_size: [
    () => number(0, INT_MAX),
    'Socket buffer of the sync daemon in bytes; 0 for the system’s.',
  ],
  sync_threshold: [
    threshold,
    'A connection is synced at its packet number `threshold` of every `period` packets.',
  ],
};

type WholeSeconds = (maxUs: number) => Type<number>;

/** The keys `timeouts` and `settings` of `ipvs`. */
export function ipvsSettingOptions(per: Per, wholeSeconds: WholeSeconds) {
  const timeout = (about: string) =>
    option(per(wholeSeconds(TIMEOUT_MAX_US)), { about, without: 'the kernel’s' });
  const settings = {} as Record<IpvsSettingName, Optional<string>>;
  for (const name of IPVS_SETTING_NAMES) {
    const [type, about] = SETTINGS[name];
    settings[name] = option(per(type()), { about, without: 'the kernel’s' });
  }
  return {
    timeouts: option(
      section(() => ({
        tcp: timeout('How long an established TCP connection may be idle.'),
        tcp_fin: timeout('The same after a FIN.'),
        udp: timeout('How long the packets of one UDP client go to one server.'),
      })),
      {
        about: 'Timeouts of connections in the kernel, set, kept, and put back at the stop.',
        without: 'the kernel’s',
      },
    ),
    settings: option(
      section(() => settings),
      {
        about: 'Settings below net.ipv4.vs, set, kept, and put back at the stop.',
        without: 'the kernel’s',
      },
    ),
  };
}

type Input = {
  [Key in keyof ReturnType<typeof ipvsSettingOptions>]?:
    | Output<ReturnType<typeof ipvsSettingOptions>[Key]>
    | undefined;
};

export function resolveIpvsSettings(
  input: Input | null | undefined,
): Pick<IpvsConfig, 'timeouts' | 'settings'> {
  const { timeouts } = DEFAULTS.ipvs;
  const given = input?.timeouts;
  const named = IPVS_SETTING_NAMES.flatMap((name) => {
    const value = input?.settings?.[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    timeouts: {
      tcpSeconds: given?.tcp ?? timeouts.tcpSeconds,
      tcpFinSeconds: given?.tcp_fin ?? timeouts.tcpFinSeconds,
      udpSeconds: given?.udp ?? timeouts.udpSeconds,
    },
    settings: Object.fromEntries(named),
  };
}

/**
 * Config: the one typed configuration of a director, whatever language it was read from.
 * It is complete (every default applied), resolved for one director (per-host values chosen)
 * and JSON-serialisable. Times are integer microseconds unless the name says otherwise.
 * Defaults live in defaults.ts; readers live in src/config.
 */

import type { CronFields } from '../health/cron.ts';
import type { ArgumentsMatch } from '../process-match.ts';
import type { AddressAttributes, RouteConfig, RuleConfig, StaticConfig } from './address.ts';
import type { CheckConfig } from './check.ts';
import type { IpvsSettingName } from './ipvs-settings.ts';

export type * from './check.ts';

export type AddressFamily = 'ipv4' | 'ipv6';

/** Canonical text of an IP address: dotted quad, or RFC 5952 for IPv6. */
export type IpText = string;

export interface VipConfig {
  readonly address: IpText;
  readonly prefixLength: number;
  /** Interface that carries the address; the instance's own unless configured otherwise. */
  readonly interface: string;
  /** Listed in advertisements. Addresses of the other family than the instance's never are. */
  readonly advertised: boolean;
  /** Whether the instance is in fault while the interface is down or missing. */
  readonly track: boolean;
  readonly attributes: AddressAttributes;
}

/** How the checksum of a VRRPv3 advertisement over IPv4 is computed when sending. */
export type ChecksumForm =
  /** Over the message alone: RFC 9568 section 5.2.8. */
  | 'message'
  /** With the pseudo-header of RFC 5798: keepalived's and FRR's default. */
  | 'pseudo-header'
  /** As the last valid advertisement heard, 'pseudo-header' until one was heard. */
  | 'auto';

export interface AnnounceConfig {
  /** Packets per VIP in each burst, 1 to 100. */
  readonly repeat: number;
  /** Delay of the second burst after the first; 0 for none. */
  readonly delayUs: number;
  /** Interval of periodic announcements while active; 0 for none. */
  readonly refreshUs: number;
  /** Packets per VIP in those, 1 to 100. */
  readonly refreshRepeat: number;
  /** Interval of packets on interfaces other than the instance's own; 0 for none. */
  readonly extraInterfaceRefreshUs: number;
  /** Packets per VIP in the bursts that a losing peer's advertisements cause; 0 for no burst. */
  readonly lowerPriorityRepeat: number;
  /** Least time between two of those bursts; 0: every advertisement of a loser causes one. */
  readonly lowerPriorityDelayUs: number;
  /** Least time between two gratuitous ARP on one interface; 0 for back to back. */
  readonly intervalUs: number;
  /** The same for unsolicited NA. */
  readonly naIntervalUs: number;
}

/** Interfaces on one switch, which share the pace of announcements. */
export interface AnnounceGroupConfig {
  readonly name: string;
  readonly interfaces: readonly string[];
  /** In place of those of the instances' AnnounceConfig. */
  readonly intervalUs: number;
  readonly naIntervalUs: number;
}

/** How one instance uses a tracker. */
export interface TrackConfig {
  readonly tracker: string;
  /** -253 to 253; 0 for a fault while the tracker is down. */
  readonly weight: number;
  /** Swaps up and down. */
  readonly reverse: boolean;
}

/** Something whose state changes the priority of instances, or forbids them to take part. */
export type TrackerConfig = {
  readonly name: string;
} & (
  | {
      readonly kind: 'interface';
      readonly interface: string;
      /** How long the link must be down, or up again, before it counts. */
      readonly downDelayUs: number;
      readonly upDelayUs: number;
    }
  | {
      readonly kind: 'script';
      /** Program and arguments. */
      readonly command: readonly string[];
      readonly intervalUs: number;
      readonly timeoutUs: number;
      readonly rise: number;
      readonly fall: number;
      /** Down until it has succeeded. */
      readonly initFail: boolean;
      /** Account that it runs as, names or numbers; null for vipkeeper's own. */
      readonly user: string | null;
      readonly group: string | null;
      /** Refuse it if it runs as root and others may change it. */
      readonly scriptSecurity: boolean;
    }
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly intervalUs: number;
      /** Number that is written into it at the start; null for none. */
      readonly init: number | null;
      /** Also if the file exists. */
      readonly overwrite: boolean;
    }
  | {
      readonly kind: 'process';
      /** Name of the program (the last part of its path) or of the process, or a whole path. */
      readonly process: string;
      /** Arguments that it must have; null for any. */
      readonly arguments: readonly string[] | null;
      readonly argumentsMatch: ArgumentsMatch;
      /** Least number of them that means up. */
      readonly quorum: number;
      /** Greatest number of them that means up; null for any. */
      readonly quorumMax: number | null;
      /** How long there must be too few (or many), or enough again, before it counts. */
      readonly downDelayUs: number;
      readonly upDelayUs: number;
      /** How often they are counted where the kernel does not tell of changes. */
      readonly intervalUs: number;
    }
  | { readonly kind: 'bfd'; readonly session: string }
  | {
      readonly kind: 'service';
      readonly service: string;
      /** Least sum of the configured weights of healthy servers that means up. */
      readonly quorum: number;
    }
);

/** Instances that are active together or not at all. */
export interface GroupConfig {
  readonly name: string;
  readonly members: readonly string[];
}

/** What a director demands of received advertisements, and whether it signs its own. */
export type HmacMode =
  /** Signs; takes signed ones only. */
  | 'enforce'
  /** Signs; takes unsigned ones too. */
  | 'permissive'
  /** Does not sign; takes unsigned ones too. */
  | 'receive-only';

/** How advertisements that were sent before are told from new ones: core/vrrp/replay.ts. */
export type HmacReplayMode = 'time' | 'monotonic' | 'off';

/** Authentication of version 3 by a trailer, as keepalived 2.4.2 and later do it. */
export interface HmacConfig {
  /** One or more, all good for receiving; the ids differ. */
  readonly keys: readonly {
    /** 1 to 255. */
    readonly id: number;
    /** The key's 32 to 64 bytes in hexadecimal digits. Secret: never shown. */
    readonly secretHex: string;
  }[];
  /** Id of the key that signs. */
  readonly activeKey: number;
  readonly mode: HmacMode;
  readonly replay: HmacReplayMode;
  /** 1 to 300; with replay 'time', how far a sender's clock may be from ours. */
  readonly windowSeconds: number;
}

/** What an address owner does about another one that advertises as owner too. */
export type OwnerConflict =
  /** One of the two gives way: the lower address at once, the higher one if the other stays. */
  | 'yield'
  /** It discards every advertisement: RFC 9568 section 7.1. */
  | 'ignore';

/** What is done about advertisements that list other addresses than this director's. */
export type AddressCheck =
  /** Nothing: they are not compared. */
  | 'off'
  /** They count, and are told of. */
  | 'warn'
  /** They are refused, as RFC 9568 section 7.1 allows: the directors do not see each other. */
  | 'refuse';

/** Where the standard leaves a choice. On all directors of a virtual router the same. */
export interface ElectionConfig {
  /** Advertisements of the active director that a backup misses before it takes over, 1 to 100. */
  readonly downTimerAdverts: number;
  /**
   * Highest priority of any other director, 1 to 254: an active one that is so late that a backup
   * of this priority has taken over becomes backup without sending anything. Null for off.
   */
  readonly timerExpiredBackup: number | null;
  /** An active director advertises at once when it hears a lower priority. */
  readonly answerLowerPriority: boolean;
  /** It advertises once more before it gives way to a better one, which announces anew then. */
  readonly advertiseBeforeYielding: boolean;
  readonly ownerConflict: OwnerConflict;
  readonly checkAddresses: AddressCheck;
  /**
   * Accept_Mode of RFC 9568 section 6.1: an active director that is not the owner takes packets to
   * its addresses for itself, not for virtual services alone.
   */
  readonly accept: boolean;
}

/** A director that advertisements are sent to, and taken from, instead of the multicast group. */
export interface PeerConfig {
  readonly address: IpText;
  /** 0 to 255: bounds of the TTL or hop limit of what it sends, as it arrives. */
  readonly minTtl: number;
  readonly maxTtl: number;
}

/** Advertisements to each peer alone instead of the multicast group. */
export interface UnicastConfig {
  /**
   * Of the instance's family, each once. This director's own address may be among them, so that
   * all directors can have one list: it is left out at run time.
   */
  readonly peers: readonly PeerConfig[];
  /** TTL or hop limit of what is sent, 1 to 255. */
  readonly ttl: number;
  /** Refuse advertisements that come from none of the peers. */
  readonly checkSource: boolean;
  /** Take no part while the list has no other director; otherwise such an instance is alone. */
  readonly faultWithoutPeers: boolean;
}

/**
 * A link on top of the instance's interface that bears its VIPs: a macvlan with the virtual
 * router's hardware address, or an ipvlan, which shares the interface's.
 */
export type VirtualLinkConfig =
  | {
      readonly kind: 'macvlan';
      /** At most 15 characters. */
      readonly name: string;
      /** '00:00:5e:00:01:33', in lower case. */
      readonly mac: string;
      /** Advertisements come from the interface's own hardware address. */
      readonly xmitBase: boolean;
      /** Interface group; null for 0. */
      readonly group: number | null;
    }
  | {
      readonly kind: 'ipvlan';
      readonly name: string;
      readonly mode: 'bridge' | 'private' | 'vepa';
      readonly group: number | null;
    };

export interface VrrpConfig extends ElectionConfig {
  readonly name: string;
  readonly interface: string;
  readonly family: AddressFamily;
  readonly version: 2 | 3;
  /** 1 to 255. */
  readonly vrid: number;
  /** 1 to 254, or 255 for the address owner. */
  readonly priority: number;
  /** Version 2: whole seconds, 1 to 255. Version 3: multiples of 10 ms, 10 ms to 40.95 s. */
  readonly advertIntervalUs: number;
  readonly preempt: boolean;
  /** Least time a backup with higher priority listens to an active one before it takes over. */
  readonly preemptDelayUs: number;
  readonly checksum: ChecksumForm;
  /** Version 2 only: RFC 2338 simple text password, at most 8 bytes; null for none. */
  readonly password: string | null;
  /** Version 3 only; null for no authentication. */
  readonly hmac: HmacConfig | null;
  /** Source of advertisements; null for the interface's primary (link-local) address. */
  readonly sourceAddress: IpText | null;
  /** Null for multicast. */
  readonly unicast: UnicastConfig | null;
  /** Where multicast advertisements go, and are heard; of the instance's family. */
  readonly multicastGroup: IpText;
  /** Null: the VIPs are on the interface itself. Else `addresses` name the link. */
  readonly virtualLink: VirtualLinkConfig | null;
  readonly announce: AnnounceConfig;
  readonly addresses: readonly VipConfig[];
  /** In the kernel while the instance is active, in this order; removed in reverse. */
  readonly routes: readonly RouteConfig[];
  readonly rules: readonly RuleConfig[];
  /** Sync group that it is a member of; null for none. */
  readonly group: string | null;
  /** Its own trackers and those of its group. */
  readonly track: readonly TrackConfig[];
  /** In fault while its interface is down. */
  readonly trackInterface: boolean;
  /** The interfaces of its IPv4 addresses keep the others of a network when its first one goes. */
  readonly promoteSecondaries: boolean;
}

/** A program by its absolute path and its arguments: one word or more, run without a shell. */
export type Command = readonly string[];

/** What is done when one instance changes its state; null for nothing. */
export interface InstanceNotifyConfig {
  /** Name of the instance. */
  readonly name: string;
  readonly active: Command | null;
  readonly backup: Command | null;
  readonly fault: Command | null;
  readonly stop: Command | null;
  /** When the instance is taken out of the configuration; null: as `fault`. */
  readonly deleted: Command | null;
  /** At every state, with keepalived's four arguments. */
  readonly any: Command | null;
  /** When an active instance hears a peer of lower priority. */
  readonly lowerPriority: Command | null;
  /** Tell `any` and the FIFO of changed priorities too. */
  readonly priorityChanges: boolean;
  readonly mail: boolean;
}

/** The same for a sync group, when all of its members are in one state. */
export type GroupNotifyConfig = Pick<
  InstanceNotifyConfig,
  'name' | 'active' | 'backup' | 'fault' | 'stop' | 'any' | 'mail'
>;

/** What is done when a virtual service or a real server of it changes; null for nothing. */
export interface ServiceNotifyConfig {
  readonly quorumUp: Command | null;
  readonly quorumDown: Command | null;
  /** Of each of its servers. */
  readonly serverUp: Command | null;
  readonly serverDown: Command | null;
  /** When the quorum is lost or met again. */
  readonly mail: boolean;
  /** When a server fails or recovers. */
  readonly serverMail: boolean;
}

export interface NotifyConfig {
  /** Path of the FIFO that gets a line for every transition. */
  readonly fifo: string | null;
  /** It gets lines of virtual services and real servers too. */
  readonly fifoServices: boolean;
  /** Runs all the time; gets the FIFO's path as its last argument. */
  readonly fifoScript: Command | null;
  /** Account of the scripts, names or numbers; null for vipkeeper's own. */
  readonly user: string | null;
  readonly group: string | null;
  /** Longest run of one script. */
  readonly timeoutUs: number;
  readonly startup: Command | null;
  readonly shutdown: Command | null;
  /** Refuse scripts that run as root and others may change. */
  readonly scriptSecurity: boolean;
  /** One for each VRRP instance. Not part of VrrpConfig: the keeper has nothing to do with it. */
  readonly instances: readonly InstanceNotifyConfig[];
  /** One for each sync group. */
  readonly groups: readonly GroupNotifyConfig[];
  /** Write all states to the FIFO again after a reload. */
  readonly fifoStatesOnReload: boolean;
}

export interface MailConfig {
  /** Name or address of the SMTP server. */
  readonly host: string;
  readonly port: number;
  readonly from: string;
  readonly to: readonly string[];
  /** Name that this director greets with; null for the host's. */
  readonly helo: string | null;
  /** Longest wait for the server, at each step. */
  readonly timeoutUs: number;
}

export const SCHEDULERS = [
  'rr',
  'wrr',
  'lc',
  'wlc',
  'lblc',
  'lblcr',
  'dh',
  'sh',
  'sed',
  'nq',
  'fo',
  'ovf',
  'mh',
  'twos',
] as const;
export type Scheduler = (typeof SCHEDULERS)[number];

export const SCHEDULER_FLAGS = [
  'sh-fallback',
  'sh-port',
  'mh-fallback',
  'mh-port',
  'flag-1',
  'flag-2',
  'flag-3',
] as const;
export type SchedulerFlag = (typeof SCHEDULER_FLAGS)[number];

export type Forwarding = 'nat' | 'dr' | 'tun';

export type Tunnel =
  | { readonly kind: 'ipip' }
  | { readonly kind: 'gue'; readonly port: number; readonly checksum: TunnelChecksum }
  | { readonly kind: 'gre'; readonly checksum: 'none' | 'on' };
export type TunnelChecksum = 'none' | 'on' | 'remote';

/** Hints from the kernel's counters of connections. */
export interface PassiveConfig {
  /** 'warn': it is told; 'quiesce': such a server gets weight 0 for a while as well. */
  readonly action: 'off' | 'warn' | 'quiesce';
  /** How long a server must have accepted nothing. */
  readonly windowUs: number;
  /** After which time it is tried again. */
  readonly retryUs: number;
}

/** When real servers are out for work on them, again and again. */
export interface MaintenanceConfig {
  /** The cron expression as it was written. */
  readonly schedule: string;
  readonly fields: CronFields;
  /** IANA name: 'Europe/Vienna', 'UTC'. */
  readonly timeZone: string;
  readonly durationUs: number;
  /** How long before its beginning servers get no new connections any more. */
  readonly drainBeforeUs: number;
  /** 'drain': weight 0 all the time; 'down': out of the table. */
  readonly action: 'drain' | 'down';
  /** Also where too few servers would be left. */
  readonly force: boolean;
  /** Empty when it was not said. */
  readonly reason: string;
}

export interface RealServerConfig {
  readonly address: IpText;
  /** 0: it has that of each entry of the service; else 1 to 65535. */
  readonly port: number;
  /** 0 to 65535. */
  readonly weight: number;
  readonly forwarding: Forwarding;
  readonly tunnel: Tunnel;
  /** Connections above which no new ones are sent; 0 for no limit. */
  readonly upperThreshold: number;
  readonly lowerThreshold: number;
  /** null: not checked, always taken as healthy. */
  readonly check: CheckConfig | null;
  readonly maintenance: readonly MaintenanceConfig[];
}

export type ServiceIdentity =
  | {
      readonly kind: 'address';
      readonly protocol: 'tcp' | 'udp' | 'sctp';
      readonly address: IpText;
      readonly port: number;
    }
  | { readonly kind: 'fwmark'; readonly family: AddressFamily; readonly mark: number };

export interface Persistence {
  /** Whole seconds, 1 or more. */
  readonly timeoutSeconds: number;
  /** Prefix length of client addresses that stay together; null: each address is on its own. */
  readonly prefixLength: number | null;
}

/** What is done while the healthy weight of a service is below its quorum. */
export type BelowQuorum =
  /** The healthy servers go on; it is told. */
  | 'serve'
  /** The sorry servers get the clients, if one of them is healthy. */
  | 'sorry'
  /** Those that served when the quorum was last met go on, failed or not. */
  | 'keep-last'
  /** Nobody gets new connections. */
  | 'drop';

export interface QuorumConfig {
  /** Least sum of the weights of healthy servers, 1 or more. */
  readonly weight: number;
  /** The quorum is lost below weight - hysteresis, and met again at weight + hysteresis. */
  readonly hysteresis: number;
  readonly below: BelowQuorum;
}

/** One of the kernel's virtual services that a service is made of. */
export interface ServiceEntry {
  readonly identity: ServiceIdentity;
  /** VRRP instance that it goes with: named, or the one that carries its address; or null. */
  readonly follow: string | null;
}

export interface ServiceConfig {
  readonly name: string;
  /** One or more, each once among all services; in the order of the file. */
  readonly entries: readonly ServiceEntry[];
  readonly scheduler: Scheduler;
  readonly schedulerFlags: readonly SchedulerFlag[];
  readonly persistence: Persistence | null;
  /** Persistence engine: only 'sip' exists in the kernel. */
  readonly persistenceEngine: 'sip' | null;
  readonly onePacket: boolean;
  /** What happens to a server that fails its check. */
  readonly onFailure: 'quiesce' | 'remove';
  readonly quorum: QuorumConfig;
  /** 0 to 100: share of the servers that checks alone never take out. */
  readonly minHealthyPercent: number;
  /** How long the weight of a server that came back rises to its full value; 0 for at once. */
  readonly slowStartUs: number;
  /** Each entry is in the table only while its instance is active here. */
  readonly onlyOnActive: boolean;
  /** 'active': its servers are checked only while an instance of its entries is active here. */
  readonly checkWhen: 'always' | 'active';
  /** What happens to a server that is taken out of the configuration. */
  readonly onRemove: 'drain' | 'delete';
  /** How long its connections may take to end. */
  readonly drainTimeoutUs: number;
  /** What is done about servers that pass their checks and accept no connection. */
  readonly passive: PassiveConfig;
  /** null: nobody is told of it but by the FIFO. */
  readonly notify: ServiceNotifyConfig | null;
  /** Windows of all its servers. */
  readonly maintenance: readonly MaintenanceConfig[];
  readonly servers: readonly RealServerConfig[];
  /** Servers for the time below quorum: checked like the others, with weight 0 until then. */
  readonly sorryServers: readonly RealServerConfig[];
}

export interface SyncConfig {
  readonly interface: string;
  /** 0 to 255. */
  readonly id: number;
  /** VRRP instance whose state the daemon follows. */
  readonly follow: string;
}

export interface IpvsConfig {
  /** How often the kernel's table is compared with ours and repaired. */
  readonly reconcileIntervalUs: number;
  /** 'exclusive': entries that are not ours are deleted. */
  readonly ownership: 'shared' | 'exclusive';
  /** What happens to our entries when vipkeeper stops. */
  readonly onStop: 'keep' | 'remove';
  /** Timeouts of connections, 1 s to 24 days; null: what the kernel has stays. */
  readonly timeouts: {
    readonly tcpSeconds: number | null;
    readonly tcpFinSeconds: number | null;
    readonly udpSeconds: number | null;
  };
  /** For services that do not say: they are in the table only while they are active here. */
  readonly onlyOnActive: boolean;
  /** For services that do not say, and those that are taken out of the configuration. */
  readonly onRemove: 'drain' | 'delete';
  readonly drainTimeoutUs: number;
  /** First of 2^20 firewall marks of checks through virtual IPs; a multiple of 2^20. */
  readonly checkMarkBase: number;
  /** net.ipv4.vs.* in the kernel's text; what is not named stays. */
  readonly settings: Readonly<Partial<Record<IpvsSettingName, string>>>;
}

/** One BFD session (RFC 5880) with one remote system. */
export interface BfdConfig {
  readonly name: string;
  readonly neighbor: IpText;
  /** Our own address; null for the one that the route prefers. Of the neighbor's family. */
  readonly source: IpText | null;
  /** Packets are sent and taken on it alone; null for any. Required for link-local neighbors. */
  readonly interface: string | null;
  /** 1 ms to 60 s, as the next. */
  readonly minRxUs: number;
  readonly minTxUs: number;
  /** Interval while the session is not up: 1 s to 60 s. */
  readonly idleTxUs: number;
  /** 1 to 255. */
  readonly multiplier: number;
  readonly passive: boolean;
  /** RFC 5883 (port 4784) instead of RFC 5881 (port 3784). */
  readonly multihop: boolean;
  /** TTL or hop limit of what is sent, 1 to 255. */
  readonly ttl: number;
  /** 0 to 255: how much lower than `ttl` it may be in what is received; 255 for not checked. */
  readonly maxHops: number;
}

export interface KeeperTuning {
  /** 'realtime': SCHED_RR with reset-on-fork where the system allows it. */
  readonly scheduling: 'realtime' | 'normal';
  /** How long the keeper stays active without a controller that can be started. */
  readonly holdUs: number;
  /** Start also while interfaces do not exist. */
  readonly dynamicInterfaces: boolean;
  /** How long instances take no part after a start; 0 for no delay. */
  readonly startupDelayUs: number;
  /** The same after the machine has booted; the later end counts. */
  readonly delayAfterBootUs: number;
}

export interface Config {
  /** Name of this director: key of per-host values. */
  readonly director: string;
  readonly vrrp: readonly VrrpConfig[];
  readonly announceGroups: readonly AnnounceGroupConfig[];
  readonly static: StaticConfig;
  readonly bfd: readonly BfdConfig[];
  readonly groups: readonly GroupConfig[];
  readonly trackers: readonly TrackerConfig[];
  readonly services: readonly ServiceConfig[];
  readonly sync: SyncConfig | null;
  readonly notify: NotifyConfig;
  readonly mail: MailConfig | null;
  readonly ipvs: IpvsConfig;
  readonly http: { readonly host: string; readonly port: number } | null;
  /** How often other machines are asked for the addresses of this director; null for never. */
  readonly conflictCheckUs: number | null;
  readonly runtimeDirectory: string;
  readonly keeper: KeeperTuning;
  readonly log: {
    readonly level: 'debug' | 'info' | 'warn' | 'error';
    readonly format: 'auto' | 'json' | 'pretty';
  };
}

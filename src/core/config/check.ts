/**
 * CheckConfig: how a real server is asked whether it is well. One interface for each kind, all
 * with the same timing. Part of Config, and complete as it is: defaults are in defaults.ts. Every
 * member but the timing is part of the question, by which servers share a check.
 */
import type { DialogueStep } from '../health/dialogues.ts';
import type { DnsRcode, DnsType } from '../wire/dns-names.ts';

/** What a server is taken for until its first verdict, which counts at once. */
export type CheckInitial = 'unknown' | 'up' | 'down';

/** When a check runs and what its verdicts do: no part of the question. */
export interface CheckTiming {
  readonly intervalUs: number;
  /** Total time for one check, connect to verdict. */
  readonly timeoutUs: number;
  /** Failures in a row that take a server out. */
  readonly fall: number;
  /** Successes in a row that bring it back. */
  readonly rise: number;
  /** From a result to the next run while a change is not confirmed yet; null for the interval. */
  readonly retryDelayUs: number | null;
  /** Every run begins up to this much after its time, by chance; at most the interval. */
  readonly jitterUs: number;
  /** The first run begins within this time; null for the interval, two seconds at most. */
  readonly startSpreadUs: number | null;
  readonly initial: CheckInitial;
}

export interface CheckBase extends CheckTiming {
  /** Address to check, in canonical text; null for the server's own. */
  readonly address: string | null;
  /** Port to check; null for the server's own. */
  readonly port: number | null;
}

/** How a socket leaves this host, where the routes alone do not say it. */
export interface SocketPath {
  /** Source address, of the target's family; null for the one that the route prefers. */
  readonly source: string | null;
  /** Interface that packets leave and come by (SO_BINDTODEVICE); null for any. */
  readonly device: string | null;
  /** Firewall mark (SO_MARK) of what is sent; null for none. */
  readonly mark: number | null;
}

/** A check that opens a socket. */
export interface SocketCheckConfig extends CheckBase, SocketPath {}

export interface TcpCheckConfig extends SocketCheckConfig {
  readonly kind: 'tcp';
}

/** How TLS is spoken; only meaningful where it is. */
export interface TlsConfig {
  /** Verify the server's certificate. */
  readonly tlsVerify: boolean;
  /** Name for SNI and certificate verification; null for what the kind says. */
  readonly serverName: string | null;
  /** File with CA certificates in PEM; null for the system's. */
  readonly caFile: string | null;
  /** Files with our own certificate, its chain and its key in PEM; null for none. */
  readonly certificateFile: string | null;
  readonly keyFile: string | null;
  /** Least version of TLS. */
  readonly tlsMin: '1.2' | '1.3';
}

export interface BodyDigest {
  readonly algorithm: 'md5' | 'sha256';
  /** In lower case. */
  readonly hex: string;
}

/** One request and what its answer must be. */
export interface HttpRequestConfig {
  readonly method: string;
  readonly path: string;
  /** Host header; null for the server's address and port. */
  readonly host: string | null;
  /** Names with values, beside those that every request has. */
  readonly headers: readonly (readonly [string, string])[];
  /** What is sent; null for nothing. */
  readonly body: string | null;
  /** Inclusive ranges of status codes that mean success. */
  readonly status: readonly (readonly [number, number])[];
  /** Text that the body must contain; null for no look at the body. */
  readonly bodyContains: string | null;
  /** Regular expression (JavaScript, flag u) that the body must match; null for none. */
  readonly bodyMatches: string | null;
  /** Digest of the body; null for any. */
  readonly digest: BodyDigest | null;
}

export interface HttpCheckConfig extends SocketCheckConfig, TlsConfig {
  readonly kind: 'http';
  readonly tls: boolean;
  readonly version: '1.0' | '1.1' | '2';
  /** One or more, made at once; all must succeed. */
  readonly requests: readonly HttpRequestConfig[];
}

/** One query, by UDP, and by TCP when the answer did not fit. */
export interface DnsCheckConfig extends SocketCheckConfig {
  readonly kind: 'dns';
  /** One of DNS_TYPES. */
  readonly type: DnsType;
  /** Name in ASCII, '.' for the root. */
  readonly name: string;
  /** Response codes that mean success. */
  readonly rcodes: readonly DnsRcode[];
  /** Data that one record of the type must have; null for any. */
  readonly answer: string | null;
  /** Regular expression (JavaScript, flag u) that the data of one record must match. */
  readonly answerMatches: string | null;
}

/** One datagram. */
export interface UdpCheckConfig extends SocketCheckConfig {
  readonly kind: 'udp';
  /** Hexadecimal digits of what is sent; empty for an empty datagram. */
  readonly payloadHex: string;
  /** Without it, silence is success, and an ICMP error alone is failure. */
  readonly replyRequired: boolean;
  /** Hexadecimal digits, X for any, that a reply must begin with; empty for any. */
  readonly replyHex: string;
  /** Bounds of the length of a reply, 0 to 65535. */
  readonly minLengthBytes: number;
  readonly maxLengthBytes: number;
}

/** One ICMP echo request: it has no port. */
export interface PingCheckConfig extends SocketCheckConfig {
  readonly kind: 'ping';
}

/** A command: exit status 0 is success. */
export interface ScriptCheckConfig extends CheckBase {
  readonly kind: 'script';
  /** Program and arguments, of this server: all placeholders are filled in. */
  readonly command: readonly string[];
  /** Exit statuses from 2 on are success too, with a weight of 2 less. */
  readonly dynamicWeight: boolean;
  /** Account that it runs as, names or numbers; null for vipkeeper's own. */
  readonly user: string | null;
  readonly group: string | null;
  /** Refuse it if it runs as root and others may change it. */
  readonly scriptSecurity: boolean;
}

/** A file that says `up`, `down` or the weight. */
export interface FileCheckConfig extends CheckBase {
  readonly kind: 'file';
  readonly path: string;
}

/** Connect, send, expect. */
export interface DialogueCheckConfig extends SocketCheckConfig, TlsConfig {
  readonly kind: 'dialogue';
  readonly tls: boolean;
  readonly steps: readonly DialogueStep[];
}

export type CheckConfig =
  | TcpCheckConfig
  | HttpCheckConfig
  | DnsCheckConfig
  | UdpCheckConfig
  | PingCheckConfig
  | ScriptCheckConfig
  | FileCheckConfig
  | DialogueCheckConfig;

const PORTLESS: readonly CheckConfig['kind'][] = ['ping', 'script', 'file'];

/** False for a kind that asks none of the server's ports. */
export function hasPort(check: CheckConfig): boolean {
  return !PORTLESS.includes(check.kind);
}

/** How many connections, processes or files one run has open at once. */
export function connectionsOf(check: CheckConfig): number {
  return check.kind === 'http' ? check.requests.length : 1;
}

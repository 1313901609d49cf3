/**
 * CheckConfig: how a real server is asked whether it is well. One interface for each kind, all
 * with the same timing. Part of Config, and complete as it is: defaults are in defaults.ts. Every
 * member but the timing is part of the question, by which servers share a check.
 */
import type { DialogueStep } from '../health/dialogues.ts';
import type { DnsRcode, DnsType } from '../wire/dns-names.ts';
import type { CheckBase, SocketCheckConfig, TlsConfig } from './check-base.ts';
import type { ProtocolCheckConfig } from './check-protocols.ts';

export type {
  CheckBase,
  CheckInitial,
  CheckTiming,
  SocketCheckConfig,
  SocketPath,
  TlsConfig,
} from './check-base.ts';

export interface TcpCheckConfig extends SocketCheckConfig {
  readonly kind: 'tcp';
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

/** The state of a BFD session, which the keeper has: it is told, not asked for. */
export interface BfdCheckConfig extends CheckBase {
  readonly kind: 'bfd';
  /** Name of the session. */
  readonly session: string;
}

/** Connect, send, expect. */
export interface DialogueCheckConfig extends SocketCheckConfig, TlsConfig {
  readonly kind: 'dialogue';
  /** From the first byte on; a step may begin it too. */
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
  | BfdCheckConfig
  | DialogueCheckConfig
  | ProtocolCheckConfig;

const PORTLESS: readonly CheckConfig['kind'][] = ['ping', 'script', 'file', 'bfd'];

/** False for a kind that asks none of the server's ports. */
export function hasPort(check: CheckConfig): boolean {
  return !PORTLESS.includes(check.kind);
}

/** Whether a check may ask for a weight of its own. */
export function asksForWeight(check: CheckConfig): boolean {
  return check.kind === 'file' || (check.kind === 'script' && check.dynamicWeight);
}

/** A server's weight in the file, or the greatest one that its check can ask for. */
export function mostWeight({
  weight,
  check,
}: {
  readonly weight: number;
  readonly check: CheckConfig | null;
}): number {
  if (check === null || !asksForWeight(check)) return weight;
  // Of a script, the greatest exit status and 2 less.
  return Math.max(weight, check.kind === 'file' ? 65_535 : 253);
}

/** How many connections, processes or files one run has open at once. */
export function connectionsOf(check: CheckConfig): number {
  return check.kind === 'http' ? check.requests.length : 1;
}

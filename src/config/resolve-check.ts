/**
 * Health checks from their parsed form: what a server's check leaves out is taken from its
 * service's, what that leaves out from the defaults.
 */

import type {
  CheckBase,
  CheckConfig,
  DialogueCheckConfig,
  DnsCheckConfig,
  HttpCheckConfig,
  HttpRequestConfig,
  ScriptCheckConfig,
  SocketPath,
  TlsConfig,
  UdpCheckConfig,
} from '../core/config/check.ts';
import type { SmtpCheckConfig } from '../core/config/check-protocols.ts';
import type { IpText, NotifyConfig, ServiceIdentity } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { DIALOGUES, type Dialogue, hasStartTls } from '../core/health/dialogues.ts';
import type { Path } from './document.ts';
import type { Report } from './report.ts';
import { type KnownSessions, reportBfdName, resolveBfdCheck } from './resolve-check-bfd.ts';
import { PROTOCOL_KINDS, reportProtocol, resolveProtocol } from './resolve-check-protocols.ts';
import type { CheckInput } from './schema.ts';
import { joinWords } from './suggest.ts';
import { formatDuration } from './values.ts';

const GENERAL_KINDS = [
  'tcp',
  'http',
  'https',
  'dns',
  'udp',
  'ping',
  'script',
  'file',
  'bfd',
  'dialogue',
] as const;
const KINDS = [...GENERAL_KINDS, ...PROTOCOL_KINDS] as const;
type Kind = (typeof KINDS)[number];
/** Keys that mean nothing to these kinds. */
const REFUSED_KEYS: Readonly<Partial<Record<Kind, readonly (keyof LongCheck)[]>>> = {
  ping: ['port'],
  script: ['bind', 'device', 'mark', 'through_vip'],
  file: ['address', 'port', 'bind', 'device', 'mark', 'through_vip'],
  bfd: [
    ...(['address', 'port', 'bind', 'device', 'mark', 'through_vip', 'timeout'] as const),
    ...(['jitter', 'start_spread'] as const),
  ],
};
const TLS_SECTIONS = ['https', 'dialogue', 'ldap', 'mysql', 'postgresql', 'sip'] as const;
const PLACEHOLDER = /\{(vip|vport|rip|rport)\}/g;
type LongCheck = Exclude<CheckInput, 'none'>;
type HttpInput = NonNullable<LongCheck['https']>;
type HttpRequestInput = NonNullable<HttpInput['requests']>[number];
type TlsInput = Pick<
  HttpInput,
  'verify' | 'server_name' | 'ca_file' | 'certificate_file' | 'key_file' | 'min_tls'
>;

function kindsOf(input: CheckInput | undefined): Kind[] {
  if (input === undefined || input === 'none') return [];
  return KINDS.filter((kind) => input[kind] !== undefined);
}

/** A server's check with what its service's adds; undefined when neither is given. */
export function inheritCheck(
  own: CheckInput | undefined,
  inherited: CheckInput | undefined,
): CheckInput | undefined {
  if (own === undefined) return inherited;
  if (own === 'none' || inherited === undefined || inherited === 'none') return own;
  const merged: LongCheck = { ...inherited };
  if (kindsOf(own).length > 0) for (const kind of KINDS) delete merged[kind];
  return { ...merged, ...own };
}

/** Reports what is wrong with a check as written at `path`, with what it inherited. */
export function reportCheck(
  written: CheckInput,
  complete: CheckInput,
  where: {
    readonly path: Path;
    readonly tcpByDefault: boolean;
    readonly bfd: KnownSessions;
    readonly report: Report;
  },
): void {
  const { path, report } = where;
  if (written === 'none' || complete === 'none') return;
  const kinds = kindsOf(written);
  if (kinds.length > 1) {
    report.error(path, `expected only one of ${joinWords(kinds, 'and')}`, 'bare');
  }
  if (kindsOf(complete).length === 0 && !where.tcpByDefault) {
    report.error(path, `expected one of the keys ${joinWords(KINDS, 'and')}`, 'bare');
  }
  reportKind(written, complete, path, report);
  warnOfPlaceholders(written, path, report);
  reportBfdName(written, where.bfd, path, report);
  // It waits for nothing.
  if (complete.bfd !== undefined) return;
  const { intervalUs, timeoutUs, jitterUs } = base(complete);
  if (jitterUs > intervalUs && written.jitter !== undefined) {
    const message = `expected at most the interval, which is ${formatDuration(intervalUs)}`;
    report.error([...path, 'jitter'], message);
  }
  if (timeoutUs > intervalUs) {
    const message = 'the timeout is longer than the interval, so a late check delays the next one';
    report.warning(path, message);
  }
}

/** What looks like a placeholder and is none is given to the command as it stands. */
function warnOfPlaceholders({ script }: LongCheck, path: Path, report: Report): void {
  const words = script?.command ?? [];
  const unknown = words.flatMap((word) => word.replace(PLACEHOLDER, '').match(/\{\w+\}/g) ?? []);
  if (unknown.length === 0) return;
  const known = 'known are {vip}, {vport}, {rip} and {rport}';
  const message = `${unknown[0]} is no placeholder, the command gets it as it stands: ${known}`;
  report.warning([...path, 'script', 'command'], message);
}

/** What the keys of one kind say together. */
function reportKind(written: LongCheck, complete: LongCheck, path: Path, report: Report): void {
  const { udp, dialogue } = complete;
  const { minLengthBytes, maxLengthBytes } = DEFAULTS.udp;
  const greatest = udp?.max_length ?? maxLengthBytes;
  if ((udp?.min_length ?? minLengthBytes) > greatest) {
    report.error(
      [...path, 'udp', 'min_length'],
      `expected at most max_length, which is ${greatest}`,
    );
  }
  if (udp?.reply !== undefined && udp.require_reply === false) {
    const message = 'false contradicts reply, which a server must give then';
    report.error([...path, 'udp', 'require_reply'], message, 'bare');
  }
  if (
    dialogue !== undefined &&
    (dialogue.protocol === undefined) === (dialogue.steps === undefined)
  ) {
    report.error([...path, 'dialogue'], 'expected either protocol or steps', 'bare');
  }
  reportHttp(written, path, report);
  noteFiles(written, path, report);
  reportStartTls(written, path, report);
  reportProtocol(written, path, report);
  // One that is inherited is for the service's own kind.
  const [kind] = kindsOf(complete);
  for (const key of kind === undefined ? [] : (REFUSED_KEYS[kind] ?? [])) {
    if (written[key] === undefined) continue;
    report.error([...path, key], `a check by ${kind} has no ${key}`, 'bare');
  }
}

function reportStartTls({ dialogue }: LongCheck, path: Path, report: Report): void {
  if (dialogue?.starttls !== true) return;
  const place = [...path, 'dialogue', 'starttls'];
  if (dialogue.tls === true) report.error(place, 'tls speaks TLS already', 'bare');
  if (dialogue.protocol === undefined) {
    report.error(place, 'a step of its own says where TLS begins: steps[].starttls', 'bare');
  } else if (!hasStartTls(dialogue.protocol)) {
    report.error(place, `${dialogue.protocol} has no command that begins TLS`, 'bare');
  }
}

/** Requests and certificates that cannot be what was meant. */
function reportHttp(written: LongCheck, path: Path, report: Report): void {
  const kind = written.https === undefined ? 'http' : 'https';
  const { requests, ...common } = written.https ?? written.http ?? {};
  for (const [index, own] of (requests ?? [{}]).entries()) {
    const request = resolveRequest({ ...common, ...own });
    const { bodyContains, bodyMatches, digest } = request;
    if (request.method !== 'HEAD' || (bodyContains ?? bodyMatches ?? digest) === null) continue;
    const place = requests === undefined ? [] : ['requests', index];
    const message = 'an answer to HEAD has no body, of which something is expected here';
    report.error([...path, kind, ...place, 'method'], message, 'bare');
  }
  for (const section of TLS_SECTIONS) {
    const tls = written[section];
    if (tls === undefined) continue;
    if (tls.key_file !== undefined && tls.certificate_file === undefined) {
      report.error([...path, section, 'key_file'], 'a key needs certificate_file', 'bare');
    }
    warnOfUnused(tls, [...path, section], speaksTls(section, written), report);
  }
}

/** Keys of TLS that are without effect: mostly a check that is less than it was meant to be. */
function warnOfUnused(tls: TlsInput, path: Path, speaks: boolean, report: Report): void {
  if (!speaks) {
    const key = TLS_KEYS.find((each) => tls[each] !== undefined);
    if (key === undefined) return;
    return report.warning([...path, key], 'the check does not speak TLS, so this has no effect');
  }
  if (tls.verify !== false || tls.ca_file === undefined) return;
  const message = 'with verify: false no certificate is verified, by these or by others';
  report.warning([...path, 'ca_file'], message);
}

const TLS_KEYS = ['ca_file', 'certificate_file', 'verify', 'server_name', 'min_tls'] as const;

/** False where another key of the section would have to ask for it. */
function speaksTls(section: (typeof TLS_SECTIONS)[number], written: LongCheck): boolean {
  switch (section) {
    case 'https':
      return true;
    case 'dialogue': {
      const resolved = resolveDialogue(written);
      if (resolved.kind === 'smtp') return resolved.tls !== 'none';
      return resolved.tls || resolved.steps.some(({ starttls }) => starttls);
    }
    case 'ldap':
      return (written.ldap?.tls ?? DEFAULTS.ldap.tls) !== 'none';
    case 'mysql':
    case 'postgresql':
      return written[section]?.tls ?? DEFAULTS.sql.tls;
    case 'sip':
      return written.sip?.transport === 'tls';
  }
}

/** Files without which the check cannot run. */
function noteFiles(written: LongCheck, path: Path, report: Report): void {
  const { script, file } = written;
  const consequence = 'the check fails';
  const program = script?.command[0];
  if (program !== undefined) {
    report.files.push({
      path: [...path, 'script', 'command'],
      file: program,
      use: 'run',
      consequence,
      ...(script?.user === undefined ? {} : { user: script.user }),
    });
  }
  if (file !== undefined) {
    report.files.push({
      path: [...path, 'file', 'path'],
      file: file.path,
      use: 'read',
      consequence,
    });
  }
  for (const section of TLS_SECTIONS) {
    for (const key of ['ca_file', 'certificate_file', 'key_file'] as const) {
      const named = written[section]?.[key];
      if (named === undefined) continue;
      report.files.push({ path: [...path, section, key], file: named, use: 'read', consequence });
    }
    const { ca_file: caFile = null, certificate_file: certificateFile = null } =
      written[section] ?? {};
    if ((caFile ?? certificateFile) === null) continue;
    const keyFile = written[section]?.key_file ?? null;
    report.certificates.push({ path: [...path, section], caFile, certificateFile, keyFile });
  }
}

/** What all kinds have. */
function base(input: LongCheck): CheckBase {
  const { check } = DEFAULTS;
  return {
    intervalUs: input.interval ?? check.intervalUs,
    timeoutUs: input.timeout ?? check.timeoutUs,
    fall: input.fall ?? check.fall,
    rise: input.rise ?? check.rise,
    retryDelayUs: input.retry_delay ?? null,
    jitterUs: input.jitter ?? check.jitterUs,
    startSpreadUs: input.start_spread ?? null,
    initial: input.initial ?? check.initial,
    address: input.address ?? null,
    port: input.port ?? null,
  };
}

/** The same of a kind that opens a socket. */
function socketBase(input: LongCheck): CheckBase & SocketPath {
  const { bind, device, mark } = input;
  return {
    ...base(input),
    source: bind ?? null,
    device: device ?? null,
    mark: mark ?? null,
    // Known when the service is: resolve-through-vip.ts.
    via: null,
  };
}

/** What the placeholders of a command stand for, how scripts are run, and the BFD sessions. */
export interface CheckedServer {
  readonly identity: ServiceIdentity;
  readonly address: IpText;
  readonly port: number;
  readonly scripts: Pick<NotifyConfig, 'user' | 'group' | 'scriptSecurity'>;
  readonly bfd: KnownSessions;
}

/** The check with its defaults; null for none. A check without kind is one by TCP. */
export function resolveCheck(input: CheckInput, facts: CheckedServer): CheckConfig | null {
  if (input === 'none') return null;
  const [kind = 'tcp'] = kindsOf(input);
  switch (kind) {
    case 'tcp':
      return { kind, ...socketBase(input) };
    case 'http':
    case 'https':
      return resolveHttp(input);
    case 'dns':
      return resolveDns(input);
    case 'udp':
      return resolveUdp(input);
    case 'ping':
      return { kind, ...socketBase(input) };
    case 'dialogue':
      return resolveDialogue(input);
    case 'script':
      return resolveScript(input, facts);
    case 'file':
      return { kind, ...base(input), path: input.file?.path ?? '' };
    case 'bfd':
      return resolveBfdCheck(input, base(input), facts);
    default:
      return resolveProtocol(kind, input, socketBase(input), resolveTls);
  }
}

function resolveHttp(input: LongCheck): HttpCheckConfig {
  const { https } = input;
  const { requests, ...common } = https ?? input.http ?? {};
  return {
    kind: 'http',
    ...socketBase(input),
    tls: https !== undefined,
    ...resolveTls(https),
    version: common.version ?? DEFAULTS.http.version,
    requests: (requests ?? [{}]).map((request) => resolveRequest({ ...common, ...request })),
  };
}

function resolveRequest(input: HttpRequestInput): HttpRequestConfig {
  const { http } = DEFAULTS;
  return {
    method: input.method ?? http.method,
    path: input.path ?? http.path,
    host: input.host ?? null,
    headers: input.headers ?? [],
    body: input.body ?? null,
    status: input.status ?? http.status.map(([first, last]) => [first, last] as const),
    bodyContains: input.body_contains ?? null,
    bodyMatches: input.body_matches ?? null,
    digest: input.digest ?? null,
  };
}

/** What TLS has wherever it is spoken. */
export function resolveTls(input: TlsInput | undefined): TlsConfig {
  const certificateFile = input?.certificate_file ?? null;
  return {
    tlsVerify: input?.verify ?? DEFAULTS.tls.verify,
    serverName: input?.server_name ?? null,
    caFile: input?.ca_file ?? null,
    certificateFile,
    keyFile: input?.key_file ?? certificateFile,
    tlsMin: input?.min_tls ?? DEFAULTS.tls.min,
  };
}

function resolveDns(input: LongCheck): DnsCheckConfig {
  const { dns } = input;
  return {
    kind: 'dns',
    ...socketBase(input),
    type: dns?.type ?? DEFAULTS.dns.type,
    name: dns?.name ?? DEFAULTS.dns.name,
    rcodes: dns?.rcode ?? DEFAULTS.dns.rcodes,
    answer: dns?.answer ?? null,
    answerMatches: dns?.answer_matches ?? null,
  };
}

function resolveUdp(input: LongCheck): UdpCheckConfig {
  const { udp } = input;
  return {
    kind: 'udp',
    ...socketBase(input),
    payloadHex: udp?.send ?? '',
    replyRequired: udp?.require_reply ?? udp?.reply !== undefined,
    replyHex: udp?.reply ?? '',
    minLengthBytes: udp?.min_length ?? DEFAULTS.udp.minLengthBytes,
    maxLengthBytes: udp?.max_length ?? DEFAULTS.udp.maxLengthBytes,
  };
}

function resolveDialogue(input: LongCheck): DialogueCheckConfig | SmtpCheckConfig {
  const { dialogue } = input;
  const protocol = dialogue?.protocol;
  if (protocol === 'smtp' || protocol === 'smtps') {
    const tls = dialogue?.tls ?? protocol === 'smtps';
    const mode = tls ? 'tls' : dialogue?.starttls === true ? 'starttls' : 'none';
    return { kind: 'smtp', ...socketBase(input), ...resolveTls(dialogue), tls: mode };
  }
  const ready: Dialogue | null = protocol === undefined ? null : DIALOGUES[protocol];
  return {
    kind: 'dialogue',
    ...socketBase(input),
    tls: dialogue?.tls ?? ready?.tls ?? DEFAULTS.dialogue.tls,
    ...resolveTls(dialogue),
    steps:
      (dialogue?.starttls === true ? ready?.starttls : null) ??
      ready?.steps ??
      (dialogue?.steps ?? []).map(({ send, expect, refuse, starttls }) => ({
        send: send ?? null,
        expect: expect ?? null,
        refuse: refuse ?? null,
        starttls: starttls ?? DEFAULTS.dialogue.starttls,
      })),
  };
}

function resolveScript(input: LongCheck, facts: CheckedServer): ScriptCheckConfig {
  const { script } = input;
  const { identity, scripts } = facts;
  const address = identity.kind === 'address';
  const values: Readonly<Record<string, string>> = {
    vip: address ? identity.address : String(identity.mark),
    vport: address ? String(identity.port) : '0',
    rip: input.address ?? facts.address,
    rport: String(input.port ?? facts.port),
  };
  const fill = (word: string) => word.replace(PLACEHOLDER, (_, name: string) => values[name] ?? '');
  return {
    kind: 'script',
    ...base(input),
    command: (script?.command ?? []).map(fill),
    dynamicWeight: script?.dynamic_weight ?? DEFAULTS.scriptCheck.dynamicWeight,
    user: script?.user ?? scripts.user,
    // A user of its own does not go with the other's group.
    group: script?.group ?? (script?.user === undefined ? scripts.group : null),
    scriptSecurity: scripts.scriptSecurity,
  };
}

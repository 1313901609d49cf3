/**
 * Reads a configuration in YAML into Config, or all errors of the file at once, each with its
 * place. Order: the YAML itself, then the schema, then the rules between values on every part
 * whose own form is right. Never throws on a file's content.
 */

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Config, SyncConfig, VrrpConfig } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { allServers } from '../core/health/check-key.ts';
import { ipFamily } from '../core/ip.ts';
import { serviceFamily } from '../core/ipvs/model.ts';
import {
  checkMarks,
  isSocketCheck,
  usesCheckMarks,
  withCheckMarks,
} from '../core/ipvs/through-vip.ts';
import { err, ok, type Result } from '../core/result.ts';
import { ConfigDocument, TEXT_LENGTH_MAX, type YamlFault } from './document.ts';
import { readInPart } from './doubtful.ts';
import { arrangeErrors, type ConfigError } from './errors.ts';
import { foreignFile } from './foreign-file.ts';
import { readAs, type Type } from './forms.ts';
import { Report } from './report.ts';
import { resolveAnnounceGroups } from './resolve-announce.ts';
import { resolveBfd } from './resolve-bfd.ts';
import { knownSessions } from './resolve-check-bfd.ts';
import { resolveFollow } from './resolve-follow.ts';
import { placeMaintenance, warnOfWindowsTogether } from './resolve-maintenance.ts';
import { resolveNotify } from './resolve-notify.ts';
import { resolveRouting } from './resolve-routing.ts';
import { type NamedService, resolveServices } from './resolve-services.ts';
import { reportTrackerQuorums, resolveGroups, resolveTrackers } from './resolve-tracking.ts';
import { type NamedVrrp, resolveVrrp } from './resolve-vrrp.ts';
import { type RootInput, type Schema, schemaFor } from './schema.ts';
import { resolveIpvsSettings } from './schema-ipvs.ts';
import { type SourceFile, watchSecretFiles } from './secret-file.ts';
import { joinWords } from './suggest.ts';
import { formatDuration, NAME_PATTERN } from './values.ts';
import { warnOfCertificates } from './warn-certificates.ts';
import { warnOfCommands } from './warn-commands.ts';
import { warnOfFiles } from './warn-files.ts';
import { warnOfVrrp } from './warn-vrrp.ts';

export interface ReadOptions {
  /** Director to read for; null for the file's own `director`, else the host's short name. */
  readonly director: string | null;
  /** The host's name, with or without domain. */
  readonly hostname: string;
  /** Told of values that are allowed but probably a mistake, in the file's order. */
  readonly onWarning?: (warning: ConfigError) => void;
  /** Warn of files too that checks need and that cannot be used on this machine. */
  readonly looksAtFiles?: boolean;
  /** Told of every file that is read, a key file perhaps more than once. */
  readonly onSource?: (source: SourceFile) => void;
}

export interface ReadTextOptions extends ReadOptions {
  /** Name of the file for messages. */
  readonly file: string;
}

export interface ReadDocument {
  readonly config: Config;
  readonly document: ConfigDocument;
}

/** Config of a YAML text for one director, or its errors in the file's order. */
export function readConfigText(
  text: string,
  options: ReadTextOptions,
): Result<Config, ConfigError[]> {
  const read = readConfigDocument(text, options);
  return read.ok ? ok(read.value.config) : read;
}

/** The same, with the text's structure. */
export function readConfigDocument(
  text: string,
  options: ReadTextOptions,
): Result<ReadDocument, ConfigError[]> {
  const read = readDocument(text, options);
  const foreign = read.ok ? null : foreignFile(text);
  if (foreign === null) return read;
  const place = { file: options.file, line: foreign.line, column: 1, path: '', found: null };
  return err([{ code: 'VK-CONFIG-SYNTAX', ...place, message: foreign.message }]);
}

function readDocument(text: string, options: ReadTextOptions): Result<ReadDocument, ConfigError[]> {
  const document = ConfigDocument.parse(text);
  if (!(document instanceof ConfigDocument)) return err([faultError(document, options.file)]);
  const faults = document.faults.map((fault) => faultError(fault, options.file));
  if (document.faults.some((fault) => !fault.harmless)) return err(arrangeErrors(faults));
  const director = chooseDirector(document.value, options);
  const report = new Report({ document, file: options.file, director });
  const config = readValue(document.value, director, report);
  const errors = [...faults, ...report.errors];
  if (errors.length > 0) return err(arrangeErrors(errors));
  if (options.looksAtFiles === true) {
    warnOfFiles(config.notify, report);
    warnOfCertificates(report, Date.now());
  }
  for (const warning of arrangeErrors(report.warnings)) options.onWarning?.(warning);
  return ok({ config, document });
}

/** readConfigText of a file. */
export async function readConfigFile(
  path: string,
  options: ReadOptions,
): Promise<Result<Config, ConfigError[]>> {
  const onSource = options.onSource ?? (() => {});
  const text = readConfigFileText(path, onSource);
  if (!text.ok) return text;
  return watchSecretFiles(onSource, () => readConfigText(text.value, { ...options, file: path }));
}

/** The text of a file: a regular one, of bounded size, in UTF-8. */
export function readConfigFileText(
  path: string,
  onSource: (source: SourceFile) => void = () => {},
  bytesMax = TEXT_LENGTH_MAX,
): Result<string, ConfigError[]> {
  const start = { code: 'VK-CONFIG-READ', file: path, line: 1, column: 1, path: '' } as const;
  const refuse = (message: string) => err([{ ...start, message, found: null }]);
  let fd: number | null = null;
  try {
    // Not blocking, so that a FIFO in place of the file cannot hold us.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = fstatSync(fd);
    if (!stat.isFile()) return refuse('cannot be read: not a regular file');
    if (stat.size > bytesMax) return refuse(`cannot be read: larger than ${bytesMax} bytes`);
    const bytes = readFileSync(fd);
    onSource({ path: resolve(path), mode: stat.mode, content: bytes });
    return ok(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    if (error instanceof TypeError) return refuse('cannot be read: not UTF-8');
    return refuse(`cannot be read: ${readFailure(error)}`);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

/** What the system says, in words for the usual reasons. */
function readFailure(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'it does not exist';
  if (code === 'EACCES' || code === 'EPERM') return 'permission is denied';
  return message ?? String(error);
}

function faultError(fault: YamlFault, file: string): ConfigError {
  const { line, column, path, message, found } = fault;
  const code = fault.harmless ? 'VK-CONFIG-INVALID' : 'VK-CONFIG-SYNTAX';
  return { code, file, line, column, path, message, found };
}

/** Needed before the schema exists, because values may be given per director. */
function chooseDirector(value: unknown, options: ReadOptions): string {
  if (options.director !== null) return options.director;
  const named = mapping(value).director;
  if (typeof named === 'string' && NAME_PATTERN.test(named)) return named;
  return options.hostname.split('.')[0] as string;
}

function mapping(value: unknown): Record<string, unknown> {
  const plain = typeof value === 'object' && value !== null && !Array.isArray(value);
  return plain ? (value as Record<string, unknown>) : {};
}

/** The value in its parsed form; null when it is wrong, which the whole schema reports. */
function parsed<T>(type: Type<T>, value: unknown): T | null {
  const result = readAs(type, value);
  return result.ok ? result.value : null;
}

/** The configuration; only meaningful when the report has no errors. */
function readValue(value: unknown, director: string, report: Report): Config {
  const schema = schemaFor(director);
  const whole = readAs(schema.root, value);
  for (const issue of whole.ok ? [] : whole.error) report.issue(issue);
  const root = mapping(value);
  if (whole.ok && root.vrrp === undefined && root.services === undefined) {
    report.error([], 'expected at least one of the sections vrrp and services', 'bare');
  }
  // What the whole schema has made is not made again part by part.
  const good = whole.ok ? whole.value : null;
  const vrrps = good === null ? readVrrp(schema, root.vrrp, report) : entriesOf(good.vrrp);
  const alone = resolveVrrp(vrrps, report);
  const names = (section: string): string[] => Object.keys(mapping(root[section]));
  const hasMail = root.mail !== undefined;
  const notification = resolveNotify(
    {
      notify: parsed(schema.notify, root.notify) ?? null,
      mail: parsed(schema.mail, root.mail) ?? null,
      hasMail,
      instances: vrrps,
      groups: readNamed(schema.group, root.groups),
    },
    report,
  );
  const sections = readSections(schema, root);
  const named =
    good === null ? readServices(schema, root.services, report) : servicesOf(good.services);
  const bfd = resolveBfd(readNamed(schema.bfd, root.bfd), report);
  const around = { scripts: notification.notify, bfd: knownSessions(names('bfd'), bfd), hasMail };
  const resolved = resolveServices(named, around, report);
  const followed = resolveFollow(withCheckMarks(resolved, sections.ipvs.checkMarkBase), {
    services: named,
    instances: alone,
    instanceNames: names('vrrp'),
    ipvs: sections.ipvs,
    trackers: readNamed(schema.tracker, root.trackers),
    report,
  });
  const maintenance = parsed(schema.maintenance, root.maintenance);
  const services = placeMaintenance(followed, maintenance ?? undefined, report);
  warnOfWindowsTogether(services, report);
  const trackers = resolveTrackers(
    readNamed(schema.tracker, root.trackers),
    { services: names('services'), bfd: names('bfd') },
    notification.notify,
    report,
  );
  const partly = named.filter(({ servers }) => servers.includes(null)).map(({ name }) => name);
  reportTrackerQuorums(trackers, { services, partly: new Set(partly) }, report);
  const { groups, instances: grouped } = resolveGroups(
    readNamed(schema.group, root.groups),
    alone,
    {
      instanceNames: names('vrrp'),
      trackerNames: names('trackers'),
      services,
      report,
    },
  );
  const routing = resolveRouting(
    grouped,
    { vrrp: vrrps, static: parsed(schema.static, root.static ?? {}) },
    { instanceNames: names('vrrp'), report },
  );
  const vrrp = routing.instances;
  const sync = readSync(schema, root, { vrrp, report });
  const config = {
    director,
    vrrp,
    announceGroups: resolveAnnounceGroups(
      readNamed(schema.announceGroup, root.announce_groups),
      report,
    ),
    static: routing.static,
    groups,
    trackers,
    bfd,
    services,
    sync,
    ...notification,
    ...sections,
  };
  reportSyncFamilies(config, report);
  reportChecksWithIcmp(config, report);
  reportCheckMarks(config, report);
  warnOfHomelessServices(config, report);
  warnOfUnseenHints(config, report);
  warnOfVrrp(config, report);
  warnOfCommands(config, report);
  return config;
}

function entriesOf<T>(section: Readonly<Record<string, T>> | undefined) {
  return Object.entries(section ?? {}).map(([name, input]) => ({ name, input }));
}

function servicesOf(section: RootInput['services']): NamedService[] {
  return entriesOf(section).map(({ name, input }) => {
    const { servers, sorry_servers: sorryServers = [] } = input;
    return { name, input, servers, sorryServers };
  });
}

function readVrrp(schema: Schema, value: unknown, report: Report): NamedVrrp[] {
  return Object.entries(mapping(value)).flatMap(([name, raw]) => {
    const part = readInPart('vrrp', schema.vrrp, mapping(raw));
    if (part === null) return [];
    if (part.without.size > 0) report.doubt(`vrrp.${name}`, part.without);
    return [{ name, input: part.input }];
  });
}

function readNamed<T>(type: Type<T>, value: unknown): { name: string; input: T }[] {
  return Object.entries(mapping(value)).flatMap(([name, raw]) => {
    const input = parsed(type, raw);
    return input === null ? [] : [{ name, input }];
  });
}

function readServices(schema: Schema, value: unknown, report: Report): NamedService[] {
  return Object.entries(mapping(value)).flatMap(([name, raw]) => {
    const part = readInPart('services', schema.service, mapping(raw));
    if (part === null) return [];
    const { input, without } = part;
    if (without.size > 0) report.doubt(`services.${name}`, without);
    const read = (list: unknown) =>
      (list === undefined ? [] : (parsed(schema.servers, list) ?? [])).map((item) =>
        parsed(schema.server, item),
      );
    const { servers, sorry_servers } = mapping(raw);
    return [{ name, input, servers: read(servers), sorryServers: read(sorry_servers) }];
  });
}

function readSections(schema: Schema, root: Record<string, unknown>) {
  const { ipvs, listen, keeper, log } = DEFAULTS;
  const ipvsInput = parsed(schema.ipvs, root.ipvs);
  const http = parsed(schema.http, root.http);
  const keeperInput = parsed(schema.keeper, root.keeper);
  const logInput = parsed(schema.log, root.log);
  return {
    ipvs: {
      reconcileIntervalUs: ipvsInput?.reconcile_interval ?? ipvs.reconcileIntervalUs,
      ownership: ipvsInput?.ownership ?? ipvs.ownership,
      onStop: ipvsInput?.on_stop ?? ipvs.onStop,
      onlyOnActive: ipvsInput?.only_on_active ?? ipvs.onlyOnActive,
      onRemove: ipvsInput?.on_remove ?? ipvs.onRemove,
      drainTimeoutUs: ipvsInput?.drain_timeout ?? ipvs.drainTimeoutUs,
      checkMarkBase: ipvsInput?.check_mark_base ?? ipvs.checkMarkBase,
      ...resolveIpvsSettings(ipvsInput),
    },
    http: http === 'off' ? null : (http?.listen ?? listen),
    conflictCheckUs: readConflictCheck(schema, root),
    runtimeDirectory:
      parsed(schema.runtime_directory, root.runtime_directory) ?? DEFAULTS.runtimeDirectory,
    keeper: {
      scheduling: keeperInput?.scheduling ?? keeper.scheduling,
      holdUs: keeperInput?.hold ?? keeper.holdUs,
      dynamicInterfaces: keeperInput?.dynamic_interfaces ?? keeper.dynamicInterfaces,
      startupDelayUs: keeperInput?.startup_delay ?? keeper.startupDelayUs,
      delayAfterBootUs: keeperInput?.delay_after_boot ?? keeper.delayAfterBootUs,
    },
    log: { level: logInput?.level ?? log.level, format: logInput?.format ?? log.format },
  };
}

function readConflictCheck(schema: Schema, root: Record<string, unknown>): number | null {
  const input = parsed(schema.conflict_check, root.conflict_check);
  // Null is a value here: off.
  return input === undefined ? DEFAULTS.conflictCheckUs : input;
}

function readSync(
  schema: Schema,
  root: Record<string, unknown>,
  { vrrp, report }: { readonly vrrp: readonly VrrpConfig[]; readonly report: Report },
): SyncConfig | null {
  const input = parsed(schema.sync, root.sync);
  if (input === null || input === undefined) return null;
  // By the names in the file: an instance with errors of its own is not missing.
  const names = Object.keys(mapping(root.vrrp));
  const follow = input.follow ?? (names.length === 1 ? (names[0] as string) : null);
  if (follow === null || !names.includes(follow)) {
    const expected = names.length === 0 ? 'there is none' : joinWords(names, 'or');
    report.error(['sync', 'follow'], `expected a VRRP instance: ${expected}`);
  }
  const followed = vrrp.find((instance) => instance.name === follow);
  return {
    interface: input.interface,
    id: input.id ?? followed?.vrid ?? 0,
    follow: follow ?? '',
  };
}

/** The kernel refuses a sync daemon beside servers of the other family, and the reverse. */
function reportSyncFamilies(config: Config, report: Report): void {
  if (config.sync === null) return;
  for (const { name, entries, servers, sorryServers } of config.services) {
    const families = new Set(entries.map(({ identity }) => serviceFamily(identity)));
    if ([...servers, ...sorryServers].every((server) => families.has(ipFamily(server.address))))
      continue;
    const message =
      'servers of another family than the service exclude connection sync: leave out the section ' +
      'sync, or give them addresses of the family of the service';
    report.error(['services', name, 'servers'], message, 'bare');
  }
}

/**
 * With nat_icmp_send the kernel drops whatever a server of a NAT service sends that belongs to no
 * connection of IPVS (ip_vs_out in ip_vs_core.c), and that is its answers to our own checks too.
 */
function reportChecksWithIcmp({ ipvs, services }: Config, report: Report): void {
  if (ipvs.settings.nat_icmp_send !== '1') return;
  const checked = services.find(({ servers, sorryServers }) =>
    [...servers, ...sorryServers].some((one) => one.check !== null && one.forwarding === 'nat'),
  );
  if (checked === undefined) return;
  const message = `the kernel then drops the answers of real servers to checks, and services.${checked.name} is checked`;
  report.error(['ipvs', 'settings', 'nat_icmp_send'], message, 'bare');
}

/** What checks through virtual IPs mark must not be carried elsewhere, nor anything else with it. */
function reportCheckMarks({ ipvs, services }: Config, report: Report): void {
  if (!usesCheckMarks(services)) return;
  const [first, last] = checkMarks(ipvs.checkMarkBase);
  const isTaken = (mark: number) => mark >= first && mark <= last;
  const cure = `it is among the marks from ${first} to ${last}, of which checks with through_vip take some: choose another one, or another ipvs.check_mark_base`;
  for (const service of services) {
    const { name, entries } = service;
    if (entries.some(({ identity }) => identity.kind === 'fwmark' && isTaken(identity.mark))) {
      report.error(['services', name, 'fwmark'], cure, 'bare');
    }
    const marked = allServers(service).some(
      ({ check }) =>
        check !== null &&
        isSocketCheck(check) &&
        check.via === null &&
        check.mark !== null &&
        isTaken(check.mark),
    );
    if (marked) report.error(['services', name, 'check', 'mark'], cure, 'bare');
  }
}

/** Hints take samples when the table is compared, and need three of them in their window. */
function warnOfUnseenHints({ services, ipvs }: Config, report: Report): void {
  const interval = formatDuration(ipvs.reconcileIntervalUs);
  for (const { name, passive } of services) {
    if (passive.action === 'off' || ipvs.reconcileIntervalUs < passive.windowUs) continue;
    const message = `sees nothing: the table is looked at every ${interval}. Give it a window of more than that, or ipvs.reconcile_interval less than ${formatDuration(passive.windowUs)}`;
    report.warning(['services', name, 'passive'], message);
  }
}

/** A service whose address nobody carries gets no traffic, unless another program does. */
function warnOfHomelessServices(config: Config, report: Report): void {
  if (config.vrrp.length === 0) return;
  const carried = new Set(config.vrrp.flatMap(({ addresses }) => addresses.map((a) => a.address)));
  /** Services by the addresses that nobody carries. */
  const homeless = new Map<string, Set<string>>();
  for (const { name, entries } of config.services) {
    for (const { identity } of entries) {
      if (identity.kind === 'fwmark' || carried.has(identity.address)) continue;
      const names = homeless.get(identity.address);
      if (names === undefined) homeless.set(identity.address, new Set([name]));
      else names.add(name);
    }
  }
  // Each address once, with the first service that has it.
  const byService = new Map<string, string[]>();
  for (const [address, [name = '']] of homeless) {
    const its = byService.get(name);
    if (its === undefined) byService.set(name, [address]);
    else its.push(address);
  }
  for (const [name, [first = '', ...others]] of byService) {
    const more = others.length === 0 ? '' : ` and ${others.length} more of its addresses`;
    const also = (homeless.get(first)?.size ?? 1) - 1;
    const services =
      also === 0 ? '' : `, which ${also} more service${also === 1 ? ' has' : 's have'}`;
    report.warning(
      ['services', name, 'address'],
      `no VRRP instance carries ${first}${more}${services}`,
    );
  }
}

/**
 * `vipkeeper plan [FILE]`: what applying a configuration would change in the IPVS table, as a diff
 * or as JSON. A running director is asked what it knows and reads the table itself; without one
 * the kernel is read here. Nothing is changed.
 */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type ConfigError, formatConfigErrors } from '../config/errors.ts';
import type { Config, ServiceConfig } from '../core/config/config.ts';
import { hasEnded, type Override, overrideKey } from '../core/health/override.ts';
import type { FieldChange } from '../core/ipvs/compare.ts';
import { leavingPath } from '../core/ipvs/leaving.ts';
import type { ObservedService } from '../core/ipvs/model.ts';
import { NOTHING_OWNED, type OwnedSet, ownedFromJson } from '../core/ipvs/owned.ts';
import { readOwnedText } from '../core/ipvs/owned-journal.ts';
import {
  type Knowledge,
  type Preview,
  type PreviewItem,
  previewTable,
} from '../core/ipvs/preview.ts';
import { tableServices } from '../core/ipvs/through-vip.ts';
import { formatProblem, type Problem } from '../core/problem.ts';
import { err, ok, type Result } from '../core/result.ts';
import type { TableView } from '../core/status.ts';
import { DEFAULT_RUNTIME_DIRECTORY, EXIT } from './commands.ts';
import { askDirector, directorRuns } from './control-client.ts';
import { durationText, overrideText } from './status-view.ts';
import { type Line, progressOf, render, type Style, span, type Terminal } from './terminal.ts';
import { DEFAULT_CONFIG } from './usage.ts';

/** A busy director with ten thousand services tells all it knows in some seconds. */
const TABLE_TIMEOUT_MS = 60_000;

export interface PlanOptions {
  /** Configuration file; null for the one that a reload would read, or the default one. */
  readonly file: string | null;
  readonly director: string | null;
  readonly runtimeDirectory: string;
  readonly json: boolean;
}

export type ReadTable = () => Promise<Result<readonly ObservedService[], Problem>>;
/** What operators decided, as it is recorded for the next start with that runtime directory. */
export type ReadOverrides = (runtimeDirectory: string) => Promise<readonly Override[]>;

interface Wanted {
  readonly services: readonly ServiceConfig[];
  readonly ownership: Config['ipvs']['ownership'];
  readonly onRemove: Config['ipvs']['onRemove'];
  readonly drainTimeoutUs: number;
}

/** Who wrote the errors of a configuration out has nothing more to say. */
type Refusal = Problem | 'told';

interface Ports {
  readonly terminal: Terminal;
  readonly readTable: ReadTable;
  readonly readOverrides: ReadOverrides;
  /** Tells what is being done. */
  readonly progress: (doing: string | null) => void;
}

/** Exit status: changes when something would change. */
export async function plan(
  options: PlanOptions,
  terminal: Terminal,
  { readTable, readOverrides }: Pick<Ports, 'readTable' | 'readOverrides'>,
): Promise<number> {
  const running = await directorRuns(options.runtimeDirectory);
  const ports = { terminal, readTable, readOverrides, progress: progressOf(terminal) };
  const found = running
    ? await withDirector(options, ports)
    : await withoutDirector(options, ports);
  ports.progress(null);
  if (!found.ok) {
    if (found.error === 'told') return EXIT.failed;
    terminal.err(`${formatProblem(found.error)}\n`);
    return EXIT.failed;
  }
  const preview = found.value;
  if (options.json) terminal.out(`${JSON.stringify({ running, ...preview }, null, 2)}\n`);
  else terminal.out(render(lines(preview), { color: terminal.color, columns: null, rows: null }));
  return preview.add + preview.change + preview.drain + preview.delete === 0
    ? EXIT.ok
    : EXIT.changes;
}

/** The table of this network namespace. */
export async function readKernelTable(): Promise<Result<readonly ObservedService[], Problem>> {
  const { IpvsClient } = await import('../linux/ipvs/client.ts');
  const opened = IpvsClient.open();
  if (!opened.ok) return opened;
  try {
    return await opened.value.dump();
  } finally {
    opened.value.close();
  }
}

async function withDirector(options: PlanOptions, ports: Ports): Promise<Result<Preview, Refusal>> {
  const { progress } = ports;
  progress('Asking the director');
  const asked = await askDirector(options.runtimeDirectory, '/v1/table', 'GET', TABLE_TIMEOUT_MS);
  if (!asked.ok) return asked;
  const view = JSON.parse(asked.value) as TableView;
  const file = options.file ?? view.configFile;
  const wanted = await readWanted(file, options.director ?? view.director, ports);
  if (!wanted.ok) return wanted;
  const observed = view.observed === null ? await ports.readTable() : ok(view.observed);
  if (!observed.ok) return observed;
  const owned = ownedFromJson(view.owned);
  const passive = new Set(view.passive);
  const knowledge: Knowledge = {
    nowUs: view.nowUs,
    checks: new Map(Object.entries(view.checks)),
    pools: new Map(Object.entries(view.pools)),
    active: new Set(view.active),
    nowMs: Date.now(),
    leaving: new Map(view.leaving.map((one) => [leavingPath(one), one])),
    passive: (service, server) => passive.has(overrideKey(service, server)),
    override: byServer(view.overrides),
  };
  const { services, ownership, onRemove, drainTimeoutUs } = wanted.value;
  progress(comparing(services));
  return ok(
    previewTable({
      services,
      ownership,
      onRemove: { onRemove, drainTimeoutUs },
      observed: observed.value,
      owned: owned.ok ? owned.value : NOTHING_OWNED,
      knowledge,
    }),
  );
}

async function withoutDirector(
  options: PlanOptions,
  ports: Ports,
): Promise<Result<Preview, Refusal>> {
  const wanted = await readWanted(options.file ?? DEFAULT_CONFIG, options.director, ports);
  if (!wanted.ok) return wanted;
  ports.progress("Reading the kernel's table");
  const observed = await ports.readTable();
  if (!observed.ok) return observed;
  const { services, ownership, runtimeDirectory, onRemove, drainTimeoutUs } = wanted.value;
  const named = options.runtimeDirectory !== DEFAULT_RUNTIME_DIRECTORY;
  const directory = named ? options.runtimeDirectory : runtimeDirectory;
  const owned = await readOwned(directory);
  const nowMs = Date.now();
  const decided = await ports.readOverrides(directory);
  const knowledge: Knowledge = {
    nowUs: 0,
    checks: new Map(),
    pools: new Map(),
    // Nothing is active here without a director.
    active: new Set(),
    nowMs,
    leaving: new Map(),
    passive: () => false,
    override: byServer(decided.filter((one) => !hasEnded(one, nowMs))),
  };
  ports.progress(comparing(services));
  return ok(
    previewTable({
      ...{ services, ownership, onRemove: { onRemove, drainTimeoutUs } },
      ...{ observed: observed.value, owned, knowledge },
    }),
  );
}

function byServer(overrides: readonly Override[]): Knowledge['override'] {
  const known = new Map(overrides.map((one) => [overrideKey(one.service, one.server), one]));
  return (service, server) => known.get(overrideKey(service, server)) ?? null;
}

async function readWanted(
  file: string,
  director: string | null,
  { terminal, progress }: Ports,
): Promise<Result<Wanted & { readonly runtimeDirectory: string }, 'told'>> {
  progress(`Reading ${file}`);
  const { readConfigFile } = await import('../config/yaml.ts');
  const read: Result<Config, ConfigError[]> = await readConfigFile(file, {
    director,
    hostname: hostname(),
  });
  if (!read.ok) {
    progress(null);
    terminal.err(formatConfigErrors(read.error, { color: terminal.errColor }));
    return err('told');
  }
  const { services, ipvs, runtimeDirectory } = read.value;
  const { ownership, onRemove, drainTimeoutUs } = ipvs;
  return ok({
    services: tableServices(services),
    ownership,
    onRemove,
    drainTimeoutUs,
    runtimeDirectory,
  });
}

function comparing({ length }: readonly ServiceConfig[]): string {
  return `Comparing ${length} ${length === 1 ? 'service' : 'services'}`;
}

/** What an earlier run has recorded as its own; nothing without a record. */
async function readOwned(runtimeDirectory: string): Promise<OwnedSet> {
  try {
    return readOwnedText(await readFile(join(runtimeDirectory, 'ipvs-owned.json'), 'utf8')).owned;
  } catch {
    // No earlier run in this boot: the director would claim anew.
    return NOTHING_OWNED;
  }
}

const SIGNS: Readonly<Record<PreviewItem['action'], readonly [sign: string, style: Style]>> = {
  add: ['+', 'good'],
  change: ['~', 'warn'],
  drain: ['~', 'warn'],
  delete: ['-', 'bad'],
  leave: ['=', 'dim'],
};

function lines(preview: Preview): Line[] {
  const shown: Line[] = [];
  let service: string | null = null;
  for (const item of preview.items) {
    // A service that stays as it is still heads the changes of its servers.
    if (item.server !== null && item.service !== service) {
      shown.push([span(`  ${title(item)}`, 'strong')]);
    }
    service = item.service;
    const [sign, style] = SIGNS[item.action];
    const what = item.server === null ? title(item) : `    ${item.server}`;
    const why = reason(item);
    shown.push([
      span(`${sign} ${what}${fieldsText(item)}${why === null ? '' : `  (${why})`}`, style),
    ]);
  }
  const { add, change, drain, leave } = preview;
  const drains = drain === 0 ? '' : `, ${drain} to drain and delete`;
  const total = `${add} to add, ${change} to change${drains}, ${preview.delete} to delete`;
  const none = add + change + drain + preview.delete === 0;
  const foreign = leave === 0 ? '' : `; ${leave} foreign left alone`;
  const summary = none ? `Nothing to change${foreign}` : `Plan: ${total}${foreign}`;
  return shown.length === 0 ? [[span(summary)]] : [...shown, [], [span(summary)]];
}

function title({ service, name }: PreviewItem): string {
  return name === null ? service : `${name}: ${service}`;
}

function fieldsText({ action, fields }: PreviewItem): string {
  if (fields.length === 0) return '';
  const text = ({ name, from, to }: FieldChange) => {
    if (action === 'add') return `${name} ${to}`;
    return action === 'delete' ? `${name} ${from}` : `${name} ${from} -> ${to}`;
  };
  return `  ${fields.map(text).join(', ')}`;
}

/**
 * Why it is as it is planned, as the status has it, and who wants it so; null where the file says
 * it all.
 */
function reason(item: PreviewItem): string | null {
  const { action, class: kind, drainTimeoutUs, weightReason, override } = item;
  const weighed = item.fields.some(({ name }) => name === 'weight');
  if (weightReason !== null && weightReason !== 'healthy' && weighed) {
    return override === null ? weightReason : `${weightReason}; ${overrideText(override)}`;
  }
  if (kind === 'missing' || kind === 'altered') return null;
  if (action === 'drain') {
    const most = durationText((drainTimeoutUs ?? 0) / 1_000_000);
    return `leaves: deleted when its last connection ends, after ${most} at most`;
  }
  if (kind === 'leftover') return 'leftover of ours';
  return action === 'delete' ? 'foreign, and ownership is exclusive' : 'foreign';
}

/**
 * `vipkeeper simulate CONFIG...`: what would become of the operator's own directors, in the
 * simulator that tests the daemon: their configurations, a script of faults or a tour, and the
 * timeline that follows. It reads files and writes at most the picture; it touches nothing else.
 */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, resolve } from 'node:path';
import { directorNames } from '../config/director-names.ts';
import { arrangeErrors, type ConfigError, formatConfigErrors } from '../config/errors.ts';
import { readFaultScript, type ScriptFault } from '../config/fault-script.ts';
import { formatDuration, NAME_PATTERN, parseDuration } from '../config/values.ts';
import { readConfigFile } from '../config/yaml.ts';
import type { Config } from '../core/config/config.ts';
import { err, ok, type Result } from '../core/result.ts';
import {
  endOf,
  OPERATOR_DIRECTORS_MAX,
  type OperatorWorld,
  type PlannedFault,
  reloadedInstances,
  tourOf,
  worldOf,
} from '../core/sim/operator.ts';
import type { SimFault } from '../core/sim/scenario.ts';
import { type Timeline, timelineOf } from '../core/sim/timeline.ts';
import { EXIT } from './commands.ts';
import { differencesOf } from './simulate-differences.ts';
import { timelineSvg } from './simulate-svg.ts';
import { timelineLines } from './simulate-text.ts';
import { faultText } from './simulate-words.ts';
import { render, type Terminal } from './terminal.ts';
import { UsageError } from './usage.ts';

export interface SimulateOptions {
  readonly files: readonly string[];
  readonly directors: readonly string[];
  readonly script: string | null;
  /** Text such as '60s'; null for until everything has come to rest. */
  readonly duration: string | null;
  readonly seed: string;
  readonly svg: string | null;
  readonly json: boolean;
}

/** More would be simulated for minutes. */
const DURATION_MAX_US = 3_600_000_000;
const SEED_MAX = 2 ** 32 - 1;
const SCRIPT_BYTES_MAX = 1024 * 1024;
/** Director that stands for `default` where only one is named. */
const OTHER = 'other';

/** Exit status: 0 when every promise held, 1 when one was broken, 2 when it cannot be run. */
export async function simulate(options: SimulateOptions, terminal: Terminal): Promise<number> {
  const durationUs = readDuration(options.duration);
  const seed = readSeed(options.seed);
  const configs = await readConfigs(options);
  if (!configs.ok) return refuse(configs.error, options, terminal);
  const world = worldOf(configs.value, seed);
  const planned = await plan(world, configs.value, { ...options, durationUs });
  if (!planned.ok) return refuse(planned.error, options, terminal);
  const { faults, differences } = planned.value;
  const endUs = Math.min(endOf(world, faults), DURATION_MAX_US);
  const timeline = timelineOf({
    world,
    planned: faults,
    seed,
    durationUs: durationUs ?? endUs,
  });
  if (options.json)
    terminal.out(`${JSON.stringify({ ...documentOf(timeline), differences }, null, 2)}\n`);
  else {
    const { color } = terminal;
    const lines = timelineLines(timeline, differences);
    terminal.out(render(lines, { color, columns: null, rows: null }));
  }
  // Last, so that a file that cannot be written costs nobody the timeline.
  if (options.svg !== null) {
    await writePicture(options.svg, timeline);
    if (!options.json) terminal.out(`The picture is in ${options.svg}\n`);
  }
  return timeline.broken.length === 0 ? EXIT.ok : EXIT.failed;
}

function refuse(
  errors: readonly ConfigError[],
  { json }: SimulateOptions,
  terminal: Terminal,
): number {
  if (json) terminal.out(`${JSON.stringify({ valid: false, errors })}\n`);
  else terminal.err(formatConfigErrors(errors, { color: terminal.errColor }));
  return EXIT.usage;
}

function readDuration(text: string | null): number | null {
  if (text === null) return null;
  const durationUs = parseDuration(text);
  if (durationUs !== null && durationUs > 0 && durationUs <= DURATION_MAX_US) return durationUs;
  const most = formatDuration(DURATION_MAX_US);
  throw new UsageError(`--for takes a duration such as 60s, at most ${most}`, 'simulate');
}

function readSeed(text: string): number {
  const seed = Number(text);
  if (/^\d{1,10}$/.test(text) && seed <= SEED_MAX) return seed;
  throw new UsageError(`--seed takes a whole number from 0 to ${SEED_MAX}`, 'simulate');
}

/** One file for several directors, or a file for each. */
async function readConfigs(
  options: SimulateOptions,
): Promise<Result<readonly Config[], readonly ConfigError[]>> {
  const { files, directors } = options;
  const wrong = directors.find((name) => !NAME_PATTERN.test(name));
  if (wrong !== undefined) {
    throw new UsageError(`${JSON.stringify(wrong)} cannot be the name of a director`, 'simulate');
  }
  const [file] = files;
  if (file === undefined) throw new UsageError('No configuration is given', 'simulate');
  const pairs = files.length === 1 ? await fromOne(file, directors) : fromSeveral(files, directors);
  const configs: Config[] = [];
  const errors: ConfigError[] = [];
  for (const { path, director, otherwise } of pairs) {
    const read = await readConfigFile(path, { director, hostname: otherwise });
    if (read.ok) configs.push(read.value);
    else errors.push(...read.error);
  }
  // One file is read for each director, and most of its errors are the same for all.
  if (errors.length > 0) return err(files.length === 1 ? arrangeErrors(errors) : errors);
  checkDirectors(configs);
  return ok(configs);
}

interface Pair {
  readonly path: string;
  /** Null for the file's own. */
  readonly director: string | null;
  readonly otherwise: string;
}

async function fromOne(path: string, directors: readonly string[]): Promise<readonly Pair[]> {
  const found = directors.length > 0 ? directors : await namesIn(path);
  // A file that cannot be read, or names nobody, is read once: for its errors.
  const names = found.length === 0 ? [OTHER] : found;
  return names.map((director) => ({ path, director, otherwise: director }));
}

async function namesIn(path: string): Promise<readonly string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const { names, hasDefault } = directorNames(text);
  return names.length === 1 && hasDefault ? [...names, OTHER] : names;
}

function fromSeveral(files: readonly string[], directors: readonly string[]): readonly Pair[] {
  if (directors.length > 0 && directors.length !== files.length) {
    throw new UsageError(
      `There are ${files.length} files and ${directors.length} directors`,
      'simulate',
      'Give --director once for each file, or not at all',
    );
  }
  return files.map((path, index) => ({
    path,
    director: directors[index] ?? null,
    otherwise: basename(path, extname(path)),
  }));
}

function checkDirectors(configs: readonly Config[]): void {
  const names = configs.map(({ director }) => director);
  if (configs.length < 2) {
    throw new UsageError(
      'Only one director is known',
      'simulate',
      'Name them with --director, or give values per director in the file, or a file for each',
    );
  }
  if (configs.length > OPERATOR_DIRECTORS_MAX) {
    throw new UsageError(
      `At most ${OPERATOR_DIRECTORS_MAX} directors can be simulated`,
      'simulate',
    );
  }
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new UsageError(
      `Two directors are called ${twice}`,
      'simulate',
      'Name them with --director',
    );
  }
  const bare = configs.find(({ vrrp }) => vrrp.length === 0);
  if (bare !== undefined) {
    throw new UsageError(
      `Director ${bare.director} has no VRRP instance, so there is nothing to simulate`,
      'simulate',
      'Add one to its configuration',
    );
  }
}

interface Plan {
  readonly faults: readonly PlannedFault[];
  /** What directors have not in common, at the beginning and after reloads. */
  readonly differences: readonly string[];
}

async function plan(
  world: OperatorWorld,
  configs: readonly Config[],
  options: { readonly script: string | null; readonly durationUs: number | null },
): Promise<Result<Plan, readonly ConfigError[]>> {
  const { script, durationUs } = options;
  if (script === null) {
    const instance = configs[0]?.vrrp[0]?.name ?? '';
    const tour = tourOf(world, instance);
    const faults = tour.filter(({ fault }) => fault.atUs < (durationUs ?? Infinity));
    return ok({ faults, differences: differencesOf(configs) });
  }
  const text = await readScript(script);
  const read = readFaultScript(text, { file: script, world, durationUs });
  if (!read.ok) return read;
  return withReloads(read.value, { world, configs, script });
}

async function readScript(path: string): Promise<string> {
  const refuse = (reason: string): never => {
    throw new UsageError(`The script ${path} cannot be read: ${reason}`, 'simulate');
  };
  const found = await stat(path).catch((error: unknown) => refuse(reasonOf(error)));
  if (!found.isFile()) return refuse('not a regular file');
  if (found.size > SCRIPT_BYTES_MAX) return refuse(`larger than ${SCRIPT_BYTES_MAX} bytes`);
  return readFile(path, 'utf8').catch((error: unknown) => refuse(reasonOf(error)));
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Reads the files of reloads, which are relative to the script. */
async function withReloads(
  faults: readonly ScriptFault[],
  context: {
    readonly world: OperatorWorld;
    readonly configs: readonly Config[];
    readonly script: string;
  },
): Promise<Result<Plan, readonly ConfigError[]>> {
  const { world, configs, script } = context;
  const differences = new Set(differencesOf(configs));
  const planned: PlannedFault[] = [];
  const errors: ConfigError[] = [];
  const current = [...configs];
  for (const { fault, activeOf, reloadFile } of faults) {
    if (fault.kind !== 'reload' || reloadFile === null) {
      planned.push({ fault, activeOf });
      continue;
    }
    const director = configs[fault.director]?.director ?? '';
    const path = resolve(dirname(script), reloadFile);
    const read = await readConfigFile(path, { director, hostname: director });
    if (!read.ok) {
      errors.push(...read.error);
      continue;
    }
    current[fault.director] = read.value;
    for (const one of differencesOf(current)) differences.add(one);
    const instances = reloadedInstances(world, fault.director, current);
    planned.push({ fault: { ...fault, instances }, activeOf });
  }
  return errors.length > 0 ? err(errors) : ok({ faults: planned, differences: [...differences] });
}

async function writePicture(path: string, timeline: Timeline): Promise<void> {
  try {
    await writeFile(path, timelineSvg(timeline));
  } catch (error) {
    throw new UsageError(`The picture cannot be written: ${reasonOf(error)}`, 'simulate');
  }
}

/** For scripts: the timeline with its faults in words, and without keys and passwords. */
function documentOf(timeline: Timeline): object {
  const { directors, faults } = timeline;
  return {
    ...timeline,
    held: timeline.broken.length === 0,
    faults: faults.map((fault) => ({ ...publicFault(fault), text: faultText(fault, directors) })),
  };
}

function publicFault(fault: SimFault): object {
  if (fault.kind !== 'reload') return fault;
  const { instances, ...rest } = fault;
  return { ...rest, instances: instances.map(({ config }) => config.name) };
}

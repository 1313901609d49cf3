/**
 * Fault scripts for `vipkeeper simulate`: a YAML list of what happens to a cluster and when, read
 * into the faults of core/sim, or all errors at once, each with its place. What ends a fault is a
 * step of its own (`link-up`), or its `for`; a fault with neither lasts until the end.
 */

import { err, ok, type Result } from '../core/result.ts';
import { NEVER_ENDS_US, type OperatorWorld, type PlannedFault } from '../core/sim/operator.ts';
import { FAULT_KINDS, type LinkConditions, type SimFault } from '../core/sim/scenario.ts';
import { ConfigDocument } from './document.ts';
import { arrangeErrors, type ConfigError } from './errors.ts';
import {
  list,
  type Output,
  optional,
  Refusal,
  readAs,
  scalar,
  section,
  truth,
  whole,
  word,
} from './forms.ts';
import { Report } from './report.ts';
import { joinWords, nearestKey } from './suggest.ts';
import { DURATION_PATTERN, formatDuration, parseDuration } from './values.ts';
import * as yaml from './yaml-values.ts';

/** Words that end the latest fault of these kinds at the same director, or on the LAN. */
const ENDS = {
  start: ['crash', 'power-loss', 'stop'],
  resume: ['stall', 'freeze'],
  takeback: ['handover'],
  'link-up': ['link-down'],
  'controller-back': ['controller-lost'],
  'clock-back': ['clock-step'],
  'right-key': ['wrong-key'],
  'tracker-up': ['tracker-down'],
  heal: ['partition', 'storm'],
} as const satisfies Readonly<Record<string, readonly SimFault['kind'][]>>;
type EndWord = keyof typeof ENDS;
type FaultWord = (typeof FAULT_KINDS)[number] | EndWord;

const WORDS: readonly FaultWord[] = [...FAULT_KINDS, ...(Object.keys(ENDS) as EndWord[])];

/** What stands for whoever is active at that moment. */
const ACTIVE = 'active';
const DAY_US = 86_400_000_000;
const STEPS_MAX = 1_000;
const DRIFT_MAX_PPM = 10_000;

/** Keys of each word beside `at` and `fault`. */
const DIRECTOR = ['director', 'instance'] as const;
const LASTING = [...DIRECTOR, 'for'] as const;
const KEYS: Readonly<Record<FaultWord, readonly string[]>> = {
  crash: LASTING,
  'power-loss': LASTING,
  stall: LASTING,
  freeze: [...LASTING, 'clock', 'packets'],
  stop: LASTING,
  handover: LASTING,
  'link-down': [...LASTING, 'interface'],
  'controller-lost': LASTING,
  drift: [...DIRECTOR, 'ppm'],
  'clock-step': [...LASTING, 'by'],
  'wrong-key': LASTING,
  'address-theft': DIRECTOR,
  'tracker-down': [...LASTING, 'tracker'],
  reload: ['director', 'file'],
  partition: [...LASTING, 'between', 'direction', 'interface'],
  storm: ['for', 'loss', 'delay', 'jitter', 'duplicate', 'corrupt', 'reorder', 'interface'],
  start: DIRECTOR,
  resume: DIRECTOR,
  takeback: DIRECTOR,
  'link-up': DIRECTOR,
  'controller-back': DIRECTOR,
  'clock-back': DIRECTOR,
  'right-key': DIRECTOR,
  'tracker-up': [...DIRECTOR, 'tracker'],
  heal: [],
};

/** Without these a fault means nothing. */
const NEEDED: Readonly<Partial<Record<FaultWord, string>>> = {
  drift: 'ppm',
  'clock-step': 'by',
  'tracker-down': 'tracker',
  reload: 'file',
};

function duration(expects: string) {
  return scalar(expects, yaml.string({ pattern: DURATION_PATTERN }), (text) => {
    const durationUs = parseDuration(text);
    return durationUs === null || durationUs > DAY_US ? undefined : durationUs;
  });
}

const SPAN = 'a duration of at most a day with its unit (us, ms, s, m, h or d)';

const percent = () =>
  scalar('a percentage such as 20%', yaml.string(), (text) => {
    const match = /^(\d{1,3}(?:\.\d{1,4})?)%$/.exec(text);
    const ppm = match === null ? -1 : Math.round(Number(match[1]) * 10_000);
    return ppm < 0 || ppm > 1_000_000 ? undefined : ppm;
  });

const signed = () =>
  scalar('a duration, such as 10s or -10s', yaml.string(), (text) => {
    const back = text.startsWith('-');
    const durationUs = parseDuration(back ? text.slice(1) : text);
    if (durationUs === null || durationUs > DAY_US) return undefined;
    return back ? -durationUs : durationUs;
  });

const text = (expects: string) =>
  scalar(expects, yaml.string({ min: 1, max: 1024 }), (value) => value);

const faultWord = () =>
  scalar<string, FaultWord>('the name of a fault', yaml.string(), (value) => {
    const known = WORDS.find((candidate) => candidate === value);
    if (known !== undefined) return known;
    const plain = WORDS.map((candidate) => candidate.replaceAll('-', '_'));
    const nearest = nearestKey(value, plain);
    const meant = nearest === null ? undefined : WORDS[plain.indexOf(nearest)];
    return new Refusal(
      meant === undefined
        ? `expected a fault: ${joinWords(WORDS, 'or')}`
        : `unknown fault, did you mean ${meant}?`,
    );
  });

const stepSchema = section(() => ({
  at: duration(SPAN),
  fault: faultWord(),
  director: optional(text('the name of a director')),
  instance: optional(text('the name of an instance')),
  for: optional(duration(SPAN)),
  interface: optional(text('the name of an interface')),
  tracker: optional(text('the name of a tracker')),
  file: optional(text('a configuration file')),
  clock: optional(word(['runs', 'stops'])),
  packets: optional(word(['lost', 'wait'])),
  ppm: optional(whole(-DRIFT_MAX_PPM, DRIFT_MAX_PPM)),
  by: optional(signed()),
  between: optional(list(list(text('the name of a director'), 1), 2)),
  direction: optional(word(['both', 'out', 'in'])),
  loss: optional(percent()),
  duplicate: optional(percent()),
  corrupt: optional(percent()),
  delay: optional(duration(SPAN)),
  jitter: optional(duration(SPAN)),
  reorder: optional(truth()),
}));
type Step = Output<typeof stepSchema>;

export interface ScriptOptions {
  readonly file: string;
  readonly world: OperatorWorld;
  /** When the run ends; null for when the script has come to rest. */
  readonly durationUs: number | null;
}

/** A fault of a script; a reload has its file, which is yet to be read. */
export interface ScriptFault extends PlannedFault {
  readonly reloadFile: string | null;
}

/** The faults in their order of time, or the errors in the file's order. */
export function readFaultScript(
  content: string,
  options: ScriptOptions,
): Result<readonly ScriptFault[], ConfigError[]> {
  const document = ConfigDocument.parse(content);
  const start = { file: options.file, path: '' };
  if (!(document instanceof ConfigDocument)) {
    return err([{ ...start, ...document, code: 'VK-CONFIG-SYNTAX' }]);
  }
  const faults = document.faults.map((fault): ConfigError => {
    const { line, column, path, message, found, harmless } = fault;
    const code = harmless ? 'VK-CONFIG-INVALID' : 'VK-CONFIG-SYNTAX';
    return { code, file: options.file, line, column, path, message, found };
  });
  if (document.faults.some((fault) => !fault.harmless)) return err(arrangeErrors(faults));
  const report = new Report({ document, file: options.file, director: '' });
  const reader = new ScriptReader(options, report);
  const planned = reader.read(document.value);
  const errors = [...faults, ...report.errors];
  return errors.length > 0 ? err(arrangeErrors(errors)) : ok(planned);
}

interface Placed {
  readonly step: Step;
  readonly place: number;
}

class ScriptReader {
  readonly #options: ScriptOptions;
  readonly #report: Report;
  readonly #directors: readonly string[];

  constructor(options: ScriptOptions, report: Report) {
    this.#options = options;
    this.#report = report;
    this.#directors = options.world.cluster.directors.map(({ name }) => name);
  }

  read(value: unknown): readonly ScriptFault[] {
    if (!Array.isArray(value)) {
      this.#report.error(
        [],
        'expected a list of steps such as "- {at: 5s, fault: crash, director: NAME}"',
      );
      return [];
    }
    if (value.length > STEPS_MAX)
      this.#report.error([], `expected at most ${STEPS_MAX} steps`, 'bare');
    const steps = value.slice(0, STEPS_MAX).flatMap((raw, place) => this.#parse(raw, place));
    const sorted = [...steps].sort((left, right) => left.step.at - right.step.at);
    return sorted.flatMap((placed, index) => {
      if (isEnd(placed.step.fault)) {
        this.#checkEnd(placed, sorted.slice(0, index));
        return [];
      }
      return this.#faultsOf(placed, sorted.slice(index + 1));
    });
  }

  #parse(raw: unknown, place: number): readonly Placed[] {
    const parsed = readAs(stepSchema, raw);
    if (!parsed.ok) {
      for (const issue of parsed.error) {
        this.#report.issue({ ...issue, path: [place, ...issue.path] });
      }
      return [];
    }
    const step = parsed.value;
    this.#checkKeys(step, place);
    this.#checkNames(step, place);
    const { durationUs } = this.#options;
    if (durationUs !== null && step.at >= durationUs) {
      this.#report.error([place, 'at'], `the run ends at ${formatDuration(durationUs)}`);
    }
    return [{ step, place }];
  }

  #checkKeys(step: Step, place: number): void {
    const allowed = ['at', 'fault', ...KEYS[step.fault]];
    for (const key of Object.keys(step)) {
      if (allowed.includes(key)) continue;
      const others = KEYS[step.fault];
      const takes = others.length === 0 ? 'nothing but at' : joinWords(others, 'and');
      this.#report.error([place, key], `not used by ${step.fault}, which takes ${takes}`, 'bare');
    }
    const needed = NEEDED[step.fault];
    if (needed !== undefined && step[needed as keyof Step] === undefined) {
      this.#report.error([place, needed], `expected ${needed} with ${step.fault}`, 'bare');
    }
    const hits = KEYS[step.fault].includes('director');
    if (hits && step.director === undefined && step.between === undefined) {
      const names = joinWords([...this.#directors, ACTIVE], 'or');
      const groups = KEYS[step.fault].includes('between') ? ', or between: [[A], [B]]' : '';
      this.#report.error([place, 'director'], `expected a director: ${names}${groups}`, 'bare');
    }
    if (step.director !== undefined && step.between !== undefined) {
      this.#report.error([place, 'between'], 'not used beside director', 'bare');
    }
  }

  #checkNames(step: Step, place: number): void {
    const { world } = this.#options;
    const instances = world.cluster.directors.flatMap((director) =>
      director.instances.map(({ config }) => config.name),
    );
    const interfaces = world.interfaces.map((one) => one.interface);
    const check = (key: 'director' | 'instance' | 'interface' | 'tracker', known: string[]) => {
      const value = step[key];
      if (value !== undefined) this.#checkName([place, key], value, known);
    };
    check('director', [...this.#directors, ACTIVE]);
    check('instance', [...new Set(instances)]);
    check('interface', [...new Set(interfaces)]);
    check('tracker', [...world.trackers]);
    const listed = new Set<string>();
    for (const [group, members] of (step.between ?? []).entries()) {
      for (const [member, name] of members.entries()) {
        const path = [place, 'between', group, member];
        if (listed.has(name)) this.#report.error(path, `${name} is in two groups`, 'bare');
        else this.#checkName(path, name, [...this.#directors]);
        listed.add(name);
      }
    }
    const missing = this.#directors.find((name) => !listed.has(name));
    if (step.between !== undefined && missing !== undefined) {
      this.#report.error([place, 'between'], `${missing} is in none of the groups`, 'bare');
    }
  }

  #checkName(path: readonly (string | number)[], value: string, known: readonly string[]): void {
    if (known.includes(value)) return;
    const nearest = nearestKey(value, known);
    const hint =
      nearest === null ? `expected ${joinWords(known, 'or')}` : `did you mean ${nearest}?`;
    this.#report.error(path, hint);
  }

  #checkEnd({ step, place }: Placed, before: readonly Placed[]): void {
    const begun = before.some((placed) => ends(step, placed.step));
    if (begun) return;
    const kinds = joinWords(ENDS[step.fault as EndWord], 'or');
    this.#report.error([place, 'fault'], `no ${kinds} before it that it could end`, 'bare');
  }

  #faultsOf({ step }: Placed, after: readonly Placed[]): readonly ScriptFault[] {
    const activeOf = step.director === ACTIVE ? (step.instance ?? this.#firstInstance()) : null;
    const planned = (fault: SimFault): ScriptFault => ({
      fault,
      activeOf,
      reloadFile: step.fault === 'reload' ? (step.file ?? null) : null,
    });
    const forUs = this.#forUs(step, after);
    if (step.fault !== 'partition' || step.between === undefined) {
      const fault = this.#faultOf(step, forUs);
      return fault === null ? [] : [planned(fault)];
    }
    const groups = step.between.map((group) => this.#side(group));
    // The last group is cut off by what cuts off the others.
    const cut = groups.length === 2 ? groups.slice(0, 1) : groups;
    return cut.map((side) => planned(this.#partition(step, side, forUs)));
  }

  /** Until its `for` is over, or what ends it happens; as long as a run may be, if neither. */
  #forUs(step: Step, after: readonly Placed[]): number {
    if (step.for !== undefined) return step.for;
    const end = after.find((placed) => ends(placed.step, step));
    return end === undefined ? NEVER_ENDS_US : Math.max(end.step.at - step.at, 1);
  }

  #faultOf(step: Step, forUs: number): SimFault | null {
    const { at: atUs } = step;
    const director = Math.max(0, this.#directors.indexOf(step.director ?? ''));
    const lan = this.#lanOf(step);
    const kind = step.fault;
    switch (kind) {
      case 'freeze': {
        const clockStops = step.clock === 'stops';
        return { kind, atUs, director, forUs, clockStops, packetsWait: step.packets === 'wait' };
      }
      case 'link-down':
        return { kind, atUs, director, forUs, lan };
      case 'drift':
        return { kind, atUs, director, driftPpm: step.ppm ?? 0 };
      case 'clock-step':
        return { kind, atUs, director, forUs, byUs: step.by ?? 0 };
      case 'address-theft':
        return { kind, atUs, director, instance: step.instance ?? null };
      case 'tracker-down':
        return { kind, atUs, director, forUs, tracker: step.tracker ?? '' };
      case 'reload':
        return { kind, atUs, director, instances: [] };
      case 'partition':
        return this.#partition(step, 1 << director, forUs);
      case 'storm':
        return { kind, atUs, forUs, lan, conditions: this.#conditions(step) };
      case 'crash':
      case 'power-loss':
      case 'stall':
      case 'stop':
      case 'handover':
      case 'controller-lost':
      case 'wrong-key':
        return { kind, atUs, director, forUs };
      default:
        return null;
    }
  }

  #partition(step: Step, side: number, forUs: number): SimFault {
    const { at: atUs, direction = 'both' } = step;
    return { kind: 'partition', atUs, side, direction, lan: this.#lanOf(step), forUs };
  }

  #conditions(step: Step): LinkConditions {
    const { lan } = this.#options.world.cluster;
    return {
      latencyUs: step.delay ?? lan.latencyUs,
      jitterUs: step.jitter ?? lan.jitterUs,
      lossPpm: step.loss ?? 0,
      lossRunMax: null,
      duplicatePpm: step.duplicate ?? 0,
      corruptPpm: step.corrupt ?? 0,
      reorder: step.reorder ?? false,
    };
  }

  /** The LAN of an interface: the director's own, where interfaces of one name are on several. */
  #lanOf(step: Step): number | null {
    if (step.interface === undefined) return null;
    const named = this.#options.world.interfaces.filter((one) => one.interface === step.interface);
    const own = named.find((one) => one.director === step.director);
    return (own ?? named[0])?.lan ?? null;
  }

  #side(group: readonly string[]): number {
    return group.reduce(
      (side, name) => side | (1 << Math.max(0, this.#directors.indexOf(name))),
      0,
    );
  }

  #firstInstance(): string {
    return this.#options.world.cluster.directors[0]?.instances[0]?.config.name ?? '';
  }
}

function isEnd(fault: FaultWord): fault is EndWord {
  return Object.hasOwn(ENDS, fault);
}

function ends(end: Step, begun: Step): boolean {
  if (!isEnd(end.fault) || isEnd(begun.fault)) return false;
  const kinds: readonly string[] = ENDS[end.fault];
  if (!kinds.includes(begun.fault) || begun.for !== undefined) return false;
  if (begun.fault === 'storm' || begun.fault === 'partition') return true;
  return begun.director === end.director && begun.tracker === end.tracker;
}

/**
 * The building blocks of the schema: types as data, and how a value is read with one. Every scalar
 * has one message, `expected …`; a value may be given per director; a mapping may have a short
 * form. JSON Schema and reference are made from the same data.
 *
 * No library for it, because the keeper's process reads a configuration at a first start before it
 * can do anything else: one that makes an object with methods of every type takes longer to load
 * and to make the types than a usual file takes to be read.
 */
import { assertNever } from '../core/assert.ts';
import { err, ok, type Result } from '../core/result.ts';
import { joinWords } from './suggest.ts';
import type { YamlValue } from './yaml-values.ts';
import * as yaml from './yaml-values.ts';

/** What reads as a T. */
export type Type<T> = Form & {
  /** In a section: for the reference. */
  readonly text?: OptionText;
  /** Never there; for the compiler. */
  readonly output?: T;
};

/** A type whose value may be left out of a section. */
export interface Optional<T> {
  readonly kind: 'optional';
  readonly inner: Type<unknown>;
  readonly text?: OptionText;
  readonly output?: T | undefined;
}

/** What a type reads as. */
export type Output<Y> = Y extends { readonly output?: infer T } ? T : never;

export type Shape = Readonly<Record<string, Type<unknown>>>;

type SectionOf<S> = {
  [Key in keyof S as S[Key] extends { readonly kind: 'optional' } ? never : Key]: Output<S[Key]>;
} & {
  [Key in keyof S as S[Key] extends { readonly kind: 'optional' } ? Key : never]?: Output<S[Key]>;
};
type Flat<T> = { [Key in keyof T]: T[Key] };

export type Form =
  | { readonly kind: 'anything' }
  | {
      readonly kind: 'scalar';
      readonly expects: string;
      readonly input: YamlValue<unknown>;
      readonly convert: (value: never) => unknown;
      readonly meant: (raw: unknown) => string | undefined;
    }
  | {
      readonly kind: 'list';
      readonly item: Type<unknown>;
      readonly min: number;
      readonly most: ListBound | null;
    }
  | ({ readonly kind: 'names'; readonly value: Type<unknown> } & NameTexts)
  | { readonly kind: 'section'; readonly shape: () => Shape }
  | { readonly kind: 'optional'; readonly inner: Type<unknown> }
  | { readonly kind: 'per-director'; readonly inner: Type<unknown>; readonly director: string }
  | { readonly kind: 'one-or-list'; readonly inner: Type<unknown>; readonly list: Type<unknown> }
  | { readonly kind: 'short'; readonly short: Type<unknown>; readonly long: Type<unknown> };

export interface OptionText {
  /** One sentence for the reference. */
  readonly about: string;
  /** The default as it is written in YAML; absent for a required option. */
  readonly default?: string | number | boolean | readonly string[] | null;
  /** What happens without the option, where no fixed value says it. */
  readonly without?: string;
}

/** How many there may be, and what they are called. */
export interface ListBound {
  readonly count: number;
  readonly what: string;
}

/** Something wrong with a value, at its path in what was read. */
export type Issue =
  | {
      readonly kind: 'unknown-keys';
      readonly path: PropertyKey[];
      readonly keys: readonly string[];
      readonly valid: readonly string[];
    }
  /** The key that the path ends with. */
  | { readonly kind: 'key'; readonly path: PropertyKey[]; readonly message: string }
  /** `bare`: the message says it all, without the text that stands there. */
  | {
      readonly kind: 'value';
      readonly path: PropertyKey[];
      readonly message: string;
      readonly bare: boolean;
    };

/** What a converter returns for a value that has the right type but is still wrong. */
export class Refusal {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

/** The value as a type has it, or all that is wrong with it. */
export function readAs<T>(type: Type<T>, raw: unknown): Result<T, readonly Issue[]> {
  const issues: Issue[] = [];
  const value = read(type, raw, issues);
  return issues.length === 0 ? ok(value as T) : err(issues);
}

/** What it returns means something only if it has added no issue. */
function read(type: Form, raw: unknown, issues: Issue[]): unknown {
  switch (type.kind) {
    case 'anything':
      return raw;
    case 'scalar':
      return readScalar(type, raw, issues);
    case 'list':
      return readList(type, raw, issues);
    case 'names':
      return readNames(type, raw, issues);
    case 'section':
      return readSection(type.shape(), raw, issues);
    case 'optional':
      return raw === undefined ? undefined : read(type.inner, raw, issues);
    case 'per-director':
      return readPerDirector(type, raw, issues);
    case 'one-or-list':
      return Array.isArray(raw) ? read(type.list, raw, issues) : [read(type.inner, raw, issues)];
    case 'short':
      return read(isMapping(raw) ? type.long : type.short, raw, issues);
    default:
      return assertNever(type);
  }
}

type FormOf<Kind extends Form['kind']> = Extract<Form, { readonly kind: Kind }>;

function refuse(issues: Issue[], message: string, bare = false): undefined {
  issues.push({ kind: 'value', path: [], message, bare });
  return undefined;
}

/** Reads what stands below a key. */
function readBelow(key: PropertyKey, type: Form, raw: unknown, issues: Issue[]): unknown {
  const before = issues.length;
  const value = read(type, raw, issues);
  for (let index = before; index < issues.length; index++) issues[index]?.path.unshift(key);
  return value;
}

function readScalar(type: FormOf<'scalar'>, raw: unknown, issues: Issue[]): unknown {
  const { input, convert, meant, expects } = type;
  const value = input.is(raw) ? convert(raw as never) : undefined;
  if (value instanceof Refusal) return refuse(issues, value.message);
  return value === undefined ? refuse(issues, `expected ${meant(raw) ?? expects}`) : value;
}

function readList({ item, min, most }: FormOf<'list'>, raw: unknown, issues: Issue[]): unknown {
  if (!Array.isArray(raw) || raw.length < min) {
    return refuse(issues, `expected a list${entriesText(min)}`);
  }
  if (most !== null && raw.length > most.count) {
    return refuse(issues, `expected at most ${most.count} ${most.what}`);
  }
  return raw.map((one, index) => readBelow(index, item, one, issues));
}

function readNames(type: FormOf<'names'>, raw: unknown, issues: Issue[]): unknown {
  if (!isMapping(raw)) return refuse(issues, `expected ${type.takes}`);
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(raw)) {
    if (type.name.is(name)) result[name] = readBelow(name, type.value, value, issues);
    else issues.push({ kind: 'key', path: [name], message: `expected ${type.expects}` });
  }
  return result;
}

function readSection(shape: Shape, raw: unknown, issues: Issue[]): unknown {
  if (!isMapping(raw)) return refuse(issues, 'expected a mapping');
  const result: Record<string, unknown> = {};
  for (const key in shape) {
    const type = shape[key] as Form;
    const value = Object.hasOwn(raw, key) ? raw[key] : undefined;
    if (value === undefined && type.kind === 'optional') continue;
    result[key] = readBelow(key, type, value, issues);
  }
  const keys = Object.keys(raw).filter((key) => !Object.hasOwn(shape, key));
  if (keys.length > 0) {
    issues.push({ kind: 'unknown-keys', path: [], keys, valid: Object.keys(shape) });
  }
  return result;
}

function readPerDirector(type: FormOf<'per-director'>, raw: unknown, issues: Issue[]): unknown {
  const { inner, director } = type;
  if (!isMapping(raw)) return read(inner, raw, issues);
  const key = Object.hasOwn(raw, director) ? director : 'default';
  let chosen: unknown;
  for (const [name, value] of Object.entries(raw)) {
    const one = readBelow(name, inner, value, issues);
    if (name === key) chosen = one;
  }
  if (!Object.hasOwn(raw, key)) {
    const names = joinWords(Object.keys(raw), 'and');
    const message = `a mapping here has a value for each director, and none for ${director} or default: its keys are ${names} (--director says which one to be)`;
    refuse(issues, message, true);
  }
  return chosen;
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Calls `make` when the value is first asked for, and only then. */
function later<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/**
 * A scalar (or list of them): `input` says what YAML value it is, `convert` makes the result or
 * returns undefined (the message is then `expected ${expects}`) or a Refusal with its own. `meant`
 * may know better what was to be written where the YAML value is not right.
 */
export function scalar<I, T>(
  expects: string,
  input: YamlValue<I>,
  convert: (value: I) => T | undefined | Refusal,
  meant: (raw: unknown) => string | undefined = () => undefined,
): Type<T> {
  return { kind: 'scalar', expects, input, convert, meant };
}

/** Words of keepalived and ldirectord for values, where ours is another. */
const FOREIGN_VALUES: ReadonlyMap<string, string> = new Map([
  ['gate', 'dr'],
  ['ipip', 'tun'],
  ['masq', 'nat'],
]);

/** The word that is meant by one in other letters, or by another program's. */
function sameWord(raw: string, words: readonly string[]): string | undefined {
  const plain = raw.toLowerCase();
  const foreign = FOREIGN_VALUES.get(plain);
  return words.find((word) => word.toLowerCase() === plain || word === foreign);
}

/** One of some words. */
export function word<const T extends string>(words: readonly T[]): Type<T> {
  const meant = (raw: unknown) => (typeof raw === 'string' ? sameWord(raw, words) : undefined);
  return scalar<T, T>(joinWords(words, 'or'), yaml.words(words), (value) => value, meant);
}

/** A whole number from `min` to `max`. */
export function whole(min: number, max: number): Type<number> {
  const expects = `a whole number from ${min} to ${max}`;
  return scalar(expects, yaml.int(min, max), (value) => value);
}

export function truth(): Type<boolean> {
  return scalar('true or false', yaml.boolean(), (value) => value);
}

/** Whatever the file has: for what is read with a type of its own. */
export function anything(): Type<unknown> {
  return { kind: 'anything' };
}

/**
 * A mapping with fixed keys, which are made when the section is first read: most files use a few
 * of the sections.
 */
export function section<S extends Shape>(shape: () => S): Type<Flat<SectionOf<S>>> {
  return { kind: 'section', shape: later(shape) };
}

interface NameTexts {
  readonly name: YamlValue<string>;
  /** What a name is, and the whole, in words. */
  readonly expects: string;
  readonly takes: string;
}

/** A mapping from names to values of one type. */
export function names<T>(value: Type<T>, texts: NameTexts): Type<Record<string, T>> {
  return { kind: 'names', value, ...texts };
}

/** ' with at least one entry' */
function entriesText(min: number): string {
  if (min === 0) return '';
  return min === 1 ? ' with at least one entry' : ` with at least ${min} entries`;
}

/** A list of values of one type, `min` or more. */
export function list<T>(item: Type<T>, min = 0, most: ListBound | null = null): Type<T[]> {
  return { kind: 'list', item, min, most };
}

/**
 * A scalar or list that may be given as a mapping from director to value, with the key
 * `default` for the others. All values are checked, the director's own is the result.
 */
export function perDirector<T>(inner: Type<T>, director: string): Type<T> {
  return { kind: 'per-director', inner, director };
}

/** A mapping that has a short form, a scalar. */
export function shortOrLong<S, L>(short: Type<S>, long: Type<L>): Type<S | L> {
  return { kind: 'short', short, long };
}

/** A scalar, or a list of such with at least one entry; the result is a list. */
export function oneOrList<T>(inner: Type<T>): Type<T[]> {
  return { kind: 'one-or-list', inner, list: list(inner, 1) };
}

/** Documents an option that must be given. */
export function required<T>(type: Type<T>, about: string): Type<T> {
  return { ...type, text: { about } };
}

/** Documents an option that may be left out. */
export function option<T>(type: Type<T>, text: OptionText): Optional<T> {
  return { kind: 'optional', inner: type, text };
}

/** An option without words of its own, of what is not part of the reference. */
export function optional<T>(type: Type<T>): Optional<T> {
  return { kind: 'optional', inner: type };
}

/** The type behind what says that it may be left out. */
export function plainType(type: Type<unknown>): Type<unknown> {
  return type.kind === 'optional' ? plainType(type.inner) : type;
}

/**
 * The building blocks of the schema: zod types that know their words. Every scalar has one
 * message, `expected …`; a value may be given per director; an object may have a short form.
 * What zod cannot see through (these are checks of ours) is kept in `forms`, from which the JSON
 * Schema and the reference are made.
 */
import { z } from 'zod';
import { joinWords } from './suggest.ts';

// Code of zod's own making for each section takes longer to compile than a file to read.
z.config({ jitless: true });

export type Form =
  | { readonly kind: 'scalar'; readonly expects: string; readonly input: () => z.ZodType }
  | { readonly kind: 'per-director'; readonly inner: z.ZodType }
  | { readonly kind: 'one-or-list'; readonly inner: z.ZodType; readonly list: () => z.ZodType }
  | { readonly kind: 'short'; readonly short: z.ZodType; readonly long: z.ZodType };

/** How the types made here look to a writer of configurations. */
export const forms = new WeakMap<z.ZodType, Form>();

export interface OptionText {
  /** One sentence for the reference. */
  readonly about: string;
  /** The default as it is written in YAML; absent for a required option. */
  readonly default?: string | number | boolean | readonly string[] | null;
  /** What happens without the option, where no fixed value says it. */
  readonly without?: string;
}

/** Documentation of each option, by the type that stands in its section's shape. */
export const optionTexts = new WeakMap<z.ZodType, OptionText>();

/** What a converter returns for a value that has the right type but is still wrong. */
export class Refusal {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

type Issues = z.core.$ZodRawIssue[];

/**
 * A type that reads with a function of ours, which puts what is wrong into `issues`. It is made of
 * a check, because a transform takes zod ten times as long to make, and a schema has hundreds.
 */
function ownType<T>(read: (raw: unknown, issues: Issues) => T): z.ZodType<T> {
  const type = z.unknown().check((payload) => {
    payload.value = read(payload.value, payload.issues as Issues);
  });
  return type as z.ZodType<T>;
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
  input: () => z.ZodType<I>,
  convert: (value: I) => T | undefined | Refusal,
  meant: (raw: unknown) => string | undefined = () => undefined,
): z.ZodType<T> {
  const read = later(input);
  const type = ownType<T>((raw, issues) => {
    const parsed = read().safeParse(raw);
    const value = parsed.success ? convert(parsed.data) : undefined;
    const refused = value instanceof Refusal;
    if (value !== undefined && !refused) return value;
    const message = refused ? value.message : `expected ${meant(raw) ?? expects}`;
    issues.push({ code: 'custom', message, path: [], input: raw });
    return z.NEVER;
  });
  forms.set(type, { kind: 'scalar', expects, input: read });
  return type;
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
export function word<const T extends string>(words: readonly T[]): z.ZodType<T> {
  const input = () => z.enum(words) as z.ZodType<T>;
  const meant = (raw: unknown) => (typeof raw === 'string' ? sameWord(raw, words) : undefined);
  return scalar<T, T>(joinWords(words, 'or'), input, (value) => value, meant);
}

/** A whole number from `min` to `max`. */
export function whole(min: number, max: number): z.ZodType<number> {
  const expects = `a whole number from ${min} to ${max}`;
  return scalar(
    expects,
    () => z.int().min(min).max(max),
    (value) => value,
  );
}

export function truth(): z.ZodType<boolean> {
  return scalar(
    'true or false',
    () => z.boolean(),
    (value) => value,
  );
}

/**
 * A mapping with fixed keys, which are made when the section is first read: most files use a few
 * of the sections. Its message for unknown keys is the list of valid ones.
 */
export function section<S extends z.ZodRawShape>(shape: () => S) {
  return z.lazy(() => {
    const made = shape();
    const keys = Object.keys(made).join(' ');
    return z.strictObject(made, {
      error: (issue) => (issue.code === 'unrecognized_keys' ? keys : 'expected a mapping'),
    });
  });
}

/** A list of values of one type, `min` or more. */
export function list<T>(item: z.ZodType<T>, min = 0): z.ZodType<T[]> {
  const error = min === 0 ? 'expected a list' : 'expected a list with at least one entry';
  return z.array(item, { error }).min(min, { error });
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Parses with another type as if it stood here; returns null when it raised issues. */
function forward<T>(
  type: z.ZodType<T>,
  value: unknown,
  issues: Issues,
  path: string[] = [],
): { value: T } | null {
  const result = type.safeParse(value);
  if (result.success) return { value: result.data };
  for (const issue of result.error.issues) {
    issues.push({ ...issue, path: [...path, ...issue.path] } as unknown as Issues[number]);
  }
  return null;
}

/**
 * A scalar or list that may be given as a mapping from director to value, with the key
 * `default` for the others. All values are checked, the director's own is the result.
 */
export function perDirector<T>(inner: z.ZodType<T>, director: string): z.ZodType<T> {
  const type = ownType<T>((raw, issues) => {
    if (!isMapping(raw)) return forward(inner, raw, issues)?.value ?? z.NEVER;
    const key = Object.hasOwn(raw, director) ? director : 'default';
    let chosen: { value: T } | null = null;
    for (const [name, value] of Object.entries(raw)) {
      const parsed = forward(inner, value, issues, [name]);
      if (name === key) chosen = parsed;
    }
    if (!Object.hasOwn(raw, key)) {
      const names = joinWords(Object.keys(raw), 'and');
      const message = `no value for director ${director} and no default, the keys are ${names}`;
      issues.push({ code: 'custom', message, path: [], input: raw, params: { bare: true } });
    }
    return chosen === null ? z.NEVER : chosen.value;
  });
  forms.set(type, { kind: 'per-director', inner });
  return type;
}

/** A mapping that has a short form, a scalar. */
export function shortOrLong<S, L>(short: z.ZodType<S>, long: z.ZodType<L>): z.ZodType<S | L> {
  const type = ownType<S | L>((raw, issues) => {
    const parsed = isMapping(raw) ? forward(long, raw, issues) : forward(short, raw, issues);
    return parsed === null ? z.NEVER : parsed.value;
  });
  forms.set(type, { kind: 'short', short, long });
  return type;
}

/** A scalar, or a list of such with at least one entry; the result is a list. */
export function oneOrList<T>(inner: z.ZodType<T>): z.ZodType<T[]> {
  const several = later(() => list(inner, 1));
  const type = ownType<T[]>((raw, issues) => {
    if (Array.isArray(raw)) return forward(several(), raw, issues)?.value ?? z.NEVER;
    const parsed = forward(inner, raw, issues);
    return parsed === null ? z.NEVER : [parsed.value];
  });
  forms.set(type, { kind: 'one-or-list', inner, list: several });
  return type;
}

/** Documents an option that must be given. */
export function required<T extends z.ZodType>(type: T, about: string): T {
  optionTexts.set(type, { about });
  return type;
}

/** Documents an option that may be left out. */
export function option<T extends z.ZodType>(type: T, text: OptionText): z.ZodOptional<T> {
  const optional = type.optional();
  optionTexts.set(optional, text);
  return optional;
}

/** The type behind what says that it may be left out, or is made later. */
export function plainType(type: z.ZodType): z.ZodType {
  if (type instanceof z.ZodOptional || type instanceof z.ZodLazy) {
    return plainType(type.unwrap() as z.ZodType);
  }
  return type;
}

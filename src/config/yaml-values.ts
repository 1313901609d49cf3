/**
 * What a scalar of the configuration language may be written as in YAML, before it means anything:
 * each kind tells its values from others, and describes them as JSON Schema.
 */

export type JsonSchema = Record<string, unknown>;

export interface YamlValue<T> {
  readonly is: (value: unknown) => value is T;
  readonly schema: () => JsonSchema;
}

/** The type of the values of a kind. */
export type ValueOf<Y> = Y extends YamlValue<infer T> ? T : never;

export interface TextBounds {
  /** Length in UTF-16 code units. */
  readonly min?: number;
  readonly max?: number;
  /** Without the flag g, which would make it remember. */
  readonly pattern?: RegExp;
}

export function string(bounds: TextBounds = {}): YamlValue<string> {
  const { min, max, pattern } = bounds;
  return {
    is: (value): value is string =>
      typeof value === 'string' &&
      value.length >= (min ?? 0) &&
      value.length <= (max ?? Number.POSITIVE_INFINITY) &&
      (pattern === undefined || pattern.test(value)),
    schema: () => ({
      type: 'string',
      ...(min === undefined ? {} : { minLength: min }),
      ...(max === undefined ? {} : { maxLength: max }),
      ...(pattern === undefined ? {} : { pattern: pattern.source }),
    }),
  };
}

export function boolean(): YamlValue<boolean> {
  return {
    is: (value): value is boolean => typeof value === 'boolean',
    schema: () => ({ type: 'boolean' }),
  };
}

/** A whole number, one that a double holds exactly. */
export function int(
  min: number = Number.MIN_SAFE_INTEGER,
  max: number = Number.MAX_SAFE_INTEGER,
): YamlValue<number> {
  return {
    is: (value): value is number =>
      Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max,
    schema: () => ({ type: 'integer', minimum: min, maximum: max }),
  };
}

/** Any number but .nan and .inf. */
export function number(): YamlValue<number> {
  return {
    is: (value): value is number => Number.isFinite(value),
    schema: () => ({ type: 'number' }),
  };
}

export function constant<const T extends string | number>(only: T): YamlValue<T> {
  return {
    is: (value): value is T => value === only,
    schema: () => ({ type: typeof only, const: only }),
  };
}

export function words<const T extends string>(list: readonly T[]): YamlValue<T> {
  return {
    is: (value): value is T => list.includes(value as T),
    schema: () => ({ type: 'string', enum: [...list] }),
  };
}

export function either<const K extends readonly YamlValue<unknown>[]>(
  ...kinds: K
): YamlValue<ValueOf<K[number]>> {
  return {
    is: (value): value is ValueOf<K[number]> => kinds.some((kind) => kind.is(value)),
    schema: () => ({ anyOf: kinds.map((kind) => kind.schema()) }),
  };
}

/** A list of `min` to `max` values of one kind. */
export function listOf<T>(
  item: YamlValue<T>,
  min: number,
  max = Number.POSITIVE_INFINITY,
): YamlValue<T[]> {
  return {
    is: (value): value is T[] =>
      Array.isArray(value) &&
      value.length >= min &&
      value.length <= max &&
      value.every((one) => item.is(one)),
    schema: () => ({
      minItems: min,
      ...(max === Number.POSITIVE_INFINITY ? {} : { maxItems: max }),
      type: 'array',
      items: item.schema(),
    }),
  };
}

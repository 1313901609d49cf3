/**
 * The JSON Schema of the configuration language, for editors, made from the schema.
 * conf/vipkeeper.schema.json is this function's text.
 */
import { assertNever } from '../core/assert.ts';
import type { Type } from './forms.ts';
import { schemaFor } from './schema.ts';
import type { JsonSchema } from './yaml-values.ts';

/** The schema as the text of a JSON file, with a final line end. */
export function configJsonSchemaText(): string {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    ...described(schemaFor('default').root),
    title: 'vipkeeper configuration',
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function described(type: Type<unknown>): JsonSchema {
  const { text } = type;
  if (text === undefined) return schemaOf(type);
  const { about: description, default: value } = text;
  return { ...schemaOf(type), description, ...(value === undefined ? {} : { default: value }) };
}

function schemaOf(type: Type<unknown>): JsonSchema {
  switch (type.kind) {
    case 'anything':
      return {};
    case 'scalar':
      return type.input.schema();
    case 'optional':
      return described(type.inner);
    case 'list':
      return { minItems: type.min, type: 'array', items: described(type.item) };
    case 'names':
      return {
        type: 'object',
        propertyNames: type.name.schema(),
        additionalProperties: described(type.value),
      };
    case 'section':
      return sectionSchema(Object.entries(type.shape()));
    case 'per-director': {
      const value = described(type.inner);
      return { anyOf: [value, { type: 'object', minProperties: 1, additionalProperties: value }] };
    }
    case 'one-or-list':
      return { anyOf: [described(type.inner), described(type.list)] };
    case 'short':
      return { anyOf: [described(type.short), described(type.long)] };
    default:
      return assertNever(type);
  }
}

function sectionSchema(options: readonly (readonly [string, Type<unknown>])[]): JsonSchema {
  const required = options.filter(([, { kind }]) => kind !== 'optional').map(([key]) => key);
  return {
    type: 'object',
    properties: Object.fromEntries(options.map(([key, option]) => [key, described(option)])),
    ...(required.length === 0 ? {} : { required }),
    additionalProperties: false,
  };
}

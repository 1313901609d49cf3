/**
 * The JSON Schema of the configuration language, for editors: made from the zod schema, with
 * what zod cannot see (forms.ts) filled in. conf/vipkeeper.schema.json is this function's text.
 */
import { z } from 'zod';
import { forms, optionTexts } from './forms.ts';
import { schemaFor } from './schema.ts';

type JsonSchema = Record<string, unknown>;

/** The schema as the text of a JSON file, with a final line end. */
export function configJsonSchemaText(): string {
  const { root } = schemaFor('default');
  const schema = { ...toJson(root), title: 'vipkeeper configuration' };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function toJson(type: z.ZodType): JsonSchema {
  return z.toJSONSchema(type, {
    io: 'input',
    target: 'draft-2020-12',
    override: ({ zodSchema, jsonSchema }) => {
      const described = jsonSchema as JsonSchema;
      // zod's callback knows its core types only; all of ours are made by its classic ones.
      const type = zodSchema as unknown as z.ZodType;
      Object.assign(described, formJson(type));
      const text = optionTexts.get(type);
      if (text === undefined) return;
      described.description = text.about;
      if (text.default !== undefined) described.default = text.default;
    },
  }) as JsonSchema;
}

/** The JSON Schema of a type made in forms.ts; nothing for zod's own. */
function formJson(type: z.ZodType): JsonSchema {
  const form = forms.get(type);
  if (form === undefined) return {};
  if (form.kind === 'scalar') return inline(form.input());
  if (form.kind === 'one-or-list') return { anyOf: [inline(form.inner), inline(form.list())] };
  if (form.kind === 'short') return { anyOf: [inline(form.short), inline(form.long)] };
  const value = inline(form.inner);
  return { anyOf: [value, { type: 'object', minProperties: 1, additionalProperties: value }] };
}

function inline(type: z.ZodType): JsonSchema {
  const { $schema: _, ...schema } = toJson(type);
  return schema;
}

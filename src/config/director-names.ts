/**
 * Whom a configuration file is for: the directors that it names as keys of values given per
 * director, in its VRRP instances, where directors differ.
 */
import { ConfigDocument } from './document.ts';
import { isMapping, plainType, type Type } from './forms.ts';
import { schemaFor } from './schema.ts';

export interface DirectorNames {
  /** In the order of the file, each once. */
  readonly names: readonly string[];
  /** Some value is for those not named. */
  readonly hasDefault: boolean;
}

/** The names in a YAML text; none in one that cannot be read. */
export function directorNames(text: string): DirectorNames {
  const found = new Set<string>();
  const document = ConfigDocument.parse(text);
  const root = document instanceof ConfigDocument ? mapping(document.value) : {};
  const { vrrp } = schemaFor('');
  for (const instance of Object.values(mapping(root.vrrp))) collect(vrrp, instance, found);
  const hasDefault = found.delete('default');
  return { names: [...found], hasDefault };
}

function collect(type: Type<unknown>, value: unknown, found: Set<string>): void {
  const plain = plainType(type);
  if (!isMapping(value)) return;
  if (plain.kind === 'per-director') {
    for (const name of Object.keys(value)) found.add(name);
  } else if (plain.kind === 'section') {
    for (const [key, inner] of Object.entries(plain.shape())) collect(inner, value[key], found);
  }
}

function mapping(value: unknown): Record<string, unknown> {
  return isMapping(value) ? value : {};
}

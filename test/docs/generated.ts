/** Every generated file of the documentation, by its path from the top of the repository. */
import { configJsonSchemaText } from '../../src/config/json-schema.ts';
import { generateConfigurationReference } from '../../src/config/reference.ts';
import { manPages } from './man.ts';
import { metricsReference } from './metrics.ts';

export interface GeneratedDoc {
  readonly path: string;
  readonly text: string;
}

export function generatedDocs(): readonly GeneratedDoc[] {
  return [
    { path: 'conf/vipkeeper.schema.json', text: configJsonSchemaText() },
    { path: 'docs/reference/configuration.md', text: generateConfigurationReference() },
    { path: 'docs/reference/metrics.md', text: metricsReference() },
    ...manPages().map(({ file, text }) => ({ path: `docs/man/${file}`, text })),
  ];
}

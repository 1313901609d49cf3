/** Makes given checks those that run, as the controller does it from one configuration to the next. */
import type { CheckPool } from '../../../src/controller/check-pool.ts';
import type { CheckRunner } from '../../../src/controller/checks.ts';
import type { CheckDefinition } from '../../../src/core/health/check-key.ts';
import type { FoundAs } from '../../../src/core/health/check-state.ts';

type Definitions = ReadonlyMap<string, CheckDefinition>;

function changeOf(
  running: readonly { readonly key: string }[],
  wanted: Definitions,
): { readonly added: readonly CheckDefinition[]; readonly removed: readonly string[] } {
  const keys = running.map(({ key }) => key);
  return {
    added: [...wanted.values()].filter(({ key }) => !keys.includes(key)),
    removed: keys.filter((key) => !wanted.has(key)),
  };
}

/** `found`: how their servers are in the table, by their keys. */
export async function configurePool(
  pool: CheckPool,
  wanted: Definitions,
  found: ReadonlyMap<string, FoundAs> = new Map(),
): Promise<void> {
  const { added, removed } = changeOf(pool.snapshot(), wanted);
  await pool.add(added, removed, found);
  pool.remove(removed);
}

/** Of a runner alone nothing is known of another check. */
export function configureRunner(runner: CheckRunner, wanted: Definitions): void {
  const { added, removed } = changeOf(runner.snapshot(), wanted);
  runner.remove(removed);
  for (const definition of added) runner.add(definition, null);
  runner.start();
}

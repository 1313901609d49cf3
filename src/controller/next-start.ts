/** What the keeper of the next start begins with before its controller runs. */
import type { SourceFile } from '../config/secret-file.ts';
import type { Config } from '../core/config/config.ts';
import type { KeeperPlan } from '../keeper/messages.ts';
import { forgetPlan, type StartRequest, storePlan } from '../keeper/stored-plan.ts';
import { mayStartEarly } from './early-start.ts';
import { neededInterfaces } from './preflight.ts';

export interface ReadConfiguration {
  readonly request: { readonly path: string; readonly director: string | null };
  readonly config: Config;
  readonly sources: readonly SourceFile[];
}

/** Keeps the plan for the next start, or sees to it that there is none. Rejects with the file system's error. */
export async function keepPlan(
  { request, config, sources }: ReadConfiguration,
  plan: KeeperPlan,
): Promise<void> {
  const files = uniqueSources(sources);
  if (files === null || files.length === 0 || !mayStartEarly(config)) return forgetPlan();
  const start: StartRequest = { config: request.path, director: request.director };
  await storePlan(start, { plan, sources: files, interfaces: neededInterfaces(config) });
}

/** Each file once; null when one was not the same each time that it was read. */
export function uniqueSources(sources: readonly SourceFile[]): readonly SourceFile[] | null {
  const files = new Map<string, SourceFile>();
  for (const source of sources) {
    const known = files.get(source.path);
    if (known !== undefined && !same(known, source)) return null;
    files.set(source.path, source);
  }
  return [...files.values()];
}

function same(left: SourceFile, right: SourceFile): boolean {
  return left.mode === right.mode && Buffer.from(left.content).equals(right.content);
}

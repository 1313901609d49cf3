/**
 * Names that the running director has, a line each, for completion scripts: whoever presses TAB
 * waits a second at most, and is not told what went wrong.
 */
import type { DirectorStatus } from '../core/status.ts';
import { EXIT, type NameKind } from './commands.ts';
import { askStatus } from './control-client.ts';
import type { Terminal } from './terminal.ts';

const ANSWER_TIMEOUT_MS = 1_000;
/** What a shell takes as one word, unquoted. */
const PLAIN = /^[\w.:/[\]-]+$/;

export async function names(
  kind: NameKind,
  runtimeDirectory: string,
  terminal: Terminal,
): Promise<number> {
  const status = await askStatus(runtimeDirectory, ANSWER_TIMEOUT_MS);
  if (!status.ok) return EXIT.ok;
  const plain = namesOf(kind, status.value).filter((name) => PLAIN.test(name));
  terminal.out(plain.map((name) => `${name}\n`).join(''));
  return EXIT.ok;
}

function namesOf(kind: NameKind, { instances, services }: DirectorStatus): readonly string[] {
  switch (kind) {
    case 'instance':
      return instances.map(({ name }) => name);
    case 'server':
      return services.flatMap(({ name, servers }) =>
        servers.map(({ server }) => `${name}/${server}`),
      );
  }
}

/** A terminal that keeps what was written to it. */
import type { Terminal } from '../../../src/cli/terminal.ts';
import { NOW_MS } from '../status-fixture.ts';

export interface FakeTerminal extends Terminal {
  readonly written: { out: string; err: string };
}

/** No terminal by default: without colour and without a size. */
export function fakeTerminal(given: Partial<Terminal> = {}): FakeTerminal {
  const written = { out: '', err: '' };
  return {
    out: (text) => {
      written.out += text;
    },
    err: (text) => {
      written.err += text;
    },
    interactive: false,
    color: false,
    errColor: false,
    errInteractive: false,
    columns: () => null,
    rows: () => null,
    nowMs: () => NOW_MS,
    ...given,
    written,
  };
}

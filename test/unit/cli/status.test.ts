/** `vipkeeper status` against a real control socket in a directory of its own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { status } from '../../../src/cli/status.ts';
import { drawStatus } from '../../../src/cli/status-view.ts';
import { NOW_MS, STATUS } from '../status-fixture.ts';
import { fakeTerminal } from './fake-terminal.ts';

let runtimeDirectory: string;
let server: Server | null = null;

beforeEach(() => {
  runtimeDirectory = mkdtempSync(join(tmpdir(), 'vipkeeper-status-'));
});

afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => (server === null ? resolve(null) : server.close(resolve)));
  server = null;
  rmSync(runtimeDirectory, { recursive: true, force: true });
});

async function answering(listener: RequestListener): Promise<void> {
  const started = createServer(listener);
  server = started;
  const path = join(runtimeDirectory, 'control.sock');
  await new Promise<void>((resolve) => started.listen(path, resolve));
}

const PLAIN = { color: false, columns: null, rows: null };
const ONCE = { json: false, watch: false };
const never = new AbortController().signal;

describe('status', () => {
  test('draws what the director says, without colour where there is no terminal', async () => {
    const paths: unknown[] = [];
    await answering((request, response) => {
      paths.push(request.url);
      response.end(JSON.stringify(STATUS));
    });
    const terminal = fakeTerminal();
    expect(await status({ runtimeDirectory, ...ONCE }, terminal, never)).toBe(0);
    expect(paths).toEqual(['/v1/status']);
    expect(terminal.written).toEqual({ out: drawStatus(STATUS, NOW_MS, PLAIN), err: '' });
  });

  test('--json prints the status itself', async () => {
    await answering((_, response) => response.end(JSON.stringify(STATUS)));
    const terminal = fakeTerminal();
    expect(await status({ runtimeDirectory, json: true, watch: false }, terminal, never)).toBe(0);
    expect(JSON.parse(terminal.written.out)).toEqual(STATUS);
  });

  test('without a director it is VK-NOT-RUNNING with its cure and exit status 3', async () => {
    const terminal = fakeTerminal();
    expect(await status({ runtimeDirectory, ...ONCE }, terminal, never)).toBe(3);
    const socket = join(runtimeDirectory, 'control.sock');
    expect(terminal.written).toEqual({
      out: '',
      err:
        `VK-NOT-RUNNING: No vipkeeper answers on ${socket}. ` +
        'Start it with `systemctl start vipkeeper`, or name its --runtime-directory.\n',
    });
  });

  test('of a socket that a dead controller left, it does not say that nothing runs', async () => {
    // A connection to it is refused, as to a socket on which nobody listens.
    writeFileSync(join(runtimeDirectory, 'control.sock'), '');
    const terminal = fakeTerminal();
    expect(await status({ runtimeDirectory, ...ONCE }, terminal, never)).toBe(3);
    expect(terminal.written.err).toMatch(
      /^VK-NOT-RUNNING: The controller of the vipkeeper on .* has died, or is being started\. Ask again/,
    );
  });

  test('an answer that is an error is told in one line with exit status 1', async () => {
    await answering((_, response) => {
      response.writeHead(503).end(JSON.stringify({ error: 'the keeper is\ngone' }));
    });
    const terminal = fakeTerminal();
    expect(await status({ runtimeDirectory, ...ONCE }, terminal, never)).toBe(1);
    expect(terminal.written.err).toMatch(
      /^VK-SYSTEM: .*gave no status: the keeper is gone\. .*\n$/,
    );
  });

  test('an answer that is no JSON is VK-SYSTEM', async () => {
    await answering((_, response) => response.end('<html>'));
    const terminal = fakeTerminal();
    expect(await status({ runtimeDirectory, ...ONCE }, terminal, never)).toBe(1);
    expect(terminal.written.err).toMatch(/^VK-SYSTEM: /);
  });
});

describe('status --watch', () => {
  test('draws over the last drawing until it is stopped, then exits with 0', async () => {
    await answering((_, response) => response.end(JSON.stringify(STATUS)));
    const stop = new AbortController();
    const drawings: string[] = [];
    const terminal = fakeTerminal({
      interactive: true,
      columns: () => 80,
      rows: () => 11,
      out: (text) => {
        drawings.push(text);
        if (drawings.length === 2) stop.abort();
      },
    });
    const options = { runtimeDirectory, json: false, watch: true };
    expect(await status(options, terminal, stop.signal)).toBe(0);
    const drawn = drawStatus(STATUS, NOW_MS, { color: false, columns: 80, rows: 10 });
    const expected = `\u001b[H${drawn.replaceAll('\n', '\u001b[K\n')}\u001b[J`;
    expect(drawings).toEqual([expected, expected]);
  });

  test('goes on while nothing answers, and shows the director once it does', async () => {
    const stop = new AbortController();
    const lines: string[] = [];
    let started: Promise<void> | null = null;
    const keep = (text: string) => {
      lines.push(text);
      started ??= answering((_, response) => response.end(JSON.stringify(STATUS)));
      if (lines.length === 3) stop.abort();
    };
    const terminal = fakeTerminal({ out: keep, err: keep });
    const options = { runtimeDirectory, json: true, watch: true };
    expect(await status(options, terminal, stop.signal)).toBe(0);
    await started;
    expect(lines[0]).toMatch(/^VK-NOT-RUNNING: /);
    expect(lines.slice(1)).toEqual([1, 2].map(() => `${JSON.stringify(STATUS)}\n`));
  });
});

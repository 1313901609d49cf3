/** `vipkeeper reload` against the control socket of a director that takes its time. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { reload } from '../../../src/cli/control.ts';
import type { DirectorControl } from '../../../src/core/status.ts';
import { serveControl } from '../../../src/http/server.ts';
import { STATUS } from '../status-fixture.ts';
import { fakeTerminal } from './fake-terminal.ts';

/** More than the server gives an idle connection, and the client any other answer. */
const SLOW_MS = 10_500;

test('a reload that takes longer than any other answer is waited for', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'vipkeeper-reload-'));
  const control: DirectorControl = {
    status: async () => STATUS,
    reload: async () => {
      await sleep(SLOW_MS);
      return ['f.yaml:1:1: wrong'];
    },
    restart: () => {},
    handover: async () => ({ started: true, error: null, plans: [] }),
    takeback: async () => ({ error: null, plans: [] }),
    override: async () => ({ error: null, servers: [], consequences: [], needsForce: false }),
    table: () => Promise.reject(new Error('not asked for')),
  };
  const server = await serveControl(join(directory, 'control.sock'), control);
  if (!server.ok) throw new Error(server.error.message);
  try {
    const terminal = fakeTerminal();
    const status = await reload({ runtimeDirectory: directory, json: false }, terminal);
    expect(terminal.written.err).toBe('f.yaml:1:1: wrong\nNothing was changed\n');
    expect(status).toBe(1);
  } finally {
    await server.value.close();
    rmSync(directory, { recursive: true, force: true });
  }
}, 60_000);

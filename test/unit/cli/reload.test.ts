/** `vipkeeper reload` against the control socket of a director. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { reload } from '../../../src/cli/control.ts';
import type { Problem } from '../../../src/core/problem.ts';
import type { DirectorControl, ReloadAnswer } from '../../../src/core/status.ts';
import { serveControl } from '../../../src/http/server.ts';
import { STATUS } from '../status-fixture.ts';
import { fakeTerminal } from './fake-terminal.ts';

/** More than the server gives an idle connection, and the client any other answer. */
const SLOW_MS = 10_500;

const NO_IPVS: Problem = { code: 'VK-NO-IPVS', message: 'No IPVS', cure: 'Load it' };

test('a reload that takes longer than any other answer is waited for', async () => {
  const { status, written } = await answered(async () => {
    await sleep(SLOW_MS);
    return { errors: ['f.yaml:1:1: wrong'], problems: [] };
  });
  expect(written).toEqual({ out: '', err: 'f.yaml:1:1: wrong\nNothing was changed\n' });
  expect(status).toBe(1);
}, 60_000);

test('one that was applied says so', async () => {
  const { status, written } = await answered(async () => ({ errors: [], problems: [] }));
  expect(written).toEqual({ out: 'The configuration was read again and applied\n', err: '' });
  expect(status).toBe(0);
});

test('one that cannot take effect says that, and what to do', async () => {
  const answer = async () => ({ errors: [], problems: [NO_IPVS] });
  const { status, written } = await answered(answer);
  expect(written).toEqual({
    out: 'The configuration was read again and applied, but not all of it works\n',
    err: 'VK-NO-IPVS: No IPVS. Load it.\n',
  });
  expect(status).toBe(1);
  const inJson = await answered(answer, true);
  expect(JSON.parse(inJson.written.out)).toEqual({ errors: [], problems: [NO_IPVS] });
  expect(inJson.status).toBe(1);
});

async function answered(reloaded: () => Promise<ReloadAnswer>, json = false) {
  const directory = mkdtempSync(join(tmpdir(), 'vipkeeper-reload-'));
  const control: DirectorControl = {
    status: async () => STATUS,
    reload: reloaded,
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
    const status = await reload({ runtimeDirectory: directory, json }, terminal);
    const { out, err } = terminal.written;
    return { status, written: { out, err } };
  } finally {
    await server.value.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

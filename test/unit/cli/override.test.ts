/** `vipkeeper drain`, `undrain` and `override` against a control socket that answers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { askDirector } from '../../../src/cli/control-client.ts';
import { drain, override, undrain } from '../../../src/cli/override.ts';
import { type Consequence, consequenceText } from '../../../src/core/health/consequence.ts';
import type { Override } from '../../../src/core/health/override.ts';
import type { DirectorStatus, ServerReport } from '../../../src/core/status.ts';
import { NOW_MS, STATUS } from '../status-fixture.ts';
import { fakeTerminal } from './fake-terminal.ts';

let runtimeDirectory: string;
let server: Server | null = null;
let asked: URL[] = [];
/** It takes what is asked of it and answers nothing, as one that is stopped. */
let silent = false;

beforeEach(() => {
  runtimeDirectory = mkdtempSync(join(tmpdir(), 'vipkeeper-override-'));
  asked = [];
  silent = false;
});

afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => (server === null ? resolve(null) : server.close(resolve)));
  server = null;
  rmSync(runtimeDirectory, { recursive: true, force: true });
});

function draining(drained: boolean): Override {
  return {
    service: 'web',
    server: '10.0.0.11:8080',
    action: { kind: 'drain', deadlineMs: null, drained },
    by: 'root',
    reason: '',
    sinceMs: 0,
    untilMs: null,
  };
}

const LEFT: Consequence = {
  ...{ service: 'web', servers: 2, servingBefore: 2, servingAfter: 1 },
  ...{ clientsBefore: 'servers', clientsAfter: 'servers', clientsFamily: null },
  ...{ quorumLost: null, minHealthy: null },
};
const LAST: Consequence = { ...LEFT, servingBefore: 1, servingAfter: 0, clientsAfter: 'nobody' };

const TARGET = { service: 'web', server: '10.0.0.11:8080', before: null, after: draining(false) };

/** Answers a POST with `answer`, and each GET with the next of `reports` of the one server. */
async function directs(answer: object, reports: readonly Partial<ServerReport>[] = []) {
  const [web] = STATUS.services;
  let looks = 0;
  server = createServer((request, response) => {
    if (request.method === 'POST') {
      asked.push(new URL(request.url ?? '', 'http://x'));
      const failed = (answer as { error: string | null }).error !== null;
      response.writeHead(failed ? 422 : 200).end(JSON.stringify(answer));
      return;
    }
    if (silent) return;
    const report = reports[Math.min(looks++, reports.length - 1)];
    const servers = web?.servers.map((one, index) => (index === 0 ? { ...one, ...report } : one));
    const status = { ...STATUS, services: [{ ...web, servers }] } as DirectorStatus;
    response.end(JSON.stringify(status));
  });
  await new Promise((resolve) => {
    server?.listen(join(runtimeDirectory, 'control.sock'), () => resolve(null));
  });
}

const options = (changes: object = {}) => ({
  target: 'web/10.0.0.11',
  runtimeDirectory,
  json: false,
  dryRun: false,
  force: false,
  ...changes,
});
const never = new AbortController().signal;

describe('drain', () => {
  const busy = { weightReason: 'draining', override: draining(false), weight: 0 } as const;
  const gone = { weightReason: 'drained', override: draining(true), weight: null } as const;
  const none = { activeConnections: 0, inactiveConnections: 0, persistentConnections: 0 };

  test('follows the connections with a bar until the server is out of the table', async () => {
    await directs({ error: null, servers: [TARGET] }, [
      { ...busy, ...none, activeConnections: 4 },
      { ...busy, ...none, activeConnections: 1 },
      { ...gone, ...none },
    ]);
    const terminal = fakeTerminal({ interactive: true });
    const told = { ...options(), noWait: false, timeout: '10m', reason: 'new disk' };
    expect(await drain(told, terminal, never)).toBe(0);
    const [url] = asked;
    expect(Object.fromEntries(url?.searchParams ?? [])).toMatchObject({
      target: 'web/10.0.0.11',
      action: 'drain',
      timeout_ms: '600000',
      reason: 'new disk',
    });
    expect(url?.searchParams.get('by')).not.toBe('');
    expect(terminal.written.out).toContain('[------------------------] 4 of 4 connections left');
    expect(terminal.written.out).toContain('[##################------] 1 of 4 connections left');
    expect(terminal.written.out).toContain('web/10.0.0.11:8080: drained and out of the table');
  });

  test('writes lines and no bar where nobody looks', async () => {
    await directs({ error: null, servers: [TARGET] }, [
      { ...busy, ...none, activeConnections: 4 },
      { ...gone, ...none },
    ]);
    const terminal = fakeTerminal();
    expect(await drain({ ...options(), noWait: false }, terminal, never)).toBe(0);
    expect(terminal.written.out.split('\n')[0]).toBe('4 connections left');
    expect(terminal.written.out).not.toContain('\r');
  });

  test('tells when what is left will be cut off', async () => {
    const action = { kind: 'drain', deadlineMs: NOW_MS + 90_000, drained: false } as const;
    const limited = { ...busy, override: { ...draining(false), action } };
    await directs({ error: null, servers: [TARGET] }, [
      { ...limited, ...none, activeConnections: 4 },
      { ...gone, ...none },
    ]);
    const terminal = fakeTerminal({ interactive: true });
    const told = { ...options(), noWait: false, timeout: '2m' };
    expect(await drain(told, terminal, never)).toBe(0);
    expect(terminal.written.out).toContain('4 of 4 connections left, cut off in 1m 30s');
  });

  test('leaves it draining when interrupted, and says so', async () => {
    await directs({ error: null, servers: [TARGET] }, [{ ...busy, activeConnections: 4 }]);
    const terminal = fakeTerminal();
    const stop = new AbortController();
    const done = drain({ ...options(), noWait: false }, terminal, stop.signal);
    while (!terminal.written.out.includes('left')) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    stop.abort();
    expect(await done).toBe(1);
    expect(terminal.written.out).toContain('vipkeeper undrain');
  });

  test('prints one JSON document when interrupted with --json', async () => {
    await directs({ error: null, servers: [TARGET] }, [{ ...busy, activeConnections: 4 }]);
    const terminal = fakeTerminal();
    const stop = new AbortController();
    stop.abort();
    const json = { ...options({ json: true }), noWait: false };
    expect(await drain(json, terminal, stop.signal)).toBe(1);
    expect(JSON.parse(terminal.written.out)).toMatchObject({ drained: false, servers: [TARGET] });
  });

  describe('while the director does not answer', () => {
    const waiting = (silenceMaxMs: number, changes: object = {}) => ({
      ...options(changes),
      noWait: false,
      silenceMaxMs,
    });
    const reports = [
      { ...busy, ...none, activeConnections: 4 },
      { ...gone, ...none },
    ];

    test.each([true, false])(
      'waits for it, and says so, on a terminal: %s',
      async (interactive) => {
        await directs({ error: null, servers: [TARGET] }, reports);
        const terminal = fakeTerminal({ interactive, nowMs: Date.now });
        silent = true;
        const done = drain(waiting(20_000), terminal, never);
        await expect
          .poll(() => terminal.written.out, { timeout: 10_000 })
          .toContain('The controller has not answered for 2 s; the drain goes on');
        silent = false;
        // What it was asked while it was silent is answered by nobody.
        server?.closeAllConnections();
        expect(await done).toBe(0);
        expect(terminal.written.out).toContain('drained and out of the table');
        expect(terminal.written.err).toBe('');
      },
    );

    test('waits for one that is started again', async () => {
      await directs({ error: null, servers: [TARGET] }, reports);
      const terminal = fakeTerminal({ interactive: true });
      const done = drain(waiting(20_000), terminal, never);
      await expect.poll(() => terminal.written.out).toContain('4 of 4 connections left');
      server?.closeAllConnections();
      await new Promise((resolve) => server?.close(resolve));
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      await directs({ error: null, servers: [TARGET] }, reports.slice(1));
      expect(await done).toBe(0);
    });

    test('gives up in the end, and says what becomes of the drain', async () => {
      await directs({ error: null, servers: [TARGET] }, reports);
      const terminal = fakeTerminal();
      silent = true;
      expect(await drain(waiting(1_000), terminal, never)).toBe(3);
      expect(terminal.written.err).toMatch(
        /^VK-NOT-RUNNING: The controller has not answered for 1 s, .* did not answer in 1 s\. The drain goes on, .*vipkeeper status.*; look at its log with .*\.\n$/,
      );
    });

    test('ends at once when it is interrupted', async () => {
      await directs({ error: null, servers: [TARGET] }, reports);
      const terminal = fakeTerminal({ nowMs: Date.now });
      silent = true;
      const stop = new AbortController();
      const done = drain(waiting(600_000), terminal, stop.signal);
      await expect.poll(() => terminal.written.out, { timeout: 10_000 }).toContain('not answered');
      stop.abort();
      expect(await done).toBe(1);
      expect(terminal.written.out).toContain('It goes on draining');
    });

    test('says of a wish that was not answered that it may still be done', async () => {
      server = createServer(() => {});
      await new Promise((resolve) => {
        server?.listen(join(runtimeDirectory, 'control.sock'), () => resolve(null));
      });
      for (const [method, told] of [
        ['POST', true],
        ['GET', false],
      ] as const) {
        const late = await askDirector(runtimeDirectory, '/v1/override', method, 50);
        if (late.ok) throw new Error('Nobody answers');
        expect(late.error.code).toBe('VK-NOT-RUNNING');
        expect(late.error.cure.includes('it may still do')).toBe(told);
      }
    });
  });

  test('ends when somebody else ends the drain', async () => {
    await directs({ error: null, servers: [TARGET] }, [{ override: null }]);
    const terminal = fakeTerminal();
    expect(await drain({ ...options(), noWait: false }, terminal, never)).toBe(1);
    expect(terminal.written.err).toContain('VK-OVERRIDE: Somebody ended the drain');
  });

  test('only tells with --dry-run, and asks for nothing more', async () => {
    await directs({ error: null, servers: [TARGET] });
    const terminal = fakeTerminal();
    const dry = { ...options({ dryRun: true }), noWait: false };
    expect(await drain(dry, terminal, never)).toBe(0);
    expect(asked[0]?.searchParams.get('dry_run')).toBe('');
    expect(terminal.written.out).toBe('web/10.0.0.11:8080: would be drained: no new connections\n');
  });

  test('says with --dry-run what is left of the service', async () => {
    await directs({ error: null, servers: [TARGET], consequences: [LEFT], needsForce: false });
    const terminal = fakeTerminal();
    const dry = { ...options({ dryRun: true }), noWait: false };
    expect(await drain(dry, terminal, never)).toBe(0);
    expect(terminal.written.out).toContain('web would be left with 1 of 2 servers\n');
  });

  const REFUSED = {
    ...{ error: consequenceText(LAST), servers: [TARGET] },
    ...{ consequences: [LAST], needsForce: true },
  };

  test.each([false, true])('says why the last server is refused, dry run: %s', async (dryRun) => {
    await directs(REFUSED);
    const terminal = fakeTerminal();
    expect(await drain({ ...options({ dryRun }), noWait: false }, terminal, never)).toBe(1);
    expect(terminal.written.err).toBe(
      'VK-LAST-SERVER: web would be left with 0 of 2 servers: its clients would be refused. ' +
        'Bring another server in first, or repeat the command with --force.\n',
    );
    expect(terminal.written.out.includes('would be drained')).toBe(dryRun);
    expect(asked[0]?.searchParams.has('force')).toBe(false);
  });

  test('gives the whole answer as JSON when it is refused', async () => {
    await directs(REFUSED);
    const terminal = fakeTerminal();
    const json = { ...options({ json: true }), noWait: false };
    expect(await drain(json, terminal, never)).toBe(1);
    expect(JSON.parse(terminal.written.out)).toEqual(JSON.parse(JSON.stringify(REFUSED)));
  });

  test('with --force says what it does before it waits', async () => {
    const done = { error: null, servers: [TARGET], consequences: [LAST], needsForce: false };
    await directs(done, [{ ...gone, ...none }]);
    const terminal = fakeTerminal();
    const told = { ...options({ force: true }), noWait: false };
    expect(await drain(told, terminal, never)).toBe(0);
    expect(asked[0]?.searchParams.get('force')).toBe('');
    expect(terminal.written.out).toMatch(
      /^web is left with 0 of 2 servers: its clients are refused\n.*drained and out of the table/,
    );
  });

  test('refuses a timeout without a unit', async () => {
    const wrong = { ...options(), noWait: false, timeout: '10' };
    await expect(drain(wrong, fakeTerminal(), never)).rejects.toThrow('--timeout takes a duration');
  });
});

describe('undrain and override', () => {
  const NOTHING = { up: false, down: false, clear: false };

  test('undrain leaves the server to its check', async () => {
    await directs({ error: null, servers: [{ ...TARGET, before: TARGET.after, after: null }] });
    const terminal = fakeTerminal();
    expect(await undrain(options(), terminal)).toBe(0);
    expect(asked[0]?.searchParams.get('action')).toBe('clear');
    expect(terminal.written.out).toBe('web/10.0.0.11:8080: left to its checks\n');
  });

  test('override says what is wrong with the target, and the cure', async () => {
    await directs({ error: 'There is no service ftp; services here: web', servers: [] });
    const terminal = fakeTerminal();
    expect(await override({ ...NOTHING, down: true }, options(), terminal)).toBe(1);
    expect(terminal.written.err).toMatch(/^VK-OVERRIDE: There is no service ftp; .* Name SERVICE/);
  });

  test.each([
    [{ ...NOTHING }, 'Exactly one of'],
    [{ ...NOTHING, up: true, down: true }, 'Exactly one of'],
    [{ ...NOTHING, weight: '65536' }, '--weight takes a number'],
    [{ ...NOTHING, weight: 'x' }, '--weight takes a number'],
  ])('override refuses %j', async (action, message) => {
    await expect(override(action, options(), fakeTerminal())).rejects.toThrow(message);
  });

  test('--for without a unit leads to the help of the command that was given', async () => {
    const wrong = options({ for: '2' });
    await expect(override({ ...NOTHING, up: true }, wrong, fakeTerminal())).rejects.toMatchObject({
      problem: { cure: expect.stringContaining('vipkeeper override --help') },
    });
  });

  test.each([{ for: '2h' }, { until: '2999-01-01T00:00Z' }])(
    '--clear holds for no time: %j',
    async (time) => {
      const clear = { ...NOTHING, clear: true };
      await expect(override(clear, options(time), fakeTerminal())).rejects.toThrow(
        '--clear ends a decision at once',
      );
    },
  );

  test('--until is sent as a moment and told with what it holds for', async () => {
    const nowMs = Date.parse('2026-11-27T04:00Z');
    const after = { ...draining(false), action: { kind: 'down' }, untilMs: nowMs + 7_200_000 };
    await directs({ error: null, servers: [{ ...TARGET, after }] });
    const terminal = fakeTerminal({ nowMs: () => nowMs });
    const until = options({ until: '2026-11-27T07:00+01:00' });
    expect(await override({ ...NOTHING, down: true }, until, terminal)).toBe(0);
    expect(asked[0]?.searchParams.get('until_ms')).toBe(`${nowMs + 7_200_000}`);
    expect(terminal.written.out).toContain('taken out until 2026-11-27T06:00:00Z');
    expect(terminal.written.out).toContain('to this director only');
  });

  test.each([
    [{ until: '2h' }, '--until takes a date and time'],
    [{ until: '2026-11-27T03:59Z' }, '--until is over: it is 2026-11-27T04:00:00Z now'],
    [{ until: '2026-11-28T06:00Z', for: '2h' }, 'Either --for or --until'],
  ])('override refuses %j', async (time, message) => {
    const terminal = fakeTerminal({ nowMs: () => Date.parse('2026-11-27T04:00Z') });
    const asks = override({ ...NOTHING, up: true }, options(time), terminal);
    await expect(asks).rejects.toThrow(message);
  });

  test('says that no director runs', async () => {
    const terminal = fakeTerminal();
    expect(await override({ ...NOTHING, up: true }, options(), terminal)).toBe(3);
    expect(terminal.written.err).toContain('VK-NOT-RUNNING');
  });
});

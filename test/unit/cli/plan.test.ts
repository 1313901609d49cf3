/** `vipkeeper plan` with and without a director: what it prints, and its exit status. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EXIT } from '../../../src/cli/commands.ts';
import { plan, type ReadOverrides, type ReadTable } from '../../../src/cli/plan.ts';
import type { Terminal } from '../../../src/cli/terminal.ts';
import type { Override } from '../../../src/core/health/override.ts';
import { ZERO_STATS } from '../../../src/core/ipvs/apply.ts';
import type { ObservedService, RealServer } from '../../../src/core/ipvs/model.ts';
import type { PreviewItem } from '../../../src/core/ipvs/preview.ts';
import { err, ok } from '../../../src/core/result.ts';
import type { TableView } from '../../../src/core/status.ts';
import { server, service, WEB } from '../core/ipvs/samples.ts';
import { fakeTerminal } from './fake-terminal.ts';

const COUNTERS = {
  activeConnections: 0,
  inactiveConnections: 0,
  persistentConnections: 0,
  stats: ZERO_STATS,
};

function table(...servers: RealServer[]): ObservedService[] {
  const entries = servers.map((one) => ({ ...one, ...COUNTERS }));
  return [{ service: service(WEB), stats: ZERO_STATS, servers: entries }];
}

const text = (servers: string) => `director: dir-a
services:
  web: {address: "192.0.2.10:80", check: none, servers: ${servers}}
`;

let directory: string;
let file: string;
let director: Server | null = null;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vipkeeper-plan-'));
  file = join(directory, 'new.yaml');
});

afterEach(async () => {
  director?.closeAllConnections();
  await new Promise((done) => (director === null ? done(null) : director.close(done)));
  director = null;
  rmSync(directory, { recursive: true });
});

/** Starts what answers as a director does. */
async function runs(view: Partial<TableView>): Promise<void> {
  const whole: TableView = {
    director: 'dir-a',
    configFile: file,
    observed: table(server(1)),
    owned: { 'tcp 192.0.2.10:80': ['10.0.0.1:8080'] },
    nowUs: 1,
    checks: {},
    pools: {},
    active: [],
    leaving: [],
    passive: [],
    overrides: [],
    ...view,
  };
  const started = createServer((request, response) => {
    response.writeHead(request.url === '/v1/table' ? 200 : 404).end(JSON.stringify(whole));
  });
  director = started;
  await new Promise<void>((listening) => {
    started.listen(join(directory, 'control.sock'), () => listening());
  });
}

async function run(
  options: { file?: string | null; json?: boolean } = {},
  readTable: ReadTable = async () => ok(table(server(1))),
  given: Partial<Terminal> = {},
  overrides: readonly Override[] = [],
) {
  const terminal = fakeTerminal(given);
  const whole = { file, director: null, json: false, runtimeDirectory: directory, ...options };
  const readOverrides: ReadOverrides = async (of) => (of === directory ? overrides : []);
  const exit = await plan(whole, terminal, { readTable, readOverrides });
  return { exit, ...terminal.written };
}

describe('plan without a director', () => {
  test('compares the kernel with the file, and all that is not wanted is foreign', async () => {
    writeFileSync(file, text('["10.0.0.2:8080"]'));
    const { exit, out, err: errors } = await run();
    expect([exit, errors]).toEqual([EXIT.changes, '']);
    expect(out).toBe(
      [
        '  web: tcp 192.0.2.10:80',
        '=     10.0.0.1:8080  (foreign)',
        '+     10.0.0.2:8080  forwarding nat, weight 1',
        '',
        'Plan: 1 to add, 0 to change, 0 to delete; 1 foreign left alone',
        '',
      ].join('\n'),
    );
  });

  test('drains or deletes what an earlier run has recorded as its own', async () => {
    writeFileSync(file, 'director: dir-a\nservices: {}\n');
    const owned = { 'tcp 192.0.2.10:80': ['10.0.0.1:8080'] };
    writeFileSync(join(directory, 'ipvs-owned.json'), JSON.stringify(owned));
    const { exit, out } = await run();
    expect(exit).toBe(EXIT.changes);
    expect(out).toContain(
      '~     10.0.0.1:8080  weight 1 -> 0  (leaves: deleted when its last connection ends, after 15m at most)\n\n' +
        'Plan: 0 to add, 0 to change, 1 to drain and delete, 0 to delete\n',
    );
    writeFileSync(file, 'director: dir-a\nservices: {}\nipvs: {on_remove: delete}\n');
    expect((await run()).out).toContain('- tcp 192.0.2.10:80  servers 1  (leftover of ours)\n');
  });

  test('goes by what operators decided before the stop, as far as it still holds', async () => {
    writeFileSync(file, text('["10.0.0.1:8080"]'));
    const override = (untilMs: number | null): Override => ({
      ...{ service: 'web', server: '10.0.0.1:8080', by: 'ann', reason: 'disk', sinceMs: 0 },
      untilMs,
      action: { kind: 'drain', deadlineMs: null, drained: false },
    });
    const { out } = await run({}, undefined, {}, [override(null)]);
    expect(out).toContain(
      '~     10.0.0.1:8080  weight 1 -> 0  (draining; by ann at 1970-01-01T00:00Z: disk)\n',
    );
    expect((await run({}, undefined, {}, [override(1)])).out).toBe('Nothing to change\n');
  });

  test('goes by the maintenance windows of the file', async () => {
    // Without a gap between them: at whatever moment this is.
    const window = '{schedule: "* * * * *", duration: 1m, force: true}';
    writeFileSync(file, text(`[{address: "10.0.0.1:8080", maintenance: [${window}]}]`));
    expect((await run()).out).toContain('~     10.0.0.1:8080  weight 1 -> 0  (maintenance)\n');
    // With a director that does not know of it yet.
    await runs({});
    expect((await run()).out).toContain('weight 1 -> 0  (maintenance)\n');
  });

  test('ends with 0 where nothing would change', async () => {
    writeFileSync(file, text('["10.0.0.1:8080"]'));
    expect(await run()).toEqual({ exit: EXIT.ok, out: 'Nothing to change\n', err: '' });
  });

  test('tells on a terminal what it does, and leaves nothing of that', async () => {
    writeFileSync(file, text('["10.0.0.1:8080"]'));
    const { out, err: told } = await run({}, undefined, { errInteractive: true });
    expect(out).toBe('Nothing to change\n');
    const lines = told.split('\r\x1b[K');
    expect(lines).toEqual([
      '',
      `Reading ${file} ...`,
      "Reading the kernel's table ...",
      'Comparing 1 service ...',
      '',
    ]);
  });

  test('fails with the errors of the file', async () => {
    writeFileSync(file, text('["10.0.0.1:99999"]'));
    const { exit, out, err: errors } = await run();
    expect([exit, out]).toEqual([EXIT.failed, '']);
    expect(errors).toContain('services.web.servers[0]');
  });

  test('fails with the reason where the kernel has no IPVS', async () => {
    writeFileSync(file, text('["10.0.0.1:8080"]'));
    const problem = { code: 'VK-NO-IPVS', message: 'No IPVS', cure: 'Load it' } as const;
    const { exit, err: errors } = await run({}, async () => err(problem));
    expect([exit, errors]).toEqual([EXIT.failed, 'VK-NO-IPVS: No IPVS. Load it.\n']);
  });
});

describe('plan with a director', () => {
  const never: ReadTable = () => Promise.reject(new Error('read here, not by the director'));

  test('compares the file that a reload would read with the table that the director reads', async () => {
    await runs({ observed: table(server(1, { weight: 9 })) });
    writeFileSync(file, text('["10.0.0.1:8080"]'));
    const { exit, out } = await run({ file: null }, never);
    expect(exit).toBe(EXIT.changes);
    expect(out).toContain('~     10.0.0.1:8080  weight 9 -> 1\n');
  });

  test('knows what an operator has decided', async () => {
    const override = {
      service: 'web',
      server: '10.0.0.1:8080',
      action: { kind: 'weight', weight: 9 },
      by: 'ops',
      reason: '',
      sinceMs: 0,
      untilMs: null,
    } as const;
    await runs({ observed: table(server(1, { weight: 9 })), overrides: [override] });
    writeFileSync(file, text('["10.0.0.1:8080"]'));
    expect(await run({ file: null }, never)).toMatchObject({ exit: EXIT.ok });
  });

  test('knows who accepts nothing, unless the file has that looked for no more', async () => {
    const servers = '["10.0.0.1:8080", "10.0.0.2:8080"]';
    const watched = text(servers).replace('check: none', 'check: none, passive: quiesce');
    const observed = table(server(1, { weight: 0 }), server(2));
    await runs({ observed, passive: ['web/10.0.0.1:8080'] });
    writeFileSync(file, watched);
    expect(await run({ file: null }, never)).toMatchObject({ exit: EXIT.ok });
    writeFileSync(file, text(servers));
    const { out } = await run({ file: null }, never);
    expect(out).toContain('~     10.0.0.1:8080  weight 0 -> 1\n');
  });

  test('says why a weight is to be another than that of the file, in the words of the status', async () => {
    const override = {
      ...{ service: 'web', server: '10.0.0.1:8080', by: 'ops', reason: '', sinceMs: 0 },
      untilMs: null,
      action: { kind: 'drain', deadlineMs: null, drained: false },
    } as const;
    await runs({ observed: table(server(1)), overrides: [override] });
    writeFileSync(file, text('["10.0.0.1:8080", "10.0.0.2:8080"]'));
    const { out } = await run({ file: null }, never);
    expect(out).toContain(
      '~     10.0.0.1:8080  weight 1 -> 0  (draining; by ops at 1970-01-01T00:00Z)\n',
    );
    expect(out).toContain('+     10.0.0.2:8080  forwarding nat, weight 1\n');
    const { items } = JSON.parse((await run({ file: null, json: true }, never)).out);
    expect(items.map((item: PreviewItem) => item.weightReason)).toEqual(['draining', 'healthy']);
    expect(items.map((item: PreviewItem) => item.override)).toEqual([override, null]);
  });

  test('compares a file with it, knows what is ours, and reads the file as that director', async () => {
    await runs({ director: 'dir-b' });
    const both = '{dir-a: ["10.0.0.9:8080"], dir-b: ["10.0.0.2:8080"]}';
    writeFileSync(file, text(both).replace('director: dir-a\n', ''));
    const { exit, out } = await run({ json: true }, never);
    expect(exit).toBe(EXIT.changes);
    const { running, items, ...counts } = JSON.parse(out);
    expect(running).toBe(true);
    expect(counts).toEqual({ add: 1, change: 0, drain: 1, delete: 0, leave: 0 });
    expect(items.map(({ class: kind, server: key }: PreviewItem) => [kind, key])).toEqual([
      ['leftover', '10.0.0.1:8080'],
      ['missing', '10.0.0.2:8080'],
    ]);
  });
});

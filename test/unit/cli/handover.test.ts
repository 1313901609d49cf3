/** `vipkeeper handover`, `takeback` and `restart` against a control socket that answers as a director does. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { restart } from '../../../src/cli/control.ts';
import { handover, takeback } from '../../../src/cli/handover.ts';
import type { DirectorStatus, HandoverPlan, InstanceReport } from '../../../src/core/status.ts';
import { STATUS } from '../status-fixture.ts';
import { fakeTerminal } from './fake-terminal.ts';

let runtimeDirectory: string;
let server: Server | null = null;
let asked: string[] = [];

beforeEach(() => {
  runtimeDirectory = mkdtempSync(join(tmpdir(), 'vipkeeper-handover-'));
  asked = [];
});

afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => (server === null ? resolve(null) : server.close(resolve)));
  server = null;
  rmSync(runtimeDirectory, { recursive: true, force: true });
});

const WEB: InstanceReport = { ...(STATUS.instances[0] as InstanceReport), name: 'web' };
const PLAN: HandoverPlan = {
  instance: 'web',
  refusal: null,
  successor: { address: '192.0.2.2', priority: 100, lastHeardSecondsAgo: 7 },
  expectedSeconds: 0.609375,
  longestSeconds: 3.996,
  warnings: ['Backups are silent in VRRP'],
};
const LAST: NonNullable<InstanceReport['lastHandover']> = {
  outcome: 'handed-over',
  at: '2026-03-01T12:00:01.000Z',
  successor: '192.0.2.2',
  seconds: 0.61,
};

interface Answers {
  readonly status?: number;
  readonly ended?: typeof LAST;
  readonly instances?: InstanceReport[];
  /** Of the status. */
  readonly more?: Partial<DirectorStatus>;
}

/** Answers a POST with `answer`, and from then on says that the handover ended as `ended`. */
async function directs(
  answer: object,
  { status = 202, ended = LAST, instances = [WEB], more = {} }: Answers = {},
): Promise<void> {
  const started = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    if (request.method === 'POST') {
      response.writeHead(status).end(JSON.stringify(answer));
      return;
    }
    const done = asked.some((line) => line.startsWith('POST'));
    const shown = instances.map((one) => (done ? { ...one, lastHandover: ended } : one));
    response.end(JSON.stringify({ ...STATUS, instances: shown, ...more }));
  });
  server = started;
  const path = join(runtimeDirectory, 'control.sock');
  await new Promise<void>((resolve) => started.listen(path, resolve));
}

const PLAIN = { json: false, dryRun: false };

describe('of a keeper that does not answer', () => {
  const more = { static: null, instances: [] };

  const commands = { handover, takeback, restart };

  test.each(['handover', 'takeback', 'restart'] as const)(
    '%s says so, and asks for nothing',
    async (name) => {
      await directs({ started: false, error: 'No instance web', plans: [] }, { more });
      const terminal = fakeTerminal();
      const options = { ...PLAIN, instance: 'web', runtimeDirectory };
      expect(await commands[name](options, terminal)).toBe(1);
      const { pid } = STATUS.keeper;
      expect(terminal.written.err).toContain(`VK-NO-KEEPER: The keeper (process id ${pid})`);
      expect(terminal.written.err).toContain(`kill -CONT ${pid} lets it go on`);
      expect(asked.some((line) => line.startsWith('POST'))).toBe(false);
    },
  );
});

describe('handover', () => {
  test('tells the plan with its warnings, waits for the end and says who took over', async () => {
    await directs({ started: true, error: null, plans: [PLAN] });
    const terminal = fakeTerminal();
    const options = { ...PLAIN, instance: 'web', runtimeDirectory };
    expect(await handover(options, terminal)).toBe(0);
    expect(terminal.written.err).toBe('');
    expect(terminal.written.out.split('\n')).toEqual([
      'web: 192.0.2.2 (priority 100) should take over after 0.61 s; it was last heard 7 s ago',
      '  ! Backups are silent in VRRP',
      'web: 192.0.2.2 has taken over after 0.61 s; this director does not preempt it until: ' +
        'vipkeeper takeback web',
      '',
    ]);
    expect(asked).toContain('POST /v1/handover?instance=web');
  });

  test('an end without a successor is exit status 1', async () => {
    const ended = { ...LAST, outcome: 'stayed', successor: null, seconds: 4.01 } as const;
    await directs({ started: true, error: null, plans: [PLAN] }, { ended });
    const terminal = fakeTerminal();
    expect(await handover({ ...PLAIN, instance: undefined, runtimeDirectory }, terminal)).toBe(1);
    expect(terminal.written.out).toContain('nobody took over in 4.01 s, so it stays active here');
  });

  test('--json prints plans and results', async () => {
    await directs({ started: true, error: null, plans: [PLAN] });
    const terminal = fakeTerminal();
    const options = { ...PLAIN, json: true, instance: null, runtimeDirectory };
    expect(await handover(options, terminal)).toBe(0);
    expect(JSON.parse(terminal.written.out)).toEqual({
      started: true,
      error: null,
      plans: [PLAN],
      results: [{ instance: 'web', outcome: 'handed-over', successor: '192.0.2.2', seconds: 0.61 }],
    });
    expect(asked).toContain('POST /v1/handover?');
  });

  test('--dry-run asks for nothing to be done, and fails when nobody is known', async () => {
    await directs({ started: false, error: null, plans: [PLAN] }, { status: 200 });
    const options = { ...PLAIN, dryRun: true, instance: 'web', runtimeDirectory };
    expect(await handover(options, fakeTerminal())).toBe(0);
    expect(asked).toContain('POST /v1/handover?instance=web&dry_run=');
    expect(asked).toHaveLength(2);
  });

  test('--dry-run without a known successor is exit status 1', async () => {
    const plans = [{ ...PLAN, successor: null }];
    await directs({ started: false, error: null, plans }, { status: 200 });
    const terminal = fakeTerminal();
    const options = { ...PLAIN, dryRun: true, instance: 'web', runtimeDirectory };
    expect(await handover(options, terminal)).toBe(1);
    expect(terminal.written.err).toContain('VK-HANDOVER: No successor is known');
  });

  test('what the director refuses is told with its reason', async () => {
    await directs({ started: false, error: 'web is not active here', plans: [] }, { status: 422 });
    const terminal = fakeTerminal();
    expect(await handover({ ...PLAIN, instance: 'web', runtimeDirectory }, terminal)).toBe(1);
    expect(terminal.written.err).toMatch(/^VK-HANDOVER: web is not active here\. /);
  });

  test('of several instances one must be named', async () => {
    await directs({}, { instances: [WEB, { ...WEB, name: 'mail' }] });
    const terminal = fakeTerminal();
    expect(await handover({ ...PLAIN, instance: undefined, runtimeDirectory }, terminal)).toBe(2);
    expect(terminal.written.err).toContain('Name one of them, or give --all: web, mail');
    expect(asked).toEqual(['GET /v1/status']);
  });

  test('without a director it is VK-NOT-RUNNING and exit status 3', async () => {
    const terminal = fakeTerminal();
    expect(await handover({ ...PLAIN, instance: 'web', runtimeDirectory }, terminal)).toBe(3);
    expect(terminal.written.err).toContain('VK-NOT-RUNNING');
  });
});

describe('takeback', () => {
  const plans = [{ instance: 'web', heldBack: true, detail: 'web is not held back any more' }];

  test('says what follows', async () => {
    await directs({ error: null, plans }, { status: 200 });
    const terminal = fakeTerminal();
    expect(await takeback({ json: false, instance: 'web', runtimeDirectory }, terminal)).toBe(0);
    expect(terminal.written).toEqual({ out: 'web is not held back any more\n', err: '' });
    expect(asked).toContain('POST /v1/takeback?instance=web');
  });

  test('fails where nothing was held back', async () => {
    await directs({ error: 'No instance is held back', plans: [] }, { status: 422 });
    const terminal = fakeTerminal();
    expect(await takeback({ json: true, instance: null, runtimeDirectory }, terminal)).toBe(1);
    expect(JSON.parse(terminal.written.out)).toMatchObject({ plans: [] });
    expect(asked).toContain('POST /v1/takeback');
  });
});

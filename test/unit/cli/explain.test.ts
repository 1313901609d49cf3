/** `vipkeeper explain` against a control socket that answers as a director does: what people read. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { explain } from '../../../src/cli/explain.ts';
import type { DirectorStatus, InstanceReport } from '../../../src/core/status.ts';
import { STATUS } from '../status-fixture.ts';
import { fakeTerminal } from './fake-terminal.ts';

let runtimeDirectory: string;
let server: Server | null = null;

beforeEach(() => {
  runtimeDirectory = mkdtempSync(join(tmpdir(), 'vipkeeper-explain-'));
});

afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => (server === null ? resolve(null) : server.close(resolve)));
  server = null;
  rmSync(runtimeDirectory, { recursive: true, force: true });
});

const WEB: InstanceReport = {
  ...(STATUS.instances[0] as InstanceReport),
  priorityParts: [],
  addresses: [
    { address: '192.0.2.10', prefixLength: 24, interface: 'eth0', present: true, error: null },
  ],
  peers: [],
  peer: null,
};

function directs(...instances: readonly InstanceReport[]): Promise<void> {
  return answers({ ...STATUS, instances });
}

async function answers(status: DirectorStatus): Promise<void> {
  const started = createServer((_, response) => response.end(JSON.stringify(status)));
  server = started;
  const path = join(runtimeDirectory, 'control.sock');
  await new Promise<void>((resolve) => started.listen(path, resolve));
}

function ask(instance: string, json = false) {
  const terminal = fakeTerminal();
  return { terminal, code: explain({ instance, json, runtimeDirectory }, terminal) };
}

const ACTIVE = `\
web: active for 3h 12m, because no active director was heard
  Virtual router 51, version 3, on eth0
  Priority 150 = 150 configured
  VIP 192.0.2.10 is on eth0
  No other director was heard
  If this director died now, the best of the others would take over 3 s to 4 s after the last \
advertisement; none was heard yet, as backups are silent
`;

const FAULT = `\
mail: fault for 3h 12m, because the interface is down
  Virtual router 51, version 3, on eth0
  Priority 150 = 150 configured
  VIP 192.0.2.10 is not on eth0
  No other director was heard
  This director would not take over: it cannot take part while the fault lasts
  Last planned handover 1m ago: 192.0.2.2 took over after 12 ms
  ! eth0 is down or has no carrier, so this director cannot take part
    Look at: ip link show dev eth0; at the cable, the switch port, the bond or VLAN below it \
(docs/runbooks/vrrp.md#in-fault)
`;

test('explain writes a block of lines for each instance, and fails when it finds something', async () => {
  const lastHandover = {
    outcome: 'handed-over',
    at: '2026-03-01T11:59:00.000Z',
    successor: '192.0.2.2',
    seconds: 0.012,
  } as const;
  await directs(WEB, {
    ...WEB,
    name: 'mail',
    state: 'fault',
    reason: 'interface-down',
    addresses: WEB.addresses.map((vip) => ({ ...vip, present: false })),
    lastHandover,
  });
  const { terminal, code } = ask('all');
  expect(await code).toBe(1);
  expect(terminal.written).toEqual({ out: `${ACTIVE}\n${FAULT}`, err: '' });
});

test('explain tells of one instance alone, without findings with exit status 0', async () => {
  await directs(WEB, { ...WEB, name: 'mail' });
  const { terminal, code } = ask('web');
  expect(await code).toBe(0);
  expect(terminal.written.out).toBe(ACTIVE);
});

test('explain lets nothing steer the terminal that came from elsewhere', async () => {
  const parts = [{ tracker: 'x', delta: -1, detail: 'said \u001b[2J\nthis' }];
  await directs({ ...WEB, priority: 149, priorityParts: parts });
  const { terminal, code } = ask('web');
  expect(await code).toBe(0);
  expect(terminal.written.out).toContain('- 1 x (said  [2J this)\n');
  expect(terminal.written.out).not.toContain('\u001b');
});

test('explain does not take a keeper that does not answer for a lack of instances', async () => {
  const { keeper } = STATUS;
  for (const [pid, said] of [
    [4711, 'The keeper (process id 4711) does not answer'],
    [null, 'No keeper runs at this moment'],
  ] as const) {
    const mute = { ...STATUS, instances: [], static: null, keeper: { ...keeper, pid } };
    await answers(mute);
    for (const name of ['web', 'all']) {
      const { terminal, code } = ask(name, true);
      expect(await code).toBe(1);
      expect(terminal.written.err).toContain(`VK-NO-KEEPER: ${said}. `);
      expect(terminal.written.out).toBe('');
    }
    server?.closeAllConnections();
    await new Promise((resolve) => server?.close(resolve));
    server = null;
  }
});

test('explain of an unknown instance names those that there are', async () => {
  await directs(WEB);
  const { terminal, code } = ask('wbe');
  expect(await code).toBe(2);
  expect(terminal.written.err).toContain(
    'There is no VRRP instance wbe, did you mean web? VRRP instances here: web.',
  );
});

test('explain --json is what the API answers', async () => {
  await directs(WEB);
  const { terminal, code } = ask('all', true);
  expect(await code).toBe(0);
  expect(JSON.parse(terminal.written.out)).toMatchObject([
    { instance: 'web', state: 'active', findings: [], ifActiveDied: { takesOver: 'another' } },
  ]);
});

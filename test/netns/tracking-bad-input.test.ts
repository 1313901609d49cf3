/**
 * Trackers that do everything a script should not, side by side in one director: each is down with
 * its own reason, in the status as in the metrics, the good ones beside them are not late, and
 * neither memory nor descriptors nor processes pile up.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TrackerReport } from '../../src/core/status.ts';
import { Director } from '../lab/director.ts';
import { LabError, localMachine } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 60_000;
/** What a busy garbage collector may not have given back yet; a leak of every run is far more. */
const MEMORY_GROWTH_BYTES_MAX = 64 * 1024 * 1024;

let topology: Topology;
let node: LabNode;
let files: string;

beforeAll(async () => {
  await ensurePackages(NETWORK_PACKAGES);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { directors: 1, realServers: 1 });
  node = topology.directors[0] as LabNode;
  files = mkdtempSync(join(tmpdir(), 'vipkeeper-bad-input-'));
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  await topology?.dispose();
  rmSync(files, { recursive: true, force: true });
});

function script(name: string, body: string, mode = 0o755): string {
  const path = join(files, name);
  writeFileSync(path, body, { mode });
  return path;
}

function residentBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]) * 1024;
}

it(
  'bad trackers are down with their reasons, and cost nobody else anything',
  async () => {
    const vanishing = script('vanishing', '#!/bin/sh\nexit 0\n');
    const number = join(files, 'number');
    writeFileSync(number, 'ten\n');
    const fast = { interval: '100ms', timeout: '200ms' };
    const trackers = {
      missing: { script: [join(files, 'missing')], ...fast },
      data: { script: [script('data', '#!/bin/sh\n', 0o644)], ...fast },
      interpreter: { script: [script('interpreter', '#!/no/such/shell\n')], ...fast },
      hangs: {
        script: [script('hangs', "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n")],
        ...fast,
      },
      loud: { script: ['/usr/bin/yes'], ...fast },
      escapes: {
        script: [script('escapes', '#!/bin/sh\nsetsid sleep 86397 &\nwait\n')],
        ...fast,
      },
      forks: { script: [script('forks', '#!/bin/sh\nsleep 86397 &\nexit 1\n')], ...fast },
      vanishing: { script: [vanishing], ...fast },
      number: { file: number },
      good: { script: ['/bin/true'], interval: '100ms', timeout: '5s' },
    };
    const director = await Director.start(node, {
      name: 'a',
      config: {
        vrrp: {
          web: {
            interface: 'eth0',
            vrid: 64,
            interval: '100ms',
            addresses: [`${virtualIp(1).ipv4}/24`],
            track: ['good', ...Object.keys(trackers).filter((name) => name !== 'good')].map(
              (tracker) => ({ tracker, weight: tracker === 'good' ? 10 : -1 }),
            ),
          },
        },
        trackers,
        notify: { script_security: false },
      },
    });
    await using _ = { [Symbol.asyncDispose]: () => director.dispose() };
    const found = async (name: string): Promise<TrackerReport> =>
      (await director.status()).trackers.find((one) => one.name === name) as TrackerReport;
    await director.waitFor('the good one', async () => (await found('good')).up === true);
    await director.waitFor('it to be there', async () => (await found('vanishing')).up === true);
    rmSync(vanishing);
    const reasons: Readonly<Record<string, RegExp>> = {
      missing: /missing cannot be run: it does not exist/,
      data: /data cannot be run: it is not executable/,
      interpreter: /interpreter cannot be run: the interpreter in its first line does not exist/,
      hangs: /^(did not end within 200ms|was not run, because the run before it did not end)/,
      loud: /^(did not end within 200ms|was not run, because the run before it did not end)/,
      escapes: /^(did not end within 200ms|was not run, because the run before it did not end)/,
      forks: /^ended with exit status 1$/,
      vanishing: /vanishing cannot be run: it does not exist/,
    };
    for (const [name, reason] of Object.entries(reasons)) {
      await director.waitFor(`${name} to be down`, async () => (await found(name)).up === false);
      expect((await found(name)).detail).toMatch(reason);
    }
    expect(await found('number')).toMatchObject({ up: true, value: 0 });
    expect((await found('number')).problem).toContain('what it says is no number');
    // Eight are down and cost a point each; the good one gives its ten.
    await director.waitFor(
      'the sum',
      async () => (await director.instance('web')).priority === 102,
    );

    const { controller } = await director.pids();
    const before = { bytes: residentBytes(controller), runs: (await found('good')).runs };
    await director.waitFor('thirty more good runs', async () => {
      return ((await found('good')).runs?.succeeded ?? 0) >= (before.runs?.succeeded ?? 0) + 30;
    });
    expect((await found('good')).runs).toMatchObject({ failed: 0, timeout: 0, 'not-run': 0 });
    expect(residentBytes(controller) - before.bytes).toBeLessThan(MEMORY_GROWTH_BYTES_MAX);
    // Two pipes for each script that runs, and what the process has anyway.
    expect(readdirSync(`/proc/${controller}/fd`).length).toBeLessThan(100);

    // At most those of the runs that go on.
    const sleepers = await localMachine.run(['pgrep', '-c', '-f', '^sleep 86397$']);
    expect(Number(sleepers.stdout)).toBeLessThan(5);

    const metrics = await director.ask('/metrics');
    expect(metrics).toContain('vipkeeper_tracker_up{tracker="hangs",kind="script"} 0');
    expect(metrics).toContain('vipkeeper_tracker_problem{tracker="missing",kind="script"} 1');
    expect(metrics).toContain('vipkeeper_tracker_problem{tracker="number",kind="file"} 1');
    expect(metrics).toMatch(
      /vipkeeper_tracker_runs_total\{tracker="loud",result="timeout"\} [1-9]/,
    );
    expect(await director.stop()).toBe(0);
    const left = await localMachine.run(['pgrep', '-f', `^sleep 86397$|^/bin/sh ${files}/`]);
    expect(left.stdout).toBe('');
  },
  TEST_TIMEOUT_MS,
);

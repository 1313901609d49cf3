/**
 * What keeps a director from starting, provoked for real: each ends with one sentence on standard
 * error, with a code and a cure, a non-zero exit code, no stack, and no address left behind.
 * Errors of the configuration file have their place instead of a code.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isMemory } from '../../src/keeper/record.ts';
import { Director, VIPKEEPER } from '../lab/director.ts';
import { LabError, localMachine, REPOSITORY, type RunResult } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { AddressWatch } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const RUN_TIMEOUT_MS = 15_000;
const VIP = virtualIp(1).ipv4;

const WEB = { interface: 'eth0', vrid: 51, interval: '100ms', addresses: [`${VIP}/24`] };

let topology: Topology;
let node: LabNode;
let addresses: AddressWatch;
let directory: string;

beforeAll(async () => {
  await ensurePackages(NETWORK_PACKAGES);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { directors: 1, realServers: 1 });
  node = topology.directors[0] as LabNode;
  addresses = new AddressWatch(node);
  directory = mkdtempSync(join(tmpdir(), 'vk-'));
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  addresses?.close();
  await topology?.dispose();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

/** Writes a configuration, with a runtime directory of its own unless it names one. */
function write(config: Readonly<Record<string, unknown>> | string): string {
  const path = join(directory, 'vipkeeper.yaml');
  const own = { runtime_directory: join(directory, 'run'), http: 'off' };
  writeFileSync(path, typeof config === 'string' ? config : JSON.stringify({ ...own, ...config }));
  return path;
}

/** `vipkeeper run` with these arguments, to its end; `wrapper` is a command that starts it. */
function runVipkeeper(
  args: readonly string[],
  wrapper: readonly string[] = [],
): Promise<RunResult> {
  return node.run([...wrapper, ...VIPKEEPER, 'run', ...args], { timeoutMs: RUN_TIMEOUT_MS });
}

/** `vipkeeper run` of a configuration that must not start. */
function refused(
  config: Readonly<Record<string, unknown>> | string,
  wrapper: readonly string[] = [],
): Promise<RunResult> {
  return runVipkeeper(['--config', write(config)], wrapper);
}

/** Exactly one line "CODE: Sentence. Cure." and nothing on standard output. */
function expectProblem(result: RunResult, code: string, text: RegExp, exitCode = 1): void {
  expect(result.stderr).toMatch(/^[^\n]+\n$/);
  expect(result.stderr).toMatch(new RegExp(`^${code}: .*\\. [A-Z].*\\.\\n$`));
  expect(result.stderr).toMatch(text);
  expect({ code: result.code, stdout: result.stdout }).toEqual({ code: exitCode, stdout: '' });
  expect(addresses.holds(VIP)).toBe(false);
}

/** A wrapper that takes capabilities away for good. */
function without(...capabilities: readonly string[]): string[] {
  const list = capabilities.map((name) => `-${name}`).join(',');
  return ['setpriv', `--bounding-set=${list}`, `--inh-caps=${list}`];
}

describe('a director refuses to start', { timeout: 3 * RUN_TIMEOUT_MS }, () => {
  it('with ten errors in its configuration: lists the ten, each with its place', async () => {
    const result = await refused(`runtime_directory: run
vrrp:
  web:
    interface: eth/0
    vrid: 256
    priority: 0
    interval: 5ms
    version: 4
    preempt: perhaps
    checksum: md5
    addresses: [192.0.2.300/24]
    addreses: []
`);
    const lines = result.stderr.trimEnd().split('\n');
    expect(lines).toHaveLength(10);
    for (const line of lines) expect(line).toMatch(/vipkeeper\.yaml:\d+:\d+: [a-z_.[\]0-9]+: ./);
    const places = lines.map((line) => Number(/yaml:(\d+):/.exec(line)?.[1]));
    expect(places).toEqual([1, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(result).toMatchObject({ code: 1, stdout: '' });
  });

  it('without its interface: names it and who needs it', async () => {
    const result = await refused({ vrrp: { web: { ...WEB, interface: 'eth7' } } });
    expectProblem(result, 'VK-NO-INTERFACE', /eth7 does not exist; vrrp\.web needs it/);
  });

  it('without CAP_NET_RAW: names the capability', async () => {
    const result = await refused({ vrrp: { web: WEB } }, without('net_raw'));
    expectProblem(result, 'VK-NOT-ROOT', /lacks the capability CAP_NET_RAW\b/);
  });

  it('without both network capabilities: names both', async () => {
    const result = await refused({ vrrp: { web: WEB } }, without('net_raw', 'net_admin'));
    expectProblem(result, 'VK-NOT-ROOT', /capabilities CAP_NET_ADMIN, CAP_NET_RAW\b/);
  });

  it('with services where the kernel has no IPVS, and starts where it has', async () => {
    const services = { web: { address: `${VIP}:80`, servers: ['192.0.2.101:80'] } };
    const config = { vrrp: { web: WEB }, services };
    // The kernel decides which half of this can be seen; both say the truth about it.
    if (existsSync('/proc/net/ip_vs')) {
      await using director = await Director.start(node, { config });
      expect((await director.status()).ipvs).toMatchObject({ managed: true, lastError: null });
      expect(await director.stop()).toBe(0);
      return;
    }
    const result = await refused(config);
    expectProblem(result, 'VK-NO-IPVS', /kernel has no IPVS .*modprobe ip_vs/);

    await using director = await Director.start(node, { config: { vrrp: { web: WEB } } });
    director.configure(config);
    const reload = await director.run(['reload']);
    expect(reload).toMatchObject({
      code: 1,
      stdout: 'The configuration was read again and applied, but not all of it works\n',
      stderr: expect.stringMatching(
        /^VK-NO-IPVS: .*no virtual service,.*modprobe ip_vs.*vipkeeper reload'\.\n$/,
      ),
    });
    expect((await director.status()).ipvs).toMatchObject({
      managed: false,
      lastError: expect.stringMatching(/kernel has no IPVS .*modprobe ip_vs.*vipkeeper reload/),
    });
    expect(await director.stop()).toBe(0);
  });

  it('with its port in use: names the port and how to find who has it', async () => {
    const http = { listen: '127.0.0.1:9112' };
    const other = { ...WEB, vrid: 9, addresses: [`${virtualIp(2).ipv4}/24`] };
    await using holder = await Director.start(node, { config: { vrrp: { other }, http } });
    const result = await refused({ vrrp: { web: WEB }, http });
    expectProblem(result, 'VK-PORT-IN-USE', /127\.0\.0\.1:9112\. Find it with `ss -ltnp/);
    expect((await holder.instance('other')).state).not.toBe('fault');
    await holder.stop();
  });

  it('with a runtime directory on a disk: goes on, and warns of it', async () => {
    const onDisk = mkdtempSync(join(REPOSITORY, 'dist', 'vk-'));
    const config = { vrrp: { web: WEB } };
    const warnings = ({ log }: Director) =>
      log.filter(({ code }) => code === 'VK-RUNTIME-DIRECTORY').map(({ msg }) => msg);
    await using first = await Director.start(node, { config, directory: onDisk });
    await first.waitForState('web', 'active');
    // A checkout in memory is possible, and then there is nothing to say.
    if (isMemory(onDisk)) expect(warnings(first)).toEqual([]);
    else
      expect(warnings(first)).toMatchObject([expect.stringContaining(`${onDisk}/run is not in`)]);
    await first.stop();
    await using second = await Director.start(node, { config });
    await second.waitForState('web', 'active');
    expect(warnings(second)).toEqual([]);
    await second.stop();
  });

  it('with the runtime directory of a running one, which goes on', async () => {
    await using first = await Director.start(node, { config: { vrrp: { web: WEB } } });
    await first.waitForState('web', 'active');
    const before = { pids: await first.pids(), mark: first.mark };
    const runtime = { runtime_directory: first.runtimeDirectory };
    const result = await runVipkeeper(['--config', write({ vrrp: { web: WEB }, ...runtime })]);
    expect(result.stderr).toMatch(/^VK-ALREADY-RUNNING: .*\. Stop that one, .*\.\n$/);
    expect(result).toMatchObject({ code: 1, stdout: '' });
    expect(addresses.holds(VIP)).toBe(true);
    expect({ pids: await first.pids(), mark: first.mark }).toEqual(before);
    expect(await first.stop()).toBe(0);
  });

  it('with a runtime directory that cannot be made', async () => {
    const file = join(directory, 'file');
    writeFileSync(file, '');
    const result = await refused({ vrrp: { web: WEB }, runtime_directory: join(file, 'run') });
    expectProblem(result, 'VK-RUNTIME-DIRECTORY', /file\/run\/control\.sock cannot be made/);
  });

  it('with a runtime directory below /proc: says so and ends', async () => {
    const result = await refused({ vrrp: { web: WEB }, runtime_directory: '/proc/vipkeeper' });
    expectProblem(
      result,
      'VK-RUNTIME-DIRECTORY',
      /\/proc\/vipkeeper\/control\.sock cannot be made/,
    );
  });

  it.each([
    ['is missing', ['--config', '/nonexistent/vipkeeper.yaml'], /it does not exist/, []],
    ['may not be read', null, /permission is denied/, without('dac_override', 'dac_read_search')],
    ['is a directory', ['--config', '/proc'], /not a regular file/, []],
  ])('with a configuration file that %s', async (_, args, text, wrapper) => {
    const path = write({ vrrp: { web: WEB } });
    // Root without the right to override permissions is nobody special.
    if (args === null) await localMachine.run(['chmod', '000', path]);
    const result = await runVipkeeper(args ?? ['--config', path], wrapper);
    rmSync(path);
    expectProblem(result, 'VK-CONFIG-READ', text);
  });

  it.each([
    ['an unknown option', ['--confg', 'x'], /Unknown option '--confg'/],
    ['an argument too many', ['now'], /Unexpected argument 'now'/],
    ['an impossible director', ['--director', 'a b'], /"a b" cannot be the name of a director/],
  ])('with %s: says so, exits with 2', async (_, args, text) => {
    expectProblem(await runVipkeeper(args), 'VK-USAGE', text, 2);
  });
});

/**
 * The topology against its promises, on this machine's own kernel: neighbours reach each other,
 * a link can be cut in both ways, a node can lose power, and nothing stays behind.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check, LabError, localMachine, REPOSITORY, waitFor } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, removeDeadLabs, Topology } from '../lab/topology.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 30_000;

async function pings(from: LabNode, address: string): Promise<boolean> {
  return (await from.run(['ping', '-n', '-c', '1', '-W', '1', address])).code === 0;
}

async function namespaces(): Promise<string> {
  return (await check(localMachine, ['ip', 'netns', 'list'])).stdout;
}

describe('Topology', { timeout: TEST_TIMEOUT_MS }, () => {
  let topology: Topology;
  let director: LabNode;
  let client: LabNode;

  beforeAll(async () => {
    await ensurePackages(NETWORK_PACKAGES);
    const possible = await canUseNamespaces();
    if (!possible.ok) throw new LabError(possible.cure);
    topology = await Topology.create(localMachine, { sync: true });
    director = topology.directors[0] as LabNode;
    client = topology.clients[0] as LabNode;
  }, SETUP_TIMEOUT_MS);

  afterAll(() => topology?.dispose());

  it('lets neighbours reach each other at once, over IPv4, IPv6 and link-local', async () => {
    const { ipv4, ipv6, linkLocal } = director.on('front');
    expect(await pings(client, ipv4)).toBe(true);
    expect(await pings(client, ipv6)).toBe(true);
    expect(await pings(client, `${linkLocal}%eth0`)).toBe(true);
    const real = topology.realServers[1] as LabNode;
    expect(await pings(director, real.on('back').ipv6)).toBe(true);
    const peer = topology.directors[1] as LabNode;
    expect(await pings(director, peer.on('sync').ipv4)).toBe(true);
  });

  it('linkDown takes the carrier away and linkUp brings it back', async () => {
    const { ipv4, name } = director.on('front');
    await director.linkDown('front');
    const link = await check(director, ['ip', 'link', 'show', name]);
    expect(link.stdout).toContain('NO-CARRIER');
    expect(await pings(client, ipv4)).toBe(false);
    await director.linkUp('front');
    await waitFor('the link to work again', () => pings(client, ipv4));
  });

  it('isolate drops the frames and keeps the carrier, rejoin undoes it', async () => {
    const { ipv4, name } = director.on('front');
    await director.isolate('front');
    const link = await check(director, ['ip', 'link', 'show', name]);
    expect(link.stdout).toContain('LOWER_UP');
    expect(await pings(client, ipv4)).toBe(false);
    await director.rejoin('front');
    await waitFor('the port to forward again', () => pings(client, ipv4));
  });

  it('kill ends the processes and all cables of the node alone', async () => {
    const victim = topology.realServers[0] as LabNode;
    const doomed = await victim.spawn(['sleep', '300']);
    const spared = await client.spawn(['sleep', '300']);
    await victim.kill();
    expect(await doomed.exited).toBe(128 + 9);
    for (const { name } of victim.interfaces) {
      const link = await check(victim, ['ip', 'link', 'show', name]);
      expect(link.stdout).toContain('NO-CARRIER');
    }
    expect((await client.run(['kill', '-0', String(spared.pid)])).code).toBe(0);
    const spare = await check(client, ['ip', 'link', 'show', client.on('front').name]);
    expect(spare.stdout).toContain('LOWER_UP');
    spared.kill('SIGKILL');
    await spared.exited;
  });
});

describe('Topology.dispose', { timeout: TEST_TIMEOUT_MS }, () => {
  it('leaves neither namespaces nor processes, and may be called again', async () => {
    const topology = await Topology.create(localMachine, { directors: 1, realServers: 1 });
    const child = await (topology.clients[0] as LabNode).spawn(['sleep', '300']);
    expect(await namespaces()).toContain(topology.prefix);
    await topology.dispose();
    expect(await child.exited).toBe(128 + 9);
    expect(await namespaces()).not.toContain(topology.prefix);
    await topology.dispose();
  });

  it('names and removes nothing of a topology that could not be built', async () => {
    await expect(Topology.create(localMachine, { clients: 51 })).rejects.toThrow('0 to 50');
  });
});

describe('clean-up', { timeout: TEST_TIMEOUT_MS }, () => {
  const program = `
    const { Topology } = await import('${join(REPOSITORY, 'dist/test/lab/topology.js')}');
    const { localMachine } = await import('${join(REPOSITORY, 'dist/test/lab/host.js')}');
    const topology = await Topology.create(localMachine, { directors: 1 });
    console.log(topology.prefix);
    setInterval(() => {}, 1000);`;

  async function startLab(): Promise<{ pid: number; prefix: string; exited: Promise<unknown> }> {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program]);
    const exited = new Promise((resolve) => child.once('close', resolve));
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    await waitFor('the other lab', () => output.endsWith('\n'));
    return { pid: child.pid as number, prefix: output.trim(), exited };
  }

  it('an interrupted process takes its topology along', async () => {
    const lab = await startLab();
    expect(await namespaces()).toContain(lab.prefix);
    process.kill(lab.pid, 'SIGINT');
    await lab.exited;
    expect(await namespaces()).not.toContain(lab.prefix);
  });

  it('removeDeadLabs removes what a killed process left, and nothing of a living one', async () => {
    const dead = await startLab();
    process.kill(dead.pid, 'SIGKILL');
    await dead.exited;
    const living = await startLab();
    expect(await namespaces()).toContain(dead.prefix);
    const removed = await removeDeadLabs();
    expect(removed.filter((name) => name.startsWith(dead.prefix)).length).toBeGreaterThan(0);
    expect(await namespaces()).not.toContain(dead.prefix);
    expect(await namespaces()).toContain(living.prefix);
    process.kill(living.pid, 'SIGTERM');
    await living.exited;
  });
});

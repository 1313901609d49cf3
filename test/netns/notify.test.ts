/**
 * Notification by a whole director: what scripts and the reader of the FIFO hear over a start, a
 * crash of the controller and of the keeper, a fault, a reload and a stop. Needs root and a build.
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseIp } from '../../src/core/ip.ts';
import {
  encodeAdvertisement,
  MAX_ADVERTISEMENT_BYTES,
  VRRP_GROUP_IPV4,
} from '../../src/core/wire/vrrp.ts';
import { ifIndex } from '../../src/linux/libc.ts';
import { VrrpSender } from '../../src/linux/vrrp-socket.ts';
import { Director } from '../lab/director.ts';
import { check, LabError, localMachine, waitFor } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { AddressWatch, inside } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 60_000;

let topology: Topology;
let node: LabNode;
let directory: string;

beforeAll(async () => {
  await ensurePackages(NETWORK_PACKAGES);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { directors: 1, realServers: 1 });
  node = topology.directors[0] as LabNode;
  directory = mkdtempSync(join(tmpdir(), 'vk-notify-'));
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  await topology?.dispose();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

function script(name: string, body: string): string {
  const path = join(directory, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

function lines(name: string): string[] {
  try {
    return readFileSync(join(directory, name), 'utf8').split('\n').slice(0, -1);
  } catch {
    return [];
  }
}

/** Whether a process still does something: one that nobody has waited for has no words left. */
function runs(pid: string | undefined): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
  } catch {
    return false;
  }
}

function configOf(priority: number): Readonly<Record<string, unknown>> {
  const out = join(directory, 'scripts');
  const loser = script('loser.sh', `echo $VIPKEEPER_PEER >> ${join(directory, 'loser')}`);
  const web = {
    interface: 'eth0',
    vrid: 51,
    priority,
    // Long enough for the next keeper to adopt the VIP on a busy machine.
    interval: '1s',
    addresses: [`${virtualIp(1).ipv4}/24`],
    notify: {
      any: [script('any', `echo "$@" >> ${out}`)],
      priority_changes: true,
      lower_priority: loser,
    },
  };
  const notify = {
    fifo: join(directory, 'fifo'),
    fifo_script: script('reader', `cat "$1" >> ${join(directory, 'lines')}`),
    startup: script('startup', `echo startup >> ${out}`),
    shutdown: script('shutdown', `echo shutdown >> ${out}`),
  };
  return { vrrp: { web }, notify };
}

/** One advertisement of another active with priority 90, from the client. */
function advertiseLower(): void {
  const client = topology.clients[0] as LabNode;
  const source = parseIp(client.on('front').ipv4) as Uint8Array;
  const message = new Uint8Array(MAX_ADVERTISEMENT_BYTES);
  const lengthBytes = encodeAdvertisement(message, {
    version: 3,
    vrid: 51,
    priority: 90,
    advertIntervalUs: 1_000_000,
    addresses: [parseIp(virtualIp(1).ipv4) as Uint8Array],
    family: 'ipv4',
    checksum: 'message',
    password: null,
    source,
    destination: VRRP_GROUP_IPV4,
  });
  inside(client, () => {
    const sender = new VrrpSender({
      interfaceName: 'eth0',
      interfaceIndex: ifIndex('eth0'),
      family: 'ipv4',
      sourceAddress: source,
    });
    expect(sender.send(message, lengthBytes)).toBe(lengthBytes);
    sender.close();
  });
}

it(
  'tells scripts and FIFO every change once, in order, over crashes of either process',
  async () => {
    await using director = await Director.start(node, { config: configOf(150) });
    const heard = (count: number) =>
      director.waitFor(`${count} runs of scripts`, () => lines('scripts').length === count);
    await heard(3);
    advertiseLower();
    // Told once a second, however many there are.
    advertiseLower();
    await director.waitFor('the loser', () => lines('loser').length === 1);

    const { controller } = await director.kill('SIGKILL', 'controller');
    await director.waitFor('the next controller', async () => {
      const status = await director.tryStatus();
      return status !== null && status.controller.pid !== controller && status.instances.length > 0;
    });
    await check(node, ['ip', 'link', 'set', 'eth0', 'down']);
    await heard(4);
    await check(node, ['ip', 'link', 'set', 'eth0', 'up']);
    await heard(6);

    const since = director.mark;
    await director.kill('SIGKILL', 'keeper');
    await director.waitForTransition('web', 'active', since);
    director.configure(configOf(160));
    // The keeper is another process now; the controller hears signals too.
    await director.kill('SIGHUP', 'controller');
    await heard(7);
    await director.kill('SIGTERM', 'keeper');
    await director.ended();

    const told = ['BACKUP 150', 'MASTER 150', 'FAULT 150', 'BACKUP 150', 'MASTER 150'];
    const words = [...told, 'MASTER_PRIORITY 160', 'STOP 160'];
    expect(lines('scripts')).toEqual([
      'startup',
      ...words.map((word) => `INSTANCE web ${word}`),
      'shutdown',
    ]);
    const [backup, active, ...later] = words as [string, string, ...string[]];
    const written = [backup, active, 'MASTER_RX_LOWER_PRI 150', ...later];
    expect(lines('lines')).toEqual(written.map((word) => `INSTANCE "web" ${word}`));
    expect(lines('loser')).toEqual([topology.clients[0]?.on('front').ipv4]);
  },
  TEST_TIMEOUT_MS,
);

it(
  'ends what a dead controller left running before it runs anything else, and keeps the lines',
  async () => {
    const out = join(directory, 'crash');
    const fifo = join(directory, 'crash-fifo');
    const say = (what: string) => `echo "$(basename $0) $$ ${what}" >> ${out}`;
    const web = {
      ...{ interface: 'eth0', vrid: 52, interval: '100ms' },
      addresses: [`${virtualIp(2).ipv4}/24`],
      notify: {
        active: script(
          'hangs',
          `${say('begins')}; [ -e ${out}.free ] || sleep 600; ${say('ends')}`,
        ),
      },
    };
    // A reader that is busy with its first line when the controller dies.
    const reader = `while read -r line; do echo "$$ $line" >> ${out}-lines; sleep 1; done < "$1"`;
    const notify = { fifo, fifo_script: script('slow', reader) };
    // A tracker whose script hangs, too.
    const hung = script('tracker', `${say('tracks').replace(out, `${out}-tracker`)}; sleep 600`);
    const trackers = { hung: { script: hung, timeout: '1m' } };
    await using director = await Director.start(node, {
      config: {
        ...{ trackers, notify },
        vrrp: { web: { ...web, track: [{ tracker: 'hung', weight: 1 }] } },
      },
    });
    await director.waitFor('the tracker to hang', () => lines('crash-tracker').length === 1);
    const [tracked] = lines('crash-tracker').map((line) => line.split(' ')[1]);
    await director.waitFor('the script to hang', () => lines('crash').length === 1);
    await director.waitFor('the first line', () => lines('crash-lines').length === 1);
    writeFileSync(`${out}.free`, '');
    const since = director.mark;
    await director.kill('SIGKILL', 'controller');
    await director.waitFor('the script to be run again', () => lines('crash').length === 3);
    const [first, again, end] = lines('crash').map((line) => line.split(' '));
    expect([first?.[2], again?.[2], end?.[2]]).toEqual(['begins', 'begins', 'ends']);
    expect(again?.[1]).toBe(end?.[1]);
    expect(again?.[1]).not.toBe(first?.[1]);
    expect(runs(first?.[1])).toBe(false);
    const told = () => director.lines('notify', { reason: 'left-running' }, since).length;
    await director.waitFor('three scripts to be told of', () => told() === 3);
    expect(runs(tracked)).toBe(false);
    await director.waitFor('the lines', () => lines('crash-lines').length >= 2);
    const [oldReader, newReader] = lines('crash-lines').map((line) => line.split(' ')[0]);
    expect(newReader).not.toBe(oldReader);
    expect(runs(oldReader)).toBe(false);
    // What the first reader had not read is there still, once and in order.
    const states = lines('crash-lines').map((line) => line.split(' ').slice(1).join(' '));
    expect(states.slice(0, 2)).toEqual(['INSTANCE "web" BACKUP 100', 'INSTANCE "web" MASTER 100']);
    await director.kill('SIGTERM', 'keeper');
    await director.ended();
  },
  TEST_TIMEOUT_MS,
);

it(
  'no line of the FIFO is lost with a controller, whether it was read, told or neither',
  async () => {
    const fifo = join(directory, 'unread');
    const web = {
      // Long enough for a restart in place without a handover.
      ...{ interface: 'eth0', vrid: 53, interval: '700ms' },
      addresses: [`${virtualIp(3).ipv4}/24`],
    };
    await using director = await Director.start(node, {
      config: { vrrp: { web }, notify: { fifo } },
    });
    await director.waitForTransition('web', 'active');
    const expected = ['BACKUP', 'MASTER'];
    for (const way of ['between', 'stopped', 'restart'] as const) {
      const mark = director.mark;
      const { controller } = await director.pids();
      if (way === 'restart') await director.run(['restart']);
      else {
        // What is reported to one that does not run is in nobody's hands.
        if (way === 'stopped') process.kill(controller, 'SIGSTOP');
        else process.kill(controller, 'SIGKILL');
        const watch = new AddressWatch(node);
        try {
          await check(node, ['ip', 'link', 'set', 'eth0', 'down']);
          await waitFor('the VIP to go', () => !watch.holds(virtualIp(3).ipv4));
          await check(node, ['ip', 'link', 'set', 'eth0', 'up']);
          await waitFor('the VIP to return', () => watch.holds(virtualIp(3).ipv4));
        } finally {
          watch.close();
        }
        expected.push('FAULT', 'BACKUP', 'MASTER');
        if (way === 'stopped') process.kill(controller, 'SIGKILL');
      }
      await director.waitForLine('started', {}, mark);
      await director.waitForState('web', 'active');
    }
    const { stdout } = await node.run(['timeout', '1', 'cat', fifo]);
    expect(stdout).toBe(expected.map((word) => `INSTANCE "web" ${word} 100\n`).join(''));
  },
  TEST_TIMEOUT_MS,
);

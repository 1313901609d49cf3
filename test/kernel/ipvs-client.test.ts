/**
 * IpvsClient on a real kernel, compared with what ipvsadm sees, and the pure model of the table
 * compared with the table itself.
 */
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ServiceIdentity } from '../../src/core/config/config.ts';
import { apply } from '../../src/core/ipvs/apply.ts';
import type {
  DesiredService,
  IpvsOperation,
  ObservedService,
  RealServer,
  VirtualService,
} from '../../src/core/ipvs/model.ts';
import { serverKey, serviceFamily } from '../../src/core/ipvs/model.ts';
import { plan } from '../../src/core/ipvs/plan.ts';
import type { Problem } from '../../src/core/problem.ts';
import { ok, type Result } from '../../src/core/result.ts';
import type { OperationResult } from '../../src/linux/ipvs/client.ts';
import type { IpvsInfo, IpvsTimeouts, SyncDaemon } from '../../src/linux/ipvs/codec.ts';
import { type Child, check, REPOSITORY, waitFor } from '../lab/host.ts';
import { Vm } from '../lab/vm.ts';
import * as arbitrary from '../property/ipvs-arbitraries.ts';
import { claim } from '../property/owned.ts';
import type { GuestCall, Traffic } from './ipvs-guest.ts';

const PROGRAM = join(REPOSITORY, 'dist', 'test', 'kernel', 'ipvs-guest.js');
const NAMESPACE = 'lvs';
const IN_NAMESPACE = ['ip', 'netns', 'exec', NAMESPACE];
/** Emulation on a busy machine. */
const SLOW_MS = 300_000;
/** Reproducible, and different tables in each case. */
const SEED = 20_240_601;

const WEB: ServiceIdentity = {
  kind: 'address',
  protocol: 'tcp',
  address: '192.0.2.10',
  port: 80,
};

let vm: Vm;
let guest: Guest;

beforeAll(async () => {
  vm = await Vm.start();
  await vm.run(['ip', 'netns', 'add', NAMESPACE]);
  for (const argv of [
    ['ip', 'link', 'set', 'lo', 'up'],
    ['ip', 'link', 'add', 'c0', 'type', 'dummy'],
    ['ip', 'link', 'set', 'c0', 'up'],
    ['ip', 'addr', 'add', '10.9.0.1/24', 'dev', 'c0'],
    ['ip', 'addr', 'add', '192.0.2.10/32', 'dev', 'lo'],
  ]) {
    await check(vm, [...IN_NAMESPACE, ...argv]);
  }
  guest = await Guest.start([]);
  expect(await guest.call({ method: 'open' })).toEqual(ok(null));
}, SLOW_MS);

afterAll(async () => {
  await vm?.stop();
});

beforeEach(async () => {
  expect(await guest.call({ method: 'flush' })).toEqual(ok(null));
});

/** A guest process and the calls to it, one after another. */
class Guest {
  readonly #child: Child;
  readonly #waiting: ((line: string) => void)[] = [];
  #partial = '';

  private constructor(child: Child) {
    this.#child = child;
  }

  static async start(wrapper: readonly string[]): Promise<Guest> {
    let receive: (text: string) => void = () => {};
    const errors: Buffer[] = [];
    const argv = [...IN_NAMESPACE, ...wrapper, process.execPath, PROGRAM];
    const child = await vm.spawn(argv, {
      onStdout: (chunk) => receive(chunk.toString('utf8')),
      onStderr: (chunk) => errors.push(chunk),
    });
    const started = new Guest(child);
    receive = (text) => started.#receive(text);
    const ended = (how: unknown) => {
      const end = { ended: String(how), stderr: Buffer.concat(errors).toString() };
      for (const resolve of started.#waiting.splice(0)) resolve(JSON.stringify(end));
    };
    child.exited.then(ended, ended);
    return started;
  }

  call(call: { readonly method: 'apply' } & GuestCall): Promise<OperationResult[]>;
  call(call: { readonly method: 'dump' }): Promise<Result<ObservedService[], Problem>>;
  call(call: { readonly method: 'daemons' }): Promise<Result<SyncDaemon[], Problem>>;
  call(call: { readonly method: 'timeouts' }): Promise<Result<IpvsTimeouts, Problem>>;
  call(call: { readonly method: 'info' }): Promise<Result<IpvsInfo, Problem>>;
  call(call: { readonly method: 'traffic'; readonly traffic: Traffic }): Promise<number>;
  call(call: { readonly method: 'dumpStall' }): Promise<{ stallMs: number; totalMs: number }>;
  call(call: GuestCall): Promise<unknown>;
  async call(call: GuestCall): Promise<unknown> {
    const line = await new Promise<string>((resolve) => {
      this.#waiting.push(resolve);
      this.#child.write(`${JSON.stringify(call)}\n`);
    });
    return JSON.parse(line);
  }

  async end(): Promise<void> {
    this.#child.end();
    await this.#child.exited;
  }

  #receive(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() ?? '';
    for (const line of lines) this.#waiting.shift()?.(line);
  }
}

async function ipvsadm(...argv: string[]): Promise<string[]> {
  const { stdout } = await check(vm, [...IN_NAMESPACE, 'ipvsadm', ...argv]);
  return stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().replace(/ +/g, ' '));
}

async function dump(): Promise<ObservedService[]> {
  const result = await guest.call({ method: 'dump' });
  if (!result.ok) throw new Error(JSON.stringify(result.error));
  return result.value;
}

async function applied(operations: readonly IpvsOperation[]): Promise<(string | null)[]> {
  const results = await guest.call({ method: 'apply', operations });
  expect(results.length).toBe(operations.length);
  return results.map(({ errno, problem }) => (errno === 0 ? null : `${errno} ${problem?.code}`));
}

function service(identity: ServiceIdentity, changes: Partial<VirtualService> = {}): VirtualService {
  return {
    identity,
    scheduler: 'wlc',
    persistenceSeconds: 0,
    persistencePrefixLength: serviceFamily(identity) === 'ipv4' ? 32 : 128,
    persistenceEngine: null,
    onePacket: false,
    flag1: false,
    flag2: false,
    flag3: false,
    ...changes,
  };
}

function server(address: string, changes: Partial<RealServer> = {}): RealServer {
  return {
    address,
    port: 8080,
    forwarding: 'nat',
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    tunnel: { kind: 'ipip' },
    ...changes,
  };
}

/** Every kind of service, forwarding, tunnel and setting. */
const EVERYTHING: readonly DesiredService[] = [
  {
    service: service({ kind: 'fwmark', family: 'ipv4', mark: 5 }, { scheduler: 'mh', flag2: true }),
    servers: [server('10.9.0.5', { port: 0, forwarding: 'dr', weight: 7 })],
  },
  {
    service: service({ kind: 'fwmark', family: 'ipv6', mark: 5 }, { scheduler: 'rr' }),
    servers: [],
  },
  {
    service: service(WEB, { scheduler: 'sh', flag1: true, flag2: true }),
    servers: [
      server('10.9.0.1'),
      server('10.9.0.2', { weight: 0, upperThreshold: 1000, lowerThreshold: 500 }),
    ],
  },
  {
    service: service(
      { ...WEB, port: 443 },
      { persistenceSeconds: 600, persistencePrefixLength: 24 },
    ),
    servers: [
      server('10.9.0.3', { port: 443, forwarding: 'tun' }),
      server('10.9.0.4', {
        port: 443,
        forwarding: 'tun',
        tunnel: { kind: 'gue', port: 6080, checksum: 'remote' },
      }),
      server('10.9.0.5', {
        port: 443,
        forwarding: 'tun',
        tunnel: { kind: 'gre', checksum: 'on' },
      }),
      server('2001:db8::3', { port: 443, forwarding: 'tun' }),
    ],
  },
  {
    service: service(
      { ...WEB, address: '2001:db8::10' },
      { persistenceSeconds: 60, persistencePrefixLength: 64, scheduler: 'lc', flag3: true },
    ),
    servers: [server('2001:db8::1')],
  },
  {
    service: service(
      { ...WEB, protocol: 'udp', port: 5060 },
      { scheduler: 'rr', persistenceSeconds: 360, persistenceEngine: 'sip' },
    ),
    servers: [],
  },
  {
    service: service({ ...WEB, protocol: 'udp', port: 53 }, { scheduler: 'wrr', onePacket: true }),
    servers: [server('10.9.0.2', { port: 53 })],
  },
  {
    service: service({ ...WEB, protocol: 'sctp', port: 3868 }, { scheduler: 'none' }),
    servers: [],
  },
];

const NOTHING = { observed: [], owned: new Map(), ownership: 'shared' as const };

function withoutCounters(table: readonly ObservedService[]): DesiredService[] {
  return table.map(({ service: settings, servers }) => ({
    service: settings,
    servers: servers.map(({ address, port, forwarding, weight, ...rest }) => ({
      ...{ address, port, forwarding, weight },
      upperThreshold: rest.upperThreshold,
      lowerThreshold: rest.lowerThreshold,
      tunnel: rest.tunnel,
    })),
  }));
}

describe('IpvsClient', { timeout: SLOW_MS }, () => {
  it('programs every kind of entry as ipvsadm shows it', async () => {
    const { operations } = plan({ ...NOTHING, desired: EVERYTHING });
    expect(await applied(operations)).toEqual(operations.map(() => null));
    expect((await ipvsadm('-Sn')).sort()).toEqual(
      [
        '-A -t 192.0.2.10:80 -s sh -b sh-fallback,sh-port',
        '-a -t 192.0.2.10:80 -r 10.9.0.1:8080 -m -w 1',
        '-a -t 192.0.2.10:80 -r 10.9.0.2:8080 -m -w 0',
        '-A -t 192.0.2.10:443 -s wlc -p 600 -M 255.255.255.0',
        '-a -t 192.0.2.10:443 -r 10.9.0.3:443 -i -w 1 --tun-type ipip',
        '-a -t 192.0.2.10:443 -r 10.9.0.4:443 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum',
        '-a -t 192.0.2.10:443 -r 10.9.0.5:443 -i -w 1 --tun-type gre --tun-csum',
        '-a -t 192.0.2.10:443 -r [2001:db8::3]:443 -i -w 1 --tun-type ipip',
        '-A -t [2001:db8::10]:80 -s lc -p 60 -M 64 -b flag-3',
        '-a -t [2001:db8::10]:80 -r [2001:db8::1]:8080 -m -w 1',
        '-A -u 192.0.2.10:53 -s wrr -o',
        '-a -u 192.0.2.10:53 -r 10.9.0.2:53 -m -w 1',
        '-A -u 192.0.2.10:5060 -s rr -p 360 --pe sip',
        '-A --sctp-service 192.0.2.10:3868 -s none',
        '-A -f 5 -s mh -b mh-port',
        '-a -f 5 -r 10.9.0.5:0 -g -w 7',
        '-A -f 5 -6 -s rr',
      ].sort(),
    );
    expect(await ipvsadm('-Ln', '--thresholds')).toContain('-> 10.9.0.2:8080 1000 500 0 0');
  });

  it('dumps what it programmed, and plans nothing more', async () => {
    await applied(plan({ ...NOTHING, desired: EVERYTHING }).operations);
    const observed = await dump();
    const { table } = apply(plan({ ...NOTHING, desired: EVERYTHING }).operations, []);
    expect(observed).toEqual(table);
    const owned = claim(new Map(), EVERYTHING);
    const again = plan({ desired: EVERYTHING, observed, owned, ownership: 'shared' });
    expect(again.operations).toEqual([]);
    expect(again.drift).toEqual([]);
  });

  it('reads one service with its servers, and null for one that is not there', async () => {
    await applied(plan({ ...NOTHING, desired: EVERYTHING }).operations);
    const whole = await dump();
    for (const entry of whole) {
      const { identity } = entry.service;
      expect(await guest.call({ method: 'dumpService', identity })).toEqual(ok(entry));
    }
    const identity = { ...WEB, port: 81 };
    expect(await guest.call({ method: 'dumpService', identity })).toEqual(ok(null));
  });

  it('reads what ipvsadm programmed', async () => {
    await ipvsadm('-A', '-t', '192.0.2.10:80', '-s', 'wrr', '-p', '90', '-M', '255.255.0.0');
    await ipvsadm('-a', '-t', '192.0.2.10:80', '-r', '10.9.0.7:80', '-g', '-w', '9', '-x', '40');
    expect(withoutCounters(await dump())).toEqual([
      {
        service: service(WEB, {
          scheduler: 'wrr',
          persistenceSeconds: 90,
          persistencePrefixLength: 16,
        }),
        servers: [
          server('10.9.0.7', { port: 80, forwarding: 'dr', weight: 9, upperThreshold: 40 }),
        ],
      },
    ]);
  });

  it('changes any table into any other, leaving foreign entries alone', async () => {
    await ipvsadm('-A', '-t', '198.51.100.9:25', '-s', 'rr');
    await ipvsadm('-a', '-t', '198.51.100.9:25', '-r', '10.9.0.9:25', '-m');
    const foreign = await ipvsadm('-Sn');
    let owned = claim(new Map(), []);
    for (const desired of fc.sample(arbitrary.desiredTable, { numRuns: 25, seed: SEED })) {
      const observed = await dump();
      const { operations } = plan({ desired, observed, owned, ownership: 'shared' });
      expect(await applied(operations)).toEqual(operations.map(() => null));
      owned = claim(new Map(), desired);
      const after = plan({ desired, observed: await dump(), owned, ownership: 'shared' });
      expect(after.operations).toEqual([]);
      expect(after.foreign).toEqual({ services: 1, servers: 1 });
    }
    await applied(
      plan({ desired: [], observed: await dump(), owned, ownership: 'shared' }).operations,
    );
    expect(await ipvsadm('-Sn')).toEqual(foreign);
  });
});

describe('the pure model of the table', { timeout: SLOW_MS }, () => {
  const NUMBERS: Record<string, number> = {
    EEXIST: 17,
    ESRCH: 3,
    ENOENT: 2,
    ERANGE: 34,
    EINVAL: 22,
  };
  const operation: fc.Arbitrary<IpvsOperation> = arbitrary.identity.chain((identity) =>
    fc.oneof(
      arbitrary
        .virtualService(identity)
        .chain((settings) =>
          fc.constantFrom<IpvsOperation>(
            { kind: 'add-service', service: settings },
            { kind: 'set-service', service: settings },
          ),
        ),
      {
        weight: 3,
        arbitrary: fc
          .tuple(
            fc.constantFrom('add-server' as const, 'add-server' as const, 'set-server' as const),
            // Of any family, with thresholds the wrong way round now and then.
            arbitrary.realServer('ipv4'),
            fc.nat(5),
          )
          .map(([kind, one, lowerThreshold]) => ({
            kind,
            identity,
            server: { ...one, lowerThreshold },
          })),
      },
      arbitrary.realServer('ipv4').map(({ address, port }) => ({
        kind: 'delete-server' as const,
        identity,
        address,
        port,
      })),
      fc.constant({ kind: 'delete-service' as const, identity }),
    ),
  );

  it('agrees with the kernel on every table and every error', async () => {
    const operations = fc.sample(operation, { numRuns: 800, seed: SEED });
    const { table, results } = apply(operations, []);
    const expected = results.map(({ error }) => (error === null ? 0 : NUMBERS[error]));
    const kernel = await guest.call({ method: 'apply', operations });
    for (const [index, { errno }] of kernel.entries()) {
      expect([operations[index], errno]).toEqual([operations[index], expected[index]]);
    }
    expect(new Set(expected).size).toBe(6);
    expect(withoutCounters(await dump())).toEqual(withoutCounters(table));
  });
});

describe('IpvsClient and counters', { timeout: SLOW_MS }, () => {
  it('reads the counters that ipvsadm --stats shows, and zeroes them', async () => {
    const desired = [{ service: service(WEB), servers: [server('10.9.0.1')] }];
    await applied(plan({ ...NOTHING, desired }).operations);
    const traffic = {
      listen: { host: '10.9.0.1', port: 8080 },
      connect: { host: WEB.address as string, port: 80 },
      connections: 5,
    };
    expect(await guest.call({ method: 'traffic', traffic })).toBe(5);
    let entry: ObservedService | undefined;
    // The kernel adds its per-processor counters up every two seconds.
    await waitFor('counters', async () => {
      [entry] = await dump();
      return entry?.servers[0]?.stats.connections === 5 && entry.stats.connections === 5;
    });
    const counted = entry?.servers[0];
    expect(counted?.stats.bytesIn).toBeGreaterThan(5 * 40);
    expect((counted?.activeConnections ?? 0) + (counted?.inactiveConnections ?? 0)).toBe(5);
    const row = (stats: ObservedService['stats']) =>
      [stats.connections, stats.packetsIn, stats.packetsOut, stats.bytesIn, stats.bytesOut].join(
        ' ',
      );
    const lines = await ipvsadm('-Ln', '--stats', '--exact');
    expect(lines).toContain(`TCP 192.0.2.10:80 ${entry && row(entry.stats)}`);
    expect(lines).toContain(`-> 10.9.0.1:8080 ${counted && row(counted.stats)}`);
    expect(await guest.call({ method: 'zero', identity: WEB })).toEqual(ok(null));
    expect((await dump())[0]?.stats.connections).toBe(0);
    expect(await guest.call({ method: 'zero', identity: null })).toEqual(ok(null));
  });
});

describe('IpvsClient on a large table', { timeout: SLOW_MS }, () => {
  it('applies and dumps a thousand entries, and lets the event loop run meanwhile', async () => {
    const desired = Array.from({ length: 600 }, (_, index) => ({
      service: service({ ...WEB, address: `198.18.${index >> 8}.${index & 255}` }),
      servers: [server('10.9.0.2'), server('10.9.0.3', { weight: 2 })],
    }));
    const { operations } = plan({ ...NOTHING, desired });
    expect(new Set(await applied(operations))).toEqual(new Set([null]));
    const observed = await dump();
    expect(observed.length).toBe(600);
    const owned = claim(new Map(), desired);
    expect(plan({ desired, observed, owned, ownership: 'shared' }).operations).toEqual([]);
    const { stallMs, totalMs } = await guest.call({ method: 'dumpStall' });
    expect(stallMs).toBeLessThan(totalMs / 4);
    const gone = plan({ desired: [], observed, owned, ownership: 'shared' });
    expect(new Set(await applied(gone.operations))).toEqual(new Set([null]));
    expect(await dump()).toEqual([]);
  });
});

describe('IpvsClient and what the kernel refuses', { timeout: SLOW_MS }, () => {
  it('says which problem each refused operation has, and goes on', async () => {
    const add: IpvsOperation = { kind: 'add-service', service: service(WEB) };
    const one: IpvsOperation = { kind: 'add-server', identity: WEB, server: server('10.9.0.2') };
    expect(
      await applied([
        { kind: 'add-service', service: service(WEB, { scheduler: 'nosuch' }) },
        one,
        { kind: 'add-service', service: service(WEB, { persistenceEngine: 'nosuch' }) },
        add,
        add,
        { ...one, server: server('224.0.0.1') },
        { ...one, server: server('10.9.0.2', { lowerThreshold: 1 }) },
        { ...one, server: server('2001:db8::2') },
        { kind: 'delete-server', identity: WEB, address: '10.9.0.2', port: 8080 },
        one,
        one,
      ]),
    ).toEqual([
      '2 VK-NO-SCHEDULER',
      '3 VK-IPVS',
      '2 VK-NO-SCHEDULER',
      null,
      '17 VK-IPVS',
      '22 VK-IPVS',
      '34 VK-IPVS',
      '22 VK-IPVS',
      '2 VK-IPVS',
      null,
      '17 VK-IPVS',
    ]);
  });

  it('leaves out and counts what no configuration can express, and dumps the rest', async () => {
    await applied(plan({ ...NOTHING, desired: EVERYTHING }).operations);
    expect(await guest.call({ method: 'addStranger' })).toBe(0);
    expect((await dump()).length).toBe(EVERYTHING.length);
    expect(await guest.call({ method: 'statistics' })).toEqual({ inexpressibleEntries: 1 });
  });

  it('is refused with VK-NOT-ROOT without capabilities', async () => {
    const nobody = await Guest.start(['setpriv', '--reuid', '65534', '--clear-groups']);
    expect(await nobody.call({ method: 'open' })).toMatchObject({
      ok: false,
      error: { code: 'VK-NOT-ROOT' },
    });
    await nobody.end();
  });
});

describe('IpvsClient and sync daemons', { timeout: SLOW_MS }, () => {
  it('starts, lists and stops them as ipvsadm sees them', async () => {
    const master = { role: 'master', interface: 'c0', id: 7 } as const;
    const backup = {
      role: 'backup',
      interface: 'c0',
      id: 7,
      maxLengthBytes: 4000,
      group: '224.0.0.82',
      port: 9000,
      ttl: 3,
    } as const;
    expect(await guest.call({ method: 'daemons' })).toEqual(ok([]));
    expect(await guest.call({ method: 'startDaemon', daemon: master })).toEqual(ok(null));
    expect(await guest.call({ method: 'startDaemon', daemon: backup })).toEqual(ok(null));
    const listed = await guest.call({ method: 'daemons' });
    expect(listed).toEqual(
      ok([{ ...master, maxLengthBytes: 1472, group: '224.0.0.81', port: 8848, ttl: 1 }, backup]),
    );
    expect(await ipvsadm('-L', '--daemon')).toEqual([
      'master sync daemon (mcast=c0, syncid=7, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)',
      'backup sync daemon (mcast=c0, syncid=7, maxlen=4000, group=224.0.0.82, port=9000, ttl=3)',
    ]);
    expect(await guest.call({ method: 'startDaemon', daemon: master })).toMatchObject({
      error: { code: 'VK-SYNC' },
    });
    for (const role of ['master', 'backup'] as const) {
      expect(await guest.call({ method: 'stopDaemon', role })).toEqual(ok(null));
    }
    expect(await guest.call({ method: 'daemons' })).toEqual(ok([]));
    expect(await guest.call({ method: 'stopDaemon', role: 'master' })).toMatchObject({
      error: { code: 'VK-SYNC' },
    });
  });

  it('names the interface that does not exist', async () => {
    const daemon = { role: 'master', interface: 'nosuch0', id: 1 } as const;
    const result = await guest.call({ method: 'startDaemon', daemon });
    expect(result).toMatchObject({ error: { code: 'VK-NO-INTERFACE' } });
    expect(JSON.stringify(result)).toContain('nosuch0');
  });

  it('explains that a sync daemon and servers of another family exclude each other', async () => {
    const mixed = server('2001:db8::3', { forwarding: 'tun' });
    await applied([
      { kind: 'add-service', service: service(WEB) },
      { kind: 'add-server', identity: WEB, server: mixed },
    ]);
    const daemon = { role: 'master', interface: 'c0', id: 1 } as const;
    const refused = await guest.call({ method: 'startDaemon', daemon });
    expect(JSON.stringify(refused)).toContain('another address family');
    const { address, port } = mixed;
    await applied([{ kind: 'delete-server', identity: WEB, address, port }]);
    expect(await guest.call({ method: 'startDaemon', daemon })).toEqual(ok(null));
    const operation: IpvsOperation = { kind: 'add-server', identity: WEB, server: mixed };
    const [result] = await guest.call({ method: 'apply', operations: [operation] });
    expect(result?.problem?.cure).toContain('sync daemon');
    expect(await guest.call({ method: 'stopDaemon', role: 'master' })).toEqual(ok(null));
    expect(serverKey(mixed)).toBe('[2001:db8::3]:8080');
  });
});

describe('IpvsClient and settings', { timeout: SLOW_MS }, () => {
  it('reads and sets the timeouts that ipvsadm shows, 0 keeping the present one', async () => {
    const timeouts = { tcpSeconds: 901, tcpFinSeconds: 0, udpSeconds: 301 };
    expect(await guest.call({ method: 'setTimeouts', timeouts })).toEqual(ok(null));
    expect(await guest.call({ method: 'timeouts' })).toEqual(
      ok({ ...timeouts, tcpFinSeconds: 120 }),
    );
    expect(await ipvsadm('-L', '--timeout')).toEqual(['Timeout (tcp tcpfin udp): 901 120 301']);
  });

  it('reads the version and table size of the header of ipvsadm -Ln', async () => {
    const info = await guest.call({ method: 'info' });
    if (!info.ok) expect.unreachable();
    const { version, connectionTableSize } = info.value;
    expect((await ipvsadm('-Ln'))[0]).toBe(
      `IP Virtual Server version ${version} (size=${connectionTableSize})`,
    );
  });
});

/** The last tests of this file: they take the module from under everybody's feet. */
describe('IpvsClient without the IPVS module', { timeout: SLOW_MS }, () => {
  const HELPER = '/proc/sys/kernel/modprobe';

  it('has the kernel load the module, and says VK-NO-IPVS where it cannot', async () => {
    await check(vm, [
      'sh',
      '-c',
      "awk '/^ip_vs_/ {print $1}' /proc/modules | xargs modprobe -r && modprobe -r ip_vs",
    ]);
    await check(vm, ['sh', '-c', `echo /bin/false >${HELPER}`]);
    const fresh = await Guest.start([]);
    const refused = await fresh.call({ method: 'open' });
    expect(refused).toMatchObject({ ok: false, error: { code: 'VK-NO-IPVS' } });
    expect(JSON.stringify(refused)).toContain('modprobe ip_vs');
    await check(vm, ['sh', '-c', `echo /sbin/modprobe >${HELPER}`]);
    expect(await fresh.call({ method: 'open' })).toEqual(ok(null));
    expect(await fresh.call({ method: 'dump' })).toEqual(ok([]));
    await fresh.end();
  });
});

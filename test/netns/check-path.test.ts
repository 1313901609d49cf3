/**
 * The way of a check's packets, as the kernel's routes and rules see it, and where they go: source
 * address, device and mark, and another address and port than the server's.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { runCheckCommand } from '../../src/controller/check-command.ts';
import type { CheckConfig } from '../../src/core/config/check.ts';
import { type CheckTarget, checkOf } from '../../src/core/health/check-key.ts';
import { createProbe } from '../../src/probes/probe.ts';
import { TrustStore } from '../../src/probes/trust-store.ts';
import { type Child, check, waitFor } from '../lab/host.ts';
import { makeTopology } from '../lab/namespaces.ts';
import type { LabNode, Topology } from '../lab/topology.ts';
import { inside } from '../lab/watch.ts';
import { configOf } from '../unit/config/read.ts';
import { tcpCheck, tlsSettings } from '../unit/probes/servers.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;

let topology: Topology;
let director: LabNode;
let server: LabNode;
let nameServer: Child | null = null;

/** Another address of the server, to which the director's route leads astray. */
const ASTRAY = '198.51.100.150';
/** An address of nobody. */
const NOBODY = '198.51.100.199';
const SOURCE = '198.51.100.51';
const OTHER_PORT = 5353;

beforeAll(async () => {
  topology = await makeTopology({ directors: 1, realServers: 1 });
  [director] = topology.directors as [LabNode];
  [server] = topology.realServers as [LabNode];
  await check(director, ['ip', 'rule', 'add', 'fwmark', '7', 'prohibit', 'priority', '10']);
  await check(director, ['ip', 'address', 'add', `${SOURCE}/24`, 'dev', 'eth1']);
  await check(director, ['ip', 'route', 'add', `${ASTRAY}/32`, 'dev', 'eth0']);
  await check(server, ['ip', 'address', 'add', `${ASTRAY}/24`, 'dev', 'eth0']);
  nameServer = await startNameServer();
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  nameServer?.kill('SIGKILL');
  await nameServer?.exited.catch(() => {});
  await topology?.dispose();
});

const CHECKS: Readonly<Record<string, CheckConfig>> = {
  tcp: tcpCheck,
  dialogue: {
    ...{ ...tcpCheck, kind: 'dialogue', tls: false, ...tlsSettings },
    steps: [{ send: null, expect: 'x', refuse: null, starttls: false }],
  },
  udp: {
    ...{ ...tcpCheck, kind: 'udp', payloadHex: '', replyRequired: true, replyHex: '' },
    ...{ minLengthBytes: 0, maxLengthBytes: 9 },
  },
};

/** Asks once from the director's namespace; 'ok', or the reason and its detail. */
async function ask(asked: CheckConfig, target: CheckTarget): Promise<string> {
  const probe = createProbe(asked, target, new TrustStore(), runCheckCommand);
  // The socket is made within this call, and belongs to the namespace from then on.
  const result = await inside(director, () => probe.run(new AbortController().signal));
  return result?.ok === false ? `${result.failure.reason}: ${result.failure.detail}` : 'ok';
}

it.each(Object.entries(CHECKS))('%s: a rule for the mark decides its route', async (_, base) => {
  // Nobody listens there: whoever gets through is refused by the server.
  const target = { address: server.on('back').ipv4, port: 9 };
  const reason = (mark: number) => ask({ ...base, mark } as CheckConfig, target);
  expect(await reason(8)).toMatch(/^connection-refused: /);
  expect(await reason(7)).toMatch(/^cannot-run: .*EACCES/);
});

/** Answers every query with NOERROR and no records, at each of its arguments `address port`. */
const NAME_SERVER = `
const { createSocket } = require('node:dgram');
const places = process.argv.slice(1).map((place) => place.split(' '));
let bound = 0;
for (const [address, port] of places) {
  const socket = createSocket('udp4');
  socket.on('message', (query, { address, port }) => {
    query[2] |= 0x80;
    socket.send(query, port, address);
  });
  socket.bind(Number(port), address, () => ++bound === places.length && console.log('bound'));
}`;

async function startNameServer(): Promise<Child> {
  const places = [`${here()} 53`, `${ASTRAY} 53`, `${here()} ${OTHER_PORT}`];
  let bound = false;
  const child = await server.spawn([process.execPath, '-e', NAME_SERVER, ...places], {
    onStdout: () => {
      bound = true;
    },
  });
  await waitFor('the name server', async () => bound);
  return child;
}

const here = () => server.on('back').ipv4;

describe.each(['dns', 'ping'])('%s', (kind) => {
  afterEach(async () => {
    await server.run(['ip', 'route', 'flush', 'type', 'blackhole']);
  });

  /** Asks once, as a file says it. */
  function asked(more: string, address = here(), timeout = '5s'): Promise<string> {
    const text = `{${kind}: {}, timeout: ${timeout}, interval: 10s${more}}`;
    const { services } = configOf(
      `services: {s: {address: "192.0.2.201:53", protocol: udp, check: ${text}, servers: ["${address}:53"]}}`,
    );
    const [one] = services[0]?.servers ?? [];
    const definition = one === undefined ? null : checkOf(one);
    if (definition === null) throw new Error('The configuration has no check');
    return ask(definition.check, definition.target);
  }

  it('leaves by the device, whatever the route says', async () => {
    expect(await asked('', ASTRAY, '500ms')).not.toBe('ok');
    expect(await asked(', device: eth1', ASTRAY)).toBe('ok');
    expect(await asked(', device: eth0', here(), '500ms')).not.toBe('ok');
  });

  it('comes from the source address', async () => {
    expect(await asked('')).toBe('ok');
    // The server answers nobody but the other address.
    const { ipv4 } = director.on('back');
    await check(server, ['ip', 'route', 'add', 'blackhole', `${ipv4}/32`]);
    expect(await asked('', here(), '500ms')).toMatch(/^timeout: /);
    expect(await asked(`, bind: ${SOURCE}`)).toBe('ok');
    expect(await asked(', bind: 198.51.100.77')).toBe(
      'cannot-run: This director does not have the address 198.51.100.77',
    );
  });

  it('has the mark', async () => {
    expect(await asked(', mark: 8')).toBe('ok');
    expect(await asked(', mark: 7')).toMatch(/^cannot-run: .*EACCES/);
  });

  it('asks at the address and port of the check', async () => {
    expect(await asked(`, address: ${NOBODY}`, here(), '500ms')).not.toBe('ok');
    expect(await asked(`, address: ${here()}`, NOBODY)).toBe('ok');
    if (kind === 'ping') return;
    expect(await asked(`, port: ${OTHER_PORT}`)).toBe('ok');
    expect(await asked(', port: 5354')).toMatch(/^connection-refused: /);
  });
});

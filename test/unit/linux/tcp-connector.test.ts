import { readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { SystemError } from '../../../src/linux/libc.ts';
import {
  QUIET_CLOSES,
  type TcpConnection,
  TcpConnector,
  type TcpTalk,
  tcpDestination,
} from '../../../src/linux/tcp-connector.ts';
import {
  closedTarget,
  listen,
  NO_PATH,
  silentTarget,
  type TestServer,
  tcpServer,
  waitFor,
} from '../probes/servers.ts';

const servers: TestServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function serving(server: Promise<TestServer>): Promise<TestServer> {
  servers.push(await server);
  return server;
}

const greeting = () => serving(tcpServer((socket) => socket.resume().write('220 hello\r\n')));

/** Writes down what it is told. */
class Witness implements TcpTalk {
  readonly listens: boolean;
  readonly told: string[] = [];
  readonly #onEstablished: (connection: TcpConnection) => void;

  constructor(onEstablished: (connection: TcpConnection) => void, listens = true) {
    this.#onEstablished = onEstablished;
    this.listens = listens;
  }

  onEstablished(connection: TcpConnection): void {
    this.told.push('established');
    this.#onEstablished(connection);
  }

  onData(_connection: TcpConnection, bytes: Uint8Array): void {
    this.told.push(`${bytes.length} bytes`);
  }

  onEnd(_connection: TcpConnection): void {
    this.told.push('end');
  }

  onError(error: SystemError): void {
    this.told.push(error.code);
  }

  onTimeout(_connection: TcpConnection): void {
    this.told.push('timeout');
  }

  onClosed(): void {
    this.told.push('closed');
  }

  get isClosed(): boolean {
    return this.told.at(-1) === 'closed';
  }
}

const to = ({ target }: Pick<TestServer, 'target'>) => tcpDestination(target, NO_PATH);

test('TcpConnector: many connections at once are each told of in order, and leave nothing', async () => {
  const server = await greeting();
  const refused = { target: await closedTarget() };
  const connector = new TcpConnector();
  const before = readdirSync('/proc/self/fd').length;
  const witnesses: Witness[] = [];
  for (let index = 0; index < 300; index++) {
    const witness = new Witness((connection) => connector.leave(connection), false);
    witnesses.push(witness);
    connector.open(to(index % 3 === 0 ? refused : server), 10_000, witness);
  }
  await waitFor('all to be done', () => witnesses.every((witness) => witness.isClosed));
  expect(connector.size).toBe(0);
  for (const [index, { told }] of witnesses.entries()) {
    expect(told).toEqual([index % 3 === 0 ? 'ECONNREFUSED' : 'established', 'closed']);
  }
  await waitFor('the server to see the closes', () => server.open() === 0);
  expect(server.errors).toEqual([]);
  // The server's own sockets are in this process too.
  await waitFor('the descriptors to be free', () => readdirSync('/proc/self/fd').length <= before);
});

test('TcpConnector: the end is told in a later turn', async () => {
  const server = await greeting();
  const connector = new TcpConnector();
  const witness = new Witness((connection) => connector.close(connection));
  const connection = connector.open(to(server), 5_000, witness);
  connector.close(connection);
  connector.close(connection);
  expect(witness.isClosed).toBe(false);
  await waitFor('the end', () => witness.isClosed);
  expect(witness.told.filter((what) => what === 'closed')).toHaveLength(1);
  expect(connector.size).toBe(0);
});

test('TcpConnector: what is said and heard is whole, also when it is more than buffers hold', async () => {
  const lengthBytes = 8 * 1024 * 1024;
  const question = new Uint8Array(lengthBytes).fill(7);
  const echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  const server = await serving(listen(echo));
  const connector = new TcpConnector();
  let heard = 0;
  let wrong = 0;
  const witness = new Witness((connection) => connector.send(connection, question));
  witness.onData = (connection, bytes) => {
    heard += bytes.length;
    if (bytes.some((byte) => byte !== 7)) wrong++;
    if (heard === lengthBytes) connector.close(connection);
  };
  connector.open(to(server), 30_000, witness);
  await waitFor('all of it', () => witness.isClosed);
  expect({ heard, wrong, told: witness.told }).toEqual({
    ...{ heard: lengthBytes, wrong: 0, told: ['established', 'closed'] },
  });
});

test("TcpConnector: bytes before a server's end or reset are heard, and then that", async () => {
  const connector = new TcpConnector();
  const witnesses = [];
  for (const end of ['end', 'resetAndDestroy'] as const) {
    const server = await serving(
      tcpServer((socket) => socket.write('farewell', () => setImmediate(() => socket[end]()))),
    );
    const witness = new Witness(() => {});
    witness.onEnd = (connection) => {
      witness.told.push('end');
      connector.close(connection);
    };
    connector.open(to(server), 5_000, witness);
    witnesses.push(witness);
    await waitFor('the end', () => witness.isClosed);
  }
  expect(witnesses.map(({ told }) => told)).toEqual([
    ['established', '8 bytes', 'end', 'closed'],
    ['established', '8 bytes', 'ECONNRESET', 'closed'],
  ]);
});

test('TcpConnector: a connection whose time is over is closed, unless it is given more', async () => {
  const server = await serving(tcpServer((socket) => socket.resume()));
  const connector = new TcpConnector();
  let more = 3;
  const witness = new Witness(() => {});
  witness.onTimeout = (connection) => {
    witness.told.push('timeout');
    if (--more > 0) connector.setTimeout(connection, 5);
  };
  connector.open(to(server), 20, witness);
  await waitFor('the end', () => witness.isClosed);
  expect(witness.told).toEqual(['established', 'timeout', 'timeout', 'timeout', 'closed']);
});

test('TcpConnector: connections that time out together leave turns of the event loop to others', async () => {
  const server = await serving(tcpServer((socket) => socket.resume()));
  const connector = new TcpConnector();
  const count = 60;
  /** Timeouts in each turn; each takes a millisecond to be dealt with. */
  const inTurns = [0];
  const witnesses = Array.from({ length: count }, () => new Witness(() => {}));
  for (const witness of witnesses) {
    witness.onTimeout = () => {
      inTurns[inTurns.length - 1] = (inTurns.at(-1) ?? 0) + 1;
      const untilMs = performance.now() + 1;
      while (performance.now() < untilMs);
    };
    connector.open(to(server), 200, witness);
  }
  while (!witnesses.every((witness) => witness.isClosed)) {
    if (inTurns.at(-1) !== 0) inTurns.push(0);
    await new Promise(setImmediate);
  }
  expect(inTurns.reduce((sum, one) => sum + one)).toBe(count);
  expect(Math.max(...inTurns)).toBeLessThan(10);
});

/** What becomes of one connection after another that is left as soon as it stands. */
async function leftStates(server: TestServer, count: number): Promise<string[]> {
  const connector = new TcpConnector();
  const destination = to(server);
  const states: string[] = [];
  for (let run = 0; run < count; run++) {
    const witness = new Witness((connection) => {
      connector.leave(connection);
      states.push(connection.state);
    }, false);
    connector.open(destination, 5_000, witness);
    await waitFor('the end', () => witness.isClosed);
  }
  await waitFor('the server to see the closes', () => server.open() === 0);
  return states;
}

test('TcpConnector: a server that says nothing is not waited for, but looked at again', async () => {
  const server = await serving(tcpServer((socket) => socket.resume()));
  const states = await leftStates(server, QUIET_CLOSES + 3);
  const quiet = Array<string>(QUIET_CLOSES).fill('closed');
  expect(states).toEqual(['leaving', ...quiet, 'leaving', 'closed']);
  expect(server.accepted()).toBe(states.length);
  expect(server.errors).toEqual([]);
});

test('TcpConnector: a server that greets is heard each time, and never reset', async () => {
  const server = await greeting();
  const states = await leftStates(server, 5);
  expect(states).toEqual(Array<string>(5).fill('leaving'));
  expect(server.errors).toEqual([]);
});

test('TcpConnector: answers that come later are told of, each as it is', async () => {
  const connector = new TcpConnector();
  const server = await silentTarget();
  const dying = await silentTarget();
  try {
    const close = (connection: TcpConnection) => connector.close(connection);
    const listening = new Witness(close);
    const leaving = new Witness((connection) => connector.leave(connection), false);
    const refused = new Witness(close, false);
    const refusedListening = new Witness(close);
    connector.open(to(server), 9_000, listening);
    connector.open(to(server), 9_000, leaving);
    connector.open(to(dying), 9_000, refused);
    connector.open(to(dying), 9_000, refusedListening);
    await new Promise((resolve) => setImmediate(resolve));
    const all = [listening, leaving, refused, refusedListening];
    expect(all.map(({ told }) => told)).toEqual([[], [], [], []]);
    server.resume();
    dying.close();
    await waitFor('all to be done', () => all.every((witness) => witness.isClosed));
    expect(all.map(({ told }) => told[0])).toEqual([
      ...['established', 'established', 'ECONNREFUSED', 'ECONNREFUSED'],
    ]);
    expect(connector.size).toBe(0);
  } finally {
    server.close();
    dying.close();
  }
});

test('TcpConnector: one that is given up before it was looked at is told of as closed alone', async () => {
  const server = await serving(tcpServer((socket) => socket.resume()));
  const connector = new TcpConnector();
  const second = new Witness((connection) => connector.close(connection));
  const witnesses = [new Witness(() => {}), second, new Witness(() => {})];
  const [first, , third] = witnesses.map((one) => connector.open(to(server), 5_000, one));
  second.onEstablished = (connection) => {
    second.told.push('established');
    connector.close(third as TcpConnection);
    connector.close(connection);
  };
  connector.close(first as TcpConnection);
  await waitFor('all to be done', () => witnesses.every((witness) => witness.isClosed));
  expect(witnesses.map(({ told }) => told)).toEqual([
    ['closed'],
    ['established', 'closed'],
    ['closed'],
  ]);
});

test('TcpConnector: a device or a source that is not there is told at once', () => {
  const connector = new TcpConnector();
  const target = { address: '127.0.0.1', port: 9 };
  const open = (path: { device: string } | { source: string }) => () => {
    const destination = tcpDestination(target, { ...NO_PATH, ...path });
    connector.open(destination, 1_000, new Witness(() => {}));
  };
  expect(open({ device: 'nonesuch0' })).toThrow(SystemError);
  expect(open({ source: '192.0.2.77' })).toThrow(/EADDRNOTAVAIL/);
  expect(connector.size).toBe(0);
});

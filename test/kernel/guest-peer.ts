/**
 * Runs inside the lab VM, in a client's namespace: makes requests, datagrams and a long download,
 * asks directors over their control sockets, and carries out commands against them. Calls come as
 * JSON lines on standard input, each is answered with one JSON line; starting Node for each of them
 * would cost a second, and for a command several.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { mismatchAt } from '../lab/pattern.ts';

export type PeerCall =
  | {
      readonly method: 'ask';
      readonly socketPath: string;
      readonly path: string;
      readonly verb: 'GET' | 'POST';
    }
  /** Words of a command of vipkeeper's that asks a director which runs. */
  | { readonly method: 'command'; readonly argv: readonly string[] }
  | { readonly method: 'http'; readonly url: string; readonly verb: 'GET' | 'PUT' }
  /** Each datagram from a port of its own. */
  | {
      readonly method: 'udp';
      readonly host: string;
      readonly port: number;
      readonly count: number;
    }
  /** One after another, each after the answer to the last. */
  | {
      readonly method: 'messages';
      readonly host: string;
      readonly port: number;
      readonly messages: readonly Message[];
    }
  /** One after another; TCP connections stay open until `release`. */
  | { readonly method: 'exchange'; readonly exchanges: readonly Exchange[] }
  /** All at once, not waited for; they stay open until `release`. */
  | {
      readonly method: 'connect';
      readonly host: string;
      readonly port: number;
      readonly count: number;
    }
  /** How many connections are held and established. */
  | { readonly method: 'connected' }
  | { readonly method: 'release' }
  | { readonly method: 'startDownload'; readonly url: string }
  | { readonly method: 'download' };

/** A datagram from a port of the client; the answer may come from any address. */
export interface Message {
  readonly fromPort: number;
  readonly text: string;
}

/** One line from a server, over TCP of its own accord, over UDP as an answer. */
export interface Exchange {
  readonly protocol: 'tcp' | 'udp';
  readonly host: string;
  readonly port: number;
  /** Default: what the kernel chooses. */
  readonly from?: { readonly host: string; readonly port: number };
}

export interface HttpAnswer {
  /** Null when there was no answer; `error` then says why. */
  readonly status: number | null;
  readonly server: string | null;
  readonly localPort: number | null;
  readonly body: string;
  readonly error: string | null;
}

export interface CommandAnswer {
  /** Null when it ended with an error, which is then on `stderr`. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Of the download that was started last. */
export interface Download {
  readonly server: string | null;
  readonly localPort: number | null;
  readonly receivedBytes: number;
  /** A wrong byte, or the end, which comes too early here. */
  readonly error: string | null;
}

const ANSWER_TIMEOUT_MS = 10_000;
/** A reload is a start of Node, emulated. */
const ACTION_TIMEOUT_MS = 60_000;

/** Connections of `exchange` and `connect`. */
const held: Socket[] = [];
let download: { -readonly [K in keyof Download]: Download[K] } = newDownload();

function newDownload(): Download {
  return { server: null, localPort: null, receivedBytes: 0, error: null };
}

async function answer(call: PeerCall): Promise<unknown> {
  switch (call.method) {
    case 'ask':
      return http(
        { socketPath: call.socketPath, path: call.path, method: call.verb },
        call.verb === 'POST' ? ACTION_TIMEOUT_MS : ANSWER_TIMEOUT_MS,
      );
    case 'command':
      return command(call.argv);
    case 'http': {
      const { hostname, port, pathname, search } = new URL(call.url);
      const host = hostname.replace(/^\[|\]$/g, '');
      return http({ host, port, path: pathname + search, method: call.verb });
    }
    case 'udp':
      return Promise.all(
        Array.from({ length: call.count }, () => askByDatagram(call.host, call.port)),
      );
    case 'messages':
      return answersTo(call.host, call.port, call.messages);
    case 'exchange': {
      const said: string[] = [];
      for (const exchange of call.exchanges) {
        said.push(await (exchange.protocol === 'tcp' ? lineOf(exchange) : datagramOf(exchange)));
      }
      return said;
    }
    case 'connect': {
      const { host, port, count } = call;
      for (let index = 0; index < count; index++) hold(connect({ host, port }));
      return null;
    }
    case 'connected':
      return held.filter(({ readyState }) => readyState === 'open').length;
    case 'release':
      for (const socket of held.splice(0)) socket.resetAndDestroy();
      return null;
    case 'startDownload':
      return startDownload(call.url);
    case 'download':
      return download;
  }
}

function http(options: object, timeoutMs = ANSWER_TIMEOUT_MS): Promise<HttpAnswer> {
  return new Promise((resolve) => {
    let localPort: number | null = null;
    const failed = (error: NodeJS.ErrnoException): void => {
      const message = error.code ?? error.message;
      resolve({ status: null, server: null, localPort, body: '', error: message });
    };
    const signal = AbortSignal.timeout(timeoutMs);
    const asked = request({ ...options, agent: false, signal }, (response) => {
      localPort = response.socket.localPort ?? null;
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', failed);
      response.on('end', () => {
        const body = Buffer.concat(chunks).toString('utf8');
        const status = response.statusCode ?? null;
        resolve({ status, server: serverOf(response), localPort, body, error: null });
      });
    });
    asked.on('error', failed);
    asked.end();
  });
}

/** As main.ts carries it out, with what it prints kept. */
async function command(argv: readonly string[]): Promise<CommandAnswer> {
  // Loaded by who needs it.
  const [{ runProgram }, { fakeTerminal }] = await Promise.all([
    import('../../src/cli/program.ts'),
    import('../unit/cli/fake-terminal.ts'),
  ]);
  const terminal = fakeTerminal({ nowMs: () => Date.now() });
  const elsewhere = async () => {
    throw new Error('A command without a director is run as a process');
  };
  const { written } = terminal;
  try {
    const code = await runProgram(argv, {
      terminal,
      cleanUp: elsewhere,
      readOverrides: elsewhere,
      interruption: () => new AbortController().signal,
    });
    return { code, stdout: written.out, stderr: written.err };
  } catch (error) {
    const stderr = `${written.err}${(error as Error).message}`;
    return { code: null, stdout: written.out, stderr };
  }
}

function serverOf(response: IncomingMessage): string | null {
  return String(response.headers['x-real-server'] ?? '') || null;
}

/** What came back, or null. */
async function askByDatagram(host: string, port: number): Promise<string | null> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  try {
    socket.send('?', port, host);
    const [message] = (await once(socket, 'message', { signal })) as [Buffer];
    return message.toString();
  } catch {
    return null;
  } finally {
    socket.close();
  }
}

/** What came back to each; null for the one without an answer, and no more after it. */
async function answersTo(
  host: string,
  port: number,
  messages: readonly Message[],
): Promise<readonly (string | null)[]> {
  const sockets = new Map<number, UdpSocket>();
  const answers: (string | null)[] = [];
  try {
    for (const { fromPort, text } of messages) {
      const socket = sockets.get(fromPort) ?? createSocket(host.includes(':') ? 'udp6' : 'udp4');
      if (!sockets.has(fromPort)) {
        sockets.set(fromPort, socket);
        socket.bind(fromPort);
        await once(socket, 'listening');
      }
      socket.send(text, port, host);
      const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
      const [message] = (await once(socket, 'message', { signal })) as [Buffer];
      answers.push(message.toString());
    }
  } catch {
    answers.push(null);
  } finally {
    for (const socket of sockets.values()) socket.close();
  }
  return answers;
}

/** The first line of a connection, or the code of its error. */
async function lineOf({ host, port, from }: Exchange): Promise<string> {
  const local = from === undefined ? {} : { localAddress: from.host, localPort: from.port };
  const socket = connect({ host, port, ...local });
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  hold(socket);
  try {
    const [line] = (await once(socket, 'data', { signal })) as [Buffer];
    return line.toString().trim();
  } catch (error) {
    return codeOf(error);
  }
}

/** Keeps it until `release`; one that fails meanwhile is nobody's concern. */
function hold(socket: Socket): void {
  socket.on('error', () => {});
  held.push(socket);
}

/** The answer to a datagram, or the code of its error. */
async function datagramOf({ host, port, from }: Exchange): Promise<string> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  try {
    if (from !== undefined) socket.bind(from.port, from.host);
    socket.connect(port, host);
    await once(socket, 'connect', { signal });
    socket.send('?');
    const [message] = (await once(socket, 'message', { signal })) as [Buffer];
    return message.toString();
  } catch (error) {
    return codeOf(error);
  } finally {
    socket.close();
  }
}

function codeOf(error: unknown): string {
  const { code, name } = error as NodeJS.ErrnoException;
  return name === 'AbortError' ? 'TIMEOUT' : (code ?? name);
}

/** Resolves with the first bytes. */
function startDownload(url: string): Promise<Download> {
  const mine = newDownload() as typeof download;
  download = mine;
  return new Promise((resolve) => {
    const end = (error: string): void => {
      mine.error ??= error;
      resolve(mine);
    };
    const asked = request(url, { agent: false }, (response) => {
      mine.server = serverOf(response);
      mine.localPort = response.socket.localPort ?? null;
      response.on('data', (chunk: Buffer) => {
        const wrong = mismatchAt(mine.receivedBytes, chunk);
        if (wrong >= 0) asked.destroy(new Error(`wrong byte at offset ${wrong}`));
        mine.receivedBytes += chunk.length;
        resolve(mine);
      });
      response.on('error', (error) => end(error.message));
      response.on('end', () => end('ended'));
    });
    asked.on('error', (error) => end(error.message));
    asked.end();
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as PeerCall))}\n`);
}
process.exit(0);

/**
 * Runs in a real server's namespace, `node arrival-log.js --http 8080 --tcp 2000,2001 --udp 203.0.113.1#5301`:
 * a server that is well, and writes down when it was asked, as JSON lines: where, when by the
 * monotonic clock, and how long this process has stood still so far, because the machine was busy.
 * Prints "listening" first.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer as createHttp } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { parseArgs } from 'node:util';

export interface Arrival {
  /** 'tcp 203.0.113.1:2000', the address that was asked. */
  readonly where: string;
  readonly atMs: number;
  /** Since the start. */
  readonly stoodStillMs: number;
}

const BEAT_MS = 20;

const { values } = parseArgs({
  options: {
    http: { type: 'string', default: '' },
    tcp: { type: 'string', default: '' },
    /** ADDRESS#PORT, because an answer must come from the address that was asked. */
    udp: { type: 'string', default: '' },
  },
});
const listOf = (text: string): string[] => text.split(',').filter((item) => item !== '');
const nowMs = () => Number(process.hrtime.bigint()) / 1e6;

let stoodStillMs = 0;
let beatAtMs = nowMs();

/** Adds what this process is late for its next beat. */
function look(): void {
  const sinceMs = nowMs() - beatAtMs;
  if (sinceMs > 2 * BEAT_MS) stoodStillMs += sinceMs - BEAT_MS;
  beatAtMs += sinceMs;
}

function arrived(where: string): void {
  look();
  process.stdout.write(`${JSON.stringify({ where, atMs: beatAtMs, stoodStillMs })}\n`);
}

const placeOf = ({ localAddress, localPort }: Socket) =>
  `${localAddress?.replace(/^::ffff:/, '')}:${localPort}`;

for (const port of listOf(values.http)) {
  const server = createHttp((request, response) => {
    arrived(`http ${placeOf(request.socket)}`);
    response.end('well\n');
  });
  server.listen(Number(port), '::');
  await once(server, 'listening');
}
for (const port of listOf(values.tcp)) {
  const server = createServer((socket) => {
    arrived(`tcp ${placeOf(socket)}`);
    socket.on('error', () => socket.destroy());
    socket.resume();
  });
  server.listen(Number(port), '::');
  await once(server, 'listening');
}
for (const place of listOf(values.udp)) {
  const [address = '', port = ''] = place.split('#');
  const socket = createSocket('udp4');
  socket.on('message', (_message, from) => {
    arrived(`udp ${address}:${port}`);
    socket.send('well', from.port, from.address);
  });
  socket.bind(Number(port), address);
  await once(socket, 'listening');
}
setInterval(look, BEAT_MS);
process.stdout.write('listening\n');

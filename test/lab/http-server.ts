/**
 * HTTP server: a real server of the lab, started in its namespace with
 * `node dist/test/lab/http-server.js --name real1 [--port 80] [--address ::]`.
 *
 *   GET /                         the name; every answer carries it as X-Real-Server
 *   GET /healthz                  200, or as told by PUT /healthz?status=503,503,200: the answers
 *                                 to the next requests, of which the last one stays, each
 *                                 after the milliseconds of &delay=1000
 *   GET /stream?bytes=N&rate=R    N pattern bytes, at R bytes a second (0: as fast as it goes), some
 *                                 every &tick=20 milliseconds
 *
 * A datagram to the same port is answered with the name.
 *
 * No dependencies, because it also runs on emulated processors. Prints "listening" when it is.
 */
import { createSocket } from 'node:dgram';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { parseArgs } from 'node:util';
import { patternAt } from './pattern.ts';

/** How often a paced stream is topped up: short against any pause a test looks for. */
const TICK_MS = 20;
const TICK_MS_MAX = 1_000;
/** 1 GiB: a slip of a digit must not run for hours. */
const STREAM_BYTES_MAX = 1024 * 1024 * 1024;
/** Longer than any check waits. */
const DELAY_MS_MAX = 60_000;

const { values } = parseArgs({
  options: {
    name: { type: 'string', default: 'unnamed' },
    port: { type: 'string', default: '80' },
    address: { type: 'string', default: '::' },
  },
});

/** Never empty. */
let healthStatuses: readonly number[] = [200];
let healthDelayMs = 0;

/** A whole number from 0 to `max` of the query, or the fallback; null when it is neither. */
function numberOf(url: URL, name: string, fallback: number, max: number): number | null {
  const text = url.searchParams.get(name);
  if (text === null) return fallback;
  const value = Number(text);
  return Number.isInteger(value) && value >= 0 && value <= max ? value : null;
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.statusCode = status;
  response.end(`${text}\n`);
}

function health(url: URL, request: IncomingMessage, response: ServerResponse): void {
  if (request.method === 'PUT') {
    const told = (url.searchParams.get('status') ?? '200').split(',').map(Number);
    const valid = told.every((status) => Number.isInteger(status) && status >= 200 && status < 600);
    const delayMs = numberOf(url, 'delay', 0, DELAY_MS_MAX);
    if (!valid || delayMs === null) {
      return answer(response, 400, 'status: 200 to 599, or several with commas; delay: a number');
    }
    healthStatuses = told;
    healthDelayMs = delayMs;
    return answer(response, told[0] as number, 'told');
  }
  const [status, ...next] = healthStatuses as readonly [number, ...number[]];
  if (next.length > 0) healthStatuses = next;
  setTimeout(() => answer(response, status, status < 300 ? 'ok' : 'not well'), healthDelayMs);
}

function stream(url: URL, response: ServerResponse): void {
  const totalBytes = numberOf(url, 'bytes', 1024 * 1024, STREAM_BYTES_MAX);
  const rate = numberOf(url, 'rate', 0, STREAM_BYTES_MAX);
  const tickMs = numberOf(url, 'tick', TICK_MS, TICK_MS_MAX);
  if (totalBytes === null || rate === null || tickMs === null) {
    return answer(response, 400, 'bytes, rate and tick: numbers');
  }
  response.setHeader('Content-Length', totalBytes);
  response.setHeader('Content-Type', 'application/octet-stream');
  const startMs = performance.now();
  let sentBytes = 0;
  let timer: NodeJS.Timeout | undefined;
  const pump = () => {
    const elapsedMs = performance.now() - startMs;
    const due = rate === 0 ? totalBytes : Math.ceil((rate * (elapsedMs + tickMs)) / 1000);
    while (sentBytes < Math.min(due, totalBytes)) {
      const chunk = patternAt(sentBytes, Math.min(due, totalBytes) - sentBytes);
      sentBytes += chunk.length;
      if (!response.write(chunk) && sentBytes < totalBytes) {
        response.once('drain', pump);
        return;
      }
    }
    if (sentBytes === totalBytes) response.end();
    else timer = setTimeout(pump, tickMs);
  };
  response.on('close', () => clearTimeout(timer));
  pump();
}

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://lab');
  response.setHeader('X-Real-Server', values.name);
  if (url.pathname === '/') answer(response, 200, values.name);
  else if (url.pathname === '/healthz') health(url, request, response);
  else if (url.pathname === '/stream') stream(url, response);
  else answer(response, 404, 'There is /, /healthz and /stream');
});

const datagrams = createSocket(values.address.includes(':') ? 'udp6' : 'udp4');
datagrams.on('message', (_message, { port, address }) => {
  datagrams.send(values.name, port, address);
});

server.listen(Number(values.port), values.address, () => {
  datagrams.bind(Number(values.port), values.address, () => {
    process.stdout.write(`listening on ${values.address} port ${values.port}\n`);
  });
});

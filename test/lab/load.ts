/**
 * Load: the lab's client, started in a client's namespace. Prints JSON lines, the last one with
 * `"summary": true`, and ends with 0 when nothing failed, 1 when something did.
 *
 *   node dist/test/lab/load.js requests --url http://192.0.2.201/ [--interval-ms 50]
 *        [--duration-ms 5000] [--timeout-ms 1000]
 *   node dist/test/lab/load.js stream --url 'http://192.0.2.201/stream?bytes=1000000&rate=100000'
 *        [--timeout-ms 30000]
 *
 * `stream` first prints which server answered, and the client's port of the connection.
 * `requests` opens a new connection each time and starts on schedule whether or not the last
 * one is answered, so an outage of any length shows as it is. `startMs` is wall clock time.
 */
import { get, type IncomingMessage } from 'node:http';
import { parseArgs } from 'node:util';
import { mismatchAt } from './pattern.ts';

/** Connections not answered yet; beyond it the target is overwhelmed, not slow. */
const OUTSTANDING_MAX = 1000;

interface Attempt {
  readonly startMs: number;
  readonly durationMs: number;
  /** Since the success before this one ended; null before the first success and on failure. */
  readonly gapMs: number | null;
  readonly server: string | null;
  readonly status: number | null;
  readonly error: string | null;
}

function print(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const round = (ms: number) => Math.round(ms * 100) / 100;
const serverOf = (response: IncomingMessage) => String(response.headers['x-real-server'] ?? '');

interface Outcome {
  readonly server: string | null;
  readonly status: number | null;
  readonly error: string | null;
}

/** One request on a connection of its own; resolves always, at the latest after `timeoutMs`. */
function requestOnce(url: string, timeoutMs: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false }, (response) => {
      const server = serverOf(response);
      const status = response.statusCode ?? 0;
      response.resume();
      response.on('end', () => finish({ server, status, error: status === 200 ? null : 'status' }));
    });
    const timer = setTimeout(() => request.destroy(new Error('timeout')), timeoutMs);
    const finish = (outcome: Outcome) => {
      clearTimeout(timer);
      resolve(outcome);
    };
    request.on('error', (error: NodeJS.ErrnoException) => {
      finish({ server: null, status: null, error: error.code ?? error.message });
    });
  });
}

class RequestLog {
  readonly #servers: Record<string, number> = {};
  #lastSuccessMs: number | null = null;
  #requests = 0;
  #failures = 0;
  #longestGapMs = 0;
  #longestDurationMs = 0;

  add(startMs: number, outcome: Outcome): void {
    const nowMs = performance.now();
    const failed = outcome.error !== null;
    const gapMs = failed || this.#lastSuccessMs === null ? null : nowMs - this.#lastSuccessMs;
    this.#requests += 1;
    if (failed) this.#failures += 1;
    else {
      this.#lastSuccessMs = nowMs;
      this.#longestGapMs = Math.max(this.#longestGapMs, gapMs ?? 0);
      const server = outcome.server ?? '';
      this.#servers[server] = (this.#servers[server] ?? 0) + 1;
    }
    const durationMs = nowMs - startMs;
    this.#longestDurationMs = Math.max(this.#longestDurationMs, durationMs);
    const attempt: Attempt = {
      startMs: round(performance.timeOrigin + startMs),
      durationMs: round(durationMs),
      gapMs: gapMs === null ? null : round(gapMs),
      ...outcome,
    };
    print(attempt);
  }

  /** Prints the summary; true when nothing failed and something was asked. */
  close(): boolean {
    print({
      summary: true,
      requests: this.#requests,
      failures: this.#failures,
      longestGapMs: round(this.#longestGapMs),
      longestDurationMs: round(this.#longestDurationMs),
      servers: this.#servers,
    });
    return this.#failures === 0 && this.#requests > 0;
  }
}

interface Schedule {
  readonly url: string;
  readonly intervalMs: number;
  readonly durationMs: number;
  readonly timeoutMs: number;
}

async function requests(schedule: Schedule): Promise<boolean> {
  const log = new RequestLog();
  const outstanding = new Set<Promise<void>>();
  const beginMs = performance.now();
  for (let dueMs = beginMs; dueMs < beginMs + schedule.durationMs; dueMs += schedule.intervalMs) {
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const startMs = performance.now();
    if (outstanding.size >= OUTSTANDING_MAX) {
      log.add(startMs, { server: null, status: null, error: 'too many outstanding' });
      continue;
    }
    const attempt = requestOnce(schedule.url, schedule.timeoutMs).then((outcome) => {
      log.add(startMs, outcome);
      outstanding.delete(attempt);
    });
    outstanding.add(attempt);
  }
  await Promise.all(outstanding);
  return log.close();
}

/** Downloads once. `timeoutMs` is the longest silence that is not yet a failure. */
function stream(url: string, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const startMs = performance.now();
    let lastMs = startMs;
    let longestPauseMs = 0;
    let longestPauseAtMs = 0;
    let receivedBytes = 0;
    let server: string | null = null;
    let done = false;
    const request = get(url, { agent: false, timeout: timeoutMs });
    const finish = (error: string | null) => {
      if (done) return;
      done = true;
      request.destroy();
      print({
        summary: true,
        server,
        receivedBytes,
        durationMs: round(performance.now() - startMs),
        longestPauseMs: round(longestPauseMs),
        longestPauseAtMs: round(performance.timeOrigin + longestPauseAtMs),
        error,
      });
      resolve(error === null);
    };
    request.on('timeout', () => finish(`nothing for ${timeoutMs} ms`));
    request.on('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
    request.on('response', (response) => {
      server = serverOf(response);
      const { localPort } = response.socket;
      print({ startMs: round(performance.timeOrigin + startMs), server, localPort });
      if (response.statusCode !== 200) return finish(`status ${response.statusCode}`);
      response.on('data', (chunk: Buffer) => {
        const nowMs = performance.now();
        if (nowMs - lastMs > longestPauseMs) {
          longestPauseMs = nowMs - lastMs;
          longestPauseAtMs = lastMs;
        }
        lastMs = nowMs;
        const wrong = mismatchAt(receivedBytes, chunk);
        if (wrong >= 0) return finish(`wrong byte at offset ${wrong}`);
        receivedBytes += chunk.length;
      });
      response.on('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
      response.on('end', () => finish(response.complete ? null : 'ended too early'));
    });
  });
}

async function main(): Promise<boolean> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      url: { type: 'string' },
      'interval-ms': { type: 'string', default: '50' },
      'duration-ms': { type: 'string', default: '5000' },
      'timeout-ms': { type: 'string' },
    },
  });
  const url = values.url;
  const numbers = [values['interval-ms'], values['duration-ms'], values['timeout-ms'] ?? '1'];
  if (url === undefined || numbers.some((text) => !(Number(text) > 0))) {
    throw new Error('Usage: load.js requests|stream --url URL [--interval-ms N] ...');
  }
  if (positionals[0] === 'requests') {
    return requests({
      url,
      intervalMs: Number(values['interval-ms']),
      durationMs: Number(values['duration-ms']),
      timeoutMs: Number(values['timeout-ms'] ?? '1000'),
    });
  }
  if (positionals[0] === 'stream') return stream(url, Number(values['timeout-ms'] ?? '30000'));
  throw new Error('The first word must be "requests" or "stream"');
}

process.exitCode = (await main()) ? 0 : 1;

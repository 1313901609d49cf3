/**
 * What is asked over the control socket, damaged: requests as they are on the wire, and the parts
 * of a request about real servers. Whatever comes, the director answers the next one, does nothing
 * that it was not asked for, and takes no number that is none. Bounded; VIPKEEPER_FUZZ_SEED and
 * VIPKEEPER_FUZZ_COUNT as in decoders.test.ts.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { OVERRIDE_TEXT_MAX } from '../../src/core/health/override.ts';
import {
  OVERRIDE_ACTIONS,
  type OverrideRequest,
  parseOverrideRequest,
} from '../../src/core/health/override-request.ts';
import { Random } from '../../src/core/sim/random.ts';
import type { DirectorControl } from '../../src/core/status.ts';
import { serveControl } from '../../src/http/server.ts';
import { STATUS } from '../unit/status-fixture.ts';

const SEED = Number(process.env.VIPKEEPER_FUZZ_SEED ?? 1) >>> 0;
const COUNT = Number(process.env.VIPKEEPER_FUZZ_COUNT ?? 20);
const NOW_MS = 1_800_000_000_000;
const MONTH_MS = 31 * 24 * 3_600_000;

const LINES = readFileSync(new URL('corpus/control-requests.txt', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => /^(GET|HEAD|POST) /.test(line));
/** What numbers, names and escapes go wrong with. */
const PIECES = ['NaN', '-1', '1e999', '0x10', '%00', '%', '%e2%80%a8', '&', '=', '/', ' ', '\t'];

function mutate(text: string, random: Random): string {
  let damaged = text;
  for (let faults = random.between(1, 4); faults > 0; faults--) {
    const at = random.below(damaged.length + 1);
    const [before, after] = [damaged.slice(0, at), damaged.slice(at)];
    const kind = random.below(4);
    if (kind === 0) damaged = before + after.slice(random.between(1, 8));
    else if (kind === 1) damaged = before + random.pick(PIECES) + after;
    else if (kind === 2) damaged = before + String.fromCharCode(random.below(256)) + after.slice(1);
    else damaged = before + after.slice(0, random.below(20)) + after;
  }
  return damaged;
}

function* damagedLines(): Generator<string> {
  for (const [index, line] of LINES.entries()) {
    const random = new Random(SEED, index);
    yield line;
    for (let count = 1; count < COUNT; count++) yield mutate(line, random);
  }
}

test('a request about servers, however damaged, is refused or has values within their bounds', () => {
  let taken = 0;
  for (const line of damagedLines()) {
    const query = new URLSearchParams(line.split(' ')[1]?.split('?')[1] ?? '');
    const parsed = parseOverrideRequest((name) => query.get(name), NOW_MS);
    if (parsed.ok) taken++;
    if (parsed.ok) expect([line, wrongWith(parsed.value)]).toEqual([line, null]);
    else expect(parsed.error).toContain('expected');
  }
  expect(taken).toBeGreaterThan(5);
});

function wrongWith(asked: OverrideRequest): string | null {
  const { action, weight, timeoutMs, untilMs, by, reason, target } = asked;
  if (!OVERRIDE_ACTIONS.includes(action)) return 'action';
  const isWeight = weight !== null && Number.isInteger(weight) && weight >= 0 && weight <= 65_535;
  if (action === 'weight' ? !isWeight : weight !== null) return 'weight';
  if (timeoutMs !== null && !(timeoutMs > 0 && timeoutMs <= MONTH_MS)) return 'timeout';
  if (untilMs !== null && !(untilMs > NOW_MS && untilMs <= NOW_MS + MONTH_MS)) return 'end';
  for (const text of [by, reason]) {
    if (text.length > OVERRIDE_TEXT_MAX || /[\p{Cc}\u2028\u2029]/u.test(text)) return 'text';
  }
  return target === '' ? 'target' : null;
}

test('the control socket answers a whole request after any damaged one', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'vipkeeper-control-'));
  const defects: unknown[] = [];
  const onDefect = (error: unknown): void => void defects.push(error);
  process.on('unhandledRejection', onDefect);
  const served = await serveControl(join(directory, 'control.sock'), CONTROL);
  if (!served.ok) throw new Error(served.error.message);
  const { address } = served.value;
  try {
    const statuses = new Set<string>();
    for (const line of damagedLines()) {
      const random = new Random(SEED, line.length);
      const head = `${line}\r\nhost: director\r\nconnection: close\r\n\r\n`;
      statuses.add(await send(address, random.chance(500_000) ? head : mutate(head, random)));
    }
    // Both what is right and what is wrong was among them.
    for (const status of ['200', '400', '404', '422']) expect([...statuses]).toContain(status);
    expect([...statuses].filter((status) => !/^(\d{3}|none)$/.test(status))).toEqual([]);
    expect(statuses).not.toContain('500');
    expect(await healthy(address)).toBe(200);
    expect(defects).toEqual([]);
  } finally {
    process.off('unhandledRejection', onDefect);
    await served.value.close();
    rmSync(directory, { recursive: true, force: true });
  }
}, 60_000);

const CONTROL: DirectorControl = {
  status: async () => STATUS,
  reload: async () => ({ errors: [], problems: [] }),
  restart: () => {},
  handover: async () => ({ started: true, error: null, plans: [] }),
  takeback: async () => ({ error: null, plans: [] }),
  override: async () => ({ error: null, servers: [], consequences: [], needsForce: false }),
  table: async () => {
    throw new Error('no table here');
  },
};

/** The status of the first answer to these bytes; 'none' when the connection ended without. */
function send(socketPath: string, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    let answer = '';
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? 'none'));
    socket.end(Buffer.from(text, 'latin1'));
  });
}

function healthy(socketPath: string): Promise<number> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path: '/healthz' }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on('error', reject)
      .end();
  });
}

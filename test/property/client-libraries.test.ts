/**
 * The checks of PostgreSQL, MySQL, LDAP and SMTP on conversations of real servers that were damaged: whatever
 * their client libraries make of it, the check comes to a verdict, nothing is thrown where nobody
 * catches it, nothing is written to the console, and no socket or timer stays behind. The
 * conversations are in talks/; VIPKEEPER_FUZZ_SEED and VIPKEEPER_FUZZ_COUNT (of damaged ones of
 * each server) take other seeds and more of them.
 */
import { createHmac, pbkdf2Sync } from 'node:crypto';
import type { Socket } from 'node:net';
import fc from 'fast-check';
import * as ldapts from 'ldapts';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { decodeLdapAnswer } from '../../src/core/wire/ldap.ts';
import { LdapMessages } from '../../src/probes/ldap-messages.ts';
import { ask } from '../servers/ask.ts';
import { type TestServer, tcpServer, waitFor } from '../unit/probes/servers.ts';
import { type Talk, talksOf } from './talks.ts';

const SEED = Number(process.env.VIPKEEPER_FUZZ_SEED ?? 1) >>> 0;
const COUNT = Number(process.env.VIPKEEPER_FUZZ_COUNT ?? 2000);

/** Never comes, as the server ends what it says; for as long may a machine stand still. */
const TIMEOUT_MS = 60_000;

/** A fault in one turn of the server. */
interface Damage {
  readonly turn: number;
  readonly kind: 'byte' | 'bit' | 'length' | 'cut' | 'twice' | 'gone';
  /** Where, in thousandths of the turn's length. */
  readonly at: number;
  readonly value: number;
}

const damage: fc.Arbitrary<Damage> = fc.record({
  turn: fc.nat(4),
  kind: fc.constantFrom('byte', 'bit', 'length', 'cut', 'twice', 'gone'),
  at: fc.nat(999),
  value: fc.oneof(fc.nat(255), fc.constantFrom(0x00, 0x01, 0x7f, 0x80, 0xfb, 0xfe, 0xff)),
});

function damaged(said: Buffer, { kind, at, value }: Damage): Buffer {
  const place = Math.floor((said.length * at) / 1000);
  const copy = Buffer.from(said);
  const count = 1 + (value % 16);
  switch (kind) {
    case 'byte':
      copy[place] = value;
      return copy;
    case 'bit':
      copy[place] = (said[place] ?? 0) ^ (1 << (value % 8));
      return copy;
    case 'length':
      copy.fill(value, place, Math.min(place + 4, said.length));
      return copy;
    case 'cut':
      return copy.subarray(0, place);
    case 'twice':
      return Buffer.concat([copy.subarray(0, place + count), copy.subarray(place)]);
    default:
      return Buffer.concat([copy.subarray(0, place), copy.subarray(place + count)]);
  }
}

/** RFC 5802: a server's part, for the nonce that this client has. */
class Scram {
  readonly #password: string;
  #first = '';
  #bare = '';

  constructor(password: string) {
    this.#password = password;
  }

  /** The recorded turn as it is in this conversation. */
  adapt(turn: Buffer, heard: string): Buffer {
    const said = turn.toString('latin1');
    const nonce = /n=\*,r=([^,\0]+)/.exec(heard)?.[1];
    if (nonce !== undefined) {
      this.#bare = `n=*,r=${nonce}`;
      const own = said.replace(/r=.{24}/, () => `r=${nonce}`);
      this.#first = own.slice(own.indexOf('r='));
      return Buffer.from(own, 'latin1');
    }
    const final = /c=biws,r=[^,]+/.exec(heard)?.[0];
    if (final === undefined) return turn;
    const [, salt = '', count] = /s=([^,]+),i=(\d+)/.exec(this.#first) ?? [];
    const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest();
    const salted = pbkdf2Sync(
      this.#password,
      Buffer.from(salt, 'base64'),
      Number(count),
      32,
      'sha256',
    );
    const signed = `${this.#bare},${this.#first},${final}`;
    const signature = hmac(hmac(salted, 'Server Key'), signed).toString('base64');
    return Buffer.from(
      said.replace(/v=.{44}/, () => `v=${signature}`),
      'latin1',
    );
  }
}

/**
 * Says the turns of a talk in one connection. Behind the first one that is damaged all others
 * follow at once, and the end, so that nobody waits for an answer that will not come.
 */
function replay(socket: Socket, { turns }: Talk, faults: readonly Damage[], greets: boolean): void {
  const scram = new Scram('correct horse');
  let next = 0;
  const say = (heard: string): void => {
    let broken = false;
    while (next < turns.length) {
      const turn = scram.adapt(turns[next] as Buffer, heard);
      const own = faults.filter((fault) => fault.turn === next);
      socket.write(own.reduce(damaged, turn));
      next++;
      broken ||= own.length > 0;
      if (!broken) break;
    }
    if (broken || next === turns.length) socket.end();
  };
  socket.on('data', (heard) => {
    if (next < turns.length) say(heard.toString('latin1'));
  });
  if (greets) say('');
}

const escaped: unknown[] = [];
const onEscape = (error: unknown) => escaped.push(error);
const methods = ['debug', 'error', 'info', 'log', 'trace', 'warn'] as const;
const printed: unknown[] = [];

beforeEach(() => {
  escaped.length = 0;
  printed.length = 0;
  process.on('uncaughtException', onEscape).on('unhandledRejection', onEscape);
  for (const method of methods) {
    vi.spyOn(console, method).mockImplementation((...words) => void printed.push(words));
  }
});
afterEach(() => {
  process.off('uncaughtException', onEscape).off('unhandledRejection', onEscape);
  vi.restoreAllMocks();
});

const resources = () =>
  process
    .getActiveResourcesInfo()
    .filter((name) => name === 'TCPSocketWrap' || name === 'Timeout')
    .sort();

const SERVERS = [
  ['PostgreSQL', talksOf('postgresql'), false],
  ['MySQL', talksOf('mysql'), true],
  ['LDAP', talksOf('ldap'), false],
  ['SMTP', talksOf('smtp'), true],
] as const;

describe.each(SERVERS)('%s', (_, talks, greets) => {
  let server: TestServer;
  let talk: Talk;
  let faults: readonly Damage[] = [];

  beforeEach(async () => {
    server = await tcpServer((socket) => replay(socket, talk, faults, greets));
  });
  afterEach(() => server.close());

  const verdict = () => ask({ check: talk.check, port: server.target.port, timeoutMs: TIMEOUT_MS });

  test.each(talks)('$check', async (recorded) => {
    [talk, faults] = [recorded, []];
    expect(await verdict()).toBe(recorded.verdict);
  });

  test('damaged', async () => {
    const before = resources();
    const reasons = new Map<string, number>();
    const property = fc.asyncProperty(
      fc.nat(talks.length - 1),
      fc.array(damage, { minLength: 1, maxLength: 3 }),
      async (index, drawn) => {
        [talk, faults] = [talks[index] as Talk, drawn];
        const seen = await verdict();
        expect(seen).toMatch(/^(ok|status|protocol|body|reset|too-large)/);
        expect([escaped, printed]).toEqual([[], []]);
        const reason = seen.replace(/:.*/s, '');
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      },
    );
    await fc.assert(property, { seed: SEED, numRuns: COUNT, endOnFailure: COUNT > 10_000 });
    // The damage reaches the libraries, and is not all of it.
    expect([...reasons.keys()].sort()).toEqual(
      expect.arrayContaining(['ok', 'protocol', 'reset', 'status']),
    );
    await waitFor('sockets and timers to go', () => resources().length <= before.length);
  }, 600_000);
});

/** Elements of BER, some of which lie about their length. */
const element = fc
  .record({
    tag: fc.constantFrom(0x02, 0x04, 0x0a, 0x30, 0x31, 0x87, 0x8a, 0x8b, 0xa0, 0xa3),
    length: fc.option(fc.constantFrom('00', '01', '7f', '80', '8102', '84ffffffff', '8400000001')),
    content: fc.oneof(fc.constant(new Uint8Array(1)), fc.uint8Array({ maxLength: 6 })),
  })
  .map(({ tag, length, content }) =>
    Buffer.concat([
      Buffer.from([tag]),
      length === null ? Buffer.from([content.length]) : Buffer.from(length, 'hex'),
      content,
    ]),
  );
/** What an answer begins with: nothing, a part of a result, or all of it. */
const BEGINNINGS = [
  ...['', '0a0100', '0a000400', '0a010004000400', '0a02000004000400'],
  ...['0a013104000400', '0a02010004000400', '0a0480000000040161040162'],
];

test('LDAP: the library reads what is let through, and success is a code of zeros alone', () => {
  const messages = new LdapMessages(ldapts);
  const codes = new Map<boolean, number>();
  const property = fc.property(
    fc.constantFrom(0x61, 0x65, 0x78),
    fc.constantFrom(...BEGINNINGS),
    fc.array(element, { maxLength: 6 }),
    (tag, beginning, parts) => {
      const content = Buffer.concat([Buffer.from(beginning, 'hex'), ...parts]);
      const operation = [0x02, 1, 2, tag, content.length, ...content];
      const answer = decodeLdapAnswer(Uint8Array.from([0x30, operation.length, ...operation]));
      if (!answer.ok || answer.value === null || !('content' in answer.value.message)) return;
      const { code } = messages.result(answer.value.message);
      const size = content[1] ?? 0;
      expect(code === 0).toBe(content.subarray(2, 2 + size).every((byte) => byte === 0));
      codes.set(code === 0, (codes.get(code === 0) ?? 0) + 1);
    },
  );
  fc.assert(property, { seed: SEED, numRuns: 20 * COUNT });
  expect(codes.get(true)).toBeGreaterThan(COUNT);
  expect(codes.get(false)).toBeGreaterThan(COUNT);
});

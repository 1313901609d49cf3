/**
 * What RFC 5880 (BFD), RFC 5881 (single hop) and RFC 5883 (multihop) demand of asynchronous mode
 * without echo and authentication, in our words; the section is the authority. Every row has a
 * positive proof (what the standard wants happens) and a negative one (what it forbids does not).
 */
import { describe, expect, test } from 'vitest';
import { InternalError } from '../../src/core/assert.ts';
import { acceptBfdControl, type BfdExpectation } from '../../src/core/bfd/receive.ts';
import { detectionTimeUs, transmitIntervalUs } from '../../src/core/bfd/session.ts';
import type { BfdControl, BfdStateName } from '../../src/core/bfd/types.ts';
import { parseIp } from '../../src/core/ip.ts';
import {
  BFD_PORT_MULTIHOP,
  BFD_PORT_SINGLE_HOP,
  BFD_SOURCE_PORT_MAX,
  BFD_SOURCE_PORT_MIN,
  decodeBfdControl,
  encodeBfdControl,
} from '../../src/core/wire/bfd.ts';
import { Driver, OURS, PACKET, SECOND_US, THEIRS } from '../unit/core/bfd/driver.ts';
import { dirtyBuffer, patched, reasonOf, unwrap } from '../unit/core/wire/frames.ts';

interface Row {
  /** Standard, section, running number: never reused. */
  readonly id: string;
  readonly level: 'MUST' | 'SHOULD' | 'MAY' | 'format';
  readonly text: string;
  readonly positive: () => void;
  readonly negative: () => void;
}

function encoded(control: Partial<BfdControl> = {}): Uint8Array {
  const target = dirtyBuffer(24);
  encodeBfdControl(target, { ...PACKET, ...control });
  return target;
}

function verdict(changes: Readonly<Record<number, number>>, lengthBytes = 24): string {
  return reasonOf(decodeBfdControl(patched(encoded(), changes), lengthBytes));
}

const NEIGHBOR = parseIp('192.0.2.2') as Uint8Array;
const SOURCE = parseIp('192.0.2.1') as Uint8Array;
const STRANGER = parseIp('192.0.2.3') as Uint8Array;
const EXPECTED: BfdExpectation = {
  neighbor: NEIGHBOR,
  source: SOURCE,
  interfaceIndex: 3,
  minTtl: 255,
  state: 'down',
};
const ARRIVAL = { source: NEIGHBOR, destination: SOURCE, interfaceIndex: 3, ttl: 255 };

function accepted(
  arrival: Partial<typeof ARRIVAL>,
  expected: Partial<BfdExpectation> = {},
  bytes = encoded(),
): string {
  const decoded = unwrap(decodeBfdControl(bytes, bytes.length));
  const whole = { ...EXPECTED, ...expected };
  return reasonOf(acceptBfdControl(decoded, whole, { ...ARRIVAL, ...arrival }));
}

/** The session's state after hearing `heard` in `session`. */
function after(session: BfdStateName, heard: BfdStateName): BfdStateName {
  return Driver.in(session).hear({ state: heard }).state.session;
}

/** Waits before periodic packets, as parts of the interval of a second. */
function waits(multiplier: number): number[] {
  const driver = Driver.in('down', { multiplier });
  return Array.from({ length: 2_000 }, () => {
    const part = driver.waitUs / SECOND_US;
    driver.fire();
    return part;
  });
}

const PACKET_ROWS: readonly Row[] = [
  {
    id: 'RFC5880-4.1-1',
    level: 'format',
    text: 'A control packet without authentication has 24 bytes, and says so; its version is 1',
    positive: () => {
      expect([encoded()[0], encoded()[3]]).toEqual([0x20, 24]);
    },
    negative: () =>
      expect(() => encodeBfdControl(new Uint8Array(23), PACKET)).toThrow(InternalError),
  },
  {
    id: 'RFC5880-4.1-2',
    level: 'MUST',
    text: 'Poll and Final are never set together',
    positive: () => {
      expect((encoded({ poll: true })[1] as number) & 0x30).toBe(0x20);
      expect((encoded({ final: true })[1] as number) & 0x30).toBe(0x10);
    },
    negative: () => expect(() => encoded({ poll: true, final: true })).toThrow(InternalError),
  },
  {
    id: 'RFC5880-4.1-3',
    level: 'MUST',
    text: 'The multipoint bit is zero, sent and received',
    positive: () => expect((encoded({ demand: true, poll: true })[1] as number) & 1).toBe(0),
    negative: () => expect(verdict({ 1: 0x41 })).toBe('multipoint'),
  },
  {
    id: 'RFC5880-6.8.6-1',
    level: 'MUST',
    text: 'A packet of another version than 1 is discarded',
    positive: () => expect(verdict({ 0: 0x3f })).toBe('accepted'),
    negative: () => {
      for (const version of [0, 2, 3, 4, 5, 6, 7]) {
        expect(verdict({ 0: version << 5 })).toBe('version');
      }
    },
  },
  {
    id: 'RFC5880-6.8.6-2',
    level: 'MUST',
    text: 'A Length below 24, or 26 with the A bit, is discarded',
    positive: () => expect(verdict({ 3: 24 })).toBe('accepted'),
    negative: () => {
      for (let length = 0; length < 24; length++) expect(verdict({ 3: length })).toBe('length');
      expect(verdict({ 1: 0x44, 3: 25 })).toBe('length');
    },
  },
  {
    id: 'RFC5880-6.8.6-3',
    level: 'MUST',
    text: 'A Length above the payload is discarded',
    positive: () => expect(verdict({}, 24)).toBe('accepted'),
    negative: () => {
      for (let bytes = 0; bytes < 24; bytes++) expect(verdict({}, bytes)).toBe('truncated');
      expect(verdict({ 3: 25 })).toBe('truncated');
    },
  },
  {
    id: 'RFC5880-6.8.6-4',
    level: 'MUST',
    text: 'A Detect Mult of zero is discarded',
    positive: () => expect(verdict({ 2: 1 })).toBe('accepted'),
    negative: () => expect(verdict({ 2: 0 })).toBe('multiplier'),
  },
  {
    id: 'RFC5880-6.8.6-5',
    level: 'MUST',
    text: 'A My Discriminator of zero is discarded',
    positive: () => expect(verdict({ 4: 0, 5: 0, 6: 0, 7: 1 })).toBe('accepted'),
    negative: () => expect(verdict({ 4: 0, 5: 0, 6: 0, 7: 0 })).toBe('discriminator'),
  },
  {
    id: 'RFC5880-6.8.6-6',
    level: 'MUST',
    text: 'Without Your Discriminator, only Down and AdminDown are taken',
    positive: () => {
      const unknown = { yourDiscriminator: 0 };
      for (const state of ['down', 'admin-down'] as const) {
        expect(reasonOf(decodeBfdControl(encoded({ ...unknown, state }), 24))).toBe('accepted');
      }
    },
    negative: () => {
      for (const state of ['init', 'up'] as const) {
        const bytes = encoded({ yourDiscriminator: 0, state });
        expect(reasonOf(decodeBfdControl(bytes, 24))).toBe('state');
      }
    },
  },
  {
    id: 'RFC5880-6.8.6-7',
    level: 'MUST',
    text: 'A packet with authentication is discarded, since none is in use',
    positive: () => expect(accepted({})).toBe('accepted'),
    negative: () => {
      const bytes = new Uint8Array(26);
      bytes.set(patched(encoded(), { 1: 0x44, 3: 26 }));
      expect(accepted({}, {}, bytes)).toBe('authentication');
    },
  },
  {
    id: 'RFC5880-6.8.6-8',
    level: 'MUST',
    text: 'In AdminDown, packets are discarded',
    positive: () => expect(accepted({}, { state: 'down' })).toBe('accepted'),
    negative: () => {
      expect(accepted({}, { state: 'admin-down' })).toBe('admin-down');
      expect(after('admin-down', 'down')).toBe('admin-down');
    },
  },
  {
    id: 'RFC5881-4-1',
    level: 'MUST',
    text: 'Single hop is port 3784, multihop 4784 (RFC 5883); source ports are 49152 to 65535',
    positive: () => expect([BFD_PORT_SINGLE_HOP, BFD_PORT_MULTIHOP]).toEqual([3784, 4784]),
    negative: () => expect([BFD_SOURCE_PORT_MIN, BFD_SOURCE_PORT_MAX]).toEqual([49_152, 65_535]),
  },
  {
    id: 'RFC5881-5-1',
    level: 'MUST',
    text: 'Without authentication, a TTL or hop limit other than 255 is discarded on a single hop',
    positive: () => expect(accepted({ ttl: 255 })).toBe('accepted'),
    negative: () => {
      for (let ttl = 0; ttl < 255; ttl++) expect(accepted({ ttl })).toBe('ttl');
    },
  },
  {
    id: 'RFC5883-4-1',
    level: 'MUST',
    text: 'Packets are told by both addresses, and a session takes no other’s',
    positive: () => expect(accepted({ ttl: 1 }, { minTtl: 0 })).toBe('accepted'),
    negative: () => {
      expect(accepted({ source: STRANGER })).toBe('source');
      expect(accepted({ destination: STRANGER })).toBe('source');
      expect(accepted({ interfaceIndex: 4 })).toBe('interface');
    },
  },
];

const STATE_ROWS: readonly Row[] = [
  {
    id: 'RFC5880-6.2-1',
    level: 'MUST',
    text: 'Down hears Down: Init; Down hears Init: Up; Init hears Init or Up: Up',
    positive: () => {
      expect(after('down', 'down')).toBe('init');
      expect(after('down', 'init')).toBe('up');
      expect(after('init', 'init')).toBe('up');
      expect(after('init', 'up')).toBe('up');
    },
    negative: () => {
      expect(after('down', 'up')).toBe('down');
      expect(after('down', 'admin-down')).toBe('down');
      expect(after('init', 'down')).toBe('init');
    },
  },
  {
    id: 'RFC5880-6.2-2',
    level: 'MUST',
    text: 'Up hears Down, or any state but Down hears AdminDown: Down, diagnostic 3',
    positive: () => {
      for (const heard of ['down', 'admin-down'] as const) {
        const driver = Driver.in('up').hear({ state: heard });
        expect(driver.transitions).toEqual(['up -> down (neighbor-signaled-down)']);
      }
      const driver = Driver.in('init').hear({ state: 'admin-down' });
      expect(driver.transitions).toEqual(['init -> down (neighbor-signaled-down)']);
    },
    negative: () => {
      expect(after('up', 'init')).toBe('up');
      expect(after('up', 'up')).toBe('up');
    },
  },
  {
    id: 'RFC5880-6.8.4-1',
    level: 'MUST',
    text: 'Init or Up without a packet for the Detection Time goes Down, diagnostic 1',
    positive: () => {
      for (const session of ['init', 'up'] as const) {
        const driver = Driver.in(session);
        driver.passUs(detectionTimeUs(driver.state) as number).fire();
        expect(driver.transitions).toEqual([`${session} -> down (detection-time-expired)`]);
        expect(driver.sent).toMatchObject([{ diagnostic: 1 }]);
      }
    },
    negative: () => {
      const driver = Driver.in('up');
      driver.passUs((detectionTimeUs(driver.state) as number) - 1).fire();
      expect(driver.transitions).toEqual([]);
      driver.hear({ state: 'up', desiredMinTxUs: 50_000 }).passUs(149_999).fire();
      expect(driver.state.session).toBe('up');
    },
  },
  {
    id: 'RFC5880-6.8.4-2',
    level: 'MUST',
    text: 'It is the remote multiplier times the greater of our min RX and its min TX',
    positive: () => {
      const driver = Driver.in('up');
      driver.hear({ state: 'up', detectMultiplier: 4, desiredMinTxUs: 70_000 });
      expect(detectionTimeUs(driver.state)).toBe(280_000);
      driver.hear({ state: 'up', detectMultiplier: 2, desiredMinTxUs: 1 });
      expect(detectionTimeUs(driver.state)).toBe(20_000);
    },
    negative: () => {
      const driver = Driver.in('up', { multiplier: 255, minTxUs: 900_000 });
      driver.hear({ state: 'up', desiredMinTxUs: 50_000 });
      expect(detectionTimeUs(driver.state)).toBe(150_000);
    },
  },
  {
    id: 'RFC5880-6.8.1-1',
    level: 'MUST',
    text: 'bfd.RemoteDiscr is zero again when a Detection Time passes without a packet',
    positive: () => {
      const driver = Driver.in('up').passUs(SECOND_US).fire();
      expect(driver.sent).toMatchObject([{ state: 'down', yourDiscriminator: 0 }]);
    },
    negative: () => {
      const driver = Driver.in('up').hear({ state: 'down' });
      expect(driver.sent).toMatchObject([{ state: 'down', yourDiscriminator: THEIRS }]);
    },
  },
  {
    id: 'RFC5880-6.8.16-1',
    level: 'SHOULD',
    text: 'A session that is stopped says AdminDown with diagnostic 7',
    positive: () => {
      const { sent } = Driver.in('up').stop();
      expect(sent).toMatchObject([{ state: 'admin-down', diagnostic: 7 }]);
    },
    negative: () => expect(Driver.in('admin-down').stop().sent).toEqual([]),
  },
];

const SEND_ROWS: readonly Row[] = [
  {
    id: 'RFC5880-6.8.7-1',
    level: 'MUST',
    text: 'The interval is the greater of our min TX and the remote min RX, less the jitter',
    positive: () => {
      const driver = Driver.in('up');
      expect(transmitIntervalUs(driver.state)).toBe(20_000);
      driver.hear({ state: 'up', requiredMinRxUs: 1 });
      expect(transmitIntervalUs(driver.state)).toBe(10_000);
    },
    negative: () => {
      const driver = Driver.in('up', {}, 77);
      for (let count = 0; count < 200; count++) {
        driver.fire();
        driver.hear({ state: 'up', desiredMinTxUs: 50_000 });
        expect(driver.waitUs).toBeGreaterThanOrEqual(15_000);
      }
    },
  },
  {
    id: 'RFC5880-6.8.7-2',
    level: 'MUST',
    text: 'Each interval is reduced by a random 0 to 25 %',
    positive: () => {
      const parts = waits(3);
      expect(Math.min(...parts)).toBeLessThan(0.76);
      expect(Math.max(...parts)).toBeGreaterThan(0.99);
      const mean = parts.reduce((sum, part) => sum + part) / parts.length;
      expect(Math.abs(mean - 0.875)).toBeLessThan(0.01);
    },
    negative: () => {
      const parts = waits(3);
      expect(parts.filter((part) => part < 0.75 || part > 1)).toEqual([]);
    },
  },
  {
    id: 'RFC5880-6.8.7-3',
    level: 'MUST',
    text: 'With a multiplier of 1 it is 75 to 90 %',
    positive: () => expect(Math.max(...waits(1))).toBeGreaterThan(0.89),
    negative: () => expect(waits(1).filter((part) => part < 0.75 || part > 0.9)).toEqual([]),
  },
  {
    id: 'RFC5880-6.8.7-4',
    level: 'MUST',
    text: 'The passive role sends nothing while bfd.RemoteDiscr is zero',
    positive: () => {
      const driver = new Driver({ passive: true }).start().hear({ yourDiscriminator: 0 });
      expect(driver.sent).toMatchObject([{ state: 'init' }]);
    },
    negative: () => {
      const driver = new Driver({ passive: true }).start();
      expect([driver.sent, driver.deadlineUs]).toEqual([[], null]);
      driver
        .hear({ yourDiscriminator: 0 })
        .passUs(10 * SECOND_US)
        .fire();
      expect(driver.state.session).toBe('down');
      expect([driver.sent, driver.deadlineUs]).toEqual([[], null]);
    },
  },
  {
    id: 'RFC5880-6.8.7-5',
    level: 'MUST',
    text: 'No periodic packets while the remote min RX is zero',
    positive: () => {
      const driver = Driver.in('up').hear({ state: 'up', requiredMinRxUs: 1 });
      expect(driver.waitUs).toBeLessThanOrEqual(10_000);
    },
    negative: () => {
      const driver = Driver.in('up').hear({ state: 'up', requiredMinRxUs: 0 });
      expect(driver.fire().transitions).toEqual(['up -> down (detection-time-expired)']);
    },
  },
  {
    id: 'RFC5880-6.8.7-6',
    level: 'MUST',
    text: 'No periodic packets while the remote system is in Demand mode and both are up',
    positive: () => {
      const driver = Driver.in('init').hear({ state: 'init', demand: true });
      expect(driver.state.remote.demand).toBe(true);
      expect(driver.fire().sent).toHaveLength(1);
    },
    negative: () => {
      const driver = Driver.in('up').hear({ state: 'up', demand: true });
      expect(driver.fire().transitions).toEqual(['up -> down (detection-time-expired)']);
    },
  },
  {
    id: 'RFC5880-6.8.7-7',
    level: 'MUST',
    text: 'A poll is answered at once with Final and without Poll, in every state but AdminDown',
    positive: () => {
      for (const session of ['down', 'init', 'up'] as const) {
        const driver = Driver.in(session).hear({ state: 'admin-down', poll: true });
        expect(driver.sent).toMatchObject([{ final: true, poll: false, state: 'down' }]);
      }
      const polling = Driver.in('up').reconfigure({ minTxUs: 90_000 });
      expect(polling.sent).toMatchObject([{ poll: true }]);
      expect(polling.hear({ state: 'up', poll: true }).sent).toMatchObject([
        { final: true, poll: false },
      ]);
    },
    negative: () => {
      expect(Driver.in('up').hear({ state: 'up', poll: false }).sent).toEqual([]);
      // The answer is outside of the periodic packets, and delays none of them.
      const driver = Driver.in('up').passUs(5_000);
      const { deadlineUs } = driver;
      expect(driver.hear({ state: 'up', poll: true, desiredMinTxUs: 50_000 }).deadlineUs).toBe(
        deadlineUs,
      );
    },
  },
  {
    id: 'RFC5880-6.8.7-8',
    level: 'SHOULD',
    text: 'A changed content is sent between periodic packets',
    positive: () => {
      expect(Driver.in('up').hear({ state: 'down' }).sent).toMatchObject([{ state: 'down' }]);
    },
    negative: () => expect(Driver.in('up').hear({ state: 'up' }).sent).toEqual([]),
  },
  {
    id: 'RFC5880-6.8.7-9',
    level: 'MUST',
    text: 'The Demand bit is clear, as our Demand mode is off; the echo interval is zero',
    positive: () => {
      const { sent } = Driver.in('up').hear({ state: 'up', demand: true, poll: true });
      expect(sent).toMatchObject([{ demand: false }]);
    },
    negative: () => expect([...encoded().subarray(20)]).toEqual([0, 0, 0, 0]),
  },
];

const TIMER_ROWS: readonly Row[] = [
  {
    id: 'RFC5880-6.8.3-1',
    level: 'MUST',
    text: 'A changed min TX or min RX begins a Poll Sequence, which ends with the Final bit',
    positive: () => {
      for (const change of [{ minTxUs: 30_000 }, { minRxUs: 30_000 }]) {
        const driver = Driver.in('up').reconfigure(change);
        expect(driver.sent).toMatchObject([{ poll: true }]);
        driver.hear({ state: 'up' });
        expect(driver.fire().sent).toMatchObject([{ poll: true }]);
        driver.hear({ state: 'up', final: true });
        expect(driver.fire().sent).toMatchObject([{ poll: false }]);
      }
    },
    negative: () => {
      const driver = Driver.in('up').reconfigure({ multiplier: 9 });
      expect(driver.sent).toMatchObject([{ poll: false }]);
    },
  },
  {
    id: 'RFC5880-6.8.3-2',
    level: 'MUST',
    text: 'Up, a raised min TX counts after the Poll Sequence only',
    positive: () => {
      const driver = Driver.in('up').reconfigure({ minTxUs: 400_000 });
      driver.hear({ state: 'up', final: true });
      expect(transmitIntervalUs(driver.state)).toBe(400_000);
    },
    negative: () => {
      const driver = Driver.in('up').reconfigure({ minTxUs: 400_000 });
      expect(driver.sent).toMatchObject([{ desiredMinTxUs: 400_000 }]);
      expect(transmitIntervalUs(driver.hear({ state: 'up' }).state)).toBe(20_000);
    },
  },
  {
    id: 'RFC5880-6.8.3-3',
    level: 'MUST',
    text: 'Up, a reduced min RX counts for the Detection Time after the Poll Sequence only',
    positive: () => {
      const driver = Driver.in('up', { minRxUs: 500_000 }).reconfigure({ minRxUs: 10_000 });
      driver.hear({ state: 'up', final: true, desiredMinTxUs: 50_000 });
      expect(detectionTimeUs(driver.state)).toBe(150_000);
    },
    negative: () => {
      const driver = Driver.in('up', { minRxUs: 500_000 }).reconfigure({ minRxUs: 10_000 });
      expect(driver.sent).toMatchObject([{ requiredMinRxUs: 10_000 }]);
      driver.hear({ state: 'up', desiredMinTxUs: 50_000 });
      expect(detectionTimeUs(driver.state)).toBe(1_500_000);
    },
  },
  {
    id: 'RFC5880-6.8.3-4',
    level: 'MUST',
    text: 'Not up, the min TX is a second at least',
    positive: () => {
      const driver = new Driver({ idleTxUs: 3 * SECOND_US }).start();
      expect(driver.sent).toMatchObject([{ desiredMinTxUs: 3 * SECOND_US }]);
    },
    negative: () => {
      const driver = new Driver({ idleTxUs: 1, minTxUs: 1 }).start();
      expect(driver.sent).toMatchObject([{ desiredMinTxUs: SECOND_US }]);
      expect(driver.waitUs).toBeGreaterThanOrEqual(750_000);
    },
  },
  {
    id: 'RFC5880-6.8.3-5',
    level: 'MUST',
    text: 'A reduced remote min RX is honored at once, counted from the packet sent last',
    positive: () => {
      const driver = Driver.in('up').hear({ state: 'up', requiredMinRxUs: 40_000 });
      driver.fire();
      const sentAtUs = driver.nowUs;
      driver.passUs(15_000).hear({ state: 'up', requiredMinRxUs: 10_000 });
      expect(driver.deadlineUs as number).toBeLessThanOrEqual(sentAtUs + 10_000);
      expect(driver.fire().sent).toHaveLength(1);
    },
    negative: () => {
      const driver = Driver.in('up').hear({ state: 'up', requiredMinRxUs: 40_000 });
      driver.fire();
      expect(driver.waitUs).toBeGreaterThanOrEqual(30_000);
    },
  },
  {
    id: 'RFC5880-6.8.3-6',
    level: 'MUST',
    text: 'The next Poll Sequence waits for a packet without Final after the last one',
    positive: () => {
      const driver = Driver.in('up').reconfigure({ minTxUs: 100_000 });
      driver.hear({ state: 'up', final: true }).hear({ state: 'up' });
      expect(driver.reconfigure({ minTxUs: 200_000 }).sent).toMatchObject([
        { poll: true, desiredMinTxUs: 200_000 },
      ]);
    },
    negative: () => {
      const driver = Driver.in('up').reconfigure({ minTxUs: 100_000 });
      driver.hear({ state: 'up', final: true });
      expect(driver.reconfigure({ minTxUs: 200_000 }).sent).toMatchObject([
        { poll: false, desiredMinTxUs: 100_000 },
      ]);
    },
  },
  {
    id: 'RFC5880-6.8.1-2',
    level: 'MUST',
    text: 'bfd.LocalDiscr is nonzero and stays; bfd.LocalDiag is zero at first',
    positive: () => {
      const driver = new Driver().start();
      expect(driver.sent).toMatchObject([{ myDiscriminator: OURS, diagnostic: 0 }]);
      expect(driver.hear({ state: 'down' }).sent).toMatchObject([{ myDiscriminator: OURS }]);
    },
    negative: () => expect(() => encoded({ myDiscriminator: 0 })).toThrow(InternalError),
  },
];

const ROWS: readonly Row[] = [...PACKET_ROWS, ...STATE_ROWS, ...SEND_ROWS, ...TIMER_ROWS];

describe.each(ROWS)('$id ($level): $text', ({ positive, negative }) => {
  test('is met', () => positive());
  test('is not violated', () => negative());
});

test('the ledger has each id once', () => {
  expect(new Set(ROWS.map(({ id }) => id)).size).toBe(ROWS.length);
});

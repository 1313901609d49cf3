/** The session's machine: handshake, deadlines, polls, roles. The RFC's rules are in test/rfc. */
import { describe, expect, test } from 'vitest';
import { InternalError } from '../../../../src/core/assert.ts';
import {
  detectionTimeUs,
  initialBfdState,
  transmitIntervalUs,
} from '../../../../src/core/bfd/session.ts';
import { Driver, OURS, PACKET, SECOND_US, THEIRS } from './driver.ts';

describe('step', () => {
  test('brings a session up by the three-way handshake, telling each step at once', () => {
    const driver = new Driver().start();
    expect(driver.transitions).toEqual(['admin-down -> down (none)']);
    expect(driver.sent).toMatchObject([{ state: 'down', yourDiscriminator: 0 }]);
    driver.hear({ state: 'down', yourDiscriminator: 0 });
    expect(driver.transitions).toEqual(['down -> init (none)']);
    expect(driver.sent).toMatchObject([{ state: 'init', yourDiscriminator: THEIRS }]);
    driver.hear({ state: 'init' });
    expect(driver.transitions).toEqual(['init -> up (none)']);
    expect(driver.sent).toMatchObject([{ state: 'up', poll: true, desiredMinTxUs: 10_000 }]);
  });

  test('goes down when the Detection Time has passed, not before, and says why', () => {
    const driver = Driver.in('up');
    const detectAtUs = driver.nowUs + 3 * 50_000;
    while ((driver.deadlineUs as number) < detectAtUs) {
      driver.fire();
      expect(driver.state.session).toBe('up');
    }
    driver.nowUs = detectAtUs - 1;
    driver.tell({ kind: 'deadline-reached', atUs: driver.nowUs });
    expect(driver.state.session).toBe('up');
    driver.fire();
    expect(driver.nowUs).toBe(detectAtUs);
    expect(driver.transitions).toEqual(['up -> down (detection-time-expired)']);
    expect(driver.sent).toMatchObject([{ state: 'down', diagnostic: 1, yourDiscriminator: 0 }]);
  });

  test('counts the Detection Time from the arrival of a packet, not from its handling', () => {
    const driver = Driver.in('up');
    const arrivedAtUs = driver.nowUs + 30_000;
    driver.nowUs = arrivedAtUs;
    const event = { kind: 'packet-received', atUs: arrivedAtUs } as const;
    driver.passUs(100_000);
    driver.tell({ ...event, packet: { ...PACKET, state: 'up', desiredMinTxUs: 50_000 } });
    driver.nowUs = arrivedAtUs + 149_999;
    driver.tell({ kind: 'deadline-reached', atUs: driver.nowUs });
    expect(driver.state.session).toBe('up');
    driver.passUs(1).tell({ kind: 'deadline-reached', atUs: driver.nowUs });
    expect(driver.state.session).toBe('down');
  });

  test('stops with AdminDown and diagnostic 7, and is deaf and silent then', () => {
    const driver = Driver.in('up').stop();
    expect(driver.transitions).toEqual(['up -> admin-down (administratively-down)']);
    expect(driver.sent).toMatchObject([{ state: 'admin-down', diagnostic: 7, poll: false }]);
    expect(driver.deadlineUs).toBeNull();
    const { state } = driver;
    expect(driver.hear({ state: 'down' }).fire().state).toBe(state);
    expect(driver.sent).toEqual([]);
  });

  test('begins anew after a stop', () => {
    const driver = Driver.in('up').stop().start();
    expect(driver.state.session).toBe('down');
    expect(driver.state.remote.discriminator).toBe(0);
    expect(driver.sent).toMatchObject([{ state: 'down', diagnostic: 0 }]);
  });

  test('ignores a second start', () => {
    const driver = Driver.in('up');
    const { state } = driver;
    expect(driver.start().state).toBe(state);
  });

  test('tells a changed multiplier at once, without a poll', () => {
    const driver = Driver.in('up').reconfigure({ multiplier: 7 });
    expect(driver.sent).toMatchObject([{ detectMultiplier: 7, poll: false }]);
  });

  test('lets a passive session wait for the neighbor, and answer it', () => {
    const driver = new Driver({ passive: true }).start();
    expect(driver.sent).toEqual([]);
    expect(driver.deadlineUs).toBeNull();
    driver.hear({ state: 'admin-down', yourDiscriminator: 0 });
    expect(driver.waitUs).toBeLessThanOrEqual(SECOND_US);
    expect(driver.fire().sent).toMatchObject([{ state: 'down', yourDiscriminator: THEIRS }]);
  });

  test('sends again to a neighbor that wanted nothing and is gone', () => {
    const driver = Driver.in('up').hear({ state: 'up', requiredMinRxUs: 0 });
    expect(driver.fire().state.session).toBe('down');
    expect(driver.waitUs).toBeLessThanOrEqual(SECOND_US);
  });

  test('makes changes that come during a poll wait for its end', () => {
    const driver = Driver.in('up').reconfigure({ minTxUs: 100_000 });
    expect(driver.sent).toMatchObject([{ poll: true, desiredMinTxUs: 100_000 }]);
    driver.reconfigure({ minTxUs: 200_000 });
    expect(driver.sent).toMatchObject([{ poll: true, desiredMinTxUs: 100_000 }]);
    driver.hear({ state: 'up', final: true });
    expect(transmitIntervalUs(driver.state)).toBe(100_000);
    expect(driver.sent).toEqual([]);
    driver.hear({ state: 'up' });
    expect(driver.sent).toMatchObject([{ poll: true, desiredMinTxUs: 200_000 }]);
    expect(transmitIntervalUs(driver.state)).toBe(100_000);
    driver.hear({ state: 'up', final: true });
    expect(transmitIntervalUs(driver.state)).toBe(200_000);
  });

  test('takes no late Final for the answer to the next poll', () => {
    const driver = Driver.in('up').reconfigure({ minTxUs: 100_000 });
    driver.hear({ state: 'up', final: true });
    driver.reconfigure({ minTxUs: 200_000 });
    driver.hear({ state: 'up', final: true });
    expect(transmitIntervalUs(driver.state)).toBe(100_000);
    expect(driver.state.desiredMinTxUs).toBe(100_000);
  });

  test('is the same for the same seed, and spreads its packets', () => {
    const waits = (seed: number) => {
      const driver = Driver.in('down', {}, seed);
      return Array.from({ length: 50 }, () => {
        const { waitUs } = driver;
        driver.fire();
        return waitUs;
      });
    };
    expect(waits(7)).toEqual(waits(7));
    expect(waits(7)).not.toEqual(waits(8));
    expect(new Set(waits(7)).size).toBeGreaterThan(40);
  });
});

test('detectionTimeUs is not known before the neighbor is heard, nor after it fell silent', () => {
  const driver = Driver.in('down');
  expect(detectionTimeUs(driver.state)).toBeNull();
  driver.hear({ state: 'admin-down', desiredMinTxUs: 2 * SECOND_US });
  expect(detectionTimeUs(driver.state)).toBe(3 * 2 * SECOND_US);
  driver.passUs(6 * SECOND_US).fire();
  expect(detectionTimeUs(driver.state)).toBeNull();
  expect(driver.transitions).toEqual([]);
});

test('initialBfdState refuses a discriminator or a seed of 0', () => {
  expect(() => initialBfdState(0, 1)).toThrow(InternalError);
  expect(() => initialBfdState(OURS, 0)).toThrow(InternalError);
});

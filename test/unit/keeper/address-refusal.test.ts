/** AddressRefusal: when a refusal is believed, when it is tried again, and what ends it. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { TRIAL_US } from '../../../src/core/address/refusal.ts';
import { defaultAttributes } from '../../../src/core/config/defaults.ts';
import { AddressRefusal, type RefusalPorts } from '../../../src/keeper/address-refusal.ts';
import type { WantedVip } from '../../../src/keeper/vips.ts';
import type { AddressChange } from '../../../src/linux/netlink/route-messages.ts';

const TRIAL_MS = TRIAL_US / 1000;
const REFUSED = { code: 'EPERM', message: 'operation not permitted' };

/** What the kernel is asked for, and has, in order; it takes what is in `taken`. */
let asked: string[];
let there: Set<string>;
let taken: Set<string>;
let active: boolean;
let changes: number;
/** What the second attempt of an active instance does. */
let retry: () => void;

beforeEach(() => {
  vi.useFakeTimers();
  asked = [];
  there = new Set();
  taken = new Set();
  active = true;
  changes = 0;
  retry = () => {};
});
afterEach(() => vi.useRealTimers());

function vipsOf(count: number): readonly WantedVip[] {
  const attributes = defaultAttributes('ipv4', 24);
  return Array.from({ length: count }, (_, index) => {
    return { address: `192.0.2.${index + 1}`, prefixLength: 24, interface: 'eth0', attributes };
  });
}

function refusalOf(vips: readonly WantedVip[]): AddressRefusal {
  const network = {
    link: () => ({ index: 2, mtu: 1500 }),
    hasAddress: (_: string, address: string) => there.has(address),
    addressInfo: (_: string, address: string) =>
      there.has(address) ? { interfaceIndex: 2, address, prefixLength: 24 } : null,
    isOurs: () => true,
    change: (operations: readonly AddressChange[]) =>
      operations.map(({ kind, address }) => {
        asked.push(`${kind} ${address}`);
        if (kind === 'delete') there.delete(address);
        else if (!taken.has(address)) return REFUSED;
        else there.add(address);
        return null;
      }),
  };
  return new AddressRefusal({
    network: network as unknown as RefusalPorts['network'],
    vips: () => vips,
    holder: {
      retry: () => retry(),
      get isRefused() {
        return vips.every(({ address }) => !there.has(address));
      },
      errorOf: () => REFUSED.message,
    },
    isActive: () => active,
    betweenTurns: (act) => act(),
    changed: () => void changes++,
    problem: () => expect.unreachable('It is told by who keeps the VIPs'),
  });
}

/** A refusal that is believed. */
function standing(vips: readonly WantedVip[]): AddressRefusal {
  const refusal = refusalOf(vips);
  refusal.suspected();
  vi.advanceTimersToNextTimer();
  expect(refusal.stands).toBe(true);
  active = false;
  return refusal;
}

describe('a refusal', () => {
  test('is believed after a second attempt of an instance that is active still', () => {
    const vips = vipsOf(2);
    const refusal = refusalOf(vips);
    retry = () => there.add('192.0.2.2');
    refusal.suspected();
    vi.advanceTimersToNextTimer();
    expect(refusal.stands).toBe(false);

    there.clear();
    retry = () => {};
    active = false;
    refusal.suspected();
    vi.advanceTimersToNextTimer();
    expect(refusal.stands).toBe(false);

    active = true;
    const believed = standing(vips);
    expect(changes).toBe(1);
    expect(believed.errorOf(vips[0] as WantedVip)).toBe(REFUSED.message);
    expect(asked).toEqual([]);
    believed.close();
  });

  test('ends with the first VIP that the kernel takes, which is removed at once', () => {
    const refusal = standing(vipsOf(3));
    vi.advanceTimersByTime(TRIAL_MS);
    expect(asked).toEqual(['add 192.0.2.1', 'add 192.0.2.2', 'add 192.0.2.3']);
    taken.add('192.0.2.2').add('192.0.2.3');
    asked = [];
    vi.advanceTimersByTime(TRIAL_MS);
    expect(asked).toEqual(['add 192.0.2.1', 'add 192.0.2.2', 'delete 192.0.2.2']);
    expect(there.size).toBe(0);
    expect(refusal.stands).toBe(false);
    expect(changes).toBe(2);
    vi.advanceTimersByTime(100 * TRIAL_MS);
    expect(asked).toHaveLength(3);
  });

  test('that comes back after a trial that succeeded is tried half as often', () => {
    const refusal = standing(vipsOf(1));
    for (const [relapses, pauseMs] of [TRIAL_MS, 2 * TRIAL_MS, 4 * TRIAL_MS].entries()) {
      taken.add('192.0.2.1');
      asked = [];
      vi.advanceTimersByTime(pauseMs - 1);
      expect([relapses, asked]).toEqual([relapses, []]);
      vi.advanceTimersByTime(1);
      expect(asked).toEqual(['add 192.0.2.1', 'delete 192.0.2.1']);
      taken.clear();
      active = true;
      refusal.suspected();
      vi.advanceTimersToNextTimer();
      expect(refusal.stands).toBe(true);
      active = false;
    }
    refusal.close();
  });

  test('of hundreds of VIPs is tried sixteen at a time, all of them in turn', () => {
    const refusal = standing(vipsOf(40));
    const tried = new Set<string>();
    for (let trial = 0; trial < 3; trial++) {
      asked = [];
      vi.advanceTimersByTime(TRIAL_MS);
      expect(asked).toHaveLength(16);
      for (const one of asked) tried.add(one);
    }
    expect(tried.size).toBe(40);
    refusal.close();
  });

  test('is tried at once for other VIPs, and is none without any', () => {
    const vips: WantedVip[] = [...vipsOf(1)];
    const refusal = standing(vips);
    refusal.reconfigured();
    expect(refusal.stands).toBe(true);
    vips.pop();
    refusal.reconfigured();
    expect(refusal.stands).toBe(false);
  });
});

/** PutOff: what waits for advertisements is done in order, in bounded batches of addresses. */
import { describe, expect, test, vi } from 'vitest';
import { defaultAttributes } from '../../../src/core/config/defaults.ts';
import type { Network } from '../../../src/keeper/network.ts';
import { type Debtor, PutOff } from '../../../src/keeper/put-off.ts';
import type { AddResult, WantedVip } from '../../../src/keeper/vips.ts';
import type { AddressChange } from '../../../src/linux/netlink/route-messages.ts';

/** Addresses in the first batch. */
const BATCH = 16;

function makePutOff(present: readonly WantedVip[] = []) {
  const change = vi.fn((operations: readonly AddressChange[]) =>
    operations.map(({ address }) =>
      address === vipOf(1).address ? { code: 'EPERM', message: 'EPERM' } : null,
    ),
  );
  const network = {
    link: () => ({ index: 2 }),
    nameOf: () => 'eth0',
    hasAddressOn: (_: unknown, address: string) => present.some((vip) => vip.address === address),
    addressInfo: (_: string, address: string) =>
      present.some((vip) => vip.address === address)
        ? { interfaceIndex: 2, address, prefixLength: 24 }
        : null,
    isOurs: () => true,
    change,
  };
  const clock = { nowUs: 0 };
  return { putOff: new PutOff(network as unknown as Network, () => clock.nowUs), change, clock };
}

function vipOf(index: number): WantedVip {
  const attributes = defaultAttributes('ipv4', 24);
  const address = `192.0.${2 + (index >> 8)}.${index & 255}`;
  return { address, prefixLength: 24, interface: 'eth0', attributes };
}

/** Instances that take over, of which the third one wants no address. */
function debtors(putOff: PutOff, count: number, addressCount = 1) {
  const settled: { readonly index: number; readonly added: AddResult | null }[] = [];
  const told: number[] = [];
  for (let index = 0; index < count; index++) {
    const debtor: Debtor = {
      addressCount,
      unwantedAddresses: () => [],
      wantedAddresses: () => (index === 2 ? null : [vipOf(index)]),
      announceFirst: () => told.push(index),
      settle: (added) => settled.push({ index, added }),
    };
    putOff.add(debtor);
  }
  return { settled, told };
}

/** An instance that has to let an address go. */
function giving(putOff: PutOff, vip: WantedVip): void {
  const debtor: Debtor = {
    addressCount: 1,
    unwantedAddresses: () => [vip],
    wantedAddresses: () => null,
    announceFirst: () => {},
    settle: () => {},
  };
  putOff.add(debtor, true);
}

describe('PutOff', () => {
  test('puts addresses there in batches, and does the rest when all of them are there', () => {
    const { putOff, change } = makePutOff();
    const { settled, told } = debtors(putOff, BATCH + 3);
    putOff.settleSome();
    expect(change).toHaveBeenCalledTimes(1);
    expect(told).toHaveLength(BATCH - 1);
    expect(settled.map(({ index }) => index)).toEqual([2]);
    putOff.settleSome();
    expect(told).toHaveLength(BATCH + 2);
    expect(settled).toHaveLength(1);
    expect(putOff.isWaiting).toBe(true);
    putOff.settleSome();
    expect(settled.map(({ index }) => index).slice(1)).toEqual(told);
    expect(putOff.isWaiting).toBe(false);
    expect(change).toHaveBeenCalledTimes(2);
  });

  test('takes more at once while that is quick, up to a bound, and fewer when it is not', () => {
    const { putOff, change, clock } = makePutOff();
    const { told } = debtors(putOff, 400);
    const sizes: number[] = [];
    const settle = (times: number) => {
      for (let count = 0; count < times; count++) {
        const before = told.length;
        putOff.settleSome();
        sizes.push(told.length - before);
      }
    };
    settle(4);
    // The third one of all wants no address.
    expect(sizes).toEqual([BATCH - 1, 2 * BATCH, 4 * BATCH, 4 * BATCH]);
    change.mockImplementationOnce((operations) => {
      clock.nowUs += 3_000;
      return operations.map(() => null);
    });
    settle(2);
    expect(sizes.slice(4)).toEqual([4 * BATCH, 2 * BATCH]);
  });

  test('puts addresses of those that come later there before it does the rest of others', () => {
    const { putOff } = makePutOff();
    const first = debtors(putOff, 1);
    putOff.settleSome();
    const second = debtors(putOff, 1);
    putOff.settleSome();
    expect([first.settled.length, second.told.length]).toEqual([0, 1]);
    putOff.settleSome();
    expect([first.settled.length, second.settled.length]).toEqual([1, 1]);
  });

  test('counts addresses, not instances, and takes one instance however many it has', () => {
    const { putOff } = makePutOff();
    const { told } = debtors(putOff, 2, 12);
    putOff.settleSome();
    expect(told).toHaveLength(1);
    putOff.settleSome();
    expect(told).toHaveLength(2);
    const many = debtors(putOff, 1, 100);
    putOff.settleSome();
    expect(many.told).toHaveLength(1);
  });

  test('does no more than there is time for before the next advertisement', () => {
    const { putOff } = makePutOff();
    const { told } = debtors(putOff, 2, 2);
    expect(putOff.settleWithin(70)).toBe(false);
    expect(told).toHaveLength(0);
    expect(putOff.settleWithin(90)).toBe(true);
    expect(told).toHaveLength(1);
    // What has to be let go comes first, and is not begun when there is hardly time.
    giving(putOff, vipOf(9));
    expect(putOff.settleWithin(10_000)).toBe(false);
  });

  test('gives each its own result, and none to those that wanted no addresses', () => {
    const { putOff } = makePutOff();
    const { settled } = debtors(putOff, 4);
    putOff.settleSome();
    putOff.settleSome();
    const of = (index: number) => settled.find((one) => one.index === index)?.added;
    expect(of(0)?.added).toEqual([vipOf(0)]);
    expect(of(1)).toMatchObject({ added: [], problems: [{ code: 'VK-ADDRESS' }] });
    expect(of(2)).toBeNull();
    expect(of(3)?.added).toEqual([vipOf(3)]);
  });

  test('does not settle those that have settled by themselves', () => {
    const { putOff, change } = makePutOff();
    const settle = vi.fn();
    const debtor: Debtor = {
      addressCount: 1,
      announceFirst: () => {},
      unwantedAddresses: () => [],
      wantedAddresses: () => [vipOf(0)],
      settle,
    };
    putOff.add(debtor);
    putOff.remove(debtor);
    putOff.settleSome();
    expect(settle).not.toHaveBeenCalled();
    expect(change).not.toHaveBeenCalled();
    putOff.add(debtor);
    putOff.settleSome();
    putOff.remove(debtor);
    expect(putOff.isWaiting).toBe(false);
    putOff.settleSome();
    expect(settle).not.toHaveBeenCalled();
  });

  test('waits for what is due in a moment, but not for long, and not with an address to let go', () => {
    const { putOff } = makePutOff();
    const beforeUs = 0;
    expect(putOff.yieldsTo(beforeUs, beforeUs)).toBe(false);
    const { told } = debtors(putOff, 1);
    expect(putOff.yieldsTo(null, beforeUs)).toBe(false);
    expect(putOff.yieldsTo(beforeUs + 500, beforeUs)).toBe(true);
    expect(putOff.yieldsTo(beforeUs + 5_000, beforeUs)).toBe(false);
    const laterUs = 1_000_000;
    expect(putOff.yieldsTo(laterUs + 500, laterUs)).toBe(false);
    giving(putOff, vipOf(9));
    expect(putOff.yieldsTo(beforeUs + 500, beforeUs)).toBe(false);
    putOff.settleSome();
    expect(told).toHaveLength(1);
  });

  test('lets go what all of them have to let go in one change, before it adds anything', () => {
    const { putOff, change } = makePutOff([vipOf(20), vipOf(21)]);
    debtors(putOff, BATCH);
    for (const vip of [vipOf(20), vipOf(21)]) giving(putOff, vip);
    putOff.settleSome();
    const kinds = change.mock.calls.map(([operations]) => operations.map(({ kind }) => kind));
    expect(kinds[0]).toEqual(['delete', 'delete']);
    expect(new Set(kinds[1])).toEqual(new Set(['add']));
    expect(kinds).toHaveLength(2);
  });
});

/** PutOff: what waits for advertisements is done in order, in bounded batches of addresses. */
import { describe, expect, test, vi } from 'vitest';
import { defaultAttributes } from '../../../src/core/config/defaults.ts';
import type { Network } from '../../../src/keeper/network.ts';
import { type Debtor, PutOff } from '../../../src/keeper/put-off.ts';
import type { AddResult, WantedVip } from '../../../src/keeper/vips.ts';
import { monotonicUs } from '../../../src/linux/clock.ts';
import type { AddressChange } from '../../../src/linux/netlink/route-messages.ts';

const BATCH_MAX = 16;

function makePutOff(present: readonly WantedVip[] = []) {
  const change = vi.fn((operations: readonly AddressChange[]) =>
    operations.map(({ address }) =>
      address === vipOf(1).address ? { code: 'EPERM', message: 'EPERM' } : null,
    ),
  );
  const network = {
    link: () => ({ index: 2 }),
    nameOf: () => 'eth0',
    addressInfo: (_: string, address: string) =>
      present.some((vip) => vip.address === address)
        ? { interfaceIndex: 2, address, prefixLength: 24 }
        : null,
    isOurs: () => true,
    change,
  };
  return { putOff: new PutOff(network as unknown as Network), change };
}

function vipOf(index: number): WantedVip {
  const attributes = defaultAttributes('ipv4', 24);
  return { address: `192.0.2.${index}`, prefixLength: 24, interface: 'eth0', attributes };
}

function debtors(putOff: PutOff, count: number) {
  const settled: { readonly index: number; readonly added: AddResult | null }[] = [];
  for (let index = 0; index < count; index++) {
    const debtor: Debtor = {
      unwantedAddresses: () => [],
      wantedAddresses: () => (index === 2 ? null : [vipOf(index)]),
      settle: (added) => settled.push({ index, added }),
    };
    putOff.add(debtor);
  }
  return settled;
}

describe('PutOff', () => {
  test('settles the first that wait, with one change of addresses for all of them', () => {
    const { putOff, change } = makePutOff();
    const settled = debtors(putOff, BATCH_MAX + 2);
    putOff.settleSome();
    expect(settled.map(({ index }) => index)).toEqual([...Array(BATCH_MAX).keys()]);
    expect(change).toHaveBeenCalledTimes(1);
    expect(putOff.isWaiting).toBe(true);
    putOff.settleSome();
    expect(settled).toHaveLength(BATCH_MAX + 2);
    expect(putOff.isWaiting).toBe(false);
  });

  test('gives each its own result, and none to those that wanted no addresses', () => {
    const { putOff } = makePutOff();
    const settled = debtors(putOff, 4);
    putOff.settleSome();
    expect(settled[0]?.added?.added).toEqual([vipOf(0)]);
    expect(settled[1]?.added).toMatchObject({ added: [], problems: [{ code: 'VK-ADDRESS' }] });
    expect(settled[2]?.added).toBeNull();
    expect(settled[3]?.added?.added).toEqual([vipOf(3)]);
  });

  test('does not settle those that have settled by themselves', () => {
    const { putOff, change } = makePutOff();
    const settle = vi.fn();
    const debtor: Debtor = {
      unwantedAddresses: () => [],
      wantedAddresses: () => [vipOf(0)],
      settle,
    };
    putOff.add(debtor);
    putOff.remove(debtor);
    putOff.settleSome();
    expect(settle).not.toHaveBeenCalled();
    expect(change).not.toHaveBeenCalled();
  });

  test('waits for what is due in a moment, but not for long, and not with an address to let go', () => {
    const { putOff } = makePutOff();
    const beforeUs = monotonicUs();
    expect(putOff.yieldsTo(beforeUs, beforeUs)).toBe(false);
    const settled = debtors(putOff, 1);
    expect(putOff.yieldsTo(null, beforeUs)).toBe(false);
    expect(putOff.yieldsTo(beforeUs + 500, beforeUs)).toBe(true);
    expect(putOff.yieldsTo(beforeUs + 5_000, beforeUs)).toBe(false);
    const laterUs = monotonicUs() + 1_000_000;
    expect(putOff.yieldsTo(laterUs + 500, laterUs)).toBe(false);
    const giving: Debtor = {
      unwantedAddresses: () => [vipOf(9)],
      wantedAddresses: () => null,
      settle: () => {},
    };
    putOff.add(giving, true);
    expect(putOff.yieldsTo(beforeUs + 500, beforeUs)).toBe(false);
    putOff.settleSome();
    expect(settled).toHaveLength(1);
  });

  test('lets go what all of them have to let go in one change, before it adds anything', () => {
    const { putOff, change } = makePutOff([vipOf(20), vipOf(21)]);
    debtors(putOff, BATCH_MAX);
    for (const vip of [vipOf(20), vipOf(21)]) {
      const settle = vi.fn();
      putOff.add({ unwantedAddresses: () => [vip], wantedAddresses: () => null, settle }, true);
    }
    putOff.settleSome();
    const kinds = change.mock.calls.map(([operations]) => operations.map(({ kind }) => kind));
    expect(kinds[0]).toEqual(['delete', 'delete']);
    expect(new Set(kinds[1])).toEqual(new Set(['add']));
    expect(kinds).toHaveLength(2);
  });
});

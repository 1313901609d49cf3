/** PutOff: what waits for advertisements is done in order, in bounded batches of addresses. */
import { describe, expect, test, vi } from 'vitest';
import { defaultAttributes } from '../../../src/core/config/defaults.ts';
import type { Network } from '../../../src/keeper/network.ts';
import { type Debtor, PutOff } from '../../../src/keeper/put-off.ts';
import type { AddResult, WantedVip } from '../../../src/keeper/vips.ts';
import type { AddressChange } from '../../../src/linux/netlink/route-messages.ts';

const BATCH_MAX = 16;

function makePutOff() {
  const change = vi.fn((operations: readonly AddressChange[]) =>
    operations.map(({ address }) =>
      address === vipOf(1).address ? { code: 'EPERM', message: 'EPERM' } : null,
    ),
  );
  const network = {
    link: () => ({ index: 2 }),
    nameOf: () => 'eth0',
    addressInfo: () => null,
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
    const debtor: Debtor = { wantedAddresses: () => [vipOf(0)], settle };
    putOff.add(debtor);
    putOff.remove(debtor);
    putOff.settleSome();
    expect(settle).not.toHaveBeenCalled();
    expect(change).not.toHaveBeenCalled();
  });
});

import { describe, expect, it } from 'vitest';
import { AddressBook, keyOf } from '../../../src/keeper/address-book.ts';
import type { InterfaceAddress } from '../../../src/linux/netlink/route-messages.ts';

const MARK = 0x76;
const VIP = '192.0.2.10';

function entry(prefixLength: number, protocol: number | null, interfaceIndex = 2) {
  const rest = { family: 'ipv4', scope: 0, flags: 0 } as const;
  return { interfaceIndex, address: VIP, prefixLength, protocol, ...rest } as InterfaceAddress;
}

function bookOf(...entries: readonly InterfaceAddress[]): AddressBook {
  const book = new AddressBook(MARK);
  for (const one of entries) book.set(one);
  return book;
}

describe('an address that is there with two prefix lengths', () => {
  const ours = entry(24, MARK);
  const theirs = entry(32, null);

  it('is found as ours, whichever came first', () => {
    expect(bookOf(ours, theirs).find(2, VIP)).toBe(ours);
    expect(bookOf(theirs, ours).find(2, VIP)).toBe(ours);
  });

  it('is still there when one of them goes', () => {
    const book = bookOf(ours, theirs);
    expect(book.delete(ours)).toBe(true);
    expect(book.find(2, VIP)).toBe(theirs);
    expect(book.delete(ours)).toBe(false);
    expect(book.delete(theirs)).toBe(true);
    expect(book.find(2, VIP)).toBeUndefined();
  });

  it('is told as vanished for the one that is gone', () => {
    const book = bookOf(ours, theirs);
    expect(book.replace([ours])).toEqual([theirs]);
    expect(book.find(2, VIP)).toBe(ours);
  });
});

describe('a claim', () => {
  it('is to one prefix length, and outlasts a removal by others until it is ended', () => {
    const book = bookOf(entry(24, null), entry(32, null));
    book.claim(keyOf(entry(32, null)));
    expect(book.find(2, VIP)?.prefixLength).toBe(32);
    book.delete(entry(32, null));
    book.set(entry(32, null));
    expect(book.find(2, VIP)?.prefixLength).toBe(32);
    book.disclaim(keyOf(entry(32, null)));
    expect(book.find(2, VIP)?.prefixLength).toBe(24);
  });
});

it('tells apart what other programs put there, as it is now', () => {
  const book = bookOf(entry(24, MARK), entry(32, null));
  expect(book.others()).toEqual([entry(32, null)]);
  book.claim(keyOf(entry(32, null)));
  expect(book.others()).toEqual([]);
  book.disclaim(keyOf(entry(32, null)));
  book.set(entry(31, 3));
  expect(book.others()).toHaveLength(2);
  book.delete(entry(31, 3));
  expect([book.all().length, book.others().length]).toEqual([2, 1]);
});

it('keeps interfaces apart', () => {
  const book = bookOf(entry(24, MARK, 2), entry(24, null, 3));
  book.deleteInterface(2);
  expect(book.find(2, VIP)).toBeUndefined();
  expect(book.find(3, VIP)).toBeDefined();
  expect(book.all()).toHaveLength(1);
});

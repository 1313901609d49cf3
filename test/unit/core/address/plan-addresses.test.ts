/**
 * planAddresses by example, and its promises for any addresses on the model of a kernel: what is
 * applied is what was wanted, nothing foreign is touched, and an IPv4 address never goes.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AddressOperation,
  type AddressSpec,
  type ObservedAddress,
  planAddresses,
} from '../../../../src/core/address/plan-addresses.ts';
import type { AddressAttributes } from '../../../../src/core/config/address.ts';
import { defaultAttributes } from '../../../../src/core/config/defaults.ts';
import { ipFamily } from '../../../../src/core/ip.ts';

const PLAIN = defaultAttributes('ipv4', 24);

interface Fields extends Partial<Omit<AddressSpec, 'attributes'>> {
  readonly attributes?: Partial<AddressAttributes>;
}

function spec({ attributes, ...fields }: Fields = {}): AddressSpec {
  const base = { interfaceIndex: 2, address: '192.0.2.1', prefixLength: 24 };
  return { ...base, ...fields, attributes: { ...PLAIN, ...attributes } };
}

const steps = (operations: readonly AddressOperation[]) =>
  operations.map(({ kind, address }) => `${kind} ${address.address}/${address.prefixLength}`);
const planOne = (wanted: AddressSpec, observed: ObservedAddress | null) =>
  planAddresses([wanted], () => observed);

describe('planAddresses', () => {
  it('adds what is missing', () => {
    expect(steps(planOne(spec(), null))).toEqual(['add 192.0.2.1/24']);
  });

  it('uses an address of another program as it is', () => {
    expect(planOne(spec(), { ...spec({ prefixLength: 25 }), ours: false })).toEqual([]);
  });

  it('keeps an IPv4 address there by a second prefix length while its label changes', () => {
    const observed = { ...spec({ attributes: { label: 'eth0:a' } }), ours: true };
    expect(steps(planOne(spec(), observed))).toEqual([
      'add 192.0.2.1/32',
      'delete 192.0.2.1/24',
      'add 192.0.2.1/24',
      'delete 192.0.2.1/32',
    ]);
  });

  it('adds an IPv4 address with its new prefix length before the old one goes', () => {
    const observed = { ...spec({ prefixLength: 25 }), ours: true };
    expect(steps(planOne(spec(), observed))).toEqual(['add 192.0.2.1/24', 'delete 192.0.2.1/25']);
  });

  it('changes in place what the kernel changes in place', () => {
    const observed = { ...spec({ attributes: { metric: 7 } }), ours: true };
    expect(steps(planOne(spec(), observed))).toEqual(['replace 192.0.2.1/24']);
    const ipv6 = spec({ address: '2001:db8::1', prefixLength: 64 });
    const home = { ...ipv6, attributes: { ...ipv6.attributes, home: true }, ours: true };
    expect(steps(planOne(ipv6, home))).toEqual(['replace 2001:db8::1/64']);
    const longer = { ...ipv6, prefixLength: 128, ours: true };
    expect(steps(planOne(ipv6, longer))).toEqual(['delete 2001:db8::1/128', 'add 2001:db8::1/64']);
  });

  it('takes a preferred lifetime that runs for what it was set to', () => {
    const wanted = spec({ attributes: { preferredSeconds: 60 } });
    const left = (seconds: number | null) => ({
      ...spec({ attributes: { preferredSeconds: seconds } }),
      ours: true,
    });
    expect(planOne(wanted, left(12))).toEqual([]);
    expect(steps(planOne(wanted, left(61)))).toEqual(['replace 192.0.2.1/24']);
    expect(steps(planOne(wanted, left(null)))).toEqual(['replace 192.0.2.1/24']);
  });
});

const attributes = fc.record({
  broadcast: fc.constantFrom(null, '192.0.2.255'),
  scope: fc.constantFrom(0, 253),
  label: fc.constantFrom(null, 'eth0:a'),
  peer: fc.constantFrom(null, '198.51.100.1'),
  home: fc.boolean(),
  dad: fc.constant(false),
  prefixRoute: fc.boolean(),
  manageTemporary: fc.boolean(),
  preferredSeconds: fc.constantFrom(null, 0, 60),
  metric: fc.constantFrom(0, 7),
});
const ipv4 = fc.record({
  interfaceIndex: fc.constant(2),
  address: fc.constantFrom('192.0.2.1', '192.0.2.2'),
  prefixLength: fc.constantFrom(24, 31, 32),
  attributes,
});
const ipv6 = fc
  .record({
    interfaceIndex: fc.constant(2),
    address: fc.constantFrom('2001:db8::1', '2001:db8::2'),
    prefixLength: fc.constantFrom(64, 128),
    attributes,
  })
  // The kernel has these for IPv4 only.
  .map((address) => ({
    ...address,
    attributes: { ...address.attributes, peer: null, broadcast: null, scope: 0, label: null },
  }));
const table = fc.uniqueArray(fc.oneof(ipv4, ipv6), { selector: ({ address }) => address });

/** Addresses of one interface as the kernel keeps them: IPv6 once, IPv4 once a prefix length. */
class Kernel {
  readonly entries = new Map<string, ObservedAddress>();
  readonly refused: string[] = [];
  readonly gone = new Set<string>();

  key(address: AddressSpec): string {
    const twice = ipFamily(address.address) === 'ipv4' ? `/${address.prefixLength}` : '';
    return `${address.address}${twice}`;
  }

  apply({ kind, address }: AddressOperation): void {
    const there = this.entries.get(this.key(address));
    if ((kind === 'add') === (there !== undefined)) this.refused.push(`${kind} ${address.address}`);
    else if (kind === 'delete') this.entries.delete(this.key(address));
    else if (kind === 'add' || ipFamily(address.address) === 'ipv6' || there === undefined) {
      this.entries.set(this.key(address), { ...address, ours: true });
    } else {
      const { preferredSeconds, metric } = address.attributes;
      const changed = { ...there.attributes, preferredSeconds, metric };
      this.entries.set(this.key(address), { ...there, attributes: changed });
    }
    for (const { address: wanted } of this.before) if (!this.has(wanted)) this.gone.add(wanted);
  }

  before: readonly ObservedAddress[] = [];

  constructor(entries: readonly ObservedAddress[]) {
    for (const entry of entries) this.entries.set(this.key(entry), entry);
    this.before = entries;
  }

  has(address: string): boolean {
    return [...this.entries.values()].some((entry) => entry.address === address);
  }

  find(wanted: AddressSpec): ObservedAddress | null {
    return [...this.entries.values()].find(({ address }) => address === wanted.address) ?? null;
  }
}

describe('planAddresses, for any addresses', () => {
  const both = fc.tuple(table, table, fc.boolean());

  it('applied, yields what was wanted, with nothing refused and nothing left to do', () => {
    fc.assert(
      fc.property(both, ([wanted, there]) => {
        const kernel = new Kernel(there.map((entry) => ({ ...entry, ours: true })));
        for (const step of planAddresses(wanted, (one) => kernel.find(one))) kernel.apply(step);
        expect(kernel.refused).toEqual([]);
        expect(planAddresses(wanted, (one) => kernel.find(one))).toEqual([]);
        for (const address of wanted) expect(kernel.find(address)?.ours).toBe(true);
      }),
    );
  });

  it('touches nothing foreign, and never takes an IPv4 address away for a moment', () => {
    fc.assert(
      fc.property(both, ([wanted, there, ours]) => {
        const kernel = new Kernel(there.map((entry) => ({ ...entry, ours })));
        for (const step of planAddresses(wanted, (one) => kernel.find(one))) kernel.apply(step);
        expect([...kernel.gone].filter((address) => ipFamily(address) === 'ipv4')).toEqual([]);
        if (ours) return;
        for (const entry of kernel.before) expect(kernel.find(entry)).toEqual(entry);
      }),
    );
  });
});

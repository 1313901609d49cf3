/** When addresses are asked for, what counts as another machine that has one, and when it is over. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addressesToWatch,
  Conflicts,
  PROBES_MAX,
  type WatchedAddress,
} from '../../../../src/core/address/conflicts.ts';

const MINUTE_US = 60_000_000;
const SECOND_US = 1_000_000;
const VIP: WatchedAddress = { interface: 'eth0', address: '192.0.2.10' };
const MAC = '52:54:00:00:00:01';
const OTHER = '52:54:00:00:00:02';

interface Asked {
  readonly atUs: number;
  readonly address: string;
}

/** A LAN: machines that answer for addresses, asked whenever it is due. */
class Lan {
  readonly conflicts: Conflicts;
  readonly asked: Asked[] = [];
  /** How many answer begins or ends were told. */
  readonly changes: number[] = [];
  nowUs = 1_000 * SECOND_US;
  answering: (atUs: number, address: string) => readonly string[] = () => [];

  constructor(intervalUs = MINUTE_US) {
    this.conflicts = new Conflicts(intervalUs);
  }

  run(forUs: number): void {
    const endUs = this.nowUs + forUs;
    for (;;) {
      const { nextAtUs } = this.conflicts;
      if (nextAtUs === null || nextAtUs > endUs) break;
      this.nowUs = Math.max(nextAtUs, this.nowUs);
      const { ask, changed } = this.conflicts.turn(this.nowUs);
      if (changed) this.changes.push(this.nowUs);
      for (const { interface: at, address } of ask) {
        this.asked.push({ atUs: this.nowUs, address });
        for (const mac of this.answering(this.nowUs, address)) {
          const sighting = { interface: at, address, mac, answer: true };
          this.conflicts.sighted(sighting, this.nowUs + 300);
        }
      }
    }
    this.nowUs = endUs;
  }

  announce(mac: string): void {
    this.conflicts.sighted({ ...VIP, mac, answer: false }, this.nowUs);
  }
}

function watching(addresses: readonly WatchedAddress[] = [VIP], intervalUs = MINUTE_US): Lan {
  const lan = new Lan(intervalUs);
  lan.conflicts.keep(addresses, lan.nowUs);
  return lan;
}

describe('Conflicts', () => {
  test('asks once a minute while nobody answers, and first after a while', () => {
    const lan = watching();
    const beganUs = lan.nowUs;
    lan.run(5 * MINUTE_US);
    const times = lan.asked.map(({ atUs }) => (atUs - beganUs) / SECOND_US);
    expect(times).toEqual([2, 62, 122, 182, 242]);
    expect(lan.conflicts.holders(VIP)).toEqual([]);
    expect(lan.changes).toEqual([]);
  });

  test('finds a machine that answers twice, a second apart, and asks it more often then', () => {
    const lan = watching();
    lan.answering = () => [MAC];
    lan.run(3.5 * SECOND_US);
    expect(lan.asked).toHaveLength(2);
    expect(lan.conflicts.holders(VIP)).toEqual([]);
    lan.run(SECOND_US);
    expect(lan.conflicts.holders(VIP)).toEqual([{ mac: MAC, how: 'answers' }]);
    expect(lan.changes).toHaveLength(1);
    expect(lan.conflicts.heldSinceUs(VIP)).toBe(lan.changes[0]);
    const before = lan.asked.length;
    lan.run(MINUTE_US);
    expect(lan.asked.length - before).toBe(6);
    expect(lan.changes).toHaveLength(1);
  });

  test('finds nothing when the second question is not answered: a handover', () => {
    const lan = watching();
    lan.answering = (atUs) => (atUs === lan.asked[0]?.atUs ? [MAC] : []);
    lan.run(10 * MINUTE_US);
    expect(lan.conflicts.holders(VIP)).toEqual([]);
    expect(lan.changes).toEqual([]);
    // Doubt is settled at once, not a minute later.
    expect((lan.asked[1]?.atUs ?? 0) - (lan.asked[0]?.atUs ?? 0)).toBe(SECOND_US);
  });

  test('is over after two questions without answer, not after one', () => {
    const lan = watching();
    let deaf = 0;
    lan.answering = () => (deaf-- > 0 ? [] : [MAC]);
    lan.run(30 * SECOND_US);
    deaf = 1;
    lan.run(30 * SECOND_US);
    expect(lan.conflicts.holders(VIP)).toHaveLength(1);
    expect(lan.changes).toHaveLength(1);
    deaf = Number.POSITIVE_INFINITY;
    lan.run(13 * SECOND_US);
    expect(lan.conflicts.holders(VIP)).toEqual([]);
    expect(lan.changes).toHaveLength(2);
    expect(lan.conflicts.heldSinceUs(VIP)).toBeNull();
  });

  test('tells machines apart: one that leaves does not end what another one holds', () => {
    const lan = watching();
    lan.answering = () => [OTHER, MAC];
    lan.run(10 * SECOND_US);
    expect(lan.conflicts.holders(VIP).map(({ mac }) => mac)).toEqual([MAC, OTHER]);
    lan.answering = () => [OTHER];
    lan.run(30 * SECOND_US);
    expect(lan.conflicts.holders(VIP).map(({ mac }) => mac)).toEqual([OTHER]);
    expect(lan.changes).toHaveLength(1);
  });

  test('two machines that answer once each are not one that answers twice', () => {
    const lan = watching();
    let turn = 0;
    lan.answering = () => (turn++ % 2 === 0 ? [MAC] : [OTHER]);
    lan.run(4.5 * SECOND_US);
    expect(lan.conflicts.holders(VIP)).toEqual([]);
  });

  test('answers that nobody asked for mean nothing', () => {
    const lan = watching();
    lan.run(30 * SECOND_US);
    for (let count = 0; count < 10; count++) {
      lan.conflicts.sighted({ ...VIP, mac: MAC, answer: true }, lan.nowUs);
      lan.run(10 * SECOND_US);
    }
    expect(lan.conflicts.holders(VIP)).toEqual([]);
    expect(lan.changes).toEqual([]);
  });

  test('finds a machine that announces the address twice, and forgets it after ten minutes', () => {
    const lan = watching();
    lan.run(30 * SECOND_US);
    lan.announce(MAC);
    lan.run(30 * SECOND_US);
    expect(lan.conflicts.holders(VIP)).toEqual([]);
    lan.announce(MAC);
    lan.run(MINUTE_US);
    expect(lan.conflicts.holders(VIP)).toEqual([{ mac: MAC, how: 'announces' }]);
    lan.run(8 * MINUTE_US);
    expect(lan.conflicts.holders(VIP)).toHaveLength(1);
    lan.run(3 * MINUTE_US);
    expect(lan.conflicts.holders(VIP)).toEqual([]);
    expect(lan.changes).toHaveLength(2);
  });

  test('one burst of announcements is one, and has the machine asked at once', () => {
    const lan = watching();
    lan.run(30 * SECOND_US);
    const before = lan.asked.length;
    for (let count = 0; count < 5; count++) lan.announce(MAC);
    lan.run(2 * SECOND_US);
    expect(lan.asked.length - before).toBe(1);
    lan.run(20 * MINUTE_US);
    expect(lan.changes).toEqual([]);
  });

  test('forgets what it knew of an address that is not watched for a while', () => {
    const lan = watching();
    lan.answering = () => [MAC];
    lan.run(10 * SECOND_US);
    expect(lan.conflicts.holders(VIP)).toHaveLength(1);
    lan.conflicts.drop([VIP]);
    expect(lan.conflicts.holders(VIP)).toEqual([]);
    lan.conflicts.sighted({ ...VIP, mac: MAC, answer: false }, lan.nowUs);
    expect(lan.conflicts.nextAtUs).toBeNull();
    lan.answering = () => [];
    lan.conflicts.keep([VIP], lan.nowUs);
    lan.conflicts.keep([VIP], lan.nowUs + SECOND_US);
    lan.run(MINUTE_US);
    expect(lan.conflicts.holders(VIP)).toEqual([]);
    expect(lan.changes).toHaveLength(1);
  });

  test('remembers a bounded number of machines, however many claim the address', () => {
    const lan = watching();
    lan.answering = () =>
      Array.from(
        { length: 1_000 },
        (_, index) => `52:54:00:00:${Math.floor(index / 100)}:${index}`,
      );
    lan.run(10 * SECOND_US);
    expect(lan.conflicts.holders(VIP).length).toBeLessThanOrEqual(16);
    expect(lan.conflicts.holders(VIP).length).toBeGreaterThan(0);
  });

  test('a thousand addresses are asked for within a minute, fifty in a second, none left out', () => {
    const many = Array.from({ length: 1_000 }, (_, index) => ({
      ...{ interface: 'eth0', address: `10.0.${index >> 8}.${index & 255}` },
    }));
    const lan = watching(many);
    lan.run(MINUTE_US);
    expect(new Set(lan.asked.map(({ address }) => address)).size).toBe(1_000);
    expect(lan.asked).toHaveLength(1_000);
    lan.run(10 * MINUTE_US);
    for (const each of perSecond(lan.asked)) expect(each).toBeLessThanOrEqual(PROBES_MAX);
  });

  test('more than can be asked in their interval take longer, in turn', () => {
    const many = Array.from({ length: 1_000 }, (_, index) => ({
      ...{ interface: 'eth0', address: `10.0.${index >> 8}.${index & 255}` },
    }));
    const lan = watching(many, 10 * SECOND_US);
    lan.run(5 * MINUTE_US);
    const counts = new Map<string, number>();
    for (const { address } of lan.asked) counts.set(address, (counts.get(address) ?? 0) + 1);
    expect(Math.max(...counts.values()) - Math.min(...counts.values())).toBeLessThanOrEqual(1);
    for (const each of perSecond(lan.asked)) expect(each).toBeLessThanOrEqual(PROBES_MAX);
  });

  test('whoever answers always is found, who never answers is not, whatever else happens', () => {
    const answers = fc.record({
      liar: fc.array(fc.boolean(), { minLength: 1, maxLength: 20 }),
      bursts: fc.array(fc.nat(200), { maxLength: 10 }),
    });
    fc.assert(
      fc.property(answers, ({ liar, bursts }) => {
        const lan = watching();
        let count = 0;
        lan.answering = () => [MAC, ...(liar[count++ % liar.length] === true ? [OTHER] : [])];
        for (const seconds of bursts) {
          lan.announce(OTHER);
          lan.run(seconds * SECOND_US);
        }
        lan.run(10 * SECOND_US);
        const holders = lan.conflicts.holders(VIP);
        expect(holders.find(({ mac }) => mac === MAC)?.how).toBe('answers');
        const twice = liar.some((one, index) => one && liar[(index + 1) % liar.length] === true);
        const other = holders.find(({ mac }) => mac === OTHER);
        if (!twice) expect(other?.how).not.toBe('answers');
        lan.answering = () => [];
        lan.run(21 * MINUTE_US);
        expect(lan.conflicts.holders(VIP)).toEqual([]);
        for (const each of perSecond(lan.asked)) expect(each).toBeLessThanOrEqual(PROBES_MAX);
      }),
    );
  });
});

/** Questions in each second that has some. */
function perSecond(asked: readonly Asked[]): readonly number[] {
  const counts = new Map<number, number>();
  for (const { atUs } of asked) {
    const second = Math.floor(atUs / SECOND_US);
    counts.set(second, (counts.get(second) ?? 0) + 1);
  }
  return [...counts.values()];
}

describe('addressesToWatch', () => {
  const instance = {
    ...({ state: 'active', resigning: false, interface: 'eth0' } as const),
    ...{ sourceAddress: '192.0.2.1', link: null },
    addresses: [
      { address: '192.0.2.10', interface: 'eth0', present: true },
      { address: '198.51.100.10', interface: 'eth1', present: true },
      { address: '192.0.2.11', interface: 'eth0', present: false },
    ],
  };
  const source = { interface: 'eth0', address: '192.0.2.1' };

  test('are the source address, and the virtual IPs that are held', () => {
    expect(addressesToWatch(instance)).toEqual({
      source,
      vips: [
        { interface: 'eth0', address: '192.0.2.10' },
        { interface: 'eth1', address: '198.51.100.10' },
      ],
    });
  });

  test.each([
    ['of a backup the source address alone', { state: 'backup' }, { source, vips: [] }],
    ['of one that resigns too', { resigning: true }, { source, vips: [] }],
    ['of one in fault none', { state: 'fault' }, { source: null, vips: [] }],
  ] as const)('%s', (_, change, expected) => {
    expect(addressesToWatch({ ...instance, ...change })).toEqual(expected);
  });

  test('are no link-local addresses: the kernel looks after those itself', () => {
    expect(addressesToWatch({ ...instance, sourceAddress: 'fe80::1' }).source).toBeNull();
    const global = { interface: 'eth0', address: '2001:db8::1' };
    const unicast = { ...instance, sourceAddress: global.address };
    expect(addressesToWatch(unicast).source).toEqual(global);
  });

  test('of a virtual link are asked for on the interface below it', () => {
    const addresses = [{ address: '192.0.2.10', interface: 'vrrp.51', present: true }];
    const { vips } = addressesToWatch({ ...instance, link: { name: 'vrrp.51' }, addresses });
    expect(vips).toEqual([VIP]);
  });
});

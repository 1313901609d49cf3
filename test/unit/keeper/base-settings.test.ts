/** What an interface below a macvlan needs set, by what it and all interfaces have. */
import { describe, expect, test } from 'vitest';
import { planBaseSettings } from '../../../src/keeper/base-settings.ts';

type Values = Parameters<typeof planBaseSettings>[0];

function plan(ignore: [string | null, string | null], announce: [string | null, string | null]) {
  const values: Values = {
    arp_ignore: { own: ignore[0], all: ignore[1] },
    arp_announce: { own: announce[0], all: announce[1] },
  };
  return planBaseSettings(values);
}

describe('planBaseSettings', () => {
  test('sets both where the kernel has its defaults, and keeps what was there', () => {
    expect(plan(['0', '0'], ['0', '0'])).toEqual([
      { key: 'arp_ignore', before: '0', set: '1' },
      { key: 'arp_announce', before: '0', set: '2' },
    ]);
  });

  test('raises a value that does not suffice', () => {
    expect(plan(['8', '0'], ['1', '0'])).toEqual([{ key: 'arp_announce', before: '1', set: '2' }]);
  });

  test('leaves alone what suffices, on the interface or for all', () => {
    expect(plan(['0', '1'], ['2', '0'])).toEqual([]);
    expect(plan(['2', '0'], ['0', '2'])).toEqual([]);
  });

  test('looks only at what is asked for', () => {
    const values: Values = { promote_secondaries: { own: '0', all: '0' } };
    expect(planBaseSettings(values)).toEqual([
      { key: 'promote_secondaries', before: '0', set: '1' },
    ]);
  });

  test('does without a setting that the kernel does not have', () => {
    expect(plan([null, null], ['0', null])).toEqual([
      { key: 'arp_announce', before: '0', set: '2' },
    ]);
  });
});

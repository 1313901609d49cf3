/** The quorum of a virtual service as a tracker: by weight, and not before it is decided. */
import { expect, test } from 'vitest';
import { serviceQuorum, type WeighedServer } from '../../../../src/core/vrrp/quorum.ts';

const servers = (...all: [weight: number, health: WeighedServer['health']][]) =>
  all.map(([weight, health]) => ({ weight, health }));

test.each([
  ['enough are healthy', servers([1, 'up'], [1, 'down']), 1, true],
  ['too few are', servers([1, 'up'], [1, 'down']), 2, false],
  ['their weight counts, not their number', servers([3, 'up'], [1, 'down'], [1, 'down']), 3, true],
  [
    'the weight of those that failed does not',
    servers([3, 'down'], [1, 'up'], [1, 'up']),
    3,
    false,
  ],
  ['what is not checked is well', servers([2, 'unchecked'], [1, 'down']), 2, true],
  ['what has no verdict cannot lose it', servers([2, 'up'], [9, 'unknown']), 2, true],
  ['what has no verdict cannot win it', servers([1, 'unknown'], [1, 'down']), 2, false],
  ['what has no verdict could win it', servers([1, 'unknown'], [1, 'up']), 2, null],
  ['there are no servers', [], 1, false],
])('when %s', (_, given, quorum, up) => {
  const state = serviceQuorum(given, quorum);
  expect(state?.up ?? null).toBe(up);
});

test('says how much there is of how much', () => {
  expect(serviceQuorum(servers([3, 'up'], [4, 'down']), 5)).toEqual({
    ...{ up: false, value: null },
    detail: 'healthy weight 3 of quorum 5',
  });
});

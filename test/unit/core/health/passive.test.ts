/** What the kernel's counters say of a server that accepts nothing, and of those that do. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  acceptNothing,
  type PassiveSample,
  type PassiveServer,
  withSample,
} from '../../../../src/core/health/passive.ts';

const WINDOW_US = 30_000_000;

/** Samples every five seconds; what a second adds to the counters, and the gauges at each. */
function server(
  key: string,
  perSample: Partial<PassiveSample>,
  gauges: (index: number) => readonly [active: number, inactive: number],
  changes: Partial<PassiveServer> = {},
): PassiveServer {
  const samples = Array.from({ length: 7 }, (_, index): PassiveSample => {
    const [activeConnections, inactiveConnections] = gauges(index);
    const count = (name: 'connections' | 'packetsIn' | 'packetsOut' | 'bytesIn') =>
      1_000 + index * (perSample[name] ?? 0);
    return {
      atUs: index * 5_000_000,
      ...{ activeConnections, inactiveConnections },
      ...{ connections: count('connections'), packetsIn: count('packetsIn') },
      ...{ packetsOut: count('packetsOut'), bytesIn: count('bytesIn') },
    };
  });
  return { key, family: 'ipv4', forwarding: 'dr', samples, ...changes };
}

/** They are active ones for the kernel, and never come to be inactive. */
const HALF_OPEN = (index: number) => [index * 10, 5] as const;
/** A few at a time, and those that have ended. */
const SHORT = (index: number) => [index % 3, index * 10] as const;
/** Ten clients in five seconds, each with three SYNs by now. */
const SYNS = { connections: 10, packetsIn: 30, bytesIn: 30 * 60 };
const REAL = { connections: 10, packetsIn: 70, packetsOut: 60, bytesIn: 70 * 110 };

const dead = (changes: Partial<PassiveServer> = {}) => server('dead', SYNS, HALF_OPEN, changes);
const well = server('well', REAL, SHORT);

function found(...servers: readonly PassiveServer[]): readonly string[] {
  return [...acceptNothing(servers, WINDOW_US).keys()];
}

describe('acceptNothing', () => {
  test('finds the server whose clients only send SYNs, beside one that works', () => {
    expect(acceptNothing([dead(), well], WINDOW_US)).toEqual(
      new Map([['dead', { connections: 60, windowUs: WINDOW_US }]]),
    );
  });

  test('also behind NAT, where refusals and silence are no answers', () => {
    expect(found(dead({ forwarding: 'nat' }), well)).toEqual(['dead']);
    const nat = { forwarding: 'nat' } as const;
    const answers = server('a', { ...SYNS, packetsOut: 20 }, HALF_OPEN, nat);
    expect(found(answers, well)).toEqual([]);
    // Clients that give up at once: without an answer, one SYN is enough.
    const single = { ...SYNS, packetsIn: 10, bytesIn: 600 };
    expect(found(server('a', single, HALF_OPEN, nat), well)).toEqual(['a']);
  });

  test.each([
    ['connections that end', server('a', SYNS, (index) => [index * 10, index])],
    ['connections that have ended, at a constant pace', server('a', SYNS, () => [0, 50])],
    // Ten seconds later they are gone, their packets stay counted.
    ['resets', server('a', SYNS, (index) => [index * 10, index === 2 || index === 3 ? 29 : 5])],
    ['resets, as many as before', server('a', SYNS, (index) => [index * 10, (index % 2) * 29])],
    ['connections with data', server('a', { ...SYNS, bytesIn: 30 * 61 }, HALF_OPEN)],
    ['idle connections', server('a', { ...SYNS, packetsIn: 20, bytesIn: 20 * 56 }, HALF_OPEN)],
    [
      'long downloads, of which pure ACKs are most',
      server('a', { ...SYNS, packetsIn: 120, bytesIn: 120 * 52 }, HALF_OPEN),
    ],
    ['a few connections', server('a', { connections: 3, packetsIn: 9, bytesIn: 540 }, HALF_OPEN)],
  ])('does not find %s', (_, one) => {
    expect(found(one, well)).toEqual([]);
  });

  test('says nothing while no other server looks better, or before a whole window', () => {
    expect(found(dead())).toEqual([]);
    expect(found(dead(), { ...dead(), key: 'other' })).toEqual([]);
    expect(found(dead({ samples: dead().samples.slice(1) }), well)).toEqual([]);
    expect(found(dead({ samples: dead().samples.filter((_, at) => at % 6 === 0) }), well)).toEqual(
      [],
    );
  });

  test('takes larger SYNs of IPv6 for such', () => {
    const large = { ...SYNS, bytesIn: 30 * 80 };
    expect(found(server('a', large, HALF_OPEN), well)).toEqual([]);
    expect(found(server('a', large, HALF_OPEN, { family: 'ipv6' }), well)).toEqual(['a']);
  });
});

test('withSample keeps one window, and begins anew where the counters do', () => {
  const steps = fc.array(fc.integer({ min: 1, max: 9_000_000 }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(steps, (intervals) => {
      let samples: readonly PassiveSample[] = [];
      let atUs = 0;
      for (const interval of intervals) {
        atUs += interval;
        const one = { ...(well.samples[0] as PassiveSample), atUs, connections: atUs };
        samples = withSample(samples, one, WINDOW_US);
        const kept = samples.slice(1).every((sample) => atUs - sample.atUs < WINDOW_US);
        expect(kept).toBe(true);
      }
      const reset = { ...(well.samples[0] as PassiveSample), atUs, connections: 0 };
      expect(withSample(samples, reset, WINDOW_US)).toEqual([reset]);
    }),
  );
});

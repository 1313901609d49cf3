/**
 * Properties of BFD: what is encoded is decoded again; no bytes make the decoder throw or read
 * outside of its view; two sessions over a link that loses and delays come up, go down in time
 * when the link is cut, in one direction or both, and never disagree for longer than their
 * detection times. Packets cross the link as bytes; a seed is a run.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type BfdState,
  detectionTimeUs,
  initialBfdState,
  nextDeadlineUs,
  step,
} from '../../src/core/bfd/session.ts';
import {
  BFD_STATES,
  type BfdControl,
  type BfdEvent,
  type BfdOptions,
} from '../../src/core/bfd/types.ts';
import { decodeBfdControl, encodeBfdControl } from '../../src/core/wire/bfd.ts';
import { dirtyBuffer, unwrap } from '../unit/core/wire/frames.ts';

const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const discriminator = fc.integer({ min: 1, max: 2 ** 32 - 1 });

const control: fc.Arbitrary<BfdControl> = fc
  .record({
    state: fc.constantFrom(...BFD_STATES),
    diagnostic: fc.integer({ min: 0, max: 31 }),
    poll: fc.boolean(),
    final: fc.boolean(),
    demand: fc.boolean(),
    detectMultiplier: fc.integer({ min: 1, max: 255 }),
    myDiscriminator: discriminator,
    yourDiscriminator: discriminator,
    desiredMinTxUs: uint32,
    requiredMinRxUs: uint32,
  })
  .filter(({ poll, final }) => !(poll && final));

/** A view in the middle of a larger buffer that fails on any read outside of it. */
function guarded(bytes: Uint8Array): Uint8Array {
  return new Proxy(bytes, {
    get(target, key) {
      const index = typeof key === 'string' && /^\d+$/.test(key) ? Number(key) : null;
      if (index !== null && index >= target.length) throw new Error(`Read at ${index}`);
      const value = Reflect.get(target, key, target) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

describe('encodeBfdControl, decodeBfdControl', () => {
  test('round trip', () => {
    fc.assert(
      fc.property(control, (packet) => {
        const target = dirtyBuffer(24);
        encodeBfdControl(target, packet);
        expect(unwrap(decodeBfdControl(target, 24))).toMatchObject(packet);
      }),
    );
  });

  test('no bytes make the decoder throw or read past the end', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      // Nearly right, so that the later steps of the ladder are reached.
      fc.tuple(control, fc.nat(23), fc.nat(255), fc.nat(24)).map(([packet, at, value, length]) => {
        const target = new Uint8Array(24);
        encodeBfdControl(target, packet);
        target[at] = value;
        return target.slice(0, length);
      }),
    );
    fc.assert(
      fc.property(bytes, fc.nat(64), (content, lengthBytes) => {
        decodeBfdControl(guarded(content), lengthBytes);
      }),
      { numRuns: 1_000 },
    );
  });
});

interface Link {
  readonly lossPercent: number;
  readonly delayMaxUs: number;
}

interface End {
  readonly options: BfdOptions;
  state: BfdState;
  /** Nothing of what it sends arrives. */
  mute: boolean;
  lastArrivalUs: number;
}

interface InFlight {
  readonly to: number;
  readonly atUs: number;
  readonly bytes: Uint8Array;
}

/** Mulberry32: the link's own luck. */
function luck(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Two sessions, a link between them, and a watch on how long only one of them is up. */
class World {
  readonly ends: readonly [End, End];
  readonly #link: Link;
  readonly #random: () => number;
  readonly #flying: InFlight[] = [];
  nowUs = 0;
  #splitSinceUs: number | null = null;
  #splitDetectionUs: [number, number] = [0, 0];
  /** By how much the longest disagreement exceeded what it may last; 0 or less is right. */
  excessUs = Number.NEGATIVE_INFINITY;

  constructor(options: readonly [BfdOptions, BfdOptions], link: Link, seed: number) {
    this.#link = link;
    this.#random = luck(seed);
    this.ends = options.map((each, index) => ({
      options: each,
      state: initialBfdState(index + 1, seed + index + 1),
      mute: false,
      lastArrivalUs: 0,
    })) as unknown as [End, End];
    for (const index of [0, 1]) this.tell(index, { kind: 'started', atUs: 0 });
  }

  get bothUp(): boolean {
    return this.ends.every(({ state }) => state.session === 'up');
  }

  get bothNotUp(): boolean {
    return this.ends.every(({ state }) => state.session !== 'up');
  }

  tell(index: number, event: BfdEvent): void {
    const end = this.ends[index] as End;
    const { state, effects } = step(end.options, end.state, event);
    end.state = state;
    for (const effect of effects) if (effect.kind === 'send') this.#carry(index, effect.packet);
    this.#watch();
  }

  #carry(from: number, packet: BfdControl): void {
    const end = this.ends[from] as End;
    const bytes = new Uint8Array(24);
    encodeBfdControl(bytes, packet);
    const lost = this.#random() * 100 < this.#link.lossPercent;
    const delayUs = Math.floor(this.#random() * this.#link.delayMaxUs);
    if (lost || end.mute) return;
    // A link does not overtake itself.
    end.lastArrivalUs = Math.max(end.lastArrivalUs, this.nowUs + delayUs);
    this.#flying.push({ to: 1 - from, atUs: end.lastArrivalUs, bytes });
  }

  #watch(): void {
    const detections = this.ends.map(({ state }) => detectionTimeUs(state) ?? 0);
    if (this.bothUp || this.bothNotUp) {
      this.#splitSinceUs = null;
      return;
    }
    if (this.#splitSinceUs === null) {
      this.#splitSinceUs = this.nowUs;
      this.#splitDetectionUs = [0, 0];
    }
    const most = this.#splitDetectionUs.map((each, index) =>
      Math.max(each, detections[index] as number),
    );
    this.#splitDetectionUs = most as [number, number];
    // One may hold the other up while it waits for the third step of the handshake itself.
    const allowedUs = (most[0] as number) + (most[1] as number) + 2 * this.#link.delayMaxUs;
    this.excessUs = Math.max(this.excessUs, this.nowUs - this.#splitSinceUs - allowedUs);
  }

  /** Runs until `untilUs`, or until `enough` says so; returns whether it did. */
  run(untilUs: number, enough: () => boolean = () => false): boolean {
    for (;;) {
      if (enough()) return true;
      const deadlines = this.ends.map(({ options, state }) => nextDeadlineUs(options, state));
      const wakes = deadlines.map((each) => each ?? Number.POSITIVE_INFINITY);
      this.#flying.sort((left, right) => left.atUs - right.atUs);
      const arrivalUs = this.#flying[0]?.atUs ?? Number.POSITIVE_INFINITY;
      const nextUs = Math.max(this.nowUs, Math.min(arrivalUs, ...wakes));
      if (nextUs > untilUs) {
        this.nowUs = untilUs;
        return false;
      }
      this.nowUs = nextUs;
      // What waits in the socket comes before the deadline, as in the shell.
      if (arrivalUs <= nextUs) this.#deliver(this.#flying.shift() as InFlight);
      else this.tell(wakes.indexOf(Math.min(...wakes)), { kind: 'deadline-reached', atUs: nextUs });
    }
  }

  #deliver({ to, bytes }: InFlight): void {
    const packet = unwrap(decodeBfdControl(bytes, 24));
    const known = packet.yourDiscriminator;
    const end = this.ends[to] as End;
    if (known !== 0 && known !== end.state.discriminator) return;
    this.tell(to, { kind: 'packet-received', atUs: this.nowUs, packet });
  }
}

const interval = fc.integer({ min: 1_000, max: 300_000 });
const options: fc.Arbitrary<BfdOptions> = fc.record({
  minRxUs: interval,
  minTxUs: interval,
  idleTxUs: fc.integer({ min: 1, max: 2_000_000 }),
  multiplier: fc.integer({ min: 1, max: 10 }),
  passive: fc.constant(false),
});
const oneMayBePassive = fc
  .tuple(options, options, fc.boolean())
  .map(([left, right, passive]): [BfdOptions, BfdOptions] => [left, { ...right, passive }]);
const seed = fc.integer({ min: 1, max: 2 ** 31 });
/** Losses of two thirds at most, and delays of up to half a second. */
const roughLink = fc.record({
  lossPercent: fc.integer({ min: 0, max: 66 }),
  delayMaxUs: fc.integer({ min: 1, max: 500_000 }),
});
/** Delays that no detection time of these options can take for a loss, and no losses. */
const calmLink = fc.record({
  lossPercent: fc.constant(0),
  delayMaxUs: fc.integer({ min: 1, max: 90 }),
});

/** Ten handshakes of the slowest idle interval, of which each may fail. */
const COME_UP_US = 600_000_000;
const CALM_US = 10_000_000;

describe('two sessions', () => {
  test('come up over a link that loses and delays', () => {
    fc.assert(
      fc.property(oneMayBePassive, roughLink, seed, (both, link, run) => {
        const world = new World(both, link, run);
        expect(world.run(COME_UP_US, () => world.bothUp)).toBe(true);
      }),
    );
  });

  test('stay up over a link that does neither beyond measure', () => {
    fc.assert(
      fc.property(oneMayBePassive, calmLink, seed, (both, link, run) => {
        const world = new World(both, link, run);
        expect(world.run(COME_UP_US, () => world.bothUp)).toBe(true);
        expect(world.run(world.nowUs + CALM_US, () => !world.bothUp)).toBe(false);
      }),
      { numRuns: 50 },
    );
  });

  test('go down within the detection time when the link is cut in both directions', () => {
    fc.assert(
      fc.property(oneMayBePassive, calmLink, seed, fc.nat(3_000_000), (both, link, run, moreUs) => {
        const world = new World(both, link, run);
        world.run(COME_UP_US, () => world.bothUp);
        world.run(world.nowUs + moreUs);
        for (const end of world.ends) end.mute = true;
        const cutAtUs = world.nowUs;
        for (const end of world.ends) {
          const within = detectionTimeUs(end.state) as number;
          const latestUs = cutAtUs + within + link.delayMaxUs;
          // In flight: at most one change to a longer detection time, which then counts.
          const down = () => end.state.session !== 'up';
          const changedUs = () => (detectionTimeUs(end.state) ?? 0) + cutAtUs + link.delayMaxUs;
          world.run(Math.max(latestUs, changedUs()), down);
        }
        expect(world.bothNotUp).toBe(true);
      }),
    );
  });

  test('go down when the link is cut in one direction, the deaf one first to know', () => {
    fc.assert(
      fc.property(oneMayBePassive, calmLink, seed, fc.constantFrom(0, 1), (both, link, run, to) => {
        const world = new World(both, link, run);
        world.run(COME_UP_US, () => world.bothUp);
        world.run(world.nowUs + 3_000_000);
        const [deaf, muted] = [world.ends[to] as End, world.ends[1 - to] as End];
        muted.mute = true;
        const latestUs = world.nowUs + (detectionTimeUs(deaf.state) as number) + link.delayMaxUs;
        expect(world.run(latestUs, () => deaf.state.session !== 'up')).toBe(true);
        expect(deaf.state.diagnostic).toBe('detection-time-expired');
        const toldUs = world.nowUs + link.delayMaxUs;
        const told = world.run(toldUs, () => muted.state.session !== 'up');
        // A passive system that hears nobody may not tell anybody.
        const expired = () => muted.state.session !== 'up';
        const silentUs = world.nowUs + (detectionTimeUs(muted.state) ?? 0);
        expect(told || world.run(silentUs, expired)).toBe(true);
        if (!deaf.options.passive) expect(muted.state.diagnostic).toBe('neighbor-signaled-down');
      }),
    );
  });

  test('are never of two minds for longer than both detection times', () => {
    fc.assert(
      fc.property(
        oneMayBePassive,
        roughLink,
        seed,
        fc.constantFrom(-1, 0, 1),
        (both, link, run, cut) => {
          const world = new World(both, link, run);
          for (let phase = 0; phase < 4; phase++) {
            world.run(world.nowUs + 5_000_000);
            for (const [index, end] of world.ends.entries()) {
              end.mute = index === cut && phase % 2 === 0;
            }
          }
          expect(world.excessUs).toBeLessThanOrEqual(0);
        },
      ),
    );
  });
});

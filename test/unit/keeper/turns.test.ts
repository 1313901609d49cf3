/**
 * The keeper's turns in a world whose clock stands still unless something costs time: which
 * deadlines are met in which order, what a cluster of takeovers takes, and that nothing is lost.
 * Instances are models of the real ones: active ones advertise each interval, others take over at their
 * deadline, which an advertisement of their peer puts off. What takeovers put off goes through
 * the real PutOff.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { defaultAttributes } from '../../../src/core/config/defaults.ts';
import type { Deadline } from '../../../src/core/deadlines.ts';
import { TAKEOVER_LEAD_US } from '../../../src/core/vrrp/wake.ts';
import type { KeeperToController } from '../../../src/keeper/messages.ts';
import type { Network } from '../../../src/keeper/network.ts';
import { type Debtor, PutOff } from '../../../src/keeper/put-off.ts';
import type { InstanceRunner } from '../../../src/keeper/runner.ts';
import { type TurnPorts, Turns } from '../../../src/keeper/turns.ts';
import type { AddressChange } from '../../../src/linux/netlink/route-messages.ts';

/** As in turns.ts. */
const TURN_MAX_US = 5_000;
/** Of a socket, as in receivers.ts. */
const PACKETS_AT_ONCE = 32;
const PACKET_US = 4;
const READ_US = 3;
const LOOP_US = 30;

interface Packet {
  readonly atUs: number;
  /** Index of the instance that it is for. */
  readonly to: number;
}

interface InstanceOptions {
  /** The first deadline: of an advertisement, or a takeover. */
  readonly firstUs: number;
  readonly active: boolean;
  readonly intervalUs: number;
  /** What it takes to send an advertisement, or to take over. */
  readonly stepUs: number;
}

interface Fired {
  readonly kind: 'advert' | 'takeover';
  readonly index: number;
  /** When it was due, what the turn went by, and how many turns there had been. */
  readonly dueUs: number;
  readonly atUs: number;
  readonly turn: number;
}

interface WorldOptions {
  readonly instances: readonly InstanceOptions[];
  readonly packets?: readonly Packet[];
  /** How late the event loop is when the timer fires, one after the other. */
  readonly wakesUs?: readonly number[];
  readonly addressUs?: number;
}

class World {
  nowUs = 1_000_000;
  readonly fired: Fired[] = [];
  readonly reported: number[] = [];
  readonly settled: number[] = [];
  /** Begin and end of each turn. */
  readonly turns: { readonly startUs: number; endUs: number }[] = [];
  /** What a turn found that it must not. */
  readonly wrong: string[] = [];
  readonly #options: WorldOptions;
  readonly #packets: Packet[];
  readonly #instances: ModelInstance[];
  readonly #putOff: PutOff;
  readonly #soon: (() => void)[] = [];
  readonly turnsOf: Turns;
  #armedUs: number | null = null;
  #fire = (): void => {};
  #wakes = 0;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#packets = [...(options.packets ?? [])].sort((one, other) => one.atUs - other.atUs);
    this.#putOff = new PutOff(this.#network() as unknown as Network, () => this.nowUs);
    const ports = {
      receivers: { drainAll: () => this.#drain(), hurry: () => {}, deadlineUs: null },
      bfd: { drainAll: () => {}, fireDeadlines: () => {}, deadlineUs: null },
      announcer: { deadlineUs: null, flush: () => {}, together: (act: () => void) => act() },
      putOff: this.#putOff,
      record: () => null,
      send: (reports: readonly KeeperToController[]) => {
        for (const report of reports) this.reported.push((report as unknown as { of: number }).of);
      },
      over: () => this.#over(),
    };
    this.turnsOf = new Turns(ports as unknown as TurnPorts, {
      nowUs: () => this.nowUs,
      soon: (act) => this.#soon.push(act),
      timer: (onFire) => {
        this.#fire = onFire;
        return {
          arm: (atUs) => {
            this.#armedUs = atUs;
          },
          close: () => {},
        };
      },
    });
    this.#instances = options.instances.map((one, index) => new ModelInstance(this, index, one));
    this.turnsOf.rest();
  }

  /** Lets time go on until `untilUs`, or until nothing is left to do. */
  run(untilUs: number): void {
    for (let count = 0; count < 100_000; count++) {
      const act = this.#soon.shift();
      if (act !== undefined) {
        this.nowUs += LOOP_US;
        this.#inTurn(act);
        continue;
      }
      const armedUs = this.#armedUs;
      const [packet] = this.#packets;
      const nextUs = Math.min(armedUs ?? Infinity, packet?.atUs ?? Infinity);
      if (nextUs > untilUs) return;
      this.nowUs = Math.max(this.nowUs, nextUs);
      if (armedUs === null || (packet?.atUs ?? Infinity) < armedUs) {
        // The event loop tells of a socket: it is read outside of a turn.
        this.#drain();
        this.turnsOf.rest();
        continue;
      }
      const wakes = this.#options.wakesUs ?? [];
      this.nowUs += wakes.length === 0 ? LOOP_US : (wakes[this.#wakes++ % wakes.length] as number);
      this.#armedUs = null;
      this.#inTurn(this.#fire);
    }
    throw new Error('It does not come to rest');
  }

  get isWaiting(): boolean {
    return this.#putOff.isWaiting || this.#soon.length > 0;
  }

  spend(us: number): void {
    this.nowUs += us;
  }

  note(fired: Omit<Fired, 'turn'>): void {
    this.fired.push({ ...fired, turn: this.turns.length });
    if (fired.kind === 'advert') return;
    // What an active director has to send comes before all takeovers.
    const late = this.#instances.filter((one) => one.isAdvertDue(fired.atUs));
    if (late.length > 0) this.wrong.push(`${late.length} advertisements wait for a takeover`);
    // What came before the deadline moves it, however late it is read.
    const heard = this.#packets.filter(({ to, atUs }) => to === fired.index && atUs < fired.dueUs);
    if (heard.length > 0) this.wrong.push(`A takeover although ${heard.length} packets wait`);
  }

  putOff(debtor: Debtor): void {
    this.#putOff.add(debtor);
  }

  #inTurn(act: () => void): void {
    const turn = { startUs: this.nowUs, endUs: 0 };
    this.turns.push(turn);
    act();
    turn.endUs = this.nowUs;
  }

  /** As the keeper does it. */
  #over(): void {
    if (!this.#putOff.isWaiting) this.turnsOf.report();
    this.turnsOf.rest();
  }

  /** True when there were as many as are read at once. */
  #drain(): boolean {
    this.spend(READ_US);
    let count = 0;
    while (count < PACKETS_AT_ONCE && (this.#packets[0]?.atUs ?? Infinity) <= this.nowUs) {
      const packet = this.#packets.shift() as Packet;
      this.#instances[packet.to]?.hear(packet.atUs);
      this.spend(PACKET_US);
      count++;
    }
    return count === PACKETS_AT_ONCE;
  }

  #network() {
    return {
      link: () => ({ index: 2 }),
      nameOf: () => 'eth0',
      hasAddressOn: () => false,
      addressInfo: () => null,
      isOurs: () => true,
      change: (operations: readonly AddressChange[]) => {
        this.spend(20 + operations.length * (this.#options.addressUs ?? 10));
        return operations.map(() => null);
      },
    };
  }
}

class ModelInstance {
  readonly #world: World;
  readonly #index: number;
  readonly #options: InstanceOptions;
  readonly #advert: Deadline<InstanceRunner>;
  readonly #takeover: Deadline<InstanceRunner>;
  #active: boolean;
  #dueUs: number;

  constructor(world: World, index: number, options: InstanceOptions) {
    this.#world = world;
    this.#index = index;
    this.#options = options;
    const runner = this as unknown as InstanceRunner;
    this.#advert = world.turnsOf.adverts.add(runner);
    this.#takeover = world.turnsOf.takeovers.add(runner);
    this.#active = options.active;
    this.#dueUs = world.nowUs + options.firstUs;
    this.#schedule();
  }

  isAdvertDue(atUs: number): boolean {
    return this.#active && this.#dueUs <= atUs;
  }

  /** Its peer advertises. */
  hear(atUs: number): void {
    if (this.#active) return;
    this.#dueUs = Math.max(this.#dueUs, atUs + 3 * this.#options.intervalUs);
    this.#schedule();
  }

  /** As InstanceRunner has it. */
  fireIfDue(nowUs: number, onlyPunctual: boolean): void {
    const { intervalUs, stepUs } = this.#options;
    const dueUs = this.#dueUs;
    if (dueUs > nowUs) return;
    if (onlyPunctual && (!this.#active || nowUs - dueUs >= intervalUs)) return;
    const kind = this.#active ? 'advert' : 'takeover';
    this.#dueUs =
      this.#active && nowUs - dueUs < intervalUs ? dueUs + intervalUs : nowUs + intervalUs;
    this.#active = true;
    this.#world.note({ kind, index: this.#index, dueUs, atUs: nowUs });
    this.#world.spend(stepUs);
    this.#schedule();
    if (kind === 'takeover') this.#takeOver();
  }

  prepareTakeover(): void {
    this.#world.spend(5);
  }

  #schedule(): void {
    this.#world.turnsOf.takeovers.set(this.#takeover, this.#active ? null : this.#dueUs);
    this.#world.turnsOf.adverts.set(this.#advert, this.#active ? this.#dueUs : null);
  }

  #takeOver(): void {
    const address = `192.0.2.${this.#index + 1}`;
    const attributes = defaultAttributes('ipv4', 24);
    this.#world.putOff({
      addressCount: 1,
      unwantedAddresses: () => [],
      wantedAddresses: () => [{ address, prefixLength: 24, interface: 'eth0', attributes }],
      announceFirst: () => this.#world.spend(8),
      settle: () => {
        this.#world.settled.push(this.#index);
        this.#world.turnsOf.collect({ of: this.#index } as unknown as KeeperToController);
      },
    });
  }
}

const BACKUP: InstanceOptions = { active: false, firstUs: 0, intervalUs: 1_000_000, stepUs: 20 };

/** Takeovers that are due one after the other, so far apart. */
function cluster(count: number, apartUs: number, stepUs = 20): InstanceOptions[] {
  return Array.from({ length: count }, (_, index) => {
    return { ...BACKUP, firstUs: 100_000 + index * apartUs, stepUs };
  });
}

const takeovers = ({ fired }: World) => fired.filter(({ kind }) => kind === 'takeover');

describe('a cluster of takeovers', () => {
  test('is one turn, in the order of their deadlines, with their addresses behind them', () => {
    const world = new World({ instances: cluster(30, 100) });
    world.run(world.nowUs + 500_000);
    const found = takeovers(world);
    expect(found.map(({ index }) => index)).toEqual(
      Array.from({ length: 30 }, (_, index) => index),
    );
    expect(new Set(found.map(({ turn }) => turn)).size).toBe(1);
    for (const { dueUs, atUs } of found) expect(atUs - dueUs).toBeLessThan(100);
    expect(world.settled).toEqual(found.map(({ index }) => index));
    expect(world.reported).toEqual(world.settled);
  });

  test('that lasts longer is several turns, so that others get theirs', () => {
    const world = new World({ instances: cluster(200, 100) });
    world.run(world.nowUs + 500_000);
    const found = takeovers(world);
    expect(found).toHaveLength(200);
    expect(new Set(found.map(({ turn }) => turn)).size).toBeGreaterThanOrEqual(4);
    for (const { startUs, endUs } of world.turns) {
      expect(endUs - startUs).toBeLessThan(2 * TURN_MAX_US);
    }
    for (const { dueUs, atUs } of found) expect(atUs - dueUs).toBeLessThan(1_000);
  });

  test('keeps no active instance from advertising in time', () => {
    const active = { active: true, firstUs: 90_000, intervalUs: 2_000, stepUs: 20 };
    const world = new World({ instances: [...cluster(150, 60), active] });
    world.run(world.nowUs + 200_000);
    const adverts = world.fired.filter(({ kind, index }) => kind === 'advert' && index === 150);
    expect(adverts.length).toBeGreaterThanOrEqual(54);
    for (const { dueUs, atUs } of adverts) expect(atUs - dueUs).toBeLessThan(1_000);
  });
});

describe('packets', () => {
  test('that came before a deadline are heard before it, after a stall too', () => {
    // The process stands still for four seconds, while the peer goes on to advertise: more than is
    // read at once.
    const packets = Array.from({ length: 400 }, (_, index) => {
      return { atUs: 1_010_000 + index * 10_000, to: 0 };
    });
    const active = { active: true, firstUs: 5_000, intervalUs: 1_000_000, stepUs: 20 };
    const instances = [{ ...BACKUP, firstUs: 30_000, intervalUs: 10_000 }, active];
    const world = new World({ instances, packets, wakesUs: [4_000_000, LOOP_US] });
    world.run(1_100_000);
    expect(world.nowUs).toBeGreaterThan(5_000_000);
    // The last one was sent at 5 s: it takes over 30 ms later, and not before.
    world.run(5_025_000);
    expect(takeovers(world)).toEqual([]);
    world.run(5_100_000);
    expect(takeovers(world).map(({ dueUs }) => dueUs)).toEqual([1_010_000 + 399 * 10_000 + 30_000]);
    expect(world.wrong).toEqual([]);
  });

  test('of a flood do not hold up takeovers for ever', () => {
    // Faster than they can be read, and for another instance.
    const packets = Array.from({ length: 60_000 }, (_, index) => ({
      atUs: 1_000_000 + index,
      to: 1,
    }));
    const instances = [{ ...BACKUP, firstUs: 5_000 }, BACKUP];
    const world = new World({ instances, packets });
    world.run(1_300_000);
    const [first] = takeovers(world);
    expect(first?.index).toBe(0);
    expect((first?.atUs ?? 0) - (first?.dueUs ?? 0)).toBeLessThan(50_000);
  });
});

const INSTANCE: fc.Arbitrary<InstanceOptions> = fc.record({
  active: fc.boolean(),
  firstUs: fc.oneof(fc.integer({ min: 0, max: 400_000 }), fc.integer({ min: 90_000, max: 96_000 })),
  intervalUs: fc.constantFrom(10_000, 30_000, 100_000, 1_000_000),
  stepUs: fc.integer({ min: 5, max: 120 }),
});

const WORLD: fc.Arbitrary<WorldOptions> = fc
  .array(INSTANCE, { minLength: 1, maxLength: 40 })
  .chain((instances) =>
    fc.record({
      instances: fc.constant(instances),
      packets: fc.array(
        fc.record({
          atUs: fc.integer({ min: 1_000_000, max: 1_500_000 }),
          to: fc.nat({ max: instances.length - 1 }),
        }),
        { maxLength: 60 },
      ),
      wakesUs: fc.array(
        fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 0, max: 600 }) }, fc.constant(80_000)),
        { minLength: 1, maxLength: 10 },
      ),
      addressUs: fc.integer({ min: 2, max: 60 }),
    }),
  );

describe('whatever is due, and however late the event loop is', () => {
  test('all of it comes, once, not before its time, and nothing waits behind what may be later', () => {
    fc.assert(
      fc.property(WORLD, (options) => {
        const world = new World(options);
        world.run(5_000_000);
        expect(world.wrong).toEqual([]);
        for (const { dueUs, atUs } of world.fired) expect(atUs).toBeGreaterThanOrEqual(dueUs);
        // Nobody is left out: with no peer to be heard any more, all are active and go on.
        const backups = options.instances.flatMap(({ active }, index) => (active ? [] : [index]));
        const took = takeovers(world).map(({ index }) => index);
        expect([...took].sort((one, other) => one - other)).toEqual(backups);
        expect([...world.settled].sort((one, other) => one - other)).toEqual(backups);
        expect(world.reported).toEqual(world.settled);
        expect(world.isWaiting).toBe(false);
        for (const [index, { intervalUs }] of options.instances.entries()) {
          const last = world.fired.findLast((one) => one.index === index);
          expect((last?.atUs ?? 0) + intervalUs).toBeGreaterThan(4_900_000);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('no turn decides after its time, but for the takeover that it waited for', () => {
    fc.assert(
      fc.property(WORLD, (options) => {
        const world = new World(options);
        world.run(2_000_000);
        // Advertisements of all, and packets, of the one decision that began in time.
        const steps = options.instances.reduce((sum, { stepUs }) => sum + 2 * stepUs, 0);
        const slackUs = TAKEOVER_LEAD_US + steps + 60 * PACKET_US + 1_000;
        for (const { turn, atUs } of world.fired) {
          const { startUs } = world.turns[turn - 1] as { readonly startUs: number };
          expect(atUs - startUs).toBeLessThanOrEqual(TURN_MAX_US + slackUs);
        }
      }),
      { numRuns: 100 },
    );
  });
});

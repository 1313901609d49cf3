/**
 * Every file that a director reads back after a crash, a restart or a change of version, with what
 * it says damaged: values of other kinds, keys that are gone, pieces cut off. Nothing throws, since
 * a reader that throws would throw in the next process too, and what comes out has the form that
 * those who use it rely on. Drawn from a seed, as in decoders.test.ts.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NotifyMemory } from '../../src/controller/notify/memory.ts';
import type { VrrpConfig } from '../../src/core/config/config.ts';
import { overridesFromJson } from '../../src/core/health/override.ts';
import { parseIp } from '../../src/core/ip.ts';
import { leavingFromJson } from '../../src/core/ipvs/leaving.ts';
import { readOwnedText } from '../../src/core/ipvs/owned-journal.ts';
import { Random } from '../../src/core/sim/random.ts';
import { BaseSettings } from '../../src/keeper/base-settings.ts';
import {
  livingKeeper,
  RecordWriter,
  readBootId,
  readPlan,
  readRecord,
} from '../../src/keeper/record.ts';
import { monotonicUs } from '../../src/linux/clock.ts';

const SEED = Number(process.env.VIPKEEPER_FUZZ_SEED ?? 1) >>> 0;
const COUNT = Number(process.env.VIPKEEPER_FUZZ_COUNT ?? 100) * 2;
const JUNK: readonly unknown[] = [
  ...[null, true, 0, -1, 1.5, 1e300, '', 'x', '../..', '192.0.2.10'],
  ...[[], [null], {}, { length: 3 }, [[[]]]],
];

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'vk-read-'));
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** The same value with one to three faults; the boot stays, or nothing of it would be looked at. */
function damaged(value: unknown, random: Random): unknown {
  const copy: unknown = structuredClone(value);
  for (let faults = random.between(1, 3); faults > 0; faults--) spoil(copy, random);
  return copy;
}

/** One place in it becomes something else, or is gone. */
function spoil(value: unknown, random: Random): void {
  if (typeof value !== 'object' || value === null) return;
  const record = value as Record<string, unknown>;
  const keys = Object.keys(record).filter((key) => key !== 'bootId' && key !== 'protocol');
  if (keys.length === 0) return;
  const key = random.pick(keys);
  const inner = record[key];
  if (typeof inner === 'object' && inner !== null && random.chance(700_000)) {
    return spoil(inner, random);
  }
  if (random.chance(200_000)) delete record[key];
  else record[key] = structuredClone(random.pick(JUNK));
}

/** A text with a fault in its bytes now and then, beside those in its values. */
function textOf(value: unknown, random: Random): string {
  const text = JSON.stringify(value) ?? '';
  if (!random.chance(100_000)) return text;
  const at = random.below(text.length + 1);
  return random.chance(500_000) ? text.slice(0, at) : `${text.slice(0, at)}}${text.slice(at)}`;
}

function eachDamage(value: unknown, use: (text: string, random: Random) => void): void {
  const random = new Random(SEED, 0);
  for (let count = 0; count < COUNT; count++) {
    const text = textOf(damaged(value, random), random);
    try {
      use(text, random);
    } catch (error) {
      throw new Error(`seed ${SEED}, ${count}: ${text}`, { cause: error });
    }
  }
}

function instance(name: string): VrrpConfig {
  const addresses = ['192.0.2.10', '2001:db8::10'].map((address) => ({
    ...{ address, prefixLength: 24, interface: 'eth0' },
  }));
  const fields = { name, interface: 'eth0', vrid: 1, family: 'ipv4', advertIntervalUs: 1_000_000 };
  const rest = { downTimerAdverts: 3, virtualLink: { name: `vrrp.${name}` }, addresses };
  return { ...fields, ...rest } as unknown as VrrpConfig;
}

const isAddress = ({ address, interface: name }: { address: string; interface: string }) =>
  parseIp(address) !== null && typeof name === 'string';

describe('what a keeper left for the next one', () => {
  test('is used as far as it is whole, and never ends the next one', () => {
    const runtime = join(directory, 'keeper');
    mkdirSync(runtime);
    const more = {
      staticAddresses: [{ address: '192.0.2.99', prefixLength: 24, interface: 'eth1' }],
      routing: true,
      intake: true,
    };
    const writer = new RecordWriter(runtime);
    writer.writeStructure(['a', 'b', 'c'].map(instance), [1, 2, 3], 5, more);
    writer.close();
    const file = join(runtime, 'keeper.json');
    const whole = JSON.parse(readFileSync(file, 'utf8'));
    expect(readRecord(runtime).instances.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
    expect(readRecord(runtime).more).toEqual(more);
    const partial = { a: 0, b: 0, c: 0 };
    eachDamage(whole, (text, random) => {
      writeFileSync(file, text);
      const slots = Buffer.alloc(random.pick([0, 7, 24]));
      for (let at = 0; at < slots.length; at++) slots[at] = random.below(256);
      writeFileSync(join(runtime, 'adverts.bin'), slots);
      for (const one of readRecord(runtime).instances) {
        expect(one.addresses.every(isAddress)).toBe(true);
        expect([one.name, one.interface].every((name) => typeof name === 'string')).toBe(true);
        expect(one.link === null || typeof one.link === 'string').toBe(true);
        expect(one.lastAdvertAtUs).toBeGreaterThanOrEqual(0);
        expect(one.lastAdvertAtUs).toBeLessThanOrEqual(monotonicUs());
        if (one.name in partial) partial[one.name as keyof typeof partial]++;
      }
      expect(readRecord(runtime).more.staticAddresses.every(isAddress)).toBe(true);
      expect(Number.isSafeInteger(readRecord(runtime).startsAtUs)).toBe(true);
      expect(livingKeeper(runtime)).toBeNull();
    });
    // Damage to one instance is no reason to forget the addresses of the others.
    for (const count of Object.values(partial)) expect(count).toBeGreaterThan(COUNT / 2);
  });

  test('in settings of interfaces, a part that is not ours is left out', () => {
    const runtime = join(directory, 'settings');
    mkdirSync(runtime);
    const settings = [{ key: 'arp_ignore', before: '0', set: '1' }];
    const interfaces = [{ index: 4, settings }];
    eachDamage({ bootId: readBootId(), interfaces }, (text) => {
      writeFileSync(join(runtime, 'interfaces.json'), text);
      const found = new BaseSettings();
      found.open(runtime);
      found.restoreUnheld(() => null);
    });
  });

  test('as a plan is only what can be parsed', () => {
    const runtime = join(directory, 'plan');
    mkdirSync(runtime);
    const plan = { director: 'a', instances: [] };
    eachDamage({ protocol: 0, bootId: readBootId(), plan }, (text) => {
      writeFileSync(join(runtime, 'plan.json'), text);
      expect(readPlan(runtime)).toBeNull();
    });
  });
});

describe('what a controller left for the next one', () => {
  test('of what was told: states by name', () => {
    const runtime = join(directory, 'notify');
    mkdirSync(runtime);
    const states = [
      ['web', 'active'],
      ['group edge', 'backup'],
      ['service web', 'up'],
    ];
    eachDamage({ bootId: readBootId(), states }, (text) => {
      writeFileSync(join(runtime, 'notified.json'), text);
      const memory = new NotifyMemory(runtime, (problem) => expect(problem).toBeNull());
      for (const [name, state] of memory.states) {
        expect([typeof name, typeof state]).toEqual(['string', 'string']);
      }
    });
  });

  test('of our entries in the table: names', () => {
    const owned = [['tcp 192.0.2.10:80', ['10.0.0.11:8080', '10.0.0.12:8080']]];
    const changes = [
      ['+', 'tcp 192.0.2.10:81', ['10.0.0.11:8080']],
      ['-', 'tcp 192.0.2.10:80'],
    ];
    eachDamage([owned, ...changes], (text, random) => {
      const lines = random.chance(500_000) ? [text] : [JSON.stringify(owned), text];
      const { owned: found } = readOwnedText(`${lines.join('\n')}\n`);
      for (const [service, servers] of found) {
        expect([service, ...servers].every((name) => typeof name === 'string')).toBe(true);
      }
    });
  });

  test('of what operators decided, and of servers that leave: all or nothing', () => {
    const common = { service: 'web', server: '10.0.0.11:8080', by: 'me', reason: '' };
    const times = { sinceMs: 1, untilMs: null };
    const overrides = [
      { ...common, ...times, action: { kind: 'drain', deadlineMs: 5, drained: false } },
      { ...common, ...times, action: { kind: 'weight', weight: 3 } },
    ];
    const leaving = [
      {
        ...{ entry: 'tcp 192.0.2.10:80', server: '10.0.0.11:8080', name: 'web' },
        ...{ persistent: false, sinceMs: 1, untilMs: 2 },
      },
    ];
    expect(overridesFromJson(overrides).ok && leavingFromJson(leaving).ok).toBe(true);
    const parsed = (text: string): unknown => {
      try {
        return JSON.parse(text);
      } catch {
        return null;
      }
    };
    eachDamage(overrides, (text) => {
      const found = overridesFromJson(parsed(text));
      if (!found.ok) return expect(typeof found.error).toBe('string');
      for (const { service, action } of found.value) {
        expect([typeof service, typeof action.kind]).toEqual(['string', 'string']);
      }
    });
    eachDamage(leaving, (text) => {
      const found = leavingFromJson(parsed(text));
      if (!found.ok) return expect(typeof found.error).toBe('string');
      for (const one of found.value) expect(typeof one.entry).toBe('string');
    });
  });
});

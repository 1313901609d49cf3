/** RecordWriter: what is noted is in the file after flush(), the end of being active at once. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { VrrpConfig } from '../../../src/core/config/config.ts';
import { isMemory, RecordWriter, readRecord } from '../../../src/keeper/record.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vk-record-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function instance(name: string): VrrpConfig {
  const fields = { name, interface: 'eth0', vrid: 1, family: 'ipv4', advertIntervalUs: 1_000_000 };
  return { ...fields, addresses: [] } as unknown as VrrpConfig;
}

const recorded = () => readRecord(directory).instances.map(({ lastAdvertAtUs }) => lastAdvertAtUs);

describe('RecordWriter', () => {
  test('the structure comes with the given times', () => {
    const writer = new RecordWriter(directory);
    writer.writeStructure([instance('a'), instance('b')], [5, 7]);
    expect(recorded()).toEqual([5, 7]);
    writer.close();
  });

  test('notes of several instances are written together, and leave those between as they are', () => {
    const writer = new RecordWriter(directory);
    writer.writeStructure(['a', 'b', 'c', 'd'].map(instance), [1, 2, 3, 4]);
    writer.noteAdvert(3, 40);
    writer.noteAdvert(1, 20);
    expect(recorded()).toEqual([1, 2, 3, 4]);
    writer.flush();
    expect(recorded()).toEqual([1, 20, 3, 40]);
    writer.close();
  });

  test('that an instance is not active any more is written at once', () => {
    const writer = new RecordWriter(directory);
    writer.writeStructure([instance('a'), instance('b')], [5, 7]);
    writer.noteAdvert(1, 0);
    expect(recorded()).toEqual([5, 0]);
    writer.close();
  });

  test('a new structure drops notes that were not written', () => {
    const writer = new RecordWriter(directory);
    writer.writeStructure([instance('a'), instance('b')], [5, 7]);
    writer.noteAdvert(1, 9);
    writer.writeStructure([instance('b')], [8]);
    writer.flush();
    expect(recorded()).toEqual([8]);
    expect(readFileSync(join(directory, 'adverts.bin'))).toHaveLength(8);
    writer.close();
  });

  test('a structure that is there already is not written again, its slots are', () => {
    const files = ['keeper.json', 'adverts.bin'].map((name) => join(directory, name));
    const numbers = () => files.map((path) => statSync(path).ino);
    const writer = new RecordWriter(directory);
    writer.writeStructure([instance('a'), instance('b')], [5, 7]);
    const before = numbers();
    writer.noteAdvert(0, 6);
    writer.writeStructure([instance('a'), instance('b')], [8, 9]);
    expect(numbers()).toEqual(before);
    expect(recorded()).toEqual([8, 9]);
    writer.writeStructure([instance('a')], [8]);
    expect(numbers()).not.toEqual(before);
    writer.close();
  });

  test.each(['keeper.json', 'adverts.bin'])('writes %s again when somebody removed it', (name) => {
    const writer = new RecordWriter(directory);
    writer.writeStructure([instance('a')], [5]);
    rmSync(join(directory, name));
    expect(recorded()).toEqual([]);
    writer.writeStructure([instance('a')], [6]);
    expect(recorded()).toEqual([6]);
    writer.close();
  });

  test('a slot that the structure does not have is left out', () => {
    const writer = new RecordWriter(directory);
    writer.writeStructure([instance('a')], [5]);
    writer.noteAdvert(1, 9);
    writer.flush();
    expect(recorded()).toEqual([5]);
    writer.close();
  });
});

describe('isMemory', () => {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .flatMap(([, path = '', type = '']) => (path.includes('\\') ? [] : [{ path, type }]));

  test('is true of tmpfs, as the kernel names what is mounted', () => {
    const memory = mounts.filter(({ path, type }) => type === 'tmpfs' && existsSync(path));
    expect(memory.length).toBeGreaterThan(0);
    // What is mounted over another has the same path: the last one counts.
    const seen = memory.filter(({ path, type }) => typeAt(path) === type);
    expect(seen.map(({ path }) => isMemory(path))).toEqual(seen.map(() => true));
  });

  test('is false of everything else', () => {
    expect(isMemory('/proc')).toBe(false);
    expect(() => isMemory('/nowhere/at/all')).toThrow('ENOENT');
  });

  function typeAt(path: string): string | undefined {
    return mounts.findLast((mount) => mount.path === path)?.type;
  }
});

/** The file that says which entries are ours: it grows, is written anew, and survives mishaps. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { OwnedFile } from '../../../src/controller/owned-file.ts';
import { ownedToJson } from '../../../src/core/ipvs/owned.ts';

let directory: string;
let path: string;
let problems: string[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vipkeeper-owned-'));
  path = join(directory, 'run', 'owned.json');
  problems = [];
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function open(): Promise<OwnedFile> {
  const file = new OwnedFile(path, ({ message }) => problems.push(message));
  await file.load();
  return file;
}

const own = (service: string, ...servers: string[]) => ({ kind: 'own', service, servers }) as const;
const lines = () => readFileSync(path, 'utf8').split('\n').length;

/** What the next controller would read. */
const recorded = async () => ownedToJson((await open()).entries);

describe('OwnedFile', () => {
  test('has each change in the file when the call returns', async () => {
    const file = await open();
    file.change([own('a', '1', '2'), own('b')]);
    expect(await recorded()).toEqual({ a: ['1', '2'], b: [] });
    file.change([{ kind: 'disown-servers', service: 'a', servers: ['1'] }]);
    expect(await recorded()).toEqual({ a: ['2'], b: [] });
    file.change([{ kind: 'disown-service', service: 'b' }]);
    expect(await recorded()).toEqual({ a: ['2'] });
  });

  test('writes no more than the change, however much is ours', async () => {
    const file = await open();
    file.change(Array.from({ length: 500 }, (_, index) => own(`service ${index}`, 'server')));
    const before = readFileSync(path, 'utf8');
    file.change([own('service 7', 'another')]);
    expect(readFileSync(path, 'utf8')).toBe(`${before}["+","service 7",["another"]]\n`);
    file.change([]);
    expect(lines()).toBe(before.split('\n').length + 1);
  });

  test('goes on with the file of a controller that was killed in the middle of a line', async () => {
    (await open()).change([own('a', '1')]);
    writeFileSync(path, `${readFileSync(path, 'utf8')}["+","b",["1"`);
    const file = await open();
    expect(ownedToJson(file.entries)).toEqual({ a: ['1'] });
    file.change([own('c')]);
    expect(await recorded()).toEqual({ a: ['1'], c: [] });
  });

  test('of a damaged file uses what can be read, tells of the rest, and is whole again', async () => {
    (await open()).change([own('a', '1'), own('b', '1')]);
    (await open()).change([own('c', '1')]);
    const good = readFileSync(path, 'utf8').split('\n');
    const damaged = (change: (lines: string[]) => void): Promise<unknown> => {
      const some = [...good];
      change(some);
      writeFileSync(path, some.join('\n'));
      problems = [];
      return recorded();
    };
    const told = [expect.stringMatching(/is damaged in 1 line\. /)];
    const garbage = '\u0000\ufffd["+","d",';
    expect(await damaged((some) => (some[0] = garbage))).toEqual({ a: ['1'], b: ['1'], c: ['1'] });
    expect(problems).toEqual(told);
    expect(await damaged((some) => (some[2] = garbage))).toEqual({ a: ['1'], c: ['1'] });
    expect(problems).toEqual(told);
    // Its writer died, and had not changed the kernel yet.
    expect(await damaged((some) => some.splice(3, 2, '["+","c",["1'))).toEqual({
      a: ['1'],
      b: ['1'],
    });
    expect(problems).toEqual([]);
    expect(await damaged((some) => some.splice(0, some.length))).toEqual({});
    expect(problems).toEqual(told);
    const next = await open();
    next.change([own('e')]);
    problems = [];
    expect([await recorded(), problems]).toEqual([{ e: [] }, []]);
  });

  test('is written anew when it has grown long, and loses nothing that changes meanwhile', async () => {
    const file = await open();
    file.change(Array.from({ length: 600 }, (_, index) => own(`service ${index}`, 'x')));
    let changes = 0;
    const toggle = () => {
      changes++;
      file.change([
        { kind: 'disown-service', service: `service ${changes % 600}` },
        own(`service ${changes % 600}`, `round ${changes}`),
      ]);
    };
    // More than enough changes, several in each turn, so that some fall into the writing.
    let longest = 0;
    for (let turn = 0; turn < 1_000; turn++) {
      for (let count = 0; count < 4; count++) toggle();
      longest = Math.max(longest, lines());
      await new Promise(setImmediate);
    }
    const quiet = async () => {
      let before = -1;
      while (before !== lines()) {
        before = lines();
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    await quiet();
    expect(await recorded()).toEqual(ownedToJson(file.entries));
    expect(file.of('service 10')).toEqual(new Set([`round ${3_610}`]));
    // 8,000 changes were appended, and the file never held nearly as many.
    expect(longest).toBeLessThan(7_000);
    expect(problems).toEqual([]);
  });

  test('is made whole again when somebody removed it', async () => {
    const file = await open();
    file.change([own('a', '1')]);
    rmSync(path);
    file.change([own('b', '1')]);
    expect(await recorded()).toEqual({ a: ['1'], b: ['1'] });
  });

  test('tells once that it cannot be written, and is whole as soon as it can', async () => {
    writeFileSync(join(directory, 'run'), 'a file where the directory should be');
    const file = await open();
    file.change([own('a', '1')]);
    file.change([own('b', '1')]);
    expect(problems).toEqual([expect.stringContaining('cannot be written')]);
    rmSync(join(directory, 'run'));
    mkdirSync(join(directory, 'run'));
    file.change([own('c', '1')]);
    expect(await recorded()).toEqual({ a: ['1'], b: ['1'], c: ['1'] });
  });
});

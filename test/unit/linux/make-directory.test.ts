import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeDirectory } from '../../../src/linux/make-directory.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vipkeeper-mkdir-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('makeDirectory', () => {
  test('makes all levels, and leaves what exists as it is', () => {
    chmodSync(directory, 0o700);
    makeDirectory(join(directory, 'a/b/c'));
    makeDirectory(join(directory, 'a/b/c'));
    expect(statSync(join(directory, 'a/b/c')).isDirectory()).toBe(true);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
  });

  test('ends with an error where nothing can be made, below /proc too', () => {
    expect(() => makeDirectory('/proc/vipkeeper/run')).toThrow(/ENOENT/);
    writeFileSync(join(directory, 'file'), '');
    expect(() => makeDirectory(join(directory, 'file/run'))).toThrow(/ENOTDIR/);
  });
});

/** The section `hmac` of an instance: its keys, its defaults, its errors, and its silence. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { HmacConfig } from '../../../src/core/config/config.ts';
import { configOf, errorLines } from './read.ts';

const HEX = '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f';
const TEXT = 'a secret text of thirty-two bytes';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'vk-key-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A configuration with one instance: its `hmac` in YAML's flow style, and more options. */
function instance(hmac: string, more = ''): string {
  return `vrrp: {w: {interface: eth0, vrid: 1, addresses: [192.0.2.1/24], hmac: ${hmac}${more}}}`;
}

function hmacOf(text: string): HmacConfig | null {
  return configOf(text).vrrp[0]?.hmac ?? null;
}

function keyFile(name: string, content: string, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

/** The only error of a key, without its place; fails the test where the text holds a secret. */
function keyError(key: string): string {
  const lines = errorLines(instance(`{keys: {1: ${JSON.stringify(key)}}, active_key: 1}`));
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^f\.yaml:1:\d+: vrrp\.w\.hmac\.keys\.1: .*not shown$/);
  return (lines[0] ?? '').replace(/^.*keys\.1: /, '').replace(/, found a text.*$/, '');
}

describe('hmac', () => {
  test('is null unless configured', () => {
    const text = 'vrrp: {w: {interface: eth0, vrid: 1, addresses: [192.0.2.1/24]}}';
    expect(hmacOf(text)).toBeNull();
  });

  test('has keepalived’s defaults', () => {
    expect(hmacOf(instance(`{keys: {7: "hex:${HEX}"}, active_key: 7}`))).toEqual({
      keys: [{ id: 7, secretHex: HEX }],
      activeKey: 7,
      mode: 'enforce',
      replay: 'time',
      windowSeconds: 5,
    });
  });

  test.each([
    ['1s', 5],
    ['1.7s', 6],
    ['2.5s', 8],
    ['40s', 120],
  ])(
    'with interval %s has a window of %d s: three of them in whole seconds',
    (interval, window) => {
      const text = instance(`{keys: {1: "hex:${HEX}"}, active_key: 1}`, `, interval: ${interval}`);
      expect(hmacOf(text)?.windowSeconds).toBe(window);
    },
  );

  test('takes every option, and several keys', () => {
    const keys = `{1: "hex:${HEX.toUpperCase()}", 255: "${TEXT}"}`;
    const text = instance(
      `{keys: ${keys}, active_key: 255, mode: receive-only, replay: monotonic, window: 300s}`,
    );
    expect(hmacOf(text)).toEqual({
      keys: [
        { id: 1, secretHex: HEX },
        { id: 255, secretHex: Buffer.from(TEXT).toString('hex') },
      ],
      activeKey: 255,
      mode: 'receive-only',
      replay: 'monotonic',
      windowSeconds: 300,
    });
  });

  test.each([
    ['key', TEXT],
    ['line', `${TEXT}\n`],
    ['hex', `hex:${Buffer.from(TEXT).toString('hex')}\r\n`],
  ])('reads a key from a file (%s)', (name, content) => {
    const path = keyFile(name, content);
    const found = hmacOf(instance(`{keys: {1: "file:${path}"}, active_key: 1}`));
    expect(found?.keys).toEqual([{ id: 1, secretHex: Buffer.from(TEXT).toString('hex') }]);
  });

  test('takes keys per director', () => {
    const text = instance(`{keys: {1: {dir-a: "hex:${HEX}", default: "${TEXT}"}}, active_key: 1}`);
    expect(hmacOf(text)?.keys).toEqual([{ id: 1, secretHex: HEX }]);
  });
});

describe('hmac refuses', () => {
  test('keys that are too short or too long, or no digits', () => {
    expect(keyError(`hex:${HEX.slice(2)}`)).toBe('expected a key of 32 to 64 bytes');
    expect(keyError(`hex:${HEX}${HEX}00`)).toBe('expected a key of 32 to 64 bytes');
    expect(keyError('x'.repeat(31))).toBe('expected a key of 32 to 64 bytes');
    expect(keyError('x'.repeat(65))).toBe('expected a key of 32 to 64 bytes');
    const message = 'expected pairs of hexadecimal digits behind hex:';
    expect(keyError(`hex:${HEX}0`)).toBe(message);
    expect(keyError(`hex:${HEX.slice(2)}zz`)).toBe(message);
  });

  test('key files that others may open, with the cure', () => {
    for (const mode of [0o604, 0o602, 0o601]) {
      const path = keyFile('open', TEXT, mode);
      const message = `the key file ${path} is open to everybody, run: chmod 600 ${path}`;
      expect(keyError(`file:${path}`)).toBe(message);
    }
    expect(keyFile('group', TEXT, 0o640)).toBeTruthy();
    const path = join(directory, 'group');
    expect(hmacOf(instance(`{keys: {1: "file:${path}"}, active_key: 1}`))?.keys).toHaveLength(1);
  });

  test('key files that are missing, no files, too large, or hold no key', () => {
    const missing = join(directory, 'missing');
    expect(keyError(`file:${missing}`)).toBe(`the key file ${missing} cannot be read: ENOENT`);
    const folder = join(directory, 'folder');
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    expect(keyError(`file:${folder}`)).toBe(`the key file ${folder} is not a regular file`);
    const large = keyFile('large', 'x'.repeat(1025));
    expect(keyError(`file:${large}`)).toBe(`the key file ${large} is larger than 1024 bytes`);
    const short = keyFile('short', 'hunter2\n');
    expect(keyError(`file:${short}`)).toBe(`expected a key of 32 to 64 bytes in ${short}`);
    const link = keyFile('link', `file:${short}`);
    expect(keyError(`file:${link}`)).toBe(`expected a key in ${link}, not another path`);
    expect(keyError('file:key')).toBe('expected an absolute path behind file:');
  });

  test.each([
    [
      'an active key that is not there',
      `{keys: {1: "hex:${HEX}", 2: "${TEXT}"}, active_key: 3}`,
      'vrrp.w.hmac.active_key: expected the number of one of the keys: 1 or 2, found 3',
    ],
    [
      'key numbers out of range',
      `{keys: {1: "hex:${HEX}", 256: "${TEXT}"}, active_key: 1}`,
      'expected a key number from 1 to 255',
    ],
    [
      'no keys',
      '{keys: {}, active_key: 1}',
      'vrrp.w.hmac.active_key: expected the number of one of the keys: nothing, found 1',
    ],
    [
      'unknown modes',
      `{keys: {1: "hex:${HEX}"}, active_key: 1, mode: maybe}`,
      'vrrp.w.hmac.mode: expected enforce, permissive or receive-only, found maybe',
    ],
    [
      'windows above 300s',
      `{keys: {1: "hex:${HEX}"}, active_key: 1, window: 301s}`,
      'vrrp.w.hmac.window: expected whole seconds from 1s to 5m',
    ],
  ])('%s', (_, hmac, expected) => {
    const lines = errorLines(instance(hmac));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(expected);
  });

  test('version 2', () => {
    const text = instance(`{keys: {1: "hex:${HEX}"}, active_key: 1}`, ', version: 2');
    expect(errorLines(text)).toEqual([
      expect.stringContaining('vrrp.w.hmac: version 2 has no HMAC authentication'),
    ]);
  });

  test('one IPv6 address more than a frame with the trailer holds', () => {
    const addresses = (count: number) =>
      Array.from({ length: count }, (_, index) => `"2001:db8::${index + 1}/64"`).join(', ');
    const text = (count: number) =>
      `vrrp: {w: {interface: eth0, vrid: 1, addresses: [${addresses(count)}], ` +
      `hmac: {keys: {1: "hex:${HEX}"}, active_key: 1}}}`;
    expect(errorLines(text(89))).toEqual([]);
    expect(errorLines(text(90))[0]).toContain('expected at most 89 ipv6 addresses');
  });

  test('AH by name, saying why and what to use', () => {
    const options = 'interface: eth0, vrid: 1, addresses: [192.0.2.1/24]';
    for (const key of ['ah', 'auth_type', 'authentication', 'AH']) {
      const [line] = errorLines(`vrrp: {w: {${options}, ${key}: AH}}`);
      expect(line).toContain(`vrrp.w.${key}: `);
      expect(line).toContain('AH (authentication header) is not supported: RFC 3768 removed it');
      expect(line).toContain('use hmac, with version 3');
    }
    const [line] = errorLines(`vrrp: {w: {${options}, auth_hmac: {}}}`);
    expect(line).toContain('did you mean hmac?');
  });
});

test('no error shows a key, wherever it was put', () => {
  const places = [
    instance(`"hex:${HEX}"`),
    instance(`{keys: "hex:${HEX}", active_key: 1}`),
    instance(`{keys: ["hex:${HEX}"], active_key: 1}`),
    instance(`{keys: {0: "hex:${HEX}"}, active_key: 1}`),
    instance(`{keys: {1: "hex:${HEX}!"}, active_key: 1}`),
    instance(`{keys: {1: {dir-a: "hex:${HEX}!"}}, active_key: 1}`),
    instance(`{keys: {1: {dir-b: "hex:${HEX}"}}, active_key: 1}`),
    instance(`{key: "hex:${HEX}", active_key: 1}`),
    instance(`{keys: {1: ["hex:${HEX}"]}, active_key: 1}`),
  ];
  for (const text of places) {
    const lines = errorLines(text);
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.join('\n')).not.toContain(HEX.slice(0, 8));
  }
});

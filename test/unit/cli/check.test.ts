/**
 * `vipkeeper check`: what it prints where, and its exit codes.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type CheckOptions, check } from '../../../src/cli/check.ts';

const directory = mkdtempSync(join(tmpdir(), 'vipkeeper-check-'));
afterAll(() => rmSync(directory, { recursive: true }));

const VALID = `vrrp:
  w: { interface: eth0, vrid: 1, priority: { dir-a: 150 }, addresses: [192.0.2.1/24] }
services:
  a: { address: "192.0.2.1:80", servers: [10.0.0.1, 10.0.0.2] }
  b: { address: "192.0.2.1:81", servers: [10.0.0.1] }
`;

async function run(text: string, options: CheckOptions, isTTY = false) {
  const file = join(directory, 'f.yaml');
  writeFileSync(file, text);
  return { ...(await runOn(file, options, isTTY)), file };
}

async function runOn(file: string, options: CheckOptions, isTTY = false) {
  let stdout = '';
  let stderr = '';
  const code = await check(file, options, {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text), isTTY },
  });
  return { code, stdout, stderr };
}

describe('check', () => {
  test('counts what a valid file has, and exits with 0', async () => {
    const { code, stdout, stderr, file } = await run(VALID, { director: 'dir-a' });
    expect(stdout).toBe(
      `${file}: valid: 1 VRRP instance, 2 services, 3 real servers (director dir-a)\n`,
    );
    expect([code, stderr]).toEqual([0, '']);
  });

  test('lists errors on stderr, and exits with 1', async () => {
    const { code, stdout, stderr, file } = await run(VALID, { director: 'dir-x' });
    expect(stderr).toBe(
      `${file}:2:44: vrrp.w.priority: a mapping here has a value for each director,` +
        ' and none for dir-x or default: its keys are dir-a (--director says which one to be)\n',
    );
    expect([code, stdout]).toEqual([1, '']);
  });

  test('notes warnings on stderr, and still exits with 0', async () => {
    const text = VALID.replace('192.0.2.1/24', '192.0.2.9/24').replace(/ {2}b:.*\n/, '');
    const { code, stderr, file } = await run(text, { director: 'dir-a' });
    expect(stderr).toBe(
      `${file}:4:17: services.a.address: warning: no VRRP instance carries 192.0.2.1\n`,
    );
    expect(code).toBe(0);
  });

  test('warns of files that checks need and that cannot be used here, each once', async () => {
    const script = join(directory, 'script');
    writeFileSync(script, '#!/bin/sh\n', { mode: 0o644 });
    const missing = join(directory, 'missing.pem');
    const { code, stderr, file } = await run(
      `services:
  a: { address: "192.0.2.1:80", check: { script: { command: "${script} {rip}" } }, servers: [10.0.0.1] }
  b: { address: "192.0.2.1:81", check: { https: { ca_file: ${missing} } }, servers: [10.0.0.1] }
  c: { address: "192.0.2.1:82", check: { https: { ca_file: ${missing} } }, servers: [10.0.0.1] }
  d: { address: "192.0.2.1:83", check: { file: { path: ${directory} } }, servers: [10.0.0.1] }
`,
      { director: 'dir-a' },
    );
    const until = ': the check fails until then\n';
    expect(stderr).toBe(
      `${file}:2:61: services.a.check.script.command: warning: ${script} must be executable (chmod +x ${script})${until}` +
        `${file}:3:60: services.b.check.https.ca_file: warning: ${missing} must be made, it does not exist here${until}` +
        `${file}:5:56: services.d.check.file.path: warning: ${directory} must be a regular file${until}`,
    );
    expect(code).toBe(0);
  });

  test('warns of programs that root would not run, or whose user is not there', async () => {
    const open = join(directory, 'open');
    mkdirSync(open);
    chmodSync(open, 0o777);
    const script = join(open, 'script');
    writeFileSync(script, '#!/bin/sh\n', { mode: 0o755 });
    const text = (more: string, notify = '') => `${notify}services:
  a: { address: "192.0.2.1:80", check: { script: { command: ${script}${more} } }, servers: [10.0.0.1] }
`;
    const { stderr } = await run(text(''), { director: 'dir-a' });
    expect(stderr).toContain(`${script} runs as root, so `);
    expect(stderr).toMatch(/ must be changeable by root alone .*: the check fails until then\n$/);
    const stranger = await run(text(', user: no-such-user'), { director: 'dir-a' });
    expect(stranger.stderr).toContain(
      `${script} runs as no-such-user, who must be in /etc/passwd or be a number: the check fails until then`,
    );
    for (const safe of [
      text(', user: nobody'),
      text('', 'notify: { user: nobody }\n'),
      text('', 'notify: { script_security: false }\n'),
      text('').replace(script, '/bin/true'),
    ]) {
      expect((await run(safe, { director: 'dir-a' })).stderr).toBe('');
    }
  });

  test('warns of programs of trackers and notification that cannot be used here', async () => {
    const missing = join(directory, 'gone');
    const { code, stderr } = await run(
      `vrrp:
  w: { interface: eth0, vrid: 1, addresses: [192.0.2.1/24], track: [t], notify: { any: ${missing} } }
trackers: { t: { script: ${missing}-too -v } }
`,
      { director: 'dir-a' },
    );
    const missed = `must be made, it does not exist here`;
    expect(stderr).toContain(
      `trackers.t.script: warning: ${missing}-too ${missed}: the tracker is down until then`,
    );
    expect(stderr).toContain(
      `vrrp.w.notify.any: warning: ${missing} ${missed}: nobody is told until then`,
    );
    expect(code).toBe(0);
  });

  test('uses colors on a terminal only', async () => {
    const sequence = '\u001b[';
    expect((await run('x: 1', {}, true)).stderr).toContain(sequence);
    expect((await run('x: 1', {}, false)).stderr).not.toContain(sequence);
  });

  test('prints one JSON document to stdout, whatever the outcome', async () => {
    const valid = await run(VALID, { director: 'dir-a', json: true });
    expect(JSON.parse(valid.stdout)).toEqual({
      file: valid.file,
      valid: true,
      director: 'dir-a',
      vrrpInstances: 1,
      services: 2,
      realServers: 3,
      warnings: [],
    });
    const wrong = await run('log: { level: loud }', { json: true });
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toBe('');
    expect(JSON.parse(wrong.stdout)).toEqual({
      file: wrong.file,
      valid: false,
      errors: [
        {
          code: 'VK-CONFIG-INVALID',
          file: wrong.file,
          line: 1,
          column: 15,
          path: 'log.level',
          message: 'expected debug, info, warn or error',
          found: 'loud',
        },
      ],
    });
  });

  test('exits with 2 where there is no file', async () => {
    const file = join(directory, 'missing.yaml');
    const { code, stderr } = await runOn(file, {});
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^VK-CONFIG-READ: .*missing\.yaml cannot be read: it does not exist\. .*\.\n$/,
    );
  });

  test('exits with 2 when the director cannot be one', async () => {
    const { code, stderr } = await run(VALID, { director: 'a b' });
    expect([code, stderr]).toEqual([2, 'vipkeeper check: "a b" is no director’s name\n']);
  });
});

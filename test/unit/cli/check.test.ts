/**
 * `vipkeeper check`: what it prints where, and its exit codes.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type CheckOptions, check } from '../../../src/cli/check.ts';
import { makeCertificate, type TestCertificate } from '../probes/servers.ts';

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

  describe('certificate files', () => {
    const until = 'the check fails until then';
    let own: TestCertificate;
    let other: TestCertificate;
    beforeAll(() => {
      own = makeCertificate('DNS:a.test');
      other = makeCertificate('DNS:b.test');
    });
    afterAll(() => {
      own.remove();
      other.remove();
      vi.useRealTimers();
    });

    /** What a check with these keys is warned of, each behind its place. */
    async function warnings(tls: string, kind = 'https'): Promise<string[]> {
      const text = `services:
  a: { address: "192.0.2.1:80", check: { ${kind}: { ${tls} } }, servers: [10.0.0.1] }
  b: { address: "192.0.2.1:81", check: { ${kind}: { ${tls} } }, servers: [10.0.0.1] }
`;
      const { code, stderr, file } = await run(text, { director: 'dir-a' });
      expect([code, stderr.includes('VK-')], stderr).toEqual([0, false]);
      const start = new RegExp(`^${file}:\\d+:\\d+: services\\.(.)\\.check\\.${kind}\\.`);
      const lines = stderr.split('\n').filter(Boolean);
      return lines
        .filter((line) => start.exec(line)?.[1] === 'a')
        .map((line) => line.replace(start, ''));
    }

    test('that are as they should be are no reason for a warning', async () => {
      const { certificateFile, keyFile } = own;
      const whole = `ca_file: ${certificateFile}, certificate_file: ${certificateFile}, key_file: ${keyFile}`;
      expect(await warnings(whole)).toEqual([]);
      const both = join(directory, 'both.pem');
      writeFileSync(both, own.key + own.certificate);
      expect(await warnings(`certificate_file: ${both}`)).toEqual([]);
    });

    test('without a certificate, without a key, or with the key of another one', async () => {
      const { certificateFile, keyFile } = own;
      expect(await warnings(`ca_file: ${keyFile}`)).toEqual([
        `ca_file: warning: ${keyFile} must hold certificates in PEM, there is none: ${until}`,
      ]);
      expect(await warnings(`certificate_file: ${certificateFile}`)).toEqual([
        `certificate_file: warning: ${certificateFile} must hold the key too, or key_file name it: ${until}`,
      ]);
      const wrong = `certificate_file: ${certificateFile}, key_file: ${other.keyFile}`;
      expect(await warnings(wrong)).toEqual([
        `key_file: warning: ${other.keyFile} must hold the key of the certificate, it is another one's: ${until}`,
      ]);
      const broken = join(directory, 'broken.pem');
      writeFileSync(broken, own.certificate.replace(/\n[A-Za-z0-9+/]{20}/, '\nAAAA'));
      expect((await warnings(`ca_file: ${broken}`))[0]).toMatch(
        /^ca_file: warning: .*broken.pem must hold certificates that can be read: .*: the check fails/,
      );
    });

    test('that have expired, or do not hold yet', async () => {
      const { certificateFile, keyFile } = own;
      const tls = `ca_file: ${certificateFile}, certificate_file: ${certificateFile}, key_file: ${keyFile}`;
      vi.useFakeTimers({ now: Date.now() + 30 * 86_400_000, toFake: ['Date'] });
      const [authority, shown] = await warnings(tls);
      expect(authority).toMatch(
        /its certificate must be renewed, it expired on \d{4}-\d\d-\d\d: no server passes its check/,
      );
      expect(shown).toMatch(
        /the certificate of CN=vipkeeper test must be renewed, it expired on .*: servers may refuse it/,
      );
      vi.useFakeTimers({ now: Date.now() - 90 * 86_400_000, toFake: ['Date'] });
      expect((await warnings(tls))[0]).toMatch(
        /its certificate holds from \d{4}-\d\d-\d\d on only/,
      );
      vi.useRealTimers();
    });

    test('and other options of TLS that have no effect', async () => {
      const { certificateFile } = own;
      expect(await warnings(`ca_file: ${certificateFile}, verify: false`)).toEqual([
        'ca_file: warning: with verify: false no certificate is verified, by these or by others',
      ]);
      const unused = 'warning: the check does not speak TLS, so this has no effect';
      const ca = `ca_file: ${certificateFile}`;
      for (const [kind, without, speaking] of [
        ['mysql', 'user: u', 'user: u, tls: true'],
        ['postgresql', 'user: u', 'user: u, tls: true'],
        ['ldap', 'tls: none', 'tls: starttls'],
        ['sip', 'transport: tcp', 'transport: tls'],
        ['dialogue', 'protocol: imap', 'protocol: imaps'],
        ['dialogue', 'protocol: smtp', 'protocol: smtp, starttls: true'],
      ]) {
        expect(await warnings(`${without}, ${ca}`, kind)).toEqual([`ca_file: ${unused}`]);
        expect(await warnings(`${without}, verify: false`, kind)).toEqual([`verify: ${unused}`]);
        expect(await warnings(`${speaking}, ${ca}`, kind)).toEqual([]);
      }
    });
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

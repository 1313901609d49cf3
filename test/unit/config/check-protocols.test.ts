/** Checks that log in: defaults, mistakes with their places, and secrets that stay secret. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ConfigReader } from '../../../src/config/config-reader.ts';
import { checkDefinition } from '../../../src/core/health/check-key.ts';
import { configOf, errorLines } from './read.ts';

const directory = mkdtempSync(join(tmpdir(), 'vipkeeper-secrets-'));
afterAll(() => rmSync(directory, { recursive: true }));

function secretFile(name: string, content: string, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, content, { mode });
  chmodSync(path, mode);
  return path;
}

const textOf = (check: string) =>
  `services: { s: { address: "192.0.2.1:80", servers: ["10.0.0.1:80"], check: ${check} } }\n`;

function serverOf(check: string) {
  const server = configOf(textOf(check)).services[0]?.servers[0];
  if (server?.check == null) throw new Error('no check');
  return { ...server, check: server.check };
}

/** Without the place, which is the same for all. */
const errorsOf = (check: string) =>
  errorLines(textOf(check)).map((line) => line.replace(/^.*services\.s\.check\.?/, ''));

test.each([
  ['ldap', { kind: 'ldap', tls: 'none', bindDn: null, base: null, filter: '(objectClass=*)' }],
  ['ldaps', { kind: 'ldap', tls: 'tls', tlsVerify: true, bindDn: null }],
  ['postgresql', { kind: 'postgresql', tls: false, user: null, query: null, tlsVerify: true }],
  ['sip', { kind: 'sip', transport: 'udp', uri: null, status: [[200, 299]] }],
  ['{mysql: {user: m}}', { kind: 'mysql', user: 'm', password: null, database: null }],
  ['{radius: {secret: x}}', { kind: 'radius', user: null, expect: ['access-accept'] }],
])('%s has its defaults', (check, expected) => {
  expect(serverOf(check).check).toMatchObject(expected);
});

test.each([
  ['MISC_CHECK', 'expected a mapping such as { script: { command: [/path/to/command] } }'],
  ['SSL_GET', 'expected https'],
  ['connect', 'expected tcp'],
  ['pop', 'expected pop3'],
  ['mysql', 'expected a mapping such as { mysql: { user: check } }'],
  ['simpletcp', 'expected the protocol, such as imap, or a mapping'],
])('%s, the word of another program, is told ours', (check, message) => {
  expect(errorsOf(check)[0]).toContain(message);
});

test.each([
  ['{ldap: {bind_dn: "cn=a"}}', 'ldap.bind_dn: a name needs a password'],
  ['{ldap: {password: hidden}}', 'ldap.password: a password needs bind_dn'],
  ['{ldap: {filter: (a=b)}}', 'ldap.filter: a search needs a base'],
  [
    '{ldap: {base: "", filter: "(&)"}}',
    'ldap.filter: expected a search filter: & stands before 0 filters',
  ],
  [
    '{ldap: {base: "", filter: "(cn=a"}}',
    'ldap.filter: expected a search filter: a closing parenthesis is missing',
  ],
  ['{mysql: {}}', 'mysql.user: expected text, found nothing'],
  ['{mysql: {user: m, result: "1"}}', 'mysql.result: a result needs a query'],
  ['{postgresql: {query: SELECT 1}}', 'postgresql.query: expected a user beside it'],
  ['{radius: {secret: hidden, user: m}}', 'radius: user and password go together'],
  ['{radius: {}}', 'radius.secret: expected text'],
  ['{radius: {secret: [hidden]}}', 'radius.secret: expected text, or file: and a path'],
  ['{sip: {uri: "http://x"}}', 'sip.uri: expected a SIP URI, found "http://x"'],
  [
    '{dialogue: {protocol: redis, starttls: true}}',
    'dialogue.starttls: redis has no command that begins TLS',
  ],
  [
    '{dialogue: {protocol: smtp, tls: true, starttls: true}}',
    'dialogue.starttls: tls speaks TLS already',
  ],
])('%s is refused', (check, ...messages) => {
  const seen = errorsOf(check);
  expect(seen.length).toBe(messages.length);
  for (const [index, message] of messages.entries()) expect(seen[index]).toContain(message);
  expect(seen.join()).not.toContain('hidden');
});

test('a password comes from a file that others cannot read', () => {
  const check = (path: string) => `{mysql: {user: m, password: "file:${path}"}}`;
  const good = secretFile('good', 'hidden\n');
  expect(serverOf(check(good)).check).toMatchObject({ password: { secret: 'hidden' } });
  const open = secretFile('open', 'hidden', 0o644);
  expect(errorsOf(check(open))[0]).toContain('is open to everybody, run: chmod 600');
  expect(errorsOf(check(secretFile('empty', '\n')))[0]).toContain('is empty');
  expect(errorsOf(check(join(directory, 'missing')))[0]).toContain('cannot be read: ENOENT');
  expect(errorsOf(check('relative'))[0]).toContain('expected an absolute path behind file:');
});

test('a file with a password is read again when the text has not changed', () => {
  const path = secretFile('rotated', 'first');
  const text = textOf(`{mysql: {user: m, password: "file:${path}"}}`);
  const reader = new ConfigReader({ file: 'f.yaml', director: 'd', hostname: 'h' });
  const passwordNow = () => {
    const read = reader.read(text);
    return read.ok ? read.value.services[0]?.servers[0]?.check : null;
  };
  expect(passwordNow()).toMatchObject({ password: { secret: 'first' } });
  secretFile('rotated', 'second');
  expect(passwordNow()).toMatchObject({ password: { secret: 'second' } });
});

test('keys of checks tell passwords apart and do not hold them', () => {
  const keyOf = (password: string) => {
    const server = serverOf(`{mysql: {user: m, password: ${password}}}`);
    return checkDefinition(server.check, server).key;
  };
  expect(keyOf('hidden')).toBe(keyOf('hidden'));
  expect(keyOf('hidden')).not.toBe(keyOf('other'));
  expect(keyOf('hidden')).not.toContain('hidden');
});

/** Checks of databases against PostgreSQL, MariaDB and Redis. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCertificate, type TestCertificate } from '../unit/probes/servers.ts';
import { ask, expectFailures, ready } from './ask.ts';
import { freePorts, NOBODY, type Program, Workshop } from './program.ts';

const PASSWORD = 'correct horse';
let certificate: TestCertificate;
beforeAll(() => {
  certificate = makeCertificate('DNS:db.test');
});
afterAll(() => certificate.remove());

describe('PostgreSQL', () => {
  let workshop: Workshop;
  let server: Program;
  let port = 0;
  const check = (keys: string) => ({ check: `{postgresql: {${keys}}}`, port });
  const login = `user: monitor, password: ${PASSWORD}, database: postgres`;

  beforeAll(async () => {
    workshop = new Workshop();
    [port = 0] = await freePorts(1);
    const data = workshop.folder('postgresql', NOBODY);
    const root = '/usr/lib/postgresql';
    const binaries = join(root, readdirSync(root).sort().at(-1) ?? '', 'bin');
    const password = workshop.file('password', PASSWORD);
    workshop.run(
      [
        `${binaries}/initdb`,
        '-D',
        data,
        '-U',
        'monitor',
        '--auth=scram-sha-256',
        '--no-sync',
      ].concat([`--pwfile=${password}`, '--encoding=UTF8', '--locale=C']),
      { user: NOBODY },
    );
    workshop.copy(certificate.certificateFile, 'postgresql/server.crt', NOBODY);
    workshop.copy(certificate.keyFile, 'postgresql/server.key', NOBODY);
    const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', 'ssl=on', 'fsync=off'];
    settings.push(`unix_socket_directories=${data}`);
    server = workshop.start(
      [`${binaries}/postgres`, '-D', data, ...settings.flatMap((one) => ['-c', one])],
      NOBODY,
    );
    await ready(server, { check: 'postgresql', port });
  }, 120_000);
  afterAll(() => workshop.close());

  test('a login by SCRAM, and a query with its result', async () => {
    expect(await ask(check(login))).toBe('ok');
    expect(await ask(check(`${login}, query: SELECT 40 + 2, result: "42"`))).toBe('ok');
    expect(await ask(check(`${login}, query: SELECT pg_is_in_recovery(), result: f`))).toBe('ok');
    expect(await ask(check(`${login}, query: "SELECT 'grün'", result_matches: ^gr.n$`))).toBe('ok');
  });

  test('a login by MD5', async () => {
    const change =
      "SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'older'; SELECT 1";
    // pg_hba.conf with scram-sha-256 refuses a password that is stored as MD5.
    expect(await ask(check(`${login}, query: "${change}"`))).toBe('ok');
    expect(await ask(check('user: old, password: older, database: postgres'))).toMatch(
      /^status: 28P01: password authentication failed/,
    );
  });

  test('TLS, with the certificate verified', async () => {
    const tls = `${login}, tls: true, ca_file: ${certificate.certificateFile}`;
    expect(await ask(check(`${tls}, server_name: db.test`))).toBe('ok');
    expect(await ask(check(`${tls}, server_name: other.test`))).toMatch(/^tls-untrusted: /);
    expect(await ask(check(`${login}, tls: true`))).toMatch(/^tls-untrusted: /);
  });

  test('what is not as expected is a failure that says so, without the password', async () => {
    const wrong = login.replace(PASSWORD, 'wrong');
    expect(await ask(check(wrong))).toBe(
      'status: 28P01: password authentication failed for user "monitor"',
    );
    expect(await ask(check(login.replace('database: postgres', 'database: no')))).toMatch(
      /^status: 3D000: database "no" does not exist/,
    );
    expect(await ask(check(`${login}, query: SELECT 1, result: "2"`))).toBe(
      'body: The query gave 1; expected 2',
    );
    expect(await ask(check(`${login}, query: SELECT 1 WHERE false, result: "1"`))).toMatch(
      /^body: The query gave no row/,
    );
    expect(await ask(check(`${login}, query: SELEC`))).toMatch(/^status: 42601: /);
    const sleep = { ...check(`${login}, query: SELECT pg_sleep(60)`), timeoutMs: 500 };
    expect(await ask(sleep)).toBe('timeout: Waited 500 ms for the result of the query');
  });

  test('slow, and gone', () => expectFailures(server, check(login)), 90_000);
});

describe('MariaDB', () => {
  let workshop: Workshop;
  let server: Program;
  let port = 0;
  const check = (keys: string) => ({ check: `{mysql: {${keys}}}`, port });
  const login = `user: monitor, password: ${PASSWORD}`;

  beforeAll(async () => {
    workshop = new Workshop();
    [port = 0] = await freePorts(1);
    const data = workshop.folder('mariadb');
    // What mariadb-install-db does, which Debian has in a larger package.
    const tables = ['mysql_system_tables', 'mysql_performance_tables', 'mysql_system_tables_data'];
    const sql = tables.map((name) => readFileSync(`/usr/share/mysql/${name}.sql`, 'utf8'));
    const head = 'CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n';
    workshop.run(
      ['mariadbd', '--no-defaults', '--bootstrap', `--datadir=${data}`, '--user=root'].concat([
        '--innodb-log-file-size=4M',
        '--innodb-buffer-pool-size=8M',
      ]),
      { input: `${head}SET @skip_auth_anonymous=1;\n${sql.join('\n')}` },
    );
    workshop.copy(certificate.certificateFile, 'server.crt');
    workshop.copy(certificate.keyFile, 'server.key');
    const start = workshop.file(
      'start.sql',
      `CREATE USER monitor@'127.0.0.1' IDENTIFIED BY '${PASSWORD}';\n` +
        "CREATE USER open@'127.0.0.1';\n",
    );
    server = workshop.start(
      ['mariadbd', '--no-defaults', `--datadir=${data}`, '--user=root', `--port=${port}`].concat(
        ['--bind-address=127.0.0.1', `--socket=${data}/socket`, `--init-file=${start}`],
        ['--innodb-log-file-size=4M', '--innodb-buffer-pool-size=8M', '--skip-name-resolve'],
        [
          `--ssl-cert=${workshop.directory}/server.crt`,
          `--ssl-key=${workshop.directory}/server.key`,
        ],
      ),
    );
    await ready(server, check(login));
  }, 120_000);
  afterAll(() => workshop.close());

  test('a login, and a query with its result', async () => {
    expect(await ask(check('user: open'))).toBe('ok');
    expect(await ask(check(`${login}, query: "SELECT @@read_only", result: "0"`))).toBe('ok');
    expect(await ask(check(`${login}, query: "SELECT 'grün'", result_matches: ^gr.n$`))).toBe('ok');
    expect(await ask(check(`${login}, database: information_schema`))).toBe('ok');
  });

  test('TLS, with the certificate verified', async () => {
    const tls = `${login}, tls: true, ca_file: ${certificate.certificateFile}`;
    const query = 'query: SELECT 1, result: "1"';
    expect(await ask(check(`${tls}, server_name: db.test, ${query}`))).toBe('ok');
    expect(await ask(check(`${tls}, server_name: other.test`))).toMatch(/^tls-untrusted: /);
  });

  test('what is not as expected is a failure that says so, without the password', async () => {
    expect(await ask(check('user: monitor, password: wrong'))).toMatch(
      /^status: Error 1045: Access denied for user 'monitor'/,
    );
    expect(await ask(check(`${login}, database: no`))).toMatch(/^status: Error 104[49]: /);
    expect(await ask(check(`${login}, query: SELECT 1, result: "2"`))).toBe(
      'body: The query gave 1; expected 2',
    );
    expect(await ask(check(`${login}, query: SELEC`))).toMatch(/^status: Error 1064: /);
    expect(await ask(check(`${login}, query: SELECT NULL, result: "1"`))).toMatch(
      /^body: The query gave NULL/,
    );
  });

  test('slow, and gone', () => expectFailures(server, check(login)), 90_000);
});

describe('Redis', () => {
  let workshop: Workshop;
  let server: Program;
  let port = 0;
  beforeAll(async () => {
    workshop = new Workshop();
    [port = 0] = await freePorts(1);
    const options = [
      '--port',
      `${port}`,
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
    ];
    server = workshop.start(['redis-server', ...options]);
    await ready(server, { check: 'redis', port });
  }, 60_000);
  afterAll(() => workshop.close());

  test('a lie is found', async () => {
    expect(
      await ask({
        check: '{dialogue: {steps: [{send: "PING\\r\\n", expect: PANG}]}}',
        port,
        timeoutMs: 300,
      }),
    ).toMatch(/^timeout: .* what step 1 expects/);
  });
  test('slow, and gone', () => expectFailures(server, { check: 'redis', port }), 60_000);
});

/** Dialogues against Exim, Dovecot, vsftpd and sn; HTTP and DNS against nginx and Unbound. */
import { chmodSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCertificate, type TestCertificate, tcpServer } from '../unit/probes/servers.ts';
import { ask, expectFailures, ready } from './ask.ts';
import { freePorts, type Program, Workshop } from './program.ts';

let certificate: TestCertificate;
let workshop: Workshop;
let crt = '';
let key = '';
beforeAll(() => {
  certificate = makeCertificate('DNS:server.test');
  workshop = new Workshop();
  crt = workshop.file('server.crt', certificate.certificate);
  // Programs that give up root read it afterwards; it is worth nothing.
  key = workshop.file('server.key', certificate.key);
});
afterAll(async () => {
  await workshop.close();
  certificate.remove();
});

const trusted = () => `server_name: server.test, ca_file: ${certificate.certificateFile}`;

/** The dialogue as it is, with STARTTLS, with a certificate that is not trusted, and with a lie. */
async function expectStartTls(protocol: string, port: number): Promise<void> {
  const keys = `protocol: ${protocol}, starttls: true`;
  expect(await ask({ check: protocol, port })).toBe('ok');
  expect(await ask({ check: `{dialogue: {${keys}, ${trusted()}}}`, port })).toBe('ok');
  expect(await ask({ check: `{dialogue: {${keys}}}`, port })).toMatch(/^tls-untrusted: /);
  const lie = '{dialogue: {steps: [{expect: "^never", refuse: "^(220|. OK|.OK)"}]}}';
  expect(await ask({ check: lie, port })).toMatch(/^status: Refused: /);
}

describe('Exim', () => {
  let server: Program;
  let port = 0;
  beforeAll(async () => {
    [port = 0] = await freePorts(1);
    // Exim's own user, whose number is the machine's, writes there.
    const spool = workshop.folder('spool');
    chmodSync(spool, 0o777);
    const config = workshop.file(
      'exim.conf',
      [
        'primary_hostname = server.test',
        `spool_directory = ${spool}`,
        `log_file_path = ${spool}/%slog`,
        'local_interfaces = 127.0.0.1',
        `daemon_smtp_ports = ${port}`,
        'keep_environment =',
        'host_lookup =',
        'rfc1413_hosts =',
        'tls_advertise_hosts = *',
        `tls_certificate = ${crt}`,
        `tls_privatekey = ${key}`,
        'begin acl',
        'begin routers',
        'begin transports',
        '',
      ].join('\n'),
    );
    server = workshop.start([
      'exim4',
      '-C',
      config,
      '-bdf',
      '-oP',
      `${workshop.directory}/exim.pid`,
    ]);
    await ready(server, { check: 'smtp', port });
  }, 60_000);

  test('SMTP, and STARTTLS', () => expectStartTls('smtp', port));
  test('slow, and gone', () => expectFailures(server, { check: 'smtp', port }), 60_000);
});

describe('Dovecot', () => {
  let server: Program;
  let ports: number[] = [];
  beforeAll(async () => {
    ports = await freePorts(4);
    const [imap, imaps, pop3, pop3s] = ports;
    const listener = (name: string, port: number | undefined, ssl: boolean) =>
      `  inet_listener ${name} {\n    port = ${port}\n    ssl = ${ssl ? 'yes' : 'no'}\n  }\n`;
    const login = (name: string, plain: number | undefined, secure: number | undefined) =>
      `service ${name}-login {\n${listener(name, plain, false)}${listener(`${name}s`, secure, true)}}\n`;
    const config = workshop.file(
      'dovecot.conf',
      [
        'protocols = imap pop3',
        'listen = 127.0.0.1',
        `base_dir = ${workshop.folder('dovecot')}`,
        `log_path = ${workshop.directory}/dovecot.log`,
        'ssl = yes',
        `ssl_cert = <${crt}`,
        `ssl_key = <${key}`,
        'passdb {\n  driver = static\n  args = password=none\n}',
        login('imap', imap, imaps),
        login('pop3', pop3, pop3s),
      ].join('\n'),
    );
    server = workshop.start(['dovecot', '-F', '-c', config]);
    await ready(server, { check: 'imap', port: imap ?? 0 });
  }, 60_000);

  test('IMAP and POP3, with STARTTLS', async () => {
    await expectStartTls('imap', ports[0] ?? 0);
    await expectStartTls('pop3', ports[2] ?? 0);
  });
  test('IMAPS and POP3S', async () => {
    for (const [protocol, port = 0] of [
      ['imaps', ports[1]],
      ['pop3s', ports[3]],
    ] as const) {
      const check = `{dialogue: {protocol: ${protocol}, ${trusted()}}}`;
      expect(await ask({ check, port })).toBe('ok');
    }
  });
  test('slow, and gone', async () => {
    await expectFailures(server, { check: 'imap', port: ports[0] ?? 0 });
    expect(await ask({ check: 'pop3', port: ports[2] ?? 0 })).toMatch(/^connection-refused: /);
  }, 60_000);
});

describe('vsftpd', () => {
  let server: Program;
  let port = 0;
  beforeAll(async () => {
    [port = 0] = await freePorts(1);
    const config = workshop.file(
      'vsftpd.conf',
      [
        'listen=YES',
        'listen_address=127.0.0.1',
        `listen_port=${port}`,
        'background=NO',
        'anonymous_enable=YES',
        'ssl_enable=YES',
        'allow_anon_ssl=YES',
        'seccomp_sandbox=NO',
        `rsa_cert_file=${crt}`,
        `rsa_private_key_file=${key}`,
        `secure_chroot_dir=${workshop.folder('vsftpd')}`,
        '',
      ].join('\n'),
    );
    server = workshop.start(['vsftpd', config]);
    await ready(server, { check: 'ftp', port });
  }, 60_000);

  test('FTP, and AUTH TLS', () => expectStartTls('ftp', port));
  test('slow, and gone', () => expectFailures(server, { check: 'ftp', port }), 60_000);
});

describe('sn', () => {
  let server: Program;
  let port = 0;
  let spool = '';
  beforeAll(async () => {
    [port = 0] = await freePorts(1);
    spool = workshop.folder('news');
    // It serves one connection on its standard input and output, as from inetd.
    const listen = `TCP-LISTEN:${port},bind=127.0.0.1,fork,reuseaddr`;
    server = workshop.start(['env', `SNROOT=${spool}`, 'socat', listen, 'EXEC:/usr/sbin/snntpd']);
    await ready(server, { check: 'nntp', port });
  }, 60_000);

  test('NNTP, and a server that is closed', async () => {
    expect(await ask({ check: 'nntp', port })).toBe('ok');
    const closed = workshop.file('news/.noservice', 'closed for the night\n');
    expect(await ask({ check: 'nntp', port })).toMatch(/^status: .*400 .*closed for the night/);
    rmSync(closed);
    expect(await ask({ check: 'nntp', port })).toBe('ok');
    // It has no TLS.
    const tls = '{dialogue: {protocol: nntp, starttls: true}}';
    expect(await ask({ check: tls, port })).toMatch(/^status: /);
  });
  test('slow, and gone', () => expectFailures(server, { check: 'nntp', port }), 60_000);
});

describe('nginx and Unbound', () => {
  let web: Program;
  let names: Program;
  let [plain, secure, dns] = [0, 0, 0];
  beforeAll(async () => {
    [plain = 0, secure = 0, dns = 0] = await freePorts(3);
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${workshop.directory};`,
    );
    const config = workshop.file(
      'nginx.conf',
      `daemon off; pid ${workshop.directory}/nginx.pid; error_log stderr;
events { }
http {
  access_log off; ${temporary.join(' ')}
  server {
    listen 127.0.0.1:${plain};
    listen 127.0.0.1:${secure} ssl http2;
    ssl_certificate ${crt};
    ssl_certificate_key ${key};
    location / { return 200 "all is well"; }
    location /down { return 503; }
  }
}
`,
    );
    web = workshop.start(['nginx', '-c', config]);
    const zone = workshop.file(
      'unbound.conf',
      `server:
  interface: 127.0.0.1@${dns}
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  local-zone: "test." static
  local-data: "server.test. A 192.0.2.7"
remote-control:
  control-enable: no
`,
    );
    names = workshop.start(['unbound', '-d', '-c', zone]);
    await ready(web, { check: 'http', port: plain });
    await ready(names, { check: '{dns: {name: server.test, type: A}}', port: dns });
  }, 60_000);

  test('HTTP, HTTPS and HTTP/2', async () => {
    const body = 'body_contains: all is well';
    expect(await ask({ check: `{http: {${body}}}`, port: plain })).toBe('ok');
    expect(await ask({ check: `{https: {${body}, ${trusted()}}}`, port: secure })).toBe('ok');
    const second = `{https: {version: "2", ${body}, ${trusted()}}}`;
    expect(await ask({ check: second, port: secure })).toBe('ok');
    expect(await ask({ check: '{http: {path: /down}}', port: plain })).toMatch(/^status: .*503/);
    expect(await ask({ check: '{http: {body_contains: other}}', port: plain })).toMatch(/^body: /);
  });
  test('DNS', async () => {
    const name = 'name: server.test, type: A';
    expect(await ask({ check: `{dns: {${name}, answer: 192.0.2.7}}`, port: dns })).toBe('ok');
    expect(await ask({ check: `{dns: {${name}, answer: 192.0.2.8}}`, port: dns })).toMatch(
      /^body: /,
    );
    expect(await ask({ check: '{dns: {name: no.test, type: A}}', port: dns })).toBe(
      'status: Response code NXDOMAIN',
    );
  });
  test('slow, and gone', async () => {
    await expectFailures(web, { check: 'http', port: plain });
    await expectFailures(names, { check: `{dns: {name: server.test, type: A}}`, port: dns });
  }, 60_000);
});

test('a connection on which nothing is said is a failure of every kind that waits', async () => {
  const silent = await tcpServer((socket) => socket.resume());
  const { port } = silent.target;
  const kinds = ['http', 'ldap', '{mysql: {user: m}}', 'postgresql', '{sip: {transport: tcp}}'];
  const tls = ['https', '{https: {version: 2}}', '{ldap: {tls: tls}}', '{sip: {transport: tls}}'];
  const lines = ['smtp', 'smtps', 'imap', 'imaps', 'pop3', 'pop3s', 'ftp', 'nntp', 'redis'];
  for (const check of [...kinds, ...tls, ...lines]) {
    expect([check, await ask({ check, port, timeoutMs: 100 })]).toEqual([
      check,
      expect.stringMatching(/^timeout: Waited 100 ms for /),
    ]);
  }
  await silent.close();
});

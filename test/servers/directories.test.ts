/** Checks of directories, access and calls against slapd, FreeRADIUS and Kamailio. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCertificate, type TestCertificate } from '../unit/probes/servers.ts';
import { ask, expectFailures, ready } from './ask.ts';
import { freePorts, type Program, Workshop } from './program.ts';

const PASSWORD = 'correct horse';
let certificate: TestCertificate;
beforeAll(() => {
  certificate = makeCertificate('DNS:ldap.test');
});
afterAll(() => certificate.remove());

describe('slapd', () => {
  let workshop: Workshop;
  let server: Program;
  let port = 0;
  let tlsPort = 0;
  const check = (keys: string, at = port) => ({ check: `{ldap: {${keys}}}`, port: at });
  const bind = `bind_dn: "cn=monitor,dc=example,dc=com", password: ${PASSWORD}`;

  beforeAll(async () => {
    workshop = new Workshop();
    [port = 0, tlsPort = 0] = await freePorts(2);
    const data = workshop.folder('data');
    const crt = workshop.copy(certificate.certificateFile, 'ldap.crt');
    const key = workshop.copy(certificate.keyFile, 'ldap.key');
    const config = workshop.file(
      'slapd.conf',
      [
        'include /etc/ldap/schema/core.schema',
        'modulepath /usr/lib/ldap',
        'moduleload back_mdb.la',
        `pidfile ${data}/pid`,
        `TLSCertificateFile ${crt}`,
        `TLSCertificateKeyFile ${key}`,
        'database mdb',
        `directory ${data}`,
        'suffix "dc=example,dc=com"',
        'rootdn "cn=monitor,dc=example,dc=com"',
        `rootpw "${PASSWORD}"`,
        '',
      ].join('\n'),
    );
    const people = ['ada', 'grace'].map(
      (name) =>
        `dn: ou=${name},dc=example,dc=com\nobjectClass: organizationalUnit\nou: ${name}\n` +
        `description:: ${Buffer.from(`für ${name}`).toString('base64')}\n`,
    );
    const root =
      'dn: dc=example,dc=com\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n';
    workshop.run([
      'slapadd',
      '-f',
      config,
      '-l',
      workshop.file('data.ldif', [root, ...people].join('\n')),
    ]);
    const urls = `ldap://127.0.0.1:${port} ldaps://127.0.0.1:${tlsPort}`;
    server = workshop.start(['slapd', '-d', '0', '-f', config, '-h', urls]);
    await ready(server, { check: 'ldap', port });
  }, 60_000);
  afterAll(() => workshop.close());

  test('a bind, and a search that finds', async () => {
    expect(await ask(check(bind))).toBe('ok');
    expect(await ask(check('base: "dc=example,dc=com"'))).toBe('ok');
    // More than one: the server says that its limit is reached.
    expect(await ask(check(`${bind}, base: "dc=example,dc=com", scope: sub`))).toBe('ok');
    expect(
      await ask(check('base: "dc=example,dc=com", scope: one, filter: "(&(ou=a*a)(!(ou=grace)))"')),
    ).toBe('ok');
  });

  test.each([
    '(2.5.4.11=grace)',
    '(ou:caseExactMatch:=grace)',
    '(:dn:2.5.13.5:=grace)',
    '(description=für *)',
    '(description=f\\c3\\bcr*)',
    '(description~=für ada)',
    '(|(ou>=zoe)(!(description=für ad*)))',
  ])('a search by %s finds, and nothing when that must not be too', async (filter) => {
    const search = 'base: "dc=example,dc=com", scope: one';
    expect(await ask(check(`${search}, filter: '${filter}'`))).toBe('ok');
    const none = `(&${filter}(!${filter}))`;
    expect(await ask(check(`${search}, filter: '${none}'`))).toMatch(/^body: No entry below /);
  });

  test('TLS from the start and by StartTLS, with the certificate verified', async () => {
    const trust = `${bind}, server_name: ldap.test, ca_file: ${certificate.certificateFile}`;
    expect(await ask(check(`tls: tls, ${trust}`, tlsPort))).toBe('ok');
    expect(await ask(check(`tls: starttls, ${trust}`))).toBe('ok');
    expect(await ask(check('tls: tls, server_name: ldap.test', tlsPort))).toMatch(
      /^tls-untrusted: /,
    );
    expect(await ask(check('tls: starttls, verify: false'))).toBe('ok');
    expect(await ask(check('tls: tls, verify: false'))).toMatch(/^(tls|reset): /);
  });

  test('what is not as expected is a failure that says so, without the password', async () => {
    expect(await ask(check(bind.replace(PASSWORD, 'wrong')))).toBe(
      'status: The bind was refused: invalidCredentials (49)',
    );
    expect(await ask(check('base: "ou=no,dc=example,dc=com"'))).toBe(
      'status: The search failed: noSuchObject (32)',
    );
    expect(await ask(check('base: "dc=example,dc=com", filter: (ou=no)'))).toBe(
      'body: No entry below "dc=example,dc=com" matches (ou=no)',
    );
  });

  test('slow, and gone', () => expectFailures(server, check(bind)), 60_000);
});

describe('FreeRADIUS', () => {
  let workshop: Workshop;
  let server: Program;
  let port = 0;
  const check = (keys: string) => ({ check: `{radius: {${keys}}}`, port });
  const login = `secret: shared, user: monitor, password: ${PASSWORD}`;

  beforeAll(async () => {
    workshop = new Workshop();
    [port = 0] = await freePorts(1);
    workshop.file(
      'radiusd.conf',
      `
prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = ${workshop.directory}
run_dir = ${workshop.directory}
logdir = ${workshop.directory}
pidfile = ${workshop.directory}/pid
max_request_time = 5
log {
  destination = stdout
  auth = no
}
security {
  max_attributes = 200
  reject_delay = 0
  status_server = yes
}
client test {
  ipaddr = 127.0.0.1
  secret = shared
  require_message_authenticator = yes
}
thread pool {
  start_servers = 1
  max_servers = 1
  min_spare_servers = 1
  max_spare_servers = 1
  max_requests_per_server = 0
}
modules {
  pap {
  }
  always reject {
    rcode = reject
  }
}
server default {
  listen {
    type = auth
    ipaddr = 127.0.0.1
    port = ${port}
  }
  authorize {
    if (&User-Name == "monitor") {
      update control {
        &Cleartext-Password := "${PASSWORD}"
      }
      pap
    }
    else {
      update reply {
        &Reply-Message := "Who?"
      }
      reject
    }
  }
  authenticate {
    pap
  }
}
`,
    );
    server = workshop.start(['freeradius', '-f', '-d', workshop.directory, '-l', 'stdout']);
    await ready(server, check(login));
  }, 60_000);
  afterAll(() => workshop.close());

  test('a login, a refusal that is expected, and the status of the server', async () => {
    expect(await ask(check(login))).toBe('ok');
    expect(await ask(check(`${login.replace(PASSWORD, 'wrong')}, expect: [access-reject]`))).toBe(
      'ok',
    );
    expect(await ask(check('secret: shared'))).toBe('ok');
  });

  test('what is not as expected is a failure that says so, without secrets', async () => {
    expect(await ask(check(login.replace('monitor', 'nobody')))).toBe(
      'status: The answer is access-reject (Who?); expected access-accept',
    );
    // A server does not answer those who do not know the secret.
    expect(await ask({ ...check('secret: other'), timeoutMs: 300 })).toBe(
      'timeout: Waited 300 ms for an answer (a server is silent when the secret is wrong)',
    );
  });

  test('slow, and gone', () => expectFailures(server, check(login)), 60_000);
});

describe('Kamailio', () => {
  let workshop: Workshop;
  let server: Program;
  let port = 0;
  let tlsPort = 0;
  const check = (keys: string, at = port) => ({ check: `{sip: {${keys}}}`, port: at });

  beforeAll(async () => {
    workshop = new Workshop();
    [port = 0, tlsPort = 0] = await freePorts(2);
    const crt = workshop.copy(certificate.certificateFile, 'sip.crt');
    const key = workshop.copy(certificate.keyFile, 'sip.key');
    const config = workshop.file(
      'kamailio.cfg',
      `
debug=0
log_stderror=yes
fork=yes
children=1
tcp_children=1
enable_tls=yes
listen=udp:127.0.0.1:${port}
listen=tcp:127.0.0.1:${port}
listen=tls:127.0.0.1:${tlsPort}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/:/usr/lib/kamailio/modules/"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "${crt}")
modparam("tls", "private_key", "${key}")
request_route {
  if ($rU == "busy") { sl_send_reply("486", "Busy Here"); exit; }
  if (method == "OPTIONS") { sl_send_reply("200", "Fine"); exit; }
  sl_send_reply("405", "Method Not Allowed");
}
`,
    );
    server = workshop.start(
      ['kamailio', '-f', config, '-DD', '-E', '-m', '16', '-M', '4'].concat([
        '-Y',
        workshop.directory,
        '-P',
        `${workshop.directory}/pid`,
      ]),
    );
    await ready(server, { check: 'sip', port });
  }, 60_000);
  afterAll(() => workshop.close());

  test('OPTIONS by UDP and TCP', async () => {
    expect(await ask(check('transport: udp'))).toBe('ok');
    expect(await ask(check('transport: tcp'))).toBe('ok');
    expect(await ask(check(`uri: "sip:busy@127.0.0.1:${port}", status: [486]`))).toBe('ok');
  });

  test('OPTIONS by TLS, with the certificate verified', async () => {
    const trusted = `ca_file: ${certificate.certificateFile}, server_name: ldap.test`;
    expect(await ask(check(`transport: tls, ${trusted}`, tlsPort))).toBe('ok');
    expect(await ask(check('transport: tls, verify: false', tlsPort))).toBe('ok');
    expect(await ask(check('transport: tls', tlsPort))).toMatch(/^tls-untrusted: /);
    const busy = `transport: tls, ${trusted}, uri: "sips:busy@127.0.0.1:${tlsPort}"`;
    expect(await ask(check(busy, tlsPort))).toBe('status: Status 486 Busy Here');
  });

  test('another status is a failure that says so', async () => {
    for (const transport of ['udp', 'tcp']) {
      const busy = `transport: ${transport}, uri: "sip:busy@127.0.0.1:${port}"`;
      expect(await ask(check(busy))).toBe('status: Status 486 Busy Here');
    }
    const tls = { ...check('transport: tls, verify: false'), timeoutMs: 300 };
    expect(await ask(tls)).toBe('timeout: Waited 300 ms for the TLS handshake');
  });

  test('slow, and gone', () => expectFailures(server, check('transport: tcp')), 60_000);
});

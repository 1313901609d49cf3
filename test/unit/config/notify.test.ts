import { describe, expect, test } from 'vitest';
import { configOf, errorLines } from './read.ts';

const vrrp = (notify: string) =>
  `vrrp: {w: {interface: eth0, vrid: 7, addresses: [192.0.2.1/24], notify: ${notify}}}`;
const service = (notify: string) =>
  `services: {w: {address: 192.0.2.1:80, servers: [10.0.0.1:80], notify: ${notify}}}`;
const MAIL = 'mail: {from: a@example.com, to: [b@example.com]}';

describe('a notification', () => {
  test('of an instance has commands as words', () => {
    const text = vrrp(`{active: "/bin/a 'b c' d", backup: [/bin/e, "f g"], any: /bin/h}`);
    expect(configOf(text).notify.instances[0]).toMatchObject({
      name: 'w',
      active: ['/bin/a', 'b c', 'd'],
      backup: ['/bin/e', 'f g'],
      any: ['/bin/h'],
      fault: null,
      mail: false,
    });
  });

  test('of the director is taken over', () => {
    const text = `${vrrp('{lower_priority: /bin/l, priority_changes: true}')}
notify: {fifo: /run/f, fifo_services: false, fifo_script: /bin/r x, user: nobody, group: 65534, timeout: 5s,
  startup: /bin/u, shutdown: /bin/d, script_security: false}`;
    expect(configOf(text).notify).toEqual({
      fifo: '/run/f',
      fifoServices: false,
      fifoScript: ['/bin/r', 'x'],
      user: 'nobody',
      group: '65534',
      timeoutUs: 5_000_000,
      startup: ['/bin/u'],
      shutdown: ['/bin/d'],
      scriptSecurity: false,
      instances: [expect.objectContaining({ lowerPriority: ['/bin/l'], priorityChanges: true })],
      groups: [],
      fifoStatesOnReload: false,
    });
  });

  test('of a service has commands and mails, and nothing by default', () => {
    const of = (text: string) => configOf(`${service(text)}\n${MAIL}`).services[0]?.notify;
    expect(of('{}')).toEqual({
      quorumUp: null,
      quorumDown: null,
      serverUp: null,
      serverDown: null,
      mail: false,
      serverMail: false,
    });
    expect(
      of(
        '{quorum_up: /bin/a b, quorum_down: [/bin/c], server_up: /bin/d, server_down: /bin/e, mail: true, server_mail: true}',
      ),
    ).toEqual({
      quorumUp: ['/bin/a', 'b'],
      quorumDown: ['/bin/c'],
      serverUp: ['/bin/d'],
      serverDown: ['/bin/e'],
      mail: true,
      serverMail: true,
    });
  });

  test('may be given per director', () => {
    const text = vrrp('{active: {dir-a: /bin/a, default: /bin/b}}');
    expect(configOf(text, 'dir-a').notify.instances[0]?.active).toEqual(['/bin/a']);
    expect(configOf(text, 'dir-b').notify.instances[0]?.active).toEqual(['/bin/b']);
  });
});

describe('mail', () => {
  test('has defaults', () =>
    expect(configOf(`${vrrp('{mail: true}')}\n${MAIL}`).mail).toEqual({
      host: '127.0.0.1',
      port: 25,
      from: 'a@example.com',
      to: ['b@example.com'],
      helo: null,
      timeoutUs: 30_000_000,
    }));

  test.each([
    ['mail.example.com', 'mail.example.com', 25],
    ['mail:587', 'mail', 587],
    ['192.0.2.25', '192.0.2.25', 25],
    ['"[2001:db8::25]:2525"', '2001:db8::25', 2525],
  ])('takes the server %s', (server, host, port) => {
    const text = `${vrrp('{}')}\nmail: {server: ${server}, from: a@b, to: [c@d], helo: h.x}`;
    expect(configOf(text).mail).toMatchObject({ host, port, helo: 'h.x' });
  });
});

describe('errors are placed', () => {
  const command =
    'expected a command that starts with an absolute path: one line, or a list of words';
  test.each([
    [vrrp('{active: notify.sh}'), `f.yaml:1:82: vrrp.w.notify.active: ${command}, found notify.sh`],
    [vrrp('{active: []}'), `f.yaml:1:82: vrrp.w.notify.active: ${command}, found a list`],
    [vrrp('{stop: /}'), `f.yaml:1:80: vrrp.w.notify.stop: ${command}, found /`],
    [
      vrrp(`{any: "/bin/a 'b"}`),
      `f.yaml:1:79: vrrp.w.notify.any: expected a command, but the ' is not closed, found "/bin/a 'b"`,
    ],
    [vrrp('{mail: true}'), 'f.yaml:1:80: vrrp.w.notify.mail: the section mail is missing'],
    [service('{mail: true}'), 'f.yaml:1:78: services.w.notify.mail: the section mail is missing'],
    [
      service('{server_mail: true}'),
      'f.yaml:1:85: services.w.notify.server_mail: the section mail is missing',
    ],
    [service('{quorum_up: up}'), `f.yaml:1:83: services.w.notify.quorum_up: ${command}, found up`],
    [
      `${vrrp('{}')}\nnotify: {fifo_script: /bin/a}`,
      'f.yaml:2:23: notify.fifo_script: notify.fifo is missing, there is nothing to read',
    ],
    [
      `${vrrp('{}')}\nnotify: {fifo: run/f}`,
      'f.yaml:2:16: notify.fifo: expected an absolute path without .. and white space, found run/f',
    ],
    [
      `${vrrp('{}')}\nnotify: {user: "a b"}`,
      'f.yaml:2:16: notify.user: expected the name of a local user, or a number, found "a b"',
    ],
    [
      `${vrrp('{}')}\nmail: {to: [x@y]}`,
      'f.yaml:2:1: mail.from: expected a mail address, such as ops@example.com, found nothing',
    ],
    [
      `${vrrp('{}')}\nmail: {from: a@b, to: ["c@d, e@f"]}`,
      'f.yaml:2:24: mail.to[0]: expected a mail address, such as ops@example.com, found "c@d, e@f"',
    ],
    [
      `${vrrp('{}')}\nmail: {from: a@b, to: [c@d], server: "m:0"}`,
      'f.yaml:2:38: mail.server: expected a host name or an IP address, with or without port, such as mail.example.com:25, found "m:0"',
    ],
  ])('%j', (text, line) => expect(errorLines(text)).toEqual([line]));

  test('a timeout beyond ten minutes', () => {
    const [line] = errorLines(`${vrrp('{}')}\nnotify: {timeout: 11m}`);
    expect(line).toMatch(/^f\.yaml:2:19: notify\.timeout: .*from 1s to 10m.*, found 11m$/);
  });

  test('keepalived’s words lead to ours', () => {
    const [line] = errorLines(
      'vrrp: {w: {interface: eth0, vrid: 7, addresses: [192.0.2.1/24], notify_master: /bin/a}}',
    );
    expect(line).toContain('notify');
    expect(line).toMatch(/^f\.yaml:1:65: vrrp\.w\.notify_master: /);
  });

  test.each([
    ['quorum_up: /bin/a', 'services.w.quorum_up: unknown key, did you mean notify?'],
    ['notify_down: /bin/a', 'services.w.notify_down: unknown key, did you mean notify?'],
    ['smtp_alert: true', 'services.w.smtp_alert: unknown key, expected notify.mail'],
    [
      'servers: [{address: 10.0.0.1:80, notify_up: /bin/a}]',
      'services.w.servers[0].notify_up: is said for all servers of a service at once, expected notify.server_up at the service',
    ],
  ])('of services, too: %s', (text, line) => {
    const servers = text.startsWith('servers') ? '' : ', servers: [10.0.0.1:80]';
    const [found] = errorLines(`services: {w: {address: 192.0.2.1:80, ${text}${servers}}}`);
    expect(found?.replace(/^f\.yaml:1:\d+: /, '')).toBe(line);
  });
});

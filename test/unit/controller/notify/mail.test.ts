import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Mailer } from '../../../../src/controller/notify/mail.ts';
import type { MailConfig } from '../../../../src/core/config/config.ts';
import type { Problem } from '../../../../src/core/problem.ts';
import { waitFor } from '../../probes/servers.ts';
import { SmtpServer } from './smtp-server.ts';

let server: SmtpServer;
let config: MailConfig;
let problems: Problem[];
let mailers: Mailer[];
beforeEach(async () => {
  server = new SmtpServer();
  problems = [];
  mailers = [];
  config = {
    host: '127.0.0.1',
    port: await server.listen(),
    from: 'vipkeeper@example.com',
    to: ['ops@example.com', 'night@example.com'],
    helo: 'dir-a.example.com',
    timeoutUs: 2_000_000,
  };
});
afterEach(async () => {
  for (const mailer of mailers) mailer.close();
  await server.close();
});

function open(retryDelaysMs = [5, 5, 5]): Mailer {
  const onProblem = (problem: Problem) => void problems.push(problem);
  const mailer = new Mailer(config, { onProblem, retryDelaysMs });
  mailers.push(mailer);
  return mailer;
}

const mail = (n: number) => ({ subject: `[dir-a] mail ${n}`, text: `text ${n}\n.dot\n` });

describe('Mailer', () => {
  test('sends sender, recipients, greeting, subject and text', async () => {
    const mailer = open();
    mailer.send(mail(1));
    await mailer.empty();
    expect(server.mails).toHaveLength(1);
    expect(server.mails[0]).toMatchObject({
      helo: 'dir-a.example.com',
      from: '<vipkeeper@example.com>',
      to: ['<ops@example.com>', '<night@example.com>'],
    });
    const { data } = server.mails[0] as (typeof server.mails)[0];
    expect(data).toContain('\nSubject: [dir-a] mail 1\n');
    expect(data).toContain('\nTo: ops@example.com, night@example.com\n');
    expect(data).toMatch(/\n\ntext 1\n\.\.dot\n/);
    expect(mailer.report()).toEqual({ delivered: 1, failed: 0, dropped: 0, waiting: 0 });
  });

  test('sends many in their order', async () => {
    const mailer = open();
    for (let n = 0; n < 20; n++) mailer.send(mail(n));
    await mailer.empty();
    const subjects = server.mails.map(({ data }) => /^Subject: .* (\d+)$/m.exec(data)?.[1]);
    expect(subjects).toEqual(Array.from({ length: 20 }, (_, n) => String(n)));
  });

  test('comes again when the server says so, before the next mail', async () => {
    server.refusals.push('451 come again', '421 closing');
    const mailer = open();
    mailer.send(mail(1));
    mailer.send(mail(2));
    await mailer.empty();
    expect(server.mails.map(({ data }) => /mail (\d)/.exec(data)?.[1])).toEqual(['1', '2']);
    expect(problems).toEqual([]);
  });

  test('gives a mail up that the server refuses, says so, and sends the next', async () => {
    server.refusals.push('550 relaying denied');
    const mailer = open();
    mailer.send(mail(1));
    mailer.send(mail(2));
    await mailer.empty();
    expect(mailer.report()).toEqual({ delivered: 1, failed: 1, dropped: 0, waiting: 0 });
    expect(problems).toHaveLength(1);
    expect(problems[0]?.code).toBe('VK-MAIL');
    expect(problems[0]?.message).toMatch(
      /^The mail "\[dir-a\] mail 1" was not sent by 127\.0\.0\.1 port \d+: .*550 relaying denied/,
    );
  });

  test('gives up after four attempts without a server', async () => {
    await server.close();
    const mailer = open();
    mailer.send(mail(1));
    await mailer.empty();
    expect(mailer.report()).toMatchObject({ delivered: 0, failed: 1 });
    expect(problems[0]?.message).toContain('ECONNREFUSED');
    server = new SmtpServer();
    await server.listen();
  });

  test('does not wait longer than its time for a server that says nothing', async () => {
    server.silent = true;
    config = { ...config, timeoutUs: 1_000_000 };
    const mailer = open([]);
    const startedAtMs = performance.now();
    mailer.send(mail(1));
    await mailer.empty();
    expect(performance.now() - startedAtMs).toBeLessThan(4_000);
    expect(mailer.report().failed).toBe(1);
  });

  test('keeps the newest 64 that wait, and counts the others', async () => {
    server.silent = true;
    const mailer = open([]);
    for (let n = 0; n < 70; n++) mailer.send(mail(n));
    expect(mailer.report()).toEqual({ delivered: 0, failed: 0, dropped: 6, waiting: 64 });
    await waitFor('a connection', () => server.connections > 0);
    mailer.close();
    await mailer.empty();
    expect(mailer.report()).toEqual({ delivered: 0, failed: 0, dropped: 70, waiting: 0 });
  });

  test('sends what comes after a change by the changed configuration', async () => {
    const mailer = open();
    mailer.send(mail(1));
    await mailer.empty();
    mailer.configure({ ...config, to: ['new@example.com'] });
    mailer.send(mail(2));
    await mailer.empty();
    expect(server.mails[1]?.to).toEqual(['<new@example.com>']);
  });
});

import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Notifier } from '../../../../src/controller/notify/notifier.ts';
import type { Config, ServiceConfig } from '../../../../src/core/config/config.ts';
import { checkOf } from '../../../../src/core/health/check-key.ts';
import type { ServerHealth } from '../../../../src/core/health/pool.ts';
import { configOf } from '../../config/read.ts';
import { waitFor } from '../../probes/servers.ts';
import { memoryLog, ScriptDirectory } from './scripts.ts';
import { SmtpServer } from './smtp-server.ts';

let scripts: ScriptDirectory;
let notifiers: Notifier[];
let log: ReturnType<typeof memoryLog>;
beforeEach(() => {
  scripts = new ScriptDirectory();
  notifiers = [];
  log = memoryLog();
});
afterEach(async () => {
  await Promise.all(notifiers.map((notifier) => notifier.stop()));
  scripts.remove();
});

/** Services web and other, with the same two servers; `notify` of web as YAML in flow style. */
function config(notify: string, { director = '', extra = '', servers = '11, 12' } = {}): Config {
  const list = servers.split(', ').map((host) => `10.0.0.${host}:80`);
  const service = (port: number, more: string) =>
    `{address: 192.0.2.10:${port}, servers: [${list.join(', ')}]${more}}`;
  return configOf(`services:
  web: ${service(80, notify === '' ? '' : `, notify: ${notify}`)}
  other: ${service(81, '')}
runtime_directory: ${scripts.path}/run
notify: {script_security: false, ${director}}
${extra}`);
}

async function start(from: Config): Promise<Notifier> {
  const notifier = new Notifier(from, log.log);
  notifiers.push(notifier);
  await notifier.start();
  return notifier;
}

/** A script that appends its name and what it is told to the file out. */
function recorder(name: string, more = ''): string {
  const told = '$VIPKEEPER_SERVICE $VIPKEEPER_SERVER $VIPKEEPER_PREVIOUS_STATE-$VIPKEEPER_STATE';
  return scripts.script(name, `${more}\necho ${name} ${told} >> ${scripts.file('out')}`);
}

const out = () => scripts.lines('out');
const memoryText = () => readFileSync(`${scripts.path}/run/notified.json`, 'utf8');

function serviceOf(from: Config, name = 'web'): ServiceConfig {
  return from.services.find((service) => service.name === name) as ServiceConfig;
}

/** The check of a server of web, which decides about other too, has changed its mind. */
function health(notifier: Notifier, from: Config, index: number, to: 'up' | 'down'): void {
  const server = serviceOf(from).servers[index];
  const key = server === undefined ? undefined : checkOf(server)?.key;
  notifier.services.healthChanged(key as string, ['web', 'other'], { to, reason: `it is ${to}` });
}

function knownAs(state: ServerHealth, quorumMet: boolean | null) {
  return { health: () => state, quorum: () => ({ quorumMet, healthyWeight: 2 }) };
}

describe('ServiceNotifier', () => {
  test('runs the script of what has happened, with its circumstances, and of nothing else', async () => {
    const [quorumUp, quorumDown] = [recorder('quorum-up'), recorder('quorum-down')];
    const [serverUp, serverDown] = [recorder('server-up'), recorder('server-down')];
    const from = config(
      `{quorum_up: ${quorumUp}, quorum_down: ${quorumDown}, server_up: ${serverUp}, server_down: ${serverDown}}`,
    );
    const notifier = await start(from);
    const web = serviceOf(from);
    const told = async (count: number) => {
      await waitFor(`${count} scripts`, () => notifier.report().script.delivered === count);
    };
    notifier.services.quorumChanged(web, true, 2);
    await told(1);
    health(notifier, from, 0, 'up');
    await told(2);
    health(notifier, from, 0, 'down');
    await told(3);
    notifier.services.quorumChanged(web, false, 0);
    await told(4);
    // Nothing new, and a service that nobody is told of.
    health(notifier, from, 0, 'down');
    notifier.services.quorumChanged(web, false, 0);
    notifier.services.quorumChanged(serviceOf(from, 'other'), false, 0);
    health(notifier, from, 1, 'down');
    await told(5);
    expect(out()).toEqual([
      'quorum-up web unknown-up',
      'server-up web 10.0.0.11:80 unknown-up',
      'server-down web 10.0.0.11:80 up-down',
      'quorum-down web up-down',
      'server-down web 10.0.0.12:80 unknown-down',
    ]);
    const ended = log.lines.find(({ word, server }) => word === 'DOWN' && server !== undefined);
    expect(ended).toMatchObject({ event: 'notify', service: 'web', server: '10.0.0.11:80' });
  });

  test('runs one script at a time for a server, in order, and leaves out the oldest', async () => {
    const gate = scripts.file('gate');
    const busy = scripts.file('busy');
    const waits = `mkdir ${busy} || exit 9; while [ ! -e ${gate} ]; do sleep 0.02; done; rmdir ${busy}`;
    const from = config(
      `{server_up: ${recorder('up', waits)}, server_down: ${recorder('down', waits)}}`,
    );
    const notifier = await start(from);
    for (let n = 0; n < 41; n++) health(notifier, from, 0, n % 2 === 0 ? 'down' : 'up');
    expect(notifier.report().script.dropped).toBe(41 - 1 - 16);
    scripts.script('gate', '');
    await waitFor('the rest', () => notifier.report().script.delivered === 17);
    expect(out()[0]).toBe('down web 10.0.0.11:80 unknown-down');
    expect(out().at(-1)).toBe('down web 10.0.0.11:80 up-down');
  });

  test('delays no script of an instance, however many of servers wait', async () => {
    const hosts = Array.from({ length: 40 }, (_, index) => String(index + 1)).join(', ');
    const from = config(`{server_down: ${scripts.script('slow', 'exec sleep 60')}}`, {
      servers: hosts,
      director: 'timeout: 5s',
      extra: `vrrp: {one: {interface: eth0, vrid: 1, addresses: [192.0.2.1/24], notify: {active: ${recorder('active')}}}}`,
    });
    const notifier = await start(from);
    for (let index = 0; index < 40; index++) health(notifier, from, index, 'down');
    notifier.transition({
      ...{ instance: 'one', from: 'backup', to: 'active', reason: 'peers-silent' },
      ...{ peer: null, priority: 100, atMs: 0 },
    });
    await waitFor('its script', () => out().length === 1);
    expect(notifier.report().script.waiting).toBe(40 - 16);
  });

  test('ends a script that takes too long, and says which cannot be run', async () => {
    const missing = scripts.file('missing');
    const from = config(
      `{server_down: ${scripts.script('slow', 'exec sleep 60')}, server_up: ${missing}}`,
      { director: 'timeout: 1s' },
    );
    const notifier = await start(from);
    const said = () => log.lines.filter(({ code }) => code === 'VK-SCRIPT');
    // At the start already.
    await waitFor('the first word', () => said().length === 1);
    health(notifier, from, 0, 'down');
    health(notifier, from, 0, 'up');
    await waitFor('the failures', () => notifier.report().script.failed === 2);
    expect(log.lines.find(({ reason }) => reason === 'failed')?.msg).toMatch(
      /slow did not end within 1s and was ended by SIGTERM$/,
    );
    expect(said()[1]).toMatchObject({
      msg: `${missing} cannot be run: it does not exist`,
      server: '10.0.0.11:80',
      word: 'UP',
    });
  });

  test('writes lines of all services and servers to the FIFO, unless that is not wanted', async () => {
    const reader = scripts.script('reader', `cat "$1" > ${scripts.file('out')}`);
    const director = `fifo: ${scripts.file('fifo')}, fifo_script: ${reader}`;
    const from = config('', { director });
    const notifier = await start(from);
    health(notifier, from, 0, 'up');
    notifier.services.quorumChanged(serviceOf(from), true, 1);
    notifier.configure(config('', { director: `${director}, fifo_services: false` }));
    health(notifier, from, 0, 'down');
    notifier.configure(from);
    notifier.services.learn({ ...knownAs('down', false), quorum: () => null });
    await waitFor('the lines', () => out().length === 7);
    expect(out()).toEqual([
      'RS [10.0.0.11]:tcp:80 [192.0.2.10]:tcp:80 UP',
      'RS [10.0.0.11]:tcp:80 [192.0.2.10]:tcp:81 UP',
      'VS [192.0.2.10]:tcp:80 UP',
      'RS [10.0.0.11]:tcp:80 [192.0.2.10]:tcp:80 DOWN',
      'RS [10.0.0.12]:tcp:80 [192.0.2.10]:tcp:80 DOWN',
      'RS [10.0.0.11]:tcp:80 [192.0.2.10]:tcp:81 DOWN',
      'RS [10.0.0.12]:tcp:80 [192.0.2.10]:tcp:81 DOWN',
    ]);
  });

  test('mails what it is asked for, but not that all is well at the start', async () => {
    const server = new SmtpServer();
    const port = await server.listen();
    const from = config('{mail: true, server_mail: true}', {
      extra: `mail: {server: "127.0.0.1:${port}", from: a@b.c, to: [d@e.f]}`,
    });
    const notifier = await start(from);
    notifier.services.quorumChanged(serviceOf(from), true, 2);
    health(notifier, from, 0, 'up');
    health(notifier, from, 1, 'down');
    notifier.services.quorumChanged(serviceOf(from), false, 0);
    health(notifier, from, 1, 'up');
    await waitFor('the mails', () => notifier.report().mail.delivered === 3);
    const subjects = server.mails.map(({ data }) => {
      const unfolded = data.replaceAll(/\n[ \t]+/g, ' ');
      return /\nSubject: (.*)\n/.exec(unfolded)?.[1];
    });
    expect(subjects).toEqual([
      '[dir-a] Realserver [10.0.0.12]:tcp:80 of virtual server [192.0.2.10]:tcp:80 - DOWN',
      '[dir-a] Virtualserver [192.0.2.10]:tcp:80 - DOWN',
      '[dir-a] Realserver [10.0.0.12]:tcp:80 of virtual server [192.0.2.10]:tcp:80 - UP',
    ]);
    await Promise.all(notifiers.splice(0).map((each) => each.stop()));
    await server.close();
  });
});

describe('what was told', () => {
  test('is not told again by the next controller, and what has changed is', async () => {
    const from = config(`{server_up: ${recorder('up')}, server_down: ${recorder('down')}}`);
    const first = await start(from);
    health(first, from, 0, 'up');
    health(first, from, 1, 'up');
    await waitFor('the memory', () => memoryText().includes('server web/10.0.0.12:80'));
    const second = await start(from);
    health(second, from, 0, 'up');
    health(second, from, 1, 'down');
    await waitFor('the change', () => out().length === 3);
    expect(out().at(-1)).toBe('down web 10.0.0.12:80 up-down');
  });

  test('is told again after a proper stop, and after its service was gone', async () => {
    const from = config(`{server_up: ${recorder('up')}}`);
    const notifier = await start(from);
    health(notifier, from, 0, 'up');
    await waitFor('the first', () => out().length === 1);
    notifier.configure({ ...from, services: [] });
    notifier.configure(from);
    notifier.services.learn(knownAs('unknown', null));
    health(notifier, from, 0, 'up');
    await waitFor('the second', () => out().length === 2);
    await notifier.stop();
    const next = await start(from);
    health(next, from, 0, 'up');
    await waitFor('the third', () => out().length === 3);
  });

  test('is what was known, where a reload asks for it only then', async () => {
    const notifier = await start(config(''));
    const from = config(`{quorum_up: ${recorder('quorum')}, server_up: ${recorder('up')}}`);
    notifier.configure(from);
    notifier.services.learn(knownAs('up', true));
    await waitFor('the scripts', () => out().length === 3);
    expect(out().toSorted()).toEqual([
      'quorum web unknown-up',
      'up web 10.0.0.11:80 unknown-up',
      'up web 10.0.0.12:80 unknown-up',
    ]);
    // Once.
    notifier.services.learn(knownAs('down', false));
    notifier.configure(from);
    notifier.services.learn(knownAs('up', true));
    health(notifier, from, 0, 'up');
    await notifier.stop();
    expect(out()).toHaveLength(3);
  });
});

import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Notifier, type Transition } from '../../../../src/controller/notify/notifier.ts';
import type { Config } from '../../../../src/core/config/config.ts';
import type { VrrpStateName } from '../../../../src/core/vrrp/types.ts';
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

/** A director with instances web and db, whose `notify` is given as YAML in flow style. */
function config(web: string, { director = '', db = '{}', extra = '' } = {}): Config {
  const instance = (vrid: number, notify: string) =>
    `{interface: eth0, vrid: ${vrid}, addresses: [192.0.2.${vrid}/24], notify: ${notify}}`;
  return configOf(`vrrp: {web: ${instance(1, web)}, db: ${instance(2, db)}}
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

/** A transition of web with what does not matter filled in. */
function change(
  from: VrrpStateName,
  to: VrrpStateName,
  more: Partial<Transition> = {},
): Transition {
  const reason = to === 'active' ? 'peers-silent' : 'stopped';
  return { instance: 'web', from, to, reason, peer: '192.0.2.9', priority: 150, atMs: 0, ...more };
}

/** A script that appends its name and arguments to the file out. */
function recorder(name: string, more = ''): string {
  return scripts.script(name, `${more}\necho ${name} "$@" >> ${scripts.file('out')}`);
}

const out = () => scripts.lines('out');
const memoryText = () => readFileSync(`${scripts.path}/run/notified.json`, 'utf8');

describe('Notifier', () => {
  test('runs the state’s script without arguments, then any with keepalived’s four', async () => {
    const each = ['active', 'backup', 'fault', 'stop', 'any'].map((name) => recorder(name));
    const [active, backup, fault, stop, any] = each as [string, string, string, string, string];
    const notifier = await start(
      config(
        `{active: ${active}, backup: "${backup} x", fault: ${fault}, stop: ${stop}, any: ${any}}`,
      ),
    );
    notifier.transition(change('initialize', 'backup', { priority: 100 }));
    notifier.transition(change('backup', 'active'));
    notifier.transition(change('active', 'fault'));
    notifier.transition(change('fault', 'initialize'));
    await waitFor('the scripts', () => out().length === 8);
    expect(out()).toEqual([
      'backup x',
      'any INSTANCE web BACKUP 100',
      'active',
      'any INSTANCE web MASTER 150',
      'fault',
      'any INSTANCE web FAULT 150',
      'stop',
      'any INSTANCE web STOP 150',
    ]);
    await waitFor('the count', () => notifier.report().script.delivered === 8);
    expect(notifier.report().script).toEqual({ delivered: 8, failed: 0, dropped: 0, waiting: 0 });
  });

  test('tells scripts the circumstances in their environment', async () => {
    const any = scripts.script('any', `env | grep ^VIPKEEPER_ | sort > ${scripts.file('out')}`);
    const notifier = await start(config(`{any: ${any}}`));
    notifier.transition(change('backup', 'active'));
    await waitFor('the script', () => notifier.report().script.delivered === 1);
    expect(out()).toEqual([
      'VIPKEEPER_DIRECTOR=dir-a',
      'VIPKEEPER_INSTANCE=web',
      'VIPKEEPER_PEER=192.0.2.9',
      'VIPKEEPER_PREVIOUS_STATE=backup',
      'VIPKEEPER_PRIORITY=150',
      'VIPKEEPER_REASON=peers-silent',
      'VIPKEEPER_STATE=active',
    ]);
  });

  test('runs one script at a time for an instance, and in order, however slow', async () => {
    const busy = scripts.file('busy');
    const any = recorder('any', `mkdir ${busy} || exit 9; sleep 0.1; rmdir ${busy}`);
    const notifier = await start(config(`{any: ${any}}`));
    for (let n = 0; n < 6; n++) {
      const [from, to] =
        n % 2 === 0 ? (['backup', 'active'] as const) : (['active', 'backup'] as const);
      notifier.transition(change(from, to, { priority: n + 1 }));
    }
    await waitFor('all six', () => notifier.report().script.delivered === 6);
    expect(out().map((line) => line.split(' ').slice(3).join(' '))).toEqual([
      'MASTER 1',
      'BACKUP 2',
      'MASTER 3',
      'BACKUP 4',
      'MASTER 5',
      'BACKUP 6',
    ]);
  });

  test('leaves out the oldest of too many, says so, and never loses the last state', async () => {
    const gate = scripts.file('gate');
    const any = recorder('any', `while [ ! -e ${gate} ]; do sleep 0.02; done`);
    const notifier = await start(config(`{any: ${any}}`));
    for (let n = 0; n < 41; n++) {
      const [from, to] =
        n % 2 === 0 ? (['backup', 'active'] as const) : (['active', 'backup'] as const);
      notifier.transition(change(from, to, { priority: n + 1 }));
    }
    scripts.script('gate', '');
    const { dropped } = notifier.report().script;
    expect(dropped).toBe(41 - 1 - 16);
    await waitFor('the rest', () => notifier.report().script.delivered === 17);
    expect(out().at(0)).toBe('any INSTANCE web MASTER 1');
    expect(out().at(-1)).toBe('any INSTANCE web MASTER 41');
    expect(log.lines.filter(({ reason }) => reason === 'dropped')).toHaveLength(dropped);
  });

  test('logs a script that fails with the end of what it printed, and goes on', async () => {
    const bad = scripts.script('bad', 'echo no luck; exit 7');
    const notifier = await start(config(`{active: ${bad}, any: ${recorder('any')}}`));
    notifier.transition(change('backup', 'active'));
    await waitFor('both', () => out().length === 1 && notifier.report().script.failed === 1);
    expect(log.lines.find(({ reason }) => reason === 'failed')).toMatchObject({
      msg: `Script ${bad} ended with exit status 7`,
      output: 'no luck',
      instance: 'web',
      word: 'MASTER',
    });
  });

  test('says of a script that is missing at the start and counts each failed run', async () => {
    const missing = scripts.file('missing');
    const notifier = await start(config(`{active: ${missing}}`));
    const said = () => log.lines.filter(({ code }) => code === 'VK-SCRIPT');
    await waitFor('the first word', () => said().length === 1);
    notifier.transition(change('backup', 'active'));
    await waitFor('the second', () => said().length === 2);
    expect(said()[1]).toMatchObject({
      level: 50,
      msg: `${missing} cannot be run: it does not exist`,
      cure: 'Install it, or correct its path',
      word: 'MASTER',
    });
    expect(notifier.report().script.failed).toBe(1);
  });

  test('runs no script when the user is not known', async () => {
    const notifier = await start(
      config(`{any: ${recorder('any')}}`, { director: 'user: no-such-user-here' }),
    );
    notifier.transition(change('backup', 'active'));
    await waitFor('the failure', () => notifier.report().script.failed === 1);
    expect(out()).toEqual([]);
    expect(log.lines.some(({ msg }) => msg.startsWith('The user no-such-user-here'))).toBe(true);
  });

  test('writes lines of all instances and groups to the FIFO, in order', async () => {
    const reader = scripts.script('reader', `cat "$1" > ${scripts.file('out')}`);
    const notifier = await start(
      config('{priority_changes: true}', {
        director: `fifo: ${scripts.file('fifo')}, fifo_script: ${reader}`,
        extra: 'groups: {all: {instances: [web, db]}}',
      }),
    );
    notifier.transition(change('initialize', 'backup'));
    notifier.transition(change('initialize', 'backup', { instance: 'db', priority: 90 }));
    notifier.transition(change('backup', 'active'));
    notifier.lowerPriority({ instance: 'web', peer: '192.0.2.8', priority: 150, atMs: 0 });
    notifier.lowerPriority({ instance: 'db', peer: '192.0.2.8', priority: 90, atMs: 0 });
    notifier.priorityChanged('web', 160);
    notifier.priorityChanged('db', 91);
    notifier.transition(change('backup', 'active', { instance: 'db', priority: 91 }));
    notifier.transition(change('active', 'backup', { priority: 160 }));
    notifier.priorityChanged('web', 140);
    await waitFor('the lines', () => out().length === 10);
    const [pair] = notifiers.splice(0);
    await pair?.stop();
    await waitFor('the stop', () => out().length === 13);
    expect(readFileSync(scripts.file('out'), 'utf8')).toBe(`\
INSTANCE "web" BACKUP 150
INSTANCE "db" BACKUP 90
GROUP "all" BACKUP 0
INSTANCE "web" MASTER 150
INSTANCE "web" MASTER_RX_LOWER_PRI 150
INSTANCE "web" MASTER_PRIORITY 160
INSTANCE "db" MASTER 91
GROUP "all" MASTER 0
INSTANCE "web" BACKUP 160
INSTANCE "web" BACKUP_PRIORITY 140
INSTANCE "web" STOP 140
INSTANCE "db" STOP 91
GROUP "all" STOP 0
`);
  });

  test('runs the scripts of groups, and mails, when all members have come to one state', async () => {
    const server = new SmtpServer();
    const port = await server.listen();
    const active = scripts.script(
      'active',
      `echo "active $VIPKEEPER_GROUP $VIPKEEPER_STATE" >> ${scripts.file('out')}`,
    );
    const group = `{active: ${active}, fault: ${recorder('fault')}, any: ${recorder('any')}, mail: true}`;
    const notifier = await start(
      config('{}', {
        extra: `groups: {all: {instances: [web, db], notify: ${group}}}
mail: {server: "127.0.0.1:${port}", from: a@b.c, to: [d@e.f]}`,
      }),
    );
    notifier.transition(change('backup', 'active'));
    notifier.transition(change('backup', 'active', { instance: 'db' }));
    await waitFor('two scripts', () => notifier.report().script.delivered === 2);
    notifier.transition(change('active', 'fault', { reason: 'interface-down' }));
    notifier.transition(
      change('active', 'fault', { instance: 'db', reason: 'group-member-fault' }),
    );
    await waitFor('four scripts', () => notifier.report().script.delivered === 4);
    expect(out()).toEqual([
      'active all active',
      'any GROUP all MASTER 0',
      'fault',
      'any GROUP all FAULT 0',
    ]);
    await waitFor('the mails', () => notifier.report().mail.delivered === 2);
    expect(server.mails[0]?.data).toContain(
      '\nSubject: [dir-a] VRRP Group all - Entering MASTER state\n',
    );
    expect(server.mails[1]?.data).toContain(
      '\nSync group all of director dir-a is fault (before: active).\n',
    );
    await Promise.all(notifiers.splice(0).map((each) => each.stop()));
    await server.close();
  });

  test('writes all states to the FIFO again after a reload, where that is wanted', async () => {
    const reader = scripts.script('reader', `cat "$1" > ${scripts.file('out')}`);
    const from = config('{}', {
      director: `fifo: ${scripts.file('fifo')}, fifo_script: ${reader}, fifo_states_on_reload: true`,
      extra: 'groups: {all: {instances: [web]}}',
    });
    const notifier = await start(from);
    notifier.transition(change('initialize', 'backup'));
    notifier.transition(change('initialize', 'active', { instance: 'db', priority: 90 }));
    notifier.configure(from);
    await waitFor('the lines', () => out().length === 6);
    expect(out()).toEqual([
      'INSTANCE "web" BACKUP 150',
      'GROUP "all" BACKUP 0',
      'INSTANCE "db" MASTER 90',
      'INSTANCE "web" BACKUP 150',
      'INSTANCE "db" MASTER 90',
      'GROUP "all" BACKUP 0',
    ]);
  });

  test('runs lower_priority for the active only, and any for changed priorities where asked', async () => {
    const notifier = await start(
      config(
        `{lower_priority: ${recorder('lower')}, any: ${recorder('any')}, priority_changes: true}`,
        { db: `{any: ${recorder('db')}}` },
      ),
    );
    notifier.lowerPriority({ instance: 'web', peer: '192.0.2.8', priority: 150, atMs: 0 });
    notifier.priorityChanged('web', 120);
    notifier.transition(change('backup', 'active'));
    notifier.lowerPriority({ instance: 'web', peer: '192.0.2.8', priority: 150, atMs: 0 });
    notifier.priorityChanged('web', 160);
    notifier.transition(change('backup', 'active', { instance: 'db' }));
    notifier.priorityChanged('db', 160);
    await waitFor('the scripts', () => notifier.report().script.delivered === 4);
    expect(out().filter((line) => !line.startsWith('db'))).toEqual([
      'any INSTANCE web MASTER 150',
      'lower',
      'any INSTANCE web MASTER_PRIORITY 160',
    ]);
    expect(out().filter((line) => line.startsWith('db'))).toEqual(['db INSTANCE db MASTER 150']);
  });

  test('mails what it is asked for', async () => {
    const server = new SmtpServer();
    const port = await server.listen();
    const notifier = await start(
      config('{mail: true}', {
        extra: `mail: {server: "127.0.0.1:${port}", from: a@b.c, to: [d@e.f]}`,
      }),
    );
    notifier.transition(change('backup', 'active'));
    notifier.transition(change('backup', 'active', { instance: 'db' }));
    await waitFor('the mail', () => notifier.report().mail.delivered === 1);
    const data = server.mails[0]?.data ?? '';
    expect(data).toContain('\nSubject: [dir-a] VRRP Instance web - Entering MASTER state\n');
    expect(data).toContain('\nVRRP instance web of director dir-a is active (before: backup).\n');
    expect(server.mails).toHaveLength(1);
    const [own] = notifiers.splice(0);
    await own?.stop();
    expect(server.mails.map((mail) => /Entering (\w+)/.exec(mail.data)?.[1])).toEqual([
      'MASTER',
      'STOP',
    ]);
    await server.close();
  });

  test('tells no state twice', async () => {
    const notifier = await start(config(`{any: ${recorder('any')}}`));
    notifier.transition(change('backup', 'active'));
    notifier.transition(change('initialize', 'active', { reason: 'adopted' }));
    notifier.learn({
      name: 'web',
      state: 'active',
      reason: 'adopted',
      peer: null,
      priority: 150,
      lastTransitionAtMs: 0,
    });
    notifier.transition(change('active', 'backup'));
    await waitFor('both', () => notifier.report().script.delivered === 2);
    expect(out().map((line) => line.split(' ')[3])).toEqual(['MASTER', 'BACKUP']);
  });
});

describe('a controller that is started again', () => {
  const learned = (state: VrrpStateName) => ({
    name: 'web',
    state,
    reason: 'peers-silent' as const,
    peer: { address: '192.0.2.9', priority: 100, advertIntervalUs: 1_000_000, lastHeardUs: 0 },
    priority: 150,
    lastTransitionAtMs: 0,
  });

  test('tells of a group what came of transitions that were told before', async () => {
    const waits = `echo >> ${scripts.file('begun')}; test -e ${scripts.file('go')} || exec sleep 600`;
    const group = `{instances: [web], notify: {any: ${recorder('group', waits)}}}`;
    const from = config('{}', { extra: `groups: {all: ${group}}` });
    const first = await start(from);
    first.transition(change('initialize', 'active'));
    await waitFor('its begin', () => scripts.lines('begun').length === 1);
    expect(memoryText()).toContain('web');
    expect(memoryText()).not.toContain('group all');
    writeFileSync(scripts.file('go'), '');
    const second = await start(from);
    await waitFor('the script', () => second.report().script.delivered === 1);
    expect(out()).toEqual(['group GROUP all MASTER 0']);
    await waitFor('the memory', () => memoryText().includes('group all'));
  });

  test('tells nothing that was told, runs no startup again, and tells what has changed', async () => {
    const from = config(`{any: ${recorder('any')}}`, {
      director: `startup: ${recorder('startup')}`,
    });
    const first = await start(from);
    expect(out()).toEqual(['startup']);
    first.transition(change('initialize', 'backup'));
    await waitFor('the first state', () => first.report().script.delivered === 2);
    const second = await start(from);
    second.learn(learned('backup'));
    second.learn(learned('active'));
    await waitFor('the change', () => out().length === 3);
    expect(out()).toEqual([
      'startup',
      'any INSTANCE web BACKUP 150',
      'any INSTANCE web MASTER 150',
    ]);
  });

  test('tells a state again whose script had not ended', async () => {
    const from = config(`{active: ${recorder('slow', 'sleep 60')}}`);
    const first = await start(from);
    first.transition(change('backup', 'active'));
    const second = await start(config(`{active: ${recorder('fast')}}`));
    second.learn(learned('active'));
    await waitFor('the script', () => out().length === 1);
    expect(out()).toEqual(['fast']);
  });

  test('begins anew after a proper stop', async () => {
    const from = config(`{any: ${recorder('any')}}`, {
      director: `startup: ${recorder('startup')}`,
    });
    const first = await start(from);
    first.transition(change('initialize', 'backup'));
    await first.stop();
    const second = await start(from);
    second.transition(change('initialize', 'backup'));
    await waitFor('all', () => out().length === 5);
    expect(out().map((line) => line.split(' ')[3] ?? line)).toEqual([
      'startup',
      'BACKUP',
      'STOP',
      'startup',
      'BACKUP',
    ]);
  });
});

describe('an instance that is taken out of the configuration', () => {
  const without = (from: Config): Config => ({
    ...from,
    vrrp: from.vrrp.filter(({ name }) => name !== 'web'),
    notify: {
      ...from.notify,
      instances: from.notify.instances.filter(({ name }) => name !== 'web'),
    },
  });

  test('is deleted, where there is a command for that', async () => {
    const from = config(
      `{deleted: ${recorder('deleted')}, fault: ${recorder('fault')}, any: ${recorder('any')}}`,
    );
    const notifier = await start(from);
    notifier.transition(change('backup', 'active'));
    notifier.configure(without(from));
    notifier.transition(change('active', 'initialize'));
    await waitFor('the scripts', () => notifier.report().script.delivered === 3);
    expect(out()).toEqual([
      'any INSTANCE web MASTER 150',
      'deleted',
      'any INSTANCE web DELETED 150',
    ]);
  });

  test('is else in fault, once', async () => {
    const from = config(`{fault: ${recorder('fault')}, any: ${recorder('any')}}`);
    const notifier = await start(from);
    notifier.transition(change('backup', 'active'));
    notifier.configure(without(from));
    notifier.transition(change('active', 'initialize'));
    notifier.configure(from);
    notifier.transition(change('initialize', 'fault'));
    notifier.configure(without(from));
    notifier.transition(change('fault', 'initialize'));
    notifier.configure(from);
    notifier.transition(change('initialize', 'backup'));
    await waitFor('the scripts', () => notifier.report().script.delivered === 6);
    expect(out()).toEqual([
      'any INSTANCE web MASTER 150',
      // It was active when it was taken out.
      'fault',
      'any INSTANCE web FAULT 150',
      // It came back, in fault, and was taken out again: that is no news.
      'fault',
      'any INSTANCE web FAULT 150',
      'any INSTANCE web BACKUP 150',
    ]);
  });
});

describe('Notifier.stop', () => {
  test('waits for the scripts of the stop, and runs shutdown last', async () => {
    const stop = recorder('stop', 'sleep 0.3');
    const notifier = await start(
      config(`{stop: ${stop}}`, { director: `shutdown: ${recorder('shutdown')}` }),
    );
    notifier.transition(change('backup', 'active'));
    notifier.transition(change('active', 'initialize'));
    await notifier.stop();
    expect(out()).toEqual(['stop', 'shutdown']);
  });

  test('tells the stop of what no keeper has told of', async () => {
    const notifier = await start(config(`{any: ${recorder('any')}}`));
    notifier.transition(change('backup', 'active'));
    notifier.keeperLost();
    await notifier.stop();
    expect(out().map((line) => line.split(' ').slice(3).join(' '))).toEqual([
      'MASTER 150',
      'STOP 150',
    ]);
  });

  test('ends what hangs, leaves out what is between, and still tells the last state', async () => {
    const notifier = await start(
      config(`{active: ${recorder('hangs', 'exec sleep 60')}, any: ${recorder('any')}}`),
    );
    notifier.transition(change('backup', 'active'));
    notifier.transition(change('active', 'backup'));
    notifier.transition(change('backup', 'fault'));
    notifier.transition(change('fault', 'initialize'));
    const startedAtMs = performance.now();
    await notifier.stop();
    expect(performance.now() - startedAtMs).toBeLessThan(7_500);
    expect(out()).toEqual(['any INSTANCE web MASTER 150', 'any INSTANCE web STOP 150']);
  });

  test('cuts everything short after seven seconds', async () => {
    const hangs = scripts.script('hangs', `trap '' TERM; while :; do sleep 1; done`);
    const each = `{active: ${hangs}, stop: ${hangs}, any: ${hangs}}`;
    const notifier = await start(config(each, { director: `shutdown: ${hangs}` }));
    notifier.transition(change('backup', 'active'));
    notifier.transition(change('active', 'initialize'));
    const startedAtMs = performance.now();
    await notifier.stop();
    expect(performance.now() - startedAtMs).toBeLessThan(7_800);
  }, 20_000);
});

test('Notifier takes over another FIFO at a reload and keeps its counts', async () => {
  const fifo = (name: string) => config('{}', { director: `fifo: ${scripts.file(name)}` });
  const notifier = await start(fifo('one'));
  notifier.transition(change('backup', 'active'));
  notifier.configure(fifo('two'));
  notifier.transition(change('active', 'backup'));
  expect(notifier.report().fifo).toEqual({ delivered: 2, failed: 0, dropped: 0, waiting: 0 });
  expect(log.lines.filter(({ level }) => level >= 40)).toEqual([]);
});

test('Notifier tells a fault when the keeper is lost', async () => {
  const notifier = await start(
    config(`{any: ${recorder('any')}}`, { db: `{any: ${recorder('db')}}` }),
  );
  notifier.transition(change('backup', 'active'));
  notifier.transition(change('initialize', 'backup', { instance: 'db' }));
  notifier.keeperLost();
  await waitFor('the scripts', () => notifier.report().script.delivered === 3);
  expect(out().filter((line) => line.startsWith('any'))).toEqual([
    'any INSTANCE web MASTER 150',
    'any INSTANCE web FAULT 150',
  ]);
});

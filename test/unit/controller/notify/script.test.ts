import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ProcessTree } from '../../../../src/controller/notify/process-tree.ts';
import { runScript, type ScriptRequest } from '../../../../src/controller/notify/script.ts';
import { findScriptFault } from '../../../../src/controller/notify/script-file.ts';
import { waitFor } from '../../probes/servers.ts';
import { ScriptDirectory } from './scripts.ts';

const IS_ROOT = process.getuid?.() === 0;
const NOBODY = { uid: 65534, gid: 65533 };

let scripts: ScriptDirectory;
beforeEach(() => {
  scripts = new ScriptDirectory();
});
afterEach(() => scripts.remove());

function request(command: string | string[], changes: Partial<ScriptRequest> = {}): ScriptRequest {
  return {
    command: [command].flat(),
    args: [],
    variables: {},
    account: null,
    security: false,
    timeoutMs: 10_000,
    stopping: new AbortController().signal,
    abandoned: new AbortController().signal,
    ...changes,
  };
}

/** Both the process and all that it started are gone or zombies. */
function isGone(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}

describe('runScript', () => {
  test('gives its own arguments, then ours, without a shell', async () => {
    const script = scripts.script('s', `for each; do echo "<$each>"; done`);
    const outcome = await runScript(
      request([script, '$HOME *', ''], { args: ['INSTANCE', 'web', 'MASTER', '100'] }),
    );
    expect(outcome.kind).toBe('succeeded');
    expect(outcome.output).toBe('<$HOME *>\n<>\n<INSTANCE>\n<web>\n<MASTER>\n<100>');
  });

  test('gives a clean environment, / as directory and nothing to read', async () => {
    process.env.VIPKEEPER_TEST_SECRET = 'x';
    const script = scripts.script('s', 'pwd; cat; env | cut -d= -f1 | sort | tr "\\n" " "');
    const outcome = await runScript(request(script, { variables: { VIPKEEPER_STATE: 'active' } }));
    delete process.env.VIPKEEPER_TEST_SECRET;
    // PWD, OLDPWD, SHLVL and _ are the shell's own.
    const [directory, names] = outcome.output.split('\n');
    const own = names
      ?.split(' ')
      .filter((name) => !['PWD', 'OLDPWD', 'SHLVL', '_', ''].includes(name));
    expect(directory).toBe('/');
    expect(own).toEqual(['PATH', 'VIPKEEPER_STATE']);
  });

  test('keeps the last 1024 bytes of both outputs', async () => {
    const script = scripts.script('s', 'seq 1 5000; sleep 0.05; echo last words >&2; exit 3');
    const outcome = await runScript(request(script));
    expect(outcome).toMatchObject({ kind: 'failed', detail: 'ended with exit status 3' });
    expect(outcome.output).toMatch(/4999\n5000\nlast words$/);
    expect(Buffer.byteLength(outcome.output)).toBeLessThanOrEqual(1024);
    expect(Buffer.byteLength(outcome.output)).toBeGreaterThan(1000);
  });

  test('says which signal ended it', async () => {
    const script = scripts.script('s', 'kill -SEGV $$');
    expect(await runScript(request(script))).toMatchObject({
      kind: 'failed',
      detail: 'was ended by SIGSEGV',
    });
  });

  test('does not wait for what it leaves in the background', async () => {
    const script = scripts.script('s', 'sleep 60 & echo $!');
    const outcome = await runScript(request(script));
    expect(outcome.kind).toBe('succeeded');
    expect(outcome.durationMs).toBeLessThan(5_000);
    process.kill(Number(outcome.output), 'SIGKILL');
  });

  test('ends it with SIGTERM after its time', async () => {
    const script = scripts.script('s', `trap 'echo cleaned up; exit 0' TERM; sleep 60 & wait`);
    const outcome = await runScript(request(script, { timeoutMs: 300 }));
    expect(outcome).toMatchObject({
      kind: 'failed',
      detail: 'did not end within 300ms and was ended by SIGTERM',
      output: 'cleaned up',
    });
  });

  test('ends what ignores SIGTERM with SIGKILL, and its children too', async () => {
    const script = scripts.script(
      's',
      `trap '' TERM; sleep 60 & echo $! > ${scripts.file('pid')}; while :; do sleep 1; done`,
    );
    const outcome = await runScript(request(script, { timeoutMs: 300 }));
    expect(outcome).toMatchObject({
      kind: 'failed',
      detail: 'did not end within 300ms and was ended by SIGKILL',
    });
    expect(outcome.durationMs).toBeGreaterThan(2_250);
    const [child] = scripts.lines('pid').map(Number);
    await waitFor('the child to be gone', () => isGone(child as number));
  });

  describe('ends, with it, what it started in a session or group of its own', () => {
    const record = () => `echo $$ >> ${scripts.file('pids')}`;
    const allGone = () => scripts.lines('pids').every((pid) => isGone(Number(pid)));

    test.each([
      ['a session', 'sh', (body: string) => `setsid sh -c '${body}; sleep 60' &`],
      [
        'a session that stays when told to end',
        'sh',
        (body: string) => `setsid sh -c 'trap "" TERM; ${body}; while :; do sleep 1; done' &`,
      ],
      [
        'a session within a session',
        'sh',
        (body: string) =>
          `setsid sh -c '${body}; setsid sh -c "${body.replaceAll('$', '\\$')}; sleep 60"; :' &`,
      ],
      ['a group', 'bash', (body: string) => `set -m; sh -c '${body}; sleep 60' &`],
    ])('%s', async (_, shell, start) => {
      const script = scripts.script('s', `${start(record())}\n${record()}\nwait`, {
        interpreter: `/bin/${shell}`,
      });
      const outcome = await runScript(request(script, { timeoutMs: 1_000 }));
      expect(outcome).toMatchObject({ kind: 'failed', stuck: false });
      expect(scripts.lines('pids').length).toBeGreaterThan(1);
      await waitFor('all to be gone', allGone);
      // What has ended may be there for a moment still, until somebody has taken note of it.
      await waitFor('nothing to be left', () => outcome.kind === 'failed' && !outcome.isLeft());
    });

    test('however it is ended: when nobody waits for it', async () => {
      const abandoned = new AbortController();
      const script = scripts.script('s', `setsid sh -c '${record()}; sleep 60' & wait`);
      const running = runScript(request(script, { abandoned: abandoned.signal }));
      await waitFor('its child', () => scripts.lines('pids').length === 1);
      abandoned.abort();
      await running;
      await waitFor('the child to be gone', allGone);
    });

    test('and knows whether something of it is left', async () => {
      const stays = `sh -c 'trap "" TERM; ${record()}; while :; do sleep 1; done' & wait`;
      const child = spawn(scripts.script('s', stays), { detached: true, stdio: 'ignore' });
      const tree = new ProcessTree(child.pid as number);
      await waitFor('its child', () => scripts.lines('pids').length === 1);
      tree.signal('SIGTERM');
      await waitFor('its end', () => child.signalCode !== null);
      expect(tree.isThere()).toBe(true);
      tree.signal('SIGKILL');
      await waitFor('nothing to be left', () => !tree.isThere());
      expect(allGone()).toBe(true);
    });

    test('but no daemon that it started, whose parent has ended', async () => {
      const daemon = `setsid sh -c '${record()}; exec sleep 60' &`;
      const script = scripts.script('s', `(${daemon})\nsleep 60`);
      const outcome = await runScript(request(script, { timeoutMs: 1_000 }));
      expect(outcome).toMatchObject({ kind: 'failed' });
      const [pid] = scripts.lines('pids').map(Number) as [number];
      expect(isGone(pid)).toBe(false);
      process.kill(pid, 'SIGKILL');
    });
  });

  test('kills at once what nobody waits for any more', async () => {
    const abandoned = new AbortController();
    const script = scripts.script('s', `echo > ${scripts.file('runs')}; sleep 60`);
    const running = runScript(request(script, { abandoned: abandoned.signal }));
    await waitFor('its start', () => existsSync(scripts.file('runs')));
    abandoned.abort();
    expect(await running).toMatchObject({
      kind: 'failed',
      detail: 'was cut short and was ended by SIGKILL',
    });
  });

  test('gives it less time when the director stops', async () => {
    const stopping = new AbortController();
    const script = scripts.script('s', `echo > ${scripts.file('runs')}; exec sleep 60`);
    const running = runScript(request(script, { stopping: stopping.signal, timeoutMs: 60_000 }));
    await waitFor('its start', () => existsSync(scripts.file('runs')));
    stopping.abort();
    expect(await running).toMatchObject({
      kind: 'failed',
      detail: 'did not end within 3s and was ended by SIGTERM',
    });
  });

  test('runs it as the account, with no other group, if that is permitted', async () => {
    const script = scripts.script('s', 'id -u; id -G');
    const outcome = await runScript(request(script, { account: NOBODY }));
    if (IS_ROOT) expect(outcome).toMatchObject({ kind: 'succeeded', output: '65534\n65533' });
    else {
      const message = `${script} cannot be run: vipkeeper may not change to the user it runs as`;
      expect(outcome).toMatchObject({ kind: 'not-run', problem: { code: 'VK-SCRIPT', message } });
    }
  });
});

describe('runScript fails, and says why, when it', () => {
  async function problemOf(path: string, changes: Partial<ScriptRequest> = {}): Promise<string> {
    const outcome = await runScript(request(path, changes));
    if (outcome.kind !== 'not-run') throw new Error(`It was run: ${outcome.kind}`);
    const { code, message, cure } = outcome.problem;
    expect(cure).not.toBe('');
    return `${code}: ${message.replace(scripts.path, 'DIR')}`;
  }

  test('is missing', async () =>
    expect(await problemOf(scripts.file('none'))).toBe(
      'VK-SCRIPT: DIR/none cannot be run: it does not exist',
    ));

  test('is not executable', async () =>
    expect(await problemOf(scripts.script('s', 'true', { mode: 0o644 }))).toBe(
      'VK-SCRIPT: DIR/s cannot be run: it is not executable',
    ));

  test('is a directory', async () =>
    expect(await problemOf(scripts.path)).toBe('VK-SCRIPT: DIR cannot be run: it is not a file'));

  test('has an interpreter that is missing', async () => {
    const script = scripts.script('s', 'true', { interpreter: '/no/such/shell' });
    expect(await problemOf(script)).toBe(
      'VK-SCRIPT: DIR/s cannot be run: the interpreter in its first line does not exist',
    );
  });

  test('is behind a loop of links', async () => {
    symlinkSync('a', scripts.file('b'));
    symlinkSync('b', scripts.file('a'));
    expect(await problemOf(scripts.file('a'))).toBe(
      'VK-SCRIPT: DIR/a cannot be run: too many symbolic links',
    );
  });

  test('is not permitted to its user', async () => {
    const script = scripts.script('s', 'true', { mode: 0o700 });
    expect(await problemOf(script, { account: NOBODY })).toBe(
      `VK-SCRIPT: DIR/s cannot be run: ${
        IS_ROOT
          ? 'the user it runs as has no permission'
          : 'vipkeeper may not change to the user it runs as'
      }`,
    );
  });
});

describe('findScriptFault', () => {
  const asRoot = { uid: 0, security: true };

  test('refuses as root what others may change, unless that is allowed', async () => {
    const script = scripts.script('s', 'true', { mode: 0o757 });
    const fault = await findScriptFault(script, asRoot);
    expect(fault?.code).toBe('VK-SCRIPT');
    // Where the tests do not run as root, their directory is the first that root does not own.
    const changeable = IS_ROOT ? script : scripts.path;
    expect(fault?.message).toBe(
      `${script} cannot be run: it would run as root, but others than root may change ${changeable}`,
    );
    expect(fault?.cure).toContain('notify.script_security');
    expect(await findScriptFault(script, { uid: 0, security: false })).toBeNull();
    expect(await findScriptFault(script, { uid: 1000, security: true })).toBeNull();
  });

  test('refuses as root what is reached through what others may change', async () => {
    const unsafe = scripts.file('unsafe');
    mkdirSync(unsafe);
    chmodSync(unsafe, 0o777);
    symlinkSync('/usr/bin/env', `${unsafe}/link`);
    symlinkSync(unsafe, scripts.file('way'));
    const fault = await findScriptFault(`${scripts.file('way')}/link`, asRoot);
    expect(fault?.message).toContain(`may change ${IS_ROOT ? unsafe : scripts.path}`);
  });

  test('has nothing against root’s own programs', async () => {
    expect(await findScriptFault('/usr/bin/env', asRoot)).toBeNull();
  });

  test('takes a sticky directory for safe', async () => {
    // In /tmp others cannot replace what root owns; the file's own owner is what counts.
    const fault = await findScriptFault(scripts.script('s', 'true'), asRoot);
    expect(fault === null || fault.message.endsWith(scripts.path)).toBe(true);
  });
});

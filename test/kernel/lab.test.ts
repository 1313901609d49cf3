/**
 * The lab's virtual machine against its promises: a Debian kernel with IPVS, faithful exit codes
 * and streams, concurrency, time limits, isolation of writes, and no QEMU left behind.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check, REPOSITORY, waitFor, writeFile } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { Vm } from '../lab/vm.ts';

/** First use downloads packages and a kernel. */
const SETUP_TIMEOUT_MS = 20 * 60_000;
const TEST_TIMEOUT_MS = 60_000;

describe('Vm', { timeout: TEST_TIMEOUT_MS }, () => {
  let vm: Vm;

  beforeAll(async () => {
    await ensurePackages(NETWORK_PACKAGES);
    vm = await Vm.start();
  }, SETUP_TIMEOUT_MS);

  afterAll(() => vm?.stop());

  it('runs a Debian kernel, not the one of the host', async () => {
    const { stdout } = await check(vm, ['uname', '-r', '-v']);
    expect(stdout).toContain(vm.kernelRelease);
    expect(stdout).toContain('Debian');
  });

  it('programs IPVS with every scheduler and the SIP persistence engine', async () => {
    const schedulers = ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'dh', 'sh', 'sed', 'nq'].concat([
      'fo',
      'ovf',
      'mh',
      'twos',
    ]);
    const services = schedulers.map((name, n) => `-A -t 192.0.2.1:${n + 1} -s ${name}`);
    services.push('-A -u 192.0.2.1:5060 -s rr -p 60 --pe sip');
    await check(vm, ['ipvsadm', '-R'], { stdin: `${services.join('\n')}\n` });
    const { stdout } = await check(vm, ['ipvsadm', '-S', '-n']);
    expect(stdout.trim().split('\n').length).toBe(services.length);
    expect(stdout).toContain('--pe sip');
    await check(vm, ['ipvsadm', '-C']);
  });

  it('accepts local destinations, because the loopback interface is up', async () => {
    await check(vm, [
      'sh',
      '-c',
      'ipvsadm -A -t 127.0.0.1:9 && ipvsadm -a -t 127.0.0.1:9 -r 127.0.0.1 && ipvsadm -C',
    ]);
  });

  it('gives network namespaces', async () => {
    await check(vm, ['ip', 'netns', 'add', 'one']);
    const { stdout } = await check(vm, ['ip', 'netns', 'exec', 'one', 'ipvsadm', '-S', '-n']);
    expect(stdout).toBe('');
    await check(vm, ['ip', 'netns', 'del', 'one']);
  });

  it('carries exit code, signal, stdin, environment, both streams and bytes unchanged', async () => {
    const script = 'cat; printf "$WORD" >&2; exit 7';
    const input = 'Grüße \u0000\n'.repeat(10_000);
    const result = await vm.run(['sh', '-c', script], { stdin: input, env: { WORD: 'wörd' } });
    expect(result.code).toBe(7);
    expect(result.stderr).toBe('wörd');
    expect(result.stdout === input).toBe(true);
    expect((await vm.run(['sh', '-c', 'kill -9 $$'])).code).toBe(128 + 9);
  });

  it('rejects a command that does not exist, naming it', async () => {
    await expect(vm.run(['no-such-command'])).rejects.toThrow(/no-such-command/);
  });

  it('runs commands concurrently', async () => {
    // Each waits for a file that only the other makes.
    const meet =
      'mkdir -p /tmp/meet; : >/tmp/meet/$0; until [ -e /tmp/meet/$1 ]; do sleep 0.1; done';
    const results = await Promise.all([
      vm.run(['sh', '-c', meet, 'a', 'b']),
      vm.run(['sh', '-c', meet, 'b', 'a']),
    ]);
    expect(results.map((result) => result.code)).toEqual([0, 0]);
  });

  it('streams output while the command runs, and kill() ends it with its children', async () => {
    let output = '';
    const child = await vm.spawn(['sh', '-c', 'sleep 6789 & echo ready; wait'], {
      onStdout: (chunk) => {
        output += chunk.toString();
      },
    });
    await waitFor('output of a running command', () => output === 'ready\n');
    child.kill('SIGTERM');
    expect(await child.exited).toBe(128 + 15);
    const left = await vm.run(['sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "']);
    expect(left.stdout).not.toContain('sleep 6789');
  });

  it('kills what exceeds its time limit, and says so', async () => {
    await expect(vm.run(['sleep', '4567'], { timeoutMs: 500 })).rejects.toThrow(
      /sleep 4567.* did not end within 500 ms/,
    );
    await waitFor('the end of the command', async () => {
      const left = await vm.run(['sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "']);
      return !left.stdout.includes('sleep 4567');
    });
  });

  it('writes to the repository, and keeps other writes to itself', async () => {
    const inside = join(REPOSITORY, '.cache', `lab-test-${process.pid}`);
    const outside = `/etc/vipkeeper-lab-test-${process.pid}`;
    await writeFile(vm, inside, 'x');
    await writeFile(vm, outside, 'y');
    expect((await check(vm, ['cat', outside])).stdout).toBe('y');
    expect(existsSync(inside)).toBe(true);
    expect(existsSync(outside)).toBe(false);
    await check(vm, ['rm', inside]);
  });

  it('has the clock of the host', async () => {
    const before = Date.now();
    const { stdout } = await check(vm, ['date', '+%s']);
    expect(Math.abs(Number(stdout) * 1000 - before)).toBeLessThan(10_000);
  });
});

describe('Vm.stop', { timeout: TEST_TIMEOUT_MS * 3 }, () => {
  it('leaves no QEMU, and running and later commands fail with the reason', async () => {
    const vm = await Vm.start();
    const child = await vm.spawn(['sleep', '3456']);
    const failed = expect(child.exited).rejects.toThrow('The lab VM was stopped');
    expect(existsSync(`/proc/${vm.pid}`)).toBe(true);
    await vm.stop();
    await failed;
    expect(existsSync(`/proc/${vm.pid}`)).toBe(false);
    await expect(vm.run(['true'])).rejects.toThrow('The lab VM was stopped');
    await vm.stop();
  });

  it('a kernel that crashes at its boot is booted twice, and no more', async () => {
    const progress: string[] = [];
    const onProgress = (line: string) => void progress.push(line);
    // It panics without a first process.
    const started = Vm.start({ kernelArguments: 'rdinit=/none', onProgress });
    await expect(started).rejects.toThrow(/The lab VM died.*(?:panic|Call Trace)/s);
    expect(progress.filter((line) => line.includes('once more'))).toHaveLength(1);
  });

  it('a kernel panic fails the running command with the console', async () => {
    const vm = await Vm.start();
    await expect(vm.run(['sh', '-c', 'echo c >/proc/sysrq-trigger; sleep 60'])).rejects.toThrow(
      /The lab VM died.*panic/s,
    );
    expect(existsSync(`/proc/${vm.pid}`)).toBe(false);
    await vm.stop();
  });
});

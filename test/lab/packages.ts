/**
 * Packages: what the lab needs from Debian or Ubuntu, installed only when it is missing. No
 * service is started by an installation: a policy-rc.d that refuses (exit 101, see
 * invoke-rc.d(8)) stands while apt-get runs, unless the machine has one of its own.
 * Everything is bounded in time, and an error says what to install by hand.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { withLock } from './cache.ts';
import { onProcessEnd } from './cleanup.ts';
import { LabError, localMachine, type RunResult } from './host.ts';

/** For booting the lab's virtual machine. */
export const VM_PACKAGES = [
  'qemu-system-x86',
  'busybox-static',
  'cpio',
  'kmod',
  'xz-utils',
] as const;
/** For working with namespaces and IPVS, on this machine and inside the virtual one. */
export const NETWORK_PACKAGES = ['iproute2', 'iputils-ping', 'ipvsadm', 'procps'] as const;
/** Peers and dissectors of the interoperability tests. */
export const PEER_PACKAGES = ['keepalived', 'tcpdump', 'tshark', 'nftables'] as const;
/** Speaks SCTP, which Node.js does not. */
export const TRAFFIC_PACKAGES = ['socat'] as const;
/** Its bfdd is a peer of BFD sessions; it is run in a namespace, by itself. */
export const BFD_PEER_PACKAGES = ['frr'] as const;

/** Tells which system calls a process makes. */
export const TRACE_PACKAGES = ['strace'] as const;

/**
 * What real servers are made of in the tests of health checks: one small program a protocol. The
 * tests run each by itself, with its own configuration; the services of the packages stay stopped.
 */
export const SERVER_PACKAGES = [
  'dovecot-imapd',
  'dovecot-pop3d',
  'exim4-daemon-light',
  'freeradius',
  'kamailio',
  'kamailio-tls-modules',
  'mariadb-server-core',
  'nginx-light',
  'postgresql',
  'redis-server',
  'slapd',
  'sn',
  'unbound',
  'vsftpd',
] as const;

export type Progress = (line: string) => void;

/** Slow mirrors happen; an apt-get that hangs longer is not going to recover. */
const APT_UPDATE_TIMEOUT_MS = 5 * 60_000;
const APT_INSTALL_TIMEOUT_MS = 15 * 60_000;
/** Another apt may hold the lock (cloud-init, unattended-upgrades): wait that long for it. */
const APT_LOCK_SECONDS = 120;
const POLICY_PATH = '/usr/sbin/policy-rc.d';
export const APT_ENV = { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8', RUNLEVEL: '1' };

/**
 * Which of `names` are not installed, in the given order.
 * Throws LabError when this is no Debian or Ubuntu.
 */
export async function missingPackages(names: readonly string[]): Promise<string[]> {
  let result: RunResult;
  try {
    result = await localMachine.run([
      'dpkg-query',
      '-W',
      '-f',
      '$' + '{Package} $' + '{Status}\\n',
      ...names,
    ]);
  } catch {
    throw new LabError(
      `This machine has no dpkg: install by its own package manager what gives ${names.join(', ')}`,
    );
  }
  const installed = new Set<string>();
  for (const line of result.stdout.split('\n')) {
    const [name, ...status] = line.split(' ');
    if (name !== undefined && status.join(' ').endsWith('ok installed')) installed.add(name);
  }
  return names.filter((name) => !installed.has(name));
}

/** Runs `apt-get update` once; needs root. */
export async function updatePackageLists(onProgress: Progress = () => {}): Promise<void> {
  onProgress('Updating the package lists');
  const options = ['-o', `DPkg::Lock::Timeout=${APT_LOCK_SECONDS}`];
  const result = await localMachine.run(['apt-get', 'update', '-q', ...options], {
    env: APT_ENV,
    timeoutMs: APT_UPDATE_TIMEOUT_MS,
  });
  // One dead third-party source makes update fail although Debian's own lists are fresh.
  if (result.code !== 0) onProgress(`apt-get update complains: ${lastLines(result.stderr)}`);
}

/**
 * Installs those of `names` that are missing (without recommended packages, without starting
 * services). Throws LabError with the command to type when it cannot.
 */
export async function ensurePackages(
  names: readonly string[],
  options: { readonly onProgress?: Progress } = {},
): Promise<void> {
  const onProgress = options.onProgress ?? (() => {});
  const missing = await missingPackages(names);
  if (missing.length === 0) return;
  const byHand = `apt-get install --no-install-recommends ${missing.join(' ')}`;
  if (!existsSync('/usr/bin/apt-get')) {
    throw new LabError(`Missing: ${missing.join(', ')}. There is no apt-get to install them with`);
  }
  if (process.getuid?.() !== 0) {
    throw new LabError(`Missing: ${missing.join(', ')}. Run as root: ${byHand}`);
  }
  await withLock('packages', onProgress, async () => {
    // Whoever held the lock before may have installed the same.
    const wanted = await missingPackages(names);
    if (wanted.length > 0) await install(wanted, onProgress);
  });
}

async function install(names: readonly string[], onProgress: Progress): Promise<void> {
  await updatePackageLists(onProgress);
  onProgress(`Installing ${names.join(', ')}`);
  const result = await withoutServices(() => aptInstall(names, onProgress));
  if (result.code !== 0) {
    const words = lastLines(result.stderr);
    throw new LabError(`Installing ${names.join(', ')} ended with ${result.code}: ${words}`);
  }
  const still = await missingPackages(names);
  if (still.length > 0) throw new LabError(`Installed, yet still missing: ${still.join(', ')}`);
}

function aptInstall(names: readonly string[], onProgress: Progress): Promise<RunResult> {
  let partial = '';
  return localMachine.run(
    ['apt-get', 'install', '-y', '-q', '--no-install-recommends']
      .concat(['-o', `DPkg::Lock::Timeout=${APT_LOCK_SECONDS}`, '-o', 'Dpkg::Use-Pty=0'])
      .concat(names),
    {
      env: APT_ENV,
      timeoutMs: APT_INSTALL_TIMEOUT_MS,
      onStdout: (text) => {
        const lines = (partial + text).split('\n');
        partial = lines.pop() ?? '';
        for (const line of lines) if (/^(Get:|Setting up )/.test(line)) onProgress(line);
      },
    },
  );
}

async function withoutServices<T>(action: () => Promise<T>): Promise<T> {
  if (existsSync(POLICY_PATH)) return action();
  writeFileSync(POLICY_PATH, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const remove = () => rmSync(POLICY_PATH, { force: true });
  const forget = onProcessEnd(remove);
  try {
    return await action();
  } finally {
    forget();
    remove();
  }
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-4).join(' / ');
}

/**
 * Kernel image: a Debian kernel with every IPVS module, fetched once into <repo>/.cache/lab and
 * booted by vm.ts; it is unpacked, never installed. One directory per kernel release:
 *
 *   <release>/vmlinuz                 the kernel
 *   <release>/lib/modules/<release>/  the modules that a director lab can need, uncompressed and
 *                                     unsigned
 *   <release>/initramfs-<hash>.cpio   busybox, the modules of the boot path and /init
 *
 * Invariant: what has its final name is complete, because it was built beside and renamed; a
 * lock holds off a second builder.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { cacheDirectory, withLock } from './cache.ts';
import { check, LabError, localMachine } from './host.ts';
import { APT_ENV, type Progress, updatePackageLists } from './packages.ts';

export interface KernelImage {
  readonly release: string;
  readonly kernelPath: string;
  readonly initramfsPath: string;
  /** The directory that belongs at /lib/modules/<release> of the guest. */
  readonly modulesPath: string;
}

/** 110 MB from a mirror, then unpacking and decompressing on a slow machine. */
const DOWNLOAD_TIMEOUT_MS = 10 * 60_000;
const UNPACK_TIMEOUT_MS = 5 * 60_000;

/** Needed before the host's root file system is mounted; dependencies are looked up. */
const BOOT_MODULES = ['9p', '9pnet_virtio', 'virtio_pci', 'virtio_console', 'overlay'];

/**
 * Parts of the kernel's module tree that a lab can need; the others (graphics, sound, hardware
 * drivers) are most of the package and are thrown away.
 */
const KEPT = ['arch', 'block', 'crypto', 'fs', 'lib', 'mm', 'net'];
const KEPT_DRIVERS = ['char', 'net', 'virtio'];
const DROPPED_NET_DRIVERS = /^(can|ethernet|fddi|hamradio|ieee802154|phy|usb|wan|wireless|wwan)$/;

/** Preferred first. The cloud flavour has no 9p, rt and dbg are not what directors run. */
const KERNEL_PACKAGES = [
  /^linux-image-6\.12\.(\d+)\+deb1[23]-amd64$/,
  /^linux-image-6\.1\.0-(\d+)-amd64$/,
];

/** At the end of a signed module, behind struct module_signature. */
const SIGNATURE_MARK = '~Module signature appended~\n';
const SIGNATURE_HEAD_BYTES = 12;

/**
 * The guest's first process. It mounts the host's root read-only and hands over to the boot
 * script that vm.ts wrote for this very machine; without it the guest ends.
 */
const INIT = `#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose root /host
for word in $(cat /proc/cmdline); do
  case "$word" in lab.boot=*) . "/host\${word#lab.boot=}" ;; esac
done
echo "lab: the boot script did not take over"
poweroff -f
`;

/**
 * The newest cached kernel, or else one fetched now. Throws LabError saying what is in the way.
 * The packages VM_PACKAGES must be installed.
 */
export async function ensureKernelImage(onProgress: Progress = () => {}): Promise<KernelImage> {
  const cache = cacheDirectory();
  const ready = findImage(cache);
  if (ready !== null) return ready;
  await withLock('kernel', onProgress, async () => {
    removeUnfinished(cache);
    if (releases(cache).length === 0) await fetchKernel(cache, onProgress);
    const release = releases(cache)[0];
    if (release === undefined) throw new LabError(`No kernel in ${cache} after fetching one`);
    if (findImage(cache) === null) await buildInitramfs(cache, release, onProgress);
  });
  const image = findImage(cache);
  if (image === null) throw new LabError(`No complete kernel in ${cache} after building one`);
  return image;
}

/** What interrupted builders left; nobody else builds while the lock is ours. */
function removeUnfinished(cache: string): void {
  for (const name of readdirSync(cache)) {
    if (/^(fetch|initramfs)-/.test(name)) rmSync(join(cache, name), { recursive: true });
  }
}

function findImage(cache: string): KernelImage | null {
  const release = releases(cache)[0];
  if (release === undefined) return null;
  const image = {
    release,
    kernelPath: join(cache, release, 'vmlinuz'),
    initramfsPath: join(cache, release, initramfsName()),
    modulesPath: join(cache, release, 'lib', 'modules', release),
  };
  return existsSync(image.initramfsPath) ? image : null;
}

/** Newest first. */
function releases(cache: string): string[] {
  if (!existsSync(cache)) return [];
  return readdirSync(cache)
    .filter((name) => /^\d+\.\d+\./.test(name) && existsSync(join(cache, name, 'vmlinuz')))
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
}

/** A changed recipe makes a new initramfs beside the old one. */
function initramfsName(): string {
  const recipe = JSON.stringify([INIT, BOOT_MODULES]);
  return `initramfs-${createHash('sha256').update(recipe).digest('hex').slice(0, 12)}.cpio`;
}

async function fetchKernel(cache: string, onProgress: Progress): Promise<void> {
  const work = mkdtempSync(join(cache, 'fetch-'));
  try {
    const name = await resolveKernelPackage(onProgress);
    onProgress(`Downloading ${name} (about 100 MB, once)`);
    await check(localMachine, ['apt-get', 'download', '-q', name], {
      cwd: work,
      env: APT_ENV,
      timeoutMs: DOWNLOAD_TIMEOUT_MS,
    });
    const archive = readdirSync(work).find((file) => file.endsWith('.deb'));
    if (archive === undefined) throw new LabError(`apt-get download ${name} gave no package`);
    onProgress('Unpacking the kernel');
    await check(localMachine, ['dpkg-deb', '-x', archive, 'package'], {
      cwd: work,
      timeoutMs: UNPACK_TIMEOUT_MS,
    });
    await install(work, cache, name.replace('linux-image-', ''));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function resolveKernelPackage(onProgress: Progress): Promise<string> {
  let found = await searchKernelPackage();
  if (found === null && process.getuid?.() === 0) {
    await updatePackageLists(onProgress);
    found = await searchKernelPackage();
  }
  if (found !== null) return found;
  throw new LabError(
    'apt knows no Debian kernel (linux-image-6.12 or 6.1, amd64): run "apt-get update" as root ' +
      'on Debian 12 or 13, or copy .cache/lab from a machine that has one',
  );
}

async function searchKernelPackage(): Promise<string | null> {
  const listed = await localMachine.run(['apt-cache', 'pkgnames', 'linux-image-6.1']);
  const names = listed.stdout.split('\n');
  for (const pattern of KERNEL_PACKAGES) {
    const version = (name: string) => Number(pattern.exec(name)?.[1]);
    const matching = names.filter((name) => pattern.test(name));
    matching.sort((a, b) => version(b) - version(a));
    for (const name of matching) if (await isAvailable(name)) return name;
  }
  return null;
}

/** apt-cache also lists names that only another package mentions. */
async function isAvailable(name: string): Promise<boolean> {
  const policy = await localMachine.run(['apt-cache', 'policy', name], { env: { LC_ALL: 'C' } });
  return /Candidate: \d/.test(policy.stdout);
}

async function install(work: string, cache: string, release: string): Promise<void> {
  const unpacked = join(work, 'package');
  const lib = existsSync(join(unpacked, 'lib')) ? 'lib' : 'usr/lib';
  const modules = join(unpacked, lib, 'modules', release);
  prune(join(modules, 'kernel'), KEPT.concat('drivers'));
  prune(join(modules, 'kernel', 'drivers'), KEPT_DRIVERS);
  const net = join(modules, 'kernel', 'drivers', 'net');
  prune(
    net,
    readdirSync(net).filter((name) => !DROPPED_NET_DRIVERS.test(name)),
  );
  const decompress = 'find "$1" -name "*.ko.xz" -exec xz -d {} +';
  await check(localMachine, ['sh', '-c', decompress, 'sh', modules], {
    timeoutMs: UNPACK_TIMEOUT_MS,
  });
  for (const name of readdirSync(modules, { recursive: true, encoding: 'utf8' })) {
    if (name.endsWith('.ko')) removeSignature(join(modules, name));
  }
  const ready = join(work, 'ready');
  mkdirSync(join(ready, 'lib', 'modules'), { recursive: true });
  renameSync(modules, join(ready, 'lib', 'modules', release));
  renameSync(join(unpacked, 'boot', `vmlinuz-${release}`), join(ready, 'vmlinuz'));
  // A kernel image is readable by root alone, yet QEMU may run as somebody else.
  chmodSync(join(ready, 'vmlinuz'), 0o644);
  await check(localMachine, [tool('depmod'), '-b', ready, release]);
  renameSync(ready, join(cache, release));
}

/** A guest that checks the signatures of its modules takes a tenth longer to boot. */
function removeSignature(path: string): void {
  const bytes = readFileSync(path);
  const end = bytes.length - SIGNATURE_MARK.length;
  if (end < SIGNATURE_HEAD_BYTES || bytes.toString('latin1', end) !== SIGNATURE_MARK) return;
  // The last field of struct module_signature, behind the signature (linux/module_signature.h).
  const signatureBytes = bytes.readUInt32BE(end - 4);
  truncateSync(path, end - SIGNATURE_HEAD_BYTES - signatureBytes);
}

function prune(directory: string, kept: readonly string[]): void {
  for (const name of readdirSync(directory)) {
    if (!kept.includes(name)) rmSync(join(directory, name), { recursive: true });
  }
}

async function buildInitramfs(cache: string, release: string, onProgress: Progress): Promise<void> {
  onProgress('Building the initramfs');
  const work = mkdtempSync(join(cache, 'initramfs-'));
  try {
    const root = join(work, 'root');
    for (const name of ['bin', 'proc', 'sys', 'dev', 'host', 'upper', 'newroot', 'modules']) {
      mkdirSync(join(root, name), { recursive: true });
    }
    const busybox = tool('busybox');
    copyFileSync(busybox, join(root, 'bin', 'busybox'));
    const applets = await check(localMachine, [busybox, '--list']);
    const links = applets.stdout.split('\n').filter((name) => name !== '' && name !== 'busybox');
    const linkAll = 'for name; do ln -s busybox "$name"; done';
    await check(localMachine, ['sh', '-c', linkAll, 'sh', ...links], { cwd: join(root, 'bin') });
    const order: string[] = [];
    for (const path of await bootModules(join(cache, release), release)) {
      if (order.includes(basename(path))) continue;
      order.push(basename(path));
      copyFileSync(path, join(root, 'modules', basename(path)));
    }
    writeFileSync(join(root, 'modules', 'order'), `${order.join('\n')}\n`);
    writeFileSync(join(root, 'init'), INIT, { mode: 0o755 });
    const pack = 'find . | cpio -o -H newc -R 0:0 --quiet >../initramfs.cpio';
    await check(localMachine, ['sh', '-c', pack], { cwd: root });
    renameSync(join(work, 'initramfs.cpio'), join(cache, release, initramfsName()));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Module files in the order of insertion, dependencies first; what is built in has none. */
async function bootModules(base: string, release: string): Promise<string[]> {
  const paths: string[] = [];
  for (const module of BOOT_MODULES) {
    const argv = [tool('modprobe'), '-d', base, '-S', release, '--show-depends', module];
    const { stdout } = await check(localMachine, argv);
    for (const line of stdout.split('\n')) {
      const path = /^insmod (\S+)/.exec(line)?.[1];
      if (path !== undefined) paths.push(path);
    }
  }
  return paths;
}

/** Absolute path: sbin is often missing from the PATH of those who are not root. */
function tool(name: string): string {
  for (const directory of ['/usr/sbin', '/usr/bin', '/sbin', '/bin']) {
    if (existsSync(join(directory, name))) return join(directory, name);
  }
  throw new LabError(`${name} is missing: install the packages of the lab as root`);
}

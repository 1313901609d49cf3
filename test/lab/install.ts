/**
 * Installs the Debian packages that a purpose needs, and says what it cannot:
 * `node dist/test/lab/install.js tests|emulator|demo|bench`; for the emulator, its kernel too.
 * Run from a built tree.
 */
import { LabError } from './host.ts';
import { ensureKernelImage } from './kernel-image.ts';
import {
  BFD_PEER_PACKAGES,
  ensurePackages,
  NETWORK_PACKAGES,
  PEER_PACKAGES,
  SERVER_PACKAGES,
  TRAFFIC_PACKAGES,
  VM_PACKAGES,
} from './packages.ts';
import { canUseNamespaces, hasNativeIpvs, isRoot } from './requirements.ts';

const PURPOSES: Readonly<Record<string, readonly string[]>> = {
  demo: NETWORK_PACKAGES,
  bench: [...NETWORK_PACKAGES, ...PEER_PACKAGES, ...VM_PACKAGES, 'nginx-light', 'openssl'],
  tests: [
    ...NETWORK_PACKAGES,
    ...PEER_PACKAGES,
    ...BFD_PEER_PACKAGES,
    ...TRAFFIC_PACKAGES,
    ...VM_PACKAGES,
    ...SERVER_PACKAGES,
    'prometheus',
    'man-db',
    'groff',
  ],
  emulator: VM_PACKAGES,
};

const print = (line: string): void => void process.stdout.write(`${line}\n`);

async function install(purpose: string): Promise<void> {
  const packages = PURPOSES[purpose];
  if (packages === undefined) {
    throw new LabError(`Nothing is known for "${purpose}": ${Object.keys(PURPOSES).join(', ')}`);
  }
  const root = isRoot();
  if (!root.ok) throw new LabError(root.cure);
  await ensurePackages(packages, { onProgress: print });
  // The demo needs an emulator only where the kernel has no IPVS of its own.
  if (purpose === 'demo' && !(await hasNativeIpvs()).ok) {
    await ensurePackages(VM_PACKAGES, { onProgress: print });
  }
  // Here, because the first test that needs it would take it for a slow boot.
  if (purpose === 'emulator') await ensureKernelImage(print);
  const namespaces = await canUseNamespaces();
  if (!namespaces.ok) throw new LabError(namespaces.cure);
  print(`Everything for ${purpose} is installed.`);
}

try {
  await install(process.argv[2] ?? '');
} catch (error) {
  if (!(error instanceof LabError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}

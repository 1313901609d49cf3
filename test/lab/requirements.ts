/**
 * Requirements: whether this machine can do what a test or demo wants, and if not, the sentence
 * that says what to do about it. Nothing is changed here except that ip_vs may get loaded.
 */
import { existsSync } from 'node:fs';
import { LabError, localMachine, type Machine } from './host.ts';
import type { Progress } from './packages.ts';
import { Vm, type VmOptions } from './vm.ts';

export type Answer = { readonly ok: true } | { readonly ok: false; readonly cure: string };

export function isRoot(): Answer {
  if (process.getuid?.() === 0) return { ok: true };
  return { ok: false, cure: 'Not root: run it with sudo, or as root in a container or namespace' };
}

/** Whether network namespaces can be made here, tried by making one that ends at once. */
export async function canUseNamespaces(): Promise<Answer> {
  const root = isRoot();
  if (!root.ok) return root;
  const installed = await localMachine.run(['ip', '-Version']).catch(() => null);
  if (installed === null) {
    return { ok: false, cure: 'No ip command: run "apt-get install iproute2" as root' };
  }
  const tried = await localMachine.run(['unshare', '--net', 'true']);
  if (tried.code === 0) return { ok: true };
  const why = tried.stderr.trim();
  return {
    ok: false,
    cure: `Network namespaces are refused (${why}): in a container, add --privileged`,
  };
}

/** Whether this machine's own kernel has IPVS, after an attempt to load the module. */
export async function hasNativeIpvs(): Promise<Answer> {
  if (existsSync('/proc/net/ip_vs')) return { ok: true };
  await localMachine.run(['modprobe', 'ip_vs']).catch(() => null);
  if (existsSync('/proc/net/ip_vs')) return { ok: true };
  return {
    ok: false,
    cure: 'This kernel has no IPVS (no /proc/net/ip_vs): use the lab VM, "npm run lab -- vm"',
  };
}

/**
 * A machine with IPVS: this one when it can, else a VM. VIPKEEPER_LAB_MACHINE=local or =vm
 * decides instead. `options` are of the VM alone. Throws LabError with the cure when the wanted one
 * is not possible.
 */
export async function ipvsMachine(
  onProgress: Progress = () => {},
  options: Pick<VmOptions, 'countsInstructions'> = {},
): Promise<{ readonly machine: Machine; readonly stop: () => Promise<void> }> {
  const wanted = process.env.VIPKEEPER_LAB_MACHINE ?? '';
  if (!['', 'local', 'vm'].includes(wanted)) {
    throw new LabError(`VIPKEEPER_LAB_MACHINE is "${wanted}": it can be local or vm`);
  }
  if (wanted !== 'vm') {
    const namespaces = await canUseNamespaces();
    const native = namespaces.ok ? await hasNativeIpvs() : namespaces;
    if (native.ok) return { machine: localMachine, stop: async () => {} };
    if (wanted === 'local') throw new LabError(native.cure);
  }
  const vm = await Vm.start({ ...options, whole: true, onProgress });
  return { machine: vm, stop: () => vm.stop() };
}

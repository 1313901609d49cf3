/**
 * What this process may do (capabilities(7)): being root is neither needed nor enough, as in a
 * container, so the effective set is read and the missing capability is named.
 */
import { readFileSync } from 'node:fs';
import type { Problem } from '../core/problem.ts';

/** linux/capability.h: the name at index n is capability number n. */
const CAPABILITY_NAMES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const;

export type CapabilityName = (typeof CAPABILITY_NAMES)[number];

/** Effective capabilities in the text of /proc/PID/status; empty without a CapEff line. */
export function parseEffectiveCapabilities(status: string): Set<CapabilityName> {
  const match = /^CapEff:\s*([0-9a-fA-F]+)\s*$/m.exec(status);
  // The mask has 64 bits, more than a number holds exactly.
  const mask = BigInt(`0x${match?.[1] ?? '0'}`);
  const names = CAPABILITY_NAMES.filter((_, number) => ((mask >> BigInt(number)) & 1n) === 1n);
  return new Set(names);
}

/** Effective capabilities of this process. */
export function effectiveCapabilities(): Set<CapabilityName> {
  return parseEffectiveCapabilities(readFileSync('/proc/self/status', 'utf8'));
}

/** A problem that names those of `names` that this process lacks, or null when it has all. */
export function requireCapabilities(names: readonly CapabilityName[]): Problem | null {
  return missingCapabilities(names, effectiveCapabilities());
}

/** requireCapabilities() for a given effective set. */
export function missingCapabilities(
  names: readonly CapabilityName[],
  effective: ReadonlySet<CapabilityName>,
): Problem | null {
  const missing = names.filter((name) => !effective.has(name));
  if (missing.length === 0) return null;
  const noun = missing.length === 1 ? 'the capability' : 'the capabilities';
  return {
    code: 'VK-NOT-ROOT',
    message: `This process lacks ${noun} ${missing.join(', ')}`,
    cure: `Run it as root, or grant ${missing.join(', ')} in its service unit or container`,
  };
}

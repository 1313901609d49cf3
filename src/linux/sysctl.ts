/**
 * Kernel settings under /proc/sys/net, of one interface or of IPVS: read and written as text, one
 * at a time.
 * They belong to the network namespace of the thread. A write is taken by the kernel at once, so
 * it may be done between two advertisements.
 * Standard: Documentation/networking/ip-sysctl.rst and ipvs-sysctl.rst.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { err, ok, type Result } from '../core/result.ts';

export type SettingFamily = 'ipv4' | 'ipv6';

/** Value of net.FAMILY.conf.INTERFACE.KEY, or null where there is none (such as IPv6 built out). */
export function readInterfaceSetting(
  family: SettingFamily,
  interfaceName: string,
  key: string,
): string | null {
  try {
    return readFileSync(pathOf(family, interfaceName, key), 'utf8').trim();
  } catch {
    return null;
  }
}

/** Writes it; the error says in words why not ('EROFS: read-only file system, …'). */
export function writeInterfaceSetting(
  family: SettingFamily,
  interfaceName: string,
  key: string,
  value: string,
): Result<void, string> {
  try {
    writeFileSync(pathOf(family, interfaceName, key), value);
    return ok(undefined);
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}

function pathOf(family: SettingFamily, interfaceName: string, key: string): string {
  return `/proc/sys/net/${family}/conf/${interfaceName}/${key}`;
}

/** Value of net.ipv4.vs.KEY, or null where this kernel has none (or no IPVS). */
export function readIpvsSetting(key: string): string | null {
  try {
    return readFileSync(`/proc/sys/net/ipv4/vs/${key}`, 'utf8').trim();
  } catch {
    return null;
  }
}

/** Writes it; the error says in words why not. */
export function writeIpvsSetting(key: string, value: string): Result<void, string> {
  try {
    writeFileSync(`/proc/sys/net/ipv4/vs/${key}`, value);
    return ok(undefined);
  } catch (error) {
    return err(error instanceof Error ? error.message : String(error));
  }
}

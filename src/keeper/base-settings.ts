/**
 * What interfaces must have set while somebody needs it. The one below a virtual link, so that hosts
 * learn the virtual hardware address and no other: it must not answer ARP for addresses of other
 * interfaces (arp_ignore), nor ask with them (arp_announce), which Linux does by default. One with
 * VIPs, where that is configured: it keeps the others of a network when its first address goes.
 *
 * Invariants: what was set before is in the runtime directory before it is changed, so that
 * whoever comes after a crash can put it back; a value that somebody else has changed since is
 * left alone; the interface is known by its index, so that neither a new name nor a new interface
 * of the old name confuses it.
 * Standard: RFC 9568 section 8.1.2; Documentation/networking/ip-sysctl.rst.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Problem } from '../core/problem.ts';
import { err, ok, type Result } from '../core/result.ts';
import type { Link } from '../linux/netlink/route-messages.ts';
import { readInterfaceSetting, writeInterfaceSetting } from '../linux/sysctl.ts';
import { readBootId, replaceFile } from './record.ts';

const FILE = 'interfaces.json';
/** More than the interfaces of any director need. */
const FILE_BYTES_MAX = 1024 * 1024;

const KEYS = ['arp_ignore', 'arp_announce', 'promote_secondaries'] as const;
export type Key = (typeof KEYS)[number];

/**
 * arp_ignore 1: answer only for addresses of the interface that was asked on. arp_announce 2: ask
 * with the asking interface's own address.
 */
const WANTED: Readonly<Record<Key, number>> = {
  arp_ignore: 1,
  arp_announce: 2,
  promote_secondaries: 1,
};

/** Of the interface below a virtual link. */
const OF_LINKS: readonly Key[] = ['arp_ignore', 'arp_announce'];

interface ChangedSetting {
  readonly key: Key;
  readonly before: string;
  readonly set: string;
}

/** An interface and what was changed there. */
interface ChangedInterface {
  readonly index: number;
  readonly settings: readonly ChangedSetting[];
}

interface SettingsFile {
  readonly bootId: string;
  readonly interfaces: readonly ChangedInterface[];
}

/**
 * The changes that an interface needs: of each setting the kernel takes the greater of the
 * interface's value and of that for all.
 * @param values as read, `own` of the interface; null where the kernel has no such setting.
 */
export function planBaseSettings(
  values: Readonly<
    Partial<Record<Key, { readonly own: string | null; readonly all: string | null }>>
  >,
): readonly ChangedSetting[] {
  return KEYS.flatMap((key) => {
    const { own = null, all = null } = values[key] ?? {};
    if (own === null) return [];
    const effective = Math.max(Number(own), Number(all ?? '0'));
    return effective >= WANTED[key] ? [] : [{ key, before: own, set: String(WANTED[key]) }];
  });
}

export class BaseSettings {
  #directory: string | null = null;
  /** By index. */
  readonly #changed = new Map<number, readonly ChangedSetting[]>();
  /** Who needs which settings of an interface, by its index. */
  readonly #holders = new Map<number, Map<string, readonly Key[]>>();

  /** Learns what an earlier keeper of this boot has changed; it counts as ours. */
  open(runtimeDirectory: string): void {
    this.#directory = runtimeDirectory;
    for (const { index, settings } of readChanged(runtimeDirectory)) {
      if (!this.#changed.has(index)) this.#changed.set(index, settings);
    }
  }

  /** Sets what a holder, such as an instance's link, needs of an interface. May be called again. */
  hold(base: Link, holder: string, keys = OF_LINKS): Result<void, Problem> {
    for (const index of this.#holders.keys()) if (index !== base.index) this.#leave(index, holder);
    const holders = this.#holders.get(base.index) ?? new Map<string, readonly Key[]>();
    this.#holders.set(base.index, holders.set(holder, keys));
    const values = keys.map((key) => [key, valuesOf(base.name, key)] as const);
    const wanted = planBaseSettings(Object.fromEntries(values));
    if (wanted.length === 0) return ok(undefined);
    const known = this.#changed.get(base.index) ?? [];
    const kept = known.filter(({ key }) => !wanted.some((change) => change.key === key));
    this.#changed.set(base.index, [...kept, ...wanted]);
    try {
      this.#write();
    } catch (error) {
      return err(cannotRecord(base.name, error));
    }
    for (const { key, set } of wanted) {
      const written = writeInterfaceSetting('ipv4', base.name, key, set);
      if (!written.ok) return err(cannotSet(base.name, key, set, written.error));
    }
    return ok(undefined);
  }

  /** What the holder alone needed is put back. */
  release(holder: string, nameOf: (index: number) => string | null): void {
    for (const index of this.#holders.keys()) this.#leave(index, holder);
    this.restoreUnheld(nameOf);
  }

  /** Puts back what nobody needs. */
  restoreUnheld(nameOf: (index: number) => string | null): void {
    let restored = false;
    for (const [index, settings] of this.#changed) {
      const needed = new Set([...(this.#holders.get(index)?.values() ?? [])].flat());
      const kept = settings.filter(({ key }) => needed.has(key));
      if (kept.length === settings.length) continue;
      const name = nameOf(index);
      const gone = settings.filter(({ key }) => !needed.has(key));
      if (name !== null) restore(name, gone);
      if (kept.length === 0) this.#changed.delete(index);
      else this.#changed.set(index, kept);
      restored = true;
    }
    if (!restored) return;
    try {
      this.#write();
    } catch {
      // The record then names settings that are back already: restoring them again does nothing.
    }
  }

  #leave(index: number, holder: string): void {
    const holders = this.#holders.get(index);
    holders?.delete(holder);
    if (holders?.size === 0) this.#holders.delete(index);
  }

  #write(): void {
    if (this.#directory === null) return;
    const interfaces = [...this.#changed].map(([index, settings]) => ({ index, settings }));
    const content: SettingsFile = { bootId: readBootId(), interfaces };
    replaceFile(join(this.#directory, FILE), JSON.stringify(content));
  }
}

function valuesOf(name: string, key: Key): { own: string | null; all: string | null } {
  return {
    own: readInterfaceSetting('ipv4', name, key),
    all: readInterfaceSetting('ipv4', 'all', key),
  };
}

function restore(name: string, settings: readonly ChangedSetting[]): void {
  for (const { key, before, set } of settings) {
    if (readInterfaceSetting('ipv4', name, key) !== set) continue;
    // If it fails, the interface has just gone, and its settings with it.
    writeInterfaceSetting('ipv4', name, key, before);
  }
}

/** What an earlier keeper of this boot has changed. Never throws. */
function readChanged(runtimeDirectory: string): readonly ChangedInterface[] {
  try {
    const text = readFileSync(join(runtimeDirectory, FILE), 'utf8');
    if (text.length > FILE_BYTES_MAX) return [];
    const { bootId, interfaces } = JSON.parse(text) as SettingsFile;
    return bootId === readBootId() ? interfaces.filter(isChanged) : [];
  } catch {
    // Nothing was changed, or by another version in other words.
    return [];
  }
}

function isChanged(value: ChangedInterface): boolean {
  return (
    Number.isSafeInteger(value?.index) &&
    Array.isArray(value.settings) &&
    value.settings.every(
      (one) =>
        KEYS.includes(one?.key) && typeof one.before === 'string' && typeof one.set === 'string',
    )
  );
}

function cannotSet(name: string, key: string, value: string, reason: string): Problem {
  return {
    code: 'VK-LINK',
    message: `net.ipv4.conf.${name}.${key} cannot be set to ${value}: ${reason}`,
    cure: 'Let vipkeeper write to /proc/sys/net, or set it yourself before the start',
  };
}

function cannotRecord(name: string, error: unknown): Problem {
  const reason = error instanceof Error ? error.message : String(error);
  return {
    code: 'VK-LINK',
    message: `The settings of ${name} cannot be changed, because they cannot be recorded: ${reason}`,
    cure: 'Make the runtime directory writable',
  };
}

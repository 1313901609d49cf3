/**
 * Sets the kernel's options of IPVS (net.ipv4.vs.* and the timeouts of connections), keeps them as
 * wanted on the reconcile interval, and puts back what was there before when they are no longer
 * configured, or at the stop.
 *
 * Invariants: what was there before is in the runtime directory before anything is changed, so
 * that whoever comes after a crash can put it back; a value that somebody else has changed since
 * is not put back over; what nobody asked for is never written.
 */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { IpvsConfig } from '../core/config/config.ts';
import { type IpvsSettingName, sameSetting } from '../core/config/ipvs-settings.ts';
import type { Problem } from '../core/problem.ts';
import { err, ok, type Result } from '../core/result.ts';
import type { IpvsSettingReport } from '../core/status.ts';
import { readBootId, replaceFile } from '../keeper/record.ts';
import type { IpvsClient } from '../linux/ipvs/client.ts';
import type { IpvsTimeouts } from '../linux/ipvs/codec.ts';
import { makeDirectory } from '../linux/make-directory.ts';
import {
  readInterfaceSetting,
  readIpvsSetting,
  writeInterfaceSetting,
  writeIpvsSetting,
} from '../linux/sysctl.ts';

/** Name of the record in the runtime directory. */
export const IPVS_SETTINGS_FILE = 'ipvs-settings.json';

/** A few hundred bytes are usual; more is not ours. */
const FILE_BYTES_MAX = 64 * 1024;

/** Fields of the kernel's record of timeouts, by the names that they have here. */
const TIMEOUTS = {
  'timeout tcp': 'tcpSeconds',
  'timeout tcp_fin': 'tcpFinSeconds',
  'timeout udp': 'udpSeconds',
} as const satisfies Record<string, keyof IpvsTimeouts>;
type TimeoutName = keyof typeof TIMEOUTS;

/** `accept_local eth1`: packets from our own addresses are taken there, as a virtual IP sends them. */
export type AcceptLocalName = `accept_local ${string}`;
export type SettingName = IpvsSettingName | TimeoutName | AcceptLocalName;

export interface SettingPorts {
  /** The kernel's text; null when it has no such setting. */
  readonly read: (name: SettingName) => string | null;
  /** The error says why not, in words. */
  readonly write: (name: SettingName, value: string) => Result<void, string>;
  /** Another program had changed it; it is as wanted again. */
  readonly onRepaired: (name: SettingName, found: string, wanted: string) => void;
  readonly onProblem: (problem: Problem) => void;
}

/** What was there before we set it, and what we have set. */
interface Change {
  readonly before: string;
  readonly set: string;
  /** What we had set before that: in the kernel until the new value is written. */
  readonly last?: string;
}

/** A value that a dead controller has left in the kernel. */
export interface LeftSetting {
  readonly name: SettingName;
  readonly value: string;
  /** What was there before it. */
  readonly before: string;
}

interface RecordFile {
  readonly bootId: string;
  readonly changes: Readonly<Record<string, Change>>;
}

export class IpvsSettings {
  readonly #file: string;
  readonly #ports: SettingPorts;
  readonly #changes: Map<SettingName, Change>;
  readonly #held = new Map<SettingName, string>();
  #configured: ReadonlyMap<SettingName, string> = new Map();
  #timer: NodeJS.Timeout | null = null;
  #repairs = 0;
  #told = new Set<string>();

  /** `file` remembers, within one boot, what was there before. */
  constructor(file: string, ports: SettingPorts) {
    this.#file = file;
    this.#ports = ports;
    this.#changes = readChanges(file);
    for (const [name, change] of this.#changes) {
      const found = ports.read(name);
      // Changed while nobody of ours was there: that is what there is before us now.
      if (found !== null && !isOurs(name, found, change)) {
        this.#changes.set(name, { before: found, set: found });
      }
    }
  }

  /** What an earlier controller has set and not put back, and nobody has changed since. */
  leftBehind(): readonly LeftSetting[] {
    return [...this.#changes].flatMap(([name, change]) => {
      const value = this.#ports.read(name);
      const { before } = change;
      if (value === null || !isOurs(name, value, change)) return [];
      return sameSetting(name, before, value) ? [] : [{ name, value, before }];
    });
  }

  /** Takes over what is configured, at once and from now on. */
  configure(config: Pick<IpvsConfig, 'settings' | 'timeouts' | 'reconcileIntervalUs'>): void {
    this.#configured = wantedSettings(config);
    this.verify();
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = setInterval(() => this.verify(), config.reconcileIntervalUs / 1000);
  }

  /** Sets a value for a time, whatever is configured. */
  hold(name: SettingName, value: string): void {
    if (this.#held.get(name) === value) return;
    this.#held.set(name, value);
    this.verify();
  }

  /** What is configured counts again, or else what was there before. */
  release(name: SettingName): void {
    if (this.#held.delete(name)) this.verify();
  }

  /** Compares all with the kernel, and repairs. */
  verify(): void {
    const told = this.#told;
    this.#told = new Set();
    const wanted = this.#wanted();
    const tell = (done: Result<void, Problem>): void => {
      if (done.ok) return;
      this.#told.add(done.error.message);
      if (!told.has(done.error.message)) this.#ports.onProblem(done.error);
    };
    for (const name of this.#changes.keys()) if (!wanted.has(name)) tell(this.#restore(name));
    for (const [name, value] of wanted) tell(this.#ensure(name, value));
  }

  /** Puts everything back. */
  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#held.clear();
    this.#configured = new Map();
    this.verify();
  }

  report(): { readonly settings: readonly IpvsSettingReport[]; readonly repairs: number } {
    const wishes = this.#wanted();
    // What could not be put back yet.
    for (const [name, { before }] of this.#changes) {
      if (!wishes.has(name)) wishes.set(name, before);
    }
    const settings = [...wishes].map(([name, wanted]) => ({
      name,
      wanted,
      value: this.#ports.read(name),
      before: this.#changes.get(name)?.before ?? null,
      held: this.#held.has(name),
    }));
    return { settings, repairs: this.#repairs };
  }

  #wanted(): Map<SettingName, string> {
    return new Map<SettingName, string>([...this.#configured, ...this.#held]);
  }

  #ensure(name: SettingName, wanted: string): Result<void, Problem> {
    const found = this.#ports.read(name);
    if (found === null) return err(noSetting(name));
    const known = this.#changes.get(name);
    if (known?.set !== wanted) {
      const change = { before: known?.before ?? found, set: wanted };
      this.#changes.set(name, known === undefined ? change : { ...change, last: known.set });
      const recorded = this.#record();
      if (!recorded.ok) return this.#forget(name, known, recorded.error);
    }
    if (sameSetting(name, found, wanted)) return ok(undefined);
    const written = this.#ports.write(name, wanted);
    if (!written.ok) return err(cannotSet(name, wanted, written.error));
    if (known?.set === wanted) {
      this.#repairs++;
      this.#ports.onRepaired(name, found, wanted);
    }
    return ok(undefined);
  }

  /** What cannot be recorded is not changed. */
  #forget(name: SettingName, known: Change | undefined, problem: Problem): Result<void, Problem> {
    if (known === undefined) this.#changes.delete(name);
    else this.#changes.set(name, known);
    return err(problem);
  }

  /** What cannot be put back stays recorded: the next comparison, or who comes next, tries again. */
  #restore(name: SettingName): Result<void, Problem> {
    const change = this.#changes.get(name) as Change;
    const { before } = change;
    const found = this.#ports.read(name);
    if (found !== null && isOurs(name, found, change) && !sameSetting(name, before, found)) {
      const written = this.#ports.write(name, before);
      if (!written.ok) return err(cannotPutBack(name, found, before, written.error));
    }
    this.#changes.delete(name);
    return this.#record();
  }

  #record(): Result<void, Problem> {
    const content: RecordFile = {
      bootId: readBootId(),
      changes: Object.fromEntries(this.#changes),
    };
    try {
      makeDirectory(dirname(this.#file));
      replaceFile(this.#file, JSON.stringify(content));
      return ok(undefined);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return err({
        code: 'VK-RUNTIME-DIRECTORY',
        message: `IPVS settings are not changed, because what was there before cannot be recorded: ${reason}`,
        cure: 'Make the runtime directory writable',
      });
    }
  }
}

/** Access to the kernel's settings and timeouts; without a client there are no timeouts. */
export function kernelSettings(
  client: Pick<IpvsClient, 'timeouts' | 'setTimeouts'> | null,
): Pick<SettingPorts, 'read' | 'write'> {
  return {
    read: (name) => {
      const device = acceptLocalDevice(name);
      if (device !== null) return readInterfaceSetting('ipv4', device, 'accept_local');
      if (!isTimeout(name)) return readIpvsSetting(name as IpvsSettingName);
      const timeouts = client?.timeouts();
      // 0: a kernel without this protocol.
      const seconds = timeouts?.ok ? timeouts.value[TIMEOUTS[name]] : 0;
      return seconds === 0 ? null : String(seconds);
    },
    write: (name, value) => {
      const device = acceptLocalDevice(name);
      if (device !== null) return writeInterfaceSetting('ipv4', device, 'accept_local', value);
      if (!isTimeout(name)) return writeIpvsSetting(name as IpvsSettingName, value);
      const keep = { tcpSeconds: 0, tcpFinSeconds: 0, udpSeconds: 0 };
      const set = client?.setTimeouts({ ...keep, [TIMEOUTS[name]]: Number(value) });
      if (set === undefined) return err('the IPVS of the kernel cannot be reached');
      return set.ok ? ok(undefined) : err(set.error.message);
    },
  };
}

function wantedSettings({
  settings,
  timeouts,
}: Pick<IpvsConfig, 'settings' | 'timeouts'>): Map<SettingName, string> {
  const wanted = new Map<SettingName, string>();
  for (const [name, field] of Object.entries(TIMEOUTS) as [TimeoutName, keyof IpvsTimeouts][]) {
    const seconds = timeouts[field];
    if (seconds !== null) wanted.set(name, String(seconds));
  }
  for (const [name, value] of Object.entries(settings)) {
    wanted.set(name as IpvsSettingName, value);
  }
  return wanted;
}

function acceptLocalDevice(name: SettingName): string | null {
  return name.startsWith('accept_local ') ? name.slice('accept_local '.length) : null;
}

function isTimeout(name: SettingName): name is TimeoutName {
  return Object.hasOwn(TIMEOUTS, name);
}

/** Whether an earlier controller of this boot has changed a timeout, and not put it back. */
export function hasTimeouts(file: string): boolean {
  return [...readChanges(file).keys()].some(isTimeout);
}

/** What an earlier controller of this boot has changed. Never throws. */
function readChanges(file: string): Map<SettingName, Change> {
  try {
    const text = readFileSync(file, 'utf8');
    if (text.length > FILE_BYTES_MAX) return new Map();
    const { bootId, changes } = JSON.parse(text) as RecordFile;
    if (bootId !== readBootId()) return new Map();
    const valid = Object.entries(changes).filter(
      ([, change]) =>
        typeof change?.before === 'string' &&
        typeof change.set === 'string' &&
        (change.last === undefined || typeof change.last === 'string'),
    );
    return new Map(valid as [SettingName, Change][]);
  } catch {
    // Nothing was changed, or by another version in other words.
    return new Map();
  }
}

/** Whether the kernel has a value that we have set. */
function isOurs(name: SettingName, found: string, { set, last }: Change): boolean {
  return sameSetting(name, found, set) || (last !== undefined && sameSetting(name, found, last));
}

/** 'net.ipv4.vs.conntrack', 'The IPVS timeout tcp' */
export function settingText(name: SettingName): string {
  const device = acceptLocalDevice(name);
  if (device !== null) return `net.ipv4.conf.${device}.accept_local`;
  return isTimeout(name) ? `The IPVS ${name}` : `net.ipv4.vs.${name}`;
}

function noSetting(name: SettingName): Problem {
  return {
    code: 'VK-IPVS-SETTING',
    message: `${settingText(name)} does not exist in this kernel`,
    cure: 'Take it out of the configuration, or boot a kernel that has it',
  };
}

function cannotPutBack(name: SettingName, found: string, before: string, reason: string): Problem {
  return {
    code: 'VK-IPVS-SETTING',
    message: `${settingText(name)} is ${found}, as vipkeeper set it, and cannot be put back to ${before}: ${reason}`,
    cure: 'Let vipkeeper write to /proc/sys/net/ipv4/vs: it tries again with every comparison, at its next start and with `vipkeeper cleanup`; or set it yourself',
  };
}

function cannotSet(name: SettingName, value: string, reason: string): Problem {
  return {
    code: 'VK-IPVS-SETTING',
    message: `${settingText(name)} cannot be set to ${value}: ${reason}`,
    cure: 'Let vipkeeper write to /proc/sys/net/ipv4/vs, or set it yourself and take it out here',
  };
}

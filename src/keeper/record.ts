/**
 * What a keeper leaves behind for the next one: which VIPs it may hold, and when each instance
 * last advertised. Both are in the runtime directory, which is memory (tmpfs): a small JSON file
 * written when the plan changes, and one fixed slot of eight bytes per instance that is
 * overwritten in place with every advertisement. Times are of the monotonic clock and hold
 * within one boot only, so the boot id is part of the record.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { VrrpConfig } from '../core/config/config.ts';
import { parseIp } from '../core/ip.ts';
import { monotonicUs } from '../linux/clock.ts';
import { makeDirectory } from '../linux/make-directory.ts';
import { type KeeperPlan, PROTOCOL_VERSION } from './messages.ts';

/** Title of the keeper's process, by which a living one is told from another with its id. */
export const KEEPER_TITLE = 'vipkeeper: keeper';

const STRUCTURE_FILE = 'keeper.json';
const SLOT_BYTES = 8;
/** Larger than the plan of any director that fits in 255 VRIDs on a few hundred interfaces. */
const RECORD_BYTES_MAX = 16 * 1024 * 1024;

export interface RecordedInstance {
  readonly name: string;
  readonly interface: string;
  readonly vrid: number;
  readonly family: 'ipv4' | 'ipv6';
  readonly addresses: readonly {
    readonly address: string;
    readonly prefixLength: number;
    readonly interface: string;
  }[];
  /** Name of its virtual link, or null. */
  readonly link: string | null;
  /** Interval that peers learnt from its advertisements. */
  readonly advertIntervalUs: number;
  /** Advertisements that peers wait for; a record of an earlier version has none. */
  readonly downTimerAdverts?: number;
  /** 0 when the instance was not active. */
  readonly lastAdvertAtUs: number;
}

interface StructureFile {
  readonly bootId: string;
  /** The keeper that wrote it. */
  readonly pid: number;
  /** Monotonic clock: end of the startup delay; 0 or nothing for none. */
  readonly startsAtUs?: number;
  readonly instances: readonly Omit<RecordedInstance, 'lastAdvertAtUs'>[];
  /** Absent in records of earlier versions. */
  readonly more?: RecordedMore;
}

/** What a keeper may hold beside the VIPs of its instances. */
export interface RecordedMore {
  readonly staticAddresses: RecordedInstance['addresses'];
  /** There are routes or rules; they bear our mark, so they need no list. */
  readonly routing: boolean;
  /** There is a table in the packet filter; absent in records of earlier versions. */
  readonly intake?: boolean;
}

/** linux/magic.h: the file systems that are memory. */
const TMPFS_MAGIC = 0x0102_1994;
const RAMFS_MAGIC = 0x8584_58f6;

/**
 * Whether the directory, which exists, is memory: elsewhere whoever writes may have to wait for a
 * disk. Throws the file system's error.
 */
export function isMemory(directory: string): boolean {
  const { type } = statfsSync(directory);
  return type === TMPFS_MAGIC || type === RAMFS_MAGIC;
}

export const NOTHING_MORE: RecordedMore = { staticAddresses: [], routing: false };

/** The kernel's id of this boot. */
export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** The structure file of this boot, or null. Never throws. */
function readStructure(runtimeDirectory: string): StructureFile | null {
  try {
    const text = readFileSync(join(runtimeDirectory, STRUCTURE_FILE), 'utf8');
    if (text.length > RECORD_BYTES_MAX) return null;
    const structure = JSON.parse(text) as StructureFile;
    const valid = structure.bootId === readBootId() && Array.isArray(structure.instances);
    return valid ? structure : null;
  } catch {
    // No record, or one of another format.
    return null;
  }
}

type RecordedAddress = RecordedInstance['addresses'][number];

/** Whether what was read is as writeStructure() writes it, as far as a keeper relies on it. */
function isInstance(value: StructureFile['instances'][number]): boolean {
  return (
    isObject(value) &&
    typeof value.name === 'string' &&
    typeof value.interface === 'string' &&
    Number.isSafeInteger(value.vrid) &&
    (value.family === 'ipv4' || value.family === 'ipv6') &&
    (value.link === null || typeof value.link === 'string') &&
    Number.isSafeInteger(value.advertIntervalUs) &&
    (value.downTimerAdverts === undefined || Number.isSafeInteger(value.downTimerAdverts)) &&
    areAddresses(value.addresses)
  );
}

function areAddresses(value: readonly RecordedAddress[]): boolean {
  return (
    Array.isArray(value) &&
    value.every(
      (one) =>
        isObject(one) &&
        typeof one.address === 'string' &&
        parseIp(one.address) !== null &&
        Number.isSafeInteger(one.prefixLength) &&
        typeof one.interface === 'string',
    )
  );
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

/** Process id of the keeper that wrote the record, if it still runs; else null. */
export function livingKeeper(runtimeDirectory: string): number | null {
  const pid = readStructure(runtimeDirectory)?.pid;
  if (!Number.isSafeInteger(pid)) return null;
  try {
    const title = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return title.startsWith(KEEPER_TITLE) ? (pid as number) : null;
  } catch {
    return null;
  }
}

/** What a keeper left. */
export interface KeeperRecord {
  readonly instances: readonly RecordedInstance[];
  /** Monotonic clock: end of its startup delay; 0 for none. */
  readonly startsAtUs: number;
  readonly more: RecordedMore;
}

const NO_RECORD: KeeperRecord = { instances: [], startsAtUs: 0, more: NOTHING_MORE };

/** What the previous keeper of this boot left. Never throws. */
export function readRecord(runtimeDirectory: string): KeeperRecord {
  const structure = readStructure(runtimeDirectory);
  if (structure === null) return NO_RECORD;
  const { startsAtUs } = structure;
  return {
    instances: instancesOf(structure, runtimeDirectory),
    startsAtUs: Number.isSafeInteger(startsAtUs) ? (startsAtUs as number) : 0,
    more: moreOf(structure),
  };
}

function instancesOf(
  { instances }: StructureFile,
  runtimeDirectory: string,
): readonly RecordedInstance[] {
  try {
    const slots = readFileSync(join(runtimeDirectory, 'adverts.bin'));
    // What is not as it was written would end every keeper that reads it.
    return instances.flatMap((instance, slot) =>
      isInstance(instance) ? [{ ...instance, lastAdvertAtUs: slotAt(slots, slot) }] : [],
    );
  } catch {
    // Without the slots nobody can say that an instance was active: nothing to adopt.
    return [];
  }
}

/** A time that nobody can have written is none: it would make an instance active. */
function slotAt(slots: Buffer, slot: number): number {
  if (slots.length < (slot + 1) * SLOT_BYTES) return 0;
  const atUs = slots.readDoubleLE(slot * SLOT_BYTES);
  return atUs >= 0 && atUs <= monotonicUs() ? atUs : 0;
}

function moreOf({ more }: StructureFile): RecordedMore {
  if (more === undefined || !isObject(more)) return NOTHING_MORE;
  // Routes and the table bear our mark: looking for them once too often removes nothing of others.
  return areAddresses(more.staticAddresses) ? more : { ...more, staticAddresses: [] };
}

interface PlanFile {
  readonly protocol: number;
  readonly bootId: string;
  readonly plan: KeeperPlan;
}

/** Leaves the plan for the process that this one becomes. Readable by root only: it has keys. */
export function writePlan(plan: KeeperPlan): void {
  const content: PlanFile = { protocol: PROTOCOL_VERSION, bootId: readBootId(), plan };
  replaceFile(join(plan.runtimeDirectory, 'plan.json'), JSON.stringify(content));
}

/** The plan that writePlan() left in this boot and in our words, or null. Never throws. */
export function readPlan(runtimeDirectory: string): KeeperPlan | null {
  try {
    const content = JSON.parse(
      readFileSync(join(runtimeDirectory, 'plan.json'), 'utf8'),
    ) as PlanFile;
    const valid = content.protocol === PROTOCOL_VERSION && content.bootId === readBootId();
    return valid ? content.plan : null;
  } catch {
    return null;
  }
}

export class RecordWriter {
  readonly #directory: string;
  #slots: DataView = new DataView(new ArrayBuffer(0));
  /** First and last slot that were noted since they were written. */
  #dirtyFrom = Number.POSITIVE_INFINITY;
  #dirtyTo = -1;
  #fd: number | null = null;
  /** What writeStructure() wrote last. */
  #written: string | null = null;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * Writes which instances there are and when they take part; `lastAdvertAtUs` fills their slots.
   * Instance i has slot i. What is there already is not written again.
   * Throws the file system's error when the directory cannot be used.
   */
  writeStructure(
    instances: readonly VrrpConfig[],
    lastAdvertAtUs: readonly number[],
    startsAtUs = 0,
    more: RecordedMore = NOTHING_MORE,
  ): void {
    const structure: StructureFile = {
      bootId: readBootId(),
      pid: process.pid,
      startsAtUs,
      more,
      instances: instances.map((instance) => ({
        name: instance.name,
        interface: instance.interface,
        vrid: instance.vrid,
        family: instance.family,
        advertIntervalUs: instance.advertIntervalUs,
        downTimerAdverts: instance.downTimerAdverts,
        link: instance.virtualLink?.name ?? null,
        addresses: instance.addresses.map(({ address, prefixLength, interface: device }) => ({
          address,
          prefixLength,
          interface: device,
        })),
      })),
    };
    const text = JSON.stringify(structure);
    const slots = new DataView(new ArrayBuffer(Math.max(1, instances.length) * SLOT_BYTES));
    for (const [slot, atUs] of lastAdvertAtUs.entries()) {
      slots.setFloat64(slot * SLOT_BYTES, atUs, true);
    }
    this.#slots = slots;
    this.#clean();
    if (this.#written === text && this.#isThere()) {
      this.#dirtyFrom = 0;
      this.#dirtyTo = instances.length - 1;
      return this.flush();
    }
    makeDirectory(this.#directory);
    this.close();
    // The slots first: a structure without slots reads as "never advertised".
    replaceFile(join(this.#directory, 'adverts.bin'), new Uint8Array(slots.buffer));
    replaceFile(join(this.#directory, STRUCTURE_FILE), text);
    this.#written = text;
    this.#fd = openSync(join(this.#directory, 'adverts.bin'), 'r+');
  }

  /**
   * Notes that the instance with this slot advertised, for flush() to write; 0 when it is not
   * active any more, which is written at once, or by the caller with `later`: it must not be
   * adopted.
   */
  noteAdvert(slot: number, atUs: number, later = false): void {
    if (this.#fd === null || (slot + 1) * SLOT_BYTES > this.#slots.byteLength) return;
    this.#slots.setFloat64(slot * SLOT_BYTES, atUs, true);
    if (slot < this.#dirtyFrom) this.#dirtyFrom = slot;
    if (slot > this.#dirtyTo) this.#dirtyTo = slot;
    if (atUs === 0 && !later) this.flush();
  }

  /** Writes what was noted, in one call: the slots between the first and the last, all current. */
  flush(): void {
    if (this.#fd === null || this.#dirtyTo < 0) return;
    const offset = this.#dirtyFrom * SLOT_BYTES;
    const lengthBytes = (this.#dirtyTo + 1) * SLOT_BYTES - offset;
    this.#clean();
    try {
      writeSync(this.#fd, this.#slots, offset, lengthBytes, offset);
    } catch {
      // A full or vanished runtime directory must not stop advertisements; adoption is lost only.
      this.close();
    }
  }

  /** Whether nobody has removed what was written. */
  #isThere(): boolean {
    if (this.#fd === null || fstatSync(this.#fd).nlink === 0) return false;
    return existsSync(join(this.#directory, STRUCTURE_FILE));
  }

  #clean(): void {
    this.#dirtyFrom = Number.POSITIVE_INFINITY;
    this.#dirtyTo = -1;
  }

  close(): void {
    if (this.#fd === null) return;
    closeSync(this.#fd);
    this.#fd = null;
    this.#written = null;
  }
}

/** Puts a whole file in the place of another at once. Throws the file system's error. */
export function replaceFile(path: string, content: string | Uint8Array): void {
  const temporary = `${path}.new`;
  writeFileSync(temporary, content, { mode: 0o600 });
  renameSync(temporary, path);
}

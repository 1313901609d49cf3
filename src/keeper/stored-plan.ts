/**
 * The plan of the last start, kept over reboots, so that the keeper of the next one need not wait
 * until the configuration has been read. It is used only if nothing that it was made from has
 * changed: the bytes and permissions of every file, the director and host it was read for, the
 * build of vipkeeper. Whatever differs, or cannot be read, means the normal start.
 *
 * The controller writes it, and reads the real configuration at every start all the same. One
 * director per state directory has a stored plan: the last one that started.
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { Turn } from '../core/turn.ts';
import { BUILD } from '../core/version.ts';
import { answersOn } from '../linux/libc.ts';
import { makeDirectory } from '../linux/make-directory.ts';
import { TURNS } from '../linux/turns.ts';
import { type KeeperPlan, PROTOCOL_VERSION } from './messages.ts';

/** Used when the service manager names none. */
const DEFAULT_DIRECTORY = '/var/lib/vipkeeper';
const FILE_NAME = 'start.json';
/** Larger than any plan with its configuration; see record.ts and config/document.ts. */
const FILE_BYTES_MAX = 32 * 1024 * 1024;
/** Permissions of the group and of others. */
const NOT_OWNER_MODE = 0o077;
const WRITABLE_BY_OTHERS_MODE = 0o022;

export interface StartRequest {
  readonly config: string;
  /** As asked for on the command line; null for the file's own, or the host's name. */
  readonly director: string | null;
}

/** A file that the plan was made from. */
export interface PlanSource {
  readonly path: string;
  readonly mode: number;
  readonly content: Uint8Array;
}

/** What a keeper may begin with where canBegin() says so. */
export interface FreshPlan {
  readonly plan: KeeperPlan;
  /** Those that must exist, or the director does not start. */
  readonly interfaces: readonly string[];
}

export interface StartPlan extends FreshPlan {
  readonly sources: readonly PlanSource[];
}

interface StoredFile {
  readonly build: string;
  readonly protocol: number;
  readonly hostname: string;
  readonly director: string | null;
  readonly config: string;
  readonly interfaces: readonly string[];
  /** `content` in base64. */
  readonly sources: readonly {
    readonly path: string;
    readonly mode: number;
    readonly content: string;
  }[];
  readonly plan: KeeperPlan;
}

/** The directory for what outlives a reboot: STATE_DIRECTORY of systemd.exec(5), or the default. */
export function stateDirectory(): string {
  const given = process.env.STATE_DIRECTORY?.split(':', 1)[0] ?? '';
  return given.startsWith('/') ? given : DEFAULT_DIRECTORY;
}

/** Bytes of a source that are made text and written at once; a multiple of three, for base64. */
const BYTES_PER_PART = 96 * 1024;

/**
 * Keeps the plan for the next start in the same circumstances, in many turns of the event loop where
 * the configuration is long. One call is to end before the next. Does nothing in a build that has
 * no identity. Rejects with the file system's error.
 */
export async function storePlan(
  request: StartRequest,
  start: StartPlan,
  build = BUILD,
): Promise<void> {
  if (build === null) return;
  const content: StoredFile = {
    build,
    protocol: PROTOCOL_VERSION,
    hostname: hostname(),
    director: request.director,
    config: resolve(request.config),
    interfaces: start.interfaces,
    plan: start.plan,
    // The last, and written behind the others.
    sources: [],
  };
  const directory = stateDirectory();
  makeDirectory(directory);
  const path = join(directory, FILE_NAME);
  const fd = openSync(`${path}.new`, 'w', 0o600);
  try {
    const sum = new Checksum();
    let position = HEADER_BYTES;
    const turn = new Turn(TURNS);
    for (const text of textOf(content, start.sources)) {
      const bytes = Buffer.from(text);
      sum.add(bytes);
      writeAll(fd, bytes, position);
      position += bytes.length;
      if (turn.hasLasted()) await turn.rest();
    }
    writeAll(fd, sum.header(), 0);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.new`, path);
}

/** JSON of the file in parts; `head` has no sources, and they are its last member. */
function* textOf(head: StoredFile, sources: readonly PlanSource[]): Generator<string> {
  yield JSON.stringify(head).slice(0, -']}'.length);
  for (const [index, { path, mode, content }] of sources.entries()) {
    yield `${index === 0 ? '' : ','}${JSON.stringify({ path, mode }).slice(0, -1)},"content":"`;
    for (let from = 0; from < content.length; from += BYTES_PER_PART) {
      yield Buffer.from(content.subarray(from, from + BYTES_PER_PART)).toString('base64');
    }
    yield '"}';
  }
  yield ']}';
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}

/** No plan for the next start. Throws the file system's error. */
export function forgetPlan(build = BUILD): void {
  if (build !== null) rmSync(join(stateDirectory(), FILE_NAME), { force: true });
}

/**
 * The plan that storePlan() kept, if it is the one that reading the configuration would give, and
 * no other director runs with its runtime directory; else null. Never throws.
 */
export function storedPlan(request: StartRequest, build = BUILD): KeeperPlan | null {
  if (build === null) return null;
  try {
    const bytes = readOwned(stateDirectory());
    if (bytes === null) return null;
    const stored = JSON.parse(bytes.toString('utf8')) as StoredFile;
    const same =
      stored.build === build &&
      stored.protocol === PROTOCOL_VERSION &&
      stored.hostname === hostname() &&
      stored.director === request.director &&
      stored.config === resolve(request.config) &&
      stored.sources.some(({ path }) => path === stored.config) &&
      stored.sources.every(isUnchanged);
    return same && canBegin(stored) ? stored.plan : null;
  } catch {
    // No plan, or not one of ours: the normal start.
    return null;
  }
}

/** Whether its interfaces are there, and no other director runs with its runtime directory. */
export function canBegin({ plan, interfaces }: FreshPlan): boolean {
  return (
    interfaces.every((name) => existsSync(`/sys/class/net/${name}`)) &&
    !answersOn(`${plan.runtimeDirectory}/control.sock`)
  );
}

/** The content behind its header, if only its owner, who is us, could have written it. */
function readOwned(directory: string): Buffer | null {
  const user = process.geteuid?.();
  const { mode, uid } = statSync(directory);
  if ((mode & WRITABLE_BY_OTHERS_MODE) !== 0 || (uid !== user && uid !== 0)) return null;
  const read = readRegular(join(directory, FILE_NAME), FILE_BYTES_MAX);
  if (read === null || read.uid !== user || (read.mode & NOT_OWNER_MODE) !== 0) return null;
  const text = read.content.subarray(HEADER_BYTES);
  return header(text).equals(read.content.subarray(0, HEADER_BYTES)) ? text : null;
}

function isUnchanged({ path, mode, content }: StoredFile['sources'][number]): boolean {
  const wanted = Buffer.from(content, 'base64');
  const read = readRegular(path, wanted.length);
  return read !== null && read.mode === mode && read.content.equals(wanted);
}

interface ReadFile {
  readonly mode: number;
  readonly uid: number;
  readonly content: Buffer;
}

/** A regular file of at most so many bytes, or null. Throws the file system's error. */
function readRegular(path: string, bytesMax: number): ReadFile | null {
  // Not blocking, so that a FIFO in place of the file cannot hold us.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const { mode, uid, size } = fstatSync(fd);
    const isRegular = (mode & constants.S_IFMT) === constants.S_IFREG;
    return isRegular && size <= bytesMax ? { mode, uid, content: readFileSync(fd) } : null;
  } finally {
    closeSync(fd);
  }
}

const HEADER_BYTES = 16;

/**
 * A checksum and the length, which show damage, as of a file system after a loss of power.
 * Node's own hashes cost a start ten times as much: its crypto module would be loaded for it.
 */
class Checksum {
  #low = 0x811c_9dc5;
  #high = 0x01b3_5a7d;
  #length = 0;

  add(text: Uint8Array): void {
    let [low, high] = [this.#low, this.#high];
    for (let index = 0; index < text.length; index++) {
      const byte = text[index] as number;
      low = Math.imul(low ^ byte, 0x0100_0193);
      high = Math.imul(high ^ byte, 0x85eb_ca6b) ^ (high >>> 13);
    }
    [this.#low, this.#high] = [low, high];
    this.#length += text.length;
  }

  header(): Buffer {
    const bytes = Buffer.alloc(HEADER_BYTES);
    bytes.writeInt32LE(this.#low | 0, 0);
    bytes.writeInt32LE(this.#high | 0, 4);
    bytes.writeUInt32LE(this.#length, 8);
    return bytes;
  }
}

function header(text: Uint8Array): Buffer {
  const sum = new Checksum();
  sum.add(text);
  return sum.header();
}

/**
 * A file with a number. The kernel tells of changes in its directory (inotify), so that a file
 * which is written, replaced, removed or made again is seen at once; a look every interval sees
 * what inotify cannot tell: a directory that was replaced, a network file system.
 *
 * Without the file, or while it is empty, the number is 0. So it is for anything that is no
 * number and for what cannot be read, but these are problems, and told.
 */
import { type FSWatcher, watch, writeFileSync } from 'node:fs';
import { constants, open, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { TrackerConfig } from '../../core/config/config.ts';
import type { Problem } from '../../core/problem.ts';
import type { Watch, WatchPorts } from './watch.ts';

type FileConfig = Extract<TrackerConfig, { kind: 'file' }>;

/** A number in a file is a few digits; more is not read. */
const LENGTH_BYTES_MAX = 64;
const NUMBER_PATTERN = /^[+-]?\d{1,9}$/;
/** Writers empty a file before they write it: what it says counts when this time is over. */
const SETTLE_MS = 20;
/** A file that was emptied gets this long to be written. */
const EMPTY_MS = 250;
/** A file that was changed later than this in the future has another clock: its age says nothing. */
const CLOCK_SKEW_MS = 1_000;

export class FileWatch implements Watch {
  readonly #config: FileConfig;
  readonly #ports: WatchPorts;
  readonly #poll: NodeJS.Timeout;
  #watcher: FSWatcher | null = null;
  #watched = '';
  #soon: NodeJS.Timeout | null = null;
  #looking = false;
  #again = false;
  #value = 0;
  #closed = false;

  /** `initialise`: the director starts, so the file gets its first number if one is configured. */
  constructor(config: FileConfig, initialise: boolean, ports: WatchPorts) {
    this.#config = config;
    this.#ports = ports;
    if (initialise) this.#initialise();
    this.#poll = setInterval(() => void this.#look(), config.intervalUs / 1000);
    void this.#look();
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#poll);
    if (this.#soon !== null) clearTimeout(this.#soon);
    this.#watcher?.close();
  }

  #initialise(): void {
    const { init, overwrite, path } = this.#config;
    if (init === null) return;
    try {
      writeFileSync(path, `${init}\n`, { flag: overwrite ? 'w' : 'wx', mode: 0o644 });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST') return;
      this.#ports.problem(fileProblem(path, `its first number cannot be written: ${message}`));
    }
  }

  /** Watches the directory that is there now, if that is another one than before. */
  async #follow(): Promise<void> {
    const directory = dirname(this.#config.path);
    const found = await stat(directory).catch(() => null);
    const identity = found === null ? '' : `${found.dev} ${found.ino}`;
    if (identity === this.#watched || this.#closed) return;
    this.#unfollow();
    if (found === null) return;
    try {
      const watcher = watch(directory, (_event, name) => {
        if (name === null || name === basename(this.#config.path)) this.#lookSoon(SETTLE_MS);
      });
      // The number of watches is bounded (fs.inotify.max_user_watches): then the poll is enough.
      watcher.on('error', () => this.#unfollow());
      this.#watcher = watcher;
      this.#watched = identity;
    } catch {
      this.#unfollow();
    }
  }

  #unfollow(): void {
    this.#watcher?.close();
    this.#watcher = null;
    this.#watched = '';
  }

  #lookSoon(delayMs: number): void {
    if (this.#closed || this.#soon !== null) return;
    this.#soon = setTimeout(() => {
      this.#soon = null;
      void this.#look();
    }, delayMs);
  }

  async #look(): Promise<void> {
    if (this.#looking) {
      this.#again = true;
      return;
    }
    this.#looking = true;
    await this.#follow();
    const content = await readContent(this.#config.path);
    this.#looking = false;
    if (this.#closed) return;
    this.#judge(content);
    if (!this.#again) return;
    this.#again = false;
    void this.#look();
  }

  #judge(content: Content): void {
    const { path } = this.#config;
    const empty = content.kind === 'text' && content.text === '';
    if (empty && this.#value !== 0 && isFresh(content.ageMs)) {
      return this.#lookSoon(EMPTY_MS);
    }
    if (content.kind === 'failed') {
      this.#ports.problem(fileProblem(path, `it cannot be read: ${content.why}`));
      return this.#tell(0, `${path} cannot be read: ${content.why}`);
    }
    if (content.kind === 'missing' || empty) {
      this.#ports.problem(null);
      return this.#tell(0, empty ? `${path} is empty` : `there is no ${path}`);
    }
    if (NUMBER_PATTERN.test(content.text)) {
      this.#ports.problem(null);
      return this.#tell(Number(content.text), `number ${Number(content.text)}`);
    }
    this.#ports.problem(fileProblem(path, 'what it says is no number'));
    this.#tell(0, `${path} is no number`);
  }

  #tell(value: number, detail: string): void {
    this.#value = value;
    this.#ports.set({ up: true, value, detail });
  }
}

function isFresh(ageMs: number): boolean {
  return ageMs > -CLOCK_SKEW_MS && ageMs < EMPTY_MS;
}

type Content =
  | {
      readonly kind: 'text';
      readonly text: string;
      /** Since it was last changed. */
      readonly ageMs: number;
    }
  | { readonly kind: 'missing' }
  | { readonly kind: 'failed'; readonly why: string };

async function readContent(path: string): Promise<Content> {
  const nowMs = Date.now();
  try {
    // Without waiting: a FIFO in its place has no writer.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = await file.stat();
      if (!stats.isFile()) return { kind: 'failed', why: 'it is not a file' };
      const { bytesRead, buffer } = await file.read(
        Buffer.alloc(LENGTH_BYTES_MAX),
        0,
        LENGTH_BYTES_MAX,
        0,
      );
      const text = buffer.toString('utf8', 0, bytesRead).trim();
      return { kind: 'text', text, ageMs: nowMs - stats.mtimeMs };
    } finally {
      await file.close();
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'missing' };
    return { kind: 'failed', why: code ?? message };
  }
}

function fileProblem(path: string, why: string): Problem {
  return {
    code: 'VK-TRACKER',
    message: `The tracked file ${path} counts as 0: ${why}`,
    cure: 'Write a whole number of at most nine digits into it, or remove it',
  };
}

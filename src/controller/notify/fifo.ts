/**
 * The FIFO that other programs read transitions from. It is opened for reading and writing, so
 * that opening it never waits for a reader and writing never raises SIGPIPE. A line is shorter
 * than PIPE_BUF, so the kernel takes it whole or not at all; while the pipe is full, lines wait
 * here in their order, and in a file for whoever comes after a crash (fifo-journal.ts). Only when
 * LINES_MAX wait is the oldest dropped, of minor ones if there are any, and that is counted.
 */
import { chownSync, closeSync, constants, fstatSync, openSync, statSync, writeSync } from 'node:fs';
import type { Problem } from '../../core/problem.ts';
import type { NotifyChannelReport } from '../../core/status.ts';
import { mkfifo, SystemError } from '../../linux/libc.ts';
import type { Account } from './account.ts';
import type { FifoJournal, Line } from './fifo-journal.ts';

/** Beside the pipe's own 64 KiB: days of transitions for a reader that is not there. */
const LINES_MAX = 4096;
const MODE = 0o600;
/** How soon a full pipe is tried again; doubling, for a reader that does not come. */
const RETRY_MIN_MS = 10;
const RETRY_MAX_MS = 1_000;

export interface FifoOptions {
  readonly path: string;
  /** Owner of a FIFO that is made; null for vipkeeper's own. */
  readonly account: Account | null;
  /** Where it is kept what waits. */
  readonly journal: Pick<FifoJournal, 'takeLeft' | 'add' | 'remove' | 'clear'>;
}

export interface FifoPorts {
  readonly onProblem: (problem: Problem) => void;
  /** The queue overflowed: called for the first line lost, and again after it was empty. */
  readonly onOverflow: (path: string) => void;
}

export class FifoWriter {
  readonly #options: FifoOptions;
  readonly #ports: FifoPorts;
  readonly #waiting: Line[] = [];
  /** How many of them, from the first on, are in the journal. */
  #kept = 0;
  #fd: number | null = null;
  #timer: NodeJS.Timeout | null = null;
  #delayMs = RETRY_MIN_MS;
  #told: string | null = null;
  #overflowed = false;
  #written = 0;
  #dropped = 0;
  #whenEmpty: (() => void)[] = [];

  constructor(options: FifoOptions, ports: FifoPorts) {
    this.#options = options;
    this.#ports = ports;
    this.#open();
    this.#waiting.push(...options.journal.takeLeft());
    this.#kept = this.#waiting.length;
    if (this.#kept > 0) this.#drain();
  }

  get path(): string {
    return this.#options.path;
  }

  report(): NotifyChannelReport {
    const waiting = this.#waiting.length;
    return { delivered: this.#written, failed: 0, dropped: this.#dropped, waiting };
  }

  /** A line with its end, at most 4096 bytes; a minor one gives way to the others. */
  write(text: string, rank: 'important' | 'minor' = 'important'): void {
    if (this.#waiting.length >= LINES_MAX) {
      const oldest = this.#waiting.findIndex(({ minor }) => minor);
      this.#remove(Math.max(0, oldest));
      this.#dropped++;
      if (!this.#overflowed) this.#ports.onOverflow(this.path);
      this.#overflowed = true;
    }
    this.#waiting.push({ text, minor: rank === 'minor' });
    if (this.#timer === null) this.#drain();
    else this.#keep();
  }

  /** Resolves when every line is in the pipe, or the writer is closed. */
  empty(): Promise<void> {
    if (this.#waiting.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenEmpty.push(resolve);
    });
  }

  /** Lines that still wait are dropped; what is in the pipe stays for a reader that has it open. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#dropped += this.#waiting.splice(0).length;
    this.#kept = 0;
    this.#options.journal.clear();
    this.#closeFd();
    this.#emptied();
  }

  #drain(): void {
    this.#timer = null;
    if (!this.#open()) return this.#retry();
    while (this.#waiting.length > 0) {
      try {
        writeSync(this.#fd as number, (this.#waiting[0] as Line).text);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') this.#fail(error);
        return this.#retry();
      }
      this.#remove(0);
      this.#written++;
      this.#delayMs = RETRY_MIN_MS;
    }
    this.#overflowed = false;
    this.#emptied();
  }

  #remove(index: number): void {
    this.#waiting.splice(index, 1);
    if (index >= this.#kept) return;
    this.#kept--;
    this.#options.journal.remove(index);
  }

  /** Has all that waits in the journal. */
  #keep(): void {
    for (; this.#kept < this.#waiting.length; this.#kept++) {
      this.#options.journal.add(this.#waiting[this.#kept] as Line);
    }
  }

  #retry(): void {
    if (this.#waiting.length === 0) return;
    this.#keep();
    this.#timer = setTimeout(() => this.#drain(), this.#delayMs);
    this.#delayMs = Math.min(this.#delayMs * 2, RETRY_MAX_MS);
  }

  #emptied(): void {
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }

  /** Opens the FIFO, made anew if it is missing; false when it cannot be used now. */
  #open(): boolean {
    try {
      if (this.#fd !== null) {
        if (isSame(this.#fd, this.path)) return true;
        // Replaced under us: lines for the old one would reach nobody.
        this.#closeFd();
      }
      this.#create();
      const flags = constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOFOLLOW;
      const fd = openSync(this.path, flags);
      if (!fstatSync(fd).isFIFO()) {
        closeSync(fd);
        throw new Error('it exists and is not a FIFO');
      }
      this.#fd = fd;
      this.#told = null;
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  #create(): void {
    try {
      mkfifo(this.path, MODE);
    } catch (error) {
      if (error instanceof SystemError && error.code === 'EEXIST') return;
      throw error;
    }
    const { account } = this.#options;
    if (account !== null) chownSync(this.path, account.uid, account.gid);
  }

  #fail(error: unknown): void {
    this.#closeFd();
    const why = error instanceof Error ? error.message : String(error);
    if (why === this.#told) return;
    this.#told = why;
    this.#ports.onProblem({
      code: 'VK-FIFO',
      message: `The FIFO ${this.path} cannot be used: ${why}`,
      cure: 'Create its directory, make it writable, and remove what is in its place',
    });
  }

  #closeFd(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }
}

function isSame(fd: number, path: string): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  const open = fstatSync(fd);
  return there !== undefined && there.ino === open.ino && there.dev === open.dev;
}

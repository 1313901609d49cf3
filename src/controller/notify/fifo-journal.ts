/**
 * The lines for the FIFO that wait because the pipe is full, in a file of the runtime directory: a
 * controller that dies takes none of them with it. Every change is appended before the call
 * returns; when nothing waits any more there is no file. It holds within one boot and for one FIFO.
 *
 *   BOOT PATH    the first line
 *   +RANK TEXT   a line waits behind the others; RANK is 0, or 1 for a minor one
 *   -INDEX       that one waits no more
 */
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { readBootId } from '../../keeper/record.ts';

export interface Line {
  /** With its end. */
  readonly text: string;
  readonly minor: boolean;
}

/** A full queue of the longest lines, and as many changes. */
const FILE_BYTES_MAX = 64 * 1024 * 1024;
/** What has accumulated at the least before the file is written anew without what waits no more. */
const REWRITE_BYTES_MIN = 1024 * 1024;

export class FifoJournal {
  readonly #path: string;
  readonly #head: string;
  #fd: number | null = null;
  /** Lines in the file that wait. */
  #count = 0;
  /** Length of the file, about. */
  #bytes = 0;
  /** Where it is written anew. */
  #rewriteBytes = REWRITE_BYTES_MIN;

  /** `path`: of the file; `fifo`: of the FIFO. */
  constructor(path: string, fifo: string) {
    this.#path = path;
    this.#head = `${readBootId()} ${JSON.stringify(fifo)}\n`;
  }

  /** What an earlier controller left, in its order; it counts as added. Never throws. */
  takeLeft(): readonly Line[] {
    const lines = this.#read();
    this.clear();
    for (const line of lines) this.add(line);
    return lines;
  }

  add(line: Line): void {
    this.#count++;
    this.#append(`+${line.minor ? 1 : 0} ${line.text}`);
  }

  /** The line with this index waits no more. */
  remove(index: number): void {
    this.#count--;
    if (this.#count === 0) this.clear();
    else this.#append(`-${index}\n`);
  }

  /** Nothing waits. */
  clear(): void {
    this.#count = 0;
    this.#bytes = 0;
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
    rmSync(this.#path, { force: true });
  }

  #append(text: string): void {
    try {
      if (this.#fd === null) {
        this.#fd = openSync(this.#path, 'w', 0o600);
        writeSync(this.#fd, this.#head);
      }
      writeSync(this.#fd, text);
    } catch {
      // Whoever cannot write there has been told so: memory.ts. Only a crash would need it.
      return;
    }
    this.#bytes += text.length;
    if (this.#bytes > this.#rewriteBytes) this.#rewrite();
  }

  /** A pipe that nobody reads stays full for years, while lines come and the oldest go. */
  #rewrite(): void {
    this.#rewriteBytes = Number.POSITIVE_INFINITY;
    this.takeLeft();
    this.#rewriteBytes = Math.max(REWRITE_BYTES_MIN, 2 * this.#bytes);
  }

  #read(): readonly Line[] {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch {
      return [];
    }
    if (text.length > FILE_BYTES_MAX || !text.startsWith(this.#head)) return [];
    const lines: Line[] = [];
    // Behind the last end of a line is what a crash has cut off.
    for (const change of text.slice(this.#head.length).split('\n').slice(0, -1)) {
      if (change.startsWith('-')) lines.splice(Number(change.slice(1)), 1);
      else lines.push({ text: `${change.slice(3)}\n`, minor: change[1] === '1' });
    }
    return lines;
  }
}

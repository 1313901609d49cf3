/**
 * The FIFO of notification, held open beside the controller, which writes to it: what is in a pipe
 * is gone when nobody has it open any more, and a reader that comes after the controller's death
 * shall find every line. Nothing is ever read or written here.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { setInheritable } from '../linux/libc.ts';

export class HeldFifo {
  #fd: number | null = null;

  /** Holds the FIFO at `path` from now on, if there is one, and lets go of another; null: none. */
  hold(path: string | null): void {
    const before = this.#fd;
    this.#fd = path === null ? null : open(path);
    if (before !== null) closeSync(before);
  }

  /** What the program held that became this one. */
  inherit(fd: number): void {
    this.#fd = fd;
  }

  /** The descriptor for the program that this process becomes; null when it holds none. */
  passOn(): number | null {
    if (this.#fd !== null) setInheritable(this.#fd, true);
    return this.#fd;
  }
}

/** Open for both, so that this waits for nobody; null when there is no FIFO. */
function open(path: string): number | null {
  try {
    const flags = constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOFOLLOW;
    const fd = openSync(path, flags);
    if (fstatSync(fd).isFIFO()) return fd;
    closeSync(fd);
  } catch {
    // The controller, which makes it, says what is wrong with it.
  }
  return null;
}

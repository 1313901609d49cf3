/** Real scripts in a directory of their own, and what the tests of notification share. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import type { Log } from '../../../../src/controller/log.ts';

export class ScriptDirectory {
  readonly path = mkdtempSync(join(tmpdir(), 'vipkeeper-notify-'));

  constructor() {
    // Scripts that run as another user must be found.
    chmodSync(this.path, 0o755);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** A shell script; `body` is everything behind the interpreter's line. */
  script(name: string, body: string, { interpreter = '/bin/sh', mode = 0o755 } = {}): string {
    const path = this.file(name);
    writeFileSync(path, `#!${interpreter}\n${body}\n`);
    chmodSync(path, mode);
    return path;
  }

  /** The lines of a file that scripts write to; [] while there is none. */
  lines(name: string): string[] {
    try {
      return readFileSync(this.file(name), 'utf8').split('\n').slice(0, -1);
    } catch {
      return [];
    }
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** A log that keeps its lines. */
export function memoryLog(): { log: Log; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const write = (text: string): void => void lines.push(JSON.parse(text) as LogLine);
  return { log: pino({ level: 'debug' }, { write }), lines };
}

/**
 * A real server program of a test: started by itself with a configuration and data of its own
 * below a temporary directory, on ports of loopback that were free; frozen, woken and ended with
 * everything that it started, by its process group.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Of Debian's user nobody: programs that refuse root run as it. */
export const NOBODY = 65_534;
/** Of what a program says; the end of it is in the error of a test. */
const OUTPUT_CHARACTERS_MAX = 4000;
const RUN_TIMEOUT_MS = 60_000;

export class Workshop {
  /** Everybody may pass through it: programs give up root. */
  readonly directory: string = mkdtempSync(join(tmpdir(), 'vipkeeper-servers-'));
  readonly #programs: Program[] = [];

  constructor() {
    chmodSync(this.directory, 0o755);
  }

  /** Writes a file below the directory; its path. */
  file(name: string, content: string, mode = 0o644): string {
    const path = join(this.directory, name);
    writeFileSync(path, content, { mode });
    return path;
  }

  /** Makes a directory below the directory, of `owner`; its path. */
  folder(name: string, owner = 0): string {
    const path = join(this.directory, name);
    mkdirSync(path, { recursive: true, mode: 0o755 });
    chownSync(path, owner, owner === 0 ? 0 : NOBODY);
    return path;
  }

  /** Copies a key or certificate into the directory; it is `owner`'s alone. */
  copy(from: string, name: string, owner = 0): string {
    const path = join(this.directory, name);
    copyFileSync(from, path);
    chmodSync(path, 0o600);
    chownSync(path, owner, owner === 0 ? 0 : NOBODY);
    return path;
  }

  /** A command that ends by itself; throws with what it said. */
  run(
    command: readonly string[],
    { user = 0, input = '' }: { readonly user?: number; readonly input?: string } = {},
  ): void {
    const [program = '', ...args] = command;
    const account = user === 0 ? {} : { uid: user, gid: NOBODY };
    const options = { cwd: this.directory, input, timeout: RUN_TIMEOUT_MS, ...account };
    execFileSync(program, args, { ...options, stdio: 'pipe' });
  }

  start(command: readonly string[], user = 0): Program {
    const program = new Program(command, this.directory, user);
    this.#programs.push(program);
    return program;
  }

  async close(): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.stop()));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export class Program {
  /** What it said last. */
  output = '';
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  constructor(command: readonly string[], directory: string, user: number) {
    const [program = '', ...args] = command;
    const account = user === 0 ? {} : { uid: user, gid: NOBODY };
    // Detached: the leader of a process group of its own.
    this.#child = spawn(program, args, {
      ...{ cwd: directory, detached: true, stdio: ['ignore', 'pipe', 'pipe'], ...account },
    });
    const hear = (data: Buffer) => {
      this.output = (this.output + data.toString()).slice(-OUTPUT_CHARACTERS_MAX);
    };
    this.#child.stdout?.on('data', hear);
    this.#child.stderr?.on('data', hear);
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.output += error.message;
        resolve();
      });
      this.#child.once('exit', () => resolve());
    });
  }

  /** It runs no more, but its connections stay as they are. */
  freeze(): void {
    this.#signal('SIGSTOP');
  }

  wake(): void {
    this.#signal('SIGCONT');
  }

  async stop(): Promise<void> {
    this.#signal('SIGKILL');
    await this.#ended;
  }

  #signal(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // ESRCH: all of it has ended.
    }
  }
}

/** Ports of 127.0.0.1 that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(
    servers.map((server) => new Promise<void>((done) => server.listen(0, '127.0.0.1', done))),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

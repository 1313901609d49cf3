/**
 * Runs one script, of a transition or of a tracker: without a shell, in a session of its own, in a clean environment, as the
 * configured account, for a bounded time. Who does not end in time gets SIGTERM, then SIGKILL,
 * with everything that it has started (process-tree.ts). The last bytes of what it prints are kept for the log.
 * What cannot be run has failed: it is never taken for a success.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { formatDuration } from '../../config/values.ts';
import type { Command } from '../../core/config/config.ts';
import type { Problem } from '../../core/problem.ts';
import type { Account } from './account.ts';
import type { ScriptRecords } from './left-scripts.ts';
import { ProcessTree } from './process-tree.ts';
import { findScriptFault, problem } from './script-file.ts';

/** Time to clean up between SIGTERM and SIGKILL; less when the director stops. */
const KILL_AFTER_MS = 2_000;
const KILL_AFTER_STOPPING_MS = 500;
/** A process that SIGKILL does not end within this time waits in the kernel, maybe for ever. */
const ABANDON_AFTER_MS = 2_000;
/** Enough for the last lines of an error, little enough for a line of the log. */
const OUTPUT_BYTES_MAX = 1024;
/** For what a script printed just before its end; a process it left behind may print for ever. */
const OUTPUT_GRACE_MS = 100;
/** The most that a script gets when the director stops; see Notifier.stop. */
const STOPPING_TIMEOUT_MS = 3_000;

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface ScriptRequest {
  readonly command: Command;
  /** Arguments behind the command's own. */
  readonly args: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  /** null: as vipkeeper itself. */
  readonly account: Account | null;
  readonly security: boolean;
  readonly timeoutMs: number;
  /** The director stops: what runs has STOPPING_TIMEOUT_MS from then on. */
  readonly stopping: AbortSignal;
  /** Nobody waits any more: what runs is killed. */
  readonly abandoned: AbortSignal;
  /** Where it is kept that it runs, for whoever comes after a crash. */
  readonly records?: ScriptRecords | undefined;
  /** What it has started and left behind is killed when it ends. */
  readonly leaveNothing?: boolean;
  /** Its time is over, and it is being ended: before the outcome, `detail` as there. */
  readonly onOverdue?: (detail: string) => void;
}

export type ScriptOutcome = {
  /** The end of what it printed on standard output and error. */
  readonly output: string;
  readonly durationMs: number;
} & (
  | { readonly kind: 'succeeded' }
  /** `detail` completes "the script ...": 'ended with exit status 1'. */
  | {
      readonly kind: 'failed';
      readonly detail: string;
      /** null when a signal has ended it. */
      readonly exitStatus: number | null;
      /** Not even SIGKILL has ended it. */
      readonly stuck: boolean;
      /** Whether something of it is there now, which waits in the kernel then, maybe for ever. */
      readonly isLeft: () => boolean;
    }
  | { readonly kind: 'not-run'; readonly problem: Problem }
);

/** Runs it to its end. Never rejects. */
export async function runScript(request: ScriptRequest): Promise<ScriptOutcome> {
  const [path, ...own] = request.command as [string, ...string[]];
  const startedAtMs = performance.now();
  const notRun = (why: Problem): ScriptOutcome => ({
    kind: 'not-run',
    problem: why,
    output: '',
    durationMs: performance.now() - startedAtMs,
  });
  const uid = request.account?.uid ?? process.getuid?.() ?? 0;
  const fault = await findScriptFault(path, { uid, security: request.security });
  if (fault !== null) return notRun(fault);
  let child: ChildProcess;
  try {
    child = startScript(path, [...own, ...request.args], request);
  } catch (error) {
    return notRun(startProblem(path, error));
  }
  const output = collectOutput(child);
  const { pid } = child;
  if (pid !== undefined) request.records?.began(pid);
  const ending = await waitForEnd(child, request);
  if (pid !== undefined) request.records?.ended(pid);
  if (ending.kind === 'not-started') return notRun(startProblem(path, ending.error));
  const seen = { output: await output(), durationMs: performance.now() - startedAtMs };
  if (ending.detail === null) return { kind: 'succeeded', ...seen };
  const { detail, exitStatus, stuck, isLeft } = ending;
  return { kind: 'failed', detail, exitStatus, stuck, isLeft, ...seen };
}

/** Starts a script in a session of its own; throws what spawn throws. */
export function startScript(
  path: string,
  args: readonly string[],
  { variables, account }: Pick<ScriptRequest, 'variables' | 'account'>,
): ChildProcess {
  return spawn(path, args, {
    cwd: '/',
    env: { PATH, ...variables },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    ...(account ?? {}),
  });
}

/** What keeps a program from being started, of which the file itself gave no sign. */
export function startProblem(path: string, error: unknown): Problem {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') {
    const cure = 'Install the interpreter, or correct the line (it must not end with a CR)';
    return problem(path, 'the interpreter in its first line does not exist', cure);
  }
  if (code === 'EACCES') {
    const cure = 'Give its user permission to read and execute it';
    return problem(path, 'the user it runs as has no permission', cure);
  }
  if (code === 'EPERM') {
    const cure = 'Give vipkeeper CAP_SETUID and CAP_SETGID, or leave out user and group';
    return problem(path, 'vipkeeper may not change to the user it runs as', cure);
  }
  return problem(path, message ?? String(error), 'See the system error');
}

/** Keeps the end of both outputs; the function returned gives it once the script has ended. */
export function collectOutput(child: ChildProcess): () => Promise<string> {
  let kept: Buffer = Buffer.alloc(0);
  // Without descriptors for pipes Node.js makes none, whatever its types say, and tells it later.
  const pipes: readonly (Readable | null | undefined)[] = [child.stdout, child.stderr];
  const streams = pipes.filter((stream) => stream !== null && stream !== undefined);
  const ended = streams.map(
    (stream) =>
      new Promise<void>((resolve) => {
        stream.on('data', (chunk: Buffer) => {
          kept = Buffer.concat([kept, chunk]).subarray(-OUTPUT_BYTES_MAX);
        });
        stream.once('close', () => resolve());
        stream.once('error', () => resolve());
      }),
  );
  return async () => {
    let grace: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      grace = setTimeout(resolve, OUTPUT_GRACE_MS);
    });
    await Promise.race([Promise.all(ended), late]);
    clearTimeout(grace);
    for (const stream of streams) stream.destroy();
    return kept.toString('utf8').trim();
  };
}

type Ending =
  | { readonly kind: 'not-started'; readonly error: unknown }
  /** null for exit status 0. */
  | {
      readonly kind: 'ended';
      readonly detail: string | null;
      readonly exitStatus: number | null;
      readonly stuck: boolean;
      readonly isLeft: () => boolean;
    };

function waitForEnd(child: ChildProcess, request: ScriptRequest): Promise<Ending> {
  const { stopping, abandoned } = request;
  const tree = child.pid === undefined ? null : new ProcessTree(child.pid);
  const isLeft = (): boolean => tree?.isThere() === true;
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    let cut: string | null = null;
    const finish = (ending: Ending): void => {
      clearTimeout(timer);
      stopping.removeEventListener('abort', hurry);
      abandoned.removeEventListener('abort', kill);
      // What was told to end must not leave anything behind.
      if (cut !== null || request.leaveNothing === true) tree?.signal('SIGKILL');
      resolve(ending);
    };
    const kill = (): void => {
      clearTimeout(timer);
      cut = `${cut ?? 'was cut short'} and was ended by SIGKILL`;
      tree?.signal('SIGKILL');
      timer = setTimeout(() => {
        const detail = `${cut}, but is still there (process ${child.pid})`;
        finish({ kind: 'ended', detail, exitStatus: null, stuck: true, isLeft });
      }, ABANDON_AFTER_MS);
    };
    const terminate = (limitMs: number): void => {
      cut = `did not end within ${formatDuration(limitMs * 1000)}`;
      request.onOverdue?.(cut);
      tree?.signal('SIGTERM');
      timer = setTimeout(kill, stopping.aborted ? KILL_AFTER_STOPPING_MS : KILL_AFTER_MS);
    };
    const limit = (timeoutMs: number): void => {
      clearTimeout(timer);
      timer = setTimeout(() => terminate(timeoutMs), timeoutMs);
    };
    const hurry = (): void => {
      if (cut === null) limit(Math.min(request.timeoutMs, STOPPING_TIMEOUT_MS));
    };
    child.once('error', (error) => finish({ kind: 'not-started', error }));
    child.once('exit', (code, signal) => {
      if (cut !== null && !cut.includes('SIGKILL')) cut += ' and was ended by SIGTERM';
      const detail = cut ?? exitDetail(code, signal);
      finish({ kind: 'ended', detail, exitStatus: code, stuck: false, isLeft });
    });
    stopping.addEventListener('abort', hurry);
    abandoned.addEventListener('abort', kill);
    if (stopping.aborted) hurry();
    else limit(request.timeoutMs);
    if (abandoned.aborted) kill();
  });
}

function exitDetail(code: number | null, signal: NodeJS.Signals | null): string | null {
  if (code === 0) return null;
  return signal === null ? `ended with exit status ${code}` : `was ended by ${signal}`;
}

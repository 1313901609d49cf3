/**
 * Asks a running director over its control socket. Bounded in time and size; whatever goes wrong
 * comes back as a Problem, and a socket on which nobody answers as VK-NOT-RUNNING.
 */
import { request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { formatProblem, type Problem } from '../core/problem.ts';
import { err, ok, type Result } from '../core/result.ts';
import type { DirectorStatus } from '../core/status.ts';
import { CONTROL_SOCKET, EXIT } from './commands.ts';
import { printable, type Terminal } from './terminal.ts';

/** Longer than the director gives itself for an answer, so that its own reason is told. */
export const ANSWER_TIMEOUT_MS = 18_000;
/** Statuses whose body is what was asked for: fine, accepted, and a configuration with errors. */
const ANSWERS: readonly number[] = [200, 202, 422];
/** The table of ten thousand services with two servers each takes 40 MB, with long checks more. */
const ANSWER_LENGTH_BYTES_MAX = 512 * 1024 * 1024;

/**
 * Body of GET (or another method) of `path`, such as '/v1/status'; 422 is an answer too. Whoever
 * interrupts it gets a problem, and knows better.
 */
export function askDirector(
  runtimeDirectory: string,
  path: string,
  method: 'GET' | 'POST' = 'GET',
  timeoutMs: number = ANSWER_TIMEOUT_MS,
  interrupted?: AbortSignal,
): Promise<Result<string, Problem>> {
  const socketPath = join(runtimeDirectory, CONTROL_SOCKET);
  return new Promise((resolve) => {
    const late = AbortSignal.timeout(timeoutMs);
    const signal = interrupted === undefined ? late : AbortSignal.any([late, interrupted]);
    const fail = (error: Error) =>
      resolve(err(connectionProblem(error, socketPath, { method, timeoutMs })));
    const asked = request({ socketPath, path, method, signal, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let lengthBytes = 0;
      response.on('data', (chunk: Buffer) => {
        lengthBytes += chunk.length;
        if (lengthBytes > ANSWER_LENGTH_BYTES_MAX) response.destroy(new Error('answer too long'));
        else chunks.push(chunk);
      });
      response.on('error', fail);
      response.on('end', () => {
        const body = Buffer.concat(chunks).toString('utf8');
        if (ANSWERS.includes(response.statusCode ?? 0)) resolve(ok(body));
        else resolve(err(answerProblem(body, socketPath)));
      });
    });
    asked.on('error', fail);
    asked.end();
  });
}

/** The director's own account of itself. */
export async function askStatus(
  runtimeDirectory: string,
  timeoutMs: number = ANSWER_TIMEOUT_MS,
  interrupted?: AbortSignal,
): Promise<Result<DirectorStatus, Problem>> {
  const path = '/v1/status';
  const answer = await askDirector(runtimeDirectory, path, 'GET', timeoutMs, interrupted);
  if (!answer.ok) return answer;
  try {
    return ok(JSON.parse(answer.value) as DirectorStatus);
  } catch {
    return err({
      code: 'VK-SYSTEM',
      message: `What answers in ${runtimeDirectory} does not speak JSON`,
      cure: 'Check that --runtime-directory names the one of a running vipkeeper',
    });
  }
}

/** Says what is wrong on standard error; the exit status that goes with it. */
export function failed(problem: Problem, terminal: Terminal): number {
  terminal.err(`${printable(formatProblem(problem))}\n`);
  if (problem.code === 'VK-USAGE') return EXIT.usage;
  return problem.code === 'VK-NOT-RUNNING' ? EXIT.notRunning : EXIT.failed;
}

/** Whether anybody listens on the control socket. */
export function directorRuns(runtimeDirectory: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(join(runtimeDirectory, CONTROL_SOCKET));
    const end = (runs: boolean) => {
      socket.destroy();
      resolve(runs);
    };
    socket.once('connect', () => end(true));
    // A full backlog (EAGAIN) has somebody behind it: only these two say that nobody is there.
    socket.once('error', (error: NodeJS.ErrnoException) =>
      end(error.code !== 'ENOENT' && error.code !== 'ECONNREFUSED'),
    );
  });
}

function connectionProblem(
  error: NodeJS.ErrnoException,
  socketPath: string,
  { method, timeoutMs }: { readonly method: 'GET' | 'POST'; readonly timeoutMs: number },
): Problem {
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return {
      code: 'VK-NOT-ROOT',
      message: `Only root may use the control socket ${socketPath}`,
      cure: 'Run the command as root, for example with sudo',
    };
  }
  const silent = error.name === 'AbortError' || error.name === 'TimeoutError';
  if (silent) {
    // It was told, and does it when it goes on.
    const asked = '; what it was asked for it may still do, as `vipkeeper status` shows then';
    return {
      code: 'VK-NOT-RUNNING',
      message: `The vipkeeper on ${socketPath} did not answer in ${timeoutMs / 1000} s`,
      cure: `Look at its log with \`journalctl -u vipkeeper\`, and restart it only if it hangs${method === 'POST' ? asked : ''}`,
    };
  }
  if (error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET') {
    // A director that stops takes its socket with it.
    return {
      code: 'VK-NOT-RUNNING',
      message: `The controller of the vipkeeper on ${socketPath} has died, or is being started`,
      cure: 'Ask again in a moment; if it lasts, `journalctl -u vipkeeper` says why, and if nothing of it runs, start it with `systemctl start vipkeeper`',
    };
  }
  if (error.code === 'ENOENT') {
    return {
      code: 'VK-NOT-RUNNING',
      message: `No vipkeeper answers on ${socketPath}`,
      cure: 'Start it with `systemctl start vipkeeper`, or name its --runtime-directory',
    };
  }
  return {
    code: 'VK-SYSTEM',
    message: `Asking ${socketPath} failed: ${error.message}`,
    cure: 'Check that --runtime-directory names the one of a running vipkeeper',
  };
}

function answerProblem(body: string, socketPath: string): Problem {
  let reason = 'its answer cannot be read';
  try {
    const parsed = JSON.parse(body) as { readonly error?: unknown };
    if (typeof parsed.error === 'string') reason = parsed.error;
  } catch {
    // The reason above says it.
  }
  return {
    code: 'VK-SYSTEM',
    message: `The vipkeeper on ${socketPath} gave no status: ${reason}`,
    cure: 'Look at its log with `journalctl -u vipkeeper`',
  };
}

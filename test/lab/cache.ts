/**
 * Cache: the directory that outlives a lab, and the locks in it, which hold off other labs on
 * this machine: test files run in processes of their own, and several of them may find the
 * kernel or a package missing at the same moment.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { onProcessEnd } from './cleanup.ts';
import { LabError, REPOSITORY } from './host.ts';

/** Longer than one whole installation or build: after that the other lab hangs. */
const LOCK_TIMEOUT_MS = 20 * 60_000;
const LOCK_INTERVAL_MS = 200;

/** Where kernels are kept: VIPKEEPER_LAB_CACHE, or .cache/lab in the repository. */
export function cacheDirectory(): string {
  const own = process.env.VIPKEEPER_LAB_CACHE;
  return own === undefined || own === '' ? join(REPOSITORY, '.cache', 'lab') : resolve(own);
}

/** Runs `action` while no other lab on this machine does so under the same name. */
export async function withLock<T>(
  name: string,
  onProgress: (line: string) => void,
  action: () => Promise<T>,
): Promise<T> {
  mkdirSync(cacheDirectory(), { recursive: true });
  const path = join(cacheDirectory(), `${name}.lock`);
  const deadline = performance.now() + LOCK_TIMEOUT_MS;
  let told = false;
  while (!takeLock(path)) {
    if (performance.now() > deadline) throw new LabError(`Another lab holds ${path}: remove it`);
    if (!told) onProgress(`Waiting for another lab that holds ${path}`);
    told = true;
    await new Promise((resume) => setTimeout(resume, LOCK_INTERVAL_MS));
  }
  const release = () => rmSync(path, { force: true });
  const forget = onProcessEnd(release);
  try {
    return await action();
  } finally {
    forget();
    release();
  }
}

function takeLock(path: string): boolean {
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  // An owner that got SIGKILL leaves its lock behind: it counts only while the owner lives. An
  // empty lock has an owner that is about to write its number.
  const owner = existsSync(path) ? Number(readFileSync(path, 'utf8')) : 0;
  if (owner > 0 && !existsSync(`/proc/${owner}`)) rmSync(path, { force: true });
  return false;
}

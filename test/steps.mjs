/**
 * The first steps that tests, demo and benchmarks share, from a clean clone to a built tree.
 * Plain JavaScript without dependencies, because it runs before anything is installed.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const NODE_MINIMUM = [20, 19];

/** Ends with one sentence on what is wrong and what to do. */
export function fail(sentence) {
  console.error(`\n${sentence}`);
  process.exit(1);
}

/** Prints this and ends, before anything is installed or built, if --help is asked for. */
export function helpIfAsked(text) {
  if (!process.argv.slice(2).some((word) => word === '--help' || word === '-h')) return;
  process.stdout.write(text);
  process.exit(0);
}

/** Runs a command with its output shown; ends the run when it fails. */
export function step(name, command, args) {
  console.log(`\n=== ${name} ===`);
  const startedAtMs = Date.now();
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (result.error) fail(`${name}: ${command} cannot be run: ${result.error.message}`);
  if (result.status !== 0) fail(`${name} failed: ${command} ${args.join(' ')}`);
  console.log(`${name}: done in ${((Date.now() - startedAtMs) / 1000).toFixed(1)} s`);
}

/** Installs the npm packages of the lock file, if they are not there already. */
export function ensureModules() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [wantMajor, wantMinor] = NODE_MINIMUM;
  if (major < wantMajor || (major === wantMajor && minor < wantMinor)) {
    fail(
      `Node ${process.versions.node} is too old: ${NODE_MINIMUM.join('.')} or later is needed. ` +
        'Install the current release of Node 20 or later.',
    );
  }
  const marker = join(root, 'node_modules', '.package-lock.json');
  const lock = join(root, 'package-lock.json');
  if (existsSync(marker) && statSync(marker).mtimeMs >= statSync(lock).mtimeMs) return;
  if (existsSync(marker) && sameLock(marker, lock)) return;
  step('npm packages', 'npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund']);
}

/** npm's own record of what is installed, against what the lock file wants. */
function sameLock(marker, lock) {
  const wanted = Object.entries(JSON.parse(readFileSync(lock, 'utf8')).packages);
  const present = JSON.parse(readFileSync(marker, 'utf8')).packages;
  return wanted.every(
    ([path, entry]) => path === '' || entry.optional || present[path]?.version === entry.version,
  );
}

/** Compiles everything; a wrong import between rooms fails here. */
export function build() {
  step('build', 'npx', ['--no-install', 'tsc', '-b']);
  step('bundles', process.execPath, ['build/bundle.mjs']);
}

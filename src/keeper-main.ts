/**
 * Entry of the keeper process: `vipkeeper run` becomes this one, keeping its process id. Its
 * arguments are the controller's, which it starts; the keeper itself reads none of them.
 */
import { fileURLToPath } from 'node:url';
import { formatProblem, type Problem } from './core/problem.ts';
import { CONTROLLER_ENVIRONMENT, CONTROLLER_NODE_FLAGS } from './core/processes.ts';
import { Keeper } from './keeper/keeper.ts';
import { requireCapabilities } from './linux/capabilities.ts';
import { SystemError } from './linux/libc.ts';

const CONTROLLER = fileURLToPath(new URL('./controller-main.js', import.meta.url));

function fail(problem: Problem): never {
  process.stderr.write(`${formatProblem(problem)}\n`);
  process.exit(1);
}

const missing = requireCapabilities(['CAP_NET_ADMIN', 'CAP_NET_RAW']);
if (missing !== null) fail(missing);

try {
  new Keeper({
    nodeFlags: CONTROLLER_NODE_FLAGS,
    script: CONTROLLER,
    args: process.argv.slice(2),
    env: CONTROLLER_ENVIRONMENT,
  }).start();
} catch (error) {
  if (!(error instanceof SystemError)) throw error;
  fail({
    code: 'VK-SYSTEM',
    message: `The keeper cannot start: ${error.message}`,
    cure: 'Run it as root, on a kernel with raw and netlink sockets',
  });
}

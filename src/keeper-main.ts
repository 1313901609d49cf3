/**
 * Entry of the keeper process: `vipkeeper run` becomes this one, keeping its process id. Its
 * arguments are the controller's, which it starts; of them the keeper itself reads only which
 * configuration a plan of an earlier start must be of.
 */
import { fileURLToPath } from 'node:url';
import { formatProblem, type Problem } from './core/problem.ts';
import { CONTROLLER_ENVIRONMENT, CONTROLLER_NODE_FLAGS } from './core/processes.ts';
import { Keeper } from './keeper/keeper.ts';
import { storedPlan } from './keeper/stored-plan.ts';
import { requireCapabilities } from './linux/capabilities.ts';
import { SystemError } from './linux/libc.ts';

const CONTROLLER = fileURLToPath(new URL('./controller-main.js', import.meta.url));
const args = process.argv.slice(2);

function fail(problem: Problem): never {
  process.stderr.write(`${formatProblem(problem)}\n`);
  process.exit(1);
}

/** The value of an option, as parseRun() writes it. */
function optionOf(name: string): string | null {
  const index = args.indexOf(name);
  return index < 0 ? null : (args[index + 1] ?? null);
}

const missing = requireCapabilities(['CAP_NET_ADMIN', 'CAP_NET_RAW']);
if (missing !== null) fail(missing);

try {
  const controller = {
    nodeFlags: CONTROLLER_NODE_FLAGS,
    script: CONTROLLER,
    args,
    env: CONTROLLER_ENVIRONMENT,
  };
  const config = optionOf('--config');
  const director = optionOf('--director');
  new Keeper(controller, () => (config === null ? null : storedPlan({ config, director }))).start();
} catch (error) {
  if (!(error instanceof SystemError)) throw error;
  fail({
    code: 'VK-SYSTEM',
    message: `The keeper cannot start: ${error.message}`,
    cure: 'Run it as root, on a kernel with raw and netlink sockets',
  });
}

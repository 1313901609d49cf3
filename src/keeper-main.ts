/**
 * Entry of the keeper process: `vipkeeper run` becomes this one, keeping its process id. Its
 * arguments are the controller's, which it starts; of them the keeper itself reads only which
 * configuration the plan must be of that it begins with.
 */
import { join } from 'node:path';
import { formatProblem, type Problem } from './core/problem.ts';
import { CONTROLLER_ENVIRONMENT, CONTROLLER_NODE_FLAGS } from './core/processes.ts';
import { BUILD } from './core/version.ts';
import { Keeper } from './keeper/keeper.ts';
import type { EarlyPlan } from './keeper/messages.ts';
import { canBegin, type FreshPlan, type StartRequest, storedPlan } from './keeper/stored-plan.ts';
import { requireCapabilities } from './linux/capabilities.ts';
import { SystemError } from './linux/libc.ts';

/**
 * controller/first-plan.ts, beside this file in an installation: loaded by its path, and only where
 * there is no plan of an earlier start, because a keeper has no parser and no schema.
 */
interface FirstPlan {
  firstPlan(request: StartRequest): FreshPlan | null;
}

// Places without URLs, which would be half a millisecond of the start.
const CONTROLLER = join(import.meta.dirname, 'controller-main.js');
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

/** The plan of the last start, if it still holds; else what the configuration says now. */
function earlyPlan(): EarlyPlan | null {
  const config = optionOf('--config');
  if (config === null || BUILD === null) return null;
  const request = { config, director: optionOf('--director') };
  const stored = storedPlan(request);
  if (stored !== null) return { from: 'last-start', plan: stored };
  const read = readOnce(request);
  return read !== null && canBegin(read) ? { from: 'own-reading', plan: read.plan } : null;
}

/** Nothing refers to parser and schema afterwards: the collector may have them. */
function readOnce(request: StartRequest): FreshPlan | null {
  const path = join(import.meta.dirname, 'first-plan.js');
  // There is one, because only a bundle has an identity; node:module takes a millisecond to load.
  const { firstPlan } = require(path) as FirstPlan;
  const read = firstPlan(request);
  for (const { id } of require.cache[path]?.children ?? []) delete require.cache[id];
  delete require.cache[path];
  require.cache[import.meta.filename]?.children.pop();
  return read;
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
  new Keeper(controller, earlyPlan).start();
} catch (error) {
  if (!(error instanceof SystemError)) throw error;
  fail({
    code: 'VK-SYSTEM',
    message: `The keeper cannot start: ${error.message}`,
    cure: 'Run it as root, on a kernel with raw and netlink sockets',
  });
}

/**
 * Entry of the controller process. The keeper starts it with the arguments of `vipkeeper run`.
 * Whatever keeps it from starting is one sentence on standard error and a non-zero exit code,
 * which the keeper makes its own.
 */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type ConfigError, formatConfigError, formatConfigErrors } from './config/errors.ts';
import { type ConfigAnswer, ConfigSource } from './controller/config-source.ts';
import { keepPlan } from './controller/next-start.ts';
import { preflight } from './controller/preflight.ts';
import { collectYoungGeneration } from './controller/young-generation.ts';
import type { Config } from './core/config/config.ts';
import { formatProblem, type Problem } from './core/problem.ts';
import { KEEPER_ENVIRONMENT, KEEPER_NODE_FLAGS } from './core/processes.ts';
import { err, ok } from './core/result.ts';
import { VERSION } from './core/version.ts';
import type { KeeperPlan } from './keeper/messages.ts';
import { makeDirectory } from './linux/make-directory.ts';
import { TURNS, tidyUpInTurns } from './linux/turns.ts';

const KEEPER = fileURLToPath(new URL('./keeper-main.js', import.meta.url));

process.title = 'vipkeeper: controller';
process.once('uncaughtException', (error) => {
  // A defect: say which, end, and let the keeper start the next controller.
  const stack = process.env.VIPKEEPER_DEBUG === '1' ? `\n${error.stack}` : '';
  process.stderr.write(`VK-INTERNAL: The controller failed: ${error.message}${stack}\n`);
  process.exit(70);
});

const { values } = parseArgs({
  options: { config: { type: 'string' }, director: { type: 'string' } },
  strict: true,
});
const request = {
  path: values.config ?? '/etc/vipkeeper/vipkeeper.yaml',
  director: values.director ?? null,
};

const source = new ConfigSource(request);

function refuseToStart(lines: readonly string[]): never {
  process.stderr.write(`${lines.join('\n')}\n`);
  // Flushed before the exit, because the channel is a pipe.
  if (process.send !== undefined) process.send({ kind: 'startup-failed', exitCode: 1 }, exit);
  else exit();
  throw new StartupRefused();
}

class StartupRefused extends Error {}

function exit(): never {
  process.exit(1);
}

function refuse(problems: readonly Problem[]): void {
  if (problems.length > 0) refuseToStart(problems.map(formatProblem));
}

/** What takes long to load, and is needed only when there is a configuration. */
async function loadOthers() {
  const [{ Controller }, { openLog }, bursts, { serveControl, serveHttp }] = await Promise.all([
    import('./controller/controller.ts'),
    import('./controller/log.ts'),
    import('./controller/log-bursts.ts'),
    import('./http/server.ts'),
  ]);
  return { Controller, openLog, ...bursts, serveControl, serveHttp };
}

/** Keeps the plan for the keeper of the next start. */
function keeper(
  config: Config,
  sources: ConfigAnswer['sources'],
): (plan: KeeperPlan) => Promise<void> {
  return (plan) => keepPlan({ request, config, sources }, plan);
}

function plainly(error: ConfigError): string {
  return formatConfigError(error, { color: false });
}

async function main(): Promise<void> {
  tidyUpInTurns(collectYoungGeneration);
  // Its reader starts, and reads, while this process loads the rest of its code.
  const reading = source.read();
  const loading = loadOthers();
  const { result, warnings, sources } = await reading;
  const color = process.stderr.isTTY === true;
  if (!result.ok) return refuseToStart([formatConfigErrors(result.error, { color }).trimEnd()]);
  const config: Config = result.value;
  await TURNS.nextTurn();
  refuse(preflight(config));
  const { Controller, openLog, serveControl, serveHttp, ...bursts } = await loading;
  const { CONFIG_ERRORS, CONFIG_WARNINGS, logFirst } = bursts;
  const log = await openLog(config.log, config.director);
  await TURNS.nextTurn();
  logFirst(log, CONFIG_WARNINGS, warnings.map(plainly));
  await TURNS.nextTurn();
  const controller = new Controller({
    config,
    configFile: resolve(request.path),
    keeper: {
      nodeFlags: KEEPER_NODE_FLAGS,
      script: KEEPER,
      args: process.argv.slice(2),
      env: KEEPER_ENVIRONMENT,
    },
    log,
    keepForNextStart: keeper(config, sources),
    version: VERSION,
    reload: async () => {
      const { result: again, warnings: anew, sources: files } = await source.read();
      if (again.ok) {
        logFirst(log, CONFIG_WARNINGS, anew.map(plainly));
        return ok({ config: again.value, keepForNextStart: keeper(again.value, files) });
      }
      const lines = again.error.map(plainly);
      logFirst(log, CONFIG_ERRORS, lines);
      log.error({ event: 'reload' }, 'The configuration is not valid: the running one stays');
      return err(lines);
    },
  });
  await TURNS.nextTurn();
  const problem = controller.open();
  if (problem !== null) refuse([problem]);
  try {
    makeDirectory(config.runtimeDirectory);
  } catch {
    // The control socket, which is made in it, says why.
  }
  await TURNS.nextTurn();
  const control = await serveControl(`${config.runtimeDirectory}/control.sock`, controller);
  if (!control.ok) return refuse([control.error]);
  controller.addCleanup(() => control.value.close());
  if (config.http !== null) {
    const http = await serveHttp(config.http, controller);
    if (!http.ok) return refuse([http.error]);
    controller.addCleanup(() => http.value.close());
  }
  await TURNS.nextTurn();
  await controller.start();
}

main().catch((error: unknown) => {
  if (!(error instanceof StartupRefused)) throw error;
});

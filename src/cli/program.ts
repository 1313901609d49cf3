/**
 * The commands wired to what they do, with their parser and help made from the table. Handlers
 * are loaded when they are called. What belongs to rooms that this one may not import is passed in.
 */
import { Argument, Command, CommanderError, Option } from 'commander';
import { VERSION } from '../core/version.ts';
import type { CleanUp } from './cleanup.ts';
import {
  COMMANDS,
  type CommandSpec,
  DEFAULT_RUNTIME_DIRECTORY,
  EXIT,
  NAME_KINDS,
  NAMES_COMMAND,
  type NameKind,
  ONLY_INSTANCE,
  RUNNING_CONFIG,
} from './commands.ts';
import { SHELLS, type Shell } from './completion.ts';
import type { ReadOverrides } from './plan.ts';
import type { Terminal } from './terminal.ts';
import { checkDirectorName, UsageError } from './usage.ts';

const ABOUT = 'High-availability controller for Linux Virtual Server directors';

const NEVER = new AbortController().signal;

interface Options {
  readonly director?: string;
  readonly runtimeDirectory: string;
  readonly json?: boolean;
  readonly watch?: boolean;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly all?: boolean;
  readonly script?: string;
  readonly for?: string;
  readonly until?: string;
  readonly seed?: string;
  readonly svg?: string;
  readonly timeout?: string;
  readonly reason?: string;
  /** commander's form of --no-wait. */
  readonly wait?: boolean;
  readonly up?: boolean;
  readonly down?: boolean;
  readonly clear?: boolean;
  readonly weight?: string;
}

/** What a command line gives besides options. */
interface Given {
  /** Its arguments, where it may have several. */
  readonly words: readonly string[];
  /** The values of the option that may be repeated. */
  readonly repeated: readonly string[];
}

export interface Ports {
  readonly terminal: Terminal;
  readonly cleanUp: CleanUp;
  readonly readOverrides: ReadOverrides;
  /** A signal that is aborted by Ctrl-C, which ends the process no more once this is called. */
  readonly interruption: () => AbortSignal;
}

type Handler = (argument: string, options: Options, ports: Ports, given: Given) => Promise<number>;

const HANDLERS: Readonly<Record<string, Handler>> = {
  // Everything but its help is done before this file is loaded.
  run: async () => {
    throw new UsageError('The command run must come first', 'run');
  },
  check: async (file, options, { terminal }) => {
    checkDirectorName(options.director, 'check');
    const { check } = await import('./check.ts');
    const { director, json = false } = options;
    return check(file, director === undefined ? { json } : { json, director }, {
      stdout: { write: terminal.out },
      stderr: { write: terminal.err, isTTY: terminal.errColor },
    });
  },
  plan: async (file, { director, runtimeDirectory, json = false }, { terminal, readOverrides }) => {
    checkDirectorName(director, 'plan');
    const { plan, readKernelTable } = await import('./plan.ts');
    const chosen = file === RUNNING_CONFIG ? null : file;
    const options = { file: chosen, director: director ?? null, runtimeDirectory, json };
    return plan(options, terminal, { readTable: readKernelTable, readOverrides });
  },
  status: async (_, { runtimeDirectory, json = false, watch = false }, ports) => {
    const { status } = await import('./status.ts');
    const stopped = watch ? ports.interruption() : NEVER;
    return status({ runtimeDirectory, json, watch }, ports.terminal, stopped);
  },
  explain: async (instance, { runtimeDirectory, json = false }, { terminal }) => {
    const { explain } = await import('./explain.ts');
    return explain({ instance, runtimeDirectory, json }, terminal);
  },
  handover: async (
    instance,
    { runtimeDirectory, json = false, dryRun = false, all = false },
    ports,
  ) => {
    const { handover } = await import('./handover.ts');
    const which = { instance: chosenInstance(instance, all, 'handover') };
    return handover({ ...which, runtimeDirectory, json, dryRun }, ports.terminal);
  },
  takeback: async (instance, { runtimeDirectory, json = false, all = false }, { terminal }) => {
    const { takeback } = await import('./handover.ts');
    const which = { instance: chosenInstance(instance, all, 'takeback') };
    return takeback({ ...which, runtimeDirectory, json }, terminal);
  },
  drain: async (target, options, ports) => {
    const { drain } = await import('./override.ts');
    const { wait = true, timeout } = options;
    const own = { noWait: !wait, ...(timeout === undefined ? {} : { timeout }) };
    const stopped = wait ? ports.interruption() : NEVER;
    return drain({ ...overrideOptions(target, options), ...own }, ports.terminal, stopped);
  },
  undrain: async (target, options, { terminal }) => {
    const { undrain } = await import('./override.ts');
    return undrain(overrideOptions(target, options), terminal);
  },
  override: async (target, options, { terminal }) => {
    const { override } = await import('./override.ts');
    const { up = false, down = false, clear = false, weight } = options;
    const action = { up, down, clear, ...(weight === undefined ? {} : { weight }) };
    return override(action, overrideOptions(target, options), terminal);
  },
  reload: async (_, { runtimeDirectory, json = false }, { terminal }) => {
    const { reload } = await import('./control.ts');
    return reload({ runtimeDirectory, json }, terminal);
  },
  restart: async (_, { runtimeDirectory, json = false }, { terminal }) => {
    const { restart } = await import('./control.ts');
    return restart({ runtimeDirectory, json }, terminal);
  },
  cleanup: async (_, { runtimeDirectory, dryRun = false, json = false }, ports) => {
    const { cleanup } = await import('./cleanup.ts');
    return cleanup({ runtimeDirectory, dryRun, json }, ports.terminal, ports.cleanUp);
  },
  simulate: async (_, options, { terminal }, { words: files, repeated: directors }) => {
    const { simulate } = await import('./simulate.ts');
    const { script = null, for: duration = null, seed = '', svg = null, json = false } = options;
    return simulate({ files, directors, script, duration, seed, svg, json }, terminal);
  },
  completion: async (shell, _, { terminal }) => {
    const { completionScript } = await import('./completion.ts');
    // The parser lets only these through.
    terminal.out(completionScript(SHELLS.find((known) => known === shell) as Shell));
    return EXIT.ok;
  },
  version: async (_, __, { terminal }) => {
    terminal.out(`${versionText()}\n`);
    return EXIT.ok;
  },
};

function overrideOptions(target: string, options: Options) {
  const { runtimeDirectory, json = false, dryRun = false, force = false, reason } = options;
  return {
    target,
    runtimeDirectory,
    json,
    dryRun,
    force,
    ...(reason === undefined ? {} : { reason }),
    ...(options.for === undefined ? {} : { for: options.for }),
    ...(options.until === undefined ? {} : { until: options.until }),
  };
}

/** The instance that a command is for: null for all, undefined for the only one there is. */
function chosenInstance(
  instance: string,
  all: boolean,
  command: string,
): string | null | undefined {
  if (all && instance !== ONLY_INSTANCE) {
    throw new UsageError('Either an instance or --all can be given', command);
  }
  if (all) return null;
  return instance === ONLY_INSTANCE ? undefined : instance;
}

/**
 * Carries out a command line (without node and script) and returns the exit status. Throws
 * UsageError when it is invalid.
 */
export async function runProgram(args: readonly string[], ports: Ports): Promise<number> {
  let exitStatus: number = EXIT.ok;
  const program = createProgram(ports, (status) => {
    exitStatus = status;
  });
  if (args.length === 0) {
    ports.terminal.err(program.helpInformation());
    return EXIT.usage;
  }
  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help and version end in an exit with status 0, too.
    if (error.exitCode === 0) return EXIT.ok;
    throw usageError(error, args);
  }
  return exitStatus;
}

function createProgram(ports: Ports, done: (exitStatus: number) => void): Command {
  const { terminal } = ports;
  const program = new Command('vipkeeper')
    .description(ABOUT)
    .version(versionText(), '--version', 'Print the version')
    .helpOption('-h, --help', 'Show help')
    .helpCommand('help [command]', 'Show help for a command')
    .exitOverride()
    .configureOutput({
      writeOut: terminal.out,
      // Errors are told by the top-level handler, as problems with code and cure.
      writeErr: () => {},
      outputError: () => {},
      getOutHelpWidth: () => terminal.columns() ?? 80,
    });
  for (const spec of COMMANDS) addCommand(program, spec, ports, done);
  // For the completion scripts.
  const kind = new Argument('<kind>').choices(NAME_KINDS);
  const directory = new Option('--runtime-directory <DIR>').default(DEFAULT_RUNTIME_DIRECTORY);
  program
    .command(NAMES_COMMAND, { hidden: true })
    .addArgument(kind)
    .addOption(directory)
    .action(async (chosen: NameKind, { runtimeDirectory }: Options) => {
      const { names } = await import('./names.ts');
      done(await names(chosen, runtimeDirectory, terminal));
    });
  return program;
}

function addCommand(
  program: Command,
  spec: CommandSpec,
  ports: Ports,
  done: (exitStatus: number) => void,
): void {
  const command = program
    .command(spec.name)
    .summary(spec.summary)
    .description(spec.description.join('\n\n'))
    .allowExcessArguments(false);
  const repeated: string[] = [];
  for (const { name, value, description, default: preset, repeatable } of spec.options) {
    const option = new Option(`--${name}${value === null ? '' : ` <${value}>`}`, description);
    if (repeatable === true) option.argParser((text) => repeated.push(text));
    command.addOption(preset === undefined ? option : option.default(preset, preset));
  }
  if (spec.argument !== undefined) command.addArgument(argumentOf(spec.argument));
  command.addHelpText('after', helpAfter(spec));
  const handler = HANDLERS[spec.name] as Handler;
  command.action(async () => {
    const given = { words: command.args, repeated };
    done(await handler(command.args[0] ?? presetOf(spec), command.opts<Options>(), ports, given));
  });
}

function presetOf({ argument }: CommandSpec): string {
  return argument?.default ?? '';
}

function argumentOf(spec: CommandSpec['argument'] & object): Argument {
  const { name, description, choices, default: preset, several } = spec;
  const word = several === true ? `${name}...` : name;
  const argument = new Argument(preset === undefined ? `<${word}>` : `[${word}]`, description);
  if (choices !== null && typeof choices !== 'string') argument.choices(choices);
  return preset === undefined ? argument : argument.default(preset, preset);
}

function helpAfter({ examples, exits }: CommandSpec): string {
  const shown = examples.map(({ command, does }) => `  ${command}\n      ${does}`);
  const statuses = exits.map(({ status, means }) => `  ${status}  ${means}`);
  return `\nExamples:\n${shown.join('\n')}\n\nExit status:\n${statuses.join('\n')}`;
}

function versionText(): string {
  return `vipkeeper ${VERSION}`;
}

/** Commander's message, "error: unknown option '--jsn'\n(Did you mean --json?)", as ours. */
function usageError(error: CommanderError, args: readonly string[]): UsageError {
  const [first = '', hint = ''] = error.message.replace(/^error: /, '').split('\n');
  const message = first.charAt(0).toUpperCase() + first.slice(1).replace(/\.$/, '');
  const command = COMMANDS.find(({ name }) => name === args[0])?.name ?? null;
  const meant = /^\(Did you mean (.+)\?\)$/.exec(hint)?.[1];
  return meant === undefined
    ? new UsageError(message, command)
    : new UsageError(message, command, `Perhaps you meant ${meant}`);
}

/**
 * `vipkeeper run`: reads its own few options and becomes the keeper, under the same process id,
 * so that the service manager's main process is the one that holds the virtual IPs. Node takes
 * the flags that keep a heap small only at the start of a process, therefore execve(2).
 * Nothing here may load more than it needs.
 */
import { KEEPER_NODE_FLAGS } from '../core/processes.ts';
import { checkDirectorName, DEFAULT_CONFIG, UsageError } from './usage.ts';

/**
 * Node reads and checks these certificates at every start, which takes it longer than all else,
 * and no check looks at them (probes/trust-store.ts).
 */
const EXTRA_AUTHORITIES = 'NODE_EXTRA_CA_CERTS';

/** 'help', or the arguments of the keeper: always --config, and --director if it was given. */
export function parseRun(args: readonly string[]): 'help' | readonly string[] {
  const { help, config, director } = parse(args);
  if (help === true) return 'help';
  if (config === '') throw new UsageError('--config needs the name of a file', 'run');
  checkDirectorName(director, 'run');
  return [
    '--config',
    config ?? DEFAULT_CONFIG,
    ...(director === undefined ? [] : ['--director', director]),
  ];
}

interface RunOptions {
  readonly config?: string;
  readonly director?: string;
  readonly help?: boolean;
}

function parse(args: readonly string[]): RunOptions {
  return usualOptions(args) ?? anyOptions(args);
}

/** Options as service managers write them, `--config FILE`; null for everything else. */
function usualOptions(args: readonly string[]): RunOptions | null {
  const options: { config?: string; director?: string } = {};
  for (let index = 0; index < args.length; index += 2) {
    const [name, value] = args.slice(index, index + 2);
    if (value === undefined || value.startsWith('-')) return null;
    if (name === '--config') options.config = value;
    else if (name === '--director') options.director = value;
    else return null;
  }
  return options;
}

function anyOptions(args: readonly string[]): RunOptions {
  try {
    // Loaded here, because a start that needs none of it is a millisecond faster.
    const { parseArgs } = process.getBuiltinModule('node:util');
    const { values } = parseArgs({
      args: [...args],
      options: {
        config: { type: 'string' },
        director: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
      strict: true,
      allowPositionals: false,
    });
    return values;
  } catch (error) {
    // Its messages are a sentence, at times with advice behind it that does not fit here.
    const sentence = (error as Error).message.split(/\.(?: |$)|\n/, 1)[0] as string;
    throw new UsageError(sentence, 'run');
  }
}

/** Replaces this process by the keeper at `script`. Throws SystemError if that fails. */
export async function becomeKeeper(script: string, args: readonly string[]): Promise<never> {
  const { execve } = await import('../linux/libc.ts');
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && name !== EXTRA_AUTHORITIES) env[name] = value;
  }
  return execve(process.execPath, [process.execPath, ...KEEPER_NODE_FLAGS, script, ...args], env);
}

/**
 * Every command with its options, examples and exit statuses: the one table from which the
 * parser, --help, the shell completions and the man pages are made.
 */
import { DEFAULTS } from '../core/config/defaults.ts';
import { DEFAULT_CONFIG } from './usage.ts';

export interface OptionSpec {
  /** Without dashes: 'config'. */
  readonly name: string;
  /** Placeholder of its value, 'FILE'; null for a switch. */
  readonly value: string | null;
  /** One sentence without a final period. */
  readonly description: string;
  readonly default?: string;
  /** May be given several times. */
  readonly repeatable?: true;
}

/** What the running director has names of. */
export const NAME_KINDS = ['instance', 'server'] as const;
export type NameKind = (typeof NAME_KINDS)[number];
/** Lists such names for the completion scripts; not for people, so not in the table. */
export const NAMES_COMMAND = 'names';

export interface CommandSpec {
  readonly name: string;
  /** Sentence case, no final period; fits a line of the overview. */
  readonly summary: string;
  /** Paragraphs. */
  readonly description: readonly string[];
  readonly argument?: {
    readonly name: string;
    readonly description: string;
    /** The values it may have; null for a file, a kind of names that the running director has. */
    readonly choices: readonly string[] | null | NameKind;
    /** With one it may be left out. */
    readonly default?: string;
    /** One or more of it. */
    readonly several?: true;
  };
  readonly options: readonly OptionSpec[];
  readonly examples: readonly { readonly command: string; readonly does: string }[];
  readonly exits: readonly { readonly status: number; readonly means: string }[];
  readonly files: readonly { readonly path: string; readonly about: string }[];
  /** Whether it has a man page of its own. */
  readonly page: boolean;
}

/** Exit statuses that all commands share. */
export const EXIT = { ok: 0, failed: 1, usage: 2, notRunning: 3, changes: 4 } as const;

export const DEFAULT_RUNTIME_DIRECTORY: string = DEFAULTS.runtimeDirectory;
/** Name of the control socket in the runtime directory. */
export const CONTROL_SOCKET = 'control.sock';

const CONFIG: OptionSpec = {
  name: 'config',
  value: 'FILE',
  description: 'Configuration file',
  default: DEFAULT_CONFIG,
};
const DIRECTOR: OptionSpec = {
  name: 'director',
  value: 'NAME',
  description: 'Act as this director, instead of the one that the file or the host name gives',
};
const RUNTIME_DIRECTORY: OptionSpec = {
  name: 'runtime-directory',
  value: 'DIR',
  description: 'Directory of the control socket',
  default: DEFAULT_RUNTIME_DIRECTORY,
};
const JSON_OUTPUT: OptionSpec = {
  name: 'json',
  value: null,
  description: 'Print JSON, for scripts',
};

/** What stands for the configuration that runs; no file is called so. */
export const RUNNING_CONFIG = `that of the running director, else ${DEFAULT_CONFIG}`;

/** What stands for an instance that was not named; no name has spaces. */
export const ONLY_INSTANCE = 'the only one';
const INSTANCE: CommandSpec['argument'] & object = {
  name: 'instance',
  description: 'Name of a VRRP instance',
  choices: 'instance',
  default: ONLY_INSTANCE,
};
const SERVER: CommandSpec['argument'] & object = {
  name: 'server',
  description: 'SERVICE/SERVER, or SERVER for all services; the port may be left out',
  choices: 'server',
};
const SERVER_TARGETS =
  'Name a server as vipkeeper status shows it: web/10.0.0.11:8080. Without the port, all servers ' +
  'with that address are meant; without the service, the server in all services.';
const FOR: OptionSpec = {
  name: 'for',
  value: 'DURATION',
  description: 'How long it lasts, such as 2h; otherwise until it is ended',
};
const UNTIL: OptionSpec = {
  name: 'until',
  value: 'TIME',
  description: 'When it ends, such as 2026-11-28T06:00 in local time, or 2026-11-28T05:00Z',
};
const HOLDS =
  'It applies to this director only, there across reloads, restarts and reboots. If it must survive ' +
  'a failover as well, repeat it on the other directors, or change the configuration.';
const REASON: OptionSpec = {
  name: 'reason',
  value: 'TEXT',
  description: 'Why; vipkeeper status shows it',
};
const DRY_RUN_OVERRIDE: OptionSpec = {
  name: 'dry-run',
  value: null,
  description: 'Only show what would happen',
};
const FORCE: OptionSpec = {
  name: 'force',
  value: null,
  description: 'Also where it leaves a service without servers that take clients',
};
const LAST_SERVER =
  'What would leave a service without servers that take clients is refused unless --force is given; ' +
  '--dry-run says for each service how many servers it would have, whether that is below its quorum ' +
  'or its min_healthy, and who would take its clients.';
const REFUSED = 'a service would be left without servers and --force was not given';
const ALL_INSTANCES: OptionSpec = {
  name: 'all',
  value: null,
  description: 'Every instance that it applies to',
};

const OK = { status: EXIT.ok, means: 'Success' };
const USAGE = { status: EXIT.usage, means: 'The command line is invalid' };

const CONFIG_FILE = {
  path: DEFAULT_CONFIG,
  about: 'The configuration: one file may serve both directors',
};
const CONTROL_FILE = {
  path: `${DEFAULT_RUNTIME_DIRECTORY}/${CONTROL_SOCKET}`,
  about: 'The control socket: HTTP over a unix socket that only root may use',
};

export const COMMANDS: readonly CommandSpec[] = [
  {
    name: 'run',
    summary: 'Run the director in the foreground',
    description: [
      'Runs the director until SIGTERM or SIGINT: takes part in the VRRP election, owns the ' +
        'virtual IPs while active, checks the real servers and keeps the IPVS table as ' +
        'configured. SIGHUP reads the configuration again; a file with errors changes nothing.',
      'The process becomes the keeper, under the same process id, and starts the controller as ' +
        'its child. It stays in the foreground and logs to standard output, as service ' +
        'managers expect.',
    ],
    options: [CONFIG, DIRECTOR],
    examples: [
      { command: 'vipkeeper run', does: `Run with ${DEFAULT_CONFIG}` },
      {
        command: 'vipkeeper run --config lab.yaml --director dir-a',
        does: 'Run as dir-a, whatever the host is called',
      },
    ],
    exits: [
      { status: EXIT.ok, means: 'Stopped on request' },
      { status: EXIT.failed, means: 'It could not start, or stopped because of an error' },
      USAGE,
    ],
    files: [CONFIG_FILE, CONTROL_FILE],
    page: true,
  },
  {
    name: 'check',
    summary: 'Check a configuration file',
    description: [
      'Reads the configuration as run does and prints every error with its file, line and ' +
        'column, without changing or contacting anything. It also warns of likely mistakes, ' +
        'and of files that checks need but this machine lacks.',
    ],
    argument: {
      name: 'file',
      description: 'Configuration file',
      choices: null,
      default: DEFAULT_CONFIG,
    },
    options: [DIRECTOR, JSON_OUTPUT],
    examples: [
      { command: 'vipkeeper check', does: `Check ${DEFAULT_CONFIG}` },
      {
        command: 'vipkeeper check new.yaml --director dir-b',
        does: 'Check a file as dir-b would read it',
      },
    ],
    exits: [
      { status: EXIT.ok, means: 'The configuration is valid' },
      { status: EXIT.failed, means: 'The configuration has errors' },
      {
        status: EXIT.usage,
        means: 'The command line is invalid, or the file cannot be read',
      },
    ],
    files: [CONFIG_FILE],
    page: true,
  },
  {
    name: 'plan',
    summary: 'Show what a configuration would change',
    description: [
      'Compares the IPVS table of the kernel with a configuration and prints what applying it ' +
        'would change, as a diff: + for what is missing, ~ for what differs, with the old and ' +
        'the new value, - for what is left over and would be deleted, = for foreign entries, ' +
        'which stay. It changes nothing.',
      'A running director is asked which entries are its own and what its checks have found; ' +
        'the file is then read for that director. Otherwise the kernel is read directly, in the ' +
        'network namespace of the command, and entries that no earlier run of vipkeeper recorded ' +
        'as its own count as foreign. Servers that have not been checked keep the weight that ' +
        'they have in the kernel; new ones are assumed to be healthy.',
      'Virtual IPs and routes are not included: the keeper compares those all the time.',
    ],
    argument: {
      name: 'file',
      description: 'Configuration file',
      choices: null,
      default: RUNNING_CONFIG,
    },
    options: [DIRECTOR, JSON_OUTPUT, RUNTIME_DIRECTORY],
    examples: [
      { command: 'vipkeeper plan new.yaml', does: 'Show what a changed file would do' },
      {
        command: 'vipkeeper plan',
        does: 'Show what a reload would change',
      },
      {
        command: 'vipkeeper plan new.yaml --json | jq .delete',
        does: 'Count the deletions',
      },
    ],
    exits: [
      { status: EXIT.ok, means: 'Nothing would change' },
      {
        status: EXIT.failed,
        means: 'The configuration has errors, or the table cannot be read',
      },
      USAGE,
      { status: EXIT.changes, means: 'There are changes; they were printed' },
    ],
    files: [CONFIG_FILE, CONTROL_FILE],
    page: true,
  },
  {
    name: 'status',
    summary: 'Show what the director does and why',
    description: [
      'Asks the running director over its control socket and shows its VRRP instances with ' +
        'their virtual IPs, its BFD sessions, its virtual services with their real servers, and ' +
        'the result of the last comparison with the kernel.',
      'Colour is used on a terminal unless NO_COLOR is set.',
    ],
    options: [
      {
        ...JSON_OUTPUT,
        description: 'Print the status as JSON; with --watch, one line every second',
      },
      { name: 'watch', value: null, description: 'Refresh every second until Ctrl-C' },
      RUNTIME_DIRECTORY,
    ],
    examples: [
      { command: 'vipkeeper status', does: 'Show the director on this machine' },
      { command: 'vipkeeper status --watch', does: 'Follow a failover' },
      {
        command: 'vipkeeper status --json | jq -r \'.instances[] | .name + " " + .state\'',
        does: 'Print the state of each VRRP instance',
      },
    ],
    exits: [
      OK,
      { status: EXIT.failed, means: 'The control socket answered with an error' },
      USAGE,
      { status: EXIT.notRunning, means: 'No director runs with this runtime directory' },
    ],
    files: [CONTROL_FILE],
    page: true,
  },
  {
    name: 'explain',
    summary: 'Explain the state of VRRP instances',
    description: [
      'Explains VRRP instances in sentences: the state, since when and why; the effective priority ' +
        'as a sum of its parts; every director heard, with its version, priority, interval, ' +
        'checksum form and addresses, and why its advertisements are refused, if they are; ' +
        'duplicate active directors and who wins; and what would happen if the active one died now.',
      'Lines that begin with ! are findings: problems, each with what to do about it.',
    ],
    argument: {
      name: 'instance',
      description: 'Name of a VRRP instance',
      choices: 'instance',
      default: 'all',
    },
    options: [JSON_OUTPUT, RUNTIME_DIRECTORY],
    examples: [
      { command: 'vipkeeper explain', does: 'Explain every instance of this director' },
      { command: 'vipkeeper explain web --json', does: 'Explain one instance, for scripts' },
    ],
    exits: [
      { status: EXIT.ok, means: 'There are no findings' },
      {
        status: EXIT.failed,
        means: 'There are findings, or the control socket answered with an error',
      },
      {
        status: EXIT.usage,
        means: 'The command line is invalid, or there is no such instance',
      },
      { status: EXIT.notRunning, means: 'No director runs with this runtime directory' },
    ],
    files: [CONTROL_FILE],
    page: true,
  },
  {
    name: 'handover',
    summary: 'Hand active instances over to another director',
    description: [
      'Makes another director active without losing a packet: this one resigns, keeps the ' +
        'virtual IPs until the successor is heard, and becomes backup. It does not preempt ' +
        'again until vipkeeper takeback, until the successor resigns or falls silent, or until ' +
        'vipkeeper is restarted. If nobody takes over, it stays active.',
      'An instance of a sync group is handed over with the whole group. Backups are silent in ' +
        'VRRP, so the successor is known only if it was heard before; --dry-run says whether it is.',
    ],
    argument: INSTANCE,
    options: [
      ALL_INSTANCES,
      { name: 'dry-run', value: null, description: 'Only show what would happen' },
      JSON_OUTPUT,
      RUNTIME_DIRECTORY,
    ],
    examples: [
      { command: 'vipkeeper handover --all --dry-run', does: 'Show who would take over, and when' },
      { command: 'vipkeeper handover web', does: 'Make another director active for web' },
      { command: 'vipkeeper handover --all', does: 'Before maintenance of this director' },
    ],
    exits: [
      {
        status: EXIT.ok,
        means: 'Another director has taken over; with --dry-run, the successor is known',
      },
      {
        status: EXIT.failed,
        means: 'Nobody took over or could; with --dry-run, no successor is known',
      },
      USAGE,
      { status: EXIT.notRunning, means: 'No director runs with this runtime directory' },
    ],
    files: [CONTROL_FILE],
    page: true,
  },
  {
    name: 'takeback',
    summary: 'Let instances preempt again after a handover',
    description: [
      'Ends what vipkeeper handover began: the instance may again preempt a director of lower ' +
        'priority, as its configuration says, and does so after the active-down interval.',
    ],
    argument: INSTANCE,
    options: [ALL_INSTANCES, JSON_OUTPUT, RUNTIME_DIRECTORY],
    examples: [
      { command: 'vipkeeper takeback web', does: 'Let web come back to this director' },
      { command: 'vipkeeper takeback --all', does: 'After maintenance of this director' },
    ],
    exits: [
      { status: EXIT.ok, means: 'It may preempt again' },
      {
        status: EXIT.failed,
        means: 'It was not held back, or the control socket answered with an error',
      },
      USAGE,
      { status: EXIT.notRunning, means: 'No director runs with this runtime directory' },
    ],
    files: [CONTROL_FILE],
    page: true,
  },
  {
    name: 'drain',
    summary: 'Take a real server out once it is idle',
    description: [
      'Gives the server weight 0 in the kernel, waits until its last connection and its last ' +
        'persistence template are gone, and then removes it from the table. Ctrl-C leaves it ' +
        'draining. It stays out across reloads and restarts, until vipkeeper undrain or the end ' +
        'of --for or --until; vipkeeper status says who drained it, why and until when.',
      LAST_SERVER,
      HOLDS,
      SERVER_TARGETS,
    ],
    argument: SERVER,
    options: [
      {
        name: 'timeout',
        value: 'DURATION',
        description:
          'Longest wait for its connections, such as 10m; after that it is removed anyway',
      },
      FOR,
      UNTIL,
      REASON,
      { name: 'no-wait', value: null, description: 'Return at once and let it drain' },
      DRY_RUN_OVERRIDE,
      FORCE,
      JSON_OUTPUT,
      RUNTIME_DIRECTORY,
    ],
    examples: [
      {
        command: 'vipkeeper drain web/10.0.0.11:8080 --timeout 10m',
        does: 'Before an upgrade of the server',
      },
      {
        command: "vipkeeper drain 10.0.0.11 --reason 'new disk'",
        does: 'In all services, with a reason',
      },
      {
        command: 'vipkeeper drain 10.0.0.11 --dry-run',
        does: 'What would be left of the services that have it',
      },
    ],
    exits: [
      { status: EXIT.ok, means: 'It is out of the table; with --no-wait, it is draining' },
      {
        status: EXIT.failed,
        means: `There is no such server, ${REFUSED}, or the drain was ended or interrupted`,
      },
      USAGE,
      {
        status: EXIT.notRunning,
        means:
          'No director runs with this runtime directory, or the one that drains has not answered ' +
          'for a minute: it goes on draining',
      },
    ],
    files: [CONTROL_FILE],
    page: true,
  },
  {
    name: 'undrain',
    summary: 'Put a drained real server back',
    description: [
      'Ends a drain or an override: the health check decides again.',
      LAST_SERVER,
      SERVER_TARGETS,
    ],
    argument: SERVER,
    options: [DRY_RUN_OVERRIDE, FORCE, JSON_OUTPUT, RUNTIME_DIRECTORY],
    examples: [{ command: 'vipkeeper undrain web/10.0.0.11:8080', does: 'After the upgrade' }],
    exits: [
      { status: EXIT.ok, means: 'The health check decides again' },
      { status: EXIT.failed, means: `There is no such server, or ${REFUSED}` },
      USAGE,
      { status: EXIT.notRunning, means: 'No director runs with this runtime directory' },
    ],
    files: [CONTROL_FILE],
    page: true,
  },
  {
    name: 'override',
    summary: 'Keep a real server in or out',
    description: [
      'Keeps a server in or out, or gives it another weight. It lasts across reloads and ' +
        'restarts, until --clear or the end of --for or --until; vipkeeper status says who ' +
        'decided it, why and until when.',
      LAST_SERVER,
      HOLDS,
      SERVER_TARGETS,
    ],
    argument: SERVER,
    options: [
      { name: 'up', value: null, description: 'Treat it as healthy' },
      { name: 'down', value: null, description: 'Treat it as failed' },
      { name: 'weight', value: 'WEIGHT', description: 'Weight while it is healthy, 0 to 65535' },
      { name: 'clear', value: null, description: 'Let its health check decide again' },
      FOR,
      UNTIL,
      REASON,
      DRY_RUN_OVERRIDE,
      FORCE,
      JSON_OUTPUT,
      RUNTIME_DIRECTORY,
    ],
    examples: [
      { command: 'vipkeeper override web/10.0.0.11 --weight 10', does: 'Send it less load' },
      {
        command: 'vipkeeper override web/10.0.0.11 --down --for 2h',
        does: 'Keep it out for two hours',
      },
      {
        command: 'vipkeeper override 10.0.0.11 --down --until 2026-11-28T06:00',
        does: 'Keep it out of all services until the morning',
      },
    ],
    exits: [
      OK,
      { status: EXIT.failed, means: `There is no such server, or ${REFUSED}` },
      USAGE,
      { status: EXIT.notRunning, means: 'No director runs with this runtime directory' },
    ],
    files: [CONTROL_FILE],
    page: true,
  },
  {
    name: 'reload',
    summary: 'Apply a changed configuration',
    description: [
      'Asks the running director to read its configuration again. What did not change is not ' +
        'touched; a file with errors changes nothing, and its errors are shown.',
    ],
    options: [JSON_OUTPUT, RUNTIME_DIRECTORY],
    examples: [{ command: 'vipkeeper reload', does: 'Apply a changed configuration' }],
    exits: [
      OK,
      {
        status: EXIT.failed,
        means:
          'The configuration has errors, and nothing was changed; or it was applied, and what the ' +
          'kernel lacks for it is told',
      },
      USAGE,
      { status: EXIT.notRunning, means: 'No director runs with this runtime directory' },
    ],
    files: [CONFIG_FILE, CONTROL_FILE],
    page: true,
  },
  {
    name: 'restart',
    summary: 'Replace a director in place, VIPs kept',
    description: [
      'Replaces both processes of the running director with the installed version, for example ' +
        'after an upgrade. The process id stays the same; virtual IPs and IPVS entries are ' +
        'adopted. Instances whose interval is too short for the silence of a start (below a ' +
        'third of a second) hand over to their peers first.',
    ],
    options: [JSON_OUTPUT, RUNTIME_DIRECTORY],
    examples: [{ command: 'vipkeeper restart', does: 'Run the version that was just installed' }],
    exits: [
      OK,
      { status: EXIT.failed, means: 'The control socket answered with an error' },
      USAGE,
      { status: EXIT.notRunning, means: 'No director runs with this runtime directory' },
    ],
    files: [CONFIG_FILE, CONTROL_FILE],
    page: true,
  },
  {
    name: 'cleanup',
    summary: 'Remove virtual IPs that a dead director left',
    description: [
      'Removes the virtual IPs that a keeper recorded in its runtime directory and left on the ' +
        'interfaces when it died. Addresses of other programs are never touched. Settings of ' +
        'the kernel that it had changed are put back to what was there before, unless somebody ' +
        'has changed them since; the IPVS table stays. It refuses while a director runs.',
      "The systemd unit calls it after every stop, so that the peer's virtual IPs are never " +
        'held by two directors.',
    ],
    options: [
      RUNTIME_DIRECTORY,
      { name: 'dry-run', value: null, description: 'Only show what would be removed' },
      JSON_OUTPUT,
    ],
    examples: [
      { command: 'vipkeeper cleanup --dry-run', does: 'Show what is left behind' },
      { command: 'vipkeeper cleanup', does: 'Remove it' },
    ],
    exits: [
      { status: EXIT.ok, means: 'Nothing is left behind; with --dry-run, it was shown' },
      { status: EXIT.failed, means: 'A director runs, or an address could not be removed' },
      USAGE,
    ],
    files: [{ path: DEFAULT_RUNTIME_DIRECTORY, about: 'The record of the virtual IPs held' }],
    page: true,
  },
  {
    name: 'simulate',
    summary: 'Show what faults would do to your directors',
    description: [
      "Runs your directors, with the daemon's own code, in a simulated network: one " +
        'configuration for several directors, or one for each. A script says which faults ' +
        'happen; without one, the active director in turn loses power, its link, its CPU time ' +
        'and its network, and is stopped.',
      'Prints what each director does, when and why; how long clients reach no director, or ' +
        'two; and whether every promise of the protocol held. It touches nothing on this machine.',
    ],
    argument: {
      name: 'config',
      description: 'Configuration files: one for several directors, or one for each',
      choices: null,
      several: true,
    },
    options: [
      {
        name: 'director',
        value: 'NAME',
        description: 'A director to simulate; otherwise all that the file names',
        repeatable: true,
      },
      {
        name: 'script',
        value: 'FILE',
        description: 'Script of faults, instead of the tour described above',
      },
      {
        name: 'for',
        value: 'TIME',
        description: 'How long to run, instead of until nothing more happens',
      },
      { name: 'seed', value: 'N', description: 'Random seed', default: '1' },
      { name: 'svg', value: 'FILE', description: 'Write the timeline as a picture' },
      JSON_OUTPUT,
    ],
    examples: [
      {
        command: 'vipkeeper simulate vipkeeper.yaml --svg timeline.svg',
        does: 'Run the tour with all directors that the file names',
      },
      {
        command: 'vipkeeper simulate a.yaml b.yaml --script faults.yaml --for 2m',
        does: 'Run two directors with a file each, and your own faults',
      },
    ],
    exits: [
      { status: EXIT.ok, means: 'Every promise of the protocol held' },
      { status: EXIT.failed, means: 'A promise was broken: the output says which and when' },
      {
        status: EXIT.usage,
        means: 'The command line, a configuration or the script is invalid',
      },
    ],
    files: [],
    page: true,
  },
  {
    name: 'completion',
    summary: 'Print a completion script for a shell',
    description: [
      'Prints a script that completes commands, options and files, and the names of VRRP ' +
        'instances and real servers, for which it asks the running director.',
    ],
    argument: {
      name: 'shell',
      description: 'The shell',
      choices: ['bash', 'zsh', 'fish'],
    },
    options: [],
    examples: [
      {
        command: 'vipkeeper completion bash > /etc/bash_completion.d/vipkeeper',
        does: 'Install it for bash',
      },
      {
        command: 'vipkeeper completion zsh > /usr/local/share/zsh/site-functions/_vipkeeper',
        does: 'Install it for zsh',
      },
      {
        command: 'vipkeeper completion fish > /etc/fish/completions/vipkeeper.fish',
        does: 'Install it for fish',
      },
    ],
    exits: [OK, USAGE],
    files: [],
    page: false,
  },
  {
    name: 'version',
    summary: 'Print the version',
    description: ['Prints the version, as --version does.'],
    options: [],
    examples: [{ command: 'vipkeeper version', does: 'Print the version' }],
    exits: [OK, USAGE],
    files: [],
    page: false,
  },
];

/** 'vipkeeper run [--config FILE] [--director NAME]' */
export function synopsis(command: CommandSpec): string {
  const options = command.options.map(({ name, value, repeatable }) => {
    return ` [--${name}${value === null ? '' : ` ${value}`}]${repeatable === true ? '...' : ''}`;
  });
  return `vipkeeper ${command.name}${options.join('')}${argumentSynopsis(command)}`;
}

function argumentSynopsis({ argument }: CommandSpec): string {
  if (argument === undefined) return '';
  const words = Array.isArray(argument.choices) ? argument.choices : null;
  const word = words?.join('|') ?? argument.name.toUpperCase();
  const shown = argument.several === true ? `${word}...` : word;
  return argument.default === undefined ? ` ${shown}` : ` [${shown}]`;
}

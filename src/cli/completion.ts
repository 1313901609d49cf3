/**
 * `vipkeeper completion SHELL`: completion scripts for bash, zsh and fish, made from the table
 * of commands. Values of FILE and DIR complete to paths, other values to nothing; names of
 * instances and servers are asked of the director with the default runtime directory.
 */
import {
  COMMANDS,
  type CommandSpec,
  NAMES_COMMAND,
  type NameKind,
  type OptionSpec,
} from './commands.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** The script, ended by a newline. */
export function completionScript(shell: Shell): string {
  switch (shell) {
    case 'bash':
      return bash();
    case 'zsh':
      return zsh();
    case 'fish':
      return fish();
  }
}

const HELP: OptionSpec = { name: 'help', value: null, description: 'Show help' };
const HELP_COMMAND = { name: 'help', summary: 'Show help for a command' };

function optionsOf(command: CommandSpec): readonly OptionSpec[] {
  return [...command.options, HELP];
}

function commandNames(): string {
  return [...COMMANDS.map(({ name }) => name), HELP_COMMAND.name].join(' ');
}

/** What an argument completes to: words, 'files' or nothing. */
function argumentWords({ argument }: CommandSpec): readonly string[] | 'files' {
  if (argument === undefined || typeof argument.choices === 'string') return [];
  return argument.choices ?? 'files';
}

/** What an argument's names are of; null where the director does not know its values. */
function argumentNames({ argument }: CommandSpec): NameKind | null {
  return typeof argument?.choices === 'string' ? argument.choices : null;
}

/** Asks for them; silent when there is no director, or it does not answer this user. */
function namesCommand(kind: string): string {
  return `vipkeeper ${NAMES_COMMAND} ${kind} 2>/dev/null`;
}

function bash(): string {
  const values = new Map<string, string>();
  for (const { name, value } of COMMANDS.flatMap(({ options }) => options)) {
    if (value === 'FILE') values.set(`--${name}`, 'COMPREPLY=($(compgen -f -- "$current"))');
    else if (value === 'DIR') values.set(`--${name}`, 'COMPREPLY=($(compgen -d -- "$current"))');
    else if (value !== null) values.set(`--${name}`, 'COMPREPLY=()');
  }
  const valueCases = [...values].map(([name, reply]) => `    ${name}) ${reply}; return ;;`);
  const commandCases = COMMANDS.map((command) => {
    const words = optionsOf(command).map(({ name }) => `--${name}`);
    const argument = argumentWords(command);
    if (argument === 'files') {
      return `    ${command.name}) words='${words.join(' ')}'; files=1 ;;`;
    }
    const names = argumentNames(command);
    const asked = names === null ? '' : `; names=${names}`;
    return `    ${command.name}) words='${[...argument, ...words].join(' ')}'${asked} ;;`;
  });
  return `# bash completion for vipkeeper
_vipkeeper() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local words= files= names= whole
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${commandNames()} --help --version' -- "$current"))
    return
  fi
  case $previous in
${valueCases.join('\n')}
  esac
  case \${COMP_WORDS[1]} in
${commandCases.join('\n')}
    help) words='${COMMANDS.map(({ name }) => name).join(' ')}' ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [ -n "$names" ] && [[ $current != -* ]]; then
    # A colon parts words here: readline replaces what is behind the last one.
    whole=\${COMP_LINE:0:COMP_POINT}; whole=\${whole##* }
    [[ $whole == *"$current" ]] || whole=$current
    COMPREPLY=($(compgen -W "$(${namesCommand('"$names"')})" -- "$whole"))
    [[ $whole != *:* ]] || COMPREPLY=("\${COMPREPLY[@]#"\${whole%"\${whole##*:}"}"}")
  fi
  [ -z "$files" ] || COMPREPLY+=($(compgen -f -- "$current"))
}
complete -o filenames -F _vipkeeper vipkeeper
`;
}

/** Text within single quotes of a shell. */
function quoted(text: string): string {
  return text.replaceAll("'", "'\\''");
}

function zsh(): string {
  const described = [...COMMANDS, HELP_COMMAND].map(
    ({ name, summary }) => `    '${name}:${quoted(summary)}'`,
  );
  const cases = COMMANDS.map((command) => {
    const specs = optionsOf(command).map(({ name, value, description }) => {
      const action = value === 'FILE' ? '_files' : value === 'DIR' ? '_directories' : '';
      const takes = value === null ? '' : `:${value}:${action}`;
      return `'--${name}[${quoted(description)}]${takes}'`;
    });
    const argument = argumentWords(command);
    const which = command.argument?.several === true ? '*' : '1';
    if (argument === 'files') specs.push(`'${which}:file:_files'`);
    else if (argument.length > 0) specs.push(`'1:value:(${argument.join(' ')})'`);
    const names = argumentNames(command);
    if (names !== null) specs.push(`'1:${names}:_vipkeeper_names ${names}'`);
    return `    ${command.name}) _arguments ${specs.join(' ')} ;;`;
  });
  return `#compdef vipkeeper
_vipkeeper_names() {
  local -a names=(\${(f)"$(${namesCommand('$1')})"})
  compadd -a names
}
_vipkeeper() {
  local -a commands=(
${described.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local name=$words[2]
  shift words
  (( CURRENT-- ))
  case $name in
${cases.join('\n')}
    help) _describe command commands ;;
  esac
}
# Loaded by the completion system the file is the function itself, sourced it only defines it.
if [ "$funcstack[1]" = _vipkeeper ]; then
  _vipkeeper "$@"
else
  compdef _vipkeeper vipkeeper
fi
`;
}

function fish(): string {
  const lines = ['# fish completion for vipkeeper', 'complete -c vipkeeper -f'];
  for (const { name, summary } of [...COMMANDS, HELP_COMMAND]) {
    lines.push(
      `complete -c vipkeeper -n __fish_use_subcommand -a ${name} -d '${fishText(summary)}'`,
    );
  }
  for (const command of COMMANDS) {
    const when = `complete -c vipkeeper -n '__fish_seen_subcommand_from ${command.name}'`;
    for (const { name, value, description } of optionsOf(command)) {
      const paths = value === 'FILE' || value === 'DIR' ? ' -F' : '';
      const takes = value === null ? '' : ` -r${paths}`;
      lines.push(`${when} -l ${name}${takes} -d '${fishText(description)}'`);
    }
    const argument = argumentWords(command);
    if (argument === 'files') lines.push(`${when} -F`);
    else if (argument.length > 0) lines.push(`${when} -a '${argument.join(' ')}'`);
    const names = argumentNames(command);
    if (names !== null) lines.push(`${when} -a '(${namesCommand(names)})'`);
  }
  return `${lines.join('\n')}\n`;
}

function fishText(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
}

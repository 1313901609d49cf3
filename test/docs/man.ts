/**
 * The man pages, made from the table of commands with the classic macros of man(7), which every
 * roff knows. Text is escaped here and nowhere else.
 */
import { COMMANDS, type CommandSpec, synopsis } from '../../src/cli/commands.ts';
import { VERSION } from '../../src/core/version.ts';

export interface ManPage {
  /** 'vipkeeper-status.1' */
  readonly file: string;
  readonly text: string;
}

const SUMMARY = 'high-availability controller for Linux Virtual Server directors';

const ABOUT = [
  'vipkeeper makes Linux Virtual Server directors stand in for each other: two or more elect the ' +
    'active one by VRRP, and it owns the virtual IPs. All of them check the real servers and ' +
    'program the IPVS table of the kernel. When the active one fails, another takes over.',
  'The configuration is one file, which may serve all directors. The command run starts a ' +
    'director; the others inspect and control it.',
];

const ENVIRONMENT = [
  { name: 'NO_COLOR', about: 'If set and not empty, nothing is printed in colour.' },
  { name: 'VIPKEEPER_DEBUG', about: 'If set to 1, a bug is reported with its stack trace.' },
];

/** Every page, vipkeeper.1 first. */
export function manPages(): readonly ManPage[] {
  const pages = COMMANDS.filter(({ page }) => page);
  return [
    { file: 'vipkeeper.1', text: overview() },
    ...pages.map((command) => ({
      file: `vipkeeper-${command.name}.1`,
      text: commandPage(command),
    })),
  ];
}

function overview(): string {
  return lines([
    title('vipkeeper'),
    '.SH NAME',
    `vipkeeper \\- ${roff(SUMMARY)}`,
    '.SH SYNOPSIS',
    '.PD 0',
    ...[...COMMANDS.map(synopsis), 'vipkeeper --help', 'vipkeeper --version'].flatMap(usage),
    '.PD',
    '.SH DESCRIPTION',
    ...paragraphs(ABOUT),
    '.SH COMMANDS',
    ...COMMANDS.flatMap(({ name, summary, page }) => {
      const more = page ? [roff(`See vipkeeper-${name}(1).`)] : [];
      return ['.TP', `.B ${roff(name)}`, roff(`${summary}.`), ...more];
    }),
    '.SH OPTIONS',
    '.TP',
    '.B \\-h, \\-\\-help',
    'Show help. Every command has it.',
    '.TP',
    '.B \\-\\-version',
    'Print the version.',
    '.SH ENVIRONMENT',
    ...ENVIRONMENT.flatMap(({ name, about }) => ['.TP', `.B ${roff(name)}`, roff(about)]),
    '.SH DIAGNOSTICS',
    ...paragraphs([
      'Errors go to standard error: a code such as VK-NOT-RUNNING, what is wrong, and what to do ' +
        'about it. Codes do not change.',
    ]),
    ...seeAlso(null),
  ]);
}

function commandPage(command: CommandSpec): string {
  const { argument } = command;
  return lines([
    title(`vipkeeper-${command.name}`),
    '.SH NAME',
    `${roff(`vipkeeper-${command.name}`)} \\- ${roff(lowerFirst(command.summary))}`,
    '.SH SYNOPSIS',
    ...usage(synopsis(command)),
    '.SH DESCRIPTION',
    ...paragraphs(command.description),
    '.SH OPTIONS',
    ...(argument === undefined
      ? []
      : option(argumentWord(argument), argument.description, argument.default)),
    ...command.options.flatMap(({ name, value, description, default: preset }) =>
      option(`--${name}${value === null ? '' : ` ${value}`}`, description, preset),
    ),
    ...option('-h, --help', 'Show help', undefined),
    '.SH EXIT STATUS',
    ...command.exits.flatMap(({ status, means }) => ['.TP', `.B ${status}`, roff(`${means}.`)]),
    ...(command.files.length === 0 ? [] : ['.SH FILES']),
    ...command.files.flatMap(({ path, about }) => ['.TP', `.I ${roff(path)}`, roff(`${about}.`)]),
    '.SH EXAMPLES',
    ...command.examples.flatMap(({ command: typed, does }) => [
      '.TP',
      roff(`${does}:`),
      '.EX',
      roff(typed),
      '.EE',
    ]),
    ...seeAlso(command),
  ]);
}

/** Words and options are never hyphenated: they are to be copied. */
function title(name: string): string {
  return `.TH ${roff(name.toUpperCase())} 1 "" "vipkeeper ${VERSION}" "vipkeeper manual"\n.nh\n.ad l`;
}

/** A command line that wraps between its options, not inside of one, and is indented there. */
function usage(text: string): readonly string[] {
  const whole = text.replace(/\[[^\]]*\]/g, (option) => option.replaceAll(' ', '\u00a0'));
  return ['.HP', roff(whole).replaceAll('\u00a0', '\\ ')];
}

function option(flags: string, description: string, preset: string | undefined): readonly string[] {
  const tail = preset === undefined ? '' : ` Default: ${preset}.`;
  return ['.TP', `.B ${roff(flags)}`, roff(`${description}.${tail}`)];
}

function seeAlso(command: CommandSpec | null): readonly string[] {
  const others = COMMANDS.filter((other) => other.page && other !== command);
  const names = others.map(({ name }) => `vipkeeper-${name}(1)`);
  const first = command === null ? [] : ['vipkeeper(1)'];
  return ['.SH SEE ALSO', roff([...first, ...names, 'ipvsadm(8)', 'ip-address(8)'].join(', '))];
}

function paragraphs(texts: readonly string[]): readonly string[] {
  return texts.flatMap((text, index) => (index === 0 ? [roff(text)] : ['.PP', roff(text)]));
}

/** Text that roff prints as it is, on a line of its own or behind a macro. */
function roff(text: string): string {
  const plain = text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replaceAll('"', '\\(dq');
  return plain.startsWith('.') ? `\\&${plain}` : plain;
}

function argumentWord({ name, several }: CommandSpec['argument'] & object): string {
  return several === true ? `${name.toUpperCase()}...` : name.toUpperCase();
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function lines(all: readonly string[]): string {
  return `.\\" Made from the table of commands: npm run docs\n${all.join('\n')}\n`;
}

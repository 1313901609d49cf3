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
  'vipkeeper makes two or more Linux Virtual Server directors one: they elect the active one by ' +
    'VRRP, which owns the virtual IPs, checks the real servers and programs the IPVS table of ' +
    'the kernel. When it fails, another takes over.',
  'The configuration is one file, which may serve all directors. The command run starts a ' +
    'director; the others look at it.',
];

const ENVIRONMENT = [
  { name: 'NO_COLOR', about: 'If set and not empty, nothing is printed in colour.' },
  { name: 'VIPKEEPER_DEBUG', about: 'If set to 1, a defect is told with its stack.' },
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
    '.nf',
    ...COMMANDS.map((command) => roff(synopsis(command))),
    'vipkeeper \\-\\-help',
    'vipkeeper \\-\\-version',
    '.fi',
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
      'An error is one sentence with a code such as VK-NOT-RUNNING and what to do about it, on ' +
        'standard error. Codes do not change.',
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
    '.nf',
    roff(synopsis(command)),
    '.fi',
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

function title(name: string): string {
  return `.TH ${roff(name.toUpperCase())} 1 "" "vipkeeper ${VERSION}" "vipkeeper manual"`;
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

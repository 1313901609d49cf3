/**
 * The reference of the configuration language, made from the schema: every key with what it
 * takes, its default and its purpose. docs/reference/configuration.md is this function's text.
 */
import { assertNever } from '../core/assert.ts';
import { type OptionText, plainType, type Type } from './forms.ts';
import { schemaFor } from './schema.ts';

export interface OptionRow {
  /** 'vrrp.NAME.priority', 'services.NAME.servers[].weight'. */
  readonly path: string;
  /** What it takes, in words. */
  readonly takes: string;
  readonly perDirector: boolean;
  readonly required: boolean;
  readonly text: OptionText;
}

/** Every option of the language, a section before its keys, in the order of the schema. */
export function configOptions(): OptionRow[] {
  const rows: OptionRow[] = [];
  collect(schemaFor('default').root, '', rows);
  return rows;
}

function collect(type: Type<unknown>, path: string, rows: OptionRow[]): void {
  const inner = plainType(type);
  if (inner.kind === 'short') collect(inner.long, path, rows);
  else if (inner.kind === 'per-director') collect(inner.inner, path, rows);
  else if (inner.kind === 'list') collect(inner.item, `${path}[]`, rows);
  else if (inner.kind === 'names') collect(inner.value, `${path}.NAME`, rows);
  else if (inner.kind === 'section') {
    for (const [key, option] of Object.entries(inner.shape())) {
      const optionPath = path === '' ? key : `${path}.${key}`;
      const { text } = option;
      if (text === undefined) throw new Error(`The option ${optionPath} is not documented`);
      rows.push({
        path: optionPath,
        takes: describe(option),
        perDirector: plainType(option).kind === 'per-director',
        required: option.kind !== 'optional',
        text,
      });
      collect(option, optionPath, rows);
    }
  }
}

function describe(type: Type<unknown>): string {
  switch (type.kind) {
    case 'scalar':
      return type.expects;
    case 'optional':
    case 'per-director':
      return describe(type.inner);
    case 'one-or-list':
      return `${describe(type.inner)}; or a list of such`;
    case 'short': {
      const short = describe(type.short);
      return short.endsWith('a mapping') ? short : `${short}, or a mapping`;
    }
    case 'list':
      return `a list, each ${describe(type.item)}`;
    case 'names':
      return type.takes;
    case 'section':
      return 'a mapping';
    case 'anything':
      return 'anything';
    default:
      return assertNever(type);
  }
}

const INTRODUCTION = `# Configuration

The configuration is one YAML file; [conf/vipkeeper.yaml](../../conf/vipkeeper.yaml) shows it all,
[conf/minimal.yaml](../../conf/minimal.yaml) a pair of directors in a few lines. For completion in
an editor, name [conf/vipkeeper.schema.json](../../conf/vipkeeper.schema.json) in its first line:
\`# yaml-language-server: $schema=vipkeeper.schema.json\`. \`vipkeeper check FILE\` lists every error
with its place: \`FILE:LINE:COLUMN: PATH: MESSAGE\`.

- **Durations** carry their unit: \`10ms\`, \`1.5s\`, \`5m\`, \`1h\`, \`7d\`.
- **Names** of instances and services are keys; commands, metrics and errors use them.
- **Per director**: an option marked with ● also takes a mapping from director to value, so that one
  file serves all directors: \`priority: { dir-a: 150, dir-b: 100 }\`. The key \`default\` is for
  directors that are not named. All values are checked, the director's own is used.
- **Addresses**: IPv6 with a port is written in brackets and quotes: \`"[2001:db8::10]:80"\`.
- Anchors, aliases and merge keys (\`<<\`) may be used to write a value once.
- Unknown keys are errors.
`;

const SECTIONS: readonly (readonly [title: string, path: string])[] = [
  ['Top level', ''],
  ['VRRP instances', 'vrrp.NAME'],
  ['Virtual services', 'services.NAME'],
  ['Real servers', 'services.NAME.servers[]'],
  ['Health checks', 'services.NAME.check'],
  ['Connection sync', 'sync'],
  ['Notification', 'notify'],
  ['Mail', 'mail'],
  ['IPVS', 'ipvs'],
  ['HTTP', 'http'],
  ['Keeper', 'keeper'],
  ['Logging', 'log'],
];

const NOTES: Readonly<Record<string, string>> = {
  'services.NAME.check': 'The same keys stand under `check` of a service and of a real server.\n\n',
  notify: `What is said of an instance, a group or a service stands under its own \`notify\`. A command is one line, or a list of
words: a program by its absolute path, and its arguments. It is not given to a shell: \`'\` and \`"\`
group words, nothing else has a meaning. It runs in \`/\` with an environment of its own: \`PATH\`,
\`VIPKEEPER_DIRECTOR\`, \`VIPKEEPER_INSTANCE\`, \`VIPKEEPER_STATE\` and \`VIPKEEPER_PREVIOUS_STATE\`
(\`initialize\`, \`backup\`, \`active\`, \`fault\`), \`VIPKEEPER_REASON\`, \`VIPKEEPER_PRIORITY\` and
\`VIPKEEPER_PEER\`. Scripts of a virtual service find \`VIPKEEPER_SERVICE\`, those of a real server
\`VIPKEEPER_SERVER\` (\`10.0.0.11:8080\`) too; \`VIPKEEPER_STATE\` is \`up\` or \`down\`,
\`VIPKEEPER_PREVIOUS_STATE\` may be \`unknown\`, \`VIPKEEPER_REASON\` says it in words, and of a service
there are \`VIPKEEPER_HEALTHY_WEIGHT\` and \`VIPKEEPER_QUORUM\`.

The scripts of one instance, service or server run one at a time, in the order of what happened: at each change the
state's own, then \`any\`. If more than 16 changes wait for a slow script, the oldest are left out,
never the last state; this is logged and counted. A script that does not end in \`timeout\` gets
SIGTERM, two seconds later SIGKILL. At a stop each has three seconds, and all together seven.
After a restart of the controller only what has changed meanwhile is said.

A server is \`up\` or \`down\` as its check says, whatever weight it has: drained servers and those in
a maintenance window are not down. What the checks say first after a start is told as well, but no
mail says that all is well then. Scripts of services and servers run beside those of instances, and
never make them wait.

A line of the FIFO is \`INSTANCE "NAME" MASTER 100\`, with \`BACKUP\`, \`FAULT\`, \`STOP\`, \`DELETED\`,
\`MASTER_RX_LOWER_PRI\`, \`MASTER_PRIORITY\` or \`BACKUP_PRIORITY\`; a sync group’s is
\`GROUP "NAME" MASTER 0\`. Of a virtual service it is \`VS [192.0.2.10]:tcp:80 UP\` or \`DOWN\`, of a real
server \`RS [10.0.0.11]:tcp:8080 [192.0.2.10]:tcp:80 UP\`; in place of the address stands \`FWM 7\` for a
mark, and \`[NAME]:0\` for several addresses and marks. The FIFO is made if it is missing, readable by its owner only. Lines that
no reader takes wait in the pipe, then in vipkeeper (4096 of them; those of services are lost first). Its reader should end when it
reads the end: then vipkeeper was closed.

`,
};

/** The reference as Markdown, with a final line end. */
export function generateConfigurationReference(): string {
  const rows = configOptions();
  const parts = SECTIONS.map(([title, path]) => {
    const own = rows.filter((row) => sectionOf(row.path) === path && !isRepeated(row.path));
    const note = NOTES[path] ?? '';
    return `## ${title}\n\n${note}${table(own, path)}`;
  });
  return `${[INTRODUCTION, ...parts].join('\n')}`;
}

/** Sorry servers are written as the others are. */
function isRepeated(path: string): boolean {
  return path.startsWith('services.NAME.sorry_servers[].');
}

/** The longest section's path that a row stands in. */
function sectionOf(path: string): string {
  if (path.startsWith('services.NAME.servers[].check.')) return 'described with the service';
  if (path.startsWith('services.NAME.servers[].tunnel.')) return 'described with the service';
  const inside = SECTIONS.filter(([, prefix]) => prefix === '' || path.startsWith(`${prefix}.`));
  return inside.reduce((best, [, prefix]) => (prefix.length > best.length ? prefix : best), '');
}

function table(rows: readonly OptionRow[], section: string): string {
  const head = '| Key | Takes | Default | Purpose |\n| --- | --- | --- | --- |\n';
  const start = section === '' ? 0 : section.length + 1;
  const lines = rows.map((row) => {
    const key = `\`${row.path.slice(start)}\`${row.perDirector ? ' ●' : ''}`;
    const cells = [key, row.takes, defaultText(row), row.text.about];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
  });
  return head + lines.join('');
}

function defaultText({ required, text }: OptionRow): string {
  if (required) return '**required**';
  if (text.default === undefined) return text.without ?? '';
  const isList = Array.isArray(text.default);
  return `\`${isList ? `[${text.default.join(', ')}]` : String(text.default)}\``;
}

/**
 * Reads one configuration again and again, as its text changes: services whose lines are the same
 * as in the last good text are not read again. Only the services with changed lines are, together
 * with all other sections; whatever is not certain to mean the same that way (a text in braces or
 * with anchors, another change, files with secrets, checks through virtual IPs, any error) is read
 * as a whole, which also gives the errors their places. Invariant: the result is the one of readConfigText.
 */
import type { Config, ServiceConfig } from '../core/config/config.ts';
import { reuseServices } from '../core/config/reuse-services.ts';
import { serviceKey } from '../core/ipvs/model.ts';
import { usesCheckMarks } from '../core/ipvs/through-vip.ts';
import { ok, type Result } from '../core/result.ts';
import { sameData } from '../core/same-data.ts';
import type { ConfigError } from './errors.ts';
import type { TextEntry } from './plain-yaml.ts';
import { watchSecretFiles } from './secret-file.ts';
import { type ReadTextOptions, readConfigDocument } from './yaml.ts';

/** Characters that are compared at once. */
const COMPARED_AT_ONCE = 4_096;

/** The last good text, and what it says. */
interface Known {
  readonly text: string;
  readonly config: Config;
  /** The lines of each service; null where they do not stand alone. */
  readonly entries: readonly TextEntry[] | null;
  /** It is not all in the text: files with keys or passwords may have changed. */
  readonly secretFiles: boolean;
}

export class ConfigReader {
  /** How texts were read: as a whole, or by their changes. */
  readonly statistics = { whole: 0, changes: 0 };
  readonly #options: ReadTextOptions;
  #known: Known | null = null;

  constructor(options: ReadTextOptions) {
    this.#options = options;
  }

  /** As readConfigText; services that are equal to those of the last good text are the same objects. */
  read(text: string): Result<Config, ConfigError[]> {
    let secretFiles = false;
    const note = () => {
      secretFiles = true;
    };
    return watchSecretFiles(note, () => this.#read(text, () => secretFiles));
  }

  #read(text: string, secretFiles: () => boolean): Result<Config, ConfigError[]> {
    const known = this.#known;
    const changed =
      known === null || known.secretFiles ? null : readChange(known, text, this.#options);
    if (changed !== null) {
      this.#known = { ...changed, secretFiles: secretFiles() };
      this.statistics.changes++;
      return ok(changed.config);
    }
    this.statistics.whole++;
    const read = readConfigDocument(text, this.#options);
    if (!read.ok) return read;
    const services = reuseServices(this.#known?.config.services ?? [], read.value.config.services);
    const config = { ...read.value.config, services };
    const entries = read.value.document.entriesOf('services');
    this.#known = { text, config, entries, secretFiles: secretFiles() };
    return ok(config);
  }
}

/** What the text says now, if nothing has changed but the lines of some services; else null. */
function readChange(
  known: Known,
  text: string,
  options: ReadTextOptions,
): Omit<Known, 'secretFiles'> | null {
  const { entries, config } = known;
  if (text === known.text) return known;
  // A tracker of a service refers to services that would not be read.
  const refers = config.trackers.some(({ kind }) => kind === 'service');
  const changed = entries === null || refers ? null : changedEntries(known.text, text, entries);
  if (entries === null || changed === null) return null;
  const { first, last, end } = changed;
  const [start, sectionStart] = [startOf(entries, first), startOf(entries, 0)];
  const lines = text.slice(start, end);
  const behind = known.text.slice((entries.at(-1) as TextEntry).end);
  const reduced = `${text.slice(0, sectionStart)}${lines}${behind}`;
  const read = readConfigDocument(reduced, { ...options, onWarning: () => {} });
  const found = read.ok ? read.value.document.entriesOf('services') : null;
  const column = entries[0]?.column;
  if (!read.ok || found === null || found.some((entry) => entry.column !== column)) return null;
  const kept = [...config.services.slice(0, first), ...config.services.slice(last + 1)];
  if (config.services.length !== entries.length || clash(kept, read.value.config.services)) {
    return null;
  }
  if (usesCheckMarks(config.services) || usesCheckMarks(read.value.config.services)) return null;
  // What another section makes of the services could be something else with all of them.
  if (!sameData({ ...read.value.config, services: null }, { ...config, services: null })) {
    return null;
  }
  const moved = start - sectionStart;
  const shift = text.length - known.text.length;
  const replaced = config.services.slice(first, last + 1);
  return {
    text,
    config: {
      ...config,
      services: [
        ...config.services.slice(0, first),
        ...reuseServices(replaced, read.value.config.services),
        ...config.services.slice(last + 1),
      ],
    },
    entries: [
      ...entries.slice(0, first),
      ...found.map((entry) => moveEntry(entry, moved)),
      ...entries.slice(last + 1).map((entry) => moveEntry(entry, shift)),
    ],
  };
}

/** Which entries hold all that differs between two texts; `end` is theirs in the new text. */
function changedEntries(
  before: string,
  after: string,
  entries: readonly TextEntry[],
): { readonly first: number; readonly last: number; readonly end: number } | null {
  if (entries.length === 0) return null;
  const most = Math.min(before.length, after.length);
  const same = sameLength(most, (from, to) => before.slice(from, to) === after.slice(from, to));
  const sameEnd = sameLength(
    most - same,
    (from, to) =>
      before.slice(before.length - to, before.length - from) ===
      after.slice(after.length - to, after.length - from),
  );
  // What begins with a change may go on with the entry before it.
  const first = entries.findLastIndex(({ start }) => start < same);
  const last = entries.findIndex(({ end }) => end >= before.length - sameEnd);
  if (first < 0 || last < 0) return null;
  const upTo = Math.max(first, last);
  const end = (entries[upTo] as TextEntry).end + after.length - before.length;
  const endsLine = end === after.length || after[end - 1] === '\n';
  return endsLine && end > startOf(entries, first) ? { first, last: upTo, end } : null;
}

/** How many of `most` characters are the same, by a comparison of pieces. */
function sameLength(most: number, same: (from: number, to: number) => boolean): number {
  let length = 0;
  let step = COMPARED_AT_ONCE;
  while (step >= 1) {
    const to = Math.min(most, length + step);
    if (to > length && same(length, to)) length = to;
    else step = step === 1 ? 0 : Math.ceil(step / 8);
  }
  return length;
}

/** Whether two services have one name or one entry. */
function clash(kept: readonly ServiceConfig[], read: readonly ServiceConfig[]): boolean {
  const names = new Set(read.map(({ name }) => name));
  const keys = new Set(read.flatMap(keysOf));
  return kept.some((one) => names.has(one.name) || keysOf(one).some((key) => keys.has(key)));
}

function keysOf({ entries }: ServiceConfig): string[] {
  return entries.map(({ identity }) => serviceKey(identity));
}

function startOf(entries: readonly TextEntry[], index: number): number {
  return entries[index]?.start ?? 0;
}

function moveEntry(entry: TextEntry, by: number): TextEntry {
  return by === 0 ? entry : { ...entry, start: entry.start + by, end: entry.end + by };
}

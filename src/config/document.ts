/**
 * ConfigDocument: a YAML text with positions. What is plainly written is read without the library,
 * which is slow (plain-yaml.ts), as long as nobody asks for a place. It reports what is wrong with
 * the YAML itself, gives the values, and finds the place in the text of any path in them, also
 * through aliases, merge keys and values given per director. Never throws, whatever the text.
 */
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
  type YAMLMap,
} from 'yaml';
import { type PlainYaml, readPlainYaml, type TextEntry } from './plain-yaml.ts';
import { reducedText } from './reduced-text.ts';

/** Largest text: tens of thousands of servers fit, and reading it takes seconds at most. */
export const TEXT_LENGTH_MAX = 8 * 1024 * 1024;
/** Aliases in one text, and how often one anchor's content may be repeated by them. */
const ALIASES_MAX = 10_000;
/** Places that are looked for in a part of the text each: then all of it takes no longer. */
const PARTS_MAX = 16;
/** Longest excerpt of the text in a message. */
const FOUND_LENGTH_MAX = 40;

export type Path = readonly PropertyKey[];

export interface Place {
  /** 1-based. */
  readonly line: number;
  readonly column: number;
}

export interface Located extends Place {
  /** The path as text, with the director's key where a value is given per director. */
  readonly path: string;
  /** The text there, shortened; 'nothing' where there is none. */
  readonly found: string;
}

export interface YamlFault extends Place {
  readonly path: string;
  readonly message: string;
  readonly found: string | null;
  /** True when the values are unaffected, so that checking them makes sense. */
  readonly harmless: boolean;
}

/** A text as the library reads it, with the place of everything. */
interface Tree {
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
  readonly text: string;
  /** Of a line of this text in the whole one; both 1-based. */
  readonly lineOf: (line: number) => number;
}

export class ConfigDocument {
  readonly #text: string;
  /** Of a text that was read without the library. */
  readonly #plain: PlainYaml | null;
  /** With #plain it is made when many places are asked for: mostly never. */
  #tree: Tree | null;
  /** Places that were looked for without it. */
  #parts = 0;
  /** The node that each alias stands for; with #plain there is none. */
  readonly #anchors = new Map<unknown, Node>();
  readonly #pairs = new WeakMap<YAMLMap, Map<string, Pair>>();
  /** There are anchors or aliases; not with #plain. */
  #named = false;
  /** What is wrong with the YAML; the values are only usable when all of it is harmless. */
  readonly faults: readonly YamlFault[];
  /** The values as plain objects, lists and scalars; null when they are not usable. */
  readonly value: unknown;

  private constructor(text: string, read: PlainYaml | Tree) {
    this.#text = text;
    if ('value' in read) {
      this.#plain = read;
      this.#tree = null;
      this.faults = [];
      this.value = read.value;
      return;
    }
    this.#plain = null;
    this.#tree = read;
    const faults = [...this.#syntaxFaults(), ...this.#structureFaults()];
    const usable = faults.every((fault) => fault.harmless);
    this.value = usable ? read.document.toJS({ maxAliasCount: ALIASES_MAX }) : null;
    this.faults = faults;
  }

  /** Reads a text; the faults of one that cannot be a document at all are returned alone. */
  static parse(text: string): ConfigDocument | YamlFault {
    const start = { line: 1, column: 1, path: '', found: null, harmless: false };
    if (text.length > TEXT_LENGTH_MAX) {
      return { ...start, message: `the file is larger than ${TEXT_LENGTH_MAX} characters` };
    }
    const plain = readPlainYaml(text);
    return plain === null ? ConfigDocument.parseByLibrary(text) : new ConfigDocument(text, plain);
  }

  /** The same, whatever the text looks like: what plain-yaml.ts is compared with. */
  static parseByLibrary(text: string): ConfigDocument | YamlFault {
    const start = { line: 1, column: 1, path: '', found: null, harmless: false };
    try {
      const tree = readTree(text);
      const exhausted = tree.document.errors.find(({ code }) => code === 'RESOURCE_EXHAUSTION');
      if (exhausted === undefined) return new ConfigDocument(text, tree);
      const { line, col: column } = tree.lines.linePos(exhausted.pos[0]);
      return { ...start, line, column, message: 'nested too deeply' };
    } catch (error) {
      // The parser and the conversion recurse, and refuse too many aliases by throwing.
      if (error instanceof RangeError) return { ...start, message: 'nested too deeply' };
      const reason = error instanceof Error ? error.message : String(error);
      return { ...start, message: `not readable as YAML: ${oneLine(reason)}` };
    }
  }

  #read(): Tree {
    this.#tree ??= readTree(this.#text);
    return this.#tree;
  }

  /** With whatever a path leads through. */
  #treeWith(path: Path, director: string): Tree {
    const sections = this.#plain?.sections;
    if (this.#tree !== null || sections === undefined) return this.#read();
    if (sections.size === 0 || ++this.#parts > PARTS_MAX) return this.#read();
    const names = new Set([String(path[1]), director, DEFAULT]);
    const { text, lineOf } = reducedText(this.#text, sections, names);
    return { ...readTree(text), lineOf };
  }

  #syntaxFaults(): YamlFault[] {
    const { document } = this.#read();
    return [...document.errors, ...document.warnings].map((problem) => {
      const place = placeOf(problem.pos[0], this.#read());
      const several = problem.code === 'MULTIPLE_DOCS';
      const reason = several ? 'more than one document' : oneLine(problem.message);
      const message = `not valid YAML: ${reason}`;
      return { ...place, path: '', message, found: null, harmless: false };
    });
  }

  /** What YAML allows and a configuration does not; also takes note of the anchors. */
  #structureFaults(): YamlFault[] {
    const faults: YamlFault[] = [];
    const tree = this.#read();
    const startOf = (node: unknown) => (isNode(node) ? (node.range?.[0] ?? 0) : 0);
    const add = (node: unknown, message: string) => {
      const place = placeOf(startOf(node), tree);
      faults.push({ ...place, path: '', message, found: null, harmless: false });
    };
    const addTwice = (key: unknown) => {
      const [place, path] = [placeOf(startOf(key), tree), this.#pathAt(startOf(key))];
      faults.push({ ...place, path, message: 'key given twice', found: null, harmless: true });
    };
    const named = new Map<string, Node>();
    let aliases = 0;
    visit(tree.document, {
      Pair: (_, pair) => {
        const key = keyText(pair.key);
        if (key === null) add(pair.key, 'expected a simple key');
        else if (key === '__proto__') add(pair.key, 'this key is not allowed');
      },
      Node: (_, node) => {
        for (const key of isMap(node) ? keysGivenAgain(node) : []) addTwice(key);
        if (isAlias(node)) {
          const target = named.get(node.source);
          if (target === undefined) add(node, `no anchor &${node.source} before this`);
          else this.#anchors.set(node, target);
          aliases++;
          if (aliases === ALIASES_MAX + 1) add(node, `more than ${ALIASES_MAX} aliases`);
        } else if (node.anchor !== undefined) named.set(node.anchor, node);
        if (isAlias(node) || node.anchor !== undefined) this.#named = true;
      },
    });
    return faults;
  }

  /**
   * The entries of a section, in the order of the text, where each has lines of its own that mean
   * the same whatever stands before and behind them; null where the text is not written like that:
   * in braces, with anchors, with directives, or with faults.
   */
  entriesOf(section: string): readonly TextEntry[] | null {
    if (this.#plain !== null) return this.#plain.sections.get(section) ?? null;
    const root = this.#read().document.contents;
    const plain = this.faults.length === 0 && !this.#named && !/^%/m.test(this.#text);
    if (!plain || !isMap(root) || root.flow === true) return null;
    const at = root.items.findIndex(({ key }) => keyText(key) === section);
    const map = root.items[at]?.value;
    if (!isMap(map) || map.flow === true) return null;
    const after = root.items[at + 1];
    const starts = map.items.map(({ key }) => this.#lineOf(key));
    const end = after === undefined ? this.#text.length : this.#lineOf(after.key)?.start;
    if (end === undefined) return null;
    const entries: TextEntry[] = [];
    for (const [index, { key }] of map.items.entries()) {
      const line = starts[index];
      const next = index + 1 < starts.length ? starts[index + 1]?.start : end;
      const name = keyText(key);
      if (line == null || next === undefined || name === null) return null;
      if (line.column !== starts[0]?.column) return null;
      entries.push({ name, start: line.start, end: next, column: line.column });
    }
    return entries;
  }

  /** The line that begins with this key; null when something else stands before it. */
  #lineOf(key: unknown): { readonly start: number; readonly column: number } | null {
    const offset = isNode(key) ? key.range?.[0] : undefined;
    if (offset === undefined) return null;
    const start = this.#text.lastIndexOf('\n', offset - 1) + 1;
    const column = offset - start;
    return /^ *$/.test(this.#text.slice(start, offset)) ? { start, column } : null;
  }

  /**
   * The place of a path, or of the key that leads to it. What is missing is placed at the key of
   * the mapping that lacks it. Where a value is given per director, the director's is meant.
   */
  locate(path: Path, options: { readonly director: string; readonly atKey: boolean }): Located {
    const tree = this.#treeWith(path, options.director);
    const located = (step: Step, atKey: boolean, found: string | null) =>
      this.#located(step, { atKey, found, tree });
    let step: Step = { node: tree.document.contents, key: null, segments: [] };
    for (const [index, segment] of path.entries()) {
      const next = this.#descend(step, segment, options.director);
      if (next === null) {
        const segments = [...step.segments, ...path.slice(index)];
        return located({ ...step, segments }, true, 'nothing');
      }
      step = next;
    }
    if (options.atKey) return located(step, true, null);
    return located(this.#descendDirector(step, options.director) ?? step, false, null);
  }

  #located(
    step: Step,
    options: { readonly atKey: boolean; readonly found: string | null; readonly tree: Tree },
  ): Located {
    const { tree } = options;
    const anchor = (options.atKey ? step.key : step.node) ?? step.key ?? step.node;
    const offset = isNode(anchor) ? (anchor.range?.[0] ?? 0) : 0;
    const found = options.found ?? excerpt(step.node, tree);
    return { ...placeOf(offset, tree), path: pathText(step.segments), found };
  }

  #descend(step: Step, segment: PropertyKey, director: string): Step | null {
    const node = this.#resolve(step.node);
    if (isSeq(node) && typeof segment === 'number') {
      const item = node.items[segment];
      return item === undefined
        ? null
        : { node: item, key: null, segments: [...step.segments, segment] };
    }
    if (!isMap(node)) return null;
    const pair = this.#pairsOf(node).get(String(segment));
    if (pair !== undefined) {
      return { node: pair.value, key: pair.key, segments: [...step.segments, segment] };
    }
    const chosen = this.#descendDirector(step, director);
    return chosen === null ? null : this.#descend(chosen, segment, director);
  }

  #descendDirector(step: Step, director: string): Step | null {
    const node = this.#resolve(step.node);
    if (!isMap(node)) return null;
    const pairs = this.#pairsOf(node);
    const name = pairs.has(director) ? director : DEFAULT;
    const pair = pairs.get(name);
    if (pair === undefined) return null;
    return { node: pair.value, key: pair.key, segments: [...step.segments, name] };
  }

  #resolve(node: unknown): unknown {
    return isAlias(node) ? this.#anchors.get(node) : node;
  }

  /** A mapping's pairs by key, with those of its merge keys; of equal keys the last, as toJS. */
  #pairsOf(map: YAMLMap): Map<string, Pair> {
    const known = this.#pairs.get(map);
    if (known !== undefined) return known;
    const pairs = new Map<string, Pair>();
    // Kept before it is complete: a mapping may merge itself.
    this.#pairs.set(map, pairs);
    for (const pair of map.items) {
      const key = keyText(pair.key);
      if (key === '<<') {
        const sources = this.#resolve(pair.value);
        for (const source of isSeq(sources) ? sources.items : [sources]) {
          const merged = this.#resolve(source);
          if (!isMap(merged)) continue;
          for (const [name, inner] of this.#pairsOf(merged)) {
            if (!pairs.has(name)) pairs.set(name, inner);
          }
        }
      } else if (key !== null) pairs.set(key, pair);
    }
    return pairs;
  }

  /** Path of the pair whose key starts at an offset, as text; '' when there is none. */
  #pathAt(offset: number): string {
    let found = '';
    visit(this.#read().document, {
      Pair: (_, pair, ancestors) => {
        if (!isNode(pair.key) || pair.key.range?.[0] !== offset) return undefined;
        found = pathText(pathOf([...ancestors, pair]));
        return visit.BREAK;
      },
    });
    return found;
  }
}

/** What stands for all directors that are not named. */
const DEFAULT = 'default';

/** What the text has at a node, shortened. */
function excerpt(node: unknown, { text }: Tree): string {
  if (isAlias(node)) return `*${shorten(node.source)}`;
  if (isMap(node)) return 'a mapping';
  if (isSeq(node)) return 'a list';
  if (!isScalar(node) || !node.range) return 'nothing';
  const source = text.slice(node.range[0], node.range[1]);
  return source.trim() === '' ? 'nothing' : shorten(source);
}

function placeOf(offset: number, { lines, lineOf }: Tree): Place {
  const { line, col } = lines.linePos(offset);
  return line === 0 ? { line: 1, column: 1 } : { line: lineOf(line), column: col };
}

/** Keys of a mapping that it has already before; a merge key may be there any number of times. */
function keysGivenAgain(map: YAMLMap): readonly Node[] {
  const seen = new Set<unknown>();
  const again: Node[] = [];
  for (const { key } of map.items) {
    if (!isScalar(key) || keyText(key) === '<<') continue;
    if (seen.has(key.value)) again.push(key);
    seen.add(key.value);
  }
  return again;
}

function readTree(text: string): Tree {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    // Compared with each other: thousands of services would take seconds. See keysGivenAgain().
    uniqueKeys: false,
    // Fixed, so that a %YAML directive cannot change what `on` or `010` mean.
    schema: 'core',
    merge: true,
    resolveKnownTags: false,
    // Not 'silent', which would also hide a second document.
    logLevel: 'error',
  });
  return { document, lines, text, lineOf: (line) => line };
}

/** Where a path has led to: a node, the key that it belongs to, and the way there. */
interface Step {
  readonly node: unknown;
  readonly key: unknown;
  readonly segments: readonly PropertyKey[];
}

/** The path that leads to the last of some nested nodes and pairs. */
function pathOf(ancestors: readonly unknown[]): PropertyKey[] {
  const path: PropertyKey[] = [];
  for (const [index, node] of ancestors.entries()) {
    if (isPair(node)) path.push(keyText(node.key) ?? '?');
    else if (isSeq(node)) path.push(node.items.indexOf(ancestors[index + 1]));
  }
  return path;
}

/** A path as people write it: 'services.web.servers[1].weight'. */
export function pathText(path: Path): string {
  let text = '';
  for (const segment of path) {
    if (typeof segment === 'number') text += `[${segment}]`;
    else if (/^[\w.-]+$/.test(String(segment)))
      text += `${text === '' ? '' : '.'}${String(segment)}`;
    else text += `[${JSON.stringify(shorten(String(segment)))}]`;
  }
  return text;
}

/** Text of a scalar key as toJS makes it; null for other keys. */
function keyText(key: unknown): string | null {
  if (!isScalar(key)) return null;
  // A merge key's value is a symbol.
  if (typeof key.value === 'symbol') return key.value.description ?? '';
  return key.value === null ? '' : String(key.value);
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}

/** One line of at most FOUND_LENGTH_MAX characters, without control characters. */
export function shorten(text: string): string {
  const line = oneLine(text).replaceAll(/\p{Cc}/gu, '?');
  return line.length <= FOUND_LENGTH_MAX ? line : `${line.slice(0, FOUND_LENGTH_MAX - 3)}...`;
}

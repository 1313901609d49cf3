/**
 * The YAML that people write, read fast: mappings and lists in lines or in braces, scalars of one
 * line, comments. It takes a tenth of the time of the library (document.ts), which has an object
 * and a place for every token; a configuration of a thousand services is read at every start.
 *
 * Invariant: what is read here means exactly the same to the library. Whatever is not certain to
 * do so (tags, anchors, escapes, scalars of several lines, a key given twice, every mistake) is
 * null, and the library is asked, which also knows what to say about it.
 */

/** The lines of one entry of a section: comments behind it belong to it. */
export interface TextEntry {
  readonly name: string;
  /** Offset of its first line. */
  readonly start: number;
  /** Offset behind its last line. */
  readonly end: number;
  /** How far its key is indented. */
  readonly column: number;
}

export interface PlainYaml {
  readonly value: unknown;
  /** By the names of the root's mappings that are written in lines. */
  readonly sections: ReadonlyMap<string, readonly TextEntry[]>;
}

/** Nested deeper is nothing that people write, and the reader recurses. */
const DEPTH_MAX = 32;
/** Tabs, other line breaks, control characters and byte order marks: the library's matter. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const UNUSUAL = /[\0-\x09\x0b-\x1f\x7f-\xa0\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]/;
/** A first line that begins the document, behind nothing but comments. */
const DOCUMENT_START = /(?: *(?:#.*)?\n)*---\n/y;
const DOCUMENT_MARK = /^(?:---|\.\.\.)/m;
const PLAIN_KEY = /[A-Za-z_][\w.-]{0,199}|0|[1-9]\d{0,8}/y;
const QUOTED_KEY = /"([\w.:/@ -]{1,200})"/y;
/** Keys that are no strings to YAML. */
const KEYWORD = /^(?:[Nn]ull|NULL|[Tt]rue|TRUE|[Ff]alse|FALSE)$/;
/** With the escapes that JSON has too, but for those by number. */
const DOUBLE_QUOTED = /"((?:[^"\\\n]|\\["\\/bfnrt])*)"/y;
const SINGLE_QUOTED = /'((?:[^'\n]|'')*)'/y;
const REST_OF_LINE = / *(?: #.*)?(?:\n|$)/y;
/** What a scalar without quotes begins with here; YAML allows a few more. */
const PLAIN_START = /[\w./()=+$^~;\\\u00a1-\uffff]|-[\w.]/y;
const INTEGER = /^(?:0|-?[1-9]\d{0,14})$/;
const DECIMAL = /^-?(?:0|[1-9]\d{0,9})\.\d{1,9}$/;
/** All numbers of YAML 1.2's core schema. */
const NUMBER =
  /^(?:0o[0-7]+|0x[\da-fA-F]+|[-+]?\d+|[-+]?\.(?:inf|Inf|INF)|\.nan|\.NaN|\.NAN|[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?)$/;

/** Not certain to mean the same to the library. */
const UNSURE = Symbol('unsure');
type Read<T> = T | typeof UNSURE;

/** A line with something on it. */
interface Line {
  readonly start: number;
  readonly indent: number;
  /** Offset of what is on it. */
  readonly at: number;
}

/** The values of a text, or null where the library has to read it. */
export function readPlainYaml(text: string): PlainYaml | null {
  if (UNUSUAL.test(text)) return null;
  return new PlainReader(text).read();
}

class PlainReader {
  readonly #text: string;
  /** What is read next; null behind the last line. */
  #line: Line | null = null;
  /** Within a line. */
  #at = 0;
  #depth = 0;
  readonly #sections = new Map<string, TextEntry[]>();
  /** Entries of the section that was read last. */
  #open: readonly Omit<TextEntry, 'end'>[] | null = null;

  constructor(text: string) {
    this.#text = text;
  }

  read(): PlainYaml | null {
    DOCUMENT_START.lastIndex = 0;
    const begin = DOCUMENT_START.test(this.#text) ? DOCUMENT_START.lastIndex : 0;
    if (DOCUMENT_MARK.test(this.#text.slice(begin))) return null;
    this.#seek(begin);
    const first = this.#line;
    if (first === null || first.indent !== 0) return null;
    const value = this.#text[first.at] === '{' ? this.#root(first) : this.#lines(first);
    if (value === UNSURE || this.#line !== null) return null;
    return { value, sections: this.#sections };
  }

  /** A document in braces, over any number of lines. */
  #root(line: Line): Read<unknown> {
    this.#at = line.at;
    const value = this.#flow(true);
    if (value === UNSURE || this.#text.slice(this.#at).trim() !== '') return UNSURE;
    this.#line = null;
    return value;
  }

  /** Finds the next line with something on it, from the beginning of a line on. */
  #seek(from: number): void {
    let start = from;
    while (start < this.#text.length) {
      let at = start;
      while (this.#text.charCodeAt(at) === 0x20) at++;
      const first = this.#text[at];
      if (first !== undefined && first !== '\n' && first !== '#') {
        this.#line = { start, indent: at - start, at };
        return;
      }
      const end = this.#text.indexOf('\n', at);
      start = end === -1 ? this.#text.length : end + 1;
    }
    this.#line = null;
  }

  /** Whether nothing but a comment is left of the line; then the next one is found. */
  #endsLine(): boolean {
    REST_OF_LINE.lastIndex = this.#at;
    if (!REST_OF_LINE.test(this.#text)) return false;
    this.#seek(REST_OF_LINE.lastIndex);
    return true;
  }

  /** What begins with this line. */
  #lines(line: Line): Read<unknown> {
    if (++this.#depth > DEPTH_MAX) return UNSURE;
    const list = this.#isItem(line);
    // A list is no document of ours, and has no sections.
    if (list && this.#depth === 1) return UNSURE;
    const value = list ? this.#list(line.indent) : this.#mapping(line.indent);
    this.#depth--;
    return value;
  }

  #isItem({ at }: Line): boolean {
    return this.#text[at] === '-' && this.#text[at + 1] === ' ';
  }

  #mapping(indent: number): Read<unknown> {
    const value: Record<string, unknown> = {};
    const section: Omit<TextEntry, 'end'>[] = [];
    for (let line = this.#line; line?.indent === indent; line = this.#line) {
      this.#at = line.at;
      const key = this.#key();
      if (key === UNSURE || this.#text[this.#at] !== ':' || Object.hasOwn(value, key)) {
        return UNSURE;
      }
      this.#at++;
      const inner = this.#behindKey(indent);
      if (inner === UNSURE) return UNSURE;
      value[key] = inner;
      section.push({ name: key, start: line.start, column: indent });
      if (this.#depth === 1) this.#endSection(key);
    }
    if (this.#depth === 2) this.#open = section;
    return (this.#line?.indent ?? 0) > indent ? UNSURE : value;
  }

  #endSection(name: string): void {
    const entries = this.#open;
    this.#open = null;
    if (entries === null) return;
    const end = this.#line?.start ?? this.#text.length;
    const ended = entries.map((one, index) => ({ ...one, end: entries[index + 1]?.start ?? end }));
    this.#sections.set(name, ended);
  }

  /** A value behind its key and colon, on this line or on the next ones. */
  #behindKey(indent: number): Read<unknown> {
    const next = this.#text[this.#at];
    if (next !== ' ' && next !== '\n' && next !== undefined) return UNSURE;
    if (!this.#endsLine()) return this.#scalarOrFlow(indent);
    const line = this.#line;
    if (line === null || line.indent < indent) return null;
    // A list may be as little indented as its key.
    if (line.indent > indent || this.#isItem(line)) return this.#lines(line);
    return null;
  }

  #list(indent: number): Read<unknown> {
    const value: unknown[] = [];
    for (let line = this.#line; line?.indent === indent; line = this.#line) {
      if (!this.#isItem(line)) break;
      let at = line.at + 1;
      while (this.#text[at] === ' ') at++;
      const inner = { start: line.start, indent: at - line.start, at };
      const item = this.#isMapping(inner) ? this.#inline(inner) : this.#item(inner, indent);
      if (item === UNSURE) return UNSURE;
      value.push(item);
    }
    return (this.#line?.indent ?? 0) > indent ? UNSURE : value;
  }

  /** A mapping that begins behind the dash of an item. */
  #inline(line: Line): Read<unknown> {
    this.#line = line;
    return this.#lines(line);
  }

  #item(line: Line, indent: number): Read<unknown> {
    this.#at = line.at;
    return this.#scalarOrFlow(indent);
  }

  #isMapping(line: Line): boolean {
    this.#at = line.at;
    if (this.#key() === UNSURE || this.#text[this.#at] !== ':') return false;
    const next = this.#text[this.#at + 1];
    return next === ' ' || next === '\n' || next === undefined;
  }

  /** A value that ends on its line, in lines that are indented so far. */
  #scalarOrFlow(indent: number): Read<unknown> {
    while (this.#text[this.#at] === ' ') this.#at++;
    const first = this.#text[this.#at];
    const flow = first === '{' || first === '[';
    const value = flow ? this.#flow(false) : (this.#quoted() ?? this.#plainLine());
    if (value === UNSURE || !this.#endsLine()) return UNSURE;
    // A line that is indented more would go on with the scalar.
    return (this.#line?.indent ?? 0) > indent ? UNSURE : value;
  }

  #key(): Read<string> {
    PLAIN_KEY.lastIndex = this.#at;
    QUOTED_KEY.lastIndex = this.#at;
    const quoted = QUOTED_KEY.exec(this.#text);
    const plain = quoted === null ? PLAIN_KEY.exec(this.#text) : null;
    const found = quoted ?? plain;
    const key = quoted?.[1] ?? plain?.[0];
    if (found === null || key === undefined || key === '__proto__') return UNSURE;
    if (plain !== null && KEYWORD.test(key)) return UNSURE;
    this.#at += found[0].length;
    return key;
  }

  /** A scalar in quotes; null where there is none. */
  #quoted(): Read<string> | null {
    const quote = this.#text[this.#at];
    if (quote !== '"' && quote !== "'") return null;
    const pattern = quote === '"' ? DOUBLE_QUOTED : SINGLE_QUOTED;
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return UNSURE;
    this.#at = pattern.lastIndex;
    const inner = found[1] as string;
    if (quote === "'") return inner.replaceAll("''", "'");
    return inner.includes('\\') ? (JSON.parse(found[0]) as string) : inner;
  }

  /** A scalar without quotes, up to the end of the line or a comment. */
  #plainLine(): Read<unknown> {
    PLAIN_START.lastIndex = this.#at;
    if (!PLAIN_START.test(this.#text)) return UNSURE;
    const newline = this.#text.indexOf('\n', this.#at);
    const line = this.#text.slice(this.#at, newline === -1 ? undefined : newline);
    const comment = line.indexOf(' #');
    const text = (comment === -1 ? line : line.slice(0, comment)).trimEnd();
    if (text.includes(': ') || text.endsWith(':')) return UNSURE;
    this.#at += text.length;
    return scalarOf(text);
  }

  /** A mapping or list in braces or brackets; `lines`: over any number of lines. */
  #flow(lines: boolean): Read<unknown> {
    if (++this.#depth > DEPTH_MAX) return UNSURE;
    const value = this.#text[this.#at] === '{' ? this.#flowMapping(lines) : this.#flowList(lines);
    this.#depth--;
    return value;
  }

  #flowMapping(lines: boolean): Read<unknown> {
    const value: Record<string, unknown> = {};
    this.#at++;
    this.#skip(lines);
    if (this.#take('}')) return value;
    for (;;) {
      const quoted = this.#text[this.#at] === '"';
      const key = this.#key();
      if (key === UNSURE || Object.hasOwn(value, key) || !this.#take(':')) return UNSURE;
      const next = this.#text[this.#at];
      if (!quoted && next !== ' ' && next !== '\n') return UNSURE;
      const inner = this.#flowValue(lines);
      if (inner === UNSURE) return UNSURE;
      value[key] = inner;
      if (this.#take('}')) return value;
      if (!this.#take(',')) return UNSURE;
      this.#skip(lines);
    }
  }

  #flowList(lines: boolean): Read<unknown> {
    const value: unknown[] = [];
    this.#at++;
    this.#skip(lines);
    if (this.#take(']')) return value;
    for (;;) {
      const inner = this.#flowValue(lines);
      if (inner === UNSURE) return UNSURE;
      value.push(inner);
      if (this.#take(']')) return value;
      if (!this.#take(',')) return UNSURE;
    }
  }

  /** A value in braces or brackets, and the blanks around it. */
  #flowValue(lines: boolean): Read<unknown> {
    this.#skip(lines);
    const first = this.#text[this.#at];
    const nested = first === '{' || first === '[';
    const value = nested ? this.#flow(lines) : (this.#quoted() ?? this.#plainFlow());
    this.#skip(lines);
    return value;
  }

  #plainFlow(): Read<unknown> {
    PLAIN_START.lastIndex = this.#at;
    if (!PLAIN_START.test(this.#text)) return UNSURE;
    let end = this.#at;
    for (; end < this.#text.length; end++) {
      const character = this.#text[end] as string;
      if (character === ',' || character === ']' || character === '}' || character === '\n') break;
      if (character === '{' || character === '[' || character === '#') return UNSURE;
      if (character === ':' && /[\s,[\]{}]|$/y.test(this.#text[end + 1] ?? '')) return UNSURE;
    }
    const text = this.#text.slice(this.#at, end).trimEnd();
    this.#at = end;
    return scalarOf(text);
  }

  #skip(lines: boolean): void {
    for (;;) {
      const character = this.#text[this.#at];
      if (character !== ' ' && (!lines || character !== '\n')) return;
      this.#at++;
    }
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }
}

/** What a scalar without quotes is by YAML 1.2's core schema. */
function scalarOf(text: string): Read<unknown> {
  switch (text) {
    case 'true':
    case 'True':
    case 'TRUE':
      return true;
    case 'false':
    case 'False':
    case 'FALSE':
      return false;
    case '~':
    case 'null':
    case 'Null':
    case 'NULL':
      return null;
    default:
      if (INTEGER.test(text) || DECIMAL.test(text)) return Number(text);
      return NUMBER.test(text) ? UNSURE : text;
  }
}

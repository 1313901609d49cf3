/**
 * A command as it is written in one line, taken apart into program and arguments the way
 * keepalived does: no shell, so no variables, no globs and no pipes. White space separates words;
 * ' and " group, and what stands next to each other is one word (`ab' c'"d"` is `ab cd`). Inside
 * quotes a backslash starts an escape; outside it stands for itself.
 */
import { err, ok, type Result } from '../result.ts';

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  E: '\x1b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** The words of a command, at least one; an error says what is wrong with the text. */
export function parseCommand(text: string): Result<readonly string[], string> {
  const words: string[] = [];
  let word: string | null = null;
  let at = 0;
  while (at < text.length) {
    const character = text.charAt(at);
    if (/\s/.test(character)) {
      if (word !== null) words.push(word);
      word = null;
      at++;
    } else if (character === '"' || character === "'") {
      const quoted = readQuoted(text, at);
      if (quoted === null) return err(`the ${character} is not closed`);
      word = (word ?? '') + quoted.value;
      at = quoted.end;
    } else {
      word = (word ?? '') + character;
      at++;
    }
  }
  if (word !== null) words.push(word);
  if (words.length === 0) return err('the command is empty');
  // The kernel ends an argument at a NUL: what follows would be lost without a word.
  if (words.some((each) => each.includes('\0'))) return err('a NUL is not possible in a command');
  return ok(words);
}

interface Piece {
  readonly value: string;
  /** Index behind what was read. */
  readonly end: number;
}

/** What stands between the quote at `start` and the next of its kind; null without that one. */
function readQuoted(text: string, start: number): Piece | null {
  const quote = text.charAt(start);
  let value = '';
  let at = start + 1;
  while (at < text.length) {
    const character = text.charAt(at);
    if (character === quote) return { value, end: at + 1 };
    const piece = character === '\\' ? readEscape(text, at + 1) : { value: character, end: at + 1 };
    value += piece.value;
    at = piece.end;
  }
  return null;
}

/** The character that an escape stands for; `start` is behind the backslash. */
function readEscape(text: string, start: number): Piece {
  const octal = /^[0-7]{1,3}/.exec(text.slice(start, start + 3))?.[0];
  if (octal !== undefined) return { value: byte(octal, 8), end: start + octal.length };
  const hex = /^x([0-9a-fA-F]{1,2})/.exec(text.slice(start, start + 3))?.[1];
  if (hex !== undefined) return { value: byte(hex, 16), end: start + 1 + hex.length };
  const control = /^c([@-_a-z])/.exec(text.slice(start, start + 2))?.[1];
  if (control !== undefined) {
    const code = control.toUpperCase().charCodeAt(0) ^ 0x40;
    return { value: String.fromCharCode(code), end: start + 2 };
  }
  const character = text.charAt(start);
  return { value: SIMPLE_ESCAPES[character] ?? character, end: start + 1 };
}

function byte(digits: string, base: number): string {
  return String.fromCharCode(Number.parseInt(digits, base) & 0xff);
}

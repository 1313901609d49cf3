/**
 * reducedText: a text without most entries of its sections, in which the place of a path is found
 * without reading tens of thousands of services.
 */
import type { TextEntry } from './plain-yaml.ts';

export interface ReducedText {
  readonly text: string;
  /** Of one of its lines in the whole text; both 1-based. */
  readonly lineOf: (line: number) => number;
}

/**
 * What is left when only entries of these names stay, and of each section the first one, without
 * which it would be no mapping. `sections`: in the order of the text.
 */
export function reducedText(
  whole: string,
  sections: ReadonlyMap<string, readonly TextEntry[]>,
  names: ReadonlySet<string>,
): ReducedText {
  const parts: string[] = [];
  /** Lines of the text before which something was left out, each with how many lines in all. */
  const cuts: { readonly line: number; readonly missing: number }[] = [];
  let [at, line, missing] = [0, 1, 0];
  for (const { start, end } of leftOut(sections, names)) {
    const part = whole.slice(at, start);
    parts.push(part);
    line += linesIn(part);
    missing += linesIn(whole.slice(start, end));
    cuts.push({ line, missing });
    at = end;
  }
  parts.push(whole.slice(at));
  const lineOf = (of: number): number =>
    of + (cuts.findLast((cut) => cut.line <= of)?.missing ?? 0);
  return { text: parts.join(''), lineOf };
}

/** Offsets of what no entry that stays is in, in order, none beside another. */
function leftOut(
  sections: ReadonlyMap<string, readonly TextEntry[]>,
  names: ReadonlySet<string>,
): readonly { readonly start: number; readonly end: number }[] {
  const ranges: { start: number; end: number }[] = [];
  for (const entries of sections.values()) {
    for (const [index, { name, start, end }] of entries.entries()) {
      if (index === 0 || names.has(name)) continue;
      const last = ranges.at(-1);
      if (last?.end === start) last.end = end;
      else ranges.push({ start, end });
    }
  }
  return ranges;
}

function linesIn(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++;
  return count;
}

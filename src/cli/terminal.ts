/**
 * Terminal: what a command may know of the world around it: its two streams, whether they take
 * colour, and the wall clock. Passed in, so that what a command prints can be compared byte by
 * byte. Text that came from elsewhere passes printable() before it reaches a terminal.
 */

export interface Terminal {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Whether standard output is a terminal that a person looks at. */
  readonly interactive: boolean;
  /** Whether it takes colour. */
  readonly color: boolean;
  readonly errColor: boolean;
  /** Whether standard error is a terminal. */
  readonly errInteractive: boolean;
  /** Size in characters at this moment; null when standard output is no terminal. */
  readonly columns: () => number | null;
  readonly rows: () => number | null;
  /** Wall clock, ms since 1970. */
  readonly nowMs: () => number;
}

/** The process's own streams. Colour follows no-color.org. */
export function processTerminal(): Terminal {
  const { stdout, stderr, env } = process;
  const mayColor = (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
  const interactive = stdout.isTTY === true;
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    interactive,
    color: mayColor && interactive,
    errColor: mayColor && stderr.isTTY === true,
    errInteractive: stderr.isTTY === true,
    columns: () => (interactive ? stdout.columns : null),
    rows: () => (interactive ? stdout.rows : null),
    nowMs: () => Date.now(),
  };
}

/**
 * Says on standard error what a long command does at the moment, in one line that the next one
 * replaces and null takes away; nothing where no terminal is.
 */
export function progressOf(terminal: Terminal): (doing: string | null) => void {
  if (!terminal.errInteractive) return () => {};
  return (doing) => terminal.err(`\r\x1b[K${doing === null ? '' : `${printable(doing)} ...`}`);
}

/** Text without what could steer a terminal or end a line: control and format characters. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]+/gu, ' ');
}

/** How a stretch of text looks where colour is allowed: SGR parameters (ECMA-48). */
const STYLES = { plain: '', strong: '1', dim: '2', good: '32', warn: '33', bad: '31;1' } as const;
export type Style = keyof typeof STYLES;

export interface Span {
  readonly text: string;
  readonly style: Style;
}

export type Line = readonly Span[];

export function span(text: string, style: Style = 'plain'): Span {
  return { text: printable(text), style };
}

export interface Rendering {
  readonly color: boolean;
  /** Longer lines end in an ellipsis; null for no limit. */
  readonly columns: number | null;
  /** More lines are left out and counted; null for no limit. */
  readonly rows: number | null;
}

/** The lines as text, each ended by a newline, without spaces at the ends of lines. */
export function render(lines: readonly Line[], rendering: Rendering): string {
  const { rows } = rendering;
  const fits = rows === null || lines.length <= rows;
  const shown = fits ? lines : lines.slice(0, Math.max(rows - 1, 0));
  const more: readonly Line[] = fits
    ? []
    : [[span(`… and ${lines.length - shown.length} more lines`, 'dim')]];
  return [...shown, ...more].map((line) => `${renderLine(line, rendering)}\n`).join('');
}

function renderLine(line: Line, { color, columns }: Rendering): string {
  const spans = clip(line, columns);
  const last = spans.findLastIndex(({ text }) => text.trim() !== '');
  return spans
    .slice(0, last + 1)
    .map(({ text, style }, index) => {
      const shown = index === last ? text.trimEnd() : text;
      const codes = STYLES[style];
      return color && codes !== '' ? `\u001b[${codes}m${shown}\u001b[0m` : shown;
    })
    .join('');
}

function clip(line: Line, columns: number | null): Line {
  const length = line
    .map(({ text }) => text)
    .join('')
    .trimEnd().length;
  if (columns === null || length <= columns) return line;
  const clipped: Span[] = [];
  let left = columns;
  for (const { text, style } of line) {
    if (left <= 0) break;
    // Text up to the very edge is clipped too: there is more behind it.
    clipped.push({ text: text.length >= left ? `${text.slice(0, left - 1)}…` : text, style });
    left -= text.length;
  }
  return clipped;
}

export type Align = 'left' | 'right';

/** Rows of equally many cells as lines: each column as wide as its widest cell, two apart. */
export function table(rows: readonly Line[], align: readonly Align[], indent = 0): Line[] {
  const widths = align.map((_, index) =>
    Math.max(...rows.map((row) => (row[index] as Span).text.length)),
  );
  return rows.map((row) => {
    const cells = row.map(({ text, style }, index): Line => {
      const space = ' '.repeat((widths[index] as number) - text.length);
      const gap = span(index === 0 ? ' '.repeat(indent) : '  ');
      return align[index] === 'right'
        ? [gap, span(space), { text, style }]
        : [gap, { text, style }, span(space)];
    });
    return cells.flat();
  });
}

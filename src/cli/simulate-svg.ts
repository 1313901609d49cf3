/**
 * The timeline of a simulated cluster as a picture: for each instance a lane for every director,
 * coloured by its state, and one for what clients met; above them the faults, by numbers that the
 * list below explains. One SVG file without anything from outside, readable on light and dark.
 */
import { NEVER_ENDS_US } from '../core/sim/operator.ts';
import type { SimFault } from '../core/sim/scenario.ts';
import type { Lane, LaneState, Service, Span, Timeline } from '../core/sim/timeline.ts';
import { faultText, LANE_WORDS, spanText } from './simulate-words.ts';

const WIDTH = 1200;
const LEFT = 150;
const RIGHT = 24;
const LANE = 30;
const GAP = 8;
const LINE = 20;
const FONT = 14;
/** About how wide a letter is, for what fits into a bar. */
const LETTER = 7.6;
/** Shorter things are drawn so wide that they can be seen. */
const VISIBLE = 2;
const TICKS_MAX = 12;
const LIST_MAX = 40;

const STYLE = `
  svg { font-family: "DejaVu Sans", Verdana, "Segoe UI", sans-serif; font-size: ${FONT}px; }
  .ground { fill: #ffffff; } text { fill: #1d2733; } .dim { fill: #5b6875; }
  .strong { font-weight: 700; } .title { font-size: 18px; font-weight: 700; }
  .grid { stroke: #d5dbe1; } .mark { stroke: #b3261e; stroke-dasharray: 3 4; }
  .fault-bar { fill: #b3261e; fill-opacity: 0.16; stroke: #b3261e; }
  .badge { fill: #b3261e; } .badge-text { fill: #ffffff; font-size: 12px; font-weight: 700; }
  .off { fill: #e3e7eb; stroke: #b9c2cb; } .left-behind { fill: #8a4fa3; }
  .initialize { fill: #c9d1d9; } .backup { fill: #9cc3ec; } .active { fill: #1f8a4c; }
  .fault { fill: #d97706; } .served { fill: #a9dbbd; } .none { fill: url(#hatch); stroke: #b3261e; }
  .two { fill: #f2b134; } .waiting { fill: #eef1f4; }
  .on-dark { fill: #ffffff; } .on-light { fill: #1d2733; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #14191f; } text { fill: #e6ebf0; } .dim { fill: #9aa7b4; }
    .grid { stroke: #323b45; } .mark { stroke: #ff8a80; }
    .fault-bar { fill: #ff8a80; fill-opacity: 0.2; stroke: #ff8a80; }
    .off { fill: #252c34; stroke: #46515c; } .initialize { fill: #46515c; }
    .waiting { fill: #1d242b; } .badge-text { fill: #ffffff; }
    .on-dark { fill: #ffffff; } .on-light { fill: #1d2733; } .off-text { fill: #9aa7b4; }
  }`;

/** States whose colour is dark on any ground. */
const DARK: readonly LaneState[] = ['active', 'left-behind', 'fault'];

/** A whole SVG document. */
export function timelineSvg(timeline: Timeline): string {
  const picture = new Picture(timeline);
  return picture.draw();
}

class Picture {
  readonly #timeline: Timeline;
  readonly #parts: string[] = [];
  #y = 0;

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  draw(): string {
    const { directors, durationUs, seed } = this.#timeline;
    this.#y = 34;
    this.#text(LEFT - 126, this.#y, `${spanText(durationUs)} of ${directors.join(', ')}`, 'title');
    this.#text(WIDTH - RIGHT, this.#y, `vipkeeper simulate, seed ${seed}`, 'dim', 'end');
    this.#y += 22;
    const top = this.#y;
    this.#faults();
    for (const instance of this.#timeline.instances) this.#instance(instance);
    const bottom = this.#y;
    this.#axis();
    this.#legend();
    this.#list();
    this.#summary();
    const height = this.#y + 16;
    const label = `Timeline of ${directors.join(', ')}`;
    return [
      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(label)}">`,
      `<title>${escaped(label)}</title><style>${STYLE}\n</style>`,
      '<defs><pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="8" height="8" fill="#f6c9c5"/><rect width="4" height="8" fill="#b3261e"/></pattern></defs>',
      `<rect class="ground" width="${WIDTH}" height="${height}"/>`,
      ...this.#grid(top, bottom),
      ...this.#parts,
      ...this.#marks(top, bottom),
      '</svg>',
      '',
    ].join('\n');
  }

  #x(atUs: number): number {
    const share = Math.min(1, atUs / this.#timeline.durationUs);
    return round(LEFT + share * (WIDTH - LEFT - RIGHT));
  }

  #text(x: number, y: number, text: string, className = '', anchor = 'start'): void {
    const at = anchor === 'start' ? '' : ` text-anchor="${anchor}"`;
    const style = className === '' ? '' : ` class="${className}"`;
    this.#parts.push(`<text x="${round(x)}" y="${round(y)}"${style}${at}>${escaped(text)}</text>`);
  }

  #bar(span: Span, className: string, y: number, height: number): number {
    const x = this.#x(span.fromUs);
    const width = Math.max(VISIBLE, round(this.#x(span.toUs) - x));
    this.#parts.push(
      `<rect class="${className}" x="${x}" y="${y}" width="${width}" height="${height}" rx="2"/>`,
    );
    return width;
  }

  /** A row for each fault that meets another one, as few as possible. */
  #faults(): void {
    const { faults, durationUs } = this.#timeline;
    if (faults.length === 0) return;
    this.#text(LEFT - 12, this.#y + 21, 'faults', 'dim', 'end');
    const rowEnds: number[] = [];
    for (const [index, fault] of faults.entries()) {
      const span = spanOf(fault, durationUs);
      const x = this.#x(span.fromUs);
      const free = rowEnds.findIndex((end) => end <= x);
      const row = free === -1 ? rowEnds.length : free;
      const y = this.#y + row * 28 + 4;
      if ('forUs' in fault) this.#bar(span, 'fault-bar', y, 24);
      this.#parts.push(`<circle class="badge" cx="${x + 12}" cy="${y + 12}" r="10"/>`);
      this.#text(x + 12, y + 16.5, `${index + 1}`, 'badge-text', 'middle');
      rowEnds[row] = Math.max(this.#x(span.toUs), x + 26);
    }
    this.#y += rowEnds.length * 28 + 10;
  }

  #instance(instance: string): void {
    const { lanes, services } = this.#timeline;
    const service = services.find((one) => one.instance === instance);
    this.#y += 20;
    this.#text(LEFT - 126, this.#y, instance, 'strong');
    this.#text(LEFT, this.#y, service?.addresses.join('  ') ?? '', 'dim');
    this.#y += 8;
    for (const lane of lanes.filter((one) => one.instance === instance)) this.#lane(lane);
    if (service !== undefined) this.#clients(service);
    this.#y += 6;
  }

  #lane({ director, spans }: Lane): void {
    this.#text(LEFT - 12, this.#y + LANE / 2 + 5, director, '', 'end');
    for (const span of spans) {
      const width = this.#bar(span, span.state, this.#y, LANE);
      const word = LANE_WORDS[span.state];
      if (width < word.length * LETTER + 12) continue;
      const style = DARK.includes(span.state)
        ? 'on-dark'
        : span.state === 'backup'
          ? 'on-light'
          : 'dim';
      this.#text(this.#x(span.fromUs) + 8, this.#y + LANE / 2 + 5, word, style);
    }
    this.#y += LANE + GAP;
  }

  #clients({ firstUs, outages, overlaps }: Service): void {
    const { durationUs } = this.#timeline;
    const height = LANE - 10;
    this.#text(LEFT - 12, this.#y + height / 2 + 5, 'clients reach', 'dim', 'end');
    this.#bar({ fromUs: 0, toUs: firstUs ?? durationUs }, 'waiting', this.#y, height);
    if (firstUs !== null)
      this.#bar({ fromUs: firstUs, toUs: durationUs }, 'served', this.#y, height);
    for (const outage of outages) this.#bar(outage, 'none', this.#y, height);
    for (const overlap of overlaps) this.#bar(overlap, 'two', this.#y, height);
    this.#y += height + GAP;
  }

  #axis(): void {
    const { durationUs } = this.#timeline;
    this.#y += 16;
    for (const atUs of ticksOf(durationUs)) {
      this.#text(this.#x(atUs), this.#y, spanText(atUs).replace(/^0 us$/, '0'), 'dim', 'middle');
    }
    this.#y += 14;
  }

  #grid(top: number, bottom: number): readonly string[] {
    return ticksOf(this.#timeline.durationUs).map((atUs) => {
      const x = this.#x(atUs);
      return `<line class="grid" x1="${x}" x2="${x}" y1="${top}" y2="${bottom}"/>`;
    });
  }

  /** Where faults begin and end, through all lanes. */
  #marks(top: number, bottom: number): readonly string[] {
    const { faults, durationUs } = this.#timeline;
    const times = faults.flatMap((fault) => {
      const { fromUs, toUs } = spanOf(fault, durationUs);
      return toUs < durationUs ? [fromUs, toUs] : [fromUs];
    });
    return [...new Set(times)].map((atUs) => {
      const x = this.#x(atUs);
      return `<line class="mark" x1="${x}" x2="${x}" y1="${top}" y2="${bottom}"/>`;
    });
  }

  #legend(): void {
    const { lanes } = this.#timeline;
    const present = new Set(lanes.flatMap(({ spans }) => spans.map(({ state }) => state)));
    const states = (Object.keys(LANE_WORDS) as LaneState[]).filter((state) => present.has(state));
    const items = [
      ...states.map((state) => ({ className: state as string, word: LANE_WORDS[state] })),
      { className: 'served', word: 'one director' },
      { className: 'none', word: 'no director: an outage' },
      { className: 'two', word: 'two directors' },
    ];
    this.#y += 14;
    let x = LEFT - 126;
    for (const { className, word } of items) {
      const width = 30 + word.length * LETTER + 18;
      if (x + width > WIDTH - RIGHT) {
        x = LEFT - 126;
        this.#y += LINE + 4;
      }
      this.#parts.push(
        `<rect class="${className}" x="${round(x)}" y="${this.#y - 12}" width="22" height="14" rx="2"/>`,
      );
      this.#text(x + 30, this.#y, word);
      x += width;
    }
    this.#y += LINE + 8;
  }

  #list(): void {
    const { faults, directors } = this.#timeline;
    const shown = faults.slice(0, LIST_MAX);
    for (const [index, fault] of shown.entries()) {
      const y = this.#y + 6;
      this.#parts.push(`<circle class="badge" cx="${LEFT - 115}" cy="${y - 5}" r="10"/>`);
      this.#text(LEFT - 115, y - 0.5, `${index + 1}`, 'badge-text', 'middle');
      this.#text(LEFT - 12, y, `${(fault.atUs / 1_000_000).toFixed(1)} s`, 'dim', 'end');
      this.#text(LEFT, y, faultText(fault, directors));
      this.#y += LINE + 4;
    }
    if (faults.length > shown.length) {
      this.#text(LEFT, this.#y + 6, `and ${faults.length - shown.length} more`, 'dim');
      this.#y += LINE + 4;
    }
    this.#y += 8;
  }

  #summary(): void {
    const { services, broken } = this.#timeline;
    for (const { instance, outages, overlaps } of services) {
      const without = total(outages);
      const two = total(overlaps);
      this.#text(LEFT - 126, this.#y + 6, instance, 'strong');
      const text = `${spanText(without)} without a director (longest ${spanText(longest(outages))}), ${spanText(two)} with two or more`;
      this.#text(LEFT, this.#y + 6, text);
      this.#y += LINE + 2;
    }
    const verdict =
      broken.length === 0
        ? 'Every promise held.'
        : `Broken: ${broken.map(({ invariant, instance }) => `${invariant} (${instance})`).join(', ')}`;
    this.#text(LEFT, this.#y + 6, verdict, 'strong');
    this.#y += LINE;
  }
}

function spanOf(fault: SimFault, durationUs: number): Span {
  const forUs = 'forUs' in fault && fault.forUs < NEVER_ENDS_US ? fault.forUs : null;
  const ends = 'forUs' in fault ? (forUs ?? durationUs) : 0;
  return { fromUs: fault.atUs, toUs: Math.min(durationUs, fault.atUs + ends) };
}

function total(spans: readonly Span[]): number {
  return spans.reduce((sum, { fromUs, toUs }) => sum + toUs - fromUs, 0);
}

function longest(spans: readonly Span[]): number {
  return Math.max(0, ...spans.map(({ fromUs, toUs }) => toUs - fromUs));
}

/** Round numbers of time, TICKS_MAX at most. */
function ticksOf(durationUs: number): readonly number[] {
  let stepUs = 1_000;
  for (let factor = 0; durationUs / stepUs > TICKS_MAX; factor++) {
    stepUs *= factor % 3 === 1 ? 2.5 : 2;
  }
  const count = Math.floor(durationUs / stepUs);
  return Array.from({ length: count + 1 }, (_, index) => index * stepUs);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

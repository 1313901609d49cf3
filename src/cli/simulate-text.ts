/**
 * The timeline of a simulated cluster as text: what happened in the order of time, what clients
 * met, and which promises held.
 */
import { NEVER_ENDS_US } from '../core/sim/operator.ts';
import type { Service, Span, Timeline } from '../core/sim/timeline.ts';
import { faultText, spanText, timeText } from './simulate-words.ts';
import { reasonText } from './status-view.ts';
import { type Line, type Style, span } from './terminal.ts';

interface Entry {
  readonly atUs: number;
  readonly who: string;
  readonly text: string;
  readonly style: Style;
}

/** All of it, to be rendered; `differences` are what directors have not in common. */
export function timelineLines(timeline: Timeline, differences: readonly string[]): readonly Line[] {
  const { seed, durationUs, directors } = timeline;
  const entries = entriesOf(timeline);
  const width = Math.max(...entries.map(({ who }) => who.length), 8);
  return [
    [
      span(`${spanText(durationUs)} of ${directors.join(', ')}`, 'strong'),
      span(` simulated with seed ${seed}; nothing on this machine was touched`, 'dim'),
    ],
    ...differences.map((text): Line => [span(`! ${text}`, 'warn')]),
    [],
    ...entries.map(({ atUs, who, text, style }) => [
      span(`${timeText(atUs)}  `, 'dim'),
      span(`${who.padEnd(width)}  `),
      span(text, style),
    ]),
    [],
    ...timeline.services.flatMap((service) => [...serviceLines(service, durationUs), []]),
    ...verdictLines(timeline),
  ];
}

function entriesOf(timeline: Timeline): readonly Entry[] {
  const { directors, faults, running, transitions, instances } = timeline;
  const alone = instances.length === 1;
  const entries: Entry[] = faults.flatMap((fault): Entry[] => {
    const text = faultText(fault, directors);
    const begins: Entry = { atUs: fault.atUs, who: '*', text, style: 'warn' };
    if (!('forUs' in fault) || fault.forUs >= NEVER_ENDS_US) return [begins];
    const over = `over: ${faultText({ ...fault, forUs: 0 }, directors)}`;
    return [begins, { atUs: fault.atUs + fault.forUs, who: '*', text: over, style: 'warn' }];
  });
  for (const { atUs, director: who, running: lives } of running) {
    if (lives) entries.push({ atUs, who, text: 'starts', style: 'dim' });
  }
  for (const { atUs, director, instance, from, to, reason } of transitions) {
    const who = alone ? director : `${director} ${instance}`;
    const style = to === 'active' ? 'good' : to === 'fault' ? 'bad' : 'plain';
    entries.push({ atUs, who, text: `${from} -> ${to}: ${reasonText(reason)}`, style });
  }
  // After its last transitions, as it is with those of one microsecond.
  for (const { atUs, director: who, running: lives } of running) {
    if (!lives) entries.push({ atUs, who, text: 'stops', style: 'dim' });
  }
  const inTime = entries.filter(({ atUs }) => atUs <= timeline.durationUs);
  // What happens in one microsecond stays as it is: the fault, who dies of it, what follows.
  return inTime.sort((left, right) => left.atUs - right.atUs);
}

function serviceLines(service: Service, durationUs: number): readonly Line[] {
  const { instance, addresses, firstUs, outages, overlaps } = service;
  const heading: Line = [
    span(`Clients of ${instance}`, 'strong'),
    span(` (${addresses.join(' ')})`, 'dim'),
  ];
  if (firstUs === null) return [heading, [span('  never reached any director', 'bad')]];
  const lines = [
    { atUs: firstUs, line: [span(`${timeText(firstUs)}  a director for the first time`)] },
    ...outages.map((outage) => ({
      atUs: outage.fromUs,
      line: windowLine(outage, 'no director', 'bad'),
    })),
    ...overlaps.map((overlap) => ({
      atUs: overlap.fromUs,
      line: windowLine(overlap, overlap.directors.join(' and '), 'warn'),
    })),
  ].sort((left, right) => left.atUs - right.atUs);
  const sums = `in total ${spanText(sum(outages))} without a director and ${spanText(sum(overlaps))} with two or more, of ${spanText(durationUs - firstUs)}`;
  return [heading, ...lines.map(({ line }) => line), [span(`  ${sums}`)]];
}

function windowLine({ fromUs, toUs }: Span, what: string, style: Style): Line {
  return [
    span(`${timeText(fromUs)}  `, 'dim'),
    span(`${what} for ${spanText(toUs - fromUs)}`, style),
  ];
}

function sum(spans: readonly Span[]): number {
  return spans.reduce((total, { fromUs, toUs }) => total + toUs - fromUs, 0);
}

function verdictLines({ broken }: Timeline): readonly Line[] {
  if (broken.length === 0) {
    return [[span('Every promise of the protocol held, at every step.', 'good')]];
  }
  return broken.flatMap(({ invariant, instance, atUs, message, count, promise }): Line[] => [
    [span(`Broken: ${invariant} of ${instance} at ${timeText(atUs).trim()}: ${message}`, 'bad')],
    [span(`  ${promise}${count > 1 ? ` (${count} times)` : ''}`)],
  ]);
}

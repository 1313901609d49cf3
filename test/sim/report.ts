/**
 * What a failing seed is told by: the faults that it needs, its last moments with every packet,
 * and the command that shows it again.
 */
import { generate } from '../../src/core/sim/generate.ts';
import { shrink, withFaults } from '../../src/core/sim/shrink.ts';
import { describeFault, simulate } from '../../src/core/sim/simulate.ts';

/** Enough to see what led to the violation, little enough to read. */
const TRACE_LINES = 40;

/** The minimal transcript of a seed that violates an invariant; null when it violates none. */
export function minimalTranscript(seed: number): string | null {
  const scenario = generate(seed);
  const [violation] = simulate({ scenario, trace: 'none' }).violations;
  if (violation === undefined) return null;
  const places = shrink(scenario, violation.invariant);
  const small = withFaults(scenario, places);
  const { trace } = simulate({ scenario: small, trace: 'packets' });
  const faults = places.length === 0 ? [] : ['--faults', places.join(',')];
  return [
    `Seed ${seed} violates ${violation.invariant}: ${violation.message}`,
    `It needs ${places.length} of its ${scenario.faults.length} faults:`,
    ...small.faults.map((fault) => `  ${describeFault(fault)}`),
    ...trace.slice(-TRACE_LINES),
    'See it again with:',
    `  ${['npm run sim -- --seed', seed, ...faults].join(' ')}`,
  ].join('\n');
}

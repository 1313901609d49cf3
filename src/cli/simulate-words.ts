/** What a simulated cluster's timeline says in words: faults, states and spans of time. */
import { assertNever } from '../core/assert.ts';
import { NEVER_ENDS_US } from '../core/sim/operator.ts';
import type { SimFault } from '../core/sim/scenario.ts';
import type { LaneState } from '../core/sim/timeline.ts';

export const LANE_WORDS: Readonly<Record<LaneState, string>> = {
  off: 'not running',
  'left-behind': 'dead, VIPs left',
  initialize: 'starting',
  backup: 'backup',
  active: 'active',
  fault: 'fault',
};

/** '3.609 s', '12.4 ms', '180 us': three or four digits that mean something. */
export function spanText(spanUs: number): string {
  if (spanUs < 1_000) return `${spanUs} us`;
  if (spanUs < 100_000) return `${Number((spanUs / 1_000).toFixed(1))} ms`;
  return `${Number((spanUs / 1_000_000).toFixed(3))} s`;
}

/** '  3.012 s' */
export function timeText(atUs: number): string {
  return `${(atUs / 1_000_000).toFixed(3).padStart(8)} s`;
}

/** What happens when a fault begins: 'dir-a loses power for 8 s'. */
export function faultText(fault: SimFault, directors: readonly string[]): string {
  const forUs = 'forUs' in fault ? fault.forUs : 0;
  const lasting = forUs > 0 && forUs < NEVER_ENDS_US ? ` for ${spanText(forUs)}` : '';
  if (fault.kind === 'partition') return `${partitionText(fault, directors)}${lasting}`;
  if (fault.kind === 'storm') return `${stormText(fault)}${lasting}`;
  return `${directorFaultText(fault, directors[fault.director] ?? 'nobody')}${lasting}`;
}

function directorFaultText(
  fault: Exclude<SimFault, { kind: 'partition' | 'storm' }>,
  name: string,
): string {
  switch (fault.kind) {
    case 'crash':
      return `the keeper of ${name} is killed, without a successor`;
    case 'power-loss':
      return `${name} has no power`;
    case 'stall':
      return `the keeper of ${name} stalls`;
    case 'freeze':
      return `${name} freezes, kernel and all`;
    case 'stop':
      return `${name} is stopped by its operator`;
    case 'handover':
      return `${name} hands over at its operator's request`;
    case 'link-down':
      return `${name} has no link`;
    case 'controller-lost':
      return `${name} has no controller`;
    case 'drift':
      return `the clock of ${name} gains ${fault.driftPpm} ppm from now on`;
    case 'clock-step':
      return `the time of day of ${name} is off by ${fault.byUs / 1_000_000} s`;
    case 'wrong-key':
      return `${name} has a wrong key`;
    case 'address-theft':
      return `another program deletes the VIPs of ${name}`;
    case 'tracker-down':
      return `tracker ${fault.tracker} of ${name} is down`;
    case 'reload':
      return `${name} is given another configuration`;
    default:
      return assertNever(fault);
  }
}

function partitionText(
  fault: Extract<SimFault, { kind: 'partition' }>,
  directors: readonly string[],
): string {
  const inside = directors.filter((_, index) => ((fault.side >> index) & 1) === 1).join(', ');
  const outside = directors.filter((_, index) => ((fault.side >> index) & 1) === 0).join(', ');
  switch (fault.direction) {
    case 'both':
      // With more than two names, an "and" alone would leave open who is on which side.
      return directors.length > 2
        ? `${inside} on one side and ${outside} on the other do not hear one another`
        : `${inside} and ${outside} do not hear one another`;
    case 'out':
      return `${outside} cannot hear ${inside}`;
    case 'in':
      return `${inside} cannot hear ${outside}`;
  }
}

function stormText({ conditions }: Extract<SimFault, { kind: 'storm' }>): string {
  const { latencyUs, jitterUs, lossPpm, duplicatePpm, corruptPpm, reorder } = conditions;
  const parts = [
    lossPpm > 0 ? [`loses ${lossPpm / 10_000}%`] : [],
    duplicatePpm > 0 ? [`repeats ${duplicatePpm / 10_000}%`] : [],
    corruptPpm > 0 ? [`spoils ${corruptPpm / 10_000}%`] : [],
    reorder ? ['changes the order'] : [],
    [`takes ${spanText(latencyUs)} and up to ${spanText(jitterUs)} more`],
  ].flat();
  return `the network ${parts.join(', ')}`;
}

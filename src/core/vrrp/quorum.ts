/** Quorum of a virtual service by weight, as a tracker of instances. */
import type { TrackerState } from './tracking.ts';

export interface WeighedServer {
  readonly weight: number;
  readonly health: 'up' | 'down' | 'unknown' | 'unchecked';
}

/**
 * Up while the weights of healthy (or unchecked) servers reach the quorum; null while servers
 * without a verdict could still decide it either way.
 */
export function serviceQuorum(
  servers: readonly WeighedServer[],
  quorum: number,
): TrackerState | null {
  let healthy = 0;
  let possible = 0;
  for (const { weight, health } of servers) {
    if (health === 'up' || health === 'unchecked') healthy += weight;
    if (health !== 'down') possible += weight;
  }
  const up = healthy >= quorum;
  if (!up && possible >= quorum) return null;
  return { up, value: null, detail: `healthy weight ${healthy} of quorum ${quorum}` };
}

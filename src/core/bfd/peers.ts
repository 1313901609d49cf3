/** Which changes of a session's configuration end it and begin another one. */
import type { BfdConfig } from '../config/config.ts';

/** True when the same systems talk the same way: changes of the rest keep the session. */
export function sameBfdPeers(left: BfdConfig, right: BfdConfig): boolean {
  return (
    left.neighbor === right.neighbor &&
    left.source === right.source &&
    left.interface === right.interface &&
    left.multihop === right.multihop &&
    left.ttl === right.ttl
  );
}

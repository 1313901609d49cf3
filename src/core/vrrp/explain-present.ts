/** What an instance heard lately enough to be of the present, for what is said of it. Pure. */
import type { InstanceReport, PeerReport } from '../status.ts';

/** What was heard last is of the present while it is younger than this many intervals. */
export const PRESENT_INTERVALS = 4;
/** And this long where the interval of the sender is not known. */
export const PRESENT_UNKNOWN_SECONDS = 10;

/**
 * For how many seconds what a peer said is of the present: its own interval counts where it is the
 * longer one, else whatever is found of a slow peer would end and begin anew with each of its
 * advertisements.
 */
export function presentSeconds(report: InstanceReport, peer: PeerReport): number {
  const { accepted, refused } = peer;
  const ours = report.advertIntervalSeconds * PRESENT_INTERVALS;
  if (accepted !== null && (refused === null || accepted.secondsAgo <= refused.secondsAgo)) {
    return Math.max(ours, accepted.advertIntervalSeconds * PRESENT_INTERVALS);
  }
  return Math.max(ours, PRESENT_UNKNOWN_SECONDS);
}

/** The director that is heard as active; null while none is. */
export function activePeer(report: InstanceReport): PeerReport | null {
  const isActive = (peer: PeerReport): boolean => {
    const activeSecondsAgo = peer.accepted?.activeSecondsAgo ?? null;
    return activeSecondsAgo !== null && activeSecondsAgo < presentSeconds(report, peer);
  };
  return report.peers.find(isActive) ?? null;
}

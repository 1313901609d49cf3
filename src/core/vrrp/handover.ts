/**
 * What a planned handover would do, said before it is done: which instances it concerns, who
 * would take over and after how long, and what nobody can know, because backups are silent. Pure,
 * from what the instances say of themselves.
 */
import type { HandoverPlan, InstanceReport, PeerReport, TakebackPlan } from '../status.ts';
import { longestSkewUs, safeSilenceUs, skewTimeUs } from './timing.ts';

const US_PER_SECOND = 1_000_000;

/**
 * The plans for one instance and the rest of its sync group, or with null for every instance that
 * is active here. Empty when there is no such instance.
 */
export function planHandover(
  reports: readonly InstanceReport[],
  instance: string | null,
): readonly HandoverPlan[] {
  return concerned(reports, instance, ({ state }) => state === 'active').map(plan);
}

/** As planHandover, with null for every instance that is held back. */
export function planTakeback(
  reports: readonly InstanceReport[],
  instance: string | null,
): readonly TakebackPlan[] {
  return concerned(reports, instance, ({ heldBack }) => heldBack).map((report) => ({
    instance: report.name,
    heldBack: report.heldBack,
    detail: takebackDetail(report),
  }));
}

function concerned(
  reports: readonly InstanceReport[],
  instance: string | null,
  inAll: (report: InstanceReport) => boolean,
): readonly InstanceReport[] {
  const named = reports.filter((report) =>
    instance === null ? inAll(report) : report.name === instance,
  );
  const groups = new Set(named.flatMap(({ group }) => (group === null ? [] : [group])));
  return reports.filter(
    (report) => named.includes(report) || (report.group !== null && groups.has(report.group)),
  );
}

function plan(report: InstanceReport): HandoverPlan {
  const { name, version, downTimerAdverts, peers } = report;
  const intervalUs = Math.round(report.advertIntervalSeconds * US_PER_SECOND);
  const successor = peers.reduce<PeerReport | null>(better, null);
  const priority = successor?.accepted?.priority ?? null;
  const longestSkew = longestSkewUs({ version, advertIntervalUs: intervalUs });
  const expectedUs =
    priority === null ? longestSkew : skewTimeUs({ version, priority }, intervalUs);
  const longestUs = longestSkew + safeSilenceUs(intervalUs, downTimerAdverts);
  return {
    instance: name,
    refusal: refusalOf(report),
    successor:
      successor === null || priority === null
        ? null
        : {
            address: successor.address,
            priority,
            lastHeardSecondsAgo: successor.lastHeardSecondsAgo,
          },
    expectedSeconds: expectedUs / US_PER_SECOND,
    longestSeconds: longestUs / US_PER_SECOND,
    warnings: warningsOf(report, successor, longestUs / US_PER_SECOND),
  };
}

/** Of two peers the one that would take over first. Who resigned last is not known to be there. */
function better(best: PeerReport | null, peer: PeerReport): PeerReport | null {
  if (peer.accepted === null) return best;
  const priority = best?.accepted?.priority ?? 0;
  return peer.accepted.priority > priority ? peer : best;
}

function refusalOf({ name, state, resigning }: InstanceReport): string | null {
  if (resigning) return `${name} is being handed over, or stopped, already`;
  if (state === 'active') return null;
  return `${name} is not active here but ${state}: only the active director can hand over`;
}

function warningsOf(
  report: InstanceReport,
  successor: PeerReport | null,
  longestSeconds: number,
): readonly string[] {
  const warnings: string[] = [];
  if (successor === null) {
    warnings.push(
      `${unknownSuccessor(report)}. Backups are silent in VRRP, so ` +
        `there may be one: if none takes over within ${rounded(longestSeconds)} s, this director ` +
        'stays active, and its virtual IPs stay where they are',
    );
  } else {
    warnings.push(
      'Backups are silent in VRRP: only its taking over will show that ' +
        `${successor.address} still runs`,
    );
  }
  for (const { address, accepted, refused } of report.peers) {
    if (accepted !== null || refused === null) continue;
    warnings.push(
      `Advertisements of ${address} are refused (${refused.reason}): if it took over, this ` +
        'director would not know',
    );
  }
  return warnings;
}

/** Why no successor is known: those heard of resigned, if any were. */
function unknownSuccessor({ peers }: InstanceReport): string {
  const resigned = resignedPeers(peers).map(
    ({ address, lastHeardSecondsAgo }) =>
      `${address} resigned ${lastHeardSecondsAgo.toFixed(0)} s ago, and may have been stopped`,
  );
  if (resigned.length > 0) return resigned.join('; ');
  return 'No other director was heard since this keeper started';
}

/** Directors that said last that they resign: stopped, in fault, or backup since. */
export function resignedPeers(peers: readonly PeerReport[]): readonly PeerReport[] {
  return peers.filter(({ accepted }) => accepted?.priority === 0);
}

function takebackDetail(report: InstanceReport): string {
  const { name, heldBack, preempt, activeDownIntervalSeconds, priority } = report;
  if (!heldBack) return `${name} is not held back`;
  if (report.state === 'fault') return `${name} is not held back any more, but in fault`;
  if (!preempt && priority !== 255) {
    return (
      `${name} is not held back any more; preempt is off, so it takes over when the active ` +
      'director resigns or falls silent'
    );
  }
  return (
    `${name} is not held back any more; it preempts a director of lower priority within ` +
    `${rounded(activeDownIntervalSeconds)} s, plus preempt_delay if that is configured`
  );
}

function rounded(seconds: number): number {
  return Number(seconds.toFixed(2));
}

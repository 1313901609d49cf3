/**
 * Explains one VRRP instance in sentences: what it is, since when and why, how its priority comes
 * about, whom it hears and what is wrong with them, and what would happen if the active director
 * died now. Pure: from a DirectorStatus to text and findings, for people and for --json alike.
 */
import { compareIp, parseIp } from '../ip.ts';
import type { Problem } from '../problem.ts';
import type { DirectorStatus, InstanceReport, PeerReport } from '../status.ts';
import { conflictText } from './explain-conflicts.ts';
import { faultText } from './explain-faults.ts';
import {
  activePeer,
  PRESENT_INTERVALS,
  PRESENT_UNKNOWN_SECONDS,
  presentSeconds,
} from './explain-present.ts';
import { planHandover, resignedPeers } from './handover.ts';
import type { RefusalReason } from './types.ts';

/** Every kind of finding: label of a metric, name of a runbook section. */
export const FINDING_KINDS = [
  /** Another director advertises as active while this one is active. */
  'duplicate-active',
  /** Two directors are configured as the owner of the addresses. */
  'two-owners',
  'interval-mismatch',
  'address-list-mismatch',
  /** Another director advertises addresses of this instance under another VRID. */
  'vrid-mismatch',
  'adverts-refused',
  /** A unicast peer that advertisements cannot be sent to. */
  'peer-unreachable',
  'address-missing',
  /** A VIP is on its interface although another director has it, or may have. */
  'address-unexpected',
  /** Another machine has the source address or a virtual IP too. */
  'address-conflict',
  /** A route or rule of an active instance is not there. */
  'routing-missing',
  'faulty-tracker',
  /** It cannot take part for another reason than a tracker. */
  'in-fault',
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

/** Something that an operator should look at. */
export interface Finding {
  readonly kind: FindingKind;
  /** Peer, address or tracker that it is about; left out when it is the instance itself. */
  readonly about?: string;
  readonly text: string;
  readonly cure: string;
}

/** A finding, and where to read more about it. */
export type ExplainedFinding = Finding & { readonly runbook: string };

/** Everything that `vipkeeper explain` says; docs/reference/api.md has each field. */
export interface Explanation {
  readonly instance: string;
  /** The virtual router, and where it is. */
  readonly vrid: number;
  readonly version: InstanceReport['version'];
  readonly interface: string;
  readonly group: string | null;
  readonly sourceAddress: string | null;
  readonly unicast: InstanceReport['unicast'];
  readonly link: InstanceReport['link'];
  readonly addresses: InstanceReport['addresses'];
  /** "active for 3 h 2 min: no active director was heard" is made of these by the caller. */
  readonly state: InstanceReport['state'];
  /** Why it is in this state. */
  readonly reason: InstanceReport['reason'];
  /** ISO 8601. */
  readonly since: string;
  readonly priority: string;
  /** What that sentence says, for programs. */
  readonly effectivePriority: {
    readonly value: number;
    readonly configured: number;
    readonly parts: InstanceReport['priorityParts'];
  };
  readonly peers: readonly string[];
  /** Every sender heard of, for programs. */
  readonly heard: readonly PeerReport[];
  readonly whatIf: string;
  /** If the active director died now: whether this one takes over, and when. */
  readonly ifActiveDied: {
    readonly takesOver: 'this' | 'another' | 'not-this';
    /**
     * From the active's last advertisement on. While this director is active: until the successor
     * that is expected, or at the latest until any; null where others decide.
     */
    readonly afterSeconds: number | null;
    /** Director that would take over from this one, if it still runs; null if not known. */
    readonly successor: string | null;
  };
  /** What an operator has asked for or should know, and is nothing wrong. */
  readonly notes: readonly string[];
  readonly lastHandover: InstanceReport['lastHandover'];
  readonly findings: readonly ExplainedFinding[];
}

/** The explanation of one instance; `all` are the instances here, its sync group among them. */
export function explainInstance(
  report: InstanceReport,
  all: readonly InstanceReport[] = [],
): Explanation {
  return {
    instance: report.name,
    vrid: report.vrid,
    version: report.version,
    interface: report.interface,
    group: report.group,
    sourceAddress: report.sourceAddress,
    unicast: report.unicast,
    link: report.link,
    addresses: report.addresses,
    state: report.state,
    reason: report.reason,
    since: report.lastTransitionAt,
    priority: priorityText(report),
    effectivePriority: {
      value: report.priority,
      configured: report.configuredPriority,
      parts: report.priorityParts,
    },
    peers: [...report.peers.map((peer) => peerText(peer)), ...unheardPeers(report)],
    heard: report.peers,
    whatIf: whatIfText(report),
    ifActiveDied: ifActiveDied(report),
    notes: notesOf(report, all),
    lastHandover: report.lastHandover,
    findings: findingsOf(report, all).map((finding) => ({
      ...finding,
      runbook: runbookOf(finding.kind),
    })),
  };
}

/** "150 = 150 configured", "80 = 100 configured - 20 haproxy (exit code 1)". */
function priorityText(report: InstanceReport): string {
  const { priority, configuredPriority, priorityParts } = report;
  const parts = priorityParts
    .filter(({ delta }) => delta !== 0)
    .map(({ tracker, delta, detail }) => {
      return ` ${delta < 0 ? '-' : '+'} ${Math.abs(delta)} ${tracker} (${detail})`;
    });
  const owner =
    configuredPriority === 255 ? ' (the owner of the addresses: it does not change)' : '';
  const sum = priorityParts.reduce((total, { delta }) => total + delta, configuredPriority);
  const bounded = owner === '' && sum !== priority ? ', kept from 1 to 254' : '';
  return `${priority} = ${configuredPriority} configured${parts.join('')}${bounded}${owner}`;
}

function peerText(peer: PeerReport): string {
  const { accepted, refused } = peer;
  const heard = `${peer.address}, heard ${seconds(peer.lastHeardSecondsAgo)} ago`;
  const says =
    accepted === null
      ? 'nothing of it was accepted'
      : `version ${accepted.version}, priority ${accepted.priority}, every ` +
        `${seconds(accepted.advertIntervalSeconds)}, checksum over ${checksumText(accepted.checksum)}, ` +
        `${accepted.hmacKey === null ? '' : `signed with key ${accepted.hmacKey}, `}` +
        `${accepted.addresses.join(' ') || 'no addresses'}`;
  const wrong =
    refused === null
      ? ''
      : `; refused ${countText(refused.counts)}, the last ${seconds(refused.secondsAgo)} ago`;
  return `${heard}: ${says}${wrong}`;
}

/** Unicast peers that never spoke, which is what backups do. */
function unheardPeers(report: InstanceReport): readonly string[] {
  const heard = new Set(report.peers.map(({ address }) => address));
  return (report.unicast?.peers ?? [])
    .filter(({ address, self }) => !self && !heard.has(address))
    .map(({ address }) => `${address}: not heard, as backups are`);
}

function checksumText(form: 'message' | 'pseudo-header'): string {
  return form === 'message' ? 'the message' : 'message and pseudo-header';
}

function countText(counts: Readonly<Partial<Record<string, number>>>): string {
  const all = Object.entries(counts).map(([reason, count]) => `${count} (${reason})`);
  return all.join(', ');
}

function ifActiveDied(report: InstanceReport): Explanation['ifActiveDied'] {
  if (report.state === 'active') {
    return { takesOver: 'another', ...afterThisDirector(report) };
  }
  if (report.state === 'backup' && report.startsInSeconds === null) {
    const afterSeconds = report.activeDownIntervalSeconds;
    return { takesOver: 'this', afterSeconds, successor: null };
  }
  return { takesOver: 'not-this', afterSeconds: null, successor: null };
}

/** Who is expected to take over from this active director, and after how long. */
function afterThisDirector(report: InstanceReport): {
  readonly afterSeconds: number;
  readonly successor: string | null;
} {
  // Alone, because a plan concerns the whole sync group.
  const [plan] = planHandover([report], report.name);
  const expected = plan?.expectedSeconds ?? 0;
  return {
    afterSeconds: silenceSeconds(report) + expected,
    successor: plan?.successor?.address ?? null,
  };
}

/** Silence of the active director after which backups take over, without their skew time. */
function silenceSeconds({ advertIntervalSeconds, downTimerAdverts }: InstanceReport): number {
  return advertIntervalSeconds * downTimerAdverts;
}

/** The explanations of all instances, or of the one with this name: [] where there is none. */
export function explainInstances(
  reports: readonly InstanceReport[],
  name: string | null,
): readonly Explanation[] {
  return reports
    .filter((report) => name === null || report.name === name)
    .map((report) => explainInstance(report, reports));
}

/** Why nothing can be explained while the keeper does not answer; null while it does. */
export function keeperProblem({ keeper, ...status }: DirectorStatus): Problem | null {
  if (status.static !== null) return null;
  return {
    code: 'VK-NO-KEEPER',
    message:
      keeper.pid === null
        ? 'No keeper runs at this moment'
        : `The keeper (process id ${keeper.pid}) does not answer`,
    cure:
      keeper.pid === null
        ? 'Ask again in a moment; if it lasts, look at vipkeeper status and at the log'
        : `Ask again in a moment; if it lasts, look whether it is stopped (T), with ps -o stat ${keeper.pid}: kill -CONT ${keeper.pid} lets it go on, kill -KILL ${keeper.pid} has the next one started at once`,
  };
}

/** Where the runbook has more about a kind of finding; refusals are one kind. */
export function runbookOf(kind: FindingKind): string {
  return `docs/runbooks/vrrp.md#${kind}`;
}

function whatIfText(report: InstanceReport): string {
  const wait = seconds(report.activeDownIntervalSeconds);
  switch (report.state) {
    case 'active':
      return whatIfThisDied(report);
    case 'backup': {
      if (report.startsInSeconds !== null) {
        return report.awaitedTrackers.length > 0
          ? 'This director would not take over before its trackers have spoken'
          : 'This director would not take over before its startup delay has ended';
      }
      const active = activePeer(report);
      if (active === null) {
        return (
          `No active director is heard: this one takes over after ${wait} of silence, unless a ` +
          'better one does so before'
        );
      }
      return (
        `If the active director ${active.address} died now, this one would take over ${wait} ` +
        'after its last advertisement, unless a better one does so before'
      );
    }
    case 'fault':
      return 'This director would not take over: it cannot take part while the fault lasts';
    case 'initialize':
      return 'This director has not started, or has stopped';
  }
}

function whatIfThisDied(report: InstanceReport): string {
  const { afterSeconds, successor } = afterThisDirector(report);
  if (successor !== null) {
    return (
      `If this director died now, ${successor} would take over ${seconds(afterSeconds)} after the ` +
      'last advertisement, if it still runs: backups are silent'
    );
  }
  return (
    `If this director died now, the best of the others would take over ` +
    `${seconds(silenceSeconds(report))} to ${seconds(afterSeconds)} after the last ` +
    `advertisement; ${whyUnknown(report)}`
  );
}

/** Why no successor of this active director is known. */
function whyUnknown({ peers }: InstanceReport): string {
  const resigned = resignedPeers(peers).map(({ address }) => address);
  if (resigned.length === 0 && peers.length > 0) return 'nothing that was heard was accepted';
  if (resigned.length === 0) return 'none was heard yet, as backups are silent';
  return (
    `the last that ${resigned.join(', ')} said was resigning: stopped, in fault, or backup since, ` +
    'as backups are silent'
  );
}

function notesOf(report: InstanceReport, all: readonly InstanceReport[]): readonly string[] {
  const { name, heldBack, resigning, state, startsInSeconds } = report;
  const notes: string[] = [...strangerNotes(report), ...groupNotes(report, all)];
  if (startsInSeconds !== null && report.awaitedTrackers.length > 0) {
    notes.push(
      `Before it takes part it waits for the first result of ${report.awaitedTrackers.join(', ')}, ` +
        `which may forbid it: for another ${seconds(startsInSeconds)} at most`,
    );
  } else if (startsInSeconds !== null) {
    notes.push(
      `Startup delay: for another ${seconds(startsInSeconds)} it drops what it hears and takes no part`,
    );
  }
  if (heldBack) {
    notes.push(
      'Held back: it was handed over, and takes over only when the active director resigns or ' +
        `falls silent. To let it preempt again: vipkeeper takeback ${name}`,
    );
  }
  if (!report.accept) {
    notes.push(
      'accept is off: while it is active, packets to its addresses are dropped, ping included, ' +
        'unless a virtual service takes them',
    );
  }
  if (resigning && state === 'active') {
    notes.push('It has resigned, and keeps the addresses until a successor is heard');
  }
  return notes;
}

/** What the other members of its sync group have to do with its state. */
function groupNotes(report: InstanceReport, all: readonly InstanceReport[]): readonly string[] {
  if (!report.waitsForGroup) return [];
  const others = all.filter(({ name, group }) => group === report.group && name !== report.name);
  const waitedFor = others.filter(({ waitsForGroup }) => !waitsForGroup).map(({ name }) => name);
  const whom = waitedFor.join(', ') || 'the others';
  return [
    `It would be active, but waits for ${whom} of sync group ${report.group}: members are active ` +
      `together or not at all; see vipkeeper explain ${waitedFor[0] ?? 'all'}`,
  ];
}

/** Who hears no peer should know whom it hears instead: a mistyped VRID looks like that. */
function strangerNotes(report: InstanceReport): readonly string[] {
  const isPresent = (peer: PeerReport): boolean =>
    peer.lastHeardSecondsAgo < presentSeconds(report, peer);
  if (report.peers.some(isPresent)) return [];
  // Who resigned there has said itself that it is gone.
  const strangers = report.strangers.filter(({ priority }) => priority > 0);
  return strangers.map(
    ({ vrid, address, priority, lastHeardSecondsAgo }) =>
      `${address} advertises VRID ${vrid} on ${report.interface} with priority ${priority}, heard ` +
      `${seconds(lastHeardSecondsAgo)} ago, which no instance here has: if it is the other ` +
      'director of this instance, configure the same vrid on both',
  );
}

function findingsOf(report: InstanceReport, all: readonly InstanceReport[]): readonly Finding[] {
  return [
    ...report.peers.flatMap((peer) => peerFindings(report, peer)),
    ...vridFindings(report),
    ...unreachableFindings(report),
    ...addressFindings(report),
    ...conflictFindings(report),
    ...routingFindings(report),
    ...faultFindings(report, all),
  ];
}

/** Other virtual routers are normal on a segment, but not with the addresses of this one. */
function vridFindings(report: InstanceReport): readonly Finding[] {
  const fresh = Math.max(report.advertIntervalSeconds * PRESENT_INTERVALS, PRESENT_UNKNOWN_SECONDS);
  const own = new Set(report.advertisedAddresses);
  return report.strangers.flatMap(({ vrid, address, addresses, priority, lastHeardSecondsAgo }) => {
    const shared = addresses.filter((vip) => own.has(vip));
    // Who resigned there has them no more.
    if (shared.length === 0 || priority === 0 || lastHeardSecondsAgo >= fresh) return [];
    return [
      {
        kind: 'vrid-mismatch' as const,
        about: address,
        text:
          `${address} advertises ${shared.join(' ')} under VRID ${vrid}, this director under ` +
          `${report.vrid}: each is active for itself`,
        cure: 'Configure the same vrid on both, or different addresses',
      },
    ];
  });
}

/** Only the active director sends: what a backup could not send once says nothing now. */
function unreachableFindings(report: InstanceReport): readonly Finding[] {
  if (report.state !== 'active') return [];
  return (report.unicast?.peers ?? [])
    .filter(({ sendError }) => sendError !== null)
    .map(({ address, sendError }) => ({
      kind: 'peer-unreachable',
      about: address,
      text: `Advertisements to ${address} cannot be sent (${sendError})`,
      cure:
        sendError === 'EPERM'
          ? 'A firewall rule of this director drops them: allow protocol 112 to it'
          : `Look at the route: ip route get ${address} oif ${report.interface}`,
    }));
}

/** Refusals of what another director of this instance would send, rather than of a stranger's. */
const MISUNDERSTOOD: readonly RefusalReason[] = [
  ...(['not-multicast', 'not-unicast', 'version', 'version-mismatch', 'checksum'] as const),
  ...(['authentication', 'interval-mismatch', 'no-addresses', 'addresses-mismatch'] as const),
  ...(['hmac-missing', 'hmac-unknown-key', 'hmac-invalid', 'oversized'] as const),
];
/** Only who is active advertises. */
const BOTH_ACTIVE = '. Whoever sends them is active too, so the VIPs may be on two machines';

function peerFindings(report: InstanceReport, peer: PeerReport): readonly Finding[] {
  const findings: Finding[] = [];
  const { accepted, refused, address } = peer;
  const fresh = presentSeconds(report, peer);
  if (refused !== null && refused.secondsAgo < fresh) {
    findings.push({
      kind: 'adverts-refused',
      about: address,
      text:
        `Advertisements of ${address} are refused (${refused.reason}): ${refused.detail}` +
        (report.state === 'active' && MISUNDERSTOOD.includes(refused.reason) ? BOTH_ACTIVE : ''),
      cure: refusalCure(report, refused.reason),
    });
  }
  if (accepted === null || accepted.secondsAgo >= fresh) return findings;
  // What it said before this director took over was rightful.
  const since = Math.min(fresh, report.stateForSeconds);
  const active = accepted.activeSecondsAgo !== null && accepted.activeSecondsAgo < since;
  if (report.configuredPriority === 255 && accepted.priority === 255) {
    findings.push({
      kind: 'two-owners',
      about: address,
      text: `${address} advertises as the owner of the addresses (priority 255), and so is this director configured`,
      cure: 'Configure priority 255 on the one director that has the addresses as its own, or on none, and a lower one on the others',
    });
  }
  if (report.state === 'active' && active) {
    findings.push({
      kind: 'duplicate-active',
      about: address,
      text: `${address} advertises as active too, with priority ${accepted.priority}: ${winnerText(report, peer)}`,
      cure: `If it lasts, the other director does not hear this one: check ${
        report.unicast === null
          ? 'multicast, firewalls and switches between them'
          : `that ${report.sourceAddress} is among its peers, and firewalls between them`
      }`,
    });
  }
  if (accepted.advertIntervalSeconds !== report.advertIntervalSeconds) {
    findings.push({
      kind: 'interval-mismatch',
      about: address,
      text: `${address} advertises every ${seconds(accepted.advertIntervalSeconds)}, this director every ${seconds(report.advertIntervalSeconds)}`,
      cure: 'Configure the same interval on both, so that failover takes the same time either way',
    });
  }
  const own = new Set(report.advertisedAddresses);
  const theirs = new Set(accepted.addresses);
  const missing = [...own].filter((vip) => !theirs.has(vip));
  const extra = [...theirs].filter((vip) => !own.has(vip));
  if (report.checkAddresses !== 'off' && (missing.length > 0 || extra.length > 0)) {
    const lacks = missing.length > 0 ? ` lacks ${missing.join(' ')}` : '';
    const has = extra.length > 0 ? ` has ${extra.join(' ')} besides` : '';
    findings.push({
      kind: 'address-list-mismatch',
      about: address,
      text: `${address} carries other addresses:${lacks}${lacks !== '' && has !== '' ? ' and' : ''}${has}`,
      cure: 'Configure the same addresses on both: what one lacks is unreachable while it is active',
    });
  }
  return findings;
}

function winnerText(report: InstanceReport, peer: PeerReport): string {
  const theirs = peer.accepted?.priority ?? 0;
  if (theirs > report.priority) return 'it wins, this director will give way';
  if (theirs < report.priority) return 'this director wins, the other should give way';
  const ours = parseIp(report.sourceAddress ?? '');
  const other = parseIp(peer.address);
  if (ours === null || other === null) return 'priorities are equal, so the higher address wins';
  return compareIp(other, ours) > 0
    ? 'priorities are equal and its address is higher: it wins, this director will give way'
    : 'priorities are equal and its address is lower: this director wins';
}

function addressFindings(report: InstanceReport): readonly Finding[] {
  if (report.state !== 'active') return unexpectedAddresses(report);
  return report.addresses
    .filter((vip) => !vip.present)
    .map((vip) => ({
      kind: 'address-missing',
      about: vip.address,
      text:
        `${vip.address} is not on ${vip.interface} although this director is active` +
        (vip.error === null ? '' : `: ${vip.error}`),
      cure: `Look at the log for VK-ADDRESS: it says what to do; and at: ip address show dev ${vip.interface}`,
    }));
}

/** Of an owner the addresses are its own, whatever its state. */
function unexpectedAddresses(report: InstanceReport): readonly Finding[] {
  const { state, configuredPriority } = report;
  if ((state !== 'backup' && state !== 'fault') || configuredPriority === 255) return [];
  const is = state === 'fault' ? 'in fault' : 'backup';
  return report.addresses
    .filter((vip) => vip.present)
    .map((vip) => ({
      kind: 'address-unexpected',
      about: vip.address,
      text:
        `${vip.address} is on ${vip.interface} although this director is ${is}: it is on two ` +
        'machines when another one is active',
      cure:
        `Remove it: ip address del ${vip.address}/${vip.prefixLength} dev ${vip.interface}; and take ` +
        'it out of what configures the interface at boot (netplan, NetworkManager, systemd-networkd)',
    }));
}

function conflictFindings(report: InstanceReport): readonly Finding[] {
  return report.conflicts.map((conflict) => ({
    kind: 'address-conflict',
    about: conflict.address,
    ...conflictText(conflict, report),
  }));
}

function routingFindings(report: InstanceReport): readonly Finding[] {
  if (report.state !== 'active') return [];
  return report.routing
    .filter(({ present }) => !present)
    .map(({ kind, text, error, contested }) => ({
      kind: 'routing-missing',
      about: text,
      text:
        `The ${kind} ${text} is missing although this director is active: ` +
        (contested ? 'another program keeps removing it' : (error ?? 'it is being put back')),
      cure: 'Look at the log for VK-ROUTE and VK-CONTESTED: they say what to do',
    }));
}

function faultFindings(report: InstanceReport, all: readonly InstanceReport[]): readonly Finding[] {
  const fault = faultText(report, all);
  const found: readonly Finding[] = fault === null ? [] : [{ kind: 'in-fault', ...fault }];
  if (report.faultyTracker === null) return found;
  return [
    ...found,
    {
      kind: 'faulty-tracker',
      about: report.faultyTracker,
      text: `Tracker ${report.faultyTracker} forbids this director to take part: ${report.faultyTrackerDetail}`,
      cure: 'Repair what it tracks, or give the tracker a weight if it should only lower the priority',
    },
  ];
}

function refusalCure(report: InstanceReport, reason: RefusalReason): string {
  if (reason === 'ttl' && report.unicast !== null) {
    return 'It crossed other routers than min_ttl and max_ttl of this peer allow, or is forged';
  }
  return REFUSAL_CURES[reason];
}

/** What to do about refused advertisements, by reason. */
export const REFUSAL_CURES: Readonly<Record<RefusalReason, string>> = {
  type: 'Look for another program that uses IP protocol 112',
  truncated: 'Look for damage on the way, or for another program that uses IP protocol 112',
  oversized: 'Look for damage on the way, or for another program that uses IP protocol 112',
  interval: 'Configure an interval above 0 on the sender',
  'unknown-vrid': 'If the sender is the other director, configure the same vrid on both',
  ttl: 'It came through a router: VRRP works on one segment only; look for a proxy or a forged sender',
  'not-multicast':
    'The sender has this director among its peers: configure peers on both, or on neither',
  'not-unicast':
    'The sender uses multicast, this director its peers: configure peers on both, or on neither',
  'not-a-peer':
    'If the sender is one of the directors, add its address to the peers here; else it is forged, or has another VRID in mind',
  version: 'Configure the same version on both',
  'version-mismatch': 'Configure the same version on both',
  checksum: 'Something changes packets on the way, or the sender computes another checksum form',
  authentication: 'Configure the same password on both',
  'interval-mismatch':
    'Version 2 demands the same interval on both: configure it, or both stay active',
  'own-address':
    'Another device sends from this director’s address: look for a duplicate address or a loop',
  'no-addresses': 'Configure at least one address of the instance’s family on the sender',
  'hmac-missing': 'Configure the same keys on both, or migrate with mode permissive',
  'hmac-unknown-key': 'Add the sender’s key to this director’s keys',
  'hmac-invalid': 'The keys differ, or somebody forges: compare them on both',
  'addresses-mismatch':
    'Configure the same addresses on both, or check_addresses: warn, or both stay active',
  'hmac-replayed': 'Compare the clocks of both directors, or look for a replayed packet',
};

function seconds(value: number): string {
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 120) return `${Number(value.toFixed(value < 10 ? 2 : 0))} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  return `${Math.round(value / 3600)} h`;
}

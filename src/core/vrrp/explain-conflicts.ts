/**
 * What is said of an address of ours that other machines have too: which machines they are as far
 * as it is known, and what usually is the reason and the cure.
 */
import { ipFamily } from '../ip.ts';
import type { ConflictReport, InstanceReport } from '../status.ts';
import type { FaultText } from './explain-faults.ts';

type Holder = ConflictReport['holders'][number];

export function conflictText(conflict: ConflictReport, instance: InstanceReport): FaultText {
  const { address, interface: at, holders, of } = conflict;
  const others = holders.map((holder) => holderText(holder, instance)).join('; ');
  const what = of === 'vip' ? 'virtual IP' : 'source address of this director';
  const machines = holders.length > 1 ? 'other machines' : 'another machine';
  const text = `${address}, ${what} on ${at}, is on ${machines} too: ${others}`;
  return {
    text,
    cure: of === 'vip' ? vipCure(conflict, instance) : sourceCure(conflict, instance),
  };
}

/** "52:54:00:00:00:01 (10.0.0.11, real server of web/10.0.0.11:80) answers for it". */
function holderText({ mac, how, addresses, servers }: Holder, instance: InstanceReport): string {
  const peers = new Set(instance.peers.map(({ address }) => address));
  const who = [
    ...addresses.map((address) => `${address}${peers.has(address) ? ', a director' : ''}`),
    ...(servers.length === 0 ? [] : [`real server ${servers.join(' ')}`]),
  ];
  const name = mac ?? 'a machine';
  return `${name}${who.length === 0 ? '' : ` (${who.join(', ')})`} ${HOW[how]}`;
}

const HOW: Readonly<Record<Holder['how'], string>> = {
  answers: 'answers for it',
  announces: 'announces it or sends from it',
  detected: 'answered when the kernel added it here (duplicate address detection)',
};

function vipCure({ address, holders }: ConflictReport, { peers, vrid }: InstanceReport): string {
  if (holders.some(({ mac }) => mac === null)) {
    return `The kernel does not use ${address} here: take it off the other machine and hand over and back, or leave out dad`;
  }
  const known = new Set(holders.flatMap((holder) => holder.addresses));
  const isServer = holders.some(({ servers }) => servers.length > 0);
  const director = peers.find((peer) => known.has(peer.address))?.address ?? null;
  if (isServer && ipFamily(address) === 'ipv4') {
    return 'On real servers behind direct routing set net.ipv4.conf.all.arp_ignore=1 and net.ipv4.conf.all.arp_announce=2';
  }
  if (director !== null) {
    return `Look on ${director} with: ip address show to ${address}. If it is backup for VRID ${vrid}, remove the address there; if it is active too, see duplicate-active in the runbook`;
  }
  const server =
    ipFamily(address) === 'ipv4'
      ? 'set arp_ignore=1 and arp_announce=2 (net.ipv4.conf.all) if it is a real server behind direct routing'
      : 'put it on lo if it is a real server behind direct routing';
  return `Find that machine (look for its MAC address on the switch): ${server}, else take the address off it, or stop the other director that holds it`;
}

function sourceCure(
  { address, interface: at }: ConflictReport,
  { family }: InstanceReport,
): string {
  const own =
    family === 'ipv6'
      ? `Give it another link-local address on ${at}, or another MAC address if it is a clone`
      : `Give each director its own address on ${at}, or configure source; a cloned machine has kept the address of its original`;
  return `${own}. Directors that share ${address} take none of each other's advertisements, and are all active`;
}

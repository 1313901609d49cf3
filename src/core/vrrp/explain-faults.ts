/**
 * What is said of an instance that cannot take part: for every reason of a fault what is wrong,
 * and what to do about it. A tracker's fault is told with the tracker (explain.ts).
 */
import type { InstanceReport } from '../status.ts';
import { activePeer } from './explain-present.ts';
import { FAULT_REASONS, type FaultReason } from './types.ts';

export interface FaultText {
  readonly text: string;
  readonly cure: string;
}

type Told = Exclude<FaultReason, 'tracker-down'>;

/** What is wrong with an instance in fault; null when it is not, or a tracker is why. */
export function faultText(
  report: InstanceReport,
  others: readonly InstanceReport[],
): FaultText | null {
  const reason = FAULT_REASONS.find((each) => each === report.reason);
  if (report.state !== 'fault' || reason === undefined || reason === 'tracker-down') return null;
  return TEXTS[reason](report, others);
}

const TEXTS: Readonly<
  Record<Told, (report: InstanceReport, others: readonly InstanceReport[]) => FaultText>
> = {
  'interface-down': ({ faultyInterface, interface: own }) => ({
    text: `${faultyInterface ?? own} is down or has no carrier, so this director cannot take part`,
    cure: `Look at: ip link show dev ${faultyInterface ?? own}; at the cable, the switch port, the bond or VLAN below it`,
  }),
  'interface-missing': ({ faultyInterface, interface: own }) => ({
    text: `There is no interface ${faultyInterface ?? own}, so this director cannot take part`,
    cure: 'Create it or correct the configuration; it is taken into use as soon as it is there',
  }),
  'no-source-address': ({ interface: own, family }) => ({
    text: `${own} has no ${family === 'ipv4' ? 'IPv4' : 'link-local IPv6'} address to send advertisements from`,
    cure:
      `Look at: ip address show dev ${own}; give it an address, or configure source` +
      (family === 'ipv4'
        ? ''
        : `; without any, IPv6 may be off: sysctl net.ipv6.conf.${own}.disable_ipv6`),
  }),
  'no-peer': () => ({
    text: 'Its peers hold no other director, and fault_without_peers is on',
    cure: 'Add the addresses of the other directors to peers',
  }),
  'no-virtual-link': ({ link, interface: own }) => ({
    text: `The virtual link ${link?.name ?? ''} on ${own} cannot be made`,
    cure: 'Look at the log for VK-LINK: it has the kernel’s words',
  }),
  'addresses-refused': (report) => ({
    text:
      `The kernel takes none of its virtual IPs (${refusals(report)}), so this director leaves them ` +
      `to another: ${
        activePeer(report) === null
          ? 'none is heard as active, so nobody has them'
          : 'one is heard as active'
      }`,
    cure: 'Look at the log for VK-ADDRESS: it says what to do; it is tried again when links or addresses change, and every five seconds',
  }),
  'controller-lost': () => ({
    text: 'The controller died and could not be started again for as long as keeper.hold',
    cure: 'Look at the log for why it ends, repair that, and run: systemctl restart vipkeeper',
  }),
  'group-member-fault': ({ group }, others) => ({
    text: `Sync group ${group} cannot be active: ${faultyMembers(group, others) || 'another member is in fault'}`,
    cure: 'Repair that member: the whole group takes part again then',
  }),
};

/** "192.0.2.10 on eth0: Permission denied": of the first, for hundreds are refused alike. */
function refusals({ addresses }: InstanceReport): string {
  const refused = addresses.filter(({ error }) => error !== null);
  const [first] = refused;
  if (first === undefined) return 'for a reason that is not known yet';
  const others = refused.length === 1 ? '' : `, and ${refused.length - 1} more`;
  return `${first.address} on ${first.interface}: ${first.error}${others}`;
}

/** "mail is in fault (interface-down)": the members with a fault of their own. */
function faultyMembers(group: string | null, others: readonly InstanceReport[]): string {
  return others
    .filter((other) => other.group === group && other.state === 'fault')
    .filter(({ reason }) => reason !== 'group-member-fault')
    .map(({ name, reason }) => `${name} is in fault (${reason})`)
    .join(', ');
}

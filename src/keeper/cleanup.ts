/**
 * Removes the VIPs and virtual links that a dead keeper left behind, and puts back what it had set
 * for them: for the service manager's stop hook, and for a controller that cannot bring another
 * keeper up. Only what the keeper recorded in this boot goes, and of that what bears its mark (or
 * was added by it, on kernels without IFA_PROTO).
 */
import { planRouting, routeText, ruleText } from '../core/address/routing.ts';
import type { Problem } from '../core/problem.ts';
import { safeSilenceUs } from '../core/vrrp/timing.ts';
import { RoutingSocket } from '../linux/netlink/routing.ts';
import { BaseSettings } from './base-settings.ts';
import { removeIntakeTable } from './intake.ts';
import { isOurLink } from './link-mark.ts';
import { Network } from './network.ts';
import { livingKeeper, NOTHING_MORE, type RecordedInstance, readRecord } from './record.ts';
import { findStrayed } from './strayed.ts';
import { removeVips } from './vips.ts';
import { removeOurLink } from './virtual-link.ts';

export interface LeftBehind {
  readonly interface: string;
  readonly address: string;
  readonly prefixLength: number;
}

export interface CleanUpResult {
  /** Routes and rules that were removed, or would be, as ip(8) writes them. */
  readonly routing: readonly string[];
  /** Removed, or with `dryRun` what would be. */
  readonly removed: readonly LeftBehind[];
  /** Names of virtual links, likewise. */
  readonly links: readonly string[];
  readonly problems: readonly Problem[];
}

/** When peers may have taken over from the instances that a dead keeper left active. */
export function silencesEndUs(runtimeDirectory: string): readonly number[] {
  return readRecord(runtimeDirectory)
    .instances.filter(({ lastAdvertAtUs }) => lastAdvertAtUs > 0)
    .map(silenceEndUs);
}

function silenceEndUs(instance: RecordedInstance): number {
  const { lastAdvertAtUs, advertIntervalUs, downTimerAdverts } = instance;
  return lastAdvertAtUs + safeSilenceUs(advertIntervalUs, downTimerAdverts);
}

/** Refuses while the keeper of this record lives. */
export function cleanUp(options: {
  readonly runtimeDirectory: string;
  readonly dryRun: boolean;
  /**
   * Only the VIPs of instances from which peers may have taken over by this time, in monotonic
   * microseconds; without it everything.
   */
  readonly silentAtUs?: number;
}): CleanUpResult {
  const pid = livingKeeper(options.runtimeDirectory);
  if (pid !== null) {
    const problem: Problem = {
      code: 'VK-ALREADY-RUNNING',
      message: `The keeper with process id ${pid} runs and holds its VIPs`,
      cure: 'Stop it first: it removes them itself',
    };
    return { removed: [], links: [], routing: [], problems: [problem] };
  }
  const opened = Network.open({
    onChanged: () => {},
    onCarrier: () => {},
    onAddressLost: () => {},
  });
  if (!opened.ok) {
    return {
      removed: [],
      links: [],
      routing: [],
      problems: [
        {
          code: 'VK-SYSTEM',
          message: `The addresses of this machine cannot be read: ${opened.error.message}`,
          cure: 'Run it as root',
        },
      ],
    };
  }
  const network = opened.value;
  const left: LeftBehind[] = [];
  const { silentAtUs } = options;
  const record = readRecord(options.runtimeDirectory);
  const recorded = record.instances.filter(
    (instance) => silentAtUs === undefined || silenceEndUs(instance) <= silentAtUs,
  );
  for (const instance of recorded) {
    for (const vip of instance.addresses) {
      if (instance.lastAdvertAtUs > 0) network.claim(vip.interface, vip.address);
      if (network.isOurs(vip.interface, vip.address)) left.push(vip);
    }
  }
  const links = recorded.flatMap(({ link }) => {
    const found = link === null ? null : network.link(link);
    return found !== null && isOurLink(found) ? [found.name] : [];
  });
  const more = silentAtUs === undefined ? record.more : NOTHING_MORE;
  for (const address of more.staticAddresses) {
    if (network.isOurs(address.interface, address.address)) left.push(address);
  }
  const strayed = findStrayed(network, recorded, more.staticAddresses, record.instances);
  left.push(...strayed.addresses);
  links.push(...strayed.links);
  // Routes before the addresses that they have as their source.
  const routing = more.routing ? cleanUpRouting(options.dryRun) : [];
  const problems = options.dryRun ? [] : [...removeVips(network, left)];
  if (!options.dryRun) {
    problems.push(...links.flatMap((link) => removeOurLink(network, link) ?? []));
  }
  if (!options.dryRun && silentAtUs === undefined) {
    const settings = new BaseSettings();
    settings.open(options.runtimeDirectory);
    settings.restoreUnheld((index) => network.nameOf(index));
    // After the addresses, so that none is accepted for a moment.
    const refused = more.intake === true ? removeIntakeTable(options.runtimeDirectory) : null;
    if (refused !== null) problems.push(refused);
  }
  const gone = (vip: LeftBehind): boolean => !network.hasAddress(vip.interface, vip.address);
  const result = {
    removed: options.dryRun ? left : left.filter(gone),
    links: options.dryRun ? links : links.filter((link) => network.link(link) === null),
    routing,
    problems,
  };
  network.close();
  return result;
}

/** Removes all routes and rules that bear our mark; those that go, or would. */
function cleanUpRouting(dryRun: boolean): readonly string[] {
  const opened = RoutingSocket.open();
  if (!opened.ok) return [];
  const socket = opened.value;
  const listed = socket.listOwn();
  const found = listed.ok ? listed.value : { routes: [], rules: [] };
  if (!dryRun) socket.change(planRouting({ routes: [], rules: [] }, found));
  socket.close();
  return [...found.routes.map(routeText), ...found.rules.map(ruleText)];
}

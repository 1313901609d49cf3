/**
 * Removes the VIPs that a dead keeper left behind: for the service manager's stop hook, and for
 * a controller that cannot bring another keeper up. Only addresses that the keeper recorded in
 * this boot and that bear its mark (or were added by it, on kernels without IFA_PROTO) go.
 */
import type { Problem } from '../core/problem.ts';
import { Network } from './network.ts';
import { livingKeeper, readRecord } from './record.ts';
import { removeVips } from './vips.ts';

export interface LeftBehind {
  readonly interface: string;
  readonly address: string;
  readonly prefixLength: number;
}

export interface CleanUpResult {
  /** Removed, or with `dryRun` what would be. */
  readonly removed: readonly LeftBehind[];
  readonly problems: readonly Problem[];
}

/** Refuses while the keeper of this record lives. */
export function cleanUp(options: {
  readonly runtimeDirectory: string;
  readonly dryRun: boolean;
}): CleanUpResult {
  const pid = livingKeeper(options.runtimeDirectory);
  if (pid !== null) {
    const problem: Problem = {
      code: 'VK-ALREADY-RUNNING',
      message: `The keeper with process id ${pid} runs and holds its VIPs`,
      cure: 'Stop it first: it removes them itself',
    };
    return { removed: [], problems: [problem] };
  }
  const opened = Network.open({ onChanged: () => {}, onAddressLost: () => {} });
  if (!opened.ok) {
    return {
      removed: [],
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
  for (const instance of readRecord(options.runtimeDirectory)) {
    for (const vip of instance.addresses) {
      if (instance.lastAdvertAtUs > 0) network.claim(vip.interface, vip.address);
      if (network.isOurs(vip.interface, vip.address)) left.push(vip);
    }
  }
  const problems = options.dryRun ? [] : removeVips(network, left);
  const removed = options.dryRun
    ? left
    : left.filter((vip) => !network.hasAddress(vip.interface, vip.address));
  network.close();
  return { removed, problems };
}

/**
 * What `vipkeeper cleanup` does after the death of both processes: the keeper's part first, which
 * removes the VIPs (keeper/cleanup.ts), then the kernel's settings of IPVS, which the controller
 * had set, are put back to what was there before. The table stays, as after a stop.
 */
import { join } from 'node:path';
import { sameSetting } from '../core/config/ipvs-settings.ts';
import type { Problem } from '../core/problem.ts';
import { type CleanUpResult, cleanUp } from '../keeper/cleanup.ts';
import { livingKeeper } from '../keeper/record.ts';
import {
  hasTimeouts,
  IPVS_SETTINGS_FILE,
  IpvsSettings,
  kernelSettings,
  settingText,
} from './ipvs-settings.ts';

export interface WholeCleanUp extends CleanUpResult {
  /** What was put back, or with `dryRun` would be: 'net.ipv4.vs.conntrack from 1 to 0'. */
  readonly settings: readonly string[];
}

/** Refuses while a keeper lives. */
export async function cleanUpAll(options: {
  readonly runtimeDirectory: string;
  readonly dryRun: boolean;
}): Promise<WholeCleanUp> {
  // Asked before the keeper's part, which a keeper that starts meanwhile does not harm.
  const lives = livingKeeper(options.runtimeDirectory) !== null;
  const removed = cleanUp(options);
  if (lives) return { ...removed, settings: [] };
  const put = await putBack(options);
  return { ...removed, settings: put.settings, problems: [...removed.problems, ...put.problems] };
}

async function putBack({
  runtimeDirectory,
  dryRun,
}: {
  readonly runtimeDirectory: string;
  readonly dryRun: boolean;
}): Promise<Pick<WholeCleanUp, 'settings' | 'problems'>> {
  const file = join(runtimeDirectory, IPVS_SETTINGS_FILE);
  const client = hasTimeouts(file) ? await openClient() : null;
  const problems: Problem[] = [];
  const kernel = kernelSettings(client);
  const record = new IpvsSettings(file, {
    ...kernel,
    onRepaired: () => {},
    onProblem: (problem) => problems.push(problem),
  });
  const left = record.leftBehind();
  if (!dryRun) record.close();
  const done = left.filter(
    ({ name, before }) => dryRun || sameSetting(name, kernel.read(name) ?? '', before),
  );
  client?.close();
  const settings = done.map(
    ({ name, value, before }) => `${settingText(name)} from ${text(value)} to ${text(before)}`,
  );
  return { settings, problems };
}

/** Loaded when a timeout is to be put back: the way to the VIPs is shorter without it. */
async function openClient() {
  const { IpvsClient } = await import('../linux/ipvs/client.ts');
  const opened = IpvsClient.open();
  return opened.ok ? opened.value : null;
}

/** The kernel writes tabs. */
function text(value: string): string {
  return value.replaceAll(/\s+/g, ' ');
}

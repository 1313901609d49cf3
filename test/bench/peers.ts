/**
 * keepalived as a contestant: configuration, start and end, without any log (-G; where there is no
 * syslog daemon its lines would go to the console and slow it down). What runs is the package's
 * own program with its defaults; where it differs, the benchmark says so.
 */
import { type Child, exitWithin, LabError, type Machine, writeFile } from '../lab/host.ts';

const STOP_TIMEOUT_MS = 10_000;

export interface KeepalivedOptions {
  /** Directory on the machine for configuration, process ids and log. */
  readonly directory: string;
  readonly config: string;
  /** '-P' for VRRP alone, '-C' for IPVS alone. */
  readonly only: '-P' | '-C';
}

/** Writes the configuration; returns the command that runs it in the foreground. */
export async function prepareKeepalived(
  machine: Machine,
  { directory, config, only }: KeepalivedOptions,
): Promise<string[]> {
  const file = `${directory}/keepalived.conf`;
  await writeFile(machine, file, config);
  return [
    ...['keepalived', '-n', only, '-G', '-f', file],
    ...[
      '-p',
      `${directory}/main.pid`,
      '-r',
      `${directory}/vrrp.pid`,
      '-c',
      `${directory}/ipvs.pid`,
    ],
  ];
}

/** One VRRP instance with one address, version 3. */
export function vrrpConfig(instance: {
  readonly priority: number;
  readonly intervalMs: number;
  readonly vip: string;
  readonly realTime: boolean;
}): string {
  return `
global_defs {
  vrrp_version 3
${instance.realTime ? '  vrrp_rt_priority 50\n' : ''}}
vrrp_instance web {
  state BACKUP
  interface eth0
  virtual_router_id 51
  priority ${instance.priority}
  advert_int ${instance.intervalMs / 1000}
  virtual_ipaddress { ${instance.vip}/24 }
}
`;
}

/** Ends a group of processes as a crash does, and waits until they are gone. */
export async function crash(child: Child): Promise<void> {
  child.kill('SIGKILL');
  if ((await exitWithin(child, STOP_TIMEOUT_MS)) === null) {
    throw new LabError(`Processes of group ${child.pid} did not end`);
  }
}

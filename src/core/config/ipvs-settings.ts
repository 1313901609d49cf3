/**
 * The kernel's settings of IPVS that can be configured: their names below net.ipv4.vs, and when
 * two texts of a value mean the same. The names are those of Linux 6.1 and 6.12.
 * Standard: Documentation/networking/ipvs-sysctl.rst.
 */

export const IPVS_SETTING_NAMES = [
  'am_droprate',
  'amemthresh',
  'backup_only',
  'cache_bypass',
  'conn_reuse_mode',
  'conntrack',
  'drop_entry',
  'drop_packet',
  'est_cpulist',
  'est_nice',
  'expire_nodest_conn',
  'expire_quiescent_template',
  'ignore_tunneled',
  'nat_icmp_send',
  'pmtu_disc',
  'run_estimation',
  'schedule_icmp',
  'secure_tcp',
  'sloppy_sctp',
  'sloppy_tcp',
  'snat_reroute',
  'sync_persist_mode',
  'sync_ports',
  'sync_qlen_max',
  'sync_refresh_period',
  'sync_retries',
  'sync_sock_size',
  'sync_threshold',
] as const;
export type IpvsSettingName = (typeof IPVS_SETTING_NAMES)[number];

/** The kernel itself moves these between 1 and 2 as memory gets short. */
const DEFENSES: readonly string[] = ['drop_entry', 'drop_packet', 'secure_tcp'];

/** Highest processor of a list; the kernel's greatest NR_CPUS. */
const CPU_MAX = 8191;

/** Whether the kernel's text of a setting says what is wanted. */
export function sameSetting(name: string, is: string, wanted: string): boolean {
  if (DEFENSES.includes(name)) return defense(is) === defense(wanted);
  if (name === 'est_cpulist') return cpus(is) === cpus(wanted);
  return words(is) === words(wanted);
}

function defense(text: string): string {
  return text.trim() === '2' ? '1' : text.trim();
}

function words(text: string): string {
  return text.trim().replaceAll(/\s+/g, ' ');
}

/** '3,0-1' and '0-1,3' name the same processors. */
function cpus(text: string): string {
  const found = new Set<number>();
  for (const part of text.trim().split(',')) {
    const [first = '', last = first] = part.split('-');
    for (let cpu = Number(first); cpu <= Math.min(Number(last), CPU_MAX); cpu++) found.add(cpu);
  }
  return [...found].sort((left, right) => left - right).join(',');
}

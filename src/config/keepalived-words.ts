/**
 * keepalived's words about VRRP and checkers, for those who write them into this file: what the same thing is
 * called here, or why it is not here. docs/guides/from-keepalived.md is the same for reading.
 */

/** Key of the same section that stands for it, by keepalived's word. */
export const VRRP_WORDS: Readonly<Record<string, string>> = {
  bfd_instance: 'bfd',
  check_unicast_src: 'unicast',
  dont_track_primary: 'track_interface',
  fork_delay: 'up_delay',
  full_command: 'arguments_match',
  garp_extra_if: 'announce',
  garp_group: 'announce_groups',
  garp_interval: 'interval',
  garp_lower_prio_delay: 'announce',
  garp_lower_prio_repeat: 'announce',
  garp_master_delay: 'announce',
  garp_master_refresh: 'announce',
  garp_master_refresh_repeat: 'announce',
  garp_master_repeat: 'announce',
  gna_interval: 'na_interval',
  higher_prio_send_advert: 'advertise_before_yielding',
  hoplimit: 'ttl',
  init_file: 'init',
  lower_prio_no_advert: 'answer_lower_priority',
  lvs_sync_daemon: 'sync',
  mcast_dst_ip: 'multicast_group',
  native_ipv6: 'family',
  neighbor_ip: 'neighbor',
  notify_deleted: 'notify',
  no_accept: 'accept',
  notify_priority_changes: 'notify',
  owner_ignore_adverts: 'owner_conflict',
  param_match: 'arguments_match',
  skip_check_adv_addr: 'check_addresses',
  source_ip: 'source',
  strict_mode: 'strict',
  terminate_delay: 'down_delay',
  track_bfd: 'track',
  track_file: 'track',
  track_process: 'track',
  track_script: 'track',
  unicast_fault_no_peer: 'unicast',
  unicast_peer: 'peers',
  unicast_src_ip: 'source',
  unicast_ttl: 'unicast',
  v3_checksum_as_v2: 'checksum',
  vrrp_delay_after_boot: 'delay_after_boot',
  vrrp_script: 'trackers',
  vrrp_startup_delay: 'startup_delay',
  vrrp_strict: 'strict',
  vrrp_sync_group: 'groups',
  vrrp_track_process: 'trackers',
};

/** Options of an instance that are deliberately not here, with the reason or the way out. */
export const REFUSED_OF_INSTANCES: Readonly<Record<string, string>> = {
  linkbeat_use_polling: 'the kernel tells of every change of carrier, expected no such option',
  old_unicast_checksum: 'the checksum of keepalived up to 1.3.6 is a defect and not supported',
  state: 'every director begins as backup, expected priority alone (255 for the owner)',
  track_src_ip: 'an instance without its source address is always in fault, without option',
  use_vmac_addr:
    'a virtual IP on another interface has that one’s hardware address, expected an instance of ' +
    'its own with vmac there, in the same sync group',
  vrf: 'expected interface with the name of an interface of the VRF',
};

/** The same for a health check and its kinds. */
export const CHECK_WORDS: Readonly<Record<string, string>> = {
  alpha: 'initial',
  bfd_check: 'bfd',
  bind_if: 'device',
  bindto: 'bind',
  certificate: 'certificate_file',
  connect_ip: 'address',
  connect_port: 'port',
  connect_timeout: 'timeout',
  delay_before_retry: 'retry_delay',
  delay_loop: 'interval',
  dns_check: 'dns',
  enable_sni: 'server_name',
  fast_recovery: 'rise',
  file_check: 'file',
  fwmark: 'mark',
  helo_name: 'steps',
  http_get: 'http',
  http_protocol: 'version',
  max_reply_length: 'max_length',
  min_reply_length: 'min_length',
  misc_check: 'script',
  misc_dynamic: 'dynamic_weight',
  misc_path: 'command',
  misc_timeout: 'timeout',
  payload: 'send',
  ping_check: 'ping',
  regex: 'body_matches',
  retry: 'fall',
  smtp_check: 'dialogue',
  sni_name: 'server_name',
  ssl_get: 'https',
  status_code: 'status',
  tcp_check: 'tcp',
  track_file: 'path',
  udp_check: 'udp',
  url: 'requests',
  virtualhost: 'host',
  warmup: 'start_spread',
};

const IN_EXPRESSION = 'expected it in the regular expression of body_matches itself';

/** Options of checkers that are deliberately not here, with the way out. */
export const REFUSED_OF_CHECKS: Readonly<Record<string, string>> = {
  bind_port:
    'a fixed source port serves one check at a time, and not again for a minute, expected bind alone',
  log_all_failures: 'every failure is counted by its reason, expected no such option',
  regex_max_offset: IN_EXPRESSION,
  regex_min_offset: IN_EXPRESSION,
  regex_no_match: 'expected body_matches with a negative look-ahead, such as ^(?![\\s\\S]*ERROR)',
  regex_options: IN_EXPRESSION,
  regex_stack: 'a regular expression has a limit of time, expected no such option',
  tls_compliant: 'an answer tells its length or ends with the connection, expected no such option',
};

/** The same for virtual services and their servers. */
export const SERVICE_WORDS: Readonly<Record<string, string>> = {
  alpha: 'check',
  delay_loop: 'check',
  'flag-1': 'scheduler_flags',
  'flag-2': 'scheduler_flags',
  'flag-3': 'scheduler_flags',
  ha_suspend: 'check_when',
  inhibit_on_failure: 'on_failure',
  ip_family: 'family',
  lb_algo: 'scheduler',
  lb_kind: 'forwarding',
  lthreshold: 'lower_threshold',
  lvs_flush: 'ownership',
  lvs_flush_on_stop: 'on_stop',
  lvs_method: 'forwarding',
  lvs_notify_fifo: 'notify',
  lvs_notify_fifo_script: 'notify',
  lvs_sched: 'scheduler',
  lvs_timeouts: 'timeouts',
  'mh-fallback': 'scheduler_flags',
  'mh-port': 'scheduler_flags',
  notify_down: 'notify',
  notify_up: 'notify',
  ops: 'one_packet',
  persistence_granularity: 'persistence',
  persistence_timeout: 'persistence',
  quorum_down: 'notify',
  quorum_up: 'notify',
  real_server: 'servers',
  'sh-fallback': 'scheduler_flags',
  'sh-port': 'scheduler_flags',
  sorry_server: 'sorry_servers',
  uthreshold: 'upper_threshold',
  virtual_server: 'services',
  virtual_server_group: 'services',
};

/** Options of virtual servers that are deliberately not here, with the way out. */
export const REFUSED_OF_SERVICES: Readonly<Record<string, string>> = {
  hashed: 'the kernel sets this flag by itself, expected no such option',
  omega: 'a stop tells nobody that servers are down which are not, expected ipvs.on_stop',
  snmp_name: 'the name of the service is the label of its metrics, expected no such option',
  sorry_server_inhibit:
    'while sorry servers serve, the others have weight 0 and keep their connections, expected no ' +
    'such option',
  sorry_server_lvs_method: 'expected forwarding at each of sorry_servers',
};

const OF_SERVICE = 'is said for all servers of a service at once';

/** The same for real servers. */
export const REFUSED_OF_SERVERS: Readonly<Record<string, string>> = {
  notify: `${OF_SERVICE}, expected notify at the service`,
  notify_down: `${OF_SERVICE}, expected notify.server_down at the service`,
  notify_up: `${OF_SERVICE}, expected notify.server_up at the service`,
  smtp_alert: `${OF_SERVICE}, expected notify.server_mail at the service`,
};

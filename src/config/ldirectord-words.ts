/**
 * ldirectord's words, for those who write them into this file: what stands here for each.
 * docs/guides/health-checks.md is the same for reading.
 */

const NO = 'no such option: ';

/** What is expected instead, by ldirectord's word. */
export const LDIRECTORD_WORDS: Readonly<Record<string, string>> = {
  autoreload: `${NO}a changed file is applied by vipkeeper reload`,
  callback: `${NO}each director has its own file, or both the same one`,
  checkcommand: 'check.script.command',
  checkcount: 'check.fall',
  checkinterval: 'check.interval',
  checkport: 'check.port',
  checktimeout: 'check.timeout',
  checktype: 'check with the kind of the service, such as check: http',
  cleanstop: 'ipvs.on_stop',
  database: 'check.mysql.database or check.postgresql.database',
  emailalert: 'mail.to, and notify.server_mail at the service',
  emailalertfreq: `${NO}one mail is sent for each change`,
  emailalertfrom: 'mail.from',
  emailalertstatus: 'notify.server_mail and notify.mail at the service',
  execute: `${NO}one director has all services`,
  failurecount: 'check.fall',
  fallback: 'sorry_servers at the service',
  fallbackcommand: 'notify.quorum_down and notify.quorum_up at the service',
  fork: `${NO}all services are checked by one director`,
  gate: 'forwarding: dr',
  httpmethod: 'check.http.method',
  ipip: 'forwarding: tun',
  load: 'weight',
  logfile: 'log, to standard output as service managers expect',
  login: 'user (bind_dn with ldap, from with sip)',
  maintenancedir: 'maintenance',
  masq: 'forwarding: nat',
  monitorfile: 'check.script',
  negotiatetimeout: 'check.timeout',
  netmask: 'persistence.prefix',
  passwd: 'password',
  persistent: 'persistence',
  quiescent: 'on_failure at the service: quiesce for yes, remove for no',
  readdquiescent: `${NO}a server that is put back is taken up again`,
  real: 'servers at the service',
  receive: 'body_matches, expect, answer or result, by the kind of the check',
  request: 'path, send, name, base or query, by the kind of the check',
  secret: 'check.radius.secret',
  service: 'check with its kind, such as check: http',
  smtp: 'mail.server',
  supervised: `${NO}vipkeeper run stays in the foreground`,
  virtual: 'services, with address',
};

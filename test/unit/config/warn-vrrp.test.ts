/** Warnings about VRRP: told with their place, and none where all is as it should be. */
import { expect, test } from 'vitest';
import { type ConfigError, formatConfigErrors } from '../../../src/config/errors.ts';
import { readConfigText } from '../../../src/config/yaml.ts';
import { errorLines } from './read.ts';

function warnings(text: string): string[] {
  const found: ConfigError[] = [];
  const onWarning = (warning: ConfigError) => found.push(warning);
  const read = readConfigText(text, {
    file: 'f.yaml',
    director: 'dir-a',
    hostname: 'h',
    onWarning,
  });
  expect(read.ok).toBe(true);
  return formatConfigErrors(found, { color: false }).split('\n').slice(0, -1);
}

const WEB = 'vrrp: { web: { interface: eth0, vrid: 1, addresses: [192.0.2.1/24]';

test.each([
  [
    'a delay of preemption without preemption',
    `${WEB}, preempt: false, preempt_delay: 5s } }`,
    'vrrp.web.preempt_delay: without preempt it delays nothing',
  ],
  [
    'a weight for an owner',
    `${WEB}, priority: 255, track: [{ tracker: up, weight: -5 }] } }\n` +
      'trackers: { up: { interface: eth1 } }',
    'vrrp.web.track[0]: the priority of an owner does not change, whatever up says',
  ],
  [
    'preemption of an owner',
    `${WEB}, priority: 255, preempt: false } }`,
    'vrrp.web.preempt: an owner (priority 255) preempts at once, whatever this says',
  ],
  [
    'a delay of preemption of an owner',
    `${WEB}, priority: 255, preempt_delay: 5s } }`,
    'vrrp.web.preempt_delay: an owner (priority 255) preempts at once, whatever this says',
  ],
  [
    'unicast without another director',
    `${WEB}, source: 192.0.2.7, peers: [192.0.2.7] } }`,
    'vrrp.web.peers: no other director is among them: it speaks to nobody',
  ],
  [
    'no peers',
    `${WEB}, peers: [] } }`,
    'vrrp.web.peers: no other director is among them: it speaks to nobody',
  ],
  [
    'a loopback address',
    'vrrp: { web: { interface: eth0, vrid: 1, addresses: [127.0.0.9/8] } }',
    'vrrp.web.addresses[0]: 127.0.0.9 is a loopback address',
  ],
  [
    'the address of a network',
    'vrrp: { web: { interface: eth0, vrid: 1, addresses: [192.0.2.64/26] } }',
    'vrrp.web.addresses[0]: 192.0.2.64 is the address of its network itself',
  ],
  [
    'a broadcast address',
    'vrrp: { web: { interface: eth0, vrid: 1, addresses: [10.255.255.255/8] } }',
    'vrrp.web.addresses[0]: 10.255.255.255 is the broadcast address of its network',
  ],
  [
    'a window that does not count',
    `${WEB}, hmac: { keys: { 1: "${'k'.repeat(32)}" }, active_key: 1, replay: monotonic, window: 9s } } }`,
    'vrrp.web.hmac.window: it counts with replay: time only, not with monotonic',
  ],
  [
    'what only a shell understands',
    `${WEB}, track: [up] } }\ntrackers: { up: { script: "/bin/pgrep haproxy >/dev/null" } }`,
    'trackers.up.script: >/dev/null is handed to /bin/pgrep as it is',
  ],
  [
    'a pipe of a notification',
    `${WEB}, notify: { any: "/bin/echo a | /usr/bin/mail ops" } } }`,
    'vrrp.web.notify.any: | is handed to /bin/echo as it is',
  ],
  [
    'a tracker that nothing tracks',
    `${WEB} } }\ntrackers: { up: { interface: eth1 } }`,
    'trackers.up: nothing tracks it',
  ],
  [
    'a group of one',
    `${WEB} } }\ngroups: { edge: { instances: [web] } }`,
    'groups.edge.instances: a group of one instance changes nothing',
  ],
  [
    'a delay in which a backup without link becomes active',
    `${WEB}, track_interface: false, track: [up] } }\n` +
      'trackers: { up: { interface: eth0, down_delay: 2s } }',
    'trackers.up.down_delay: longer than web may hear nothing: with its link down it becomes' +
      ' active before this counts',
  ],
])('%s is warned of', (_, text, message) => {
  const found = warnings(text);
  expect(found).toHaveLength(1);
  expect(found[0]).toContain(`: ${message}`);
});

test.each([
  `${WEB}, preempt_delay: 5s } }`,
  `${WEB}, source: 192.0.2.7, peers: [192.0.2.7, 192.0.2.8] } }`,
  'vrrp: { web: { interface: eth0, vrid: 1, addresses: [192.0.2.0/31, 192.0.2.3/32] } }',
  `${WEB}, notify: { any: [/bin/sh, -c, "echo a | logger > /dev/null"] } }`.concat(' }'),
  `${WEB}, notify: { any: "/usr/bin/logger -t vrrp a<b" } } }`,
  `${WEB}, priority: 255, track: [up] } }\ntrackers: { up: { interface: eth1 } }`,
  `${WEB}, track: [up] } }\ntrackers: { up: { interface: eth0, down_delay: 2s } }`,
  `${WEB}, track_interface: false, track: [up] } }\n` +
    'trackers: { up: { interface: eth0, down_delay: 1900ms } }',
])('nothing is warned of: %s', (text) => expect(warnings(text)).toEqual([]));

test('a tracker that is tracked twice is an error', () => {
  const trackers = 'trackers: { up: { interface: eth1 } }';
  expect(errorLines(`${WEB}, track: [up, { tracker: up, weight: 5 }] } }\n${trackers}`)).toEqual([
    expect.stringContaining('vrrp.web.track[1]: up is track[0] already'),
  ]);
  const group = 'groups: { edge: { instances: [web], track: [up, up] } }';
  expect(errorLines(`${WEB} } }\n${trackers}\n${group}`)).toEqual([
    expect.stringContaining('groups.edge.track[1]: up is track[0] already'),
  ]);
});

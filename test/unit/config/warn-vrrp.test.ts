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

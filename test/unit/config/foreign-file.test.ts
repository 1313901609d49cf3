/** Files of other programs are told for what they are, in one line. */
import { expect, test } from 'vitest';
import { readConfigText } from '../../../src/config/yaml.ts';

function errorsOf(text: string): string[] {
  const read = readConfigText(text, { file: 'f', director: 'a', hostname: 'a' });
  return read.ok ? [] : read.error.map(({ line, message }) => `${line}: ${message}`);
}

test.each([
  ['! comment\nglobal_defs {\n   router_id LVS\n}\nvrrp_instance VI_1 {\n}\n', 2],
  ['vrrp_instance VI_1 {\n    state MASTER\n    virtual_ipaddress {\n 192.0.2.1/24\n }\n}\n', 1],
  ['#\n#\nvirtual_server 192.0.2.10 80 {\n  delay_loop 6\n}\n', 3],
])('a configuration of keepalived', (text, line) => {
  expect(errorsOf(text)).toEqual([
    `${line}: this is a configuration file of keepalived, and vipkeeper has a format of its own: ` +
      'docs/guides/from-keepalived.md lists the counterpart of each option',
  ]);
});

test('a configuration of ldirectord', () => {
  const text = 'checktimeout=10\nvirtual=192.0.2.10:80\n\treal=10.0.0.1:80 gate\n\tscheduler=rr\n';
  expect(errorsOf(text)).toEqual([
    expect.stringMatching(
      /^2: this is a configuration file of ldirectord, .*health-checks\.md#from-ldirectord /,
    ),
  ]);
});

test('words of theirs in a file of ours are told one by one', () => {
  const errors = errorsOf('vrrp_instance: {}\nvirtual: 192.0.2.10:80\nservices: {}\n');
  expect(errors.length).toBeGreaterThan(1);
  expect(errors.join()).not.toContain('this is a configuration file of');
});

/** Sync groups and trackers: what they become, and what is refused. */
import { describe, expect, test } from 'vitest';
import { formatConfigError } from '../../../src/config/errors.ts';
import { readConfigText } from '../../../src/config/yaml.ts';

const INSTANCES = `vrrp:
  front: { interface: eth0, vrid: 1, addresses: [192.0.2.1/24], track: [uplink] }
  back: { interface: eth1, vrid: 2, addresses: [198.51.100.1/24] }
`;
const UPLINK = 'trackers: { uplink: { interface: eth2 } }\n';

function read(text: string) {
  return readConfigText(text, { file: 'f', director: 'd', hostname: 'h' });
}

function errors(text: string): string[] {
  const result = read(text);
  return result.ok ? [] : result.error.map((error) => formatConfigError(error, { color: false }));
}

describe('trackers', () => {
  test('have their defaults, and instances track them by name', () => {
    const result = read(INSTANCES + UPLINK);
    expect(result).toMatchObject({
      ok: true,
      value: {
        trackers: [
          { name: 'uplink', kind: 'interface', interface: 'eth2', downDelayUs: 0, upDelayUs: 0 },
        ],
        vrrp: [{ track: [{ tracker: 'uplink', weight: 0, reverse: false }] }, { track: [] }],
      },
    });
  });

  test.each([
    [
      'no kind',
      '{ quorum: 2 }',
      'expected exactly one of interface, script, file, process, service and bfd',
    ],
    ['two kinds', '{ interface: eth2, file: /x }', 'expected exactly one of'],
    ['a foreign option', '{ interface: eth2, rise: 2 }', 'not allowed with interface'],
    ['a missing service', '{ service: web }', 'expected a virtual service: there is none'],
    ['a missing session', '{ bfd: far }', 'expected a BFD session: there is none'],
    ['a relative program', '{ script: [pidof, x] }', 'a command that starts with an absolute path'],
    ['overwrite without init', '{ file: /x, overwrite: true }', 'init is missing'],
    ['a match without arguments', '{ process: x, arguments_match: exact }', 'arguments is missing'],
    [
      'a maximum below the quorum',
      '{ process: x, quorum: 3, quorum_max: 2 }',
      'at least the quorum',
    ],
    ['a relative path of a process', '{ process: bin/x }', 'expected the name of a program'],
    ['a relative file', '{ file: x }', 'expected an absolute path'],
  ])('refuse %s', (_name, tracker, message) => {
    const found = errors(`${INSTANCES}trackers: { uplink: ${tracker} }\n`);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(message);
  });

  test('take a command in one line, and the account of notify', () => {
    const text = `${INSTANCES.replace('[uplink]', '[a, b]')}notify: { user: daemon, script_security: false }
trackers:
  a: { script: "/bin/check 'one word' --fast", interval: 10ms, init_fail: true }
  b: { script: [/bin/check], user: nobody }
`;
    expect(read(text)).toMatchObject({
      ok: true,
      value: {
        trackers: [
          {
            command: ['/bin/check', 'one word', '--fast'],
            intervalUs: 10_000,
            initFail: true,
            user: 'daemon',
            scriptSecurity: false,
          },
          { command: ['/bin/check'], user: 'nobody', group: null, initFail: false },
        ],
      },
    });
  });

  test('of files and processes take what they need', () => {
    const text = `${INSTANCES.replace('[uplink]', '[f, p]')}trackers:
  f: { file: /run/x, init: -5, overwrite: true }
  p: { process: /usr/sbin/nginx, arguments: [-g], arguments_match: initial, quorum_max: 3, down_delay: 2s }
`;
    expect(read(text)).toMatchObject({
      ok: true,
      value: {
        trackers: [
          { path: '/run/x', init: -5, overwrite: true },
          {
            process: '/usr/sbin/nginx',
            arguments: ['-g'],
            argumentsMatch: 'initial',
            quorum: 1,
            quorumMax: 3,
            downDelayUs: 2_000_000,
            upDelayUs: 0,
          },
        ],
      },
    });
  });

  test('that an instance names must exist', () => {
    expect(errors(INSTANCES)[0]).toContain(
      'there is no tracker uplink: the section trackers has nothing',
    );
  });
});

describe('groups', () => {
  test('are known to their members', () => {
    const result = read(`${INSTANCES}${UPLINK}groups: { edge: { instances: [front, back] } }\n`);
    expect(result).toMatchObject({
      ok: true,
      value: {
        groups: [{ name: 'edge', members: ['front', 'back'] }],
        vrrp: [{ group: 'edge' }, { group: 'edge' }],
      },
    });
  });

  test('refuse a member that does not exist, and one that is in another group', () => {
    const text = `${INSTANCES}${UPLINK}groups: { a: { instances: [front, side] }, b: { instances: [front] } }\n`;
    const found = errors(text);
    expect(found[0]).toContain('expected a VRRP instance: front or back');
    expect(found[1]).toContain('front is in group a already');
  });

  test('give their trackers to all of their members, beside their own', () => {
    const text = `${INSTANCES}trackers: { uplink: { interface: eth2 }, more: { file: /x } }
groups: { edge: { instances: [front, back], track: [{ tracker: more, weight: 2 }] } }
`;
    expect(read(text)).toMatchObject({
      ok: true,
      value: {
        vrrp: [
          { track: [{ tracker: 'uplink' }, { tracker: 'more', weight: 2, reverse: false }] },
          { track: [{ tracker: 'more', weight: 2 }] },
        ],
      },
    });
  });

  test('refuse trackers that do not exist, and those that a member has already', () => {
    const text = `${INSTANCES}${UPLINK}groups: { edge: { instances: [front], track: [none, uplink] } }\n`;
    const found = errors(text);
    expect(found[0]).toContain(
      'groups.edge.track[0]: there is no tracker none: the section trackers has uplink',
    );
    expect(found[1]).toContain('groups.edge.track[1]: front tracks uplink already');
  });

  test('tell who they are told to, with mail only where there is a server', () => {
    const group = (notify: string): string =>
      `${INSTANCES}${UPLINK}groups: { edge: { instances: [front], notify: ${notify} } }\n`;
    expect(read(group('{ active: /bin/a b, any: /bin/any }'))).toMatchObject({
      ok: true,
      value: {
        notify: {
          groups: [
            { name: 'edge', active: ['/bin/a', 'b'], backup: null, any: ['/bin/any'], mail: false },
          ],
        },
      },
    });
    expect(errors(group('{ mail: true }'))[0]).toContain('the section mail is missing');
  });

  test('refuse an owner beside others', () => {
    const text = `${INSTANCES.replace('vrid: 2,', 'vrid: 2, priority: 255,')}${UPLINK}`;
    const found = errors(`${text}groups: { a: { instances: [front, back] } }\n`);
    expect(found[0]).toContain('expected all instances or none to have priority 255');
  });
});

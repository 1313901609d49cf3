/** Checks by BFD: which session they go by, and what is refused at its place. */
import { describe, expect, test } from 'vitest';
import { formatConfigErrors } from '../../../src/config/errors.ts';
import { readConfigText } from '../../../src/config/yaml.ts';
import { configOf, errorLines } from './read.ts';

const BFD = 'bfd: {a: {neighbor: 10.0.0.1}, b: {neighbor: 10.0.0.2}}';

function file(check: string, servers = '10.0.0.1', bfd = BFD): string {
  return `services: {s: {address: "192.0.2.1:80", check: ${check}, servers: [${servers}]}}\n${bfd}\n`;
}

function checks(text: string) {
  return configOf(text).services[0]?.servers.map(({ check }) => check);
}

const CHECK = {
  ...{ kind: 'bfd', intervalUs: 2_000_000, timeoutUs: 1_000_000, fall: 1, rise: 1 },
  ...{ retryDelayUs: null, jitterUs: 0, startSpreadUs: 0, initial: 'unknown' },
  ...{ address: null, port: null },
};

describe('check by BFD', () => {
  test('goes by the named session, or by the one whose neighbor is the server', () => {
    expect(checks(file('{bfd: {session: b}}'))).toEqual([{ ...CHECK, session: 'b' }]);
    const both = [
      { ...CHECK, session: 'a' },
      { ...CHECK, session: 'b' },
    ];
    expect(checks(file('bfd', '10.0.0.1, 10.0.0.2'))).toEqual(both);
    expect(checks(file('{bfd: {}}', '10.0.0.1, 10.0.0.2'))).toEqual(both);
    const sixes = 'bfd: {a: {neighbor: "2001:DB8:0::1"}}';
    const text = file('bfd', '"2001:db8::1"', sixes).replace('192.0.2.1:80', '[2001:db8::9]:80');
    expect(checks(text)).toEqual([{ ...CHECK, session: 'a' }]);
  });

  test('a server that says so leaves the kind of its service, and takes its thresholds', () => {
    const own = '10.0.0.2, {address: 10.0.0.1, check: bfd}';
    const common = 'timeout: 500ms, jitter: 1s, port: 81, address: 10.0.0.9, mark: 5, fall: 4';
    const read = checks(file(`{tcp: {}, ${common}}`, own));
    expect(read?.[0]).toMatchObject({ kind: 'tcp', mark: 5 });
    expect(read?.[1]).toEqual({ ...CHECK, fall: 4, session: 'a' });
    const more = '{bfd: {}, fall: 2, rise: 3, interval: 100ms, initial: down, retry_delay: 50ms}';
    expect(checks(file(more))).toEqual([
      {
        ...{ ...CHECK, fall: 2, rise: 3, intervalUs: 100_000, initial: 'down' },
        ...{ retryDelayUs: 50_000, session: 'a' },
      },
    ]);
  });

  test.each([
    [
      'a session that is not there',
      '{bfd: {session: c}}',
      'check.bfd.session: expected a BFD session: a or b',
    ],
    ['address', '{bfd: {}, address: 10.0.0.9}', 'a check by bfd has no address'],
    ['port', '{bfd: {}, port: 5}', 'a check by bfd has no port'],
    ['bind', '{bfd: {}, bind: 10.0.0.9}', 'a check by bfd has no bind'],
    ['device', '{bfd: {}, device: eth0}', 'a check by bfd has no device'],
    ['mark', '{bfd: {}, mark: 5}', 'a check by bfd has no mark'],
    ['timeout', '{bfd: {}, timeout: 1s}', 'a check by bfd has no timeout'],
    ['jitter', '{bfd: {}, jitter: 1s}', 'a check by bfd has no jitter'],
    ['start_spread', '{bfd: {}, start_spread: 1s}', 'a check by bfd has no start_spread'],
    ['through_vip', '{bfd: {}, through_vip: false}', 'a check by bfd has no through_vip'],
    ['another kind too', '{bfd: {}, ping: {}}', 'expected only one of ping and bfd'],
    ['a name that is none', '{bfd: {session: "a b"}}', 'check.bfd.session: expected a name of'],
    ['an unknown key', '{bfd: {name: a}}', 'check.bfd.name'],
    [
      'keepalived’s word',
      '{bfd_check: {name: a}}',
      'check.bfd_check: unknown key, did you mean bfd?',
    ],
  ])('%s is refused at its place', (_what, check, message) => {
    const lines = errorLines(file(check));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('f.yaml:1:');
    expect(lines[0]).toContain(message);
  });

  test('a server without a session of its own, and one with two, are told of', () => {
    const none = errorLines(file('bfd', '10.0.0.1, 10.0.0.3'));
    expect(none).toHaveLength(1);
    expect(none[0]).toContain('services.s.servers[1]: no BFD session has the neighbor 10.0.0.3');
    expect(errorLines(file('{bfd: {session: a}}', '10.0.0.1', ''))[0]).toContain('there is none');
    const two =
      'bfd: {a: {neighbor: 10.0.0.1, interface: eth0}, b: {neighbor: 10.0.0.1, interface: eth1}}';
    expect(errorLines(file('bfd', '10.0.0.1', two))[0]).toContain(
      'servers[0]: a and b have the neighbor 10.0.0.1: name one with check.bfd.session',
    );
    expect(checks(file('{bfd: {session: b}}', '10.0.0.1', two))).toMatchObject([{ session: 'b' }]);
  });

  test('a session with an error of its own is told of once', () => {
    const lines = errorLines(file('bfd', '10.0.0.1', 'bfd: {a: {neighbor: 10.0.0.300}}'));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('bfd.a.neighbor');
  });

  test('a server that goes by another server’s session is warned of', () => {
    const warned = (text: string) => {
      const warnings: string[] = [];
      readConfigText(text, {
        ...{ file: 'f.yaml', director: 'dir-a', hostname: 'host' },
        onWarning: (one) => warnings.push(formatConfigErrors([one], { color: false })),
      });
      return warnings;
    };
    const found = warned(file('{bfd: {session: a}}', '10.0.0.1, 10.0.0.2'));
    expect(found).toHaveLength(1);
    expect(found[0]).toContain('servers[1]: bfd.a is with another server, 10.0.0.1');
    // The router before them.
    expect(warned(file('{bfd: {session: a}}', '10.0.0.7, 10.0.0.8'))).toEqual([]);
    // It has no timeout that could be longer than the interval.
    expect(warned(file('{bfd: {}, interval: 200ms}'))).toEqual([]);
  });
});

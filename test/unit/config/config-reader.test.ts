/** Reading a configuration again by its changes gives what reading all of it gives. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConfigReader } from '../../../src/config/config-reader.ts';
import { readConfigText } from '../../../src/config/yaml.ts';

const OPTIONS = { file: 'test.yaml', director: 'dir-a', hostname: 'dir-a' };

function service(index: number, weight = 1): string {
  return `  s${index}: # number ${index}
    address: 192.0.2.10:${1000 + index}
    check:
      http: { path: /s${index} }
      interval: 2s
    servers:
      - 10.0.0.1:80
      - { address: 10.0.0.2:80, weight: ${weight} }
`;
}

function file(services: readonly string[], more = ''): string {
  return `# A comment
vrrp:
  vips: { interface: eth0, vrid: 1, addresses: [192.0.2.10/24] }
services:
  # The first
${services.join('')}${more}http: off
`;
}

const SERVICES = Array.from({ length: 6 }, (_, index) => service(index));

function whole(text: string) {
  return readConfigText(text, OPTIONS);
}

/** Reads one text after another; what comes of the last, and how it was read. */
function readAll(...texts: readonly string[]) {
  const reader = new ConfigReader(OPTIONS);
  const results = texts.map((text) => reader.read(text));
  return { results, last: results.at(-1), statistics: reader.statistics };
}

/** SERVICES with those at `index` replaced. */
function having(index: number, ...others: readonly string[]): readonly string[] {
  return [...SERVICES.slice(0, index), ...others, ...SERVICES.slice(index + 1)];
}

describe('ConfigReader', () => {
  test.each([
    ['a changed weight', file(having(3, service(3, 9)))],
    ['a change in the first service', file(having(0, service(0, 9)))],
    ['a change in the last service', file(having(5, service(5, 9)))],
    ['a new service in the middle', file(having(3, service(3), service(77)))],
    ['a new service at the end', file([...SERVICES, service(77)])],
    ['a service that is gone', file(having(3))],
    ['another name', file(having(3, service(78)))],
    ['two changes', file(having(2, service(2, 4)).with(4, service(4, 5)))],
    ['a comment', file(having(3, `  # why\n${service(3)}`))],
    ['nothing', file(SERVICES)],
  ])('reads %s by its lines alone', (_what, text) => {
    const { last, statistics } = readAll(file(SERVICES), text);
    expect(last).toEqual(whole(text));
    expect(statistics).toEqual({ whole: 1, changes: 1 });
  });

  test.each([
    ['another section', file(SERVICES).replace('vrid: 1', 'vrid: 2')],
    ['the head of the section', file(SERVICES).replace('# The first', '# the first')],
    ['a second service of one name', file(having(3, service(2).replace('1002', '2002')))],
    ['a second service of one address', file(having(3, service(79).replace('1079', '1002')))],
    ['an error', file(having(3, service(3).replace('2s', '2 parsecs')))],
    ['a key that is not known', file(having(3, `${service(3)}    wieght: 3\n`))],
    ['lines of another depth', file(having(3, service(3).replaceAll(/^/gm, '  ')))],
    ['a quote that is left open', file(having(3, service(3).replace('/s3 }', '"/s3 }')))],
    ['an anchor', file(having(3, service(3).replace('192', '&a 192')))],
    ['a second document', file(having(3, `${service(3)}---\n`))],
    ['no services any more', file([])],
  ])('reads all of a text with %s', (_what, text) => {
    const { last, statistics } = readAll(file(SERVICES), text);
    expect(last).toEqual(whole(text));
    expect(statistics).toEqual({ whole: 2, changes: 0 });
  });

  test('leaves services that did not change the same objects, however they were read', () => {
    const texts = [
      file(SERVICES),
      file(having(3, service(3, 9))),
      file(having(3, service(3, 9))).replace('vrid: 1', 'vrid: 2'),
    ];
    const { results, statistics } = readAll(...texts);
    expect(statistics).toEqual({ whole: 2, changes: 1 });
    const read = results.map((result) => (result.ok ? result.value.services : []));
    const same = (left: number, right: number) =>
      read[left]?.map((one, index) => one === read[right]?.[index]);
    expect(same(0, 1)).toEqual([true, true, true, false, true, true]);
    expect(same(1, 2)).toEqual(Array(6).fill(true));
  });

  test('goes on from the last good text after an error', () => {
    const bad = file(having(3, service(3).replace('2s', '2 parsecs')));
    const { results, statistics } = readAll(file(SERVICES), bad, file(having(2, service(2, 4))));
    expect(results.map(({ ok }) => ok)).toEqual([true, false, true]);
    expect(results[2]).toEqual(whole(file(having(2, service(2, 4)))));
    expect(statistics).toEqual({ whole: 2, changes: 1 });
  });

  test('finds the BFD sessions of services that it reads alone, and misses one that is gone', () => {
    const bfd = 'bfd: { a: { neighbor: 10.0.0.1 }, b: { neighbor: 10.0.0.2 } }\n';
    const checked = service(3).replace(/ check:[\s\S]*?2s/, ' check: bfd');
    const first = file(having(3, checked), bfd);
    const other = file(having(3, checked.replace('weight: 1', 'weight: 7')), bfd);
    const gone = other.replace('10.0.0.2 } }', '10.0.0.9 } }');
    const { results, statistics } = readAll(first, other, gone);
    expect(results).toEqual([whole(first), whole(other), whole(gone)]);
    expect(results.map(({ ok }) => ok)).toEqual([true, true, false]);
    expect(statistics).toEqual({ whole: 2, changes: 1 });
  });

  test('sees a tracker of a service that is gone', () => {
    const tracked = (services: readonly string[]) =>
      file(services, 'trackers: { up: { service: s3 } }\n');
    const { results, last } = readAll(tracked(SERVICES), tracked(having(3)));
    expect(results[0]?.ok).toBe(true);
    expect(last).toEqual(whole(tracked(having(3))));
    expect(last?.ok).toBe(false);
  });

  test('is readConfigText, whatever is done to the text', () => {
    const pieces = [
      ...['\n', ' ', '  ', '    ', '"', "'", '{', '}', '[', ']', ':', ': ', '- ', '#', '|', '\t'],
      ...['9', 's3', '&a ', '*a', 'weight: 2', '    quorum: 2\n', '---\n', '%YAML 1.2\n', '\r\n'],
      ...[service(1, 3), service(44), '  a:\n', '    persistence: 5m\n', '      - 10.0.0.3:80\n'],
    ];
    const edit = fc.record({
      at: fc.nat(999).map((thousandth) => thousandth / 1_000),
      drop: fc.oneof(fc.constant(0), fc.nat(3), fc.nat(200)),
      put: fc.oneof(fc.constant(''), fc.constantFrom(...pieces)),
    });
    let changes = 0;
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
        const reader = new ConfigReader(OPTIONS);
        let text = file(SERVICES);
        reader.read(text);
        for (const { at, drop, put } of edits) {
          const offset = Math.floor(at * text.length);
          text = text.slice(0, offset) + put + text.slice(offset + drop);
          expect(reader.read(text)).toEqual(whole(text));
        }
        changes += reader.statistics.changes;
      }),
      { numRuns: 60 },
    );
    expect(changes).toBeGreaterThan(5);
  }, 180_000);
});

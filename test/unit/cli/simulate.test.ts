/** vipkeeper simulate: the guide's example to the letter, the picture, JSON and what is refused. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { EXIT } from '../../../src/cli/commands.ts';
import { type SimulateOptions, simulate } from '../../../src/cli/simulate.ts';
import { UsageError } from '../../../src/cli/usage.ts';
import { fakeTerminal } from './fake-terminal.ts';

const GUIDE = readFileSync(join(import.meta.dirname, '../../../docs/guides/simulate.md'), 'utf8');
const directory = mkdtempSync(join(tmpdir(), 'simulate-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** A fenced block of the guide, counted from 0. */
function block(language: string, index = 0): string {
  const found = [...GUIDE.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, 'g'))][index];
  if (found === undefined) throw new Error(`The guide has no block ${index} of ${language}`);
  return found[1] as string;
}

function file(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

const PAIR = file('pair.yaml', block('yaml'));
const FAULTS = file('faults.yaml', block('yaml', 1));

async function run(options: Partial<SimulateOptions>) {
  const terminal = fakeTerminal();
  const exit = await simulate(
    {
      files: [PAIR],
      directors: [],
      script: null,
      duration: null,
      seed: '1',
      svg: null,
      json: false,
      ...options,
    },
    terminal,
  );
  return { exit, ...terminal.written };
}

async function document(options: Partial<SimulateOptions>) {
  return JSON.parse((await run({ ...options, json: true })).out);
}

describe('simulate', () => {
  test('tells an error of the one file once, not for each director', async () => {
    const files = [file('wrong.yaml', block('yaml').replace('vrid: 51', 'vrid: 351'))];
    const { exit, err } = await run({ files });
    expect(exit).toBe(EXIT.usage);
    expect(err.match(/vrrp\.web\.vrid/g)).toHaveLength(1);
  });

  test('says who is on which side where three directors do not hear one another', async () => {
    const text = block('yaml').replace('dir-b: 100', 'dir-b: 100, dir-c: 50');
    const script = '- { at: 10s, fault: partition, between: [[dir-a], [dir-b, dir-c]], for: 5s }\n';
    const { faults } = await document({
      files: [file('three.yaml', text)],
      script: file('parted.yaml', script),
    });
    expect(faults[0].text).toBe(
      'dir-a on one side and dir-b, dir-c on the other do not hear one another for 5 s',
    );
  });

  test('prints what the guide shows', async () => {
    const { exit, out, err } = await run({ script: FAULTS, duration: '45s' });
    const [, shown = ''] = block('console').split(/^\$ .*\n/m);
    expect([exit, err]).toEqual([EXIT.ok, '']);
    expect(out).toBe(shown);
  });

  test('without a script every director of the file is taken on the tour', async () => {
    const { directors, faults, held, lanes } = await document({});
    expect(directors).toEqual(['dir-a', 'dir-b']);
    expect(faults.map(({ kind }: { kind: string }) => kind)).toEqual([
      'power-loss',
      'link-down',
      'stall',
      'partition',
      'stop',
    ]);
    expect(held).toBe(true);
    expect(lanes).toHaveLength(2);
  });

  test('the same input gives the same output, another seed another one', async () => {
    const first = await run({});
    expect(await run({})).toEqual(first);
    expect((await run({ seed: '2' })).out).not.toBe(first.out);
  });

  test('the backup takes over when the active one has no power, and outages are told', async () => {
    const { services } = await document({ script: FAULTS });
    const [{ outages }] = services;
    expect(outages).toHaveLength(1);
    const lastsUs = outages[0].toUs - outages[0].fromUs;
    // Less than three intervals and the skew time of priority 100.
    expect(lastsUs).toBeGreaterThan(2_600_000);
    expect(lastsUs).toBeLessThan(3_620_000);
  });

  test('a link of one member moves the whole sync group, by the interfaces of the file', async () => {
    const two = `${block('yaml')}  inside:
    interface: eth1
    vrid: 52
    priority: { dir-a: 150, dir-b: 100 }
    addresses: [10.0.0.1/24]
groups:
  edge: { instances: [web, inside] }
`;
    const script = file(
      'link.yaml',
      '- { at: 10s, fault: link-down, director: dir-a, interface: eth1 }\n',
    );
    const { transitions } = await document({ files: [file('two.yaml', two)], script });
    const late = transitions.filter(({ atUs }: { atUs: number }) => atUs >= 10_000_000);
    expect(late).toContainEqual(
      expect.objectContaining({ director: 'dir-a', instance: 'web', reason: 'group-member-fault' }),
    );
    expect(late).toContainEqual(
      expect.objectContaining({ director: 'dir-b', instance: 'web', to: 'active' }),
    );
  });

  test('unicast peers have the addresses that the others list', async () => {
    const peers = '    peers: [192.0.2.1, 192.0.2.2]\n';
    const one = file('unicast.yaml', `${block('yaml')}${peers}`);
    const { transitions, broken } = await document({
      files: [one],
      duration: '45s',
      script: FAULTS,
    });
    expect(broken).toEqual([]);
    expect(transitions.filter(({ to }: { to: string }) => to === 'active')).toHaveLength(5);
    const a = file('unicast-a.yaml', `${block('yaml')}    peers: [192.0.2.2]\n`);
    const b = file('unicast-b.yaml', `${block('yaml')}    peers: [192.0.2.1]\n`);
    const directors = ['dir-a', 'dir-b'];
    const each = await document({ files: [a, b], directors, duration: '45s', script: FAULTS });
    expect(each.broken).toEqual([]);
    // Neither lists the other.
    const wrong = await document({ files: [a, a], directors, duration: '45s', script: FAULTS });
    expect(wrong.broken.map(({ invariant }: { invariant: string }) => invariant)).toContain(
      'overlap-ends',
    );
  });

  test('a startup delay of the configuration counts', async () => {
    const delayed = file('delayed.yaml', `${block('yaml')}keeper: { startup_delay: 10s }\n`);
    const { transitions } = await document({ files: [delayed], duration: '45s', script: FAULTS });
    expect(transitions[0]).toMatchObject({ to: 'backup', reason: 'startup-delay' });
    const active = transitions.find(({ to }: { to: string }) => to === 'active');
    expect(active.atUs).toBeGreaterThan(13_000_000);
  });

  test('directors that do not understand one another break promises, which ends in status 1', async () => {
    const other = file('other.yaml', block('yaml').replace('vrid: 51', 'vrid: 52'));
    const { exit, out } = await run({ files: [PAIR, other], directors: ['dir-a', 'dir-b'] });
    expect(exit).toBe(EXIT.failed);
    expect(out).toContain('Broken: overlap-ends of web');
  });

  test('says what the directors have not in common, at the beginning and after a reload', async () => {
    const base = block('yaml').replace('{ dir-a: 150, dir-b: 100 }', '150');
    const files = [
      file('dir-a.yaml', base.replace('[192.0.2.10/24]', '[192.0.2.10/24, 192.0.2.11/24]')),
      file('dir-b.yaml', base),
    ];
    file('slow.yaml', base.replace('vrid: 51', 'vrid: 51\n    interval: 2s'));
    const script = file(
      'slower.yaml',
      '- { at: 9s, fault: reload, director: dir-b, file: slow.yaml }\n',
    );
    const lacks = 'dir-b lacks 192.0.2.11 of web: clients of it reach nobody while dir-b is active';
    const { out } = await run({ files, duration: '5s' });
    expect(out.split('\n').slice(1, 3)).toEqual([`! ${lacks}`, '']);
    const { differences } = await document({ files, script });
    expect(differences).toEqual([lacks, 'The interval of web is 1s on dir-a and 2s on dir-b']);
    expect((await document({ duration: '5s' })).differences).toEqual([]);
    const other = file('other.yaml', base.replace('web:', 'mail:').replace('51', '52'));
    const apart = await document({ files: [files[1] as string, other], duration: '5s' });
    expect(apart.differences).toEqual(['other has no instance web', 'dir-b has no instance mail']);
  });

  test('a reload takes its file from beside the script', async () => {
    file('swapped.yaml', block('yaml').replace('dir-b: 100', 'dir-b: 200'));
    const script = file(
      'reload.yaml',
      '- { at: 10s, fault: reload, director: dir-b, file: swapped.yaml }\n',
    );
    const { transitions } = await document({ script });
    expect(transitions.at(-2)).toMatchObject({ director: 'dir-b', to: 'active' });
    expect(transitions.at(-1)).toMatchObject({ director: 'dir-a', to: 'backup' });
  });

  test('the picture is one SVG with a lane for each director and every fault explained', async () => {
    const svg = join(directory, 'timeline.svg');
    const { out } = await run({ script: FAULTS, svg });
    expect(out).toContain(`The picture is in ${svg}\n`);
    const picture = readFileSync(svg, 'utf8');
    expect(picture).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    expect(picture).toContain('>dir-b</text>');
    expect(picture).toContain('dir-a has no power for 8 s');
    expect(picture).toContain('class="none"');
    expect(picture.match(/<(text|rect|svg|style|title|defs|pattern)\b/g)?.length).toBeGreaterThan(
      40,
    );
    expect(picture).not.toMatch(/NaN|undefined|Infinity/);
  });

  test('errors of configurations and scripts are told with their places, and nothing is run', async () => {
    const broken = file('broken.yaml', block('yaml').replace('vrid: 51', 'vrid: 0'));
    const { exit, out, err } = await run({ files: [broken] });
    expect([exit, out]).toEqual([EXIT.usage, '']);
    expect(err).toContain('broken.yaml:4:11: vrrp.web.vrid: expected');
  });

  test.each([
    [{ duration: '5' }, '--for takes a duration such as 60s, at most 1h'],
    [{ seed: '-1' }, '--seed takes a whole number'],
    [{ directors: ['dir-a'] }, 'Only one director is known'],
    [{ directors: ['a b'] }, '"a b" cannot be the name of a director'],
    [{ files: [PAIR, PAIR], directors: ['x'] }, 'There are 2 files and 1 directors'],
    [{ script: '/nowhere/at/all.yaml' }, 'The script /nowhere/at/all.yaml cannot be read'],
    [{ svg: '/nowhere/at/all.svg' }, 'The picture cannot be written'],
  ])('%j is refused in a sentence', async (options, message) => {
    const error = await run(options).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UsageError);
    expect((error as UsageError).message).toContain(message);
  });
});

/**
 * Every kind of finding on a real pair: one instance for each, in which the kind is brought about,
 * and in which it is mended. Each is in `vipkeeper explain` as text and JSON, in the metric and in
 * the log, with its cure and a section of the runbook that there is, and is gone when it is mended.
 * A kind without an instance here does not compile. Needs root, a build.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Explanation } from '../../src/core/vrrp/explain.ts';
import { FINDING_KINDS, type FindingKind } from '../../src/core/vrrp/explain.ts';
import { Director } from '../lab/director.ts';
import { check, LabError, localMachine } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 180_000;
/** Findings are looked for every few seconds, an address conflict needs several questions. */
const FINDING_TIMEOUT_MS = 60_000;
const RUNBOOK = readFileSync(new URL('../../docs/runbooks/vrrp.md', import.meta.url), 'utf8');

type Fields = Readonly<Record<string, unknown>>;

interface Scenario {
  /** What differs from an instance that is well, on a, which finds it, and on b. */
  readonly a?: Fields;
  readonly b?: Fields;
  /** What of both differs. */
  readonly both?: Fields;
  /** Commands on a, before it starts, or while it runs, and those that mend it. */
  readonly before?: readonly string[];
  readonly meanwhile?: readonly string[];
  readonly mend?: readonly string[];
  /** The same on a machine that is no director. */
  readonly stranger?: { readonly meanwhile: string; readonly mend: string };
  /** What the finding says, of whom. */
  readonly text: RegExp;
  readonly about?: string;
}

let topology: Topology;
let nodes: readonly [LabNode, LabNode];
let client: LabNode;
let a: Director;
let b: Director;

/** By kind, and by what is wrong where a kind has several. */
const SCENARIOS: Readonly<
  Record<FindingKind, Scenario> & Record<`adverts-refused ${string}`, Scenario>
> = {
  // b does not take what a says, so that it is active for itself, and a hears it.
  'duplicate-active': {
    a: { priority: 150 },
    b: { check_addresses: 'refuse', extra: true },
    text: /^192\.0\.2\.12 advertises as active too, with priority 200: it wins|with priority 100: this director wins/,
    about: '192.0.2.12',
  },
  'two-owners': {
    both: { priority: 255 },
    text: /^192\.0\.2\.12 advertises as the owner of the addresses \(priority 255\), and so is/,
    about: '192.0.2.12',
  },
  'interval-mismatch': {
    b: { interval: '300ms', priority: 200 },
    text: /^192\.0\.2\.12 advertises every 300 ms, this director every 100 ms$/,
    about: '192.0.2.12',
  },
  'address-list-mismatch': {
    b: { extra: true, priority: 200 },
    text: /^192\.0\.2\.12 carries other addresses: has 192\.0\.2\.\d+ besides$/,
    about: '192.0.2.12',
  },
  'vrid-mismatch': {
    b: { vrid: 254 },
    text: /^192\.0\.2\.12 advertises 192\.0\.2\.\d+ under VRID 254, this director under \d+: each/,
    about: '192.0.2.12',
  },
  'adverts-refused': {
    both: { version: 2, interval: '1s' },
    a: { password: 'first' },
    b: { password: 'second' },
    text: /^Advertisements of 192\.0\.2\.12 are refused \(authentication\).*active too/,
    about: '192.0.2.12',
  },
  'adverts-refused interval': {
    both: { version: 2 },
    a: { interval: '1s' },
    b: { interval: '2s' },
    text: /refused \(interval-mismatch\).*2/,
    about: '192.0.2.12',
  },
  'adverts-refused addresses': {
    both: { check_addresses: 'refuse' },
    b: { extra: true },
    text: /refused \(addresses-mismatch\)/,
    about: '192.0.2.12',
  },
  'adverts-refused version': {
    both: { interval: '1s' },
    a: { version: 3 },
    b: { version: 2 },
    text: /refused \(version-mismatch\)/,
    about: '192.0.2.12',
  },
  'adverts-refused unicast': {
    b: { peers: ['192.0.2.11', '192.0.2.12'] },
    text: /refused \(not-multicast\)/,
    about: '192.0.2.12',
  },
  'adverts-refused ttl': {
    both: { peers: ['192.0.2.11', '192.0.2.12'] },
    a: { peers: [{ address: '192.0.2.12', max_ttl: 254 }] },
    b: { priority: 200 },
    text: /refused \(ttl\)/,
    about: '192.0.2.12',
  },
  'peer-unreachable': {
    a: { priority: 200, peers: ['192.0.2.12', '192.0.2.77'] },
    b: { peers: ['192.0.2.11'] },
    meanwhile: [
      'nft add table ip t ; add chain ip t out { type filter hook output priority 0 ; } ; add rule ip t out ip daddr 192.0.2.77 drop',
    ],
    mend: ['nft delete table ip t'],
    text: /^Advertisements to 192\.0\.2\.77 cannot be sent \(EPERM\)$/,
    about: '192.0.2.77',
  },
  'address-missing': {
    a: { priority: 200, more: [{ address: '2001:db8:9::1/64', interface: 'vip0' }] },
    before: ['sysctl -qw net.ipv6.conf.vip0.disable_ipv6=1'],
    mend: ['sysctl -qw net.ipv6.conf.vip0.disable_ipv6=0'],
    text: /^2001:db8:9::1 is not on vip0 although this director is active: .*IPv6 is disabled/,
    about: '2001:db8:9::1',
  },
  'address-unexpected': {
    b: { priority: 200 },
    meanwhile: ['ip address add VIP/24 dev eth0'],
    mend: ['ip address del VIP/24 dev eth0'],
    text: /is on eth0 although this director is backup/,
  },
  'address-conflict': {
    a: { priority: 200 },
    stranger: {
      meanwhile: 'ip address add VIP/32 dev eth0',
      mend: 'ip address del VIP/32 dev eth0',
    },
    text: /./,
  },
  'routing-missing': {
    a: { priority: 200, routes: [{ to: '203.0.113.0/24', via: '198.18.0.1' }] },
    text: /^The route 203\.0\.113\.0\/24.* is missing although this director is active: /,
  },
  'faulty-tracker': {
    a: { track: ['fails'] },
    text: /^Tracker fails forbids this director to take part: /,
    about: 'fails',
  },
  'in-fault': {
    a: { interface: 'down0', addresses: ['198.18.9.10/24'] },
    text: /^down0 is down or has no carrier, so this director cannot take part$/,
  },
};

const NAMES = Object.keys(SCENARIOS);
const scenarioOf = (name: string) => SCENARIOS[name as FindingKind];
const instanceOf = (name: string) => name.replaceAll(' ', '-');
const kindOf = (name: string) => name.split(' ')[0] as FindingKind;
const vipOf = (name: string) => virtualIp(1 + NAMES.indexOf(name)).ipv4;

/** A configuration of one of the two; `mended`: as it should be. */
function configOf(side: 'a' | 'b', mended: boolean): Fields {
  const vrrp: Record<string, Fields> = {};
  for (const [index, name] of NAMES.entries()) {
    const scenario = scenarioOf(name);
    const { both, a: onA, b: onB } = scenario;
    const own = mended ? {} : { ...both, ...(side === 'a' ? onA : onB) };
    const { extra, more, ...options } = own as { extra?: boolean; more?: unknown[] };
    const extraVip = extra === true ? [`${virtualIp(40 - index).ipv4}/24`] : [];
    vrrp[instanceOf(name)] = {
      ...{ interface: 'eth0', vrid: 101 + index, interval: '100ms', priority: 100 },
      addresses: [`${vipOf(name)}/24`, ...extraVip, ...(more ?? [])],
      ...options,
    };
  }
  const trackers = { fails: { script: ['/bin/false'], interval: '1s', timeout: '1s' } };
  return { vrrp, trackers, conflict_check: '10s', notify: { script_security: false } };
}

beforeAll(async () => {
  await ensurePackages(NETWORK_PACKAGES);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { realServers: 1, clients: 1 });
  nodes = topology.directors as unknown as [LabNode, LabNode];
  client = topology.clients[0] as LabNode;
  for (const name of ['vip0', 'down0']) {
    await check(nodes[0], ['ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}-e`]);
    await check(nodes[0], ['ip', 'address', 'add', '198.18.9.1/24', 'dev', name, 'noprefixroute']);
  }
  for (const name of ['vip0', 'vip0-e']) await check(nodes[0], ['ip', 'link', 'set', name, 'up']);
  await shell(nodes[0], ({ before }) => before);
  a = await Director.start(nodes[0], { name: 'a', config: configOf('a', false) });
  b = await Director.start(nodes[1], { name: 'b', config: configOf('b', false) });
  await b.waitForState('address-unexpected', 'active');
  await a.waitForState('address-unexpected', 'backup');
  await shell(nodes[0], ({ meanwhile }) => meanwhile);
  await shell(client, ({ stranger }) => stranger && [stranger.meanwhile]);
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  await a?.dispose();
  await b?.dispose();
  await topology?.dispose();
});

/** Runs commands of all scenarios. */
async function shell(
  node: LabNode,
  commands: (scenario: Scenario) => readonly string[] | undefined,
): Promise<void> {
  for (const name of NAMES) {
    for (const command of commands(scenarioOf(name)) ?? []) {
      const [program, ...argv] = command.replaceAll('VIP', vipOf(name)).split(' ');
      const nft = program === 'nft' ? [argv.join(' ')] : argv;
      await check(node, [program as string, ...nft]);
    }
  }
}

async function explained(name: string): Promise<Explanation> {
  const { stdout } = await a.run(['explain', instanceOf(name), '--json']);
  return (JSON.parse(stdout) as Explanation[])[0] as Explanation;
}

const labelsOf = (name: string) => `{vrrp_instance="${instanceOf(name)}",kind="${kindOf(name)}"}`;

describe('a finding', { timeout: TEST_TIMEOUT_MS }, () => {
  it('of each kind is brought about by a scenario', () => {
    expect(new Set(NAMES.map(kindOf))).toEqual(new Set(FINDING_KINDS));
  });

  it.each(NAMES)(
    '%s: is explained, a metric, and a line of the log with cure and runbook',
    async (name) => {
      const { text, about } = scenarioOf(name);
      const [instance, kind] = [instanceOf(name), kindOf(name)];
      const line = await a.waitForLine(
        'finding',
        { instance, kind, began: true },
        0,
        FINDING_TIMEOUT_MS,
      );
      const explanation = await explained(name);
      const found = explanation.findings.filter((finding) => finding.kind === kind);
      expect(found.map((finding) => finding.text)).toContainEqual(expect.stringMatching(text));
      const finding = found[0] as Explanation['findings'][number];
      if (about !== undefined) expect(finding.about).toBe(about);
      expect(finding.cure.length).toBeGreaterThan(10);
      const [page, section] = finding.runbook.split('#');
      expect(page).toBe('docs/runbooks/vrrp.md');
      expect(RUNBOOK).toContain(`\n## ${section}\n`);
      expect(line).toMatchObject({ cure: expect.any(String), runbook: finding.runbook });
      expect(line.msg).toContain(line.cure as string);
      expect((await a.metric('vipkeeper_vrrp_finding')).get(labelsOf(name))).toBe(1);
      const words = (await a.run(['explain', instance])).stdout.replaceAll(/\s+/g, ' ');
      expect(words).toContain(finding.cure.replaceAll(/\s+/g, ' '));
    },
  );

  it('of each kind is over when it is mended, in the log and the metric too', async () => {
    const mark = a.mark;
    await shell(nodes[0], ({ mend }) => mend);
    await shell(client, ({ stranger }) => stranger && [stranger.mend]);
    await check(nodes[0], ['ip', 'link', 'set', 'down0', 'up']);
    for (const [side, director] of [
      ['a', a],
      ['b', b],
    ] as const) {
      director.configure(configOf(side, true));
    }
    // At once: what one is told by the other in between would be a finding.
    await Promise.all([a.reload(), b.reload()]);
    for (const name of NAMES) {
      const [instance, kind] = [instanceOf(name), kindOf(name)];
      const over = { instance, kind, began: false };
      await a.waitForLine('finding', over, mark, FINDING_TIMEOUT_MS);
    }
    await a.waitFor(
      'no finding to be left',
      async () =>
        [...(await a.metric('vipkeeper_vrrp_finding')).values()].every((one) => one === 0),
      FINDING_TIMEOUT_MS,
    );
    expect((await a.run(['explain'])).code).toBe(0);
    // What was mended is nothing else that is wrong.
    expect(a.lines('finding', { began: true }, mark)).toEqual([]);
  });
});

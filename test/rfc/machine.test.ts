/**
 * A positive and a negative proof of every row of machine-ledger.ts that has no reason to lack
 * one. Positive: what the standard wants happens. Negative: what it forbids, or the case in which
 * it wants something else, does not. A proof runs here, on the pure machine, or is a test of the
 * whole director that is named with its file: the ledger fails when there is no such test.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { DEFAULTS } from '../../src/core/config/defaults.ts';
import { parseIp } from '../../src/core/ip.ts';
import {
  INITIAL_STATE,
  nextDeadlineUs,
  step,
  type VrrpState,
} from '../../src/core/vrrp/instance.ts';
import { activeDownIntervalUs, skewTimeUs } from '../../src/core/vrrp/timing.ts';
import type { InstanceOptions, VrrpEffect, VrrpEvent } from '../../src/core/vrrp/types.ts';
import { ARP_FRAME_BYTES, decodeArp, encodeGratuitousArp } from '../../src/core/wire/arp.ts';
import { BROADCAST_MAC, virtualRouterMac } from '../../src/core/wire/ethernet.ts';
import {
  decodeNeighborAdvertisement,
  encodeUnsolicitedNa,
  NA_FRAME_BYTES,
} from '../../src/core/wire/ndisc.ts';
import { unwrap } from '../unit/core/wire/frames.ts';
import { MACHINE_REQUIREMENTS, type ProvenId } from './machine-ledger.ts';
import { PACKET_REQUIREMENTS } from './packet-ledger.ts';

const SECOND = 1_000_000;
const V3: InstanceOptions = {
  version: 3,
  priority: 100,
  advertIntervalUs: SECOND,
  preempt: true,
  preemptDelayUs: 0,
  announce: DEFAULTS.vrrp.announce,
};
const V2: InstanceOptions = { ...V3, version: 2 };
const BOTH = [V3, V2];
const started: VrrpEvent = { kind: 'started', atUs: 0 };
const due = (atUs: number): VrrpEvent => ({ kind: 'deadline-reached', atUs });
const stopped = (atUs: number): VrrpEvent => ({ kind: 'stopped', atUs });

type Heard = Extract<VrrpEvent, { kind: 'advert-received' }>;
const hear = (atUs: number, priority: number, more: Partial<Heard> = {}): VrrpEvent => ({
  kind: 'advert-received',
  atUs,
  priority,
  advertIntervalUs: SECOND,
  fromHigherAddress: false,
  ...more,
});

interface Outcome {
  readonly state: VrrpState;
  readonly effects: readonly VrrpEffect[];
  readonly kinds: readonly string[];
}

/** The last step of these events; from the start. */
function after(options: InstanceOptions, ...events: readonly VrrpEvent[]): Outcome {
  let state: VrrpState = INITIAL_STATE;
  let effects: readonly VrrpEffect[] = [];
  for (const event of events) ({ state, effects } = step(options, state, event));
  return { state, effects, kinds: effects.map(({ kind }) => kind) };
}

const downUs = (options: InstanceOptions): number => activeDownIntervalUs(options, SECOND);

/** The same once it is active, by silence; what follows counts from `activeAtUs`. */
function whileActive(
  options: InstanceOptions,
  ...events: readonly ((activeAtUs: number) => VrrpEvent)[]
): Outcome & { readonly activeAtUs: number } {
  const activeAtUs = downUs(options);
  const later = events.map((event) => event(activeAtUs));
  return { ...after(options, started, due(activeAtUs), ...later), activeAtUs };
}

const TAKEOVER = ['send-advert', 'add-addresses', 'announce', 'report-transition'];
const VIP = parseIp('192.0.2.10') as Uint8Array;
const VIP6 = parseIp('2001:db8::10') as Uint8Array;

function gratuitousArp() {
  const frame = new Uint8Array(ARP_FRAME_BYTES);
  const senderMac = virtualRouterMac('ipv4', 51);
  encodeGratuitousArp(frame, { senderMac, vip: VIP, targetMac: BROADCAST_MAC });
  return unwrap(decodeArp(frame));
}

function unsolicitedNa() {
  const frame = new Uint8Array(NA_FRAME_BYTES);
  const senderMac = virtualRouterMac('ipv6', 51);
  encodeUnsolicitedNa(frame, { senderMac, vip: VIP6, router: true, override: true });
  return unwrap(decodeNeighborAdvertisement(frame));
}

/** A test elsewhere, by its file under test/ and its whole name. */
interface Elsewhere {
  readonly file: string;
  readonly name: string;
}
type Proof = (() => void) | Elsewhere;

const director = (name: string): Elsewhere => ({ file: 'netns/director.test.ts', name });
const vmac = (name: string): Elsewhere => ({ file: 'netns/vmac.test.ts', name });
const socket = (name: string): Elsewhere => ({ file: 'netns/vrrp-socket.test.ts', name });

const KNOWN_MAC = vmac(
  'is what hosts know of the VIP, before, during and after a failover, and nothing else',
);
const BACKUP_LINK = vmac(
  'is on a link that bears the VIPs alone, and that a backup keeps down and empty',
);
const FAILS_OVER = director('the higher priority preempts, in real time, and the lower one yields');

const accept = (name: string): Elsewhere => ({ file: 'netns/accept.test.ts', name });
const explain = (name: string): Elsewhere => ({ file: 'unit/core/vrrp/explain.test.ts', name });
const ONLY_RESOLVED = accept(
  'false: neighbours resolve the virtual IPs, and nothing else is taken',
);
const ANNOUNCED: Elsewhere = {
  file: 'netns/announce.test.ts',
  name: 'announces every VIP before any again, a second time later, and then refreshes',
};

const PARAMETERS = {
  'RFC9568-2.5-1': {
    positive: explain('finds a second active director and says who wins'),
    negative: explain('does not take a peer that fell silent for a second active one'),
  },
  'RFC9568-6.1-4': {
    positive: ONLY_RESOLVED,
    negative: accept('is on by default, and the packet filter is left alone'),
  },
  'RFC9568-6.1-1': {
    positive: () => {
      expect(skewTimeUs(V3, SECOND)).toBe(609_375);
      expect(skewTimeUs({ ...V3, priority: 254 }, 10_000)).toBe(78);
    },
    negative: () => expect(skewTimeUs(V3, 2 * SECOND)).toBe(2 * skewTimeUs(V3, SECOND)),
  },
  'RFC3768-6.1-1': {
    positive: () => expect(skewTimeUs(V2, SECOND)).toBe(609_375),
    negative: () => expect(skewTimeUs(V2, 10 * SECOND)).toBe(skewTimeUs(V2, SECOND)),
  },
  'RFC9568-6.1-2': {
    positive: () => {
      for (const options of BOTH) {
        expect(after(options, started, due(3 * SECOND + 609_375)).state.kind).toBe('active');
      }
    },
    negative: () => {
      for (const options of BOTH) {
        expect(after(options, started, due(3 * SECOND + 609_374)).state.kind).toBe('backup');
      }
    },
  },
  'RFC9568-6.1-3': {
    positive: () => {
      for (const options of BOTH) {
        const owner = { ...options, priority: 255, preempt: false };
        const cleared: VrrpEvent = { kind: 'fault-cleared', atUs: 2, reason: 'interface-up' };
        const down: VrrpEvent = { kind: 'fault-raised', atUs: 1, reason: 'interface-down' };
        expect(after(owner, down, cleared).state.kind).toBe('active');
      }
    },
    negative: () => {
      for (const options of BOTH) {
        const meek = { ...options, priority: 254, preempt: false };
        const heard = after(meek, started, hear(SECOND, 1));
        expect(nextDeadlineUs(heard.state)).toBe(SECOND + downUs(meek));
      }
    },
  },
} as const satisfies Proofs;

const INITIALIZE = {
  'RFC9568-6.4.1-1': {
    positive: () => {
      for (const options of BOTH) {
        const { state, kinds } = after({ ...options, priority: 255 }, started);
        expect([state.kind, kinds]).toEqual(['active', TAKEOVER]);
        expect(state).toMatchObject({ advertAtUs: SECOND });
      }
    },
    negative: () => {
      for (const options of BOTH) {
        expect(after({ ...options, priority: 254 }, started).kinds).toEqual(['report-transition']);
      }
    },
  },
  'RFC9568-6.4.1-2': {
    positive: () => {
      for (const options of BOTH) {
        const { state } = after(options, started);
        expect([state.kind, nextDeadlineUs(state)]).toEqual(['backup', downUs(options)]);
      }
    },
    negative: () => {
      for (const options of BOTH) {
        expect(after(options, hear(0, 1), due(1)).state).toEqual(INITIAL_STATE);
      }
    },
  },
  'RFC9568-6.4.1-3': {
    positive: () => {
      const arp = gratuitousArp();
      expect(arp).toMatchObject({ operation: 'request', destinationMac: BROADCAST_MAC });
      expect([arp.senderIp, arp.targetIp]).toEqual([VIP, VIP]);
      expect(arp.senderMac).toEqual(virtualRouterMac('ipv4', 51));
    },
    negative: KNOWN_MAC,
  },
  'RFC9568-6.4.1-4': {
    positive: () => {
      const na = unsolicitedNa();
      expect(na).toMatchObject({ override: true, target: VIP6 });
      expect(na.targetMac).toEqual(virtualRouterMac('ipv6', 51));
    },
    negative: () => expect(unsolicitedNa().solicited).toBe(false),
  },
} as const satisfies Proofs;

const BACKUP = {
  'RFC9568-6.4.2-1': { positive: KNOWN_MAC, negative: BACKUP_LINK },
  'RFC9568-6.4.2-2': { positive: KNOWN_MAC, negative: BACKUP_LINK },
  'RFC9568-6.4.2-4': { positive: KNOWN_MAC, negative: BACKUP_LINK },
  'RFC9568-6.4.2-5': {
    positive: FAILS_OVER,
    negative: () => {
      for (const options of BOTH) {
        const lost = whileActive(options, (at) => hear(at + 1, 200));
        expect(lost.kinds).toEqual(['remove-addresses', 'report-transition']);
      }
    },
  },
  'RFC9568-6.4.2-6': {
    positive: () => {
      for (const options of BOTH) {
        expect(after(options, started, stopped(1)).state).toEqual(INITIAL_STATE);
      }
    },
    negative: () => {
      for (const options of BOTH) {
        expect(after(options, started, stopped(1)).kinds).not.toContain('send-advert');
        expect(nextDeadlineUs(after(options, started, stopped(1)).state)).toBeNull();
      }
    },
  },
  'RFC9568-6.4.2-7': {
    positive: () => {
      for (const options of BOTH) {
        const { state, kinds, activeAtUs } = whileActive(options);
        expect(kinds).toEqual(TAKEOVER);
        expect(state).toMatchObject({ kind: 'active', advertAtUs: activeAtUs + SECOND });
      }
    },
    negative: () => {
      for (const options of BOTH) {
        expect(after(options, started, due(downUs(options) - 1)).effects).toEqual([]);
      }
    },
  },
  'RFC9568-6.4.2-8': {
    positive: () => {
      for (const options of BOTH) {
        const { state } = after(options, started, hear(SECOND, 0));
        expect(nextDeadlineUs(state)).toBe(SECOND + skewTimeUs(options, SECOND));
      }
    },
    negative: () => {
      for (const options of BOTH) {
        expect(after(options, started, hear(SECOND, 0)).effects).toEqual([]);
        const one = after(options, started, hear(SECOND, 1));
        expect(nextDeadlineUs(one.state)).toBe(downUs(options));
      }
    },
  },
  'RFC9568-6.4.2-9': {
    positive: () => {
      for (const options of BOTH) {
        for (const priority of [100, 101, 255]) {
          const { state } = after(options, started, hear(SECOND, priority));
          expect(nextDeadlineUs(state)).toBe(SECOND + downUs(options));
        }
        const meek = { ...options, preempt: false };
        const { state } = after(meek, started, hear(SECOND, 1));
        expect(nextDeadlineUs(state)).toBe(SECOND + downUs(options));
      }
    },
    negative: () => {
      for (const options of BOTH) {
        const { state } = after(options, started, hear(SECOND, 99));
        expect(nextDeadlineUs(state)).toBe(downUs(options));
      }
    },
  },
  'RFC9568-6.4.2-10': {
    positive: () => {
      const heard = after(V3, started, hear(SECOND, 200, { advertIntervalUs: 2 * SECOND }));
      const waitUs = activeDownIntervalUs(V3, 2 * SECOND);
      expect(nextDeadlineUs(heard.state)).toBe(SECOND + waitUs);
    },
    negative: () => {
      const heard = after(V2, started, hear(SECOND, 200, { advertIntervalUs: 2 * SECOND }));
      expect(nextDeadlineUs(heard.state)).toBe(SECOND + downUs(V2));
      const lower = after(V3, started, hear(SECOND, 99, { advertIntervalUs: 2 * SECOND }));
      expect(nextDeadlineUs(lower.state)).toBe(downUs(V3));
    },
  },
  'RFC9568-6.4.2-11': {
    positive: () => {
      for (const options of BOTH) {
        const events = [1, 2, 3].map((second) => hear(second * SECOND, 99));
        const took = after(options, started, ...events, due(downUs(options)));
        expect(took.state.kind).toBe('active');
      }
    },
    negative: () => {
      for (const options of BOTH) {
        const events = [1, 2, 3].map((second) => hear(second * SECOND, 100));
        const waits = after(options, started, ...events, due(downUs(options)));
        expect(waits.state.kind).toBe('backup');
      }
    },
  },
} as const satisfies Proofs;

const ACTIVE = {
  'RFC9568-6.4.3-1': { positive: KNOWN_MAC, negative: BACKUP_LINK },
  'RFC9568-6.4.3-2': { positive: KNOWN_MAC, negative: BACKUP_LINK },
  'RFC9568-6.4.3-4': { positive: KNOWN_MAC, negative: BACKUP_LINK },
  'RFC9568-6.4.3-5': {
    positive: director('the owner is active at once and its own address survives its stop'),
    negative: FAILS_OVER,
  },
  'RFC9568-6.4.3-6': {
    positive: ONLY_RESOLVED,
    negative: accept('is always on for an owner'),
  },
  'RFC9568-6.4.3-7': {
    positive: () => {
      for (const options of BOTH) {
        const { state, effects } = whileActive(options, (at) => stopped(at + 1));
        expect(effects[0]).toEqual({ kind: 'send-advert', resign: true });
        expect(state).toEqual(INITIAL_STATE);
      }
    },
    negative: director('a stopped active resigns and its peer takes over after the skew time'),
  },
  'RFC9568-6.4.3-8': {
    positive: () => {
      for (const options of BOTH) {
        const { state, effects, activeAtUs } = whileActive(options, (at) => due(at + SECOND));
        expect(effects).toEqual([{ kind: 'send-advert', resign: false }]);
        expect(state).toMatchObject({ advertAtUs: activeAtUs + 2 * SECOND });
      }
    },
    negative: () => {
      for (const options of BOTH) {
        expect(whileActive(options, (at) => due(at + SECOND - 1)).effects).toEqual([]);
      }
    },
  },
  'RFC9568-6.4.3-9': {
    positive: () => {
      for (const options of BOTH) {
        const { state, effects, activeAtUs } = whileActive(options, (at) => hear(at + 7, 0));
        expect(effects).toEqual([{ kind: 'send-advert', resign: false }]);
        expect(state).toMatchObject({ kind: 'active', advertAtUs: activeAtUs + 7 + SECOND });
      }
    },
    negative: () => {
      const { state, activeAtUs } = whileActive(V3, (at) => hear(at + 7, 1));
      expect(state).toMatchObject({ advertAtUs: activeAtUs + SECOND });
    },
  },
  'RFC9568-6.4.3-10': {
    positive: () => {
      for (const options of BOTH) {
        const higher = whileActive(options, (at) => hear(at + 1, 101));
        const greater = whileActive(options, (at) =>
          hear(at + 1, 100, { fromHigherAddress: true }),
        );
        for (const { state, activeAtUs } of [higher, greater]) {
          expect(state.kind).toBe('backup');
          expect(nextDeadlineUs(state)).toBe(activeAtUs + 1 + downUs(options));
        }
      }
    },
    negative: () => {
      for (const options of BOTH) {
        const lower = whileActive(options, (at) => hear(at + 1, 99, { fromHigherAddress: true }));
        const less = whileActive(options, (at) => hear(at + 1, 100));
        expect([lower.state.kind, less.state.kind]).toEqual(['active', 'active']);
      }
    },
  },
  'RFC9568-6.4.3-11': {
    positive: () => {
      const { state, activeAtUs } = whileActive(V3, (at) =>
        hear(at + 1, 200, { advertIntervalUs: 3 * SECOND }),
      );
      expect(nextDeadlineUs(state)).toBe(activeAtUs + 1 + activeDownIntervalUs(V3, 3 * SECOND));
    },
    negative: () => {
      const { state, activeAtUs } = whileActive(V2, (at) =>
        hear(at + 1, 200, { advertIntervalUs: 3 * SECOND }),
      );
      expect(nextDeadlineUs(state)).toBe(activeAtUs + 1 + downUs(V2));
    },
  },
  'RFC9568-6.4.3-12': {
    positive: () => {
      const { state, effects } = whileActive(V3, (at) => hear(at + 1, 99));
      expect(state.kind).toBe('active');
      expect(effects).toEqual([{ kind: 'send-advert', resign: false }]);
    },
    negative: () => {
      const silent = { ...V3, answerLowerPriority: false };
      expect(whileActive(silent, (at) => hear(at + 1, 99)).effects).toEqual([]);
    },
  },
  'RFC3768-6.4.3-9': {
    positive: () => expect(whileActive(V2, (at) => hear(at + 1, 99)).effects).toEqual([]),
    negative: () => expect(whileActive(V2, (at) => hear(at + 1, 99)).state.kind).toBe('active'),
  },
} as const satisfies Proofs;

const OPERATION = {
  'RFC9568-7.1-4': {
    positive: director('two instances on one interface elect independently'),
    negative: {
      file: 'netns/bad-adverts.test.ts',
      name: 'leaves the active active with its adverts on time, and the backup backup',
    },
  },
  'RFC9568-7.1-8': {
    positive: {
      file: 'unit/core/vrrp/election.test.ts',
      name: 'ignore: an owner discards whatever it hears',
    },
    negative: {
      file: 'unit/core/vrrp/election.test.ts',
      name: 'ignore: who is no owner listens as ever',
    },
  },
  'RFC9568-7.1-5': {
    positive: {
      file: 'netns/bad-adverts.test.ts',
      name: "from the receiver's own address: counted, without effect",
    },
    negative: FAILS_OVER,
  },
  'RFC9568-7.1-6': {
    positive: {
      file: 'netns/bad-adverts.test.ts',
      name: 'each kind from one sender is told once, with who and why, and no password',
    },
    negative: {
      file: 'netns/bad-adverts.test.ts',
      name: 'from ever new senders does so too, and does not flood the log',
    },
  },
  'RFC9568-7.1-9': {
    positive: explain('finds another interval and other addresses'),
    negative: explain('says that a backup which hears its active director needs no attention'),
  },
  'RFC9568-7.1-10': {
    positive: explain('two owners are a finding on both, one owner is not'),
    negative: {
      file: 'unit/core/vrrp/election.test.ts',
      name: 'yield: it is owner again when the other one is silent, and not before',
    },
  },
  'RFC9568-5.1.1.3-2': {
    positive: socket('carry the message, TTL 255, both addresses and the time of arrival'),
    negative: socket('a packet with a wrong TTL is delivered with its TTL'),
  },
  'RFC9568-5.1.1.1-1': {
    positive: KNOWN_MAC,
    negative: socket('a sender from an address that is not there is refused by name'),
  },
  'RFC9568-7.2-1': {
    positive: KNOWN_MAC,
    negative: vmac('with xmit_base bears the VIPs, and advertisements come from the interface'),
  },
  'RFC9568-7.2-2': {
    positive: {
      file: 'interop/keepalived.test.ts',
      name: 'tshark finds the checksums of every advert right, and nothing to remark',
    },
    negative: director('a reload changes the priority and touches nothing else'),
  },
  'RFC9568-7.2-3': {
    positive: socket('carry the message, TTL 255, both addresses and the time of arrival'),
    negative: socket('another multicast group and unicast are not heard'),
  },
  'RFC9568-7.3-1': {
    positive: () => {
      expect(virtualRouterMac('ipv4', 51)).toEqual(Uint8Array.of(0, 0, 0x5e, 0, 1, 51));
      expect(virtualRouterMac('ipv6', 255)).toEqual(Uint8Array.of(0, 0, 0x5e, 0, 2, 255));
    },
    negative: KNOWN_MAC,
  },
  'RFC9568-7.4-1': { positive: BACKUP_LINK, negative: KNOWN_MAC },
  'RFC9568-8.1.2-1': { positive: KNOWN_MAC, negative: BACKUP_LINK },
  'RFC9568-8.1.2-2': {
    positive: {
      file: 'unit/keeper/base-settings.test.ts',
      name: 'sets both where the kernel has its defaults, and keeps what was there',
    },
    negative: KNOWN_MAC,
  },
  'RFC9568-8.1.2-3': {
    positive: vmac(
      'is adopted with its VIPs when the keeper dies, and removed with all settings at the stop',
    ),
    negative: KNOWN_MAC,
  },
  'RFC9568-8.1.2-4': {
    positive: KNOWN_MAC,
    negative: vmac('that cannot be made is a fault with its reason, until it can be made'),
  },
  'RFC9568-8.1.2-5': { positive: ANNOUNCED, negative: KNOWN_MAC },
  'RFC9568-8.2.2-1': { positive: KNOWN_MAC, negative: BACKUP_LINK },
  'RFC9568-8.2.2-2': { positive: KNOWN_MAC, negative: BACKUP_LINK },
  'RFC9568-8.2.2-4': {
    positive: vmac('goes with its interface and is made again with it'),
    negative: KNOWN_MAC,
  },
  'RFC9568-8.3.1-1': {
    positive: () => {
      // The address is the director's own before anybody hears that it is there.
      const { kinds } = whileActive(V3);
      expect(kinds.indexOf('add-addresses')).toBeLessThan(kinds.indexOf('announce'));
    },
    negative: director(
      'a VIP that is deleted by hand is put back, counted and told, without transition',
    ),
  },
  'RFC9568-8.4-1': {
    positive: {
      file: 'unit/core/vrrp/receive.test.ts',
      name: 'version 3 with another interval than its own, which a backup adopts',
    },
    negative: {
      file: 'unit/core/vrrp/receive.test.ts',
      name: 'for the first reason of REFUSAL_REASONS where several apply',
    },
  },
} as const satisfies Proofs;

interface Pair {
  readonly positive: Proof;
  readonly negative: Proof;
}
type Proofs = Readonly<Record<string, Pair>>;

/** The compiler sees that no row lacks a proof and no proof lacks a row. */
const PROOFS: Readonly<Record<ProvenId, Pair>> = {
  ...PARAMETERS,
  ...INITIALIZE,
  ...BACKUP,
  ...ACTIVE,
  ...OPERATION,
};

/** Names of the tests that a file declares, and that are neither skipped nor conditional. */
function testsIn(file: string): readonly string[] {
  const text = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8');
  const declared = text.matchAll(
    /^ *(?:test|it)\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")/gm,
  );
  return [...declared].map(([, single, double]) => single ?? double ?? '');
}

describe('the ledger of the state machine', () => {
  const rows: readonly { readonly ids: readonly string[]; readonly reason?: string }[] =
    MACHINE_REQUIREMENTS;

  test('has every id once, in the form standard, section, number', () => {
    const ids = rows.flatMap((row) => row.ids);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^RFC(9568|3768)-\d+(\.\d+)*-\d+$/);
  });

  test('has a row for every section of RFC 9568 that demands something', () => {
    const sections = [
      ...['2.5', '5.1.1.2', '5.1.1.3', '5.1.2.2', '5.1.2.3', '5.2.2', '5.2.4', '5.2.5', '5.2.6'],
      ...['5.2.8', '5.2.9', '6.1', '6.4.2', '6.4.3', '7.1', '7.2', '7.4', '8.1.1', '8.1.2'],
      ...['8.1.3', '8.2.1', '8.2.2', '8.2.3', '8.2.4', '8.3.1', '8.3.2', '8.4.2', '8.4.2.1.1', '9'],
    ];
    const packets: readonly { readonly id: string }[] = PACKET_REQUIREMENTS;
    const ids = [...rows.flatMap((row) => row.ids), ...packets.map(({ id }) => id)];
    const covered = new Set(ids.map((id) => /^RFC9568-(.+)-\d+$/.exec(id)?.[1]));
    expect(sections.filter((section) => !covered.has(section))).toEqual([]);
  });

  test('has for every row two proofs or a reason, and not both', () => {
    const proven = new Set(Object.keys(PROOFS));
    for (const { ids, reason } of rows) {
      expect([ids[0], proven.has(ids[0] as string)]).toEqual([ids[0], reason === undefined]);
    }
    expect(rows.filter(({ reason }) => reason === undefined)).toHaveLength(proven.size);
  });

  test('names only tests that exist', () => {
    const named = Object.values(PROOFS)
      .flatMap(({ positive, negative }) => [positive, negative])
      .filter((proof) => typeof proof !== 'function');
    expect(named.filter(({ file, name }) => !testsIn(file).includes(name))).toEqual([]);
  });
});

describe.each(MACHINE_REQUIREMENTS.filter((row) => !('reason' in row)))(
  '$ids.0 $text',
  ({ ids: [id] }) => {
    const pair: Pair = PROOFS[id as ProvenId];
    for (const side of ['positive', 'negative'] as const) {
      const proof = pair[side];
      if (typeof proof === 'function') test(side, proof);
      else {
        test(`${side}: ${proof.file}`, () => expect(testsIn(proof.file)).toContain(proof.name));
      }
    }
  },
);

/**
 * Authentication by HMAC on real sockets: a pair of directors with keys, in IPv4 and IPv6, and a
 * stranger who knows some of them. Keys and modes are changed by reloads while the pair runs; no
 * such step may refuse an advertisement or change a state.
 */
import { createHmac } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseIp } from '../../src/core/ip.ts';
import type { InstanceReport } from '../../src/core/status.ts';
import { sequenceAt } from '../../src/core/vrrp/replay.ts';
import type { RefusalReason } from '../../src/core/vrrp/types.ts';
import {
  ETHERTYPE_IPV4,
  encodeEthernetHeader,
  multicastMac,
} from '../../src/core/wire/ethernet.ts';
import { encodeIpv4Header } from '../../src/core/wire/ipv4.ts';
import {
  encodeAdvertisement,
  MAX_ADVERTISEMENT_BYTES,
  VRRP_GROUP_IPV4,
  VRRP_PROTOCOL,
  VRRP_TTL,
} from '../../src/core/wire/vrrp.ts';
import {
  HMAC_TRAILER_BYTES,
  hmacTrailer,
  MAC_INPUT_BYTES_MAX,
} from '../../src/core/wire/vrrp-hmac.ts';
import { realtimeUs } from '../../src/linux/clock.ts';
import { ifIndex } from '../../src/linux/libc.ts';
import { LinkSender } from '../../src/linux/packet-socket.ts';
import { Director } from '../lab/director.ts';
import { LabError, localMachine } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { inside } from '../lab/watch.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const TEST_TIMEOUT_MS = 60_000;
const VRID = 51;
const INSTANCES = ['web', 'six'] as const;
/** Several of them fit into an active-down interval: were they refused, the backup would act. */
const ADVERTS_HEARD = 5;

const hexKey = (byte: number): string => `hex:${'0'.concat(String(byte)).repeat(32)}`;
const keyBytes = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
const ip = (text: string): Uint8Array => parseIp(text) as Uint8Array;

type Hmac = Readonly<Record<string, unknown>> | null;

const ENFORCE: Hmac = { keys: { 1: hexKey(1) }, active_key: 1 };

function configOf(hmac: Hmac): Readonly<Record<string, unknown>> {
  const common = {
    interface: 'eth0',
    vrid: VRID,
    priority: { a: 150, b: 100 },
    interval: '100ms',
    ...(hmac === null ? {} : { hmac }),
  };
  const [web, six] = [virtualIp(1).ipv4, virtualIp(1).ipv6];
  return {
    vrrp: {
      web: { ...common, addresses: [`${web}/24`] },
      six: { ...common, addresses: [`${six}/64`] },
    },
  };
}

let topology: Topology;
let client: LabNode;
let a: Director;
let b: Director;
let sender: LinkSender;

beforeAll(async () => {
  await ensurePackages(NETWORK_PACKAGES);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { realServers: 1 });
  const [nodeA, nodeB] = topology.directors as [LabNode, LabNode];
  client = topology.clients[0] as LabNode;
  a = await Director.start(nodeA, { name: 'a', config: configOf(ENFORCE) });
  b = await Director.start(nodeB, { name: 'b', config: configOf(ENFORCE) });
  for (const name of INSTANCES) {
    await a.waitForState(name, 'active');
    await b.waitForState(name, 'backup');
  }
  sender = inside(client, () => new LinkSender(ifIndex('eth0')));
}, SETUP_TIMEOUT_MS);

afterAll(async () => {
  sender?.close();
  await a?.dispose();
  await b?.dispose();
  await topology?.dispose();
});

async function reload(director: Director, hmac: Hmac): Promise<void> {
  director.configure(configOf(hmac));
  await director.reload();
}

/** What must stay as it is while authentication is changed, of both directors. */
async function picture(): Promise<unknown> {
  const both = await Promise.all([a.status(), b.status()]);
  return both.map(({ instances }) =>
    instances.map(({ name, state, counters: { transitions, refused } }) => ({
      ...{ name, state, transitions, refused },
    })),
  );
}

/** Waits until the backup has taken some more advertisements from the active. */
async function heardMore(): Promise<void> {
  const before = new Map<string, InstanceReport>();
  for (const name of INSTANCES) before.set(name, await b.instance(name));
  await b.waitFor('more advertisements', async () => {
    const { instances } = await b.status();
    return instances.every(
      ({ name, counters: { advertsReceived } }) =>
        advertsReceived >= (before.get(name)?.counters.advertsReceived ?? 0) + ADVERTS_HEARD,
    );
  });
}

/** Number of the key that the backup last heard the active sign with. */
async function keyHeard(): Promise<readonly (number | null | undefined)[]> {
  const { instances } = await b.status();
  return instances.map(({ peers }) => peers[0]?.accepted?.hmacKey);
}

/** Does steps one after the other, of which none may be felt. */
async function unfelt(steps: readonly (readonly [Director, Hmac])[]): Promise<void> {
  const before = await picture();
  for (const [director, hmac] of steps) {
    await reload(director, hmac);
    await heardMore();
    expect(await picture()).toEqual(before);
  }
}

interface Forgery {
  readonly priority: number;
  /** null: not signed. */
  readonly key: { readonly id: number; readonly bytes: Uint8Array } | null;
  /** Seconds that its time is behind. */
  readonly age?: number;
}

/** An Ethernet frame with an advertisement of the stranger. */
function frameOf({ priority, key, age = 0 }: Forgery): Uint8Array {
  const source = ip(client.on('front').ipv4);
  const message = new Uint8Array(MAX_ADVERTISEMENT_BYTES + HMAC_TRAILER_BYTES);
  const trailer =
    key === null
      ? null
      : hmacTrailer({
          family: 'ipv4',
          source,
          keyId: key.id,
          key: key.bytes,
          sequence: sequenceAt(realtimeUs() - age * 1_000_000),
          mac: (secret, input) => createHmac('sha256', secret).update(input).digest(),
          scratch: new Uint8Array(MAC_INPUT_BYTES_MAX),
        });
  const lengthBytes = encodeAdvertisement(
    message,
    {
      ...{ version: 3, family: 'ipv4', vrid: VRID, priority, advertIntervalUs: 100_000 },
      ...{ addresses: [ip(virtualIp(1).ipv4)], checksum: 'message', password: null },
      ...{ source, destination: VRRP_GROUP_IPV4 },
    },
    trailer,
  );
  const frame = new Uint8Array(34 + lengthBytes);
  const mac = Uint8Array.from(client.on('front').mac.split(':'), (byte) =>
    Number.parseInt(byte, 16),
  );
  encodeEthernetHeader(frame, multicastMac(VRRP_GROUP_IPV4), mac, ETHERTYPE_IPV4);
  encodeIpv4Header(frame, 14, {
    ...{ source, destination: VRRP_GROUP_IPV4, protocol: VRRP_PROTOCOL, ttl: VRRP_TTL },
    ...{ trafficClass: 0xc0, identification: 1, payloadBytes: lengthBytes },
  });
  frame.set(message.subarray(0, lengthBytes), 34);
  return frame;
}

describe('a pair with the same key', { timeout: TEST_TIMEOUT_MS }, () => {
  it('elects in both families, and takes signed advertisements only', async () => {
    await heardMore();
    for (const { counters } of (await b.status()).instances) {
      expect(counters.advertsUnsigned).toBe(0);
      expect(Object.values(counters.refused).every((count) => count === 0)).toBe(true);
    }
    expect((await a.status()).instances.map(({ state }) => state)).toEqual(['active', 'active']);
  });

  it.each<[RefusalReason, string, Omit<Forgery, 'priority'>]>([
    ['hmac-missing', 'unsigned', { key: null }],
    [
      'hmac-unknown-key',
      'signed with a key that nobody has',
      { key: { id: 9, bytes: keyBytes(9) } },
    ],
    ['hmac-invalid', 'signed with a wrong key', { key: { id: 1, bytes: keyBytes(9) } }],
    ['hmac-replayed', 'of a minute ago', { key: { id: 1, bytes: keyBytes(1) }, age: 60 }],
  ])('counts as %s what is %s, and does nothing else', async (reason, _, forgery) => {
    const before = await Promise.all([a, b].map((director) => director.instance('web')));
    for (const priority of [255, 0]) {
      const frame = frameOf({ ...forgery, priority });
      expect(sender.send(frame, frame.length)).toBe(frame.length);
    }
    for (const [index, director] of [a, b].entries()) {
      const { counters, state } = before[index] as InstanceReport;
      await director.waitFor(reason, async () => {
        const { counters: now } = await director.instance('web');
        return now.refused[reason] === counters.refused[reason] + 2;
      });
      await heardMore();
      const after = await director.instance('web');
      const refused = { ...counters.refused, [reason]: counters.refused[reason] + 2 };
      expect(after.counters).toMatchObject({ refused, transitions: counters.transitions });
      expect(after.state).toBe(state);
    }
  });

  it('tells a refusal with its reason, and never a key', async () => {
    const told = b.lines('advert-refused', { instance: 'web', reason: 'hmac-invalid' });
    expect(told).toMatchObject([{ detail: 'The HMAC does not match key 1' }]);
    const shown = JSON.stringify([a.log, b.log, await a.status(), await b.status()]);
    expect(shown).not.toContain(hexKey(1).slice(4, 20));
    expect(a.stderr + b.stderr).not.toContain(hexKey(1).slice(4, 20));
  });
});

describe('a change by reloads that nobody feels', { timeout: TEST_TIMEOUT_MS }, () => {
  it('of keys: the new one on both, then signed with it, then the old one gone', async () => {
    const path = join(a.directory, 'key');
    writeFileSync(path, `${hexKey(2)}\n`);
    chmodSync(path, 0o600);
    const keys = { 1: hexKey(1), 2: `file:${path}` };
    const both = { keys, active_key: 1 };
    const turned = { keys, active_key: 2 };
    const done = { keys: { 2: hexKey(2) }, active_key: 2 };
    expect(await keyHeard()).toEqual([1, 1]);
    await unfelt([
      ...([a, b].map((director) => [director, both]) as [Director, Hmac][]),
      ...([a, b].map((director) => [director, turned]) as [Director, Hmac][]),
      ...([a, b].map((director) => [director, done]) as [Director, Hmac][]),
    ]);
    expect(await keyHeard()).toEqual([2, 2]);
  });

  it('of modes: from enforce to no authentication, and back', async () => {
    const key = { keys: { 2: hexKey(2) }, active_key: 2 };
    const [enforce, permissive, receiveOnly] = ['enforce', 'permissive', 'receive-only'].map(
      (mode): Hmac => ({ ...key, mode }),
    ) as [Hmac, Hmac, Hmac];
    const steps = [permissive, receiveOnly, null, receiveOnly, permissive, enforce];
    await unfelt(steps.flatMap((hmac) => [[a, hmac] as const, [b, hmac] as const].reverse()));
    // While the active did not sign, the backup took its advertisements, and counted them.
    expect((await b.instance('web')).counters.advertsUnsigned).toBeGreaterThan(0);
  });
});

describe('a director with a wrong key', { timeout: TEST_TIMEOUT_MS }, () => {
  it('and its peer hear each other no more, until the key is right again', async () => {
    await reload(b, { keys: { 2: hexKey(3) }, active_key: 2 });
    await b.waitForState('web', 'active');
    for (const director of [a, b]) {
      await director.waitFor('refusals', async () => {
        const { counters } = await director.instance('web');
        return counters.refused['hmac-invalid'] >= ADVERTS_HEARD;
      });
    }
    await a.waitForState('web', 'active');
    await reload(b, { keys: { 2: hexKey(2) }, active_key: 2 });
    await b.waitForState('web', 'backup');
    await a.waitForState('web', 'active');
  });
});

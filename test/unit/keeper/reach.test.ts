/** Reach: whom one instance sends to, from where, and what it takes. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { UnicastConfig, VrrpConfig } from '../../../src/core/config/config.ts';
import { formatIp, parseIp } from '../../../src/core/ip.ts';
import { decodeAdvertisement, MAX_ADVERTISEMENT_BYTES } from '../../../src/core/wire/vrrp.ts';
import { type Message, Reach } from '../../../src/keeper/reach.ts';
import type { VrrpSenderOptions } from '../../../src/linux/vrrp-socket.ts';
import { configOf } from '../config/read.ts';
import { reasonOf } from '../core/wire/frames.ts';

const ip = (text: string): Uint8Array => parseIp(text) as Uint8Array;

const OWN = '192.0.2.2';
const ADDRESSES = new Set([OWN, '192.0.2.20']);
const LIST = ['192.0.2.2', '192.0.2.3', '192.0.2.4', '192.0.2.5'];

const MESSAGE: Message = {
  version: 3,
  family: 'ipv4',
  vrid: 51,
  priority: 100,
  advertIntervalUs: 1_000_000,
  addresses: [ip('192.0.2.10')],
  checksum: 'pseudo-header',
  password: null,
};

interface Sent {
  readonly to: string;
  readonly valid: string;
}

let opened: VrrpSenderOptions[];
let closed: number;
let sent: Sent[];
/** What the kernel answers for a destination. */
let answers: Readonly<Record<string, number>>;

beforeEach(() => {
  opened = [];
  closed = 0;
  sent = [];
  answers = {};
});

function instance(unicast: Partial<UnicastConfig> | null): VrrpConfig {
  const text = `vrrp:\n  web:\n    interface: eth0\n    vrid: 51\n    addresses: [192.0.2.10/24]\n`;
  const web = configOf(text).vrrp[0] as VrrpConfig;
  if (unicast === null) return web;
  const peers = LIST.map((address) => ({ address, minTtl: 0, maxTtl: 255 }));
  const defaults = { ttl: 255, checkSource: true, faultWithoutPeers: false };
  return { ...web, unicast: { peers, ...defaults, ...unicast } };
}

function reachOf(config: VrrpConfig): Reach {
  const network = {
    ownsAddress: (_: string, address: string) => ADDRESSES.has(address),
    sourceAddress: () => '192.0.2.20',
    unicastSource: () => OWN,
  };
  return new Reach(config, network as unknown as ConstructorParameters<typeof Reach>[1], open);
}

function open(options: VrrpSenderOptions) {
  opened.push(options);
  return {
    send: (message: Uint8Array, lengthBytes: number, index = 0): number => {
      const destination = options.destinations?.[index] as Uint8Array;
      const to = formatIp(destination, 'ipv4');
      const result = decodeAdvertisement({
        ...{ bytes: message, lengthBytes, truncated: false, ttl: 255, family: 'ipv4' },
        ...{ source: options.sourceAddress, destination },
      });
      sent.push({ to, valid: reasonOf(result) });
      return answers[to] ?? lengthBytes;
    },
    close: () => {
      closed++;
    },
  };
}

const buffer = new Uint8Array(MAX_ADVERTISEMENT_BYTES);

describe('Reach', () => {
  test('sends to every peer but itself, each with a checksum of its own', () => {
    const reach = reachOf(instance({ ttl: 64 }));
    reach.open(OWN, 2);
    expect(opened).toMatchObject([{ unicastTtl: 64, sourceAddress: ip(OWN) }]);
    expect(reach.send(buffer, MESSAGE, null)).toEqual({ sent: 3, failed: 0 });
    const others = LIST.slice(1).map((to) => ({ to, valid: 'accepted' }));
    expect(sent).toEqual(others);
    // What the last one needed must not stay in the buffer.
    reach.send(buffer, MESSAGE, null);
    expect(sent).toEqual([...others, ...others]);
  });

  test('a peer that cannot be sent to keeps none from it, and is told until it can', () => {
    const reach = reachOf(instance({}));
    reach.open(OWN, 2);
    answers = { '192.0.2.3': -113 };
    expect(reach.send(buffer, MESSAGE, null)).toEqual({ sent: 2, failed: 1 });
    expect(sent.map(({ valid }) => valid)).toEqual(['accepted', 'accepted', 'accepted']);
    const errors = () => reach.unicast?.peers.map(({ sendError }) => sendError);
    expect(errors()).toEqual([null, 'EHOSTUNREACH', null, null]);
    expect(reach.unicast?.peers.map(({ self }) => self)).toEqual([true, false, false, false]);
    answers = {};
    reach.send(buffer, MESSAGE, null);
    expect(errors()).toEqual([null, null, null, null]);
  });

  test('sends to nobody, and without a socket not even that', () => {
    const alone = { address: OWN, minTtl: 0, maxTtl: 255 };
    const reach = reachOf(instance({ peers: [alone] }));
    expect(reach.send(buffer, MESSAGE, null)).toBeNull();
    expect(reach.hasNoPeer).toBe(false);
    reach.open(OWN, 2);
    expect(reach.send(buffer, MESSAGE, null)).toEqual({ sent: 0, failed: 0 });
    expect([reach.hasNoPeer, sent]).toEqual([true, []]);
  });

  test('knows beforehand that a configuration takes its last peers away', () => {
    const reach = reachOf(instance({}));
    const alone = instance({ peers: [{ address: OWN, minTtl: 0, maxTtl: 255 }] });
    expect(reach.losesPeers(alone)).toBe(false);
    reach.open(OWN, 2);
    expect(reach.losesPeers(alone)).toBe(true);
    expect(reach.losesPeers(instance({ peers: [] }))).toBe(true);
    expect([reach.losesPeers(instance({})), reach.losesPeers(instance(null))]).toEqual([
      false,
      false,
    ]);
    reach.config = alone;
    reach.open(OWN, 2);
    expect(reach.losesPeers(alone)).toBe(false);
  });

  test('opens its socket anew when the destinations change, and only then', () => {
    const reach = reachOf(instance(null));
    reach.open('192.0.2.20', 2);
    reach.open('192.0.2.20', 2);
    expect(opened.map(({ destinations }) => destinations)).toEqual([[ip('224.0.0.18')]]);
    reach.config = { ...instance(null), multicastGroup: '239.1.2.3' };
    reach.open('192.0.2.20', 2);
    reach.config = instance({});
    reach.open(OWN, 2);
    reach.config = instance({ peers: instance({}).unicast?.peers.slice(0, 2) ?? [] });
    reach.open(OWN, 2);
    reach.open(OWN, 3);
    const counts = opened.map(({ destinations }) => destinations?.length);
    expect([counts, closed]).toEqual([[1, 1, 3, 1, 1], 4]);
  });

  test('changed bounds and check of the source need no new socket', () => {
    const reach = reachOf(instance({}));
    reach.open(OWN, 2);
    expect(reach.ttlBounds(ip('192.0.2.3'))).toMatchObject({ minTtl: 0, maxTtl: 255 });
    expect(reach.refusal(ip('192.0.2.9'), false)?.reason).toBe('not-a-peer');
    const peers = LIST.map((address) => ({ address, minTtl: 254, maxTtl: 254 }));
    reach.config = instance({ peers, checkSource: false });
    reach.open(OWN, 2);
    expect(reach.ttlBounds(ip('192.0.2.3'))).toMatchObject({ minTtl: 254, maxTtl: 254 });
    expect(reach.refusal(ip('192.0.2.9'), false)).toBeNull();
    expect([opened.length, closed]).toEqual([1, 0]);
  });

  test('its source is the configured one, one for its peers, or the interface’s', () => {
    const none = new Set<string>();
    expect(reachOf(instance(null)).findSource(none)).toBe('192.0.2.20');
    expect(reachOf(instance({})).findSource(none)).toBe(OWN);
    expect(reachOf(instance({ peers: [] })).findSource(none)).toBe('192.0.2.20');
    const named = { ...instance({}), sourceAddress: '192.0.2.20' };
    expect(reachOf(named).findSource(none)).toBe('192.0.2.20');
    expect(reachOf({ ...named, sourceAddress: '192.0.2.99' }).findSource(none)).toBeNull();
  });
});

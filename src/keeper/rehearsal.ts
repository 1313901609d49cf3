/**
 * A takeover rehearsed at the start, and giving way after a stall, with an instance that nobody
 * hears: V8 compiles a function when it is first called, and a backup's first takeover, years later
 * perhaps, would pay for that with half a millisecond, a stalled director's with two or three. The keeper's flags keep what is compiled (core/processes.ts).
 *
 * Invariant: nothing leaves the process that could have an effect. The advertisement goes to no
 * socket, addresses and announcements to an interface that does not exist.
 */
import type { AddressFamily, VrrpConfig } from '../core/config/config.ts';
import { DEFAULTS, defaultAttributes } from '../core/config/defaults.ts';
import { DeadlineQueue } from '../core/deadlines.ts';
import { ipFamily, parseIp } from '../core/ip.ts';
import {
  decodeAdvertisement,
  encodeAdvertisement,
  MAX_ADVERTISEMENT_BYTES,
  VRRP_GROUP_IPV4,
  VRRP_GROUP_IPV6,
  VRRP_TTL,
} from '../core/wire/vrrp.ts';
import { monotonicUs } from '../linux/clock.ts';
import type { Link } from '../linux/netlink/route-messages.ts';
import { VrrpSender } from '../linux/vrrp-socket.ts';
import { Announcer } from './announcer.ts';
import { BaseSettings } from './base-settings.ts';
import type { Network } from './network.ts';
import { PutOff } from './put-off.ts';
import { InstanceRunner } from './runner.ts';

/** The kernel counts interfaces up from 1 and never gets here. */
const NO_INTERFACE = 0x7fff_ffff;
/** From the eighth call on V8 collects what makes the next ones fast. */
const REHEARSALS = 10;
const NO_SOCKET = -1;
/** Far more than peers wait for. */
const STALL_US = 60_000_000;

const LINK: Link = {
  index: NO_INTERFACE,
  name: 'rehearsal',
  up: true,
  running: true,
  address: new Uint8Array(6),
  mtu: 1500,
  loopback: false,
  kind: null,
  baseIndex: null,
  alias: null,
  carrierUps: 0,
};

/** What was added, but for the address; it is asked to be removed in the end. */
const THERE = {
  interfaceIndex: NO_INTERFACE,
  prefixLength: 24,
  scope: 0,
  flags: 0,
  protocol: null,
};

function instanceOf(family: AddressFamily): VrrpConfig {
  const attributes = defaultAttributes(family, 32);
  const vip = { interface: LINK.name, track: true, attributes };
  return {
    name: 'rehearsal',
    interface: LINK.name,
    family,
    version: 3,
    vrid: 1,
    priority: 100,
    advertIntervalUs: 10_000,
    preempt: true,
    preemptDelayUs: 0,
    checksum: 'auto',
    trackInterface: true,
    promoteSecondaries: false,
    password: null,
    hmac: null,
    sourceAddress: null,
    unicast: null,
    multicastGroup: DEFAULTS.vrrp.multicastGroup[family],
    virtualLink: null,
    announce: { ...DEFAULTS.vrrp.announce, repeat: 2 },
    ...DEFAULTS.vrrp.election,
    addresses: [
      { ...vip, address: '192.0.2.1', prefixLength: 24, advertised: family === 'ipv4' },
      { ...vip, address: '2001:db8::1', prefixLength: 64, advertised: family === 'ipv6' },
    ],
    routes: [],
    rules: [],
    group: null,
    track: [],
  };
}

/**
 * Takeovers of both families, one at each step, which takes a millisecond or a few; `network` is
 * asked for changes that it refuses.
 */
export function* rehearseTakeover(network: Network): Generator<void, void> {
  const stage = new Stage(network);
  // Once for all, because closing its packet socket waits for the kernel, 10 ms each time.
  const announcer = new Announcer(stage.network, () => {});
  try {
    for (let count = 0; count < REHEARSALS; count++) {
      rehearse(instanceOf('ipv4'), stage.set('192.0.2.2'), announcer);
      yield;
      rehearse(instanceOf('ipv6'), stage.set('fe80::1'), announcer);
      yield;
    }
  } finally {
    announcer.close();
  }
}

function rehearse(config: VrrpConfig, network: Network, announcer: Announcer): void {
  const putOff = new PutOff(network);
  const runner = new InstanceRunner(config, 0, {
    network,
    announcer,
    settings: new BaseSettings(),
    bearsIpv6: () => true,
    intake: { hold: () => {}, release: () => {} },
    routing: { hold: () => {}, release: () => {}, objects: () => [] },
    openSender: (options) => {
      const sender = new VrrpSender(options, NO_SOCKET);
      return {
        send: (message, lengthBytes, index) => sender.send(message, lengthBytes, index),
        close: () => {},
      };
    },
    report: () => {},
    tracker: () => undefined,
    firstStateUs: () => 0,
    groupStepped: () => {},
    groupFaulty: () => false,
    groupPeerLost: () => {},
    adverts: new DeadlineQueue(),
    takeovers: new DeadlineQueue(),
    noteAdvert: () => {},
    patienceChanged: () => {},
    betweenTurns: () => {},
    startsAtUs: 0,
    putOff,
  });
  runner.start(null);
  runner.prepareTakeover();
  // The first deadline is the takeover, the second one a periodic advertisement.
  for (let deadline = 0; deadline < 2; deadline++) {
    const atUs = runner.deadlineUs;
    if (atUs === null) continue;
    runner.fireIfDue(atUs, true);
    putOff.isOpen = true;
    runner.fireIfDue(atUs, false);
    putOff.isOpen = false;
    announcer.together(() => putOff.settleSome());
    announcer.flush(monotonicUs());
  }
  // It was stalled, and hears its successor.
  putOff.isOpen = true;
  giveWay(runner);
  putOff.isOpen = false;
  putOff.settleSome();
  runner.stop();
}

/** Has an active instance hear an advertisement that came long after its own. */
function giveWay(runner: InstanceRunner): void {
  const { family, vrid, version, advertIntervalUs, addresses } = runner.config;
  const advertised = addresses.filter((vip) => vip.advertised);
  const source = parseIp(family === 'ipv4' ? '192.0.2.3' : 'fe80::2') as Uint8Array;
  const destination = family === 'ipv4' ? VRRP_GROUP_IPV4 : VRRP_GROUP_IPV6;
  const payload = new Uint8Array(MAX_ADVERTISEMENT_BYTES);
  const lengthBytes = encodeAdvertisement(payload, {
    ...{ version, family, vrid, priority: 1, advertIntervalUs, source, destination },
    ...{ addresses: advertised.map((vip) => parseIp(vip.address) as Uint8Array) },
    ...{ checksum: 'pseudo-header', password: null },
  });
  const decoded = decodeAdvertisement({
    ...{ bytes: payload, lengthBytes, truncated: false, ttl: VRRP_TTL },
    ...{ source, destination, family },
  });
  if (!decoded.ok) return;
  const receivedAtUs = monotonicUs() + STALL_US;
  const packet = { family, payload, lengthBytes, truncated: false, ttl: VRRP_TTL };
  runner.receive(decoded.value, { ...packet, source, destination, receivedAtUs }, true);
}

type Scenery = Pick<
  Network,
  | 'link'
  | 'nameOf'
  | 'sourceAddress'
  | 'unicastSource'
  | 'ownsAddress'
  | 'hasAddress'
  | 'hasAddressOn'
  | 'addressInfo'
  | 'isOurs'
  | 'claim'
  | 'change'
  | 'noteExisting'
>;

/** What the runner sees of a network with one interface; changes go to the real one. */
class Stage {
  readonly network: Network;
  #source = '';
  #asked = false;

  constructor(network: Network) {
    const scenery: Scenery = {
      link: () => LINK,
      nameOf: () => LINK.name,
      noteExisting: () => {},
      sourceAddress: () => this.#source,
      unicastSource: () => this.#source,
      ownsAddress: () => false,
      // What was to be added counts as there, or nothing would be announced.
      hasAddress: () => this.#asked,
      hasAddressOn: () => this.#asked,
      addressInfo: (_, address) =>
        this.#asked ? { ...THERE, family: ipFamily(address), address } : null,
      isOurs: () => this.#asked,
      claim: () => {},
      change: (operations) => {
        this.#asked = true;
        return network.change(operations);
      },
    };
    // A class with private fields cannot be stood in for by its type alone.
    this.network = scenery as Network;
  }

  /** For the next rehearsal, of an instance that advertises from `source`. */
  set(source: string): Network {
    this.#source = source;
    this.#asked = false;
    return this.network;
  }
}

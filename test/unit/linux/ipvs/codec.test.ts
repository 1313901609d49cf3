/**
 * Byte-exact against what ipvsadm 1.31 and a Linux 6.12 kernel exchanged on a little-endian
 * machine, captured as generic netlink header and attributes. Where we send fewer attributes
 * than ipvsadm (identities instead of whole services) our own bytes are asserted.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ServiceIdentity } from '../../../../src/core/config/config.ts';
import type { RealServer } from '../../../../src/core/ipvs/model.ts';
import { serviceFamily } from '../../../../src/core/ipvs/model.ts';
import { err, ok } from '../../../../src/core/result.ts';
import {
  decodeDaemon,
  decodeInfo,
  decodeServer,
  decodeService,
  decodeTimeouts,
  encodeRequest,
  type IpvsRequest,
  type Payload,
  type SyncDaemon,
} from '../../../../src/linux/ipvs/codec.ts';
import * as k from '../../../../src/linux/ipvs/constants.ts';
import { AttributeReader, AttributeWriter } from '../../../../src/linux/netlink/attributes.ts';
import { beginGenl } from '../../../../src/linux/netlink/genl.ts';
import * as arbitrary from '../../../property/ipvs-arbitraries.ts';

const V4: ServiceIdentity = {
  kind: 'address',
  protocol: 'tcp',
  address: '10.0.0.100',
  port: 80,
};
const V6: ServiceIdentity = { ...V4, address: '2001:db8::80' };
const MARK: ServiceIdentity = { kind: 'fwmark', family: 'ipv4', mark: 5 };
const ZEROS_12 = '00'.repeat(12);
const V4_ID = `06000100020000000600020006000000140003000a000064${ZEROS_12}0600040000500000`;
const V6_ID =
  '060001000a00000006000200060000001400030020010db80000000000000000000000800600040000500000';
const PLAIN = {
  scheduler: 'wrr',
  persistenceSeconds: 0,
  persistencePrefixLength: 32,
  persistenceEngine: null,
  onePacket: false,
  flag1: false,
  flag2: false,
  flag3: false,
} as const;
const SERVER: RealServer = {
  address: '10.0.0.2',
  port: 8080,
  forwarding: 'nat',
  weight: 3,
  upperThreshold: 1000,
  lowerThreshold: 500,
  tunnel: { kind: 'ipip' },
};
const GUE: RealServer = {
  address: '10.0.0.3',
  port: 80,
  forwarding: 'tun',
  weight: 1,
  upperThreshold: 0,
  lowerThreshold: 0,
  tunnel: { kind: 'gue', port: 6080, checksum: 'on' },
};
const NO_STATS = {
  connections: 0,
  packetsIn: 0,
  packetsOut: 0,
  bytesIn: 0,
  bytesOut: 0,
};
const NO_CONNECTIONS = {
  activeConnections: 0,
  inactiveConnections: 0,
  persistentConnections: 0,
  stats: NO_STATS,
};
/** STATS and STATS64 of a new entry, as the kernel appends them to services and servers. */
const EMPTY_STATS =
  '5c000a000800010000000000080002000000000008000300000000000c00040000000000000000000c00050000' +
  '00000000000000080006000000000008000700000000000800080000000000080009000000000008000a000000' +
  '00007c000c000c00010000000000000000000c00020000000000000000000c00030000000000000000000c0004' +
  '0000000000000000000c00050000000000000000000c00060000000000000000000c0007000000000000000000' +
  '0c00080000000000000000000c00090000000000000000000c000a000000000000000000';

function encoded(request: IpvsRequest): string {
  return Buffer.from(encodeRequest(new AttributeWriter(), request).copy()).toString('hex');
}

/** A payload in the middle of a buffer whose other bytes would be noticed. */
function payloadOf(hex: string): Payload {
  const bytes = Buffer.from(`ffffffff${hex}ffffffff`, 'hex');
  return { reader: new AttributeReader(bytes), payloadStart: 4, payloadEnd: bytes.length - 4 };
}

function payloadFrom(command: number, fill: (writer: AttributeWriter) => void): Payload {
  const writer = beginGenl(new AttributeWriter(), { command, version: 1 });
  fill(writer);
  return payloadOf(Buffer.from(writer.copy()).toString('hex'));
}

const SERVICE_COMMANDS: [string, IpvsRequest, string][] = [
  [
    '-A -t 10.0.0.100:80 -s wrr',
    { kind: 'add-service', service: { ...PLAIN, identity: V4 } },
    `0101000054000180${V4_ID}08000600777272000c00070000000000ffffffff` +
      '080008000000000008000900ffffffff',
  ],
  [
    '-A -t 10.0.0.100:443 -s sh -b sh-fallback,sh-port -p 600 -M 255.255.255.0',
    {
      kind: 'add-service',
      service: {
        ...PLAIN,
        identity: { ...V4, port: 443 },
        scheduler: 'sh',
        persistenceSeconds: 600,
        persistencePrefixLength: 24,
        flag1: true,
        flag2: true,
      },
    },
    `0101000054000180${V4_ID.replace('00500000', '01bb0000')}07000600736800000c00070019000000` +
      'ffffffff080008005802000008000900ffffff00',
  ],
  [
    '-A -t [2001:db8::80]:80 -s rr -p 60 -M 64',
    {
      kind: 'add-service',
      service: {
        ...PLAIN,
        identity: V6,
        scheduler: 'rr',
        persistenceSeconds: 60,
        persistencePrefixLength: 64,
      },
    },
    `0101000054000180${V6_ID}07000600727200000c00070001000000ffffffff` +
      '080008003c0000000800090040000000',
  ],
  [
    '-A -f 5 -s wlc',
    { kind: 'add-service', service: { ...PLAIN, identity: MARK, scheduler: 'wlc' } },
    '01010000380001800600010002000000080005000500000008000600776c63000c00070000000000ffffffff' +
      '080008000000000008000900ffffffff',
  ],
  [
    '-A -u 10.0.0.100:5060 -s rr -p 360 --pe sip',
    {
      kind: 'add-service',
      service: {
        ...PLAIN,
        identity: { ...V4, protocol: 'udp', port: 5060 },
        scheduler: 'rr',
        persistenceSeconds: 360,
        persistenceEngine: 'sip',
      },
    },
    '010100005c00018006000100020000000600020011000000140003000a000064' +
      `${ZEROS_12}0600040013c40000070006007272000008000b00736970000c00070001000000ffffffff` +
      '080008006801000008000900ffffffff',
  ],
  [
    '-E -t 10.0.0.100:80 -s wlc -p 30',
    {
      kind: 'set-service',
      service: { ...PLAIN, identity: V4, scheduler: 'wlc', persistenceSeconds: 30 },
    },
    `0201000054000180${V4_ID}08000600776c63000c00070001000000ffffffff` +
      '080008001e00000008000900ffffffff',
  ],
];

const OTHER_COMMANDS: [string, IpvsRequest, string][] = [
  ['the dump of -Ln', { kind: 'get-services' }, '04010000'],
  ['the servers of -Ln', { kind: 'get-servers', identity: V4 }, `0801000030000180${V4_ID}`],
  [
    'the servers of -Ln with a mark',
    { kind: 'get-servers', identity: MARK },
    '080100001400018006000100020000000800050005000000',
  ],
  ['-L --timeout', { kind: 'get-timeouts' }, '0d010000'],
  [
    '--set 900 120 300',
    { kind: 'set-timeouts', timeouts: { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 } },
    '0c01000008000400840300000800050078000000080006002c010000',
  ],
  [
    '--start-daemon master --mcast-interface c0 --syncid 7',
    { kind: 'start-daemon', daemon: { role: 'master', interface: 'c0', id: 7 } },
    '090100001c000380080001000100000007000200633000000800030007000000',
  ],
  [
    '--start-daemon backup with group, port, TTL and length',
    {
      kind: 'start-daemon',
      daemon: {
        role: 'backup',
        interface: 'c0',
        id: 7,
        maxLengthBytes: 4000,
        group: 'ff02::51',
        port: 9000,
        ttl: 3,
      },
    },
    '090100004800038008000100020000000700020063300000080003000700000006000400a00f0000' +
      '0600070028230000050008000300000014000600ff020000000000000000000000000051',
  ],
  ['-L --daemon', { kind: 'get-daemons' }, '0b010000'],
  ['the version query', { kind: 'get-info' }, '0f010000'],
  ['-Z', { kind: 'zero', identity: null }, '10010000'],
  ['-C', { kind: 'flush' }, '11010000'],
];

/** ipvsadm sends the whole service with these; the identity is all that the kernel reads. */
const IDENTITY_COMMANDS: [string, IpvsRequest, string][] = [
  ['delete a service', { kind: 'delete-service', identity: V6 }, `0301000030000180${V6_ID}`],
  ['get a service', { kind: 'get-service', identity: V4 }, `0401000030000180${V4_ID}`],
  ['zero a service', { kind: 'zero', identity: V4 }, `1001000030000180${V4_ID}`],
  [
    'add a NAT server with thresholds',
    { kind: 'add-server', identity: V4, server: SERVER },
    `0501000030000180${V4_ID}4800028006000b0002000000140001000a000002${ZEROS_12}` +
      '060002001f90000008000300000000000800040003000000' +
      '08000500e803000008000600f4010000',
  ],
  [
    'set its weight to 0, thresholds kept',
    { kind: 'set-server', identity: V4, server: { ...SERVER, weight: 0 } },
    `0601000030000180${V4_ID}4800028006000b0002000000140001000a000002${ZEROS_12}` +
      '060002001f90000008000300000000000800040000000000' +
      '08000500e803000008000600f4010000',
  ],
  [
    'add a GUE server (its record byte for byte as ipvsadm has it)',
    { kind: 'add-server', identity: V4, server: GUE },
    `0501000030000180${V4_ID}6000028006000b0002000000140001000a000003${ZEROS_12}` +
      '06000200005000000800030002000000080004000100000005000d000100000006000e0017c00000' +
      '06000f0001000000080005000000000008000600' +
      '00000000',
  ],
  [
    'add an IPv4 server to an IPv6 service through IPIP',
    {
      kind: 'add-server',
      identity: V6,
      server: { ...GUE, address: '10.0.0.2', tunnel: { kind: 'ipip' } },
    },
    `0501000030000180${V6_ID}6000028006000b0002000000140001000a000002${ZEROS_12}` +
      '06000200005000000800030002000000080004000100000005000d000000000006000e0000000000' +
      '06000f0000000000080005000000000008000600' +
      '00000000',
  ],
  [
    'delete a server',
    { kind: 'delete-server', identity: V4, address: '10.0.0.2', port: 8080 },
    `0701000030000180${V4_ID}2800028006000b0002000000140001000a000002${ZEROS_12}060002001f900000`,
  ],
  ['stop a daemon', { kind: 'stop-daemon', role: 'master' }, '0a0100000c0003800800010001000000'],
];

describe('encodeRequest', () => {
  it.each(SERVICE_COMMANDS)('writes ipvsadm %s byte for byte', (_name, request, hex) => {
    expect(encoded(request)).toBe(hex);
  });

  it.each(OTHER_COMMANDS)('writes %s byte for byte', (_name, request, hex) => {
    expect(encoded(request)).toBe(hex);
  });

  it.each(IDENTITY_COMMANDS)('sends no more than the kernel reads to %s', (_name, request, hex) => {
    expect(encoded(request)).toBe(hex);
  });

  it('covers every command that the kernel takes', () => {
    const all = [...SERVICE_COMMANDS, ...OTHER_COMMANDS, ...IDENTITY_COMMANDS];
    const sent = new Set(all.map(([, , hex]) => Number.parseInt(hex.slice(0, 2), 16)));
    // All from 1 to 17 but SET_INFO (14), which is a reply alone.
    const taken = Array.from({ length: 17 }, (_, index) => index + 1).filter((one) => one !== 14);
    expect([...sent].sort((left, right) => left - right)).toEqual(taken);
  });
});

describe('decodeService', () => {
  it.each(SERVICE_COMMANDS)('reads the service of ipvsadm %s', (_name, request, hex) => {
    if (!('service' in request)) expect.unreachable();
    const reply = hex.replace(/^02/, '01');
    expect(decodeService(payloadOf(reply))).toEqual(
      ok({ service: request.service, stats: NO_STATS }),
    );
  });

  it('reads a kernel reply for a UDP service with an engine, its own flag left out', () => {
    const hex =
      '010100003401010006000100020000000600020011000000140003000a000064' +
      `${ZEROS_12}0600040013c40000070006007272000008000b00736970000c00070003000000ffffffff` +
      `080008006801000008000900ffffffff${EMPTY_STATS}`;
    expect(decodeService(payloadOf(hex))).toEqual(
      ok({
        service: {
          ...PLAIN,
          identity: { ...V4, protocol: 'udp', port: 5060 },
          scheduler: 'rr',
          persistenceSeconds: 360,
          persistenceEngine: 'sip',
        },
        stats: NO_STATS,
      }),
    );
  });

  it('reads a kernel reply for a mark', () => {
    const hex =
      '01010000100101000600010002000000080005000500000008000600776c63000c00070002000000ffffffff' +
      `080008000000000008000900ffffffff${EMPTY_STATS}`;
    const reply = decodeService(payloadOf(hex));
    expect(reply.ok && reply.value.service).toEqual({
      ...PLAIN,
      identity: MARK,
      scheduler: 'wlc',
    });
  });

  it('has no persistence without the flag, although the kernel keeps a timeout', () => {
    const hex = `0101000054000180${V4_ID}08000600777272000c00070002000000ffffffff080008005802000008000900ffffffff`;
    const reply = decodeService(payloadOf(hex));
    expect(reply.ok && reply.value.service.persistenceSeconds).toBe(0);
  });

  it.each([
    ['00000000', 0],
    ['80000000', 1],
    ['ffffff00', 24],
    ['ffffffff', 32],
    ['ff00ff00', -1],
  ])('reads the IPv4 persistence mask %s as prefix length %i', (mask, length) => {
    const hex = `0101000054000180${V4_ID}08000600777272000c00070001000000ffffffff080008005802000008000900${mask}`;
    const reply = decodeService(payloadOf(hex));
    expect(reply.ok && reply.value.service.persistencePrefixLength).toBe(length);
  });

  it('prefers STATS64 to the truncated STATS, and takes STATS without it', () => {
    const put = (writer: AttributeWriter, wide: boolean) =>
      writer.nested(k.IPVS_CMD_ATTR_SERVICE, (nested) => {
        nested.u16(k.IPVS_SVC_ATTR_AF, k.AF_INET).u32(k.IPVS_SVC_ATTR_FWMARK, 9);
        nested.string0(k.IPVS_SVC_ATTR_SCHED_NAME, 'none');
        nested.bytes(k.IPVS_SVC_ATTR_FLAGS, new Uint8Array(8));
        nested.nested(k.IPVS_SVC_ATTR_STATS, (stats) => {
          for (let type = 1; type <= 10; type++) {
            if (type === 4 || type === 5) stats.u64(type, 2 ** 40 + type);
            else stats.u32(type, 100 + type);
          }
        });
        if (!wide) return;
        nested.nested(k.IPVS_SVC_ATTR_STATS64, (stats) => {
          for (let type = 1; type <= 10; type++) stats.u64(type, 2 ** 50 + type);
        });
      });
    const read = (wide: boolean) => {
      const reply = decodeService(
        payloadFrom(k.IPVS_CMD_NEW_SERVICE, (writer) => void put(writer, wide)),
      );
      return reply.ok ? Object.values(reply.value.stats) : reply;
    };
    const types = [1, 2, 3, 4, 5];
    expect(read(true)).toEqual(types.map((type) => 2 ** 50 + type));
    expect(read(false)).toEqual(
      types.map((type) => (type === 4 || type === 5 ? 2 ** 40 : 100) + type),
    );
  });

  it.each([
    ['another command', `0501000030000180${V4_ID}`, 'command-unexpected'],
    ['no header', '01', 'command-unexpected'],
    ['no service', '01010000', 'attribute-missing'],
    ['no scheduler', `0101000030000180${V4_ID}`, 'attribute-missing'],
    ['an unknown family', '010100000c0001800600010001000000', 'family-unknown'],
    [
      'an unknown protocol',
      `0101000030000180${V4_ID.replace('0600020006', '0600020001')}`,
      'protocol-unknown',
    ],
    [
      'a short IPv6 address',
      '0101000024000180060001000a0000000600020006000000080003000a0000640600040000500000',
      'address-short',
    ],
    ['a length beyond the end', `0101000031000180${V4_ID}`, 'attribute-length-invalid'],
    [
      'short flags',
      `0101000040000180${V4_ID}08000600777272000800070000000000`,
      'attribute-value-short',
    ],
  ])('refuses %s', (_name, hex, error) => {
    expect(decodeService(payloadOf(hex))).toEqual(err(error));
  });

  it('reads back every service that encodeRequest writes', () => {
    const services = arbitrary.identity.chain(arbitrary.virtualService);
    fc.assert(
      fc.property(services, (service) => {
        const reply = decodeService(payloadOf(encoded({ kind: 'add-service', service })));
        expect(reply).toEqual(ok({ service, stats: NO_STATS }));
      }),
    );
  });
});

describe('decodeServer', () => {
  it('reads a kernel reply for a GUE server', () => {
    const hex = `0501000050010200140001000a000003${ZEROS_12}06000200005000000800030002000000080004000100000005000d000100000006000e0017c0000006000f00010000000800050000000000080006000000000008000700000000000800080000000000080009000000000006000b0002000000${EMPTY_STATS}`;
    expect(decodeServer(payloadOf(hex), 'ipv4')).toEqual(ok({ ...GUE, ...NO_CONNECTIONS }));
  });

  it('reads a kernel reply for an IPv4 server of an IPv6 service', () => {
    const hex = `0501000050010200140001000a000002${ZEROS_12}06000200005000000800030002000000080004000100000005000d000000000006000e000000000006000f00000000000800050000000000080006000000000008000700000000000800080000000000080009000000000006000b0002000000${EMPTY_STATS}`;
    const server = { ...GUE, address: '10.0.0.2', tunnel: { kind: 'ipip' } };
    expect(decodeServer(payloadOf(hex), 'ipv6')).toEqual(ok({ ...server, ...NO_CONNECTIONS }));
  });

  it('reads the server of an ipvsadm request', () => {
    const hex =
      `0501000054000180${V4_ID}05000600000000000c00070000000000ffffffff080008000000000008000900ffffffff` +
      `6000028006000b0002000000140001000a000002${ZEROS_12}060002001f9000000800030000000000` +
      '080004000300000005000d000000000006000e000000000006000f000000000008000500e803000008000600f4010000';
    expect(decodeServer(payloadOf(hex), 'ipv4')).toEqual(ok({ ...SERVER, ...NO_CONNECTIONS }));
  });

  it('takes the family of the service when the kernel does not tell that of the server', () => {
    const hex = `0501000030000280140001000a000002${ZEROS_12}060002001f90000008000300030000000800040001000000`;
    const reply = decodeServer(payloadOf(hex), 'ipv4');
    expect(reply.ok && [reply.value.address, reply.value.forwarding]).toEqual(['10.0.0.2', 'dr']);
  });

  it.each([
    ['an unknown forwarding', '05', 'forwarding-unknown'],
    ['an unknown forwarding at the end of the mask', '07', 'forwarding-unknown'],
  ])('refuses %s', (_name, method, error) => {
    const hex = `0501000030000280140001000a000002${ZEROS_12}060002001f90000008000300${method}0000000800040001000000`;
    expect(decodeServer(payloadOf(hex), 'ipv4')).toEqual(err(error));
  });

  it('reads back every server that encodeRequest writes, a tunnel only where there is one', () => {
    const cases = arbitrary.identity.chain((identity) =>
      fc.tuple(fc.constant(identity), arbitrary.realServer(serviceFamily(identity))),
    );
    fc.assert(
      fc.property(cases, ([identity, server]) => {
        const hex = encoded({ kind: 'add-server', identity, server });
        const tunnel = server.forwarding === 'tun' ? server.tunnel : { kind: 'ipip' };
        expect(decodeServer(payloadOf(hex), serviceFamily(identity))).toEqual(
          ok({ ...server, tunnel, ...NO_CONNECTIONS }),
        );
      }),
    );
  });
});

describe('decodeDaemon', () => {
  it('reads a kernel replies for both roles', () => {
    const master =
      '090100003c00030008000100010000000700020063300000080003000700000006000400c0050000' +
      '0600070090220000050008000100000008000500e0000051';
    const backup =
      '090100004800030008000100020000000700020063300000080003000700000006000400a00f0000' +
      '0600070028230000050008000300000014000600ff020000000000000000000000000051';
    expect(decodeDaemon(payloadOf(master))).toEqual(
      ok({
        role: 'master',
        interface: 'c0',
        id: 7,
        maxLengthBytes: 1472,
        group: '224.0.0.81',
        port: 8848,
        ttl: 1,
      }),
    );
    expect(decodeDaemon(payloadOf(backup))).toEqual(
      ok({
        role: 'backup',
        interface: 'c0',
        id: 7,
        maxLengthBytes: 4000,
        group: 'ff02::51',
        port: 9000,
        ttl: 3,
      }),
    );
  });

  it('refuses a role that the kernel does not have', () => {
    const hex = '090100001c000380080001000300000007000200633000000800030007000000';
    expect(decodeDaemon(payloadOf(hex))).toEqual(err('role-unknown'));
  });

  it('reads back every daemon that encodeRequest writes', () => {
    const daemons: fc.Arbitrary<SyncDaemon> = fc.record(
      {
        role: fc.constantFrom('master' as const, 'backup' as const),
        interface: fc.constantFrom('c0', 'eth0', 'abcdefghijklmno'),
        id: fc.nat(255),
        maxLengthBytes: fc.nat(65_535),
        group: fc.constantFrom('224.0.0.81', '239.1.2.3', 'ff02::51'),
        port: fc.nat(65_535),
        ttl: fc.nat(255),
      },
      { requiredKeys: ['role', 'interface', 'id'] },
    );
    fc.assert(
      fc.property(daemons, (daemon) => {
        const reply = decodeDaemon(payloadOf(encoded({ kind: 'start-daemon', daemon })));
        expect(reply).toEqual(ok({ ...daemon }));
      }),
    );
  });
});

describe('decodeTimeouts and decodeInfo', () => {
  it('read a kernel replies', () => {
    const timeouts = '0c01000008000400840300000800050078000000080006002c010000';
    expect(decodeTimeouts(payloadOf(timeouts))).toEqual(
      ok({ tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 }),
    );
    const info = '0e01000008000100010201000800020000100000';
    expect(decodeInfo(payloadOf(info))).toEqual(
      ok({ version: '1.2.1', connectionTableSize: 4096 }),
    );
  });

  it('refuse a reply to something else', () => {
    expect(decodeTimeouts(payloadOf('0e010000'))).toEqual(err('command-unexpected'));
    expect(decodeInfo(payloadOf('0c010000'))).toEqual(err('command-unexpected'));
    expect(decodeInfo(payloadOf('0e010000'))).toEqual(err('attribute-missing'));
  });
});

describe('every decoder', () => {
  const decoders = [
    decodeService,
    (payload: Payload) => decodeServer(payload, 'ipv6'),
    decodeDaemon,
    decodeTimeouts,
    decodeInfo,
  ];
  const commands = [
    k.IPVS_CMD_NEW_SERVICE,
    k.IPVS_CMD_NEW_DEST,
    k.IPVS_CMD_NEW_DAEMON,
    k.IPVS_CMD_SET_CONFIG,
    k.IPVS_CMD_SET_INFO,
  ];

  it('answers random bytes with a value or an error, never by throwing', () => {
    fc.assert(
      fc.property(fc.nat(4), fc.uint8Array({ maxLength: 200 }), (index, bytes) => {
        const hex = `${(commands[index] as number).toString(16).padStart(2, '0')}010000`;
        decoders[index]?.(payloadOf(hex + Buffer.from(bytes).toString('hex')));
      }),
      { numRuns: 2_000 },
    );
  });

  it('answers damaged messages with a value or an error, never by throwing', () => {
    const samples = [
      `010100003401010006000100020000000600020011000000140003000a000064${ZEROS_12}0600040013c40000070006007272000008000b00736970000c00070003000000ffffffff080008006801000008000900ffffffff${EMPTY_STATS}`,
      `0501000050010200140001000a000003${ZEROS_12}06000200005000000800030002000000080004000100000005000d000100000006000e0017c0000006000f00010000000800050000000000080006000000000008000700000000000800080000000000080009000000000006000b0002000000${EMPTY_STATS}`,
      '090100003c00030008000100010000000700020063300000080003000700000006000400c00500000600070090220000050008000100000008000500e0000051',
      '0c01000008000400840300000800050078000000080006002c010000',
      '0e01000008000100010201000800020000100000',
    ];
    const damage = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.nat(4), damage, fc.nat(400), (index, changes, cut) => {
        const bytes = Buffer.from(samples[index] as string, 'hex');
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        const part = bytes.subarray(0, bytes.length - (cut % 3 === 0 ? cut % bytes.length : 0));
        decoders[index]?.(payloadOf(part.toString('hex')));
      }),
      { numRuns: 5_000 },
    );
  });
});

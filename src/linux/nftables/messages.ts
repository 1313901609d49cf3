/**
 * Messages of nf_tables for one kind of table: packets to the addresses of two sets are dropped
 * when they arrive, neighbour discovery excepted. Whole batches, which the kernel does at once or not
 * at all.
 *
 *   table inet NAME
 *     set ipv4, set ipv6
 *     chain input { type filter hook input priority 150
 *       icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
 *       ip daddr @ipv4 counter drop
 *       ip6 daddr @ipv6 counter drop
 *     }
 *
 * The priority is behind IPVS (98 and 99 on the same hook, net/netfilter/ipvs/ip_vs_core.c): what
 * a virtual service takes has left the hook by then.
 * Standard: include/uapi/linux/netfilter/nf_tables.h, nfnetlink.h; RFC 9568 section 6.4.3.
 */
import { ipFamily, parseIp } from '../../core/ip.ts';
import { AttributeWriter } from '../netlink/attributes.ts';
import { type MessageCursor, NLM_F_APPEND, NLM_F_CREATE } from '../netlink/message.ts';
import type { NetlinkRequest } from '../netlink/socket.ts';

/** include/uapi/linux/netfilter/nfnetlink.h */
const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;

/** include/uapi/linux/netfilter.h, in.h, icmpv6 of RFC 4861 section 4 */
const NFPROTO_UNSPEC = 0;
const NFPROTO_INET = 1;
const NFPROTO_IPV4 = 2;
const NFPROTO_IPV6 = 10;
const NF_INET_LOCAL_IN = 1;
const NF_DROP = 0;
const NF_ACCEPT = 1;
const IPPROTO_ICMPV6 = 58;
const ND_NEIGHBOR_SOLICIT = 135;
const ND_NEIGHBOR_ADVERT = 136;

/** include/uapi/linux/netfilter/nf_tables.h: enum nf_tables_msg_types */
export const NFT_MSG_NEWTABLE = 0;
export const NFT_MSG_DELTABLE = 2;
const NFT_MSG_NEWCHAIN = 3;
const NFT_MSG_NEWRULE = 6;
const NFT_MSG_GETRULE = 7;
const NFT_MSG_DELRULE = 8;
const NFT_MSG_NEWSET = 9;
const NFT_MSG_NEWSETELEM = 12;
const NFT_MSG_DELSETELEM = 14;
const NFT_MSG_GETGEN = 16;

/** Of each object its own numbers: NFTA_TABLE_*, NFTA_CHAIN_*, and so on. */
const TABLE = { NAME: 1 } as const;
const CHAIN = { TABLE: 1, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7 } as const;
const HOOK = { HOOKNUM: 1, PRIORITY: 2 } as const;
const RULE = { TABLE: 1, CHAIN: 2, EXPRESSIONS: 4 } as const;
const SET = { TABLE: 1, NAME: 2, KEY_TYPE: 4, KEY_LEN: 5, ID: 10 } as const;
const ELEMENTS = { TABLE: 1, SET: 2, ELEMENTS: 3 } as const;
const LIST_ELEM = 1;
const SET_ELEM_KEY = 1;
const EXPR = { NAME: 1, DATA: 2 } as const;
const DATA = { VALUE: 1, VERDICT: 2 } as const;
const VERDICT_CODE = 1;
const META = { DREG: 1, KEY: 2 } as const;
const CMP = { SREG: 1, OP: 2, DATA: 3 } as const;
const PAYLOAD = { DREG: 1, BASE: 2, OFFSET: 3, LEN: 4 } as const;
const LOOKUP = { SET: 1, SREG: 2 } as const;
const IMMEDIATE = { DREG: 1, DATA: 2 } as const;
const NFT_META_NFPROTO = 15;
const NFT_META_L4PROTO = 16;
const NFT_CMP_EQ = 0;
const NFT_CMP_LTE = 3;
const NFT_CMP_GTE = 5;
const NFT_PAYLOAD_NETWORK_HEADER = 1;
const NFT_PAYLOAD_TRANSPORT_HEADER = 2;
const NFT_REG_VERDICT = 0;
const NFT_REG_1 = 1;

/** Behind IPVS, before what confirms connections. */
export const FILTER_PRIORITY = 150;
const CHAIN_NAME = 'input';

interface AddressSet {
  readonly name: 'ipv4' | 'ipv6';
  readonly id: number;
  /** What nft(8) calls the type: ipv4_addr, ipv6_addr. */
  readonly keyType: number;
  readonly keyBytes: number;
  readonly protocol: number;
  /** Of the destination in the header. */
  readonly offset: number;
}

const SETS: readonly AddressSet[] = [
  { name: 'ipv4', id: 1, keyType: 7, keyBytes: 4, protocol: NFPROTO_IPV4, offset: 16 },
  { name: 'ipv6', id: 2, keyType: 8, keyBytes: 16, protocol: NFPROTO_IPV6, offset: 24 },
];

/** How many rules a whole chain has. */
export const RULES = 1 + SETS.length;

/** The messages that begin and end a batch. */
export const BATCH_BEGIN: NetlinkRequest = batchMark(NFNL_MSG_BATCH_BEGIN);
export const BATCH_END: NetlinkRequest = batchMark(NFNL_MSG_BATCH_END);

function batchMark(type: number): NetlinkRequest {
  const writer = new AttributeWriter();
  header(writer, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES);
  return { type, flags: 0, payload: writer.copy() };
}

/** struct nfgenmsg; the last field is in network order. */
function header(writer: AttributeWriter, family: number, resource = 0): void {
  writer
    .putU8(family)
    .putU8(0)
    .putU8(resource >> 8)
    .putU8(resource & 0xff);
}

function request(
  message: number,
  flags: number,
  fill: (writer: AttributeWriter) => void,
): NetlinkRequest {
  const writer = new AttributeWriter();
  header(writer, NFPROTO_INET);
  fill(writer);
  return { type: (NFNL_SUBSYS_NFTABLES << 8) | message, flags, payload: writer.copy() };
}

/** The table with its chain, its sets, and its rules in place of those that are there. */
export function buildTable(table: string): readonly NetlinkRequest[] {
  return [
    request(NFT_MSG_NEWTABLE, NLM_F_CREATE, (writer) => writer.string0(TABLE.NAME, table)),
    request(NFT_MSG_NEWCHAIN, NLM_F_CREATE, (writer) =>
      writer
        .string0(CHAIN.TABLE, table)
        .string0(CHAIN.NAME, CHAIN_NAME)
        .nested(CHAIN.HOOK, (hook) =>
          hook.be32(HOOK.HOOKNUM, NF_INET_LOCAL_IN).be32(HOOK.PRIORITY, FILTER_PRIORITY),
        )
        .be32(CHAIN.POLICY, NF_ACCEPT)
        .string0(CHAIN.TYPE, 'filter'),
    ),
    ...SETS.map(({ name, id, keyType, keyBytes }) =>
      request(NFT_MSG_NEWSET, NLM_F_CREATE, (writer) =>
        writer
          .string0(SET.TABLE, table)
          .string0(SET.NAME, name)
          .be32(SET.KEY_TYPE, keyType)
          .be32(SET.KEY_LEN, keyBytes)
          .be32(SET.ID, id),
      ),
    ),
    // Without a handle: all of the chain.
    request(NFT_MSG_DELRULE, 0, (writer) =>
      writer.string0(RULE.TABLE, table).string0(RULE.CHAIN, CHAIN_NAME),
    ),
    rule(table, [
      meta(NFT_META_L4PROTO),
      compare(NFT_CMP_EQ, [IPPROTO_ICMPV6]),
      payload(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1),
      compare(NFT_CMP_GTE, [ND_NEIGHBOR_SOLICIT]),
      compare(NFT_CMP_LTE, [ND_NEIGHBOR_ADVERT]),
      verdict(NF_ACCEPT),
    ]),
    ...SETS.map(({ name, protocol, offset, keyBytes }) =>
      rule(table, [
        meta(NFT_META_NFPROTO),
        compare(NFT_CMP_EQ, [protocol]),
        payload(NFT_PAYLOAD_NETWORK_HEADER, offset, keyBytes),
        lookup(name),
        { name: 'counter', fill: () => {} },
        verdict(NF_DROP),
      ]),
    ),
  ];
}

/** Removes the table with all that is in it; it must be there. */
export function deleteTable(table: string): NetlinkRequest {
  return request(NFT_MSG_DELTABLE, 0, (writer) => writer.string0(TABLE.NAME, table));
}

/** Empties both sets, which must be there. */
export function clearSets(table: string): readonly NetlinkRequest[] {
  return SETS.map(({ name }) =>
    request(NFT_MSG_DELSETELEM, 0, (writer) =>
      writer.string0(ELEMENTS.TABLE, table).string0(ELEMENTS.SET, name),
    ),
  );
}

/** Adds these addresses, which may be there already. */
export function addElements(
  table: string,
  addresses: readonly string[],
): readonly NetlinkRequest[] {
  return elements({ message: NFT_MSG_NEWSETELEM, flags: NLM_F_CREATE, table, addresses });
}

/** Takes these addresses out, all of which must be there. */
export function deleteElements(
  table: string,
  addresses: readonly string[],
): readonly NetlinkRequest[] {
  return elements({ message: NFT_MSG_DELSETELEM, flags: 0, table, addresses });
}

function elements(change: {
  readonly message: number;
  readonly flags: number;
  readonly table: string;
  readonly addresses: readonly string[];
}): readonly NetlinkRequest[] {
  const { message, flags, table, addresses } = change;
  return SETS.flatMap(({ name }) => {
    const own = addresses.filter((address) => ipFamily(address) === name);
    if (own.length === 0) return [];
    return request(message, flags, (writer) =>
      writer
        .string0(ELEMENTS.TABLE, table)
        .string0(ELEMENTS.SET, name)
        .nested(ELEMENTS.ELEMENTS, (list) => {
          for (const address of own) {
            list.nested(LIST_ELEM, (element) =>
              element.nested(SET_ELEM_KEY, (key) =>
                key.bytes(DATA.VALUE, parseIp(address) as Uint8Array),
              ),
            );
          }
        }),
    );
  });
}

/** Asks for the number of the rule set's present generation: every change raises it. */
export function askGeneration(): NetlinkRequest {
  return request(NFT_MSG_GETGEN, 0, () => {});
}

/** NFTA_GEN_ID, in network order. */
const NFTA_GEN_ID = 1;
/** sizeof(struct nfgenmsg), before the attributes of every message. */
const NFGENMSG_BYTES = 4;

/** The number in the answer to askGeneration(); null if there is none, or the answer is damaged. */
export function decodeGeneration({
  reader,
  payloadStart,
  payloadEnd,
}: Pick<MessageCursor, 'reader' | 'payloadStart' | 'payloadEnd'>): number | null {
  let generation: number | null = null;
  reader.forEach(payloadStart + NFGENMSG_BYTES, payloadEnd, (type, start, end) => {
    if (type === NFTA_GEN_ID) generation = reader.be32(start, end);
  });
  return reader.error === null ? generation : null;
}

/** Asks for the rules of the table's chain, by a dump. */
export function askRules(table: string): NetlinkRequest {
  return request(NFT_MSG_GETRULE, 0, (writer) =>
    writer.string0(RULE.TABLE, table).string0(RULE.CHAIN, CHAIN_NAME),
  );
}

interface Expression {
  readonly name: string;
  readonly fill: (writer: AttributeWriter) => void;
}

function rule(table: string, expressions: readonly Expression[]): NetlinkRequest {
  return request(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, (writer) =>
    writer
      .string0(RULE.TABLE, table)
      .string0(RULE.CHAIN, CHAIN_NAME)
      .nested(RULE.EXPRESSIONS, (list) => {
        for (const { name, fill } of expressions) {
          list.nested(LIST_ELEM, (element) =>
            element.string0(EXPR.NAME, name).nested(EXPR.DATA, fill),
          );
        }
      }),
  );
}

function meta(key: number): Expression {
  return {
    name: 'meta',
    fill: (writer) => writer.be32(META.DREG, NFT_REG_1).be32(META.KEY, key),
  };
}

function compare(operation: number, value: readonly number[]): Expression {
  return {
    name: 'cmp',
    fill: (writer) =>
      writer
        .be32(CMP.SREG, NFT_REG_1)
        .be32(CMP.OP, operation)
        .nested(CMP.DATA, (data) => data.bytes(DATA.VALUE, Uint8Array.from(value))),
  };
}

function payload(base: number, offset: number, lengthBytes: number): Expression {
  return {
    name: 'payload',
    fill: (writer) =>
      writer
        .be32(PAYLOAD.DREG, NFT_REG_1)
        .be32(PAYLOAD.BASE, base)
        .be32(PAYLOAD.OFFSET, offset)
        .be32(PAYLOAD.LEN, lengthBytes),
  };
}

function lookup(set: string): Expression {
  return {
    name: 'lookup',
    fill: (writer) => writer.string0(LOOKUP.SET, set).be32(LOOKUP.SREG, NFT_REG_1),
  };
}

function verdict(code: number): Expression {
  return {
    name: 'immediate',
    fill: (writer) =>
      writer
        .be32(IMMEDIATE.DREG, NFT_REG_VERDICT)
        .nested(IMMEDIATE.DATA, (data) =>
          data.nested(DATA.VERDICT, (inner) => inner.be32(VERDICT_CODE, code)),
        ),
  };
}

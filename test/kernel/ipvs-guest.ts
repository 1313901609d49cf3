/**
 * Runs inside the lab VM: an IpvsClient that takes calls as JSON lines on standard input and
 * answers each with one JSON line, so that a test on the host can mix them with ipvsadm.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import type { ServiceIdentity } from '../../src/core/config/config.ts';
import type { IpvsOperation } from '../../src/core/ipvs/model.ts';
import { IpvsClient } from '../../src/linux/ipvs/client.ts';
import type { IpvsTimeouts, SyncDaemon } from '../../src/linux/ipvs/codec.ts';
import * as k from '../../src/linux/ipvs/constants.ts';
import { AttributeWriter } from '../../src/linux/netlink/attributes.ts';
import { beginGenl, NETLINK_GENERIC, resolveFamily } from '../../src/linux/netlink/genl.ts';
import { NetlinkSocket } from '../../src/linux/netlink/socket.ts';

export type GuestCall =
  | { readonly method: 'open' | 'info' | 'dump' | 'daemons' | 'timeouts' | 'flush' | 'statistics' }
  | { readonly method: 'dumpService'; readonly identity: ServiceIdentity }
  | { readonly method: 'zero'; readonly identity: ServiceIdentity | null }
  | { readonly method: 'apply'; readonly operations: readonly IpvsOperation[] }
  | { readonly method: 'startDaemon'; readonly daemon: SyncDaemon }
  | { readonly method: 'stopDaemon'; readonly role: SyncDaemon['role'] }
  | { readonly method: 'setTimeouts'; readonly timeouts: IpvsTimeouts }
  | { readonly method: 'traffic'; readonly traffic: Traffic }
  /** Adds a service of protocol ICMP, which the kernel takes and nobody can configure. */
  | { readonly method: 'addStranger' }
  /** Longest time without a turn of the event loop, in ms, while a dump runs. */
  | { readonly method: 'dumpStall' };

export interface Traffic {
  readonly listen: { readonly host: string; readonly port: number };
  readonly connect: { readonly host: string; readonly port: number };
  readonly connections: number;
}

let client = null as IpvsClient | null;

async function answer(call: GuestCall): Promise<unknown> {
  if (call.method === 'open') {
    const opened = IpvsClient.open();
    if (opened.ok) client = opened.value;
    return opened.ok ? { ok: true, value: null } : opened;
  }
  if (call.method === 'traffic') return makeTraffic(call.traffic);
  if (call.method === 'addStranger') return addStranger();
  if (client === null) throw new Error('open first');
  switch (call.method) {
    case 'apply':
      return client.apply(call.operations);
    case 'dumpService':
      return client.dumpService(call.identity);
    case 'zero':
      return client.zero(call.identity);
    case 'startDaemon':
      return client.startDaemon(call.daemon);
    case 'stopDaemon':
      return client.stopDaemon(call.role);
    case 'setTimeouts':
      return client.setTimeouts(call.timeouts);
    case 'statistics':
      return client.statistics;
    case 'dumpStall':
      return dumpStall(client);
    default:
      return client[call.method]();
  }
}

function addStranger(): number {
  const socket = NetlinkSocket.open(NETLINK_GENERIC);
  if (!socket.ok) throw new Error(socket.error.message);
  const family = resolveFamily(socket.value, k.IPVS_GENL_NAME);
  if (!family.ok) throw new Error(family.error.message);
  const header = { command: k.IPVS_CMD_NEW_SERVICE, version: k.IPVS_GENL_VERSION };
  const payload = beginGenl(new AttributeWriter(), header)
    .nested(k.IPVS_CMD_ATTR_SERVICE, (nested) => {
      nested
        .u16(k.IPVS_SVC_ATTR_AF, k.AF_INET)
        .u16(k.IPVS_SVC_ATTR_PROTOCOL, 1)
        .bytes(k.IPVS_SVC_ATTR_ADDR, new Uint8Array([192, 0, 2, 10]))
        .be16(k.IPVS_SVC_ATTR_PORT, 0)
        .string0(k.IPVS_SVC_ATTR_SCHED_NAME, 'rr')
        .bytes(k.IPVS_SVC_ATTR_FLAGS, new Uint8Array(8))
        .u32(k.IPVS_SVC_ATTR_TIMEOUT, 0)
        .be32(k.IPVS_SVC_ATTR_NETMASK, 0xffff_ffff);
    })
    .copy();
  const [outcome] = socket.value.transactSync([{ type: family.value.id, flags: 0, payload }]);
  socket.value.close();
  return outcome?.errno ?? -1;
}

/** Connects as often as asked, each time until the server has closed. */
async function makeTraffic(traffic: Traffic): Promise<number> {
  const server = createServer((socket) => void socket.end('x'));
  server.listen(traffic.listen);
  await once(server, 'listening');
  for (let count = 0; count < traffic.connections; count++) {
    const socket = connect(traffic.connect);
    socket.resume();
    await once(socket, 'close');
  }
  server.close();
  return traffic.connections;
}

async function dumpStall(open: IpvsClient): Promise<{ stallMs: number; totalMs: number }> {
  const started = performance.now();
  let done = false;
  let stallMs = 0;
  const watch = async () => {
    for (let last = performance.now(); !done; last = performance.now()) {
      await setTimeout(1);
      stallMs = Math.max(stallMs, performance.now() - last);
    }
  };
  const watching = watch();
  await open.dump();
  const totalMs = performance.now() - started;
  done = true;
  await watching;
  return { stallMs, totalMs };
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as GuestCall))}\n`);
}
client?.close();

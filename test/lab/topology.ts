/**
 * Topology: directors, real servers and clients as network namespaces of one machine, joined by
 * bridges that live in a namespace of their own, the switch. The machine's own network is not
 * touched, and a link is cut where it would be cut in a rack: at the switch.
 *
 *   client1 ...             front LAN 192.0.2.0/24     2001:db8:1::/64
 *      └──────── front ──┬───────────┐
 *                     eth0        eth0
 *                   director1   director2 ── eth2 ── sync LAN 203.0.113.0/24 2001:db8:3::/64
 *                     eth1        eth1
 *      ┌──────── back ───┴───────────┘
 *   real1, real2 ...        back LAN 198.51.100.0/24   2001:db8:2::/64
 *
 * Host numbers: directors 11, 12, ...; real servers and clients 101, 102, ...; virtual IPs from
 * 201 on the front; .1 is the gateway of the real servers, a virtual IP on the back.
 */
import { spawnSync } from 'node:child_process';
import { onProcessEnd } from './cleanup.ts';
import {
  type Child,
  check,
  LabError,
  localMachine,
  type Machine,
  type RunOptions,
  type RunResult,
  type SpawnOptions,
} from './host.ts';

export type LanName = 'front' | 'back' | 'sync';
export type NodeKind = 'director' | 'real' | 'client';

export interface Lan {
  readonly name: LanName;
  /** First 24 bits of the IPv4 network, "192.0.2". */
  readonly ipv4Net: string;
  /** First 64 bits of the IPv6 network, "2001:db8:1::". */
  readonly ipv6Net: string;
}

export const LANS: Readonly<Record<LanName, Lan>> = {
  front: { name: 'front', ipv4Net: '192.0.2', ipv6Net: '2001:db8:1::' },
  back: { name: 'back', ipv4Net: '198.51.100', ipv6Net: '2001:db8:2::' },
  sync: { name: 'sync', ipv4Net: '203.0.113', ipv6Net: '2001:db8:3::' },
};

/** What the real servers' default routes point to: a VIP for NAT, else nobody. */
export const BACK_GATEWAY_V4 = '198.51.100.1';
export const BACK_GATEWAY_V6 = '2001:db8:2::1';

export interface TopologyOptions {
  /** Each 1 to 50; default 2 directors, 2 real servers, 1 client. */
  readonly directors?: number;
  readonly realServers?: number;
  readonly clients?: number;
  /** A third LAN, eth2 of the directors. Default false. */
  readonly sync?: boolean;
  /**
   * Also connects the real servers to the front LAN (as eth1), for direct routing and tunnels,
   * whose replies do not pass the director. With NAT they must not be. Default false.
   */
  readonly realServersOnFront?: boolean;
}

export interface Interface {
  readonly name: string;
  readonly lan: Lan;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly mac: string;
  readonly linkLocal: string;
  /** The switch's end of the cable, such as "d1-front" (IFNAMSIZ allows 15 characters). */
  readonly port: string;
}

/** Address plans and name lengths hold up to here. */
const NODES_PER_KIND_MAX = 50;
/** All namespaces of a lab are made by one script; emulated, each costs about 0.2 s. */
const BUILD_TIMEOUT_MS = 120_000;
/** Names of namespaces: vk-<pid of the process that made them>-<count>-<node>. */
const NAMESPACE_PATTERN = /^vk-(\d+)-\d+-\w+$/;

const KIND_NUMBERS: Readonly<Record<NodeKind, number>> = { director: 1, real: 2, client: 3 };
const LAN_NUMBERS: Readonly<Record<LanName, number>> = { front: 1, back: 2, sync: 3 };

let topologyCount = 0;

/** A namespace: as a Machine it runs commands inside. */
export class LabNode implements Machine {
  readonly name: string;
  readonly kind: NodeKind;
  readonly namespace: string;
  readonly interfaces: readonly Interface[];
  readonly #machine: Machine;
  readonly #switch: string;

  constructor(
    machine: Machine,
    identity: { readonly kind: NodeKind; readonly index: number; readonly prefix: string },
    lans: readonly LanName[],
  ) {
    this.#machine = machine;
    this.kind = identity.kind;
    this.name = `${identity.kind}${identity.index}`;
    this.namespace = `${identity.prefix}-${this.name}`;
    this.#switch = `${identity.prefix}-switch`;
    this.interfaces = lans.map((lan, slot) => makeInterface(identity, LANS[lan], slot));
  }

  /** The interface on a LAN; throws LabError when the node is not connected to it. */
  on(lan: LanName): Interface {
    const found = this.interfaces.find((candidate) => candidate.lan.name === lan);
    if (found === undefined) throw new LabError(`${this.name} is not on the ${lan} LAN`);
    return found;
  }

  run(argv: readonly string[], options?: RunOptions): Promise<RunResult> {
    return this.#machine.run(this.#inside(argv), options);
  }

  spawn(argv: readonly string[], options?: SpawnOptions): Promise<Child> {
    return this.#machine.spawn(this.#inside(argv), options);
  }

  /** Pulls the cable at the switch: both ends lose carrier. */
  async linkDown(lan: LanName): Promise<void> {
    await this.#atSwitch(['ip', 'link', 'set', this.on(lan).port, 'down']);
  }

  async linkUp(lan: LanName): Promise<void> {
    await this.#atSwitch(['ip', 'link', 'set', this.on(lan).port, 'up']);
  }

  /** The switch drops every frame of this node, in both directions; the carrier stays. */
  async isolate(lan: LanName): Promise<void> {
    await this.#atSwitch(['bridge', 'link', 'set', 'dev', this.on(lan).port, 'state', '0']);
  }

  async rejoin(lan: LanName): Promise<void> {
    await this.#atSwitch(['bridge', 'link', 'set', 'dev', this.on(lan).port, 'state', '3']);
  }

  /** Sends a signal to every process of the namespace. */
  async killProcesses(signal: 'TERM' | 'KILL' | 'STOP' | 'CONT' | 'HUP' = 'KILL'): Promise<void> {
    await check(this.#machine, ['sh', '-c', KILL_SCRIPT, 'sh', signal, this.namespace]);
  }

  /**
   * What a loss of power looks like from outside: all processes gone and all cables dead, at once.
   * A director that saw one link die before the other would react to it, which one without power
   * does not; a kernel that forwards for a while without its processes would shorten the outage.
   */
  async kill(): Promise<void> {
    const ports = this.interfaces.map(({ port }) => port);
    const argv = ['sh', '-c', POWER_LOSS_SCRIPT, 'sh', this.namespace, this.#switch, ...ports];
    await check(this.#machine, argv);
  }

  #inside(argv: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.namespace, ...argv];
  }

  async #atSwitch(argv: readonly string[]): Promise<void> {
    await check(this.#machine, ['ip', 'netns', 'exec', this.#switch, ...argv]);
  }
}

/** Arguments: a signal, then namespaces. A process may end between being listed and killed. */
const KILL_SCRIPT = `signal=$1; shift
for namespace; do
  for pid in $(ip netns pids "$namespace" 2>/dev/null); do
    kill -s "$signal" "$pid" 2>/dev/null || true
  done
done`;

/**
 * Arguments: a namespace, that of the switch, then the ports. The ip that pulls the cables has
 * started, and waits for its commands, while the processes are listed: emulated, a start takes long.
 */
const POWER_LOSS_SCRIPT = `namespace=$1; switch=$2; shift 2
{
  pids=$(ip netns pids "$namespace")
  for pid in $pids; do kill -s KILL "$pid" 2>/dev/null || true; done
  for port; do echo "link set $port down"; done
} | ip -n "$switch" -batch -`;

/** Arguments: namespaces. What still runs in them is killed, since it would keep them alive. */
const REMOVE_SCRIPT = `(set -- KILL "$@"; ${KILL_SCRIPT})
for namespace; do
  ip netns del "$namespace" 2>/dev/null || true
done`;

export class Topology {
  readonly prefix: string;
  readonly machine: Machine;
  readonly directors: readonly LabNode[];
  readonly realServers: readonly LabNode[];
  readonly clients: readonly LabNode[];
  #forget: () => void = () => {};

  private constructor(machine: Machine, options: TopologyOptions) {
    topologyCount += 1;
    this.machine = machine;
    this.prefix = `vk-${process.pid}-${topologyCount}`;
    const make = (kind: NodeKind, count: number, lans: readonly LanName[]) => {
      if (!Number.isInteger(count) || count < 0 || count > NODES_PER_KIND_MAX) {
        throw new LabError(`A lab has 0 to ${NODES_PER_KIND_MAX} of each kind, not ${count}`);
      }
      return Array.from({ length: count }, (_, index) => {
        return new LabNode(machine, { kind, index: index + 1, prefix: this.prefix }, lans);
      });
    };
    const directorLans: LanName[] = options.sync ? ['front', 'back', 'sync'] : ['front', 'back'];
    this.directors = make('director', options.directors ?? 2, directorLans);
    const realLans: LanName[] = options.realServersOnFront ? ['back', 'front'] : ['back'];
    this.realServers = make('real', options.realServers ?? 2, realLans);
    this.clients = make('client', options.clients ?? 1, ['front']);
  }

  /** Builds all namespaces and links; when it returns, neighbours can ping each other. */
  static async create(machine: Machine, options: TopologyOptions = {}): Promise<Topology> {
    const topology = new Topology(machine, options);
    const namespaces = topology.namespaces;
    if (machine === localMachine) {
      topology.#forget = onProcessEnd(() => {
        spawnSync('sh', ['-c', REMOVE_SCRIPT, 'sh', ...namespaces], { timeout: 10_000 });
      });
    }
    try {
      await check(machine, ['sh', '-e'], {
        stdin: buildScript(topology),
        timeoutMs: BUILD_TIMEOUT_MS,
      });
    } catch (error) {
      await topology.dispose();
      throw error;
    }
    return topology;
  }

  get nodes(): readonly LabNode[] {
    return [...this.directors, ...this.realServers, ...this.clients];
  }

  get namespaces(): readonly string[] {
    return [this.switchNamespace, ...this.nodes.map((node) => node.namespace)];
  }

  get switchNamespace(): string {
    return `${this.prefix}-switch`;
  }

  /** Kills what runs in the namespaces and removes them. May be called again. */
  async dispose(): Promise<void> {
    await check(this.machine, ['sh', '-c', REMOVE_SCRIPT, 'sh', ...this.namespaces]);
    this.#forget();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

/** The n-th (1 to 50) virtual IPv4 and IPv6 address of the front LAN; nobody has them at first. */
export function virtualIp(n: number): { readonly ipv4: string; readonly ipv6: string } {
  if (!Number.isInteger(n) || n < 1 || n > 50) throw new LabError(`No virtual IP number ${n}`);
  return { ipv4: `${LANS.front.ipv4Net}.${200 + n}`, ipv6: `${LANS.front.ipv6Net}${200 + n}` };
}

/** Removes the namespaces of labs on this machine whose process is dead; returns their names. */
export async function removeDeadLabs(): Promise<string[]> {
  const listed = await check(localMachine, ['ip', 'netns', 'list']);
  const names = listed.stdout.split('\n').map((line) => line.split(' ')[0] ?? '');
  const dead = names.filter((name) => {
    const owner = NAMESPACE_PATTERN.exec(name)?.[1];
    return owner !== undefined && !isAlive(Number(owner));
  });
  if (dead.length > 0) await check(localMachine, ['sh', '-c', REMOVE_SCRIPT, 'sh', ...dead]);
  return dead;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function makeInterface(
  identity: { readonly kind: NodeKind; readonly index: number },
  lan: Lan,
  slot: number,
): Interface {
  const hostNumber = identity.index + (identity.kind === 'director' ? 10 : 100);
  // Real servers on the front LAN must not meet the clients there.
  const onFront = identity.kind === 'real' && lan.name === 'front' ? 50 : 0;
  const host = hostNumber - onFront;
  const hex = (value: number) => value.toString(16).padStart(2, '0');
  const kind = KIND_NUMBERS[identity.kind];
  const tail = [LAN_NUMBERS[lan.name], kind, identity.index].map(hex);
  const port = `${identity.kind[0]}${identity.index}-${lan.name}`;
  return {
    name: `eth${slot}`,
    lan,
    ipv4: `${lan.ipv4Net}.${host}`,
    ipv6: `${lan.ipv6Net}${host}`,
    // 02: locally administered (IEEE 802); the link-local address follows from it (RFC 4291
    // appendix A), which the kernel does by itself.
    mac: `02:00:00:${tail.join(':')}`,
    linkLocal: `fe80::ff:fe${tail[0]}:${Number(kind).toString(16)}${tail[2]}`,
    port,
  };
}

/** One script, because in the VM every round trip and every process costs time. */
function buildScript(topology: Topology): string {
  const lines: string[] = [];
  const hub = topology.switchNamespace;
  lines.push(`ip netns add ${hub}`);
  // The switch forwards frames; it must not answer or ask anything of its own.
  lines.push(`ip netns exec ${hub} sysctl -qw net.ipv6.conf.default.disable_ipv6=1`);
  for (const node of topology.nodes) {
    lines.push(`ip netns add ${node.namespace}`);
    lines.push(`ip netns exec ${node.namespace} sysctl -qw ${sysctls(node.kind).join(' ')}`);
  }
  lines.push(batch(hub, switchCommands(topology)));
  for (const node of topology.nodes) lines.push(batch(node.namespace, nodeCommands(node)));
  return `${lines.join('\n')}\n`;
}

function batch(namespace: string, commands: readonly string[]): string {
  return `ip -n ${namespace} -batch - <<'END'\n${commands.join('\n')}\nEND`;
}

function sysctls(kind: NodeKind): string[] {
  const common = [
    // Addresses are ours alone: usable at once, without duplicate address detection.
    'net.ipv6.conf.all.accept_dad=0',
    'net.ipv6.conf.default.accept_dad=0',
    'net.ipv6.conf.default.dad_transmits=0',
    'net.ipv6.conf.default.accept_ra=0',
    // Packets to and from VIPs come by paths that a reverse path check refuses.
    'net.ipv4.conf.all.rp_filter=0',
    'net.ipv4.conf.default.rp_filter=0',
  ];
  const forwarding = ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'];
  // A real server with the VIP on a loopback or dummy interface must not answer for it.
  const quiet = ['net.ipv4.conf.all.arp_ignore=1', 'net.ipv4.conf.all.arp_announce=2'];
  if (kind === 'director') return common.concat(forwarding);
  if (kind === 'real') return common.concat(quiet);
  return common;
}

function switchCommands(topology: Topology): string[] {
  const commands = ['link set lo up'];
  const lans = new Set(topology.nodes.flatMap((node) => node.interfaces.map((i) => i.lan.name)));
  for (const lan of lans) {
    // Without snooping a VRRP advertisement reaches everybody, member of its group or not.
    commands.push(`link add ${lan} type bridge forward_delay 0 stp_state 0 mcast_snooping 0`);
    commands.push(`link set ${lan} up`);
  }
  for (const node of topology.nodes) {
    for (const { name, lan, mac, port } of node.interfaces) {
      const peer = `peer name ${name} address ${mac} netns ${node.namespace}`;
      commands.push(`link add ${port} type veth ${peer}`);
      commands.push(`link set ${port} master ${lan.name} up`);
    }
  }
  return commands;
}

function nodeCommands(node: LabNode): string[] {
  const commands = ['link set lo up'];
  for (const { name, ipv4, ipv6 } of node.interfaces) {
    commands.push(`link set ${name} up`);
    commands.push(`addr add ${ipv4}/24 dev ${name}`);
    commands.push(`addr add ${ipv6}/64 dev ${name} nodad`);
  }
  if (node.kind === 'real') {
    commands.push(`route add default via ${BACK_GATEWAY_V4}`);
    commands.push(`route add default via ${BACK_GATEWAY_V6}`);
  }
  return commands;
}

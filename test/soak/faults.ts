/**
 * The faults of a soak: what each does to the pair, and which transitions it explains. Each leaves
 * the lab as it found it; the pair needs time to come to rest afterwards.
 */
import { monotonicUs } from '../../src/linux/clock.ts';
import type { Director } from '../lab/director.ts';
import { check, LabError } from '../lab/host.ts';
import type { LabNode, Topology } from '../lab/topology.ts';

export interface Stage {
  readonly topology: Topology;
  readonly active: Director;
  readonly backup: Director;
  readonly vip: string;
}

export interface Struck {
  /** When a process that was stopped runs again: before that nobody can keep it from owning. */
  readonly runsAgainUs?: number;
}

export interface Fault {
  readonly strike: (stage: Stage) => Promise<Struck>;
  /** Reasons of the transitions that may follow. */
  readonly reasons: readonly string[];
}

/** Why the second director takes over, and why both are again what they were. */
const FAILOVER = ['peers-silent', 'preempted', 'higher-priority-peer', 'started', 'stalled'];
/** A keeper that starts again: it goes on, or it was away for too long. */
const RESTART = ['adopted', ...FAILOVER];
const STALL_MS = 1_500;
const FLAP_MS = 1_500;
const LOSS_MS = 1_500;
/** Of packets; three advertisements in a row are lost every now and then. */
const LOSS_PERCENT = 20;
const GONE_TIMEOUT_MS = 10_000;

function sleep(timeMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, timeMs));
}

async function stall(director: Director): Promise<Struck> {
  director.signalGroup('SIGSTOP');
  await sleep(STALL_MS);
  const runsAgainUs = monotonicUs();
  director.signalGroup('SIGCONT');
  return { runsAgainUs };
}

/** Drops some of the frames that the switch forwards. */
async function lose({ topology }: Stage): Promise<Struck> {
  const rules = `table bridge soak {
    chain forward {
      type filter hook forward priority 0;
      numgen random mod 100 < ${LOSS_PERCENT} drop
    }
  }`;
  const inSwitch = ['ip', 'netns', 'exec', topology.switchNamespace];
  const added = await topology.machine.run([...inSwitch, 'nft', '-f', '-'], { stdin: rules });
  // A kernel without the bridge family: one cable in short pieces of time is a loss too.
  if (added.code !== 0) return flicker(topology.directors[0] as LabNode);
  try {
    await sleep(LOSS_MS);
  } finally {
    await check(topology.machine, [...inSwitch, 'nft', 'delete', 'table', 'bridge', 'soak']);
  }
  return {};
}

async function flicker(node: LabNode): Promise<Struck> {
  for (let count = 0; count < 4; count++) {
    await node.isolate('front');
    await sleep(LOSS_MS / 8);
    await node.rejoin('front');
    await sleep(LOSS_MS / 8);
  }
  return {};
}

export const FAULTS = {
  'keeper killed': {
    strike: async ({ active }) => {
      const { keeper } = await active.kill('SIGKILL', 'keeper');
      const another = async () => {
        const pid = (await active.tryStatus())?.keeper.pid ?? null;
        return pid !== null && pid !== keeper;
      };
      await active.waitFor('the next keeper', another, GONE_TIMEOUT_MS);
      return {};
    },
    reasons: RESTART,
  },
  'controller killed': {
    strike: async ({ active }) => {
      const { controller } = await active.kill('SIGKILL', 'controller');
      const another = async () => {
        const status = await active.tryStatus();
        return status !== null && status.controller.pid !== controller;
      };
      await active.waitFor('the next controller', another, GONE_TIMEOUT_MS);
      return {};
    },
    reasons: [],
  },
  'both killed': {
    strike: async ({ active }) => {
      await active.kill('SIGKILL', 'both');
      await active.ended();
      // As conf/vipkeeper.service has it: the stop hook, and then the next start.
      await active.run(['cleanup']);
      await active.restart();
      return {};
    },
    reasons: RESTART,
  },
  'active stopped': { strike: ({ active }) => stall(active), reasons: FAILOVER },
  'backup stopped': { strike: ({ backup }) => stall(backup), reasons: [] },
  'link flap': {
    strike: async ({ active }) => {
      await active.node.linkDown('front');
      await sleep(FLAP_MS);
      await active.node.linkUp('front');
      return {};
    },
    reasons: [...FAILOVER, 'interface-down', 'interface-up'],
  },
  'active cut off': {
    strike: async ({ active }) => {
      await active.node.isolate('front');
      await sleep(FLAP_MS);
      // Nobody can keep two directors that do not hear each other from owning the VIP.
      const runsAgainUs = monotonicUs();
      await active.node.rejoin('front');
      return { runsAgainUs };
    },
    reasons: FAILOVER,
  },
  reload: {
    strike: async ({ active, backup }) => {
      await active.reload();
      await backup.reload();
      return {};
    },
    reasons: [],
  },
  'VIP deleted': {
    strike: async ({ active, vip }) => {
      const since = active.mark;
      await check(active.node, ['ip', 'addr', 'del', `${vip}/24`, 'dev', 'eth0']);
      await active.waitForLine('address-restored', {}, since);
      return {};
    },
    reasons: [],
  },
  handover: {
    strike: async ({ active }) => {
      // Its exit code says nothing: the first keeper may have been killed before.
      await active.stop();
      await active.restart();
      return {};
    },
    reasons: [...FAILOVER, 'stopped', 'peer-resigned'],
  },
  restart: {
    strike: async ({ active }) => {
      const { code, stderr } = await active.run(['restart', '--json']);
      if (code !== 0) throw new LabError(`vipkeeper restart: ${stderr}`);
      return {};
    },
    reasons: [...RESTART, 'peer-resigned', 'stopped'],
  },
  'packet loss': { strike: lose, reasons: FAILOVER },
} as const satisfies Readonly<Record<string, Fault>>;

export type FaultName = keyof typeof FAULTS;

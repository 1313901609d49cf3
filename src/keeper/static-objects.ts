/**
 * The section `static`: addresses, routes and rules that are there as long as vipkeeper runs,
 * whatever the instances' states. Each is a tracker for the instances that depend on it.
 */
import { type StaticConfig, staticTracker } from '../core/config/address.ts';
import type { Problem } from '../core/problem.ts';
import type { TrackerState } from '../core/vrrp/tracking.ts';
import type { KeeperToController, StaticStatus } from './messages.ts';
import type { Network } from './network.ts';
import type { Routing } from './routing.ts';
import { VipHolder } from './vip-holder.ts';
import { removeVips } from './vips.ts';

/** Owner of the routes and rules: no instance has such a name. */
export const STATIC_OWNER = 'static:';
const NOTHING: StaticConfig = { addresses: [], routes: [], rules: [] };

export interface StaticPorts {
  readonly network: Network;
  readonly routing: Routing;
  readonly report: (message: KeeperToController) => void;
  /** What instances depend on may have come or gone. */
  readonly changed: () => void;
}

export class StaticObjects {
  readonly #ports: StaticPorts;
  readonly #addresses: VipHolder;
  #config = NOTHING;
  #restored = 0;

  constructor(ports: StaticPorts) {
    this.#ports = ports;
    this.#addresses = new VipHolder({
      network: ports.network,
      restored: (vip, byPid) => {
        this.noteRestored();
        ports.changed();
        const { address } = vip;
        ports.report({ kind: 'address-restored', instance: null, address, byPid });
      },
      appeared: () => ports.changed(),
      // Each address is a tracker of its own.
      refused: () => {},
      problem: (problem: Problem) => ports.report({ kind: 'problem', instance: null, problem }),
    });
  }

  /** Puts addresses there; routes and rules follow with routing.hold(). */
  configure(
    config: StaticConfig,
    recorded: readonly Omit<StaticStatus['addresses'][number], 'present' | 'error'>[],
  ): void {
    this.#config = config;
    const { network } = this.#ports;
    for (const { interface: name, address } of recorded) network.claim(name, address);
    const kept = new Set(config.addresses.map((one) => `${one.interface} ${one.address}`));
    removeVips(
      network,
      recorded.filter((one) => !kept.has(`${one.interface} ${one.address}`)),
    );
    this.#addresses.hold(config.addresses);
  }

  lost(interfaceName: string, address: string, byPid: number | null): void {
    this.#addresses.lost(interfaceName, address, byPid);
  }

  networkChanged(): void {
    this.#addresses.retry();
  }

  noteRestored(): void {
    this.#restored++;
  }

  /** State of the object that a tracker of this name stands for; undefined for other names. */
  tracker(name: string): TrackerState | undefined {
    const { routing } = this.#ports;
    if (!name.startsWith(STATIC_OWNER)) return undefined;
    for (const [index, { interface: device, address }] of this.#config.addresses.entries()) {
      if (staticTracker('addresses', index) !== name) continue;
      const up = this.#ports.network.hasAddress(device, address);
      const error = up ? null : this.#addresses.errorOf({ interface: device, address });
      const why = error === null ? '' : ` (${error})`;
      return { up, value: null, detail: `${address} is ${up ? '' : 'not '}on ${device}${why}` };
    }
    const objects = routing.objects(STATIC_OWNER);
    const routes = objects.filter(({ kind }) => kind === 'route');
    const rules = objects.filter(({ kind }) => kind === 'rule');
    for (const [kind, entries] of [['routes', routes] as const, ['rules', rules] as const]) {
      for (const [index, { text, present, error }] of entries.entries()) {
        if (staticTracker(kind, index) !== name) continue;
        const why = error === null ? '' : ` (${error})`;
        const detail = `${text} is ${present ? 'there' : `missing${why}`}`;
        return { up: present, value: null, detail };
      }
    }
    return undefined;
  }

  status(): StaticStatus {
    const { network, routing } = this.#ports;
    return {
      addresses: this.#config.addresses.map((one) => ({
        address: one.address,
        prefixLength: one.prefixLength,
        interface: one.interface,
        present: network.hasAddress(one.interface, one.address),
        error: this.#addresses.errorOf(one),
      })),
      routing: routing.objects(STATIC_OWNER),
      restored: this.#restored,
    };
  }

  close(): void {
    this.#addresses.release();
  }
}

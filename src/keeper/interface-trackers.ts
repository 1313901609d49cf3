/**
 * Trackers of interfaces: up while the link has carrier. A change counts only after it has lasted
 * for its delay, so that a bouncing link does not bounce the VIPs.
 */
import type { TrackerConfig } from '../core/config/config.ts';
import type { TrackerState } from '../core/vrrp/tracking.ts';
import type { Network } from './network.ts';

type InterfaceTracker = Extract<TrackerConfig, { kind: 'interface' }>;

interface Watched {
  readonly config: InterfaceTracker;
  state: TrackerState;
  /** Runs while the link differs from the state. */
  delay: NodeJS.Timeout | null;
}

export class InterfaceTrackers {
  readonly #network: Network;
  readonly #onChanged: () => void;
  #watched: Watched[] = [];

  /** `onChanged` is called after the state of a tracker changed. */
  constructor(network: Network, onChanged: () => void) {
    this.#network = network;
    this.#onChanged = onChanged;
  }

  /** Watches these; what was watched before with the same settings keeps its state. */
  configure(trackers: readonly TrackerConfig[]): void {
    const before = this.#watched;
    for (const { delay } of before) if (delay !== null) clearTimeout(delay);
    this.#watched = trackers
      .filter((tracker) => tracker.kind === 'interface')
      .map((config) => {
        const same = before.find((old) => JSON.stringify(old.config) === JSON.stringify(config));
        return { config, state: same?.state ?? this.#look(config), delay: null };
      });
    this.linksChanged();
  }

  state(name: string): TrackerState | undefined {
    return this.#watched.find(({ config }) => config.name === name)?.state;
  }

  /** Looks at the links again. */
  linksChanged(): void {
    for (const watched of this.#watched) this.#compare(watched);
  }

  #compare(watched: Watched): void {
    const now = this.#look(watched.config);
    if (now.up === watched.state.up) {
      if (watched.delay !== null) clearTimeout(watched.delay);
      watched.delay = null;
      return;
    }
    if (watched.delay !== null) return;
    const delayUs = now.up ? watched.config.upDelayUs : watched.config.downDelayUs;
    const settle = (): void => {
      watched.delay = null;
      watched.state = now;
      this.#onChanged();
    };
    if (delayUs === 0) settle();
    else watched.delay = setTimeout(settle, delayUs / 1000);
  }

  #look(config: InterfaceTracker): TrackerState {
    const link = this.#network.link(config.interface);
    const up = link?.up === true && link.running;
    const trouble = link === null ? 'does not exist' : link.up ? 'has no carrier' : 'is down';
    return { up, value: null, detail: `${config.interface} ${up ? 'is up' : trouble}` };
  }
}

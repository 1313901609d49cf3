/**
 * The states of all trackers, whoever watches them: the keeper itself interfaces, BFD sessions and
 * static objects, for which no controller is needed; the controller the rest.
 */
import type { TrackerConfig } from '../core/config/config.ts';
import type { TrackerState } from '../core/vrrp/tracking.ts';
import type { BfdRunner } from './bfd.ts';
import type { InterfaceTrackers } from './interface-trackers.ts';
import { STATIC_OWNER, type StaticObjects } from './static-objects.ts';

/**
 * BFD sessions send once a second until they are up and need three packets for it: a restart must
 * not take what they track for dead meanwhile.
 */
const SESSION_START_MS = 5_000;
/** By then a controller that starts with the keeper has had a first look at what it watches. */
const FIRST_RESULT_US = 5_000_000;

export interface TrackerSources {
  readonly interfaces: Pick<InterfaceTrackers, 'configure' | 'state'>;
  readonly static: Pick<StaticObjects, 'tracker'>;
  readonly bfd: Pick<BfdRunner, 'isUp'>;
}

export class Trackers {
  readonly #sources: TrackerSources;
  #configs: readonly TrackerConfig[] = [];
  #ofController: Readonly<Record<string, TrackerState>> = {};
  readonly #sessionsSeenUp = new Set<string>();
  #sessionsStarting = true;

  constructor(sources: TrackerSources) {
    this.#sources = sources;
  }

  configure(configs: readonly TrackerConfig[]): void {
    this.#configs = configs;
    this.#sources.interfaces.configure(configs);
  }

  /** From now on sessions have SESSION_START_MS to come up; `onOver` is called after that. */
  startSessions(onOver: () => void): void {
    setTimeout(() => {
      this.#sessionsStarting = false;
      onOver();
    }, SESSION_START_MS);
  }

  sessionSeenUp(session: string): void {
    this.#sessionsSeenUp.add(session);
  }

  /** What the controller knows of those that it watches, by name. */
  setControllers(states: Readonly<Record<string, TrackerState>>): void {
    this.#ofController = states;
  }

  /** State of a tracker by name; undefined before it is known. */
  state(name: string): TrackerState | undefined {
    if (name.startsWith(STATIC_OWNER)) return this.#sources.static.tracker(name);
    const config = this.#configs.find((tracker) => tracker.name === name);
    if (config?.kind === 'interface') return this.#sources.interfaces.state(name);
    if (config?.kind === 'bfd') return this.#session(config.session);
    return this.#ofController[name];
  }

  /** How long the first state of a tracker may take after a start, in microseconds. */
  firstStateUs(name: string): number {
    const config = this.#configs.find((tracker) => tracker.name === name);
    return FIRST_RESULT_US + (config?.kind === 'script' ? config.timeoutUs : 0);
  }

  /** Those that no controller is needed for, by name. */
  own(): Readonly<Record<string, TrackerState>> {
    const states: Record<string, TrackerState> = {};
    for (const { name, kind } of this.#configs) {
      const state = kind === 'interface' || kind === 'bfd' ? this.state(name) : undefined;
      if (state !== undefined) states[name] = state;
    }
    return states;
  }

  /** A BFD session as a tracker; not known until it was up, or had the time to come up. */
  #session(session: string): TrackerState | undefined {
    const up = this.#sources.bfd.isUp(session);
    if (!up && !this.#sessionsSeenUp.has(session) && this.#sessionsStarting) return undefined;
    return { up, value: null, detail: `BFD session ${session} is ${up ? 'up' : 'down'}` };
  }
}

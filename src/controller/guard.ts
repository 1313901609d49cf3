/**
 * The controller's side of the pair: talks to the keeper that started it, and when that keeper
 * dies starts the next one, which adopts the VIPs. If keepers keep dying, the VIPs are given up
 * after a bounded time: a dead daemon never holds one.
 */
import { safeSilenceUs } from '../core/vrrp/timing.ts';
import { type Channel, channelToStarter, startedByTwin } from '../keeper/channel.ts';
import type {
  ControllerToKeeper,
  KeeperPlan,
  KeeperStatus,
  KeeperToController,
} from '../keeper/messages.ts';
import { PROTOCOL_VERSION } from '../keeper/messages.ts';
import { type TwinCommand, TwinSupervisor } from '../keeper/twin.ts';

/** A keeper answers within a millisecond; one that does not is busy being started. */
const STATUS_TIMEOUT_MS = 1_000;
/**
 * Least time for a new keeper to come up before the VIPs are given up: Node's start and a margin.
 */
const KEEPER_START_US = 500_000;
/** Requests for status that may wait at once; more are answered with nothing. */
const STATUS_WAITING_MAX = 64;

export interface GuardHandlers {
  readonly onMessage: (message: KeeperToController) => void;
  /** A keeper died; another is being started. */
  readonly onKeeperDied: (pid: number | null) => void;
  /** No keeper came up before peers may have taken over: the VIPs must go. */
  readonly onGiveUp: () => void;
}

type ToKeeper = Channel<ControllerToKeeper, KeeperToController>;

export class KeeperGuard {
  readonly #handlers: GuardHandlers;
  readonly #supervisor: TwinSupervisor<ControllerToKeeper, KeeperToController>;
  readonly #waiting = new Map<number, (status: KeeperStatus | null) => void>();
  #starter: ToKeeper | null = null;
  #plan: KeeperPlan | null = null;
  #pid: number | null = null;
  #restarts = 0;
  #nextId = 1;
  #giveUp: NodeJS.Timeout | null = null;
  #ending = false;
  #onReexecuted: (() => void) | null = null;

  constructor(keeper: TwinCommand, handlers: GuardHandlers) {
    this.#handlers = handlers;
    this.#supervisor = new TwinSupervisor(keeper, {
      onMessage: (message) => this.#handle(message),
      onGone: () => this.#keeperDied(),
      // What becomes its successor does not end, but leaves the channel.
      onClosed: () => this.#onReexecuted?.(),
    });
    if (!startedByTwin()) return;
    this.#pid = process.ppid;
    this.#starter = channelToStarter({
      onMessage: (message) => this.#handle(message),
      onClose: () => {
        this.#starter = null;
        this.#keeperDied();
        if (!this.#ending) this.#supervisor.start();
      },
    });
  }

  /** Process id of the keeper, or null while there is none. */
  get pid(): number | null {
    return this.#pid;
  }

  /** Keepers started because one died. */
  get restarts(): number {
    return this.#restarts;
  }

  send(message: ControllerToKeeper): void {
    (this.#starter ?? this.#supervisor.channel)?.send(message);
  }

  /** Gives the keeper its plan, and every later keeper too. */
  configure(plan: KeeperPlan): void {
    this.#plan = plan;
    this.#greet();
    this.send({ kind: 'configure', plan });
  }

  /** The keeper's status, or null when none answers in time. */
  status(): Promise<KeeperStatus | null> {
    if (this.#waiting.size >= STATUS_WAITING_MAX) return Promise.resolve(null);
    const id = this.#nextId++;
    return new Promise((resolve) => {
      const timeout = setTimeout(() => this.#answer(id, null), STATUS_TIMEOUT_MS);
      this.#waiting.set(id, (status) => {
        clearTimeout(timeout);
        resolve(status);
      });
      this.send({ kind: 'status-request', id });
    });
  }

  /** Asks the keeper to become its successor; `onGone` is called when it has. */
  reexecute(onGone: () => void): void {
    this.end();
    this.#onReexecuted = onGone;
    this.send({ kind: 'reexecute' });
  }

  /** No keeper is started from now on. */
  end(): void {
    this.#ending = true;
    this.#supervisor.stopRestarting();
  }

  #answer(id: number, status: KeeperStatus | null): void {
    this.#waiting.get(id)?.(status);
    this.#waiting.delete(id);
  }

  #greet(): void {
    this.send({ kind: 'hello', protocol: PROTOCOL_VERSION, pid: process.pid });
  }

  #handle(message: KeeperToController): void {
    if (message.kind === 'status') this.#answer(message.id, message.status);
    if (message.kind === 'hello' && this.#supervisor.pid !== null) {
      // A new keeper: it gets everything again.
      this.#pid = message.pid;
      if (this.#giveUp !== null) clearTimeout(this.#giveUp);
      this.#giveUp = null;
      this.#greet();
      if (this.#plan !== null) this.send({ kind: 'configure', plan: this.#plan });
    }
    this.#handlers.onMessage(message);
  }

  #keeperDied(): void {
    const pid = this.#pid;
    this.#pid = null;
    for (const id of [...this.#waiting.keys()]) this.#answer(id, null);
    this.#onReexecuted?.();
    if (this.#ending) return;
    this.#restarts++;
    // Without a keeper nobody advertises: after this time a peer may have taken the VIPs over.
    const silencesUs =
      this.#plan?.instances.map(({ advertIntervalUs, downTimerAdverts }) =>
        safeSilenceUs(advertIntervalUs, downTimerAdverts),
      ) ?? [];
    const graceUs = Math.max(KEEPER_START_US, Math.min(...silencesUs));
    if (silencesUs.length > 0) {
      this.#giveUp ??= setTimeout(() => this.#handlers.onGiveUp(), graceUs / 1000);
    }
    this.#handlers.onKeeperDied(pid);
  }
}

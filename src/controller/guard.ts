/**
 * The controller's side of the pair: talks to the keeper that started it, and when that keeper
 * dies starts the next one, which adopts the VIPs. Those of an instance are given up as soon as a
 * peer may have taken over, when no keeper would adopt them any more either; if keepers keep dying,
 * all else goes too after a bounded time: a dead daemon never holds anything.
 */
import { type Channel, channelToStarter, startedByTwin } from '../keeper/channel.ts';
import type {
  ControllerToKeeper,
  InstanceStatus,
  KeeperPlan,
  KeeperStatus,
  KeeperToController,
} from '../keeper/messages.ts';
import { PROTOCOL_VERSION } from '../keeper/messages.ts';
import { type TwinCommand, TwinSupervisor } from '../keeper/twin.ts';
import { monotonicUs } from '../linux/clock.ts';
import { REALTIME_PRIORITY, spawnIntoRealtime } from '../linux/scheduling.ts';

/** A keeper answers within a millisecond; one that does not is busy being started. */
const STATUS_TIMEOUT_MS = 1_000;
/** Least time for a new keeper to come up before all is given up: Node's start and a margin. */
const KEEPER_START_US = 500_000;
/** Requests for status that may wait at once; more are answered with nothing. */
const STATUS_WAITING_MAX = 64;

export interface GuardHandlers {
  readonly onMessage: (message: KeeperToController) => void;
  /** A keeper died; another is being started. */
  readonly onKeeperDied: (pid: number | null) => void;
  /** When peers may have taken over from the active instances; monotonic microseconds. */
  readonly silencesEndUs: () => readonly number[];
  /**
   * No keeper came up before peers may have taken over: VIPs whose silence is over must go, and
   * at the last of these times (`all`) whatever a keeper leaves behind.
   */
  readonly onGiveUp: (all: boolean) => void;
}

type ToKeeper = Channel<ControllerToKeeper, KeeperToController>;

export class KeeperGuard {
  readonly #handlers: GuardHandlers;
  readonly #supervisor: TwinSupervisor<ControllerToKeeper, KeeperToController>;
  readonly #waiting = new Map<number, (status: KeeperStatus | null) => void>();
  /** What came already of the answers that are waited for. */
  readonly #parts = new Map<number, InstanceStatus[]>();
  #starter: ToKeeper | null = null;
  #plan: KeeperPlan | null = null;
  #pid: number | null = null;
  /** The last keeper became a real-time process: the next one may be so from its beginning. */
  #realtime = false;
  #restarts = 0;
  #nextId = 1;
  #giveUp: NodeJS.Timeout | null = null;
  #ending = false;
  #onReexecuted: (() => void) | null = null;

  constructor(keeper: TwinCommand, handlers: GuardHandlers) {
    this.#handlers = handlers;
    const supervision = {
      onMessage: (message: KeeperToController) => this.#handle(message),
      onGone: () => this.#keeperDied(),
      // What becomes its successor does not end, but leaves the channel.
      onClosed: () => this.#onReexecuted?.(),
    };
    this.#supervisor = new TwinSupervisor(keeper, supervision, (argv, spawn) => {
      const realtime = this.#realtime;
      // If that is refused now, the one after it is started without.
      this.#realtime = false;
      return realtime ? spawnIntoRealtime(REALTIME_PRIORITY, argv, spawn) : spawn(argv);
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
    const parts = this.#parts.get(id) ?? [];
    this.#parts.delete(id);
    const whole = status && { ...status, instances: [...parts, ...status.instances] };
    this.#waiting.get(id)?.(whole);
    this.#waiting.delete(id);
  }

  #collect(id: number, instances: readonly InstanceStatus[]): void {
    if (!this.#waiting.has(id)) return;
    const parts = this.#parts.get(id);
    if (parts === undefined) this.#parts.set(id, [...instances]);
    else parts.push(...instances);
  }

  #greet(): void {
    this.send({ kind: 'hello', protocol: PROTOCOL_VERSION, pid: process.pid });
  }

  #handle(message: KeeperToController): void {
    if (message.kind === 'heard-request') return this.send({ kind: 'heard' });
    if (message.kind === 'status-part') return this.#collect(message.id, message.instances);
    if (message.kind === 'status') this.#answer(message.id, message.status);
    if (message.kind === 'configured') this.#realtime = message.scheduling === 'realtime';
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
    if (this.#giveUp === null && this.#plan !== null && this.#plan.instances.length > 0) {
      const nowUs = monotonicUs();
      const endsUs = [...new Set(this.#handlers.silencesEndUs())].sort((one, two) => one - two);
      const lastUs = Math.max(nowUs + KEEPER_START_US, endsUs.at(-1) ?? 0);
      this.#giveUpAt([...endsUs.filter((endUs) => endUs < lastUs), lastUs]);
    }
    this.#handlers.onKeeperDied(pid);
  }

  /** Gives up at each of these times, until a keeper says that it is there. */
  #giveUpAt([nextUs, ...laterUs]: readonly number[]): void {
    if (nextUs === undefined) return;
    this.#giveUp = setTimeout(
      () => {
        this.#giveUpAt(laterUs);
        if (laterUs.length === 0) this.#giveUp = null;
        this.#handlers.onGiveUp(laterUs.length === 0);
      },
      Math.max(0, Math.ceil((nextUs - monotonicUs()) / 1000)),
    );
  }
}

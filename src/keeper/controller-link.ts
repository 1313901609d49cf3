/**
 * The keeper's link to its controller, whichever of the two started the other, and over all
 * controllers that follow each other.
 *
 * Invariant: what is reported while no controller listens, or was sent to one that died before it
 * said that it has heard it, is told to the next one, in its order; of more than BACKLOG_MAX
 * reports the oldest are dropped. So a report may be told twice, where a controller died between
 * doing something about it and saying so.
 */

import { setInheritable } from '../linux/libc.ts';
import { CHANNEL_FD, type Channel, channelToStarter } from './channel.ts';
import type { ControllerToKeeper, KeeperToController } from './messages.ts';
import { type Launch, type TwinCommand, TwinSupervisor } from './twin.ts';

const BACKLOG_MAX = 256;

type ToController = Channel<KeeperToController, ControllerToKeeper>;

export interface ControllerLinkHandlers {
  readonly onMessage: (message: ControllerToKeeper) => void;
  /** The controller is gone; `exitCode` is null when a signal ended it, or it is not known. */
  readonly onGone: (exitCode: number | null) => void;
  /** Whether a controller that is gone is not to be followed by another one. */
  readonly isLast: () => boolean;
}

export class ControllerLink {
  readonly #handlers: ControllerLinkHandlers;
  readonly #twin: TwinSupervisor<KeeperToController, ControllerToKeeper>;
  #backlog: KeeperToController[] = [];
  /** Reports that were sent and not said to be heard. */
  readonly #unheard: KeeperToController[] = [];
  /** How many of them, from the first on, the controller was asked about; 0 when it was not. */
  #asked = 0;
  #starter: ToController | null = null;
  #listens = false;

  constructor(command: TwinCommand, handlers: ControllerLinkHandlers, launch: Launch) {
    this.#handlers = handlers;
    const onMessage = handlers.onMessage;
    const onGone = (exitCode: number | null) => this.#gone(exitCode);
    this.#twin = new TwinSupervisor(command, { onMessage, onGone }, launch);
  }

  /** There is a controller, which may not listen yet. */
  get exists(): boolean {
    return this.#channel() !== null;
  }

  /** The present controller started this process. */
  get isStarters(): boolean {
    return this.#starter !== null;
  }

  /** Starts a controller. */
  start(): void {
    this.#twin.start();
  }

  /** Connects to the controller that started this process, and starts others after it. */
  connect(): void {
    this.#listens = true;
    this.#starter = channelToStarter({
      onMessage: this.#handlers.onMessage,
      onClose: () => {
        this.#starter = null;
        this.#gone(null);
        if (!this.#handlers.isLast()) this.#twin.start();
      },
    });
  }

  /** It speaks our language: what was reported before is told now, and the rest at once. */
  listens(): void {
    this.#listens = true;
    const backlog = this.#backlog.splice(0);
    if (backlog.length > 0) this.report(backlog);
  }

  /** It has done with the reports that it was asked about. */
  heard(): void {
    this.#unheard.splice(0, this.#asked);
    this.#asked = 0;
    this.#ask();
  }

  /** To the controller of now, if there is one. */
  send(message: KeeperToController): void {
    this.#channel()?.send(message);
  }

  /** Tells the controller of now what the next one is told if this one dies before it has heard it. */
  report(messages: readonly KeeperToController[]): void {
    if (!this.#listens) {
      for (const message of messages) this.keep(message);
      return;
    }
    this.#unheard.push(...messages);
    const excess = this.#unheard.length - BACKLOG_MAX;
    if (excess > 0) {
      this.#unheard.splice(0, excess);
      this.#asked = Math.max(0, this.#asked - excess);
    }
    this.#channel()?.sendAll(messages);
    if (this.#asked === 0) this.#ask();
  }

  #ask(): void {
    if (this.#unheard.length === 0) return;
    if (this.#channel()?.send({ kind: 'heard-request' }) === true) {
      this.#asked = this.#unheard.length;
    }
  }

  /** Keeps what the next controller is told; false when the present one listens. */
  keep(message: KeeperToController): boolean {
    if (this.#listens) return false;
    if (this.#backlog.length >= BACKLOG_MAX) this.#backlog.shift();
    this.#backlog.push(message);
    return true;
  }

  /** No other controller from now on. */
  stopRestarting(): void {
    this.#twin.stopRestarting();
  }

  /** A controller that this process started. */
  kill(signal: NodeJS.Signals): void {
    this.#twin.kill(signal);
  }

  /**
   * Before this process becomes another program: left open, the channel would tell a controller
   * that started this process that nothing has changed.
   */
  closeOnExec(): void {
    if (this.#starter !== null) setInheritable(CHANNEL_FD, false);
  }

  #channel(): ToController | null {
    return this.#starter ?? this.#twin.channel;
  }

  #gone(exitCode: number | null): void {
    this.#listens = false;
    this.#asked = 0;
    this.#backlog = [...this.#unheard.splice(0), ...this.#backlog].slice(-BACKLOG_MAX);
    this.#handlers.onGone(exitCode);
  }
}

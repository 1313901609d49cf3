/**
 * The channel between the two processes: Node's own IPC, whichever of them started the other.
 * Sends never block and are bounded: while the twin does not read, at most MAX_UNSENT messages
 * wait, and later ones are dropped and counted (state is asked for again on reconnect).
 */
import type { ChildProcess, Serializable } from 'node:child_process';

/** More than any burst of transitions a director has; less than memory worth worrying about. */
const MAX_UNSENT = 512;

/** What both a child process handle and `process` itself offer. */
type Endpoint = Pick<ChildProcess, 'connected' | 'on' | 'once' | 'disconnect' | 'send'>;

export interface ChannelHandlers<Incoming> {
  readonly onMessage: (message: Incoming) => void;
  /** The twin is gone: called once. */
  readonly onClose: () => void;
}

export class Channel<Outgoing, Incoming> {
  readonly #endpoint: Endpoint;
  #unsent = 0;
  #dropped = 0;
  #closed = false;

  constructor(endpoint: Endpoint, handlers: ChannelHandlers<Incoming>) {
    this.#endpoint = endpoint;
    endpoint.on('message', (message: unknown) => {
      const messages = Array.isArray(message) ? message : [message];
      for (const one of messages) handlers.onMessage(one as Incoming);
    });
    endpoint.once('disconnect', () => {
      this.#closed = true;
      handlers.onClose();
    });
  }

  /** Messages dropped because the twin did not read. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Hands a message to the twin; false when it was dropped. */
  send(message: Outgoing): boolean {
    return this.#send(message);
  }

  /** Several at once, which count and cost as one; none of them is an array. */
  sendAll(messages: readonly Outgoing[]): boolean {
    return this.#send(messages);
  }

  #send(message: unknown): boolean {
    if (this.#closed || !this.#endpoint.connected || this.#unsent >= MAX_UNSENT) {
      this.#dropped++;
      return false;
    }
    this.#unsent++;
    // With a callback, a broken pipe is reported to it and never thrown.
    this.#endpoint.send(message as Serializable, undefined, {}, () => {
      this.#unsent--;
    });
    return true;
  }

  close(): void {
    if (!this.#closed && this.#endpoint.connected) this.#endpoint.disconnect();
  }
}

/** Descriptor of the channel in a process that its twin started: the fourth of its `stdio`. */
export const CHANNEL_FD = 3;

/** True when this process was started by its twin and so has a channel to it. */
export function startedByTwin(): boolean {
  return process.send !== undefined;
}

/** The channel to the twin that started this process. Call only when startedByTwin(). */
export function channelToStarter<Outgoing, Incoming>(
  handlers: ChannelHandlers<Incoming>,
): Channel<Outgoing, Incoming> {
  return new Channel(process as unknown as Endpoint, handlers);
}

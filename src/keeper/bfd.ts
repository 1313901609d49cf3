/**
 * BFD in the world: feeds the pure machine of each session (core/bfd/session.ts) with packets and
 * deadlines, and sends what it asks for. A packet finds its session by Your Discriminator, or by
 * its addresses and interface while the remote system does not know ours.
 *
 * Invariants: one earliest deadline for the keeper's one timer; a receiver is open exactly while
 * a session needs its family and port; a packet costs the same whoever sends it.
 */
import { isDeepStrictEqual } from 'node:util';
import { assertNever } from '../core/assert.ts';
import { sameBfdPeers } from '../core/bfd/peers.ts';
import { acceptBfdControl, type BfdExpectation } from '../core/bfd/receive.ts';
import {
  type BfdState,
  detectionTimeUs,
  initialBfdState,
  nextDeadlineUs,
  step,
  transmitIntervalUs,
} from '../core/bfd/session.ts';
import {
  type BfdControl,
  type BfdDiagnostic,
  type BfdEvent,
  type BfdRefusalReason,
  diagnosticName,
} from '../core/bfd/types.ts';
import type { AddressFamily, BfdConfig } from '../core/config/config.ts';
import { ipFamily, parseIp } from '../core/ip.ts';
import type { Problem } from '../core/problem.ts';
import {
  BFD_CONTROL_BYTES,
  BFD_PORT_MULTIHOP,
  BFD_PORT_SINGLE_HOP,
  decodeBfdControl,
  encodeBfdControl,
} from '../core/wire/bfd.ts';
import { equalBytes } from '../core/wire/bytes.ts';
import { BfdReceiver, BfdSender, type ReceivedBfd } from '../linux/bfd-socket.ts';
import { monotonicUs } from '../linux/clock.ts';
import { EADDRINUSE, EAGAIN, ENOBUFS } from '../linux/constants.ts';
import { ifIndex, SystemError } from '../linux/libc.ts';
import { newBfdCounters, newBfdRefusalCounts } from './counters.ts';
import type { BfdStatus, KeeperToController } from './messages.ts';

export interface BfdPorts {
  readonly report: (message: KeeperToController) => void;
  /** A session came up, or is no longer up. */
  readonly onStateChanged: (name: string, up: boolean, diagnostic: BfdDiagnostic) => void;
  /** Packets were handled: `deadlineUs` may have moved. */
  readonly onHandled: () => void;
}

/** One session with its socket. */
class BfdSession {
  #config: BfdConfig;
  readonly family: AddressFamily;
  readonly port: number;
  readonly neighbor: Uint8Array;
  readonly source: Uint8Array | null;
  readonly counters = newBfdCounters();
  readonly #ports: BfdPorts;
  readonly #packet = new Uint8Array(BFD_CONTROL_BYTES);
  readonly #chance = Math.random();
  #state: BfdState;
  #interfaceIndex: number | null;
  #sender: BfdSender | null = null;
  #sendError: string | null = null;
  #lastTransitionAtMs = Date.now();

  constructor(config: BfdConfig, discriminator: number, ports: BfdPorts) {
    this.#config = config;
    this.#ports = ports;
    this.family = ipFamily(config.neighbor);
    this.port = config.multihop ? BFD_PORT_MULTIHOP : BFD_PORT_SINGLE_HOP;
    this.neighbor = parseIp(config.neighbor) as Uint8Array;
    this.source = config.source === null ? null : parseIp(config.source);
    this.#interfaceIndex = config.interface === null ? null : ifIndex(config.interface);
    this.#state = initialBfdState(discriminator, randomDiscriminator());
  }

  get config(): BfdConfig {
    return this.#config;
  }

  get discriminator(): number {
    return this.#state.discriminator;
  }

  get isUp(): boolean {
    return this.#state.session === 'up';
  }

  get deadlineUs(): number | null {
    return nextDeadlineUs(this.#config, this.#state);
  }

  /** Takes options that do not change who talks to whom. */
  reconfigure(config: BfdConfig): void {
    this.#config = config;
    this.dispatch({ kind: 'reconfigured', atUs: monotonicUs() });
  }

  /** True when its address, and if configured its destination and interface, are this session's. */
  expects(packet: ReceivedBfd): boolean {
    const { neighbor, source } = this;
    if (!equalBytes(packet.source, neighbor)) return false;
    if (source !== null && !equalBytes(packet.destination, source)) return false;
    return this.#interfaceIndex === null || this.#cameIn(packet.interfaceIndex);
  }

  #cameIn(interfaceIndex: number): boolean {
    if (interfaceIndex === this.#interfaceIndex) return true;
    // An interface that was made again has another index.
    this.#interfaceIndex = ifIndex(this.#config.interface as string);
    return interfaceIndex === this.#interfaceIndex;
  }

  get expectation(): BfdExpectation {
    return {
      neighbor: this.neighbor,
      source: this.source,
      interfaceIndex: this.#interfaceIndex,
      minTtl: Math.max(0, this.#config.ttl - this.#config.maxHops),
      state: this.#state.session,
    };
  }

  dispatch(event: BfdEvent): void {
    const result = step(this.#config, this.#state, event);
    this.#state = result.state;
    for (const effect of result.effects) {
      switch (effect.kind) {
        case 'send':
          this.#send(effect.packet);
          break;
        case 'report-transition': {
          const { from, to, diagnostic } = effect;
          const atMs = Date.now();
          const { name, neighbor } = this.#config;
          this.#lastTransitionAtMs = atMs;
          this.counters.transitions[to]++;
          const fields = { session: name, from, to, diagnostic, neighbor, atMs };
          this.#ports.report({ kind: 'bfd-state', ...fields });
          if (from === 'up' || to === 'up') {
            this.#ports.onStateChanged(name, to === 'up', diagnostic);
          }
          break;
        }
        default:
          assertNever(effect);
      }
    }
  }

  #send(packet: BfdControl): void {
    try {
      this.#sender ??= this.#openSender();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return this.#sendFailed(error);
    }
    encodeBfdControl(this.#packet, packet);
    const sent = this.#sender.send(this.#packet, BFD_CONTROL_BYTES);
    if (sent < 0) {
      this.#sendFailed(new SystemError('sendto', -sent));
      // The address or the interface may be gone, and come back as another one.
      if (sent !== -EAGAIN && sent !== -ENOBUFS) this.#closeSender();
      return;
    }
    this.counters.packetsSent++;
    this.#sendError = null;
  }

  #sendFailed(error: SystemError): void {
    this.counters.sendErrors++;
    this.#sendError = error.message;
  }

  #openSender(): BfdSender {
    const { interface: interfaceName, ttl } = this.#config;
    const sender = new BfdSender({
      family: this.family,
      neighbor: this.neighbor,
      port: this.port,
      source: this.source,
      interfaceName,
      ttl,
      chance: this.#chance,
    });
    this.#interfaceIndex = sender.interfaceIndex;
    return sender;
  }

  #closeSender(): void {
    this.#sender?.close();
    this.#sender = null;
  }

  /** Tells the remote system that the session ends here, and closes. */
  stop(): void {
    this.dispatch({ kind: 'stopped', atUs: monotonicUs() });
    this.#closeSender();
  }

  status(): BfdStatus {
    const { name, neighbor, interface: interfaceName, multihop } = this.#config;
    const state = this.#state;
    const { refused, transitions } = this.counters;
    return {
      name,
      state: state.session,
      diagnostic: state.diagnostic,
      neighbor,
      interface: interfaceName,
      multihop,
      remoteState: state.remote.state,
      remoteDiagnostic: diagnosticName(state.remote.diagnostic),
      localDiscriminator: state.discriminator,
      remoteDiscriminator: state.remote.discriminator,
      transmitIntervalUs: transmitIntervalUs(state),
      detectionTimeUs: detectionTimeUs(state),
      lastTransitionAtMs: this.#lastTransitionAtMs,
      sendError: this.#sendError,
      counters: { ...this.counters, refused: { ...refused }, transitions: { ...transitions } },
    };
  }
}

export class BfdRunner {
  readonly #ports: BfdPorts;
  readonly #sessions = new Map<string, BfdSession>();
  readonly #byDiscriminator = new Map<number, BfdSession>();
  readonly #receivers = new Map<string, BfdReceiver>();
  /** Packets that belong to no session, by reason. */
  readonly refusedUnassigned: Record<BfdRefusalReason, number> = newBfdRefusalCounts();

  constructor(ports: BfdPorts) {
    this.#ports = ports;
  }

  /**
   * Stops, changes and starts sessions so that they match. Returns what went wrong: a receiver
   * whose port is taken, say; its sessions then run and stay down.
   */
  configure(configs: readonly BfdConfig[]): readonly Problem[] {
    const wanted = new Map(configs.map((config) => [config.name, config]));
    for (const session of [...this.#sessions.values()]) {
      const config = wanted.get(session.config.name);
      if (config === undefined || !sameBfdPeers(session.config, config)) this.#remove(session);
      else if (!isDeepStrictEqual(session.config, config)) session.reconfigure(config);
    }
    const fresh = configs
      .filter(({ name }) => !this.#sessions.has(name))
      .map((config) => this.#add(config));
    const problems = this.#matchReceivers();
    // The receivers come first: the first answer must not meet a closed port.
    for (const session of fresh) session.dispatch({ kind: 'started', atUs: monotonicUs() });
    return problems;
  }

  #add(config: BfdConfig): BfdSession {
    let discriminator = 0;
    // RFC 5880 section 6.8.1: unique here, and random so that it cannot be guessed.
    while (discriminator === 0 || this.#byDiscriminator.has(discriminator)) {
      discriminator = randomDiscriminator();
    }
    const session = new BfdSession(config, discriminator, this.#ports);
    this.#sessions.set(config.name, session);
    this.#byDiscriminator.set(discriminator, session);
    return session;
  }

  #remove(session: BfdSession): void {
    session.stop();
    this.#sessions.delete(session.config.name);
    this.#byDiscriminator.delete(session.discriminator);
  }

  #matchReceivers(): readonly Problem[] {
    const wanted = new Map<string, BfdSession>();
    for (const session of this.#sessions.values()) {
      wanted.set(`${session.family} ${session.port}`, session);
    }
    for (const [key, receiver] of this.#receivers) {
      if (wanted.has(key)) continue;
      receiver.close();
      this.#receivers.delete(key);
    }
    const problems: Problem[] = [];
    for (const [key, { family, port }] of wanted) {
      if (this.#receivers.has(key)) continue;
      try {
        const receiver: BfdReceiver = new BfdReceiver(family, port, () => {
          this.#drain(receiver);
          this.#ports.onHandled();
        });
        this.#receivers.set(key, receiver);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        problems.push(receiverProblem(port, error));
      }
    }
    return problems;
  }

  /** The earliest moment at which fireDeadlines() has something to do; null for never. */
  get deadlineUs(): number | null {
    let nextUs: number | null = null;
    for (const { deadlineUs } of this.#sessions.values()) {
      if (deadlineUs !== null && (nextUs === null || deadlineUs < nextUs)) nextUs = deadlineUs;
    }
    return nextUs;
  }

  /** Whether a session is up; false for a name that there is not. */
  isUp(name: string): boolean {
    return this.#sessions.get(name)?.isUp ?? false;
  }

  /** Handles every packet that waits in any socket: to be called before fireDeadlines(). */
  drainAll(): void {
    for (const receiver of this.#receivers.values()) this.#drain(receiver);
  }

  /** Tells every session whose deadline has passed. */
  fireDeadlines(nowUs: number): void {
    for (const session of this.#sessions.values()) {
      const { deadlineUs } = session;
      if (deadlineUs === null || deadlineUs > nowUs) continue;
      session.dispatch({ kind: 'deadline-reached', atUs: nowUs });
    }
  }

  status(): BfdStatus[] {
    return [...this.#sessions.values()].map((session) => session.status());
  }

  /** Ends all sessions, telling their remote systems, and closes the sockets. */
  stop(): void {
    this.configure([]);
  }

  #drain(receiver: BfdReceiver): void {
    receiver.drain((packet) => this.#handle(receiver, packet));
  }

  #handle(receiver: BfdReceiver, packet: ReceivedBfd): void {
    const decoded = decodeBfdControl(packet.payload, packet.lengthBytes);
    const session = this.#find(receiver, packet, decoded.ok ? decoded.value.yourDiscriminator : 0);
    const refused = session?.counters.refused ?? this.refusedUnassigned;
    if (!decoded.ok) {
      refused[decoded.error.reason]++;
      return;
    }
    if (session === undefined) {
      refused['unknown-session']++;
      return;
    }
    const accepted = acceptBfdControl(decoded.value, session.expectation, packet);
    if (!accepted.ok) {
      refused[accepted.error.reason]++;
      return;
    }
    session.counters.packetsReceived++;
    session.dispatch({
      kind: 'packet-received',
      atUs: packet.receivedAtUs,
      packet: accepted.value,
    });
  }

  /** RFC 5880 section 6.8.6: by discriminator if there is one, else by where it came from. */
  #find(
    receiver: BfdReceiver,
    packet: ReceivedBfd,
    yourDiscriminator: number,
  ): BfdSession | undefined {
    const hears = (session: BfdSession): boolean =>
      session.family === receiver.family && session.port === receiver.port;
    if (yourDiscriminator !== 0) {
      const session = this.#byDiscriminator.get(yourDiscriminator);
      return session !== undefined && hears(session) ? session : undefined;
    }
    const candidates = [...this.#sessions.values()].filter(
      (session) => hears(session) && equalBytes(session.neighbor, packet.source),
    );
    return candidates.find((session) => session.expects(packet)) ?? candidates[0];
  }
}

function receiverProblem(port: number, error: SystemError): Problem {
  if (error.errno === EADDRINUSE) {
    return {
      code: 'VK-PORT-IN-USE',
      message: `UDP port ${port} is taken, so that no BFD packet is received`,
      cure: 'Stop the other BFD daemon of this director, or take the sessions out of bfd',
    };
  }
  return {
    code: 'VK-SYSTEM',
    message: `The socket for BFD packets cannot be opened: ${error.message}`,
    cure: 'Check the limits of this director for open files and memory',
  };
}

/** 1 to 2^32 - 1. Crypto is loaded by whoever has sessions: it would cost every keeper a megabyte. */
function randomDiscriminator(): number {
  return process.getBuiltinModule('node:crypto').randomInt(1, 2 ** 32);
}

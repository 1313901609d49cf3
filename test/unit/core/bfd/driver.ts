/** Drives one BFD session by hand: what it is told, what it asked for, where it is. */
import {
  type BfdState,
  initialBfdState,
  nextDeadlineUs,
  step,
} from '../../../../src/core/bfd/session.ts';
import type {
  BfdControl,
  BfdEvent,
  BfdOptions,
  BfdStateName,
} from '../../../../src/core/bfd/types.ts';

export const SECOND_US = 1_000_000;
export const OURS = 0x1111_1111;
export const THEIRS = 0x2222_2222;

export const OPTIONS: BfdOptions = {
  minRxUs: 10_000,
  minTxUs: 10_000,
  idleTxUs: SECOND_US,
  multiplier: 5,
  passive: false,
};

/** A packet of the remote system, which knows us and is down. */
export const PACKET: BfdControl = {
  state: 'down',
  diagnostic: 0,
  poll: false,
  final: false,
  demand: false,
  detectMultiplier: 3,
  myDiscriminator: THEIRS,
  yourDiscriminator: OURS,
  desiredMinTxUs: SECOND_US,
  requiredMinRxUs: 20_000,
};

export class Driver {
  options: BfdOptions;
  state: BfdState;
  nowUs = 5 * SECOND_US;
  /** What the last event made it send. */
  sent: readonly BfdControl[] = [];
  /** "from -> to (diagnostic)" of the last event. */
  transitions: readonly string[] = [];

  constructor(options: Partial<BfdOptions> = {}, seed = 1) {
    this.options = { ...OPTIONS, ...options };
    this.state = initialBfdState(OURS, seed);
  }

  /** A session that was started, and brought to a state by a remote system that wants 50 ms. */
  static in(session: BfdStateName, options: Partial<BfdOptions> = {}, seed = 1): Driver {
    const driver = new Driver(options, seed);
    if (session === 'admin-down') return driver;
    driver.start();
    if (session === 'down') return driver;
    driver.hear({ state: 'down' });
    if (session === 'init') return driver;
    driver.hear({ state: 'init', desiredMinTxUs: 50_000 });
    // The answer to the poll that began with the faster interval, and a packet after it.
    driver.passUs(1);
    driver.fire();
    driver.hear({ state: 'up', desiredMinTxUs: 50_000, final: true });
    driver.hear({ state: 'up', desiredMinTxUs: 50_000 });
    return driver;
  }

  tell(event: BfdEvent): this {
    const { state, effects } = step(this.options, this.state, event);
    this.state = state;
    this.sent = effects.flatMap((effect) => (effect.kind === 'send' ? [effect.packet] : []));
    this.transitions = effects.flatMap((effect) =>
      effect.kind === 'report-transition'
        ? [`${effect.from} -> ${effect.to} (${effect.diagnostic})`]
        : [],
    );
    return this;
  }

  start(): this {
    return this.tell({ kind: 'started', atUs: this.nowUs });
  }

  stop(): this {
    return this.tell({ kind: 'stopped', atUs: this.nowUs });
  }

  /** A packet of the remote system arrives now. */
  hear(packet: Partial<BfdControl>): this {
    const whole = { ...PACKET, ...packet };
    return this.tell({ kind: 'packet-received', atUs: this.nowUs, packet: whole });
  }

  reconfigure(options: Partial<BfdOptions>): this {
    this.options = { ...this.options, ...options };
    return this.tell({ kind: 'reconfigured', atUs: this.nowUs });
  }

  passUs(spanUs: number): this {
    this.nowUs += spanUs;
    return this;
  }

  get deadlineUs(): number | null {
    return nextDeadlineUs(this.options, this.state);
  }

  /** How long until the next deadline. */
  get waitUs(): number {
    const { deadlineUs } = this;
    if (deadlineUs === null) throw new Error('The session waits for nothing');
    return deadlineUs - this.nowUs;
  }

  /** Time passes to the next deadline, which fires. */
  fire(): this {
    this.nowUs = Math.max(this.nowUs, this.deadlineUs ?? this.nowUs);
    return this.tell({ kind: 'deadline-reached', atUs: this.nowUs });
  }
}

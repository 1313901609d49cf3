/**
 * What the keeper told of its BFD sessions, for the checks that go by them. Says when a verdict
 * becomes another one, whether by what was told or by time, so that checks need not wait for
 * their interval. What is told in one turn of the event loop is passed on together.
 */
import { sameBfdPeers } from '../core/bfd/peers.ts';
import type { BfdDiagnostic, BfdStateName } from '../core/bfd/types.ts';
import type { BfdConfig } from '../core/config/config.ts';
import {
  type BfdKnowledge,
  type BfdKnowledgeEvent,
  type BfdVerdict,
  bfdVerdict,
  initialBfdKnowledge,
  stepBfdKnowledge,
} from '../core/health/bfd-verdict.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { err } from '../core/result.ts';

export interface BfdSessionsPorts {
  /** Monotonic microseconds. */
  readonly nowUs: () => number;
  /** The verdicts about these sessions are other ones. */
  readonly onVerdicts: (sessions: ReadonlySet<string>) => void;
}

interface Session {
  config: BfdConfig;
  known: BfdKnowledge;
  /** What was passed on; null for no verdict. */
  passed: boolean | null;
}

export interface ToldSession {
  readonly name: string;
  readonly state: BfdStateName;
  readonly diagnostic: BfdDiagnostic;
}

export class BfdSessions {
  readonly #ports: BfdSessionsPorts;
  readonly #sessions = new Map<string, Session>();
  #keeper = false;
  #timer: NodeJS.Timeout | null = null;
  #soon: NodeJS.Immediate | null = null;
  #closed = false;

  constructor(ports: BfdSessionsPorts) {
    this.#ports = ports;
  }

  /** These are the sessions, and the keeper is about to be told. What it will go on with stays. */
  configure(configs: readonly BfdConfig[]): void {
    const before = new Map(this.#sessions);
    this.#sessions.clear();
    const nowUs = this.#ports.nowUs();
    for (const config of configs) {
      const session = before.get(config.name);
      const goesOn = session !== undefined && sameBfdPeers(session.config, config);
      const fresh = { known: initialBfdKnowledge(nowUs), passed: null };
      this.#sessions.set(config.name, { ...(goesOn ? session : fresh), config });
    }
    this.#lookSoon();
  }

  /** The keeper has taken its plan. */
  keeperBegan(): void {
    this.#keeper = true;
    this.#all({ kind: 'keeper-began', atUs: this.#ports.nowUs() });
  }

  keeperLost(): void {
    this.#keeper = false;
    this.#all({ kind: 'keeper-lost', atUs: this.#ports.nowUs() });
  }

  /** The keeper told how sessions are, in the order in which it did. */
  told(sessions: readonly ToldSession[]): void {
    const atUs = this.#ports.nowUs();
    for (const { name, state, diagnostic } of sessions) {
      const session = this.#sessions.get(name);
      if (session === undefined) continue;
      session.known = stepBfdKnowledge(session.known, { kind: 'told', atUs, state, diagnostic });
    }
    this.#lookSoon();
  }

  /** What a check by this session makes of it now. */
  verdict(name: string): BfdVerdict {
    const session = this.#sessions.get(name);
    if (session === undefined) {
      return err(probeFailure('cannot-run', `There is no BFD session ${name}`));
    }
    const now = { keeper: this.#keeper, nowUs: this.#ports.nowUs() };
    return bfdVerdict(name, session.known, now);
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#soon !== null) clearImmediate(this.#soon);
  }

  #all(event: BfdKnowledgeEvent): void {
    for (const session of this.#sessions.values()) {
      session.known = stepBfdKnowledge(session.known, event);
    }
    this.#lookSoon();
  }

  #lookSoon(): void {
    if (this.#closed) return;
    this.#soon ??= setImmediate(() => {
      this.#soon = null;
      this.#look();
    });
  }

  #look(): void {
    const changed = new Set<string>();
    const nowUs = this.#ports.nowUs();
    let nextUs = Number.POSITIVE_INFINITY;
    for (const [name, session] of this.#sessions) {
      const { known, passed } = session;
      const verdict = this.verdict(name)?.ok ?? null;
      if (verdict === null) nextUs = Math.min(nextUs, known.patientUntilUs ?? nextUs);
      // Without a verdict, what was passed on stands.
      if (verdict === null || verdict === passed) continue;
      session.passed = verdict;
      changed.add(name);
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (nextUs < Number.POSITIVE_INFINITY) {
      const delayMs = Math.max(1, Math.ceil((nextUs - nowUs) / 1000));
      this.#timer = setTimeout(() => this.#look(), delayMs);
    }
    if (changed.size > 0) this.#ports.onVerdicts(changed);
  }
}

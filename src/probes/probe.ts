/**
 * Makes the probe of a check, whatever its kind. A probe holds no resources between its runs: a
 * run opens its own connection and is over only when that is closed.
 */
import { assertNever } from '../core/assert.ts';
import { type CheckConfig, hasPort, type TcpCheckConfig } from '../core/config/check.ts';
import type { BfdVerdict } from '../core/health/bfd-verdict.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { err } from '../core/result.ts';
import { type TcpDestination, tcpDestination } from '../linux/tcp-connector.ts';
import { probeBfd, type SessionLook } from './bfd.ts';
import { probeDialogue } from './dialogue.ts';
import { probeDns } from './dns.ts';
import { probeFile } from './file.ts';
import { httpRuns, probePlainHttp } from './http.ts';
import { type PlainRequest, startPlainHttp } from './http-plain.ts';
import { probeLdap } from './ldap.ts';
import { probeMysql } from './mysql.ts';
import { probePing } from './ping.ts';
import { probePostgresql } from './postgresql.ts';
import { probeRadius } from './radius.ts';
import { type CommandRunner, scriptProbe } from './script.ts';
import { probeSip } from './sip.ts';
import { probeSmtp } from './smtp.ts';
import { probeTcp, startTcp } from './tcp.ts';
import type { TrustStore } from './trust-store.ts';
import { probeUdp } from './udp.ts';

/** Ends a run that has no verdict yet; afterwards it does nothing. */
export type GiveUp = () => void;

export interface Probe {
  /**
   * Asks the server once. `done` is called once, never within this call, when the connection is
   * closed: with the verdict, or with null when the run was given up before there was one.
   * `onDefect` gets an exception of the probe, which is a defect; the run then ends with null.
   */
  start(done: (result: ProbeResult | null) => void, onDefect: (error: unknown) => void): GiveUp;
  /** The same as a promise, which the signal gives up; it rejects for a defect only. */
  run(signal: AbortSignal): Promise<ProbeResult | null>;
}

/** Asks once, until the signal gives up. */
type Run = (signal: AbortSignal) => Promise<ProbeResult | null>;

/**
 * The probe of `check` for `target`; `trust` is shared by all probes of a process, `runCommand`
 * runs the command of a script check, `look` tells of BFD sessions.
 */
export function createProbe(
  check: CheckConfig,
  target: CheckTarget,
  trust: TrustStore,
  runCommand: CommandRunner,
  look: SessionLook = noSessions,
): Probe {
  // Firewall-mark services may leave the port to the packet; then the check must name one.
  if (target.port === 0 && hasPort(check)) {
    return probeOf(async () => failed('The check has no port'));
  }
  const timeoutMs = Math.max(1, Math.ceil(check.timeoutUs / 1000));
  switch (check.kind) {
    case 'tcp':
      return new TcpProbe(check, target, timeoutMs);
    case 'http': {
      const runs = httpRuns(check, target, trust);
      if (runs.kind === 'other') return probeOf((signal) => runs.run({ timeoutMs, signal }));
      return new PlainHttpProbe(runs.request, timeoutMs);
    }
    case 'dns':
      return probeOf((signal) => probeDns(check, target, { timeoutMs, signal }));
    case 'udp':
      return probeOf((signal) => probeUdp(check, target, { timeoutMs, signal }));
    case 'ping':
      return probeOf((signal) => probePing(check, target, { timeoutMs, signal }));
    case 'dialogue':
      return probeOf((signal) => probeDialogue(check, target, trust, { timeoutMs, signal }));
    case 'ldap': {
      const security = { check, address: target.address, trust };
      return probeOf((signal) => probeLdap(check, target, security, { timeoutMs, signal }));
    }
    case 'mysql': {
      const security = { check, address: target.address, trust };
      return probeOf((signal) => probeMysql(check, target, security, { timeoutMs, signal }));
    }
    case 'postgresql': {
      const security = { check, address: target.address, trust };
      return probeOf((signal) => probePostgresql(check, target, security, { timeoutMs, signal }));
    }
    case 'radius':
      return probeOf((signal) => probeRadius(check, target, { timeoutMs, signal }));
    case 'sip': {
      const security = { check, address: target.address, trust };
      return probeOf((signal) => probeSip(check, target, security, { timeoutMs, signal }));
    }
    case 'smtp': {
      const security = { check, address: target.address, trust };
      return probeOf((signal) => probeSmtp(check, target, security, { timeoutMs, signal }));
    }
    case 'script': {
      const ask = scriptProbe(check, runCommand);
      return probeOf((signal) => ask({ timeoutMs, signal }));
    }
    case 'file':
      return probeOf((signal) => probeFile(check, { timeoutMs, signal }));
    case 'bfd':
      return probeOf(async (signal) => probeBfd(check, look, { signal }));
    default:
      return assertNever(check);
  }
}

/** One object for each check: of TCP and HTTP there may be tens of thousands. */
class TcpProbe implements Probe {
  readonly #check: TcpCheckConfig;
  readonly #target: CheckTarget;
  readonly #destination: TcpDestination;
  readonly #timeoutMs: number;

  constructor(check: TcpCheckConfig, target: CheckTarget, timeoutMs: number) {
    this.#check = check;
    this.#target = target;
    this.#destination = tcpDestination(target, check);
    this.#timeoutMs = timeoutMs;
  }

  start(done: (result: ProbeResult | null) => void): GiveUp {
    return startTcp(this.#destination, this.#timeoutMs, done);
  }

  run(signal: AbortSignal): Promise<ProbeResult | null> {
    return probeTcp(this.#check, this.#target, { timeoutMs: this.#timeoutMs, signal });
  }
}

class PlainHttpProbe implements Probe {
  readonly #request: PlainRequest;
  readonly #timeoutMs: number;

  constructor(request: PlainRequest, timeoutMs: number) {
    this.#request = request;
    this.#timeoutMs = timeoutMs;
  }

  start(done: (result: ProbeResult | null) => void): GiveUp {
    return startPlainHttp(this.#request, this.#timeoutMs, done);
  }

  run(signal: AbortSignal): Promise<ProbeResult | null> {
    return probePlainHttp(this.#request, { timeoutMs: this.#timeoutMs, signal });
  }
}

/** A probe that is a function with a promise. */
function probeOf(run: Run): Probe {
  return {
    start: (done, onDefect) => {
      const abort = new AbortController();
      run(abort.signal)
        .catch((error: unknown) => {
          onDefect(error);
          return null;
        })
        .then(done, onDefect);
      return () => abort.abort();
    },
    run,
  };
}

/** A thread that the keeper does not talk to. */
function noSessions(): BfdVerdict {
  return err(probeFailure('cannot-run', 'No BFD session is known here'));
}

function failed(detail: string): ProbeResult {
  return { ok: false, durationUs: 0, failure: probeFailure('cannot-run', detail) };
}

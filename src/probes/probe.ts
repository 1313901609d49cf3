/**
 * Makes the probe of a check, whatever its kind. A probe holds no resources between its runs: a
 * run opens its own connection and is over only when that is closed.
 */
import { assertNever } from '../core/assert.ts';
import { type CheckConfig, hasPort } from '../core/config/check.ts';
import type { BfdVerdict } from '../core/health/bfd-verdict.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import { err } from '../core/result.ts';
import { probeBfd, type SessionLook } from './bfd.ts';
import { probeDialogue } from './dialogue.ts';
import { probeDns } from './dns.ts';
import { probeFile } from './file.ts';
import { createHttpProbe } from './http.ts';
import { probeLdap } from './ldap.ts';
import { probeMysql } from './mysql.ts';
import { probePing } from './ping.ts';
import { probePostgresql } from './postgresql.ts';
import { probeRadius } from './radius.ts';
import { type CommandRunner, probeScript } from './script.ts';
import { probeSip } from './sip.ts';
import { probeTcp } from './tcp.ts';
import type { TrustStore } from './trust-store.ts';
import { probeUdp } from './udp.ts';

export interface Probe {
  /**
   * Asks the server once and resolves, never rejects, when the connection is closed: with the
   * verdict, or with null when the signal gave up before there was one.
   */
  run(signal: AbortSignal): Promise<ProbeResult | null>;
}

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
  if (target.port === 0 && hasPort(check))
    return { run: async () => failed('The check has no port') };
  const timeoutMs = Math.max(1, Math.ceil(check.timeoutUs / 1000));
  switch (check.kind) {
    case 'tcp':
      return { run: (signal) => probeTcp(check, target, { timeoutMs, signal }) };
    case 'http': {
      const run = createHttpProbe(check, target, trust);
      return { run: (signal) => run({ timeoutMs, signal }) };
    }
    case 'dns':
      return { run: (signal) => probeDns(check, target, { timeoutMs, signal }) };
    case 'udp':
      return { run: (signal) => probeUdp(check, target, { timeoutMs, signal }) };
    case 'ping':
      return { run: (signal) => probePing(check, target, { timeoutMs, signal }) };
    case 'dialogue':
      return { run: (signal) => probeDialogue(check, target, trust, { timeoutMs, signal }) };
    case 'ldap': {
      const security = { check, address: target.address, trust };
      return { run: (signal) => probeLdap(check, target, security, { timeoutMs, signal }) };
    }
    case 'mysql': {
      const security = { check, address: target.address, trust };
      return { run: (signal) => probeMysql(check, target, security, { timeoutMs, signal }) };
    }
    case 'postgresql': {
      const security = { check, address: target.address, trust };
      return { run: (signal) => probePostgresql(check, target, security, { timeoutMs, signal }) };
    }
    case 'radius':
      return { run: (signal) => probeRadius(check, target, { timeoutMs, signal }) };
    case 'sip': {
      const security = { check, address: target.address, trust };
      return { run: (signal) => probeSip(check, target, security, { timeoutMs, signal }) };
    }
    case 'script':
      return { run: (signal) => probeScript(check, runCommand, { timeoutMs, signal }) };
    case 'file':
      return { run: (signal) => probeFile(check, { signal }) };
    case 'bfd':
      return { run: async (signal) => probeBfd(check, look, { signal }) };
    default:
      return assertNever(check);
  }
}

/** A thread that the keeper does not talk to. */
function noSessions(): BfdVerdict {
  return err(probeFailure('cannot-run', 'No BFD session is known here'));
}

function failed(detail: string): ProbeResult {
  return { ok: false, durationUs: 0, failure: probeFailure('cannot-run', detail) };
}

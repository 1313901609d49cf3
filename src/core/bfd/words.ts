/** What the diagnostics of BFD mean, for people. */
import type { BfdDiagnostic } from './types.ts';

/** Why a session is not up; empty where there is no reason but that it never was. */
export const BFD_REASONS: Readonly<Record<BfdDiagnostic, string>> = {
  none: '',
  'detection-time-expired': 'the neighbor fell silent',
  'echo-failed': 'the echo failed',
  'neighbor-signaled-down': 'the neighbor said that the session is down',
  'forwarding-plane-reset': 'the forwarding plane was reset',
  'path-down': 'the path is down',
  'concatenated-path-down': 'a path behind it is down',
  'administratively-down': 'stopped',
  'reverse-concatenated-path-down': 'a path behind the neighbor is down',
};

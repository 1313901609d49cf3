/**
 * TCP check: success is an established connection. It is closed in order (FIN, then reading to
 * the server's FIN for a short while), because a reset would fill the logs of the server.
 */
import { connect } from 'node:net';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeResult } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import type { AttemptOptions } from './attempt.ts';
import { Attempt } from './attempt.ts';
import { socketFailureReason } from './socket-error.ts';

/** Connects to a server. Never rejects; null when the signal gave up before a verdict. */
export function probeTcp(
  target: CheckTarget,
  options: AttemptOptions,
): Promise<ProbeResult | null> {
  const attempt = new Attempt(options);
  if (attempt.settled) return attempt.finished;
  const socket = connect({ host: target.address, port: target.port });
  attempt.attach(socket, (error) =>
    probeFailure(socketFailureReason(error) ?? 'cannot-run', error.message),
  );
  socket.once('connect', () => {
    attempt.settle(null, 'linger');
    socket.end();
    // Unread bytes, a greeting for example, would hide the server's FIN and cause a reset.
    socket.resume();
  });
  return attempt.finished;
}

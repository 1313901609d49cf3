/**
 * Messages to the service manager that started us, by systemd's protocol (sd_notify(3)): one
 * datagram of "NAME=value" lines to the socket that NOTIFY_SOCKET names.
 */
import { SystemError, unixDatagramSend } from './libc.ts';

/**
 * Sends `state`, as "READY=1" or "MAINPID=12\nSTATUS=...", without waiting. Does nothing when no
 * service manager listens (NOTIFY_SOCKET unset, or not a Unix socket) and never throws: a daemon
 * does not fail because nobody is told of it.
 */
export function notifyServiceManager(state: string): void {
  const path = process.env.NOTIFY_SOCKET;
  if (path === undefined || !/^[/@]./.test(path)) return;
  try {
    unixDatagramSend(path, state);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
  }
}

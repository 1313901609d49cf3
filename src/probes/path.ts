/** How the sockets of a check leave this host. */
import type { SocketPath } from '../linux/probe-socket.ts';

/** As the routes say. */
export const NO_PATH: SocketPath = { source: null, device: null, mark: null };

/**
 * Connections of checks: TCP to a target, by a path of its own if the check has one, and TLS over
 * it. A socket that must leave by a device or with a mark is made before Node.js knows of it,
 * because both must be set before the first packet.
 */
import { connect as connectTcp, isIP, Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { checkServerIdentity, connect as connectTls, type TLSSocket } from 'node:tls';
import type { SocketPath } from '../core/config/check.ts';
import type { CheckTarget } from '../core/health/check-key.ts';
import type { ProbeFailure } from '../core/health/probe-result.ts';
import { probeFailure } from '../core/health/probe-result.ts';
import type { Result } from '../core/result.ts';
import { err, ok } from '../core/result.ts';
import { close, SystemError } from '../linux/libc.ts';
import { openStreamSocket } from '../linux/probe-socket.ts';
import { socketFailureReason } from './socket-error.ts';

/** How TLS is spoken over a connection. */
export interface TlsWishes {
  readonly context: SecureContext;
  /** Name or address that the certificate must be for; a name is sent too (SNI). */
  readonly name: string;
  readonly verify: boolean;
  /** Protocols of ALPN; [] for none. */
  readonly alpn: readonly string[];
}

/** Path of a check, without its other members. */
export function pathOf({ source, device, mark, via }: SocketPath): SocketPath {
  return { source, device, mark, via };
}

/**
 * Begins to connect: the socket, whose events tell the rest, or why this director could not even
 * begin.
 */
export function openConnection(
  target: CheckTarget,
  path: SocketPath,
): Result<Socket, ProbeFailure> {
  const { address, port } = target;
  const { source, device, mark, via } = path;
  if (source === null && device === null && mark === null && via === null) {
    return ok(connectTcp({ host: address, port }));
  }
  try {
    const fd = openStreamSocket(address, path);
    return ok(adopt(fd).connect({ host: zoned(address, path), port }));
  } catch (error) {
    return err(openFailure(error as Error, path));
  }
}

/** Node's socket of a descriptor that is not connected yet; it owns the descriptor. */
function adopt(fd: number): Socket {
  try {
    // `manualStart`: reading before the connection stands would be an error.
    const options: ConstructorParameters<typeof Socket>[0] & { manualStart: boolean } = {
      fd,
      readable: true,
      writable: true,
      manualStart: true,
    };
    return new Socket(options);
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** A link-local address needs its interface. */
function zoned(address: string, { device }: SocketPath): string {
  return device !== null && /^fe[89ab]/i.test(address) ? `${address}%${device}` : address;
}

/** Begins TLS over a connection, also over one that does not stand yet; it owns the connection. */
export function startTls(socket: Socket, wishes: TlsWishes): TLSSocket {
  const { context, name, verify, alpn } = wishes;
  const secure = connectTls({
    socket,
    secureContext: context,
    rejectUnauthorized: verify,
    checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
    // RFC 6066 section 3: addresses are not permitted as server names.
    ...(isIP(name) === 0 ? { servername: name } : {}),
    ...(alpn.length > 0 ? { ALPNProtocols: [...alpn] } : {}),
  });
  // Errors below TLS are told to the connection alone.
  socket.on('error', (error) => secure.destroy(error));
  return secure;
}

/** Why a socket could not be opened, bound or connected, in words of the check. */
export function openFailure(error: Error, path: SocketPath): ProbeFailure {
  const reason = socketFailureReason(error) ?? 'cannot-run';
  if (error instanceof SystemError) {
    if (error.code === 'ENODEV') {
      return probeFailure('cannot-run', `This director has no interface ${path.device}`);
    }
    if (error.call === 'route') {
      return probeFailure('unreachable', `This director has no route to ${path.via}`);
    }
    if (error.code === 'EADDRNOTAVAIL' && error.call === 'bind') {
      return probeFailure('cannot-run', `This director does not have the address ${path.source}`);
    }
  }
  return probeFailure(reason, error.message);
}

/**
 * Socket addresses as the kernel lays them out: struct sockaddr_in, sockaddr_in6, sockaddr_ll,
 * sockaddr_nl and sockaddr_un, encoded to bytes and decoded from them. Families, scope ids and
 * interface indexes are in host byte order, ports and protocols in network byte order.
 * Decoders never read past the end and never throw.
 */
import { endianness } from 'node:os';
import { assert } from '../core/assert.js';
import { err, ok } from '../core/result.js';
import { AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, UNIX_PATH_MAX } from './constants.js';
/** True where the host stores the low byte first: the second argument of DataView's methods. */
export const HOST_LITTLE_ENDIAN = endianness() === 'LE';
export const SOCKADDR_IN_BYTES = 16;
export const SOCKADDR_IN6_BYTES = 28;
export const SOCKADDR_LL_BYTES = 20;
export const SOCKADDR_NL_BYTES = 12;
/** sizeof(struct sockaddr_storage): room for every family. */
export const SOCKADDR_STORAGE_BYTES = 128;
/** Encodes struct sockaddr_in (linux/in.h) from a 4-byte address. */
export function encodeSockaddrIn(address, port) {
  assert(address.length === 4, 'An IPv4 address has 4 bytes');
  const bytes = new Uint8Array(SOCKADDR_IN_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET, HOST_LITTLE_ENDIAN);
  view.setUint16(2, port);
  bytes.set(address, 4);
  return bytes;
}
/** Encodes struct sockaddr_in6 (linux/in6.h); `scopeId` is the interface of a link-local one. */
export function encodeSockaddrIn6(address, port, scopeId) {
  assert(address.length === 16, 'An IPv6 address has 16 bytes');
  const bytes = new Uint8Array(SOCKADDR_IN6_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET6, HOST_LITTLE_ENDIAN);
  view.setUint16(2, port);
  bytes.set(address, 8);
  view.setUint32(24, scopeId, HOST_LITTLE_ENDIAN);
  return bytes;
}
/** Encodes struct sockaddr_ll (linux/if_packet.h); hardware type and packet type stay 0. */
export function encodeSockaddrLl(sockaddr) {
  assert(sockaddr.address.length <= 8, 'A link-layer address has at most 8 bytes');
  const bytes = new Uint8Array(SOCKADDR_LL_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, HOST_LITTLE_ENDIAN);
  view.setUint16(2, sockaddr.protocol);
  view.setInt32(4, sockaddr.interfaceIndex, HOST_LITTLE_ENDIAN);
  bytes[11] = sockaddr.address.length;
  bytes.set(sockaddr.address, 12);
  return bytes;
}
/** Encodes struct sockaddr_nl (linux/netlink.h): a port id and the legacy 32-group bit mask. */
export function encodeSockaddrNl(portId, groups) {
  const bytes = new Uint8Array(SOCKADDR_NL_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_NETLINK, HOST_LITTLE_ENDIAN);
  view.setUint32(4, portId, HOST_LITTLE_ENDIAN);
  view.setUint32(8, groups >>> 0, HOST_LITTLE_ENDIAN);
  return bytes;
}
/**
 * Encodes struct sockaddr_un (linux/un.h) of a path, or of an abstract name when it starts with
 * '@'. Null when it is empty, holds a NUL or does not fit (107 bytes).
 */
export function encodeSockaddrUn(path) {
  const text = new TextEncoder().encode(path);
  const fits = text.length > 0 && text.length < UNIX_PATH_MAX && !text.includes(0);
  if (!fits) return null;
  const abstract = path.startsWith('@');
  // A path is stored with its NUL; an abstract name starts with a NUL and ends with the length.
  const bytes = new Uint8Array(2 + text.length + (abstract ? 0 : 1));
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, HOST_LITTLE_ENDIAN);
  bytes.set(text, 2);
  if (abstract) bytes[2] = 0;
  return bytes;
}
/** Decodes struct sockaddr_in. */
export function decodeSockaddrIn(bytes) {
  const view = viewOfFamily(bytes, AF_INET, SOCKADDR_IN_BYTES);
  if (!view.ok) return view;
  return ok({ address: bytes.slice(4, 8), port: view.value.getUint16(2) });
}
/** Decodes struct sockaddr_in6. */
export function decodeSockaddrIn6(bytes) {
  const view = viewOfFamily(bytes, AF_INET6, SOCKADDR_IN6_BYTES);
  if (!view.ok) return view;
  return ok({
    address: bytes.slice(8, 24),
    port: view.value.getUint16(2),
    scopeId: view.value.getUint32(24, HOST_LITTLE_ENDIAN),
  });
}
/** Decodes struct sockaddr_ll. The kernel may return fewer than 20 bytes: 12 + address length. */
export function decodeSockaddrLl(bytes) {
  const view = viewOfFamily(bytes, AF_PACKET, SOCKADDR_LL_BYTES - 8);
  if (!view.ok) return view;
  const addressLength = Math.min(view.value.getUint8(11), 8);
  if (bytes.length < 12 + addressLength) return err('too-short');
  return ok({
    protocol: view.value.getUint16(2),
    interfaceIndex: view.value.getInt32(4, HOST_LITTLE_ENDIAN),
    address: bytes.slice(12, 12 + addressLength),
  });
}
function viewOfFamily(bytes, family, lengthBytes) {
  if (bytes.length < lengthBytes) return err('too-short');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint16(0, HOST_LITTLE_ENDIAN) !== family) return err('wrong-family');
  return ok(view);
}
//# sourceMappingURL=sockaddr.js.map

/**
 * HMAC-SHA256 (RFC 2104) for the authentication of advertisements: the core has no hash. Loaded
 * when it is used: Node's crypto would cost every keeper a megabyte.
 */
import type { Mac } from '../core/wire/vrrp-hmac.ts';

export const hmacSha256: Mac = (key, input) =>
  process.getBuiltinModule('node:crypto').createHmac('sha256', key).update(input).digest();

/**
 * SCRAM-SHA-256 from the client's side, without channel binding: RFC 5802, RFC 7677. Both ends
 * prove that they know the password, and neither tells it.
 */
import { Buffer } from 'node:buffer';
import { createHash, createHmac, pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { Result } from '../core/result.ts';
import { err, ok } from '../core/result.ts';

/** The server names the number; more than this would keep a processor busy for it. */
const ITERATIONS_MAX = 1_000_000;
const HASH_BYTES = 32;
/** No channel binding, no other identity: RFC 5802 section 7. */
const GS2_HEADER = 'n,,';

const deriveKey = promisify(pbkdf2);
const hmac = (key: Uint8Array, text: string) => createHmac('sha256', key).update(text).digest();

export interface ScramProof {
  /** The client's last message. */
  readonly message: string;
  /** What the server's last message must be. */
  readonly serverFinal: string;
}

/** The first message, without its header. PostgreSQL takes the user from elsewhere. */
const bare = (nonce: string) => `n=,r=${nonce}`;

/** The client's first message; `nonce` is random printable text without commas. */
export function scramFirst(nonce: string): string {
  return `${GS2_HEADER}${bare(nonce)}`;
}

/** The answer to the server's first message, or what is wrong with it. */
export async function scramProof(
  password: string,
  nonce: string,
  serverFirst: string,
): Promise<Result<ScramProof, string>> {
  const [, both, salt, count] =
    /^r=([^,]+),s=([A-Za-z0-9+/=]+),i=(\d{1,9})(?:,|$)/.exec(serverFirst) ?? [];
  if (both === undefined || salt === undefined || !both.startsWith(nonce) || both === nonce) {
    return err('The first message of SCRAM is malformed');
  }
  const iterations = Number(count);
  if (iterations < 1 || iterations > ITERATIONS_MAX) {
    return err(`${iterations} iterations of SCRAM; expected 1 to ${ITERATIONS_MAX}`);
  }
  // SASLprep (RFC 4013) is for the most part this normal form.
  const salted = await deriveKey(
    password.normalize('NFKC'),
    Buffer.from(salt, 'base64'),
    iterations,
    HASH_BYTES,
    'sha256',
  );
  const clientKey = hmac(salted, 'Client Key');
  const storedKey = createHash('sha256').update(clientKey).digest();
  const withoutProof = `c=${Buffer.from(GS2_HEADER).toString('base64')},r=${both}`;
  const signed = `${bare(nonce)},${serverFirst},${withoutProof}`;
  const signature = hmac(storedKey, signed);
  const proof = clientKey.map((byte, index) => byte ^ (signature[index] as number));
  const serverSignature = hmac(hmac(salted, 'Server Key'), signed);
  return ok({
    message: `${withoutProof},p=${Buffer.from(proof).toString('base64')}`,
    serverFinal: `v=${serverSignature.toString('base64')}`,
  });
}

/** True when the server knows the password too. */
export function isServerFinal(proof: ScramProof, serverFinal: string): boolean {
  const expected = Buffer.from(proof.serverFinal);
  const said = Buffer.from(serverFinal.split(',')[0] ?? '');
  return said.length === expected.length && timingSafeEqual(said, expected);
}

/**
 * RADIUS packets: RFC 2865 (Access-Request and its answers), RFC 3579 section 3.2
 * (Message-Authenticator), RFC 5997 (Status-Server). The hash functions are parameters.
 *
 *   code | identifier | length (16 bits) | authenticator (16 bytes) | attributes: type, length, value
 *
 * Every request begins with a Message-Authenticator, which servers that are protected from forged
 * answers demand; one in an answer is verified.
 */
import { ok, type Result } from '../result.ts';
import { equalBytes, readU16, writeU16 } from './bytes.ts';
import { type DecodeError, decodeError } from './decode-error.ts';
import { concat, latin1, utf8 } from './parts.ts';

const HEAD_BYTES = 20;
const AUTHENTICATOR_BYTES = 16;
/** RFC 2865 section 3. */
const PACKET_BYTES_MAX = 4096;
/** RFC 2865 section 5.2. */
const PASSWORD_BYTES_MAX = 128;

const ACCESS_REQUEST = 1;
const STATUS_SERVER = 12;
const USER_NAME = 1;
const USER_PASSWORD = 2;
const REPLY_MESSAGE = 18;
const NAS_IDENTIFIER = 32;
const MESSAGE_AUTHENTICATOR = 80;

/** Codes of answers by name: RFC 2865 section 4, RFC 2866 section 4.2. */
export const RADIUS_ANSWERS = {
  'access-accept': 2,
  'access-reject': 3,
  'access-challenge': 11,
  'accounting-response': 5,
} as const;
export type RadiusAnswerName = keyof typeof RADIUS_ANSWERS;

export interface RadiusHashes {
  readonly md5: (input: Uint8Array) => Uint8Array;
  readonly hmacMd5: (key: Uint8Array, input: Uint8Array) => Uint8Array;
}

export interface RadiusRequest {
  /** 0 to 255. */
  readonly id: number;
  /** 16 random bytes. */
  readonly authenticator: Uint8Array;
  readonly secret: Uint8Array;
  readonly nasIdentifier: string;
  /** Null asks for the server's status (Status-Server) instead. */
  readonly login: { readonly user: string; readonly password: string } | null;
}

export interface RadiusAnswer {
  readonly code: number;
  /** Texts for the user, joined. */
  readonly message: string;
}

/** True for a password that fits into the attribute. */
export function isRadiusPassword(password: string): boolean {
  return utf8(password).length <= PASSWORD_BYTES_MAX;
}

export function encodeRadiusRequest(request: RadiusRequest, hashes: RadiusHashes): Uint8Array {
  const { id, authenticator, secret, nasIdentifier, login } = request;
  const attributes = [
    attribute(MESSAGE_AUTHENTICATOR, new Uint8Array(AUTHENTICATOR_BYTES)),
    attribute(NAS_IDENTIFIER, utf8(nasIdentifier)),
  ];
  if (login !== null) {
    attributes.push(attribute(USER_NAME, utf8(login.user)));
    attributes.push(attribute(USER_PASSWORD, hidePassword(login.password, request, hashes)));
  }
  const code = login === null ? STATUS_SERVER : ACCESS_REQUEST;
  const packet = concat([[code, id, 0, 0], authenticator, ...attributes]);
  writeU16(packet, 2, packet.length);
  packet.set(hashes.hmacMd5(secret, packet).subarray(0, AUTHENTICATOR_BYTES), HEAD_BYTES + 2);
  return packet;
}

function attribute(type: number, value: Uint8Array): Uint8Array {
  return concat([[type, value.length + 2], value]);
}

/** RFC 2865 section 5.2. */
function hidePassword(
  password: string,
  { authenticator, secret }: RadiusRequest,
  { md5 }: RadiusHashes,
): Uint8Array {
  const plain = utf8(password);
  const hidden = new Uint8Array(Math.max(1, Math.ceil(plain.length / 16)) * 16);
  hidden.set(plain);
  let before = authenticator;
  for (let start = 0; start < hidden.length; start += 16) {
    const pad = md5(concat([secret, before]));
    for (let index = 0; index < 16; index++) {
      hidden[start + index] = (hidden[start + index] as number) ^ (pad[index] as number);
    }
    before = hidden.slice(start, start + 16);
  }
  return hidden;
}

/**
 * The answer to `request`. 'unsupported': to another request; 'checksum': an authenticator is not
 * what the secret makes it, so that secrets differ or the answer is forged.
 */
export function decodeRadiusAnswer(
  bytes: Uint8Array,
  request: Pick<RadiusRequest, 'id' | 'authenticator' | 'secret'>,
  { md5, hmacMd5 }: RadiusHashes,
): Result<RadiusAnswer, DecodeError> {
  if (bytes.length < HEAD_BYTES) return decodeError('truncated', `${bytes.length} bytes`);
  const code = bytes[0] as number;
  if (bytes[1] !== request.id) return decodeError('unsupported', 'The answer to another request');
  const length = readU16(bytes, 2);
  if (length < HEAD_BYTES || length > PACKET_BYTES_MAX) {
    return decodeError('malformed', `A length of ${length} bytes`);
  }
  if (length > bytes.length) return decodeError('truncated', `${bytes.length} of ${length} bytes`);
  const packet = concat([bytes.subarray(0, length)]);
  const received = packet.slice(4, HEAD_BYTES);
  packet.set(request.authenticator, 4);
  if (!equalBytes(md5(concat([packet, request.secret])), received)) {
    return decodeError('checksum', 'The authenticator of the answer is wrong: another secret?');
  }
  let message = '';
  let signature: Uint8Array | null = null;
  for (let offset = HEAD_BYTES; offset < length; ) {
    const size = offset + 2 > length ? 0 : (packet[offset + 1] as number);
    if (size < 2 || offset + size > length) return decodeError('malformed', 'An attribute is cut');
    if (packet[offset] === REPLY_MESSAGE) message += latin1(packet, offset + 2, offset + size);
    if (packet[offset] === MESSAGE_AUTHENTICATOR && size === AUTHENTICATOR_BYTES + 2) {
      signature = packet.slice(offset + 2, offset + size);
      packet.fill(0, offset + 2, offset + size);
    }
    offset += size;
  }
  if (signature !== null) {
    const expected = hmacMd5(request.secret, packet).subarray(0, AUTHENTICATOR_BYTES);
    if (!equalBytes(expected, signature)) {
      return decodeError('checksum', 'The Message-Authenticator of the answer is wrong');
    }
  }
  return ok({ code, message });
}

/** 'access-reject', or 'code 42'. */
export function radiusAnswerName(code: number): string {
  const known = Object.entries(RADIUS_ANSWERS).find(([, number]) => number === code);
  return known?.[0] ?? `code ${code}`;
}

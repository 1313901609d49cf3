/**
 * DecodeError: why bytes are not the packet that a decoder was asked for. Advertisements have
 * their own, finer ladder (vrrp/types.ts), because operators read its reasons.
 */

export type DecodeErrorReason =
  /** Fewer bytes than the fixed part or the packet's own length field says. */
  | 'truncated'
  /** Well-formed perhaps, but not the kind of packet that was asked for. */
  | 'unsupported'
  /** A field has a value that the standard forbids. */
  | 'malformed'
  /** The checksum does not match the content. */
  | 'checksum';

export interface DecodeError {
  readonly reason: DecodeErrorReason;
  /** What was found and what was expected: sentence case, no final period. */
  readonly detail: string;
}

/** The failed Result of a decoder. */
export function decodeError(
  reason: DecodeErrorReason,
  detail: string,
): { readonly ok: false; readonly error: DecodeError } {
  return { ok: false, error: { reason, detail } };
}

/**
 * Assertions on our own invariants. A failed one is a defect of vipkeeper, never of its input:
 * the process reports it and ends, and its twin process starts it again.
 */
export class InternalError extends Error {
  name = 'InternalError';
}
/** Throws InternalError when `condition` is false. */
export function assert(condition, message) {
  if (!condition) throw new InternalError(message);
}
/** The default branch of an exhaustive switch: does not compile while a case is missing. */
export function assertNever(value) {
  throw new InternalError(`Unexpected value: ${JSON.stringify(value)}`);
}
//# sourceMappingURL=assert.js.map

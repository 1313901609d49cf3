/**
 * Result: what a function of the core returns when its input may be wrong.
 * The core never throws on input; it throws (see assert.ts) only on its own mistakes.
 */
export function ok(value) {
  return { ok: true, value };
}
export function err(error) {
  return { ok: false, error };
}
//# sourceMappingURL=result.js.map

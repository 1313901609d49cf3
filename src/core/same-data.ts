/**
 * sameData: whether two values of plain data, as JSON has them, are equal. A keeper that is
 * configured again compares hundreds of instances while advertisements are due, and the general
 * comparison of Node takes twenty times as long.
 */

/** Arrays, objects without prototypes of their own, and primitives; a missing key is undefined. */
export function sameData(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object') return false;
  if (left === null || right === null || Array.isArray(left) !== Array.isArray(right)) return false;
  const before = left as Readonly<Record<string, unknown>>;
  const after = right as Readonly<Record<string, unknown>>;
  let keys = 0;
  for (const key in before) {
    if (before[key] === undefined) continue;
    keys++;
    if (!sameData(before[key], after[key])) return false;
  }
  for (const key in after) if (after[key] !== undefined) keys--;
  return keys === 0;
}

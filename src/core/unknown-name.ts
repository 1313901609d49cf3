/** What to say of a name that nothing has: the nearest one that something has, and some of all. */
import { editDistance } from './edit-distance.ts';

const NAMES_MAX = 10;

/** The known name that was probably meant; null where more than a third of the letters are wrong. */
export function nearestName(name: string, known: Iterable<string>): string | null {
  const plain = name.toLowerCase();
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(plain.length / 3)) + 1;
  for (const candidate of known) {
    // Of ten thousand names most are ruled out by their length.
    if (Math.abs(candidate.length - plain.length) >= bestDistance) continue;
    const distance = editDistance(plain, candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** 'There is no service wbe, did you mean web? Services here: api, web'; `kind` is a noun. */
export function unknownName(kind: string, name: string, known: readonly string[]): string {
  const some = known.slice(0, NAMES_MAX).join(', ') || 'none';
  const more = known.length > NAMES_MAX ? ` and ${known.length - NAMES_MAX} more` : '';
  const here = `${kind}s here: ${some}${more}`;
  const nearest = nearestName(name, known);
  if (nearest === null) return `There is no ${kind} ${name}; ${here}`;
  const sentence = here.charAt(0).toUpperCase() + here.slice(1);
  return `There is no ${kind} ${name}, did you mean ${nearest}? ${sentence}`;
}

/**
 * yaml as the first plan's bundle takes it: a file of its own, loaded for a text that is not
 * plainly written (src/config/plain-yaml.ts). Few are, and it is half of all that would be loaded.
 */
/** A name that is not replaced: it is another file of dist/start. */
const FILE = './yaml.js';
const library = () => require(FILE);

export function LineCounter() {
  return new (library().LineCounter)();
}
export const isAlias = (node) => library().isAlias(node);
export const isMap = (node) => library().isMap(node);
export const isNode = (node) => library().isNode(node);
export const isPair = (node) => library().isPair(node);
export const isScalar = (node) => library().isScalar(node);
export const isSeq = (node) => library().isSeq(node);
export const parseDocument = (text, options) => library().parseDocument(text, options);
export const visit = Object.defineProperty(
  (node, visitor) => library().visit(node, visitor),
  'BREAK',
  { get: () => library().visit.BREAK },
);

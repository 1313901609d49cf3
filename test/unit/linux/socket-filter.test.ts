/** The filter that takes packets by a word, run by an interpreter as the kernel's. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { acceptWords, type Instruction, wordAt } from '../../../src/linux/socket-filter.ts';

/** What the kernel's classic BPF does with the instructions that are used here. */
function run(program: readonly Instruction[], packet: Uint8Array): number {
  let accumulator = 0;
  for (let at = 0; ; ) {
    const instruction = program[at];
    if (instruction === undefined) throw new Error(`ran off the program at ${at}`);
    const { code, ifTrue = 0, ifFalse = 0, k } = instruction;
    at++;
    if (code === 0x20) accumulator = wordAt(packet, k);
    else if (code === 0x05) at += k;
    else if (code === 0x15) at += accumulator === k ? ifTrue : ifFalse;
    else if (code === 0x06) return k;
    else throw new Error(`code ${code}`);
    if (Math.max(ifTrue, ifFalse) > 255) throw new Error('a jump too far');
  }
}

const word = fc.nat(0xffff_ffff);

test('acceptWords() takes what has one of the words, and nothing else', () => {
  const words = fc.uniqueArray(word, { maxLength: 700 });
  fc.assert(
    fc.property(words, word, fc.nat(12), (list, other, offset) => {
      const program = acceptWords(offset, list);
      const packet = new Uint8Array(16);
      const taken = (value: number) => {
        new DataView(packet.buffer).setUint32(offset, value);
        return run(program, packet) > 0;
      };
      for (const each of list) if (!taken(each)) throw new Error(`${each} was not taken`);
      expect(taken(other)).toBe(list.includes(other));
    }),
    { numRuns: 50 },
  );
});

test('two thousand words are a program that the kernel takes: at most 4096 instructions', () => {
  const words = Array.from({ length: 2_000 }, (_, index) => index);
  expect(acceptWords(28, words).length).toBeLessThan(4_096);
});

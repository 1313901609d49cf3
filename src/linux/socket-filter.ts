/**
 * Classic BPF programs for sockets: instructions to bytes, and the filter that takes a packet by
 * one of many 32-bit words. Pure; libc.attachFilter() gives them to the kernel.
 * Standard: include/uapi/linux/filter.h, Documentation/networking/filter.rst.
 */
import { BPF_ABS, BPF_JA, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W } from './constants.ts';
import { HOST_LITTLE_ENDIAN } from './sockaddr.ts';

/** struct sock_filter (linux/filter.h): code, how far to jump if true and if false, operand. */
export interface Instruction {
  readonly code: number;
  readonly ifTrue?: number;
  readonly ifFalse?: number;
  readonly k: number;
}

/** Accept a packet whole, or 0 bytes of it. */
export const ACCEPT: Instruction = { code: BPF_RET | BPF_K, k: 0xffff };
export const DROP: Instruction = { code: BPF_RET | BPF_K, k: 0 };

export function filterProgram(instructions: readonly Instruction[]): Uint8Array {
  const program = new Uint8Array(8 * instructions.length);
  const view = new DataView(program.buffer);
  for (const [index, { code, ifTrue, ifFalse, k }] of instructions.entries()) {
    view.setUint16(index * 8, code, HOST_LITTLE_ENDIAN);
    view.setUint8(index * 8 + 2, ifTrue ?? 0);
    view.setUint8(index * 8 + 3, ifFalse ?? 0);
    view.setUint32(index * 8 + 4, k >>> 0, HOST_LITTLE_ENDIAN);
  }
  return program;
}

/** A jump reaches 255 instructions. */
const WORDS_A_BLOCK = 200;

/**
 * Instructions that end a program: accept what has one of `words` (in network order) at `offset`,
 * and 0 bytes of the rest. One instruction a word, because the kernel bounds a program's memory.
 */
export function acceptWords(offset: number, words: readonly number[]): readonly Instruction[] {
  const blocks: Instruction[] = [];
  for (let start = 0; start < words.length; start += WORDS_A_BLOCK) {
    const block = words.slice(start, start + WORDS_A_BLOCK);
    for (const [index, k] of block.entries()) {
      // Over the other words and the jump over the end, to where the block accepts.
      blocks.push({ code: BPF_JMP | BPF_JEQ | BPF_K, ifTrue: block.length - index, k });
    }
    blocks.push({ code: BPF_JMP | BPF_JA, k: 1 }, ACCEPT);
  }
  return [{ code: BPF_LD | BPF_W | BPF_ABS, k: offset }, ...blocks, DROP];
}

/** The 32 bits at `offset` as acceptWords() compares them. */
export function wordAt(bytes: Uint8Array, offset: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(offset);
}

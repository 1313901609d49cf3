/** Conversations with real servers, as they were recorded in talks/. */
import { readFileSync } from 'node:fs';

export interface Talk {
  readonly check: string;
  readonly verdict: string;
  /** What the server says: at once where the protocol has it, and after each word of the client. */
  readonly turns: readonly Buffer[];
}

/** The conversations of talks/NAME.txt. */
export function talksOf(name: 'ldap' | 'mysql' | 'postgresql' | 'smtp'): Talk[] {
  const text = readFileSync(new URL(`talks/${name}.txt`, import.meta.url), 'utf8');
  const [, ...talks] = text.trim().split('\n\n');
  return talks.map((talk) => {
    const [check = '', verdict = '', ...turns] = talk.split('\n');
    return {
      check: check.replace('check ', ''),
      verdict: verdict.replace('verdict ', ''),
      turns: turns.map((turn) => Buffer.from(turn, 'hex')),
    };
  });
}

/**
 * ipvsadm in the lab VM, run by a shell that stays: most of what the tests do there is looking at
 * the table, and a start by way of the agent and of `ip netns exec` takes the emulator three times
 * as long as ipvsadm itself.
 *
 * Invariants: one look at a time, in the order of the calls; each is bounded; where the shell has
 * ended, as in a loss of power, ipvsadm is started like any other command.
 */
import { type Child, check, DEFAULT_TIMEOUT_MS, LabError, type Machine } from '../lab/host.ts';

/** A line of arguments is answered with what ipvsadm prints, and its exit code. */
const SCRIPT =
  'set -f; while read -r words; do ipvsadm $words </dev/null 2>&1; echo "END $?"; done';
const END = /^END (\d+)\n/m;
/** What the shell takes for a word. */
const PLAIN = /^[\w.:[\]-]+$/;

interface Answer {
  readonly code: number;
  readonly output: string;
}

export class Ipvsadm {
  readonly #machine: Machine;
  #shell: Shell | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** What it prints; throws LabError, with that, when its exit code is not 0. */
  run(argv: readonly string[]): Promise<string> {
    const result = this.#last.then(() => this.#runNow(argv));
    this.#last = result.catch(() => {});
    return result;
  }

  async #runNow(argv: readonly string[]): Promise<string> {
    const answer = argv.every((word) => PLAIN.test(word)) ? await this.#ask(argv) : null;
    if (answer === null) return (await check(this.#machine, ['ipvsadm', ...argv])).stdout;
    if (answer.code === 0) return answer.output;
    const command = `"ipvsadm ${argv.join(' ')}" on ${this.#machine.name}`;
    throw new LabError(`${command} ended with ${answer.code}: ${answer.output.trim()}`);
  }

  async #ask(argv: readonly string[]): Promise<Answer | null> {
    if (this.#shell === null || this.#shell.ended) this.#shell = await Shell.start(this.#machine);
    return this.#shell.ask(argv.join(' '));
  }
}

class Shell {
  ended = false;
  readonly #child: Child;
  #text = '';
  #answered: (answer: Answer | null) => void = () => {};

  private constructor(child: Child) {
    this.#child = child;
    const end = (): void => {
      this.ended = true;
      this.#answered(null);
    };
    child.exited.then(end, end);
  }

  static async start(machine: Machine): Promise<Shell> {
    let receive: (text: string) => void = () => {};
    const child = await machine.spawn(['sh', '-c', SCRIPT], {
      onStdout: (chunk) => receive(chunk.toString('utf8')),
    });
    const shell = new Shell(child);
    receive = (text) => shell.#receive(text);
    return shell;
  }

  /** Null when the shell has ended, and did not answer. */
  async ask(line: string): Promise<Answer | null> {
    const late = setTimeout(() => this.#child.kill('SIGKILL'), DEFAULT_TIMEOUT_MS);
    const answer = new Promise<Answer | null>((resolve) => {
      this.#answered = resolve;
    });
    if (this.ended) this.#answered(null);
    else this.#child.write(`${line}\n`);
    try {
      return await answer;
    } finally {
      clearTimeout(late);
    }
  }

  #receive(text: string): void {
    this.#text += text;
    const end = END.exec(this.#text);
    if (end === null) return;
    const output = this.#text.slice(0, end.index);
    this.#text = '';
    this.#answered({ code: Number(end[1]), output });
  }
}

/** What the demo prints: numbered steps, facts with a tick or a cross, and tables as they are. */

const COLOR = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
const paint = (code: string, text: string): string =>
  COLOR ? `\u001b[${code}m${text}\u001b[0m` : text;

export class Screen {
  readonly #steps: number;
  readonly #startedMs = performance.now();
  #step = 0;
  #failures = 0;

  constructor(steps: number) {
    this.#steps = steps;
  }

  /** Facts that were not true. */
  get failures(): number {
    return this.#failures;
  }

  title(text: string): void {
    this.#print(`\n${paint('1', text)}`);
  }

  step(text: string): void {
    this.#step += 1;
    const seconds = ((performance.now() - this.#startedMs) / 1000).toFixed(0).padStart(3);
    this.#print(`\n${paint('1;36', `[${this.#step}/${this.#steps}]`)} ${seconds} s  ${text}`);
  }

  line(text: string): void {
    this.#print(`        ${text}`);
  }

  /** A statement and whether it was found to be true. */
  fact(holds: boolean, text: string): void {
    if (!holds) this.#failures += 1;
    this.#print(`      ${holds ? paint('32', '✓') : paint('1;31', '✗')} ${text}`);
  }

  /** The output of a command, indented. */
  output(command: string, text: string): void {
    this.line(paint('2', `$ ${command}`));
    for (const line of text.trimEnd().split('\n')) this.line(line.trimEnd());
  }

  #print(text: string): void {
    process.stdout.write(`${text}\n`);
  }
}

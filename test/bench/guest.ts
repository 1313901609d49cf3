/** The measuring program on the machine with IPVS, as the host speaks to it. */
import { CONTROLLER_NODE_FLAGS } from '../../src/core/processes.ts';
import { type Child, LabError, type Machine, REPOSITORY } from '../lab/host.ts';
import type { Count, GuestCall, Measurement } from './ipvs-guest.ts';
import { print } from './report.ts';

const CALL_TIMEOUT_MS = 180_000;
/** A daemon with thousands of services, where everything is emulated. */
const START_TIMEOUT_MS = 1_260_000;

export class Guest {
  readonly #child: Child;
  readonly #waiting: ((line: string) => void)[] = [];
  #partial = '';

  private constructor(child: Child) {
    this.#child = child;
  }

  static async start(machine: Machine): Promise<Guest> {
    let receive: (text: string) => void = () => {};
    let errors = '';
    const program = `${REPOSITORY}/dist/test/bench/ipvs-guest.js`;
    const child = await machine.spawn([process.execPath, ...CONTROLLER_NODE_FLAGS, program], {
      onStdout: (chunk) => receive(chunk.toString('utf8')),
      onStderr: (chunk) => {
        errors += chunk.toString('utf8');
      },
    });
    const guest = new Guest(child);
    receive = (text) => guest.#receive(text);
    const ended = (): void => {
      for (const resolve of guest.#waiting.splice(0)) resolve(JSON.stringify({ error: errors }));
    };
    child.exited.then(ended, ended);
    return guest;
  }

  async call<T extends Measurement | Count>(call: GuestCall): Promise<T> {
    const line = await new Promise<string>((resolve, reject) => {
      const timeoutMs = call.method === 'start' ? START_TIMEOUT_MS : CALL_TIMEOUT_MS;
      const late = () => reject(new LabError(`${call.method} took more than ${timeoutMs} ms`));
      const timer = setTimeout(late, timeoutMs);
      this.#waiting.push((answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      this.#child.write(`${JSON.stringify(call)}\n`);
    });
    const { value, error } = JSON.parse(line) as { value?: T; error?: string };
    if (value === undefined) throw new LabError(`${call.method}: ${error}`);
    return value;
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }

  #receive(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() ?? '';
    for (const line of lines) {
      const { progress } = JSON.parse(line) as { progress?: string };
      if (progress === undefined) this.#waiting.shift()?.(line);
      else print(`  ${progress}`);
    }
  }
}

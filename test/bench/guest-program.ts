/** Runs a measuring program of test/bench on the machine with IPVS and takes its one JSON line. */
import { LabError, type Machine, REPOSITORY } from '../lab/host.ts';

export async function runGuestProgram<T>(
  machine: Machine,
  name: string,
  call: unknown,
  timeoutMs: number,
): Promise<T> {
  const program = `${REPOSITORY}/dist/test/bench/${name}.js`;
  const argv = [process.execPath, program, JSON.stringify(call)];
  const result = await machine.run(argv, { timeoutMs });
  if (result.code !== 0) throw new LabError(`${name} ended with ${result.code}: ${result.stderr}`);
  return JSON.parse(result.stdout) as T;
}

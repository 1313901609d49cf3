/**
 * A number of processes that must run: from `quorum` to `quorumMax` of them means up. A change
 * counts when it has lasted for its delay, so that a program that is restarted moves no VIP.
 */
import type { TrackerConfig } from '../../core/config/config.ts';
import type { Watch, WatchPorts } from './watch.ts';

type ProcessConfig = Extract<TrackerConfig, { kind: 'process' }>;

export class ProcessWatch implements Watch {
  readonly #config: ProcessConfig;
  readonly #ports: WatchPorts;
  #up: boolean | null;
  #delay: NodeJS.Timeout | null = null;
  #count = 0;

  /** `before` is what an earlier watch of this tracker said; null for nothing. */
  constructor(config: ProcessConfig, ports: WatchPorts, before: boolean | null) {
    this.#config = config;
    this.#ports = ports;
    this.#up = before;
  }

  close(): void {
    if (this.#delay !== null) clearTimeout(this.#delay);
    this.#delay = null;
  }

  /** So many of them run now. */
  counted(count: number): void {
    const { quorum, quorumMax, downDelayUs, upDelayUs } = this.#config;
    this.#count = count;
    const up = count >= quorum && (quorumMax === null || count <= quorumMax);
    if (this.#up === null || up === this.#up) {
      this.close();
      return this.#tell(up);
    }
    this.#tell(this.#up);
    if (this.#delay !== null) return;
    const delayUs = up ? upDelayUs : downDelayUs;
    if (delayUs === 0) return this.#tell(up);
    this.#delay = setTimeout(() => {
      this.#delay = null;
      this.#tell(up);
    }, delayUs / 1000);
  }

  #tell(up: boolean): void {
    const { process, quorum, quorumMax } = this.#config;
    this.#up = up;
    const most = quorumMax === null ? '' : `, at most ${quorumMax}`;
    const detail = `${this.#count} of ${quorum} processes ${process}${most}`;
    this.#ports.set({ up, value: null, detail });
  }
}

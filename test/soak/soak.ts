/**
 * A pair of directors that live through one fault after another, for as long as wanted:
 * `npm run soak`, see test/soak.mjs. All of it on a busy machine. Processes are killed and stopped, links flap,
 * addresses vanish, configurations are read again, directors hand over, packets are lost. After
 * each fault the pair must come to rest as it was, and every transition must have a cause among
 * the faults; two owners at once are measured, not guessed, by the kernel's notifications on both
 * sides. Ends with 1 on an unexplained transition, too long a time with two owners or with none,
 * or a director whose memory or descriptors grow without bound.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { monotonicUs } from '../../src/linux/clock.ts';
import { Director, type LogLine } from '../lab/director.ts';
import { check, LabError, localMachine } from '../lab/host.ts';
import { type LabNode, Topology, virtualIp } from '../lab/topology.ts';
import { AddressWatch } from '../lab/watch.ts';
import { FAULTS, type Fault, type FaultName } from './faults.ts';

const VIP = virtualIp(1).ipv4;
const INTERVAL_MS = 100;
/** Both own the VIP from the moment a stalled one runs again until it has read its socket. */
const TWO_OWNERS_MAX_MS = 1_000;
/** Processes of Node that start on a busy machine. */
const REST_TIMEOUT_MS = 30_000;
/** A collector that has not run lately, and sockets of requests on their way. */
const GROWTH_MAX_KIB = 48 * 1024;
const DESCRIPTORS_GROWTH_MAX = 16;

export interface SoakOptions {
  readonly durationMs: number;
  readonly seed: number;
  /** Loops that keep the processors busy. */
  readonly busy: number;
  readonly faults: readonly FaultName[];
  readonly progress: (line: string) => void;
}

export interface SoakReport {
  readonly faults: number;
  readonly transitions: number;
  /** What must not have happened; empty for a pass. */
  readonly failures: readonly string[];
  readonly longestTwoOwnersMs: number;
  readonly longestNobodyMs: number;
  readonly growthKib: number;
  readonly descriptorsGrowth: number;
}

/** Numbers from 0 to below 1 that depend on the seed alone (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Resident memory in KiB and descriptors of both processes. */
function footprint(pids: readonly number[]): { kib: number; descriptors: number } {
  let kib = 0;
  let descriptors = 0;
  for (const pid of pids) {
    kib += Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
    descriptors += readdirSync(`/proc/${pid}/fd`).length;
  }
  return { kib, descriptors };
}

class Soak {
  readonly #topology: Topology;
  readonly #directors: readonly [Director, Director];
  readonly #watches: readonly [AddressWatch, AddressWatch];
  readonly #options: SoakOptions;
  readonly #random: () => number;
  readonly #failures: string[] = [];
  readonly #marks: [number, number] = [0, 0];
  #faults = 0;
  #transitions = 0;
  #longestTwoOwnersMs = 0;
  #longestNobodyMs = 0;

  constructor(
    topology: Topology,
    directors: readonly [Director, Director],
    watches: readonly [AddressWatch, AddressWatch],
    options: SoakOptions,
  ) {
    this.#topology = topology;
    this.#directors = directors;
    this.#watches = watches;
    this.#options = options;
    this.#random = randomFrom(options.seed);
  }

  async run(): Promise<SoakReport> {
    await this.#rest();
    // What the start needed is no fault's.
    for (const [index, director] of this.#directors.entries()) {
      this.#marks[index as 0 | 1] = director.mark;
    }
    const before = await this.#footprints();
    const endMs = performance.now() + this.#options.durationMs;
    while (performance.now() < endMs) {
      // Every fault once, then again in another order.
      const order = this.#options.faults.map((name) => ({ name, at: this.#random() }));
      order.sort((left, right) => left.at - right.at);
      for (const { name } of order) {
        if (performance.now() >= endMs) break;
        await this.#strike(name, FAULTS[name]);
      }
    }
    const after = await this.#footprints();
    const growthKib = after.kib - before.kib;
    const descriptorsGrowth = after.descriptors - before.descriptors;
    if (growthKib > GROWTH_MAX_KIB) this.#failures.push(`memory grew by ${growthKib} KiB`);
    if (descriptorsGrowth > DESCRIPTORS_GROWTH_MAX) {
      this.#failures.push(`${descriptorsGrowth} more descriptors than at the start`);
    }
    return {
      faults: this.#faults,
      transitions: this.#transitions,
      failures: this.#failures,
      longestTwoOwnersMs: this.#longestTwoOwnersMs,
      longestNobodyMs: this.#longestNobodyMs,
      growthKib,
      descriptorsGrowth,
    };
  }

  async #strike(name: FaultName, fault: Fault): Promise<void> {
    const fromUs = monotonicUs();
    this.#faults++;
    const { runsAgainUs } = await fault.strike({
      topology: this.#topology,
      active: this.#directors[0],
      backup: this.#directors[1],
      vip: VIP,
    });
    await this.#rest();
    const reasons = this.#takeTransitions(name, fault);
    const owners = this.#owners(runsAgainUs ?? fromUs);
    const { progress } = this.#options;
    const both = owners.bothMs.toFixed(1);
    progress(
      `${name}: ${reasons.join(', ') || 'no transition'}; nobody ` +
        `${owners.nobodyMs.toFixed(1)} ms, two owners ${both} ms`,
    );
    if (owners.bothMs > TWO_OWNERS_MAX_MS)
      this.#failures.push(`${name}: two owners for ${both} ms`);
  }

  /** Transitions since the last time; those that the fault does not explain are failures. */
  #takeTransitions(name: FaultName, fault: Fault): string[] {
    const found: string[] = [];
    for (const [index, director] of this.#directors.entries()) {
      const since = this.#marks[index as 0 | 1];
      this.#marks[index as 0 | 1] = director.mark;
      for (const line of director.lines('transition', {}, since)) {
        this.#transitions++;
        const what = describe(line);
        found.push(`${director.name} ${what}`);
        if (fault.reasons.includes(String(line.reason))) continue;
        this.#failures.push(`${name} does not explain: ${director.name} ${what}`);
      }
    }
    return found;
  }

  /** For how long both, and nobody, have had the VIP since then. */
  #owners(sinceUs: number): { bothMs: number; nobodyMs: number } {
    const events = this.#watches
      .flatMap((watch, director) => watch.events.map((event) => ({ ...event, director })))
      .filter(({ address }) => address === VIP)
      .sort((left, right) => left.atUs - right.atUs);
    const owners = [false, false];
    let bothUs = 0;
    let nobodyUs = 0;
    let beforeUs = 0;
    for (const { atUs, director, kind } of [
      ...events,
      { atUs: monotonicUs(), director: -1, kind: '' },
    ]) {
      const spanUs = Math.max(0, atUs - Math.max(beforeUs, sinceUs));
      if (owners[0] && owners[1]) bothUs += spanUs;
      if (!owners[0] && !owners[1]) nobodyUs += spanUs;
      if (director >= 0) owners[director] = kind === 'added';
      beforeUs = atUs;
    }
    const [bothMs, nobodyMs] = [bothUs / 1e3, nobodyUs / 1e3];
    this.#longestTwoOwnersMs = Math.max(this.#longestTwoOwnersMs, bothMs);
    this.#longestNobodyMs = Math.max(this.#longestNobodyMs, nobodyMs);
    return { bothMs, nobodyMs };
  }

  /** Waits until the first director is active, the second backup, and the VIP where it belongs. */
  async #rest(): Promise<void> {
    const [first, second] = this.#directors;
    await first.waitForState('web', 'active', REST_TIMEOUT_MS);
    await second.waitForState('web', 'backup', REST_TIMEOUT_MS);
    const right = () => this.#watches[0].holds(VIP) && !this.#watches[1].holds(VIP);
    await first.waitFor('the VIP to be where it belongs', right, REST_TIMEOUT_MS);
    const heard = async () => (await second.instance('web')).peer !== null;
    await second.waitFor('the backup to hear the active', heard, REST_TIMEOUT_MS);
  }

  async #footprints(): Promise<{ kib: number; descriptors: number }> {
    let kib = 0;
    let descriptors = 0;
    for (const director of this.#directors) {
      const { keeper, controller } = await director.pids();
      const print = footprint([keeper, controller]);
      kib += print.kib;
      descriptors += print.descriptors;
    }
    return { kib, descriptors };
  }
}

function describe(line: LogLine): string {
  return `${String(line.from)} -> ${String(line.to)} (${String(line.reason)})`;
}

/** Runs a soak on this machine, in namespaces that it makes and removes. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const topology = await Topology.create(localMachine, { realServers: 0 });
  const directors: Director[] = [];
  const watches: AddressWatch[] = [];
  const others: { kill(signal: NodeJS.Signals): void }[] = [];
  try {
    const nodes = topology.directors as [LabNode, LabNode];
    const config = {
      vrrp: {
        web: {
          interface: 'eth0',
          vrid: 81,
          priority: { a: 150, b: 100 },
          interval: `${INTERVAL_MS}ms`,
          addresses: [`${VIP}/24`],
        },
      },
    };
    for (const node of nodes) watches.push(new AddressWatch(node));
    for (const [index, node] of nodes.entries()) {
      const name = index === 0 ? 'a' : 'b';
      directors.push(await Director.start(node, { name, config }));
    }
    const client = topology.clients[0] as LabNode;
    await check(client, ['ip', 'link', 'show', 'eth0']);
    others.push(await client.spawn(['ping', '-q', '-i', '0.01', VIP]));
    for (let count = 0; count < options.busy; count++) {
      others.push(await localMachine.spawn(['sh', '-c', 'while :; do :; done']));
    }
    const [a, b] = directors as [Director, Director];
    const [onA, onB] = watches as [AddressWatch, AddressWatch];
    return await new Soak(topology, [a, b], [onA, onB], options).run();
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    const nothing = { faults: 0, transitions: 0, longestTwoOwnersMs: 0, longestNobodyMs: 0 };
    return { ...nothing, growthKib: 0, descriptorsGrowth: 0, failures: [error.message] };
  } finally {
    for (const other of others) other.kill('SIGKILL');
    for (const watch of watches) watch.close();
    for (const director of directors) await director.dispose();
    await topology.dispose();
  }
}

/**
 * Runs in a network namespace with nginx on all addresses of the loopback network: the controller's
 * own checks of thousands of servers, of which some die together, again and again. Servers die by
 * a packet filter, which drops what they are sent or answers it with a reset. Prints one JSON line.
 */
import { spawnSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { readConfigText } from '../../src/config/yaml.ts';
import { CheckPool } from '../../src/controller/check-pool.ts';
import { checksOf } from '../../src/core/health/check-key.ts';
import { nextSlot, placeUs } from '../../src/core/health/schedule.ts';
import { monotonicUs } from '../../src/linux/clock.ts';

export interface DetectionCall {
  readonly config: string;
  readonly rounds: number;
  /** Servers that die in each round in each way. */
  readonly dying: number;
  readonly warmUpMs: number;
}

export interface DetectionMeasurement {
  /** Time to the verdict by the least that the check's next start, interval and timeout allow. */
  readonly silent: readonly number[];
  readonly refused: readonly number[];
  /** Of all threads, in percent of a core. */
  readonly cpuPercent: number;
  readonly checksPerSecond: number;
  readonly skippedSlots: number;
  readonly threads: number;
  /** Servers that were called down and were not. */
  readonly wrong: number;
}

const TABLE = `table inet detection {
  set silent { type ipv4_addr; }
  set refused { type ipv4_addr; }
  chain out {
    type filter hook output priority 0;
    ip daddr @silent tcp dport 8080 drop
    ip daddr @refused tcp dport 8080 reject with tcp reset
  }
}`;

/** No verdict by then is an error. */
const DEADLINE_INTERVALS = 30;

function nft(script: string): void {
  const result = spawnSync('nft', ['-f', '-'], { input: script, encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`nft: ${result.stderr}`);
}

async function measure(call: DetectionCall): Promise<DetectionMeasurement> {
  nft(TABLE);
  const options = { director: 'bench', hostname: 'bench', file: 'bench' };
  const config = readConfigText(call.config, options);
  if (!config.ok) throw new Error(JSON.stringify(config.error));
  const definitions = checksOf(config.value.services);
  const downAtUs = new Map<string, number>();
  let results = 0;
  const pool = new CheckPool(
    { workers: null },
    {
      nowUs: monotonicUs,
      onResult: () => results++,
      onChange: ({ key, atUs, change }) => {
        if (change.to === 'down') downAtUs.set(key, atUs);
      },
      onWeight: () => {},
      onDefect: (error) => process.stderr.write(`${String(error)}\n`),
    },
  );
  await pool.add([...definitions.values()], [], new Map());
  await delay(call.warmUpMs);
  const keys = [...definitions.keys()];
  const skippedBefore = pool.snapshot().reduce((sum, one) => sum + one.skippedSlots, 0);
  const cpuBefore = process.cpuUsage();
  const resultsBefore = results;
  const fromUs = monotonicUs();
  const ratios = { silent: [] as number[], refused: [] as number[] };
  let dead = 0;
  downAtUs.clear();
  for (let round = 0; round < call.rounds; round++) {
    const chosen = {
      silent: take(keys, round * 2, call),
      refused: take(keys, round * 2 + 1, call),
    };
    const elements = (list: readonly string[]) =>
      list.map((key) => definitions.get(key)?.target.address).join(', ');
    nft(`add element inet detection silent { ${elements(chosen.silent)} }
add element inet detection refused { ${elements(chosen.refused)} }`);
    const deathUs = monotonicUs();
    dead += chosen.silent.length + chosen.refused.length;
    const { check } = definitions.get(keys[0] as string) as { check: { intervalUs: number } };
    const deadlineUs = deathUs + DEADLINE_INTERVALS * check.intervalUs;
    const dying = [...chosen.silent, ...chosen.refused];
    while (monotonicUs() < deadlineUs && !dying.every((key) => downAtUs.has(key))) await delay(50);
    for (const way of ['silent', 'refused'] as const) {
      for (const key of chosen[way]) {
        const definition = definitions.get(key);
        const atUs = downAtUs.get(key);
        if (definition === undefined || atUs === undefined) throw new Error(`${key} is not down`);
        const { intervalUs, timeoutUs, fall } = definition.check;
        const startUs = nextSlot(placeUs(key, intervalUs), intervalUs, deathUs, deathUs).atUs;
        const leastUs =
          startUs - deathUs + (fall - 1) * intervalUs + (way === 'silent' ? timeoutUs : 0);
        ratios[way].push((atUs - deathUs) / leastUs);
      }
    }
  }
  const seconds = (monotonicUs() - fromUs) / 1e6;
  const cpu = process.cpuUsage(cpuBefore);
  const skippedSlots = pool.snapshot().reduce((sum, one) => sum + one.skippedSlots, -skippedBefore);
  const threads = 1 + pool.workers;
  const checksPerSecond = (results - resultsBefore) / seconds;
  const wrong = downAtUs.size - dead;
  await pool.stop();
  const cpuPercent = (cpu.user + cpu.system) / seconds / 1e4;
  return { ...ratios, cpuPercent, checksPerSecond, skippedSlots, threads, wrong };
}

/** The next keys that have not died yet, from all over the list. */
function take(keys: readonly string[], turn: number, { rounds, dying }: DetectionCall): string[] {
  const groups = rounds * 2;
  return keys.filter((_, index) => index % groups === turn).slice(0, dying);
}

const call = JSON.parse(process.argv[2] as string) as DetectionCall;
process.stdout.write(`${JSON.stringify(await measure(call))}\n`);
process.exit(0);

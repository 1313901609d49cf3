/**
 * How long a dead server is taken to be alive: thousands of servers are checked each second by the
 * controller's own checks, natively in a network namespace, and some die together, silently or
 * refusing. From the death to the verdict, by the least that is possible: the check's next start,
 * the failures that are needed, and, of a silent server, the timeout of the last one.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CONTROLLER_NODE_FLAGS } from '../../src/core/processes.ts';
import { type Child, check, exitWithin, LabError, localMachine, REPOSITORY } from '../lab/host.ts';
import { memoryDirectory } from '../lab/memory-directory.ts';
import type { DetectionCall, DetectionMeasurement } from './detection-guest.ts';
import { load, median, print, type Report, type Row, type Target } from './report.ts';

const DISCIPLINES = [
  { kind: 'tcp', servers: 5_000 },
  { kind: 'http', servers: 5_000 },
] as const;
type Discipline = (typeof DISCIPLINES)[number];
const ROUNDS = 3;
const DYING = 50;
const WARM_UP_MS = 8_000;
const CALL_TIMEOUT_MS = 120_000;
/** Over the least time, in the mean. */
const TARGET = 1.05;

function nginxConfig(directory: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `
user root;
worker_processes 1;
daemon off;
pid ${directory}/nginx.pid;
error_log /dev/null;
events { worker_connections 8192; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${directory}/${name};`).join('\n  ')}
  server {
    listen 8080 backlog=4096;
    location / { return 200 "healthy"; }
  }
}
`;
}

function configOf({ kind, servers }: Discipline): string {
  const addresses = Array.from(
    { length: servers },
    (_, index) => `127.1.${Math.floor(index / 250)}.${1 + (index % 250)}:8080`,
  );
  return JSON.stringify({
    services: {
      web: {
        address: '198.18.0.1:80',
        forwarding: 'nat',
        check: { [kind]: {}, interval: '1s', timeout: '1s', fall: 3 },
        servers: addresses,
      },
    },
  });
}

async function measure(discipline: Discipline): Promise<DetectionMeasurement> {
  const namespace = `vkbench-${process.pid}-detect`;
  const directory = memoryDirectory('vipkeeper-bench-');
  await check(localMachine, ['ip', 'netns', 'add', namespace]);
  let nginx: Child | null = null;
  try {
    await check(localMachine, ['ip', '-n', namespace, 'link', 'set', 'lo', 'up']);
    const file = join(directory, 'nginx.conf');
    writeFileSync(file, nginxConfig(directory));
    nginx = await localMachine.spawn(['ip', 'netns', 'exec', namespace, 'nginx', '-c', file]);
    const call: DetectionCall = {
      config: configOf(discipline),
      rounds: ROUNDS,
      dying: DYING,
      warmUpMs: WARM_UP_MS,
    };
    const program = `${REPOSITORY}/dist/test/bench/detection-guest.js`;
    const node = [process.execPath, ...CONTROLLER_NODE_FLAGS, program, JSON.stringify(call)];
    const argv = ['ip', 'netns', 'exec', namespace, ...node];
    const result = await localMachine.run(argv, { timeoutMs: CALL_TIMEOUT_MS });
    if (result.code !== 0) throw new LabError(`detection-guest: ${result.stderr}`);
    return JSON.parse(result.stdout) as DetectionMeasurement;
  } finally {
    if (nginx !== null) {
      // The master takes its worker along.
      process.kill(nginx.pid, 'SIGTERM');
      await exitWithin(nginx, 5_000);
    }
    await localMachine.run(['ip', 'netns', 'del', namespace]);
    rmSync(directory, { recursive: true, force: true });
  }
}

export async function detection(runs: number | null): Promise<Report> {
  const before = load();
  const rows: Row[] = [];
  const targets: Target[] = [];
  const notes: string[] = [];
  for (const discipline of DISCIPLINES) {
    const all: DetectionMeasurement[] = [];
    for (let run = 1; run <= (runs ?? 1); run++) {
      const sample = await measure(discipline);
      all.push(sample);
      print(
        `detection by ${discipline.kind}, run ${run}: silent ${mean(sample.silent).toFixed(3)}, ` +
          `refused ${mean(sample.refused).toFixed(3)} times the least; ` +
          `${sample.checksPerSecond.toFixed(0)} checks a second, ${sample.threads} threads, ` +
          `${sample.cpuPercent.toFixed(0)} % of a core, ${sample.skippedSlots} skipped`,
      );
    }
    for (const way of ['silent', 'refused'] as const) {
      const samples = all.flatMap((sample) => sample[way]);
      rows.push({ name: `${discipline.kind}, ${way}: time by the least`, unit: '', samples });
      const value = mean(samples);
      const text = `${discipline.kind}, ${way}: mean by the least, at most ${TARGET}`;
      targets.push({ text, value, met: value <= TARGET });
    }
    const name = `${discipline.kind}: CPU time of ${discipline.servers} checks a second`;
    rows.push({ name, unit: '%', samples: all.map((sample) => sample.cpuPercent) });
    const wrong = Math.max(...all.map((sample) => sample.wrong));
    targets.push({
      text: `${discipline.kind}: wrong verdicts, none`,
      value: wrong,
      met: wrong === 0,
    });
    const skipped = median(all.map(({ skippedSlots }) => skippedSlots));
    notes.push(`${discipline.kind}: ${skipped} slots skipped, ${all[0]?.threads} threads`);
  }
  return {
    name: 'detection: servers checked at 1 s, timeout 1 s, fall 3',
    rows,
    targets,
    notes,
    load: [before, load()],
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

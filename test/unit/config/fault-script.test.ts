/** Fault scripts: what each step becomes, and errors with their places. */
import { describe, expect, test } from 'vitest';
import { formatConfigErrors } from '../../../src/config/errors.ts';
import { readFaultScript } from '../../../src/config/fault-script.ts';
import { readConfigText } from '../../../src/config/yaml.ts';
import { NEVER_ENDS_US, worldOf } from '../../../src/core/sim/operator.ts';
import type { SimFault } from '../../../src/core/sim/scenario.ts';
import { FAULT_KINDS } from '../../../src/core/sim/scenario.ts';

const CONFIG = `vrrp:
  web: { interface: eth0, vrid: 51, addresses: [192.0.2.10/24], track: [haproxy] }
trackers:
  haproxy: { process: haproxy }
`;

const world = worldOf(
  ['dir-a', 'dir-b', 'dir-c'].map((director) => {
    const read = readConfigText(CONFIG, { file: 'x.yaml', director, hostname: director });
    if (!read.ok) throw new Error(formatConfigErrors(read.error, { color: false }));
    return read.value;
  }),
  1,
);

function faults(script: string): readonly SimFault[] {
  const read = readFaultScript(script, { file: 'faults.yaml', world, durationUs: null });
  if (!read.ok) throw new Error(formatConfigErrors(read.error, { color: false }));
  return read.value.map(({ fault }) => fault);
}

function errors(script: string, durationUs: number | null = null): string {
  const read = readFaultScript(script, { file: 'faults.yaml', world, durationUs });
  return read.ok ? '' : formatConfigErrors(read.error, { color: false });
}

describe('readFaultScript', () => {
  test('a fault lasts for its time, until what ends it, or for ever', () => {
    const script = `
- { at: 9s, fault: link-up, director: dir-a }
- { at: 5s, fault: link-down, director: dir-a }
- { at: 1s, fault: crash, director: dir-b, for: 1500ms }
- { at: 2s, fault: stall, director: dir-c }
`;
    expect(faults(script)).toEqual([
      { kind: 'crash', atUs: 1_000_000, director: 1, forUs: 1_500_000 },
      { kind: 'stall', atUs: 2_000_000, director: 2, forUs: NEVER_ENDS_US },
      { kind: 'link-down', atUs: 5_000_000, director: 0, forUs: 4_000_000, lan: null },
    ]);
  });

  test('groups that do not hear one another are cut off from all the others', () => {
    const script = '- { at: 1s, fault: partition, between: [[dir-a], [dir-b], [dir-c]], for: 2s }';
    expect(faults(script).map((fault) => fault.kind === 'partition' && fault.side)).toEqual([
      1, 2, 4,
    ]);
    const two =
      '- { at: 1s, fault: partition, between: [[dir-a, dir-c], [dir-b]], direction: out }';
    expect(faults(two)).toMatchObject([{ side: 5, direction: 'out' }]);
  });

  test('a storm takes percentages and durations', () => {
    const script = '- { at: 1s, fault: storm, loss: 12.5%, delay: 50ms, for: 2s }';
    expect(faults(script)).toMatchObject([
      { conditions: { lossPpm: 125_000, latencyUs: 50_000, duplicatePpm: 0 } },
    ]);
  });

  test('every fault of the simulator can be written', () => {
    const more: Partial<Record<SimFault['kind'], string>> = {
      drift: ', ppm: 100',
      'clock-step': ', by: -10s',
      'tracker-down': ', tracker: haproxy',
      reload: ', file: other.yaml',
    };
    for (const kind of FAULT_KINDS) {
      const director = kind === 'storm' ? '' : ', director: dir-a';
      const script = `- { at: 1s, fault: ${kind}${director}${more[kind] ?? ''} }`;
      expect(faults(script).map((fault) => fault.kind)).toEqual([kind]);
    }
  });

  test('every error of a script is told at once, with its place and what is meant', () => {
    const script = `- { at: 5s, fault: crsh, director: dir-a }
- { at: 6s, fault: link-down, director: dirb }
- { at: 7, fault: stall, director: dir-a }
- { at: 8s, fault: storm, loss: 120% }
- { at: 9s, fault: link-up, director: dir-c }
- { at: 9s, fault: tracker-down, director: dir-a }
- { at: 9s, fault: stall, director: dir-a, loss: 10% }
- { at: 10s, fault: partition, between: [[dir-a], [dir-b]] }
- { at: 10s, fault: stall }
- { at: 10s, fault: partition }
- { at: 11s, fualt: crash }
`;
    expect(
      errors(script),
    ).toBe(`faults.yaml:1:20: [0].fault: unknown fault, did you mean crash?, found crsh
faults.yaml:2:41: [1].director: did you mean dir-b?, found dirb
faults.yaml:3:9: [2].at: expected a duration of at most a day with its unit (us, ms, s, m, h or d), found 7
faults.yaml:4:33: [3].loss: expected a percentage such as 20%, found 120%
faults.yaml:5:20: [4].fault: no link-down before it that it could end
faults.yaml:6:3: [5].tracker: expected tracker with tracker-down
faults.yaml:7:50: [6].loss: not used by stall, which takes director, instance and for
faults.yaml:8:41: [7].between: dir-c is in none of the groups
faults.yaml:9:3: [8].director: expected a director: dir-a, dir-b, dir-c or active
faults.yaml:10:3: [9].director: expected a director: dir-a, dir-b, dir-c or active, or between: [[A], [B]]
faults.yaml:11:3: [10].fault: expected the name of a fault, found nothing
faults.yaml:11:14: [10].fualt: unknown key, did you mean fault?
`);
  });

  test('what is no list, no YAML or after the end is refused', () => {
    expect(errors('fault: crash')).toContain('faults.yaml:1:1: expected a list of steps');
    expect(errors('- [')).toContain('not valid YAML');
    const late = '- { at: 60s, fault: crash, director: dir-a }';
    expect(errors(late, 60_000_000)).toContain('[0].at: the run ends at 1m, found 60s');
  });
});

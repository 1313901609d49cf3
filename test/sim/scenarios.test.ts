/** Named scenarios: what a person would try first, each a sentence, on a fixed small cluster. */
import { describe, expect, test } from 'vitest';
import type { VrrpConfig } from '../../src/core/config/config.ts';
import { CALM, generate } from '../../src/core/sim/generate.ts';
import type {
  Scenario,
  SimCluster,
  SimDirectorOptions,
  SimFault,
} from '../../src/core/sim/scenario.ts';
import { type SimResult, simulate } from '../../src/core/sim/simulate.ts';
import { cluster, configured, director, instance, SECOND } from './cluster.ts';

const A = director('a', [instance('a', { priority: 200 })], { clockDriftPpm: 150 });
const B = director('b', [instance('b')], { clockOffsetUs: 77 * SECOND, clockDriftPpm: -150 });
const C = director('c', [instance('c', { priority: 50 })]);

interface Changes extends Partial<SimCluster> {
  /** Of every instance. */
  readonly config?: Partial<VrrpConfig>;
}

function run(faults: readonly SimFault[], changes: Changes = {}): SimResult {
  const { config = {}, directors = [A, B], ...more } = changes;
  const all = directors.map((one: SimDirectorOptions) => configured(one, config));
  const scenario: Scenario = {
    seed: 1,
    cluster: cluster(all, more),
    faults,
    durationUs: 120 * SECOND,
  };
  const result = simulate({ scenario, trace: 'transitions' });
  expect(result.violations, result.trace.slice(-30).join('\n')).toEqual([]);
  expect(result.statistics.restUs).toBeGreaterThan(0);
  return result;
}

/** "time director from -> to: reason" without the times. */
function transitions(result: SimResult): string[] {
  return result.trace.filter((line) => line.includes('->')).map((line) => line.slice(14));
}

/** Time in microseconds of the first line that ends so. */
function timeOf(result: SimResult, ending: string): number {
  const line = result.trace.find((candidate) => candidate.endsWith(ending));
  expect(line, `no line ends with "${ending}"`).toBeDefined();
  return Math.round(Number((line as string).slice(0, 12)) * SECOND);
}

const BEGINNING = [
  'a  initialize -> backup: started',
  'b  initialize -> backup: started',
  'a  backup -> active: peers-silent',
];

describe('simulate', () => {
  test('without faults the highest priority becomes active, once', () => {
    expect(transitions(run([]))).toEqual(BEGINNING);
  });

  test('when the active loses power its backup takes over alone and in time', () => {
    const result = run([
      { kind: 'power-loss', atUs: 30 * SECOND, director: 0, forUs: 500 * SECOND },
    ]);
    expect(transitions(result)).toEqual([...BEGINNING, 'b  backup -> active: peers-silent']);
    const passedUs = timeOf(result, 'b  backup -> active: peers-silent') - 30 * SECOND;
    expect(passedUs).toBeGreaterThan(2.6 * SECOND);
    expect(passedUs).toBeLessThan(3.612 * SECOND);
    expect(result.statistics.overlapMaxUs).toBe(0);
  });

  test('a backup that waits for five advertisements takes over that much later, all else alike', () => {
    const election = { downTimerAdverts: 5 };
    const lost = { kind: 'power-loss', atUs: 30 * SECOND, director: 0, forUs: 500 * SECOND };
    const result = run([lost as SimFault], { config: election });
    const passedUs = timeOf(result, 'b  backup -> active: peers-silent') - 30 * SECOND;
    expect(passedUs).toBeGreaterThan(4.6 * SECOND);
    expect(passedUs).toBeLessThan(5.612 * SECOND);
    const crash = { kind: 'crash', atUs: 30 * SECOND, director: 0, forUs: 3.9 * SECOND };
    const adopted = run([crash as SimFault], { config: election });
    expect(transitions(adopted)).toEqual([...BEGINNING, 'a  initialize -> active: adopted']);
  });

  test('with timer_expired_backup a stalled active is backup before it has heard anybody', () => {
    // The other one is deaf and dumb meanwhile, so there is nothing to hear.
    const faults: readonly SimFault[] = [
      { kind: 'stall', atUs: 30 * SECOND, director: 0, forUs: 5 * SECOND },
      {
        kind: 'partition',
        atUs: 29.9 * SECOND,
        side: 1,
        direction: 'both',
        lan: null,
        forUs: 6 * SECOND,
      },
    ];
    const changes = (result: SimResult): string[] =>
      transitions(result).filter((line) => line.includes('active -> backup'));
    const election = { timerExpiredBackup: 100 };
    expect(changes(run(faults, { config: election }))[0]).toBe(
      'a  active -> backup: timer-expired',
    );
    expect(changes(run(faults)).join()).not.toContain('timer-expired');
  });

  test('when the active is stopped its backup takes over within its skew time', () => {
    const result = run([{ kind: 'stop', atUs: 30 * SECOND, director: 0, forUs: 500 * SECOND }]);
    const passedUs = timeOf(result, 'b  backup -> active: peer-resigned') - 30 * SECOND;
    expect(passedUs).toBeLessThan(0.612 * SECOND);
  });

  test('a keeper that is back within three intervals adopts the VIP, and no peer moves', () => {
    const result = run([{ kind: 'crash', atUs: 30 * SECOND, director: 0, forUs: 1.5 * SECOND }]);
    expect(transitions(result)).toEqual([...BEGINNING, 'a  initialize -> active: adopted']);
  });

  test('a keeper that comes back later has lost the VIP, and preempts it anew', () => {
    const result = run([{ kind: 'crash', atUs: 30 * SECOND, director: 0, forUs: 6 * SECOND }]);
    expect(transitions(result).slice(BEGINNING.length)).toEqual([
      'b  backup -> active: peers-silent',
      'a  initialize -> backup: started',
      'a  backup -> active: preempted',
      'b  active -> backup: higher-priority-peer',
    ]);
  });

  test('without preemption the one that took over stays active when the other comes back', () => {
    const directors = [configured(A, { preempt: false }), configured(B, { preempt: false })];
    const result = run(
      [{ kind: 'power-loss', atUs: 30 * SECOND, director: 0, forUs: 10 * SECOND }],
      { directors },
    );
    expect(transitions(result).slice(BEGINNING.length)).toEqual([
      'b  backup -> active: peers-silent',
      'a  initialize -> backup: started',
    ]);
  });

  test('a stalled active whose peer took over is backup from its first turn on', () => {
    const result = run([{ kind: 'stall', atUs: 30 * SECOND, director: 0, forUs: 5 * SECOND }]);
    expect(transitions(result).slice(BEGINNING.length, BEGINNING.length + 2)).toEqual([
      'b  backup -> active: peers-silent',
      'a  active -> backup: stalled',
    ]);
    expect(timeOf(result, 'a  active -> backup: stalled')).toBe(timeOf(result, 'a  runs again'));
  });

  test('a backup that slept for a minute does not take over, though its socket overflowed', () => {
    const directors = [A, { ...B, receiveQueueMax: 16 }];
    const result = run([{ kind: 'stall', atUs: 30 * SECOND, director: 1, forUs: 60 * SECOND }], {
      directors,
    });
    expect(result.statistics.queueDrops).toBeGreaterThan(40);
    expect(transitions(result)).toEqual(BEGINNING);
  });

  test('the owner of the addresses takes them back after a stall, even without preemption', () => {
    const directors = [configured(A, { priority: 255, preempt: false }), B];
    const result = run([{ kind: 'stall', atUs: 30 * SECOND, director: 0, forUs: 9 * SECOND }], {
      directors,
    });
    expect(transitions(result).slice(-2)).toEqual([
      'a  backup -> active: preempted',
      'b  active -> backup: higher-priority-peer',
    ]);
  });

  test('a priority that changes while the active is stalled does not win the VIP back', () => {
    const faults: SimFault[] = [
      { kind: 'stall', atUs: 30 * SECOND, director: 0, forUs: 5 * SECOND },
      {
        kind: 'reload',
        atUs: 32 * SECOND,
        director: 0,
        instances: configured(A, { priority: 210 }).instances,
      },
    ];
    const result = run(faults);
    expect(timeOf(result, 'a  active -> backup: stalled')).toBe(timeOf(result, 'a  runs again'));
  });

  test('both sides of a partition are active, and the lower one yields when it heals', () => {
    const result = run([
      {
        kind: 'partition',
        atUs: 30 * SECOND,
        side: 1,
        direction: 'both',
        lan: null,
        forUs: 20 * SECOND,
      },
    ]);
    expect(transitions(result).slice(BEGINNING.length)).toEqual([
      'b  backup -> active: peers-silent',
      'b  active -> backup: higher-priority-peer',
    ]);
    const healedUs = timeOf(result, 'partition over');
    const yieldedUs = timeOf(result, 'b  active -> backup: higher-priority-peer');
    expect(yieldedUs - healedUs).toBeLessThan(SECOND + 2_000);
  });

  test('a backup that only cannot hear becomes active too, and yields when it hears again', () => {
    const result = run([
      {
        kind: 'partition',
        atUs: 30 * SECOND,
        side: 2,
        direction: 'in',
        lan: null,
        forUs: 20 * SECOND,
      },
    ]);
    expect(transitions(result).slice(BEGINNING.length)).toEqual([
      'b  backup -> active: peers-silent',
      'b  active -> backup: higher-priority-peer',
    ]);
  });

  test('two losses in a row, jitter and drift cause no failover', () => {
    const lan = { ...CALM, latencyUs: 500, jitterUs: 20_000, lossPpm: 500_000, lossRunMax: 2 };
    expect(transitions(run([], { lan }))).toEqual(BEGINNING);
  });

  test('corrupted advertisements are refused, each of them', () => {
    const lan = { ...CALM, lossRunMax: 2, corruptPpm: 400_000 };
    const { statistics } = run([], { lan });
    expect(statistics.lan.corrupted).toBeGreaterThan(20);
    expect(statistics.refused).toBe(statistics.lan.corrupted);
  });

  test('equal priorities that take over at once are settled by the higher address', () => {
    const directors = [A, { ...B, clockDriftPpm: 0 }, configured(C, { priority: 100 })];
    const faults: SimFault[] = [
      { kind: 'power-loss', atUs: 30 * SECOND, director: 0, forUs: 500 * SECOND },
    ];
    const after = transitions(run(faults, { directors, lan: { ...CALM, latencyUs: 3_000 } }));
    expect(after.slice(-3).sort()).toEqual([
      'b  active -> backup: equal-priority-higher-address',
      'b  backup -> active: peers-silent',
      'c  backup -> active: peers-silent',
    ]);
  });

  test('version 2 keeps the same promises', () => {
    const faults: SimFault[] = [
      { kind: 'power-loss', atUs: 30 * SECOND, director: 0, forUs: 10 * SECOND },
      { kind: 'stop', atUs: 70 * SECOND, director: 0, forUs: 10 * SECOND },
    ];
    expect(
      transitions(run(faults, { config: { version: 2, answerLowerPriority: false } })).at(-1),
    ).toBe('b  active -> backup: higher-priority-peer');
  });

  test('a handover that is taken back costs nothing, and nobody preempts in between', () => {
    const faults: SimFault[] = [
      { kind: 'handover', atUs: 30 * SECOND, director: 0, forUs: 30 * SECOND },
    ];
    const result = run(faults);
    expect(transitions(result).slice(BEGINNING.length)).toEqual([
      'b  backup -> active: peer-resigned',
      'a  active -> backup: handed-over',
      'a  backup -> active: preempted',
      'b  active -> backup: higher-priority-peer',
    ]);
    expect(timeOf(result, 'a  backup -> active: preempted')).toBeGreaterThan(60 * SECOND);
    expect(result.statistics.vacancyMaxUs).toBeLessThan(4 * SECOND);
  });

  test('a link of one instance takes its sync group along, and others stay', () => {
    const both = ['a', 'b'].map((name) => {
      const options = { priority: name === 'a' ? 200 : 100, group: 'edge' };
      return director(name, [instance(name, options), instance(name, options, 1)]);
    });
    const faults: SimFault[] = [
      { kind: 'link-down', atUs: 30 * SECOND, director: 0, forUs: 20 * SECOND, lan: 1 },
    ];
    const later = (result: SimResult): string[] => transitions(result).slice(6);
    expect(
      later(run(faults, { directors: both }))
        .slice(0, 4)
        .sort(),
    ).toEqual([
      'a inside  active -> fault: interface-down',
      'a web  active -> fault: group-member-fault',
      'b inside  backup -> active: peers-silent',
      'b web  backup -> active: peer-resigned',
    ]);
    const apart = later(run(faults, { directors: both, config: { group: null } }));
    expect(apart.filter((line) => line.includes(' web '))).toEqual([]);
  });

  test('a director with a wrong key is alone, and heard again with the right one', () => {
    const hmac = {
      keys: [{ id: 1, secretHex: 'ab'.repeat(32) }],
      activeKey: 1,
      mode: 'enforce',
      replay: 'time',
      windowSeconds: 5,
    } as const;
    const faults: SimFault[] = [
      { kind: 'wrong-key', atUs: 30 * SECOND, director: 0, forUs: 20 * SECOND },
    ];
    const result = run(faults, { config: { hmac } });
    expect(transitions(result).slice(BEGINNING.length)).toEqual([
      'b  backup -> active: peers-silent',
      'b  active -> backup: higher-priority-peer',
    ]);
    expect(timeOf(result, 'b  active -> backup: higher-priority-peer')).toBeGreaterThan(
      50 * SECOND,
    );
  });

  test('a machine that was frozen with its clock goes on as active, and its peer yields', () => {
    const faults: SimFault[] = [
      {
        kind: 'freeze',
        atUs: 30 * SECOND,
        director: 0,
        forUs: 10 * SECOND,
        clockStops: true,
        packetsWait: false,
      },
    ];
    expect(transitions(run(faults)).slice(BEGINNING.length)).toEqual([
      'b  backup -> active: peers-silent',
      'b  active -> backup: higher-priority-peer',
    ]);
  });

  test('VIPs that another program deletes are back, without a transition', () => {
    const faults: SimFault[] = [
      { kind: 'address-theft', atUs: 30 * SECOND, director: 0, instance: null },
    ];
    const events: string[] = [];
    const scenario: Scenario = {
      seed: 1,
      cluster: cluster([A, B]),
      faults,
      durationUs: 40 * SECOND,
    };
    const { violations } = simulate({
      scenario,
      trace: 'none',
      onEvent: (event) => {
        if (event.kind === 'serving') events.push(`${event.director} ${event.serving}`);
      },
    });
    expect(violations).toEqual([]);
    expect(events).toEqual(['a true', 'a false', 'a true']);
  });

  test('unicast peers elect as multicast ones do, and one without any is in fault', () => {
    const peers = ['10.0.0.97', '10.0.0.98'].map((address) => ({
      address,
      minTtl: 255,
      maxTtl: 255,
    }));
    const unicast = { peers, ttl: 255, checkSource: true, faultWithoutPeers: true };
    const lost: SimFault = {
      kind: 'power-loss',
      atUs: 30 * SECOND,
      director: 0,
      forUs: 20 * SECOND,
    };
    const result = run([lost], { config: { unicast } });
    expect(transitions(result)).toEqual(transitions(run([lost])));
    const [one] = configured(A, { unicast: { ...unicast, peers: peers.slice(0, 1) } }).instances;
    const alone: SimFault = {
      kind: 'reload',
      atUs: 30 * SECOND,
      director: 0,
      instances: [one as SimDirectorOptions['instances'][number]],
    };
    expect(transitions(run([alone], { config: { unicast } })).slice(BEGINNING.length)).toEqual([
      'a  active -> fault: no-peer',
      // The peers that it had are told.
      'b  backup -> active: peer-resigned',
    ]);
  });

  test('unicast peers that send with a lower TTL than demanded are two active directors', () => {
    const peers = ['10.0.0.97', '10.0.0.98'].map((address) => ({
      address,
      minTtl: 255,
      maxTtl: 255,
    }));
    const unicast = { peers, ttl: 64, checkSource: true, faultWithoutPeers: true };
    const directors = [A, B].map((one) => configured(one, { unicast }));
    const scenario: Scenario = {
      seed: 1,
      cluster: cluster(directors),
      faults: [],
      durationUs: 20 * SECOND,
    };
    const [violation] = simulate({ scenario, trace: 'none' }).violations;
    expect(violation?.invariant).toBe('overlap-ends');
  });

  test('of two owners the one with the higher address remains', () => {
    const result = run([], { config: { priority: 255 } });
    expect(transitions(result)).toEqual([
      'a  initialize -> active: address-owner',
      'b  initialize -> active: address-owner',
      'a  active -> backup: equal-priority-higher-address',
    ]);
  });

  test('the higher of two owners gives way when the lower one does not hear it', () => {
    const deaf: SimFault = {
      kind: 'partition',
      atUs: 0,
      side: 1,
      direction: 'in',
      lan: null,
      forUs: 20 * SECOND,
    };
    const result = run([deaf], { config: { priority: 255 } });
    expect(transitions(result).slice(0, 3)).toEqual([
      'a  initialize -> active: address-owner',
      'b  initialize -> active: address-owner',
      'b  active -> backup: owner-conflict',
    ]);
  });

  test('the startup delay counts once, whatever becomes of the keeper', () => {
    const late = { ...A, startupDelayUs: 20 * SECOND };
    const crash: SimFault = { kind: 'crash', atUs: 10 * SECOND, director: 0, forUs: 2 * SECOND };
    const begins = (faults: readonly SimFault[], directors = [late, B]): number =>
      timeOf(run(faults, { directors }), 'a  backup -> active: preempted');
    const usual = begins([]);
    expect(usual).toBeGreaterThan(20 * SECOND);
    expect(usual).toBeLessThan(25 * SECOND);
    expect(Math.abs(begins([crash]) - usual)).toBeLessThan(2 * SECOND);
    const stop: SimFault = { ...crash, kind: 'stop' };
    expect(begins([stop])).toBeGreaterThan(32 * SECOND);
    const booted = { ...A, delayAfterBootUs: 60 * SECOND };
    const lost: SimFault = { kind: 'power-loss', atUs: 40 * SECOND, director: 0, forUs: SECOND };
    const result = run([lost], { directors: [{ ...booted, clockOffsetUs: 100 * SECOND }, B] });
    // The machine shows 20 s when its keeper starts.
    expect(timeOf(result, 'a  backup -> active: preempted')).toBeGreaterThan(80 * SECOND);
  });

  test('owners in a sync group end their startup delay together', () => {
    const both = [
      instance('a', { priority: 255, group: 'both' }),
      instance('a', { priority: 255, group: 'both' }, 1),
    ];
    const owner = { ...director('a', both), startupDelayUs: 5 * SECOND };
    const other = director('b', [
      instance('b', { group: 'both' }),
      instance('b', { group: 'both' }, 1),
    ]);
    expect(transitions(run([], { directors: [owner, other] })).slice(-4)).toEqual([
      'a web  backup -> active: address-owner',
      'a inside  backup -> active: address-owner',
      'b web  active -> backup: higher-priority-peer',
      'b inside  active -> backup: group-yielded',
    ]);
  });

  test('the same scenario gives the same run, to the last microsecond', () => {
    const scenario = generate(7);
    const first = simulate({ scenario, trace: 'packets' });
    expect(simulate({ scenario: generate(7), trace: 'packets' })).toEqual(first);
    expect(first.trace.length).toBeGreaterThan(100);
  });
});

/** IpvsSettings against a kernel of a map, with a record on disk as in the runtime directory. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { IpvsSettings, type SettingName } from '../../../src/controller/ipvs-settings.ts';
import type { IpvsConfig } from '../../../src/core/config/config.ts';
import type { Problem } from '../../../src/core/problem.ts';
import { err, ok } from '../../../src/core/result.ts';

type Wanted = Pick<IpvsConfig, 'settings' | 'timeouts' | 'reconcileIntervalUs'>;

const NO_TIMEOUTS = { tcpSeconds: null, tcpFinSeconds: null, udpSeconds: null };

function wanted(settings: IpvsConfig['settings'], timeouts = {}): Wanted {
  return { settings, timeouts: { ...NO_TIMEOUTS, ...timeouts }, reconcileIntervalUs: 3.6e9 };
}

let directory: string;
let file: string;
let kernel: Map<string, string>;
let written: string[];
let repaired: string[];
let problems: Problem[];
let refusal: string | null;
const opened: IpvsSettings[] = [];

function open(): IpvsSettings {
  const settings = new IpvsSettings(file, {
    read: (name) => kernel.get(name) ?? null,
    write: (name: SettingName, value) => {
      if (refusal !== null) return err(refusal);
      written.push(`${name}=${value}`);
      kernel.set(name, value);
      return ok(undefined);
    },
    onRepaired: (name, found, value) => repaired.push(`${name}: ${found} -> ${value}`),
    onProblem: (problem) => problems.push(problem),
  });
  opened.push(settings);
  return settings;
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ipvs-settings-'));
  file = join(directory, 'ipvs-settings.json');
  kernel = new Map([
    ['expire_nodest_conn', '0'],
    ['expire_quiescent_template', '0'],
    ['sync_threshold', '3\t50'],
    ['drop_entry', '0'],
    ['timeout tcp', '900'],
    ['timeout udp', '300'],
  ]);
  [written, repaired, problems, refusal] = [[], [], [], null];
});

afterEach(() => {
  for (const settings of opened.splice(0)) settings.close();
  rmSync(directory, { recursive: true });
});

describe('IpvsSettings.configure', () => {
  test('sets what is configured and not so yet, and nothing else', () => {
    const settings = open();
    settings.configure(
      wanted({ expire_nodest_conn: '1', sync_threshold: '3 50' }, { tcpSeconds: 600 }),
    );
    expect(written).toEqual(['timeout tcp=600', 'expire_nodest_conn=1']);
    expect(settings.report().repairs).toBe(0);
    expect(settings.report().settings).toEqual([
      { name: 'timeout tcp', wanted: '600', value: '600', before: '900', held: false },
      { name: 'expire_nodest_conn', wanted: '1', value: '1', before: '0', held: false },
      { name: 'sync_threshold', wanted: '3 50', value: '3\t50', before: '3\t50', held: false },
    ]);
  });

  test('puts back what is no longer configured, to what was there at first', () => {
    const settings = open();
    settings.configure(wanted({ drop_entry: '3' }));
    settings.configure(wanted({ drop_entry: '1' }));
    settings.configure(wanted({}));
    expect(written).toEqual(['drop_entry=3', 'drop_entry=1', 'drop_entry=0']);
    expect(repaired).toEqual([]);
  });

  test('tells once of a setting that the kernel lacks, and sets the others', () => {
    const settings = open();
    settings.configure(wanted({ est_nice: '5', expire_nodest_conn: '1' }));
    settings.verify();
    expect(problems.map(({ code, message }) => `${code} ${message}`)).toEqual([
      'VK-IPVS-SETTING net.ipv4.vs.est_nice does not exist in this kernel',
    ]);
    expect(kernel.get('expire_nodest_conn')).toBe('1');
  });

  test('tells once of a value that the kernel refuses, and tries again', () => {
    const settings = open();
    refusal = 'EROFS: read-only file system';
    settings.configure(wanted({ drop_entry: '3' }));
    settings.verify();
    expect(problems).toHaveLength(1);
    expect(problems[0]?.message).toContain('EROFS');
    refusal = null;
    settings.verify();
    expect(kernel.get('drop_entry')).toBe('3');
  });

  test('changes nothing that it cannot record', () => {
    writeFileSync(join(directory, 'taken'), '');
    file = join(directory, 'taken', 'ipvs-settings.json');
    open().configure(wanted({ drop_entry: '3' }));
    expect(written).toEqual([]);
    expect(problems.map(({ code }) => code)).toEqual(['VK-RUNTIME-DIRECTORY']);
  });
});

describe('IpvsSettings.verify', () => {
  test('repairs what another program changed, and counts it', () => {
    const settings = open();
    settings.configure(wanted({ expire_nodest_conn: '1' }, { udpSeconds: 60 }));
    kernel.set('timeout udp', '10');
    settings.verify();
    settings.verify();
    expect(kernel.get('timeout udp')).toBe('60');
    expect(repaired).toEqual(['timeout udp: 10 -> 60']);
    expect(settings.report().repairs).toBe(1);
  });

  test('takes a defense that the kernel itself has switched on for unchanged', () => {
    const settings = open();
    settings.configure(wanted({ drop_entry: '1' }));
    kernel.set('drop_entry', '2');
    settings.verify();
    expect(repaired).toEqual([]);
    settings.close();
    expect(kernel.get('drop_entry')).toBe('0');
  });
});

describe('IpvsSettings.close', () => {
  test('puts everything back', () => {
    const before = new Map(kernel);
    const settings = open();
    settings.configure(
      wanted({ expire_nodest_conn: '1', sync_threshold: '0 10' }, { tcpSeconds: 5, udpSeconds: 5 }),
    );
    settings.close();
    expect(kernel).toEqual(before);
  });

  test('goes on trying to put back what the kernel refuses, told once, also in the next one', () => {
    const settings = open();
    settings.configure(wanted({ drop_entry: '3', expire_nodest_conn: '1' }));
    refusal = 'EROFS: read-only file system';
    settings.configure(wanted({ expire_nodest_conn: '1' }));
    settings.verify();
    expect(problems.map(({ message }) => message)).toEqual([
      'net.ipv4.vs.drop_entry is 3, as vipkeeper set it, and cannot be put back to 0: EROFS: read-only file system',
    ]);
    expect(settings.report().settings.at(-1)).toMatchObject({
      ...{ name: 'drop_entry', wanted: '0', value: '3' },
    });
    settings.close();
    refusal = null;
    const next = open();
    expect(next.leftBehind().map(({ name }) => name)).toEqual(['drop_entry', 'expire_nodest_conn']);
    next.configure(wanted({}));
    expect([kernel.get('drop_entry'), kernel.get('expire_nodest_conn')]).toEqual(['0', '0']);
    expect(next.report().settings).toEqual([]);
  });

  test('leaves alone what somebody else has changed since', () => {
    const settings = open();
    settings.configure(wanted({ drop_entry: '3' }));
    kernel.set('drop_entry', '1');
    settings.close();
    expect(kernel.get('drop_entry')).toBe('1');
  });

  test('knows after a crash what was there before', () => {
    open().configure(wanted({ drop_entry: '3', expire_nodest_conn: '1' }));
    const next = open();
    next.configure(wanted({ drop_entry: '3' }));
    expect(kernel.get('expire_nodest_conn')).toBe('0');
    next.close();
    expect(kernel.get('drop_entry')).toBe('0');
  });

  describe('after a crash', () => {
    /** A controller that died, with what it had set. */
    const crashed = (...configs: readonly Wanted[]) => {
      const dead = open();
      for (const config of configs) dead.configure(config);
    };

    test('leaves alone what somebody has changed since, and puts that back in the end', () => {
      crashed(wanted({ drop_entry: '3', expire_nodest_conn: '1' }));
      kernel.set('drop_entry', '1');
      const next = open();
      next.configure(wanted({ drop_entry: '3' }));
      expect([kernel.get('drop_entry'), kernel.get('expire_nodest_conn')]).toEqual(['3', '0']);
      expect(repaired).toEqual([]);
      // Also with one more crash between.
      open().close();
      expect(kernel.get('drop_entry')).toBe('1');
    });

    test('knows its own value between the record of another one and the kernel', () => {
      crashed(wanted({ drop_entry: '3' }));
      refusal = 'killed before the write';
      crashed(wanted({ drop_entry: '0' }));
      kernel.set('drop_entry', '3');
      refusal = null;
      expect(open().leftBehind()).toEqual([{ name: 'drop_entry', value: '3', before: '0' }]);
      open().close();
      expect(kernel.get('drop_entry')).toBe('0');
    });

    test('tells what would be put back, and nothing of what is as it was', () => {
      crashed(wanted({ drop_entry: '3', expire_nodest_conn: '0', sync_threshold: '0 10' }));
      kernel.set('sync_threshold', '5\t50');
      const before = new Map(kernel);
      expect(open().leftBehind()).toEqual([{ name: 'drop_entry', value: '3', before: '0' }]);
      expect(kernel).toEqual(before);
    });
  });

  test('knows nothing of another boot', () => {
    open().configure(wanted({ drop_entry: '3' }));
    const record = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...record, bootId: 'another' }));
    const next = open();
    next.configure(wanted({}));
    expect(kernel.get('drop_entry')).toBe('3');
  });
});

describe('IpvsSettings.hold', () => {
  test('sets a value for a time, then what was there before', () => {
    const settings = open();
    settings.configure(wanted({}));
    settings.hold('expire_quiescent_template', '1');
    settings.hold('expire_quiescent_template', '1');
    expect(settings.report().settings).toMatchObject([
      { name: 'expire_quiescent_template', value: '1', held: true },
    ]);
    settings.release('expire_quiescent_template');
    expect(written).toEqual(['expire_quiescent_template=1', 'expire_quiescent_template=0']);
  });

  test('gives way to what is configured', () => {
    const settings = open();
    settings.configure(wanted({ expire_quiescent_template: '0' }));
    settings.hold('expire_quiescent_template', '1');
    settings.release('expire_quiescent_template');
    expect(kernel.get('expire_quiescent_template')).toBe('0');
    expect(repaired).toEqual([]);
  });
});

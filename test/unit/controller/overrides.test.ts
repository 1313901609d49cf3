/** Operators' decisions: their file, their end, and when a draining server is drained. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Overrides } from '../../../src/controller/overrides.ts';
import type { Override } from '../../../src/core/health/override.ts';
import type { ObservedRealServer } from '../../../src/core/ipvs/model.ts';
import type { Problem } from '../../../src/core/problem.ts';

let directory: string;
let told: string[];
let problems: Problem[];
let nowMs: number;
const opened: Overrides[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  directory = mkdtempSync(join(tmpdir(), 'vipkeeper-overrides-'));
  told = [];
  problems = [];
  nowMs = 1_000_000;
});

afterEach(() => {
  for (const one of opened.splice(0)) one.close();
  vi.useRealTimers();
  rmSync(directory, { recursive: true, force: true });
});

const files = () => ({
  kept: join(directory, 'state', 'overrides.json'),
  instead: join(directory, 'run', 'overrides.json'),
});

function open(): Overrides {
  const overrides = new Overrides(files(), {
    nowMs: () => nowMs,
    mayBeHere: (service) => service !== 'elsewhere',
    onChanged: (services) => told.push(`changed ${services.join(' ')}`),
    onEnded: ({ server }) => told.push(`ended ${server}`),
    onDrained: ({ server }, left) => told.push(`drained ${server} ${left}`),
    onProblem: (problem) => problems.push(problem),
  });
  opened.push(overrides);
  return overrides;
}

function override(changes: Partial<Override> = {}): Override {
  return {
    service: 'web',
    server: 'a:80',
    action: { kind: 'drain', deadlineMs: null, drained: false },
    by: 'root',
    reason: 'new disk',
    sinceMs: 5,
    untilMs: null,
    ...changes,
  };
}

const set = (overrides: Overrides, one: Override) =>
  overrides.change([{ key: `${one.service}/${one.server}`, override: one }]);

function observed(changes: Partial<ObservedRealServer>): ObservedRealServer {
  return {
    weight: 0,
    activeConnections: 0,
    inactiveConnections: 0,
    persistentConnections: 0,
    ...changes,
  } as ObservedRealServer;
}

describe('Overrides', () => {
  it('remembers them over a restart, and forgets what was cleared', () => {
    const first = open();
    set(first, override());
    set(first, override({ server: 'b:80', action: { kind: 'up' } }));
    first.change([{ key: 'web/b:80', override: null }]);
    expect(open().list()).toEqual([override()]);
    expect(problems).toEqual([]);
  });

  it('says that a damaged file is lost, and goes on without it', () => {
    const first = open();
    set(first, override());
    writeFileSync(files().kept, '[{"service":');
    expect(open().list()).toEqual([]);
    expect(problems.map(({ code }) => code)).toEqual(['VK-STATE-DIRECTORY']);
  });

  it('is readable for its owner only', () => {
    set(open(), override());
    expect(readFileSync(files().kept, 'utf8')).toContain('new disk');
    expect(statSync(files().kept).mode & 0o077).toBe(0);
  });

  it('outlives a restart where the state directory cannot be written, and says what does not', () => {
    set(open(), override({ server: 'old:80' }));
    const { kept, instead } = files();
    rmSync(kept);
    mkdirSync(kept);
    set(open(), override());
    expect(open().list()).toEqual([override()]);
    expect(problems.map(({ code, cure }) => `${code} ${cure}`)).toEqual([
      expect.stringMatching(/^VK-STATE-DIRECTORY .* until then a reboot forgets it$/),
    ]);
    rmdirSync(kept);
    const next = open();
    set(next, override({ server: 'b:80' }));
    expect(existsSync(instead)).toBe(false);
    expect(open().list()).toHaveLength(2);
    expect(problems).toHaveLength(1);
  });

  it.each([
    ['active', { activeConnections: 1 }],
    ['inactive', { inactiveConnections: 1 }],
    ['persistent', { persistentConnections: 1 }],
    ['new ones that may still come: weight', { weight: 1 }],
  ])('waits for %s', (_what, changes) => {
    const overrides = open();
    set(overrides, override());
    expect(overrides.actionFor('web', 'a:80', observed(changes))).toMatchObject({ drained: false });
    expect(overrides.actionFor('web', 'a:80', observed({}))).toMatchObject({ drained: true });
    expect(told).toEqual(['drained a:80 0']);
    vi.advanceTimersByTime(0);
    // And stays drained, also when it is put back by hand.
    expect(overrides.actionFor('web', 'a:80', observed(changes))).toMatchObject({ drained: true });
    expect(open().list()[0]?.action).toMatchObject({ drained: true });
  });

  it('is drained at the next look where the server is not in the table of this director', () => {
    const overrides = open();
    set(overrides, override({ service: 'elsewhere' }));
    set(overrides, override());
    vi.advanceTimersByTime(1_000);
    expect(told).toEqual(['drained a:80 0', 'changed web']);
    expect(overrides.get('elsewhere', 'a:80')?.action).toMatchObject({ drained: true });
    vi.advanceTimersByTime(1_000);
    expect(told.slice(2)).toEqual(['changed web']);
  });

  it('is written once for all that are drained in a turn, and at the end', () => {
    const overrides = open();
    set(overrides, override());
    set(overrides, override({ server: 'b:80' }));
    const drained = () =>
      open()
        .list()
        .filter(({ action }) => action.kind === 'drain' && action.drained).length;
    overrides.actionFor('web', 'a:80', observed({}));
    overrides.actionFor('web', 'b:80', observed({}));
    expect(drained()).toBe(0);
    overrides.close();
    expect(drained()).toBe(2);
  });

  it('is drained at its deadline, whatever is left', () => {
    const overrides = open();
    set(overrides, override({ action: { kind: 'drain', deadlineMs: nowMs + 10, drained: false } }));
    const busy = observed({ activeConnections: 3 });
    expect(overrides.actionFor('web', 'a:80', busy)).toMatchObject({ drained: false });
    nowMs += 10;
    expect(overrides.actionFor('web', 'a:80', busy)).toMatchObject({ drained: true });
    expect(told).toEqual(['drained a:80 3']);
  });

  it('asks for a look at a draining server every second, and no more when it is drained', () => {
    const overrides = open();
    set(overrides, override());
    vi.advanceTimersByTime(2_000);
    expect(told).toEqual(['changed web', 'changed web']);
    overrides.actionFor('web', 'a:80', undefined);
    vi.advanceTimersByTime(5_000);
    expect(told.slice(2)).toEqual(['drained a:80 0']);
  });

  it('ends by itself, also when vipkeeper was not running at that moment', () => {
    set(open(), override({ action: { kind: 'down' }, untilMs: nowMs + 60_000 }));
    nowMs += 60_000;
    const second = open();
    vi.advanceTimersByTime(1_000);
    expect(told).toContain('ended a:80');
    expect(told).toContain('changed web');
    expect(second.list()).toEqual([]);
  });
});

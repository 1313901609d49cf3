/** StatusParts: every instance once and in order, in many short turns, one answer after the other. */
import { beforeEach, describe, expect, test } from 'vitest';
import type {
  InstanceStatus,
  KeeperStatus,
  KeeperToController,
} from '../../../src/keeper/messages.ts';
import { StatusParts } from '../../../src/keeper/status-parts.ts';

type Told = Extract<KeeperToController, { kind: 'status-part' | 'status' }>;

let there: string[];
let sent: Told[];
let later: (() => void)[];
let parts: StatusParts;
let nowUs: number;
/** What passes between two looks at the clock. */
let tickUs: number;

const named = (name: string): InstanceStatus => ({ name }) as InstanceStatus;

beforeEach(() => {
  there = [];
  sent = [];
  later = [];
  nowUs = 0;
  tickUs = 0;
  parts = new StatusParts({
    names: () => [...there],
    instance: (name) => (there.includes(name) ? named(name) : null),
    rest: () => ({ pid: 7 }) as Omit<KeeperStatus, 'instances'>,
    send: (message) => sent.push(message as Told),
    nowUs: () => (nowUs += tickUs),
    later: (goOn) => later.push(goOn),
  });
});

function goRound(): void {
  while (later.length > 0) later.shift()?.();
}

function instancesOf(message: Told): readonly InstanceStatus[] {
  return message.kind === 'status' ? message.status.instances : message.instances;
}

function namesTold(id: number): string[] {
  const messages = sent.filter((message) => message.id === id);
  expect(messages.map(({ kind }) => kind).indexOf('status')).toBe(messages.length - 1);
  return messages.flatMap((message) => instancesOf(message).map(({ name }) => name));
}

describe('StatusParts', () => {
  test('few instances are one message', () => {
    there = ['a', 'b'];
    parts.request(1);
    const status = { pid: 7, instances: [named('a'), named('b')] };
    expect(sent).toEqual([{ kind: 'status', id: 1, status }]);
    expect(later).toEqual([]);
  });

  test('many are told in several turns, each with few of them', () => {
    there = Array.from({ length: 1_000 }, (_, index) => `i${index}`);
    parts.request(1);
    expect(sent).toHaveLength(1);
    goRound();
    expect(namesTold(1)).toEqual(there);
    expect(Math.max(...sent.map((message) => instancesOf(message).length))).toBeLessThan(50);
  });

  test('a turn is short, however long an instance takes', () => {
    there = Array.from({ length: 20 }, (_, index) => `i${index}`);
    tickUs = 400;
    parts.request(1);
    goRound();
    expect(namesTold(1)).toEqual(there);
    expect(Math.max(...sent.map((message) => instancesOf(message).length))).toBe(2);
  });

  test('requests are answered one after the other, and no more are kept than that', () => {
    there = Array.from({ length: 100 }, (_, index) => `i${index}`);
    for (let id = 1; id <= 100; id++) parts.request(id);
    goRound();
    const ids = [...new Set(sent.map(({ id }) => id))];
    expect(ids).toEqual(Array.from({ length: 16 }, (_, index) => index + 1));
    for (const id of ids) expect(namesTold(id)).toEqual(there);
    parts.request(200);
    goRound();
    expect(namesTold(200)).toEqual(there);
  });

  test('an instance that is gone meanwhile is left out', () => {
    there = Array.from({ length: 100 }, (_, index) => `i${index}`);
    parts.request(1);
    there = there.filter((name) => name !== 'i99');
    goRound();
    expect(namesTold(1)).toEqual(there);
  });
});

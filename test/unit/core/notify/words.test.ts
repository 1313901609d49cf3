import { describe, expect, test } from 'vitest';
import {
  type Circumstances,
  fifoLine,
  groupState,
  mailSubject,
  mailText,
  type Notice,
  type NotifyWord,
  notifyState,
  priorityWord,
  scriptArguments,
  scriptVariables,
} from '../../../../src/core/notify/words.ts';

const notice = (word: NotifyWord): Notice => ({
  kind: 'INSTANCE',
  name: 'VI_1',
  word,
  priority: 100,
});
const group: Notice = { kind: 'GROUP', name: 'VG_1', word: 'MASTER', priority: 0 };
const facts: Circumstances = {
  from: 'backup',
  to: 'active',
  reason: 'peers-silent',
  peer: '192.0.2.2',
  priority: 150,
  at: '2026-03-01T12:00:00.000Z',
};

test('notifyState has keepalived’s word for every state', () => {
  const states = ['initialize', 'backup', 'active', 'fault'] as const;
  expect(states.map(notifyState)).toEqual(['STOP', 'BACKUP', 'MASTER', 'FAULT']);
});

test('priorityWord exists only for states that take part in an election', () => {
  const states = ['initialize', 'backup', 'active', 'fault'] as const;
  expect(states.map(priorityWord)).toEqual([null, 'BACKUP_PRIORITY', 'MASTER_PRIORITY', null]);
});

test('scriptArguments are kind, name, word and priority', () => {
  expect(scriptArguments(notice('BACKUP'))).toEqual(['INSTANCE', 'VI_1', 'BACKUP', '100']);
  expect(scriptArguments(group)).toEqual(['GROUP', 'VG_1', 'MASTER', '0']);
});

describe('fifoLine', () => {
  test.each([
    ['MASTER', 'INSTANCE "VI_1" MASTER 100\n'],
    ['BACKUP', 'INSTANCE "VI_1" BACKUP 100\n'],
    ['FAULT', 'INSTANCE "VI_1" FAULT 100\n'],
    ['STOP', 'INSTANCE "VI_1" STOP 100\n'],
    ['DELETED', 'INSTANCE "VI_1" DELETED 100\n'],
    ['MASTER_RX_LOWER_PRI', 'INSTANCE "VI_1" MASTER_RX_LOWER_PRI 100\n'],
    ['MASTER_PRIORITY', 'INSTANCE "VI_1" MASTER_PRIORITY 100\n'],
    ['BACKUP_PRIORITY', 'INSTANCE "VI_1" BACKUP_PRIORITY 100\n'],
  ] as const)('of %s has these bytes', (word, line) => expect(fifoLine(notice(word))).toBe(line));

  test('of a group has these bytes', () => expect(fifoLine(group)).toBe('GROUP "VG_1" MASTER 0\n'));
});

test('mailSubject is keepalived’s, with the director for the router_id', () => {
  expect(mailSubject('dir-a', notice('MASTER'))).toBe(
    '[dir-a] VRRP Instance VI_1 - Entering MASTER state',
  );
  expect(mailSubject('dir-a', group)).toBe('[dir-a] VRRP Group VG_1 - Entering MASTER state');
});

test('mailText says why and when', () => {
  expect(mailText('dir-a', notice('MASTER'), facts)).toBe(`\
VRRP instance VI_1 of director dir-a is active (before: backup).

Reason:   peers-silent
Priority: 150
Peer:     192.0.2.2
Time:     2026-03-01T12:00:00.000Z
`);
  expect(mailText('dir-a', notice('MASTER'), { ...facts, peer: null })).toContain(
    'Peer:     none heard\n',
  );
});

test('mailText and scriptVariables name a group as what it is', () => {
  expect(mailText('dir-a', group, facts)).toContain('Sync group VG_1 of director dir-a is active');
  expect(scriptVariables('dir-a', group, facts)).toMatchObject({ VIPKEEPER_GROUP: 'VG_1' });
});

test('groupState is the members’ common state, or null', () => {
  expect(groupState(['active', 'active'])).toBe('active');
  expect(groupState(['active', 'backup'])).toBeNull();
  expect(groupState(['active', undefined])).toBeNull();
  expect(groupState([])).toBeNull();
});

test('scriptVariables leave out what is not known', () => {
  expect(scriptVariables('dir-a', null, null)).toEqual({ VIPKEEPER_DIRECTOR: 'dir-a' });
  expect(scriptVariables('dir-a', notice('MASTER'), { ...facts, peer: null })).toEqual({
    VIPKEEPER_DIRECTOR: 'dir-a',
    VIPKEEPER_INSTANCE: 'VI_1',
    VIPKEEPER_STATE: 'active',
    VIPKEEPER_PREVIOUS_STATE: 'backup',
    VIPKEEPER_REASON: 'peers-silent',
    VIPKEEPER_PRIORITY: '150',
    VIPKEEPER_PEER: '',
  });
});

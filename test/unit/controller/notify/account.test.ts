import { writeFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { findAccount } from '../../../../src/controller/notify/account.ts';
import { ScriptDirectory } from './scripts.ts';

const directory = new ScriptDirectory();
afterAll(() => directory.remove());
const files = { passwd: directory.file('passwd'), group: directory.file('group') };
writeFileSync(
  files.passwd,
  'root:x:0:0:root:/root:/bin/sh\nops:x:1001:1002::/:/bin/false\nbroken\n',
);
writeFileSync(files.group, 'root:x:0:\nweb:x:33:ops\n');

describe('findAccount', () => {
  test.each([
    [null, null, null],
    ['ops', null, { uid: 1001, gid: 1002 }],
    ['ops', 'web', { uid: 1001, gid: 33 }],
    ['ops', '77', { uid: 1001, gid: 77 }],
    ['1001', null, { uid: 1001, gid: 1002 }],
    ['4242', '77', { uid: 4242, gid: 77 }],
    [null, 'web', { uid: process.getuid?.(), gid: 33 }],
  ])('of %s and %s is %j', (user, group, account) =>
    expect(findAccount(user, group, 'notify', files)).toEqual({ ok: true, value: account }),
  );

  test.each([
    ['nobody-here', null, /^The user nobody-here of notify\.user is not in .*passwd/],
    ['broken', null, /^The user broken/],
    ['ops', 'no-group', /^The group no-group of notify\.group is not in .*group/],
    ['4242', null, /^No group is known of user 4242/],
    ['4294967295', '1', /^The user 4294967295/],
  ])('of %s and %s is a problem', (user, group, message) => {
    const found = findAccount(user, group, 'notify', files);
    expect(found.ok ? null : found.error).toMatchObject({
      code: 'VK-SCRIPT',
      message: expect.stringMatching(message),
    });
  });
});

/** The unit file keeps what a stop leaves behind for the next start. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { DEFAULTS } from '../../../src/core/config/defaults.ts';
import { REPOSITORY } from '../config/read.ts';

const UNIT = readFileSync(new URL('conf/vipkeeper.service', REPOSITORY), 'utf8').split('\n');

test('the records of a table that a stop leaves in the kernel outlive the stop', () => {
  expect(DEFAULTS.ipvs.onStop).toBe('keep');
  // `restart` would have systemd remove them at `systemctl stop`.
  expect(UNIT).toContain('RuntimeDirectory=vipkeeper');
  expect(UNIT).toContain('RuntimeDirectoryPreserve=yes');
});

/** The words in which plan and log tell what differs. */
import { expect, test } from 'vitest';
import { serviceDifference, serviceFields } from '../../../../src/core/ipvs/compare.ts';
import { service, WEB } from './samples.ts';

test('flags of a scheduler have the names that the configuration has for them', () => {
  const flags = { flag1: true, flag2: true, flag3: true };
  const named = (scheduler: string) =>
    serviceFields(null, service(WEB, { ...flags, scheduler })).map(({ name }) => name);
  expect(named('sh')).toEqual(['scheduler', 'sh-fallback', 'sh-port', 'flag-3']);
  expect(named('mh')).toEqual(['scheduler', 'mh-fallback', 'mh-port', 'flag-3']);
  expect(named('wrr')).toEqual(['scheduler', 'flag-1', 'flag-2', 'flag-3']);
  const mh = { scheduler: 'mh' };
  expect(serviceDifference(service(WEB, mh), service(WEB, { ...mh, flag2: true }))).toBe(
    'mh-port off, wanted on',
  );
});

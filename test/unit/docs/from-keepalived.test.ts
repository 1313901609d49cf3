/** The guide for keepalived's users names keys that exist, and `check` says the same as it. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  CHECK_WORDS,
  REFUSED_OF_CHECKS,
  REFUSED_OF_INSTANCES,
  REFUSED_OF_SERVICES,
  SERVICE_WORDS,
  VRRP_WORDS,
} from '../../../src/config/keepalived-words.ts';
import { configOptions } from '../../../src/config/reference.ts';
import { unknownKeyMessage } from '../../../src/config/suggest.ts';

const GUIDE = readFileSync(
  new URL('../../../docs/guides/from-keepalived.md', import.meta.url),
  'utf8',
);
const ROWS = GUIDE.split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| keepalived'))
  .map((line) => line.slice(2, -2).split(' | '));
const KEYS = new Set(configOptions().map(({ path }) => path));

function words(cell: string | undefined): readonly string[] {
  return [...(cell ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1] as string);
}

test.each(ROWS.map((row) => [row[0] ?? '', row] as const))('%s is answered', (_, row) => {
  const keys = words(row[1]);
  if (keys.length === 0) {
    expect(['no', 'always']).toContain(row[1]);
    expect((row[2] ?? '').length).toBeGreaterThan(10);
  }
  for (const key of keys) {
    const paths = [key, `vrrp.NAME.${key}`, `services.NAME.${key}`];
    expect(paths.some((path) => KEYS.has(path))).toBe(true);
  }
});

const WORDS = {
  ...{ ...VRRP_WORDS, ...REFUSED_OF_INSTANCES, ...CHECK_WORDS, ...REFUSED_OF_CHECKS },
  ...{ ...SERVICE_WORDS, ...REFUSED_OF_SERVICES },
};
test.each(Object.keys(WORDS))('the guide has %s', (word) => {
  const listed = ROWS.flatMap((row) => words(row[0]));
  const found = listed.some((each) =>
    each.endsWith('*') ? word.startsWith(each.slice(0, -1)) : each.toLowerCase() === word,
  );
  expect(found).toBe(true);
});

test('vipkeeper check says why an option of keepalived is not here, where it would stand', () => {
  expect(unknownKeyMessage('vrf', ['vrid', 'hmac'])).toContain('the name of the VRF');
  expect(unknownKeyMessage('no_accept', ['vrid', 'accept'])).toContain('did you mean accept?');
  expect(unknownKeyMessage('bind_port', ['bind', 'retry_delay'])).toContain('expected bind alone');
  expect(unknownKeyMessage('HTTP_GET', ['tcp', 'http'])).toContain('did you mean http?');
  expect(unknownKeyMessage('fwmark', ['address', 'mark'])).toContain('did you mean mark?');
  expect(unknownKeyMessage('track_file', ['path'])).toContain('did you mean path?');
  expect(unknownKeyMessage('track_file', ['track'])).toContain('did you mean track?');
  expect(unknownKeyMessage('omega', ['scheduler', 'servers'])).toContain('expected ipvs.on_stop');
  expect(unknownKeyMessage('quorum_up', ['scheduler', 'notify'])).toContain('did you mean notify?');
  expect(unknownKeyMessage('notify_up', ['upper_threshold'])).toContain('notify.server_up');
  expect(unknownKeyMessage('ha_suspend', ['check_when'])).toContain('did you mean check_when?');
  expect(unknownKeyMessage('alpha', ['scheduler', 'check'])).toContain('expected check.initial');
  expect(unknownKeyMessage('unicast_peer', ['vrid', 'peers'])).toContain('did you mean peers?');
});

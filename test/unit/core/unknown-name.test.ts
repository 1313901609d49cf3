/** Names that nothing has. */
import { expect, test } from 'vitest';
import { nearestName, unknownName } from '../../../src/core/unknown-name.ts';

test('the nearest known name is the one that was probably meant, or none', () => {
  expect(nearestName('wbe', ['api', 'web', 'webmail'])).toBe('web');
  expect(nearestName('WEB', ['api', 'web'])).toBe('web');
  expect(nearestName('10.0.0.5:81', ['10.0.0.4:80', '10.0.0.5:80'])).toBe('10.0.0.5:80');
  expect(nearestName('database', ['api', 'web'])).toBeNull();
  expect(nearestName('web', [])).toBeNull();
});

test('the sentence has the nearest name and ten of all', () => {
  expect(unknownName('service', 'wbe', ['api', 'web'])).toBe(
    'There is no service wbe, did you mean web? Services here: api, web',
  );
  expect(unknownName('instance', 'database', ['web'])).toBe(
    'There is no instance database; instances here: web',
  );
  expect(unknownName('server', 'x', [])).toBe('There is no server x; servers here: none');
  const many = Array.from({ length: 12 }, (_, index) => `server${index}`);
  expect(unknownName('server', 'x', many)).toMatch(/: server0, .*, server9 and 2 more$/);
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCommand } from '../../../../src/core/notify/command.ts';

describe('parseCommand', () => {
  test.each([
    ['/bin/a', ['/bin/a']],
    ['  /bin/a \t b  ', ['/bin/a', 'b']],
    [`/bin/a "b c" 'd e'`, ['/bin/a', 'b c', 'd e']],
    [`/bin/a b' c'"d "e`, ['/bin/a', 'b cd e']],
    [`/bin/a ""`, ['/bin/a', '']],
    [`/bin/a "it's" '"q"'`, ['/bin/a', "it's", '"q"']],
    [`/bin/a "\\a\\b\\E\\f\\n\\r\\t\\v"`, ['/bin/a', '\x07\b\x1b\f\n\r\t\v']],
    [`/bin/a '\\101\\60\\x41\\x4g\\cA\\"\\\\'`, ['/bin/a', 'A0A\x04g\x01"\\']],
    ['/bin/a b\\n', ['/bin/a', 'b\\n']],
    ['/bin/a $HOME *.c | wc; x', ['/bin/a', '$HOME', '*.c', '|', 'wc;', 'x']],
  ])('takes %j apart', (text, words) => {
    expect(parseCommand(text)).toEqual({ ok: true, value: words });
  });

  test.each([
    ['', 'the command is empty'],
    [' \t', 'the command is empty'],
    ['/bin/a "b', 'the " is not closed'],
    [`/bin/a 'b\\'`, "the ' is not closed"],
    ['/bin/a "\\0"', 'a NUL is not possible in a command'],
  ])('refuses %j', (text, error) => expect(parseCommand(text)).toEqual({ ok: false, error }));

  test('gives back words that were quoted, whatever is in them', () => {
    const word = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0'));
    fc.assert(
      fc.property(fc.array(word, { minLength: 1 }), (words) => {
        const quoted = words.map((each) => `"${each.replaceAll(/["\\]/g, '\\$&')}"`);
        expect(parseCommand(quoted.join(' '))).toEqual({ ok: true, value: words });
      }),
    );
  });

  test('never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'\\\'"xc07aZ \t\0é') }), (text) => {
        expect(typeof parseCommand(text).ok).toBe('boolean');
      }),
    );
  });
});

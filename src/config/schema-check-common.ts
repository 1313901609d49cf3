/**
 * What several kinds of checks have in common in the schema: TLS, status codes, regular
 * expressions.
 */
import { DEFAULTS } from '../core/config/defaults.ts';
import { option, Refusal, scalar, type Type, truth } from './forms.ts';
import { path, TEXT_LENGTH_MAX, text } from './scalars.ts';
import { joinWords } from './suggest.ts';
import { parseStatusRange } from './values.ts';
import * as yaml from './yaml-values.ts';

export type Per = <T>(inner: Type<T>) => Type<T>;

/** One of some versions, which YAML takes for numbers unless they are quoted. */
export function version<const T extends string>(versions: readonly T[]) {
  const input = yaml.either(yaml.words(versions), yaml.number());
  return scalar(joinWords(versions, 'or'), input, (value): T | undefined =>
    versions.find((each) => each === value || Number(each) === value),
  );
}

/** What TLS has wherever it is spoken; `name` is the name without `server_name`. */
export function tlsFields(per: Per, name: string) {
  const { tls } = DEFAULTS;
  return {
    verify: option(per(truth()), {
      about: 'Verify the server’s certificate.',
      default: tls.verify,
    }),
    server_name: option(per(hostName()), {
      about: 'Name for SNI and for the verification of the certificate.',
      without: name,
    }),
    ca_file: option(per(path('an absolute path')), {
      about: 'File with the certificates (PEM) that are trusted.',
      without: 'the system’s certificates',
    }),
    certificate_file: option(per(path('an absolute path')), {
      about: 'File with the certificate (PEM) that this director shows, and its chain.',
      without: 'none is shown',
    }),
    key_file: option(per(path('an absolute path')), {
      about: 'File with its key (PEM).',
      without: '`certificate_file` has both',
    }),
    min_tls: option(per(version(['1.2', '1.3'])), {
      about: 'Least version of TLS.',
      default: tls.min,
    }),
  };
}

export const hostName = () => text('a host name, without spaces', (value) => !/\s/.test(value));

/** One status code, or a range of them. */
export function statusRange() {
  const expects = 'a status code or a range of them, such as 200-299';
  const input = yaml.either(yaml.int(100, 599), yaml.string({ pattern: /^\d{3}(-\d{3})?$/ }));
  return scalar(expects, input, (value) => parseStatusRange(value) ?? undefined);
}

/** JavaScript's, with the flag u. */
export function regularExpression() {
  return scalar('a regular expression', yaml.string({ min: 1, max: TEXT_LENGTH_MAX }), (value) => {
    try {
      new RegExp(value, 'u');
      return value;
    } catch (error) {
      // 'Invalid regular expression: /(abc/u: Unterminated group': what is behind the last colon.
      const reason = error instanceof Error ? error.message.split(': ').at(-1) : undefined;
      return new Refusal(`expected a regular expression of JavaScript (${reason})`);
    }
  });
}

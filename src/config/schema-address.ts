/**
 * The part of the schema that describes addresses, as they stand in an instance's `addresses`
 * and in `static.addresses`: the words are those of ip-address(8), spelled out.
 */
import { option, scalar, type Type, truth, whole } from './forms.ts';
import { formatDuration, isUnicast, type Prefix, parseDuration, parsePrefix } from './values.ts';
import * as yaml from './yaml-values.ts';

const UINT_MAX = 2 ** 32 - 1;
const SECOND_US = 1_000_000;
/** The kernel counts in 32-bit jiffies of up to 1000 a second. */
const LIFETIME_MAX_SECONDS = 2_000_000;
/** IFNAMSIZ with its NUL: the kernel's room for a label. */
const LABEL_LENGTH_MAX = 15;

/** RT_SCOPE_* (include/uapi/linux/rtnetlink.h) by the words of ip-address(8). */
export const SCOPES: Readonly<Record<string, number>> = {
  global: 0,
  site: 200,
  link: 253,
  host: 254,
  nowhere: 255,
};

export type Per = <T>(inner: Type<T>) => Type<T>;

/** What an address has, by the keys of the file; made by addressKeys(). */
export interface AddressInput {
  readonly address: Prefix;
  readonly broadcast?: string | undefined;
  readonly scope?: number | undefined;
  readonly label?: string | undefined;
  readonly peer?: Prefix | undefined;
  readonly home?: boolean | undefined;
  readonly dad?: boolean | undefined;
  readonly prefix_route?: boolean | undefined;
  readonly manage_temporary?: boolean | undefined;
  readonly preferred_lifetime?: { readonly seconds: number | null } | undefined;
  readonly metric?: number | undefined;
}

/** The keys of the long form that say what an address is beside its interface. */
export function addressKeys(per: Per) {
  return {
    broadcast: option(per(broadcast()), {
      about: 'IPv4: broadcast address; `auto` for the last address of the network.',
      default: 'none',
    }),
    scope: option(per(scope()), {
      about: 'IPv4: how far the address is valid.',
      default: 'global',
    }),
    label: option(per(label()), {
      about: 'IPv4: name of the address as an alias: `eth0:web`.',
      without: 'the interface’s name',
    }),
    peer: option(per(peer()), {
      about: 'Other end of a point-to-point link; its prefix length counts.',
      without: 'no peer',
    }),
    home: option(per(truth()), {
      about: 'IPv6: home address of a mobile node (RFC 6275).',
      default: false,
    }),
    dad: option(per(truth()), {
      about:
        'IPv6: detect duplicates before the address is used, which takes a second or more at ' +
        'every takeover.',
      default: false,
    }),
    prefix_route: option(per(truth()), {
      about: 'Let the kernel make a route to the prefix.',
      default: true,
    }),
    manage_temporary: option(per(truth()), {
      about: 'IPv6: make temporary addresses of it (RFC 8981).',
      default: false,
    }),
    preferred_lifetime: option(per(lifetime()), {
      about:
        'How long the kernel chooses it as source address: `forever`, or whole seconds. `0s`: it ' +
        'answers, but is never a source of its own accord.',
      without: '`forever`, but `0s` for an IPv6 address of prefix length 128',
    }),
    metric: option(per(whole(0, UINT_MAX)), {
      about: 'Metric of the route to the prefix; 0 for the kernel’s.',
      default: 0,
    }),
  };
}

function broadcast() {
  const expects = 'none, auto or an IPv4 address';
  return scalar(expects, yaml.string(), (value) => {
    if (value === 'none' || value === 'auto') return value;
    const parsed = value.includes('/') ? null : parsePrefix(value);
    return parsed === null || parsed.address.includes(':') ? undefined : parsed.address;
  });
}

/** A number of 0 to 255 or a word. */
export function scope() {
  const words = Object.keys(SCOPES).filter((word) => word !== 'nowhere');
  const expects = `${words.join(', ')} or a whole number from 0 to 255`;
  const input = yaml.either(yaml.words(words), yaml.int(0, 255));
  return scalar(expects, input, (value) =>
    typeof value === 'number' ? value : (SCOPES[value] as number),
  );
}

function label() {
  const expects = `a name of at most ${LABEL_LENGTH_MAX} characters without blanks or slashes`;
  return scalar(expects, yaml.string(), (value) =>
    value.length <= LABEL_LENGTH_MAX && /^[!-.0-~]+$/.test(value) ? value : undefined,
  );
}

function peer() {
  const expects = 'an IP address with prefix length, such as 192.0.2.1/32';
  return scalar(expects, yaml.string(), (value) => {
    const parsed = parsePrefix(value);
    return parsed === null || !isUnicast(parsed.address) ? undefined : parsed;
  });
}

function lifetime() {
  const most = formatDuration(LIFETIME_MAX_SECONDS * SECOND_US);
  const expects = `forever, or whole seconds from 0s to ${most}`;
  return scalar(expects, yaml.string(), (value): { seconds: number | null } | undefined => {
    if (value === 'forever') return { seconds: null };
    const durationUs = parseDuration(value);
    if (durationUs === null || durationUs % SECOND_US !== 0) return undefined;
    const seconds = durationUs / SECOND_US;
    return seconds > LIFETIME_MAX_SECONDS ? undefined : { seconds };
  });
}

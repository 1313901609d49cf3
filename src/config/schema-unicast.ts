/**
 * The part of the configuration language that says whom a VRRP instance's advertisements go to:
 * peers, one by one, or another multicast group. Rules that concern several values are in
 * resolve-unicast.ts.
 */
import type { IpText } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { canonicalIp } from '../core/ip.ts';
import {
  list,
  type Output,
  option,
  required,
  scalar,
  section,
  shortOrLong,
  type Type,
  truth,
  whole,
} from './forms.ts';
import { unicastAddress } from './scalars.ts';
import { isMulticast } from './values.ts';
import * as yaml from './yaml-values.ts';

type Per = <T>(inner: Type<T>) => Type<T>;

function groupAddress() {
  const expects = 'a multicast address, such as 224.0.0.18 or ff02::12';
  return scalar(expects, yaml.string(), (value): IpText | undefined => {
    const address = canonicalIp(value);
    return address !== null && isMulticast(address) ? address : undefined;
  });
}

/** One peer: its address, or a mapping with bounds. */
function peerSchema(per: Per) {
  const { peer } = DEFAULTS.vrrp;
  const long = section(() => ({
    address: required(per(unicastAddress((address) => address)), 'Address of the other director.'),
    min_ttl: option(per(whole(0, 255)), {
      about: 'Least TTL or hop limit of its advertisements as they arrive; 255: no router between.',
      default: peer.minTtl,
    }),
    max_ttl: option(per(whole(0, 255)), { about: 'Greatest one.', default: peer.maxTtl }),
  }));
  const short = unicastAddress((address): Output<typeof long> => ({ address }));
  return shortOrLong(short, long);
}

/** The keys of an instance that say whom its advertisements go to. */
export function reachOptions(per: Per) {
  const { unicast } = DEFAULTS.vrrp;
  return {
    peers: option(per(list(peerSchema(per))), {
      about:
        'Directors that advertisements are sent to one by one, instead of by multicast: an ' +
        'address, or a mapping with TTL bounds. This director’s own address is left out, so ' +
        'that all directors can have one list.',
      without: 'multicast',
    }),
    unicast: option(
      section(() => ({
        ttl: option(per(whole(1, 255)), {
          about: 'TTL or hop limit of advertisements to peers.',
          default: unicast.ttl,
        }),
        check_source: option(per(truth()), {
          about: 'Refuse advertisements that come from none of the peers.',
          default: unicast.checkSource,
        }),
        fault_without_peers: option(per(truth()), {
          about: 'Take no part while `peers` has no other director, instead of being active alone.',
          default: unicast.faultWithoutPeers,
        }),
      })),
      { about: 'How peers are spoken to; only with `peers`.', without: 'its defaults' },
    ),
    multicast_group: option(per(groupAddress()), {
      about: 'Multicast group that advertisements are sent to and heard from.',
      without: '224.0.0.18, or ff02::12 over IPv6',
    }),
  };
}

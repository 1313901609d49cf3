/**
 * The part of the schema about an instance's virtual link: `vmac` (a macvlan with the virtual
 * router's hardware address, RFC 9568 section 7.3) and `ipvlan`. What they become, and that they
 * exclude each other, is in resolve-link.ts.
 */
import { DEFAULTS } from '../core/config/defaults.ts';
import { formatMac, parseMac } from '../core/wire/ethernet.ts';
import {
  type Output,
  option,
  Refusal,
  scalar,
  section,
  shortOrLong,
  type Type,
  truth,
  whole,
  word,
} from './forms.ts';
import { isInterfaceName } from './values.ts';
import * as yaml from './yaml-values.ts';

type Per = <T>(inner: Type<T>) => Type<T>;

/** The kernel keeps interface groups in signed 32-bit integers. */
const GROUP_MAX = 2 ** 31 - 1;

const linkName = () =>
  scalar('a name for a network interface, at most 15 characters', yaml.string(), (value) =>
    isInterfaceName(value) ? value : undefined,
  );

const macAddress = () =>
  scalar('a hardware address, such as 00:00:5e:00:01:33', yaml.string(), (value) => {
    const mac = parseMac(value);
    if (mac === null) return undefined;
    const multicast = ((mac[0] as number) & 1) === 1;
    const unset = mac.every((byte) => byte === 0);
    return multicast || unset
      ? new Refusal('expected the hardware address of a host')
      : formatMac(mac);
  });

/** The keys of an instance that give it a virtual link. */
export function linkOptions(per: Per) {
  const { vmac, ipvlan } = DEFAULTS.vrrp;
  const group = () =>
    option(per(whole(0, GROUP_MAX)), {
      about: 'Interface group of the link (`ip link … group`).',
      without: 'group 0',
    });
  const longVmac = section(() => ({
    name: option(per(linkName()), {
      about: 'Name of the link.',
      without: '`vrrp.VRID`, for IPv6 `vrrp6.VRID`',
    }),
    mac: option(per(macAddress()), {
      about: 'Hardware address, the same on all directors.',
      without: '`00:00:5e:00:01:VRID`, for IPv6 `00:00:5e:00:02:VRID`',
    }),
    xmit_base: option(per(truth()), {
      about: 'Advertise from the interface’s own hardware address.',
      default: vmac.xmitBase,
    }),
    group: group(),
  }));
  type Vmac = Output<typeof longVmac>;
  const shortVmac = scalar('true or false', yaml.boolean(), (on): Vmac | null => (on ? {} : null));
  return {
    vmac: option(shortOrLong(shortVmac, longVmac), {
      about:
        'Virtual hardware address of the standard: the virtual IPs are on a macvlan that has it, ' +
        'and hosts keep their ARP entries through every failover.',
      default: false,
    }),
    ipvlan: option(
      section(() => ({
        name: option(per(linkName()), {
          about: 'Name of the link.',
          without: '`vrrp.VRID`, for IPv6 `vrrp6.VRID`',
        }),
        mode: option(per(word(['bridge', 'private', 'vepa'])), {
          about:
            'Whom the link talks to on its own host: the other links of the interface, nobody, ' +
            'or those beyond the switch.',
          default: ipvlan.mode,
        }),
        group: group(),
      })),
      {
        about:
          'The virtual IPs are on an ipvlan, which shares the interface’s hardware address, for ' +
          'networks that let one address pass only.',
        without: 'none',
      },
    ),
  };
}

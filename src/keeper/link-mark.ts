/** By what a link that vipkeeper made is known: its alias, which outlives the keeper. */
import type { Link } from '../linux/netlink/route-messages.ts';

/** Begins the alias; the name of the instance follows. */
export const LINK_MARK = 'vipkeeper: ';

/** True for a link that vipkeeper made: this process or an earlier one. */
export function isOurLink(link: Link): boolean {
  return link.alias?.startsWith(LINK_MARK) === true;
}

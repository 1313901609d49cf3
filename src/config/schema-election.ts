/**
 * The part of the configuration language that says how an instance takes part in the election
 * (ElectionConfig of core/config/config.ts): its keys among those of an instance, and their
 * values with the defaults.
 */
import type { ElectionConfig } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { type Output, option, type Type, truth, whole, word } from './forms.ts';

type Per = <T>(inner: Type<T>) => Type<T>;

export function electionOptions(per: Per) {
  const { election } = DEFAULTS.vrrp;
  return {
    down_timer_adverts: option(per(whole(1, 100)), {
      about:
        'Advertisements of the active director that a backup misses before it takes over; the ' +
        'same on all directors.',
      default: election.downTimerAdverts,
    }),
    timer_expired_backup: option(per(whole(1, 254)), {
      about:
        'Highest priority of any other director (254 if it is not known): an active director ' +
        'that was stalled for so long that this one has taken over becomes backup by itself.',
      without: 'it gives way when it hears the other one',
    }),
    answer_lower_priority: option(per(truth()), {
      about: 'Advertise at once when an advertisement of lower priority is heard while active.',
      without: 'true with version 3 (RFC 9568), false with version 2 (RFC 3768)',
    }),
    advertise_before_yielding: option(per(truth()), {
      about:
        'Advertise once more before giving way to a better director, which answers with ' +
        'announcements.',
      default: election.advertiseBeforeYielding,
    }),
    owner_conflict: option(per(word(['yield', 'ignore'])), {
      about:
        'With priority 255, when another director advertises it too: `yield`, one of the two ' +
        'gives way; `ignore`, an owner discards all advertisements (RFC 9568).',
      default: election.ownerConflict,
    }),
    check_addresses: option(per(word(['off', 'warn', 'refuse'])), {
      about:
        'Advertisements that list other addresses than this instance has: not compared (`off`), ' +
        'counted and told of (`warn`), or refused (`refuse`): then each director is alone.',
      default: election.checkAddresses,
    }),
    accept: option(per(truth()), {
      about:
        'Whether an active director takes packets to its virtual IPs for itself (ping, ssh); ' +
        'without it only virtual services answer there. An owner (priority 255) always does.',
      without: 'true; false with strict (RFC 9568 section 6.1)',
    }),
    strict: option(per(truth()), {
      about:
        'Make every option that departs from the standards an error, as keepalived’s vrrp_strict ' +
        'does; beside that, accept is off by default.',
      default: false,
    }),
  };
}

/** What the keys above parse to. */
export type ElectionInput = {
  [Key in keyof ReturnType<typeof electionOptions>]?:
    | Output<ReturnType<typeof electionOptions>[Key]>
    | undefined;
};

/** The values with their defaults, some of which depend on the version or on strict. */
export function resolveElection(input: ElectionInput, version: 2 | 3): ElectionConfig {
  const { election } = DEFAULTS.vrrp;
  return {
    downTimerAdverts: input.down_timer_adverts ?? election.downTimerAdverts,
    timerExpiredBackup: input.timer_expired_backup ?? election.timerExpiredBackup,
    answerLowerPriority: input.answer_lower_priority ?? version === 3,
    advertiseBeforeYielding: input.advertise_before_yielding ?? election.advertiseBeforeYielding,
    ownerConflict: input.owner_conflict ?? election.ownerConflict,
    checkAddresses: input.check_addresses ?? election.checkAddresses,
    accept: input.accept ?? (input.strict === true ? false : election.accept),
  };
}

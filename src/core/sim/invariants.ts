/** What a simulated world is held to: judge.ts looks at all directors at once, conduct.ts at one alone. */

/** What is promised, and the reason. */
export const INVARIANTS = {
  'one-active': 'At rest exactly one director holds the VIP, and nobody waits that may preempt it',
  'rest-is-stable': 'At rest, within ordinary loss and delay, nobody changes its state',
  'overlap-ends':
    'Two directors that hear one another do not both hold the VIP for longer than an advert takes',
  'clean-takeover':
    'When an active leaves a LAN at rest, its successor is alone from the first moment',
  'handover-without-gap':
    'When an active is stopped in a LAN at rest, its successor holds the VIP before it lets go',
  'takeover-in-time':
    'Without a holder a backup takes over in its active-down interval, or skew time when told',
  'no-usurping': 'Nobody takes over from an active that it hears, unless it may preempt it',
  'yields-rightly':
    'An active gives way to a higher priority, to a higher address, or after a stall',
  'preempt-delay': 'Nobody preempts before it has listened for its preempt delay',
  'listens-first':
    'A backup takes over when its Active_Down_Timer, set by what it heard, runs out, not before or later',
  'successor-is-heard':
    'Whoever hands over lets go when it hears a successor, or when its time is over',
  'startup-delay':
    'Whoever starts takes no part before its startup delay is over, unless it adopts, and then does',
  'transition-has-cause': 'Every change of state, and its reason, follows from what happened',
  'speaks-rightly':
    'An active advertises, answers and resigns when the standard says so; nobody else says anything',
  'announces-its-own': 'Announcements are of VIPs that the kernel has by then',
  'held-back': 'Whoever was handed over does not preempt before that is taken back',
  'faults-count':
    'A director without link, or with a tracker down, takes no part or has the lower priority',
  'woken-yields': 'A stalled active whose peer took over is backup after its first turn',
  'woken-waits':
    'A stalled backup whose active still advertises is not active after its first turn',
  'addresses-follow-state': 'A running keeper holds the VIP exactly while it is active',
  'group-agrees': 'The members of a sync group are active together, or not at all',
  'takes-part': 'An instance of a running keeper is backup, active or in fault, never idle',
  'takeover-order': 'On becoming active: advertisement, VIP, announcement, in this order',
  'announced-again': 'The announcements are repeated after their delay',
  'announcements-bounded':
    'A losing peer causes one burst of announcements per delay, however often it speaks',
  'adverts-on-time': 'Adverts stay on their grid: the lateness of timers does not add up',
  'adoption-is-safe':
    'A new keeper goes on as active exactly while no peer can have timed out since the last advert',
  'corruption-refused': 'A corrupted advertisement is never taken for a valid one',
  'no-advert-storm': 'Adverts that answer adverts come to an end',
  'no-flapping': 'The number of transitions is bounded by the number of faults',
} as const;
export type Invariant = keyof typeof INVARIANTS;

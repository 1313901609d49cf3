/**
 * The state of one instance as its shell holds it, whether that is the keeper or the simulator: the
 * machine's steps, and in place of them the two that are taken all the time (periodic.ts), where
 * they are the same. So what the simulator proves of these is what runs.
 *
 * Invariant: a state that came from step() is never changed; what is changed in place is a copy
 * that was made here, and `current` may be one.
 */
import { INITIAL_STATE, nextDeadlineUs, type Step, step, type VrrpState } from './instance.ts';
import { advertiseInPlace, hearInPlace, type OwnActive, type OwnBackup } from './periodic.ts';
import type { Advertisement, InstanceOptions, VrrpEvent } from './types.ts';

/** What a moment brings of an instance's deadline. */
export type DeadlineOutcome =
  /** It is not due, or not to be looked at yet. */
  | 'nothing'
  /** One advertisement is to be sent, and nothing else; the state is the one after that. */
  | 'advertise'
  /** The machine is to be handed 'deadline-reached'. */
  | 'step';

export class HeldState {
  #state: VrrpState = INITIAL_STATE;
  /** The state itself while it is one of ours that may be changed in place. */
  #ownActive: OwnActive | null = null;
  #ownBackup: OwnBackup | null = null;

  get current(): VrrpState {
    return this.#state;
  }

  /** It begins anew: its keeper is another one. */
  reset(): void {
    this.#state = INITIAL_STATE;
  }

  /** Takes the machine's step; returns what it was. */
  take(options: InstanceOptions, event: VrrpEvent): Step {
    const taken = step(options, this.#state, event);
    this.#state = taken.state;
    return taken;
  }

  /**
   * What is due at `nowUs`, microseconds of the monotonic clock; with `onlyPunctual` only the
   * deadline of an active director that is less than an interval late.
   */
  due(options: InstanceOptions, nowUs: number, onlyPunctual: boolean): DeadlineOutcome {
    const state = this.#state;
    if (onlyPunctual && state.kind !== 'active') return 'nothing';
    const deadlineUs = nextDeadlineUs(state);
    if (deadlineUs === null || deadlineUs > nowUs) return 'nothing';
    if (state.kind !== 'active') return 'step';
    if (onlyPunctual && nowUs - deadlineUs >= options.advertIntervalUs) return 'nothing';
    let own = this.#ownActive;
    if (own !== state) {
      own = { ...state };
      this.#ownActive = own;
      this.#state = own;
    }
    return advertiseInPlace(options, own, nowUs) ? 'advertise' : 'step';
  }

  /**
   * What a backup hears all the time, at `atUs`: true when the state is the one after it, with
   * nothing to be done; else nothing has changed and the machine is to be handed it.
   */
  hear(
    options: InstanceOptions,
    advert: Pick<Advertisement, 'priority' | 'advertIntervalUs'>,
    atUs: number,
  ): boolean {
    const state = this.#state;
    if (state.kind !== 'backup') return false;
    let own = this.#ownBackup;
    if (own !== state) {
      own = { ...state };
      this.#ownBackup = own;
      this.#state = own;
    }
    return hearInPlace(options, own, advert, atUs);
  }
}

/**
 * What is said about a VRRP instance to the world outside: arguments of scripts, lines of the
 * FIFO, subjects and texts of mails. The words, their order and their quoting are keepalived's
 * (keepalived.conf(5): notify, notify_fifo, smtp_alert), so that its users' scripts go on working.
 */
import type { TransitionReason, VrrpStateName } from '../vrrp/types.ts';

export type NotifyState = 'MASTER' | 'BACKUP' | 'FAULT' | 'STOP' | 'DELETED';
export type NotifyWord =
  | NotifyState
  | 'MASTER_RX_LOWER_PRI'
  | 'MASTER_PRIORITY'
  | 'BACKUP_PRIORITY';

export interface Notice {
  readonly kind: 'INSTANCE' | 'GROUP';
  readonly name: string;
  readonly word: NotifyWord;
  /** 0 to 255; a group's is always 0. */
  readonly priority: number;
}

const WORDS: Readonly<Record<VrrpStateName, NotifyState>> = {
  initialize: 'STOP',
  backup: 'BACKUP',
  active: 'MASTER',
  fault: 'FAULT',
};

/** keepalived's word for a state; an instance that was stopped is in initialize. */
export function notifyState(state: VrrpStateName): NotifyState {
  return WORDS[state];
}

/**
 * Word for the new priority of an instance in this state; null where keepalived has none: only
 * an active or a backup instance takes part in an election.
 */
export function priorityWord(state: VrrpStateName): NotifyWord | null {
  if (state === 'active') return 'MASTER_PRIORITY';
  return state === 'backup' ? 'BACKUP_PRIORITY' : null;
}

/** The state that all members of a sync group are in, or null while they differ. */
export function groupState(members: readonly (VrrpStateName | undefined)[]): VrrpStateName | null {
  const [first] = members;
  return first !== undefined && members.every((state) => state === first) ? first : null;
}

/** The four arguments that a script for any state gets behind its own. */
export function scriptArguments({ kind, name, word, priority }: Notice): readonly string[] {
  return [kind, name, word, String(priority)];
}

/** One line with its end: `INSTANCE "web" MASTER 100\n`. */
export function fifoLine({ kind, name, word, priority }: Notice): string {
  return `${kind} "${name}" ${word} ${priority}\n`;
}

/** Subject of a mail; `director` stands where keepalived has its router_id. */
export function mailSubject(director: string, { kind, name, word }: Notice): string {
  const what = kind === 'INSTANCE' ? 'Instance' : 'Group';
  return `[${director}] VRRP ${what} ${name} - Entering ${word} state`;
}

/** Beside the reasons of the keeper those that only the controller knows. */
export type NotifyReason = TransitionReason | 'lower-priority-peer' | 'keeper-lost';

/** Why and when an instance changed its state, for people and for the environment of scripts. */
export interface Circumstances {
  readonly from: VrrpStateName;
  readonly to: VrrpStateName;
  readonly reason: NotifyReason;
  /** The peer last heard, where there was one. */
  readonly peer: string | null;
  readonly priority: number;
  /** ISO 8601, UTC. */
  readonly at: string;
}

/** Body of a mail: a line for each fact, each with its end. */
export function mailText(
  director: string,
  { kind, name }: Pick<Notice, 'kind' | 'name'>,
  facts: Circumstances,
): string {
  const what = kind === 'INSTANCE' ? 'VRRP instance' : 'Sync group';
  const lines = [
    `${what} ${name} of director ${director} is ${facts.to} (before: ${facts.from}).`,
    '',
    `Reason:   ${facts.reason}`,
    `Priority: ${facts.priority}`,
    `Peer:     ${facts.peer ?? 'none heard'}`,
    `Time:     ${facts.at}`,
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** What a script finds in its environment beside PATH: documented with the configuration. */
export function scriptVariables(
  director: string,
  about: Pick<Notice, 'kind' | 'name'> | null,
  facts: Circumstances | null,
): Readonly<Record<string, string>> {
  return {
    VIPKEEPER_DIRECTOR: director,
    ...(about === null ? {} : { [`VIPKEEPER_${about.kind}`]: about.name }),
    ...(facts === null
      ? {}
      : {
          VIPKEEPER_STATE: facts.to,
          VIPKEEPER_PREVIOUS_STATE: facts.from,
          VIPKEEPER_REASON: facts.reason,
          VIPKEEPER_PRIORITY: String(facts.priority),
          VIPKEEPER_PEER: facts.peer ?? '',
        }),
  };
}

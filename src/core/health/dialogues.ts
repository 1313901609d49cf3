/**
 * Ready-made dialogues of protocols that greet or answer in lines: what is sent, what must come
 * back, and what is a refusal. Each ends with the protocol's own goodbye, so that servers do not
 * log a client that vanished. Standards: RFC 959 (FTP), RFC 9051 (IMAP), RFC 1939 (POP3), RFC 3977
 * (NNTP); Redis serialization protocol (RESP). TLS by command: RFC 4217 (FTP), RFC 9051 (IMAP),
 * RFC 2595 (POP3), RFC 4642 (NNTP).
 */

export interface DialogueStep {
  /** What is sent, as it goes over the wire; null for nothing. */
  readonly send: string | null;
  /** Regular expression (flags u and m) that what comes back must match; null for no wait. */
  readonly expect: string | null;
  /** Regular expression (flags u and m) that is a refusal, also where `expect` matches. */
  readonly refuse: string | null;
  /** TLS begins when the step is done. */
  readonly starttls: boolean;
}

/** A step, or a goodbye, that leaves the connection as it is. */
function step(send: string | null, expect: string | null, refuse: string | null): DialogueStep {
  return { send, expect, refuse, starttls: false };
}

/** A command whose answer TLS begins behind. */
function tlsStep(send: string, expect: string, refuse: string): DialogueStep {
  return { send, expect, refuse, starttls: true };
}

/** Replies of three digits; the last line has a space behind them. */
const reply = (digits: string) => `^${digits} .*\r\n`;
const NUMBERED_REFUSAL = '^[45]\\d\\d[ -].*\r\n';

const FTP_GREETING = step(null, reply('220'), NUMBERED_REFUSAL);
const FTP_TLS = tlsStep('AUTH TLS\r\n', reply('234'), NUMBERED_REFUSAL);
const IMAP_GREETING = step(null, '^\\* (OK|PREAUTH)\\b.*\r\n', '^\\* BYE\\b.*\r\n');
const IMAP_TLS = tlsStep('a0 STARTTLS\r\n', '^a0 OK\\b.*\r\n', '^a0 (NO|BAD)\\b.*\r\n');
const IMAP_TALK = [
  step('a1 NOOP\r\n', '^a1 OK\\b.*\r\n', '^a1 (NO|BAD)\\b.*\r\n'),
  step('a2 LOGOUT\r\n', null, null),
];
const POP3_GREETING = step(null, '^\\+OK\\b.*\r\n', '^-ERR\\b.*\r\n');
const POP3_TLS = tlsStep('STLS\r\n', '^\\+OK\\b.*\r\n', '^-ERR\\b.*\r\n');
const NNTP_GREETING = step(null, reply('20[01]'), NUMBERED_REFUSAL);
const NNTP_TLS = tlsStep('STARTTLS\r\n', reply('382'), NUMBERED_REFUSAL);
const QUIT = step('QUIT\r\n', null, null);

const IMAP = [IMAP_GREETING, ...IMAP_TALK];
const POP3 = [POP3_GREETING, QUIT];
/** A server that wants a password answers too: it is well. */
const REDIS = [step('PING\r\n', '^(\\+PONG|-NOAUTH .*)\r\n', '^-(?!NOAUTH ).*\r\n'), QUIT];

export interface Dialogue {
  /** TLS from the first byte on. */
  readonly tls: boolean;
  readonly steps: readonly DialogueStep[];
  /** The same with TLS by the protocol's own command; null where it has none. */
  readonly starttls: readonly DialogueStep[] | null;
}

export const DIALOGUES = {
  ftp: { tls: false, steps: [FTP_GREETING, QUIT], starttls: [FTP_GREETING, FTP_TLS, QUIT] },
  imap: { tls: false, steps: IMAP, starttls: [IMAP_GREETING, IMAP_TLS, ...IMAP_TALK] },
  imaps: { tls: true, steps: IMAP, starttls: null },
  pop3: { tls: false, steps: POP3, starttls: [POP3_GREETING, POP3_TLS, QUIT] },
  pop3s: { tls: true, steps: POP3, starttls: null },
  nntp: { tls: false, steps: [NNTP_GREETING, QUIT], starttls: [NNTP_GREETING, NNTP_TLS, QUIT] },
  redis: { tls: false, steps: REDIS, starttls: null },
} as const satisfies Readonly<Record<string, Dialogue>>;

/** Words for checks that need no more; those of SMTP are its client's (probes/smtp.ts). */
export const DIALOGUE_WORDS = ['smtp', 'smtps', ...(Object.keys(DIALOGUES) as Named[])] as const;
type Named = keyof typeof DIALOGUES;
export type DialogueName = (typeof DIALOGUE_WORDS)[number];

/** Whether a protocol has a command that begins TLS. */
export function hasStartTls(name: DialogueName): boolean {
  return name === 'smtp' || (name !== 'smtps' && DIALOGUES[name].starttls !== null);
}

/**
 * Their expressions. Each is about a single line with its end, and takes no more time than the line
 * is long, so that what comes may be looked at line by line.
 */
export const DIALOGUE_EXPRESSIONS: ReadonlySet<string | null> = new Set(
  Object.values<Dialogue>(DIALOGUES)
    .flatMap(({ steps, starttls }) => [...steps, ...(starttls ?? [])])
    .flatMap(({ expect, refuse }) => [expect, refuse]),
);

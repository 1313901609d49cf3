/**
 * Ready-made dialogues of protocols that greet or answer in lines: what is sent, what must come
 * back, and what is a refusal. Each ends with the protocol's own goodbye, so that servers do not
 * log a client that vanished. Standards: RFC 5321 (SMTP), RFC 959 (FTP), RFC 9051 (IMAP),
 * RFC 1939 (POP3), RFC 3977 (NNTP); Redis serialization protocol (RESP).
 */

export interface DialogueStep {
  /** What is sent, as it goes over the wire; null for nothing. */
  readonly send: string | null;
  /** Regular expression (flags u and m) that what comes back must match; null for no wait. */
  readonly expect: string | null;
  /** Regular expression (flags u and m) that is a refusal, also where `expect` matches. */
  readonly refuse: string | null;
}

/** Replies of three digits; the last line has a space behind them. */
const reply = (digits: string) => `^${digits} .*\r\n`;
const NUMBERED_REFUSAL = '^[45]\\d\\d[ -].*\r\n';

const SMTP: readonly DialogueStep[] = [
  { send: null, expect: reply('220'), refuse: NUMBERED_REFUSAL },
  { send: 'EHLO vipkeeper\r\n', expect: reply('250'), refuse: NUMBERED_REFUSAL },
  { send: 'QUIT\r\n', expect: null, refuse: null },
];
const FTP: readonly DialogueStep[] = [
  { send: null, expect: reply('220'), refuse: NUMBERED_REFUSAL },
  { send: 'QUIT\r\n', expect: null, refuse: null },
];
const IMAP: readonly DialogueStep[] = [
  { send: null, expect: '^\\* (OK|PREAUTH)\\b.*\r\n', refuse: '^\\* BYE\\b.*\r\n' },
  { send: 'a1 NOOP\r\n', expect: '^a1 OK\\b.*\r\n', refuse: '^a1 (NO|BAD)\\b.*\r\n' },
  { send: 'a2 LOGOUT\r\n', expect: null, refuse: null },
];
const POP3: readonly DialogueStep[] = [
  { send: null, expect: '^\\+OK\\b.*\r\n', refuse: '^-ERR\\b.*\r\n' },
  { send: 'QUIT\r\n', expect: null, refuse: null },
];
const NNTP: readonly DialogueStep[] = [
  { send: null, expect: reply('20[01]'), refuse: NUMBERED_REFUSAL },
  { send: 'QUIT\r\n', expect: null, refuse: null },
];
/** A server that wants a password answers too: it is well. */
const REDIS: readonly DialogueStep[] = [
  { send: 'PING\r\n', expect: '^(\\+PONG|-NOAUTH .*)\r\n', refuse: '^-(?!NOAUTH ).*\r\n' },
  { send: 'QUIT\r\n', expect: null, refuse: null },
];

export const DIALOGUES = {
  smtp: { tls: false, steps: SMTP },
  ftp: { tls: false, steps: FTP },
  imap: { tls: false, steps: IMAP },
  imaps: { tls: true, steps: IMAP },
  pop3: { tls: false, steps: POP3 },
  pop3s: { tls: true, steps: POP3 },
  nntp: { tls: false, steps: NNTP },
  redis: { tls: false, steps: REDIS },
} as const satisfies Readonly<
  Record<string, { readonly tls: boolean; readonly steps: readonly DialogueStep[] }>
>;
export type DialogueName = keyof typeof DIALOGUES;

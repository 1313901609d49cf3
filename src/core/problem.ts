/**
 * Problem: an error that an operator sees. It says what is wrong and what to do about it, and
 * has a code that documentation and scripts can rely on. Codes are never reused.
 */

/** Every code with its meaning; docs/reference/errors.md is tested against this table. */
export const PROBLEM_CODES = {
  'VK-CONFIG-READ': 'The configuration file cannot be read',
  'VK-CONFIG-SYNTAX': 'The configuration file is not valid YAML',
  'VK-CONFIG-INVALID': 'A value in the configuration is not allowed',
  'VK-CONFIG-CHANGED': 'The configuration was changed while the director started',
  'VK-USAGE': 'The command line is invalid',
  'VK-NOT-ROOT': 'A capability that vipkeeper needs is missing',
  'VK-NO-IPVS': 'The kernel has no IPVS',
  'VK-NO-SCHEDULER': 'The kernel has no such IPVS scheduler or persistence engine',
  'VK-NO-INTERFACE': 'A network interface does not exist',
  'VK-NO-SOURCE-ADDRESS': 'An interface has no address to send advertisements from',
  'VK-PORT-IN-USE': 'A port or socket that vipkeeper wants to listen on is taken',
  'VK-ALREADY-RUNNING': 'Another vipkeeper runs with the same runtime directory',
  'VK-NOT-RUNNING': 'No vipkeeper answers on the control socket',
  'VK-NO-KEEPER': 'The keeper does not answer',
  'VK-RUNTIME-DIRECTORY': 'The runtime directory cannot be used',
  'VK-STATE-DIRECTORY': 'The state directory cannot be used',
  'VK-LINK': 'The virtual link of an instance cannot be made or kept',
  'VK-ADDRESS': 'The kernel refused a change of a virtual IP',
  'VK-ROUTE': 'The kernel refused a route or rule',
  'VK-FILTER': 'Packets to virtual IPs cannot be kept from being accepted',
  'VK-CONTESTED': 'Another program keeps removing what vipkeeper puts into the kernel',
  'VK-IPVS': 'The kernel refused a change of the IPVS table',
  'VK-IPVS-SETTING': "A setting of the kernel's IPVS cannot be set",
  'VK-SYNC': 'The kernel refused a change of the connection sync daemon',
  'VK-SCRIPT': 'A script cannot be run',
  'VK-FIFO': 'The notification FIFO cannot be used',
  'VK-TRACKER': 'What a tracker looks at is not usable',
  'VK-MAIL': 'A mail was not sent',
  'VK-OVERRIDE': 'A decision about a real server cannot be carried out',
  'VK-LAST-SERVER': 'A decision would leave a service without servers',
  'VK-HANDOVER': 'A planned handover cannot be done',
  'VK-SYSTEM': 'A system call failed',
  'VK-INTERNAL': 'A bug in vipkeeper',
} as const;

export type ProblemCode = keyof typeof PROBLEM_CODES;

export interface Problem {
  readonly code: ProblemCode;
  /** What is wrong, and of what: one sentence, sentence case, no final period. */
  readonly message: string;
  /** What to do about it: one sentence, sentence case, no final period. */
  readonly cure: string;
}

/** "VK-X: message. cure." on one line, as terminals and logs show it. */
export function formatProblem(problem: Problem): string {
  return `${problem.code}: ${problem.message}. ${problem.cure}.`;
}

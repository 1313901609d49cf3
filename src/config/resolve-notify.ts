/**
 * Who is told of transitions, from its parsed form: defaults applied, and what one part needs of
 * another checked.
 */
import type {
  InstanceNotifyConfig,
  MailConfig,
  NotifyConfig,
  ServiceNotifyConfig,
} from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import type { Path } from './document.ts';
import type { Report } from './report.ts';
import type { NamedVrrp } from './resolve-vrrp.ts';
import type { GroupInput, MailInput, NotifyInput, ServiceInput } from './schema.ts';

export interface NotifyParts {
  /** null where it is missing or wrong. */
  readonly notify: NotifyInput | null;
  readonly mail: MailInput | null;
  /** The section `mail` is in the file, right or wrong. */
  readonly hasMail: boolean;
  readonly instances: readonly NamedVrrp[];
  readonly groups: readonly { readonly name: string; readonly input: GroupInput }[];
}

export function resolveNotify(
  { notify, mail, hasMail, instances, groups }: NotifyParts,
  report: Report,
): { readonly notify: NotifyConfig; readonly mail: MailConfig | null } {
  const defaults = DEFAULTS.notify;
  if (notify?.fifo_script !== undefined && notify.fifo === undefined) {
    report.error(
      ['notify', 'fifo_script'],
      'notify.fifo is missing, there is nothing to read',
      'bare',
    );
  }
  const resolved = instances.map(({ name, input }): InstanceNotifyConfig => {
    const own = input.notify;
    if (own?.mail === true && !hasMail) {
      report.error(['vrrp', name, 'notify', 'mail'], 'the section mail is missing', 'bare');
    }
    return {
      name,
      active: own?.active ?? null,
      backup: own?.backup ?? null,
      fault: own?.fault ?? null,
      stop: own?.stop ?? null,
      deleted: own?.deleted ?? null,
      any: own?.any ?? null,
      lowerPriority: own?.lower_priority ?? null,
      priorityChanges: own?.priority_changes ?? defaults.priorityChanges,
      mail: own?.mail ?? defaults.mail,
    };
  });
  return {
    notify: {
      fifo: notify?.fifo ?? null,
      fifoServices: notify?.fifo_services ?? defaults.fifoServices,
      fifoScript: notify?.fifo_script ?? null,
      user: notify?.user ?? null,
      group: notify?.group ?? null,
      timeoutUs: notify?.timeout ?? defaults.timeoutUs,
      startup: notify?.startup ?? null,
      shutdown: notify?.shutdown ?? null,
      scriptSecurity: notify?.script_security ?? defaults.scriptSecurity,
      instances: resolved,
      groups: groups.map(({ name, input }) => {
        const own = input.notify;
        if (own?.mail === true && !hasMail) {
          report.error(['groups', name, 'notify', 'mail'], 'the section mail is missing', 'bare');
        }
        return {
          name,
          active: own?.active ?? null,
          backup: own?.backup ?? null,
          fault: own?.fault ?? null,
          stop: own?.stop ?? null,
          any: own?.any ?? null,
          mail: own?.mail ?? defaults.mail,
        };
      }),
      fifoStatesOnReload: notify?.fifo_states_on_reload ?? defaults.fifoStatesOnReload,
    },
    mail: mail === null ? null : resolveMail(mail),
  };
}

/** Of one service; `path` leads there, `hasMail` as above. */
export function resolveServiceNotify(
  input: ServiceInput['notify'],
  {
    path,
    hasMail,
    report,
  }: { readonly path: Path; readonly hasMail: boolean; readonly report: Report },
): ServiceNotifyConfig | null {
  if (input === undefined) return null;
  const { notify } = DEFAULTS;
  for (const key of ['mail', 'server_mail'] as const) {
    if (input[key] === true && !hasMail) {
      report.error([...path, key], 'the section mail is missing', 'bare');
    }
  }
  return {
    quorumUp: input.quorum_up ?? null,
    quorumDown: input.quorum_down ?? null,
    serverUp: input.server_up ?? null,
    serverDown: input.server_down ?? null,
    mail: input.mail ?? notify.mail,
    serverMail: input.server_mail ?? notify.serverMail,
  };
}

function resolveMail(mail: MailInput): MailConfig {
  const { host, port, timeoutUs } = DEFAULTS.mail;
  return {
    ...(mail.server ?? { host, port }),
    from: mail.from,
    to: mail.to,
    helo: mail.helo ?? null,
    timeoutUs: mail.timeout ?? timeoutUs,
  };
}

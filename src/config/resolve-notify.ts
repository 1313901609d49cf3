/**
 * Who is told of transitions, from its parsed form: defaults applied, and what one part needs of
 * another checked.
 */
import type { InstanceNotifyConfig, MailConfig, NotifyConfig } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import type { Report } from './report.ts';
import type { NamedVrrp } from './resolve-vrrp.ts';
import type { GroupInput, MailInput, NotifyInput } from './schema.ts';

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

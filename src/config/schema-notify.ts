/**
 * The part of the configuration language that says who is told of transitions: scripts, FIFO
 * and mail. A command is one line, taken apart as keepalived does, or a list of words.
 */
import type { Command } from '../core/config/config.ts';
import { DEFAULTS } from '../core/config/defaults.ts';
import { parseCommand } from '../core/notify/command.ts';
import { list, option, Refusal, required, scalar, section, type Type, truth } from './forms.ts';
import { formatDuration, parseEndpoint } from './values.ts';
import * as yaml from './yaml-values.ts';

type Per = <T>(inner: Type<T>) => Type<T>;
type Duration = (minUs: number, maxUs: number) => Type<number>;

const SECOND_US = 1_000_000;
/** A director must be able to stop and to go on: nothing it waits for takes longer. */
const TIMEOUT_MAX_US = 600 * SECOND_US;
/** The kernel's PATH_MAX, with the NUL. */
const PATH_BYTES_MAX = 4095;
/** Longest host name and mail address: RFC 1035 section 2.3.4, RFC 5321 section 4.5.3.1. */
const HOST_LENGTH_MAX = 253;
const MAIL_ADDRESS_LENGTH_MAX = 254;
/** What useradd(8) accepts, and numbers. */
const ACCOUNT_PATTERN = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?$/;
const HOST_PATTERN = /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/;
/** No quoted local parts, and nothing that could end a header. */
const MAIL_ADDRESS_PATTERN = /^[^\s@<>(),;:"\\\p{Cc}]+@[A-Za-z0-9.-]+$/u;

/** A program by its absolute path, with arguments. */
export function command() {
  const expects = 'a command that starts with an absolute path: one line, or a list of words';
  const input = yaml.either(yaml.string({ min: 1 }), yaml.listOf(yaml.string(), 1));
  return scalar(expects, input, (value): Command | Refusal | undefined => {
    if (typeof value !== 'string') {
      return value.some((word) => word.includes('\0')) ? undefined : absolute(value);
    }
    const words = parseCommand(value);
    return words.ok ? absolute(words.value) : new Refusal(`expected a command, but ${words.error}`);
  });
}

function absolute(words: Command): Command | undefined {
  return words[0]?.startsWith('/') === true && !words[0].endsWith('/') ? words : undefined;
}

function fifoPath() {
  const expects = 'an absolute path without .. and white space';
  return scalar(expects, yaml.string({ max: PATH_BYTES_MAX }), (value) =>
    /^(\/[^/\s\p{Cc}]+)+$/u.test(value) && !value.split('/').includes('..') ? value : undefined,
  );
}

function account(expects: string) {
  return scalar(expects, yaml.either(yaml.string(), yaml.int(0)), (value) =>
    ACCOUNT_PATTERN.test(String(value)) ? String(value) : undefined,
  );
}

function mailAddress() {
  const input = yaml.string({ max: MAIL_ADDRESS_LENGTH_MAX });
  return scalar('a mail address, such as ops@example.com', input, (value) =>
    MAIL_ADDRESS_PATTERN.test(value) ? value : undefined,
  );
}

function hostName(expects: string) {
  return scalar(expects, yaml.string({ max: HOST_LENGTH_MAX }), (value) =>
    HOST_PATTERN.test(value) ? value : undefined,
  );
}

function mailServer() {
  const expects = 'a host name or an IP address, with or without port, such as mail.example.com:25';
  return scalar(expects, yaml.string({ max: HOST_LENGTH_MAX + 6 }), (value) => {
    const { port } = DEFAULTS.mail;
    const endpoint = parseEndpoint(value);
    if (endpoint !== null) {
      return endpoint.port === 0
        ? undefined
        : { host: endpoint.address, port: endpoint.port ?? port };
    }
    const match = /^([^:]+)(?::(\d{1,5}))?$/.exec(value);
    const host = match?.[1] ?? '';
    const given = match?.[2] === undefined ? port : Number(match[2]);
    // A name of digits and dots only is a mistyped address.
    const valid = HOST_PATTERN.test(host) && !/^[\d.]+$/.test(host) && given > 0 && given <= 65535;
    return valid ? { host, port: given } : undefined;
  });
}

/** A local user, by name or number. */
export function userName() {
  return account('the name of a local user, or a number');
}

/** A local group, by name or number. */
export function groupName() {
  return account('the name of a local group, or a number');
}

/** `notify` of one instance. */
export function instanceNotifySchema(per: Per) {
  const run = (about: string) => option(per(command()), { about, without: 'nothing' });
  return section(() => ({
    active: run('Command when it becomes active.'),
    backup: run('Command when it becomes backup.'),
    fault: run('Command when it cannot take part.'),
    stop: run('Command when vipkeeper stops.'),
    deleted: option(per(command()), {
      about: 'Command when it is taken out of the configuration.',
      without: 'as `fault`',
    }),
    any: run(
      'Command at each of these, with four arguments more, as keepalived has them: `INSTANCE`, ' +
        'its name, `MASTER`, `BACKUP`, `FAULT`, `STOP` or `DELETED`, and its priority.',
    ),
    lower_priority: run('Command when it is active and hears a peer of lower priority.'),
    priority_changes: option(per(truth()), {
      about:
        'Tell `any` and the FIFO of a changed priority too: `MASTER_PRIORITY`, `BACKUP_PRIORITY`.',
      default: DEFAULTS.notify.priorityChanges,
    }),
    mail: option(per(truth()), {
      about: 'Send a mail at every change of its state.',
      default: DEFAULTS.notify.mail,
    }),
  }));
}

/** `notify` of one sync group. */
export function groupNotifySchema(per: Per) {
  const run = (about: string) => option(per(command()), { about, without: 'nothing' });
  return section(() => ({
    active: run('Command when all of its instances have become active.'),
    backup: run('Command when all have become backup.'),
    fault: run('Command when all are in fault.'),
    stop: run('Command when vipkeeper stops.'),
    any: run(
      'Command at each of these, with four arguments more, as keepalived has them: `GROUP`, ' +
        'its name, `MASTER`, `BACKUP`, `FAULT` or `STOP`, and `0`.',
    ),
    mail: option(per(truth()), {
      about: 'Send a mail at every change of its state.',
      default: DEFAULTS.notify.mail,
    }),
  }));
}

/** `notify` of one virtual service. */
export function serviceNotifySchema(per: Per) {
  const run = (about: string) => option(per(command()), { about, without: 'nothing' });
  const { notify } = DEFAULTS;
  return section(() => ({
    quorum_up: run('Command when the healthy servers are enough for the quorum.'),
    quorum_down: run('Command when they are too few.'),
    server_up: run('Command when a server of it is healthy; `VIPKEEPER_SERVER` says which.'),
    server_down: run('Command when a server of it has failed its check.'),
    mail: option(per(truth()), {
      about: 'Send a mail when the quorum is lost, and when it is met again.',
      default: notify.mail,
    }),
    server_mail: option(per(truth()), {
      about: 'Send a mail when a server of it fails, and when it is healthy again.',
      default: notify.serverMail,
    }),
  }));
}

/** `notify` and `mail` of the director. */
export function notifySections(per: Per, duration: Duration) {
  const { notify, mail } = DEFAULTS;
  return {
    notify: option(
      section(() => ({
        fifo: option(per(fifoPath()), {
          about: 'FIFO that gets a line for every transition, as keepalived writes them.',
          without: 'no FIFO',
        }),
        fifo_services: option(per(truth()), {
          about: 'Write lines of virtual services and real servers to the FIFO too.',
          default: notify.fifoServices,
        }),
        fifo_script: option(per(command()), {
          about: 'Command that reads the FIFO and runs all the time; the path is added to it.',
          without: 'nothing',
        }),
        fifo_states_on_reload: option(per(truth()), {
          about: 'Write the states of all instances and groups to the FIFO again after a reload.',
          default: notify.fifoStatesOnReload,
        }),
        user: option(per(userName()), {
          about: 'User that scripts run as, and owner of the FIFO.',
          without: 'vipkeeper’s own',
        }),
        group: option(per(groupName()), {
          about: 'The same for the group.',
          without: 'the user’s',
        }),
        timeout: option(per(duration(SECOND_US, TIMEOUT_MAX_US)), {
          about: 'Longest run of a script; one that takes longer is ended, and has failed.',
          default: formatDuration(notify.timeoutUs),
        }),
        startup: option(per(command()), {
          about: 'Command before vipkeeper begins; waited for.',
          without: 'nothing',
        }),
        shutdown: option(per(command()), {
          about: 'Command at a stop, after the last scripts of the instances; it has 3s at most.',
          without: 'nothing',
        }),
        script_security: option(per(truth()), {
          about: 'Refuse scripts that would run as root and that others than root may change.',
          default: notify.scriptSecurity,
        }),
      })),
      { about: 'Telling other programs of transitions.', without: 'nobody is told' },
    ),
    mail: option(
      section(() => ({
        server: option(per(mailServer()), {
          about: 'SMTP server.',
          default: `${mail.host}:${mail.port}`,
        }),
        from: required(per(mailAddress()), 'Sender.'),
        to: required(per(list(mailAddress(), 1)), 'Recipients.'),
        helo: option(per(hostName('a host name')), {
          about: 'Name to greet the server with.',
          without: 'the host’s name',
        }),
        timeout: option(per(duration(SECOND_US, TIMEOUT_MAX_US)), {
          about: 'Longest wait for the server at each step.',
          default: formatDuration(mail.timeoutUs),
        }),
      })),
      {
        about: 'Mails of instances, groups and services whose `notify` asks for them.',
        without: 'no mail',
      },
    ),
  };
}

/** Maintenance windows in the configuration language: the same keys at servers, services and the top. */
import { DEFAULTS } from '../core/config/defaults.ts';
import type { CronFields } from '../core/health/cron.ts';
import { parseCron } from './cron-text.ts';
import {
  list,
  option,
  Refusal,
  required,
  scalar,
  section,
  type Type,
  truth,
  word,
} from './forms.ts';
import { duration, text } from './scalars.ts';
import { type Endpoint, formatDuration, parseEndpoint } from './values.ts';
import * as yaml from './yaml-values.ts';

type Per = <T>(inner: Type<T>) => Type<T>;

const MINUTE_US = 60_000_000;
const DAY_US = 1_440 * MINUTE_US;
const REASON_LENGTH_MAX = 200;

function cron() {
  return scalar(
    'a cron expression, such as "0 3 * * sun"',
    yaml.string(),
    (value): { text: string; fields: CronFields } | Refusal => {
      const parsed = parseCron(value);
      return parsed.ok ? { text: value, fields: parsed.value } : new Refusal(parsed.error);
    },
  );
}

function isTimeZone(value: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: value });
    return true;
  } catch {
    return false;
  }
}

function windowKeys(per: Per, { force }: { readonly force: string }) {
  const { maintenance } = DEFAULTS;
  return {
    schedule: required(
      per(cron()),
      'When it begins, as cron has it: minute, hour, day of month, month, day of week; or ' +
        '`@daily`, `@weekly` and the like.',
    ),
    duration: required(per(duration(MINUTE_US, 31 * DAY_US)), 'How long it lasts.'),
    time_zone: option(per(text('the name of a time zone, such as Europe/Vienna', isTimeZone)), {
      about: 'Time zone of the schedule.',
      without: 'that of the director',
    }),
    action: option(per(word(['drain', 'down'])), {
      about:
        'No new connections (`drain`), or out of the table (`down`), which cuts off the ' +
        'connections that are left.',
      default: maintenance.action,
    }),
    drain_before: option(per(duration(0, DAY_US)), {
      about: 'How long before it begins there are no new connections any more.',
      default: formatDuration(maintenance.drainBeforeUs),
    }),
    force: option(per(truth()), {
      about:
        'Go on where too few servers would be left for the quorum or `min_healthy`; else those ' +
        'stay in that are needed, and it is told.',
      without: force,
    }),
    reason: option(per(text('a text', (value) => value.length <= REASON_LENGTH_MAX)), {
      about: 'Why, for the status and the log.',
      without: 'none',
    }),
  };
}

/** The windows of a server, or of all servers of a service. */
export function maintenanceSchema(per: Per, force: boolean) {
  return list(section(() => windowKeys(per, { force: String(force) })));
}

/** Windows of a server in all services. */
export function ripMaintenanceSchema(per: Per) {
  const expects = 'an IP address with or without port, such as 10.0.0.11';
  const server = scalar(expects, yaml.string(), (value): Endpoint | undefined => {
    return parseEndpoint(value) ?? undefined;
  });
  const keys = windowKeys(per, { force: 'false' });
  return list(
    section(() => ({
      server: required(per(server), 'The real server, in every service that has it.'),
      ...keys,
    })),
  );
}

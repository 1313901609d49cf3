/**
 * Service notifier: tells other programs and people when a virtual service loses its quorum or
 * has it again, and when a real server of it fails its check or recovers.
 *
 *   change ──> FIFO
 *          ──> mail, unless it is the first that is known, and good
 *          ──> lane of the service, or of the server in it ──> the script
 *
 * What the checks say first after a start is told as well, so that whoever goes by it knows where
 * it stands; after that only what has changed, also after a restart of the controller. Neither an
 * operator's word nor a maintenance window is a failure: both are nothing to tell here.
 */
import type {
  Command,
  Config,
  RealServerConfig,
  ServiceConfig,
  ServiceNotifyConfig,
} from '../../core/config/config.ts';
import { allServers, checkOf } from '../../core/health/check-key.ts';
import type { ServerHealth } from '../../core/health/pool.ts';
import { kept } from '../../core/kept.ts';
import { LargeMap } from '../../core/large-map.ts';
import {
  noticeName,
  type ServiceNotice,
  type ServiceState,
  serviceLine,
  serviceMailText,
  serviceSubject,
  serviceVariables,
} from '../../core/notify/service-words.ts';
import { Turn } from '../../core/turn.ts';
import { TURNS } from '../../linux/turns.ts';
import type { Channels } from './channels.ts';
import type { NotifyMemory } from './memory.ts';

/** In front of names in the memory and of lanes: instances have no spaces. */
const SERVICE_PREFIX = 'service ';
const SERVER_PREFIX = 'server ';
/** Services that are looked at between two looks at how long the turn has lasted. */
const SERVICES_PER_LOOK = 32;

type Subject = Pick<ServiceNotice, 'service' | 'server'>;
type Change = Omit<ServiceNotice, 'from' | 'at'>;

/** What is known at this moment, for services that were not looked at before. */
export interface KnownHealth {
  readonly health: (server: RealServerConfig) => ServerHealth;
  readonly quorum: (
    service: string,
  ) => { readonly quorumMet: boolean | null; readonly healthyWeight: number } | null;
}

export class ServiceNotifier {
  readonly #channels: Channels;
  readonly #memory: NotifyMemory;
  /** What was told last, or waits to be told, by the names of the memory. */
  readonly #told = new LargeMap<ServiceState>();
  #config: Pick<Config, 'director' | 'notify' | 'services'>;
  /** Those that somebody is told of, by name. */
  #watched: ReadonlyMap<string, ServiceConfig> = new Map();
  /** Those of which everything that is known was told, by name. */
  readonly #learned = new LargeMap<ServiceConfig>();

  constructor(
    config: Pick<Config, 'director' | 'notify' | 'services'>,
    channels: Channels,
    memory: NotifyMemory,
  ) {
    this.#config = config;
    this.#channels = channels;
    this.#memory = memory;
    for (const [name, state] of memory.states) {
      if (state === 'up' || state === 'down') this.#told.set(name, state);
    }
  }

  /** Takes over a configuration, in turns, and forgets what was told of what it does not have. */
  async configure(config: Pick<Config, 'director' | 'notify' | 'services'>): Promise<void> {
    const { fifo, fifoServices } = config.notify;
    const all = fifo !== null && fifoServices;
    const turn = new Turn(TURNS);
    const before = this.#watched;
    const watched = new LargeMap<ServiceConfig>();
    let [looked, changed] = [0, false];
    for (const service of config.services) {
      if (all || service.notify !== null) {
        watched.set(service.name, service);
        changed ||= before.get(service.name) !== service;
      }
      if (++looked % SERVICES_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
    }
    this.#config = config;
    this.#watched = watched;
    if (before.size > 0 && !changed && watched.size === before.size) return;
    const names = new Set<string>();
    for (const service of watched.values()) {
      names.add(nameOf({ service, server: null }));
      for (const server of allServers(service)) names.add(nameOf({ service, server }));
      if (++looked % SERVICES_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
    }
    for (const name of this.#told.keys()) {
      if (!names.has(name)) {
        this.#told.delete(name);
        this.#memory.setSoon(name, null);
      }
      if (++looked % SERVICES_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
    }
    for (const name of this.#learned.keys()) if (!watched.has(name)) this.#learned.delete(name);
  }

  /** A check has changed its mind, which decides about servers of these services. */
  healthChanged(
    key: string,
    services: readonly string[],
    { to, reason }: { readonly to: ServiceState; readonly reason: string },
  ): void {
    for (const name of services) {
      const service = this.#watched.get(name);
      if (service === undefined) continue;
      for (const server of serversByCheck(service).get(key) ?? []) {
        this.#tell({ service, server, to, reason, healthyWeight: null });
      }
    }
  }

  /** A service has its quorum or not; also when that is first known. */
  quorumChanged(service: ServiceConfig, met: boolean, healthyWeight: number): void {
    const watched = this.#watched.get(service.name);
    if (watched === undefined) return;
    const to = met ? 'up' : 'down';
    const reason = `healthy weight ${healthyWeight} of quorum ${service.quorum.weight}`;
    this.#tell({ service: watched, server: null, to, reason, healthyWeight });
  }

  /** After a configuration: tells, in turns, what is known already of services that are new to it. */
  async learn({ health, quorum }: KnownHealth): Promise<void> {
    const turn = new Turn(TURNS);
    let looked = 0;
    for (const [name, service] of this.#watched) {
      if (++looked % SERVICES_PER_LOOK === 0 && turn.hasLasted()) await turn.rest();
      if (this.#learned.get(name) === service) continue;
      this.#learned.set(name, service);
      for (const server of allServers(service)) {
        const to = health(server);
        if (to !== 'up' && to !== 'down') continue;
        const reason = 'known from its check when the configuration was read';
        this.#tell({ service, server, to, reason, healthyWeight: null });
      }
      const { quorumMet = null, healthyWeight = 0 } = quorum(name) ?? {};
      if (quorumMet !== null) this.quorumChanged(service, quorumMet, healthyWeight);
    }
  }

  #tell(change: Change): void {
    const { service, server, to } = change;
    const name = nameOf(change);
    const from = this.#told.get(name) ?? null;
    if (from === to) return;
    this.#told.set(name, to);
    const notice: ServiceNotice = { ...change, from, at: new Date().toISOString() };
    const { director, notify } = this.#config;
    if (notify.fifoServices) this.#channels.write('services', serviceLine(notice));
    // The start of a director that finds everything well is no news for people.
    const isNews = from !== null || to === 'down';
    const mailed = server === null ? service.notify?.mail : service.notify?.serverMail;
    if (mailed === true && isNews) {
      const subject = serviceSubject(director, notice);
      this.#channels.send('services', { subject, text: serviceMailText(director, notice) });
    }
    const command = commandFor(service.notify, notice);
    this.#channels.queue({
      topic: 'services',
      lane: noticeName(notice),
      kind: 'state',
      calls: command === null ? [] : [{ command, args: [] }],
      variables: serviceVariables(director, notice),
      about: {
        service: service.name,
        ...(server === null ? {} : { server: noticeName(notice).slice(service.name.length + 1) }),
        word: to.toUpperCase(),
      },
      done: () => {
        // Its service may have been taken out meanwhile.
        if (this.#told.has(name)) this.#memory.setSoon(name, to);
      },
    });
  }
}

/** All commands that could be run for services of a configuration; null for one without any. */
export function* serviceCommands(services: readonly ServiceConfig[]): Iterable<Command | null> {
  for (const { notify } of services) {
    // Whoever goes through ten thousand of them may rest after each.
    if (notify === null) yield null;
    else yield* [notify.quorumUp, notify.quorumDown, notify.serverUp, notify.serverDown];
  }
}

/** Servers of a service by the keys of their checks. */
const serversByCheck = kept((service: ServiceConfig): ReadonlyMap<string, RealServerConfig[]> => {
  const servers = new Map<string, RealServerConfig[]>();
  for (const server of allServers(service)) {
    const key = checkOf(server)?.key;
    if (key !== undefined) servers.set(key, [...(servers.get(key) ?? []), server]);
  }
  return servers;
});

function nameOf(subject: Subject): string {
  return `${subject.server === null ? SERVICE_PREFIX : SERVER_PREFIX}${noticeName(subject)}`;
}

function commandFor(
  notify: ServiceNotifyConfig | null,
  { server, to }: ServiceNotice,
): Command | null {
  if (notify === null) return null;
  if (server === null) return to === 'up' ? notify.quorumUp : notify.quorumDown;
  return to === 'up' ? notify.serverUp : notify.serverDown;
}

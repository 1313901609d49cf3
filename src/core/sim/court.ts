/**
 * Every virtual router of a world has its judge; the court tells each what concerns it, keeps the
 * trace, and knows what several of them need: which ways between directors are good, which
 * directors do not believe one another, which members of sync groups are active.
 */
import type { Agenda } from './agenda.ts';
import type { Departure, DirectorWatch, SimDirector } from './director.ts';
import type { SimEvent } from './events.ts';
import { Judge, type Violation } from './judge.ts';
import type { Lan, SimPacket } from './lan.ts';
import type { ObservedStep, Recorded, SimRunner } from './runner.ts';
import { routerConfigs, routerNames, type Scenario, type SimInstance } from './scenario.ts';

/** More tell nothing new; the first is what counts. */
const VIOLATIONS_MAX = 64;
/** Share of a receiver's window that two wall clocks may differ without being noticed at all. */
const WINDOW_SHARE = 0.9;

export interface CourtOptions {
  readonly scenario: Scenario;
  readonly agenda: Agenda;
  readonly log: (text: string) => void;
  readonly onEvent: (event: SimEvent) => void;
}

export class Court implements DirectorWatch {
  readonly violations: Violation[] = [];
  readonly judges: ReadonlyMap<string, Judge>;
  readonly #options: CourtOptions;
  readonly #directors: readonly SimDirector[];
  readonly #lans: readonly Lan[];
  readonly #serving = new Map<SimRunner, boolean>();
  /** A director that came back after its time of day went back is not believed until then. */
  readonly #muteUntilUs: number[];
  readonly #steppedBackUntilUs: number[];
  readonly #disbelieved = new Set<number>();
  readonly #hasGroups: boolean;
  readonly #hasHmac: boolean;

  constructor(options: CourtOptions, directors: readonly SimDirector[], lans: readonly Lan[]) {
    const { scenario, agenda, log } = options;
    this.#options = options;
    this.#directors = directors;
    this.#lans = lans;
    this.#muteUntilUs = directors.map(() => 0);
    this.#steppedBackUntilUs = directors.map(() => 0);
    const judges = new Map<string, Judge>();
    this.judges = judges;
    let hasGroups = false;
    let hasHmac = false;
    for (const name of routerNames(scenario)) {
      const instances = withGroups(scenario, name);
      hasGroups ||= instances.some(({ config }) => config.group !== null);
      hasHmac ||= instances.some(({ config }) => config.hmac !== null);
      const lansOf = [...new Set(instances.map(({ lan }) => lan))];
      const judged = {
        name,
        weather: scenario.cluster,
        configs: instances.map(({ config }) => config),
        runners: directors.flatMap((director) => director.runner(name) ?? []),
        directors: directors.length,
        disturbedUntilUs: (from: number, to: number) => this.#disturbedUntilUs(from, to, lansOf),
        anyDisturbedUntilUs: () => this.#anyDisturbedUntilUs(lansOf),
        believes: (from: number, to: number) => this.#believes(from, to),
        violated: (violation: Violation) => this.#violated(violation),
      };
      judges.set(name, new Judge(judged, agenda, log));
    }
    this.#hasGroups = hasGroups;
    this.#hasHmac = hasHmac;
  }

  /** A fault of a LAN begins or ends. */
  lanDisturbed(): void {
    for (const judge of this.judges.values()) judge.lanDisturbed();
  }

  /** The time of day of a director has changed by this much. */
  wallClockStepped(director: SimDirector, byUs: number): void {
    const { nowUs } = this.#options.agenda;
    const { index } = director;
    const windows = director.runners.map(({ options: { hmac } }) => hmac?.windowSeconds ?? 0);
    const windowUs = Math.max(...windows) * 1_000_000;
    if (byUs < 0) {
      // Nobody has taken, and remembers, what was further ahead than the window.
      const untilUs = nowUs + Math.min(-byUs, windowUs);
      this.#steppedBackUntilUs[index] = Math.max(this.#steppedBackUntilUs[index] ?? 0, untilUs);
    }
    // It forgets how far its order of advertisements has come.
    if (Math.abs(byUs) > windowUs) this.#mute(director);
    const noticed = this.#directors.some((other) => this.#disbelieve(director, other));
    // A small step must go unnoticed.
    if (noticed || this.#disbelieved.has(index)) this.disturbed(director, 'clock stepped');
    if (noticed) this.#disbelieved.add(index);
    else this.#disbelieved.delete(index);
  }

  /** Peers remember later advertisements than it sends now. */
  #mute({ index }: SimDirector): void {
    const untilUs = this.#steppedBackUntilUs[index] ?? 0;
    if (untilUs > this.#options.agenda.nowUs) this.#muteUntilUs[index] = untilUs;
  }

  disturbed(director: SimDirector, what: string): void {
    this.#options.log(`${director.name}  ${what}`);
    if (what === 'started') {
      this.#running(director, true);
      this.#mute(director);
    }
    for (const runner of director.runners) this.#judgeOf(runner).disturbed(runner);
    for (const judge of this.judges.values()) judge.lanDisturbed();
  }

  runnerDisturbed(runner: SimRunner, what: string): void {
    this.#options.log(`${runner.label}  ${what}`);
    this.#judgeOf(runner).disturbed(runner);
    // The members of its group act because of it.
    if (this.#hasGroups) this.lanDisturbed();
  }

  departed(director: SimDirector, what: Departure): void {
    this.#options.log(`${director.name}  leaves: ${what}`);
    for (const runner of director.runners) this.#judgeOf(runner).departed(runner, what);
  }

  ended(director: SimDirector): void {
    this.#running(director, false);
  }

  #running(director: SimDirector, running: boolean): void {
    const atUs = this.#options.agenda.nowUs;
    this.#options.onEvent({ atUs, kind: 'running', director: director.name, running });
  }

  holdingChanged(runner: SimRunner): void {
    this.#judgeOf(runner).holdingChanged(runner);
    const { serving } = runner;
    if ((this.#serving.get(runner) ?? false) === serving) return;
    this.#serving.set(runner, serving);
    const { name: instance, host } = runner;
    const atUs = this.#options.agenda.nowUs;
    this.#options.onEvent({ atUs, kind: 'serving', director: host.name, instance, serving });
  }

  stepped(runner: SimRunner, step: ObservedStep): void {
    this.#judgeOf(runner).stepped(runner, step);
    for (const effect of step.effects) {
      if (effect.kind !== 'report-transition') continue;
      const { from, to, reason } = effect;
      const { name: instance, host } = runner;
      const atUs = this.#options.agenda.nowUs;
      const director = host.name;
      this.#options.onEvent({ atUs, kind: 'transition', director, instance, from, to, reason });
    }
  }

  reached(director: SimDirector, packet: SimPacket): void {
    const runner = director.runner(packet.router);
    if (runner !== undefined) this.#judgeOf(runner).reached(runner, packet);
  }

  accepted(runner: SimRunner, packet: SimPacket): void {
    this.#judgeOf(runner).accepted(runner, packet);
  }

  adopted(runner: SimRunner, recorded: Recorded): void {
    this.#judgeOf(runner).adopted(runner, recorded);
  }

  turnEnded(director: SimDirector): void {
    for (const runner of director.runners) this.#judgeOf(runner).turnEnded(runner);
    if (this.#hasGroups && !director.stopping) this.#checkGroups(director);
  }

  waking(director: SimDirector): void {
    for (const runner of director.runners) this.#judgeOf(runner).waking(runner);
  }

  woke(director: SimDirector): void {
    for (const runner of director.runners) this.#judgeOf(runner).woke(runner);
  }

  inspect(router: string, sinceUs: number): void {
    this.judges.get(router)?.inspect(sinceUs);
  }

  #checkGroups(director: SimDirector): void {
    const groups = new Map<string, SimRunner[]>();
    for (const runner of director.runners) {
      const { group } = runner.options;
      if (!runner.present || group === null) continue;
      const members = groups.get(group) ?? [];
      members.push(runner);
      groups.set(group, members);
    }
    for (const members of groups.values()) {
      const active = members.filter(({ state }) => state.kind === 'active').length;
      const [first] = members;
      if (first === undefined) continue;
      this.#judgeOf(first).groupTurnEnded(first, active, members.length);
    }
  }

  #judgeOf(runner: SimRunner): Judge {
    return this.judges.get(runner.name) as Judge;
  }

  #disturbedUntilUs(from: number, to: number, lans: readonly number[]): number {
    const left = this.#directors[from];
    const right = this.#directors[to];
    if (left === undefined || right === undefined) return 0;
    if (this.#disbelieve(left, right)) return this.#options.agenda.nowUs;
    let latestUs = Math.min(
      this.#options.agenda.nowUs,
      Math.max(this.#muteUntilUs[from] ?? 0, this.#muteUntilUs[to] ?? 0),
    );
    for (const lan of lans) {
      latestUs = Math.max(latestUs, this.#lans[lan]?.disturbedUntilUs(from, to) ?? 0);
    }
    return latestUs;
  }

  #anyDisturbedUntilUs(lans: readonly number[]): number {
    let latestUs = 0;
    for (const lan of lans) {
      latestUs = Math.max(latestUs, this.#lans[lan]?.anyDisturbedUntilUs ?? 0);
    }
    if (!this.#hasHmac) return latestUs;
    const nowUs = this.#options.agenda.nowUs;
    for (const left of this.#directors) {
      for (const right of this.#directors) if (this.#disbelieve(left, right)) return nowUs;
    }
    return Math.max(latestUs, Math.min(nowUs, Math.max(...this.#muteUntilUs)));
  }

  #believes(from: number, to: number): boolean {
    const left = this.#directors[from];
    const right = this.#directors[to];
    if (left === undefined || right === undefined) return true;
    const muteUntilUs = Math.max(this.#muteUntilUs[from] ?? 0, this.#muteUntilUs[to] ?? 0);
    return muteUntilUs <= this.#options.agenda.nowUs && !this.#disbelieve(left, right);
  }

  /** The one's advertisements are not authentic, or not in time, to the other. */
  #disbelieve(left: SimDirector, right: SimDirector): boolean {
    if (!this.#hasHmac || left === right) return false;
    if (left.wrongKey !== right.wrongKey) return true;
    const apartUs = Math.abs(left.wallOffsetUs - right.wallOffsetUs);
    if (apartUs === 0) return false;
    return right.runners.some(({ options: { hmac } }) => {
      if (hmac === null || hmac.replay !== 'time') return false;
      return apartUs > WINDOW_SHARE * hmac.windowSeconds * 1_000_000;
    });
  }

  #violated(violation: Violation): void {
    if (this.violations.length >= VIOLATIONS_MAX) return;
    this.violations.push(violation);
    this.#options.onEvent({ atUs: violation.atUs, kind: 'violation', violation });
  }
}

/** The instances of a router, and of all members of the groups that it is ever in. */
function withGroups(scenario: Scenario, name: string): readonly SimInstance[] {
  const own = routerConfigs(scenario, name);
  const groups = new Set(own.flatMap(({ config }) => config.group ?? []));
  if (groups.size === 0) return own;
  const others = routerNames(scenario).filter((other) => other !== name);
  const members = others
    .flatMap((other) => routerConfigs(scenario, other))
    .filter(({ config }) => config.group !== null && groups.has(config.group));
  return [...own, ...members];
}

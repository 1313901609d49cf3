/** Small clusters for tests: directors a, b, c… with one instance, or one on each of two LANs. */
import type { VrrpConfig } from '../../src/core/config/config.ts';
import { DEFAULTS, defaultAttributes } from '../../src/core/config/defaults.ts';
import { CALM } from '../../src/core/sim/generate.ts';
import type { SimCluster, SimDirectorOptions, SimInstance } from '../../src/core/sim/scenario.ts';

export const SECOND = 1_000_000;

/** An instance as a file with nothing but the necessary gives it, but for one packet a burst. */
export function instance(
  director: string,
  config: Partial<VrrpConfig> = {},
  lan: number = 0,
): SimInstance {
  const device = `eth${lan}`;
  const attributes = defaultAttributes('ipv4', 24);
  const address = `192.0.2.${10 + lan}`;
  const vip = { address, prefixLength: 24, interface: device, track: true, attributes };
  return {
    lan,
    source: `10.0.${lan}.${director.charCodeAt(0)}`,
    config: {
      name: lan === 0 ? 'web' : 'inside',
      interface: device,
      family: 'ipv4',
      version: 3,
      vrid: 51 + lan,
      priority: 100,
      advertIntervalUs: SECOND,
      preempt: true,
      preemptDelayUs: 0,
      ...DEFAULTS.vrrp.election,
      checksum: 'auto',
      password: null,
      hmac: null,
      sourceAddress: null,
      virtualLink: null,
      trackInterface: true,
      promoteSecondaries: false,
      unicast: null,
      multicastGroup: DEFAULTS.vrrp.multicastGroup.ipv4,
      announce: { ...DEFAULTS.vrrp.announce, repeat: 1 },
      addresses: [{ ...vip, advertised: true }],
      routes: [],
      rules: [],
      group: null,
      track: [],
      ...config,
    },
  };
}

export function director(
  name: string,
  instances: readonly SimInstance[],
  more: Partial<SimDirectorOptions> = {},
): SimDirectorOptions {
  return {
    name,
    instances,
    startAtUs: 1,
    clockOffsetUs: 5 * SECOND,
    clockDriftPpm: 0,
    wallOffsetUs: 0,
    receiveQueueMax: 8_192,
    drainPacketsMax: 1_024,
    ...more,
  };
}

/** The same director with other options in each of its instances. */
export function configured(
  of: SimDirectorOptions,
  config: Partial<VrrpConfig>,
): SimDirectorOptions {
  const instances = of.instances.map((one) => ({ ...one, config: { ...one.config, ...config } }));
  return { ...of, instances };
}

export function cluster(
  directors: readonly SimDirectorOptions[],
  more: Partial<SimCluster> = {},
): SimCluster {
  const lans = directors.flatMap(({ instances }) => instances.map(({ lan }) => lan));
  return {
    directors,
    lans: Math.max(...lans) + 1,
    lan: { ...CALM, latencyUs: 200, jitterUs: 50 },
    timerLateUs: 100,
    turnLateUs: 100,
    ...more,
  };
}

/** The services of a configuration by their names, for what is asked of one of ten thousand. */
import { kept } from '../kept.ts';
import type { ServiceConfig } from './config.ts';

/** Made once for each list. */
export const servicesByName = kept(
  (services: readonly ServiceConfig[]): ReadonlyMap<string, ServiceConfig> =>
    new Map(services.map((service) => [service.name, service])),
);

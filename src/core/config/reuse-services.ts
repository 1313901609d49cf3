/** Services that have not changed stay the same objects, by which others know that they have not. */
import { sameData } from '../same-data.ts';
import type { ServiceConfig } from './config.ts';

/** The services of `next`, those that are equal to ones of `before` as the same objects. */
export function reuseServices(
  before: readonly ServiceConfig[],
  next: readonly ServiceConfig[],
): ServiceConfig[] {
  const known = new Map(before.map((service) => [service.name, service]));
  return next.map((service) => {
    const same = known.get(service.name);
    return same !== undefined && sameData(same, service) ? same : service;
  });
}

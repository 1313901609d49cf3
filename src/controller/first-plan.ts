/**
 * The plan of a first start, read by the process that becomes the keeper while there is nothing
 * yet that it could be late for: three processes one after the other would take ten times as long.
 * The controller reads the configuration all the same and its plan is the one that counts, as after
 * a start with a stored plan. Whatever is wrong with the file is left to it: it says so.
 */
import { hostname } from 'node:os';
import { readConfigFileText, readConfigText } from '../config/yaml.ts';
import type { FreshPlan, StartRequest } from '../keeper/stored-plan.ts';
import { mayStartEarly } from './early-start.ts';
import { keeperPlan } from './keeper-plan.ts';
import { neededInterfaces } from './preflight.ts';

/** A larger file takes longer to read than the controller's process needs to begin. */
const FILE_BYTES_MAX = 32 * 1024;

/**
 * The plan of the configuration, if a keeper may begin with it before there is a controller; else
 * null. Never throws.
 */
export function firstPlan(request: StartRequest): FreshPlan | null {
  try {
    const text = readConfigFileText(request.config, () => {}, FILE_BYTES_MAX);
    if (!text.ok) return null;
    const { config: file, director } = request;
    const read = readConfigText(text.value, { file, director, hostname: hostname() });
    if (!read.ok || !mayStartEarly(read.value)) return null;
    return { plan: keeperPlan(read.value), interfaces: neededInterfaces(read.value) };
  } catch {
    // The normal start, in which the controller meets the same and says what it is.
    return null;
  }
}

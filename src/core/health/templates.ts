/**
 * Whether clients are to leave servers that their persistence templates hold them at. To the
 * kernel, a template counts more than weight 0: its client goes on to that server, failed or not,
 * for as long as it keeps coming, unless net.ipv4.vs.expire_quiescent_template is set
 * (ip_vs_check_template in ip_vs_conn.c). Who sets it asks here.
 */
import type { PoolWeight, WeightReason } from './pool.ts';

/** Somebody asked for weight 0 itself, which lets clients that are known go on. */
const WEIGHT_ASKED_FOR: ReadonlySet<WeightReason> = new Set([
  'healthy',
  'check-weight',
  'weight-override',
]);

/**
 * True when a server is out, by a failure, a decision, a window or the quorum, is in the table all
 * the same, and has templates; `templatesOf`: how many, by the key of the server.
 */
export function templatesLeadAstray(
  weights: ReadonlyMap<string, PoolWeight>,
  templatesOf: (server: string) => number,
): boolean {
  for (const [server, { weight, reason }] of weights) {
    if (weight !== 0 || WEIGHT_ASKED_FOR.has(reason)) continue;
    if (templatesOf(server) > 0) return true;
  }
  return false;
}

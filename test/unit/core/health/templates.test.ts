/** When clients are to leave servers that their persistence templates hold them at. */
import { describe, expect, it } from 'vitest';
import { WEIGHT_REASONS, type WeightReason } from '../../../../src/core/health/pool.ts';
import { templatesLeadAstray } from '../../../../src/core/health/templates.ts';

const one = (weight: number | null, reason: WeightReason, templates = 1) =>
  templatesLeadAstray(new Map([['a:80', { weight, reason }]]), () => templates);

/** Those of a weight 0 that was asked for as such. */
const MILD: readonly WeightReason[] = ['healthy', 'check-weight', 'weight-override'];

describe('templatesLeadAstray', () => {
  it.each(WEIGHT_REASONS)('of weight 0 by %s', (reason) => {
    expect(one(0, reason)).toBe(!MILD.includes(reason));
  });

  it('is nothing to a server with a weight, out of the table or without templates', () => {
    expect(one(1, 'guarded')).toBe(false);
    expect(one(null, 'failed')).toBe(false);
    expect(one(0, 'failed', 0)).toBe(false);
  });

  it('takes one server of several', () => {
    const weights = new Map([
      ['a:80', { weight: 1, reason: 'healthy' }],
      ['b:80', { weight: 0, reason: 'standby' }],
    ] as const);
    expect(templatesLeadAstray(weights, (key) => (key === 'b:80' ? 2 : 5))).toBe(true);
    expect(templatesLeadAstray(weights, (key) => (key === 'b:80' ? 0 : 5))).toBe(false);
  });
});

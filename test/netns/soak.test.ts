/**
 * Half a minute of the soak (test/soak): faults in turn, each of which the pair must survive with
 * no transition that the fault does not explain. Needs root.
 */
import { beforeAll, expect, it } from 'vitest';
import { LabError } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES, PEER_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { FAULTS, type FaultName } from '../soak/faults.ts';
import { soak } from '../soak/soak.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;
const SOAK_MS = 15_000;
const TEST_TIMEOUT_MS = 120_000;

beforeAll(async () => {
  await ensurePackages([...NETWORK_PACKAGES, ...PEER_PACKAGES]);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
}, SETUP_TIMEOUT_MS);

it(
  'a pair under one fault after another has no transition without a cause',
  async () => {
    const lines: string[] = [];
    const faults = Object.keys(FAULTS) as FaultName[];
    const progress = (line: string) => void lines.push(line);
    const report = await soak({ durationMs: SOAK_MS, seed: 3, busy: 0, faults, progress });
    expect(report.failures, lines.join('\n')).toEqual([]);
    expect(report.faults).toBeGreaterThanOrEqual(3);
    expect(report.transitions).toBeGreaterThan(0);
  },
  TEST_TIMEOUT_MS,
);

/** BFD sessions and the checks that go by them, joined as the controller joins them. */
import { BfdSessions } from '../../../src/controller/bfd-sessions.ts';
import { CheckPool } from '../../../src/controller/check-pool.ts';
import type { CheckChangeReport, CheckResultReport } from '../../../src/controller/checks.ts';
import type { Config } from '../../../src/core/config/config.ts';
import { checksOf } from '../../../src/core/health/check-key.ts';
import { monotonicUs } from '../../../src/linux/clock.ts';
import { configurePool } from './configure-checks.ts';

/** The checks of a configuration run from here on; `close` ends them. */
export async function joinChecks({ services, bfd }: Pick<Config, 'services' | 'bfd'>) {
  const results: CheckResultReport[] = [];
  const changes: CheckChangeReport[] = [];
  const defects: unknown[] = [];
  const sessions: BfdSessions = new BfdSessions({
    nowUs: monotonicUs,
    onVerdicts: (names) =>
      pool.runNow(({ check }) => check.kind === 'bfd' && names.has(check.session)),
  });
  const pool = new CheckPool(
    { workers: null, session: (name) => sessions.verdict(name) },
    {
      nowUs: monotonicUs,
      onResult: (report) => results.push(report),
      onChange: (report) => changes.push(report),
      onWeight: () => {},
      onDefect: (error) => defects.push(error),
    },
  );
  const close = async (): Promise<void> => {
    sessions.close();
    await pool.stop();
    if (defects.length > 0) throw defects[0];
  };
  sessions.configure(bfd);
  await configurePool(pool, checksOf(services));
  return { sessions, pool, results, changes, close };
}

/**
 * The Prometheus exposition: values follow the snapshot and nothing else, and Prometheus' own
 * linter has nothing to say about it.
 */
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import type { DirectorStatus, ServiceReport } from '../../../src/core/status.ts';
import { type Exposition, Metrics } from '../../../src/http/metrics.ts';
import { METRIC_GROUPS, type ProcessUsage } from '../../../src/http/metrics-table.ts';
import { stallOf } from '../stall.ts';
import { STATUS } from '../status-fixture.ts';

function metricsOf(...statuses: readonly DirectorStatus[]): Metrics {
  let next = 0;
  return new Metrics({
    status: async () => statuses[Math.min(next++, statuses.length - 1)] as DirectorStatus,
  });
}

const USAGE: ProcessUsage = {
  cpuSeconds: 1,
  residentBytes: 1,
  heapUsedBytes: 1,
  openFds: 1,
  eventLoopActiveSeconds: 1,
};

const METRIC_COUNT = METRIC_GROUPS.flatMap(({ metrics }) => metrics).length;

async function textOf(metrics: Metrics): Promise<string> {
  return textIn(await metrics.render());
}

function textIn({ body }: Exposition): string {
  const text = Buffer.concat(body.parts()).toString('utf8');
  body.release();
  return text;
}

async function lines(status: DirectorStatus, prefix: string): Promise<readonly string[]> {
  const body = await textOf(metricsOf(status));
  return body.split('\n').filter((line) => line.startsWith(prefix));
}

/** With a decision of an operator about every server. */
function overridden(untilMs: number | null): DirectorStatus {
  const said = { action: { kind: 'down' }, by: 'ops', reason: '', sinceMs: 0, untilMs } as const;
  const services = STATUS.services.map((service) => ({
    ...service,
    servers: service.servers.map((one) => ({
      ...one,
      override: { service: service.name, server: one.server, ...said },
    })),
  }));
  return { ...STATUS, services };
}

/** Each with clients of both families, of which those of IPv6 have no server. */
function ofBothFamilies(status: DirectorStatus): DirectorStatus {
  const services = status.services.map((service): ServiceReport => {
    const quorum = { ...service.quorum, met: true, bereft: ['ipv6'] as const };
    return { ...service, families: ['ipv4', 'ipv6'], quorum };
  });
  return { ...status, services };
}

describe('Metrics.render', () => {
  test('passes promtool check metrics', async () => {
    const body = await textOf(metricsOf(STATUS));
    const promtool = spawnSync('promtool', ['check', 'metrics'], { input: body, encoding: 'utf8' });
    expect(promtool.error, "promtool is in Debian's package prometheus").toBeUndefined();
    expect(`${promtool.stdout}${promtool.stderr}`).toBe('');
    expect(promtool.status).toBe(0);
  });

  test('shows every metric of the table under its type', async () => {
    const body = await textOf(metricsOf(STATUS));
    const typed = body.split('\n').filter((line) => line.startsWith('# TYPE '));
    const all = METRIC_GROUPS.flatMap(({ metrics }) => metrics);
    expect(typed).toEqual(all.map(({ name, type }) => `# TYPE ${name} ${type}`));
    expect(all.every(({ name }) => name.startsWith('vipkeeper_'))).toBe(true);
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  });

  test('has a sample of every metric for a director with something of everything', async () => {
    const group = { name: 'edge', state: 'active', members: ['web'], heldBy: [] } as const;
    const route = { kind: 'route' as const, text: 'default', present: true };
    const routing = [{ ...route, error: null, contested: false }];
    const instances = STATUS.instances.map((instance) => ({ ...instance, routing }));
    const whole = {
      ...ofBothFamilies(overridden(1_792_303_200_000)),
      groups: [group],
      instances,
      static: { addresses: [], routing, restored: 1 },
    };
    const body = await textOf(metricsOf(whole));
    for (const { name, type } of METRIC_GROUPS.flatMap(({ metrics }) => metrics)) {
      const sample = type === 'summary' ? `${name}_sum` : name;
      expect(body).toMatch(new RegExp(`^${sample}(\\{.*\\})? [-+0-9.e]+$`, 'm'));
    }
  });

  test('shows what each accepted peer said last, and why it was refused', async () => {
    const labels = 'vrrp_instance="web",peer="192.0.2.2"';
    expect(await lines(STATUS, 'vipkeeper_vrrp_peer_')).toEqual(
      expect.arrayContaining([
        `vipkeeper_vrrp_peer_last_heard_seconds{${labels}} 11532`,
        `vipkeeper_vrrp_peer_priority{${labels}} 100`,
        `vipkeeper_vrrp_peer_advert_interval_seconds{${labels}} 1`,
        `vipkeeper_vrrp_peer_adverts_accepted_total{${labels}} 7`,
        `vipkeeper_vrrp_peer_adverts_refused_total{${labels},reason="checksum"} 3`,
      ]),
    );
  });

  test('shows trackers with their state, number and runs', async () => {
    expect(await lines(STATUS, 'vipkeeper_tracker_')).toEqual(
      expect.arrayContaining([
        'vipkeeper_tracker_up{tracker="haproxy",kind="script"} 0',
        'vipkeeper_tracker_value{tracker="maintenance",kind="file"} -20',
        'vipkeeper_tracker_problem{tracker="uplink",kind="interface"} 0',
        'vipkeeper_tracker_runs_total{tracker="haproxy",result="timeout"} 1',
      ]),
    );
  });

  test('shows the state of an instance as one of four', async () => {
    expect(await lines(STATUS, 'vipkeeper_vrrp_state{vrrp_instance="web"')).toEqual([
      'vipkeeper_vrrp_state{vrrp_instance="web",state="initialize"} 0',
      'vipkeeper_vrrp_state{vrrp_instance="web",state="backup"} 0',
      'vipkeeper_vrrp_state{vrrp_instance="web",state="active"} 1',
      'vipkeeper_vrrp_state{vrrp_instance="web",state="fault"} 0',
    ]);
  });

  test('shows the state of a sync group, and none of them while its members differ', async () => {
    const group = { name: 'edge', members: ['web', 'mail6'], heldBy: [] };
    const states = async (state: 'fault' | null): Promise<readonly string[]> =>
      lines({ ...STATUS, groups: [{ ...group, state }] }, 'vipkeeper_vrrp_group_state{');
    expect(await states('fault')).toContain(
      'vipkeeper_vrrp_group_state{group="edge",state="fault"} 1',
    );
    expect((await states(null)).map((line) => line.at(-1))).toEqual(['0', '0', '0', '0']);
  });

  test('shows what operators decided about servers, and when it ends', async () => {
    const labels = 'service="web",server="10.0.0.11:8080"';
    const shown = (status: DirectorStatus) => lines(status, 'vipkeeper_server_override');
    expect(await shown(overridden(1_792_303_200_000))).toEqual(
      expect.arrayContaining([
        `vipkeeper_server_override{${labels},action="down"} 1`,
        `vipkeeper_server_override_end_timestamp_seconds{${labels}} 1792303200`,
      ]),
    );
    expect((await shown(overridden(null))).filter((line) => line.includes('_end_'))).toEqual([]);
    expect(await shown(STATUS)).toEqual([]);
  });

  test('shows which family of a service of both has no healthy server', async () => {
    const shown = (status: DirectorStatus) => lines(status, 'vipkeeper_service_family');
    expect(await shown(ofBothFamilies(STATUS))).toEqual(
      ['web', 'dns'].flatMap((service) => [
        `vipkeeper_service_family_without_servers{service="${service}",family="ipv4"} 0`,
        `vipkeeper_service_family_without_servers{service="${service}",family="ipv6"} 1`,
      ]),
    );
    expect(await shown(STATUS)).toEqual([]);
  });

  test('shows refused packets of no instance with an empty one', async () => {
    const refused = await lines(STATUS, 'vipkeeper_vrrp_adverts_refused_total');
    expect(refused).toContain(
      'vipkeeper_vrrp_adverts_refused_total{vrrp_instance="web",reason="checksum"} 3',
    );
    expect(refused).toContain(
      'vipkeeper_vrrp_adverts_refused_total{vrrp_instance="",reason="unknown-vrid"} 5',
    );
  });

  test('shows BFD sessions with their refused packets, those of no session with an empty one', async () => {
    expect(await lines(STATUS, 'vipkeeper_bfd_up')).toEqual([
      'vipkeeper_bfd_up{session="peer"} 1',
      'vipkeeper_bfd_up{session="uplink"} 0',
    ]);
    const refused = await lines(STATUS, 'vipkeeper_bfd_packets_refused_total');
    expect(refused).toContain('vipkeeper_bfd_packets_refused_total{session="peer",reason="ttl"} 2');
    expect(refused).toContain(
      'vipkeeper_bfd_packets_refused_total{session="",reason="unknown-session"} 4',
    );
    // Absent where it is not known.
    expect(await lines(STATUS, 'vipkeeper_bfd_detection_time_seconds')).toEqual([
      'vipkeeper_bfd_detection_time_seconds{session="peer"} 0.05',
    ]);
  });

  test('shows the results of checks by reason and their durations as a summary', async () => {
    expect(await lines(STATUS, 'vipkeeper_check_results_total{kind="http"')).toEqual([
      'vipkeeper_check_results_total{kind="http",target="http://10.0.0.11:8080/healthz",result="success"} 100',
      'vipkeeper_check_results_total{kind="http",target="http://10.0.0.11:8080/healthz",result="timeout"} 2',
    ]);
    expect(await lines(STATUS, 'vipkeeper_check_duration_seconds')).toContain(
      'vipkeeper_check_duration_seconds_count{kind="tcp",target="10.0.0.12:8080"} 16',
    );
    expect(await lines(STATUS, 'vipkeeper_check_duration_seconds')).toContain(
      'vipkeeper_check_duration_seconds_sum{kind="tcp",target="10.0.0.12:8080"} 1.25',
    );
  });

  test('leaves out what is not known: before the first verdict, reconcile or daemon', async () => {
    const ipvs = { ...STATUS.ipvs, lastReconcileAt: null, lastReconcileSeconds: null };
    const keeper = { pid: null, scheduling: null, restarts: 4 };
    const early = { ...STATUS, ipvs, keeper, sync: null };
    expect(await lines(early, 'vipkeeper_ipvs_last_reconcile')).toEqual([]);
    expect(await lines(early, 'vipkeeper_ipvs_reconcile_success')).toEqual([]);
    expect(await lines(early, 'vipkeeper_sync')).toEqual([]);
    expect(await lines(early, 'vipkeeper_keeper_')).toEqual([
      'vipkeeper_keeper_up 0',
      'vipkeeper_keeper_restarts_total 4',
    ]);
    expect(await lines(early, 'vipkeeper_check_up')).toEqual([
      'vipkeeper_check_up{kind="http",target="http://10.0.0.11:8080/healthz"} 1',
      'vipkeeper_check_up{kind="tcp",target="10.0.0.12:8080"} 0',
    ]);
    expect(await lines(early, 'vipkeeper_server_weight{service="web"')).toEqual([
      'vipkeeper_server_weight{service="web",server="10.0.0.11:8080"} 1',
      'vipkeeper_server_weight{service="web",server="10.0.0.12:8080"} 0',
    ]);
  });

  test('counts absolutely: a second scrape of the same status shows the same counters', async () => {
    const metrics = metricsOf(STATUS);
    const counters = async () =>
      (await textOf(metrics))
        .split('\n')
        .filter((line) => !line.startsWith('vipkeeper_controller_'));
    expect(await counters()).toEqual(await counters());
  });

  test('forgets what the configuration no longer has', async () => {
    const metrics = metricsOf(STATUS, { ...STATUS, instances: [], services: [], checks: [] });
    expect(await textOf(metrics)).toContain('service="web"');
    const body = await textOf(metrics);
    expect(body).not.toContain('service="web"');
    expect(body).not.toContain('vrrp_instance="web"');
    expect(body).not.toContain('target=');
  });

  test('makes one series of two checks with the same kind and target', async () => {
    const [up] = STATUS.checks;
    const failed = { timeout: 5 };
    const down = { ...up, status: 'down', failed, lastDurationSeconds: null };
    const twice = { ...STATUS, checks: [up, down] } as DirectorStatus;
    const labels = '{kind="http",target="http://10.0.0.11:8080/healthz"}';
    expect(await lines(twice, 'vipkeeper_check_up')).toEqual([`vipkeeper_check_up${labels} 0`]);
    expect(await lines(twice, 'vipkeeper_check_duration_seconds')).toEqual([
      `vipkeeper_check_duration_seconds_sum${labels} 7`,
      `vipkeeper_check_duration_seconds_count${labels} 207`,
    ]);
    const results = await lines(twice, 'vipkeeper_check_results_total');
    expect(results.filter((line) => line.includes('"timeout"'))).toHaveLength(1);
    expect(new Set(results).size).toBe(results.length);
  });

  test('writes thousands of services in many short turns, each metric once', async () => {
    const [one] = STATUS.services;
    const services = Array.from({ length: 8_000 }, (_, index) => ({ ...one, name: `s${index}` }));
    const metrics = metricsOf({ ...STATUS, services } as DirectorStatus);
    const { value, stallMs, allMs } = await stallOf(() => metrics.render());
    expect(stallMs).toBeLessThan(allMs / 4);
    const written = textIn(value).split('\n');
    for (const { name, type } of METRIC_GROUPS.flatMap((group) => group.metrics)) {
      expect(written.filter((line) => line === `# TYPE ${name} ${type}`)).toHaveLength(1);
    }
    const present = written.filter((line) => line.startsWith('vipkeeper_service_present{'));
    expect(present).toEqual(
      services.map(({ name }) => `vipkeeper_service_present{service="${name}"} 1`),
    );
    const configured = 'vipkeeper_server_configured_weight{';
    const servers = written.filter((line) => line.startsWith(configured));
    expect(new Set(servers).size).toBe(services.length * (one?.servers.length ?? 0));
    expect(written.filter((line) => line === '')).toHaveLength(METRIC_COUNT);
  });

  test.each(METRIC_GROUPS.flatMap(({ metrics }) => metrics))(
    '$name lets the clock be looked at after each service and check',
    ({ samples }) => {
      let looked = 0;
      function* counted<T>(all: readonly T[]): Iterable<T> {
        for (let copy = 0; copy < 100; copy++) {
          for (const one of all) {
            looked++;
            yield one;
          }
        }
      }
      const services = counted(STATUS.services) as typeof STATUS.services;
      const checks = counted(STATUS.checks) as typeof STATUS.checks;
      let before = 0;
      for (const _ of samples({ status: { ...STATUS, services, checks }, usage: USAGE })) {
        expect(looked - before).toBeLessThanOrEqual(1);
        before = looked;
      }
      expect(looked - before).toBeLessThanOrEqual(1);
    },
  );

  test('asks the source once for scrapes that overlap, and again for the next', async () => {
    let asked = 0;
    const metrics = new Metrics({
      status: async () => {
        asked++;
        return STATUS;
      },
    });
    const [first, second] = await Promise.all([metrics.render(), metrics.render()]);
    expect(first).toBe(second);
    expect(asked).toBe(1);
    await metrics.render();
    expect(asked).toBe(2);
  });

  test('rejects when the source does, and recovers with it', async () => {
    let fails = true;
    const metrics = new Metrics({
      status: async () => {
        if (fails) throw new Error('no keeper');
        return STATUS;
      },
    });
    await expect(metrics.render()).rejects.toThrow('no keeper');
    fails = false;
    expect((await metrics.render()).contentType).toBe('text/plain; version=0.0.4; charset=utf-8');
  });
});

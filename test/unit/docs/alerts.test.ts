/** conf/alerts.yaml asks for metrics that there are, with the labels that they have. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { METRIC_GROUPS } from '../../../src/http/metrics-table.ts';
import { REPOSITORY } from '../../lab/host.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: Readonly<Record<string, string>>;
}

const FILE = join(REPOSITORY, 'conf/alerts.yaml');
const rules = (parse(readFileSync(FILE, 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);
const metrics = new Map(
  METRIC_GROUPS.flatMap((group) => group.metrics).map(({ name, labels }) => [name, labels]),
);

test.each(rules)('$alert', ({ expr, annotations }) => {
  const [first, ...others] = expr.match(/vipkeeper_\w+/g) ?? [];
  if (first === undefined) return expect(expr).toMatch(/^up\{/);
  for (const name of [first, ...others]) expect(metrics.has(name), name).toBe(true);
  const known = ['instance', ...(metrics.get(first) ?? [])];
  const labelsIn = (searched: string, pattern: RegExp): string[] =>
    [...searched.matchAll(pattern)].map(([, label = '']) => label);
  const by = labelsIn(expr, /\bby \((\w+)\)/g);
  expect(known).toEqual(expect.arrayContaining([...labelsIn(expr, /[{,](\w+)=/g), ...by]));
  // A sum has what it is made by, and nothing else.
  const shown = labelsIn(Object.values(annotations).join(' '), /\$labels\.(\w+)/g);
  expect(by.length > 0 ? by : known).toEqual(expect.arrayContaining(shown));
});

function promtool(...words: string[]): string {
  const ran = spawnSync('promtool', words, { encoding: 'utf8' });
  expect(ran.error, "promtool is in Debian's package prometheus").toBeUndefined();
  return `${ran.status}\n${ran.stdout}${ran.stderr}`;
}

test('Prometheus takes them', () => {
  expect(promtool('check', 'rules', FILE)).toMatch(/^0\n/);
});

test('two active directors, and a failed server that nobody took out, are alerts', () => {
  const series = [
    ['vipkeeper_vrrp_state{vrrp_instance="web",state="active",instance="a"}', '1x40'],
    ['vipkeeper_vrrp_state{vrrp_instance="web",state="active",instance="b"}', '1x40'],
    ['vipkeeper_vrrp_state{vrrp_instance="db",state="active",instance="a"}', '1x40'],
    ['vipkeeper_vrrp_state{vrrp_instance="db",state="active",instance="b"}', '0x40'],
    ...['s1', 's2', 's3'].flatMap((server) => {
      const labels = `service="web",server="${server}",instance="a"`;
      return [
        [`vipkeeper_server_healthy{${labels}}`, '0x40'],
        [`vipkeeper_server_maintenance{${labels}}`, server === 's3' ? '1x40' : '0x40'],
      ];
    }),
    ['vipkeeper_server_override{service="web",server="s2",instance="a",action="down"}', '1x40'],
  ];
  const expected: Readonly<Record<string, readonly Readonly<Record<string, string>>[]>> = {
    VipkeeperNotOneActive: [
      { severity: 'critical', vrrp_instance: 'web', summary: '2 directors are active for web' },
    ],
    VipkeeperServerDown: [
      {
        ...{ severity: 'warning', service: 'web', server: 's1', instance: 'a' },
        summary: 's1 of web is down as a sees it',
        description: 'See docs/runbooks/services.md#server-down',
      },
    ],
  };
  const directory = mkdtempSync(join(tmpdir(), 'vk-alerts-'));
  try {
    const file = join(directory, 'test.yaml');
    const rulesTest = {
      rule_files: [FILE],
      tests: [
        {
          interval: '15s',
          input_series: series.map(([name, values]) => ({ series: name, values })),
          alert_rule_test: Object.entries(expected).map(([alertname, alerts]) => ({
            eval_time: '8m',
            alertname,
            exp_alerts: alerts.map(({ summary, description, ...labels }) => ({
              exp_labels: labels,
              exp_annotations: { summary, ...(description === undefined ? {} : { description }) },
            })),
          })),
        },
      ],
    };
    writeFileSync(file, stringify(rulesTest));
    expect(promtool('test', 'rules', file)).toMatch(/^0\n/);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('no metric has a label that Prometheus gives to its targets', () => {
  const taken = [...metrics].filter(([, labels]) =>
    (labels ?? []).some((label) => label === 'instance' || label === 'job'),
  );
  expect(taken).toEqual([]);
});

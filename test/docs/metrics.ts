/** The metrics reference, made from the table of metrics. */
import { METRIC_GROUPS, type MetricDefinition } from '../../src/http/metrics-table.ts';

const ABOUT = `# Metrics

<!-- Made from the table of metrics: npm run docs -->

\`GET /metrics\` on the HTTP server and on the control socket answers with these, in the text
format of Prometheus. Every value is taken from one snapshot at the moment of the scrape. A value
that is not known is absent, and so are the series of what the configuration no longer has.

Counters of VRRP begin at the start of the keeper, those of checks and of reconciliation at the
start of the controller, those of virtual services and real servers when their entry was made in
the kernel. The labels \`service\` and \`vrrp_instance\` are names in the configuration, \`server\` and
\`target\` the addresses there.
`;

/** docs/reference/metrics.md */
export function metricsReference(): string {
  const groups = METRIC_GROUPS.map(({ title, metrics }) =>
    [
      `## ${title}`,
      '',
      '| Metric | Type | Labels | Meaning |',
      '|---|---|---|---|',
      ...metrics.map(row),
      '',
    ].join('\n'),
  );
  return [ABOUT, ...groups].join('\n');
}

function row({ name, type, labels, help }: MetricDefinition): string {
  const shown = labels.map((label) => `\`${label}\``).join(', ');
  return `| \`${name}\` | ${type} | ${shown} | ${help} |`;
}

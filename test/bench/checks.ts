/**
 * What health checks cost: CPU time for 1,000 checks a second by TCP, HTTP and HTTPS, of vipkeeper
 * and of keepalived's checker, which take turns on the machine with IPVS. Each check is a
 * connection of its own, to nginx; certificates are not verified, since keepalived cannot. An
 * emulated machine counts instructions, so that the figures are the same however busy its host is.
 */
import { INSTALLED } from '../lab/director.ts';
import { check, type Machine, writeFile } from '../lab/host.ts';
import { ipvsMachine } from '../lab/requirements.ts';
import type { ChecksCall, ChecksMeasurement } from './checks-guest.ts';
import { runGuestProgram } from './guest-program.ts';
import { prepareKeepalived } from './peers.ts';
import { load, median, print, type Report, type Row, type Target } from './report.ts';

const DIRECTORY = '/tmp/vipkeeper-bench-checks';
const RUNS = 3;
/** JavaScript is compiled by then. */
const WARM_UP_MS = 120_000;
/** Six comparisons of vipkeeper's table, of which keepalived makes none. */
const WINDOW_MS = 30_000;
const CALL_TIMEOUT_MS = 1_200_000;

const DISCIPLINES = [
  // As many servers as an emulated machine does with ease, so that nobody is late.
  { kind: 'tcp', port: 8_080, servers: 200, most: 1.5 },
  { kind: 'http', port: 8_080, servers: 200, most: 3 },
  { kind: 'https', port: 8_443, servers: 20, most: 3 },
] as const;
type Discipline = (typeof DISCIPLINES)[number];
const KINDS = ['vipkeeper', 'keepalived'] as const;
type Kind = (typeof KINDS)[number];

interface Server {
  readonly address: string;
  readonly port: number;
}

function serversOf({ servers, port }: Discipline): readonly Server[] {
  return Array.from({ length: servers }, (_, index) => ({ address: `127.0.1.${1 + index}`, port }));
}

const NGINX = `
user root;
worker_processes 1;
pid ${DIRECTORY}/nginx.pid;
error_log /dev/null;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path ${DIRECTORY}/body;
  proxy_temp_path ${DIRECTORY}/proxy;
  fastcgi_temp_path ${DIRECTORY}/fastcgi;
  uwsgi_temp_path ${DIRECTORY}/uwsgi;
  scgi_temp_path ${DIRECTORY}/scgi;
  server {
    listen 8080;
    listen 8443 ssl;
    ssl_certificate ${DIRECTORY}/cert.pem;
    ssl_certificate_key ${DIRECTORY}/key.pem;
    location / { return 200 "healthy"; }
  }
}
`;

function vipkeeperConfig(discipline: Discipline): string {
  const { kind } = discipline;
  return JSON.stringify({
    services: {
      web: {
        address: '198.18.0.1:80',
        forwarding: 'nat',
        check: {
          [kind]: kind === 'https' ? { verify: false } : {},
          interval: '1s',
          timeout: '1s',
        },
        servers: serversOf(discipline).map(({ address, port }) => `${address}:${port}`),
      },
    },
    http: 'off',
    runtime_directory: `${DIRECTORY}/run`,
  });
}

function keepalivedConfig(discipline: Discipline): string {
  const times = 'connect_timeout 1\n retry 2\n delay_before_retry 1';
  const checker = {
    tcp: `TCP_CHECK {\n ${times}\n }`,
    http: `HTTP_GET {\n url { path /\n status_code 200 }\n ${times}\n }`,
    https: `SSL_GET {\n url { path /\n status_code 200 }\n ${times}\n }`,
  }[discipline.kind];
  const servers = serversOf(discipline).map(
    ({ address, port }) => `real_server ${address} ${port} { ${checker} }`,
  );
  return `virtual_server 198.18.0.1 80 {
 delay_loop 1
 lb_algo rr
 lb_kind NAT
 protocol TCP
 ${servers.join('\n ')}
}
`;
}

async function argvOf(machine: Machine, kind: Kind, discipline: Discipline): Promise<string[]> {
  if (kind === 'keepalived') {
    const config = keepalivedConfig(discipline);
    return prepareKeepalived(machine, { directory: DIRECTORY, config, only: '-C' });
  }
  const file = `${DIRECTORY}/vipkeeper.yaml`;
  await writeFile(machine, file, vipkeeperConfig(discipline));
  return [...INSTALLED, 'run', '--config', file, '--director', 'bench'];
}

/** One measurement in a namespace of its own. */
async function measure(
  machine: Machine,
  kind: Kind,
  discipline: Discipline,
): Promise<ChecksMeasurement> {
  const namespace = `vkbench-${process.pid}-checks`;
  const script = `ip netns add ${namespace} && ip -n ${namespace} link set lo up`;
  await check(machine, ['sh', '-c', script]);
  try {
    const call: ChecksCall = {
      namespace,
      nginxConfig: `${DIRECTORY}/nginx.conf`,
      argv: await argvOf(machine, kind, discipline),
      rate: discipline.servers,
      warmUpMs: WARM_UP_MS,
      windowMs: WINDOW_MS,
    };
    return await runGuestProgram<ChecksMeasurement>(machine, 'checks-guest', call, CALL_TIMEOUT_MS);
  } finally {
    await check(machine, ['sh', '-c', `rm -rf ${DIRECTORY}/run; ip netns del ${namespace}`]);
  }
}

export async function checks(runs: number | null): Promise<Report> {
  const before = load();
  const { machine, stop } = await ipvsMachine(print, { countsInstructions: true });
  const rows: Row[] = [];
  const targets: Target[] = [];
  const wanted = runs ?? RUNS;
  try {
    await writeFile(machine, `${DIRECTORY}/nginx.conf`, NGINX);
    const request = 'openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=bench';
    const out = `-keyout ${DIRECTORY}/key.pem -out ${DIRECTORY}/cert.pem`;
    await check(machine, ['sh', '-c', `${request} ${out}`]);
    for (const discipline of DISCIPLINES) {
      const samples: Record<Kind, ChecksMeasurement[]> = { vipkeeper: [], keepalived: [] };
      for (let run = 1; run <= wanted; run++) {
        for (const kind of KINDS) {
          const sample = await measure(machine, kind, discipline);
          samples[kind].push(sample);
          print(
            `checks by ${discipline.kind}, run ${run} of ${wanted}, ${kind}: ` +
              `${sample.percent.toFixed(1)} % of a core, user space ${sample.userShare.toFixed(0)} % ` +
              `of it, ${sample.checksPerSecond.toFixed(0)} checks a second`,
          );
        }
      }
      const of = (kind: Kind, what: 'percent' | 'userShare') =>
        samples[kind].map((sample) => sample[what]);
      for (const kind of KINDS) {
        const name = `1,000 checks a second by ${discipline.kind}, ${kind}`;
        rows.push({ name, unit: '%', samples: of(kind, 'percent') });
        rows.push({
          name: `${name}: user space's share`,
          unit: '%',
          samples: of(kind, 'userShare'),
        });
      }
      const value = median(of('vipkeeper', 'percent')) / median(of('keepalived', 'percent'));
      const text = `${discipline.kind}: CPU time / keepalived's, at most ${discipline.most}`;
      targets.push({ text, value, met: value <= discipline.most });
    }
  } finally {
    await machine.run(['rm', '-rf', DIRECTORY]);
    await stop();
  }
  return {
    name: `checks: servers at 1 s, on ${machine.name}`,
    rows,
    targets,
    notes: ["Of a core; the server's part of each connection on loopback is not counted"],
    load: [before, load()],
  };
}

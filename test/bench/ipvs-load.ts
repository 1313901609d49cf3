/**
 * The table that every contestant programs, in the words of each: services on consecutive ports
 * of one address, all with the same servers, scheduler rr and NAT, weight 1 and no checks. The
 * ports have four digits, so that the order of the ports is that of the keys.
 */

const ADDRESS = '198.18.0.1';
const FIRST_PORT = 1_000;
export const SERVICES_MAX = 9_000;

export interface Load {
  readonly services: number;
  readonly servers: number;
}

interface ServiceWords {
  readonly port: number;
  readonly servers: readonly string[];
}

function serviceWords({ services, servers }: Load): ServiceWords[] {
  const addresses = Array.from({ length: servers }, (_, index) => `198.18.1.${index + 1}`);
  return Array.from({ length: services }, (_, index) => ({
    port: FIRST_PORT + index,
    servers: addresses,
  }));
}

/** Configuration of a director without VRRP, as JSON, which is YAML. */
export function vipkeeperConfig(load: Load, runtimeDirectory: string): string {
  const services = Object.fromEntries(
    serviceWords(load).map(({ port, servers }) => [
      `s${port}`,
      {
        address: `${ADDRESS}:${port}`,
        scheduler: 'rr',
        forwarding: 'nat',
        servers: servers.map((server) => `${server}:80`),
      },
    ]),
  );
  return JSON.stringify({ services, http: 'off', runtime_directory: runtimeDirectory });
}

/** Input of `ipvsadm -R`, in the form that `ipvsadm -Sn` writes. */
export function ipvsadmRules(load: Load): string {
  const lines = serviceWords(load).flatMap(({ port, servers }) => [
    `-A -t ${ADDRESS}:${port} -s rr`,
    ...servers.map((server) => `-a -t ${ADDRESS}:${port} -r ${server}:80 -m -w 1`),
  ]);
  return `${lines.join('\n')}\n`;
}

/** Virtual servers with real servers that nobody checks. */
export function keepalivedConfig(load: Load): string {
  const blocks = serviceWords(load).map(({ port, servers }) =>
    [
      `virtual_server ${ADDRESS} ${port} {`,
      '  lb_algo rr',
      '  lb_kind NAT',
      '  protocol TCP',
      ...servers.map((server) => `  real_server ${server} 80 { weight 1 }`),
      '}',
    ].join('\n'),
  );
  return `${blocks.join('\n')}\n`;
}

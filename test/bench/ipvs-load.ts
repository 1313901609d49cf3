/**
 * The table that every contestant programs, in the words of each: services on consecutive ports
 * of one address, all with the same servers, scheduler rr and NAT, weight 1 and no checks. The
 * ports have five digits, so that the order of the ports is that of the keys.
 */

const ADDRESS = '198.18.0.1';
export const FIRST_PORT = 10_000;
/** Servers in one of the networks that their addresses are taken from. */
const SERVERS_PER_NETWORK = 250;

export interface Load {
  readonly services: number;
  readonly servers: number;
}

/** A server whose weight is not 1: the first one of this service. */
export interface Weighed {
  readonly service: number;
  readonly weight: number;
}

interface ServiceWords {
  readonly port: number;
  readonly servers: readonly string[];
}

function serviceWords({ services, servers }: Load): ServiceWords[] {
  const addresses = Array.from({ length: servers }, (_, index) => serverAddress(index));
  return Array.from({ length: services }, (_, index) => ({
    port: FIRST_PORT + index,
    servers: addresses,
  }));
}

export function serverAddress(index: number): string {
  const network = 1 + Math.floor(index / SERVERS_PER_NETWORK);
  return `198.18.${network}.${1 + (index % SERVERS_PER_NETWORK)}`;
}

/** Configuration of a director without VRRP, as people write it. */
export function vipkeeperYaml(load: Load, runtimeDirectory: string, weighed: Weighed): string {
  const services = serviceWords(load).map(({ port, servers }, index) => {
    const items = servers.map((server, at) => {
      const weight = index === weighed.service && at === 0 ? weighed.weight : 1;
      return `      - { address: "${server}:80", weight: ${weight} }\n`;
    });
    const head = `  s${port}:\n    address: ${ADDRESS}:${port}\n    scheduler: rr\n`;
    return `${head}    forwarding: nat\n    check: none\n    servers:\n${items.join('')}`;
  });
  return `http: off\nruntime_directory: ${runtimeDirectory}\nservices:\n${services.join('')}`;
}

/** The same as JSON, which is YAML. */
export function vipkeeperConfig(load: Load, runtimeDirectory: string): string {
  const services = Object.fromEntries(
    serviceWords(load).map(({ port, servers }) => [
      `s${port}`,
      {
        address: `${ADDRESS}:${port}`,
        scheduler: 'rr',
        forwarding: 'nat',
        check: 'none',
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
export function keepalivedConfig(load: Load, weighed: Weighed | null = null): string {
  const blocks = serviceWords(load).map(({ port, servers }, index) => {
    const first = index === weighed?.service ? weighed.weight : 1;
    return [
      `virtual_server ${ADDRESS} ${port} {`,
      '  lb_algo rr',
      '  lb_kind NAT',
      '  protocol TCP',
      ...servers.map((server, at) => {
        return `  real_server ${server} 80 { weight ${at === 0 ? first : 1} }`;
      }),
      '}',
    ].join('\n');
  });
  return `${blocks.join('\n')}\n`;
}

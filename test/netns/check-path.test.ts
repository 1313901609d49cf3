/** The mark of a check's packets, as the kernel's rules of routing see it. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCheckCommand } from '../../src/controller/check-command.ts';
import type { CheckConfig } from '../../src/core/config/check.ts';
import { createProbe } from '../../src/probes/probe.ts';
import { TrustStore } from '../../src/probes/trust-store.ts';
import { check, LabError, localMachine } from '../lab/host.ts';
import { ensurePackages, NETWORK_PACKAGES } from '../lab/packages.ts';
import { canUseNamespaces } from '../lab/requirements.ts';
import { type LabNode, Topology } from '../lab/topology.ts';
import { inside } from '../lab/watch.ts';
import { tcpCheck, tlsSettings } from '../unit/probes/servers.ts';

const SETUP_TIMEOUT_MS = 10 * 60_000;

let topology: Topology;
let director: LabNode;
let server: LabNode;

beforeAll(async () => {
  await ensurePackages(NETWORK_PACKAGES);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  topology = await Topology.create(localMachine, { directors: 1, realServers: 1 });
  [director] = topology.directors as [LabNode];
  [server] = topology.realServers as [LabNode];
  await check(director, ['ip', 'rule', 'add', 'fwmark', '7', 'prohibit', 'priority', '10']);
}, SETUP_TIMEOUT_MS);

afterAll(() => topology?.dispose());

const CHECKS: Readonly<Record<string, CheckConfig>> = {
  tcp: tcpCheck,
  dialogue: {
    ...{ ...tcpCheck, kind: 'dialogue', tls: false, ...tlsSettings },
    steps: [{ send: null, expect: 'x', refuse: null, starttls: false }],
  },
  udp: {
    ...{ ...tcpCheck, kind: 'udp', payloadHex: '', replyRequired: true, replyHex: '' },
    ...{ minLengthBytes: 0, maxLengthBytes: 9 },
  },
};

it.each(Object.entries(CHECKS))('%s: a rule for the mark decides its route', async (_, base) => {
  // Nobody listens there: whoever gets through is refused by the server.
  const target = { address: server.on('back').ipv4, port: 9 };
  const reason = async (mark: number) => {
    const asked = { ...base, mark } as CheckConfig;
    const probe = createProbe(asked, target, new TrustStore(), runCheckCommand);
    // The socket is made within this call, and belongs to the namespace from then on.
    const result = await inside(director, () => probe.run(new AbortController().signal));
    return result?.ok === false ? `${result.failure.reason}: ${result.failure.detail}` : 'ok';
  };
  expect(await reason(8)).toMatch(/^connection-refused: /);
  expect(await reason(7)).toMatch(/^cannot-run: .*EACCES/);
});

/**
 * Checks by BFD on a real kernel: the weight of a server in the table follows its session, and
 * neither the death of the keeper nor a stop takes it out. The server's side is a director too.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LabNode, Topology } from '../lab/topology.ts';
import { Vm } from '../lab/vm.ts';
import { GuestDirector, Peer, SETUP_MS, TEST_MS } from './guest.ts';

const VIP = '192.0.2.201';
const DIRECTOR = '198.51.100.11';
const SERVER = '198.51.100.101';
/** Slow enough for an emulated processor that other machines share. */
const PACE = { min_rx: '300ms', min_tx: '300ms', multiplier: 10 };

const CONFIG = {
  vrrp: { web: { interface: 'eth0', vrid: 51, addresses: [`${VIP}/24`] } },
  bfd: { server: { neighbor: SERVER, ...PACE } },
  services: {
    web: {
      address: `${VIP}:80`,
      scheduler: 'rr',
      check: { bfd: {}, interval: '1h' },
      servers: [`${SERVER}:80`],
    },
  },
  ipvs: { reconcile_interval: '2s', on_stop: 'keep' },
};
const SPEAKER = {
  vrrp: { beside: { interface: 'eth0', vrid: 9, addresses: ['198.51.100.209/24'] } },
  bfd: { director: { neighbor: DIRECTOR, ...PACE } },
};

let vm: Vm;
let server: LabNode;
let director: GuestDirector;

beforeAll(async () => {
  vm = await Vm.start();
  const topology = await Topology.create(vm, { directors: 1, realServers: 1 });
  server = topology.realServers[0] as LabNode;
  const peer = await Peer.start(topology.clients[0] as LabNode);
  const speaker = new GuestDirector(vm, server, peer);
  await speaker.configure(SPEAKER);
  await speaker.start();
  director = new GuestDirector(vm, topology.directors[0] as LabNode, peer);
  await director.configure(CONFIG);
  await director.start();
  await director.started();
}, SETUP_MS);

afterAll(() => vm?.stop());

function saved(weight: number): readonly string[] {
  return [`-A -t ${VIP}:80 -s rr`, `-a -t ${VIP}:80 -r ${SERVER}:80 -m -w ${weight}`];
}

describe('a server that is checked by BFD', { timeout: TEST_MS }, () => {
  it('is served from when its session is up', async () => {
    await director.untilSaved(saved(1));
  });

  it('loses its weight with the session, and gets it back', async () => {
    await server.isolate('back');
    await director.untilSaved(saved(0));
    const [down] = director.lines('health', { to: 'down' }).slice(-1);
    expect(down?.detail).toContain('BFD session server is down: the neighbor fell silent');
    await server.rejoin('back');
    await director.untilSaved(saved(1));
  });

  it('stays while the keeper is started anew', async () => {
    const failures = director.lines('health', { to: 'down' }).length;
    const sessions = director.lines('bfd', { to: 'up' }).length;
    await director.signal('KILL', 'keeper');
    await director.until(
      'the next keeper’s session',
      () => director.lines('bfd', { to: 'up' }).length > sessions,
    );
    expect(await director.saved()).toEqual(saved(1).toSorted());
    expect(director.lines('health', { to: 'down' })).toHaveLength(failures);
  });

  it('stays in the table that a stop leaves behind', async () => {
    // Not the process that the test started, which was killed.
    const pid = await director.signal('TERM', 'keeper');
    const gone = async () => (await vm.run(['kill', '-0', String(pid)])).code !== 0;
    await director.until('the end of the keeper', gone);
    expect(director.lines('bfd', { from: 'up', to: 'admin-down' })).toHaveLength(1);
    expect(await director.saved()).toEqual(saved(1).toSorted());
  });
});

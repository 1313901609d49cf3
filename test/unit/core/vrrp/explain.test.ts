/** Explanations: what is said of an instance, and which findings come with which cure. */
import { describe, expect, test } from 'vitest';
import type { InstanceReport, PeerReport } from '../../../../src/core/status.ts';
import { explainInstance, explainInstances } from '../../../../src/core/vrrp/explain.ts';
import { FAULT_REASONS, type RefusalReason } from '../../../../src/core/vrrp/types.ts';
import { STATUS } from '../../status-fixture.ts';

const BASE: InstanceReport = {
  ...(STATUS.instances[0] as InstanceReport),
  advertIntervalSeconds: 1,
  priority: 150,
  configuredPriority: 150,
  advertisedAddresses: ['192.0.2.10'],
  addresses: [
    { address: '192.0.2.10', prefixLength: 24, interface: 'eth0', present: true, error: null },
  ],
  peers: [],
};

const PEER: PeerReport = {
  address: '192.0.2.2',
  lastHeardSecondsAgo: 0.3,
  accepted: {
    count: 10,
    secondsAgo: 0.3,
    activeSecondsAgo: 0.3,
    version: 3,
    priority: 100,
    advertIntervalSeconds: 1,
    checksum: 'pseudo-header',
    hmacKey: null,
    addresses: ['192.0.2.10'],
  },
  refused: null,
};

/** BASE with other fields; its VIP is there while it is active. */
function reportOf(fields: Partial<InstanceReport>): InstanceReport {
  const present = (fields.state ?? BASE.state) === 'active';
  return { ...BASE, addresses: BASE.addresses.map((vip) => ({ ...vip, present })), ...fields };
}

function kinds(report: Partial<InstanceReport>): string[] {
  return explainInstance(reportOf(report)).findings.map(({ kind }) => kind);
}

function accepted(fields: Partial<NonNullable<PeerReport['accepted']>>): PeerReport {
  return {
    ...PEER,
    accepted: { ...(PEER.accepted as NonNullable<PeerReport['accepted']>), ...fields },
  };
}

describe('explainInstance', () => {
  test('shows the priority as a sum of its parts', () => {
    const { priority } = explainInstance(
      reportOf({
        priority: 110,
        priorityParts: [
          { tracker: 'haproxy', delta: -50, detail: 'exit code 1' },
          { tracker: 'uplink', delta: 10, detail: 'eth2 is up' },
          { tracker: 'quiet', delta: 0, detail: '' },
        ],
      }),
    );
    expect(priority).toBe(
      '110 = 150 configured - 50 haproxy (exit code 1) + 10 uplink (eth2 is up)',
    );
  });

  test('says that a backup which hears its active director needs no attention', () => {
    expect(kinds({ state: 'backup', peers: [accepted({ priority: 200 })] })).toEqual([]);
  });

  test('says which key a peer signs with, if it signs', () => {
    const said = (hmacKey: number | null) =>
      explainInstance(reportOf({ peers: [accepted({ hmacKey })] })).peers[0];
    expect(said(2)).toContain('message and pseudo-header, signed with key 2, 192.0.2.10');
    expect(said(null)).toContain('message and pseudo-header, 192.0.2.10');
  });

  test('finds a second active director and says who wins', () => {
    const { findings } = explainInstance(reportOf({ state: 'active', peers: [PEER] }));
    expect(findings.map(({ kind }) => kind)).toEqual(['duplicate-active']);
    expect(findings[0]?.text).toContain('this director wins');
    const higher = explainInstance(
      reportOf({
        state: 'active',
        peers: [accepted({ priority: 200 })],
      }),
    );
    expect(higher.findings[0]?.text).toContain('it wins, this director will give way');
  });

  test('does not take a peer that fell silent for a second active one', () => {
    const old = accepted({ secondsAgo: 60, activeSecondsAgo: 60 });
    expect(kinds({ state: 'active', peers: [old] })).toEqual([]);
  });

  test('does not hold against a peer what it said before this director took over', () => {
    expect(kinds({ state: 'active', stateForSeconds: 0.1, peers: [PEER] })).toEqual([]);
  });

  test('finds another interval and other addresses', () => {
    const other = accepted({ advertIntervalSeconds: 0.1, addresses: ['192.0.2.99'] });
    const { findings } = explainInstance(reportOf({ state: 'backup', peers: [other] }));
    expect(findings.map(({ kind }) => kind)).toEqual([
      'interval-mismatch',
      'address-list-mismatch',
    ]);
    expect(findings[1]?.text).toContain('lacks 192.0.2.10 and has 192.0.2.99 besides');
  });

  test('hears a peer of a long interval between its advertisements too', () => {
    const slow = accepted({ advertIntervalSeconds: 10, secondsAgo: 9, activeSecondsAgo: 9 });
    const peers = [{ ...slow, lastHeardSecondsAgo: 9 }];
    const { findings, whatIf } = explainInstance(reportOf({ state: 'backup', peers }));
    expect(findings.map(({ kind }) => kind)).toEqual(['interval-mismatch']);
    expect(whatIf).toContain('If the active director 192.0.2.2 died now');
  });

  test('knows no successor when the other director resigned last', () => {
    const gone = accepted({ priority: 0, secondsAgo: 60, activeSecondsAgo: 60 });
    const { whatIf, ifActiveDied } = explainInstance(reportOf({ state: 'active', peers: [gone] }));
    expect(whatIf).toMatch(/^If this director died now, the best of the others would take over/);
    expect(whatIf).toContain('the last that 192.0.2.2 said was resigning');
    expect(ifActiveDied.successor).toBeNull();
  });

  test('finds refused advertisements, with the cure for their reason', () => {
    const refused = {
      counts: { 'interval-mismatch': 7 },
      secondsAgo: 0.5,
      reason: 'interval-mismatch',
      detail: 'every 2 s; expected 1 s',
    } as const;
    const peer: PeerReport = { ...PEER, accepted: null, refused };
    const { findings, peers } = explainInstance(reportOf({ state: 'backup', peers: [peer] }));
    expect(findings[0]).toMatchObject({ kind: 'adverts-refused' });
    expect(findings[0]?.cure).toContain('demands the same interval');
    expect(peers[0]).toContain('refused 7 (interval-mismatch), the last 500 ms ago');
  });

  test('says that both are active when this one refuses what another active one says', () => {
    const refused = (reason: RefusalReason): PeerReport => ({
      ...{ ...PEER, accepted: null },
      refused: { counts: { [reason]: 3 }, secondsAgo: 0.1, reason, detail: 'No' },
    });
    const found = (state: InstanceReport['state'], reason: RefusalReason) =>
      explainInstance(reportOf({ state, peers: [refused(reason)] }));
    const { findings, whatIf } = found('active', 'hmac-invalid');
    expect(findings[0]?.text).toBe(
      'Advertisements of 192.0.2.2 are refused (hmac-invalid): No. Whoever sends them is ' +
        'active too, so the VIPs may be on two machines',
    );
    expect(whatIf).toContain('nothing that was heard was accepted');
    // A backup is not, and a stranger or a repeated packet is no director that is active.
    for (const [state, reason] of [
      ['backup', 'hmac-invalid'],
      ['active', 'hmac-replayed'],
      ['active', 'ttl'],
    ] as const) {
      expect(found(state, reason).findings[0]?.text).not.toContain('active');
    }
  });

  test('finds a VIP that is not there, and a tracker that forbids to take part', () => {
    const addresses = BASE.addresses.map((vip) => ({ ...vip, present: false }));
    expect(kinds({ state: 'active', addresses, peers: [accepted({ secondsAgo: 99 })] })).toEqual([
      'address-missing',
    ]);
    expect(kinds({ state: 'fault', faultyTracker: 'uplink' })).toEqual(['faulty-tracker']);
  });

  test('says why a VIP is not there, in the kernel’s words', () => {
    const error = 'ipv6: IPv6 is disabled on this device';
    const addresses = BASE.addresses.map((vip) => ({ ...vip, present: false, error }));
    const { findings } = explainInstance(reportOf({ state: 'active', addresses }));
    expect(findings[0]?.text).toBe(
      `192.0.2.10 is not on eth0 although this director is active: ${error}`,
    );
  });

  test('finds a VIP that is there although this director is not active, but not an owner’s', () => {
    const { addresses } = BASE;
    for (const state of ['backup', 'fault'] as const) {
      const { findings } = explainInstance(reportOf({ state, reason: 'started', addresses }));
      expect(findings).toMatchObject([{ kind: 'address-unexpected', about: '192.0.2.10' }]);
      expect(findings[0]?.cure).toContain('ip address del 192.0.2.10/24 dev eth0');
      expect(kinds({ state, reason: 'started', addresses, configuredPriority: 255 })).toEqual([]);
    }
    expect(kinds({ state: 'initialize', addresses })).toEqual([]);
  });

  test('keeps what it found of a refused sender between its advertisements', () => {
    const refused = { counts: { version: 1 }, reason: 'version', detail: '' } as const;
    const peer = (secondsAgo: number): PeerReport => ({
      ...PEER,
      lastHeardSecondsAgo: secondsAgo,
      accepted: null,
      refused: { ...refused, secondsAgo },
    });
    const fast = { state: 'active', advertIntervalSeconds: 0.01 } as const;
    expect(kinds({ ...fast, peers: [peer(2)] })).toEqual(['adverts-refused']);
    expect(kinds({ ...fast, peers: [peer(60)] })).toEqual([]);
    // Once it is understood, what was refused is of the past.
    const mended = accepted({
      secondsAgo: 0.01,
      advertIntervalSeconds: 0.01,
      activeSecondsAgo: 99,
    });
    expect(kinds({ ...fast, peers: [{ ...mended, refused: peer(2).refused }] })).toEqual([]);
    expect(kinds({ ...fast, peers: [{ ...mended, refused: peer(0.005).refused }] })).toEqual([
      'adverts-refused',
    ]);
  });

  const UNICAST: InstanceReport['unicast'] = {
    ttl: 255,
    checkSource: true,
    peers: [
      { address: '192.0.2.1', minTtl: 0, maxTtl: 255, self: true, sendError: null },
      { address: '192.0.2.2', minTtl: 0, maxTtl: 255, self: false, sendError: null },
      { address: '192.0.2.3', minTtl: 0, maxTtl: 255, self: false, sendError: 'ENETUNREACH' },
    ],
  };

  test('names unicast peers that never spoke, which is no finding, but not itself', () => {
    const { peers, findings } = explainInstance(
      reportOf({
        state: 'backup',
        unicast: UNICAST,
        peers: [PEER],
      }),
    );
    expect(peers.slice(1)).toEqual(['192.0.2.3: not heard, as backups are']);
    expect(findings).toEqual([]);
  });

  test('finds a unicast peer that cannot be sent to, while it matters', () => {
    const { findings } = explainInstance(reportOf({ state: 'active', unicast: UNICAST }));
    expect(findings).toMatchObject([{ kind: 'peer-unreachable' }]);
    expect(findings[0]?.text).toContain('192.0.2.3 cannot be sent (ENETUNREACH)');
  });

  test.each([
    ['not-multicast', null, 'configure peers on both, or on neither'],
    ['not-unicast', UNICAST, 'configure peers on both, or on neither'],
    ['not-a-peer', UNICAST, 'add its address to the peers here'],
    ['ttl', UNICAST, 'min_ttl and max_ttl'],
    ['ttl', null, 'one segment only'],
  ] as const)('has a cure for %s that fits how peers are reached', (reason, unicast, cure) => {
    const refused = { counts: { [reason]: 1 }, secondsAgo: 0.1, reason, detail: '' };
    const peers = [{ ...PEER, accepted: null, refused }];
    const { findings } = explainInstance(reportOf({ state: 'backup', unicast, peers }));
    expect(findings[0]?.cure).toContain(cure);
  });

  test('blames the list of peers, not multicast, for two active unicast directors', () => {
    const report = reportOf({ state: 'active', peers: [PEER] });
    const cureOf = (unicast: InstanceReport['unicast']) =>
      explainInstance({ ...report, unicast }).findings[0]?.cure;
    expect(cureOf(null)).toContain('check multicast');
    expect(cureOf(UNICAST)).toContain('192.0.2.1 is among its peers');
  });

  test('two owners are a finding on both, one owner is not', () => {
    const owner = accepted({ priority: 255 });
    for (const state of ['active', 'backup'] as const) {
      expect(kinds({ state, configuredPriority: 255, peers: [owner] })).toContain('two-owners');
      expect(kinds({ state, peers: [owner] })).not.toContain('two-owners');
      expect(kinds({ state, configuredPriority: 255, peers: [PEER] })).not.toContain('two-owners');
    }
  });

  test('with check_addresses off another list of addresses is no finding', () => {
    const report = { state: 'backup', peers: [accepted({ addresses: ['192.0.2.99'] })] } as const;
    expect(kinds({ ...report, checkAddresses: 'off' })).toEqual([]);
    expect(kinds({ ...report, checkAddresses: 'warn' })).toEqual(['address-list-mismatch']);
  });

  test('says how many advertisements a backup misses', () => {
    const { whatIf } = explainInstance(reportOf({ state: 'active', downTimerAdverts: 7 }));
    expect(whatIf).toContain('would take over 7 s to 8 s after');
  });

  test('notes a handover and a startup delay, which are no findings', () => {
    expect(explainInstance(BASE).notes).toEqual([]);
    const held = explainInstance(reportOf({ state: 'backup', heldBack: true }));
    expect(held.notes.join()).toContain('vipkeeper takeback web');
    const resigning = explainInstance(reportOf({ state: 'active', resigning: true }));
    expect(resigning.notes.join()).toContain('until a successor is heard');
    const delayed = explainInstance(reportOf({ state: 'backup', startsInSeconds: 42 }));
    expect(delayed.notes.join()).toContain('for another 42 s');
    expect(delayed.whatIf).toContain('startup delay');
    const fields = { state: 'backup', startsInSeconds: 3, awaitedTrackers: ['nginx'] } as const;
    const awaits = explainInstance(reportOf(fields));
    expect(awaits.notes.join()).toContain('waits for the first result of nginx');
    expect(awaits.whatIf).toContain('before its trackers have spoken');
    for (const { findings } of [held, resigning, delayed]) expect(findings).toEqual([]);
  });

  test('every finding has a cure, and no text is empty', () => {
    const worst = explainInstance(
      reportOf({
        state: 'active',
        faultyTracker: 'x',
        addresses: BASE.addresses.map((vip) => ({ ...vip, present: false })),
        peers: [accepted({ advertIntervalSeconds: 2, addresses: [] })],
      }),
    );
    expect(worst.findings.length).toBeGreaterThanOrEqual(4);
    for (const { text, cure } of worst.findings) {
      expect(text).not.toBe('');
      expect(cure).not.toBe('');
    }
  });
});

test('explainInstance tells whom else it hears while it hears no peer', () => {
  const strangers = [
    { vrid: 52, address: '192.0.2.9', priority: 100, addresses: [], lastHeardSecondsAgo: 0.5 },
  ];
  const alone = explainInstance(reportOf({ state: 'active', peers: [], strangers }));
  expect(alone.notes).toHaveLength(1);
  expect(alone.notes[0]).toContain('192.0.2.9 advertises VRID 52 on eth0 with priority 100');
  expect(alone.findings).toEqual([]);
  const heard = { ...PEER, lastHeardSecondsAgo: 0.1 };
  expect(explainInstance(reportOf({ strangers, peers: [heard] })).notes).toEqual([]);
});

test('explainInstance finds a director that has the addresses under another VRID', () => {
  const stranger = {
    vrid: 52,
    address: '192.0.2.9',
    priority: 100,
    addresses: ['192.0.2.10', '192.0.2.99'],
    lastHeardSecondsAgo: 0.5,
  };
  const { findings } = explainInstance(reportOf({ peers: [], strangers: [stranger] }));
  expect(findings).toMatchObject([{ kind: 'vrid-mismatch', about: '192.0.2.9' }]);
  expect(findings[0]?.text).toContain('192.0.2.10 under VRID 52, this director under 51');
  for (const other of [{ addresses: ['192.0.2.99'] }, { lastHeardSecondsAgo: 60 }]) {
    expect(kinds({ peers: [], strangers: [{ ...stranger, ...other }] })).toEqual([]);
  }
});

test('explainInstance says who of two active directors with equal priority wins', () => {
  const text = (address: string): string | undefined =>
    explainInstance(
      reportOf({
        state: 'active',
        sourceAddress: '192.0.2.100',
        peers: [{ ...accepted({ priority: 150 }), address }],
      }),
    ).findings[0]?.text;
  expect(text('192.0.2.200')).toContain('its address is higher: it wins');
  // As numbers, not as texts.
  expect(text('192.0.2.20')).toContain('its address is lower: this director wins');
});

describe('explainInstances', () => {
  test('says for programs what it says for people', () => {
    const parts = [{ tracker: 'haproxy', delta: -20, detail: 'exit code 1' }];
    const report: InstanceReport = reportOf({
      state: 'backup',
      priorityParts: parts,
      peers: [PEER],
    });
    const [found, ...more] = explainInstances([report, reportOf({ name: 'other' })], BASE.name);
    expect(more).toEqual([]);
    expect(found).toMatchObject({
      instance: BASE.name,
      reason: BASE.reason,
      since: BASE.lastTransitionAt,
      effectivePriority: { value: BASE.priority, configured: BASE.configuredPriority, parts },
      vrid: BASE.vrid,
      version: BASE.version,
      interface: BASE.interface,
      group: BASE.group,
      sourceAddress: BASE.sourceAddress,
      unicast: BASE.unicast,
      link: BASE.link,
      addresses: report.addresses,
      lastHandover: BASE.lastHandover,
      heard: [PEER],
      ifActiveDied: { takesOver: 'this', afterSeconds: BASE.activeDownIntervalSeconds },
    });
    expect(explainInstances([report], null)).toHaveLength(1);
    expect(explainInstances([report], 'none')).toEqual([]);
  });

  test.each(['fault', 'initialize'] as const)('says that it would not take over in %s', (state) => {
    const [found] = explainInstances([reportOf({ state })], null);
    const expected = { takesOver: 'not-this', afterSeconds: null, successor: null };
    expect(found?.ifActiveDied).toEqual(expected);
  });

  test('says who is expected to take over from an active director, and when', () => {
    const [found] = explainInstances([reportOf({ state: 'active', peers: [PEER] })], null);
    // Three intervals and the skew time of priority 100.
    const expected = { takesOver: 'another', afterSeconds: 3.609375, successor: '192.0.2.2' };
    expect(found?.ifActiveDied).toEqual(expected);
    expect(found?.whatIf).toContain('192.0.2.2 would take over 3.61 s after');
  });

  test('says the bounds when no other director was heard', () => {
    const [found] = explainInstances([reportOf({ state: 'active', peers: [] })], null);
    expect(found?.ifActiveDied).toMatchObject({ successor: null });
    expect(found?.whatIf).toContain('would take over 3 s to 4 s after');
  });

  test('names the active director that a backup hears, or says that it hears none', () => {
    const backup: InstanceReport = reportOf({ state: 'backup' });
    const hears = explainInstances([{ ...backup, peers: [PEER] }], null)[0]?.whatIf;
    expect(hears).toContain('If the active director 192.0.2.2 died now');
    expect(explainInstances([backup], null)[0]?.whatIf).toContain('No active director is heard');
  });
});

describe('faults', () => {
  test.each(FAULT_REASONS)('of reason %s are a finding with what is wrong and a cure', (reason) => {
    const tracker = reason === 'tracker-down' ? 'uplink' : null;
    const report: InstanceReport = reportOf({ state: 'fault', reason, faultyTracker: tracker });
    const { findings } = explainInstance(report);
    const kind = reason === 'tracker-down' ? 'faulty-tracker' : 'in-fault';
    expect(findings.map((finding) => finding.kind)).toEqual([kind]);
    expect(findings[0]?.text.length).toBeGreaterThan(20);
    expect(findings[0]?.cure.length).toBeGreaterThan(20);
  });

  test('a fault that is over is no finding', () => {
    expect(kinds({ state: 'backup', reason: 'interface-down' })).toEqual([]);
  });

  test('an interface that carries a VIP is named, not the instance’s own', () => {
    const report: InstanceReport = reportOf({
      state: 'fault',
      reason: 'interface-down',
      faultyInterface: 'eth7',
    });
    expect(explainInstance(report).findings[0]?.text).toContain('eth7 is down');
  });

  test('a group’s fault names the member that has it, and why', () => {
    const web: InstanceReport = reportOf({
      name: 'web',
      state: 'fault',
      reason: 'group-member-fault',
      group: 'edge',
    });
    const mail: InstanceReport = { ...web, name: 'mail', reason: 'interface-down' };
    const apart: InstanceReport = { ...mail, name: 'apart', group: null };
    const [finding] = explainInstance(web, [web, mail, apart]).findings;
    expect(finding?.text).toBe(
      'Sync group edge cannot be active: mail is in fault (interface-down)',
    );
  });

  test('a backup that waits for its sync group says for whom', () => {
    const web: InstanceReport = reportOf({
      name: 'web',
      state: 'backup',
      group: 'edge',
      waitsForGroup: true,
    });
    const mail: InstanceReport = { ...web, name: 'mail', waitsForGroup: false };
    expect(explainInstance(web, [web, mail]).notes[0]).toContain('waits for mail of sync group');
    expect(explainInstance(mail, [web, mail]).notes).toEqual([]);
  });
});

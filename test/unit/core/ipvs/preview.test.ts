/** previewTable: every class of difference, with the fields that differ. */
import { describe, expect, test } from 'vitest';
import type { ServiceConfig } from '../../../../src/core/config/config.ts';
import { checkDefinition } from '../../../../src/core/health/check-key.ts';
import { ZERO_STATS } from '../../../../src/core/ipvs/apply.ts';
import type { ObservedService, RealServer } from '../../../../src/core/ipvs/model.ts';
import { NOTHING_OWNED, type OwnedSet } from '../../../../src/core/ipvs/owned.ts';
import { type Knowledge, previewTable } from '../../../../src/core/ipvs/preview.ts';
import { configOf } from '../../config/read.ts';
import { server, service, WEB } from './samples.ts';

const NOTHING_KNOWN: Knowledge = {
  nowUs: 0,
  checks: new Map(),
  pools: new Map(),
  active: new Set(['vips']),
  nowMs: 1_000,
  leaving: new Map(),
  passive: () => false,
  override: () => null,
};

function observedWeb(
  servers: readonly RealServer[],
  changes: Parameters<typeof service>[1] = {},
): ObservedService {
  const counters = { activeConnections: 0, inactiveConnections: 0, persistentConnections: 0 };
  return {
    service: service(WEB, changes),
    stats: ZERO_STATS,
    servers: servers.map((one) => ({ ...one, ...counters, stats: ZERO_STATS })),
  };
}

function webOf(servers: string, check = 'none'): readonly ServiceConfig[] {
  const text = `services: {web: {address: "192.0.2.10:80", check: ${check}, servers: ${servers}}}`;
  return configOf(text).services;
}

function preview(
  services: readonly ServiceConfig[],
  observed: readonly ObservedService[],
  {
    owned = NOTHING_OWNED,
    ownership = 'shared' as 'shared' | 'exclusive',
    knowledge = NOTHING_KNOWN,
    onRemove = 'delete' as 'drain' | 'delete',
  }: {
    owned?: OwnedSet;
    ownership?: 'shared' | 'exclusive';
    knowledge?: Knowledge;
    onRemove?: 'drain' | 'delete';
  } = {},
) {
  const policy = { onRemove, drainTimeoutUs: 60_000_000 };
  const decided = services.map((service) => ({ ...service, ...policy }));
  return previewTable({
    ...{ services: decided, observed, owned, ownership, knowledge, onRemove: policy },
  });
}

const KEY = 'tcp 192.0.2.10:80';

describe('previewTable', () => {
  test('has nothing to say of a table that is as wanted', () => {
    const found = preview(webOf('["10.0.0.1:8080"]'), [observedWeb([server(1)])]);
    expect(found).toEqual({ items: [], add: 0, change: 0, drain: 0, delete: 0, leave: 0 });
  });

  test('lists a missing service with its servers and all that they have', () => {
    const { items, add } = preview(webOf('["10.0.0.1:8080"]'), []);
    expect(add).toBe(2);
    expect(items).toEqual([
      {
        action: 'add',
        class: 'missing',
        service: KEY,
        name: 'web',
        server: null,
        weightReason: null,
        override: null,
        drainTimeoutUs: null,
        fields: [{ name: 'scheduler', from: null, to: 'wlc' }],
      },
      {
        action: 'add',
        class: 'missing',
        service: KEY,
        name: 'web',
        server: '10.0.0.1:8080',
        weightReason: 'healthy',
        override: null,
        drainTimeoutUs: null,
        fields: [
          { name: 'forwarding', from: null, to: 'nat' },
          { name: 'weight', from: null, to: '1' },
        ],
      },
    ]);
  });

  test('shows what is altered with its old and its new value', () => {
    const table = [observedWeb([server(1, { weight: 7 })], { scheduler: 'rr' })];
    const { items, change } = preview(webOf('["10.0.0.1:8080"]'), table);
    expect(change).toBe(2);
    expect(items.map(({ class: kind, fields }) => [kind, fields])).toEqual([
      ['altered', [{ name: 'scheduler', from: 'rr', to: 'wlc' }]],
      ['altered', [{ name: 'weight', from: '7', to: '1' }]],
    ]);
  });

  test('deletes what is left of ours, and leaves what is not', () => {
    const owned = new Map([[KEY, new Set(['10.0.0.2:8080'])]]);
    const table = [observedWeb([server(1), server(2), server(3)])];
    const found = preview(webOf('["10.0.0.1:8080"]'), table, { owned });
    expect(found.items.map((one) => [one.action, one.class, one.server])).toEqual([
      ['delete', 'leftover', '10.0.0.2:8080'],
      ['leave', 'foreign', '10.0.0.3:8080'],
    ]);
    expect([found.delete, found.leave]).toEqual([1, 1]);
  });

  test('deletes foreign entries too where ownership is exclusive, and calls them foreign', () => {
    const table = [observedWeb([server(1), server(3)])];
    const options = { ownership: 'exclusive' } as const;
    expect(preview(webOf('["10.0.0.1:8080"]'), table, options).items).toMatchObject([
      { action: 'delete', class: 'foreign', server: '10.0.0.3:8080' },
    ]);
    expect(preview([], table, options).items).toMatchObject([
      { action: 'delete', class: 'foreign', server: null, name: null },
    ]);
  });

  test('deletes a service of ours that is no longer configured', () => {
    const owned = new Map([[KEY, new Set(['10.0.0.1:8080'])]]);
    expect(preview([], [observedWeb([server(1)])], { owned }).items).toMatchObject([
      {
        action: 'delete',
        class: 'leftover',
        server: null,
        fields: [{ name: 'servers', from: '1' }],
      },
    ]);
  });

  test('drains what is left of ours first, unless it drains already', () => {
    const owned = new Map([[KEY, new Set(['10.0.0.1:8080', '10.0.0.2:8080'])]]);
    const table = [observedWeb([server(1), server(2)])];
    const options = { owned, onRemove: 'drain' } as const;
    const drains = { action: 'drain', class: 'leftover', drainTimeoutUs: 60_000_000 };
    const found = preview(webOf('["10.0.0.1:8080"]'), table, options);
    expect(found.items).toMatchObject([
      { ...drains, server: '10.0.0.2:8080', fields: [{ name: 'weight', from: '1', to: '0' }] },
    ]);
    expect([found.drain, found.change, found.delete]).toEqual([1, 0, 0]);
    expect(preview([], table, options).items).toMatchObject([
      { ...drains, server: '10.0.0.1:8080' },
      { ...drains, server: '10.0.0.2:8080' },
    ]);
    const [web] = table;
    if (web === undefined) throw new Error('no service');
    const busy = web.servers.map((one) => ({ ...one, weight: 0, activeConnections: 1 }));
    expect(preview([], [{ ...web, servers: busy }], options).items).toEqual([]);
    const quiet = web.servers.map((one) => ({ ...one, weight: 0 }));
    expect(preview([], [{ ...web, servers: quiet }], options)).toMatchObject({ delete: 1 });
  });

  test('keeps the weight of a server whose check has not run, and takes a new one for healthy', () => {
    const services = webOf('["10.0.0.1:8080", "10.0.0.2:8080"]', 'tcp');
    const { items } = preview(services, [observedWeb([server(1, { weight: 0 })])]);
    expect(items.map((one) => [one.action, one.server])).toEqual([['add', '10.0.0.2:8080']]);
    expect(items[0]?.fields).toContainEqual({ name: 'weight', from: null, to: '1' });
  });

  test('leaves a service alone whose instance is not active here', () => {
    const [web] = webOf('["10.0.0.1:8080"]');
    const entries = [{ identity: WEB, follow: 'vips' }];
    const services = [{ ...(web as ServiceConfig), entries, onlyOnActive: true }];
    const knowledge = { ...NOTHING_KNOWN, active: new Set<string>() };
    expect(preview(services, [], { knowledge }).items).toEqual([]);
    const altered = [observedWeb([server(1, { weight: 9 })])];
    expect(preview(services, altered, { knowledge }).items).toEqual([]);
    expect(preview(services, altered).change).toBe(1);
  });

  test('takes what the checks have found', () => {
    const services = webOf('["10.0.0.1:8080"]', 'tcp');
    const [target] = services[0]?.servers ?? [];
    if (target === undefined || target.check === null) throw new Error('no check');
    const { key } = checkDefinition(target.check, target);
    const down = { health: 'down', sinceUs: 1, recoveredAtUs: null, checkWeight: null } as const;
    const knowledge = { ...NOTHING_KNOWN, checks: new Map([[key, down]]) };
    const { items } = preview(services, [observedWeb([server(1)])], { knowledge });
    expect(items.map(({ fields }) => fields)).toEqual([[{ name: 'weight', from: '1', to: '0' }]]);
  });
});

/**
 * When are two entries of the IPVS table the same? Settings that have no meaning in their place
 * (the netmask of a service without persistence, the tunnel of a server that is not tunnelled)
 * do not count, because programs differ in what they leave there and repairing it would never end.
 */
import type { RealServer, VirtualService } from './model.ts';

type Field = readonly [name: string, value: string];

/** One setting of an entry; null where there is no entry. */
export interface FieldChange {
  readonly name: string;
  readonly from: string | null;
  readonly to: string | null;
}

/** What differs, as 'weight 3, wanted 0; …', or null when the services are the same. */
export function serviceDifference(is: VirtualService, wanted: VirtualService): string | null {
  return sameService(is, wanted) ? null : describe(serviceFields(is, wanted));
}

/** What differs between two records of one server, or null when they are the same. */
export function serverDifference(is: RealServer, wanted: RealServer): string | null {
  return sameServer(is, wanted) ? null : describe(serverFields(is, wanted));
}

/** The settings that change; without `is` all that a new service has, but what it goes without. */
export function serviceFields(is: VirtualService | null, wanted: VirtualService): FieldChange[] {
  return changedFields(is === null ? null : serviceTexts(is), serviceTexts(wanted));
}

/** The same for a server. */
export function serverFields(is: RealServer | null, wanted: RealServer): FieldChange[] {
  return changedFields(is === null ? null : serverTexts(is), serverTexts(wanted));
}

function serviceTexts(service: VirtualService): readonly Field[] {
  return [
    ['scheduler', service.scheduler],
    ['persistence', persistenceText(service)],
    ['persistence engine', service.persistenceEngine ?? 'none'],
    ['one-packet', onOff(service.onePacket)],
    ...flagTexts(service),
  ];
}

/** Under the names that the configuration has for the flags of its scheduler. */
function flagTexts({ scheduler, flag1, flag2, flag3 }: VirtualService): readonly Field[] {
  const named = scheduler === 'sh' || scheduler === 'mh';
  return [
    [named ? `${scheduler}-fallback` : 'flag-1', onOff(flag1)],
    [named ? `${scheduler}-port` : 'flag-2', onOff(flag2)],
    ['flag-3', onOff(flag3)],
  ];
}

function serverTexts(server: RealServer): readonly Field[] {
  return [
    ['forwarding', server.forwarding],
    ['weight', String(server.weight)],
    ['upper threshold', String(server.upperThreshold)],
    ['lower threshold', String(server.lowerThreshold)],
    ['tunnel', tunnelText(server)],
  ];
}

function changedFields(is: readonly Field[] | null, wanted: readonly Field[]): FieldChange[] {
  if (is === null) {
    const said = wanted.filter(([name, to]) => !isWithout(name, to));
    return said.map(([name, to]) => ({ name, from: null, to }));
  }
  return wanted.flatMap(([name, to], index) => {
    const from = is[index]?.[1] ?? null;
    return from === to ? [] : [{ name, from, to }];
  });
}

/** What goes without saying of a new entry. */
function isWithout(name: string, value: string): boolean {
  return value === 'none' || value === 'off' || (name.endsWith('threshold') && value === '0');
}

function sameService(left: VirtualService, right: VirtualService): boolean {
  return (
    left.scheduler === right.scheduler &&
    left.persistenceSeconds === right.persistenceSeconds &&
    (left.persistenceSeconds === 0 ||
      left.persistencePrefixLength === right.persistencePrefixLength) &&
    left.persistenceEngine === right.persistenceEngine &&
    left.onePacket === right.onePacket &&
    left.flag1 === right.flag1 &&
    left.flag2 === right.flag2 &&
    left.flag3 === right.flag3
  );
}

function sameServer(left: RealServer, right: RealServer): boolean {
  return (
    left.forwarding === right.forwarding &&
    left.weight === right.weight &&
    left.upperThreshold === right.upperThreshold &&
    left.lowerThreshold === right.lowerThreshold &&
    tunnelText(left) === tunnelText(right)
  );
}

function persistenceText(service: VirtualService): string {
  if (service.persistenceSeconds === 0) return 'none';
  return `${service.persistenceSeconds} s per /${service.persistencePrefixLength}`;
}

function tunnelText({ forwarding, tunnel }: RealServer): string {
  if (forwarding !== 'tun') return 'none';
  switch (tunnel.kind) {
    case 'ipip':
      return 'ipip';
    case 'gue':
      return `gue to port ${tunnel.port}, checksum ${tunnel.checksum}`;
    case 'gre':
      return `gre, checksum ${tunnel.checksum}`;
  }
}

function onOff(value: boolean): string {
  return value ? 'on' : 'off';
}

function describe(fields: readonly FieldChange[]): string {
  return fields.map(({ name, from, to }) => `${name} ${from}, wanted ${to}`).join('; ');
}

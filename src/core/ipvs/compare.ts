/**
 * When are two entries of the IPVS table the same? Settings that have no meaning in their place
 * (the netmask of a service without persistence, the tunnel of a server that is not tunnelled)
 * do not count, because programs differ in what they leave there and repairing it would never end.
 */
import type { RealServer, VirtualService } from './model.ts';

type Field = readonly [name: string, is: string, wanted: string];

/** What differs, as 'weight 3, wanted 0; …', or null when the services are the same. */
export function serviceDifference(is: VirtualService, wanted: VirtualService): string | null {
  if (sameService(is, wanted)) return null;
  return describe([
    ['scheduler', is.scheduler, wanted.scheduler],
    ['persistence', persistenceText(is), persistenceText(wanted)],
    ['persistence engine', is.persistenceEngine ?? 'none', wanted.persistenceEngine ?? 'none'],
    ['one-packet', onOff(is.onePacket), onOff(wanted.onePacket)],
    ['flag-1', onOff(is.flag1), onOff(wanted.flag1)],
    ['flag-2', onOff(is.flag2), onOff(wanted.flag2)],
    ['flag-3', onOff(is.flag3), onOff(wanted.flag3)],
  ]);
}

/** What differs between two records of one server, or null when they are the same. */
export function serverDifference(is: RealServer, wanted: RealServer): string | null {
  if (sameServer(is, wanted)) return null;
  return describe([
    ['forwarding', is.forwarding, wanted.forwarding],
    ['weight', String(is.weight), String(wanted.weight)],
    ['upper threshold', String(is.upperThreshold), String(wanted.upperThreshold)],
    ['lower threshold', String(is.lowerThreshold), String(wanted.lowerThreshold)],
    ['tunnel', tunnelText(is), tunnelText(wanted)],
  ]);
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

function describe(fields: readonly Field[]): string {
  return fields
    .filter(([, is, wanted]) => is !== wanted)
    .map(([name, is, wanted]) => `${name} ${is}, wanted ${wanted}`)
    .join('; ');
}

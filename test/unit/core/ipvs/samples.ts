/** One service and its servers, for tests that change one thing at a time. */
import type { ServiceIdentity } from '../../../../src/core/config/config.ts';
import type { RealServer, VirtualService } from '../../../../src/core/ipvs/model.ts';

export const WEB: ServiceIdentity = {
  kind: 'address',
  protocol: 'tcp',
  address: '192.0.2.10',
  port: 80,
};

export function service(
  identity: ServiceIdentity,
  changes: Partial<VirtualService> = {},
): VirtualService {
  return {
    identity,
    scheduler: 'wlc',
    persistenceSeconds: 0,
    persistencePrefixLength: 32,
    persistenceEngine: null,
    onePacket: false,
    flag1: false,
    flag2: false,
    flag3: false,
    ...changes,
  };
}

/** 10.0.0.<host>:8080, NAT, weight 1. */
export function server(host: number, changes: Partial<RealServer> = {}): RealServer {
  return {
    address: `10.0.0.${host}`,
    port: 8080,
    forwarding: 'nat',
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    tunnel: { kind: 'ipip' },
    ...changes,
  };
}

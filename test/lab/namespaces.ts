/** The topology of a test in network namespaces of this machine, with what it needs installed. */
import { LabError, localMachine } from './host.ts';
import { ensurePackages, NETWORK_PACKAGES } from './packages.ts';
import { canUseNamespaces } from './requirements.ts';
import { Topology, type TopologyOptions } from './topology.ts';

/** Throws LabError with the cure where this machine cannot make namespaces. */
export async function makeTopology(
  options: TopologyOptions,
  packages: readonly string[] = NETWORK_PACKAGES,
): Promise<Topology> {
  await ensurePackages(packages);
  const possible = await canUseNamespaces();
  if (!possible.ok) throw new LabError(possible.cure);
  return Topology.create(localMachine, options);
}

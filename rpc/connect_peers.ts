/** The starter's first word with the nodes that it is to make a ring of. */
import type { Address } from "./address.ts";
import { Peer } from "./peer.ts";
import type { ResolvedNode } from "./ring_options.ts";

/**
 * Connects to all peers, which `owned` closes.
 * @param needed capabilities that the ring is to use.
 * @throws {MdiError} what the first peer that fails is refused or missed with.
 * @throws {TypeError} where two addresses lead to one node.
 */
export async function connectPeers(
  addresses: readonly Address[],
  node: ResolvedNode,
  needed: readonly string[],
  signal: AbortSignal,
  owned: AsyncDisposableStack,
): Promise<Peer[]> {
  const results = await Promise.allSettled(
    addresses.map((address) =>
      Peer.connect(address, { identity: node.identity, name: node.name, needed, signal })
    ),
  );
  const peers = results.flatMap((result) =>
    result.status === "fulfilled" ? [owned.use(result.value)] : []
  );
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
  requireDistinctNodes(peers);
  return peers;
}

/**
 * Two addresses may lead to one node, which cannot be in a ring twice.
 * @throws {TypeError}
 */
function requireDistinctNodes(peers: readonly Peer[]): void {
  const names = new Map<string, string>();
  for (const { instance, name } of peers) {
    const same = names.get(instance);
    if (same !== undefined) {
      throw new TypeError(
        `Cannot use peer ${name}: it is the same node as ${same}; leave one out`,
      );
    }
    names.set(instance, name);
  }
}

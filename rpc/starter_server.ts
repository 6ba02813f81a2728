/** The starter's own server: blocks for its peers, the far end of their links, and the last node's link. */
import { isIPv6 } from "node:net";
import { MdiError } from "../wasm/error.ts";
import type { Store } from "../engine/store/store.ts";
import { isLoopback } from "./address.ts";
import { ControlService } from "./control_service.ts";
import { describeDevice } from "./device.ts";
import type { Peer } from "./peer.ts";
import type { ResolvedNode } from "./ring_options.ts";
import { type LinkTarget, ringRoutes } from "./ring_service.ts";
import { type NodeServer, serve } from "./server.ts";

/**
 * Listens where the peers can reach this node.
 * @param wiring the ring whose last link is due, once there is one.
 * @throws {MdiError} address_in_use where the user chose an address that cannot be listened on.
 */
export async function listenForPeers(
  node: ResolvedNode,
  peers: readonly Peer[],
  store: Store,
  wiring: () => LinkTarget | undefined,
  signal: AbortSignal,
): Promise<NodeServer> {
  const control = new ControlService({
    name: node.name,
    store,
    describe: () => describeDevice(node.home, node),
    log: () => {},
  });
  const routes = (router: Parameters<ControlService["routes"]>[0]) => {
    control.routes(router);
    ringRoutes(router, wiring);
  };
  const { identity } = node;
  const settled = () => control.settled();
  // Nobody types the starter's address: where none was given, any free port does.
  const host = node.listenGiven ? node.listen.host : hostFor(peers, node.listen.host);
  try {
    return await serve({
      listen: { host, port: node.listen.port },
      identity,
      routes,
      signal,
      settled,
    });
  } catch (error) {
    if (node.listenGiven || !(error instanceof MdiError) || error.code !== "address_in_use") {
      throw error;
    }
    return await serve({ listen: { host, port: 0 }, identity, routes, signal, settled });
  }
}

/** Where the peers can reach this node: on the interfaces, and by the protocol, that it reached them by. */
function hostFor(peers: readonly Peer[], everywhere: string): string {
  const hosts = peers.map((peer) => peer.localAddress.host);
  if (hosts.every(isLoopback)) return hosts.every(isIPv6) ? "::1" : "127.0.0.1";
  return hosts.some(isIPv6) ? "::" : everywhere;
}

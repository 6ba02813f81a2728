/** Where the other nodes reach the starter. */
import { type Address, isWildcard } from "./address.ts";
import type { Peer } from "./peer.ts";

/**
 * Where a peer finds the starter: where the starter says, where it listens, or, where that is everywhere, at the
 * starter's end of its own connection to that peer.
 */
export function starterAddress(
  peer: Pick<Peer, "localAddress">,
  listen: Address,
  advertise: Address | undefined,
): Address {
  if (advertise) return advertise;
  if (!isWildcard(listen.host)) return listen;
  return { host: peer.localAddress.host, port: listen.port };
}

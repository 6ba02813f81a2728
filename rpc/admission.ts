/** The rule of who may join: without a token mdi does not leave the loopback interface. */
import { MdiError } from "../wasm/error.ts";
import { type Address, formatAddress, isLoopback } from "./address.ts";

/** What {@linkcode requireTokenBeyondLoopback} judges. */
export interface Reach {
  /** Whether this device has a token. */
  hasToken: boolean;
  /** What it would listen on. */
  listen?: Address | undefined;
  /** Whom it would dial. */
  peers?: readonly Address[] | undefined;
}

/**
 * Refuses to listen or to dial beyond loopback without a token.
 * @throws {MdiError} refused_token, with the commands to type on each device.
 */
export function requireTokenBeyondLoopback(reach: Reach): void {
  if (reach.hasToken) return;
  if (reach.listen && !isLoopback(reach.listen.host)) {
    throw refusal(`listen on ${formatAddress(reach.listen)}`, reach);
  }
  const peer = reach.peers?.find((address) => !isLoopback(address.host));
  if (peer) throw refusal(`dial ${formatAddress(peer)}`, reach);
}

function refusal(what: string, reach: Reach): MdiError {
  const others = reach.peers?.map((peer) => peer.host).join(", ") || "every other device";
  return new MdiError(
    "refused_token",
    [
      `Cannot ${what} without a token: anyone on the network could join; type`,
      `  on this device:   mdi token new`,
      `  on ${others}:   export MDI_TOKEN=TOKEN   (what the first command printed)`,
      `or stay on this device with --listen 127.0.0.1:${reach.listen?.port || 9470}`,
    ].join("\n"),
  );
}

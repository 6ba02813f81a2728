/** Why a connection to a peer failed or ended, in words that say what to do. */
import { MdiError, type MdiErrorCode } from "../wasm/error.ts";
import { type Address, formatAddress } from "./address.ts";
import { lossReason } from "./error.ts";

/** How far a connection had come: TCP and TLS, the peer's HTTP/2 SETTINGS, or in use. */
export type SessionStage = "connecting" | "greeting" | "open";

/** A connection that ended, and what was known of it. */
export interface SessionEnd {
  /** Whom it was to. */
  address: Address;
  /** Whether this side had a token. */
  keyed: boolean;
  /** How far it had come. */
  stage: SessionStage;
  /** What node:http2 said, if anything. */
  cause: Error | undefined;
}

/** What this side must tell its peer when it lacks a common token. */
const SAME_TOKEN = "give both devices the same token";

/**
 * Explains the end of a connection. Before it was open: peer_unreachable, or refused_token where the
 * other side has another token, none, or one while this side has none; afterwards peer_lost.
 */
export function explainEnd(end: SessionEnd): MdiError {
  const { address, stage, cause } = end;
  const text = formatAddress(address);
  const make = (code: MdiErrorCode, message: string) =>
    new MdiError(code, message, { cause, details: { peer: text } });
  if (stage === "open") {
    return make("peer_lost", `Lost ${text}: ${lossReason(cause)}`);
  }
  const network = networkReason(cause);
  if (network) return make("peer_unreachable", `Cannot reach ${text}: ${network}`);
  const token = tokenReason(end);
  if (token) return make("refused_token", `Cannot join ${text}: ${token}`);
  const why = lossReason(cause);
  return make("peer_unreachable", `Cannot reach ${text}: ${why}; check that mdi runs there`);
}

/** The connection did not open in time. */
export function timedOut(address: Address, ms: number): MdiError {
  const text = formatAddress(address);
  return new MdiError(
    "peer_unreachable",
    `Cannot reach ${text}: no answer in ${ms} ms; check the address, the network and the firewall`,
    { details: { peer: text, timeoutMs: ms } },
  );
}

/** A ping was not answered in time. */
export function fellSilent(address: Address, ms: number): MdiError {
  const text = formatAddress(address);
  return new MdiError("peer_lost", `Lost ${text}: no answer to a ping in ${ms} ms`, {
    details: { peer: text, timeoutMs: ms },
  });
}

/** The caller ended it. */
export function cancelled(address: Address, cause?: unknown): MdiError {
  const text = formatAddress(address);
  return new MdiError("cancelled", `Closed the connection to ${text}`, {
    cause,
    details: { peer: text },
  });
}

function networkReason(cause: Error | undefined): string | undefined {
  switch (errorCode(cause)) {
    case "ECONNREFUSED":
      return 'the connection is refused; start "mdi --secondary" there, or check the port';
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return "there is no route; check that both devices are on the same network";
    case "ETIMEDOUT":
      return "no answer; check the address, the network and the firewall";
  }
}

/**
 * A peer of another token usually fails this side's check of its certificate. Where it is the peer that
 * refuses, TLS 1.3 lets this side connect first and then ends the connection, often without a word.
 */
function tokenReason(end: SessionEnd): string | undefined {
  const { keyed, stage, cause } = end;
  const code = errorCode(cause);
  if (!keyed) {
    if (stage === "connecting") return undefined;
    return `it closed the connection at once, so perhaps it has a token; ${SAME_TOKEN}`;
  }
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER") {
    return `it answers without encryption, so perhaps it has no token; ${SAME_TOKEN}`;
  }
  if (stage === "greeting") {
    return `it closed the connection at once, so perhaps this device is not authorised; ${SAME_TOKEN}`;
  }
  if (/CERT|SSL|TLS|UNABLE_TO_(GET|VERIFY)|SIGNATURE/.test(code)) {
    return `its certificate is not this ring's, so perhaps it has another token; ${SAME_TOKEN}`;
  }
}

function errorCode(cause: Error | undefined): string {
  return String((cause as { code?: unknown } | undefined)?.code ?? "");
}

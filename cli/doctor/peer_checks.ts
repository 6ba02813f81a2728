/** The token, and the peers that it is to open. */
import { type Address, formatAddress, isLoopback } from "../../rpc/address.ts";
import type { ProbedPeer } from "../../rpc/probe_peer.ts";
import { VERSION } from "../../rpc/version.ts";
import { formatBytes } from "../../engine/format_bytes.ts";
import { bad, type Finding, findingOf, good, unknown, warning } from "./finding.ts";

/** A peer and what asking it came to. */
export interface PeerAnswer {
  address: Address;
  answer: PromiseSettledResult<ProbedPeer>;
}

/** Every token waits this long for each link. */
const SLOW_MS = 20;
/** Clocks that are further apart make logs of two devices hard to compare. */
const SKEWED_MS = 2000;
/** Nothing of mdi is older: a clock that says so was never set, as on boards without a battery. */
const FIRST_RELEASE = Date.UTC(2026, 0, 1);

const USE_NEWER_DENO =
  'use a file that was compiled with Deno 2.9 or newer, or by "deno task compile --self-extracting"';
const SET_CLOCK = 'type "sudo timedatectl set-ntp true" on both devices';

/** Checks where the token came from. */
export function checkToken(from: string | null, peers: readonly Address[]): Finding {
  if (from !== null) return good("token", from, `from ${from}`);
  const text = "none: this device's own processes can be reached";
  if (peers.length > 0 && peers.every(({ host }) => isLoopback(host))) {
    return good("token", null, text);
  }
  const action = 'type "mdi token new" on ONE device of the ring, and give the others that token';
  return warning("token", null, text, action);
}

/** Checks this device's clock by itself. */
export function checkClock(now: Date): Finding {
  const text = now.toISOString();
  if (now.getTime() >= FIRST_RELEASE) return good("clock", text, text);
  return warning(
    "clock",
    text,
    `${text} is past: encrypted downloads fail`,
    'type "sudo timedatectl set-ntp true"',
  );
}

/** What comes of peers that this Deno cannot dial, because it has no HTTP/2 over TLS. */
export function checkUnaskedPeers(peers: readonly Address[]): Finding[] {
  const text = `not asked: Deno ${Deno.version.deno}, which runs this mdi, cannot use a token`;
  return peers.map((address) =>
    bad(`peer ${formatAddress(address)}`, null, text, USE_NEWER_DENO, "peer_unreachable")
  );
}

/** Checks each peer, in the order in which they were given. */
export function checkPeers(peers: readonly PeerAnswer[]): Finding[] {
  const seen = new Map<string, string>();
  return peers.flatMap(({ address, answer }) => {
    const who = formatAddress(address);
    const name = `peer ${who}`;
    if (answer.status === "rejected") return [findingOf(name, answer.reason, lookThere(address))];
    const peer = answer.value;
    const same = seen.get(peer.instance);
    seen.set(peer.instance, same ?? who);
    if (same !== undefined) {
      return [bad(name, null, `the same node as ${same}`, "leave one out", "usage")];
    }
    return [reachedFinding(name, peer), skewFinding(`clock of ${who}`, peer)];
  });
}

function lookThere({ host }: Address): string {
  return `see what mdi on ${host} logs, and whether it hangs`;
}

function reachedFinding(name: string, peer: ProbedPeer): Finding {
  const { version, rttMs, serving, memoryFreeBytes, diskFreeBytes } = peer;
  const value = {
    version,
    rtt_ms: Number(rttMs.toFixed(3)),
    serving,
    memory_free_bytes: memoryFreeBytes,
    disk_free_bytes: diskFreeBytes,
  };
  const busy = serving === null ? "free" : `serves the ring of "${serving}"`;
  const text = `mdi ${version}, ${rttMs.toFixed(2)} ms, ${busy}, ${
    formatBytes(memoryFreeBytes)
  } of memory and ${formatBytes(diskFreeBytes)} of disk left`;
  if (version !== VERSION) {
    return warning(
      name,
      value,
      `${text}; this is mdi ${VERSION}`,
      "run the same release on both",
    );
  }
  if (rttMs > SLOW_MS) {
    return warning(
      name,
      value,
      `${text}: every token waits for the link`,
      "use a cable, or switch power save of the Wi-Fi off at both ends",
    );
  }
  return good(name, value, text);
}

function skewFinding(name: string, { skew }: ProbedPeer): Finding {
  if (!skew) return unknown(name, "it does not tell its time");
  const value = Math.round(skew.ms);
  const text = `${Math.abs(value)} ms ${value < 0 ? "behind" : "ahead"}, give or take ${
    Math.ceil(skew.errorMs)
  } ms`;
  if (Math.abs(skew.ms) <= SKEWED_MS) return good(name, value, text);
  return warning(name, value, `${text}: times in the logs of both do not agree`, SET_CLOCK);
}

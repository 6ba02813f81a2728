/** One look at a peer that leaves it as it is: a node that serves somebody answers too. */
import { createClient } from "@connectrpc/connect";
import { type Address, formatAddress } from "./address.ts";
import { fromConnectError } from "./error.ts";
import { Control } from "./gen/mdi/v1/control_pb.ts";
import type { RingIdentity } from "./identity.ts";
import { plainWord } from "./plain_text.ts";
import { openSession, type Session } from "./session.ts";
import { checkIdentity, ownIdentity } from "./version.ts";

/** How {@linkcode probePeer} goes about it. */
export interface ProbeOptions {
  identity: RingIdentity | undefined;
  /** How this node introduces itself. */
  name: string;
  signal?: AbortSignal | undefined;
}

/** A peer that has answered: this side's token and wire version are its own. */
export interface ProbedPeer {
  /** The release of mdi that it runs. */
  version: string;
  /** Random, and the node's own: two addresses of one instance lead to one node. */
  instance: string;
  /** Name of the starter that it serves; null where it is free. */
  serving: string | null;
  /** Shortest round trip, in ms. */
  rttMs: number;
  /** By how much its clock is ahead of this one; null where it does not tell. */
  skew: ClockSkew | null;
  /** Bytes of memory and of disk that it has left. */
  memoryFreeBytes: number;
  diskFreeBytes: number;
}

/** A difference of two clocks in ms, and by how much it may be wrong either way. */
export interface ClockSkew {
  ms: number;
  errorMs: number;
}

/** Limit on one answer: a board that loads a model with every core is slow, and there. */
const ANSWER_MS = 5000;
/** Calls whose shortest dates the peer's clock; the first pays for what is set up only once. */
const CALLS = 4;
/** How often to ping, and how long in all: a call takes some ms more than the way there and back. */
const PING_MS = 20;
const PINGING_MS = 200;

/**
 * Connects, agrees on the version, and times a few calls.
 * @throws {MdiError} peer_unreachable, refused_token, refused_version, protocol
 */
export async function probePeer(address: Address, options: ProbeOptions): Promise<ProbedPeer> {
  const { identity, name, signal } = options;
  const who = formatAddress(address);
  await using session = openSession(address, {
    identity,
    signal,
    pingIntervalMs: PING_MS,
    pingTimeoutMs: ANSWER_MS,
  });
  try {
    await session.ready();
    const control = createClient(Control, session.transport);
    const ask = () => control.hello({ caller: ownIdentity(name) }, { timeoutMs: ANSWER_MS });
    let hello = await ask();
    checkIdentity(who, hello.node);
    let skew: ClockSkew | null = null;
    let shortest = Infinity;
    for (let call = 1; call < CALLS; call++) {
      const sent = performance.now();
      const sentAt = Date.now();
      hello = await ask();
      const ms = performance.now() - sent;
      if (ms >= shortest) continue;
      shortest = ms;
      const { unixMs } = hello;
      const told = Number.isFinite(unixMs) && unixMs > 0;
      skew = told ? { ms: unixMs - (sentAt + ms / 2), errorMs: ms / 2 } : null;
    }
    const { node, instance, serving, device } = hello;
    return {
      version: plainWord(node?.version ?? ""),
      instance: plainWord(instance),
      serving: plainWord(serving) || null,
      rttMs: Math.min(shortest, await shortestPing(session)),
      skew,
      memoryFreeBytes: Number(device?.memoryFreeBytes ?? 0),
      diskFreeBytes: Number(device?.diskFreeBytes ?? 0),
    };
  } catch (error) {
    throw fromConnectError(error, who);
  }
}

/** The shortest of some pings; Infinity where none is answered in that time. */
async function shortestPing(session: Pick<Session, "rttMs">): Promise<number> {
  let shortest = Infinity;
  for (let waited = 0; waited < PINGING_MS; waited += PING_MS) {
    await new Promise((resolve) => setTimeout(resolve, PING_MS));
    if (session.rttMs < shortest) shortest = session.rttMs; // not so while it is NaN
  }
  return shortest;
}

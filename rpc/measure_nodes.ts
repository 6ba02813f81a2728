/** The starter has all nodes measured: each computes at the same time, then each tries its ways to the others. */
import type { KvType } from "../wasm/stage.ts";
import { readStageProfile, type StageProfile } from "../wasm/profile.ts";
import { MdiError, messageOf } from "../wasm/error.ts";
import type { Manifest } from "../engine/model/types.ts";
import { deviceFacts } from "../engine/device/facts.ts";
import { collectGarbage, freeMemory } from "../engine/device/memory.ts";
import { profileNode } from "../engine/profile/profile_node.ts";
import type { Store } from "../engine/store/store.ts";
import { type Address, formatAddress } from "./address.ts";
import { factsFromWire, type ToldFacts, toldFacts } from "./device_facts.ts";
import { type MeasuredLink, measureLink } from "./echo.ts";
import type { LinkFigures, Profiled } from "./gen/mdi/v1/control_pb.ts";
import { kvToWire } from "./kv_type.ts";
import type { Peer } from "./peer.ts";
import type { ResolvedNode, RingEvent } from "./ring_options.ts";
import { starterAddress } from "./starter_address.ts";
import { VERSION } from "./version.ts";

/** The capability of nodes that measure themselves. */
export const PROFILE_CAPABILITY = "profile";

/** What takes a node its time, as it names it: what event that is, and for people. */
const DOING = new Map<string, [RingEvent["type"], string]>([
  ["fetch", ["fetch", "fetching a layer"]],
  ["pack", ["load", "packing a layer"]],
  ["measure", ["measure", "measuring"]],
]);

/**
 * What the starter's process keeps of a measurement and its stage uses again: code, threads, heaps. It then took 2
 * to 12 MB beside its weights, and 7 to 44 MB where nothing had been measured.
 */
const REUSED_BYTES = 30e6;
/** Longest profile that is read, in characters. */
const MAX_PROFILE = 64 * 1024;
/** What a link between two nodes can be: a day there and back, and more than any memory has. */
const MAX_RTT_MS = 86_400_000;
const MAX_MBIT = 1e9;

/** Whom to measure, with what. */
export interface MeasureNodesOptions {
  manifest: Manifest;
  node: ResolvedNode;
  store: Store;
  peers: readonly Peer[];
  kv: KvType;
  /** Where this node's server listens, and where it is reached where that is not it. */
  listen: Address;
  advertise: Address | undefined;
  /** Measures the nodes, whatever they measured before. */
  again: boolean;
  signal: AbortSignal;
}

/** What was measured; lists begin with the starter and go on with the peers in their order. */
export interface MeasuredNodes {
  nodes: {
    profile: StageProfile;
    facts: ToldFacts;
    /** Bytes it has free, now that the measurement is over. */
    memoryFreeBytes: number;
  }[];
  /** `links[i][j]` is the way from node i to node j; undefined where it is none. */
  links: (MeasuredLink | undefined)[][];
}

/**
 * Measures all nodes at once, as they will compute at once, then all links: every node tries its own one after
 * another, and no two nodes try the same one at a time as far as links are alike.
 * @throws {MdiError} what the first node that fails says.
 */
export async function measureNodes(options: MeasureNodesOptions): Promise<MeasuredNodes> {
  const { manifest, node, store, peers, kv, again, signal } = options;
  const ending = new AbortController();
  const stop = AbortSignal.any([signal, ending.signal]);
  const tell = (name: string) => (what: string, done: number, total: number) => {
    const [type, doing] = DOING.get(what) ?? ["load", what];
    // The last step is followed by another node's.
    if (done >= total) return;
    node.onEvent({ type, node: name, message: `${name}: ${doing}`, done, total });
  };
  const own = profileNode({
    ...{ manifest, store, kv, again },
    backend: node.backend,
    threads: node.threads,
    memoryBytes: node.memoryBytes,
    pace: node.pace ?? undefined,
    model: manifest.name,
    starter: true,
    version: VERSION,
    signal: stop,
    onProgress: tell(node.name),
  });
  const manifestJson = JSON.stringify(manifest);
  const theirs = peers.map(async (peer, i) => {
    const others = peers.filter((_, other) => other !== i).map((other) => other.remoteAddress);
    const profiled = await peer.profile(
      {
        starter: node.name,
        manifest: manifestJson,
        providers: [...others, ownAddress(peer, options)].map(formatAddress),
        kv: kvToWire(kv),
        again,
      },
      tell(peer.name),
      stop,
    );
    return {
      profile: readProfiled(peer.name, profiled),
      facts: factsFromWire(profiled.facts),
      throttled: profiled.throttled,
      busy: profiled.busy,
    };
  });
  let reused = 0;
  const mine = own.then(async ({ profile, kept, throttled, busy }) => {
    if (!kept) reused = REUSED_BYTES;
    return { profile, facts: toldFacts(await deviceFacts()), throttled, busy };
  });
  const nodes = await together([mine, ...theirs], ending);
  nodes.forEach(({ throttled, busy }, i) => {
    const name = i === 0 ? node.name : peers[i - 1]!.name;
    const note = (message: string) => node.onEvent({ type: "note", message: `${name} ${message}` });
    if (throttled) {
      note("is held back by heat or its supply: cool it or look at its power, and plan again");
    } else if (busy) {
      note(
        "was busy when it was measured, with other programs or at its quota: its speed may change",
      );
    }
  });
  const rows = await together([
    ownLinks(options, stop),
    ...peers.map((_, i) => peerLinks(options, i, stop)),
  ], ending);
  collectGarbage(); // of the links
  const free = await together([
    Promise.resolve(freeMemory(node.memoryBytes) + reused),
    ...peers.map(async (peer) => Number((await peer.describe()).memoryFreeBytes)),
  ], ending);
  return {
    nodes: nodes.map(({ profile, facts }, i) => ({ profile, facts, memoryFreeBytes: free[i]! })),
    links: rows,
  };
}

/** All results; where one fails, the others are ended and waited for. */
async function together<T>(work: readonly Promise<T>[], ending: AbortController): Promise<T[]> {
  for (const each of work) each.catch((error) => ending.abort(error));
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw ending.signal.aborted ? ending.signal.reason : failed.reason;
  return results.map((result) => (result as PromiseFulfilledResult<T>).value);
}

function ownAddress(peer: Peer, { listen, advertise }: MeasureNodesOptions): Address {
  return starterAddress(peer, listen, advertise);
}

/** The ways from this node to each peer. */
async function ownLinks(
  { node, peers }: MeasureNodesOptions,
  signal: AbortSignal,
): Promise<(MeasuredLink | undefined)[]> {
  const links: (MeasuredLink | undefined)[] = [undefined];
  for (const peer of peers) {
    try {
      links.push(await measureLink(peer.remoteAddress, { identity: node.identity, signal }));
    } catch (error) {
      signal.throwIfAborted();
      node.onEvent({
        type: "note",
        message: `cannot measure the link to ${peer.name}: ${messageOf(error)}`,
      });
      links.push(undefined);
    }
  }
  return links;
}

/** The ways from a peer to all others: first to the one after it, so that not all begin with the same one. */
async function peerLinks(
  options: MeasureNodesOptions,
  from: number,
  signal: AbortSignal,
): Promise<(MeasuredLink | undefined)[]> {
  const { peers, node } = options;
  const peer = peers[from]!;
  const count = peers.length + 1;
  const turns = Array.from({ length: count - 1 }, (_, i) => (from + 2 + i) % count);
  const addresses = turns.map((to) =>
    formatAddress(to === 0 ? ownAddress(peer, options) : peers[to - 1]!.remoteAddress)
  );
  const figures = await peer.measureLinks(node.name, addresses, signal);
  if (figures.length !== turns.length) {
    throw new MdiError(
      "protocol",
      `${peer.name} measured ${figures.length} links and was asked for ${turns.length}`,
    );
  }
  const links = new Array<MeasuredLink | undefined>(count).fill(undefined);
  turns.forEach((to, i) => links[to] = readLink(peer.name, figures[i]!));
  return links;
}

/**
 * Checks what a node says of a link.
 * @returns undefined where it did not reach the other end.
 * @throws {MdiError} protocol where the figures are none.
 */
export function readLink(
  name: string,
  { rttMs, mbit, messageCpuMs }: Omit<LinkFigures, "$typeName" | "$unknown">,
): MeasuredLink | undefined {
  const wrong = (what: string, value: number) =>
    new MdiError("protocol", `Cannot use what ${name} measured: ${what} of ${value} for a link`);
  if (!(rttMs >= 0 && rttMs <= MAX_RTT_MS)) throw wrong("a round trip in ms", rttMs);
  if (!(mbit >= 0 && mbit <= MAX_MBIT)) throw wrong("a bandwidth in Mbit/s", mbit);
  if (!(messageCpuMs >= 0 && messageCpuMs <= MAX_RTT_MS)) {
    throw wrong("processor time in ms of a message", messageCpuMs);
  }
  return mbit === 0 ? undefined : { rttMs, mbit, messageCpuMs };
}

/**
 * Checks what a node says of itself.
 * @throws {MdiError} protocol
 */
export function readProfiled(name: string, { profile }: Pick<Profiled, "profile">): StageProfile {
  if (profile.length > MAX_PROFILE) {
    throw new MdiError(
      "protocol",
      `Cannot use what ${name} measured: it has ${profile.length} characters`,
    );
  }
  try {
    return readStageProfile(JSON.parse(profile));
  } catch (cause) {
    throw new MdiError(
      "protocol",
      `Cannot use what ${name} measured: ${messageOf(cause).slice(0, 300)}`,
      { cause },
    );
  }
}

/** What a ring and a plan of one begin with: the node itself, its store, its peers, the model. */
import { MdiError } from "../wasm/error.ts";
import type { KvType } from "../wasm/stage.ts";
import { freeMemory } from "../engine/device/memory.ts";
import { type LoadedModel, loadModel } from "../engine/load_model.ts";
import { openStore, type Store } from "../engine/store/store.ts";
import { type Address, parseAddress } from "./address.ts";
import { requireTokenBeyondLoopback } from "./admission.ts";
import { connectPeers } from "./connect_peers.ts";
import { kvCapabilities, requireKvBackend, requireKvType } from "./kv_type.ts";
import type { RingOptions } from "./open_ring.ts";
import { requireTypes } from "./option_types.ts";
import type { Peer } from "./peer.ts";
import { contextOf, requireWire } from "./plan_ring.ts";
import { type ResolvedNode, resolveNode, resolvePeers } from "./ring_options.ts";
import { TRACE_CAPABILITY } from "./trace.ts";

/** All that is known before anything is planned. */
export interface PreparedRing extends Pick<LoadedModel, "manifest" | "sampling" | "tokenizer"> {
  node: ResolvedNode;
  store: Store;
  /** In the order that they were given. */
  peers: readonly Peer[];
  /** How peers reach this node, where the address they see is not it. */
  advertise: Address | undefined;
  wire: "f32" | "f16";
  kv: KvType;
  /** Positions that a prompt and its answer may have. */
  context: number;
  /** Aborts when `owned` is disposed of, too. */
  signal: AbortSignal;
}

/**
 * Refuses options of another type than they must be.
 * @throws {TypeError} naming the option.
 */
export function requireRingTypes(options: RingOptions): void {
  requireTypes(options, {
    model: "text",
    dtype: "text",
    tokenizer: "text",
    peers: "texts",
    advertise: "text",
    layers: "counts",
    context: "number",
    slots: "number",
    decodeFrames: "number",
    samples: "number",
    onSlot: "function",
    trace: "boolean",
    signal: "signal",
  });
}

/**
 * Checks the options, connects to the peers, and makes sure that the model's blocks are in the store.
 * @param owned closes what was opened.
 * @throws {MdiError} with a code that says why there cannot be such a ring.
 * @throws {TypeError | RangeError} where an option is not what it must be.
 */
export async function prepareRing(
  options: RingOptions,
  owned: AsyncDisposableStack,
): Promise<PreparedRing> {
  const node = await resolveNode(options);
  const addresses = resolvePeers(options.peers, node);
  const { wire = "f32" } = options;
  if (wire !== "f32" && wire !== "f16") {
    throw new RangeError(`Cannot use the wire format "${String(wire)}": there are "f32" and "f16"`);
  }
  const kv = requireKvType(options.kv ?? "f32");
  if (kv !== "f32" && node.backend === "ort") {
    throw new RangeError(
      `Cannot keep KV caches as ${kv}: backend "ort" has none; leave --kv or --backend out`,
    );
  }
  requireTokenBeyondLoopback({ hasToken: node.identity !== undefined, peers: addresses });
  const advertise = options.advertise === undefined ? undefined : parseAddress(options.advertise);
  const ending = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, ending.signal]) : ending.signal;
  owned.defer(() => ending.abort(new MdiError("cancelled", "The ring was closed")));
  const store = await openStore(node.home, {
    limitBytes: node.storeLimitBytes,
    onNote: (message) => node.onEvent({ type: "note", message }),
  });
  const pin = owned.use(await store.pin());
  const needed = [
    ...(wire === "f16" ? ["wire-f16"] : []),
    ...kvCapabilities(kv),
    ...(options.trace ? [TRACE_CAPABILITY] : []),
  ];
  const peers = await connectPeers(addresses, node, needed, signal, owned);
  requireKvBackend(kv, peers);
  const { manifest, sampling, tokenizer } = await loadModel(options.model, {
    store,
    pin,
    dtype: options.dtype,
    tokenizerDir: options.tokenizer,
    memoryBytes: totalMemory(node, peers),
    signal,
    onEvent: node.onEvent,
  });
  requireWire(wire, manifest);
  const context = contextOf(options.context, manifest);
  return {
    ...{ manifest, sampling, tokenizer },
    ...{ node, store, peers, advertise, wire, kv, context, signal },
  };
}

/** Bytes that all nodes have free. */
function totalMemory(node: ResolvedNode, peers: readonly Peer[]): number {
  return peers.reduce(
    (sum, { device }) => sum + Number(device.memoryFreeBytes),
    freeMemory(node.memoryBytes),
  );
}

/** From options to a ring that generates: peers, model, plan, layers, links, in this order. */
import { isIPv6 } from "node:net";
import { loadWorkerStage } from "../wasm/worker_stage.ts";
import type { KvType, Stage } from "../wasm/stage.ts";
import { cancellable } from "../engine/cancellable.ts";
import { loadModel } from "../engine/load_model.ts";
import type { Manifest } from "../engine/model/types.ts";
import type { Plan } from "../engine/plan/plan.ts";
import { RingDriver } from "../engine/ring/driver.ts";
import { createScheduler } from "../engine/ring/scheduler.ts";
import { type KvLimit, kvLimit } from "../engine/ring/kv_budget.ts";
import type { Scheduler, SlotStay } from "../engine/ring/schedule.ts";
import { openStore, type Store } from "../engine/store/store.ts";
import { MdiError } from "../wasm/error.ts";
import { type Address, isLoopback, parseAddress } from "./address.ts";
import { requireTokenBeyondLoopback } from "./admission.ts";
import { blocksFor } from "./configuration.ts";
import { ControlService } from "./control_service.ts";
import { describeDevice, freeForCaches, freeMemory } from "./device.ts";
import { type ComputingNode, deviations } from "./deviations.ts";
import { kvRoomOf } from "./kv_room.ts";
import { kvCapabilities, requireKvBackend, requireKvType } from "./kv_type.ts";
import { requireTypes } from "./option_types.ts";
import { Peer } from "./peer.ts";
import { plainText } from "./plain_text.ts";
import { contextOf, planLayers, planText, requireWire, slotsOf } from "./plan_ring.ts";
import { OpenRing, type Ring } from "./ring.ts";
import { type NodeOptions, type ResolvedNode, resolveNode, resolvePeers } from "./ring_options.ts";
import { ringRoutes } from "./ring_service.ts";
import { type NodeServer, serve } from "./server.ts";
import { VERSION } from "./version.ts";
import { Wiring } from "./wiring.ts";

/** Rows of a prefill chunk; larger ones cost memory and give nothing in ONNX Runtime. */
const CHUNK_ROWS = 32;
/** Samples that may wait for a slot. */
const QUEUE_LIMIT = 1024;

/** What {@linkcode openRing} may be told. */
export interface RingOptions extends NodeOptions {
  /**
   * A GGUF file, a safetensors directory, an ONNX export directory, or owner/name[:file or dtype] on
   * the hub.
   *
   * @default {SmolLM2-135M-Instruct}
   */
  model?: string;
  /** Which file of an ONNX export: fp32, fp16, q8, q4, q4f16. */
  dtype?: string;
  /** Directory of the tokenizer files, where the model's own has none. */
  tokenizer?: string;
  /** The secondaries in the ring's order, HOST[:PORT]; none makes a ring of one. */
  peers?: string | readonly string[];
  /** How the last secondary reaches this node, where the address it sees is not it. */
  advertise?: string;
  /** Layers of each node, the starter first: "12,9,9" or [12, 9, 9]. */
  layers?: string | readonly number[];
  /**
   * Form of the hidden states on the wire; f16 halves the bytes and rounds.
   *
   * @default {"f32"}
   */
  wire?: "f32" | "f16";
  /**
   * Type of the KV caches on every node; f16 takes half the memory, int8 a little more than a quarter, and
   * both round. ONNX Runtime has f32 only.
   *
   * @default {"f32"}
   */
  kv?: "f32" | "f16" | "int8";
  /**
   * Positions that a prompt and its answer may have.
   *
   * @default {what the model was made for}
   */
  context?: number;
  /**
   * Samples in the ring at once.
   *
   * @default {four for each node}
   */
  slots?: number;
  /** Told of every stay of a sample in a slot. */
  onSlot?: (stay: SlotStay) => void;
}

/**
 * Makes this process the starter of a ring and loads the model over it.
 * @throws {MdiError} with a code that says why the ring cannot be made.
 * @throws {TypeError | RangeError} where an option is not what it must be.
 */
export async function openRing(options: RingOptions = {}): Promise<Ring> {
  requireTypes(options, {
    model: "text",
    dtype: "text",
    tokenizer: "text",
    peers: "texts",
    advertise: "text",
    layers: "counts",
    context: "number",
    slots: "number",
    onSlot: "function",
    signal: "signal",
  });
  return await cancellable("open the ring", options.signal, () => makeRing(options));
}

async function makeRing(options: RingOptions): Promise<Ring> {
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
  const ending = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, ending.signal]) : ending.signal;

  await using owned = new AsyncDisposableStack();
  owned.defer(() => ending.abort(new MdiError("cancelled", "The ring was closed")));
  const store = await openStore(node.home, {
    limitBytes: node.storeLimitBytes,
    onNote: (message) => node.onEvent({ type: "note", message }),
  });
  const pin = owned.use(await store.pin());
  const needed = [...(wire === "f16" ? ["wire-f16"] : []), ...kvCapabilities(kv)];
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
  const plan = planLayers(options.layers, manifest, node, peers);
  node.onEvent({ type: "plan", message: planText(plan) });

  let wiring: Wiring | undefined;
  if (peers.length > 0) {
    const target: { wiring?: Wiring } = {};
    const server = owned.use(await listen(node, peers, store, () => target.wiring, signal));
    wiring = owned.use(
      new Wiring({
        peers,
        manifest,
        plan,
        starter: node.name,
        identity: node.identity,
        listen: server.address,
        advertise: options.advertise === undefined ? undefined : parseAddress(options.advertise),
        wire,
        context,
        kv,
        signal,
        onEvent: node.onEvent,
      }),
    );
    target.wiring = wiring;
  }
  const loading = loadOwnStage(manifest, plan, { node, store, kv, signal });
  const stage = await bothOrNeither(loading, wiring?.configure());
  owned.use(stage);
  const differing = deviations(computingNodes(node.name, stage, peers, wiring), wire);
  for (const message of differing) node.onEvent({ type: "note", message });
  const port = await wiring?.link();

  const limit = kvLimit([
    {
      memoryBytes: freeForCaches(node.memoryBytes, stage.info),
      kvBytesPerToken: stage.info.kvBytesPerToken,
      kvPageTokens: stage.info.kvPageTokens,
    },
    ...(wiring?.ready ?? []).map((ready, i) => kvRoomOf(peers[i]!.name, ready)),
  ]);
  const scheduler = makeScheduler(options, peers.length + 1, limit);
  const driver = new RingDriver({
    stage,
    scheduler,
    ...(port && { port }),
    epoch: wiring?.epoch ?? 0,
    dModel: manifest.config.hidden,
    vocab: manifest.config.vocab,
  });
  wiring?.lost.then((error) => driver.fail(error));
  return new OpenRing({
    manifest,
    plan,
    context,
    defaults: sampling,
    tokenizer,
    stage,
    driver,
    name: node.name,
    peers,
    wiring,
    deviations: differing,
    kvTokens: limit.tokens,
    kvPeakTokens: () => scheduler.kvPeakTokens,
    owned: owned.move(),
  });
}

async function connectPeers(
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

/** Bytes that all nodes have free. */
function totalMemory(node: ResolvedNode, peers: readonly Peer[]): number {
  return peers.reduce(
    (sum, { device }) => sum + Number(device.memoryFreeBytes),
    freeMemory(node.memoryBytes),
  );
}

async function listen(
  node: ResolvedNode,
  peers: readonly Peer[],
  store: Store,
  wiring: () => Wiring | undefined,
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
  // Nobody types the starter's address: where none was given, any free port does.
  const host = node.listenGiven ? node.listen.host : hostFor(peers, node.listen.host);
  try {
    return await serve({ listen: { host, port: node.listen.port }, identity, routes, signal });
  } catch (error) {
    if (node.listenGiven || !(error instanceof MdiError) || error.code !== "address_in_use") {
      throw error;
    }
    return await serve({ listen: { host, port: 0 }, identity, routes, signal });
  }
}

/** Where the peers can reach this node: on the interfaces, and by the protocol, that it reached them by. */
function hostFor(peers: readonly Peer[], everywhere: string): string {
  const hosts = peers.map((peer) => peer.localAddress.host);
  if (hosts.every(isLoopback)) return hosts.every(isIPv6) ? "::1" : "127.0.0.1";
  return hosts.some(isIPv6) ? "::" : everywhere;
}

/** What the starter's stage is loaded with. */
interface OwnStageOptions {
  node: ResolvedNode;
  store: Store;
  kv: KvType;
  signal: AbortSignal;
}

function loadOwnStage(
  manifest: Manifest,
  plan: Plan,
  { node, store, kv, signal }: OwnStageOptions,
): Promise<Stage> {
  const { layers } = plan.nodes[0]!;
  node.onEvent({ type: "load", message: "loading", done: 0, total: 0 });
  return loadWorkerStage(node.backend, {
    model: manifest.name,
    range: { embed: true, layers, head: true },
    blocks: blocksFor(manifest, layers, ["embed", "head"]).map(({ name, hash }) => ({
      name,
      path: store.path(hash),
      hash,
    })),
    dModel: manifest.config.hidden,
    vocab: manifest.config.vocab,
    memoryBytes: freeMemory(node.memoryBytes),
    threads: node.threads,
    kv,
    packed: store.layout.packed,
  }, {
    signal,
    onPack: (done, total) =>
      node.onEvent({ type: "load", message: "packing weights", done, total }),
    askRoom: (bytes) => store.packedRoom(bytes, manifest.name),
  }).then((stage) => {
    for (const message of stage.info.notes) {
      node.onEvent({ type: "note", node: node.name, message });
    }
    return stage;
  });
}

/**
 * Waits for the stage and for the peers. Where the stage fails, nobody waits for the peers, whose stays end with
 * their connections; where the peers fail, the stage is freed.
 */
async function bothOrNeither(
  loading: Promise<Stage>,
  peers: Promise<void> | undefined,
): Promise<Stage> {
  peers?.catch(() => {});
  const stage = await loading;
  try {
    await peers;
    return stage;
  } catch (error) {
    await stage[Symbol.asyncDispose]();
    throw error;
  }
}

/** What computes on each node, in the ring's order. */
function computingNodes(
  name: string,
  { info }: Stage,
  peers: readonly Peer[],
  wiring: Wiring | undefined,
): ComputingNode[] {
  const { backend, backendReason } = info;
  return [
    { name, backend, backendReason, release: VERSION },
    ...(wiring?.ready ?? []).map((ready, i) => ({
      name: peers[i]!.name,
      backend: plainText(ready.backend),
      backendReason: plainText(ready.backendReason) || null,
      release: peers[i]!.version,
    })),
  ];
}

function makeScheduler(options: RingOptions, nodes: number, limit: KvLimit): Scheduler {
  return createScheduler({
    nodes,
    slots: slotsOf(options.slots, nodes),
    chunk: CHUNK_ROWS,
    kvTokens: limit.tokens,
    kvPageTokens: limit.pageTokens,
    queueLimit: QUEUE_LIMIT,
    ...(options.onSlot && { observe: options.onSlot }),
  });
}

/** From options to a ring that generates: peers, model, plan, layers, links, in this order. */
import { MdiError } from "../wasm/error.ts";
import type { Stage } from "../wasm/stage.ts";
import { cancellable } from "../engine/cancellable.ts";
import { RingDriver } from "../engine/ring/driver.ts";
import { CHUNK_ROWS } from "../engine/ring/message.ts";
import { createScheduler } from "../engine/ring/scheduler.ts";
import { SpanRecorder } from "../engine/ring/spans.ts";
import { kvLimit } from "../engine/ring/kv_budget.ts";
import type { SlotStay } from "../engine/ring/schedule.ts";
import { choosePlan, type PlanBasis } from "./choose_plan.ts";
import { freeForCaches } from "./device.ts";
import { type ComputingNode, deviations } from "./deviations.ts";
import { kvRoomOf } from "./kv_room.ts";
import { bothOrNeither, loadOwnStage } from "./own_stage.ts";
import type { Peer } from "./peer.ts";
import { plainText } from "./plain_text.ts";
import { planText, samplesOf, slotsOf } from "./plan_ring.ts";
import { predictRun } from "./predict_run.ts";
import { prepareRing, requireRingTypes } from "./prepare_ring.ts";
import { OpenRing, type Ring } from "./ring.ts";
import type { NodeOptions } from "./ring_options.ts";
import { listenForPeers } from "./starter_server.ts";
import { RingTrace } from "./trace.ts";
import { VERSION } from "./version.ts";
import { Wiring } from "./wiring.ts";

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
  /**
   * Layers of each node, the starter first: "12,9,9" or [12, 9, 9]; or "even": by cores and free memory, over
   * every peer. Without it, peers and links are measured, and the fastest plan is taken: in any order, and
   * without the peers that would slow it down.
   */
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
  /**
   * Frames that decoding samples share: fewer have more rows each, more hide slow links better.
   *
   * @default {what the plan says, else one for each node}
   */
  decodeFrames?: number;
  /**
   * Samples that are expected to run at once; the plan is made for them, that of one for the shortest time
   * between its tokens.
   *
   * @default {the slots}
   */
  samples?: number;
  /** Told of every stay of a sample in a slot. */
  onSlot?: (stay: SlotStay) => void;
  /**
   * Whether every node records what it does and when, for {@linkcode Ring.recording} and
   * {@linkcode Ring.trace}.
   *
   * @default {false}
   */
  trace?: boolean;
}

/**
 * Makes this process the starter of a ring and loads the model over it.
 * @throws {MdiError} with a code that says why the ring cannot be made.
 * @throws {TypeError | RangeError} where an option is not what it must be.
 */
export async function openRing(options: RingOptions = {}): Promise<Ring> {
  requireRingTypes(options);
  return await cancellable("open the ring", options.signal, () => makeRing(options));
}

async function makeRing(options: RingOptions): Promise<Ring> {
  await using owned = new AsyncDisposableStack();
  const prepared = await prepareRing(options, owned);
  const { node, store, manifest, advertise, wire, kv, context, signal } = prepared;
  const target: { wiring?: Wiring } = {};
  const server = prepared.peers.length === 0 ? undefined : owned.use(
    await listenForPeers(node, prepared.peers, store, () => target.wiring, signal),
  );
  const slots = slotsOf(options.slots, prepared.peers.length + 1);
  const { plan, peers, leftOut, basis } = await choosePlan(prepared, {
    layers: options.layers,
    samples: samplesOf(options.samples, slots),
    context: options.context,
    listen: server?.address,
  });
  await Promise.all(leftOut.map((peer) => peer[Symbol.asyncDispose]()));
  if (peers.length === 0) await server?.[Symbol.asyncDispose]();
  const predicted = basis && {
    tokensPerSecond: basis.planned.cost.tokensPerSecond,
    samples: basis.problem.samples,
  };
  node.onEvent({ type: "plan", message: planText(plan, predicted) });

  const spans = options.trace ? new SpanRecorder() : undefined;
  let wiring: Wiring | undefined;
  if (server && peers.length > 0) {
    wiring = owned.use(
      new Wiring({
        ...{ peers, manifest, plan, advertise, wire, context, kv, signal },
        starter: node.name,
        identity: node.identity,
        listen: server.address,
        onEvent: node.onEvent,
        spans,
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
  const decodeFrames = options.decodeFrames ?? decodeFramesOf(basis, peers.length + 1);
  const scheduler = createScheduler({
    nodes: peers.length + 1,
    slots,
    chunk: CHUNK_ROWS,
    kvTokens: limit.tokens,
    kvPageTokens: limit.pageTokens,
    queueLimit: QUEUE_LIMIT,
    decodeFrames,
    ...(options.onSlot && { observe: options.onSlot }),
  });
  const driver = new RingDriver({
    stage,
    scheduler,
    ...(port && { port }),
    epoch: wiring?.epoch ?? 0,
    dModel: manifest.config.hidden,
    vocab: manifest.config.vocab,
    ...(spans && { spans }),
  });
  const trace = spans && new RingTrace(spans, peers);
  await trace?.start();
  wiring?.lost.then((error) => driver.fail(error));
  let ending: ReturnType<typeof setTimeout> | undefined;
  const onAbort = () => {
    const reason = new MdiError("cancelled", "The ring was ended by its signal");
    // Samples that the same signal ends do so first, with what they have.
    ending = setTimeout(() => driver.fail(reason), 0);
  };
  options.signal?.addEventListener("abort", onAbort, { once: true });
  owned.defer(() => {
    options.signal?.removeEventListener("abort", onAbort);
    clearTimeout(ending);
  });
  return new OpenRing({
    ...{ manifest, plan, context, stage, driver, peers, wiring },
    defaults: prepared.sampling,
    tokenizer: prepared.tokenizer,
    name: node.name,
    slots,
    deviations: differing,
    kvTokens: limit.tokens,
    kvPeakTokens: () => scheduler.kvPeakTokens,
    predict: basis && ((load) => predictRun(basis, { ...load, decodeFrames })),
    trace,
    owned: owned.move(),
  });
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

/** Frames that decoding samples are spread over: as the plan says where it was made for many of them. */
function decodeFramesOf(basis: PlanBasis | undefined, nodes: number): number {
  return basis?.problem.goal === "throughput" ? basis.planned.decodeFrames : nodes;
}

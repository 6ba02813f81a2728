/**
 * One stay of a secondary in a ring: from a starter's claim until the stream that carried it ends. It
 * owns all that the stay needs (blocks in use, stage, links), so that ending it frees everything.
 */
import { create } from "@bufbuild/protobuf";
import { MdiError, messageOf } from "../wasm/error.ts";
import type { Stage } from "../wasm/stage.ts";
import { loadWorkerStage } from "../wasm/worker_stage.ts";
import { MAX_MANIFEST_BYTES, validateManifest } from "../engine/model/manifest.ts";
import type { BlockEntry, Manifest } from "../engine/model/types.ts";
import { relay } from "../engine/ring/relay.ts";
import type { Store } from "../engine/store/store.ts";
import { parseAddress } from "./address.ts";
import { freeForCaches, freeMemory } from "./device.ts";
import { fetchBlocks } from "./fetch_blocks.ts";
import {
  type Configure,
  Configure_Dtype,
  type Ready,
  ReadySchema,
  type Stats,
  StatsSchema,
} from "./gen/mdi/v1/control_pb.ts";
import type { RingIdentity } from "./identity.ts";
import { createFrameCodec, type FrameCodec } from "./frame.ts";
import { MAX_FRAME_ROWS } from "../engine/ring/message.ts";
import { connectLink } from "./link_connect.ts";
import type { LinkReceiver, LinkSender } from "./link.ts";
import { plainWord } from "./plain_text.ts";

/** What a node gives to its stays. */
export interface MembershipOptions {
  store: Store;
  identity: RingIdentity | undefined;
  backend: string;
  /** Bytes that the process may use; null for what is free. */
  memoryBytes: number | null;
  /** Ends the stay. */
  signal: AbortSignal;
  /** Told what takes time. */
  onProgress(what: string, done: number, total: number): void;
}

/** A configured node. */
export class Membership implements AsyncDisposable {
  /** Settles when the stay cannot go on: with the reason. */
  readonly failed: Promise<Error>;
  #fail: (error: Error) => void;
  #options: MembershipOptions;
  #owned = new AsyncDisposableStack();
  #config: Configure | undefined;
  #manifest: Manifest | undefined;
  #stage: Stage | undefined;
  #input = Promise.withResolvers<LinkReceiver>();
  #receiver: LinkReceiver | undefined;
  #output: LinkSender | undefined;
  #caches = new Map<number, number>();
  #kvTokens = 0;
  #kvPeakTokens = 0;

  /** Begins a stay with nothing loaded. */
  constructor(options: MembershipOptions) {
    const failed = Promise.withResolvers<Error>();
    this.failed = failed.promise;
    this.#fail = failed.resolve;
    this.#options = options;
    this.#input.promise.catch(() => {});
  }

  /** The ring's wiring; undefined before the node is configured. */
  get epoch(): number | undefined {
    return this.#config?.epoch;
  }

  /** The codec for what the predecessor sends. */
  get inputCodec(): FrameCodec {
    return this.#codec("stage");
  }

  /**
   * Fetches and loads.
   * @throws {MdiError} what is wrong with the configuration, the blocks, or this device.
   */
  async configure(config: Configure): Promise<Ready> {
    if (this.#config) throw new MdiError("protocol", "Cannot configure the node twice in one stay");
    const { store, identity, backend, memoryBytes, signal, onProgress } = this.#options;
    const manifest = readManifest(config);
    this.#config = config;
    this.#manifest = manifest;
    const blocks = neededBlocks(manifest, config.firstLayer, config.lastLayer);
    const providers = config.providers.slice(0, 16).map((text) => parseAddress(text));
    const pin = this.#owned.use(await store.pin());
    const received = await fetchBlocks(blocks, {
      store,
      identity,
      providers,
      pin,
      signal,
      onProgress: (done, total) => onProgress("fetch", done, total),
    });
    // With its manifest the model shows in this device's own list, and stays until it is removed there.
    await pin.add(await store.putManifest(manifest));
    onProgress("load", 0, 0);
    const stage = await loadWorkerStage(backend, {
      model: plainWord(manifest.name),
      range: { embed: false, layers: [config.firstLayer, config.lastLayer], head: false },
      blocks: blocks.map((block) => ({ name: block.name, path: store.path(block.hash) })),
      dModel: manifest.config.hidden,
      vocab: manifest.config.vocab,
      memoryBytes: freeMemory(memoryBytes),
    }, { signal });
    this.#stage = this.#owned.use(stage);
    const { info } = stage;
    return create(ReadySchema, {
      backend: info.backend,
      threads: info.threads,
      weightBytes: BigInt(info.weightBytes),
      kvBytesPerToken: BigInt(info.kvBytesPerToken),
      kvCapacityTokens: BigInt(
        Math.floor(freeForCaches(memoryBytes) / info.kvBytesPerToken),
      ),
      weightBytesReceived: BigInt(received),
      notes: info.notes,
    });
  }

  /** Takes the predecessor's link. */
  accept(receiver: LinkReceiver): void {
    this.#input.resolve(receiver);
  }

  /** Opens the link to the successor and starts to relay. */
  async open(): Promise<void> {
    const config = this.#config;
    const stage = this.#stage;
    if (!config || !stage || this.#output) {
      throw new MdiError(
        "protocol",
        "Cannot open the link: the node is not configured, or it is open",
      );
    }
    const { identity, signal } = this.#options;
    const last = config.index === config.nodes - 1;
    const output = await connectLink(parseAddress(config.successor), {
      identity,
      codec: this.#codec(last ? "return" : "stage"),
      epoch: config.epoch,
      from: config.index,
      signal,
    });
    this.#output = this.#owned.use(output);
    this.#relay(stage, output, last).catch((error) => this.#fail(error as Error));
  }

  async #relay(stage: Stage, output: LinkSender, last: boolean): Promise<void> {
    const input = this.#owned.use(await this.#input.promise);
    this.#receiver = input;
    await relay({
      stage,
      dModel: this.#manifest!.config.hidden,
      last,
      input,
      output,
      onCache: (sample, _length, capacity) => this.#countCache(sample, capacity),
    });
    // A link closed in order ends no stay: the starter ends it, or its connection does.
  }

  #countCache(sample: number, capacity: number): void {
    this.#kvTokens += capacity - (this.#caches.get(sample) ?? 0);
    if (capacity === 0) this.#caches.delete(sample);
    else this.#caches.set(sample, capacity);
    this.#kvPeakTokens = Math.max(this.#kvPeakTokens, this.#kvTokens);
  }

  /** Totals so far. */
  stats(): Stats {
    const { info } = this.#stage ?? {};
    return create(StatsSchema, {
      computeMs: this.#stage?.computeMs() ?? 0,
      codecMs: (this.#receiver?.decodeMs ?? 0) + (this.#output?.encodeMs ?? 0),
      bytesSent: BigInt(this.#output?.bytesSent ?? 0),
      kvPeakBytes: BigInt(this.#kvPeakTokens * (info?.kvBytesPerToken ?? 0)),
      rssBytes: BigInt(Deno.memoryUsage().rss),
    });
  }

  #codec(edge: "stage" | "return"): FrameCodec {
    const { config } = this.#manifest!;
    return createFrameCodec({
      dModel: config.hidden,
      dtype: this.#config!.wire === Configure_Dtype.F16 ? "f16" : "f32",
      edge,
      context: this.#config!.context,
      maxRows: MAX_FRAME_ROWS,
    });
  }

  /** Frees everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#input.reject(new MdiError("cancelled", "The stay ended"));
    await this.#owned.disposeAsync();
  }
}

/** The manifest of a configuration, checked with the rest of it. */
function readManifest(config: Configure): Manifest {
  const refuse = (why: string) => new MdiError("protocol", `Cannot take the configuration: ${why}`);
  if (config.manifest.length > MAX_MANIFEST_BYTES) {
    throw refuse(`its manifest has ${config.manifest.length} characters`);
  }
  let json: unknown;
  try {
    json = JSON.parse(config.manifest);
  } catch (cause) {
    throw refuse(`its manifest is not JSON (${messageOf(cause)})`);
  }
  const manifest = validateManifest(json);
  const { layers, context } = manifest.config;
  const { firstLayer, lastLayer, index, nodes } = config;
  if (firstLayer > lastLayer || lastLayer >= layers) {
    throw refuse(`layers ${firstLayer} to ${lastLayer} of a model of ${layers}`);
  }
  if (nodes < 2 || nodes > 16 || index < 1 || index >= nodes) {
    throw refuse(`it makes this node number ${index} of ${nodes}`);
  }
  if (config.context < 1 || config.context > context) {
    throw refuse(`a context of ${config.context} for a model of ${context}`);
  }
  return manifest;
}

/** The blocks of a range of layers and those that they refer to. */
export function neededBlocks(manifest: Manifest, first: number, last: number): BlockEntry[] {
  const names = new Set<string>();
  for (let layer = first; layer <= last; layer++) names.add(`layer.${layer}`);
  return withRequired(manifest, names);
}

/** The named blocks and those that they refer to, in the manifest's order. */
export function withRequired(manifest: Manifest, names: Set<string>): BlockEntry[] {
  const all = new Set(names);
  for (const block of manifest.blocks) {
    if (names.has(block.name)) { for (const name of block.requires) all.add(name); }
  }
  return manifest.blocks.filter((block) => all.has(block.name));
}

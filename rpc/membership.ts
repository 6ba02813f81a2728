/**
 * One stay of a secondary in a ring: from a starter's claim until the stream that carried it ends. It
 * owns all that the stay needs (blocks in use, stage, links), so that ending it frees everything.
 */
import { create } from "@bufbuild/protobuf";
import { MdiError } from "../wasm/error.ts";
import { wholeMegabytes } from "../wasm/whole_megabytes.ts";
import { kvUnsupported } from "../wasm/load_stage.ts";
import type { Pace } from "../wasm/pace.ts";
import type { Backend, Stage } from "../wasm/stage.ts";
import { leastStageBytes } from "../wasm/stage_memory.ts";
import { collectGarbage, freeMemory } from "../engine/device/memory.ts";
import { loadStoredStage } from "../engine/load_stored_stage.ts";
import { type KvLimit, kvLimit, wholePages } from "../engine/ring/kv_budget.ts";
import { MAX_FRAME_ROWS } from "../engine/ring/message.ts";
import { relay } from "../engine/ring/relay.ts";
import { SpanRecorder } from "../engine/ring/spans.ts";
import type { Store } from "../engine/store/store.ts";
import { type Configuration, readConfiguration } from "./configuration.ts";
import { freeForCaches } from "./device.ts";
import { fetchBlocks } from "./fetch_blocks.ts";
import { createFrameCodec, type FrameCodec } from "./frame.ts";
import {
  type Configure,
  type Ready,
  ReadySchema,
  type Stats,
  StatsSchema,
} from "./gen/mdi/v1/control_pb.ts";
import type { RingIdentity } from "./identity.ts";
import { kvToWire } from "./kv_type.ts";
import type { LinkReceiver, LinkSender } from "./link.ts";
import { connectLink } from "./link_connect.ts";
import { plainWord } from "./plain_text.ts";

/** What a node gives to its stays. */
export interface MembershipOptions {
  store: Store;
  identity: RingIdentity | undefined;
  backend: Backend;
  threads: number;
  /** Bytes that the process may use; null for what is free. */
  memoryBytes: number | null;
  /** The slower device that it stands for; null for none. */
  pace: Pace | null;
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
  #config: Configuration | undefined;
  #stage: Stage | undefined;
  #spans: SpanRecorder | undefined;
  #linked = false;
  #relayed = false;
  #released = false;
  /** Ends the link to the successor at once. */
  #breaking = new AbortController();
  #input = Promise.withResolvers<LinkReceiver>();
  #receiver: LinkReceiver | undefined;
  #output: LinkSender | undefined;
  /** Tokens that each sample's cache takes, in whole pages. */
  #caches = new Map<number, number>();
  /** What Ready offered. */
  #kvLimit: KvLimit = { tokens: 0, pageTokens: 1 };
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

  /** What the node does, where the starter asked for it. */
  get spans(): SpanRecorder | undefined {
    return this.#spans;
  }

  /** Index of the node whose link is due. */
  get predecessor(): number {
    return this.#config!.index - 1;
  }

  /** Whether that link is there. */
  get linked(): boolean {
    return this.#linked;
  }

  /** Whether the starter has announced the stay's end: what breaks from then on is no failure. */
  get released(): boolean {
    return this.#released;
  }

  /** The codec for what the predecessor sends. */
  get inputCodec(): FrameCodec {
    return this.#codec("stage");
  }

  /**
   * Fetches and loads.
   * @throws {MdiError} what is wrong with the configuration, the blocks, or this device.
   */
  async configure(message: Configure): Promise<Ready> {
    if (this.#config) throw new MdiError("protocol", "Cannot configure the node twice in one stay");
    const { store, identity, backend, threads, memoryBytes, pace, signal, onProgress } = this
      .#options;
    const config = readConfiguration(message);
    const { manifest, blocks, layers, providers, kv } = config;
    this.#config = config;
    if (config.spans > 0) this.#spans = new SpanRecorder(config.spans);
    if (backend === "ort" && kv !== "f32") throw kvUnsupported(kv, null);
    collectGarbage(); // of measurements and of stays before this one
    requireMemory(config, freeMemory(memoryBytes), backend);
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
    const stage = await loadStoredStage({
      ...{ manifest, blocks, store, backend, threads, kv, memoryBytes, pace, signal },
      model: plainWord(manifest.name),
      range: { embed: false, layers, head: false },
      onPack: (done, total) => onProgress("pack", done, total),
    });
    this.#stage = this.#owned.use(stage);
    const { info } = stage;
    const { kvBytesPerToken, kvPageTokens } = info;
    this.#kvLimit = kvLimit([
      { memoryBytes: freeForCaches(memoryBytes, info), kvBytesPerToken, kvPageTokens },
    ]);
    return create(ReadySchema, {
      backend: info.backend,
      backendReason: info.backendReason ?? "",
      threads: info.threads,
      weightBytes: BigInt(info.weightBytes),
      kvBytesPerToken: BigInt(kvBytesPerToken),
      kv: kvToWire(info.kv),
      kvCapacityTokens: BigInt(this.#kvLimit.tokens),
      kvPageTokens,
      weightBytesReceived: BigInt(received),
      notes: info.notes,
      paced: info.paced ?? false,
    });
  }

  /** Takes the predecessor's link. */
  accept(receiver: LinkReceiver): void {
    this.#linked = true;
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
    const output = await connectLink(config.successor, {
      identity,
      codec: this.#codec(config.last ? "return" : "stage"),
      epoch: config.epoch,
      from: config.index,
      signal: AbortSignal.any([signal, this.#breaking.signal]),
      spans: this.#spans,
    });
    this.#output = this.#owned.use(output);
    this.#relay(stage, output, config).then(
      () => this.#relayed = true,
      (error) => this.#fail(error as Error),
    );
  }

  /** The starter is about to close the ring. */
  release(): void {
    this.#released = true;
  }

  async #relay(
    stage: Stage,
    output: LinkSender,
    { manifest, last }: Configuration,
  ): Promise<void> {
    const input = this.#owned.use(await this.#input.promise);
    this.#receiver = input;
    await relay({
      stage,
      dModel: manifest.config.hidden,
      last,
      input,
      output,
      onCache: (sample, _length, capacity) => this.#countCache(sample, capacity),
      spans: this.#spans,
    });
    // A link closed in order ends no stay: the starter ends it, or its connection does.
  }

  /** Counts a change of a cache, and refuses what this node has not said that it can hold. */
  #countCache(sample: number, capacity: number): void {
    const { tokens: offered, pageTokens } = this.#kvLimit;
    const room = wholePages(capacity, pageTokens);
    const tokens = this.#kvTokens + room - (this.#caches.get(sample) ?? 0);
    if (tokens > offered) {
      throw new MdiError(
        "protocol",
        `Cannot open a cache of ${capacity} tokens for sample ${sample}: ${tokens} would be reserved, and this node offered ${offered}`,
        { details: { sample, capacity, offered } },
      );
    }
    this.#kvTokens = tokens;
    if (capacity === 0) this.#caches.delete(sample);
    else this.#caches.set(sample, room);
    this.#kvPeakTokens = Math.max(this.#kvPeakTokens, tokens);
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
    const { manifest, wire, context } = this.#config!;
    return createFrameCodec({
      dModel: manifest.config.hidden,
      dtype: wire,
      edge,
      context,
      maxRows: MAX_FRAME_ROWS,
    });
  }

  /** Frees everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new MdiError("cancelled", "The stay ended");
    this.#input.reject(reason);
    // A ring that broke has nothing to deliver, and a successor that is silent would not take it.
    if (!this.#relayed) this.#breaking.abort(reason);
    await this.#owned.disposeAsync();
  }
}

/** Says before anything is fetched that the layers cannot be loaded. */
function requireMemory(
  { manifest, layers, blocks }: Configuration,
  available: number,
  backend: Backend,
): void {
  // What a layer refers to elsewhere may be a small part of that block.
  const required = leastStageBytes(
    blocks.filter(({ name }) => name.startsWith("layer.")),
    backend,
  );
  if (required <= available) return;
  throw new MdiError(
    "memory",
    `Cannot load layers ${layers[0]} to ${layers[1]} of ${plainWord(manifest.name)}: that needs ${
      wholeMegabytes(required)
    } of memory at least and ${
      wholeMegabytes(available)
    } are free; give this node fewer layers with --layers, add a node, or take a smaller model`,
    { details: { requiredBytes: Math.ceil(required), availableBytes: Math.floor(available) } },
  );
}

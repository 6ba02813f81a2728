/** A ring that is ready: what programs use. */
import { MdiError } from "../wasm/error.ts";
import type { Stage } from "../wasm/stage.ts";
import type { Manifest, SamplingDefaults } from "../engine/model/types.ts";
import type { Plan } from "../engine/plan/plan.ts";
import type { Timeline } from "../engine/plan/timeline.ts";
import { type Generation, type GenerationResult, startGeneration } from "../engine/generation.ts";
import type { RingDriver, Turn, TurnRequest } from "../engine/ring/driver.ts";
import { recordedSince, type Recording, timelineOf } from "../engine/ring/recording.ts";
import { resolveSampling, type SamplingRequest } from "../engine/text/sampling_options.ts";
import type { ChatMessage } from "../engine/text/chat_template.ts";
import type { Tokenizer } from "../engine/text/tokenizer.ts";
import { type Chat, RingChat } from "./chat.ts";
import { type NodeSummary, RunCounter, type Summary } from "./summary.ts";
import { kvFromWire } from "./kv_type.ts";
import type { Peer } from "./peer.ts";
import type { RunLoad, RunPrediction } from "./predict_run.ts";
import { plainText } from "./plain_text.ts";
import type { RingTrace } from "./trace.ts";
import type { Wiring } from "./wiring.ts";

/** A plain text, a chat under the model's template, or token ids as they are. */
export type Prompt = string | readonly ChatMessage[] | readonly number[];

/** How a generation goes; what is left out comes from the model or from mdi. */
export interface GenerateOptions extends SamplingRequest {
  /**
   * Tokens generated at most.
   *
   * @default {256}
   */
  maxTokens?: number;
  /** Texts that end the generation; they are not part of its text. */
  stop?: string | readonly string[];
  /** Goes on after the model's end tokens. */
  ignoreEos?: boolean;
  /** Cancels the generation. */
  signal?: AbortSignal;
}

/** A ring that is ready to generate. */
export interface Ring extends AsyncDisposable {
  /** What it runs and how the model is cut. */
  readonly manifest: Manifest;
  /** Which node holds which layers. */
  readonly plan: Plan;
  /** Tokens that a prompt and its answer may have together. */
  readonly context: number;
  /** Settles when the ring has ended: with the reason, or undefined where it was closed. */
  readonly ended: Promise<Error | undefined>;
  /**
   * Token ids of a prompt, as {@linkcode Ring.generate} would use them.
   * @throws {MdiError} context_exceeded; model_unsupported for a chat without a template.
   * @throws {RangeError} where the prompt is empty or an id is out of the vocabulary.
   */
  encode(prompt: Prompt): number[];
  /**
   * Starts to generate; many generations may be under way at once.
   * @throws {MdiError} context_exceeded, busy, memory, or why the ring ended.
   * @throws {RangeError} where an option is out of its range or the prompt is empty.
   */
  generate(prompt: Prompt, options?: GenerateOptions): Generation;
  /**
   * Starts a conversation; a system message may come first. From its first turn until it is disposed of
   * it keeps room for as many tokens as the context has, or the ring, where that is less.
   */
  chat(messages?: readonly ChatMessage[]): Chat;
  /** The figures since the ring was made. */
  summary(): Promise<Summary>;
  /**
   * What every node did, on the starter's clock, as far as their recorders reach back. What a node that is
   * gone had recorded is missing.
   * @throws {TypeError} where the ring was not opened with `trace`.
   */
  recording(options?: TraceOptions): Promise<Recording>;
  /**
   * The same as a timeline, for charts and to be compared with a simulated one.
   * @throws {TypeError} where the ring was not opened with `trace`.
   */
  trace(options?: TraceOptions): Promise<Timeline>;
}

/** Which part of what was recorded. */
export interface TraceOptions {
  /**
   * The time by this process's `performance.now()` before which nothing is wanted.
   *
   * @default {0}
   */
  since?: number;
}

/** What {@linkcode openRing} puts together. */
export interface RingParts {
  manifest: Manifest;
  plan: Plan;
  context: number;
  defaults: SamplingDefaults;
  tokenizer: Tokenizer;
  stage: Stage;
  driver: RingDriver;
  name: string;
  peers: readonly Peer[];
  wiring: Wiring | undefined;
  /** Where the run is traced. */
  trace: RingTrace | undefined;
  /** What {@linkcode Summary} says of them. */
  deviations: readonly string[];
  /** Samples in the ring at once. */
  slots: number;
  /** Tokens that every node's caches hold together. */
  kvTokens: number;
  /** Largest number of cached tokens reserved at once so far, in whole pages. */
  kvPeakTokens(): number;
  /** What the plan says of a run, in hindsight; undefined where nothing was measured. */
  predict: ((load: ObservedLoad) => RunPrediction) | undefined;
  owned: AsyncDisposableStack;
}

/** A node's figures without what was predicted of them. */
type MeasuredSummary = Omit<NodeSummary, "predictedMsPerToken">;

/** A run as its counter tells it. */
type ObservedLoad = Omit<RunLoad, "decodeFrames">;

const DEFAULT_TOKENS = 256;

/** The implementation of {@linkcode Ring}. */
export class OpenRing implements Ring {
  readonly manifest: Manifest;
  readonly plan: Plan;
  readonly context: number;
  readonly ended: Promise<Error | undefined>;
  #parts: RingParts;
  #counter: RunCounter;
  #seed: bigint | null = null;

  /** Takes over what the parts own. */
  constructor(parts: RingParts) {
    this.#parts = parts;
    this.#counter = new RunCounter(parts.slots);
    this.manifest = parts.manifest;
    this.plan = parts.plan;
    this.context = parts.context;
    this.ended = parts.driver.ended;
  }

  encode(prompt: Prompt): number[] {
    const { tokenizer } = this.#parts;
    if (typeof prompt === "string") {
      if (prompt === "") throw new RangeError("Cannot use an empty prompt: give it some text");
      return tokenizer.encode(prompt, { maxTokens: this.context });
    }
    if (prompt.length === 0) {
      throw new RangeError("Cannot use an empty prompt: give it some tokens");
    }
    if (isChat(prompt)) {
      return tokenizer.chat(prompt, {
        addGenerationPrompt: true,
        maxTokens: this.context,
      });
    }
    const { vocab } = this.manifest.config;
    const bad = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocab);
    if (bad !== undefined) {
      throw new RangeError(
        `Cannot use token id ${bad}: the vocabulary has ids from 0 to ${vocab - 1}`,
      );
    }
    return [...prompt];
  }

  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    return this.#start({
      ids: this.encode(prompt),
      capacity: this.context,
      continuation: !isChat(prompt),
      begin: (request) => this.#parts.driver.submit(request),
    }, options);
  }

  chat(messages: readonly ChatMessage[] = []): Chat {
    const { driver, tokenizer, kvTokens } = this.#parts;
    return new RingChat({
      driver,
      tokenizer,
      messages,
      capacity: Math.min(this.context, kvTokens),
      start: (turn, options) => this.#start({ ...turn, continuation: false }, options),
    });
  }

  #start(start: Start, options: GenerateOptions): Generation {
    const { tokenizer, defaults } = this.#parts;
    const { ids, capacity, continuation, begin, onEnd } = start;
    const sampling = resolveSampling(this.#seeded(options), defaults);
    if (!sampling.greedy) this.#seed ??= sampling.seed;
    const stop = options.stop === undefined ? [] : [options.stop].flat();
    return startGeneration(
      tokenizer,
      {
        prompt: ids,
        continuation,
        maxTokens: tokenLimit(ids.length, options.maxTokens, capacity),
        sampling,
        stop,
        endTokens: options.ignoreEos ? [] : this.manifest.config.eosTokens,
        signal: options.signal,
        onEnd,
      },
      this.#counter,
      begin,
    );
  }

  /** One run has one seed, so that the summary can name it; samples differ by their stream. */
  #seeded(options: GenerateOptions): SamplingRequest {
    const stream = options.stream ?? this.#counter.samples;
    if (options.seed !== undefined || this.#seed === null) return { ...options, stream };
    return { ...options, stream, seed: this.#seed };
  }

  async summary(): Promise<Summary> {
    const { manifest, wiring, deviations, predict } = this.#parts;
    const { samples, tokens, seconds, promptTokensPerSecond, timeToFirstTokenMs } = this.#counter;
    const per = { tokens: Math.max(1, tokens), ms: Math.max(1e-6, seconds * 1000) };
    const { promptTokens, inFlight } = this.#counter;
    const predicted = tokens === 0
      ? undefined
      : predict?.({ tokens, promptTokens, samples, inFlight });
    const nodes = [
      this.#ownSummary(per),
      ...(wiring ? await this.#peerSummaries(wiring, per) : []),
    ];
    return {
      model: manifest.name,
      samples,
      tokens,
      seconds,
      tokensPerSecond: seconds > 0 ? tokens / seconds : 0,
      promptTokensPerSecond,
      timeToFirstTokenMs,
      seed: this.#seed,
      predictedTokensPerSecond: predicted?.tokensPerSecond ?? null,
      nodes: nodes.map((node, i) => ({
        ...node,
        predictedMsPerToken: predicted?.msPerToken[i] ?? null,
      })),
      deviations,
    };
  }

  async recording(options: TraceOptions = {}): Promise<Recording> {
    const { trace, plan, manifest, name, peers } = this.#parts;
    if (!trace) {
      throw new TypeError("Cannot tell what the nodes did: open the ring with the option trace");
    }
    const names = [name, ...peers.map((peer) => peer.name)];
    const nodes = names.map((name, i) => ({ name, layers: plan.nodes[i]!.layers }));
    const recording = await trace.collect(manifest.name, nodes);
    return options.since === undefined ? recording : recordedSince(recording, options.since);
  }

  async trace(options: TraceOptions = {}): Promise<Timeline> {
    const recording = await this.recording(options);
    const { nodes } = await this.summary();
    return timelineOf(recording, nodes);
  }

  #ownSummary(per: { tokens: number; ms: number }): MeasuredSummary {
    const { stage, driver, name, wiring, plan } = this.#parts;
    const compute = stage.computeMs();
    return {
      name,
      role: "starter",
      layers: plan.nodes[0]!.layers,
      backend: stage.info.backend,
      backendReason: stage.info.backendReason,
      threads: stage.info.threads,
      paced: stage.info.paced ?? false,
      busyFraction: Math.min(1, compute / per.ms),
      computeMsPerToken: compute / per.tokens,
      codecMsPerToken: (wiring?.codecMs ?? 0) / per.tokens,
      samplingMsPerToken: driver.samplingMs / per.tokens,
      roundTripMs: NaN,
      bytesSentPerToken: (wiring?.bytesSent ?? 0) / per.tokens,
      weightBytes: stage.info.weightBytes,
      kv: stage.info.kv,
      kvBytes: this.#parts.kvPeakTokens() * stage.info.kvBytesPerToken,
      rssBytes: Deno.memoryUsage().rss,
      weightBytesReceived: 0,
    };
  }

  async #peerSummaries(
    wiring: Wiring,
    per: { tokens: number; ms: number },
  ): Promise<MeasuredSummary[]> {
    const { peers, plan } = this.#parts;
    const stats = await wiring.stats();
    return stats.map((stat, i) => {
      const ready = wiring.ready[i]!;
      return {
        name: peers[i]!.name,
        role: "secondary",
        layers: plan.nodes[i + 1]!.layers,
        backend: ready.backend,
        backendReason: plainText(ready.backendReason) || null,
        threads: ready.threads,
        paced: ready.paced,
        busyFraction: Math.min(1, stat.computeMs / per.ms),
        computeMsPerToken: stat.computeMs / per.tokens,
        codecMsPerToken: stat.codecMs / per.tokens,
        samplingMsPerToken: 0,
        roundTripMs: peers[i]!.rttMs,
        bytesSentPerToken: Number(stat.bytesSent) / per.tokens,
        weightBytes: Number(ready.weightBytes),
        kv: kvFromWire(ready.kv)!,
        kvBytes: Number(stat.kvPeakBytes),
        rssBytes: Number(stat.rssBytes),
        weightBytesReceived: Number(ready.weightBytesReceived),
      };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts.driver.close();
    await this.#parts.owned.disposeAsync();
  }
}

/** A generation, whatever begins it. */
interface Start {
  ids: number[];
  /** Tokens that prompt and answer may have. */
  capacity: number;
  /** Whether the answer continues a text. */
  continuation: boolean;
  begin(request: TurnRequest): Turn;
  onEnd?(result: GenerationResult | undefined): void;
}

function isChat(prompt: Prompt): prompt is readonly ChatMessage[] {
  return typeof prompt !== "string" && typeof prompt[0] === "object";
}

/** Tokens that may be generated after a prompt. */
function tokenLimit(prompt: number, wanted: number | undefined, context: number): number {
  const limit = wanted ?? DEFAULT_TOKENS;
  if (!Number.isInteger(limit) || limit < 1) {
    throw new RangeError(`Cannot generate ${limit} tokens: give a whole number of at least 1`);
  }
  if (prompt >= context) {
    throw new MdiError(
      "context_exceeded",
      `Cannot use a prompt of ${prompt} tokens: the context holds ${context}, the answer included; shorten it, or raise --context where the model allows it`,
      { details: { promptTokens: prompt, context } },
    );
  }
  return Math.min(limit, context - prompt);
}

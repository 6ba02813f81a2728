/** A ring that is ready: what programs use. */
import { MdiError } from "../wasm/error.ts";
import type { Stage } from "../wasm/stage.ts";
import type { Manifest, SamplingDefaults } from "../engine/model/types.ts";
import type { Plan } from "../engine/plan/plan.ts";
import { type Generation, startGeneration } from "../engine/generation.ts";
import type { RingDriver, TurnRequest } from "../engine/ring/driver.ts";
import { resolveSampling, type SamplingRequest } from "../engine/text/sampling_options.ts";
import type { ChatMessage } from "../engine/text/chat_template.ts";
import type { Tokenizer } from "../engine/text/tokenizer.ts";
import { type NodeSummary, RunCounter, type Summary } from "./summary.ts";
import type { Peer } from "./peer.ts";
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

/** A conversation: one sample whose caches stay on the nodes between turns. */
export interface Chat extends Disposable {
  /** The messages so far. */
  readonly messages: readonly ChatMessage[];
  /** Says something and gets the answer, which becomes part of the conversation. */
  send(text: string, options?: GenerateOptions): Generation;
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
  /** Starts a conversation; a system message may come first. */
  chat(messages?: readonly ChatMessage[]): Chat;
  /** The figures since the ring was made. */
  summary(): Promise<Summary>;
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
  /** Tokens that every node's caches hold together. */
  kvTokens: number;
  /** Largest number of cached tokens reserved at once so far. */
  kvPeakTokens(): number;
  owned: AsyncDisposableStack;
}

const DEFAULT_TOKENS = 256;

/** The implementation of {@linkcode Ring}. */
export class OpenRing implements Ring {
  readonly manifest: Manifest;
  readonly plan: Plan;
  readonly context: number;
  readonly ended: Promise<Error | undefined>;
  #parts: RingParts;
  #counter = new RunCounter();
  #seed: bigint | null = null;

  /** Takes over what the parts own. */
  constructor(parts: RingParts) {
    this.#parts = parts;
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
    const continuation = !isChat(prompt);
    return this.#start(
      { ids: this.encode(prompt), continuation },
      options,
      (turn) => this.#parts.driver.submit(turn),
    );
  }

  chat(messages: readonly ChatMessage[] = []): Chat {
    return new RingChat(
      this.#parts,
      [...messages],
      (prompt, options, begin) => this.#start(prompt, options, begin),
    );
  }

  #start(
    { ids, continuation }: EncodedPrompt,
    options: GenerateOptions,
    begin: (turn: TurnRequest) => ReturnType<RingDriver["submit"]>,
  ): Generation {
    const { driver, tokenizer, defaults } = this.#parts;
    const sampling = resolveSampling(this.#seeded(options), defaults);
    if (!sampling.greedy) this.#seed ??= sampling.seed;
    const stop = options.stop === undefined ? [] : [options.stop].flat();
    return startGeneration(
      driver,
      tokenizer,
      {
        prompt: ids,
        continuation,
        maxTokens: tokenLimit(ids.length, options.maxTokens, this.context),
        sampling,
        stop,
        endTokens: options.ignoreEos ? [] : this.manifest.config.eosTokens,
        signal: options.signal,
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
    const { manifest, wiring } = this.#parts;
    const { samples, tokens, seconds, promptTokensPerSecond, timeToFirstTokenMs } = this.#counter;
    const per = { tokens: Math.max(1, tokens), ms: Math.max(1e-6, seconds * 1000) };
    return {
      model: manifest.name,
      samples,
      tokens,
      seconds,
      tokensPerSecond: seconds > 0 ? tokens / seconds : 0,
      promptTokensPerSecond,
      timeToFirstTokenMs,
      seed: this.#seed,
      nodes: [this.#ownSummary(per), ...(wiring ? await this.#peerSummaries(wiring, per) : [])],
    };
  }

  #ownSummary(per: { tokens: number; ms: number }): NodeSummary {
    const { stage, driver, name, wiring, plan } = this.#parts;
    const compute = stage.computeMs();
    return {
      name,
      role: "starter",
      layers: plan.nodes[0]!.layers,
      backend: stage.info.backend,
      threads: stage.info.threads,
      busyFraction: Math.min(1, compute / per.ms),
      computeMsPerToken: compute / per.tokens,
      codecMsPerToken: (wiring?.codecMs ?? 0) / per.tokens,
      samplingMsPerToken: driver.samplingMs / per.tokens,
      roundTripMs: NaN,
      bytesSentPerToken: (wiring?.bytesSent ?? 0) / per.tokens,
      weightBytes: stage.info.weightBytes,
      kvBytes: this.#parts.kvPeakTokens() * stage.info.kvBytesPerToken,
      rssBytes: Deno.memoryUsage().rss,
      weightBytesReceived: 0,
    };
  }

  async #peerSummaries(
    wiring: Wiring,
    per: { tokens: number; ms: number },
  ): Promise<NodeSummary[]> {
    const { peers, plan } = this.#parts;
    const stats = await wiring.stats();
    return stats.map((stat, i) => {
      const ready = wiring.ready[i]!;
      return {
        name: peers[i]!.name,
        role: "secondary",
        layers: plan.nodes[i + 1]!.layers,
        backend: ready.backend,
        threads: ready.threads,
        busyFraction: Math.min(1, stat.computeMs / per.ms),
        computeMsPerToken: stat.computeMs / per.tokens,
        codecMsPerToken: stat.codecMs / per.tokens,
        samplingMsPerToken: 0,
        roundTripMs: peers[i]!.rttMs,
        bytesSentPerToken: Number(stat.bytesSent) / per.tokens,
        weightBytes: Number(ready.weightBytes),
        kvBytes: Number(stat.kvPeakBytes),
        rssBytes: Number(stat.rssBytes),
        weightBytesReceived: Number(ready.weightBytesReceived),
      };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts.driver.fail(new MdiError("cancelled", "The ring was closed"));
    await this.#parts.owned.disposeAsync();
  }
}

/** A prompt's ids, and whether its answer continues a text. */
interface EncodedPrompt {
  ids: number[];
  continuation: boolean;
}

type StartTurn = (
  prompt: EncodedPrompt,
  options: GenerateOptions,
  begin: (turn: TurnRequest) => ReturnType<RingDriver["submit"]>,
) => Generation;

/** A sample that pauses between turns; a turn starts where its ids first differ from what is cached. */
class RingChat implements Chat {
  readonly messages: ChatMessage[];
  #parts: RingParts;
  #start: StartTurn;
  #sample: number | undefined;

  constructor(parts: RingParts, messages: ChatMessage[], start: StartTurn) {
    this.#parts = parts;
    this.messages = messages;
    this.#start = start;
  }

  send(text: string, options: GenerateOptions = {}): Generation {
    const { tokenizer, driver, context, kvTokens } = this.#parts;
    const messages = [...this.messages, { role: "user", content: text }];
    const capacity = Math.min(context, kvTokens);
    const ids = tokenizer.chat(messages, { addGenerationPrompt: true, maxTokens: capacity });
    const generation = this.#start({ ids, continuation: false }, {
      ...options,
      maxTokens: tokenLimit(ids.length, options.maxTokens, capacity),
    }, (turn) => {
      if (this.#sample !== undefined) return driver.continue(this.#sample, turn);
      const begun = driver.submit({ ...turn, capacity, keep: true });
      this.#sample = begun.sample;
      return begun;
    });
    this.messages.push(messages.at(-1)!);
    generation.result.then(
      (result) => this.messages.push({ role: "assistant", content: result.text }),
      () => this.messages.pop(),
    );
    return generation;
  }

  [Symbol.dispose](): void {
    if (this.#sample !== undefined) this.#parts.driver.cancel(this.#sample);
    this.#sample = undefined;
  }
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

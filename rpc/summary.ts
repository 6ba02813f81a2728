/** The figures of a run, per ring and per node. */
import type { KvType } from "../wasm/stage.ts";

/** One node in a {@linkcode Summary}. Per-token figures are per generated token. */
export interface NodeSummary {
  /** How messages name the node. */
  name: string;
  /** Whether it runs the ring or serves in it. */
  role: "starter" | "secondary";
  /** First and last layer, inclusive and counted from 0; null where it holds none. */
  layers: readonly [number, number] | null;
  /** What computed: "simd" or "ort". */
  backend: string;
  /** Why that is not "simd", as a clause; null where it is, or where nothing else was to be. */
  backendReason: string | null;
  /** Threads that computed. */
  threads: number;
  /** Whether it stood for a slower device: its compute times are modelled then, and not measured. */
  paced: boolean;
  /** Compute time over the run's seconds. */
  busyFraction: number;
  /** Milliseconds of computing. */
  computeMsPerToken: number;
  /**
   * The same as the plan has it for the samples and lengths of the run; null where the ring was not planned by
   * what its nodes measured.
   */
  predictedMsPerToken: number | null;
  /** Milliseconds of turning messages into bytes and back. */
  codecMsPerToken: number;
  /** Milliseconds of drawing tokens; 0 on a secondary. */
  samplingMsPerToken: number;
  /** Round trip between the starter and it, in ms; NaN on the starter and where it is not known. */
  roundTripMs: number;
  /** Bytes written to sockets. */
  bytesSentPerToken: number;
  /** Resident, in the form computed with. */
  weightBytes: number;
  /** Type of the KV caches. */
  kv: KvType;
  /** KV caches at their largest. */
  kvBytes: number;
  /** Resident memory of the process, when the summary was made. */
  rssBytes: number;
  /** Weights received when the ring was made; 0 where the node had them. */
  weightBytesReceived: number;
}

/** A run's figures. */
export interface Summary {
  /** The model's name. */
  model: string;
  /** Samples that entered; a turn of a chat counts as one. */
  samples: number;
  /** Generated tokens. */
  tokens: number;
  /** From the first prompt's entry to the last token, without the time in which no sample was under way. */
  seconds: number;
  /** {@linkcode Summary.tokens} over {@linkcode Summary.seconds}; 0 before the first token. */
  tokensPerSecond: number;
  /**
   * What the plan has for the samples and lengths of the run; null where the ring was not planned by what its
   * nodes measured, and before the first token.
   */
  predictedTokensPerSecond: number | null;
  /** Prompt tokens over the time in which a sample waited for its first token. */
  promptTokensPerSecond: number;
  /** Of the first sample, from its entry. */
  timeToFirstTokenMs: number;
  /** The seed that was used; null where nothing was drawn. */
  seed: bigint | null;
  /** In the ring's order; the first is the starter. */
  nodes: NodeSummary[];
  /** Why the tokens may differ from those of one node, one line each; none where they are the same. */
  deviations: readonly string[];
}

/** Counts what generations do, on one clock. */
export class RunCounter {
  /** Samples that entered. */
  samples = 0;
  /** Tokens that were drawn. */
  tokens = 0;
  /** Tokens of their prompts. */
  promptTokens = 0;
  #slots: number;
  /** Samples under way, and when the first of them entered. */
  #running = 0;
  #started = 0;
  /** Time in which there were any, as far as {@linkcode #counted}: an entry or the last token. */
  #ms = 0;
  #counted = 0;
  /** That time, counted once for each sample that had a slot. */
  #sampleMs = 0;
  #firstTokenMs: number | undefined;
  /** Samples before their first token, and the time in which there were any. */
  #prefilling = 0;
  #prefillStart = 0;
  #prefillMs = 0;

  /** @param slots samples that are in the ring at once. */
  constructor(slots = Infinity) {
    this.#slots = slots;
  }

  /** A sample entered. */
  submitted(promptTokens: number): void {
    const now = performance.now();
    if (this.#running++ === 0) this.#started = this.#counted = now;
    this.samples++;
    this.promptTokens += promptTokens;
    if (this.#prefilling++ === 0) this.#prefillStart = now;
  }

  /** A token was drawn. */
  token(first: boolean): void {
    const now = performance.now();
    this.tokens++;
    const ms = now - this.#counted;
    this.#ms += ms;
    this.#sampleMs += ms * Math.min(this.#running, this.#slots);
    this.#counted = now;
    if (!first) return;
    this.#firstTokenMs ??= now - this.#started;
    this.#prefilled(now);
  }

  /** A sample ended; `silent` where it had no token. */
  ended(silent: boolean): void {
    this.#running--;
    if (silent) this.#prefilled(performance.now());
  }

  #prefilled(now: number): void {
    if (--this.#prefilling === 0) this.#prefillMs += now - this.#prefillStart;
  }

  /** Samples in the ring, on average over the time in which there were any. */
  get inFlight(): number {
    return this.#ms > 0 ? this.#sampleMs / this.#ms : 0;
  }

  /** Seconds from the first prompt's entry to the last token, without those in which nothing ran. */
  get seconds(): number {
    return this.#ms / 1000;
  }

  /** Prompt tokens over the time in which a sample waited for its first token. */
  get promptTokensPerSecond(): number {
    return this.#prefillMs > 0 ? this.promptTokens / (this.#prefillMs / 1000) : 0;
  }

  /** Of the first sample that had one. */
  get timeToFirstTokenMs(): number {
    return this.#firstTokenMs ?? 0;
  }
}

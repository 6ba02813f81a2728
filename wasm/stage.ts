/**
 * The seam between the ring and the compute: a stage is a contiguous range of blocks loaded on a node.
 * Implementations: `wasm/simd/` (mdi's own kernels) and `wasm/ort/` (ONNX Runtime's WASM build), which
 * `wasm/load_stage.ts` chooses from; all run behind `wasm/worker.ts`.
 */
import type { Candidates } from "./candidates.ts";

/** What a node is told to compute with: "auto" takes "simd" where it can run the blocks, else "ort". */
export type Backend = "auto" | "simd" | "ort";

/** Type of the values of a KV cache; "int8" has an f32 scale for each position and head beside them. */
export type KvType = "f32" | "f16" | "int8";

/** Threads that a stage may be told to compute with, at most. */
export const MAX_THREADS = 64;

/** Tokens of a page of KV caches, at most. */
export const MAX_KV_PAGE_TOKENS = 1024;

/** Which of a model's blocks a stage holds. */
export interface StageRange {
  /** Whether it turns token ids into hidden rows first. */
  embed: boolean;
  /** First and last layer, inclusive and counted from 0; null where it holds none. */
  layers: readonly [number, number] | null;
  /** Whether it also turns hidden rows into logits (on the starter, after the ring). */
  head: boolean;
}

/** A block's file on this device. */
export interface BlockFile {
  /** "embed", "layer.0" …, "head" or "shared". */
  name: string;
  /** Where its bytes lie. */
  path: string;
  /** The sha256 of its bytes in lower-case hex; null where it is in no store. */
  hash: string | null;
}

/** What a stage is loaded from. All of it arrives from the manifest; a node has no model config. */
export interface StageSpec {
  /** The model's name, for messages. */
  model: string;
  /** What to load. */
  range: StageRange;
  /** The files of exactly the blocks that the range needs, in the model's order. */
  blocks: BlockFile[];
  /** Width of a hidden row in f32 values; a row on an edge is 4·d_model bytes. */
  dModel: number;
  /** Vocabulary size: length of a row of logits. */
  vocab: number;
  /** Bytes that the process may use for weights, expanded or not; null for no limit of its own. */
  memoryBytes: number | null;
  /** The limit that leaves no more of the memory that is free, where one was given: for messages. */
  memoryLimitBytes?: number;
  /** Threads to compute with, 1 to {@linkcode MAX_THREADS}; `ort` has one whatever it is told. */
  threads: number;
  /** Type of the KV caches; `ort` has them as the model's graph does, which only "f32" asks for. */
  kv: KvType;
  /**
   * Directory where repacked blocks and verdicts on backends are kept; null for nowhere. The name of each
   * file in it begins with the hash of the block that it goes with, and so goes with it.
   */
  packed: string | null;
}

/** What a load tells and asks while it goes on. */
export interface LoadHooks {
  /** Told how many bytes of weights are packed, of how many. */
  onPack?: ((done: number, total: number) => void) | undefined;
  /**
   * Asked once, before so many bytes are written into the directory of packed blocks.
   * @returns why there is no room for them, a sentence; null where there is.
   */
  askRoom?: ((bytes: number) => Promise<string | null>) | undefined;
}

/** What a loaded stage tells about itself. */
export interface StageInfo {
  /** "ort" or "simd". */
  backend: string;
  /** Why "auto" did not take "simd", as a clause; null where it did, or had no choice. */
  backendReason: string | null;
  /** Threads it computes with. */
  threads: number;
  /** Bytes of weights resident, in the form computed with. */
  weightBytes: number;
  /** Bytes of KV cache that one token of one sample takes over all layers of the stage. */
  kvBytesPerToken: number;
  /** Tokens by which a sample's KV cache grows: a power of 2 up to {@linkcode MAX_KV_PAGE_TOKENS}. */
  kvPageTokens: number;
  /** Type of the KV caches. */
  kv: KvType;
  /** Whether it answers as late as a slower device would, see `pace.ts`. */
  paced?: boolean;
  /** What a person should know: an expansion, a slow path. One sentence each. */
  notes: string[];
}

/** Consecutive rows of one sample in a batch. */
export interface Segment {
  /** Which cache: the sample's id. */
  sample: number;
  /** Position of the first row; equals the cache's length. */
  position: number;
  /** Number of rows. */
  rows: number;
}

/** Rows of several samples, one segment after another. */
export interface Batch {
  /** In the order of the rows. */
  segments: Segment[];
  /** Token ids, one a row, where the stage embeds. */
  ids?: Int32Array;
  /** Hidden rows [rows, d_model] (4·d_model bytes each) where it does not. */
  hidden?: Float32Array;
}

/**
 * A stage ready to compute. Calls are executed one after another in the order they are made.
 * Linear layers may run over all rows of a batch at once, attention runs per segment.
 */
export interface Stage extends AsyncDisposable {
  /** What was loaded. */
  readonly info: StageInfo;
  /**
   * Makes the cache of a sample, or changes its capacity and keeps what it holds.
   * `capacity` is in tokens.
   */
  open(sample: number, capacity: number): void;
  /** Keeps the first `length` tokens of a sample's cache. */
  truncate(sample: number, length: number): void;
  /** Frees the cache of a sample; does nothing where there is none. */
  release(sample: number): void;
  /**
   * Runs embed (where the stage has it) and the layers.
   * @returns hidden rows [rows, d_model].
   */
  forward(batch: Batch): Promise<Float32Array>;
  /**
   * Runs the head over hidden rows [rows, d_model].
   * @param out gets the logits where it is given: rows · vocab values.
   * @returns logits [rows, vocab]; the next call may use their memory again.
   */
  logits(hidden: Float32Array, out?: Float32Array): Promise<Float32Array>;
  /**
   * Runs the head over hidden rows [rows, d_model] and tells the largest logits of each alone.
   * @param count how many of a row, 1 to `MAX_CANDIDATES` of `candidates.ts`.
   */
  candidates(hidden: Float32Array, count: number): Promise<Candidates>;
  /** Compute time since the start, in ms, without waiting. */
  computeMs(): number;
  /** When the call that was answered last computed; the next answer changes it. Not every stage tells. */
  readonly lastCall?: CallTimes;
}

/** When a call computed, by `performance.now()` of the thread that made it. */
export interface CallTimes {
  start: number;
  end: number;
}

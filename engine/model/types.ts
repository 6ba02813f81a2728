/** What a model is to mdi: a config, text assets and a list of blocks. */
import type { ModelProto } from "../../wasm/gen/onnx/onnx_pb.ts";

/** The shape of a decoder, whatever file it came from. */
export interface ModelConfig {
  /** The family as the file names it: "llama", "mistral", "qwen2", "qwen3" … */
  architecture: string;
  /** Number of layers. */
  layers: number;
  /** Width of the residual stream (d_model). */
  hidden: number;
  /** Query heads; 0 where the file does not say. */
  heads: number;
  /** Key and value heads. */
  kvHeads: number;
  /** Width of one head. */
  headDim: number;
  /** Width of the MLP; 0 where the file does not say. */
  intermediate: number;
  /** Number of token ids. */
  vocab: number;
  /** Largest number of positions the model was made for. */
  context: number;
  /** Token id put before a plain prompt, where the tokenizer adds one; null for none. */
  bosToken: number | null;
  /** Token ids that end a generation. */
  eosTokens: number[];
  /** Epsilon of RMSNorm; only where mdi emits the graph (GGUF, safetensors). */
  normEpsilon?: number;
  /** Base of the rotary embedding; only where mdi emits the graph. */
  ropeTheta?: number;
  /** Inverse frequencies' scaling; only where mdi emits the graph and the model has one. */
  ropeScaling?: RopeScaling;
}

/** Llama 3's or linear scaling of the rotary embedding. */
export type RopeScaling =
  | { type: "linear"; factor: number }
  | {
    type: "llama3";
    factor: number;
    lowFreqFactor: number;
    highFreqFactor: number;
    originalContext: number;
  }
  /** Factors read from a file (GGUF's rope_freqs.weight): inverse frequency i is divided by factors[i]. */
  | { type: "factors"; factors: number[] };

/** Sampling defaults that the model's generation config gives. */
export interface SamplingDefaults {
  /** Logits are divided by it. */
  temperature?: number;
  /** Keep this many of the largest logits; 0 keeps all. */
  topK?: number;
  /** Keep the smallest set of tokens with at least this mass. */
  topP?: number;
  /** Keep tokens at least this many times as probable as the most probable one. */
  minP?: number;
  /** Logits of tokens already there are divided by it (negative ones multiplied). */
  repetitionPenalty?: number;
  /** False where the model asks for greedy decoding. */
  doSample?: boolean;
}

/** All that turning text into ids and back needs. In the form of Hugging Face's own files. */
export interface TextAssets {
  /** The parsed tokenizer.json. */
  tokenizer: Record<string, unknown>;
  /** The parsed tokenizer_config.json, with `chat_template` filled in where the model has one. */
  tokenizerConfig: Record<string, unknown>;
  /** From generation_config.json. */
  sampling: SamplingDefaults;
}

/** One tensor's bytes, produced in order, never more than a few MB at a time. */
export interface TensorData {
  /** Exact number of bytes that {@linkcode TensorData.chunks} yields. */
  bytes: number;
  /** Produces the bytes from the start; may be called more than once. */
  chunks(signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/**
 * How to write one block: a graph whose large initializers are given as data instead.
 * `engine/model/block_writer.ts` lays them out and hashes the result.
 */
export interface BlockRecipe {
  /** "embed", "layer.0" …, "head", "shared". */
  name: string;
  /** The graph; an initializer named in `data` or `elsewhere` has no bytes in it. */
  model: ModelProto;
  /** Bytes of this block's own large initializers, by initializer name, in the order to be written. */
  data: Map<string, TensorData>;
  /**
   * Initializers whose bytes another block holds: initializer name -> [block, initializer name there].
   * That block comes earlier in the source's list.
   */
  elsewhere: Map<string, readonly [string, string]>;
  /** Number of weights (elements, not bytes) in the block. */
  parameters: number;
  /** Names of the weight formats in it, as `mdi inspect` prints them: "Q4_1", "F16", "int4/32" … */
  dtypes: string[];
}

/** How a row of 4·d_model bytes on the edge above a layer is to be read; see wasm/block.ts. */
export type EdgeKind = "f32" | "f16x2";

/** The kinds of file that a model is read from. */
export type ModelKind = "gguf" | "onnx" | "safetensors";

/** A model file or directory opened for import. Reads by range; holds no weights. */
export interface ModelSource extends AsyncDisposable {
  /** What it was read from. */
  readonly kind: ModelKind;
  /** A short name for people: the directory's or file's. */
  readonly name: string;
  /** SPDX id or name of the licence as the files state it; null where they do not. */
  readonly license: string | null;
  /** The shape of the decoder. */
  readonly config: ModelConfig;
  /** What turns text into ids and back. */
  readonly text: TextAssets;
  /** Bytes of KV cache for one token in one layer. */
  readonly kvBytesPerTokenLayer: number;
  /** Edge i is the input of layer i; edge `layers` is the input of head. */
  readonly edges: EdgeKind[];
  /** The files read and their sizes in bytes, for `mdi inspect` and for the import's cache key. */
  readonly files: { path: string; bytes: number; mtimeMs: number }[];
  /** All recipes in order: shared (where there is one), embed, layer.0 …, head. */
  blocks(): AsyncIterable<BlockRecipe>;
}

/** One block in a manifest. */
export interface BlockEntry {
  /** "shared", "embed", "layer.0" …, "head". */
  name: string;
  /** sha256 of the block file, lower-case hex. */
  hash: string;
  /** Bytes of the block file. */
  bytes: number;
  /** Number of weights in it (elements, not bytes). */
  parameters: number;
  /** Names of the weight formats in it. */
  dtypes: string[];
  /** Names of other blocks whose data it refers to. */
  requires: string[];
}

/** The list of a model's blocks: all that the nodes of a ring need to know of it. */
export interface Manifest {
  /** The manifest's own format. */
  version: 1;
  /** A short name for people. */
  name: string;
  /** Which kind of file the model was read from. */
  source: ModelKind;
  /** SPDX id or name of the licence; null where the model does not state one. */
  license: string | null;
  /** The shape of the decoder. */
  config: ModelConfig;
  /** Bytes of KV cache for one token in one layer. */
  kvBytesPerTokenLayer: number;
  /** Edge i is the input of layer i; edge `layers` is the input of head. */
  edges: EdgeKind[];
  /** In their order: shared (where there is one), embed, layer.0 …, head. */
  blocks: BlockEntry[];
  /** sha256 of the stored JSON of {@linkcode TextAssets}; only the starter reads it. */
  textHash: string;
}

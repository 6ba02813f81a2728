/** What the emitter needs of a model file: named weights in the bytes of their GGUF tensor type. */
import type { GgufType } from "../../../wasm/gguf/types.ts";
import type { TensorData } from "../types.ts";

/** A weight W [n, k], row by row in the bytes of its type. */
export interface Matrix {
  type: GgufType;
  /** Rows: outputs, or token ids. */
  n: number;
  /** Weights in a row: inputs. */
  k: number;
  /** n rows of rowBytes(type, k). */
  data: TensorData;
}

/** y = W · x, plus a bias where there is one. */
export interface Linear {
  weight: Matrix;
  /** f32 [n]. */
  bias?: Float32Array;
}

/** The weights of one layer. Rows of query and key are in half-rotation order (Hugging Face's). */
export interface LayerWeights {
  /** RMSNorm before attention, f32 [hidden]. */
  inputNorm: Float32Array;
  /** RMSNorm before the MLP, f32 [hidden]. */
  postAttentionNorm: Float32Array;
  query: Linear;
  key: Linear;
  value: Linear;
  output: Linear;
  gate: Linear;
  up: Linear;
  down: Linear;
  /** RMSNorm of each query head, f32 [headDim] (Qwen3). */
  queryNorm?: Float32Array;
  /** RMSNorm of each key head, f32 [headDim] (Qwen3). */
  keyNorm?: Float32Array;
}

/** The weights of a model, asked for block by block. Only small vectors are ever in memory. */
export interface DecoderWeights {
  /** Token embedding [vocab, hidden]. */
  embed: Matrix;
  /** Weights of layer `index`. */
  layer(index: number): Promise<LayerWeights>;
  /** Final RMSNorm, f32 [hidden], and the head; null where it is the embedding. */
  head(): Promise<{ norm: Float32Array; weight: Matrix | null }>;
}

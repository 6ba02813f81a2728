/**
 * What a recognised block is, as plain data: the decoder's dimensions, and where each weight's bytes lie.
 * `recognise.ts` makes it from a block's graph, `pack.ts` and the stage read it.
 */
import type { TensorSource } from "../block.ts";
import type { GgufType } from "../gguf/types.ts";

/** How the bytes of a matrix [n, k] are stored, in the order of `Matrix.sources`. */
export type MatrixForm =
  /** Row by row in a GGUF type; one source. */
  | { type: "gguf"; gguf: GgufType }
  /**
   * MatMulNBits: codes u8 [n, k/block, block·bits/8], scales [n, k/block], and, where there are three
   * sources, zero points: u8 [n, ceil(k/block·bits/8)], low nibble first, or as the scales' type.
   * Without them the zero point is 2^(bits-1).
   */
  | {
    type: "nbits";
    bits: 4 | 8;
    block: number;
    scales: "f32" | "f16";
    zeroPoints: "u8" | "float" | null;
  }
  /**
   * Integer weights of a dynamically quantised product, [k, n] (`transposed`) or [n, k]; then an f32 scale,
   * one or n; then, where there are three sources, zero points of the weights' type, one or n.
   */
  | { type: "int8"; signed: boolean; transposed: boolean; perRow: boolean }
  /** Floating point, [k, n] (`transposed`, as MatMul wants it) or [n, k]; one source. */
  | { type: "float"; dtype: "f32" | "f16" | "bf16"; transposed: boolean };

/** A weight matrix: n outputs of k inputs. */
export interface Matrix {
  n: number;
  k: number;
  form: MatrixForm;
  sources: TensorSource[];
}

/** A vector of f32 or f16 values in a block. */
export interface Vector {
  length: number;
  dtype: "f32" | "f16" | "bf16";
  source: TensorSource;
}

/** y = x · Wᵀ + bias. */
export interface Linear {
  weight: Matrix;
  bias: Vector | null;
}

/** RMSNorm. */
export interface Norm {
  weight: Vector;
  epsilon: number;
}

/** Where the rotation's cosines and sines come from; halves are rotated (x1 with x(1+half)). */
export type Rope =
  /** Tables [positions, half]. */
  | { type: "table"; positions: number; half: number; cos: Vector; sin: Vector }
  /** angle = position · frequency[i]; cosines and sines are multiplied by `scale`. */
  | { type: "frequencies"; half: number; frequencies: Vector; scale: number };

/**
 * One decoder layer: x += o(attention(norm(x))), then x += down(silu(gate(norm(x))) · up(norm(x))), and in f16
 * exports' last one x = norm(x).
 */
export interface DecoderLayer {
  kind: "layer";
  dModel: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Factor of q·k. */
  scale: number;
  /** How many positions a query sees, itself among them; null for all. */
  window: number | null;
  rope: Rope;
  inputNorm: Norm;
  /** One matrix of (heads + 2 · kvHeads) · headDim outputs in the order q, k, v, or the three of them. */
  qkv: Linear[];
  /** RMSNorm of each head's query, before the rotation. */
  queryNorm: Norm | null;
  keyNorm: Norm | null;
  output: Linear;
  postNorm: Norm;
  gate: Linear;
  up: Linear;
  down: Linear;
  /** The last norm, where the last layer ends with it and not the head begins with it. */
  outputNorm: Norm | null;
}

/** Token ids to rows of a table [vocab, dModel]. */
export interface DecoderEmbed {
  kind: "embed";
  table: Matrix;
}

/** The last norm, where the last layer did not end with it, and the product with the output table. */
export interface DecoderHead {
  kind: "head";
  norm: Norm | null;
  weight: Linear;
}

/** A block that the kernels can run. */
export type DecoderBlock = DecoderEmbed | DecoderLayer | DecoderHead;

/** The matrices of a block. */
export function matricesOf(block: DecoderBlock): Matrix[] {
  switch (block.kind) {
    case "embed":
      return [block.table];
    case "layer":
      return [...block.qkv, block.output, block.gate, block.up, block.down].map((it) => it.weight);
    case "head":
      return [block.weight.weight];
  }
}

/** A decoder block whose weights are packed: the index of a packed file. */
import type { DecoderEmbed, DecoderHead, DecoderLayer, Linear, Matrix, Vector } from "./decoder.ts";

/** A packed matrix [n, k] in a file. */
export interface PackedMatrix {
  /** A kind of `abi.ts`. */
  kind: number;
  n: number;
  k: number;
  /** Bytes from the start of the data section, a multiple of 64. */
  offset: number;
  /** Bytes; `packedBytes(kind, n, k)`. */
  bytes: number;
}

/** A vector of f32 in a file; zeros follow it up to a multiple of 16 values. */
export interface PackedVector {
  /** Number of values. */
  length: number;
  /** Bytes from the start of the data section, a multiple of 64. */
  offset: number;
}

/** A head's matrix that is the embed block's table, and lies in that block's packed file. */
export interface TiedMatrix {
  tied: "embed";
  n: number;
  k: number;
}

/** `T` with every matrix and vector packed. */
export type Packed<T> = T extends Matrix ? PackedMatrix
  : T extends Vector ? PackedVector
  : T extends (infer Each)[] ? Packed<Each>[]
  : T extends object ? { [Key in keyof T]: Packed<T[Key]> }
  : T;

/** A packed decoder layer. What its rotation is made of stays in the block, and layers have it in common. */
export type PackedLayer = Omit<Packed<DecoderLayer>, "rope"> & {
  /** Half of the values of a head that are rotated. */
  half: number;
};

/** A packed table of embeddings. */
export type PackedEmbed = Packed<DecoderEmbed>;

/** A packed head. */
export type PackedHead = Omit<Packed<DecoderHead>, "weight"> & {
  weight: Omit<Packed<Linear>, "weight"> & { weight: PackedMatrix | TiedMatrix };
};

/** A packed decoder block. */
export type PackedBlock = PackedEmbed | PackedLayer | PackedHead;

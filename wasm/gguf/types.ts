/**
 * The GGUF tensor types that mdi computes with. A tensor of N rows of K weights is stored row by row,
 * a row as K / block blocks; a block holds its scales and its codes (ggml's `ggml-common.h`).
 */

/** How one GGUF tensor type is stored. */
export interface GgufTypeInfo {
  /** The number that a GGUF file writes (ggml's `enum ggml_type`). */
  readonly id: number;
  /** Weights in a block. */
  readonly block: number;
  /** Bytes of a block. */
  readonly bytes: number;
}

/** Every supported type by its ggml name. */
export const GGUF_TYPES = {
  F32: { id: 0, block: 1, bytes: 4 },
  F16: { id: 1, block: 1, bytes: 2 },
  Q4_0: { id: 2, block: 32, bytes: 18 },
  Q4_1: { id: 3, block: 32, bytes: 20 },
  Q5_0: { id: 6, block: 32, bytes: 22 },
  Q5_1: { id: 7, block: 32, bytes: 24 },
  Q8_0: { id: 8, block: 32, bytes: 34 },
  Q4_K: { id: 12, block: 256, bytes: 144 },
  Q5_K: { id: 13, block: 256, bytes: 176 },
  Q6_K: { id: 14, block: 256, bytes: 210 },
  BF16: { id: 30, block: 1, bytes: 2 },
} as const satisfies Record<string, GgufTypeInfo>;

/** Name of a supported GGUF tensor type. */
export type GgufType = keyof typeof GGUF_TYPES;

/** Whether a name is that of a supported GGUF tensor type. */
export function isGgufType(name: string): name is GgufType {
  return Object.hasOwn(GGUF_TYPES, name);
}

/**
 * Bytes of a row of `k` weights.
 * @throws {RangeError} where `k` is not a multiple of the type's block.
 */
export function rowBytes(type: GgufType, k: number): number {
  const { block, bytes } = GGUF_TYPES[type];
  if (!Number.isSafeInteger(k) || k < 0 || k % block !== 0) {
    throw new RangeError(
      `Cannot size a ${type} row: ${k} weights are not whole blocks of ${block}`,
    );
  }
  return k / block * bytes;
}

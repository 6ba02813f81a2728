/** What ONNX Runtime takes beside weights, and so the least that a stage needs before its blocks are read. */

/** What ONNX Runtime takes without any weights: its code, compiled, and its thread. */
export const RUNTIME_BYTES = 120e6;
/** Weights in its memory, and what a session needs beside them, as a multiple of the weights. */
export const RESIDENT_SHARE = 1.1;

/** What a block's entry in a manifest tells of its weights. */
export interface WeightCount {
  /** Bytes of the block file. */
  bytes: number;
  /** Number of weights in it. */
  parameters: number;
}

/**
 * Bytes of memory without which a stage of these blocks cannot be loaded, whatever form its weights take:
 * as f32 or as they are stored. What is needed may be more, which session_plan.ts tells from the blocks.
 */
export function leastStageBytes(blocks: readonly WeightCount[]): number {
  const weights = blocks.reduce(
    (sum, { bytes, parameters }) => sum + Math.min(bytes, 4 * parameters),
    0,
  );
  return RUNTIME_BYTES + RESIDENT_SHARE * weights;
}

/** Bytes of weights that a stage can hold in this much memory, at most. */
export function weightRoom(memoryBytes: number): number {
  return Math.max(0, (memoryBytes - RUNTIME_BYTES) / RESIDENT_SHARE);
}

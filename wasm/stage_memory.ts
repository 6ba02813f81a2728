/**
 * What a stage takes of a node's memory, told from the manifest alone: for planning, and to refuse before
 * anything is fetched what cannot be loaded. What it takes in fact, the stage's own plan says.
 */
import { RESIDENT_SHARE, RUNTIME_BYTES } from "./ort/memory.ts";
import type { Backend } from "./stage.ts";

/** What `simd` takes without any weights: its code, the rows under way, and the threads. */
const SIMD_BYTES = 60e6;
/** Repacked weights are near their stored size: zero points and scales are wider, groups are filled up. */
const PACKED_SHARE = 1.15;

/** What a block's entry in a manifest tells of its weights. */
export interface WeightCount {
  /** Bytes of the block file. */
  bytes: number;
  /** Number of weights in it. */
  parameters: number;
}

/** Bytes that a node takes beside weights and KV caches. */
export function nodeBytes(backend: Backend): number {
  return backend === "ort" ? RUNTIME_BYTES : SIMD_BYTES;
}

/**
 * Bytes that a block's weights are expected to take once they are loaded: `ort` has them as f32 where it
 * can, `simd` about as they are stored. "auto" is taken for `simd`, which it mostly comes to.
 */
export function residentBytes(block: WeightCount, backend: Backend): number {
  return backend === "ort" ? RESIDENT_SHARE * 4 * block.parameters : PACKED_SHARE * block.bytes;
}

/** Bytes of memory without which a stage of these blocks cannot be loaded, whatever form its weights take. */
export function leastStageBytes(blocks: readonly WeightCount[], backend: Backend): number {
  const sum = (bytes: (block: WeightCount) => number) =>
    blocks.reduce((total, block) => total + bytes(block), 0);
  const ort = RUNTIME_BYTES +
    RESIDENT_SHARE * sum(({ bytes, parameters }) => Math.min(bytes, 4 * parameters));
  const simd = nodeBytes("simd") + sum((block) => residentBytes(block, "simd"));
  switch (backend) {
    case "ort":
      return ort;
    case "simd":
      return simd;
    case "auto":
      return Math.min(ort, simd);
  }
}

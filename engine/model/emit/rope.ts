/**
 * Rotary tables, in the f32 arithmetic of Hugging Face's `modeling_rope_utils.py`: every operation of it
 * is rounded to f32 here too, so that the angles of long positions agree.
 */
import type { ModelConfig, RopeScaling, TensorData } from "../types.ts";

const { fround } = Math;

/** What a rotary table is computed from. */
export type RopeConfig = Pick<ModelConfig, "headDim" | "context" | "ropeTheta" | "ropeScaling">;

/** Inverse frequencies, f32 [headDim / 2]. */
export function inverseFrequencies(config: RopeConfig): Float32Array {
  const { headDim, ropeTheta = 10000, ropeScaling } = config;
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const frequency = fround(1 / fround(ropeTheta ** fround(2 * i / headDim)));
    return ropeScaling ? scaled(frequency, ropeScaling, i) : frequency;
  });
}

function scaled(frequency: number, scaling: RopeScaling, index: number): number {
  switch (scaling.type) {
    case "linear":
      return fround(frequency / scaling.factor);
    case "factors":
      return fround(frequency / scaling.factors[index]!);
    case "llama3":
      return llama3(frequency, scaling);
  }
}

/** `_compute_llama3_parameters`: long waves are slowed down, short ones kept, the rest between. */
function llama3(frequency: number, scaling: RopeScaling & { type: "llama3" }): number {
  const { factor, lowFreqFactor, highFreqFactor, originalContext } = scaling;
  const wavelength = fround(fround(2 * Math.PI) / frequency);
  if (wavelength > originalContext / lowFreqFactor) return fround(frequency / factor);
  if (wavelength < originalContext / highFreqFactor) return frequency;
  const smooth = fround(
    fround(fround(originalContext / wavelength) - lowFreqFactor) / (highFreqFactor - lowFreqFactor),
  );
  const slow = fround(fround(fround(1 - smooth) * frequency) / factor);
  return fround(slow + fround(smooth * frequency));
}

/** Bytes made at a time. */
const CHUNK_BYTES = 2 ** 20;

/** The table of `cos` or `sin` of every position's angles, f32 [context, headDim / 2]. */
export function rotaryTable(config: RopeConfig, of: (angle: number) => number): TensorData {
  const frequencies = inverseFrequencies(config);
  const rowBytes = 4 * frequencies.length;
  const rowsAtOnce = Math.max(1, Math.floor(CHUNK_BYTES / rowBytes));
  return {
    bytes: config.context * rowBytes,
    async *chunks(signal?: AbortSignal) {
      for (let first = 0; first < config.context; first += rowsAtOnce) {
        signal?.throwIfAborted();
        const rows = Math.min(rowsAtOnce, config.context - first);
        const out = new Float32Array(rows * frequencies.length);
        let at = 0;
        for (let position = first; position < first + rows; position++) {
          for (const frequency of frequencies) out[at++] = of(fround(position * frequency));
        }
        yield new Uint8Array(out.buffer);
      }
    },
  };
}

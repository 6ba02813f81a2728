/** Cosines and sines of the rotation for single positions, made when they are needed. */
import { MdiError } from "../error.ts";

/** Writes the cosines, then the sines, of a position. */
export interface RopeRows {
  /** Pairs of values that are rotated. */
  readonly half: number;
  /** @param out gets 2 · half values. */
  fill(position: number, out: Float32Array): void;
}

/** Rows of tables [positions, half]. */
export function tableRows(cos: Float32Array, sin: Float32Array, half: number): RopeRows {
  const positions = cos.length / half;
  return {
    half,
    fill(position, out) {
      if (position >= positions) {
        throw new MdiError(
          "context_exceeded",
          `Cannot rotate position ${position}: the model has ${positions}; give it a shorter context`,
        );
      }
      out.set(cos.subarray(position * half, (position + 1) * half));
      out.set(sin.subarray(position * half, (position + 1) * half), half);
    },
  };
}

/** angle = position · frequency, rounded to f32 as a graph does; both are multiplied by `scale`. */
export function frequencyRows(frequencies: Float32Array, scale: number): RopeRows {
  const half = frequencies.length;
  return {
    half,
    fill(position, out) {
      for (let i = 0; i < half; i++) {
        const angle = Math.fround(position * frequencies[i]!);
        out[i] = Math.cos(angle) * scale;
        out[half + i] = Math.sin(angle) * scale;
      }
    },
  };
}

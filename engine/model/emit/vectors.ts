/** Small weights read whole: norms and biases as f32. */
import { dequantiseRow } from "../../../wasm/gguf/dequantise.ts";
import { type GgufType, rowBytes } from "../../../wasm/gguf/types.ts";
import { readRange } from "./file_range.ts";

/** Reads a vector of `length` weights at `offset` of a file. */
export async function readVector(
  path: string,
  tensor: { type: GgufType; offset: number; length: number },
): Promise<Float32Array> {
  const { type, offset, length } = tensor;
  const out = new Float32Array(length);
  dequantiseRow(type, await readRange(path, offset, rowBytes(type, length)), 0, length, out, 0);
  return out;
}

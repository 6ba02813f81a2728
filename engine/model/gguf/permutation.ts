/**
 * llama.cpp's converter interleaves the rows of the query and key projections of architecture "llama":
 * of each head, row 2·i + half there is row half·D/2 + i of the original. mdi writes them back, so that
 * every emitted graph rotates halves. A row is contiguous bytes in every tensor type, so this is exact.
 */
import { groupedData } from "../emit/file_range.ts";
import type { TensorData } from "../types.ts";

/** The position in an interleaved head of the row that belongs at `row` of `headDim`. */
export function interleavedRow(row: number, headDim: number): number {
  const half = headDim / 2;
  return row < half ? 2 * row : 2 * (row - half) + 1;
}

/** A projection's rows in half-rotation order, head by head. */
export function halfRotationRows(
  path: string,
  tensor: { offset: number; bytes: number; rowBytes: number; headDim: number },
): TensorData {
  const { offset, bytes, rowBytes, headDim } = tensor;
  return groupedData(path, offset, bytes, headDim * rowBytes, (head) => {
    const out = new Uint8Array(head.length);
    for (let row = 0; row < headDim; row++) {
      const from = interleavedRow(row, headDim) * rowBytes;
      out.set(head.subarray(from, from + rowBytes), row * rowBytes);
    }
    return out;
  });
}

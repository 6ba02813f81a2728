/**
 * Dequantisation of com.microsoft::MatMulNBits weights, after the operator's specification: codes
 * uint8 [N, ⌈K/block⌉, block·bits/8], low nibble first; scales f32 or f16, one a block; zero points
 * uint8 (two a byte for 4 bits, each row padded to whole bytes) or absent: 8 for 4 bits, 128 for 8 bits;
 * or, unpacked, one f32 or f16 a block. w = (q - zero) · scale.
 */
import { MdiError } from "../error.ts";

/** Shape of a block-quantised weight W [N, K]. */
export interface NBitsShape {
  k: number;
  n: number;
  bits: number;
  /** Weights that share a scale. */
  blockSize: number;
}

/**
 * Expands a weight and transposes it, as MatMul wants it.
 * @param parts codes, scales and, where there are any, zero points.
 * @param out gets f32 [K, N].
 * @throws {MdiError} model_corrupt where the parts have not the sizes that the shape needs.
 */
export function dequantiseNBits(
  shape: NBitsShape,
  parts: readonly Uint8Array[],
  out: Float32Array,
): void {
  const { k, n, bits, blockSize } = shape;
  const [codes, scaleBytes, zeroBytes] = parts as [Uint8Array, Uint8Array, Uint8Array?];
  const blocks = Math.ceil(k / blockSize);
  const blockBytes = blockSize * bits / 8;
  expect("codes", codes.length, n * blocks * blockBytes);
  const scales = floats("scales", scaleBytes, n * blocks);
  const zeros = zeroPoints(zeroBytes, n, blocks, bits);
  const four = bits === 4;
  // Sixteen columns at a time, so that a written cache line is filled before it is left.
  for (let n0 = 0; n0 < n; n0 += 16) {
    const n1 = Math.min(n, n0 + 16);
    for (let block = 0; block < blocks; block++) {
      const first = block * blockSize;
      const last = Math.min(k, first + blockSize);
      for (let row = n0; row < n1; row++) {
        const scale = scales[row * blocks + block]!;
        const zero = zeros[row * blocks + block]!;
        const at = (row * blocks + block) * blockBytes;
        if (four) {
          for (let i = first; i < last; i++) {
            const j = i - first;
            const q = (codes[at + (j >> 1)]! >> ((j & 1) << 2)) & 15;
            out[i * n + row] = (q - zero) * scale;
          }
        } else {
          for (let i = first; i < last; i++) {
            out[i * n + row] = (codes[at + i - first]! - zero) * scale;
          }
        }
      }
    }
  }
}

function zeroPoints(
  bytes: Uint8Array | undefined,
  n: number,
  blocks: number,
  bits: number,
): Float32Array {
  if (!bytes) return new Float32Array(n * blocks).fill(bits === 4 ? 8 : 128);
  const rowBytes = Math.ceil(blocks * bits / 8);
  if (bytes.length !== n * rowBytes) return floats("zero points", bytes, n * blocks);
  const out = new Float32Array(n * blocks);
  for (let row = 0; row < n; row++) {
    for (let block = 0; block < blocks; block++) {
      out[row * blocks + block] = bits === 8
        ? bytes[row * rowBytes + block]!
        : (bytes[row * rowBytes + (block >> 1)]! >> ((block & 1) << 2)) & 15;
    }
  }
  return out;
}

/** f32 or f16 values; the length tells which. */
function floats(what: string, bytes: Uint8Array, count: number): Float32Array {
  const copy = bytes.slice().buffer;
  if (bytes.length === 2 * count) return Float32Array.from(new Float16Array(copy));
  expect(what, bytes.length, 4 * count);
  return new Float32Array(copy);
}

function expect(what: string, met: number, needed: number): void {
  if (met === needed) return;
  throw new MdiError(
    "model_corrupt",
    `Cannot expand a block-quantised weight: its ${what} have ${met} bytes where its shape needs ${needed}`,
  );
}

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MdiError } from "../error.ts";
import { dequantiseNBits, type NBitsShape } from "./nbits.ts";

/** The operator's specification, word for word: one weight. */
function weight(
  { k, bits, blockSize }: NBitsShape,
  codes: Uint8Array,
  scales: Float32Array,
  zero: (row: number, block: number) => number,
  row: number,
  i: number,
): number {
  const blocks = Math.ceil(k / blockSize);
  const block = Math.floor(i / blockSize);
  const inBlock = i % blockSize;
  const start = (row * blocks + block) * blockSize * bits / 8;
  const code = bits === 8
    ? codes[start + inBlock]!
    : inBlock % 2 === 0
    ? codes[start + inBlock / 2]! & 15
    : codes[start + (inBlock - 1) / 2]! >> 4;
  return Math.fround((code - zero(row, block)) * scales[row * blocks + block]!);
}

const shapes = fc.record({
  k: fc.integer({ min: 1, max: 100 }),
  n: fc.integer({ min: 1, max: 40 }),
  bits: fc.constantFrom(4, 8),
  blockSize: fc.constantFrom(16, 32, 64),
});
const zeroForms = fc.constantFrom("none", "packed", "f32", "f16");

Deno.test("dequantiseNBits() gives what the operator's specification says", () => {
  fc.assert(
    fc.property(
      shapes,
      zeroForms,
      fc.boolean(),
      fc.infiniteStream(fc.integer({ min: 0, max: 255 })),
      (shape, zeroForm, halfScales, stream) => {
        const { k, n, bits, blockSize } = shape;
        const blocks = Math.ceil(k / blockSize);
        const byte = () => stream.next().value as number;
        const codes = Uint8Array.from({ length: n * blocks * blockSize * bits / 8 }, byte);
        const scales = Float32Array.from({ length: n * blocks }, () => (byte() - 128) / 64);
        const parts = [codes, bytesOf(halfScales ? Float16Array.from(scales) : scales)];
        let zero = (_row: number, _block: number) => 2 ** (bits - 1);
        if (zeroForm === "packed") {
          const rowBytes = Math.ceil(blocks * bits / 8);
          const zeros = Uint8Array.from({ length: n * rowBytes }, byte);
          parts.push(zeros);
          zero = (row, block) =>
            bits === 8
              ? zeros[row * rowBytes + block]!
              : zeros[row * rowBytes + (block >> 1)]! >> 4 * (block % 2) & 15;
        } else if (zeroForm !== "none") {
          const zeros = Float32Array.from({ length: n * blocks }, () => byte() / 32);
          parts.push(bytesOf(zeroForm === "f32" ? zeros : Float16Array.from(zeros)));
          zero = (row, block) => zeros[row * blocks + block]!;
        }
        // Where the lengths are the same, bytes are packed zero points.
        if (zeroForm === "f16" && parts[2]!.length === n * Math.ceil(blocks * bits / 8)) return;
        const out = new Float32Array(k * n);
        dequantiseNBits(shape, parts, out);
        for (let row = 0; row < n; row++) {
          for (let i = 0; i < k; i++) {
            assertEquals(out[i * n + row], weight(shape, codes, scales, zero, row, i) + 0);
          }
        }
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("dequantiseNBits() refuses parts that are not as long as the shape says", () => {
  const shape = { k: 32, n: 2, bits: 4, blockSize: 32 };
  const out = new Float32Array(64);
  const bytes = (length: number) => new Uint8Array(length);
  const refused = (parts: Uint8Array[], why: string) => {
    const error = assertThrows(() => dequantiseNBits(shape, parts, out), MdiError, why);
    assertEquals(error.code, "model_corrupt");
  };
  refused([bytes(31), bytes(8)], "its codes have 31 bytes where its shape needs 32");
  refused([bytes(32), bytes(7)], "its scales have 7 bytes where its shape needs 8");
  refused([bytes(32), bytes(8), bytes(3)], "its zero points have 3 bytes");
});

function bytesOf(values: Float32Array | Float16Array): Uint8Array {
  return new Uint8Array(values.buffer as ArrayBuffer);
}

import { assertEquals, assertThrows } from "@std/assert";
import { dequantiseRow, dequantiseTransposed } from "./dequantise.ts";
import { GGUF_TYPES, type GgufType, isGgufType, rowBytes } from "./types.ts";

const FIXTURES = new URL("../../tests/fixtures/gguf-types/", import.meta.url);
const ROWS = 3;
const K = 512;
const TYPES = Object.keys(GGUF_TYPES).filter(isGgufType);

/** A fixture's tensor, and the bits of its weights as ggml dequantises them. */
function reference(type: GgufType): { bytes: Uint8Array; bits: Uint32Array } {
  const read = (suffix: string) =>
    Deno.readFileSync(new URL(`${type.toLowerCase()}.${suffix}`, FIXTURES));
  return { bytes: read("bin"), bits: new Uint32Array(read("f32").buffer) };
}

for (const type of TYPES) {
  Deno.test(`dequantiseRow() gives ggml's bits for ${type}`, () => {
    const { bytes, bits } = reference(type);
    assertEquals(bytes.length, ROWS * rowBytes(type, K));
    // An odd offset on both sides: rows lie anywhere in a file.
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    const out = new Float32Array(ROWS * K + 1);
    for (let row = 0; row < ROWS; row++) {
      dequantiseRow(type, shifted, 3 + row * rowBytes(type, K), K, out, 1 + row * K);
    }
    assertEquals(new Uint32Array(out.buffer, 4), bits);
  });

  Deno.test(`dequantiseTransposed() gives ggml's bits, transposed, for ${type}`, () => {
    const { bytes, bits } = reference(type);
    // 69 rows: more than two tiles, the last one not full.
    const n = 23 * ROWS;
    const repeated = new Uint8Array(23 * bytes.length);
    for (let i = 0; i < 23; i++) repeated.set(bytes, i * bytes.length);
    const out = new Float32Array(n * K);
    dequantiseTransposed(type, repeated, n, K, out);
    const expected = new Uint32Array(n * K);
    for (let row = 0; row < n; row++) {
      for (let i = 0; i < K; i++) expected[i * n + row] = bits[row % ROWS * K + i]!;
    }
    assertEquals(new Uint32Array(out.buffer), expected);
  });
}

Deno.test("dequantiseTransposed() takes rows that are not whole tiles", () => {
  const { bytes, bits } = reference("Q5_1");
  const k = 288;
  const rows = 2;
  const stride = rowBytes("Q5_1", k);
  const packed = new Uint8Array(rows * stride);
  for (let r = 0; r < rows; r++) {
    packed.set(bytes.subarray(r * rowBytes("Q5_1", K)).subarray(0, stride), r * stride);
  }
  const out = new Float32Array(rows * k);
  dequantiseTransposed("Q5_1", packed, rows, k, out);
  const got = new Uint32Array(out.buffer);
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < k; i++) assertEquals(got[i * rows + r], bits[r * K + i]);
  }
});

Deno.test("dequantiseRow() refuses rows and places that do not fit", () => {
  const out = new Float32Array(64);
  assertThrows(
    () => dequantiseRow("Q4_0", new Uint8Array(18), 0, 33, out, 0),
    RangeError,
    "blocks of 32",
  );
  assertThrows(
    () => dequantiseRow("Q4_0", new Uint8Array(17), 0, 32, out, 0),
    RangeError,
    "17 bytes",
  );
  assertThrows(() => dequantiseRow("Q4_0", new Uint8Array(18), -1, 32, out, 0), RangeError);
  assertThrows(
    () => dequantiseRow("Q4_0", new Uint8Array(18), 0, 32, out, 33),
    RangeError,
    "has 64",
  );
  assertThrows(
    () => dequantiseTransposed("F32", new Uint8Array(16), 2, 2, new Float32Array(3)),
    RangeError,
    "[2, 2]",
  );
});

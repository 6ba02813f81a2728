import { assertEquals } from "@std/assert";
import { affineType, takeApart } from "./affine.ts";
import { GGUF_TYPES, isGgufType } from "./types.ts";

const FIXTURES = new URL("../../tests/fixtures/gguf-types/", import.meta.url);
const ROWS = 3;
const K = 512;

for (const type of Object.keys(GGUF_TYPES).filter(isGgufType)) {
  const affine = affineType(type);
  if (!affine) continue;
  const { bits, run, zero, minimum } = affine;
  Deno.test(`takeApart() gives codes, scales and minimums that make ${type} again`, () => {
    const read = (suffix: string) =>
      Deno.readFileSync(new URL(`${type.toLowerCase()}.${suffix}`, FIXTURES));
    const runs = K / run;
    const codes = new Uint8Array(ROWS * K * bits / 8);
    const scales = new Float32Array(ROWS * runs);
    const minimums = new Float32Array(ROWS * runs);
    takeApart(type, read("bin"), ROWS, K, { codes, scales, ...(minimum && { minimums }) });
    const weights = new Float32Array(ROWS * K);
    for (let row = 0; row < ROWS; row++) {
      for (let i = 0; i < K; i++) {
        const at = row * K + i;
        const code = bits === 8 ? codes[at]! : codes[at >> 1]! >> 4 * (i & 1) & 15;
        const r = Math.floor(i / run);
        weights[at] = (code - zero) * scales[row * runs + r]! + minimums[r * ROWS + row]!;
      }
    }
    const expected = new Float32Array(read("f32").buffer);
    // Adding 0 makes 0 of -0, which ggml has where a scale is negative.
    assertEquals(weights.map((w) => w + 0), expected.map((w) => w + 0));
  });
}

Deno.test("affineType() has none for types of floating point", () => {
  for (const type of ["F32", "F16", "BF16"] as const) assertEquals(affineType(type), undefined);
});

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MdiError } from "../error.ts";
import { GGUF_TYPES, isGgufType } from "../gguf/types.ts";
import { dequantiseNBits } from "../ort/nbits.ts";
import { definedWeights, FORMS, randomMatrix } from "./_random_matrix.ts";
import { unpackMatrix, unpackWeight } from "./_unpack.ts";
import * as abi from "./abi.ts";
import type { Matrix } from "./decoder.ts";
import { packGroups, packMatrix, packVector, requireKind } from "./pack.ts";
import { packedKind } from "./pack_kind.ts";
import { groupsOf, packedBytes } from "./packed_layout.ts";

const FIXTURES = new URL("../../tests/fixtures/gguf-types/", import.meta.url);

function packed(matrix: Matrix, parts: readonly Uint8Array[]): Uint8Array {
  // Bytes that packing leaves alone would be seen.
  const out = new Uint8Array(packedBytes(requireKind(matrix), matrix.n, matrix.k)).fill(0xa5);
  packMatrix(matrix, parts, out);
  return out;
}

function bits(values: Float32Array<ArrayBuffer>): Uint32Array {
  return new Uint32Array(values.buffer);
}

for (const { name, form, k } of FORMS) {
  Deno.test(`packMatrix() keeps every weight of ${name}`, () => {
    for (const [n, seed] of [[16, 1], [35, 2], [1, 3]] as const) {
      const random = randomMatrix(form, n, k, seed);
      const { matrix, parts } = random;
      const kind = requireKind(matrix);
      const bytes = packed(matrix, parts);
      assertEquals(bits(unpackMatrix(kind, bytes, n, k)), bits(definedWeights(random)));
      for (let row = n; row < 16 * groupsOf(n); row++) {
        for (let i = 0; i < k; i++) assertEquals(Math.abs(unpackWeight(kind, bytes, k, row, i)), 0);
      }
    }
  });
}

for (const gguf of Object.keys(GGUF_TYPES).filter(isGgufType)) {
  Deno.test(`packMatrix() keeps ggml's own ${gguf} weights, at an odd address`, () => {
    const read = (suffix: string) =>
      Deno.readFileSync(new URL(`${gguf.toLowerCase()}.${suffix}`, FIXTURES));
    const file = read("bin");
    const bytes = new Uint8Array(file.length + 1).subarray(1);
    bytes.set(file);
    const matrix: Matrix = { n: 3, k: 512, form: { type: "gguf", gguf }, sources: [bytes] };
    const weights = unpackMatrix(requireKind(matrix), packed(matrix, [bytes]), 3, 512);
    assertEquals(bits(weights), new Uint32Array(read("f32").buffer));
  });
}

Deno.test("packMatrix() keeps what ONNX Runtime's backend makes of MatMulNBits", () => {
  for (const { form } of FORMS) {
    if (form.type !== "nbits") continue;
    const [n, k] = [19, 96];
    const { matrix, parts } = randomMatrix(form, n, k, 4);
    const expected = new Float32Array(n * k);
    dequantiseNBits({ n, k, bits: form.bits, blockSize: form.block }, parts, expected);
    const weights = unpackMatrix(requireKind(matrix), packed(matrix, parts), n, k);
    for (let row = 0; row < n; row++) {
      for (let i = 0; i < k; i++) assertEquals(weights[row * k + i], expected[i * n + row]);
    }
  }
});

const shapes = fc.record({
  index: fc.nat(FORMS.length - 1),
  n: fc.integer({ min: 1, max: 70 }),
  runs: fc.integer({ min: 1, max: 3 }),
  seed: fc.integer(),
  zeroPoints: fc.constantFrom("none" as const, "one" as const, "each" as const),
});

Deno.test("packMatrix() keeps every weight of any shape", () => {
  fc.assert(
    fc.property(shapes, ({ index, n, runs, seed, zeroPoints }) => {
      const { form } = FORMS[index]!;
      const k = runs * (form.type === "gguf" ? 256 : form.type === "float" ? 1 : 32);
      const random = randomMatrix(form, n, k, seed, zeroPoints);
      const bytes = packed(random.matrix, random.parts);
      const weights = unpackMatrix(requireKind(random.matrix), bytes, n, k);
      assertEquals(bits(weights), bits(definedWeights(random)));
    }),
    { numRuns: 150 },
  );
});

Deno.test("packMatrix() keeps f16 scales' bits, infinite ones and subnormal ones too", () => {
  const { matrix, parts } = randomMatrix({ type: "gguf", gguf: "Q4_0" }, 16, 32, 5);
  const halves = [0x7c00, 0x7e01, 0x0001, 0x8000, 0xffff];
  for (const [row, half] of halves.entries()) {
    new DataView(parts[0]!.buffer).setUint16(18 * row, half, true);
  }
  const out = new DataView(packed(matrix, parts).buffer);
  assertEquals(halves.map((_, row) => out.getUint16(256 + 2 * row, true)), halves);
});

Deno.test("packedKind() says what cannot be packed, and why", () => {
  const nbits = { type: "nbits", bits: 4, block: 32, scales: "f32", zeroPoints: "u8" } as const;
  const why = (form: Matrix["form"], k: number) => {
    const kind = packedKind(form, k);
    return typeof kind === "number" ? kind : kind.unsupported;
  };
  assertEquals(why(nbits, 64), abi.Q4_FZ);
  assertEquals(why(nbits, 48), "rows of 48 weights, not a multiple of 32");
  assertEquals(why(nbits, 0), "rows of 0 weights, not a multiple of 32");
  assertEquals(why({ ...nbits, block: 8 }, 64), "blocks of 8 weights");
  assertEquals(why({ ...nbits, block: 0 }, 64), "blocks of 0 weights");
  assertEquals(why({ ...nbits, zeroPoints: "float" }, 64), "zero points that are not integers");
  assertEquals(
    why({ type: "gguf", gguf: "Q6_K" }, 288),
    "rows of 288 weights, not a multiple of 256",
  );
  assertEquals(why({ type: "float", dtype: "f16", transposed: true }, 7), abi.F16);
});

Deno.test("packGroups() refuses what does not fit", () => {
  const { matrix, parts } = randomMatrix({ type: "gguf", gguf: "Q4_0" }, 20, 32, 6);
  const out = new Uint8Array(2 * 288);
  assertThrows(() => packGroups(matrix, [], 0, 2, out), RangeError, "source 0 has undefined");
  assertThrows(() => packGroups(matrix, parts, 0, 2, out.subarray(4)), RangeError, "output");
  assertThrows(() => packGroups(matrix, parts, 0, 1, out), RangeError, "360 bytes where 288");
  assertThrows(() => packGroups(matrix, parts, 2, 3, out), RangeError, "groups 2 to 3");
  assertThrows(() => packGroups(matrix, parts, 1, 1, out), RangeError, "groups 1 to 1");
  const odd = { ...matrix, k: 33 };
  const error = assertThrows(() => packMatrix(odd, parts, out), MdiError);
  assertEquals(error.code, "model_unsupported");
});

Deno.test("packVector() widens to f32", () => {
  const source = new Uint8Array();
  const values = Float32Array.of(1, -0.5, 3);
  const f16 = new Uint8Array(Float16Array.from(values).buffer);
  const bf16 = new Uint8Array(Uint16Array.of(0x3f80, 0xbf00, 0x4040).buffer);
  const f32 = new Uint8Array(values.buffer);
  assertEquals(packVector({ length: 3, dtype: "f16", source }, f16), values);
  assertEquals(packVector({ length: 3, dtype: "bf16", source }, bf16), values);
  assertEquals(packVector({ length: 3, dtype: "f32", source }, f32), values);
  const error = assertThrows(
    () => packVector({ length: 4, dtype: "f32", source }, f32),
    MdiError,
    "12 bytes",
  );
  assertEquals(error.code, "model_corrupt");
});

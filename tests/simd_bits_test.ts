/**
 * Model files of every form of weights as `simd` stages: hidden rows and logits have the same bits on any number
 * of threads, in any chunks, in both builds of the kernels, and however the host reads 8-bit codes.
 */
import { assert } from "@std/assert";
import { READS_I8, SATURATES } from "../wasm/simd/abi.ts";
import { loadSimdStage, type SimdOptions } from "../wasm/simd/stage.ts";
import type { StageSpec } from "../wasm/stage.ts";
import { equalBits } from "./support/numbers.ts";
import { withFixture } from "./support/packed_fixture.ts";

/** f16 exports' last layer has the last norm, and their head none. */
const FILES = [
  "tiny-llama-256/gguf/model-bf16.gguf",
  "tiny-llama-256/gguf/model-q4_k_m.gguf",
  "tiny-llama-256/gguf/model-q5_1.gguf",
  "tiny-llama-256/gguf/model-q6_k.gguf",
  "tiny-qwen2/onnx/model_q4f16.onnx",
  "tiny-qwen3/onnx/model_fp16.onnx",
  "tiny-mistral/onnx/model_quantized.onnx",
];

const VARIANTS: [string, number, Partial<StageSpec>, SimdOptions][] = [
  ["one row at a time", 1, {}, {}],
  ["three threads, one row at a time", 1, { threads: 3 }, {}],
  ["three threads, chunks of 7", 7, { threads: 3 }, {}],
  ["the plain build", 24, {}, { build: "plain" }],
  ["8-bit codes read as signed", 7, {}, { build: "plain", reading: READS_I8 }],
  ["pair sums that saturate", 24, {}, { reading: SATURATES }],
];

/** Hidden rows and logits of 24 ids. */
async function rowsOf(
  spec: StageSpec,
  chunk: number,
  options: SimdOptions,
): Promise<[Float32Array, Float32Array]> {
  const loaded = await loadSimdStage(spec, { ...options, unjudged: true });
  if ("unusable" in loaded) throw new Error(loaded.unusable);
  await using stage = loaded;
  const ids = Int32Array.from({ length: 24 }, (_, i) => 7 * i + 1);
  const hidden = new Float32Array(ids.length * spec.dModel);
  stage.open(0, ids.length);
  for (let position = 0; position < ids.length; position += chunk) {
    const part = ids.subarray(position, position + chunk);
    const segments = [{ sample: 0, position, rows: part.length }];
    hidden.set(await stage.forward({ segments, ids: part }), position * spec.dModel);
  }
  const logits = chunk === 1
    ? await stage.logits(hidden.slice(-spec.dModel))
    : (await stage.logits(hidden.slice(-5 * spec.dModel))).slice(-spec.vocab);
  return [hidden, logits];
}

for (const file of FILES) {
  Deno.test(`simd computes the same bits of ${file} whatever computes them`, (t) =>
    withFixture(file, async (spec) => {
      const expected = await rowsOf(spec, 24, {});
      for (const [name, chunk, change, options] of VARIANTS) {
        await t.step(name, async () => {
          const got = await rowsOf({ ...spec, ...change }, chunk, options);
          expected.forEach((rows, i) => assert(equalBits(got[i]!, rows), i ? "logits" : "hidden"));
        });
      }
    }));
}

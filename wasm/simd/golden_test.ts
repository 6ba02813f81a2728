/** Bits of a whole decoder: the digests were made once and hold on every host, thread and build. */
import { assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { generator, TINY, TinyFiles } from "../_tiny_blocks.ts";
import { tinyDecoder } from "../_tiny_decoder.ts";
import type { GgufType } from "../gguf/types.ts";
import type { KvType } from "../stage.ts";
import { frequencyRows } from "./rope_rows.ts";
import { loadSimdStage } from "./stage.ts";

/** More than a page of a cache, and not a multiple of what kernels take at once. */
const LENGTH = 75;
/** Rows whose logits are digested. */
const LAST = 3;

const GOLDEN: readonly (readonly [GgufType, KvType, string])[] = [
  ["Q4_0", "f32", "8493669490ec6f10"],
  ["Q4_0", "f16", "ac587451eba2f921"],
  ["Q4_0", "int8", "0eabebea78a4fcef"],
  ["Q4_1", "f32", "5bb60e4d64b5b610"],
  ["Q4_1", "f16", "95910a0746e32c63"],
  ["Q4_1", "int8", "7bd2cd5f9b7c3735"],
  ["Q8_0", "f32", "ee7302a403339d22"],
  ["Q8_0", "f16", "be2816ae2a041339"],
  ["Q8_0", "int8", "72c54b52a50ceb52"],
];

for (const [type, kv, golden] of GOLDEN) {
  Deno.test(`the simd stage gives ${type} rows over ${kv} caches the bits of every host`, async () => {
    await using files = await TinyFiles.write(tinyDecoder(type));
    for (const [build, threads] of [["relaxed", 2], ["plain", 1]] as const) {
      const stage = await loadSimdStage({ ...files.spec(), kv, threads }, { build });
      if ("unusable" in stage) throw new Error(stage.unusable);
      await using _stage = stage;
      const random = generator(1);
      const ids = Int32Array.from({ length: LENGTH }, () => Math.floor(random() * TINY.vocab));
      stage.open(0, LENGTH);
      const segments = [{ sample: 0, position: 0, rows: LENGTH }];
      const hidden = Float32Array.from(await stage.forward({ segments, ids }));
      const logits = await stage.logits(hidden.slice(-LAST * TINY.dModel));
      assertEquals(digest(hidden, logits), golden, build);
    }
  });
}

Deno.test("frequencyRows() gives the cosines and sines of every host", () => {
  const half = 32;
  const frequencies = Float32Array.from({ length: half }, (_, i) => 10_000 ** (-i / half));
  const rows = frequencyRows(frequencies, 1);
  const all = new Float32Array(2048 * 2 * half);
  for (let position = 0; position < 2048; position++) {
    rows.fill(position, all.subarray(position * 2 * half));
  }
  assertEquals(digest(all), "ef4d5466cd78a3de");
});

/** sha256 of values' bits in hex, its first 16 digits. */
function digest(...values: Float32Array[]): string {
  const hash = createHash("sha256");
  for (const each of values) hash.update(new Uint8Array(each.slice().buffer));
  return hash.digest("hex").slice(0, 16);
}

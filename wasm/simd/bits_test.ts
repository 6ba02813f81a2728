/** A row's bits depend on the tokens before it and on nothing else. */
import { assertEquals } from "@std/assert";
import { generator, TINY, TinyFiles } from "../_tiny_blocks.ts";
import { tinyDecoder } from "../_tiny_decoder.ts";
import type { GgufType } from "../gguf/types.ts";
import type { KvType, Segment, Stage, StageSpec } from "../stage.ts";
import { READS_I8, SATURATES } from "./abi.ts";
import { loadSimdStage, type SimdOptions } from "./stage.ts";

const { dModel, layers, vocab } = TINY;
/** More than two pages of a cache. */
const LENGTH = 150;
const IDS = tokens(1, LENGTH);

function tokens(seed: number, length: number): Int32Array {
  const random = generator(seed);
  return Int32Array.from({ length }, () => Math.floor(random() * vocab));
}

async function load(spec: StageSpec, options: SimdOptions = {}): Promise<Stage> {
  const stage = await loadSimdStage(spec, options);
  if ("unusable" in stage) throw new Error(stage.unusable);
  return stage;
}

/** Hidden rows of a prompt in chunks; the last chunk is what is left. */
async function inChunks(stage: Stage, ids: Int32Array, chunk: number): Promise<Float32Array> {
  const out = new Float32Array(ids.length * dModel);
  stage.open(0, ids.length);
  for (let position = 0; position < ids.length; position += chunk) {
    const part = ids.subarray(position, position + chunk);
    const segments: Segment[] = [{ sample: 0, position, rows: part.length }];
    out.set(await stage.forward({ segments, ids: part }), position * dModel);
  }
  stage.release(0);
  return out;
}

function bits(values: Float32Array): Uint32Array {
  return new Uint32Array(Float32Array.from(values).buffer);
}

for (const type of ["Q4_1", "Q8_0"] as const satisfies GgufType[]) {
  Deno.test(`the simd stage gives ${type} rows the same bits whatever computes them`, async (t) => {
    await using files = await TinyFiles.write(tinyDecoder(type));
    const spec = files.spec();
    for (const kv of ["f32", "f16", "int8"] satisfies KvType[]) {
      await using whole = await load({ ...spec, kv });
      const expected = bits(await inChunks(whole, IDS, 32));
      const logits = bits(await whole.logits(Float32Array.from(lastRows(expected, 7))));
      const variants: [string, Partial<StageSpec>, SimdOptions, number][] = [
        ["one row at a time", {}, {}, 1],
        ["in chunks of 7", {}, {}, 7],
        ["in one chunk", {}, {}, LENGTH],
        ["on two threads", { threads: 2 }, {}, 32],
        ["on three threads", { threads: 3 }, {}, 32],
        ["on three threads, row by row", { threads: 3 }, {}, 1],
        ["without relaxed SIMD", {}, { build: "plain" }, 33],
        ["where 8-bit codes are read as signed", {}, { build: "plain", reading: READS_I8 }, 5],
        ["where pair sums saturate", {}, { reading: SATURATES }, 32],
        ["where pair sums saturate, row by row", {}, { reading: SATURATES }, 1],
      ];
      for (const [name, change, options, chunk] of variants) {
        await t.step(`${kv} caches, ${name}`, async () => {
          await using stage = await load({ ...spec, kv, ...change }, options);
          assertEquals(bits(await inChunks(stage, IDS, chunk)), expected);
          assertEquals(bits(await stage.logits(Float32Array.from(lastRows(expected, 7)))), logits);
        });
      }
      await t.step(`${kv} caches, cut in two`, async () => {
        await using first = await load({ ...files.spec({ layers: [0, 0], head: false }), kv });
        const rest = { embed: false, layers: [1, layers - 1], head: false } as const;
        await using second = await load({ ...files.spec(rest), kv });
        const hidden = await inChunks(first, IDS, 32);
        second.open(0, LENGTH);
        const out = await second.forward({
          segments: [{ sample: 0, position: 0, rows: LENGTH }],
          hidden,
        });
        assertEquals(bits(out), expected);
      });
    }
  });
}

Deno.test("the simd stage gives a row the same bits in any company", async () => {
  await using files = await TinyFiles.write(tinyDecoder());
  for (const threads of [1, 3]) {
    await using stage = await load({ ...files.spec(), threads });
    const prompts = [tokens(2, 70), tokens(3, 1), tokens(4, 33), tokens(5, 64)];
    const alone: Float32Array[] = [];
    for (const ids of prompts) alone.push(await inChunks(stage, ids, 32));
    prompts.forEach((ids, sample) => stage.open(sample, ids.length));
    const together = prompts.map((ids) => new Float32Array(ids.length * dModel));
    const random = generator(6);
    const at = prompts.map(() => 0);
    while (at.some((position, i) => position < prompts[i]!.length)) {
      const segments: Segment[] = [];
      const ids: number[] = [];
      prompts.forEach((prompt, sample) => {
        const rows = Math.min(Math.floor(random() * 9), prompt.length - at[sample]!);
        if (rows === 0) return;
        segments.push({ sample, position: at[sample]!, rows });
        ids.push(...prompt.subarray(at[sample], at[sample]! + rows));
      });
      if (segments.length === 0) continue;
      const hidden = await stage.forward({ segments, ids: Int32Array.from(ids) });
      let row = 0;
      for (const { sample, position, rows } of segments) {
        const part = hidden.subarray(row * dModel, (row + rows) * dModel);
        together[sample]!.set(part, position * dModel);
        at[sample]! += rows;
        row += rows;
      }
    }
    together.forEach((rows, i) => assertEquals(bits(rows), bits(alone[i]!)));
  }
});

/** The last rows, back from their bits. */
function lastRows(words: Uint32Array, rows: number): Float32Array {
  return new Float32Array(words.slice(-rows * dModel).buffer);
}

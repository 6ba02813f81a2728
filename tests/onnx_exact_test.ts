/**
 * Every export of tests/fixtures, cut everywhere: chained blocks equal the uncut graph bit for bit on one
 * backend, and its logits are those of the export's own oracle within the tolerance of its dtype.
 * `MDI_TEST_FULL=1` runs all of them; otherwise one model of each style, and one cut of each.
 */
import { assert, assertEquals } from "@std/assert";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { openOnnxModel } from "../engine/model/onnx/open_onnx_model.ts";
import type { ModelSource } from "../engine/model/types.ts";
import { readNpy } from "./support/npy.ts";
import {
  blocksOf,
  bytesOf,
  chainedDecoder,
  type Decoder,
  numbersOf,
  splitDecoder,
  wholeDecoder,
} from "./support/onnx_chain.ts";

const FIXTURES = fileURLToPath(new URL("./fixtures", import.meta.url));
const FULL = Deno.env.get("MDI_TEST_FULL") === "1";
/** The model of which the short run takes every export. */
const SHORT_MODEL = "tiny-llama-tied";

/**
 * Largest difference of a logit from the oracle. f32 arithmetic differs in the order of additions; f16
 * in where a build of ONNX Runtime rounds. 4-bit products are compared with the oracle of dequantised
 * weights where there is one.
 */
const TOLERANCE = { fp32: 1e-4, q8: 1e-4, q4: 1e-4, fp16: 2e-2, q4f16: 6e-2 };

interface Prompt {
  length: number;
  ids: number[];
  "greedy_ids": number[];
  "logits_file": string;
}

interface OracleRun {
  prompts: Omit<Prompt, "ids">[];
  "dequantised_fp32"?: OracleRun;
}

interface Oracle {
  prompts: Prompt[];
  onnx?: Record<string, OracleRun>;
}

function* exportsOf(model: string): Generator<string> {
  for (const entry of Deno.readDirSync(model)) {
    if (!entry.isDirectory || !/^(onnx|genai)/.test(entry.name)) continue;
    for (const file of Deno.readDirSync(join(model, entry.name))) {
      if (file.name.endsWith(".onnx")) yield join(model, entry.name, file.name);
    }
  }
}

function dtypeOf(path: string): keyof typeof TOLERANCE {
  const name = relative(dirname(dirname(path)), path);
  if (/q4f16|webgpu-int4/.test(name)) return "q4f16";
  if (/q4|int4/.test(name)) return "q4";
  if (/fp16/.test(name)) return "fp16";
  return /quantized|int8/.test(name) ? "q8" : "fp32";
}

function argmax(logits: Float32Array): number {
  return logits.reduce((best, logit, id) => logit > logits[best]! ? id : best, 0);
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Runs chunks through two decoders from empty caches and demands equal bits of logits and caches. */
async function assertEqualBits(
  whole: Decoder,
  cut: Decoder,
  chunks: readonly (readonly number[])[],
): Promise<void> {
  whole.reset();
  cut.reset();
  for (const [i, chunk] of chunks.entries()) {
    const expected = await whole.step(chunk);
    const actual = await cut.step(chunk);
    assertEquals(actual.dims, expected.dims);
    assert(equalBytes(bytesOf(actual), bytesOf(expected)), `Logits of chunk ${i} differ`);
    const caches = cut.caches();
    for (const [j, cache] of whole.caches().entries()) {
      assert(
        equalBytes(bytesOf(caches[j]!), bytesOf(cache)),
        `Cache ${j} differs after chunk ${i}`,
      );
    }
  }
}

async function assertOracle(
  model: string,
  name: string,
  source: ModelSource,
  whole: Decoder,
  oracle: Oracle,
): Promise<void> {
  const dtype = dtypeOf(name);
  // The oracle's native ONNX Runtime 1.23.2 reads local_window_size as one position more than torch and
  // this build do.
  const otherWindow = model.endsWith("-window") && name.startsWith("genai");
  const run = otherWindow ? undefined : oracle.onnx?.[name];
  if (!run && dtype !== "fp32") return;
  const expected = run?.dequantised_fp32 ?? run ?? { prompts: oracle.prompts };
  for (const [i, prompt] of oracle.prompts.slice(0, FULL ? undefined : 2).entries()) {
    whole.reset();
    let logits = numbersOf(await whole.step(prompt.ids));
    const { data } = await readNpy(join(model, expected.prompts[i]!.logits_file));
    const worst = logits.reduce((max, logit, k) => Math.max(max, Math.abs(logit - data[k]!)), 0);
    assertEquals(logits.length, data.length);
    assert(
      worst <= TOLERANCE[dtype],
      `Logits of prompt ${i} differ by ${worst}: ${dtype} may by ${TOLERANCE[dtype]}`,
    );
    if (dtype !== "fp32") continue;
    const ids: number[] = [];
    for (const id of expected.prompts[i]!.greedy_ids) {
      ids.push(argmax(logits.subarray(-source.config.vocab)));
      logits = numbersOf(await whole.step([id]));
    }
    assertEquals(ids, expected.prompts[i]!.greedy_ids, `greedy tokens of prompt ${i}`);
  }
}

for (const { name } of [...Deno.readDirSync(FIXTURES)].sort((a, b) => a.name < b.name ? -1 : 1)) {
  const model = join(FIXTURES, name);
  if (!name.startsWith("tiny-")) continue;
  const oracleFile = [...Deno.readDirSync(model)].find((file) => file.name === "oracle.json");
  for (const path of exportsOf(model)) {
    const label = relative(model, path);
    const short = (name === SHORT_MODEL && !/^onnx_raw|^onnx.*q4f16/.test(label)) ||
      (!name.startsWith("tiny-llama") && label === "genai-fp32/model.onnx");
    Deno.test({
      name: `blocks of ${name}/${label} equal the uncut graph`,
      ignore: !FULL && !short,
      fn: async () => {
        await using source = await openOnnxModel(path);
        const oracle: Oracle | null = oracleFile
          ? JSON.parse(await Deno.readTextFile(join(model, "oracle.json")))
          : null;
        const prompt = oracle?.prompts.at(-2)?.ids ??
          Array.from({ length: 17 }, (_, i) => 3 * i + 1);
        const decode = (FULL ? prompt : prompt.slice(0, 3)).map((id) => [id]);
        const chunks = [prompt.slice(0, 5), prompt.slice(5, 16), prompt.slice(16), ...decode];
        const blocks = await blocksOf(source);
        await using whole = await wholeDecoder(source);
        {
          await using chain = await chainedDecoder(source, blocks);
          await assertEqualBits(whole, chain, [prompt, ...decode]);
          await assertEqualBits(whole, chain, chunks);
        }
        const { layers } = source.config;
        for (const layer of FULL ? Array.from({ length: layers + 1 }, (_, i) => i) : [layers / 2]) {
          await using split = await splitDecoder(source, blocks, layer);
          await assertEqualBits(whole, split, chunks);
        }
        if (oracle) await assertOracle(model, label, source, whole, oracle);
      },
    });
  }
}

const EXTRA = Deno.env.get("MDI_TEST_ONNX");
Deno.test({
  name: `blocks of ${EXTRA ? basename(EXTRA) : "$MDI_TEST_ONNX"} equal the uncut graph`,
  ignore: EXTRA === undefined,
  fn: async () => {
    await using source = await openOnnxModel(EXTRA!);
    const blocks = await blocksOf(source);
    await using whole = await wholeDecoder(source);
    await using chain = await chainedDecoder(source, blocks);
    await assertEqualBits(whole, chain, [[1, 2, 3, 4, 5], [6], [7]]);
  },
});

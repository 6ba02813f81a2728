/**
 * Every ONNX export of tests/fixtures, cut everywhere: chained blocks equal the uncut graph bit for bit
 * on one backend, and its logits are those of the export's own oracle within the tolerance of its dtype.
 * `MDI_TEST_FULL=1` runs all of them; otherwise all exports of one model, one of each other
 * architecture, and one cut of each.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { openOnnxModel } from "../engine/model/onnx/open_onnx_model.ts";
import { argmax, worstDifference } from "./support/numbers.ts";
import {
  assertEqualBits,
  blocksOf,
  chainedDecoder,
  type Decoder,
  numbersOf,
  splitDecoder,
  wholeDecoder,
} from "./support/onnx_chain.ts";
import {
  dtypeOf,
  fixtureNames,
  FIXTURES,
  FULL,
  modelFilesOf,
  readOracle,
  TOLERANCE,
} from "./support/oracle.ts";

function isInSubset(fixture: string, file: string): boolean {
  if (fixture === "tiny-llama-tied") return !/^onnx_raw|^onnx.*q4f16/.test(file);
  return !fixture.startsWith("tiny-llama") && file === "genai-fp32/model.onnx";
}

async function assertOracle(whole: Decoder, fixture: string, file: string, vocab: number) {
  const dtype = dtypeOf(file);
  const prompts = await readOracle(fixture, file);
  for (const { ids, logits, greedy } of prompts.slice(0, FULL ? undefined : 2)) {
    whole.reset();
    let got = numbersOf(await whole.step(ids));
    const worst = worstDifference(got, logits);
    assert(
      worst <= TOLERANCE[dtype],
      `Logits of ${ids.length} ids differ by ${worst}: ${dtype} may by ${TOLERANCE[dtype]}`,
    );
    if (dtype !== "fp32") continue;
    const tokens: number[] = [];
    for (const id of greedy) {
      tokens.push(argmax(got.subarray(-vocab)));
      got = numbersOf(await whole.step([id]));
    }
    assertEquals(tokens, greedy, `greedy tokens after ${ids.length} ids`);
  }
}

for (const fixture of fixtureNames()) {
  for (const file of modelFilesOf(fixture).filter((name) => name.endsWith(".onnx"))) {
    Deno.test({
      name: `blocks of ${fixture}/${file} equal the uncut graph`,
      ignore: !FULL && !isInSubset(fixture, file),
      fn: async () => {
        await using source = await openOnnxModel(join(FIXTURES, fixture, file));
        const { layers, vocab } = source.config;
        const prompt = Array.from({ length: 17 }, (_, i) => 29 * i % 512);
        const decode = (FULL ? prompt : prompt.slice(0, 3)).map((id) => [id]);
        const chunks = [prompt.slice(0, 5), prompt.slice(5, 16), prompt.slice(16), ...decode];
        const blocks = await blocksOf(source);
        await using whole = await wholeDecoder(source);
        {
          await using chain = await chainedDecoder(source, blocks);
          await assertEqualBits(whole, chain, [prompt, ...decode]);
          await assertEqualBits(whole, chain, chunks);
        }
        for (const layer of FULL ? Array.from({ length: layers + 1 }, (_, i) => i) : [layers / 2]) {
          await using split = await splitDecoder(source, blocks, layer);
          await assertEqualBits(whole, split, chunks);
        }
        await assertOracle(whole, fixture, file, vocab);
      },
    });
  }
}

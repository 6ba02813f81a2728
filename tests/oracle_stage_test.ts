/**
 * Every model file of tests/fixtures - ONNX exports of all styles and dtypes, GGUF of all tensor types,
 * safetensors - imported and loaded as nodes do: the logits are those of the file's own oracle within
 * the tolerance of its dtype, and stages cut anywhere compute the very bits of one stage.
 * `MDI_TEST_FULL=1` takes all files, prompts and cuts; otherwise a subset.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { openModel } from "../engine/model/open.ts";
import { openSafetensors } from "../engine/model/safetensors/source.ts";
import {
  dtypeOf,
  fixtureNames,
  FIXTURES,
  FULL,
  isExact,
  modelFilesOf,
  readOracle,
  TOLERANCE,
} from "./support/oracle.ts";
import { equalBits, worstDifference } from "./support/numbers.ts";
import { ImportedModel } from "./support/imported_model.ts";
import { loadOrt } from "./support/ort_stage.ts";
import { StageRing } from "./support/stage_ring.ts";

/** Of the ONNX exports, which are many, the subset has one of each architecture. */
function isInSubset(fixture: string, file: string): boolean {
  if (dtypeOf(file) === "gguf" || dtypeOf(file) === "safetensors") return true;
  return fixture === "tiny-llama-tied"
    ? /^genai-(int4-shared|webgpu-fp16)|^onnx.model_(q4f16|quantized)/.test(file)
    : file === "genai-int4/model.onnx";
}

async function assertOracle(ring: StageRing, fixture: string, file: string, context: number) {
  const dtype = dtypeOf(file);
  const prompts = (await readOracle(fixture, file)).filter(({ ids }) => ids.length <= context);
  // Per-tensor q8 depends on how many rows are computed at once, and the head computes one row at a
  // time: onnx_exact_test.ts has the longer prompts.
  const some = dtype === "q8" ? prompts.slice(0, 1) : FULL ? prompts : prompts.slice(1, 3);
  for (const { ids, greedy, logits } of some) {
    ring.reset();
    const hidden = await ring.forward(ids);
    const worst = worstDifference(await ring.logits(hidden), logits);
    assert(
      worst <= TOLERANCE[dtype],
      `Logits of ${ids.length} ids differ by ${worst}: ${dtype} may by ${TOLERANCE[dtype]}`,
    );
    if (!isExact(dtype)) continue;
    const count = Math.min(greedy.length, context - ids.length);
    assertEquals(await ring.greedy(ids, count), greedy.slice(0, count));
  }
}

/** Hidden rows of a prompt in two chunks and of three more tokens, and the logits of each last row. */
async function bitsOf(ring: StageRing, ids: readonly number[]): Promise<Float32Array[]> {
  ring.reset();
  const out: Float32Array[] = [];
  let chunk = ids.slice(0, -5);
  for (const rest of [ids.slice(-5, -3), ids.slice(-3, -2), ids.slice(-2, -1), ids.slice(-1), []]) {
    const hidden = await ring.forward(chunk);
    out.push(hidden, await ring.logits(hidden.slice(-ring.width)));
    chunk = rest;
  }
  return out;
}

for (const fixture of fixtureNames()) {
  for (const file of modelFilesOf(fixture)) {
    Deno.test({
      name: `stages of ${fixture}/${file} compute its oracle, cut or whole`,
      ignore: !FULL && !isInSubset(fixture, file),
      fn: async () => {
        // Of a fixture's directory openModel() would take the ONNX export.
        await using source = dtypeOf(file) === "safetensors"
          ? await openSafetensors(join(FIXTURES, fixture))
          : await openModel(join(FIXTURES, fixture, file));
        await using model = await ImportedModel.from(source);
        const { layers, context } = source.config;
        const ids = Array.from({ length: Math.min(20, context) }, (_, i) => 7 * i + 1);
        let whole: Float32Array[];
        {
          await using ring = await StageRing.load(model, { load: loadOrt });
          await assertOracle(ring, fixture, file, context);
          whole = await bitsOf(ring, ids);
          assert(whole.every((values) => values.every(Number.isFinite)));
        }
        const all = Array.from({ length: layers }, (_, layer) => layer);
        const cuts = FULL ? [...all.map((layer) => [layer]), all] : [all];
        for (const cut of cuts) {
          await using ring = await StageRing.load(model, { cuts: cut, load: loadOrt });
          for (const [i, values] of (await bitsOf(ring, ids)).entries()) {
            assert(equalBits(values, whole[i]!), `Cut at ${cut}: result ${i} differs`);
          }
        }
      },
    });
  }
}

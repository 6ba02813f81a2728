/**
 * Every model file of tests/fixtures that the kernels know - ONNX exports of both styles in all dtypes, GGUF of
 * all tensor types, safetensors - as a `simd` stage: the logits are those of the file's own oracle within the
 * tolerance of its form, and the greedy tokens are its own where nothing is quantised.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { openModel } from "../engine/model/open.ts";
import { openSafetensors } from "../engine/model/safetensors/source.ts";
import { relativeError } from "./support/numbers.ts";
import {
  dtypeOf,
  fixtureNames,
  FIXTURES,
  FULL,
  modelFilesOf,
  readOracle,
  SIMD_TOLERANCE,
  simdFormOf,
} from "./support/oracle.ts";
import { ImportedModel } from "./support/imported_model.ts";
import { loadSimd } from "./support/simd_stage.ts";
import { StageRing } from "./support/stage_ring.ts";

/** Two f16 tensors that cross between blocks are left to ONNX Runtime. */
const UNKNOWN = /webgpu/;

async function assertOracle(ring: StageRing, fixture: string, file: string, context: number) {
  const form = simdFormOf(file);
  const prompts = (await readOracle(fixture, file)).filter(({ ids }) => ids.length <= context);
  for (const { ids, greedy, logits } of FULL ? prompts : prompts.slice(-2)) {
    ring.reset();
    const error = relativeError(await ring.logits(await ring.forward(ids)), logits);
    assert(
      error <= SIMD_TOLERANCE[form],
      `Logits of ${ids.length} ids differ by ${error}: ${form} may by ${SIMD_TOLERANCE[form]}`,
    );
    if (form !== "float") continue;
    const count = Math.min(greedy.length, context - ids.length);
    assertEquals(await ring.greedy(ids, count), greedy.slice(0, count));
  }
}

for (const fixture of fixtureNames()) {
  Deno.test(`simd computes the oracles of ${fixture}`, async (t) => {
    for (const file of modelFilesOf(fixture).filter((each) => !UNKNOWN.test(each))) {
      await t.step(file, async () => {
        // Of a fixture's directory openModel() would take the ONNX export.
        await using source = dtypeOf(file) === "safetensors"
          ? await openSafetensors(join(FIXTURES, fixture))
          : await openModel(join(FIXTURES, fixture, file));
        await using model = await ImportedModel.from(source);
        await using ring = await StageRing.load(model, { load: loadSimd(1) });
        await assertOracle(ring, fixture, file, source.config.context);
      });
    }
  });
}

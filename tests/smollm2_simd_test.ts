/**
 * The default model and a real int4 export on mdi's own kernels, teacher-forced: wherever the margin is clear,
 * the next token is that of the oracle; and bit for bit the same numbers on threads, in rings, with other chunks.
 */
import { assert, assertEquals } from "@std/assert";
import { openGguf } from "../engine/model/gguf/source.ts";
import { openOnnxModel } from "../engine/model/onnx/open_onnx_model.ts";
import { ImportedModel } from "./support/imported_model.ts";
import { argmax, equalBits } from "./support/numbers.ts";
import { modelNote, SMOLLM2_GGUF, SMOLLM2_ONNX } from "./support/real_models.ts";
import { loadSimd } from "./support/simd_stage.ts";
import { StageRing } from "./support/stage_ring.ts";

interface Prompt {
  name: string;
  ids: number[];
  greedy_ids: number[];
  margins: number[];
}

const fixture = async (name: string) =>
  JSON.parse(await Deno.readTextFile(new URL(`fixtures/smollm2/${name}`, import.meta.url))).prompts;
const prompts: Prompt[] = await fixture("oracle.json");
const exported: Omit<Prompt, "ids">[] = await fixture("int4_export_oracle.json");

/** Difference of the two largest logits from which a token is clear in spite of int8 activations. */
const CLEAR = 0.3;
/** Steps whose token may differ where it is not clear, of 576; llama.cpp's own differ at 13. */
const MAY_DIFFER = 16;

/** Logits at every step of a prompt and of the oracle's tokens after it. */
async function* steps(
  ring: StageRing,
  prompt: Prompt,
  chunk: number,
): AsyncGenerator<Float32Array> {
  ring.reset();
  const { ids, greedy_ids: rest } = prompt;
  let hidden: Float32Array = new Float32Array(0);
  for (let at = 0; at < ids.length; at += chunk) {
    hidden = await ring.forward(ids.slice(at, at + chunk));
  }
  yield await ring.logits(hidden.slice(-ring.width));
  for (const id of rest.slice(0, -1)) yield await ring.logits(await ring.forward([id]));
}

async function assertOracle(ring: StageRing, answers: readonly Prompt[]): Promise<void> {
  let different = 0;
  for (const answer of answers) {
    let i = 0;
    for await (const logits of steps(ring, answer, 32)) {
      const same = argmax(logits) === answer.greedy_ids[i];
      assert(same || answer.margins[i]! <= CLEAR, `${answer.name}: step ${i} has another token`);
      different += Number(!same);
      i++;
    }
  }
  assert(different <= MAY_DIFFER, `${different} tokens differ`);
}

Deno.test({
  name: `the default model has torch's next token at every clear margin, and one set of bits${
    modelNote(SMOLLM2_GGUF, "set MDI_TEST_MODEL or run `mdi pull`")
  }`,
  ignore: SMOLLM2_GGUF === undefined,
  fn: async () => {
    await using source = await openGguf(SMOLLM2_GGUF!);
    await using model = await ImportedModel.from(source);
    const some = prompts.filter(({ name }) => /^(short_fact|chat_multi)$/.test(name));
    assertEquals(some.length, 2);
    const expected: Float32Array[] = [];
    {
      await using whole = await StageRing.load(model, { load: loadSimd(1) });
      await assertOracle(whole, prompts);
      for (const prompt of some) {
        for await (const logits of steps(whole, prompt, 32)) expected.push(logits.slice());
      }
    }
    for (const [cuts, threads, chunk] of [[[], 2, 7], [[12, 21], 1, 32], [[0], 3, 64]] as const) {
      await using ring = await StageRing.load(model, { cuts, load: loadSimd(threads) });
      let i = 0;
      for (const prompt of some) {
        for await (const logits of steps(ring, prompt, chunk)) {
          assert(
            equalBits(logits, expected[i++]!),
            `cut at ${cuts}, ${threads} threads: step ${i}`,
          );
        }
      }
    }
  },
});

Deno.test({
  name: `a real int4 export has native ONNX Runtime's next token at every clear margin${
    modelNote(SMOLLM2_ONNX, "set MDI_TEST_ONNX")
  }`,
  ignore: SMOLLM2_ONNX === undefined,
  fn: async () => {
    await using source = await openOnnxModel(SMOLLM2_ONNX!);
    await using model = await ImportedModel.from(source);
    await using ring = await StageRing.load(model, { load: loadSimd(1) });
    const idsOf = new Map(prompts.map(({ name, ids }) => [name, ids]));
    await assertOracle(ring, exported.map((each) => ({ ...each, ids: idsOf.get(each.name)! })));
  },
});
